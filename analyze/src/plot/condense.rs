//! What to draw where there is more than there are pixels.
//!
//! A slice narrower than a pixel cannot be a box: a minimum width would make short slices (stoppers)
//! look like most of a run, and leaving it out would hide it. The lane is split in bins of some pixel
//! columns instead, and a bin with such a slice shows the share of time of each task as rows, one above
//! the other. Times are integers throughout, so the shares are exact up to the height of a row.

use std::collections::BTreeMap;

use crate::timeline::{Arrow, Slice};

/// Pixel columns of a bin.
pub(super) const BIN: i32 = 4;
/// So many arrows are drawn wherever they are.
const ARROWS: usize = 60;
/// More arrows than these in one cell are not drawn when there are more than [`ARROWS`].
const ARROWS_A_CELL: usize = 3;
/// Pixel columns of a cell of arrows.
const CELL: i32 = 24;

/// The time of the window and the pixel columns it is drawn in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    pub(super) from_ns: u64,
    pub(super) to_ns: u64,
    /// Number of columns.
    pub(super) width: i32,
}

impl Scale {
    fn span(self) -> u128 {
        u128::from(self.to_ns.saturating_sub(self.from_ns).max(1))
    }

    /// Whether a slice is narrower than a pixel.
    pub(super) fn is_narrow(self, slice: &Slice) -> bool {
        let ns = u128::from(slice.to_ns.saturating_sub(slice.from_ns));
        ns * u128::from(self.width.unsigned_abs()) < self.span()
    }

    fn bins(self) -> u128 {
        u128::from((self.width / BIN).max(1).unsigned_abs())
    }

    /// A slice in units of which a bin has [`Scale::span`], and the bins it touches.
    fn place(self, slice: &Slice) -> (u128, u128, std::ops::RangeInclusive<u128>) {
        let at = |ns: u64| u128::from(ns.saturating_sub(self.from_ns)) * self.bins();
        let (from, to) = (at(slice.from_ns), at(slice.to_ns));
        let last = to.saturating_sub(1).max(from) / self.span();
        (from, to, from / self.span()..=last.min(self.bins() - 1))
    }
}

/// A bin, with the rows of each layer that is in it, from the top.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Bin {
    /// The first pixel column, counted from the left end of the lane.
    pub(super) x: i32,
    /// Layer, first row, row after the last.
    pub(super) rows: Vec<(usize, i32, i32)>,
}

/// The bins of one lane that have a slice narrower than a pixel. `layer` says where in the pile a slice
/// belongs, 0 at the top; what is left of the `height` rows at the bottom is idle.
pub(super) fn bins<'s>(
    slices: impl Iterator<Item = &'s Slice> + Clone,
    scale: Scale,
    height: i32,
    layer: &dyn Fn(&Slice) -> usize,
) -> Vec<Bin> {
    let mut shares: BTreeMap<u128, BTreeMap<usize, u128>> = BTreeMap::new();
    for slice in slices.clone().filter(|slice| scale.is_narrow(slice)) {
        for bin in scale.place(slice).2 {
            shares.entry(bin).or_default();
        }
    }
    for slice in slices {
        let (from, to, touched) = scale.place(slice);
        for (bin, layers) in shares.range_mut(touched) {
            let begin = bin * scale.span();
            let time = to.min(begin + scale.span()).saturating_sub(from.max(begin));
            *layers.entry(layer(slice)).or_default() += time;
        }
    }
    let shares = shares.into_iter();
    shares
        .map(|(bin, layers)| Bin {
            x: i32::try_from(bin).unwrap_or(0) * BIN,
            rows: rows(&layers, scale.span(), height),
        })
        .collect()
}

/// Borders are rounded, not heights: the errors of many thin layers do not add up.
fn rows(layers: &BTreeMap<usize, u128>, whole: u128, height: i32) -> Vec<(usize, i32, i32)> {
    let rows = u128::from(height.unsigned_abs());
    let border = |time: u128| i32::try_from((time * rows + whole / 2) / whole).unwrap_or(0);
    let mut before = 0;
    let mut split = Vec::new();
    for (layer, time) in layers {
        let (top, end) = (border(before), border(before + time));
        before += time;
        if end > top {
            split.push((*layer, top, end));
        }
    }
    split
}

/// Rectangles of bins: neighbours with the same rows of a layer are one. Layer, (x, row), (x, row) after.
pub(super) type Area = (usize, (i32, i32), (i32, i32));

pub(super) fn areas(bins: &[Bin]) -> Vec<Area> {
    let mut open: BTreeMap<usize, Area> = BTreeMap::new();
    let mut areas = Vec::new();
    for bin in bins {
        for &(layer, top, end) in &bin.rows {
            let area = (layer, (bin.x, top), (bin.x + BIN, end));
            match open.get_mut(&layer) {
                Some(last) if last.1.1 == top && last.2 == (bin.x, end) => last.2.0 = bin.x + BIN,
                _ => areas.extend(open.insert(layer, area)),
            }
        }
    }
    areas.extend(open.into_values());
    areas.sort_unstable();
    areas
}

/// The arrows that can be told apart, by their pixel column, and the number of the others.
pub(super) fn arrows<'t>(
    arrows: &'t [Arrow],
    x: &dyn Fn(&Arrow) -> i32,
) -> (Vec<&'t Arrow>, usize) {
    if arrows.len() <= ARROWS {
        return (arrows.iter().collect(), 0);
    }
    let mut cells: BTreeMap<i32, usize> = BTreeMap::new();
    for arrow in arrows {
        *cells.entry(x(arrow) / CELL).or_default() += 1;
    }
    let drawn: Vec<&Arrow> = arrows
        .iter()
        .filter(|arrow| cells[&(x(arrow) / CELL)] <= ARROWS_A_CELL)
        .collect();
    let left_out = arrows.len() - drawn.len();
    (drawn, left_out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migration::Path;
    use crate::timeline::Who;

    const SCALE: Scale = Scale {
        from_ns: 1_000,
        to_ns: 9_000,
        width: 8,
    };

    fn slice(from_ns: u64, to_ns: u64, who: Who) -> Slice {
        Slice {
            cpu: 0,
            from_ns,
            to_ns,
            tid: 1,
            comm: "a".into(),
            who,
        }
    }

    fn layer(slice: &Slice) -> usize {
        usize::from(slice.who != Who::Stopper)
    }

    /// Two bins of 4,000 ns. In the first a stopper has 1,000 ns in two pieces and a task 2,000 ns; the
    /// second has only wide slices and stays boxes.
    #[test]
    fn shares_are_those_of_time() {
        let slices = [
            slice(1_000, 1_500, Who::Stopper),
            slice(1_500, 3_500, Who::Task),
            slice(3_500, 4_000, Who::Stopper),
            slice(5_000, 8_000, Who::Stopper),
        ];
        let bins = bins(slices.iter(), SCALE, 20, &layer);
        let rows = vec![(0, 0, 5), (1, 5, 15)];
        assert_eq!(bins, [Bin { x: 0, rows }]);
    }

    /// However many short slices there are, the stopper has the rows of its time.
    #[test]
    fn many_short_slices_do_not_grow() {
        let slices: Vec<Slice> = (0..80)
            .flat_map(|i| {
                let at = 1_000 + i * 100;
                [
                    slice(at, at + 5, Who::Stopper),
                    slice(at + 5, at + 100, Who::Task),
                ]
            })
            .collect();
        let bins = bins(slices.iter(), SCALE, 20, &layer);
        let rows = vec![(0, 0, 1), (1, 1, 20)];
        let bin = |x| Bin {
            x,
            rows: rows.clone(),
        };
        assert_eq!(bins, [bin(0), bin(4)]);
        assert_eq!(areas(&bins), [(0, (0, 0), (8, 1)), (1, (0, 1), (8, 20))]);
    }

    /// A short slice across the border of two bins is in both.
    #[test]
    fn a_slice_is_split_at_a_border() {
        let slices = [slice(4_600, 5_200, Who::Stopper)];
        let bins = bins(slices.iter(), SCALE, 40, &layer);
        let rows: Vec<_> = bins.iter().map(|bin| bin.rows.clone()).collect();
        assert_eq!(rows, [[(0, 0, 4)], [(0, 0, 2)]]);
    }

    #[test]
    fn arrows_that_are_too_dense_are_counted() {
        let arrow = |at| Arrow {
            src_cpu: 0,
            migrate_ns: at,
            dst_cpu: 1,
            end_ns: at,
            tid: 1,
            path: Path::Direct,
        };
        let x = |arrow: &Arrow| i32::try_from(arrow.migrate_ns).unwrap_or(0);
        let few: Vec<Arrow> = (0..60).map(|_| arrow(5)).collect();
        assert_eq!(super::arrows(&few, &x).1, 0);
        // 100 in one cell and 3 in another, which can be told apart.
        let many: Vec<Arrow> = (0..103)
            .map(|i| arrow(if i < 100 { 5 } else { 30 }))
            .collect();
        let (drawn, left_out) = super::arrows(&many, &x);
        assert_eq!((drawn.len(), left_out), (3, 100));
    }
}
