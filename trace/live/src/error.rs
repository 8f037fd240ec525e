//! What can go wrong while a guest is traced.

use trace::event::Addr;
use trace::image::TypeError;
use trace::target::Unreadable;

/// An error of the tracer; the guest's own failures are [`emu::Error`]s.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// The recording cannot be written.
    #[error(transparent)]
    Write(#[from] trace::krec::Error),
    /// The image lacks a structure or a field that an event needs.
    #[error("this kernel cannot be recorded: {0}")]
    Layout(#[from] TypeError),
    /// The image lacks a symbol that an event needs.
    #[error("this kernel cannot be recorded: the image has no symbol {0}")]
    NoSymbol(String),
    /// The DWARF around something that an event needs is damaged.
    #[error("this kernel cannot be recorded: its DWARF cannot be read: {0}")]
    Damaged(String),
    /// Code cannot be read.
    #[error(transparent)]
    Disassembler(#[from] trace::classify::NoDisassembler),
    /// No function has this name, so no call of it can be watched.
    #[error("the image has no function {name}{hint}")]
    NoFunction {
        /// The name asked for.
        name: String,
        /// A name that is near, as a question, or nothing.
        hint: String,
    },
    /// A probe's event refers to memory that is not there.
    #[error(
        "event {event} on vCPU {vcpu} at {cycles} cycles ({at}): {source}; the kernel passed the tracepoint something else than it should"
    )]
    Unreadable {
        /// Name of the event.
        event: &'static str,
        /// The vCPU.
        vcpu: u32,
        /// Its clock.
        cycles: u64,
        /// Where the probe is.
        at: Addr,
        /// The address.
        source: Unreadable,
    },
}
