//! `trace.dat`, version 6: what trace-cmd and KernelShark read.
//!
//! ```text
//!   17 08 44 "tracing" "6\0" | endian 0 | long 8 | page size u32
//!   header_page, header_event      how a page of the ring buffer and an event in it are laid out
//!   formats of events, system by system, each as tracefs shows it with its print fmt
//!   kallsyms | printk (empty) | cmdlines | number of CPUs
//!   options: counts of each CPU, clock, uname, version
//!   "flyrecord\0" | offset and size of each CPU's pages
//!   the pages of CPU 0, the pages of CPU 1, ...
//! ```
//!
//! The sizes of all CPUs stand before the first page, so the pages are made twice: once to be counted,
//! once to be written to their places.
//!
//! The readers merge the CPUs by time and, at equal times, by the CPUs' numbers. So that they show the
//! order of causes, no two events have one stamp: sorted by causal time and number, an event
//! that is not later than the one before it is moved to a nanosecond after that.
//! `trace-cmd convert` makes the compressed version 7 of the file.

mod formats;
mod metadata;
mod pages;

use std::path::Path;

use trace::event::Event;

use super::Written;
use super::order::{Survey, walk_in_time};
use super::output::OutFile;
use crate::Error;
use crate::source::Source;
use formats::Formats;
use pages::{PAGE, Pages};

/// Writes the recording to `path`, which appears when it is complete.
pub fn export(source: &dyn Source, path: &Path) -> Result<Written, Error> {
    let survey = Survey::of(source)?;
    let mut counts = vec![0_u64; source.info().cpus as usize];
    let mut moved = (0, 0);
    let formats = Formats::new();
    pages(source, &survey, &formats, &mut |cpu, made| {
        match made {
            Made::Page(_) => counts[cpu] += 1,
            Made::Moved(by_ns) => moved = (moved.0 + 1, by_ns.max(moved.1)),
        }
        Ok(())
    })?;

    let mut out = OutFile::create(path)?;
    let head = metadata::head(source, &survey, &formats);
    let mut offsets = Vec::new();
    let mut end = metadata::length(&head, counts.len()).next_multiple_of(PAGE as u64);
    for count in &counts {
        offsets.push(end);
        end += count * PAGE as u64;
    }
    out.write(&metadata::with_index(head, &offsets, &counts))?;
    let mut next = offsets;
    pages(source, &survey, &formats, &mut |cpu, made| {
        if let Made::Page(page) = made {
            out.write_at(next[cpu], page)?;
            next[cpu] += PAGE as u64;
        }
        Ok(())
    })?;
    out.finish()?;
    Ok(Written {
        events: survey.events,
        bytes: end,
        moved,
    })
}

/// What is made on the way through the events.
enum Made<'p> {
    /// A page of the CPU.
    Page(&'p [u8]),
    /// A stamp that is so many nanoseconds later than the event's time.
    Moved(u64),
}

/// Makes the pages of all CPUs, in the order in which they become full.
fn pages(
    source: &dyn Source,
    survey: &Survey,
    formats: &Formats,
    sink: &mut dyn FnMut(usize, Made<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut cpus: Vec<Cpu> = (0..source.info().cpus).map(|_| Cpu::default()).collect();
    let mut last: Option<u64> = None;
    let mut record = Vec::new();
    walk_in_time(source, survey.late_ns, &mut |event: &Event, time_ns| {
        let stamp = last.map_or(time_ns, |last| time_ns.max(last + 1));
        last = Some(stamp);
        let at = event.cpu as usize;
        if stamp != time_ns {
            sink(at, Made::Moved(stamp - time_ns))?;
        }
        let cpu = &mut cpus[at];
        cpu.in_interrupt = formats.record(source, event, cpu.in_interrupt, &mut record);
        cpu.pages
            .push(stamp, &record, &mut |page| sink(at, Made::Page(page)))
    })?;
    for (at, cpu) in cpus.iter_mut().enumerate() {
        cpu.pages.flush(&mut |page| sink(at, Made::Page(page)))?;
    }
    Ok(())
}

#[derive(Default)]
struct Cpu {
    pages: Pages,
    in_interrupt: bool,
}
