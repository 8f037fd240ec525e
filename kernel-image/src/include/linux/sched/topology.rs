//! Scheduling domains: the levels at which CPUs are balanced with each other.
//!
//! Linux: `include/linux/sched/topology.h`, `sd_flags.h` (v6.8). Kept: the domain with its fields, what the
//! CPUs of a cache share, the flags with their numbers and which of them need more than one group, a level of
//! the machine. Left out: packing (SD_ASYM_PACKING is never set), NUMA domains. Differs: nothing else.
//! Locks: a domain is written while it is built and by the CPU whose domain it is; readers keep preemption
//! off, and a domain is used again only after a grace period.

use crate::fence::shared::Shared;
use crate::include::linux::cpumask::Cpumask;
use crate::kernel::sched::sched::SchedGroup;
use core::sync::atomic::AtomicI32;

/// A domain.
pub type SdRef = &'static SchedDomain;

/// How many kinds of balance there are (`CpuIdleType`).
pub const CPU_MAX_IDLE_TYPES: usize = 3;

/// Balance when about to become idle.
pub const SD_BALANCE_NEWIDLE: u32 = 0x0001;
/// Balance on exec.
pub const SD_BALANCE_EXEC: u32 = 0x0002;
/// Balance on fork.
pub const SD_BALANCE_FORK: u32 = 0x0004;
/// Balance on wake-up.
pub const SD_BALANCE_WAKE: u32 = 0x0008;
/// A woken task may come to the waker's CPU.
pub const SD_WAKE_AFFINE: u32 = 0x0010;
/// CPUs of the domain differ in capacity.
pub const SD_ASYM_CPUCAPACITY: u32 = 0x0020;
/// All capacities of the machine are in the domain.
pub const SD_ASYM_CPUCAPACITY_FULL: u32 = 0x0040;
/// CPUs of the domain share a core.
pub const SD_SHARE_CPUCAPACITY: u32 = 0x0080;
/// CPUs of the domain share a cluster's resources (the second cache level).
pub const SD_CLUSTER: u32 = 0x0100;
/// CPUs of the domain share a package's resources (the last cache level).
pub const SD_SHARE_PKG_RESOURCES: u32 = 0x0200;
/// Only one balance of such a domain at a time.
pub const SD_SERIALIZE: u32 = 0x0400;
/// Prefer to place tasks in a sibling domain.
pub const SD_PREFER_SIBLING: u32 = 0x1000;
/// Groups that only matter if there is more than one of them.
pub const SD_DEGENERATE_GROUPS_MASK: u32 = SD_BALANCE_NEWIDLE
    | SD_BALANCE_EXEC
    | SD_BALANCE_FORK
    | SD_BALANCE_WAKE
    | SD_ASYM_CPUCAPACITY
    | SD_ASYM_CPUCAPACITY_FULL
    | SD_SHARE_CPUCAPACITY
    | SD_CLUSTER
    | SD_SHARE_PKG_RESOURCES
    | SD_SERIALIZE
    | SD_PREFER_SIBLING;
/// Flags that a domain has if its child has: the search upwards ends where one is missing.
pub const SD_SHARED_CHILD_MASK: u32 = SD_BALANCE_NEWIDLE
    | SD_BALANCE_EXEC
    | SD_BALANCE_FORK
    | SD_BALANCE_WAKE
    | SD_WAKE_AFFINE
    | SD_SHARE_CPUCAPACITY
    | SD_CLUSTER
    | SD_SHARE_PKG_RESOURCES;

/// What the domains of the CPUs that share a cache have in common.
#[doc(alias = "sched_domain_shared")]
#[repr(C)]
pub struct SchedDomainShared {
    /// Domains that use it.
    pub r#ref: AtomicI32,
    /// CPUs whose tick runs.
    pub nr_busy_cpus: AtomicI32,
    /// Whether there may be a core without work.
    pub has_idle_cores: Shared<i32>,
    /// How many CPUs a wake-up looks at.
    pub nr_idle_scan: Shared<i32>,
}

impl SchedDomainShared {
    /// One that nobody uses.
    pub const fn new() -> SchedDomainShared {
        SchedDomainShared {
            r#ref: AtomicI32::new(0),
            nr_busy_cpus: AtomicI32::new(0),
            has_idle_cores: Shared::new(0),
            nr_idle_scan: Shared::new(0),
        }
    }
}

/// A domain of one CPU at one level. The domains of CPUs of one span are the same but for their own times
/// and counts.
#[doc(alias = "sched_domain")]
#[repr(C)]
pub struct SchedDomain {
    /// The next wider one, None for the widest.
    pub parent: Shared<Option<SdRef>>,
    /// The next narrower one, None for the narrowest.
    pub child: Shared<Option<SdRef>>,
    /// The groups that are balanced, in a circle; the CPU's own is the first.
    pub groups: Shared<Option<&'static SchedGroup>>,
    /// Shortest time between balances, ms.
    pub min_interval: Shared<u64>,
    /// Longest, ms.
    pub max_interval: Shared<u64>,
    /// Factor to the interval while the CPU is busy.
    pub busy_factor: Shared<u32>,
    /// How much busier than us another group must be, in percent.
    pub imbalance_pct: Shared<u32>,
    /// Failed balances after which warm tasks are moved too.
    pub cache_nice_tries: Shared<u32>,
    /// The CPU has no tick.
    pub nohz_idle: Shared<i32>,
    /// `SD_*`.
    pub flags: Shared<u32>,
    /// 0 for the narrowest.
    pub level: Shared<i32>,
    /// Time of the last balance, jiffies.
    pub last_balance: Shared<u64>,
    /// Time between balances now, ms.
    pub balance_interval: Shared<u32>,
    /// Balances in a row that moved nothing.
    pub nr_balance_failed: Shared<u32>,
    /// Longest time a new idle balance took, ns.
    pub max_newidle_lb_cost: Shared<u64>,
    /// When that was last let decay, jiffies.
    pub last_decay_max_lb_cost: Shared<u64>,
    /// Balances of it, by `CpuIdleType` as all that follow (with schedstats).
    pub lb_count: [Shared<u64>; CPU_MAX_IDLE_TYPES],
    /// That found somebody too busy and moved nothing.
    pub lb_failed: [Shared<u64>; CPU_MAX_IDLE_TYPES],
    /// That found nothing to even out.
    pub lb_balanced: [Shared<u64>; CPU_MAX_IDLE_TYPES],
    /// Sum of what was to be moved.
    pub lb_imbalance: [Shared<u64>; CPU_MAX_IDLE_TYPES],
    /// Tasks that came.
    pub lb_gained: [Shared<u64>; CPU_MAX_IDLE_TYPES],
    /// Of those, with a warm cache.
    pub lb_hot_gained: [Shared<u64>; CPU_MAX_IDLE_TYPES],
    /// Balances that found no group busier.
    pub lb_nobusyg: [Shared<u64>; CPU_MAX_IDLE_TYPES],
    /// That found no queue of it busier.
    pub lb_nobusyq: [Shared<u64>; CPU_MAX_IDLE_TYPES],
    /// Active balances to its CPU: that looked for a task, that found none, that moved one.
    pub alb_count: Shared<u64>,
    /// See `alb_count`.
    pub alb_failed: Shared<u64>,
    /// See `alb_count`.
    pub alb_pushed: Shared<u64>,
    /// Wake-ups made on its CPU for another one that this is the narrowest domain around (with schedstats).
    pub ttwu_wake_remote: Shared<u64>,
    /// Tasks that a wake-up on its CPU drew to it (with schedstats).
    pub ttwu_move_affine: Shared<u64>,
    /// Place of the level's name in the table of levels.
    pub topology_level: Shared<u32>,
    /// What the CPUs of the cache share.
    pub shared: Shared<Option<&'static SchedDomainShared>>,
    /// Number of its CPUs.
    pub span_weight: Shared<u32>,
    /// Its CPUs.
    pub span: Shared<Cpumask>,
}

impl SchedDomain {
    /// A domain that has to be set up.
    pub const fn new() -> SchedDomain {
        SchedDomain {
            parent: Shared::new(None),
            child: Shared::new(None),
            groups: Shared::new(None),
            min_interval: Shared::new(0),
            max_interval: Shared::new(0),
            busy_factor: Shared::new(0),
            imbalance_pct: Shared::new(0),
            cache_nice_tries: Shared::new(0),
            nohz_idle: Shared::new(0),
            flags: Shared::new(0),
            level: Shared::new(0),
            last_balance: Shared::new(0),
            balance_interval: Shared::new(0),
            nr_balance_failed: Shared::new(0),
            max_newidle_lb_cost: Shared::new(0),
            last_decay_max_lb_cost: Shared::new(0),
            lb_count: [const { Shared::new(0) }; CPU_MAX_IDLE_TYPES],
            lb_failed: [const { Shared::new(0) }; CPU_MAX_IDLE_TYPES],
            lb_balanced: [const { Shared::new(0) }; CPU_MAX_IDLE_TYPES],
            lb_imbalance: [const { Shared::new(0) }; CPU_MAX_IDLE_TYPES],
            lb_gained: [const { Shared::new(0) }; CPU_MAX_IDLE_TYPES],
            lb_hot_gained: [const { Shared::new(0) }; CPU_MAX_IDLE_TYPES],
            lb_nobusyg: [const { Shared::new(0) }; CPU_MAX_IDLE_TYPES],
            lb_nobusyq: [const { Shared::new(0) }; CPU_MAX_IDLE_TYPES],
            alb_count: Shared::new(0),
            alb_failed: Shared::new(0),
            alb_pushed: Shared::new(0),
            ttwu_wake_remote: Shared::new(0),
            ttwu_move_affine: Shared::new(0),
            topology_level: Shared::new(0),
            shared: Shared::new(None),
            span_weight: Shared::new(0),
            span: Shared::new(Cpumask::EMPTY),
        }
    }

    /// Every statistic, to begin with 0.
    pub fn reset_stats(&self) {
        let by_idle_type = [
            &self.lb_count,
            &self.lb_failed,
            &self.lb_balanced,
            &self.lb_imbalance,
            &self.lb_gained,
            &self.lb_hot_gained,
            &self.lb_nobusyg,
            &self.lb_nobusyq,
        ];
        let others = [
            &self.alb_count,
            &self.alb_failed,
            &self.alb_pushed,
            &self.ttwu_wake_remote,
            &self.ttwu_move_affine,
        ];
        for counter in by_idle_type.into_iter().flatten().chain(others) {
            counter.set(0);
        }
    }

    /// Whether it has any of these `SD_*`.
    pub fn has(&self, flags: u32) -> bool {
        self.flags.get() & flags != 0
    }

    /// The circle's first group: the CPU's own.
    pub fn local_group(&self) -> &'static SchedGroup {
        self.groups.get().expect("a domain without groups")
    }
}

/// The CPUs of a domain.
pub fn sched_domain_span(sd: SdRef) -> Cpumask {
    sd.span.get()
}

/// A level of the machine.
#[doc(alias = "sched_domain_topology_level")]
pub struct SchedDomainTopologyLevel {
    /// The CPUs that a CPU has around it at this level.
    pub mask: fn(u32) -> Cpumask,
    /// The level's flags.
    pub sd_flags: fn() -> u32,
    /// Its name.
    pub name: &'static str,
}
