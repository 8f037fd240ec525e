//! CPUID, fully replaced: a CPU with SSE2, FXSAVE, NX and an xAPIC, and nothing that the
//! engine or this machine does not do. No XSAVE, AVX, x2APIC, RDRAND, SMEP, SMAP, PCID, 5-level
//! paging or hypervisor leaf. The caches of leaf 4 are a shape for the guest's scheduler, and their
//! sizes plain numbers: nothing is cached.

use crate::layout::HZ;
use crate::topology::Topology;

/// EAX, EBX, ECX, EDX.
pub(crate) type Regs = [u32; 4];

const MAX_LEAF: u32 = 0x16;
const MAX_EXTENDED: u32 = 0x8000_0008;

/// Leaf 1 EAX: of no family that a kernel knows errata and model-specific registers of.
pub(crate) const SIGNATURE: u32 = 0x0006_03a9;

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
/// Leaf 1 EDX, where a package has several CPUs: HTT.
const MANY_IN_A_PACKAGE: u32 = 1 << 28;
/// Leaf 1 ECX: SSE3, CX16, TSC-deadline timer.
const FEATURES_ECX: u32 = 1 | 1 << 13 | 1 << 24;
/// Leaf 0x8000_0001 EDX: SYSCALL, NX, RDTSCP, LM.
const EXTENDED_EDX: u32 = 1 << 11 | 1 << 20 | 1 << 27 | 1 << 29;

/// The answer of a vCPU.
pub(crate) fn cpuid(leaf: u32, subleaf: u32, vcpu: u32, topology: &Topology) -> Regs {
    let text = |s: &[u8; 16]| -> Regs {
        std::array::from_fn(|i| {
            u32::from_le_bytes(s[4 * i..4 * i + 4].try_into().expect("4 bytes"))
        })
    };
    let id = topology.apic_id(vcpu);
    match leaf {
        0 => [MAX_LEAF, 0x756e_6547, 0x6c65_746e, 0x4965_6e69],
        1 => {
            let logical = 1 << topology.package_bits();
            let many = if logical > 1 { MANY_IN_A_PACKAGE } else { 0 };
            [
                SIGNATURE,
                id << 24 | logical << 16 | 8 << 8,
                FEATURES_ECX,
                FEATURES_EDX | many,
            ]
        }
        2 => [1, 0, 0, 0],
        4 => cache(subleaf, topology),
        // Levels: threads of a core, CPUs of a package.
        0xb => match subleaf {
            0 => [topology.thread_bits(), topology.threads, 1 << 8, id],
            1 => [
                topology.package_bits(),
                topology.cores * topology.threads,
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

/// Leaf 4, deterministic cache parameters: first-level data and instruction caches and a second-level
/// cache for each core, a third-level cache for each package; lines of 64 bytes.
fn cache(subleaf: u32, topology: &Topology) -> Regs {
    // Type and level, ways, sets, bits of the APIC ids that share it.
    let (core, package) = (topology.thread_bits(), topology.package_bits());
    let (kind, ways, sets, shared) = match subleaf {
        0 => (1 | 1 << 5, 8, 64, core),
        1 => (2 | 1 << 5, 8, 64, core),
        2 => (3 | 2 << 5, 4, 1024, core),
        3 => (3 | 3 << 5, 16, 8192, package),
        _ => return [0; 4],
    };
    let cores = (1 << (package - core)) - 1;
    const SELF_INITIALISING: u32 = 1 << 8;
    let eax = kind | SELF_INITIALISING | ((1 << shared) - 1) << 14 | cores << 26;
    [eax, 63 | (ways - 1) << 22, sets - 1, 0]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SDM vol. 2, CPUID leaf 0xB: shifting the x2APIC id right by EAX gives the id of the next
    /// level.
    #[test]
    fn topology_leaves_agree_with_the_apic_ids() {
        let t: Topology = "packages=2,cores=3,threads=2".parse().unwrap();
        for vcpu in 0..12 {
            let [core_shift, threads, smt, id] = cpuid(0xb, 0, vcpu, &t);
            let [package_shift, in_package, core, _] = cpuid(0xb, 1, vcpu, &t);
            assert_eq!((smt, core), (0x100, 0x201));
            assert_eq!((threads, in_package), (2, 6));
            assert_eq!(id >> core_shift & 3, vcpu / 2 % 3);
            assert_eq!(id >> package_shift, vcpu / 6);
            assert_eq!(cpuid(1, 0, vcpu, &t)[1] >> 24, id);
        }
        assert_eq!(cpuid(0xb, 2, 0, &t), [0, 0, 2, 0], "no third level");
    }

    #[test]
    fn caches_are_shared_by_cores_and_packages() {
        let t: Topology = "packages=2,cores=4,threads=2".parse().unwrap();
        let shared = |n: u32| (cpuid(4, n, 0, &t)[0] >> 14 & 0xfff) + 1;
        assert_eq!([shared(0), shared(1), shared(2), shared(3)], [2, 2, 2, 8]);
        assert_eq!((cpuid(4, 0, 0, &t)[0] >> 26) + 1, 4, "cores in a package");
        assert_eq!(cpuid(4, 4, 0, &t), [0; 4]);
        let size = |n: u32| {
            let [_, ebx, ecx, _] = cpuid(4, n, 0, &t);
            ((ebx >> 22) + 1) * ((ebx & 0xfff) + 1) * (ecx + 1)
        };
        assert_eq!([size(0), size(2), size(3)], [32 << 10, 256 << 10, 8 << 20]);
    }

    #[test]
    fn htt_says_that_the_count_of_ids_means_something() {
        let htt = |n| cpuid(1, 0, 0, &Topology::flat(n))[3] >> 28 & 1;
        assert_eq!([htt(1), htt(2)], [0, 1]);
        assert_eq!(cpuid(1, 0, 0, &Topology::flat(64))[1] >> 16 & 0xff, 64);
    }
}
