//! Reports to pictures (SVG). Nothing is computed here: a plot takes a report's values.
//!
//! The bytes of a picture depend on those values only: no time, no host, no font measured. Text is in
//! the generic family `sans-serif`, which every viewer has. `canvas` is the drawing paper, `theme` the
//! colours, `axis` where the ticks are,
//! `condense` what to do where there is more to draw than there are pixels.

mod axis;
mod canvas;
mod condense;
pub mod migration;
mod theme;
pub mod timeline;
