//! Which CPUs share a cache.
//!
//! Linux: arch/x86/kernel/cpu/cacheinfo.c (`init_intel_cacheinfo`), v6.8. **Kept** leaf 4: the second level and
//! the last one, named by the lowest APIC id that shares them. **Left out** sizes and everything that /sys
//! shows; other vendors' leaves: a CPU without leaf 4 shares no cache, as far as this kernel knows.

use super::topology::{Cpuid, Place, get_count_order};

/// Finds the ids of the second and of the last cache level.
pub(super) fn init_cacheinfo(cpuid: Cpuid<'_>, c: &mut Place) {
    if cpuid(0, 0)[0] < 4 {
        return;
    }
    for index in 0..8 {
        let [eax, ..] = cpuid(4, index);
        // No more caches.
        if eax & 0x1f == 0 {
            break;
        }
        let level = eax >> 5 & 7;
        let num_threads_sharing = 1 + (eax >> 14 & 0xfff);
        let id = c.apicid & !((1 << get_count_order(num_threads_sharing)) - 1);
        match level {
            2 => {
                c.l2c_id = id;
                c.llc_id = id;
            }
            3 => c.llc_id = id,
            _ => {}
        }
    }
}
