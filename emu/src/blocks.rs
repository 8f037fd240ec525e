//! How many instructions a block has, where they start, and what the last one is.
//!
//! Unicorn's block hook says where a block starts and how many bytes it has. This table turns that
//! into an exact count, once per block: the front is a direct-mapped cache on the virtual address,
//! behind it a map keyed by physical address, size and mode. The front's entries carry a
//! *generation*, which changes whenever cached address translations may have changed; an entry of
//! another generation holds again if its pages are where they were, which a small cache of pages
//! remembers. When the engine translates a block anew (its bytes may have changed) it says so, and
//! the block is decoded again; its own count is compared with ours then.

use std::collections::BTreeMap;

use crate::decode::{Decoded, Decoder, Kind, Mode};
use crate::error::{Error, ErrorKind};
use crate::units::PhysAddr;

/// What is known about one block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Block {
    pub(crate) insns: Box<[Decoded]>,
    pub(crate) bytes: u32,
}

impl Block {
    /// The index of the instruction at an offset, if one starts there.
    pub(crate) fn index_at(&self, offset: u64) -> Option<u64> {
        let offset = u16::try_from(offset).ok()?;
        self.insns
            .binary_search_by_key(&offset, |d| d.offset)
            .ok()
            .map(|i| i as u64)
    }

    /// The kind of the last instruction.
    pub(crate) fn last(&self) -> Kind {
        self.insns.last().map_or(Kind::Plain, |d| d.kind)
    }

    /// Whether a legal stop follows the block.
    pub(crate) fn ends_legally(&self) -> bool {
        self.last().is_legal_end()
    }
}

/// What the engine said about a translation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Fresh {
    /// Its own count of instructions.
    pub(crate) insns: u16,
    /// Whether the hooks of the block's sites were put in.
    pub(crate) hooked: bool,
}

/// One line of the front cache. All zero is empty: generations start at 1.
#[derive(Clone, Copy, Default)]
pub(crate) struct Line {
    pub(crate) pc: u64,
    /// Size in bytes, and the hidden flags of the mode above it: [`shape`].
    pub(crate) shape: u64,
    /// Generation, and [`flag`] bits above it: equal to the generation alone if nothing but
    /// counting is to be done.
    pub(crate) tag: u64,
    pub(crate) insns: u32,
    /// Index for [`Blocks::get`].
    pub(crate) block: u32,
}

impl Line {
    /// The [`flag`] bits.
    pub(crate) fn flags(&self) -> u32 {
        (self.tag >> 32) as u32
    }

    /// Size in bytes.
    pub(crate) fn size(&self) -> u32 {
        self.shape as u32
    }
}

/// What two blocks at one address can differ in: size and mode.
#[inline(always)]
pub(crate) fn shape(size: u32, mode: u32) -> u64 {
    u64::from(mode) << 32 | u64::from(size)
}

/// The tag of a line.
pub(crate) fn tag(generation: u32, flags: u32) -> u64 {
    u64::from(flags) << 32 | u64::from(generation)
}

/// What makes a block more than a number of instructions.
pub(crate) mod flag {
    /// No legal stop follows.
    pub(crate) const SPLIT: u32 = 1;
    /// Cached address translations may change in it.
    pub(crate) const FLUSHES: u32 = 2;
    /// An observer watches its start.
    pub(crate) const WATCHED: u32 = 4;
}

const LINES: usize = 1 << 14;

/// Where a block's bytes are: the physical address of its first, and the number of the physical page
/// that its last is on if that is another one. A page behind the first can be anywhere.
pub(crate) type Place = (PhysAddr, Option<u64>);

/// What decides a block's instructions as long as its bytes stay: place, size in bytes, mode.
pub(crate) type Key = (Place, u32, Mode);

/// Where a virtual page is in one generation. Page 0 of generation 0 is in nobody's way: generations
/// start at 1.
#[derive(Clone, Copy, Default)]
struct Page {
    number: u64,
    generation: u32,
    physical: u64,
}

const PAGES: usize = 1 << 10;

/// The table.
pub(crate) struct Blocks {
    lines: Box<[Line; LINES]>,
    /// Where the block of each line is.
    places: Box<[Place]>,
    pages: Box<[Page]>,
    known: BTreeMap<Key, u32>,
    all: Vec<Block>,
    /// Blocks translated and not looked up since, by virtual address and size.
    fresh: BTreeMap<(u64, u32), Fresh>,
}

impl Blocks {
    pub(crate) fn new() -> Self {
        let lines = vec![Line::default(); LINES].into_boxed_slice();
        let lines = lines.try_into().ok().expect("the length is LINES");
        Self {
            lines,
            places: vec![(PhysAddr(0), None); LINES].into(),
            pages: vec![Page::default(); PAGES].into(),
            known: BTreeMap::new(),
            all: Vec::new(),
            fresh: BTreeMap::new(),
        }
    }

    #[inline(always)]
    fn index(pc: u64) -> usize {
        (pc ^ pc >> 13) as usize & (LINES - 1)
    }

    /// The front cache's line for an address, whatever is in it.
    #[inline(always)]
    pub(crate) fn line(&self, pc: u64) -> Line {
        self.lines[Self::index(pc)]
    }

    /// As [`Blocks::line`], without copying it.
    #[inline(always)]
    pub(crate) fn line_ref(&self, pc: u64) -> &Line {
        &self.lines[Self::index(pc)]
    }

    /// Empties the line of an address: whether it is watched changed.
    pub(crate) fn forget_line(&mut self, pc: u64) {
        self.lines[Self::index(pc)] = Line::default();
    }

    /// Puts a line into the front cache, for a block in that place.
    pub(crate) fn set_line(&mut self, line: Line, place: Place) {
        self.lines[Self::index(line.pc)] = line;
        self.places[Self::index(line.pc)] = place;
    }

    /// The line of an earlier generation for a block, brought into this one, if there is one and the
    /// block is still in the same place. A line is never older than the engine's translation.
    pub(crate) fn renew(
        &mut self,
        (pc, shape): (u64, u64),
        generation: u32,
        place: Place,
    ) -> Option<Line> {
        let index = Self::index(pc);
        let line = &mut self.lines[index];
        if (line.pc, line.shape) != (pc, shape) || self.places[index] != place {
            return None;
        }
        line.tag = tag(generation, line.flags());
        Some(*line)
    }

    /// Where the bytes from `pc` on are. `translate` is asked for pages that are not remembered.
    pub(crate) fn place<E>(
        &mut self,
        pc: u64,
        size: u32,
        generation: u32,
        mut translate: impl FnMut(u64) -> Result<PhysAddr, E>,
    ) -> Result<Place, E> {
        let mut page = |address: u64| {
            let number = address >> 12;
            let page = &mut self.pages[(number ^ number >> 10) as usize & (PAGES - 1)];
            if (page.number, page.generation) != (number, generation) {
                *page = Page {
                    number,
                    generation,
                    physical: translate(address)?.0 >> 12,
                };
            }
            Ok(page.physical)
        };
        let last = pc.wrapping_add(u64::from(size.max(1)) - 1);
        let first = PhysAddr(page(pc)? << 12 | pc & 0xfff);
        let second = match pc >> 12 == last >> 12 {
            true => None,
            false => Some(page(last)?),
        };
        Ok((first, second))
    }

    pub(crate) fn get(&self, index: u32) -> &Block {
        &self.all[index as usize]
    }

    /// The engine translated a block, so its bytes may not be those decoded before.
    pub(crate) fn translated(&mut self, pc: u64, size: u32, fresh: Fresh) {
        self.fresh.insert((pc, size), fresh);
        let line = &mut self.lines[Self::index(pc)];
        if line.pc == pc {
            *line = Line::default();
        }
    }

    /// What the engine said about the block, if it was translated since it was last asked for.
    pub(crate) fn take_fresh(&mut self, pc: u64, size: u32) -> Option<Fresh> {
        self.fresh.remove(&(pc, size))
    }

    /// The block in a place, decoded if it is new or was translated anew. `bytes` reads
    /// them on demand.
    pub(crate) fn find(
        &mut self,
        decoder: &Decoder,
        pc: u64,
        key: Key,
        fresh: Option<Fresh>,
        bytes: impl FnOnce() -> Result<Vec<u8>, Error>,
    ) -> Result<u32, Error> {
        if fresh.is_none()
            && let Some(&index) = self.known.get(&key)
        {
            return Ok(index);
        }
        let insns = decoder.block(key.2, &bytes()?).into_boxed_slice();
        if let Some(Fresh { insns: engine, .. }) = fresh
            && usize::from(engine) != insns.len()
        {
            let message = format!(
                "the block at {pc:#x} ({} bytes) has {} instructions for capstone and {engine} \
                 for the engine",
                key.1,
                insns.len()
            );
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        let block = Block {
            insns,
            bytes: key.1,
        };
        if let Some(&index) = self.known.get(&key)
            && self.all[index as usize] == block
        {
            return Ok(index);
        }
        let index = self.all.len() as u32;
        self.all.push(block);
        self.known.insert(key, index);
        Ok(index)
    }
}
