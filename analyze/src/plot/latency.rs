//! Distributions: for every kind of thing the share that took at most so long, on a logarithmic axis.

use super::canvas::{Align, Canvas, Mark, legend_rows};
use super::scale::{Logarithmic, shares};
use super::theme;
use crate::Error;
use crate::distribution::{Distribution, Group};
use crate::render::text::micros;

const WIDTH: i32 = 1200;
const LEFT: i32 = 84;
const RIGHT: i32 = WIDTH - 40;
const HEIGHT: i32 = 420;
const LEGEND: i32 = 52;

/// Draws the curves; those of the rarest kinds are left out where there are more than colours.
pub fn svg(distribution: &Distribution) -> Result<String, Error> {
    let drawn = distribution.groups.len().min(theme::CURVES.len());
    let (drawn, left_out) = distribution.groups.split_at(drawn);
    let entries: Vec<(String, Mark)> = drawn
        .iter()
        .zip(theme::CURVES)
        .map(|(group, colour)| (name(group), Mark::Filled(colour)))
        .collect();
    let rows = legend_rows(&entries, (LEFT, RIGHT));
    let top = LEGEND + 20 * rows + 8;
    let end = top + HEIGHT;
    let height = end + 88;
    let mut svg = String::new();
    let canvas = Canvas::new(&mut svg, WIDTH, height)?;
    let heading = (LEFT, 24);
    canvas.text(
        &distribution.title,
        heading,
        Align::Left,
        theme::TITLE,
        theme::INK,
    )?;
    canvas.legend(&entries, (LEFT, RIGHT), LEGEND)?;
    shares(&canvas, (LEFT, RIGHT), (top, end))?;
    match drawn.first() {
        None => {
            let words = "there is none in this recording";
            let middle = ((LEFT + RIGHT) / 2, (top + end) / 2 + 10);
            canvas.text(words, middle, Align::Middle, theme::TEXT, theme::FAINT)?;
        }
        Some(all) => {
            let axis = Logarithmic::around(&all.durations_ns, (LEFT, RIGHT));
            axis.draw(&canvas, (top, end), distribution.what)?;
            // The first is drawn last, so that nothing hides it.
            for (group, colour) in drawn.iter().zip(theme::CURVES).rev() {
                let points = axis.steps(&group.durations_ns, (top, end));
                canvas.line(&points, colour, 2)?;
            }
        }
    }
    if !left_out.is_empty() {
        let names: Vec<String> = left_out.iter().map(name).collect();
        let words = format!("not drawn: {}", names.join("; "));
        canvas.text(
            &words,
            (LEFT, end + 52),
            Align::Left,
            theme::SMALL,
            theme::FAINT,
        )?;
    }
    let footer = &distribution.footer;
    let line = format!("{}: {}", footer.recording, footer.stream_sha256);
    canvas.text(
        &line,
        (LEFT, height - 14),
        Align::Left,
        theme::SMALL,
        theme::FAINT,
    )?;
    canvas.finish()?;
    Ok(svg)
}

fn name(group: &Group) -> String {
    let longest = group.durations_ns.last().copied().unwrap_or(0);
    let count = group.durations_ns.len();
    format!("{}: {count}, max {} us", group.name, micros(longest))
}
