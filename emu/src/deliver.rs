//! Interrupt and exception delivery in 64-bit mode, as SDM vol. 3 chapter 6 describes it: gate,
//! stack switch (IST or RSP0), 16-byte alignment, frame, error code, new CS and flags. SYSCALL,
//! which the engine does not do either, is here too.

use crate::paging::{Access, Fault};
use crate::unicorn::{Cpu, Seg, Segment, hf, rflags};
use crate::units::VirtAddr;

/// Where an interrupt comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Source {
    /// The CPU: faults, traps.
    Exception,
    /// `INT n`, `INT3`, `INTO`: the gate's privilege is checked.
    Software,
    /// A device.
    External,
}

/// Why a vector could not be delivered: the exception that the attempt raises.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Nested {
    pub(crate) vector: u8,
    pub(crate) error: u32,
    pub(crate) cr2: Option<u64>,
}

/// #DF, #TS, #NP, #SS, #GP, #PF.
pub(crate) const DOUBLE_FAULT: u8 = 8;
const TS: u8 = 10;
const NP: u8 = 11;
const SS: u8 = 12;
const GP: u8 = 13;
pub(crate) const PAGE_FAULT: u8 = 14;

/// Whether a vector pushes an error code when the CPU raises it.
pub(crate) fn has_error_code(vector: u8) -> bool {
    matches!(vector, 8 | 10..=14 | 17 | 21)
}

/// Divide error and the segment exceptions: two of these, or one after a page fault, double-fault.
fn contributory(vector: u8) -> bool {
    matches!(vector, 0 | TS..=GP)
}

/// What two events, the second an exception during delivery of the first, turn into (SDM vol. 3,
/// table 6-5). Interrupts from outside and by INT n are benign, whatever their vector.
pub(crate) fn combine(first: u8, source: Source, second: Nested) -> Nested {
    let double = match first {
        _ if source != Source::Exception => false,
        PAGE_FAULT => contributory(second.vector) || second.vector == PAGE_FAULT,
        v if contributory(v) => contributory(second.vector),
        _ => false,
    };
    if double {
        Nested {
            vector: DOUBLE_FAULT,
            error: 0,
            cr2: second.cr2,
        }
    } else {
        second
    }
}

const GATE_INTERRUPT: u64 = 0xe;
const GATE_TRAP: u64 = 0xf;

struct Gate {
    offset: u64,
    selector: u16,
    ist: u64,
    trap: bool,
}

fn gp(selector: u32, external: bool) -> Nested {
    Nested {
        vector: GP,
        error: selector | u32::from(external),
        cr2: None,
    }
}

/// A supervisor access to a descriptor table or stack failed.
fn page_fault(fault: Fault, write: bool) -> Nested {
    let write = u32::from(write) << 1;
    match fault {
        Fault::NotMapped(v) => Nested {
            vector: PAGE_FAULT,
            error: write,
            cr2: Some(v.0),
        },
        Fault::Denied(v) | Fault::NoRam(v, _) => Nested {
            vector: PAGE_FAULT,
            error: write | 1,
            cr2: Some(v.0),
        },
        Fault::NotCanonical(_) => Nested {
            vector: SS,
            error: 0,
            cr2: None,
        },
    }
}

fn load64(cpu: &Cpu, at: u64) -> Result<u64, Nested> {
    let mut bytes = [0; 8];
    cpu.read_virt(VirtAddr(at), &mut bytes)
        .map_err(|f| page_fault(f, false))?;
    Ok(u64::from_le_bytes(bytes))
}

fn gate(cpu: &Cpu, vector: u8, source: Source) -> Result<Gate, Nested> {
    let external = source != Source::Software;
    let selector = u32::from(vector) << 3 | 2;
    let idt = cpu.segment(Seg::Idt);
    let at = u64::from(vector) * 16;
    if at + 15 > u64::from(idt.limit) {
        return Err(gp(selector, external));
    }
    let low = load64(cpu, idt.base.wrapping_add(at))?;
    let high = load64(cpu, idt.base.wrapping_add(at + 8))?;
    let kind = low >> 40 & 0x1f;
    if kind != GATE_INTERRUPT && kind != GATE_TRAP {
        return Err(gp(selector, external));
    }
    let cpl = cpu.hflags() & hf::CPL;
    if source == Source::Software && ((low >> 45 & 3) as u32) < cpl {
        return Err(gp(selector, false));
    }
    if low >> 47 & 1 == 0 {
        return Err(Nested {
            vector: NP,
            error: selector | u32::from(external),
            cr2: None,
        });
    }
    Ok(Gate {
        offset: low & 0xffff | low >> 32 & 0xffff_0000 | high << 32,
        selector: (low >> 16) as u16,
        ist: low >> 32 & 7,
        trap: kind == GATE_TRAP,
    })
}

/// The 64-bit code segment a gate names, and its privilege.
fn code_segment(cpu: &Cpu, selector: u16, external: bool) -> Result<(Segment, u32), Nested> {
    let wrong = gp(u32::from(selector) & !3, external);
    if selector & !3 == 0 || selector & 4 != 0 {
        return Err(wrong);
    }
    let gdt = cpu.segment(Seg::Gdt);
    if u64::from(selector | 7) > u64::from(gdt.limit) {
        return Err(wrong);
    }
    let d = load64(cpu, gdt.base.wrapping_add(u64::from(selector & !7)))?;
    let flags = (d >> 32) as u32 & 0x00f0_ff00;
    let (present, code, long) = (flags >> 15 & 1, flags >> 11 & 3, flags >> 21 & 3);
    let dpl = flags >> 13 & 3;
    if present == 0 || code != 3 || long != 1 || dpl > cpu.hflags() & hf::CPL {
        return Err(wrong);
    }
    let conforming = flags >> 10 & 1 != 0;
    let cpl = if conforming {
        cpu.hflags() & hf::CPL
    } else {
        dpl
    };
    let selector = u32::from(selector) & !3 | cpl;
    Ok((
        Segment {
            selector,
            base: 0,
            limit: !0,
            flags: flags | 1 << 8,
        },
        cpl,
    ))
}

/// The top of the new stack: IST, RSP of the new privilege, or the current one; aligned.
fn stack_top(cpu: &Cpu, ist: u64, new_cpl: u32, old_cpl: u32) -> Result<u64, Nested> {
    let slot = if ist != 0 {
        36 + (ist - 1) * 8
    } else if new_cpl != old_cpl {
        4 + u64::from(new_cpl) * 8
    } else {
        return Ok(cpu.gpr(4) & !15);
    };
    let tss = cpu.segment(Seg::Tr);
    if slot + 7 > u64::from(tss.limit) {
        return Err(Nested {
            vector: TS,
            error: tss.selector & !3,
            cr2: None,
        });
    }
    Ok(load64(cpu, tss.base.wrapping_add(slot))? & !15)
}

/// Delivers a vector: pushes the frame and enters the handler. On error nothing has changed.
///
/// `rip` is what the frame returns to. Only long mode is supported: nothing takes an interrupt in
/// the few real-mode instructions of an AP's start.
pub(crate) fn deliver(
    cpu: &Cpu,
    vector: u8,
    error: Option<u32>,
    source: Source,
    rip: u64,
) -> Result<(), Nested> {
    let external = source != Source::Software;
    let gate = gate(cpu, vector, source)?;
    let (cs, new_cpl) = code_segment(cpu, gate.selector, external)?;
    let old_cpl = cpu.hflags() & hf::CPL;
    // Faults push RF set, so that the instruction breakpoint that caused them is not taken again;
    // the rest push it clear.
    let mut flags = cpu.rflags() & !rflags::RF;
    if source == Source::Exception && !matches!(vector, 1 | 3 | 4 | 8) {
        flags |= rflags::RF;
    }
    let (old_cs, old_ss) = (cpu.segment(Seg::Cs).selector, cpu.segment(Seg::Ss).selector);
    let words = [
        u64::from(error.unwrap_or(0)),
        rip,
        u64::from(old_cs),
        flags,
        cpu.gpr(4),
        u64::from(old_ss),
    ];
    let frame = if error.is_some() {
        &words[..]
    } else {
        &words[1..]
    };
    let mut bytes = [0u8; 48];
    for (to, word) in bytes.chunks_exact_mut(8).zip(frame) {
        to.copy_from_slice(&word.to_le_bytes());
    }
    let size = frame.len() * 8;
    let top = stack_top(cpu, gate.ist, new_cpl, old_cpl)?;
    let rsp = top.wrapping_sub(size as u64);
    // The CPU pushes downwards, so the highest word is the first that can fault.
    for at in [top.wrapping_sub(8), rsp] {
        let here = cpu.translate(VirtAddr(at), Access::SupervisorWrite);
        here.map_err(|f| page_fault(f, true))?;
    }
    cpu.write_virt(VirtAddr(rsp), &bytes[..size])
        .map_err(|f| page_fault(f, true))?;

    let clear = rflags::TF | rflags::NT | rflags::RF | rflags::VM;
    let clear = if gate.trap { clear } else { clear | rflags::IF };
    cpu.set_rflags(cpu.rflags() & !clear);
    if new_cpl != old_cpl {
        let null = Segment {
            selector: new_cpl,
            base: 0,
            limit: !0,
            flags: 0x00c0_9300,
        };
        cpu.set_segment(Seg::Ss, null);
    }
    cpu.set_segment(Seg::Cs, cs);
    cpu.set_gpr(4, rsp);
    cpu.set_rip(gate.offset);
    let drop = hf::CPL | hf::TF | hf::RF | hf::INHIBIT_IRQ;
    cpu.set_hflags(cpu.hflags() & !drop | new_cpl | hf::CS64 | hf::CS32 | hf::SS32);
    Ok(())
}

/// SYSCALL in 64-bit mode (SDM vol. 2). The engine adds the instruction's length to RIP afterwards,
/// so RIP is set 2 bytes short of the target.
pub(crate) fn syscall(cpu: &Cpu) {
    let flags = cpu.rflags();
    cpu.set_gpr(1, cpu.rip().wrapping_add(2));
    cpu.set_gpr(11, flags & !rflags::RF);
    let base = (cpu.star() >> 32) as u32 & 0xfffc;
    let cs = Segment {
        selector: base,
        base: 0,
        limit: !0,
        flags: 0x00a0_9b00,
    };
    let ss = Segment {
        selector: base + 8,
        base: 0,
        limit: !0,
        flags: 0x00c0_9300,
    };
    cpu.set_segment(Seg::Cs, cs);
    cpu.set_segment(Seg::Ss, ss);
    cpu.set_rflags(flags & !cpu.fmask() & !rflags::RF);
    let keep = cpu.hflags() & !(hf::CPL | hf::TF | hf::RF);
    cpu.set_hflags(keep | hf::CS64 | hf::CS32 | hf::SS32);
    cpu.set_rip(cpu.lstar().wrapping_sub(2));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(vector: u8) -> Nested {
        Nested {
            vector,
            error: 0x42,
            cr2: None,
        }
    }

    /// SDM vol. 3, table 6-5: rows are the first event, columns the second.
    #[test]
    fn what_makes_a_double_fault() {
        let (benign, contributory, page) = ([1, 3, 6, 16], [0, 10, 11, 12, 13], [14]);
        let double = |first: u8, then: u8| {
            let both = combine(first, Source::Exception, second(then));
            assert_eq!(both.error, if both.vector == 8 { 0 } else { 0x42 });
            both.vector == DOUBLE_FAULT
        };
        for then in contributory.into_iter().chain(page) {
            assert!(benign.iter().all(|first| !double(*first, then)));
            assert!(double(14, then), "a page fault and then {then}");
        }
        for first in contributory {
            assert!(contributory.iter().all(|then| double(first, *then)));
            assert!(!double(first, 14), "handled one after the other");
        }
    }

    #[test]
    fn interrupts_are_benign_whatever_their_vector() {
        for source in [Source::Software, Source::External] {
            assert_eq!(combine(13, source, second(11)), second(11));
            assert_eq!(combine(14, source, second(14)), second(14));
        }
    }
}
