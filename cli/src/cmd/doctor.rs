//! `kreplay doctor`: what is missing for what. Recording and reports need nothing but the two
//! executables; the rest is for edited kernels and notebooks.

use std::process::Command;

use crate::exit::Exit;
use crate::machine;

/// One thing that something needs.
struct Check {
    needed_for: &'static str,
    /// What was found, or what to do.
    found: Result<String, String>,
}

/// Runs the command: exit 0 if everything is there, 1 if something is missing.
pub fn run() -> anyhow::Result<Exit> {
    let checks = [
        Check {
            needed_for: "record, verify, calls",
            found: machine_version(),
        },
        Check {
            needed_for: "image build (edited kernels)",
            found: version("cargo", "install Rust: https://rustup.rs"),
        },
        Check {
            needed_for: "image build (edited kernels)",
            found: host(),
        },
        Check {
            needed_for: "notebooks",
            found: version(
                "python3",
                "install Python 3; scripts/test.sh prepares its packages",
            ),
        },
    ];
    let mut missing = 0;
    for check in &checks {
        let (mark, text) = match &check.found {
            Ok(text) => ("ok", text),
            Err(text) => ("missing", text),
        };
        missing += usize::from(check.found.is_err());
        super::say(format_args!("{mark:<8} {:<30} {text}", check.needed_for))?;
    }
    Ok(if missing == 0 {
        Exit::Done
    } else {
        Exit::Differs
    })
}

fn machine_version() -> Result<String, String> {
    let path = machine::path().map_err(|error| error.to_string())?;
    let text = path.display().to_string();
    first_line(&text, &["--version"]).ok_or_else(|| format!("{text} does not run"))
}

fn version(program: &str, remedy: &str) -> Result<String, String> {
    first_line(program, &["--version"]).ok_or_else(|| format!("{program} is not there: {remedy}"))
}

/// The kernel image is built for this target with the `core` that comes with the host's toolchain.
fn host() -> Result<String, String> {
    let printed = Command::new("rustc").arg("-vV").output().ok();
    let text = printed.map(|out| String::from_utf8_lossy(&out.stdout).into_owned());
    match text
        .as_deref()
        .and_then(|t| t.lines().find_map(|l| l.strip_prefix("host: ")))
    {
        Some(host) if host == kreplay_image::TARGET => Ok(format!("rustc for {host}")),
        Some(host) => Err(format!(
            "rustc is for {host}; the image needs {}",
            kreplay_image::TARGET
        )),
        None => Err("rustc is not there: install Rust: https://rustup.rs".to_owned()),
    }
}

fn first_line(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    output
        .status
        .success()
        .then(|| text.lines().next().unwrap_or("").to_owned())
}
