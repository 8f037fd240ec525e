//! Walks the stack of a Linux kernel that has no frame pointers, by its ORC tables.
//!
//! Format: Linux `Documentation/arch/x86/orc-unwinder.rst` and `arch/x86/include/asm/orc_types.h`. Two
//! tables of equal length: `.orc_unwind_ip` has for each stretch of code the distance from the table's
//! own word to its first byte, `.orc_unwind` six bytes that say how the caller's stack pointer (the CFA)
//! and frame pointer are found anywhere in that stretch:
//!
//! ```text
//!   bytes 0-1  sp_offset, signed      byte 4  low nibble sp_reg, high nibble bp_reg
//!   bytes 2-3  bp_offset, signed      byte 5  from bit 0: type; further bits by version
//! ```
//!
//! Up to Linux 6.3 `type` has two bits (0 call, 1 registers, 2 an interrupt's frame only) and a bit `end`
//! marks the outermost frame; from 6.4 on it has three (0 undefined, 1 the outermost, 2 call, 3
//! registers, 4 an interrupt's frame only). Which of both a kernel has, its own DWARF says.

use std::ops::Range;

use crate::event::Addr;
use crate::stack::DEEPEST;
use crate::target::{Register, Target};

/// Where the CFA or the frame pointer is counted from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Base {
    Undefined,
    PrevSp,
    Dx,
    Di,
    Bp,
    Sp,
    R10,
    R13,
    BpIndirect,
    SpIndirect,
}

impl Base {
    fn of(number: u8) -> Base {
        use Base::*;
        let all = [
            Undefined, PrevSp, Dx, Di, Bp, Sp, R10, R13, BpIndirect, SpIndirect,
        ];
        all.get(usize::from(number)).copied().unwrap_or(Undefined)
    }
}

/// What lies at the CFA.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// Nothing that can be followed.
    End,
    /// The return address lies just below.
    Call,
    /// All registers of what was interrupted.
    Registers,
    /// Only what the CPU pushes: instruction pointer, flags, stack pointer.
    Interrupt,
}

/// How a version of Linux writes the last byte of an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Version {
    /// Two bits of type; this bit of the byte marks the outermost frame.
    EndBit(u8),
    /// Three bits of type.
    EndType,
}

impl Version {
    fn kind(self, byte: u8) -> Kind {
        match self {
            Version::EndBit(bit) if byte >> bit & 1 != 0 => Kind::End,
            Version::EndBit(_) => match byte & 3 {
                0 => Kind::Call,
                1 => Kind::Registers,
                2 => Kind::Interrupt,
                _ => Kind::End,
            },
            Version::EndType => match byte & 7 {
                2 => Kind::Call,
                3 => Kind::Registers,
                4 => Kind::Interrupt,
                _ => Kind::End,
            },
        }
    }
}

/// One stretch of code.
#[derive(Clone, Copy, Debug)]
struct Entry {
    sp_offset: i64,
    bp_offset: i64,
    sp: Base,
    bp: Base,
    kind: Kind,
}

/// The tables of a kernel.
#[derive(Clone, Debug)]
pub struct Orc {
    /// First byte of each stretch, in order, with the index of its entry.
    starts: Vec<(u64, u32)>,
    entries: Vec<[u8; 6]>,
    version: Version,
    code: Range<u64>,
}

/// What is known of one frame.
#[derive(Clone, Copy)]
struct Frame {
    ip: u64,
    sp: u64,
    bp: u64,
    registers: Registers,
    /// The address is that of an instruction to come, not one after a call.
    exact: bool,
}

/// Where the registers other than the pointers are.
#[derive(Clone, Copy)]
enum Registers {
    /// The CPU's own.
    Cpu,
    /// Saved in memory, in the order of `struct pt_regs`.
    Saved(u64),
    Lost,
}

/// Offsets in `struct pt_regs`.
mod saved {
    pub const R13: u64 = 16;
    pub const BP: u64 = 32;
    pub const R10: u64 = 56;
    pub const DX: u64 = 96;
    pub const DI: u64 = 112;
    pub const IP: u64 = 128;
}

impl Orc {
    /// The tables in the two sections; `ip_at` is where `.orc_unwind_ip` is linked. `None` if their
    /// lengths do not fit each other. Addresses outside `code` end a walk.
    pub fn new(
        (ip_at, ip): (u64, &[u8]),
        unwind: &[u8],
        version: Version,
        code: Range<u64>,
    ) -> Option<Orc> {
        let (words, rest) = ip.as_chunks::<4>();
        let (entries, more) = unwind.as_chunks::<6>();
        if !rest.is_empty() || !more.is_empty() || words.len() != entries.len() {
            return None;
        }
        let mut starts: Vec<(u64, u32)> = words
            .iter()
            .zip(0_u32..)
            .map(|(word, index)| {
                let place = ip_at.wrapping_add(u64::from(index) * 4);
                let distance = i64::from(i32::from_le_bytes(*word));
                (place.wrapping_add_signed(distance), index)
            })
            .collect();
        // Equal addresses: the last one written counts, as for the kernel's own search.
        starts.sort_unstable();
        Some(Orc {
            starts,
            entries: entries.to_vec(),
            version,
            code,
        })
    }

    fn entry(&self, ip: u64) -> Option<Entry> {
        if !self.code.contains(&ip) {
            return None;
        }
        let after = self.starts.partition_point(|(start, _)| *start <= ip);
        let (_, index) = self.starts[..after].last()?;
        let [s0, s1, b0, b1, bases, last] = *self.entries.get(*index as usize)?;
        Some(Entry {
            sp_offset: i64::from(i16::from_le_bytes([s0, s1])),
            bp_offset: i64::from(i16::from_le_bytes([b0, b1])),
            sp: Base::of(bases & 15),
            bp: Base::of(bases >> 4),
            kind: self.version.kind(last),
        })
    }

    fn first(target: &dyn Target) -> Frame {
        Frame {
            ip: target.register(Register::Rip),
            sp: target.register(Register::Rsp),
            bp: target.register(Register::Rbp),
            registers: Registers::Cpu,
            exact: true,
        }
    }

    /// The stack pointer that the caller of the function around the instruction pointer had before its
    /// call: DWARF's canonical frame address.
    pub fn cfa(&self, target: &dyn Target) -> Option<u64> {
        let frame = Orc::first(target);
        self.cfa_of(target, &frame, &self.entry(frame.ip)?)
    }

    fn cfa_of(&self, target: &dyn Target, frame: &Frame, entry: &Entry) -> Option<u64> {
        let word = |at: u64| target.read_u64(Addr(at)).ok();
        let plus = |base: u64| base.wrapping_add_signed(entry.sp_offset);
        let other = |register, offset: u64| match frame.registers {
            Registers::Cpu => Some(target.register(register)),
            Registers::Saved(at) => word(at.wrapping_add(offset)),
            Registers::Lost => None,
        };
        match entry.sp {
            Base::Sp => Some(plus(frame.sp)),
            Base::Bp => Some(plus(frame.bp)),
            Base::SpIndirect => word(frame.sp).map(plus),
            Base::BpIndirect => word(plus(frame.bp)),
            Base::R10 => other(Register::R10, saved::R10),
            Base::R13 => other(Register::R13, saved::R13),
            Base::Di => other(Register::Rdi, saved::DI),
            Base::Dx => other(Register::Rdx, saved::DX),
            Base::PrevSp | Base::Undefined => None,
        }
    }

    /// The frame that called this one, or that was interrupted by it.
    fn outer(&self, target: &dyn Target, frame: &Frame) -> Option<Frame> {
        // A return address may be the first byte of the next stretch, or of the next function.
        let entry = self.entry(frame.ip.wrapping_sub(u64::from(!frame.exact)))?;
        let cfa = self.cfa_of(target, frame, &entry)?;
        let word = |at: u64| target.read_u64(Addr(at)).ok();
        let interrupted = |at: u64, registers| {
            // Instruction pointer, code segment, flags, stack pointer: as the CPU pushes them. What is
            // outside the kernel's code is the user's, and no frame of ours.
            Some(Frame {
                ip: word(at)?,
                sp: word(at.wrapping_add(24))?,
                bp: frame.bp,
                registers,
                exact: true,
            })
        };
        let mut outer = match entry.kind {
            Kind::End => return None,
            Kind::Call => Frame {
                ip: word(cfa.wrapping_sub(8))?,
                sp: cfa,
                bp: frame.bp,
                registers: Registers::Lost,
                exact: false,
            },
            Kind::Registers => interrupted(cfa.wrapping_add(saved::IP), Registers::Saved(cfa))?,
            Kind::Interrupt => interrupted(cfa, Registers::Lost)?,
        };
        outer.bp = match (entry.bp, outer.registers) {
            (Base::PrevSp, _) => word(cfa.wrapping_add_signed(entry.bp_offset))?,
            (Base::Bp, _) => word(frame.bp.wrapping_add_signed(entry.bp_offset))?,
            (_, Registers::Saved(at)) => word(at.wrapping_add(saved::BP))?,
            _ => frame.bp,
        };
        self.code.contains(&outer.ip).then_some(outer)
    }

    /// Walks the stack of `target` into `stack`, which is emptied first: the instruction pointer, then
    /// return addresses and addresses that were interrupted, outward.
    pub fn walk(&self, target: &dyn Target, stack: &mut Vec<Addr>) {
        stack.clear();
        let mut frame = Orc::first(target);
        stack.push(Addr(frame.ip));
        while stack.len() < DEEPEST
            && let Some(outer) = self.outer(target, &frame)
        {
            stack.push(Addr(outer.ip));
            frame = outer;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Unreadable;
    use std::collections::BTreeMap;

    struct Cpu {
        words: BTreeMap<u64, u64>,
        rip: u64,
        rsp: u64,
        rbp: u64,
        r10: u64,
    }

    impl Target for Cpu {
        fn read(&self, at: Addr, into: &mut [u8]) -> Result<(), Unreadable> {
            let word = self.words.get(&at.0).ok_or(Unreadable(at))?;
            into.copy_from_slice(&word.to_le_bytes()[..into.len()]);
            Ok(())
        }

        fn register(&self, register: Register) -> u64 {
            match register {
                Register::Rip => self.rip,
                Register::Rsp => self.rsp,
                Register::Rbp => self.rbp,
                Register::R10 => self.r10,
                _ => 0,
            }
        }
    }

    const CODE: u64 = 0xffff_ffff_8100_0000;
    const TABLE: u64 = CODE + 0x10_0000;

    /// Stretches as (offset in the code, sp_offset, bp_offset, sp_reg, bp_reg, last byte).
    fn orc(stretches: &[(u64, i16, i16, u8, u8, u8)], version: Version) -> Orc {
        let (mut ip, mut unwind) = (Vec::new(), Vec::new());
        for (index, (at, sp, bp, sp_reg, bp_reg, last)) in stretches.iter().enumerate() {
            let place = TABLE + 4 * index as u64;
            let distance = (CODE + at).wrapping_sub(place) as i32;
            ip.extend(distance.to_le_bytes());
            unwind.extend(sp.to_le_bytes());
            unwind.extend(bp.to_le_bytes());
            unwind.extend([sp_reg | bp_reg << 4, *last]);
        }
        Orc::new((TABLE, &ip), &unwind, version, CODE..CODE + 0x1000).unwrap()
    }

    fn walked(orc: &Orc, cpu: &Cpu) -> Vec<u64> {
        let mut stack = vec![Addr(3)];
        orc.walk(cpu, &mut stack);
        stack.iter().map(|at| at.0 - CODE).collect()
    }

    fn cpu(words: &[(u64, u64)], rip: u64, rsp: u64, rbp: u64) -> Cpu {
        Cpu {
            words: words.iter().copied().collect(),
            rip: CODE + rip,
            rsp,
            rbp,
            r10: 0,
        }
    }

    #[test]
    fn calls_interrupts_and_the_end_in_the_layout_of_6_1() {
        let orc = orc(
            &[
                (0x000, 8, 0, 5, 0, 0),      // at an entry
                (0x010, 24, -16, 5, 1, 0),   // 16 bytes pushed, rbp saved at CFA - 16
                (0x100, 0, 0, 5, 0, 1),      // the interrupt's entry: pt_regs at rsp
                (0x200, 16, -16, 4, 1, 0),   // counted from rbp
                (0x300, 0, 0, 0, 0, 1 << 2), // the outermost
            ],
            Version::EndBit(2),
        );
        let regs = 0x9018;
        let words = [
            (0x9008, 0x7777),       // rbp saved by the innermost function
            (0x9010, CODE + 0x104), // return address into the interrupt's entry
            (regs + 32, 0x9400),    // rbp of what was interrupted
            (regs + 128, CODE + 0x210),
            (regs + 152, 0x9300),
            (0x9400, 0x1234),
            (0x9408, CODE + 0x301),
        ];
        let cpu = cpu(&words, 0x012, 0x9000, 0x5555);
        assert_eq!(walked(&orc, &cpu), [0x012, 0x104, 0x210, 0x301]);
        assert_eq!(orc.cfa(&cpu), Some(regs));
    }

    #[test]
    fn a_return_address_belongs_to_the_stretch_before_it() {
        let orc = orc(
            &[
                (0x00, 8, 0, 5, 0, 0),
                (0x20, 16, 0, 5, 0, 0),
                (0x40, 0, 0, 0, 0, 4),
            ],
            Version::EndBit(2),
        );
        // The call is the last instruction of the second stretch.
        let cpu = cpu(&[(0x100, CODE + 0x40), (0x110, CODE + 0x8)], 0, 0x100, 0);
        assert_eq!(walked(&orc, &cpu), [0, 0x40, 0x8]);
    }

    #[test]
    fn stacks_switched_by_pointer_and_the_layout_of_6_5() {
        let orc = orc(
            &[
                (0x00, 8, 0, 9, 0, 2),  // the old stack pointer lies at the top of this stack
                (0x20, 0, 0, 6, 0, 2),  // r10 is the CFA
                (0x40, 0, 0, 0, 0, 1),  // the outermost
                (0x60, 0, 0, 5, 0, 4),  // an interrupt's frame only
                (0x80, -8, 0, 8, 0, 2), // the CFA lies 8 below rbp
            ],
            Version::EndType,
        );
        let indirect = cpu(&[(0x100, 0x500), (0x500, CODE + 0x41)], 0x4, 0x100, 0);
        assert_eq!(walked(&orc, &indirect), [0x4, 0x41]);
        let mut realigned = cpu(&[(0x7f8, CODE + 0x41)], 0x24, 0x100, 0);
        realigned.r10 = 0x800;
        assert_eq!(walked(&orc, &realigned), [0x24, 0x41]);
        let frame = [(0x100, CODE + 0x30), (0x118, 0x300)];
        // What was interrupted counts from a register that nobody saved: the walk ends there.
        assert_eq!(walked(&orc, &cpu(&frame, 0x64, 0x100, 0)), [0x64, 0x30]);
        let below = [(0x1f8, 0x400), (0x3f8, CODE + 0x41)];
        assert_eq!(walked(&orc, &cpu(&below, 0x84, 0x100, 0x200)), [0x84, 0x41]);
    }

    #[test]
    fn user_addresses_unmapped_memory_and_odd_tables_end_the_walk() {
        let orc = orc(&[(0x00, 8, 0, 5, 0, 0)], Version::EndBit(2));
        assert_eq!(walked(&orc, &cpu(&[(0x100, 0x40_0000)], 4, 0x100, 0)), [4]);
        assert_eq!(walked(&orc, &cpu(&[], 4, 0x100, 0)), [4]);
        // A function that returns to itself for ever is left at the deepest.
        let words: Vec<(u64, u64)> = (0..200).map(|i| (0x100 + 8 * i, CODE + 4)).collect();
        assert_eq!(walked(&orc, &cpu(&words, 4, 0x100, 0)).len(), DEEPEST);
        assert!(Orc::new((0, &[0; 4]), &[0; 12], Version::EndType, 0..1).is_none());
        assert!(Orc::new((0, &[0; 3]), &[0; 6], Version::EndType, 0..1).is_none());
    }
}
