//! The states a CPU goes through on its way up and down. Linux: `include/linux/cpuhotplug.h` (v6.8).
//!
//! Kept: v6.8's numbers and names, of all states that an x86 machine uses, most without a callback
//! here. Left out: other architectures' states, states with several instances. Differs: nothing.

/// A state: a CPU in it has passed all smaller ones.
pub type CpuhpState = i32;

/// No state.
pub const CPUHP_INVALID: CpuhpState = -1;
/// Not there.
pub const CPUHP_OFFLINE: CpuhpState = 0;
/// Its threads are made.
pub const CPUHP_CREATE_THREADS: CpuhpState = 1;
/// Performance events' room.
pub const CPUHP_PERF_PREPARE: CpuhpState = 2;
/// The architecture's part of that.
pub const CPUHP_PERF_X86_PREPARE: CpuhpState = 3;
/// Its HPET channel goes.
pub const CPUHP_X86_HPET_DEAD: CpuhpState = 7;
/// Its slab goes.
pub const CPUHP_SLUB_DEAD: CpuhpState = 11;
/// Its statistics go.
pub const CPUHP_MM_VMSTAT_DEAD: CpuhpState = 14;
/// Its tasklets go to another.
pub const CPUHP_SOFTIRQ_DEAD: CpuhpState = 15;
/// Its block requests go.
pub const CPUHP_BLOCK_SOFTIRQ_DEAD: CpuhpState = 21;
/// Consoles hear of it.
pub const CPUHP_PRINTK_DEAD: CpuhpState = 27;
/// Its lists of pages.
pub const CPUHP_PAGE_ALLOC: CpuhpState = 31;
/// Its random numbers.
pub const CPUHP_RANDOM_PREPARE: CpuhpState = 38;
/// Its worker pools get workers.
pub const CPUHP_WORKQUEUE_PREP: CpuhpState = 39;
/// Its high-resolution timers are set up.
pub const CPUHP_HRTIMERS_PREPARE: CpuhpState = 41;
/// Its cluster.
pub const CPUHP_X2APIC_PREPARE: CpuhpState = 43;
/// Its call data is set up.
pub const CPUHP_SMPCFD_PREPARE: CpuhpState = 44;
/// Its relay channels.
pub const CPUHP_RELAY_PREPARE: CpuhpState = 45;
/// Read-copy update counts it.
pub const CPUHP_RCUTREE_PREP: CpuhpState = 47;
/// Its topology in sysfs.
pub const CPUHP_TOPOLOGY_PREPARE: CpuhpState = 55;
/// Its timer wheel is set up; down: its timers go to another.
pub const CPUHP_TIMERS_PREPARE: CpuhpState = 63;
/// First number handed out to who asks for any state before the start.
pub const CPUHP_BP_PREPARE_DYN: CpuhpState = 65;
/// Last of those.
pub const CPUHP_BP_PREPARE_DYN_END: CpuhpState = 85;
/// It is started.
pub const CPUHP_BP_KICK_AP: CpuhpState = 86;
/// It is waited for.
pub const CPUHP_BRINGUP_CPU: CpuhpState = 87;
/// Its idle task has stopped for good. First state of the section with interrupts off.
pub const CPUHP_AP_IDLE_DEAD: CpuhpState = 88;
/// It runs its own start-up.
pub const CPUHP_AP_OFFLINE: CpuhpState = 89;
/// Caches are set up; here: a storm's request from a CPU that is not active.
pub const CPUHP_AP_CACHECTRL_STARTING: CpuhpState = 90;
/// The scheduler's part of that.
pub const CPUHP_AP_SCHED_STARTING: CpuhpState = 91;
/// Down: read-copy update's part.
pub const CPUHP_AP_RCUTREE_DYING: CpuhpState = 92;
/// Its counters.
pub const CPUHP_AP_PERF_X86_STARTING: CpuhpState = 104;
/// Its broadcast timer.
pub const CPUHP_AP_DUMMY_TIMER_STARTING: CpuhpState = 131;
/// Down: calls that wait are made.
pub const CPUHP_AP_SMPCFD_DYING: CpuhpState = 137;
/// Down: its high-resolution timers go to another.
pub const CPUHP_AP_HRTIMERS_DYING: CpuhpState = 138;
/// End of that section.
pub const CPUHP_AP_ONLINE: CpuhpState = 141;
/// Down: it is taken off the set of online CPUs.
pub const CPUHP_TEARDOWN_CPU: CpuhpState = 142;
/// Its idle loop has begun; from here cpuhp/N does the rest.
pub const CPUHP_AP_ONLINE_IDLE: CpuhpState = 143;
/// Down: no task is left.
pub const CPUHP_AP_SCHED_WAIT_EMPTY: CpuhpState = 146;
/// Its threads may run.
pub const CPUHP_AP_SMPBOOT_THREADS: CpuhpState = 147;
/// Interrupts may come to it.
pub const CPUHP_AP_IRQ_AFFINITY_ONLINE: CpuhpState = 148;
/// Block queues.
pub const CPUHP_AP_BLK_MQ_ONLINE: CpuhpState = 149;
/// Performance events.
pub const CPUHP_AP_PERF_ONLINE: CpuhpState = 152;
/// The architecture's part of that.
pub const CPUHP_AP_PERF_X86_ONLINE: CpuhpState = 153;
/// Its watchdog.
pub const CPUHP_AP_WATCHDOG_ONLINE: CpuhpState = 184;
/// Its worker pools are its own.
pub const CPUHP_AP_WORKQUEUE_ONLINE: CpuhpState = 185;
/// Its random numbers.
pub const CPUHP_AP_RANDOM_ONLINE: CpuhpState = 186;
/// Read-copy update may use it.
pub const CPUHP_AP_RCUTREE_ONLINE: CpuhpState = 187;
/// Its caches in sysfs.
pub const CPUHP_AP_BASE_CACHEINFO_ONLINE: CpuhpState = 188;
/// First number handed out to who asks for any state with threads.
pub const CPUHP_AP_ONLINE_DYN: CpuhpState = 189;
/// Last of those.
pub const CPUHP_AP_ONLINE_DYN_END: CpuhpState = 229;
/// Its HPET channel.
pub const CPUHP_AP_X86_HPET_ONLINE: CpuhpState = 230;
/// Its paravirtual clock.
pub const CPUHP_AP_X86_KVM_CLK_ONLINE: CpuhpState = 231;
/// Tasks may be moved to it.
pub const CPUHP_AP_ACTIVE: CpuhpState = 232;
/// Complete.
pub const CPUHP_ONLINE: CpuhpState = 233;

pub use crate::kernel::cpu::{
    cpuhp_remove_state, cpuhp_remove_state_nocalls, cpuhp_setup_state, cpuhp_setup_state_nocalls,
};
