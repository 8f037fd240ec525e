//! One run: the machine, everybody who watches it, and how it ended.
//!
//! The recorder is one observer; extra probes, the console, the progress line and Ctrl-C are others.
//! They share the machine here, and none of them can change it.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::Path;

use emu::{CpuView, Cycles, Exception, Machine, Observer, Outcome, Site, Stamp, VirtAddr};
use trace::krec::{EndOfRun, OutcomeRow, Writer};
use trace_live::{ConsoleRecorder, LiveError, Recorder};

use crate::builtin;
use crate::failure;
use crate::interrupt::Interrupt;
use crate::plan::Scenario;
use crate::probes::ExtraProbes;
use crate::progress::Progress;
use crate::terminal::{Key, Terminal};

/// What the person outside sees and does during a run.
pub struct Outside<'a> {
    /// The progress line.
    pub progress: &'a Progress,
    /// Ctrl-C.
    pub interrupt: &'a Interrupt,
    /// Whether the guest's console is printed.
    pub console: bool,
    /// The terminal that is the guest's, if one is.
    pub terminal: Option<&'a Terminal>,
}

/// A run that is over.
pub struct Finished {
    /// The end frame of the recording.
    pub end: EndOfRun,
    /// The guest's failure in its own names, if it failed.
    pub failure: Option<String>,
}

/// Runs the scenario on its machine with a recorder that writes to `file`, called `name` in errors.
pub fn record<W: Write>(
    scenario: &Scenario,
    mut machine: Machine,
    (file, name): (W, &Path),
    embed: bool,
    extra: Option<&mut ExtraProbes>,
    outside: &Outside<'_>,
) -> anyhow::Result<(Finished, W)> {
    let held = scenario.guest.to_embed().filter(|_| embed);
    let mut writer = Writer::new(file, name, &scenario.manifest(held.is_some()))?;
    if let Some(elf) = held {
        match scenario.guest.is_builtin() {
            true => writer.image_frames(builtin::FRAMES)?,
            false => writer.image(elf)?,
        }
    }
    let Some(image) = scenario.guest.image() else {
        return record_console(scenario, &mut machine, writer, extra, outside);
    };
    let mut recorder = Recorder::new(writer, image, scenario.config.vcpus)?;
    if !recorder.missing().is_empty() {
        outside.progress.suspend(|| {
            eprintln!(
                "warning: this kernel has no place for {}; they are not recorded",
                recorder.missing().join(", ")
            );
        });
    }
    recorder.attach(&mut machine);
    let ended = watched(&mut machine, &mut recorder, extra, outside, scenario.until);
    if let Some(error) = recorder.error() {
        // The run was ended because nothing more can be recorded; the guest is not at fault.
        let hint = hint(error);
        let error = recorder.finish(&mut machine, OutcomeRow::Interrupted).err();
        return Err(error.map_or_else(|| anyhow::anyhow!("{hint}"), |e| with_hint(e, hint)));
    }
    let (row, failure) = outcome_row(ended, scenario)?;
    let (end, file) = recorder.finish(&mut machine, row).map_err(|e| {
        let hint = hint(&e);
        with_hint(e, hint)
    })?;
    Ok((Finished { end, failure }, file))
}

/// Records a guest that no names are known of.
fn record_console<W: Write>(
    scenario: &Scenario,
    machine: &mut Machine,
    writer: Writer<W>,
    extra: Option<&mut ExtraProbes>,
    outside: &Outside<'_>,
) -> anyhow::Result<(Finished, W)> {
    outside.progress.suspend(|| {
        eprintln!(
            "warning: {} has no names in it, so only its console is recorded; give the vmlinux with its DWARF with --debug",
            scenario.guest.name()
        );
    });
    let mut recorder = ConsoleRecorder::new(writer, scenario.config.vcpus);
    let ended = watched(machine, &mut recorder, extra, outside, scenario.until);
    let (row, failure) = match recorder.error() {
        // The run was ended because nothing more can be recorded; `finish` says why.
        Some(_) => (OutcomeRow::Interrupted, None),
        None => outcome_row(ended, scenario)?,
    };
    let (end, file) = recorder.finish(machine, row).map_err(|e| {
        let hint = hint(&e);
        with_hint(e, hint)
    })?;
    Ok((Finished { end, failure }, file))
}

fn with_hint(error: LiveError, hint: &'static str) -> anyhow::Error {
    match hint {
        "" => error.into(),
        hint => anyhow::Error::from(error).context(hint),
    }
}

/// The next step after an error of the recorder.
fn hint(error: &LiveError) -> &'static str {
    match error {
        LiveError::Write(_) => "recording stopped; free some space, or give another file with -o",
        _ => "",
    }
}

/// How the machine stopped, and what the guest said of it.
pub struct Ended {
    /// The machine's word.
    pub outcome: Result<Outcome, emu::Error>,
    /// The line of the guest's console that tells of a panic, without its time stamp.
    pub panic: Option<String>,
}

/// Runs a machine with an observer and everybody outside.
pub fn watched(
    machine: &mut Machine,
    inner: &mut dyn Observer,
    extra: Option<&mut ExtraProbes>,
    outside: &Outside<'_>,
    until: Option<Cycles>,
) -> Ended {
    if let Some(extra) = &extra {
        extra.attach(machine);
    }
    let console = outside.console.then(Vec::new);
    let mut watch = Watch {
        inner,
        extra,
        outside,
        console,
        line: Vec::new(),
        panic: None,
        hits: 0,
    };
    let outcome = match outside.terminal {
        Some(terminal) => at_terminal(machine, &mut watch, terminal, until),
        None => machine.run(&mut watch, until),
    };
    watch.print_console();
    Ended {
        outcome,
        panic: watch.panic,
    }
}

/// Runs a machine in pieces of virtual time, and types the keys that were pressed after each. Where the
/// pieces end changes nothing.
fn at_terminal(
    machine: &mut Machine,
    watch: &mut Watch<'_, '_>,
    terminal: &Terminal,
    until: Option<Cycles>,
) -> Result<Outcome, emu::Error> {
    /// 10 ms: an answer that nobody feels.
    const PIECE: u64 = 10_000_000;
    loop {
        let next = Cycles(machine.now().0 + PIECE);
        let next = until.map_or(next, |until| until.min(next));
        let outcome = machine.run(watch, Some(next))?;
        let over = until.is_some_and(|until| machine.now() >= until);
        if outcome != Outcome::UntilReached || over {
            return Ok(outcome);
        }
        watch.print_console();
        let now = machine.now();
        for key in terminal.wait(now) {
            match key {
                Key::Byte(byte) => machine.type_byte(now, byte),
                Key::Quit => return Ok(Outcome::StoppedByObserver),
            }
        }
    }
}

/// The outcome in the words of a recording. An error that is not the guest's is returned.
pub fn outcome_row(
    ended: Ended,
    scenario: &Scenario,
) -> Result<(OutcomeRow, Option<String>), emu::Error> {
    match ended.outcome {
        // A kernel that panicked and then gave up by itself, as `panic=-1` makes Linux do.
        Ok(outcome @ (Outcome::PowerOff | Outcome::Reset)) if let Some(panic) = ended.panic => {
            let how = match outcome {
                Outcome::PowerOff => "switched the machine off",
                _ => "reset the machine",
            };
            let error = format!("{panic}\n  then: the guest {how}");
            Ok((
                OutcomeRow::GuestFailed {
                    error: error.clone(),
                },
                Some(error),
            ))
        }
        Ok(Outcome::PowerOff) => Ok((OutcomeRow::PowerOff, None)),
        Ok(Outcome::Reset) => Ok((OutcomeRow::Reset, None)),
        Ok(Outcome::UntilReached) => Ok((OutcomeRow::UntilReached, None)),
        Ok(Outcome::StoppedByObserver) => Ok((OutcomeRow::Interrupted, None)),
        Err(error) if failure::is_of_the_guest(&error) => {
            let text = failure::describe(&error, ended.panic.as_deref(), scenario.guest.image());
            Ok((
                OutcomeRow::GuestFailed {
                    error: text.clone(),
                },
                Some(text),
            ))
        }
        Err(error) => Err(error),
    }
}

/// All observers of one run.
struct Watch<'a, 'b> {
    inner: &'a mut dyn Observer,
    extra: Option<&'a mut ExtraProbes>,
    outside: &'a Outside<'b>,
    /// Bytes of the console that are not printed yet; `None` if nobody wants them.
    console: Option<Vec<u8>>,
    /// What the guest has written of its current line.
    line: Vec<u8>,
    panic: Option<String>,
    hits: u64,
}

/// Bytes of a line that are looked at.
const LONGEST_LINE: usize = 1024;

/// How Linux's line of a panic begins, after its time stamp.
const PANIC: &str = "Kernel panic - not syncing";

impl Watch<'_, '_> {
    /// Prints what the guest wrote. A reader that has gone away gets no more; the run goes on.
    fn print_console(&mut self) {
        let Some(bytes) = self.console.as_mut().filter(|bytes| !bytes.is_empty()) else {
            return;
        };
        let printed = self.outside.progress.suspend(|| {
            let mut out = io::stdout().lock();
            out.write_all(bytes).and_then(|()| out.flush())
        });
        match printed {
            Ok(()) => bytes.clear(),
            Err(_) => self.console = None,
        }
    }
}

impl Watch<'_, '_> {
    /// Looks at the line that has just ended; the first panic is the one that counts. Who writes it is the
    /// vCPU that panics: the others are stopped after it.
    fn end_line(&mut self, at: Stamp) {
        if self.panic.is_none() {
            let line = String::from_utf8_lossy(&self.line);
            self.panic = line.find(PANIC).map(|begin| {
                let line = line[begin..].trim_end();
                let time = failure::seconds(at.cycles);
                format!("{line}\n  on vCPU {}, virtual time {time}", at.vcpu)
            });
        }
        self.line.clear();
    }
}

impl Observer for Watch<'_, '_> {
    fn hit(&mut self, cpu: &mut CpuView<'_>, at: VirtAddr, site: Site) {
        self.hits += 1;
        self.inner.hit(cpu, at, site);
        if let Some(extra) = &mut self.extra {
            extra.hit(cpu, at);
        }
    }

    fn console(&mut self, at: Stamp, byte: u8) {
        self.inner.console(at, byte);
        if let Some(bytes) = &mut self.console {
            bytes.push(byte);
        }
        if byte == b'\n' {
            self.end_line(at);
            self.print_console();
        } else if self.line.len() < LONGEST_LINE {
            self.line.push(byte);
        }
    }

    fn exception(&mut self, at: Stamp, exception: Exception) {
        self.inner.exception(at, exception);
    }

    fn typed(&mut self, at: Cycles, byte: u8) {
        self.inner.typed(at, byte);
    }

    fn slice(&mut self, now: Cycles) -> ControlFlow<()> {
        self.outside.progress.show(now, self.hits);
        if self.outside.interrupt.requested() {
            return ControlFlow::Break(());
        }
        self.inner.slice(now)
    }
}

/// An observer that watches nothing: a run without a recorder.
pub struct Nobody;

impl Observer for Nobody {
    fn hit(&mut self, _cpu: &mut CpuView<'_>, _at: VirtAddr, _site: Site) {}
}
