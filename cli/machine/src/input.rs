//! What is typed to the guest: a script with virtual times (`--input`), and the journal of a recording.
//!
//! A script has one line for each thing typed: when, and after one space what, up to the end of the
//! line. `\n`, `\r`, `\t`, `\e`, `\\` and `\xNN` are bytes that cannot be seen; nothing is added, so a
//! line that is to be entered ends in `\n`. Empty lines and those that begin with `#` say nothing.
//!
//! ```text
//! # the shell is there after a second
//! 1s taskset -p 2 1\n
//! 1.5s poweroff\n
//! ```

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context, bail};
use emu::Cycles;
use trace::krec::Recording;
use trace::time_arg::TimeArg;

/// Bytes and when each is typed.
pub type Inputs = Vec<(Cycles, u8)>;

/// Reads a script; `-` is standard input.
pub fn script(path: &Path) -> anyhow::Result<Inputs> {
    let name = path.display();
    let text = if path == Path::new("-") {
        let mut text = String::new();
        let read = io::stdin().lock().read_to_string(&mut text);
        read.map(|_| text)
    } else {
        fs::read_to_string(path)
    };
    let text = text.with_context(|| format!("cannot read what is to be typed from {name}"))?;
    parse(&text).with_context(|| format!("{name} is no script of what is typed"))
}

/// What was typed to a recorded guest.
pub fn journal(recording: &Recording) -> anyhow::Result<Inputs> {
    let row = |row: &trace::krec::InputRow| match row.device.as_str() {
        "serial0" => Ok((Cycles(row.cycles), row.byte)),
        other => {
            bail!("the recording has input of device {other}, which this kreplay does not have")
        }
    };
    recording.inputs().iter().map(row).collect()
}

fn parse(text: &str) -> anyhow::Result<Inputs> {
    let mut all = Inputs::new();
    for (number, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let (time, typed) = line.split_once(' ').unwrap_or((line, ""));
        let at = match time.parse() {
            Ok(TimeArg::Nanoseconds(ns)) => Cycles(ns),
            _ => bail!(
                "line {}: `{time}` is no time; write when and what, such as `1.5s ls\\n`",
                number + 1
            ),
        };
        if all.last().is_some_and(|(last, _)| *last > at) {
            bail!("line {}: {time} is before the line above it", number + 1);
        }
        let bytes = unescape(typed).with_context(|| format!("line {}", number + 1))?;
        if bytes.is_empty() {
            bail!("line {}: nothing is typed at {time}", number + 1);
        }
        all.extend(bytes.into_iter().map(|byte| (at, byte)));
    }
    Ok(all)
}

fn unescape(text: &str) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next() {
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'e') => 0x1b,
            Some(b'\\') => b'\\',
            Some(b'x') => {
                let digits: String = rest.by_ref().take(2).map(char::from).collect();
                match u8::from_str_radix(&digits, 16) {
                    // from_str_radix would take a sign.
                    Ok(byte) if digits.bytes().filter(u8::is_ascii_hexdigit).count() == 2 => byte,
                    _ => bail!("`\\x{digits}`: two hexadecimal digits are needed"),
                }
            }
            Some(other) => bail!(
                "`\\{}` is no byte; a backslash is `\\\\`",
                char::from(other)
            ),
            None => bail!("a backslash at the end; one that is typed is `\\\\`"),
        });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_times_and_bytes() {
        let text = "# comment\n\n1ms ab\\n\n2ms  \\x03\\e\\\\\n";
        let at = |ms: u64| Cycles(ms * 1_000_000);
        let expected = [
            (at(1), b'a'),
            (at(1), b'b'),
            (at(1), b'\n'),
            (at(2), b' '),
            (at(2), 3),
            (at(2), 0x1b),
            (at(2), b'\\'),
        ];
        assert_eq!(parse(text).unwrap(), expected);
    }

    #[test]
    fn what_is_refused_says_the_line() {
        let refused = |text: &str, words: &str| {
            let error = format!("{:#}", parse(text).unwrap_err());
            assert!(error.contains(words), "{error}");
        };
        refused("ls\\n", "line 1: `ls\\n` is no time");
        refused("2ms a\n1ms b", "line 2: 1ms is before");
        refused("1ms", "line 1: nothing is typed");
        refused("1ms \\q", "line 1: `\\q` is no byte");
        refused("1ms \\x4", "two hexadecimal digits");
        refused("1ms \\x+4", "two hexadecimal digits");
        refused("1ms \\", "a backslash at the end");
        refused("@7 a", "no time");
    }
}
