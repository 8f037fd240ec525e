//! The drawing paper: rectangles, lines and words at pixels, on plotters' SVG backend.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::RGBColor;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::theme::{self, PAPER};
use crate::Error;

/// plotters gives a font the size of its em box over 1.24, the other way round than everybody else.
const POINTS: f64 = 1.24;

/// Where text stands relative to its point.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Align {
    Left,
    Middle,
    Right,
}

/// What a legend shows before a name.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Mark {
    /// A square of a colour.
    Filled(RGBColor),
    /// The same with an edge, for a colour that is nearly the paper's.
    Outlined(RGBColor),
    /// A line.
    Line(RGBColor),
    /// An arrow.
    Arrow(RGBColor),
}

/// A picture that is being drawn.
pub(super) struct Canvas<'a> {
    area: DrawingArea<SVGBackend<'a>, Shift>,
}

impl<'a> Canvas<'a> {
    /// An empty picture of that size, to be written into `svg`.
    pub(super) fn new(svg: &'a mut String, width: i32, height: i32) -> Result<Canvas<'a>, Error> {
        let size = (width.max(1).unsigned_abs(), height.max(1).unsigned_abs());
        let area = SVGBackend::with_string(svg, size).into_drawing_area();
        area.fill(&PAPER).map_err(failed)?;
        Ok(Canvas { area })
    }

    /// A filled rectangle, at least one pixel wide.
    pub(super) fn rect(
        &self,
        (x0, y0): (i32, i32),
        (x1, y1): (i32, i32),
        colour: RGBColor,
    ) -> Result<(), Error> {
        let corners = [(x0, y0), (x1.max(x0 + 1), y1)];
        self.area
            .draw(&Rectangle::new(corners, colour.filled()))
            .map_err(failed)
    }

    /// A line through points.
    pub(super) fn line(
        &self,
        points: &[(i32, i32)],
        colour: RGBColor,
        width: u32,
    ) -> Result<(), Error> {
        self.area
            .draw(&PathElement::new(
                points.to_vec(),
                colour.stroke_width(width),
            ))
            .map_err(failed)
    }

    /// A filled polygon.
    pub(super) fn polygon(&self, points: &[(i32, i32)], colour: RGBColor) -> Result<(), Error> {
        self.area
            .draw(&Polygon::new(points.to_vec(), colour))
            .map_err(failed)
    }

    /// Words, centred vertically on the point.
    pub(super) fn text(
        &self,
        words: &str,
        at: (i32, i32),
        align: Align,
        size: i32,
        colour: RGBColor,
    ) -> Result<(), Error> {
        let h_pos = match align {
            Align::Left => HPos::Left,
            Align::Middle => HPos::Center,
            Align::Right => HPos::Right,
        };
        let style = TextStyle::from(("sans-serif", f64::from(size) * POINTS))
            .pos(Pos::new(h_pos, VPos::Center))
            .color(&colour);
        self.area.draw(&Text::new(words, at, style)).map_err(failed)
    }

    /// A small square and its name; gives the width used.
    pub(super) fn key(&self, name: &str, at: (i32, i32), colour: RGBColor) -> Result<i32, Error> {
        self.key_of(name, at, Mark::Filled(colour))
    }

    /// A small mark and its name; gives the width used.
    pub(super) fn key_of(&self, name: &str, (x, y): (i32, i32), mark: Mark) -> Result<i32, Error> {
        let corners = ((x, y - 5), (x + 11, y + 6));
        match mark {
            Mark::Filled(colour) => self.rect(corners.0, corners.1, colour)?,
            Mark::Outlined(colour) => {
                self.rect(corners.0, corners.1, theme::FAINT)?;
                self.rect((x + 1, y - 4), (x + 10, y + 5), colour)?;
            }
            Mark::Line(colour) => self.line(&[(x, y), (x + 11, y)], colour, 1)?,
            Mark::Arrow(colour) => {
                self.line(&[(x, y), (x + 11, y)], colour, 1)?;
                self.rect((x - 1, y - 2), (x + 3, y + 2), colour)?;
                self.polygon(&[(x + 12, y), (x + 5, y - 4), (x + 5, y + 4)], colour)?;
            }
        }
        self.text(name, (x + 16, y), Align::Left, theme::SMALL, theme::INK)?;
        Ok(key_width(name))
    }

    /// Marks and names in rows of 20 pixels between two columns, the first row at height `y`.
    pub(super) fn legend(
        &self,
        entries: &[(String, Mark)],
        ends: (i32, i32),
        y: i32,
    ) -> Result<(), Error> {
        for ((name, mark), (x, row)) in entries.iter().zip(legend_places(entries, ends)) {
            self.key_of(name, (x, y + 20 * row), *mark)?;
        }
        Ok(())
    }

    /// Ends the picture.
    pub(super) fn finish(self) -> Result<(), Error> {
        self.area.present().map_err(failed)
    }
}

/// The width of a [`Canvas::key`].
pub(super) fn key_width(name: &str) -> i32 {
    16 + text_width(name, theme::SMALL) + 14
}

/// Number of rows of a [`Canvas::legend`].
pub(super) fn legend_rows(entries: &[(String, Mark)], ends: (i32, i32)) -> i32 {
    legend_places(entries, ends)
        .last()
        .map_or(0, |(_, row)| row + 1)
}

/// Column of pixels and row of each entry.
fn legend_places(entries: &[(String, Mark)], (left, right): (i32, i32)) -> Vec<(i32, i32)> {
    let (mut x, mut row) = (left, 0);
    let mut places = Vec::with_capacity(entries.len());
    for (name, _) in entries {
        if x + key_width(name) > right && x > left {
            (x, row) = (left, row + 1);
        }
        places.push((x, row));
        x += key_width(name);
    }
    places
}

/// A width that the words do not exceed in the usual sans-serif fonts.
pub(super) fn text_width(words: &str, size: i32) -> i32 {
    let letters = i32::try_from(words.chars().count()).unwrap_or(i32::MAX / 64);
    letters * size * 62 / 100 + 1
}

fn failed<E: std::error::Error + Send + Sync>(error: DrawingAreaErrorKind<E>) -> Error {
    Error::Plot(error.to_string())
}
