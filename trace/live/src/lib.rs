//! trace-live: the tracer on a running machine. See `ARCHITECTURE.md`.
//!
//! [`Recorder`] attaches the default events to an [`emu::Machine`] and writes them to a recording:
//!
//! ```no_run
//! use trace::krec::{Manifest, OutcomeRow, Writer};
//! use trace_live::Recorder;
//!
//! # fn record(elf: Vec<u8>, manifest: Manifest) -> Result<(), Box<dyn std::error::Error>> {
//! let image = trace::image::Image::parse("vmlinux", &elf)?;
//! let config = emu::MachineConfig::default();
//! let mut machine = emu::Machine::new(&config, &elf)?;
//! let writer = Writer::create("boot.krec".as_ref(), &manifest)?;
//! let mut recorder = Recorder::new(writer, &image, config.vcpus)?;
//! recorder.attach(&mut machine);
//! machine.run(&mut recorder, None)?;
//! let (end, _file) = recorder.finish(&mut machine, OutcomeRow::PowerOff)?;
//! println!("{} events", end.events);
//! # Ok(())
//! # }
//! ```
//!
//! It only ever reads: no guest state, no virtual time and no other probe is touched by it.

#![forbid(unsafe_code)]

pub mod calls;
mod console;
mod error;
mod finish;
mod functions;
mod hooks;
pub mod inspect;
mod layout;
mod milestones;
mod places;
mod recorder;
mod source;
mod stacks;
mod view;

pub use console::ConsoleRecorder;
pub use error::LiveError;
pub use functions::{Functions, HowFound};
pub use recorder::Recorder;
pub use source::Source;
pub use stacks::CallStacks;
pub use view::{CpuTarget, MachineTarget};
