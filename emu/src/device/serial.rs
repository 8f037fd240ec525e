//! A 16550A UART: National Semiconductor's PC16550D data sheet, with its two FIFOs of 16 bytes.
//!
//! Registers in, registers out: time is given with every access, and bytes that arrive are given by
//! the caller. The interrupt request is [`Serial::interrupt`], which the board puts on a line.
//!
//! Sending takes no time: the transmitter is empty again when the write is over. Bytes arrive as
//! fast as the receiver has room; the far end waits when it has none (hardware flow control). The
//! baud rate decides the character time-out only.
//!
//! Not emulated: parity, framing and break errors, modem lines but for loop-back, DMA modes,
//! the 16750's and later extensions.

use std::collections::VecDeque;

use crate::snapshot::saved;

const DATA: u16 = 0;
const IER: u16 = 1;
const IIR_FCR: u16 = 2;
const LCR: u16 = 3;
const MCR: u16 = 4;
const LSR: u16 = 5;
const MSR: u16 = 6;
const SCR: u16 = 7;

const IER_RECEIVED: u8 = 1;
const IER_THRE: u8 = 2;
const IER_LINE: u8 = 4;
const IER_MODEM: u8 = 8;
const IIR_NONE: u8 = 1;
const IIR_FIFOS: u8 = 0xc0;
const FCR_ENABLE: u8 = 1;
const FCR_CLEAR_RECEIVER: u8 = 2;
const LCR_DLAB: u8 = 0x80;
const LSR_DATA_READY: u8 = 1;
const LSR_OVERRUN: u8 = 2;
/// Transmitter and holding register empty.
const LSR_EMPTY: u8 = 0x60;
const MCR_OUT2: u8 = 8;
const MCR_LOOP: u8 = 0x10;
/// Carrier detect, data set ready, clear to send: a terminal that is always there.
const MSR_CONNECTED: u8 = 0xb0;

/// Bytes in each FIFO.
const FIFO: usize = 16;
/// The clock of a PC's UART, and how many of its cycles a bit of divisor 1 takes.
const CLOCK_HZ: u64 = 1_843_200;
const CLOCKS_PER_BIT: u64 = 16;

/// Number of ports.
pub(crate) const PORTS: u16 = 8;

/// The registers, the receiver's FIFO and what waits to be acknowledged.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Serial {
    ier: u8,
    fcr: u8,
    lcr: u8,
    mcr: u8,
    scr: u8,
    divisor: [u8; 2],
    received: VecDeque<u8>,
    /// A byte of the loop-back came when there was no room.
    overrun: bool,
    /// The holding register became empty, and nobody has read that yet.
    thre: bool,
    /// Bits 0 to 3 of the modem status: what changed since it was read.
    changes: u8,
    /// Bytes below the trigger level lay untouched for four characters.
    timed_out: bool,
    timeout_at: Option<u64>,
}

saved!(Serial {
    ier,
    fcr,
    lcr,
    mcr,
    scr,
    divisor,
    received,
    overrun,
    thre,
    changes,
    timed_out,
    timeout_at,
});

impl Serial {
    /// Reads a register.
    pub(crate) fn read(&mut self, port: u16, now: u64) -> u8 {
        match port {
            DATA if self.lcr & LCR_DLAB != 0 => self.divisor[0],
            DATA => self.take(now),
            IER if self.lcr & LCR_DLAB != 0 => self.divisor[1],
            IER => self.ier,
            IIR_FCR => self.identify(),
            LCR => self.lcr,
            MCR => self.mcr,
            LSR => {
                let ready = if self.received.is_empty() {
                    0
                } else {
                    LSR_DATA_READY
                };
                let overrun = std::mem::take(&mut self.overrun);
                LSR_EMPTY | ready | if overrun { LSR_OVERRUN } else { 0 }
            }
            MSR => self.modem() | std::mem::take(&mut self.changes),
            SCR => self.scr,
            _ => 0,
        }
    }

    /// Writes a register. A byte that is to be sent is returned; the caller calls
    /// [`Serial::sent`] when it has gone.
    pub(crate) fn write(&mut self, port: u16, value: u8, now: u64) -> Option<u8> {
        match port {
            DATA if self.lcr & LCR_DLAB != 0 => self.divisor[0] = value,
            IER if self.lcr & LCR_DLAB != 0 => self.divisor[1] = value,
            DATA => {
                // "Reset by writing into the transmitter holding register" (data sheet, table IV).
                self.thre = false;
                if self.mcr & MCR_LOOP == 0 {
                    return Some(value);
                }
                self.receive(value, now);
                self.thre = true;
            }
            IER => {
                // Enabling the interrupt with the register empty requests it at once.
                self.thre = value & IER_THRE != 0 && (self.thre || self.ier & IER_THRE == 0);
                self.ier = value & 0xf;
            }
            IIR_FCR => self.control_fifos(value),
            LCR => self.lcr = value,
            MCR => {
                let before = self.modem();
                self.mcr = value & 0x1f;
                let after = self.modem();
                let (changed, fell) = (before ^ after, before & !after);
                // CTS, DSR and DCD note any change, the ring indicator its end.
                self.changes |= changed >> 4 & 0b1011 | fell >> 4 & 0b0100;
            }
            SCR => self.scr = value,
            _ => {}
        }
        None
    }

    /// The byte that a write returned is on the line: the holding register is empty again.
    pub(crate) fn sent(&mut self) {
        self.thre = true;
    }

    /// Whether another byte can arrive.
    pub(crate) fn has_room(&self) -> bool {
        self.received.len() < if self.fifos() { FIFO } else { 1 }
    }

    /// A byte arrives.
    pub(crate) fn receive(&mut self, byte: u8, now: u64) {
        if !self.has_room() {
            self.overrun = true;
            return;
        }
        self.received.push_back(byte);
        if !self.timed_out {
            self.await_timeout(now);
        }
    }

    /// When [`Serial::advance`] will have something to do.
    pub(crate) fn due(&self) -> Option<u64> {
        self.timeout_at
    }

    /// Lets the character time-out catch up with the time.
    pub(crate) fn advance(&mut self, now: u64) {
        if self.timeout_at.is_some_and(|at| at <= now) {
            self.timeout_at = None;
            self.timed_out = !self.received.is_empty();
        }
    }

    /// The interrupt line of the port: the chip's request behind the gate that OUT2 opens on a PC.
    /// In loop-back the pin OUT2 is inactive.
    pub(crate) fn interrupt(&self) -> bool {
        self.mcr & (MCR_OUT2 | MCR_LOOP) == MCR_OUT2 && self.source() != IIR_NONE
    }

    fn fifos(&self) -> bool {
        self.fcr & FCR_ENABLE != 0
    }

    /// Bytes that must be there for the received-data interrupt.
    fn trigger(&self) -> usize {
        match self.fcr >> 6 {
            _ if !self.fifos() => 1,
            0 => 1,
            1 => 4,
            2 => 8,
            _ => 14,
        }
    }

    /// The interrupt of the highest priority, as bits 0 to 3 of the IIR (data sheet, table IV).
    fn source(&self) -> u8 {
        let enabled = |bit: u8| self.ier & bit != 0;
        if enabled(IER_LINE) && self.overrun {
            0x06
        } else if enabled(IER_RECEIVED) && self.received.len() >= self.trigger() {
            0x04
        } else if enabled(IER_RECEIVED) && self.timed_out {
            0x0c
        } else if enabled(IER_THRE) && self.thre {
            0x02
        } else if enabled(IER_MODEM) && self.changes != 0 {
            0x00
        } else {
            IIR_NONE
        }
    }

    fn identify(&mut self) -> u8 {
        let source = self.source();
        // Reading the IIR acknowledges this one interrupt, if it is the one that is told.
        if source == 0x02 {
            self.thre = false;
        }
        source | if self.fifos() { IIR_FIFOS } else { 0 }
    }

    fn control_fifos(&mut self, value: u8) {
        let toggled = (self.fcr ^ value) & FCR_ENABLE != 0;
        if toggled || value & FCR_CLEAR_RECEIVER != 0 {
            self.received.clear();
            self.timed_out = false;
            self.timeout_at = None;
        }
        // The two "clear" bits clear themselves; the others stay while FIFOs are on.
        self.fcr = if value & FCR_ENABLE != 0 {
            value & 0xc9
        } else {
            0
        };
    }

    /// The oldest byte received; 0 if there is none.
    fn take(&mut self, now: u64) -> u8 {
        let byte = self.received.pop_front().unwrap_or(0);
        self.timed_out = false;
        self.await_timeout(now);
        byte
    }

    /// Starts the wait for the time-out anew: four characters (data sheet, FIFO interrupt mode).
    fn await_timeout(&mut self, now: u64) {
        let waits = self.fifos() && !self.received.is_empty();
        self.timeout_at = waits.then(|| now.saturating_add(4 * self.character()));
    }

    /// Cycles that a character takes on the line: start, data, parity and stop bits.
    fn character(&self) -> u64 {
        let data = 5 + u64::from(self.lcr & 3);
        let parity = u64::from(self.lcr >> 3 & 1);
        let stop = 1 + u64::from(self.lcr >> 2 & 1);
        let divisor = u64::from(u16::from_le_bytes(self.divisor)).max(1);
        let clocks = (1 + data + parity + stop) * CLOCKS_PER_BIT * divisor;
        clocks * u64::from(crate::layout::HZ) / CLOCK_HZ
    }

    /// The upper half of the modem status: in loop-back the outputs DTR, RTS, OUT1 and OUT2 come
    /// back as DSR, CTS, RI and DCD.
    fn modem(&self) -> u8 {
        if self.mcr & MCR_LOOP == 0 {
            return MSR_CONNECTED;
        }
        let m = self.mcr;
        (m & 2) << 3 | (m & 1) << 5 | (m & 4) << 4 | (m & 8) << 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 115,200 baud, 8N1, FIFOs on with trigger level 8, OUT2 on: as Linux sets the console.
    fn console() -> Serial {
        let mut uart = Serial::default();
        uart.write(LCR, LCR_DLAB, 0);
        uart.write(DATA, 1, 0);
        uart.write(LCR, 3, 0);
        uart.write(IIR_FCR, 0x81, 0);
        uart.write(MCR, MCR_OUT2 | 3, 0);
        uart
    }

    #[test]
    fn sends_bytes_and_says_it_is_ready() {
        let mut uart = Serial::default();
        assert_eq!(uart.read(LSR, 0) & LSR_EMPTY, LSR_EMPTY);
        assert_eq!(uart.write(DATA, b'x', 0), Some(b'x'));
    }

    #[test]
    fn the_divisor_latch_hides_the_data_register() {
        let mut uart = Serial::default();
        uart.write(LCR, LCR_DLAB, 0);
        assert_eq!(uart.write(DATA, 1, 0), None);
        assert_eq!(uart.read(DATA, 0), 1);
        uart.write(LCR, 3, 0);
        assert_eq!(uart.write(DATA, b'y', 0), Some(b'y'));
    }

    #[test]
    fn loop_back_sends_nothing_and_mirrors_the_modem_lines() {
        let mut uart = Serial::default();
        uart.write(MCR, MCR_LOOP | 0xa, 0);
        assert_eq!(
            uart.read(MSR, 0) & 0xf0,
            0x90,
            "as Linux's autoconfig tests it"
        );
        assert_eq!(uart.read(MSR, 0) & 0xf, 0, "reading clears the deltas");
        assert_eq!(uart.write(DATA, b'z', 0), None);
        assert_eq!(uart.read(LSR, 0) & LSR_DATA_READY, LSR_DATA_READY);
        uart.write(DATA, b'!', 0);
        assert_eq!(uart.read(LSR, 0) & LSR_OVERRUN, LSR_OVERRUN, "no FIFO");
        assert_eq!(uart.read(LSR, 0) & LSR_OVERRUN, 0, "reading clears it");
        assert_eq!(uart.read(DATA, 0), b'z');
    }

    /// Table IV: the THRE interrupt is reset by reading the IIR or writing the THR, and enabling it
    /// with the register empty requests it at once (Linux tests chips for that).
    #[test]
    fn an_empty_holding_register_interrupts_until_it_is_told() {
        let mut uart = console();
        assert!(!uart.interrupt());
        uart.write(IER, IER_THRE, 0);
        assert!(uart.interrupt());
        assert_eq!(uart.read(IIR_FCR, 0), 0xc2);
        assert!(!uart.interrupt(), "told");
        assert_eq!(uart.read(IIR_FCR, 0), 0xc1);
        assert_eq!(uart.write(DATA, b'a', 0), Some(b'a'));
        assert!(!uart.interrupt(), "full until the byte has gone");
        uart.sent();
        assert!(uart.interrupt());
        uart.write(IER, 0, 0);
        assert!(!uart.interrupt());
        uart.write(IER, IER_THRE, 0);
        assert!(uart.interrupt(), "again");
    }

    #[test]
    fn out2_is_the_gate_and_loop_back_closes_it() {
        let mut uart = console();
        uart.write(IER, IER_THRE, 0);
        uart.write(MCR, 3, 0);
        assert!(!uart.interrupt());
        uart.write(MCR, MCR_OUT2, 0);
        assert!(uart.interrupt());
        uart.write(MCR, MCR_OUT2 | MCR_LOOP, 0);
        assert!(!uart.interrupt());
        assert_eq!(uart.read(IIR_FCR, 0), 0xc2, "the chip itself still asks");
    }

    #[test]
    fn received_data_interrupts_at_the_trigger_level_and_after_four_characters() {
        let mut uart = console();
        uart.write(IER, IER_RECEIVED, 0);
        for n in 0..7 {
            uart.receive(n, 1_000);
        }
        assert!(!uart.interrupt(), "below the level of 8");
        // 10 bits of 16 / 1.8432 MHz are 86,805 ns.
        assert_eq!(uart.due(), Some(1_000 + 4 * 86_805));
        uart.advance(1_000 + 4 * 86_805);
        assert_eq!(uart.read(IIR_FCR, 0), 0xcc, "character time-out");
        assert_eq!(uart.read(DATA, 400_000), 0);
        assert!(!uart.interrupt(), "a read ends the time-out");
        assert_eq!(uart.due(), Some(400_000 + 4 * 86_805), "and starts another");
        uart.receive(7, 400_000);
        assert!(!uart.interrupt());
        uart.receive(8, 400_000);
        assert_eq!(uart.read(IIR_FCR, 0), 0xc4);
        for n in 1..9 {
            assert_eq!(uart.read(DATA, 400_000), n);
        }
        assert_eq!((uart.interrupt(), uart.due()), (false, None));
        assert_eq!(uart.read(LSR, 0) & LSR_DATA_READY, 0);
    }

    #[test]
    fn without_fifos_one_byte_is_the_room_and_interrupts() {
        let mut uart = console();
        uart.write(IIR_FCR, 0, 0);
        uart.write(IER, IER_RECEIVED, 0);
        assert!(uart.has_room());
        uart.receive(b'a', 0);
        assert!(!uart.has_room() && uart.interrupt());
        assert_eq!(uart.read(IIR_FCR, 0), 0x04);
        uart.write(IIR_FCR, FCR_ENABLE, 0);
        assert!(!uart.interrupt(), "switching the FIFOs clears them");
    }

    #[test]
    fn line_status_comes_before_data_and_data_before_the_transmitter() {
        let mut uart = console();
        uart.write(IIR_FCR, 0, 0);
        uart.write(MCR, MCR_LOOP, 0);
        uart.write(IER, IER_LINE | IER_RECEIVED | IER_THRE | IER_MODEM, 0);
        uart.write(DATA, 1, 0);
        uart.write(DATA, 2, 0);
        assert_eq!(uart.read(IIR_FCR, 0), 0x06);
        uart.read(LSR, 0);
        assert_eq!(uart.read(IIR_FCR, 0), 0x04);
        uart.read(DATA, 0);
        assert_eq!(uart.read(IIR_FCR, 0), 0x02);
        assert_eq!(
            uart.read(IIR_FCR, 0),
            0x00,
            "modem lines changed by loop-back"
        );
        uart.read(MSR, 0);
        assert_eq!(uart.read(IIR_FCR, 0), IIR_NONE);
    }
}
