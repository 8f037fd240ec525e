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
    /// `kreplay-machine` failed, has said why, and this is its code.
    OfMachine(u8),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Done => 0,
            Exit::Differs => 1,
            Exit::CannotCompare => BAD_INPUT,
            Exit::OfMachine(code) => code,
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

/// An error and its causes as one line. A cause that the words before it have said already is left out:
/// libraries put what the system said into their own message, and give it as the cause too.
pub fn message(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    /// An error as libraries make them: it says its cause, and has it.
    #[derive(Debug)]
    struct Read(io::Error);

    impl fmt::Display for Read {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "cannot read boot.krec: {}", self.0)
        }
    }

    impl std::error::Error for Read {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn what_the_system_said_is_said_once() {
        let system = || io::Error::other("Is a directory");
        let said = anyhow::Error::new(Read(system()));
        assert_eq!(message(&said), "cannot read boot.krec: Is a directory");
        let unsaid = anyhow::Error::new(system()).context("cannot write standard output");
        assert_eq!(
            message(&unsaid),
            "cannot write standard output: Is a directory"
        );
    }
}
