//! The promises of the image's build: the same bytes from two checkouts at different paths and whatever the
//! caller's environment says, other bytes from an edited kernel, and clear errors.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use kreplay_image::Error;

/// A folder that goes away.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("kreplay-image-{}-{name}", std::process::id()));
        fs::create_dir_all(&dir).expect("a scratch folder");
        Self(dir)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn kernel() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../kernel-image")
}

/// A checkout: the sources and nothing that a build left there.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("the sources") {
        let entry = entry.expect("an entry");
        let (path, name) = (entry.path(), entry.file_name());
        if name == "target" {
            continue;
        }
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else {
            fs::copy(&path, to.join(name)).expect("a copy");
        }
    }
}

/// Builds with the example program, so that the environment of the build can be set.
fn build_with(environment: &[(&str, &str)], source: &Path, out: &Path) -> Vec<u8> {
    let status = Command::new(env!("CARGO"))
        .args([
            "run",
            "--quiet",
            "-p",
            "kreplay-image",
            "--example",
            "build",
            "--",
        ])
        .arg(source)
        .arg(out)
        .envs(environment.iter().copied())
        .status()
        .expect("cargo runs");
    assert!(status.success(), "the build of {} failed", source.display());
    fs::read(out.join("vmlinux")).expect("an image")
}

#[test]
fn same_bytes_from_two_checkouts_and_others_from_an_edit() {
    let scratch = Scratch::new("same");
    let (one, two) = (
        scratch.0.join("one"),
        scratch.0.join("a/much/longer/path/to/two"),
    );
    copy(&kernel(), &one);
    copy(&kernel(), &two);
    let first = kreplay_image::build(&one, &scratch.0.join("out1")).expect("the kernel builds");
    let bytes = fs::read(&first.elf).expect("an image");
    assert_eq!(first.build_id.len(), 20, "SHA-1 build-id");

    let hostile = [
        ("CARGO_PROFILE_RELEASE_DEBUG", "0"),
        ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1"),
    ];
    let other = build_with(&hostile, &two, &scratch.0.join("another/out2"));
    assert!(bytes == other, "two checkouts gave different images");
    for place in [
        scratch.0.to_string_lossy().as_bytes(),
        b"/.cargo/",
        b"/.rustup/",
    ] {
        let leaks = bytes.windows(place.len()).any(|window| window == place);
        assert!(!leaks, "{} is in the image", String::from_utf8_lossy(place));
    }

    let room = one.join("src/init/version.rs");
    let text = fs::read_to_string(&room).expect("a source file");
    let edited = text.replace("Linux version 6.8.0-kreplay", "Linux version 6.8.0-edited");
    assert_ne!(text, edited, "the banner is where the test looks");
    fs::write(&room, edited).expect("an edit");
    let second = kreplay_image::build(&one, &scratch.0.join("out1")).expect("the edit builds");
    assert_ne!(first.sha256, second.sha256);
    assert_ne!(first.build_id, second.build_id);
}

#[test]
fn not_a_kernel() {
    let scratch = Scratch::new("none");
    let error = kreplay_image::build(&scratch.0, &scratch.0.join("out")).expect_err("no sources");
    assert!(matches!(error, Error::NoKernelThere { .. }), "{error}");
    let missing = scratch.0.join("missing");
    let error = kreplay_image::build(&missing, &scratch.0.join("out")).expect_err("no folder");
    assert!(error.to_string().contains("missing"), "{error}");
}

#[test]
fn a_kernel_that_does_not_compile() {
    let scratch = Scratch::new("broken");
    let source = scratch.0.join("k");
    copy(&kernel(), &source);
    fs::write(source.join("src/lib.rs"), "this is not Rust").expect("an edit");
    let error = kreplay_image::build(&source, &scratch.0.join("out")).expect_err("broken");
    assert!(matches!(error, Error::Cargo { .. }), "{error}");
}
