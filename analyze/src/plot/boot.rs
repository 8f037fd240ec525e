//! The boot as a chart: a bar per step of the kernel, indented as it was called, and a row per thread that it
//! makes, thin from its creation on and thick while it is on a CPU.

use super::axis::{label, pixel, unit};
use super::canvas::{Align, Canvas, Mark, legend_rows, text_width};
use super::scale::linear;
use super::theme;
use crate::Error;
use crate::boot::chart::{Chart, Step, Thread};
use crate::report;

const WIDTH: i32 = 1200;
/// Names of threads stand left of the axis.
const LEFT: i32 = 190;
const RIGHT: i32 = WIDTH - 24;
const TOP: i32 = 86;
const ROW: i32 = 18;
/// Between the steps and the threads.
const GAP: i32 = 30;
/// Threads that are drawn; the heading counts the others.
const MOST: usize = 160;

/// Draws the chart.
pub fn svg(chart: &Chart) -> Result<String, Error> {
    let drawn = &chart.threads[..chart.threads.len().min(MOST)];
    let steps_end = TOP + ROW * rows(chart.steps.len());
    let threads_top = steps_end + GAP;
    let end = threads_top + ROW * rows(drawn.len()) + 4;
    let entries = entries();
    let legend = end + 56;
    let height = legend + 20 * legend_rows(&entries, (24, WIDTH - 24)) + 28;
    let mut svg = String::new();
    let canvas = Canvas::new(&mut svg, WIDTH, height)?;
    heading(&canvas, chart, drawn.len())?;
    let ends = (LEFT, RIGHT);
    let what = "time since the machine was switched on";
    linear(&canvas, chart.to_ns, ends, (TOP - 6, end), what)?;
    let boot = x(chart, chart.boot_ns);
    canvas.line(&[(boot, TOP - 6), (boot, end)], theme::FAINT, 1)?;
    for (row, step) in (0..).zip(&chart.steps) {
        draw_step(&canvas, chart, step, TOP + ROW * row)?;
    }
    let words = format!("threads, {} of them", chart.threads.len());
    let above = (24, threads_top - 12);
    canvas.text(&words, above, Align::Left, theme::SMALL, theme::FAINT)?;
    for (row, thread) in (0..).zip(drawn) {
        draw_thread(&canvas, chart, thread, threads_top + ROW * row)?;
    }
    canvas.legend(&entries, (24, WIDTH - 24), legend)?;
    let footer = &chart.footer;
    let line = format!("{}: {}", footer.recording, footer.stream_sha256);
    let at = (24, height - 14);
    canvas.text(&line, at, Align::Left, theme::SMALL, theme::FAINT)?;
    canvas.finish()?;
    Ok(svg)
}

fn rows(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX / (4 * ROW))
}

fn x(chart: &Chart, ns: u64) -> i32 {
    pixel(ns, (0, chart.to_ns), (LEFT, RIGHT))
}

fn heading(canvas: &Canvas<'_>, chart: &Chart, drawn: usize) -> Result<(), Error> {
    let unit = unit(chart.boot_ns);
    let time = format!("{} {}", label(chart.boot_ns, unit, 1), unit.name);
    let title = format!("The boot of {} in {time}", report::cpus(chart.cpus));
    canvas.text(&title, (24, 24), Align::Left, theme::TITLE, theme::INK)?;
    let mut how = format!(
        "it ends where {}; a step reaches to the next one that it did not call",
        chart.why
    );
    if drawn < chart.threads.len() {
        let hidden = chart.threads.len() - drawn;
        how.push_str(&format!("; {hidden} later threads are not drawn"));
    }
    canvas.text(&how, (24, 46), Align::Left, theme::TEXT, theme::FAINT)?;
    let steps = (24, TOP - 12);
    canvas.text("steps", steps, Align::Left, theme::SMALL, theme::FAINT)
}

/// A bar, and the function's name in it or beside it.
fn draw_step(canvas: &Canvas<'_>, chart: &Chart, step: &Step, top: i32) -> Result<(), Error> {
    let (y0, y1, middle) = (top + 2, top + ROW - 2, top + ROW / 2);
    let (x0, x1) = (x(chart, step.from_ns), x(chart, step.to_ns));
    let colour = theme::DEPTHS[(step.depth as usize).min(theme::DEPTHS.len() - 1)];
    canvas.rect((x0, y0), (x1, y1), colour)?;
    let cpu = format!("cpu{}", step.cpu);
    let indent = 24 + 10 * i32::try_from(step.depth).unwrap_or(0).min(8);
    canvas.text(
        &cpu,
        (indent, middle),
        Align::Left,
        theme::SMALL,
        theme::FAINT,
    )?;
    let width = text_width(&step.name, theme::SMALL);
    let inside = width + 8 <= x1.max(x0 + 1) - x0;
    let (at, align, ink) = if inside {
        ((x0 + 4, middle), Align::Left, theme::text_on(colour))
    } else if x1 + 6 + width <= RIGHT {
        ((x1.max(x0 + 1) + 5, middle), Align::Left, theme::INK)
    } else {
        ((x0 - 5, middle), Align::Right, theme::INK)
    };
    canvas.text(&step.name, at, align, theme::SMALL, ink)
}

fn draw_thread(canvas: &Canvas<'_>, chart: &Chart, thread: &Thread, top: i32) -> Result<(), Error> {
    let middle = top + ROW / 2;
    let name = (LEFT - 8, middle);
    canvas.text(&thread.name, name, Align::Right, theme::SMALL, theme::INK)?;
    let life = (x(chart, thread.created_ns), x(chart, thread.to_ns));
    canvas.rect((life.0, middle - 1), (life.1, middle + 1), theme::OTHER)?;
    let colour = if thread.stopper {
        theme::STOPPER
    } else {
        theme::RUNNING
    };
    for (from, to) in &thread.slices {
        let corners = ((x(chart, *from), top + 3), (x(chart, *to), top + ROW - 3));
        canvas.rect(corners.0, corners.1, colour)?;
    }
    Ok(())
}

fn entries() -> Vec<(String, Mark)> {
    let step = |words: &str, at: usize| (words.to_owned(), Mark::Filled(theme::DEPTHS[at]));
    vec![
        step("a step of the boot", 0),
        step("called from it", 1),
        (
            "a thread from its creation".to_owned(),
            Mark::Line(theme::OTHER),
        ),
        ("on a CPU".to_owned(), Mark::Filled(theme::RUNNING)),
        (
            "a stopper on its CPU".to_owned(),
            Mark::Filled(theme::STOPPER),
        ),
        ("the end of the boot".to_owned(), Mark::Line(theme::FAINT)),
    ]
}
