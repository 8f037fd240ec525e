//! A root domain: the CPUs over which real-time and deadline tasks are spread, and what they share.
//!
//! Linux: `kernel/sched/sched.h` (v6.8): `struct root_domain`. Kept: the span and the online CPUs, the
//! overload marks of the three classes, the reference count. Left out: performance domains (no energy
//! model). Differs: it is one of a few static objects that are used again after a grace period instead
//! of allocated and freed (`topology.rs`).
//! Locks: masks and flags are single words that are read without a lock; `span` and `online` are written
//! under the lock of the runqueue whose CPU it is.

use crate::fence::shared::Shared;
use crate::include::linux::cpumask::GlobalCpumask;
use crate::include::linux::irq_work::IrqWork;
use crate::include::linux::spinlock::RawSpinlock;
use crate::kernel::sched::cpudeadline::Cpudl;
use crate::kernel::sched::cpupri::Cpupri;
use crate::kernel::sched::deadline::bandwidth::DlBw;
use crate::kernel::sched::rt::push_pull::rto_push_irq_work_func;
use core::sync::atomic::AtomicI32;

/// `overload`: a CPU has more than one task.
pub const SG_OVERLOAD: i32 = 0x1;
/// `overutilized`: a CPU has more to do than it can.
pub const SG_OVERUTILIZED: i32 = 0x2;

/// CPUs that are balanced together, and what is known of them as a whole.
#[doc(alias = "root_domain")]
#[repr(C)]
pub struct RootDomain {
    /// Runqueues and works that use it.
    pub refcount: AtomicI32,
    /// How many CPUs have more real-time tasks than they can run.
    pub rto_count: AtomicI32,
    /// Its CPUs.
    pub span: GlobalCpumask,
    /// Those of them whose runqueues are online.
    pub online: GlobalCpumask,
    /// A CPU of it has more than one task: there may be something to pull. Set when a second task comes,
    /// decided anew by each balance of the whole domain.
    pub overload: Shared<i32>,
    /// A CPU of it has more to do than it can.
    pub overutilized: Shared<i32>,
    /// CPUs with deadline tasks to push.
    pub dlo_mask: GlobalCpumask,
    /// How many.
    pub dlo_count: AtomicI32,
    /// What its deadline tasks hold.
    pub dl_bw: DlBw,
    /// Which CPU runs which deadline.
    pub cpudl: Cpudl,
    /// Counts the visits of the walk over a root domain's bandwidth.
    pub visit_gen: Shared<u64>,
    /// The walk over the overloaded CPUs, to make each push.
    pub rto_push_work: IrqWork,
    /// Protects the walk's place and round.
    pub rto_lock: RawSpinlock,
    /// The round that the walk is in.
    pub rto_loop: Shared<i32>,
    /// The CPU it is at; -1: none is under way.
    pub rto_cpu: Shared<i32>,
    /// Requests for a round so far.
    pub rto_loop_next: AtomicI32,
    /// Somebody is just starting a walk.
    pub rto_loop_start: AtomicI32,
    /// CPUs with real-time tasks to push.
    pub rto_mask: GlobalCpumask,
    /// Which CPU runs what priority.
    pub cpupri: Cpupri,
    /// The greatest capacity of its CPUs.
    pub max_cpu_capacity: Shared<u64>,
}

/// A root domain's shorthand.
pub type RdRef = &'static RootDomain;

impl RootDomain {
    /// One without CPUs.
    pub const fn new() -> RootDomain {
        RootDomain {
            refcount: AtomicI32::new(0),
            rto_count: AtomicI32::new(0),
            span: GlobalCpumask::new(),
            online: GlobalCpumask::new(),
            overload: Shared::new(0),
            overutilized: Shared::new(0),
            dlo_mask: GlobalCpumask::new(),
            dlo_count: AtomicI32::new(0),
            dl_bw: DlBw::new(),
            cpudl: Cpudl::new(),
            visit_gen: Shared::new(0),
            rto_push_work: IrqWork::new(rto_push_irq_work_func),
            rto_lock: RawSpinlock::new(),
            rto_loop: Shared::new(0),
            rto_cpu: Shared::new(-1),
            rto_loop_next: AtomicI32::new(0),
            rto_loop_start: AtomicI32::new(0),
            rto_mask: GlobalCpumask::new(),
            cpupri: Cpupri::new(),
            max_cpu_capacity: Shared::new(0),
        }
    }
}
