//! What to stop at: the names of probes, as the tools of the field write them.
//!
//! `kprobe:try_to_wake_up` is the entry of a function, `kretprobe:try_to_wake_up` its return,
//! `tracepoint:sched:sched_switch` a static tracepoint. `kprobe:f+8` is an instruction inside it.
//!
//! A return probe stops at the return *address*, which it reads at the entry, and not at a `ret`: so
//! it is also right for a function that leaves by a tail call (the function jumped to returns there
//! in its place, with its value) and for one that was itself reached by a tail call.

use std::fmt;
use std::str::FromStr;

/// A place in the kernel that can be stopped at.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Spec {
    /// An instruction of a function, by its distance from the entry; 0 is the entry itself.
    Kprobe {
        /// The function.
        function: String,
        /// Bytes from its entry.
        offset: u64,
    },
    /// The return of a function.
    Kretprobe {
        /// The function.
        function: String,
    },
    /// A static tracepoint.
    Tracepoint {
        /// The system, such as `sched`.
        system: String,
        /// The name in it.
        name: String,
    },
}

/// A text that is no probe.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{text:?} is no probe: {reason}")]
pub struct SpecError {
    text: String,
    reason: &'static str,
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Spec::Kprobe {
                function,
                offset: 0,
            } => write!(f, "kprobe:{function}"),
            Spec::Kprobe { function, offset } => write!(f, "kprobe:{function}+{offset:#x}"),
            Spec::Kretprobe { function } => write!(f, "kretprobe:{function}"),
            Spec::Tracepoint { system, name } => write!(f, "tracepoint:{system}:{name}"),
        }
    }
}

impl FromStr for Spec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Spec, SpecError> {
        let bad = |reason| SpecError {
            text: text.to_owned(),
            reason,
        };
        let name = |name: &str| match name.is_empty() || name.contains([':', '+', ' ', '\t']) {
            true => Err(bad(
                "a name is missing or has a character that no symbol has",
            )),
            false => Ok(name.to_owned()),
        };
        let (kind, rest) = text.split_once(':').ok_or_else(|| {
            bad("write kprobe:FUNCTION, kretprobe:FUNCTION or tracepoint:SYSTEM:NAME")
        })?;
        match kind {
            "kprobe" | "k" => {
                let (function, offset) = match rest.split_once('+') {
                    None => (rest, 0),
                    Some((function, offset)) => (
                        function,
                        number(offset).ok_or_else(|| bad("the offset is no number"))?,
                    ),
                };
                Ok(Spec::Kprobe {
                    function: name(function)?,
                    offset,
                })
            }
            "kretprobe" | "kr" => Ok(Spec::Kretprobe {
                function: name(rest)?,
            }),
            "tracepoint" | "t" => {
                let (system, event) = rest
                    .split_once(':')
                    .ok_or_else(|| bad("a tracepoint is tracepoint:SYSTEM:NAME"))?;
                Ok(Spec::Tracepoint {
                    system: name(system)?,
                    name: name(event)?,
                })
            }
            _ => Err(bad("its kind is none of kprobe, kretprobe and tracepoint")),
        }
    }
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(name in "[a-z_][a-z0-9_]{0,20}", other in "[a-z_]{1,9}", offset: u64) {
            for spec in [
                Spec::Kprobe { function: name.clone(), offset },
                Spec::Kprobe { function: name.clone(), offset: 0 },
                Spec::Kretprobe { function: name.clone() },
                Spec::Tracepoint { system: other, name },
            ] {
                prop_assert_eq!(spec.to_string().parse::<Spec>(), Ok(spec));
            }
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,30}") {
            if let Ok(spec) = text.parse::<Spec>() {
                prop_assert_eq!(spec.to_string().parse::<Spec>(), Ok(spec));
            }
        }
    }

    #[test]
    fn what_is_no_probe_says_why() {
        for (text, part) in [
            ("", "write kprobe:FUNCTION"),
            ("schedule", "write kprobe:FUNCTION"),
            ("uprobe:/bin/sh:main", "none of kprobe"),
            ("kprobe:", "a name is missing"),
            ("kprobe:a+z", "the offset is no number"),
            ("tracepoint:sched", "tracepoint:SYSTEM:NAME"),
        ] {
            let error = text.parse::<Spec>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
