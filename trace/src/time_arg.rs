//! The instants a person can name on a command line: `12.5ms`, `3s`, `@18342`, `boot`, `end`.
//!
//! This file parses and prints them; what an instant resolves to is the caller's, who has the run.
//! Virtual time is an integer number of cycles (1 cycle = 1 ns), so a decimal fraction is accepted as
//! far as it names whole nanoseconds and refused past that, never rounded.

use std::fmt;
use std::str::FromStr;

/// An instant of a run, as typed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimeArg {
    /// The first event.
    Boot,
    /// The end of the run.
    End,
    /// So many virtual nanoseconds after the boot.
    Nanoseconds(u64),
    /// The event with this sequence number.
    Event(u64),
}

/// Why a text names no instant.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "`{text}` is no time: {reason}; write 12.5ms, 3s, 800us, 1500ns, @18342 (event number), boot or end"
)]
pub struct TimeArgError {
    text: String,
    reason: &'static str,
}

const UNITS: [(&str, u64); 4] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
];

impl FromStr for TimeArg {
    type Err = TimeArgError;

    fn from_str(text: &str) -> Result<TimeArg, TimeArgError> {
        parse(text).map_err(|reason| TimeArgError {
            text: text.to_owned(),
            reason,
        })
    }
}

impl fmt::Display for TimeArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            TimeArg::Boot => f.write_str("boot"),
            TimeArg::End => f.write_str("end"),
            TimeArg::Event(seq) => write!(f, "@{seq}"),
            TimeArg::Nanoseconds(ns) => {
                let (unit, scale) = UNITS
                    .into_iter()
                    .rev()
                    .find(|(_, scale)| ns >= *scale && ns % scale == 0)
                    .unwrap_or(UNITS[0]);
                write!(f, "{}{unit}", ns / scale)
            }
        }
    }
}

fn parse(text: &str) -> Result<TimeArg, &'static str> {
    match text {
        "boot" => return Ok(TimeArg::Boot),
        "end" => return Ok(TimeArg::End),
        _ => {}
    }
    if let Some(number) = text.strip_prefix('@') {
        return number
            .parse()
            .map(TimeArg::Event)
            .map_err(|_| "no event number follows the @");
    }
    let unit_at = text
        .find(|c: char| c.is_ascii_alphabetic())
        .ok_or("the unit is missing")?;
    let (number, unit) = text.split_at(unit_at);
    let scale = UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .ok_or("the unit is not ns, us, ms or s")?
        .1;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return Err("the number is not a decimal");
    }
    let too_large = "it is over 584 years";
    let whole: u64 = whole.parse().map_err(|_| too_large)?;
    let whole = whole.checked_mul(scale).ok_or(too_large)?;
    let ns = whole
        .checked_add(fraction_ns(fraction, scale)?)
        .ok_or(too_large)?;
    Ok(TimeArg::Nanoseconds(ns))
}

/// The digits after the point, in nanoseconds of a unit of `scale`.
fn fraction_ns(digits: &str, scale: u64) -> Result<u64, &'static str> {
    let mut place = scale;
    let mut ns = 0;
    for digit in digits.trim_end_matches('0').bytes() {
        if place == 1 {
            return Err("it is finer than one nanosecond");
        }
        place /= 10;
        ns += u64::from(digit - b'0') * place;
    }
    Ok(ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read() {
        let read = |text: &str| text.parse::<TimeArg>().unwrap();
        assert_eq!(read("boot"), TimeArg::Boot);
        assert_eq!(read("end"), TimeArg::End);
        assert_eq!(read("@18342"), TimeArg::Event(18342));
        assert_eq!(read("12.5ms"), TimeArg::Nanoseconds(12_500_000));
        assert_eq!(read("3s"), TimeArg::Nanoseconds(3_000_000_000));
        assert_eq!(read("0.000000001s"), TimeArg::Nanoseconds(1));
        assert_eq!(read("7ns"), TimeArg::Nanoseconds(7));
        assert_eq!(read("1.50us"), TimeArg::Nanoseconds(1_500));
    }

    #[test]
    fn what_is_no_time_is_refused_with_a_reason() {
        let wrong = [
            "",
            "3",
            "3m",
            "ms",
            ".5ms",
            "1.ms",
            "-1s",
            "@",
            "@x",
            "1.5ns",
            "0.0000000001s",
            "99999999999999s",
            "3 s",
            "+3s",
            "1e3s",
            "@-1",
        ];
        for text in wrong {
            let error = text.parse::<TimeArg>().expect_err(text).to_string();
            assert!(error.contains(&format!("`{text}`")), "{error}");
        }
    }

    #[test]
    fn printing_and_reading_agree() {
        for ns in [0, 1, 999, 1_000, 1_500, 2_000_000, 3_000_000_000, u64::MAX] {
            let arg = TimeArg::Nanoseconds(ns);
            assert_eq!(arg.to_string().parse(), Ok(arg));
        }
        for arg in [TimeArg::Boot, TimeArg::End, TimeArg::Event(7)] {
            assert_eq!(arg.to_string().parse(), Ok(arg));
        }
    }
}
