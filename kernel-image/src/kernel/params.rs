//! The command line and its parameters.
//!
//! Linux: kernel/params.c, init/main.c (saved_command_line), v6.8. **Kept** `name=value` words, dashes and
//! underscores being the same. **Differs** parameters are looked up by name when they are needed.
use crate::fence::shared::Shared;

const COMMAND_LINE_SIZE: usize = 2048;

static command_line: [Shared<u8>; COMMAND_LINE_SIZE] =
    [const { Shared::new(0) }; COMMAND_LINE_SIZE];
static len: Shared<usize> = Shared::new(0);

/// Keeps the loader's command line; bytes that are not printable ASCII become spaces.
///
/// # Context
/// Once, before other CPUs run.
pub fn set_command_line(text: impl Iterator<Item = u8>) {
    for (slot, byte) in command_line.iter().zip(text) {
        slot.set(if byte.is_ascii_graphic() { byte } else { b' ' });
        len.inc();
    }
}

/// A piece of the command line.
#[derive(Clone, Copy)]
pub struct Text {
    from: usize,
    to: usize,
}

impl Text {
    /// Its characters.
    pub fn bytes(self) -> impl Iterator<Item = u8> + Clone {
        command_line[self.from..self.to].iter().map(Shared::get)
    }

    /// Whether the text is exactly `other`.
    pub fn is(self, other: &str) -> bool {
        self.bytes().eq(other.bytes())
    }

    /// As a decimal number, with 0x as a hexadecimal one (`simple_strtoull`).
    pub fn as_u64(self) -> Option<u64> {
        let is_hex = self.to - self.from > 2 && self.bytes().take(2).eq(*b"0x");
        let (skip, radix) = if is_hex { (2, 16) } else { (0, 10) };
        let mut value = None;
        for byte in self.bytes().skip(skip) {
            let digit = u64::from(char::from(byte).to_digit(radix)?);
            value = Some(
                value
                    .unwrap_or(0u64)
                    .checked_mul(u64::from(radix))?
                    .checked_add(digit)?,
            );
        }
        value
    }
}

impl core::fmt::Display for Text {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        use core::fmt::Write;
        self.bytes()
            .try_for_each(|byte| f.write_char(char::from(byte)))
    }
}

/// The whole command line.
pub fn saved_command_line() -> Text {
    Text {
        from: 0,
        to: len.get(),
    }
}

/// Whether two names are the same, `-` and `_` being one character (`parameq`).
fn parameq(a: impl Iterator<Item = u8>, b: &str) -> bool {
    let dash2underscore = |byte| if byte == b'-' { b'_' } else { byte };
    a.map(dash2underscore).eq(b.bytes().map(dash2underscore))
}

/// The words of the command line.
fn words() -> impl Iterator<Item = Text> {
    let mut at = 0;
    core::iter::from_fn(move || {
        let end = len.get();
        while at < end && command_line[at].get() == b' ' {
            at += 1;
        }
        let from = at;
        while at < end && command_line[at].get() != b' ' {
            at += 1;
        }
        (from < at).then_some(Text { from, to: at })
    })
}

/// The value of the last `name=value`; an empty text for a bare `name`.
pub fn param(name: &str) -> Option<Text> {
    let value_of = |word: Text| {
        let equals = (word.from..word.to).find(|&at| command_line[at].get() == b'=');
        let (name_end, value) = equals.map_or((word.to, word.to), |at| (at, at + 1));
        let key = Text {
            from: word.from,
            to: name_end,
        };
        parameq(key.bytes(), name).then_some(Text {
            from: value,
            to: word.to,
        })
    };
    words().filter_map(value_of).last()
}
