//! Puts back into a stack the functions that left it by a tail call.
//!
//! A function that ends in a call of another jumps there instead, and its frame is gone: the stack
//! shows its caller and the function jumped to. But the caller's call instruction names the function it
//! called. If that is not the one found on the stack, and has a jump to it, it was on the way, and the
//! place of its jump is put in between. Where several jumps lead there, the first is taken; where the
//! call is through a pointer, nothing is put in.

use std::collections::BTreeMap;

use crate::classify::{Classifier, Flow, NoDisassembler};
use crate::event::Addr;
use crate::image::Image;

/// The most functions in a row that are put in at one place.
const LONGEST: usize = 3;

/// A jump out of a function: its address, and where it goes.
type Jump = (Addr, u64);

/// Completes stacks of one image; remembers the jumps of the functions it has looked at.
pub struct TailCalls<'a> {
    image: &'a Image,
    classifier: Classifier,
    jumps: BTreeMap<u64, Vec<Jump>>,
}

impl<'a> TailCalls<'a> {
    /// Prepares to complete stacks of `image`.
    pub fn new(image: &'a Image) -> Result<TailCalls<'a>, NoDisassembler> {
        Ok(TailCalls {
            image,
            classifier: Classifier::new()?,
            jumps: BTreeMap::new(),
        })
    }

    /// The stack with what was lost. An address that is put in is that of the jump.
    pub fn complete(&mut self, stack: &[Addr]) -> Vec<Addr> {
        let mut whole = Vec::with_capacity(stack.len() + 4);
        let mut inner = None;
        for (depth, addr) in stack.iter().enumerate() {
            if let (Some(inner), Some(called)) = (inner, self.called_before(*addr))
                && depth > 0
                && called != inner
                && let Some(path) = self.path(called, inner, LONGEST)
            {
                whole.extend(path.into_iter().rev());
            }
            whole.push(*addr);
            inner = self
                .image
                .function_at(self.image.site(depth, *addr))
                .map(|f| f.low);
        }
        whole
    }

    /// The function that the direct call before a return address calls.
    fn called_before(&self, after: Addr) -> Option<u64> {
        let start = Addr(after.0.checked_sub(5)?);
        let [0xe8, distance @ ..] = self.image.bytes_at(start, 5)? else {
            return None;
        };
        let distance = i32::from_le_bytes(distance.try_into().ok()?);
        Some(after.0.wrapping_add(distance as u64))
    }

    /// Jumps that lead from the function at `from` to the one at `to`, in the order they are taken.
    fn path(&mut self, from: u64, to: u64, most: usize) -> Option<Vec<Addr>> {
        let jumps = self.jumps_of(from);
        if let Some((jump, _)) = jumps.iter().find(|(_, target)| *target == to) {
            return Some(vec![*jump]);
        }
        if most <= 1 {
            return None;
        }
        jumps.into_iter().find_map(|(jump, through)| {
            let mut path = self.path(through, to, most - 1)?;
            path.insert(0, jump);
            Some(path)
        })
    }

    fn jumps_of(&mut self, low: u64) -> Vec<Jump> {
        if let Some(known) = self.jumps.get(&low) {
            return known.clone();
        }
        let function = self.image.function_at(Addr(low)).filter(|f| f.low == low);
        let jumps: Vec<Jump> = function
            .map(|function| self.classifier.exits(self.image, function))
            .unwrap_or_default()
            .into_iter()
            .filter_map(|exit| match exit.flow {
                Flow::TailCall { to: Some(to) } => Some((exit.addr, to.0)),
                _ => None,
            })
            .collect();
        self.jumps.insert(low, jumps.clone());
        jumps
    }
}
