//! The way to `kreplay-machine`, the other executable (D11): Unicorn is GPL-2.0 only and polars brings
//! Apache-2.0-only crates, so the two may not be one program; they meet in files and exit codes.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, anyhow};

use crate::exit::{self, Exit};

/// Names another `kreplay-machine` than the one beside this executable.
pub const OVERRIDE: &str = "KREPLAY_MACHINE";

/// Becomes `kreplay-machine command args...`; returns only if that fails. One process, so a signal
/// and the exit code need no forwarding.
pub fn execute(command: &str, args: Vec<OsString>) -> anyhow::Result<Exit> {
    become_machine(command, &args).map(|never| match never {})
}

/// Executes `kreplay-machine command args...` and waits: its exit code, and what it wrote to its
/// standard output. Its errors and its progress go where ours go.
pub fn ask(command: &str, args: &[OsString]) -> anyhow::Result<(u8, String)> {
    let answer = execute_to_end(command, args, Stdio::inherit())?;
    Ok((answer.code, answer.text))
}

/// The same for something that one can do without: what it wrote to its standard output, and its
/// failure is an error here, with what it said.
pub fn try_ask(command: &str, args: &[OsString]) -> anyhow::Result<String> {
    let answer = execute_to_end(command, args, Stdio::piped())?;
    match answer.code {
        0 => Ok(answer.text),
        code => Err(match reason(&answer.said) {
            Some(reason) => anyhow!("{reason}"),
            None => anyhow!("kreplay-machine {command} ended with exit code {code}"),
        }),
    }
}

/// What came of an execution.
struct Answer {
    code: u8,
    text: String,
    said: String,
}

fn execute_to_end(command: &str, args: &[OsString], errors: Stdio) -> anyhow::Result<Answer> {
    let path = path()?;
    let output = Command::new(&path)
        .arg(command)
        .args(args)
        .stdin(Stdio::null())
        .stderr(errors)
        .output()
        .with_context(|| format!("cannot execute {}", path.display()))?;
    let code = match output.status.code() {
        Some(code) => u8::try_from(code).unwrap_or(exit::BAD_INPUT),
        None => return Err(anyhow!("{} was killed ({})", path.display(), output.status)),
    };
    let text = String::from_utf8(output.stdout)
        .with_context(|| format!("{} wrote no text", path.display()))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok(Answer { code, text, said })
}

/// Of what it said, the error: the last line that is one, without the name before it.
fn reason(said: &str) -> Option<&str> {
    let lines = || said.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut named = lines().filter_map(|line| {
        let error = line.strip_prefix("kreplay: ");
        error.or_else(|| line.strip_prefix("error: "))
    });
    named.next_back().or_else(|| lines().next_back())
}

fn become_machine(command: &str, args: &[OsString]) -> anyhow::Result<Infallible> {
    let path = path()?;
    let error = Command::new(&path).arg(command).args(args).exec();
    Err(error).with_context(|| format!("cannot execute {}", path.display()))
}

/// Where `kreplay-machine` is.
pub fn path() -> anyhow::Result<PathBuf> {
    let here = std::env::current_exe().context("cannot tell where this executable is")?;
    let beside = here.with_file_name(OsStr::new("kreplay-machine"));
    choose(std::env::var_os(OVERRIDE), &beside)
}

fn choose(chosen: Option<OsString>, beside: &Path) -> anyhow::Result<PathBuf> {
    let path = match chosen {
        Some(path) => PathBuf::from(path),
        None => beside.to_owned(),
    };
    if path.is_file() {
        return Ok(path);
    }
    Err(anyhow!(
        "{} is not there; install it beside kreplay (cargo build -p kreplay-machine), or name it in {OVERRIDE}",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_the_last_error_that_was_said() {
        let said = "kreplay: boot.krec is incomplete\nkreplay: no image\n\n";
        assert_eq!(reason(said), Some("no image"));
        assert_eq!(
            reason("error: what is `state`?\n\nUsage: x\n"),
            Some("what is `state`?")
        );
        assert_eq!(reason("Killed\n"), Some("Killed"));
        assert_eq!(reason("\n"), None);
    }

    #[test]
    fn the_variable_wins_over_the_place_and_a_missing_file_is_named() {
        let me = std::env::current_exe().unwrap();
        assert_eq!(
            choose(Some(me.clone().into()), Path::new("/nowhere/x")).unwrap(),
            me
        );
        assert_eq!(choose(None, &me).unwrap(), me);
        let error = choose(None, Path::new("/nowhere/kreplay-machine"))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("/nowhere/kreplay-machine") && error.contains(OVERRIDE),
            "{error}"
        );
    }
}
