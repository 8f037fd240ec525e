//! Moves: where the time of the slowest went, and how long all of them took.
//!
//! Three parts, one below the other: a bar for each of the slowest moves, its six phases in their
//! order; the same without first-run, for the moves whose hand-over took longest, because the wait in
//! the destination's queue dwarfs everything on a loaded machine; and the share of moves that took at
//! most so long, for all and for each path, on a logarithmic axis.

use super::axis::pixel;
use super::canvas::{Align, Canvas};
use super::scale::{self, Logarithmic};
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
    scale::linear(
        canvas,
        span,
        (LEFT, RIGHT),
        (part.top, part.end()),
        part.axis,
    )?;
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
    let axis = Logarithmic::around(&report.durations(None), (LEFT, RIGHT));
    scale::shares(canvas, (LEFT, RIGHT), (top, end))?;
    axis.draw(canvas, (top, end), "time from begin to first run")?;
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
        canvas.line(&axis.steps(&durations, (top, end)), colour, 2)?;
    }
    Ok(())
}
