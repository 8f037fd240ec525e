//! A guest that failed, told in the kernel's own names: which vCPU, where, when, and what it executed
//! last.

use std::fmt::Write;

use emu::{Cycles, ErrorKind, VirtAddr};
use trace::event::Addr;
use trace::image::Image;

/// How many of the last blocks are printed.
const SHOWN_BLOCKS: usize = 8;

/// True if the guest is at fault, and not what the user asked for.
pub fn is_of_the_guest(error: &emu::Error) -> bool {
    !matches!(
        error.kind(),
        ErrorKind::BadImage | ErrorKind::BadConfig | ErrorKind::Engine
    )
}

/// The error and its place, for people; the guest's own word of a panic first.
pub fn describe(error: &emu::Error, panic: Option<&str>, image: Option<&Image>) -> String {
    let mut text = match panic {
        Some(panic) => format!("{panic}\n  then: {}", error.message()),
        None => error.message().to_owned(),
    };
    if let (Some(vcpu), Some(rip), Some(time)) = (error.vcpu(), error.rip(), error.time()) {
        let _ = write!(
            text,
            "\n  on vCPU {vcpu} at {}\n  virtual time {}",
            place(rip, image),
            seconds(time)
        );
    }
    if !error.last_blocks().is_empty() {
        text.push_str("\n  last blocks executed, oldest first:");
        let skipped = error.last_blocks().len().saturating_sub(SHOWN_BLOCKS);
        for block in &error.last_blocks()[skipped..] {
            let _ = write!(text, "\n    {}", place(*block, image));
        }
    }
    if !error.registers().is_empty() {
        text.push_str("\n  registers:");
        for line in error.registers().lines() {
            let _ = write!(text, "\n    {line}");
        }
    }
    text
}

/// A virtual time, in seconds to the nanosecond.
pub fn seconds(time: Cycles) -> String {
    format!("{}.{:09} s", time.0 / 1_000_000_000, time.0 % 1_000_000_000)
}

/// `__schedule+0x1c (kernel/sched/core.rs:412)`, as far as the image knows.
pub fn place(at: VirtAddr, image: Option<&Image>) -> String {
    match image.and_then(|image| image.symbol(Addr(at.0), false)) {
        Some(symbol) => {
            let mut text = format!("{}+{:#x}", symbol.name, symbol.offset);
            if let (Some(file), Some(line)) = (&symbol.file, symbol.line) {
                let _ = write!(text, " ({file}:{line})");
            }
            text
        }
        None if image.is_none() => format!("{:#x}", at.0),
        None => format!("{:#x}, where the image has no symbol", at.0),
    }
}
