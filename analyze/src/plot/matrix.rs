//! The migration matrix: a square of CPUs, from the one at the left to the one at the top.
//!
//! The colour of a cell is its count, in steps of a factor of two; up to 16 CPUs the count stands in it.
//! What left a CPU is at the right end of its row, what came to it below its column.

use plotters::style::RGBColor;

use super::canvas::{Align, Canvas, Mark, legend_rows};
use super::theme;
use crate::Error;
use crate::migration::matrix::Matrix;
use crate::report;

const LEFT: i32 = 88;
const TOP: i32 = 104;
/// Room at the right and below for the sums.
const SUMS: i32 = 64;
/// The narrowest picture: the heading and the line at the bottom have to fit.
const WIDTH_MIN: i32 = 760;

/// Draws the matrix.
pub fn svg(matrix: &Matrix) -> Result<String, Error> {
    let cpus = i32::try_from(matrix.cpus).unwrap_or(0);
    let cell = match matrix.cpus {
        0..=8 => 56,
        9..=16 => 40,
        17..=32 => 24,
        _ => 14,
    };
    let side = cell * cpus;
    let width = (LEFT + side + SUMS + 24).max(WIDTH_MIN);
    let entries = entries(matrix.most());
    let ends = (24, width - 24);
    let legend = TOP + side + SUMS;
    let height = legend + 20 * legend_rows(&entries, ends) + 40;
    let mut svg = String::new();
    let canvas = Canvas::new(&mut svg, width, height)?;
    let cpus_words = report::cpus(matrix.cpus);
    let title = format!("Moves from CPU to CPU: {} on {cpus_words}", matrix.total());
    canvas.text(&title, (24, 24), Align::Left, theme::TITLE, theme::INK)?;
    let how = "rows: the CPU that was left; columns: the CPU that was gone to; numbers: moves";
    canvas.text(how, (24, 46), Align::Left, theme::TEXT, theme::FAINT)?;
    for src in 0..matrix.cpus {
        for dst in 0..matrix.cpus {
            draw_cell(&canvas, matrix, (src, dst), cell)?;
        }
    }
    labels(&canvas, matrix, cell)?;
    canvas.legend(&entries, ends, legend + 8)?;
    let line = format!(
        "{}: {}",
        matrix.footer.recording, matrix.footer.stream_sha256
    );
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

fn at(cpu: u32, cell: i32) -> i32 {
    i32::try_from(cpu).unwrap_or(0) * cell
}

fn draw_cell(
    canvas: &Canvas<'_>,
    matrix: &Matrix,
    (src, dst): (u32, u32),
    cell: i32,
) -> Result<(), Error> {
    let (x, y) = (LEFT + at(dst, cell), TOP + at(src, cell));
    let count = matrix.count(src, dst);
    let colour = match src == dst {
        true => theme::GRID,
        false => colour(count),
    };
    canvas.rect((x, y), (x + cell - 1, y + cell - 1), colour)?;
    if count > 0 && matrix.cpus <= 16 {
        let middle = (x + cell / 2, y + cell / 2);
        let ink = theme::text_on(colour);
        canvas.text(&count.to_string(), middle, Align::Middle, theme::SMALL, ink)?;
    }
    Ok(())
}

/// Names of rows and columns, as many as there is room for, and the sums.
fn labels(canvas: &Canvas<'_>, matrix: &Matrix, cell: i32) -> Result<(), Error> {
    let side = at(matrix.cpus, cell);
    let words = |words: &str, at, align| canvas.text(words, at, align, theme::SMALL, theme::INK);
    words("from \\ to", (LEFT - 12, TOP - 16), Align::Right)?;
    words("left", (LEFT + side + 10, TOP - 16), Align::Left)?;
    words("came", (LEFT - 12, TOP + side + 16), Align::Right)?;
    // A number of three digits is 24 pixels wide, a line 14 high.
    let (every_row, every_column) = (1, (30 / cell + 1).max(1).unsigned_abs());
    let digits = matrix.total().to_string().len();
    let sums_fit = i32::try_from(digits).unwrap_or(9) * 8 < cell;
    for cpu in (0..matrix.cpus).step_by(every_row) {
        let y = TOP + at(cpu, cell) + cell / 2;
        words(&format!("cpu{cpu}"), (LEFT - 12, y), Align::Right)?;
        let left = matrix.left(cpu).to_string();
        words(&left, (LEFT + side + 10, y), Align::Left)?;
    }
    for cpu in (0..matrix.cpus).step_by(every_column as usize) {
        let x = LEFT + at(cpu, cell) + cell / 2;
        let name = match cell > 40 {
            true => format!("cpu{cpu}"),
            false => cpu.to_string(),
        };
        words(&name, (x, TOP - 16), Align::Middle)?;
    }
    for cpu in 0..matrix.cpus {
        let x = LEFT + at(cpu, cell) + cell / 2;
        let came = matrix.came(cpu);
        if sums_fit {
            words(&came.to_string(), (x, TOP + side + 16), Align::Middle)?;
        } else {
            // No room for numbers: the sum's colour.
            let (x, y) = (LEFT + at(cpu, cell), TOP + side + 9);
            canvas.rect((x, y), (x + cell - 1, y + cell - 1), colour(came))?;
        }
    }
    Ok(())
}

/// 0 has none; then a colour for 1, 2 to 3, 4 to 7 and so on.
fn colour(count: u64) -> RGBColor {
    match count.checked_ilog2() {
        None => theme::PAPER_CELL,
        Some(step) => theme::COUNTS[(step as usize).min(theme::COUNTS.len() - 1)],
    }
}

fn entries(most: u64) -> Vec<(String, Mark)> {
    let mut entries = vec![("0 moves".to_owned(), Mark::Outlined(theme::PAPER_CELL))];
    let last = theme::COUNTS.len() - 1;
    for (step, colour) in theme::COUNTS.into_iter().enumerate() {
        let from = 1_u64 << step;
        if from > most {
            break;
        }
        let name = match (step, step == last) {
            (0, _) => "1".to_owned(),
            (_, true) => format!("{from} and more"),
            _ => format!("{from} to {}", 2 * from - 1),
        };
        entries.push((name, Mark::Outlined(colour)));
    }
    entries
}
