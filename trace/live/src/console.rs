//! Records a guest without names: what it writes to its console, and how it ends.

use std::io::Write;
use std::ops::ControlFlow;

use emu::{CpuView, Cycles, Machine, Observer, Site, Stamp, VirtAddr};
use trace::krec::{EndOfRun, InputRow, OutcomeRow, Writer};

use crate::error::LiveError;
use crate::finish;
use crate::recorder::FLUSH_EVERY;

/// Records the console of a run. No probe is set, so there are no events and no tasks.
pub struct ConsoleRecorder<W: Write> {
    writer: Writer<W>,
    cpus: u32,
    next_flush: u64,
    error: Option<LiveError>,
}

impl<W: Write> ConsoleRecorder<W> {
    /// Prepares to record a guest on `cpus` CPUs.
    pub fn new(writer: Writer<W>, cpus: u32) -> ConsoleRecorder<W> {
        ConsoleRecorder {
            writer,
            cpus,
            next_flush: FLUSH_EVERY,
            error: None,
        }
    }

    /// What went wrong so far; the run ends at the next slice.
    pub fn error(&self) -> Option<&LiveError> {
        self.error.as_ref()
    }

    /// Writes the rest: how the run ended.
    pub fn finish(
        self,
        machine: &mut Machine,
        outcome: OutcomeRow,
    ) -> Result<(EndOfRun, W), LiveError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let end = finish::end(machine, self.cpus, None, outcome);
        Ok(self.writer.finish(end)?)
    }
}

impl<W: Write> Observer for ConsoleRecorder<W> {
    fn hit(&mut self, _cpu: &mut CpuView<'_>, _at: VirtAddr, _site: Site) {}

    fn console(&mut self, at: Stamp, byte: u8) {
        if self.error.is_none()
            && let Err(error) = self.writer.console(at.cycles.0, at.vcpu.0, byte)
        {
            self.error = Some(error.into());
        }
    }

    fn typed(&mut self, at: Cycles, byte: u8) {
        let input = InputRow {
            cycles: at.0,
            device: "serial0".to_owned(),
            byte,
        };
        if self.error.is_none()
            && let Err(error) = self.writer.input(&input)
        {
            self.error = Some(error.into());
        }
    }

    fn slice(&mut self, now: Cycles) -> ControlFlow<()> {
        if self.error.is_none() && now.0 >= self.next_flush {
            self.next_flush = now.0 + FLUSH_EVERY;
            self.error = self.writer.flush().err().map(LiveError::from);
        }
        match self.error {
            Some(_) => ControlFlow::Break(()),
            None => ControlFlow::Continue(()),
        }
    }
}
