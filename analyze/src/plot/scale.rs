//! Axes as they are drawn: a linear one from 0, a logarithmic one, shares of 100 %, and the line of a
//! distribution over them.

use super::axis::{label, log2, pixel, step, unit};
use super::canvas::{Align, Canvas};
use super::theme;
use crate::Error;

/// Left and right end of an axis in pixels.
pub(super) type Ends = (i32, i32);

/// Ticks from 0 to `span` between two heights, labels below, and what the axis is.
pub(super) fn linear(
    canvas: &Canvas<'_>,
    span: u64,
    ends: Ends,
    (top, end): (i32, i32),
    what: &str,
) -> Result<(), Error> {
    let (unit, step) = (unit(span), step(span, 10));
    let mut at = 0;
    while at <= span {
        let x = pixel(at, (0, span), ends);
        canvas.line(&[(x, top), (x, end + 4)], theme::GRID, 1)?;
        let words = label(at, unit, step);
        let below = (x, end + 13);
        canvas.text(&words, below, Align::Middle, theme::SMALL, theme::INK)?;
        at += step;
    }
    line_and_words(canvas, ends, end, &format!("{what} ({})", unit.name))
}

/// The line of an axis at height `y` and what it is.
pub(super) fn line_and_words(
    canvas: &Canvas<'_>,
    (left, right): Ends,
    y: i32,
    words: &str,
) -> Result<(), Error> {
    canvas.line(&[(left, y), (right, y)], theme::INK, 1)?;
    let middle = ((left + right) / 2, y + 31);
    canvas.text(words, middle, Align::Middle, theme::TEXT, theme::INK)
}

/// A logarithmic axis of times, from the decade below the shortest but one in a hundred (a hand-over
/// inside one window may take next to no causal time) to the one above the longest.
#[derive(Clone, Copy)]
pub(super) struct Logarithmic {
    from: u64,
    to: u64,
    ends: Ends,
}

impl Logarithmic {
    /// For these sorted durations.
    pub(super) fn around(durations: &[u64], ends: Ends) -> Logarithmic {
        let shortest = durations
            .get(durations.len() / 100)
            .copied()
            .unwrap_or(1_000)
            .max(1);
        let longest = durations.last().copied().unwrap_or(1_000_000).max(shortest);
        let from = 10_u64.pow(shortest.ilog10());
        let mut to = from;
        while to < longest {
            to = to.saturating_mul(10);
        }
        Logarithmic {
            from,
            to: to.max(from.saturating_mul(10)),
            ends,
        }
    }

    fn x(self, ns: u64) -> i32 {
        pixel(log2(ns), (log2(self.from), log2(self.to)), self.ends)
    }

    /// Decades between two heights, labels below, and what the axis is.
    pub(super) fn draw(
        self,
        canvas: &Canvas<'_>,
        (top, end): (i32, i32),
        what: &str,
    ) -> Result<(), Error> {
        let mut decade = self.from;
        loop {
            let x = self.x(decade);
            canvas.line(&[(x, top), (x, end + 4)], theme::GRID, 1)?;
            let (number, unit) = match decade {
                0..1_000 => (decade, "ns"),
                1_000..1_000_000 => (decade / 1_000, "us"),
                1_000_000..1_000_000_000 => (decade / 1_000_000, "ms"),
                _ => (decade / 1_000_000_000, "s"),
            };
            let words = format!("{number} {unit}");
            let below = (x, end + 13);
            canvas.text(&words, below, Align::Middle, theme::SMALL, theme::INK)?;
            for minor in 2..10 {
                let x = self.x(decade.saturating_mul(minor));
                canvas.line(&[(x, end), (x, end + 3)], theme::INK, 1)?;
            }
            match decade.checked_mul(10) {
                Some(next) if next <= self.to => decade = next,
                _ => break,
            }
        }
        line_and_words(canvas, self.ends, end, &format!("{what} (logarithmic)"))
    }

    /// The distribution of sorted durations as a line of steps, at most two points a pixel column.
    pub(super) fn steps(self, durations: &[u64], (top, end): (i32, i32)) -> Vec<(i32, i32)> {
        let (left, right) = self.ends;
        let count = i64::try_from(durations.len()).unwrap_or(i64::MAX);
        let mut points = vec![(left, end)];
        let mut last = (left, end);
        for (at, ns) in (1_i64..).zip(durations) {
            let x = self.x(*ns);
            let y = end - i32::try_from(i64::from(end - top) * at / count).unwrap_or(0);
            if x != last.0 {
                points.push((x, last.1));
                points.push((x, y));
            } else if let Some(point) = points.last_mut() {
                point.1 = y;
            }
            last = (x, y);
        }
        points.push((right, last.1));
        points
    }
}

/// Lines at shares of 100 %, with labels at the left.
pub(super) fn shares(
    canvas: &Canvas<'_>,
    (left, right): Ends,
    (top, end): (i32, i32),
) -> Result<(), Error> {
    for percent in [0, 25, 50, 75, 90, 100] {
        let y = end - (end - top) * percent / 100;
        canvas.line(&[(left, y), (right, y)], theme::GRID, 1)?;
        let words = format!("{percent} %");
        let before = (left - 8, y);
        canvas.text(&words, before, Align::Right, theme::SMALL, theme::INK)?;
    }
    Ok(())
}
