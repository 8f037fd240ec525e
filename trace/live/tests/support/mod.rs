//! Builds and runs the guest of `fixtures/guest.rs`.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use emu::{Machine, MachineConfig, Outcome};
use trace::image::Image;
use trace::krec::{ImageId, Manifest, OutcomeRow, Recording, Writer, hex};
use trace_live::Recorder;

/// The guest's ELF file.
pub fn guest() -> &'static [u8] {
    static BUILT: OnceLock<Vec<u8>> = OnceLock::new();
    BUILT.get_or_init(|| {
        let out = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("guest-{}", std::process::id()));
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/guest.rs");
        let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
        let mut command = Command::new(rustc);
        command.args(["--edition=2024", "-O", "-Cdebuginfo=2", "-Cpanic=abort"]);
        command.args(["-Crelocation-model=static", "-Cforce-frame-pointers=yes"]);
        command.args(["-Anon_upper_case_globals", "-Adead_code"]);
        command.arg("-Clink-args=-nostartfiles -nostdlib -static -Wl,--build-id=sha1 -Wl,--image-base=0x1000000");
        let output = command.arg("-o").arg(&out).arg(source).output();
        let output = output.expect("rustc runs the tests, so it is there");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        let elf = std::fs::read(&out).expect("it was just written");
        let _ = std::fs::remove_file(out);
        elf
    })
}

/// The guest's names and types.
pub fn image() -> Image {
    Image::parse("guest", guest()).expect("the fixture has DWARF")
}

/// One CPU, little memory.
pub fn config() -> MachineConfig {
    MachineConfig {
        vcpus: 1,
        ram_bytes: 64 << 20,
        ..MachineConfig::default()
    }
}

fn manifest(image: &Image) -> Manifest {
    Manifest {
        kreplay: "test".into(),
        image: ImageId {
            build_id: image.build_id().map(str::to_owned),
            sha256: hex(image.sha256()),
            size: image.size(),
            embedded: true,
        },
        files: Default::default(),
        command_line: String::new(),
        cpus: 1,
        topology: None,
        ram_bytes: 64 << 20,
        quantum: 1000,
        ipi_latency: 2000,
        cycles_per_second: 1_000_000_000,
        policy: "round-robin".into(),
        seed: None,
        workload: "script".into(),
        until: None,
        cost_model: 1,
    }
}

/// A writer into memory.
pub fn writer(image: &Image) -> Writer<Vec<u8>> {
    Writer::new(Vec::new(), "guest.krec".as_ref(), &manifest(image)).expect("a Vec takes all")
}

/// Records a whole run.
pub fn record() -> Recording {
    let image = image();
    let mut machine = Machine::new(&config(), guest()).expect("the guest loads");
    let mut writer = writer(&image);
    writer.image(guest()).expect("a Vec takes all");
    let mut recorder = Recorder::new(writer, &image, 1).expect("the guest has the kernel's shapes");
    recorder.attach(&mut machine);
    let outcome = machine.run(&mut recorder, None).expect("the guest runs");
    assert_eq!(outcome, Outcome::PowerOff);
    let (_, bytes) = recorder
        .finish(&mut machine, OutcomeRow::PowerOff)
        .expect("nothing went wrong");
    Recording::from_bytes("guest.krec".as_ref(), bytes).expect("what was written is read")
}
