//! The timeline: a lane per CPU, a box per slice, an arrow per move.
//!
//! A box is labelled with its task where the words fit into it, so labels never overlap; every task is
//! in the legend too. Where slices are narrower than a pixel their shares of the time are drawn, and
//! moves that lie too close to be told apart are only counted; the heading says both.

use std::collections::BTreeMap;

use plotters::style::RGBColor;

use super::axis::{label, pixel, step, unit};
use super::canvas::{Align, Canvas, Mark, legend_rows, text_width};
use super::condense::{self, BIN, Scale};
use super::theme;
use crate::Error;
use crate::names;
use crate::timeline::{Arrow, Slice, Timeline, Who};

const WIDTH: i32 = 1200;
const LEFT: i32 = 64;
const RIGHT: i32 = WIDTH - 24;
const TOP: i32 = 82;
/// Height of a lane, and of the gap between two, where arrows can be seen.
const LANE: i32 = 26;
const GAP: i32 = 14;

/// Where everything goes.
struct Layout<'t> {
    timeline: &'t Timeline,
    lanes_end: i32,
}

impl Layout<'_> {
    fn x(&self, ns: u64) -> i32 {
        pixel(
            ns,
            (self.timeline.from_ns, self.timeline.to_ns),
            (LEFT, RIGHT),
        )
    }

    fn scale(&self) -> Scale {
        Scale {
            from_ns: self.timeline.from_ns,
            to_ns: self.timeline.to_ns,
            width: RIGHT - LEFT,
        }
    }

    fn lane(&self, cpu: u32) -> i32 {
        TOP + i32::try_from(cpu).unwrap_or(0) * (LANE + GAP)
    }
}

/// Draws the timeline.
pub fn svg(timeline: &Timeline) -> Result<String, Error> {
    let colours = Colours::of(timeline);
    let lanes_end = TOP + i32::try_from(timeline.cpus).unwrap_or(0) * (LANE + GAP) - GAP;
    let layout = Layout {
        timeline,
        lanes_end,
    };
    let rows = legend_rows(&colours.entries, (LEFT, RIGHT));
    let height = lanes_end + 48 + 20 * rows + 28;
    let mut svg = String::new();
    let canvas = Canvas::new(&mut svg, WIDTH, height)?;
    let column = |arrow: &Arrow| layout.x(arrow.migrate_ns) - LEFT;
    let (arrows, left_out) = condense::arrows(&timeline.arrows, &column);
    heading(&canvas, timeline)?;
    notes(&canvas, &layout, left_out)?;
    axis(&canvas, &layout)?;
    lanes(&canvas, &layout, &colours)?;
    for arrow in arrows {
        draw_arrow(&canvas, &layout, arrow)?;
    }
    // Words last: an arrow may cross a box, and the name in it is still to be read.
    for slice in &timeline.slices {
        draw_name(&canvas, &layout, slice, colours.of_slice(slice))?;
    }
    canvas.legend(&colours.entries, (LEFT, RIGHT), layout.lanes_end + 56)?;
    let line = format!(
        "{}: {}",
        timeline.footer.recording, timeline.footer.stream_sha256
    );
    let at = (LEFT, height - 14);
    canvas.text(&line, at, Align::Left, theme::SMALL, theme::FAINT)?;
    canvas.finish()?;
    Ok(svg)
}

fn heading(canvas: &Canvas<'_>, timeline: &Timeline) -> Result<(), Error> {
    let title = format!("Who ran where, {}", crate::report::cpus(timeline.cpus));
    canvas.text(&title, (LEFT, 20), Align::Left, theme::TITLE, theme::INK)?;
    let why = format!(
        "{}; virtual time from {}.{:09} s",
        timeline.why,
        timeline.from_ns / 1_000_000_000,
        timeline.from_ns % 1_000_000_000
    );
    canvas.text(&why, (LEFT, 40), Align::Left, theme::TEXT, theme::FAINT)
}

/// What is not drawn as it is.
fn notes(canvas: &Canvas<'_>, layout: &Layout<'_>, left_out: usize) -> Result<(), Error> {
    let slices = layout.timeline.slices.iter();
    let narrow = slices
        .filter(|slice| layout.scale().is_narrow(slice))
        .count();
    let mut notes = Vec::new();
    if narrow > 0 {
        let slices = if narrow == 1 { "slice" } else { "slices" };
        notes.push(format!(
            "condensed: {narrow} {slices} narrower than a pixel, drawn as shares of {BIN} pixel columns"
        ));
    }
    if left_out > 0 {
        notes.push(format!(
            "{left_out} moves not drawn: zoom in with --from/--to"
        ));
    }
    if notes.is_empty() {
        return Ok(());
    }
    let at = (LEFT, 57);
    canvas.text(
        &notes.join("; "),
        at,
        Align::Left,
        theme::TEXT,
        theme::FAINT,
    )
}

fn axis(canvas: &Canvas<'_>, layout: &Layout<'_>) -> Result<(), Error> {
    let Timeline { from_ns, to_ns, .. } = *layout.timeline;
    let span = to_ns - from_ns;
    let (unit, step) = (unit(span), step(span, 12));
    let bottom = layout.lanes_end + 6;
    let mut at = 0;
    while at <= span {
        let x = layout.x(from_ns + at);
        canvas.line(&[(x, TOP - 6), (x, bottom)], theme::GRID, 1)?;
        let words = label(at, unit, step);
        canvas.text(
            &words,
            (x, bottom + 10),
            Align::Middle,
            theme::SMALL,
            theme::INK,
        )?;
        at += step;
    }
    canvas.line(&[(LEFT, bottom), (RIGHT, bottom)], theme::INK, 1)?;
    let words = format!("time since the left edge ({})", unit.name);
    let middle = ((LEFT + RIGHT) / 2, bottom + 27);
    canvas.text(&words, middle, Align::Middle, theme::TEXT, theme::INK)
}

fn lanes(canvas: &Canvas<'_>, layout: &Layout<'_>, colours: &Colours) -> Result<(), Error> {
    for cpu in 0..layout.timeline.cpus {
        let y = layout.lane(cpu);
        canvas.rect((LEFT, y), (RIGHT, y + LANE), theme::IDLE)?;
        let name = format!("cpu{cpu}");
        let at = (LEFT - 8, y + LANE / 2);
        canvas.text(&name, at, Align::Right, theme::TEXT, theme::INK)?;
    }
    let slices = layout.timeline.slices.iter();
    for slice in slices.filter(|slice| !layout.scale().is_narrow(slice)) {
        draw_slice(canvas, layout, slice, colours.of_slice(slice))?;
    }
    for cpu in 0..layout.timeline.cpus {
        draw_condensed(canvas, layout, colours, cpu)?;
    }
    Ok(())
}

/// The bins of a lane that have slices narrower than a pixel, over the boxes that reach into them.
fn draw_condensed(
    canvas: &Canvas<'_>,
    layout: &Layout<'_>,
    colours: &Colours,
    cpu: u32,
) -> Result<(), Error> {
    let slices = layout.timeline.slices.iter().filter(|s| s.cpu == cpu);
    let bins = condense::bins(slices, layout.scale(), LANE, &|slice| colours.layer(slice));
    let y = layout.lane(cpu);
    for bin in &bins {
        let x = LEFT + bin.x;
        canvas.rect((x, y), (x + BIN, y + LANE), theme::IDLE)?;
    }
    for (layer, (x0, top), (x1, end)) in condense::areas(&bins) {
        let corners = ((LEFT + x0, y + top), (LEFT + x1, y + end));
        canvas.rect(corners.0, corners.1, colours.of_layer(layer))?;
    }
    Ok(())
}

fn draw_slice(
    canvas: &Canvas<'_>,
    layout: &Layout<'_>,
    slice: &Slice,
    colour: RGBColor,
) -> Result<(), Error> {
    let y = layout.lane(slice.cpu);
    let (x0, x1) = (layout.x(slice.from_ns), layout.x(slice.to_ns));
    canvas.rect((x0, y), (x1, y + LANE), colour)?;
    if slice.who == Who::NotStarted {
        let middle = y + LANE / 2;
        canvas.line(&[(x0, middle), (x1, middle)], theme::OTHER, 1)?;
    } else if x1 - x0 > 3 {
        // An edge, so that two slices of one colour are two.
        canvas.line(&[(x0, y), (x0, y + LANE)], theme::PAPER, 1)?;
    }
    Ok(())
}

/// The name of a slice's task, as long a form as fits into its box.
fn draw_name(
    canvas: &Canvas<'_>,
    layout: &Layout<'_>,
    slice: &Slice,
    colour: RGBColor,
) -> Result<(), Error> {
    let y = layout.lane(slice.cpu);
    let (x0, x1) = (layout.x(slice.from_ns), layout.x(slice.to_ns));
    let names = match slice.who {
        Who::NotStarted => return Ok(()),
        Who::Boot => vec![format!("boot ({})", slice.comm), "boot".to_owned()],
        Who::Task | Who::Stopper => {
            vec![names::task(&slice.comm, slice.tid), slice.comm.clone()]
        }
    };
    let fits = names
        .iter()
        .find(|name| text_width(name, theme::SMALL) + 8 <= x1 - x0);
    match fits {
        None => Ok(()),
        Some(name) => {
            let at = ((x0 + x1) / 2, y + LANE / 2);
            canvas.text(
                name,
                at,
                Align::Middle,
                theme::SMALL,
                theme::text_on(colour),
            )
        }
    }
}

/// From where the task changed its CPU to where it ran, with a head in the lane of the destination.
fn draw_arrow(canvas: &Canvas<'_>, layout: &Layout<'_>, arrow: &Arrow) -> Result<(), Error> {
    let down = arrow.dst_cpu > arrow.src_cpu;
    let (src, dst) = (layout.lane(arrow.src_cpu), layout.lane(arrow.dst_cpu));
    let (y0, y1) = match down {
        true => (src + LANE, dst),
        false => (src, dst + LANE),
    };
    let (x0, x1) = (layout.x(arrow.migrate_ns), layout.x(arrow.end_ns));
    let Timeline { from_ns, to_ns, .. } = *layout.timeline;
    canvas.line(&[(x0, y0), (x1, y1)], theme::INK, 1)?;
    if arrow.migrate_ns >= from_ns {
        canvas.rect((x0 - 2, y0 - 2), (x0 + 2, y0 + 2), theme::INK)?;
    }
    if arrow.end_ns <= to_ns {
        let back = if down { -7 } else { 7 };
        canvas.polygon(
            &[(x1, y1), (x1 - 4, y1 + back), (x1 + 4, y1 + back)],
            theme::INK,
        )?;
    }
    Ok(())
}

/// Which task has which colour: the busiest in the window get the clearest ones.
struct Colours {
    /// By pid, the place in the palette.
    tasks: BTreeMap<i32, usize>,
    entries: Vec<(String, Mark)>,
}

impl Colours {
    fn of(timeline: &Timeline) -> Colours {
        let mut busy: BTreeMap<i32, (u64, &str)> = BTreeMap::new();
        let of = |who| timeline.slices.iter().filter(move |s| s.who == who);
        for slice in of(Who::Task) {
            let entry = busy.entry(slice.tid).or_insert((0, &slice.comm));
            entry.0 += slice.to_ns - slice.from_ns;
        }
        let mut order: Vec<(i32, u64, &str)> = busy
            .into_iter()
            .map(|(tid, (ns, comm))| (tid, ns, comm))
            .collect();
        order.sort_by_key(|(tid, ns, _)| (std::cmp::Reverse(*ns), *tid));
        let mut colours = Colours {
            tasks: BTreeMap::new(),
            entries: vec![("stopper (migration/N)".into(), Mark::Filled(theme::STOPPER))],
        };
        for (at, (tid, _, comm)) in order.iter().take(theme::TASKS.len()).enumerate() {
            colours.tasks.insert(*tid, at);
            let mark = Mark::Filled(theme::TASKS[at]);
            colours.entries.push((names::task(comm, *tid), mark));
        }
        if order.len() > theme::TASKS.len() {
            let others = order.len() - theme::TASKS.len();
            colours
                .entries
                .push((format!("{others} other tasks"), Mark::Filled(theme::OTHER)));
        }
        if of(Who::Boot).next().is_some() {
            let mark = Mark::Outlined(theme::BOOT);
            colours.entries.push(("boot (swapper)".into(), mark));
        }
        if of(Who::NotStarted).next().is_some() {
            let mark = Mark::Line(theme::OTHER);
            colours.entries.push(("not started".into(), mark));
        }
        colours
            .entries
            .push(("idle".into(), Mark::Outlined(theme::IDLE)));
        if !timeline.arrows.is_empty() {
            colours.entries.push((
                "arrow: a move, from the change of its CPU to its run".into(),
                Mark::Arrow(theme::INK),
            ));
        }
        colours
    }

    /// The order of the pile in a condensed bin: the stopper at the top, then tasks, the busiest first.
    fn layer(&self, slice: &Slice) -> usize {
        let others = theme::TASKS.len() + 1;
        match slice.who {
            Who::Stopper => 0,
            Who::Task => self.tasks.get(&slice.tid).map_or(others, |at| at + 1),
            Who::Boot => others + 1,
            Who::NotStarted => others + 2,
        }
    }

    fn of_layer(&self, layer: usize) -> RGBColor {
        match layer.checked_sub(1) {
            None => theme::STOPPER,
            Some(task) if task < theme::TASKS.len() => theme::TASKS[task],
            Some(rest) => {
                [theme::OTHER, theme::BOOT, theme::PAPER][(rest - theme::TASKS.len()).min(2)]
            }
        }
    }

    fn of_slice(&self, slice: &Slice) -> RGBColor {
        self.of_layer(self.layer(slice))
    }
}
