//! Moves: where the time of the slowest went, and how long all of them took.
//!
//! Above, a bar for each of the slowest moves, its six phases in their order; below, the share of moves
//! that took at most so long, for all and for each path.

use plotters::style::RGBColor;

use super::axis::{label, pixel, step, unit};
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
const CDF_HEIGHT: i32 = 260;

/// Draws the `slowest` slowest moves and the distribution of all that ran.
pub fn svg(report: &MigrationReport, slowest: usize) -> Result<String, Error> {
    let moves = report.slowest(slowest);
    let bars_end = TOP + BAR * i32::try_from(moves.len().max(1)).unwrap_or(0);
    let cdf_top = bars_end + 96;
    let height = cdf_top + CDF_HEIGHT + 76;
    let mut svg = String::new();
    let canvas = Canvas::new(&mut svg, WIDTH, height)?;
    heading(&canvas, report, moves.len())?;
    bars(&canvas, &moves, bars_end)?;
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

fn heading(canvas: &Canvas<'_>, report: &MigrationReport, shown: usize) -> Result<(), Error> {
    let all = report.durations(None).len();
    let title =
        format!("Where the time of a move goes: the {shown} slowest of {all} moves that ran");
    canvas.text(&title, (24, 20), Align::Left, theme::TITLE, theme::INK)?;
    let mut x = LEFT;
    for (phase, colour) in Phase::ALL.into_iter().zip(theme::PHASES) {
        x += canvas.key(phase.name(), (x, 50), colour)?;
    }
    Ok(())
}

fn bars(canvas: &Canvas<'_>, moves: &[&Move], end: i32) -> Result<(), Error> {
    let span = moves.first().map_or(1_000, |m| m.total_ns()).max(1);
    time_axis(canvas, span, (TOP, end), "time from begin to first run")?;
    let x = |ns| pixel(ns, (0, span), (LEFT, RIGHT));
    let mut y = TOP;
    for m in moves {
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
        for (ns, colour) in m.phases_ns.into_iter().zip(theme::PHASES) {
            if ns > 0 {
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
    if moves.is_empty() {
        let at = (LEFT + 8, TOP + BAR / 2);
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
fn time_axis(
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
    canvas.line(&[(LEFT, end), (RIGHT, end)], theme::INK, 1)?;
    let words = format!("{what} ({})", unit.name);
    let middle = ((LEFT + RIGHT) / 2, end + 31);
    canvas.text(&words, middle, Align::Middle, theme::TEXT, theme::INK)
}

fn cdf(canvas: &Canvas<'_>, report: &MigrationReport, top: i32) -> Result<(), Error> {
    let end = top + CDF_HEIGHT;
    let title = "Share of moves that took at most so long";
    canvas.text(title, (24, top - 44), Align::Left, theme::TITLE, theme::INK)?;
    let all = report.durations(None);
    let span = all.last().copied().unwrap_or(1_000).max(1);
    for percent in [0, 25, 50, 75, 90, 99, 100] {
        let y = end - CDF_HEIGHT * percent / 100;
        canvas.line(&[(LEFT, y), (RIGHT, y)], theme::GRID, 1)?;
        // 99 and 100 are too close for two labels.
        if percent != 99 {
            let words = format!("{percent} %");
            canvas.text(
                &words,
                (LEFT - 8, y),
                Align::Right,
                theme::SMALL,
                theme::INK,
            )?;
        }
    }
    time_axis(canvas, span, (top, end), "time from begin to first run")?;
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
        key_x += canvas.key(&name, (key_x, top - 18), colour)?;
        steps(canvas, &durations, span, end, colour)?;
    }
    Ok(())
}

/// The distribution of sorted durations as a line of steps.
fn steps(
    canvas: &Canvas<'_>,
    durations: &[u64],
    span: u64,
    end: i32,
    colour: RGBColor,
) -> Result<(), Error> {
    let count = i64::try_from(durations.len()).unwrap_or(i64::MAX);
    let mut points = vec![(LEFT, end)];
    for (at, ns) in (1_i64..).zip(durations) {
        let x = pixel(*ns, (0, span), (LEFT, RIGHT));
        let y = end - i32::try_from(i64::from(CDF_HEIGHT) * at / count).unwrap_or(0);
        let (last_x, last_y) = points[points.len() - 1];
        if x != last_x {
            points.push((x, last_y));
        }
        match points.last_mut() {
            // Steps within one pixel column are one.
            Some(last) if last.0 == x && points_rise(last_y, y) => points.push((x, y)),
            _ => {}
        }
    }
    points.push((RIGHT, points[points.len() - 1].1));
    canvas.line(&points, colour, 2)
}

fn points_rise(from: i32, to: i32) -> bool {
    to < from
}
