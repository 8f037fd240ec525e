//! A 16550 UART for output (the National Semiconductor data sheet's registers).
//!
//! The transmitter is always empty. Not emulated: input, interrupts, FIFO limits, modem lines
//! (loop-back answers as Linux's probe expects), baud rates (the divisor is kept).

use crate::snapshot::saved;

const DATA: u16 = 0;
const IER: u16 = 1;
const IIR_FCR: u16 = 2;
const LCR: u16 = 3;
const MCR: u16 = 4;
const LSR: u16 = 5;
const MSR: u16 = 6;
const SCR: u16 = 7;

const LCR_DLAB: u8 = 0x80;
/// Transmitter and holding register empty.
const LSR_EMPTY: u8 = 0x60;
const MCR_LOOP: u8 = 0x10;

/// Number of ports.
pub(crate) const PORTS: u16 = 8;

/// The registers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Serial {
    ier: u8,
    fcr: u8,
    lcr: u8,
    mcr: u8,
    scr: u8,
    divisor: [u8; 2],
}

saved!(Serial {
    ier,
    fcr,
    lcr,
    mcr,
    scr,
    divisor,
});

impl Serial {
    /// Reads a register.
    pub(crate) fn read(&self, port: u16) -> u8 {
        match port {
            DATA if self.lcr & LCR_DLAB != 0 => self.divisor[0],
            IER if self.lcr & LCR_DLAB != 0 => self.divisor[1],
            IER => self.ier,
            IIR_FCR if self.fcr & 1 != 0 => 0xc1,
            IIR_FCR => 0x01,
            LCR => self.lcr,
            MCR => self.mcr,
            LSR => LSR_EMPTY,
            MSR if self.mcr & MCR_LOOP != 0 => {
                let m = self.mcr;
                (m & 2) << 3 | (m & 1) << 5 | (m & 4) << 4 | (m & 8) << 4
            }
            MSR => 0xb0,
            SCR => self.scr,
            _ => 0,
        }
    }

    /// Writes a register; the byte sent, if it was the data register.
    pub(crate) fn write(&mut self, port: u16, value: u8) -> Option<u8> {
        match port {
            DATA if self.lcr & LCR_DLAB != 0 => self.divisor[0] = value,
            IER if self.lcr & LCR_DLAB != 0 => self.divisor[1] = value,
            DATA if self.mcr & MCR_LOOP == 0 => return Some(value),
            IER => self.ier = value & 0xf,
            IIR_FCR => self.fcr = value,
            LCR => self.lcr = value,
            MCR => self.mcr = value & 0x1f,
            SCR => self.scr = value,
            _ => {}
        }
        None
    }

    /// The state, for the digest.
    pub(crate) fn bytes(&self) -> [u8; 7] {
        [
            self.ier,
            self.fcr,
            self.lcr,
            self.mcr,
            self.scr,
            self.divisor[0],
            self.divisor[1],
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sends_bytes_and_says_it_is_ready() {
        let mut uart = Serial::default();
        assert_eq!(uart.read(LSR) & LSR_EMPTY, LSR_EMPTY);
        assert_eq!(uart.write(DATA, b'x'), Some(b'x'));
    }

    #[test]
    fn the_divisor_latch_hides_the_data_register() {
        let mut uart = Serial::default();
        uart.write(LCR, LCR_DLAB);
        assert_eq!(uart.write(DATA, 1), None);
        assert_eq!(uart.read(DATA), 1);
        uart.write(LCR, 3);
        assert_eq!(uart.write(DATA, b'y'), Some(b'y'));
    }

    #[test]
    fn loop_back_sends_nothing_and_mirrors_the_modem_lines() {
        let mut uart = Serial::default();
        uart.write(MCR, MCR_LOOP | 0xa);
        assert_eq!(
            uart.read(MSR) & 0xf0,
            0x90,
            "as Linux's autoconfig tests it"
        );
        assert_eq!(uart.write(DATA, b'z'), None);
    }
}
