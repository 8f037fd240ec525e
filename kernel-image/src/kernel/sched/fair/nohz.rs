//! Which CPUs idle without a tick, for the balancing of others.
//!
//! Linux: `kernel/sched/fair.c` (v6.8): `nohz_balance_enter_idle`, `nohz_balance_exit_idle`. Kept: the mask.
//! Left out: balancing for these CPUs. Locks: none; each CPU enters itself.

use crate::include::linux::cpumask::{Cpumask, GlobalCpumask, cpu_active};
use crate::kernel::sched::sched::{RqRef, cpu_of};

/// What is known of CPUs without a tick.
struct Nohz {
    idle_cpus_mask: GlobalCpumask,
}

static nohz: Nohz = Nohz {
    idle_cpus_mask: GlobalCpumask::new(),
};

/// A CPU stops ticking in idle.
pub fn nohz_balance_enter_idle(cpu: u32) {
    // One that goes down is nobody's concern.
    if cpu_active(cpu) {
        nohz.idle_cpus_mask.set_cpu(cpu);
    }
}

/// A CPU ticks again, or goes down.
pub fn nohz_balance_exit_idle(rq: RqRef) {
    nohz.idle_cpus_mask.clear_cpu(cpu_of(rq));
}

/// The CPUs that idle without a tick.
pub fn nohz_idle_cpus() -> Cpumask {
    nohz.idle_cpus_mask.get()
}
