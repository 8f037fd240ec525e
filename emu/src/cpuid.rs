//! CPUID, fully replaced: a family 6 CPU with SSE2, FXSAVE, NX and an xAPIC, and nothing that the
//! engine or this machine does not do. No XSAVE, AVX, x2APIC, TSC-deadline, RDRAND, SMEP, SMAP,
//! PCID, 5-level paging or hypervisor leaf.

use crate::layout::HZ;

/// EAX, EBX, ECX, EDX.
pub(crate) type Regs = [u32; 4];

const MAX_LEAF: u32 = 0x16;
const MAX_EXTENDED: u32 = 0x8000_0008;

/// Leaf 1 EDX: FPU PSE TSC MSR PAE CX8 APIC SEP PGE CMOV PAT CLFLUSH MMX FXSR SSE SSE2.
const FEATURES_EDX: u32 = 1
    | 1 << 3
    | 1 << 4
    | 1 << 5
    | 1 << 6
    | 1 << 8
    | 1 << 9
    | 1 << 11
    | 1 << 13
    | 1 << 15
    | 1 << 16
    | 1 << 19
    | 1 << 23
    | 1 << 24
    | 1 << 25
    | 1 << 26;
/// Leaf 1 ECX: SSE3, CX16.
const FEATURES_ECX: u32 = 1 | 1 << 13;
/// Leaf 0x8000_0001 EDX: SYSCALL, NX, RDTSCP, LM.
const EXTENDED_EDX: u32 = 1 << 11 | 1 << 20 | 1 << 27 | 1 << 29;

/// The answer of vCPU `id` of `count`.
pub(crate) fn cpuid(leaf: u32, subleaf: u32, id: u32, count: u32) -> Regs {
    let text = |s: &[u8; 16]| -> Regs {
        std::array::from_fn(|i| {
            u32::from_le_bytes(s[4 * i..4 * i + 4].try_into().expect("4 bytes"))
        })
    };
    match leaf {
        0 => [MAX_LEAF, 0x756e_6547, 0x6c65_746e, 0x4965_6e69],
        1 => {
            let logical = count.next_power_of_two();
            [
                0x0006_03a9,
                id << 24 | logical << 16 | 8 << 8,
                FEATURES_ECX,
                FEATURES_EDX,
            ]
        }
        2 => [1, 0, 0, 0],
        // Topology: one thread per core, all cores in one package.
        0xb => match subleaf {
            0 => [0, 1, 1 << 8, id],
            1 => [
                count.next_power_of_two().trailing_zeros(),
                count,
                1 | 2 << 8,
                id,
            ],
            n => [0, 0, n & 0xff, id],
        },
        // TSC and crystal: 1 GHz, ratio 1.
        0x15 => [1, 1, HZ, 0],
        0x16 => [HZ / 1_000_000, HZ / 1_000_000, HZ / 10_000_000, 0],
        0x8000_0000 => [MAX_EXTENDED, 0, 0, 0],
        0x8000_0001 => [0, 0, 1, EXTENDED_EDX],
        0x8000_0002 => text(b"kreplay emulated"),
        0x8000_0003 => text(b" CPU @ 1.00GHz\0\0"),
        0x8000_0007 => [0, 0, 0, 1 << 8],
        0x8000_0008 => [36 | 48 << 8, 0, 0, 0],
        _ => [0; 4],
    }
}
