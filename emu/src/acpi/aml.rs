//! The DSDT, as AML bytes (ACPI 6.5, chapter 20). In ASL it is
//!
//! ```text
//! Scope (\_SB) {
//!     Device (COM1) {
//!         Name (_HID, EisaId ("PNP0501"))
//!         Name (_UID, One)
//!         Name (_STA, 0x0F)
//!         Name (_CRS, ResourceTemplate () {
//!             IO (Decode16, 0x03F8, 0x03F8, 0x00, 0x08)
//!             IRQNoFlags () { 4 }
//!         })
//!     }
//! }
//! Name (\_S5, Package () { 5, 5, 0, 0 })
//! ```

use crate::device::serial;
use crate::layout::{COM1, COM1_IRQ, S5_SLP_TYP};

const NAME: u8 = 0x08;
const BYTE: u8 = 0x0a;
const DWORD: u8 = 0x0c;
const SCOPE: u8 = 0x10;
const BUFFER: u8 = 0x11;
const PACKAGE: u8 = 0x12;
const EXTENDED: u8 = 0x5b;
const DEVICE: u8 = 0x82;
const ONE: u8 = 0x01;

/// Small resource descriptors (ACPI 6.5, section 6.4.2): I/O ports, IRQ without flags, end.
const IO_PORTS: u8 = 0x47;
const DECODE_16: u8 = 1;
const IRQ_NO_FLAGS: u8 = 0x22;
const END: u8 = 0x79;

/// The definition block.
pub(super) fn dsdt() -> Vec<u8> {
    let mut all = scope(b"_SB_", &com1());
    let soft_off = [BYTE, S5_SLP_TYP, BYTE, S5_SLP_TYP, 0, 0];
    all.extend(name(b"_S5_", &package(4, &soft_off)));
    all
}

fn com1() -> Vec<u8> {
    let [low, high] = COM1.to_le_bytes();
    let mut resources = vec![
        IO_PORTS,
        DECODE_16,
        low,
        high,
        low,
        high,
        0,
        serial::PORTS as u8,
    ];
    resources.push(IRQ_NO_FLAGS);
    resources.extend((1u16 << COM1_IRQ).to_le_bytes());
    // A checksum of 0 is not checked.
    resources.extend([END, 0]);
    let mut id = vec![DWORD];
    id.extend(eisa_id(b"PNP0501"));
    let mut inside = b"COM1".to_vec();
    inside.extend(name(b"_HID", &id));
    inside.extend(name(b"_UID", &[ONE]));
    inside.extend(name(b"_STA", &[BYTE, 0x0f]));
    inside.extend(name(b"_CRS", &buffer(&resources)));
    let mut device = vec![EXTENDED, DEVICE];
    device.extend(with_length(&inside));
    device
}

fn scope(path: &[u8], inside: &[u8]) -> Vec<u8> {
    let mut all = vec![SCOPE];
    all.extend(with_length(&[path, inside].concat()));
    all
}

fn name(of: &[u8; 4], value: &[u8]) -> Vec<u8> {
    let mut all = vec![NAME];
    all.extend(of);
    all.extend(value);
    all
}

fn package(elements: u8, values: &[u8]) -> Vec<u8> {
    let mut all = vec![PACKAGE];
    all.extend(with_length(&[&[elements][..], values].concat()));
    all
}

fn buffer(bytes: &[u8]) -> Vec<u8> {
    let mut all = vec![BUFFER];
    all.extend(with_length(
        &[&[BYTE, bytes.len() as u8][..], bytes].concat(),
    ));
    all
}

/// A package length, which counts its own bytes too, and what it is the length of (section 20.2.4):
/// one byte up to 63, else two with the low four bits first.
fn with_length(inside: &[u8]) -> Vec<u8> {
    let one = inside.len() + 1;
    let mut all = match one {
        0..64 => vec![one as u8],
        _ => {
            let two = one + 1;
            debug_assert!(two < 1 << 12);
            vec![0x40 | two as u8 & 0xf, (two >> 4) as u8]
        }
    };
    all.extend(inside);
    all
}

/// Three letters of five bits, then four hexadecimal digits, the highest byte first.
fn eisa_id(text: &[u8; 7]) -> [u8; 4] {
    let letter = |n: usize| u32::from(text[n] - b'@');
    let digits = std::str::from_utf8(&text[3..]).expect("ASCII");
    let number = u32::from_str_radix(digits, 16).expect("hexadecimal digits");
    let id = letter(0) << 26 | letter(1) << 21 | letter(2) << 16 | number;
    id.to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_packed_as_eisa_has_it() {
        assert_eq!(eisa_id(b"PNP0501"), [0x41, 0xd0, 0x05, 0x01]);
    }

    #[test]
    fn lengths_of_one_byte_and_of_two() {
        assert_eq!(with_length(&[7; 62])[..2], [63, 7]);
        assert_eq!(with_length(&[7; 63])[..3], [0x41, 4, 7], "65 bytes in all");
    }

    /// The bytes that `iasl` 20200925 makes of the text at the head of this file.
    #[test]
    fn the_block_is_what_the_compiler_makes_of_it() {
        let expected = [
            &[0x10, 0x39][..],
            b"_SB_",
            &[0x5b, 0x82, 0x32],
            b"COM1",
            &[0x08],
            b"_HID",
            &[0x0c, 0x41, 0xd0, 0x05, 0x01, 0x08],
            b"_UID",
            &[0x01, 0x08],
            b"_STA",
            &[0x0a, 0x0f, 0x08],
            b"_CRS",
            &[0x11, 0x10, 0x0a, 0x0d],
            &[
                0x47, 0x01, 0xf8, 0x03, 0xf8, 0x03, 0x00, 0x08, 0x22, 0x10, 0x00, 0x79, 0x00,
            ],
            &[0x08],
            b"_S5_",
            &[0x12, 0x08, 0x04, 0x0a, 0x05, 0x0a, 0x05, 0x00, 0x00],
        ]
        .concat();
        assert_eq!(dsdt(), expected);
    }
}
