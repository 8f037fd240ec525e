//! Reports to pictures: SVG, and PNG made of it. Nothing is computed here: a plot takes a report's values.
//!
//! The bytes of a picture depend on those values only: no time, no host, no font measured. Text is in
//! the generic family `sans-serif`, which every viewer has. `canvas` is the drawing paper, `theme` the
//! colours, `axis` where the ticks are, `scale` the axes as they are drawn, `png` the bitmap,
//! `condense` what to do where there is more to draw than there are pixels.

mod axis;
pub mod boot;
mod canvas;
mod condense;
pub mod latency;
pub mod matrix;
pub mod migration;
mod png;
mod scale;
mod theme;
pub mod timeline;
pub mod waterfall;

pub use png::png;
