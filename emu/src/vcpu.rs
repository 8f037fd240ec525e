//! One virtual CPU besides its registers: what it is doing, its clock, its APIC, its post.

use crate::device::lapic::{Delivery, Lapic};
use crate::error::Error;
use crate::snapshot::{Reader, Saved, Writer, bad, saved};
use crate::unicorn::CpuState;

/// What a vCPU is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Activity {
    /// Executes instructions.
    Running,
    /// After HLT.
    Halted {
        /// Whether an interrupt can wake it.
        interrupts: bool,
    },
    /// After power-on or INIT, until a SIPI.
    WaitForSipi,
}

/// Something on its way to a vCPU.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Letter {
    pub(crate) due: u64,
    /// Decides ties: the order of sending.
    pub(crate) sequence: u64,
    pub(crate) what: Delivery,
}

/// NMIs at one vCPU.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Nmi {
    pub(crate) pending: bool,
    /// From the delivery of one to the next IRET (SDM vol. 3, 6.7.1).
    pub(crate) blocked: bool,
}

saved!(Nmi { pending, blocked });

/// A vCPU.
#[derive(Clone)]
pub(crate) struct Vcpu {
    pub(crate) activity: Activity,
    /// Its registers, unless it is the one that is loaded.
    pub(crate) state: CpuState,
    pub(crate) cycles: u64,
    /// The cycles that were no instructions.
    pub(crate) skipped: u64,
    pub(crate) lapic: Lapic,
    /// Sorted by due time, then by sequence.
    pub(crate) inbox: Vec<Letter>,
    pub(crate) nmi: Nmi,
}

saved!(Letter {
    due,
    sequence,
    what,
});

saved!(Vcpu {
    activity,
    state,
    cycles,
    skipped,
    lapic,
    inbox,
    nmi,
});

impl Saved for Activity {
    fn save(&self, to: &mut Writer) {
        let code: u8 = match self {
            Activity::Running => 0,
            Activity::Halted { interrupts } => 1 + u8::from(*interrupts),
            Activity::WaitForSipi => 3,
        };
        code.save(to);
    }

    fn load(from: &mut Reader<'_>) -> Result<Self, Error> {
        Ok(match u8::load(from)? {
            0 => Activity::Running,
            1 => Activity::Halted { interrupts: false },
            2 => Activity::Halted { interrupts: true },
            3 => Activity::WaitForSipi,
            other => return Err(bad(format!("activity {other}"))),
        })
    }
}

impl Vcpu {
    /// A vCPU whose local APIC has that id.
    pub(crate) fn new(apic: u8, activity: Activity, state: CpuState) -> Self {
        Self {
            activity,
            state,
            cycles: 0,
            skipped: 0,
            lapic: Lapic::new(apic),
            inbox: Vec::new(),
            nmi: Nmi::default(),
        }
    }

    pub(crate) fn post(&mut self, letter: Letter) {
        let at = self.inbox.partition_point(|l| *l <= letter);
        self.inbox.insert(at, letter);
    }

    /// When the next thing arrives, whatever it is.
    pub(crate) fn next_event(&self) -> Option<u64> {
        let letter = self.inbox.first().map(|l| l.due);
        [letter, self.lapic.timer_due()].into_iter().flatten().min()
    }

    /// For one that does not run: when something arrives that may wake it.
    pub(crate) fn next_wake(&self) -> Option<u64> {
        match self.activity {
            Activity::Halted { interrupts: true } => {
                if self.lapic.pending().is_some() || self.takes_nmi() {
                    return Some(self.cycles);
                }
                self.next_event()
            }
            Activity::Halted { interrupts: false } if self.takes_nmi() => Some(self.cycles),
            Activity::Halted { interrupts: false } => {
                let wakes =
                    |l: &&Letter| !matches!(l.what, Delivery::Fixed(_) | Delivery::Level(_));
                self.inbox.iter().find(wakes).map(|l| l.due)
            }
            _ => self.inbox.first().map(|l| l.due),
        }
    }

    /// Whether an NMI is there and not blocked.
    pub(crate) fn takes_nmi(&self) -> bool {
        self.nmi.pending && !self.nmi.blocked
    }

    /// Lets an idle vCPU's clock reach a time.
    pub(crate) fn jump_to(&mut self, time: u64) {
        if time > self.cycles {
            self.skipped += time - self.cycles;
            self.cycles = time;
        }
    }

    /// Takes in what has arrived by now; INIT and SIPI are returned for the machine to do.
    pub(crate) fn receive(&mut self) -> Option<Delivery> {
        self.lapic.advance(self.cycles);
        while self.inbox.first().is_some_and(|l| l.due <= self.cycles) {
            match self.inbox.remove(0).what {
                Delivery::Fixed(vector) => self.lapic.accept(vector, false),
                Delivery::Level(vector) => self.lapic.accept(vector, true),
                // One that waits for a SIPI takes no NMI; here it is lost.
                Delivery::Nmi => self.nmi.pending |= self.activity != Activity::WaitForSipi,
                Delivery::Init => return Some(Delivery::Init),
                startup @ Delivery::Startup(_) => {
                    if self.activity == Activity::WaitForSipi {
                        return Some(startup);
                    }
                }
            }
        }
        None
    }
}
