//! An edited kernel: built by `kreplay image build`, recorded with `--kernel`, seen in `diff`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::support::{code, file, kreplay, open, recording, root, text};

/// Copies the kernel's sources, without what cargo built there.
fn copy_sources(to: &Path) {
    let from = root().join("kernel-image");
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        fs::create_dir_all(to.join(&folder)).unwrap();
        for entry in fs::read_dir(from.join(&folder)).unwrap() {
            let path = folder.join(entry.unwrap().file_name());
            if path == Path::new("target") {
                continue;
            }
            if from.join(&path).is_dir() {
                folders.push(path);
            } else {
                fs::copy(from.join(&path), to.join(&path)).unwrap();
            }
        }
    }
}

/// The line that `kreplay image build` prints the image's hash on.
fn sha256_of(stdout: &str) -> String {
    let line = stdout
        .lines()
        .find_map(|line| line.strip_prefix("sha256 "))
        .expect(stdout);
    line.trim().to_owned()
}

/// A second checkout of the kernel under another path, and the image built from it.
fn second_checkout() -> &'static (PathBuf, String) {
    static MADE: OnceLock<(PathBuf, String)> = OnceLock::new();
    MADE.get_or_init(|| {
        let sources = file("another checkout/of the kernel");
        copy_sources(&sources);
        let image = file("second.vmlinux");
        let ran =
            kreplay(["image", "build", text(&sources), "-o", text(&image)]).expect(code::DONE);
        (sources, sha256_of(&ran.stdout))
    })
}

#[test]
fn two_checkouts_give_one_image_and_it_is_the_built_in_one() {
    let (_, sha256) = second_checkout();
    let info = kreplay(["image", "info"]).expect(code::DONE);
    assert!(
        info.stdout.contains(sha256),
        "built from a copy: {sha256}\n{info}"
    );
    assert_eq!(&open(&recording(2)).manifest().image.sha256, sha256);
}

#[test]
fn one_more_instruction_in_the_scheduler_is_another_run_and_diff_shows_where() {
    // The same folder as the other test's, whose build is done: only the edited file is compiled again.
    let (sources, _) = second_checkout();
    let edited = edit_one_line(sources);
    let image = file("edited.vmlinux");
    kreplay(["image", "build", text(sources), "-o", text(&image)]).expect(code::DONE);
    let path = file("edited.krec");
    kreplay(["record", "--kernel", text(&image), "-o", text(&path)]).expect(code::DONE);

    let (ours, theirs) = (open(&recording(2)), open(&path));
    assert_ne!(ours.manifest().image.sha256, theirs.manifest().image.sha256);
    let (ours, theirs) = (ours.end().unwrap().clone(), theirs.end().unwrap().clone());
    assert_ne!(
        ours.stream_sha256,
        theirs.stream_sha256,
        "after editing {}",
        edited.display()
    );
    assert_ne!(ours.machine_digest, theirs.machine_digest);
    kreplay(["diff", text(&recording(2)), text(&path)]).expect(code::DIFFERS);
}

/// Adds one `nop` to `scheduler_tick`, as the first thing it does.
fn edit_one_line(sources: &Path) -> PathBuf {
    let mut folders = vec![sources.join("src/kernel/sched")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let source = fs::read_to_string(&path).unwrap();
            let Some(at) = source.find("extern \"C\" fn scheduler_tick()") else {
                continue;
            };
            let body = at + source[at..].find('{').unwrap() + 1;
            let (before, after) = source.split_at(body);
            let line = "\n    crate::arch::x86::include::asm::processor::cpu_relax();";
            fs::write(&path, format!("{before}{line}{after}")).unwrap();
            return path;
        }
    }
    panic!("scheduler_tick is not in src/kernel/sched");
}

#[test]
fn a_kernel_that_does_not_compile_is_told_apart_from_a_folder_that_is_none() {
    kreplay(["image", "build", "no/such/folder"])
        .expect(code::BAD_INPUT)
        .complains(&["no/such/folder"]);
    let empty = file("empty folder");
    fs::create_dir_all(&empty).unwrap();
    kreplay(["image", "build", text(&empty)])
        .expect(code::BAD_INPUT)
        .complains(&["empty folder", "Cargo.toml"]);
}
