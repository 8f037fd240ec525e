//! What is on the board besides the CPUs: the UART, the clock chip, the I/O APIC, and the ports that
//! switch off or reset. One value that all vCPUs share; it knows no CPU and no engine.
//!
//! Port accesses come in with the clock of the vCPU that makes them. Interrupt messages go out
//! through an [outbox](Board::take_messages), which the machine empties at the next legal stop.
//! Things that happen by themselves (a byte typed, a character time-out) happen at the start of the
//! first window at or after their time.
//!
//! Of the keyboard controller there is only the pulse on its reset line; of the reset control
//! register (port 0xcf9) only the bit that resets. Every reset ends the run.

use std::collections::VecDeque;

use super::cmos::Cmos;
use super::ioapic::{IoApic, Message};
use super::serial::{self, Serial};
use crate::error::Error;
use crate::layout::*;
use crate::snapshot::{Reader, Saved, Writer, bad, saved};

/// The port after COM1's last.
const COM1_END: u16 = COM1 + serial::PORTS;
/// "Reset CPU": a reset begins when it goes from 0 to 1.
const RST_CPU: u8 = 1 << 2;

/// How the guest ended the run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    PowerOff,
    Reset,
}

/// A byte on its way to the UART.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Typed {
    /// When it is typed.
    pub(crate) at: u64,
    pub(crate) byte: u8,
}

/// What a write to a port did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Written {
    Done,
    /// The UART sent a byte.
    Sent(u8),
    /// No device has this port.
    Nowhere,
}

/// The devices and what is on its way from and to them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Board {
    serial: Serial,
    cmos: Cmos,
    ioapic: IoApic,
    reset_control: u8,
    /// Sorted by time; those of one time in the order they were given.
    typed: VecDeque<Typed>,
    messages: Vec<(u64, Message)>,
    /// The time at which something happens by itself was changed by an access.
    rescheduled: bool,
    end: Option<End>,
}

saved!(Typed { at, byte });

saved!(Board {
    serial,
    cmos,
    ioapic,
    reset_control,
    typed,
    messages,
    rescheduled,
    end,
});

impl Saved for End {
    fn save(&self, to: &mut Writer) {
        let code: u8 = match self {
            End::PowerOff => 1,
            End::Reset => 2,
        };
        code.save(to);
    }

    fn load(from: &mut Reader<'_>) -> Result<Self, Error> {
        Ok(match u8::load(from)? {
            1 => End::PowerOff,
            2 => End::Reset,
            other => return Err(bad(format!("end {other}"))),
        })
    }
}

impl Board {
    pub(crate) fn new() -> Self {
        Self {
            serial: Serial::default(),
            cmos: Cmos::default(),
            ioapic: IoApic::new(),
            reset_control: 0,
            typed: VecDeque::new(),
            messages: Vec::new(),
            rescheduled: false,
            end: None,
        }
    }

    /// Reads a port; `None` if no device has it.
    pub(crate) fn port_in(&mut self, port: u16, size: u32, now: u64) -> Option<u32> {
        if size != 1 {
            return None;
        }
        Some(match port {
            COM1..COM1_END => {
                let value = self.serial.read(port - COM1, now);
                self.serial_changed(now);
                value.into()
            }
            CMOS_DATA => self.cmos.read().into(),
            CMOS_INDEX => self.cmos.index().into(),
            RESET_CONTROL => self.reset_control.into(),
            // Both buffers empty.
            KEYBOARD_COMMAND => 0,
            SLEEP_CONTROL | SLEEP_STATUS => 0,
            _ => return None,
        })
    }

    /// Writes a port.
    pub(crate) fn port_out(&mut self, port: u16, size: u32, value: u32, now: u64) -> Written {
        // POST codes and the I/O delay of old hardware, at any size.
        if matches!(port, POST_CODE | IO_DELAY) {
            return Written::Done;
        }
        if size != 1 {
            return Written::Nowhere;
        }
        let value = value as u8;
        match port {
            COM1..COM1_END => {
                let sent = self.serial.write(port - COM1, value, now);
                self.serial_changed(now);
                if let Some(byte) = sent {
                    self.serial.sent();
                    self.serial_changed(now);
                    return Written::Sent(byte);
                }
            }
            CMOS_INDEX => self.cmos.select(value),
            CMOS_DATA | SLEEP_STATUS => {}
            SLEEP_CONTROL => {
                if value == S5_SLP_TYP << 2 | SLP_EN {
                    self.end = Some(End::PowerOff);
                }
            }
            RESET_CONTROL => {
                if value & !self.reset_control & RST_CPU != 0 {
                    self.end = Some(End::Reset);
                }
                self.reset_control = value;
            }
            // Commands 0xf0 to 0xff pulse the lines whose bit is 0; bit 0 is the reset line.
            KEYBOARD_COMMAND => {
                if value & 0xf1 == 0xf0 {
                    self.end = Some(End::Reset);
                }
            }
            _ => return Written::Nowhere,
        }
        Written::Done
    }

    /// Reads a register of the I/O APIC.
    pub(crate) fn ioapic_read(&self, offset: u32) -> u32 {
        self.ioapic.read(offset)
    }

    /// Writes a register of the I/O APIC.
    pub(crate) fn ioapic_write(&mut self, offset: u32, value: u32, now: u64) {
        let message = self.ioapic.write(offset, value);
        self.messages.extend(message.map(|m| (now, m)));
    }

    /// A local APIC ended a level-triggered interrupt.
    pub(crate) fn end_of_interrupt(&mut self, vector: u8, now: u64) {
        let again = self.ioapic.end(vector);
        self.messages.extend(again.into_iter().map(|m| (now, m)));
    }

    /// Types a byte at a time, or as soon after it as the receiver has room.
    pub(crate) fn type_byte(&mut self, typed: Typed) {
        let at = self.typed.partition_point(|t| t.at <= typed.at);
        self.typed.insert(at, typed);
    }

    /// When something next happens by itself, but for bytes that wait for room.
    pub(crate) fn next_event(&self, now: u64) -> Option<u64> {
        let typed = self.typed.front().map(|t| t.at).filter(|at| *at > now);
        [typed, self.serial.due()].into_iter().flatten().min()
    }

    /// Whether bytes wait for room in the receiver.
    pub(crate) fn holds_back(&self, now: u64) -> bool {
        self.typed.front().is_some_and(|t| t.at <= now)
    }

    /// Does what happens by itself up to now.
    pub(crate) fn advance(&mut self, now: u64) {
        self.serial.advance(now);
        while self.holds_back(now) && self.serial.has_room() {
            let Some(typed) = self.typed.pop_front() else {
                break;
            };
            self.serial.receive(typed.byte, now);
        }
        self.serial_changed(now);
        self.rescheduled = false;
    }

    /// Whether the machine must look after the board at the next legal stop.
    #[inline]
    pub(crate) fn wants_attention(&self) -> bool {
        self.rescheduled || self.end.is_some() || !self.messages.is_empty()
    }

    /// The messages to local APICs, each with the time it was sent.
    pub(crate) fn take_messages(&mut self) -> Vec<(u64, Message)> {
        std::mem::take(&mut self.messages)
    }

    /// Whether [`Board::next_event`] changed since this was last asked.
    pub(crate) fn take_rescheduled(&mut self) -> bool {
        std::mem::take(&mut self.rescheduled)
    }

    /// How the guest ended the run, if it did.
    pub(crate) fn end(&self) -> Option<End> {
        self.end
    }

    /// Puts the UART's request on its line.
    fn serial_changed(&mut self, now: u64) {
        let level = self.serial.interrupt();
        let message = self.ioapic.set_line(COM1_IRQ, level);
        self.messages.extend(message.map(|m| (now, m)));
        self.rescheduled |= self.serial.due().is_some() || self.holds_back(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::lapic::{Command, Delivery, Destination};

    fn out(board: &mut Board, port: u16, value: u8) -> Written {
        board.port_out(port, 1, value.into(), 7)
    }

    /// The I/O APIC sends vector 0x34 to APIC 0 for the UART; its interrupts pass the gate.
    fn wired() -> Board {
        let mut board = Board::new();
        board.ioapic_write(0, 0x10 + 2 * COM1_IRQ as u32, 0);
        board.ioapic_write(0x10, 0x34, 0);
        out(&mut board, COM1 + 4, 8);
        board
    }

    const SENT: Message = Command {
        delivery: Delivery::Fixed(0x34),
        to: Destination::Apic(0),
        lowest_priority: false,
    };

    #[test]
    fn each_byte_sent_is_an_edge_on_line_4() {
        let mut board = wired();
        assert!(!board.wants_attention());
        out(&mut board, COM1 + 1, 2);
        assert_eq!(board.take_messages(), [(7, SENT)], "empty from the start");
        assert_eq!(out(&mut board, COM1, b'x'), Written::Sent(b'x'));
        assert_eq!(board.take_messages(), [(7, SENT)], "full, empty again");
        assert_eq!(board.port_in(COM1 + 2, 1, 8), Some(0x02));
        assert!(!board.wants_attention());
    }

    #[test]
    fn typed_bytes_arrive_in_order_and_wait_for_room() {
        let mut board = wired();
        out(&mut board, COM1 + 1, 1);
        for (at, byte) in [(200, b'b'), (100, b'a'), (200, b'c')] {
            board.type_byte(Typed { at, byte });
        }
        assert_eq!(board.next_event(0), Some(100));
        board.advance(99);
        assert!(!board.wants_attention());
        board.advance(100);
        assert_eq!(board.take_messages(), [(100, SENT)]);
        board.advance(250);
        assert!(!board.wants_attention(), "no FIFO: one byte is the room");
        assert!(board.holds_back(250));
        assert_eq!(board.next_event(250), None, "only a read makes room");
        assert_eq!(board.port_in(COM1, 1, 260), Some(b'a'.into()));
        assert!(board.take_rescheduled());
        board.advance(300);
        assert_eq!(board.take_messages(), [(300, SENT)]);
        assert_eq!(board.port_in(COM1, 1, 310), Some(b'b'.into()));
    }

    #[test]
    fn the_ends_of_a_run() {
        let mut board = Board::new();
        out(&mut board, SLEEP_CONTROL, SLP_EN);
        assert_eq!(board.end(), None, "another sleep state");
        out(&mut board, SLEEP_CONTROL, S5_SLP_TYP << 2 | SLP_EN);
        assert_eq!(board.end(), Some(End::PowerOff));
        let mut board = Board::new();
        out(&mut board, KEYBOARD_COMMAND, 0xff);
        out(&mut board, KEYBOARD_COMMAND, 0x60);
        assert_eq!(board.end(), None);
        out(&mut board, KEYBOARD_COMMAND, 0xfe);
        assert_eq!(board.end(), Some(End::Reset));
        let mut board = Board::new();
        out(&mut board, RESET_CONTROL, 0x02);
        assert_eq!(
            (board.end(), board.port_in(RESET_CONTROL, 1, 0)),
            (None, Some(2))
        );
        out(&mut board, RESET_CONTROL, 0x06);
        assert_eq!(board.end(), Some(End::Reset));
    }

    #[test]
    fn ports_of_nobody_and_of_the_wrong_size() {
        let mut board = Board::new();
        assert_eq!(board.port_in(0x61, 1, 0), None);
        assert_eq!(board.port_in(COM1, 2, 0), None);
        assert_eq!(board.port_out(COM1, 4, 0, 0), Written::Nowhere);
        assert_eq!(board.port_out(POST_CODE, 1, 0, 0), Written::Done);
    }
}
