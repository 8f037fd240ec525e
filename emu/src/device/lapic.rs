//! The local APIC in xAPIC mode (SDM vol. 3, chapter 11): registers, priorities, timer.
//!
//! Time is given with every access; the device has no clock of its own. What it sends to others
//! comes back as a [`Command`], which the machine routes.
//!
//! The spurious vector is what [`Lapic::acknowledge`] answers when nothing can be delivered. Taking
//! an interrupt is one step here, with nothing between the request and its acknowledgement that
//! could raise the task priority, so no guest of this machine sees one that it did not send itself.
//!
//! Not emulated: x2APIC, LINT pins, thermal, performance and CMCI vectors (registers only), SMI
//! messages, the focus processor, suppression of EOI broadcasts, moving or disabling the APIC.

use crate::error::Error;
use crate::snapshot::{Reader, Saved, Writer, bad, saved};

/// Register offsets.
mod reg {
    pub(super) const ID: u32 = 0x20;
    pub(super) const VERSION: u32 = 0x30;
    pub(super) const TPR: u32 = 0x80;
    pub(super) const APR: u32 = 0x90;
    pub(super) const PPR: u32 = 0xa0;
    pub(super) const EOI: u32 = 0xb0;
    pub(super) const RRD: u32 = 0xc0;
    pub(super) const LDR: u32 = 0xd0;
    pub(super) const DFR: u32 = 0xe0;
    pub(super) const SVR: u32 = 0xf0;
    pub(super) const ISR: u32 = 0x100;
    pub(super) const TMR: u32 = 0x180;
    pub(super) const IRR: u32 = 0x200;
    pub(super) const ESR: u32 = 0x280;
    pub(super) const ICR_LOW: u32 = 0x300;
    pub(super) const ICR_HIGH: u32 = 0x310;
    pub(super) const LVT_TIMER: u32 = 0x320;
    pub(super) const LVT_ERROR: u32 = 0x370;
    pub(super) const TMICT: u32 = 0x380;
    pub(super) const TMCCT: u32 = 0x390;
    pub(super) const TDCR: u32 = 0x3e0;
}

/// Integrated APIC, six LVT entries.
const VERSION: u32 = 0x14 | 5 << 16;
const SVR_ENABLE: u32 = 1 << 8;
const LVT_MASKED: u32 = 1 << 16;
const TIMER_MODE: u32 = 3 << 17;
const TIMER_PERIODIC: u32 = 1 << 17;
const TIMER_DEADLINE: u32 = 2 << 17;
/// LVT entries: timer, thermal, performance, LINT0, LINT1, error.
const LVTS: usize = 6;
const ERROR_LVT: usize = 5;

/// Bits of the error status register (SDM vol. 3, 11.5.3).
mod esr {
    pub(super) const SEND_ILLEGAL_VECTOR: u32 = 1 << 5;
    pub(super) const RECEIVE_ILLEGAL_VECTOR: u32 = 1 << 6;
    pub(super) const ILLEGAL_REGISTER: u32 = 1 << 7;
}

/// What arrives at a local APIC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Delivery {
    /// An edge.
    Fixed(u8),
    /// A level of the I/O APIC, whose end it wants to hear of.
    Level(u8),
    Nmi,
    Init,
    Startup(u8),
}

/// Whom a command is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Destination {
    Apic(u8),
    /// What each APIC compares with its logical id.
    Logical(u8),
    Myself,
    All,
    AllButMyself,
}

/// A message to local APICs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Command {
    pub(crate) delivery: Delivery,
    pub(crate) to: Destination,
    /// For one of those it names, and not for all: the one of the lowest priority.
    pub(crate) lowest_priority: bool,
}

/// What a register write asks the rest of the machine to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Effect {
    Nothing,
    Send(Command),
    /// A level-triggered interrupt was ended: the I/O APIC must hear of it.
    End(u8),
}

/// Why a register write could not be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unsupported {
    DeliveryMode(u32),
    TimerMode(u32),
}

/// 256 bits, one per vector.
type Vectors = [u64; 4];

/// One local APIC.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Lapic {
    id: u8,
    tpr: u32,
    ldr: u32,
    dfr: u32,
    svr: u32,
    isr: Vectors,
    tmr: Vectors,
    irr: Vectors,
    icr: [u32; 2],
    lvt: [u32; LVTS],
    divide: u32,
    initial: u32,
    /// When the running count started, in cycles.
    started: u64,
    /// When it reaches zero, or the deadline; `None` while the timer does not run.
    due: Option<u64>,
    /// The error status as software sees it, and the errors since it was last written.
    status: u32,
    errors: u32,
    /// The error interrupt was raised and the status not written since.
    error_told: bool,
}

saved!(Lapic {
    id,
    tpr,
    ldr,
    dfr,
    svr,
    isr,
    tmr,
    irr,
    icr,
    lvt,
    divide,
    initial,
    started,
    due,
    status,
    errors,
    error_told,
});

saved!(Command {
    delivery,
    to,
    lowest_priority,
});

impl Saved for Destination {
    fn save(&self, to: &mut Writer) {
        let pair: (u8, u8) = match *self {
            Destination::Apic(id) => (0, id),
            Destination::Logical(mask) => (1, mask),
            Destination::Myself => (2, 0),
            Destination::All => (3, 0),
            Destination::AllButMyself => (4, 0),
        };
        pair.save(to);
    }

    fn load(from: &mut Reader<'_>) -> Result<Self, Error> {
        Ok(match <(u8, u8)>::load(from)? {
            (0, id) => Destination::Apic(id),
            (1, mask) => Destination::Logical(mask),
            (2, 0) => Destination::Myself,
            (3, 0) => Destination::All,
            (4, 0) => Destination::AllButMyself,
            other => return Err(bad(format!("destination {other:?}"))),
        })
    }
}

impl Saved for Delivery {
    fn save(&self, to: &mut Writer) {
        let pair: (u8, u8) = match *self {
            Delivery::Fixed(vector) => (0, vector),
            Delivery::Level(vector) => (1, vector),
            Delivery::Nmi => (4, 0),
            Delivery::Init => (5, 0),
            Delivery::Startup(vector) => (6, vector),
        };
        pair.save(to);
    }

    fn load(from: &mut Reader<'_>) -> Result<Self, Error> {
        Ok(match <(u8, u8)>::load(from)? {
            (0, vector) => Delivery::Fixed(vector),
            (1, vector) => Delivery::Level(vector),
            (4, 0) => Delivery::Nmi,
            (5, 0) => Delivery::Init,
            (6, vector) => Delivery::Startup(vector),
            (mode, vector) => return Err(bad(format!("delivery mode {mode}, vector {vector}"))),
        })
    }
}

fn highest(v: &Vectors) -> Option<u8> {
    (0..4)
        .rev()
        .find(|&w| v[w] != 0)
        .map(|w| (w as u32 * 64 + 63 - v[w].leading_zeros()) as u8)
}

fn set(v: &mut Vectors, n: u8) {
    v[usize::from(n) / 64] |= 1 << (n % 64);
}

fn clear(v: &mut Vectors, n: u8) {
    v[usize::from(n) / 64] &= !(1 << (n % 64));
}

/// The 32-bit register `offset` bytes (16 per register) into an array of vectors.
fn word(v: &Vectors, offset: u32) -> u32 {
    let n = (offset / 16) as usize & 7;
    (v[n / 2] >> (n % 2 * 32)) as u32
}

impl Lapic {
    /// The state after power-on.
    pub(crate) fn new(id: u8) -> Self {
        Self {
            id,
            tpr: 0,
            ldr: 0,
            dfr: !0,
            svr: 0xff,
            isr: [0; 4],
            tmr: [0; 4],
            irr: [0; 4],
            icr: [0; 2],
            lvt: [LVT_MASKED; LVTS],
            divide: 0,
            initial: 0,
            started: 0,
            due: None,
            status: 0,
            errors: 0,
            error_told: false,
        }
    }

    /// Its physical id.
    pub(crate) fn id(&self) -> u8 {
        self.id
    }

    /// Whether software has enabled it.
    pub(crate) fn is_enabled(&self) -> bool {
        self.svr & SVR_ENABLE != 0
    }

    /// The processor priority: the higher of TPR and the interrupt in service.
    pub(crate) fn ppr(&self) -> u32 {
        let service = u32::from(highest(&self.isr).unwrap_or(0)) & 0xf0;
        if self.tpr & 0xf0 >= service {
            self.tpr & 0xff
        } else {
            service
        }
    }

    /// The vector to deliver now, if interrupts were enabled.
    pub(crate) fn pending(&self) -> Option<u8> {
        let vector = highest(&self.irr)?;
        (u32::from(vector) & 0xf0 > self.ppr() & 0xf0).then_some(vector)
    }

    /// Whether a logical destination names this APIC: in the flat model any common bit, in the
    /// cluster model the same cluster and a common bit, 0xff everybody.
    pub(crate) fn is_logical(&self, destination: u8) -> bool {
        let own = (self.ldr >> 24) as u8;
        if destination == 0xff {
            return true;
        }
        match self.dfr >> 28 {
            0xf => own & destination != 0,
            _ => own >> 4 == destination >> 4 && own & destination & 0xf != 0,
        }
    }

    /// The CPU takes an interrupt: the pending one, or the spurious vector, which is not put in
    /// service (SDM vol. 3, 11.9).
    pub(crate) fn acknowledge(&mut self) -> u8 {
        let Some(vector) = self.pending() else {
            return self.svr as u8;
        };
        clear(&mut self.irr, vector);
        set(&mut self.isr, vector);
        vector
    }

    /// An interrupt arrives. A disabled APIC takes none, and a vector below 16 is an error.
    pub(crate) fn accept(&mut self, vector: u8, level: bool) {
        if !self.is_enabled() {
            return;
        }
        if vector < 16 {
            return self.error(esr::RECEIVE_ILLEGAL_VECTOR);
        }
        set(&mut self.irr, vector);
        if level {
            set(&mut self.tmr, vector);
        } else {
            clear(&mut self.tmr, vector);
        }
    }

    /// Notes an error, and raises the error interrupt unless it was raised since the status was
    /// last written.
    fn error(&mut self, bit: u32) {
        self.errors |= bit;
        let entry = self.lvt[ERROR_LVT];
        let vector = entry as u8;
        if entry & LVT_MASKED == 0 && vector >= 16 && !self.error_told {
            self.error_told = true;
            self.accept(vector, false);
        }
    }

    /// When the timer will raise its interrupt, if it will.
    pub(crate) fn timer_due(&self) -> Option<u64> {
        if self.lvt[0] & LVT_MASKED != 0 {
            None
        } else {
            self.due
        }
    }

    /// Lets the timer catch up with the time, raising its interrupt if it expired.
    pub(crate) fn advance(&mut self, now: u64) {
        let Some(due) = self.due.filter(|&due| due <= now) else {
            return;
        };
        if self.lvt[0] & TIMER_MODE == TIMER_PERIODIC {
            let period = self.period();
            let missed = (now - due) / period;
            self.started = due + missed * period;
            self.due = Some(self.started + period);
        } else {
            self.due = None;
        }
        if self.lvt[0] & LVT_MASKED == 0 {
            self.accept(self.lvt[0] as u8, false);
        }
    }

    fn has_deadline(&self) -> bool {
        self.lvt[0] & TIMER_MODE == TIMER_DEADLINE
    }

    /// IA32_TSC_DEADLINE: 0 while no deadline is armed, and in the other modes.
    pub(crate) fn deadline(&mut self, now: u64) -> u64 {
        self.advance(now);
        let due = self.due.filter(|_| self.has_deadline());
        due.unwrap_or(0)
    }

    /// Writes IA32_TSC_DEADLINE: 0 disarms; in the other timer modes writes are ignored (SDM
    /// vol. 3, 11.5.4.1). A deadline that is past already expires at once.
    pub(crate) fn set_deadline(&mut self, value: u64, now: u64) {
        self.advance(now);
        if self.has_deadline() {
            self.due = (value != 0).then_some(value);
            self.advance(now);
        }
    }

    /// Cycles of one count.
    fn divisor(&self) -> u64 {
        let code = self.divide & 3 | self.divide >> 1 & 4;
        1 << ((code + 1) & 7)
    }

    /// Cycles from the initial count to zero; never 0 while the timer runs.
    fn period(&self) -> u64 {
        u64::from(self.initial) * self.divisor()
    }

    fn start(&mut self, now: u64) {
        self.started = now;
        self.due = (self.initial != 0).then(|| now + self.period());
    }

    fn current_count(&self, now: u64) -> u32 {
        match self.due {
            Some(due) if due > now && !self.has_deadline() => {
                (due - now).div_ceil(self.divisor()) as u32
            }
            _ => 0,
        }
    }

    /// Reads a register; `now` is the clock of the CPU that reads.
    pub(crate) fn read(&mut self, offset: u32, now: u64) -> u32 {
        self.advance(now);
        match offset {
            reg::ID => u32::from(self.id) << 24,
            reg::VERSION => VERSION,
            reg::TPR => self.tpr,
            reg::APR | reg::EOI | reg::RRD => 0,
            reg::PPR => self.ppr(),
            reg::LDR => self.ldr,
            reg::DFR => self.dfr,
            reg::SVR => self.svr,
            reg::ISR..reg::TMR => word(&self.isr, offset - reg::ISR),
            reg::TMR..reg::IRR => word(&self.tmr, offset - reg::TMR),
            reg::IRR..reg::ESR => word(&self.irr, offset - reg::IRR),
            reg::ICR_LOW => self.icr[0],
            reg::ICR_HIGH => self.icr[1],
            reg::LVT_TIMER..=reg::LVT_ERROR => self.lvt[((offset - reg::LVT_TIMER) / 16) as usize],
            reg::TMICT => self.initial,
            reg::TMCCT => self.current_count(now),
            reg::TDCR => self.divide,
            reg::ESR => self.status,
            _ => {
                self.error(esr::ILLEGAL_REGISTER);
                0
            }
        }
    }

    /// Writes a register.
    pub(crate) fn write(
        &mut self,
        offset: u32,
        value: u32,
        now: u64,
    ) -> Result<Effect, Unsupported> {
        self.advance(now);
        match offset {
            reg::TPR => self.tpr = value & 0xff,
            reg::EOI => {
                if let Some(vector) = highest(&self.isr) {
                    clear(&mut self.isr, vector);
                    if self.tmr[usize::from(vector) / 64] >> (vector % 64) & 1 != 0 {
                        return Ok(Effect::End(vector));
                    }
                }
            }
            reg::LDR => self.ldr = value & 0xff00_0000,
            reg::DFR => self.dfr = value | 0x0fff_ffff,
            reg::SVR => {
                self.svr = value & 0x3ff;
                if value & SVR_ENABLE == 0 {
                    self.lvt.iter_mut().for_each(|l| *l |= LVT_MASKED);
                }
            }
            reg::ICR_HIGH => self.icr[1] = value & 0xff00_0000,
            reg::ICR_LOW => {
                self.icr[0] = value & !(1 << 12);
                return self.command();
            }
            reg::ESR => {
                // "This write clears any previously logged errors and updates the ESR with any
                // errors detected since the last write" (SDM vol. 3, 11.5.3).
                self.status = std::mem::take(&mut self.errors);
                self.error_told = false;
            }
            reg::LVT_TIMER..=reg::LVT_ERROR => self.write_lvt(offset, value)?,
            reg::TMICT if self.has_deadline() => {}
            reg::TMICT => {
                self.initial = value;
                self.start(now);
            }
            reg::TDCR if self.has_deadline() => self.divide = value & 0xb,
            reg::TDCR => {
                // A running count goes on with the new divisor from what is left of it.
                let left = u64::from(self.current_count(now));
                self.divide = value & 0xb;
                if self.due.is_some() {
                    self.due = Some(now + left * self.divisor());
                }
            }
            // Read only.
            reg::ID | reg::VERSION | reg::APR | reg::PPR | reg::RRD | reg::TMCCT => {}
            reg::ISR..reg::ESR => {}
            _ => self.error(esr::ILLEGAL_REGISTER),
        }
        Ok(Effect::Nothing)
    }

    fn write_lvt(&mut self, offset: u32, value: u32) -> Result<(), Unsupported> {
        let n = ((offset - reg::LVT_TIMER) / 16) as usize;
        if n == 0 {
            if value & TIMER_MODE > TIMER_DEADLINE {
                return Err(Unsupported::TimerMode(value));
            }
            // "Transitioning between TSC-deadline mode and other timer modes also disarms the
            // timer" (SDM vol. 3, 11.5.4.1).
            if self.has_deadline() != (value & TIMER_MODE == TIMER_DEADLINE) {
                self.due = None;
                self.initial = 0;
            }
        }
        let enabled = self.svr & SVR_ENABLE != 0;
        self.lvt[n] = if enabled { value } else { value | LVT_MASKED };
        Ok(())
    }

    fn command(&mut self) -> Result<Effect, Unsupported> {
        let low = self.icr[0];
        let vector = low as u8;
        let mode = low >> 8 & 7;
        let delivery = match mode {
            0 | 1 if vector < 16 => {
                self.error(esr::SEND_ILLEGAL_VECTOR);
                return Ok(Effect::Nothing);
            }
            0 | 1 => Delivery::Fixed(vector),
            4 => Delivery::Nmi,
            // INIT with level de-assert only synchronises arbitration ids, which xAPIC lacks.
            5 if low & (1 << 14) == 0 => return Ok(Effect::Nothing),
            5 => Delivery::Init,
            6 => Delivery::Startup(vector),
            mode => return Err(Unsupported::DeliveryMode(mode)),
        };
        let to = match low >> 18 & 3 {
            0 if low & (1 << 11) != 0 => Destination::Logical((self.icr[1] >> 24) as u8),
            0 if self.icr[1] >> 24 == 0xff => Destination::All,
            0 => Destination::Apic((self.icr[1] >> 24) as u8),
            1 => Destination::Myself,
            2 => Destination::All,
            _ => Destination::AllButMyself,
        };
        Ok(Effect::Send(Command {
            delivery,
            to,
            lowest_priority: mode == 1,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enabled() -> Lapic {
        let mut apic = Lapic::new(3);
        apic.write(reg::SVR, SVR_ENABLE | 0xff, 0).unwrap();
        apic
    }

    #[test]
    fn identity_and_reset_values() {
        let mut apic = Lapic::new(3);
        assert_eq!(apic.read(reg::ID, 0), 3 << 24);
        assert_eq!(apic.read(reg::VERSION, 0) & 0xff, 0x14);
        assert_eq!(apic.read(reg::SVR, 0), 0xff);
        assert_eq!(apic.read(reg::LVT_TIMER, 0), LVT_MASKED);
        assert_eq!(apic.read(reg::DFR, 0), !0);
    }

    #[test]
    fn a_disabled_apic_takes_nothing_and_masks_its_vectors() {
        let mut apic = Lapic::new(0);
        apic.accept(0x40, false);
        assert_eq!(apic.pending(), None);
        apic.write(reg::LVT_TIMER, 0x40, 0).unwrap();
        assert_eq!(apic.read(reg::LVT_TIMER, 0), LVT_MASKED | 0x40);
    }

    #[test]
    fn the_highest_vector_first_and_priorities_hold_back_the_rest() {
        let mut apic = enabled();
        apic.accept(0x41, false);
        apic.accept(0xec, false);
        assert_eq!(apic.pending(), Some(0xec));
        assert_eq!(apic.acknowledge(), 0xec);
        assert_eq!(
            apic.pending(),
            None,
            "0x41 is of a lower class than what is in service"
        );
        assert_eq!(apic.read(reg::PPR, 0), 0xe0);
        apic.accept(0xef, false);
        assert_eq!(apic.pending(), None, "same class");
        apic.accept(0xfd, false);
        assert_eq!(apic.pending(), Some(0xfd), "higher class nests");
        apic.write(reg::EOI, 0, 0).unwrap();
        assert_eq!(apic.pending(), Some(0xfd));
        apic.write(reg::TPR, 0xf0, 0).unwrap();
        assert_eq!(apic.pending(), None);
    }

    #[test]
    fn irr_and_isr_are_visible_in_the_right_word() {
        let mut apic = enabled();
        apic.accept(0x41, false);
        assert_eq!(apic.read(reg::IRR + 0x20, 0), 2);
        assert_eq!(apic.acknowledge(), 0x41);
        assert_eq!(apic.read(reg::IRR + 0x20, 0), 0);
        assert_eq!(apic.read(reg::ISR + 0x20, 0), 2);
    }

    #[test]
    fn one_shot_counts_down_by_the_divisor_and_fires_once() {
        let mut apic = enabled();
        apic.write(reg::TDCR, 0b0011, 0).unwrap();
        apic.write(reg::LVT_TIMER, 0xec, 0).unwrap();
        apic.write(reg::TMICT, 10, 1_000).unwrap();
        assert_eq!(apic.timer_due(), Some(1_160), "divide by 16");
        assert_eq!(apic.read(reg::TMCCT, 1_016), 9);
        apic.advance(1_159);
        assert_eq!(apic.pending(), None);
        apic.advance(1_160);
        assert_eq!(apic.pending(), Some(0xec));
        assert_eq!(apic.timer_due(), None);
        assert_eq!(apic.read(reg::TMCCT, 1_200), 0);
    }

    #[test]
    fn periodic_keeps_its_grid_when_seen_late() {
        let mut apic = enabled();
        apic.write(reg::TDCR, 0b1011, 0).unwrap();
        apic.write(reg::LVT_TIMER, TIMER_PERIODIC | 0xec, 0)
            .unwrap();
        apic.write(reg::TMICT, 100, 0).unwrap();
        assert_eq!(apic.timer_due(), Some(100), "divide by 1");
        apic.advance(350);
        assert_eq!(apic.timer_due(), Some(400));
        assert_eq!(apic.read(reg::TMCCT, 350), 50);
        apic.write(reg::TMICT, 0, 350).unwrap();
        assert_eq!(apic.timer_due(), None);
    }

    #[test]
    fn a_masked_timer_runs_silently() {
        let mut apic = enabled();
        apic.write(reg::LVT_TIMER, LVT_MASKED | 0xec, 0).unwrap();
        apic.write(reg::TMICT, 10, 0).unwrap();
        assert_eq!(apic.timer_due(), None);
        assert_eq!(apic.read(reg::TMCCT, 4), 8);
        apic.advance(1_000);
        assert_eq!(apic.pending(), None);
    }

    #[test]
    fn logical_destinations_flat_and_clustered() {
        let mut apic = enabled();
        apic.write(reg::LDR, 0x04 << 24, 0).unwrap();
        assert!(apic.is_logical(0x06) && apic.is_logical(0xff) && !apic.is_logical(0x03));
        apic.write(reg::DFR, 0, 0).unwrap();
        apic.write(reg::LDR, 0x24 << 24, 0).unwrap();
        assert!(apic.is_logical(0x2c) && !apic.is_logical(0x34) && !apic.is_logical(0x23));
    }

    #[test]
    fn commands() {
        let mut apic = enabled();
        let mut send = |high: u32, low: u32| {
            apic.write(reg::ICR_HIGH, high, 0).unwrap();
            apic.write(reg::ICR_LOW, low, 0)
        };
        let command = |delivery, to| {
            Ok(Effect::Send(Command {
                delivery,
                to,
                lowest_priority: false,
            }))
        };
        let two = Destination::Apic(2);
        assert_eq!(send(2 << 24, 0xfd), command(Delivery::Fixed(0xfd), two));
        assert_eq!(send(2 << 24, 0xc500), command(Delivery::Init, two));
        assert_eq!(send(2 << 24, 0x8500), Ok(Effect::Nothing), "de-assert");
        assert_eq!(send(2 << 24, 0x699), command(Delivery::Startup(0x99), two));
        assert_eq!(send(2 << 24, 0x4402), command(Delivery::Nmi, two));
        let fixed = Delivery::Fixed(0xfc);
        assert_eq!(send(0xff << 24, 0xfc), command(fixed, Destination::All));
        assert_eq!(send(0, 0x4_00fc), command(fixed, Destination::Myself));
        assert_eq!(send(0, 0x8_00fc), command(fixed, Destination::All));
        assert_eq!(send(0, 0xc_00fc), command(fixed, Destination::AllButMyself));
        assert_eq!(
            send(5 << 24, 0x8fc),
            command(fixed, Destination::Logical(5))
        );
        let lowest = Command {
            delivery: fixed,
            to: Destination::Logical(5),
            lowest_priority: true,
        };
        assert_eq!(send(5 << 24, 0x9fc), Ok(Effect::Send(lowest)));
        assert_eq!(send(0, 0x2fc), Err(Unsupported::DeliveryMode(2)), "SMI");
    }

    /// SDM vol. 3, 11.8.5: an EOI is broadcast to the I/O APICs if the TMR says level.
    #[test]
    fn the_end_of_a_level_is_told_and_that_of_an_edge_is_not() {
        let mut apic = enabled();
        apic.accept(0x41, true);
        assert_eq!(apic.read(reg::TMR + 0x20, 0), 2);
        assert_eq!(apic.acknowledge(), 0x41);
        assert_eq!(apic.write(reg::EOI, 0, 0), Ok(Effect::End(0x41)));
        apic.accept(0x41, false);
        assert_eq!(apic.read(reg::TMR + 0x20, 0), 0);
        assert_eq!(apic.acknowledge(), 0x41);
        assert_eq!(apic.write(reg::EOI, 0, 0), Ok(Effect::Nothing));
    }

    /// SDM vol. 3, 11.9: the vector of the SVR, and no bit in the ISR.
    #[test]
    fn an_acknowledgement_of_nothing_is_spurious() {
        let mut apic = enabled();
        apic.accept(0x41, false);
        apic.write(reg::TPR, 0x50, 0).unwrap();
        assert_eq!(apic.acknowledge(), 0xff);
        assert_eq!(apic.read(reg::ISR + 0x70, 0), 0);
        apic.write(reg::TPR, 0, 0).unwrap();
        assert_eq!(apic.acknowledge(), 0x41, "held, not lost");
    }

    /// SDM vol. 3, 11.5.3.
    #[test]
    fn errors_are_logged_told_once_and_latched_by_a_write() {
        let mut apic = enabled();
        apic.write(reg::LVT_ERROR, 0xfe, 0).unwrap();
        assert_eq!(apic.write(reg::ICR_LOW, 0x0f, 0), Ok(Effect::Nothing));
        assert_eq!(apic.read(reg::ESR, 0), 0, "not before a write");
        assert_eq!(apic.acknowledge(), 0xfe);
        apic.write(reg::EOI, 0, 0).unwrap();
        apic.accept(3, false);
        assert_eq!(apic.pending(), None, "told already");
        apic.write(reg::ESR, 0, 0).unwrap();
        let both = esr::SEND_ILLEGAL_VECTOR | esr::RECEIVE_ILLEGAL_VECTOR;
        assert_eq!(apic.read(reg::ESR, 0), both);
        assert_eq!(apic.read(0x40, 0), 0, "a reserved register");
        assert_eq!(apic.acknowledge(), 0xfe, "armed again");
        apic.write(reg::ESR, 0, 0).unwrap();
        assert_eq!(apic.read(reg::ESR, 0), esr::ILLEGAL_REGISTER);
        apic.write(reg::ESR, 0, 0).unwrap();
        assert_eq!(apic.read(reg::ESR, 0), 0);
    }

    #[test]
    fn a_timer_with_an_illegal_vector_is_a_receive_error() {
        let mut apic = enabled();
        apic.write(reg::LVT_TIMER, 0x0f, 0).unwrap();
        apic.write(reg::TMICT, 1, 0).unwrap();
        apic.advance(100);
        apic.write(reg::ESR, 0, 100).unwrap();
        assert_eq!(apic.read(reg::ESR, 100), esr::RECEIVE_ILLEGAL_VECTOR);
    }

    /// SDM vol. 3, 11.5.4.1.
    #[test]
    fn a_deadline_fires_once_when_the_tsc_reaches_it() {
        let mut apic = enabled();
        apic.set_deadline(500, 0);
        assert_eq!(apic.deadline(0), 0, "ignored in the other modes");
        apic.write(reg::LVT_TIMER, TIMER_DEADLINE | 0xec, 0)
            .unwrap();
        apic.set_deadline(500, 10);
        assert_eq!((apic.deadline(10), apic.timer_due()), (500, Some(500)));
        assert_eq!(apic.read(reg::TMCCT, 10), 0);
        apic.write(reg::TMICT, 7, 10).unwrap();
        assert_eq!(apic.timer_due(), Some(500), "the count is ignored");
        apic.advance(499);
        assert_eq!(apic.pending(), None);
        apic.advance(500);
        assert_eq!(apic.pending(), Some(0xec));
        assert_eq!(apic.deadline(501), 0, "disarmed");
        assert_eq!(apic.acknowledge(), 0xec);
        apic.write(reg::EOI, 0, 510).unwrap();
        apic.set_deadline(100, 600);
        assert_eq!(apic.pending(), Some(0xec), "past already: at once");
    }

    #[test]
    fn a_deadline_is_disarmed_by_zero_and_by_another_mode() {
        let mut apic = enabled();
        apic.write(reg::LVT_TIMER, TIMER_DEADLINE | 0xec, 0)
            .unwrap();
        apic.set_deadline(500, 0);
        apic.set_deadline(0, 0);
        assert_eq!(apic.timer_due(), None);
        apic.set_deadline(500, 0);
        apic.write(reg::LVT_TIMER, 0xec, 0).unwrap();
        assert_eq!((apic.timer_due(), apic.deadline(0)), (None, 0));
        apic.write(reg::TMICT, 10, 0).unwrap();
        apic.write(reg::LVT_TIMER, TIMER_DEADLINE | 0xec, 0)
            .unwrap();
        assert_eq!(apic.timer_due(), None, "and the other way round");
    }
}
