//! The waterfall of one stop_machine: a lane per participant, from the queueing to its return.
//!
//! A state is a block of its colour: full height from its enter to its acknowledgement, half of it while
//! the participant polls for the next state. The line below a lane is the time with interrupts off.

use plotters::style::RGBColor;

use super::axis::{label, pixel, unit};
use super::canvas::{Align, Canvas, Mark, legend_rows};
use super::scale::linear;
use super::theme;
use crate::Error;
use crate::names;
use crate::report::{self, Footer};
use crate::stopmachine::{Participant, Request, State};
use crate::stopper::Point;

const WIDTH: i32 = 1200;
const LEFT: i32 = 96;
/// Numbers of a participant stand right of the axis.
const RIGHT: i32 = WIDTH - 180;
const TOP: i32 = 118;

/// Draws a request.
pub fn svg(request: &Request, footer: &Footer) -> Result<String, Error> {
    let participants = &request.participants;
    let lane = if participants.len() <= 16 { 30 } else { 17 };
    let count = i32::try_from(participants.len()).unwrap_or(0);
    let end = TOP + count * lane + 4;
    let entries = entries();
    let skews = skews(request);
    let legend = end + 62;
    let below = legend + 20 * legend_rows(&entries, (24, WIDTH - 24));
    let height = below + 16 * i32::try_from(skews.len()).unwrap_or(0) + 40;
    let mut svg = String::new();
    let canvas = Canvas::new(&mut svg, WIDTH, height)?;
    heading(&canvas, request)?;
    let from = request.queue().time_ns;
    let last = participants.iter().filter_map(last_of).max();
    let span = last.map_or(1, |last| last.saturating_sub(from)).max(1);
    let ends = (LEFT, RIGHT);
    linear(
        &canvas,
        span,
        ends,
        (TOP - 4, end),
        "time since the request was queued",
    )?;
    let x = |point: Point| pixel(point.time_ns.saturating_sub(from), (0, span), ends);
    for (row, participant) in (0..).zip(participants) {
        draw_lane(&canvas, participant, (TOP + row * lane, lane), &x)?;
    }
    canvas.legend(&entries, (24, WIDTH - 24), legend)?;
    for (row, words) in (0..).zip(&skews) {
        let at = (24, below + 16 * row + 4);
        canvas.text(words, at, Align::Left, theme::TEXT, theme::INK)?;
    }
    let line = format!("{}: {}", footer.recording, footer.stream_sha256);
    canvas.text(
        &line,
        (24, height - 14),
        Align::Left,
        theme::SMALL,
        theme::FAINT,
    )?;
    canvas.finish()?;
    Ok(svg)
}

/// The picture of a recording in which nothing was stopped.
pub fn empty(footer: &Footer) -> Result<String, Error> {
    let mut svg = String::new();
    let canvas = Canvas::new(&mut svg, WIDTH, 160)?;
    let words = "stop_machine: no request in this recording";
    canvas.text(words, (24, 24), Align::Left, theme::TITLE, theme::INK)?;
    let line = format!("{}: {}", footer.recording, footer.stream_sha256);
    canvas.text(&line, (24, 146), Align::Left, theme::SMALL, theme::FAINT)?;
    canvas.finish()?;
    Ok(svg)
}

fn heading(canvas: &Canvas<'_>, request: &Request) -> Result<(), Error> {
    let func = request.func.as_deref().unwrap_or("a function");
    let stopped = u32::try_from(request.participants.len()).unwrap_or(u32::MAX);
    let title = format!(
        "stop_machine: {func} with {} stopped",
        report::cpus(stopped)
    );
    canvas.text(&title, (24, 24), Align::Left, theme::TITLE, theme::INK)?;
    let queue = request.queue();
    let asked = format!(
        "asked for by {} in {} on cpu{} at {}.{:09} s, event @{}; {} polls in all",
        names::task(&request.queuer.comm, request.queuer.tid),
        request.caller,
        request.queuer_cpu,
        queue.time_ns / 1_000_000_000,
        queue.time_ns % 1_000_000_000,
        queue.seq,
        request.polls(),
    );
    canvas.text(&asked, (24, 46), Align::Left, theme::TEXT, theme::FAINT)?;
    let how = "full height: from a state's enter to its acknowledgement; half: polling for the next state";
    canvas.text(how, (24, 64), Align::Left, theme::TEXT, theme::FAINT)?;
    let head = |words: &str, x, align| {
        canvas.text(words, (x, TOP - 16), align, theme::SMALL, theme::FAINT)
    };
    head("irqs off (us)", RIGHT + 96, Align::Right)?;
    head("polls", RIGHT + 156, Align::Right)
}

fn last_of(p: &Participant) -> Option<u64> {
    let states = p.states.iter().flatten();
    let seen = states.flat_map(|passage| [Some(passage.enter), passage.ack]);
    let all = seen.chain([Some(p.queue), p.start, p.done]);
    all.flatten().map(|point| point.time_ns).max()
}

fn draw_lane(
    canvas: &Canvas<'_>,
    p: &Participant,
    (top, lane): (i32, i32),
    x: &dyn Fn(Point) -> i32,
) -> Result<(), Error> {
    let (y0, y1) = (top + 2, top + lane - 5);
    let middle = (y0 + y1) / 2;
    let name = match p.active {
        Some(true) => format!("cpu{} runs", p.cpu),
        _ => format!("cpu{}", p.cpu),
    };
    canvas.text(
        &name,
        (LEFT - 8, middle),
        Align::Right,
        theme::SMALL,
        theme::INK,
    )?;
    let start = p.start.map_or(x(p.queue), x);
    if start > x(p.queue) {
        let from = (x(p.queue), middle - 1);
        canvas.rect(from, (start, middle + 1), theme::OTHER)?;
    }
    if let (Some(start), Some(done)) = (p.start, p.done) {
        canvas.rect((x(start), y0), (x(done), y1), theme::IDLE)?;
    }
    let quarter = (y1 - y0) / 4;
    for (at, state) in State::ALL.into_iter().enumerate() {
        let Some(passage) = p.state(state) else { break };
        let colour = theme::STATES[at];
        let next = p.states.get(at + 1).and_then(|next| next.as_ref());
        let seen = x(passage.enter);
        let acked = passage.ack.map_or(seen, x);
        if let (Some(next), Some(ack)) = (next, passage.ack) {
            let low = (x(next.enter), y1 - quarter);
            canvas.rect((x(ack), y0 + quarter), low, colour)?;
        }
        canvas.rect((seen, y0), (acked, y1), colour)?;
    }
    let off = p.state(State::DisableIrq).map(|passage| passage.enter);
    let on = p.state(State::Exit).and_then(|passage| passage.ack);
    if let (Some(off), Some(on)) = (off, on) {
        canvas.rect((x(off), y1 + 1), (x(on), y1 + 3), theme::INK)?;
    }
    let number =
        |words: String, x| canvas.text(&words, (x, middle), Align::Right, theme::SMALL, theme::INK);
    let micros = crate::render::text::micros;
    let irqs_off = p.irqs_off_ns().map_or("-".to_owned(), micros);
    number(irqs_off, RIGHT + 96)?;
    number(p.polls().to_string(), RIGHT + 156)
}

fn entries() -> Vec<(String, Mark)> {
    let state =
        |(state, colour): (State, RGBColor)| (state.name().to_owned(), Mark::Filled(colour));
    let mut entries = vec![("queued, not started".to_owned(), Mark::Line(theme::OTHER))];
    entries.extend(State::ALL.into_iter().zip(theme::STATES).map(state));
    let around = "multi_cpu_stop before and after them";
    entries.push((around.to_owned(), Mark::Outlined(theme::IDLE)));
    entries.push(("interrupts off".to_owned(), Mark::Line(theme::INK)));
    entries
}

/// One sentence a state: how far the participants were apart.
fn skews(request: &Request) -> Vec<String> {
    let sentence = |state: State| {
        let ((first, first_cpu), (last, last_cpu)) = request.enters(state)?;
        let ns = last.time_ns.saturating_sub(first.time_ns);
        let unit = unit(ns);
        Some(format!(
            "{state} skew {} {}: cpu{first_cpu} enters first, cpu{last_cpu} last",
            label(ns, unit, 1),
            unit.name
        ))
    };
    let mut sentences: Vec<String> = State::ALL.into_iter().filter_map(sentence).collect();
    if sentences.is_empty() {
        let stopped = report::cpus(u32::try_from(request.participants.len()).unwrap_or(u32::MAX));
        sentences.push(format!("no state was recorded on {stopped}"));
    }
    sentences
}
