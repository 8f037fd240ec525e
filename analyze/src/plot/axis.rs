//! Ticks at round numbers, in integers.

/// A unit of time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Unit {
    pub(super) name: &'static str,
    pub(super) ns: u64,
}

/// The unit in which a stretch of time has a short number.
pub(super) fn unit(span_ns: u64) -> Unit {
    let (name, ns) = match span_ns {
        0..2_000 => ("ns", 1),
        2_000..2_000_000 => ("us", 1_000),
        2_000_000..2_000_000_000 => ("ms", 1_000_000),
        _ => ("s", 1_000_000_000),
    };
    Unit { name, ns }
}

/// The distance between ticks: 1, 2 or 5 times a power of ten, for at most `most` ticks in `span_ns`.
pub(super) fn step(span_ns: u64, most: u64) -> u64 {
    let least = span_ns.div_ceil(most.max(1)).max(1);
    let mut power = 1_u64;
    loop {
        for factor in [1, 2, 5] {
            let step = power.saturating_mul(factor);
            if step >= least {
                return step;
            }
        }
        power = power.saturating_mul(10);
    }
}

/// A number of nanoseconds in a unit, with the decimals that `step` needs.
pub(super) fn label(ns: u64, unit: Unit, step: u64) -> String {
    let whole = ns / unit.ns;
    if step.is_multiple_of(unit.ns) {
        return whole.to_string();
    }
    // Steps below the unit are powers of ten times 1, 2 or 5, so the digits end.
    let digits = unit.ns.ilog10() as usize;
    let fraction = format!("{:0digits$}", ns % unit.ns);
    let needed = digits - (step.trailing_zeros_decimal() as usize).min(digits);
    format!("{whole}.{}", &fraction[..needed.max(1)])
}

trait Decimal {
    fn trailing_zeros_decimal(self) -> u32;
}

impl Decimal for u64 {
    fn trailing_zeros_decimal(mut self) -> u32 {
        let mut zeros = 0;
        while self != 0 && self.is_multiple_of(10) {
            self /= 10;
            zeros += 1;
        }
        zeros
    }
}

/// The pixel of a time on an axis from `from_ns` at `x0` to `to_ns` at `x1`.
pub(super) fn pixel(ns: u64, (from_ns, to_ns): (u64, u64), (x0, x1): (i32, i32)) -> i32 {
    let span = i128::from(to_ns.saturating_sub(from_ns).max(1));
    let at = i128::from(ns.clamp(from_ns, to_ns) - from_ns);
    let width = i128::from(x1 - x0);
    x0 + i32::try_from((at * width + span / 2) / span).unwrap_or(0)
}

/// Binary logarithm with 16 fractional bits, in integers: the same on every host. 0 for 0.
pub(super) fn log2(value: u64) -> u64 {
    let Some(whole) = value.checked_ilog2() else {
        return 0;
    };
    // The mantissa in [1, 2) with 31 fractional bits; each squaring gives the next bit.
    let mut mantissa = match whole {
        0..=31 => value << (31 - whole),
        _ => value >> (whole - 31),
    };
    let mut bits = 0;
    for _ in 0..16 {
        mantissa = (mantissa * mantissa) >> 31;
        bits <<= 1;
        if mantissa >= 1 << 32 {
            mantissa >>= 1;
            bits |= 1;
        }
    }
    (u64::from(whole) << 16) | bits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        assert_eq!(step(40_000, 12), 5_000);
        assert_eq!(step(100, 10), 10);
        assert_eq!(step(101, 10), 20);
        assert_eq!(step(0, 10), 1);
    }

    #[test]
    fn labels_have_the_decimals_of_the_step() {
        let us = unit(5_000);
        assert_eq!(label(2_500, us, 500), "2.5");
        assert_eq!(label(3_000, us, 500), "3.0");
        assert_eq!(label(3_000, us, 1_000), "3");
        assert_eq!(label(3_050, us, 50), "3.05");
    }

    #[test]
    fn logarithms() {
        assert_eq!((log2(0), log2(1), log2(8)), (0, 0, 3 << 16));
        // log2(10) = 3.321928..., times 65,536 = 217,705.9
        assert_eq!(log2(10), 217_705);
        assert_eq!(log2(u64::MAX) >> 16, 63);
        assert!((1..5_000).all(|n| log2(n) <= log2(n + 1)));
    }

    #[test]
    fn pixels_stay_on_the_axis() {
        let at = |ns| pixel(ns, (100, 200), (10, 110));
        assert_eq!(
            (at(0), at(100), at(150), at(200), at(999)),
            (10, 10, 60, 110, 110)
        );
    }
}
