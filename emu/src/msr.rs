//! Model-specific registers: those the engine keeps right by itself, those the machine answers, and
//! #GP for the rest, which is what the SDM says and what kernels probe with.

use crate::device::lapic::Lapic;
use crate::layout::LAPIC_BASE;
use crate::unicorn::Cpu;

const TSC: u32 = 0x10;
const APIC_BASE: u32 = 0x1b;
const UCODE_REV: u32 = 0x8b;
/// SYSENTER CS, ESP, EIP.
const SYSENTER: std::ops::RangeInclusive<u32> = 0x174..=0x176;
const PAT: u32 = 0x277;
const TSC_DEADLINE: u32 = 0x6e0;
/// EFER, STAR, LSTAR, CSTAR, FMASK.
const SYSCALL: std::ops::RangeInclusive<u32> = 0xc000_0080..=0xc000_0084;
/// FS, GS and kernel GS base, TSC_AUX.
const BASES: std::ops::RangeInclusive<u32> = 0xc000_0100..=0xc000_0103;

/// APIC base: enabled, and on vCPU 0 the bootstrap processor.
const APIC_ENABLED: u64 = 1 << 11;
const APIC_BSP: u64 = 1 << 8;

/// Whether the engine executes the RDMSR or WRMSR at RIP correctly by itself.
pub(crate) fn engine_knows(cpu: &Cpu) -> bool {
    let number = cpu.gpr(1) as u32;
    number == PAT
        || SYSENTER.contains(&number)
        || SYSCALL.contains(&number)
        || BASES.contains(&number)
}

/// What reading an MSR of the machine gives; `None` is #GP.
pub(crate) fn read(number: u32, vcpu: u32, now: u64, lapic: &mut Lapic) -> Option<u64> {
    match number {
        TSC => Some(now),
        APIC_BASE => Some(LAPIC_BASE | APIC_ENABLED | if vcpu == 0 { APIC_BSP } else { 0 }),
        UCODE_REV => Some(0),
        TSC_DEADLINE => Some(lapic.deadline(now)),
        _ => None,
    }
}

/// Writes an MSR of the machine; `None` is #GP. The APIC cannot be moved or switched off, and the
/// TSC is the vCPU's clock, which nothing moves.
pub(crate) fn write(number: u32, vcpu: u32, now: u64, value: u64, lapic: &mut Lapic) -> Option<()> {
    match number {
        APIC_BASE => (read(number, vcpu, now, lapic) == Some(value)).then_some(()),
        UCODE_REV => Some(()),
        TSC_DEADLINE => {
            lapic.set_deadline(value, now);
            Some(())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_apic_stays_where_it_is() {
        let lapic = &mut Lapic::new(0);
        assert_eq!(read(APIC_BASE, 0, 5, lapic), Some(0xfee0_0900));
        assert_eq!(read(APIC_BASE, 1, 5, lapic), Some(0xfee0_0800));
        assert_eq!(write(APIC_BASE, 1, 5, 0xfee0_0800, lapic), Some(()));
        assert_eq!(write(APIC_BASE, 1, 5, 0xfee0_0c00, lapic), None, "x2APIC");
    }

    #[test]
    fn the_rest_does_not_exist() {
        let lapic = &mut Lapic::new(0);
        assert_eq!(read(TSC, 1, 77, lapic), Some(77));
        assert_eq!(read(0x1234, 0, 0, lapic), None);
        assert_eq!(write(TSC, 0, 0, 0, lapic), None);
    }
}
