//! The states a CPU goes through on its way up. Linux: `include/linux/cpuhotplug.h` (v6.8).
//!
//! Kept: v6.8's numbers, of the states that have a callback here. Left out: the others. Differs: nothing.

/// A state: a CPU in it has passed all smaller ones.
pub type CpuhpState = u32;

/// Not there.
pub const CPUHP_OFFLINE: CpuhpState = 0;
/// Its threads are made.
pub const CPUHP_CREATE_THREADS: CpuhpState = 1;
/// Its worker pools get workers.
pub const CPUHP_WORKQUEUE_PREP: CpuhpState = 39;
/// Its high-resolution timers are set up.
pub const CPUHP_HRTIMERS_PREPARE: CpuhpState = 41;
/// Its call data is set up.
pub const CPUHP_SMPCFD_PREPARE: CpuhpState = 44;
/// Its timer wheel is set up.
pub const CPUHP_TIMERS_PREPARE: CpuhpState = 63;
/// It is started.
pub const CPUHP_BP_KICK_AP: CpuhpState = 86;
/// It is waited for.
pub const CPUHP_BRINGUP_CPU: CpuhpState = 87;
/// First state of the section that it runs itself with interrupts off.
pub const CPUHP_AP_IDLE_DEAD: CpuhpState = 88;
/// It runs its own start-up.
pub const CPUHP_AP_OFFLINE: CpuhpState = 89;
/// Caches are set up; here: a storm's request from a CPU that is not active.
pub const CPUHP_AP_CACHECTRL_STARTING: CpuhpState = 90;
/// The scheduler's part of that.
pub const CPUHP_AP_SCHED_STARTING: CpuhpState = 91;
/// End of that section.
pub const CPUHP_AP_ONLINE: CpuhpState = 141;
/// Only on the way down.
pub const CPUHP_TEARDOWN_CPU: CpuhpState = 142;
/// Its idle loop has begun; from here cpuhp/N does the rest.
pub const CPUHP_AP_ONLINE_IDLE: CpuhpState = 143;
/// Its threads may run.
pub const CPUHP_AP_SMPBOOT_THREADS: CpuhpState = 147;
/// Its worker pools are its own.
pub const CPUHP_AP_WORKQUEUE_ONLINE: CpuhpState = 185;
/// Tasks may be moved to it.
pub const CPUHP_AP_ACTIVE: CpuhpState = 232;
/// Complete.
pub const CPUHP_ONLINE: CpuhpState = 233;
