//! The I/O APIC: Intel's 82093AA data sheet, 24 pins.
//!
//! Lines go up and down, registers are read and written, vectors are ended; what is to be sent to
//! the local APICs comes back as [`Message`]s.
//!
//! Not emulated: SMI and ExtINT messages (nothing here could take them; they are dropped), the
//! arbitration bus (its register mirrors the id), the delivery status bit (a message leaves at once).

use super::lapic::{Command, Delivery, Destination};
use crate::snapshot::saved;

/// Number of pins.
pub(crate) const PINS: usize = 24;

/// Offsets of the two registers in memory space.
const IOREGSEL: u32 = 0x00;
const IOWIN: u32 = 0x10;

/// Indices of the registers behind the window.
const ID: u8 = 0;
const VERSION: u8 = 1;
const ARBITRATION: u8 = 2;
const TABLE: u8 = 0x10;

/// Version 0x11, 24 entries.
const VERSION_VALUE: u32 = 0x11 | (PINS as u32 - 1) << 16;

const LOGICAL: u64 = 1 << 11;
const STATUS: u64 = 1 << 12;
const LOW_ACTIVE: u64 = 1 << 13;
const REMOTE_IRR: u64 = 1 << 14;
const LEVEL: u64 = 1 << 15;
const MASKED: u64 = 1 << 16;
/// Bits that software cannot write.
const READ_ONLY: u64 = STATUS | REMOTE_IRR;
/// Bits of an entry that exist.
const EXISTING: u64 = 0xff00_0000_0001_ffff;

/// What goes to the local APICs: a command like those they send each other.
pub(crate) type Message = Command;

/// The registers and the levels of the pins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct IoApic {
    id: u8,
    select: u8,
    table: [u64; PINS],
    /// Bit n: pin n is electrically high.
    high: u32,
}

saved!(IoApic {
    id,
    select,
    table,
    high,
});

impl IoApic {
    /// The state after reset: every entry masked.
    pub(crate) fn new() -> Self {
        Self {
            id: 0,
            select: 0,
            table: [MASKED; PINS],
            high: 0,
        }
    }

    /// Reads a register in memory space.
    pub(crate) fn read(&self, offset: u32) -> u32 {
        match offset {
            IOREGSEL => self.select.into(),
            IOWIN => self.indexed(),
            _ => 0,
        }
    }

    /// Writes a register in memory space.
    pub(crate) fn write(&mut self, offset: u32, value: u32) -> Option<Message> {
        match offset {
            IOREGSEL => self.select = value as u8,
            IOWIN => return self.write_indexed(value),
            _ => {}
        }
        None
    }

    /// Sets the level of a pin.
    pub(crate) fn set_line(&mut self, pin: usize, high: bool) -> Option<Message> {
        let before = self.is_active(pin);
        self.high = self.high & !(1 << pin) | u32::from(high) << pin;
        let entry = self.table[pin];
        if entry & LEVEL != 0 {
            return self.service_level(pin);
        }
        // "Edge-sensitive interrupts signaled on a masked interrupt pin are ignored (i.e., not
        // delivered or held pending)" (section 3.2.4).
        let edge = !before && self.is_active(pin);
        (edge && entry & MASKED == 0)
            .then(|| message(entry))
            .flatten()
    }

    /// A local APIC ended an interrupt that came as a level: Remote IRR is reset where the vector
    /// matches (section 3.2.4, bit 14).
    pub(crate) fn end(&mut self, vector: u8) -> Vec<Message> {
        let mut again = Vec::new();
        for pin in 0..PINS {
            let entry = &mut self.table[pin];
            if *entry & (LEVEL | REMOTE_IRR) == LEVEL | REMOTE_IRR && *entry as u8 == vector {
                *entry &= !REMOTE_IRR;
                again.extend(self.service_level(pin));
            }
        }
        again
    }

    fn indexed(&self) -> u32 {
        match self.select {
            ID | ARBITRATION => u32::from(self.id) << 24,
            VERSION => VERSION_VALUE,
            _ => match self.entry() {
                Some((pin, shift)) => (self.table[pin] >> shift) as u32,
                None => 0,
            },
        }
    }

    /// The pin and the half of its entry that is selected.
    fn entry(&self) -> Option<(usize, u32)> {
        let n = self.select.checked_sub(TABLE)?;
        let pin = usize::from(n / 2);
        (pin < PINS).then_some((pin, u32::from(n % 2) * 32))
    }

    fn write_indexed(&mut self, value: u32) -> Option<Message> {
        if self.select == ID {
            self.id = (value >> 24) as u8 & 0xf;
            return None;
        }
        let (pin, shift) = self.entry()?;
        let before = self.is_active(pin);
        let old = self.table[pin];
        let half = 0xffff_ffff << shift;
        let written = (old & !half | u64::from(value) << shift) & EXISTING;
        let mut entry = old & READ_ONLY | written & !READ_ONLY;
        if entry & LEVEL == 0 {
            // Remote IRR has a meaning for levels only; software switches to edge to clear it.
            entry &= !REMOTE_IRR;
        }
        self.table[pin] = entry;
        if entry & LEVEL != 0 {
            return self.service_level(pin);
        }
        // Turning the polarity over a steady line is an edge like another.
        let edge = !before && self.is_active(pin);
        (edge && entry & MASKED == 0)
            .then(|| message(entry))
            .flatten()
    }

    fn is_active(&self, pin: usize) -> bool {
        (self.high >> pin & 1 != 0) != (self.table[pin] & LOW_ACTIVE != 0)
    }

    /// Sends a level that nobody has accepted yet; Remote IRR stays until it is ended.
    fn service_level(&mut self, pin: usize) -> Option<Message> {
        let active = self.is_active(pin);
        let entry = &mut self.table[pin];
        if !active || *entry & (MASKED | REMOTE_IRR) != 0 {
            return None;
        }
        let sent = message(*entry)?;
        if matches!(sent.delivery, Delivery::Level(_)) {
            *entry |= REMOTE_IRR;
        }
        Some(sent)
    }
}

/// What an entry sends.
fn message(entry: u64) -> Option<Message> {
    let vector = entry as u8;
    let fixed = if entry & LEVEL != 0 {
        Delivery::Level(vector)
    } else {
        Delivery::Fixed(vector)
    };
    let mode = entry >> 8 & 7;
    let delivery = match mode {
        0 | 1 => fixed,
        4 => Delivery::Nmi,
        5 => Delivery::Init,
        // SMI, ExtINT and the reserved ones.
        _ => return None,
    };
    let to = (entry >> 56) as u8;
    let to = match (entry & LOGICAL != 0, to) {
        (true, mask) => Destination::Logical(mask),
        (false, 0xff) => Destination::All,
        (false, id) => Destination::Apic(id),
    };
    Some(Command {
        delivery,
        to,
        lowest_priority: mode == 1,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(io: &mut IoApic, index: u8, value: u32) -> Option<Message> {
        io.write(IOREGSEL, index.into());
        io.write(IOWIN, value)
    }

    fn get(io: &mut IoApic, index: u8) -> u32 {
        io.write(IOREGSEL, index.into());
        io.read(IOWIN)
    }

    fn fixed(vector: u8, to: u8) -> Option<Message> {
        Some(Command {
            delivery: Delivery::Fixed(vector),
            to: Destination::Apic(to),
            lowest_priority: false,
        })
    }

    fn level(vector: u8, to: u8) -> Option<Message> {
        fixed(vector, to).map(|m| Message {
            delivery: Delivery::Level(vector),
            ..m
        })
    }

    #[test]
    fn identity_and_reset_values() {
        let mut io = IoApic::new();
        assert_eq!(get(&mut io, VERSION), 0x0017_0011, "24 entries");
        put(&mut io, ID, 0xff00_0000);
        assert_eq!(get(&mut io, ID), 0x0f00_0000, "four bits");
        assert_eq!(get(&mut io, ARBITRATION), 0x0f00_0000);
        assert_eq!(get(&mut io, TABLE), MASKED as u32);
        assert_eq!(get(&mut io, TABLE + 47), 0);
        assert_eq!(get(&mut io, TABLE + 48), 0, "there is no pin 24");
    }

    #[test]
    fn an_edge_is_sent_once_and_ignored_while_masked() {
        let mut io = IoApic::new();
        assert_eq!(io.set_line(4, true), None, "masked");
        put(&mut io, TABLE + 9, 2 << 24);
        assert_eq!(put(&mut io, TABLE + 8, 0x31), None, "not held pending");
        assert_eq!(io.set_line(4, true), None, "no edge");
        io.set_line(4, false);
        assert_eq!(io.set_line(4, true), fixed(0x31, 2));
        assert_eq!(io.end(0x31), [], "edges are not ended");
    }

    #[test]
    fn a_level_is_sent_until_it_falls_and_once_for_each_end() {
        let mut io = IoApic::new();
        put(&mut io, TABLE + 8, LEVEL as u32 | 0x41);
        assert_eq!(io.set_line(4, true), level(0x41, 0));
        assert_eq!(get(&mut io, TABLE + 8) as u64 & REMOTE_IRR, REMOTE_IRR);
        assert_eq!(io.set_line(4, true), None, "accepted, and not yet ended");
        assert_eq!(io.end(0x42), [], "another vector");
        assert_eq!(io.end(0x41), [level(0x41, 0).unwrap()], "still asserted");
        io.set_line(4, false);
        assert_eq!(io.end(0x41), []);
        assert_eq!(get(&mut io, TABLE + 8) as u64 & REMOTE_IRR, 0);
    }

    #[test]
    fn unmasking_an_asserted_level_sends_it() {
        let mut io = IoApic::new();
        put(&mut io, TABLE + 8, (LEVEL | MASKED) as u32 | 0x41);
        assert_eq!(io.set_line(4, true), None);
        assert_eq!(put(&mut io, TABLE + 8, LEVEL as u32 | 0x41), level(0x41, 0));
    }

    /// Linux does so to end an interrupt on I/O APICs without an EOI register.
    #[test]
    fn switching_to_edge_and_back_clears_remote_irr() {
        let mut io = IoApic::new();
        put(&mut io, TABLE + 8, LEVEL as u32 | 0x41);
        io.set_line(4, true);
        io.set_line(4, false);
        put(&mut io, TABLE + 8, MASKED as u32 | 0x41);
        put(&mut io, TABLE + 8, LEVEL as u32 | 0x41);
        assert_eq!(get(&mut io, TABLE + 8) as u64 & REMOTE_IRR, 0);
        assert_eq!(io.set_line(4, true), level(0x41, 0));
    }

    #[test]
    fn status_bits_cannot_be_written() {
        let mut io = IoApic::new();
        put(&mut io, TABLE + 8, !0);
        assert_eq!(
            get(&mut io, TABLE + 8) as u64,
            0x1_ffff & !(STATUS | REMOTE_IRR)
        );
        put(&mut io, TABLE + 9, !0);
        assert_eq!(get(&mut io, TABLE + 9), 0xff00_0000);
    }

    #[test]
    fn low_active_pins_are_turned_over() {
        let mut io = IoApic::new();
        io.set_line(4, true);
        put(&mut io, TABLE + 8, LOW_ACTIVE as u32 | 0x31);
        assert_eq!(io.set_line(4, false), fixed(0x31, 0));
        assert_eq!(io.set_line(4, true), None);
    }

    #[test]
    fn modes_and_destinations() {
        let mut io = IoApic::new();
        let mut sends = |low: u32, high: u32| {
            io.set_line(4, false);
            put(&mut io, TABLE + 9, high);
            put(&mut io, TABLE + 8, low);
            io.set_line(4, true)
        };
        let lowest = Command {
            delivery: Delivery::Fixed(0x31),
            to: Destination::Logical(6),
            lowest_priority: true,
        };
        assert_eq!(sends(0x931, 6 << 24), Some(lowest));
        assert_eq!(sends(0x31, 0xff << 24).unwrap().to, Destination::All);
        assert_eq!(sends(0x400, 0).unwrap().delivery, Delivery::Nmi);
        assert_eq!(sends(0x500, 0).unwrap().delivery, Delivery::Init);
        assert_eq!(sends(0x200, 0), None, "SMI");
        assert_eq!(sends(0x700, 0), None, "ExtINT");
    }
}
