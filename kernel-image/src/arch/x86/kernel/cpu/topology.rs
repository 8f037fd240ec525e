//! Where a CPU sits: its core and its package, from CPUID.
//!
//! Linux: arch/x86/kernel/cpu/topology.c, cpu/common.c (`detect_ht`), v6.8. **Kept** the extended leaf, whose
//! shifts cut an APIC id into thread, core and package, and the older way by counts where it is missing.
//! **Left out** modules, tiles and dies (leaf 0x1f), NUMA nodes. **Differs** the answers of CPUID come as
//! arguments, so that any machine can be asked for.

use crate::arch::x86::include::asm::msr::cpuid_count;
use crate::arch::x86::kernel::apic::apic::cpuid_to_apicid;
use crate::fence::percpu::PerCpu;
use crate::fence::shared::Shared;
use crate::include::linux::cpumask::NR_CPUS;

/// CPUID as a function of leaf and sub-leaf: eax, ebx, ecx, edx.
pub type Cpuid<'a> = &'a dyn Fn(u32, u32) -> [u32; 4];

/// Level of a sub-leaf: threads of a core.
const SMT_TYPE: u32 = 1;
/// Level of a sub-leaf: cores of a package.
const CORE_TYPE: u32 = 2;
/// A number that no package has.
pub const BAD_APICID: u32 = 0xffff;

/// The place of one CPU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// Its APIC id.
    pub apicid: u32,
    /// Its package.
    pub phys_proc_id: u32,
    /// Its core within the package.
    pub cpu_core_id: u32,
    /// Threads a core can have.
    pub smp_num_siblings: u32,
    /// The last cache level, named by the lowest APIC id of those that share it.
    pub llc_id: u32,
    /// The second cache level, likewise.
    pub l2c_id: u32,
}

impl Place {
    /// Of a CPU that has not been asked.
    pub const UNKNOWN: Place = Place {
        apicid: BAD_APICID,
        phys_proc_id: BAD_APICID,
        cpu_core_id: 0,
        smp_num_siblings: 1,
        llc_id: BAD_APICID,
        l2c_id: BAD_APICID,
    };
}

/// What a CPU said of itself (the topology's part of `struct cpuinfo_x86`).
#[doc(alias = "cpuinfo_x86")]
#[repr(C)]
pub struct CpuinfoX86 {
    /// Its APIC id.
    pub apicid: Shared<u32>,
    /// Its package.
    pub phys_proc_id: Shared<u32>,
    /// Its core within the package.
    pub cpu_core_id: Shared<u32>,
    /// Threads a core can have.
    pub smp_num_siblings: Shared<u32>,
    /// The last cache level.
    pub llc_id: Shared<u32>,
    /// The second cache level.
    pub l2c_id: Shared<u32>,
}

/// What each CPU said of itself; written by the CPU before it is online.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
pub static cpu_info: PerCpu<CpuinfoX86> = PerCpu::new(
    [const {
        CpuinfoX86 {
            apicid: Shared::new(BAD_APICID),
            phys_proc_id: Shared::new(BAD_APICID),
            cpu_core_id: Shared::new(0),
            smp_num_siblings: Shared::new(1),
            llc_id: Shared::new(BAD_APICID),
            l2c_id: Shared::new(BAD_APICID),
        }
    }; NR_CPUS],
);

/// What a CPU said.
pub fn cpu_data(cpu: u32) -> Place {
    let info = cpu_info.per_cpu(cpu);
    Place {
        apicid: info.apicid.get(),
        phys_proc_id: info.phys_proc_id.get(),
        cpu_core_id: info.cpu_core_id.get(),
        smp_num_siblings: info.smp_num_siblings.get(),
        llc_id: info.llc_id.get(),
        l2c_id: info.l2c_id.get(),
    }
}

/// Whether a CPU is the first thread of its core, by its APIC id: known before the CPU has ever run.
pub fn topology_is_primary_thread(cpu: u32) -> bool {
    let siblings = cpu_data(0).smp_num_siblings;
    // The bits of the id that tell the threads of a core apart.
    let mask = siblings.checked_ilog2().map_or(0, |bits| (1 << bits) - 1);
    cpuid_to_apicid[cpu as usize].get() & mask == 0
}

/// Asks this CPU and keeps the answer.
pub fn smp_store_cpu_info(cpu: u32) {
    store_place(cpu, &identify_topology(&cpuid_count));
}

/// Keeps a CPU's answer.
pub fn store_place(cpu: u32, place: &Place) {
    let info = cpu_info.per_cpu(cpu);
    info.apicid.set(place.apicid);
    info.phys_proc_id.set(place.phys_proc_id);
    info.cpu_core_id.set(place.cpu_core_id);
    info.smp_num_siblings.set(place.smp_num_siblings);
    info.llc_id.set(place.llc_id);
    info.l2c_id.set(place.l2c_id);
}

/// The place of the CPU that answers so.
pub fn identify_topology(cpuid: Cpuid<'_>) -> Place {
    let mut c = Place::UNKNOWN;
    // The initial APIC id, eight bits.
    c.apicid = cpuid(1, 0)[1] >> 24;
    if !detect_extended_topology(cpuid, &mut c) {
        detect_ht(cpuid, &mut c);
    }
    super::cacheinfo::init_cacheinfo(cpuid, &mut c);
    c
}

/// Leaf 0xb: each sub-leaf is a level, and how far to shift the id to get to the next.
fn detect_extended_topology(cpuid: Cpuid<'_>, c: &mut Place) -> bool {
    const LEAF: u32 = 0xb;
    if cpuid(0, 0)[0] < LEAF {
        return false;
    }
    let subtype = |ecx: u32| ecx >> 8 & 0xff;
    let [eax, ebx, ecx, edx] = cpuid(LEAF, 0);
    if ebx & 0xffff == 0 || subtype(ecx) != SMT_TYPE {
        return false;
    }
    c.apicid = edx;
    c.smp_num_siblings = ebx & 0xffff;
    let ht_mask_width = eax & 0x1f;
    let mut core_plus_mask_width = ht_mask_width;
    for sub_index in 1.. {
        let [eax, _, ecx, _] = cpuid(LEAF, sub_index);
        if subtype(ecx) == CORE_TYPE {
            core_plus_mask_width = eax & 0x1f;
        }
        if subtype(ecx) == 0 {
            break;
        }
    }
    let core_select_mask = !(!0 << core_plus_mask_width) >> ht_mask_width;
    c.cpu_core_id = c.apicid >> ht_mask_width & core_select_mask;
    c.phys_proc_id = c.apicid >> core_plus_mask_width;
    true
}

/// Bits that hold the numbers 0 to `count` - 1.
pub(super) fn get_count_order(count: u32) -> u32 {
    count.max(1).next_power_of_two().trailing_zeros()
}

/// Leaves 1 and 4: so many logical CPUs in a package, so many cores among them.
fn detect_ht(cpuid: Cpuid<'_>, c: &mut Place) {
    const HTT: u32 = 1 << 28;
    let [_, ebx, _, edx] = cpuid(1, 0);
    let logical = if edx & HTT != 0 { ebx >> 16 & 0xff } else { 1 }.max(1);
    let has_leaf_4 = cpuid(0, 0)[0] >= 4;
    let cores = match if has_leaf_4 { cpuid(4, 0)[0] } else { 0 } {
        // No cache in there: every logical CPU is a core.
        eax if eax & 0x1f == 0 => logical,
        eax => (eax >> 26) + 1,
    };
    c.smp_num_siblings = (logical / cores).max(1);
    let package_bits = get_count_order(logical);
    let thread_bits = get_count_order(c.smp_num_siblings);
    c.phys_proc_id = c.apicid >> package_bits;
    c.cpu_core_id = (c.apicid & !(!0 << package_bits)) >> thread_bits;
}
