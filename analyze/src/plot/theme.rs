//! Colours and sizes. All palettes are Paul Tol's, which people with any colour vision can tell apart;
//! the stopper's red is in none of the others.

use plotters::style::RGBColor;

/// What is behind everything.
pub(super) const PAPER: RGBColor = RGBColor(255, 255, 255);
/// Text and axes.
pub(super) const INK: RGBColor = RGBColor(34, 34, 34);
/// Text that explains.
pub(super) const FAINT: RGBColor = RGBColor(102, 102, 102);
/// Lines of a grid.
pub(super) const GRID: RGBColor = RGBColor(225, 225, 225);
/// A CPU that is idle.
pub(super) const IDLE: RGBColor = RGBColor(238, 238, 238);
/// A CPU before its first switch.
pub(super) const BOOT: RGBColor = RGBColor(0xee, 0xee, 0xbb);
/// The stopper.
pub(super) const STOPPER: RGBColor = RGBColor(204, 51, 17);
/// Tasks that have no colour of their own.
pub(super) const OTHER: RGBColor = RGBColor(176, 176, 176);

/// Tasks, in the order of their time on CPUs.
pub(super) const TASKS: [RGBColor; 9] = [
    RGBColor(0x33, 0x22, 0x88),
    RGBColor(0x88, 0xcc, 0xee),
    RGBColor(0x11, 0x77, 0x33),
    RGBColor(0xdd, 0xcc, 0x77),
    RGBColor(0x44, 0xaa, 0x99),
    RGBColor(0x88, 0x22, 0x55),
    RGBColor(0x99, 0x99, 0x33),
    RGBColor(0xaa, 0x44, 0x99),
    RGBColor(0x66, 0x99, 0xcc),
];

/// The six phases, in their order: off-src, stop-wait, stop-run, enq-dst, ipi, first-run.
pub(super) const PHASES: [RGBColor; 6] = [
    RGBColor(0xbb, 0xbb, 0xbb),
    RGBColor(0xee, 0x77, 0x33),
    STOPPER,
    RGBColor(0x33, 0xbb, 0xee),
    RGBColor(0x00, 0x77, 0xbb),
    RGBColor(0x00, 0x99, 0x88),
];

/// Lines of a chart: all moves, then stopper, direct, wake.
pub(super) const LINES: [RGBColor; 4] = [
    INK,
    STOPPER,
    RGBColor(0x00, 0x77, 0xbb),
    RGBColor(0x00, 0x99, 0x88),
];

/// Curves of a distribution: all, then the kinds by their number.
pub(super) const CURVES: [RGBColor; 8] = [
    INK,
    RGBColor(0x44, 0x77, 0xaa),
    RGBColor(0xee, 0x66, 0x77),
    RGBColor(0x22, 0x88, 0x33),
    RGBColor(0xcc, 0xbb, 0x44),
    RGBColor(0x66, 0xcc, 0xee),
    RGBColor(0xaa, 0x33, 0x77),
    RGBColor(0xbb, 0xbb, 0xbb),
];

/// A cell of a matrix in which nothing is counted.
pub(super) const PAPER_CELL: RGBColor = RGBColor(0xfa, 0xfa, 0xfa);
/// Counts of 1, 2 to 3, 4 to 7 and so on.
pub(super) const COUNTS: [RGBColor; 12] = [
    RGBColor(0xff, 0xf7, 0xbc),
    RGBColor(0xfe, 0xed, 0xa2),
    RGBColor(0xfe, 0xe3, 0x91),
    RGBColor(0xfe, 0xd4, 0x70),
    RGBColor(0xfe, 0xc4, 0x4f),
    RGBColor(0xfb, 0x9a, 0x29),
    RGBColor(0xec, 0x70, 0x14),
    RGBColor(0xcc, 0x4c, 0x02),
    RGBColor(0x99, 0x34, 0x04),
    RGBColor(0x7a, 0x2a, 0x05),
    RGBColor(0x66, 0x25, 0x06),
    RGBColor(0x3d, 0x16, 0x04),
];

/// stop_machine's states: PREPARE, DISABLE_IRQ, RUN, EXIT.
pub(super) const STATES: [RGBColor; 4] = [
    RGBColor(0x33, 0xbb, 0xee),
    RGBColor(0xee, 0x77, 0x33),
    STOPPER,
    RGBColor(0x00, 0x99, 0x88),
];

/// Steps of a boot, by how deep they were called.
pub(super) const DEPTHS: [RGBColor; 4] = [
    RGBColor(0x44, 0x77, 0xaa),
    RGBColor(0x66, 0xcc, 0xee),
    RGBColor(0xcc, 0xbb, 0x44),
    RGBColor(0xbb, 0xbb, 0xbb),
];
/// A thread on a CPU.
pub(super) const RUNNING: RGBColor = RGBColor(0x22, 0x88, 0x33);

/// Font sizes in pixels.
pub(super) const TITLE: i32 = 16;
pub(super) const TEXT: i32 = 12;
pub(super) const SMALL: i32 = 11;

/// Whether black or white text is readable on `colour`.
pub(super) fn text_on(colour: RGBColor) -> RGBColor {
    // Rec. 601 luma, in thousandths.
    let luma = 299 * u32::from(colour.0) + 587 * u32::from(colour.1) + 114 * u32::from(colour.2);
    match luma > 140_000 {
        true => INK,
        false => PAPER,
    }
}
