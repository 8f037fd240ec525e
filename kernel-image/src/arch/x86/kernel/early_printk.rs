//! The serial console: a 16550 at 0x3f8, polled.
//!
//! Linux: arch/x86/kernel/early_printk.c (early serial), v6.8. It stays the console afterwards: the machine
//! gives the UART no interrupt, so Linux's 8250 driver would poll too.
#![expect(unsafe_code, reason = "port output")]

use crate::arch::x86::include::asm::io::{inb, outb};

const PORT: u16 = 0x3f8;
/// Transmit holding register.
const TXR: u16 = PORT;
/// Interrupt enable.
const IER: u16 = PORT + 1;
/// FIFO control.
const FCR: u16 = PORT + 2;
/// Line control.
const LCR: u16 = PORT + 3;
/// Modem control.
const MCR: u16 = PORT + 4;
/// Line status.
const LSR: u16 = PORT + 5;
const XMTRDY: u8 = 0x20;

/// Sets 115200 8n1, no interrupts.
pub fn early_serial_init() {
    // SAFETY: the UART's registers; they reach no memory.
    unsafe {
        outb(0x03, LCR);
        outb(0, IER);
        outb(0, FCR);
        outb(0x03, MCR);
        outb(0x83, LCR);
        outb(1, TXR);
        outb(0, IER);
        outb(0x03, LCR);
    }
}

/// Sends one byte, after the one before has left. Gives up waiting when the port does not answer.
pub fn serial_putc(byte: u8) {
    let mut timeout = 0xffff;
    // SAFETY: as above.
    unsafe {
        while inb(LSR) & XMTRDY == 0 && timeout > 0 {
            core::hint::spin_loop();
            timeout -= 1;
        }
        outb(byte, TXR);
    }
}
