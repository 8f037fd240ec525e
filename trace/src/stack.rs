//! Call stacks by frame pointers: bounded, and content with what it finds.
//!
//! A stack is a list of addresses, innermost first: where the CPU is, then return addresses. The walk
//! ends at the first frame that cannot be one: not aligned, not further out than the one before, not
//! readable, or with a return address that is no code of the image. It never fails.

use std::ops::Range;

use crate::event::Addr;
use crate::orc::Orc;
use crate::target::{Register, Target};

/// The most addresses a stack has.
pub const DEEPEST: usize = 64;

/// Where in its function the CPU stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum At {
    /// At the first instruction: the return address is at the stack pointer, and the frame pointer is
    /// still the caller's.
    Entry,
    /// After the function has set up its frame.
    Inside,
}

/// How the stacks of a kernel are walked.
#[derive(Clone, Debug)]
pub enum Unwinder {
    /// By frame pointers; return addresses lie in this range.
    Frames(Range<u64>),
    /// By Linux's ORC tables.
    Orc(Orc),
}

impl Unwinder {
    /// Walks the stack of `target` into `stack`, which is emptied first.
    pub fn walk(&self, target: &dyn Target, at: At, stack: &mut Vec<Addr>) {
        match self {
            Unwinder::Frames(code) => walk(target, at, code, stack),
            Unwinder::Orc(orc) => orc.walk(target, stack),
        }
    }

    /// The tables, if stacks are walked by them.
    pub fn orc(&self) -> Option<&Orc> {
        match self {
            Unwinder::Frames(_) => None,
            Unwinder::Orc(orc) => Some(orc),
        }
    }
}

/// Walks the stack of `target` by frame pointers into `stack`, which is emptied first.
pub fn walk(target: &dyn Target, at: At, code: &Range<u64>, stack: &mut Vec<Addr>) {
    stack.clear();
    stack.push(Addr(target.register(Register::Rip)));
    if at == At::Entry {
        match target.read_u64(Addr(target.register(Register::Rsp))) {
            Ok(caller) if code.contains(&caller) => stack.push(Addr(caller)),
            _ => return,
        }
    }
    let mut frame = target.register(Register::Rbp);
    // A frame lies between the stack pointer and what a kernel stack can hold.
    let mut lowest = target.register(Register::Rsp);
    while stack.len() < DEEPEST && frame >= lowest && frame.is_multiple_of(8) {
        let mut words = [0; 16];
        if target.read(Addr(frame), &mut words).is_err() {
            return;
        }
        let (next, caller) = words.split_at(8);
        let word = |bytes: &[u8]| bytes.try_into().map(u64::from_le_bytes).unwrap_or(0);
        let caller = word(caller);
        if !code.contains(&caller) {
            return;
        }
        stack.push(Addr(caller));
        lowest = frame + 16;
        frame = word(next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Unreadable;

    /// 256 bytes of memory at 0x1000.
    struct Cpu {
        memory: [u8; 256],
        rsp: u64,
        rbp: u64,
    }

    const CODE: Range<u64> = 0x8000..0x9000;

    impl Target for Cpu {
        fn read(&self, at: Addr, into: &mut [u8]) -> Result<(), Unreadable> {
            let from = at.0.checked_sub(0x1000).ok_or(Unreadable(at))? as usize;
            let bytes = self
                .memory
                .get(from..from + into.len())
                .ok_or(Unreadable(at))?;
            into.copy_from_slice(bytes);
            Ok(())
        }

        fn register(&self, register: Register) -> u64 {
            match register {
                Register::Rip => 0x8800,
                Register::Rsp => self.rsp,
                Register::Rbp => self.rbp,
                _ => 0,
            }
        }
    }

    fn cpu(words: &[(u64, u64)]) -> Cpu {
        let mut memory = [0; 256];
        for (at, word) in words {
            let at = (at - 0x1000) as usize;
            memory[at..at + 8].copy_from_slice(&word.to_le_bytes());
        }
        Cpu {
            memory,
            rsp: 0x1010,
            rbp: 0x1020,
        }
    }

    fn walked(cpu: &Cpu, at: At) -> Vec<u64> {
        let mut stack = vec![Addr(1)];
        walk(cpu, at, &CODE, &mut stack);
        stack.into_iter().map(|addr| addr.0).collect()
    }

    #[test]
    fn frames_are_followed_outward() {
        let cpu = cpu(&[
            (0x1010, 0x8111),
            (0x1020, 0x1040),
            (0x1028, 0x8222),
            (0x1040, 0),
            (0x1048, 0x8333),
        ]);
        assert_eq!(walked(&cpu, At::Inside), [0x8800, 0x8222, 0x8333]);
        assert_eq!(walked(&cpu, At::Entry), [0x8800, 0x8111, 0x8222, 0x8333]);
    }

    #[test]
    fn a_loop_a_stray_address_and_unmapped_memory_end_the_walk() {
        let looped = cpu(&[(0x1020, 0x1020), (0x1028, 0x8222)]);
        assert_eq!(walked(&looped, At::Inside), [0x8800, 0x8222]);
        let stray = cpu(&[(0x1020, 0x1040), (0x1028, 0x7fff)]);
        assert_eq!(walked(&stray, At::Inside), [0x8800]);
        let unmapped = cpu(&[(0x1020, 0x9000_0000), (0x1028, 0x8222)]);
        assert_eq!(walked(&unmapped, At::Inside), [0x8800, 0x8222]);
        let mut odd = cpu(&[]);
        odd.rbp = 0x1021;
        assert_eq!(walked(&odd, At::Inside), [0x8800]);
        odd.rbp = !7;
        assert_eq!(walked(&odd, At::Inside), [0x8800]);
    }
}
