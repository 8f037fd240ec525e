//! Snapshots of the built-in kernel: from any instant, in this process or another, the rest of the
//! run is the same, event by event.
//!
//! An event here is what a recorder could make anything of: each hit of each tracepoint, with its
//! stamp and the registers that carry arguments; each exception and interrupt; each console byte.

use std::process::Command;
use std::sync::LazyLock;

use emu::{
    CpuView, Cycles, Exception, Machine, MachineConfig, MachineSummary, Observer, Outcome,
    PolicyKind, Reg, Site, Snapshot, Stamp, VcpuId, VirtAddr,
};
use sha2::{Digest, Sha256};
use trace::image::Image;

const VMLINUX: &[u8] = include_bytes!(env!("KREPLAY_VMLINUX"));

/// Where runs end, past hundreds of moves: the property holds for the stretch up to here.
const END: Cycles = Cycles(7_000_000);

/// Hashes everything that happens.
struct Watcher {
    hash: Sha256,
    events: u64,
    console: Vec<u8>,
}

impl Watcher {
    fn new() -> Self {
        Self {
            hash: Sha256::new(),
            events: 0,
            console: Vec::new(),
        }
    }

    fn words(&mut self, at: Stamp, words: &[u64]) {
        self.events += 1;
        for word in [at.vcpu.0.into(), at.cycles.0, at.insns.0] {
            self.hash.update(u64::to_le_bytes(word));
        }
        words
            .iter()
            .for_each(|word| self.hash.update(word.to_le_bytes()));
    }
}

impl Observer for Watcher {
    fn hit(&mut self, cpu: &mut CpuView<'_>, at: VirtAddr, site: Site) {
        let arguments = [Reg::Rdi, Reg::Rsi, Reg::Rdx, Reg::Rcx, Reg::R8, Reg::R9];
        let mut words = vec![at.0, site as u64, cpu.reg(Reg::Rsp), cpu.reg(Reg::Cr3)];
        words.extend(arguments.map(|reg| cpu.reg(reg)));
        self.words(cpu.stamp(), &words);
        // As the recorder does at a task switch: the hang detector is part of the state.
        cpu.note_progress();
    }

    fn console(&mut self, at: Stamp, byte: u8) {
        self.words(at, &[byte.into()]);
        self.console.push(byte);
    }

    fn exception(&mut self, at: Stamp, e: Exception) {
        let external = u64::from(e.external);
        self.words(at, &[e.vector.into(), e.rip.0, e.cr2.0, external]);
    }
}

/// Everything that can be told of a stretch of a run and of its end.
#[derive(PartialEq, Debug)]
struct Told {
    outcome: Outcome,
    events: u64,
    stream: String,
    console: Vec<u8>,
    digest: String,
    summary: MachineSummary,
    longest: Cycles,
    clocks: Vec<Stamp>,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Where the kernel's tracepoints are.
static TRACEPOINTS: LazyLock<Vec<VirtAddr>> = LazyLock::new(|| {
    let image = Image::parse("the built-in kernel", VMLINUX).unwrap();
    let all = image.tracepoints().iter();
    all.map(|tracepoint| VirtAddr(tracepoint.addr.0)).collect()
});

fn watch(machine: &mut Machine) {
    assert!(!TRACEPOINTS.is_empty());
    for tracepoint in TRACEPOINTS.iter() {
        machine.watch(*tracepoint, Site::Instruction);
    }
}

fn run(machine: &mut Machine, cpus: u32, until: Cycles) -> Told {
    let mut watcher = Watcher::new();
    let outcome = machine.run(&mut watcher, Some(until)).unwrap();
    Told {
        outcome,
        events: watcher.events,
        stream: hex(&watcher.hash.finalize()),
        console: watcher.console,
        digest: hex(&machine.digest()),
        summary: machine.summary(),
        longest: machine.longest_stretch(),
        clocks: (0..cpus).map(|cpu| machine.stamp(VcpuId(cpu))).collect(),
    }
}

fn machine(vcpus: u32, policy: PolicyKind) -> Machine {
    let config = MachineConfig {
        vcpus,
        policy,
        ram_bytes: 128 << 20,
        command_line: "workload=affinity".to_owned(),
        ..MachineConfig::default()
    };
    let mut machine = Machine::new(&config, VMLINUX).expect("the built-in kernel loads");
    watch(&mut machine);
    machine
}

/// Without the number of blocks executed: where the translator cuts depends on what it has
/// translated before, and is no property of the run.
fn but_blocks(mut told: Told) -> Told {
    told.summary.blocks = 0;
    told
}

/// The virtual time at which each AP executes its first instruction, by running in small steps.
fn first_instructions(vcpus: u32, policy: PolicyKind) -> Vec<u64> {
    let mut machine = machine(vcpus, policy);
    let mut times = Vec::new();
    let mut time = 0;
    while times.len() + 1 < vcpus as usize && time < END.0 {
        time += 2_000;
        machine
            .run(&mut Watcher::new(), Some(Cycles(time)))
            .unwrap();
        let up = (1..vcpus).filter(|cpu| machine.stamp(VcpuId(*cpu)).insns.0 > 0);
        let new = up.count() - times.len();
        times.extend((0..new).map(|_| time));
    }
    assert_eq!(times.len() + 1, vcpus as usize, "every CPU starts");
    times
}

#[test]
fn the_rest_of_the_kernels_run_is_the_same_from_a_snapshot() {
    for (vcpus, policy) in [
        (1, PolicyKind::RoundRobin),
        (2, PolicyKind::Random { seed: 5 }),
        (4, PolicyKind::RoundRobin),
        (16, PolicyKind::Random { seed: 6 }),
    ] {
        let mut times = vec![200_000, 5_555_555];
        // In the middle of the start of another CPU: its first real-mode instructions.
        times.extend(first_instructions(vcpus, policy).into_iter().take(2));
        for time in times {
            let what = format!("{vcpus} CPUs, {policy:?}, at {time}");
            let mut first = machine(vcpus, policy);
            run(&mut first, vcpus, Cycles(time));
            let snapshot = first.snapshot().unwrap();
            let rest = run(&mut first, vcpus, END);
            let mut file = Vec::new();
            snapshot.write(&mut file).unwrap();
            let mut fresh = Machine::from_snapshot(&Snapshot::read(&file).unwrap()).unwrap();
            watch(&mut fresh);
            let (again, rest) = (but_blocks(run(&mut fresh, vcpus, END)), but_blocks(rest));
            assert_eq!(again, rest, "{what}");
            assert!(rest.events > 0, "{what}");
            first.restore(&snapshot).unwrap();
            assert_eq!(
                but_blocks(run(&mut first, vcpus, END)),
                rest,
                "back: {what}"
            );
        }
    }
}

#[test]
fn looking_often_changes_nothing_and_pages_are_shared() {
    for (vcpus, policy) in [
        (2, PolicyKind::RoundRobin),
        (4, PolicyKind::Random { seed: 9 }),
    ] {
        let whole = run(&mut machine(vcpus, policy), vcpus, END);
        let mut tracked = machine(vcpus, policy);
        let mut compared = machine(vcpus, policy);
        compared.track_by_comparison();
        let mut last: Option<Snapshot> = None;
        let mut time = 1_111_111;
        while time < END.0 {
            run(&mut tracked, vcpus, Cycles(time));
            run(&mut compared, vcpus, Cycles(time));
            let snapshot = tracked.snapshot().unwrap();
            assert!(snapshot == compared.snapshot().unwrap(), "at {time}");
            if let Some(last) = &last {
                let (apart, all) = (snapshot.pages_apart(last), snapshot.pages());
                assert!(apart > 0 && apart < all / 2, "{apart} of {all} pages");
            }
            last = Some(snapshot);
            time += 777_777;
        }
        println!("this host: {:?}", tracked.tracking());
        let end = run(&mut tracked, vcpus, END);
        assert_eq!(end.digest, whole.digest, "{vcpus} CPUs");
        assert_eq!(end.clocks, whole.clocks);
        // A machine of which no snapshot was taken before takes its first one now.
        let mut fresh = machine(vcpus, policy);
        run(&mut fresh, vcpus, END);
        assert!(fresh.snapshot().unwrap() == tracked.snapshot().unwrap());
    }
}

/// The other process of the next test: this test with a file to go on from.
const CHILD: &str = "KREPLAY_TEST_SNAPSHOT";

#[test]
fn another_process_goes_on_from_the_file_and_writes_the_same_one() {
    if let Some(path) = std::env::var_os(CHILD) {
        let snapshot = Snapshot::read(&std::fs::read(&path).unwrap()).unwrap();
        let mut machine = Machine::from_snapshot(&snapshot).unwrap();
        watch(&mut machine);
        let told = run(&mut machine, snapshot.config().vcpus, END);
        let mut file = Vec::new();
        machine.snapshot().unwrap().write(&mut file).unwrap();
        println!(
            "rest {} {} {}",
            told.stream,
            told.digest,
            hex(&Sha256::digest(&file))
        );
        return;
    }
    let dir = std::env::temp_dir().join(format!("kreplay-snapshot-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let path = dir.join("mid.ksnap");
    let mut first = machine(4, PolicyKind::Random { seed: 11 });
    run(&mut first, 4, Cycles(4_321_000));
    let mut file = Vec::new();
    first.snapshot().unwrap().write(&mut file).unwrap();
    std::fs::write(&path, &file).unwrap();
    let rest = run(&mut first, 4, END);
    let mut end = Vec::new();
    first.snapshot().unwrap().write(&mut end).unwrap();
    let expected = format!(
        "rest {} {} {}",
        rest.stream,
        rest.digest,
        hex(&Sha256::digest(&end))
    );
    let name = "another_process_goes_on_from_the_file_and_writes_the_same_one";
    let child = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(CHILD, &path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(
        said.contains(&expected),
        "{expected}, and the other process: {said}"
    );
    std::fs::remove_dir_all(&dir).unwrap();
}
