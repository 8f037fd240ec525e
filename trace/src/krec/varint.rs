//! LEB128 numbers and a cursor that never reads past its end. Not for fixed-width headers.

/// Appends `value`, seven bits a byte, low bits first.
#[inline]
pub fn put(out: &mut Vec<u8>, value: u64) {
    if value < 0x80 {
        out.push(value as u8);
        return;
    }
    let mut bytes = [0; 16];
    let len = write(&mut bytes, value);
    out.extend_from_slice(&bytes[..len]);
}

/// Writes `value` as [`put`] does to the beginning of `room`; gives the number of bytes, at most 10.
#[inline]
pub fn write(room: &mut [u8; 16], mut value: u64) -> usize {
    let mut len = 0;
    while value >= 0x80 {
        room[len % 16] = value as u8 | 0x80;
        value >>= 7;
        len += 1;
    }
    room[len % 16] = value as u8;
    len + 1
}

/// Appends a signed number: small magnitudes of either sign stay short.
pub fn put_signed(out: &mut Vec<u8>, value: i64) {
    put(out, zigzag(value));
}

/// Small magnitudes of either sign become small numbers.
#[inline]
pub fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Reads from a slice; every read is `None` at its end or on a number of more than 64 bits.
#[derive(Clone, Copy)]
pub struct Cursor<'a>(pub &'a [u8]);

impl<'a> Cursor<'a> {
    pub fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }

    pub fn number(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    pub fn signed(&mut self) -> Option<i64> {
        self.number().map(unzigzag)
    }

    /// A count or an index; `None` if it does not fit.
    pub fn size(&mut self) -> Option<usize> {
        usize::try_from(self.number()?).ok()
    }

    /// A length and that many bytes.
    pub fn block(&mut self) -> Option<&'a [u8]> {
        let len = self.size()?;
        self.bytes(len)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(value: u64, signed: i64) {
            let mut out = Vec::new();
            put(&mut out, value);
            put_signed(&mut out, signed);
            let mut cursor = Cursor(&out);
            prop_assert_eq!(cursor.number(), Some(value));
            prop_assert_eq!(cursor.signed(), Some(signed));
            prop_assert!(cursor.is_empty());
        }
    }

    #[test]
    fn a_number_of_65_bits_is_refused() {
        let mut bytes = [0xff; 10];
        bytes[9] = 2;
        assert_eq!(Cursor(&bytes).number(), None);
        bytes[9] = 1;
        assert_eq!(Cursor(&bytes).number(), Some(u64::MAX));
        assert_eq!(Cursor(&[0x80]).number(), None);
    }
}
