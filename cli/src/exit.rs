//! The exit codes, listed once. `kreplay-machine` has the same ones (`cli/machine/src/exit.rs`).

use std::io;
use std::process::ExitCode;

/// How a command ended, when it did not fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// Done, or the same.
    Done,
    /// Two things that were compared differ.
    Differs,
    /// Two things cannot be compared; the command has said why.
    CannotCompare,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Done => 0,
            Exit::Differs => 1,
            Exit::CannotCompare => BAD_INPUT,
        })
    }
}

/// Bad input of any kind: what every error of the front end is.
pub const BAD_INPUT: u8 = 2;

/// True if the reader of our output has gone away (`kreplay ... | head`): nobody is left to tell, and
/// nothing is wrong.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
    })
}
