//! How state becomes bytes and comes back: numbers little-endian, everything at its own length.
//!
//! A device or a part of the machine says what its state is once, with [`saved!`], which takes the
//! structure apart by all of its fields: one that is added later and not named there does not
//! compile. Reading trusts nothing: every length is checked against what is left before memory is
//! taken for it, and a value that no machine can have is an error.

use std::collections::BTreeMap;

use crate::error::{Error, ErrorKind};

/// State that a snapshot keeps.
pub(crate) trait Saved: Sized {
    /// Appends the state.
    fn save(&self, to: &mut Writer);
    /// Reads it back; what is no state of this type is an error.
    fn load(from: &mut Reader<'_>) -> Result<Self, Error>;
}

/// The error of bytes that are no snapshot of this version.
pub(crate) fn bad(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::BadSnapshot, what)
}

/// Collects bytes.
#[derive(Default)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Hands out bytes in the order in which they were written.
pub(crate) struct Reader<'a> {
    left: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { left: bytes }
    }

    /// The next `n` bytes.
    pub(crate) fn take(&mut self, n: usize) -> Result<&'a [u8], Error> {
        let (taken, left) = self
            .left
            .split_at_checked(n)
            .ok_or_else(|| bad(format!("{n} bytes expected, {} left", self.left.len())))?;
        self.left = left;
        Ok(taken)
    }

    /// A count of things that take at least `each` bytes here.
    fn count(&mut self, each: usize) -> Result<usize, Error> {
        let count = u64::load(self)?;
        let most = self.left.len() / each.max(1);
        match usize::try_from(count) {
            Ok(count) if count <= most => Ok(count),
            _ => Err(bad(format!("a list of {count}, with room for {most}"))),
        }
    }

    /// Checks that everything was read.
    pub(crate) fn end(&self) -> Result<(), Error> {
        match self.left.len() {
            0 => Ok(()),
            left => Err(bad(format!("{left} bytes that nothing reads"))),
        }
    }
}

macro_rules! number {
    ($($ty:ty),*) => {$(
        impl Saved for $ty {
            fn save(&self, to: &mut Writer) {
                to.put(&self.to_le_bytes());
            }
            fn load(from: &mut Reader<'_>) -> Result<Self, Error> {
                let bytes = from.take(size_of::<$ty>())?;
                Ok(<$ty>::from_le_bytes(bytes.try_into().expect("as many as were asked for")))
            }
        }
    )*};
}

number!(u8, u16, u32, u64, i32, i64);

impl Saved for bool {
    fn save(&self, to: &mut Writer) {
        u8::from(*self).save(to);
    }

    fn load(from: &mut Reader<'_>) -> Result<Self, Error> {
        match u8::load(from)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(bad(format!("{other} where yes or no is expected"))),
        }
    }
}

impl Saved for usize {
    fn save(&self, to: &mut Writer) {
        (*self as u64).save(to);
    }

    fn load(from: &mut Reader<'_>) -> Result<Self, Error> {
        let value = u64::load(from)?;
        usize::try_from(value).map_err(|_| bad(format!("{value} is too large")))
    }
}

impl<T: Saved> Saved for Option<T> {
    fn save(&self, to: &mut Writer) {
        self.is_some().save(to);
        if let Some(value) = self {
            value.save(to);
        }
    }

    fn load(from: &mut Reader<'_>) -> Result<Self, Error> {
        Ok(match bool::load(from)? {
            true => Some(T::load(from)?),
            false => None,
        })
    }
}

impl<T: Saved> Saved for Vec<T> {
    fn save(&self, to: &mut Writer) {
        self.len().save(to);
        self.iter().for_each(|item| item.save(to));
    }

    fn load(from: &mut Reader<'_>) -> Result<Self, Error> {
        let count = from.count(1)?;
        (0..count).map(|_| T::load(from)).collect()
    }
}

impl<T: Saved> Saved for std::collections::VecDeque<T> {
    fn save(&self, to: &mut Writer) {
        self.len().save(to);
        self.iter().for_each(|item| item.save(to));
    }

    fn load(from: &mut Reader<'_>) -> Result<Self, Error> {
        Ok(Vec::load(from)?.into())
    }
}

impl<T: Saved, const N: usize> Saved for [T; N] {
    fn save(&self, to: &mut Writer) {
        self.iter().for_each(|item| item.save(to));
    }

    fn load(from: &mut Reader<'_>) -> Result<Self, Error> {
        let all: Vec<T> = (0..N).map(|_| T::load(from)).collect::<Result<_, _>>()?;
        all.try_into().map_err(|_| bad("a list of another length"))
    }
}

impl<A: Saved, B: Saved> Saved for (A, B) {
    fn save(&self, to: &mut Writer) {
        self.0.save(to);
        self.1.save(to);
    }

    fn load(from: &mut Reader<'_>) -> Result<Self, Error> {
        Ok((A::load(from)?, B::load(from)?))
    }
}

impl<K: Saved + Ord, V: Saved> Saved for BTreeMap<K, V> {
    fn save(&self, to: &mut Writer) {
        self.len().save(to);
        for (key, value) in self {
            key.save(to);
            value.save(to);
        }
    }

    fn load(from: &mut Reader<'_>) -> Result<Self, Error> {
        let count = from.count(1)?;
        let mut map = BTreeMap::new();
        for _ in 0..count {
            let (key, value) = <(K, V)>::load(from)?;
            if map.last_key_value().is_some_and(|(last, _)| *last >= key) {
                return Err(bad("a table that is out of order"));
            }
            map.insert(key, value);
        }
        Ok(map)
    }
}

impl Saved for String {
    fn save(&self, to: &mut Writer) {
        self.len().save(to);
        to.put(self.as_bytes());
    }

    fn load(from: &mut Reader<'_>) -> Result<Self, Error> {
        let count = from.count(1)?;
        let bytes = from.take(count)?.to_vec();
        String::from_utf8(bytes).map_err(|_| bad("text that is no UTF-8"))
    }
}

/// Implements [`Saved`] for a structure: all of its fields, in the order in which they are stored.
macro_rules! saved {
    ($ty:ident { $($field:ident),* $(,)? }) => {
        impl $crate::snapshot::codec::Saved for $ty {
            fn save(&self, to: &mut $crate::snapshot::codec::Writer) {
                let $ty { $($field),* } = self;
                $($crate::snapshot::codec::Saved::save($field, to);)*
            }

            fn load(
                from: &mut $crate::snapshot::codec::Reader<'_>,
            ) -> Result<Self, $crate::error::Error> {
                $(let $field = $crate::snapshot::codec::Saved::load(from)?;)*
                Ok($ty { $($field),* })
            }
        }
    };
}
pub(crate) use saved;

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(PartialEq, Debug)]
    struct Part {
        word: u64,
        list: Vec<(u8, Option<u32>)>,
        names: BTreeMap<u16, String>,
    }
    saved!(Part { word, list, names });

    fn part() -> Part {
        Part {
            word: 7,
            list: vec![(1, None), (2, Some(3))],
            names: BTreeMap::from([(4, "four".to_owned()), (5, String::new())]),
        }
    }

    #[test]
    fn what_is_saved_comes_back() {
        let mut to = Writer::default();
        part().save(&mut to);
        let bytes = to.into_bytes();
        let mut from = Reader::new(&bytes);
        assert_eq!(Part::load(&mut from).unwrap(), part());
        from.end().unwrap();
    }

    #[test]
    fn every_shorter_text_is_refused_and_no_length_is_believed() {
        let mut to = Writer::default();
        part().save(&mut to);
        let bytes = to.into_bytes();
        for len in 0..bytes.len() {
            let error = Part::load(&mut Reader::new(&bytes[..len])).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BadSnapshot, "{len} bytes");
        }
        let mut huge = bytes;
        huge[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(Part::load(&mut Reader::new(&huge)).is_err());
        assert!(bool::load(&mut Reader::new(&[2])).is_err());
    }
}
