//! Moves: where the time of the slowest went, and how long all of them took.
//!
//! Three parts, one below the other: a bar for each of the slowest moves, its six phases in their
//! order; the same without first-run, for the moves whose hand-over took longest, because the wait in
//! the destination's queue dwarfs everything on a loaded machine; and the share of moves that took at
//! most so long, for all and for each path, on a logarithmic axis.

use super::axis::{label, log2, pixel, step, unit};
use super::canvas::{Align, Canvas};
use super::theme;
use crate::Error;
use crate::migration::{MigrationReport, Move, Path, Phase};
use crate::names;

const WIDTH: i32 = 1200;
const LEFT: i32 = 230;
const RIGHT: i32 = WIDTH - 90;
const TOP: i32 = 84;
const BAR: i32 = 18;
/// From one part's axis to the next part's first pixel: tick labels, words, a heading.
const BETWEEN: i32 = 92;
const CDF_HEIGHT: i32 = 260;
/// Distance of a heading from what is below it.
const HEADING: i32 = 30;

/// A part with bars.
struct Bars<'r> {
    title: String,
    axis: &'static str,
    moves: Vec<&'r Move>,
    /// How many of the phases a bar shows.
    phases: usize,
    top: i32,
}

impl Bars<'_> {
    fn end(&self) -> i32 {
        self.top + BAR * i32::try_from(self.moves.len().max(1)).unwrap_or(0)
    }

    fn ns(&self, m: &Move) -> u64 {
        m.phases_ns[..self.phases].iter().sum()
    }
}

/// Draws the `slowest` slowest moves, as many slow hand-overs, and the distribution of all that ran.
pub fn svg(report: &MigrationReport, slowest: usize) -> Result<String, Error> {
    let all = report.durations(None).len();
    let shown = slowest.min(all);
    let totals = Bars {
        title: format!(
            "Where the time of a move goes: the {shown} slowest of {all} moves that ran"
        ),
        axis: "time from begin to first run",
        moves: report.slowest(slowest, Move::total_ns),
        phases: Phase::ALL.len(),
        top: TOP,
    };
    let hand_overs = Bars {
        title: format!("Without first-run: the {shown} slowest hand-overs"),
        axis: "time from begin to the destination's queue",
        moves: report.slowest(slowest, Move::hand_over_ns),
        phases: Phase::FirstRun as usize,
        top: totals.end() + BETWEEN,
    };
    let cdf_top = hand_overs.end() + BETWEEN + 18;
    let height = cdf_top + CDF_HEIGHT + 76;
    let mut svg = String::new();
    let canvas = Canvas::new(&mut svg, WIDTH, height)?;
    let mut x = LEFT;
    for (phase, colour) in Phase::ALL.into_iter().zip(theme::PHASES) {
        x += canvas.key(phase.name(), (x, 32), colour)?;
    }
    bars(&canvas, &totals)?;
    bars(&canvas, &hand_overs)?;
    cdf(&canvas, report, cdf_top)?;
    let line = format!(
        "{}: {}",
        report.footer.recording, report.footer.stream_sha256
    );
    let at = (24, height - 14);
    canvas.text(&line, at, Align::Left, theme::SMALL, theme::FAINT)?;
    canvas.finish()?;
    Ok(svg)
}

fn bars(canvas: &Canvas<'_>, part: &Bars<'_>) -> Result<(), Error> {
    let span = part.moves.first().map_or(1_000, |m| part.ns(m)).max(1);
    let heading = (24, part.top - HEADING + 8);
    canvas.text(&part.title, heading, Align::Left, theme::TITLE, theme::INK)?;
    linear_axis(canvas, span, (part.top, part.end()), part.axis)?;
    let x = |ns| pixel(ns, (0, span), (LEFT, RIGHT));
    let mut y = part.top;
    for m in &part.moves {
        let middle = y + BAR / 2;
        let task = format!(
            "{}  {} => {}  {}",
            names::task(&m.comm, m.tid),
            m.src_cpu,
            m.dst_cpu,
            m.path.name()
        );
        canvas.text(
            &task,
            (LEFT - 8, middle),
            Align::Right,
            theme::SMALL,
            theme::INK,
        )?;
        let mut from = 0;
        for (ns, colour) in m.phases_ns[..part.phases].iter().zip(theme::PHASES) {
            if *ns > 0 {
                canvas.rect((x(from), y + 2), (x(from + ns), y + BAR - 2), colour)?;
            }
            from += ns;
        }
        let event = format!("@{}", m.seqs.migrate);
        canvas.text(
            &event,
            (x(from) + 6, middle),
            Align::Left,
            theme::SMALL,
            theme::FAINT,
        )?;
        y += BAR;
    }
    if part.moves.is_empty() {
        let at = (LEFT + 8, part.top + BAR / 2);
        canvas.text(
            "no move ran in this recording",
            at,
            Align::Left,
            theme::TEXT,
            theme::FAINT,
        )?;
    }
    Ok(())
}

/// Ticks from 0 to `span` between two heights, labels below, and what the axis is.
fn linear_axis(
    canvas: &Canvas<'_>,
    span: u64,
    (top, end): (i32, i32),
    what: &str,
) -> Result<(), Error> {
    let (unit, step) = (unit(span), step(span, 10));
    let mut at = 0;
    while at <= span {
        let x = pixel(at, (0, span), (LEFT, RIGHT));
        canvas.line(&[(x, top), (x, end + 4)], theme::GRID, 1)?;
        let words = label(at, unit, step);
        canvas.text(
            &words,
            (x, end + 13),
            Align::Middle,
            theme::SMALL,
            theme::INK,
        )?;
        at += step;
    }
    axis_line(canvas, end, &format!("{what} ({})", unit.name))
}

fn axis_line(canvas: &Canvas<'_>, end: i32, words: &str) -> Result<(), Error> {
    canvas.line(&[(LEFT, end), (RIGHT, end)], theme::INK, 1)?;
    let middle = ((LEFT + RIGHT) / 2, end + 31);
    canvas.text(words, middle, Align::Middle, theme::TEXT, theme::INK)
}

/// A logarithmic axis of times, from the decade below the shortest but one in a hundred (a hand-over
/// inside one window may take next to no causal time) to the one above the longest.
#[derive(Clone, Copy)]
struct Logarithmic {
    from: u64,
    to: u64,
}

impl Logarithmic {
    fn around(durations: &[u64]) -> Logarithmic {
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
        }
    }

    fn x(self, ns: u64) -> i32 {
        pixel(log2(ns), (log2(self.from), log2(self.to)), (LEFT, RIGHT))
    }

    fn draw(self, canvas: &Canvas<'_>, (top, end): (i32, i32)) -> Result<(), Error> {
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
            canvas.text(
                &words,
                (x, end + 13),
                Align::Middle,
                theme::SMALL,
                theme::INK,
            )?;
            for minor in 2..10 {
                let x = self.x(decade.saturating_mul(minor));
                canvas.line(&[(x, end), (x, end + 3)], theme::INK, 1)?;
            }
            match decade.checked_mul(10) {
                Some(next) if next <= self.to => decade = next,
                _ => break,
            }
        }
        axis_line(canvas, end, "time from begin to first run (logarithmic)")
    }
}

fn cdf(canvas: &Canvas<'_>, report: &MigrationReport, top: i32) -> Result<(), Error> {
    let end = top + CDF_HEIGHT;
    let title = "Share of moves that took at most so long";
    canvas.text(
        title,
        (24, top - HEADING - 12),
        Align::Left,
        theme::TITLE,
        theme::INK,
    )?;
    let axis = Logarithmic::around(&report.durations(None));
    for percent in [0, 25, 50, 75, 90, 100] {
        let y = end - CDF_HEIGHT * percent / 100;
        canvas.line(&[(LEFT, y), (RIGHT, y)], theme::GRID, 1)?;
        let words = format!("{percent} %");
        canvas.text(
            &words,
            (LEFT - 8, y),
            Align::Right,
            theme::SMALL,
            theme::INK,
        )?;
    }
    axis.draw(canvas, (top, end))?;
    let groups = [
        ("all", None),
        ("stopper", Some(Path::Stopper)),
        ("direct", Some(Path::Direct)),
        ("wake", Some(Path::Wake)),
    ];
    let mut key_x = LEFT;
    for ((name, path), colour) in groups.into_iter().zip(theme::LINES) {
        let durations = report.durations(path);
        if durations.is_empty() {
            continue;
        }
        let name = format!("{name}: {}", durations.len());
        key_x += canvas.key(&name, (key_x, top - 16), colour)?;
        canvas.line(&steps(&durations, axis, end), colour, 2)?;
    }
    Ok(())
}

/// The distribution of sorted durations as a line of steps, at most two points a pixel column.
fn steps(durations: &[u64], axis: Logarithmic, end: i32) -> Vec<(i32, i32)> {
    let count = i64::try_from(durations.len()).unwrap_or(i64::MAX);
    let mut points = vec![(LEFT, end)];
    let mut last = (LEFT, end);
    for (at, ns) in (1_i64..).zip(durations) {
        let x = axis.x(*ns);
        let y = end - i32::try_from(i64::from(CDF_HEIGHT) * at / count).unwrap_or(0);
        if x != last.0 {
            points.push((x, last.1));
            points.push((x, y));
        } else if let Some(point) = points.last_mut() {
            point.1 = y;
        }
        last = (x, y);
    }
    points.push((RIGHT, last.1));
    points
}
