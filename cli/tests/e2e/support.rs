//! Running `kreplay`, and the recordings that the tests share.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex, OnceLock};

use trace::krec::Recording;

/// The exit codes of design.md, under the names that the tests use.
pub mod code {
    pub const DONE: i32 = 0;
    pub const DIFFERS: i32 = 1;
    pub const BAD_INPUT: i32 = 2;
    pub const GUEST_FAILED: i32 = 3;
    pub const CTRL_C: i32 = 130;
}

/// What a command printed, and its exit code.
pub struct Ran {
    pub line: String,
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// The command must have ended with this code.
    #[track_caller]
    pub fn expect(self, code: i32) -> Ran {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    /// Standard error must be an error message: all of `parts`, no panic, no Rust debug text.
    #[track_caller]
    pub fn complains(self, parts: &[&str]) -> Ran {
        for part in parts {
            assert!(
                self.stderr.contains(part),
                "no `{part}` in the message\n{self}"
            );
        }
        assert!(!self.stderr.contains("panicked"), "a panic\n{self}");
        assert!(!self.stderr.contains("RUST_BACKTRACE"), "a panic\n{self}");
        self
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ran {
            line,
            code,
            stdout,
            stderr,
        } = self;
        let head: String = stdout.chars().take(4000).collect();
        write!(
            f,
            "$ {line}\nexit {code:?}\n--- stdout\n{head}\n--- stderr\n{stderr}\n---"
        )
    }
}

/// The front end, ready for arguments; it runs in a folder of the tests.
pub fn command<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    machine_is_there();
    let mut command = Command::new(env!("CARGO_BIN_EXE_kreplay"));
    command
        .args(args)
        .current_dir(folder())
        .stdin(Stdio::null());
    command
}

/// Runs `kreplay` to its end.
pub fn kreplay<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Ran {
    finish(&mut command(args))
}

/// Runs any command to its end.
pub fn finish(command: &mut Command) -> Ran {
    let output = command
        .output()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    ran(command, output)
}

pub fn ran(command: &Command, output: Output) -> Ran {
    Ran {
        line: format!("{command:?}"),
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A folder for the files of this test program.
pub fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("e2e");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("the target folder is writable");
        folder
    })
}

/// A path in that folder.
pub fn file(name: &str) -> PathBuf {
    folder().join(name)
}

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("cli is in the root")
}

/// A complete recording of workload `affinity` on so many CPUs, with the default settings; made at
/// the first call, which other threads wait for.
pub fn recording(cpus: u32) -> PathBuf {
    static MADE: OnceLock<Mutex<BTreeMap<u32, Arc<OnceLock<PathBuf>>>>> = OnceLock::new();
    let cell = {
        let mut made = MADE
            .get_or_init(Mutex::default)
            .lock()
            .expect("no test panics in here");
        Arc::clone(made.entry(cpus).or_default())
    };
    cell.get_or_init(|| {
        let path = file(&format!("affinity-{cpus}.krec"));
        kreplay(["record", "--smp", &cpus.to_string(), "-o", text(&path)]).expect(code::DONE);
        path
    })
    .clone()
}

/// That recording, opened.
pub fn opened(cpus: u32) -> Recording {
    open(&recording(cpus))
}

/// Opens a recording that must be good.
#[track_caller]
pub fn open(path: &Path) -> Recording {
    Recording::open(path).unwrap_or_else(|e| panic!("{e}"))
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("the tests use plain names")
}

/// Whether `scripts/test.sh --long` runs us.
pub fn long() -> bool {
    std::env::var_os("KREPLAY_LONG").is_some()
}

/// The Python that has the packages of `scripts/requirements.txt`.
pub fn python() -> PathBuf {
    let chosen = std::env::var_os("KREPLAY_PYTHON").map(PathBuf::from);
    let usual = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .with_file_name("venv")
        .join("bin/python");
    let python = chosen.unwrap_or(usual);
    assert!(
        python.exists(),
        "{} is not there: scripts/test.sh prepares it (need_python in scripts/lib.sh)",
        python.display()
    );
    python
}

/// Runs a Python script of `cli/tests/python` with arguments; it must succeed.
#[track_caller]
pub fn python_script(script: &str, args: &[&str]) -> Ran {
    let path = root().join("cli/tests/python").join(script);
    finish(
        Command::new(python())
            .arg(path)
            .args(args)
            .current_dir(folder()),
    )
    .expect(code::DONE)
}

/// `cargo test -p kreplay` does not build the other executable, and an old one would test old code.
fn machine_is_there() {
    let beside = Path::new(env!("CARGO_BIN_EXE_kreplay")).with_file_name("kreplay-machine");
    assert!(
        beside.exists(),
        "{} is not there: run cargo build --workspace first",
        beside.display()
    );
}
