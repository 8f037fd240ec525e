//! Compiles `fixtures/tiny.rs` with the toolchain that runs the tests.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// The path of the compiled fixture, with or without debug information.
pub fn tiny(debug: bool) -> PathBuf {
    static BUILT: [OnceLock<PathBuf>; 2] = [OnceLock::new(), OnceLock::new()];
    BUILT[usize::from(debug)]
        .get_or_init(|| {
            let name = if debug { "tiny-debug" } else { "tiny-stripped" };
            let out = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
                .join(format!("{name}-{}", std::process::id()));
            let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tiny.rs");
            let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
            let mut command = Command::new(rustc);
            command.args([
                "--edition=2024",
                "-O",
                "-Cpanic=abort",
                "-Crelocation-model=static",
            ]);
            command.args(["-Clink-args=-nostartfiles -nostdlib -static -Wl,--build-id=sha1"]);
            command.arg(if debug {
                "-Cdebuginfo=2"
            } else {
                "-Cstrip=symbols"
            });
            command.arg("--remap-path-prefix");
            command.arg(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/tests/fixtures=/kernel-image/src"
            ));
            let output = command.arg("-o").arg(&out).arg(source).output();
            let output = output.expect("rustc runs the tests, so it is there");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{said}");
            out
        })
        .clone()
}
