//! The exit codes, listed once. `kreplay` has the same ones (`cli/src/exit.rs`).

use std::io;
use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// Done, or the same.
    Done,
    /// Two runs that were compared differ.
    Differs,
    /// Bad input: the scenario, a file, or what was typed.
    BadInput,
    /// The guest panicked, hung or triple-faulted.
    GuestFailed,
    /// Ctrl-C; the files are valid.
    Interrupted,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Done => 0,
            Exit::Differs => 1,
            Exit::BadInput => 2,
            Exit::GuestFailed => 3,
            Exit::Interrupted => 130,
        })
    }
}

/// True if the reader of our output has gone away (`kreplay ... | head`): nobody is left to tell, and
/// nothing is wrong.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
    })
}
