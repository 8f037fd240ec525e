//! analyze: events in, numbers with units out.
//!
//! What every number means is `docs/definitions.md` of the repository; this crate implements that page
//! and its tests are hand-worked examples of it. It reads recordings and knows no emulator.
//!
//! ```no_run
//! use analyze::{migration, report::{Format, Options}, source::Recorded};
//! use trace::krec::Recording;
//!
//! let recording = Recording::open("boot.krec".as_ref())?;
//! let source = Recorded::new(&recording)?;
//! let moves = migration::analyze(&source)?;
//! moves.report().render(Format::Text, &Options::default(), &mut std::io::stdout())?;
//! # Ok::<(), analyze::Error>(())
//! ```
//!
//! The state machines (`migration`, `stopper`, `runqueue`, `timeline`) are plain passes over the
//! events in bounded memory; polars appears in `parquet` only, and the plots compute nothing.

#![forbid(unsafe_code)]

pub mod boot;
pub mod causal;
pub mod class;
pub mod classes;
mod define;
pub mod delays;
pub mod diff;
pub mod distribution;
mod error;
pub mod export;
pub mod in_time;
pub mod instant;
pub mod latency;
pub mod map;
pub mod migration;
pub mod names;
pub mod parquet;
pub mod plot;
mod render;
pub mod report;
pub mod runq;
pub mod runqlat;
pub mod runqueue;
pub mod source;
pub mod stats;
pub mod stopmachine;
pub mod stopper;
pub mod table;
pub mod tasks;
pub mod timehist;
pub mod timeline;
pub mod works;

pub use error::Error;
