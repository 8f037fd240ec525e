//! Where events come from: a recording, or a list that a test wrote by hand.
//!
//! An analysis asks a [`Source`] for the events in order and for the names behind addresses and stack
//! numbers, and nothing else; so it neither knows the file format nor holds all events at once.

use trace::event::{Addr, Event, StackId};
use trace::krec::{Completeness, ConsoleLine, EndOfRun, Recording, Symbol, TaskRow};

use crate::Error;

/// What an analysis may ask.
pub trait Source {
    /// Facts about the whole run.
    fn info(&self) -> &RunInfo;
    /// The events, in the order of their numbers.
    fn events(&self) -> Box<dyn Iterator<Item = Result<Event, Error>> + '_>;
    /// The addresses of a call stack, innermost first; empty for a number that is not there.
    fn stack(&self, id: StackId) -> &[Addr];
    /// What is at an address, if a symbol is known.
    fn symbol(&self, addr: Addr) -> Option<&Symbol>;
    /// The tasks at the end of the run; none if that is not known.
    fn tasks(&self) -> &[TaskRow] {
        &[]
    }
    /// What is known when the run has ended; `None` if the recording has no end.
    fn end(&self) -> Option<&EndOfRun> {
        None
    }
    /// What the guest wrote to its console.
    fn console(&self) -> &[ConsoleLine] {
        &[]
    }
}

/// Facts about the whole run that reports say and analyses need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunInfo {
    /// What the reader calls the recording: its file name as given.
    pub name: String,
    /// Number of CPUs.
    pub cpus: u32,
    /// Cycles in a second of virtual time.
    pub cycles_per_second: u64,
    /// Length of a window, in cycles.
    pub quantum: u64,
    /// Cycles from sending an interrupt to another CPU to its delivery.
    pub ipi_latency: u64,
    /// The longest stretch between two legal stops in cycles; `None` if the recording has no end.
    pub longest_stretch: Option<u64>,
    /// Number of events.
    pub events: u64,
    /// SHA-256 of the event stream, in hexadecimal.
    pub stream_sha256: String,
    /// SHA-256 of the machine's final state, if the recording has an end.
    pub machine_digest: Option<String>,
    /// SHA-256 of the kernel image.
    pub image_sha256: String,
    /// Version of the cost model.
    pub cost_model: u32,
    /// Interleaving policy, with its seed if it uses one.
    pub policy: String,
    /// The workload.
    pub workload: String,
    /// `None` for a whole recording, else what is missing.
    pub truncated: Option<String>,
    /// How the run ended, if the recording says so.
    pub outcome: Option<String>,
    /// The guest kernel's own counts of stopper works, if the recording has them.
    pub guest_works: Option<GuestWorks>,
}

/// What the guest kernel itself counted, read from its memory at the end of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuestWorks {
    /// Works queued.
    pub queued: u64,
    /// Works whose function was called.
    pub started: u64,
    /// Works whose function has returned.
    pub done: u64,
}

impl RunInfo {
    /// Cycles in nanoseconds of virtual time.
    pub fn ns(&self, cycles: u64) -> u64 {
        let ns = u128::from(cycles) * 1_000_000_000 / u128::from(self.cycles_per_second.max(1));
        u64::try_from(ns).unwrap_or(u64::MAX)
    }
}

/// A recording as a source.
pub struct Recorded<'r> {
    recording: &'r Recording,
    info: RunInfo,
}

impl<'r> Recorded<'r> {
    /// Reads what the recording says about its run; computes the stream hash if it has no end.
    pub fn new(recording: &'r Recording) -> Result<Recorded<'r>, Error> {
        let manifest = recording.manifest();
        let end = recording.end();
        let stream_sha256 = match end {
            Some(end) => end.stream_sha256.clone(),
            None => trace::krec::hex(recording.stream_sha256()?),
        };
        let counter = |name: &str| end.and_then(|end| end.counters.get(name).copied());
        let guest_works = match (
            counter("stop_works_queued"),
            counter("stop_works_started"),
            counter("stop_works_done"),
        ) {
            (Some(queued), Some(started), Some(done)) => Some(GuestWorks {
                queued,
                started,
                done,
            }),
            _ => None,
        };
        let info = RunInfo {
            name: recording.path().display().to_string(),
            cpus: manifest.cpus,
            cycles_per_second: manifest.cycles_per_second,
            quantum: manifest.quantum,
            ipi_latency: manifest.ipi_latency,
            longest_stretch: end.map(|end| end.longest_stretch),
            events: recording.event_count(),
            stream_sha256,
            machine_digest: end.map(|end| end.machine_digest.clone()),
            image_sha256: manifest.image.sha256.clone(),
            cost_model: manifest.cost_model,
            policy: match manifest.seed {
                Some(seed) => format!("{} seed {seed}", manifest.policy),
                None => manifest.policy.clone(),
            },
            workload: manifest.workload.clone(),
            truncated: match recording.completeness() {
                Completeness::Complete => None,
                cut => Some(cut.to_string()),
            },
            outcome: end.map(|end| end.outcome.to_string()),
            guest_works,
        };
        Ok(Recorded { recording, info })
    }

    /// The recording itself.
    pub fn recording(&self) -> &'r Recording {
        self.recording
    }
}

impl Source for Recorded<'_> {
    fn info(&self) -> &RunInfo {
        &self.info
    }

    fn events(&self) -> Box<dyn Iterator<Item = Result<Event, Error>> + '_> {
        Box::new(self.recording.events().map(|e| e.map_err(Error::from)))
    }

    fn stack(&self, id: StackId) -> &[Addr] {
        self.recording.stack(id)
    }

    fn symbol(&self, addr: Addr) -> Option<&Symbol> {
        self.recording.symbol(addr)
    }

    fn tasks(&self) -> &[TaskRow] {
        self.recording.tasks()
    }

    fn end(&self) -> Option<&EndOfRun> {
        self.recording.end()
    }

    fn console(&self) -> &[ConsoleLine] {
        self.recording.console()
    }
}
