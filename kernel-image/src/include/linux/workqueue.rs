//! Works that kernel threads execute. Linux: `include/linux/workqueue.h` (v6.8).
//!
//! Kept: works, delayed works, flags, the numbers of a work's `data` word. The functions are in
//! `kernel/workqueue.rs`. Left out: `rcu_work`. Differs: Linux packs the address of the work's
//! `pool_workqueue` into `data`; here it has a word of its own beside the flags.

use crate::fence::shared::Shared;
use crate::fence::stack_pinned::StackObject;
use crate::include::linux::list::{ListHead, list_empty};
use crate::include::linux::timer::TimerList;
use crate::intrusive_adapter;
use core::sync::atomic::{AtomicU64, Ordering};

pub use crate::kernel::workqueue::attrs::{WorkqueueAttrs, WqAffnScope};
pub use crate::kernel::workqueue::cancel::{
    cancel_delayed_work, cancel_delayed_work_sync, cancel_work, cancel_work_sync,
};
pub use crate::kernel::workqueue::delayed::{
    flush_delayed_work, mod_delayed_work, mod_delayed_work_on, queue_delayed_work,
    queue_delayed_work_on, schedule_delayed_work, schedule_delayed_work_on,
};
pub use crate::kernel::workqueue::flush::{drain_workqueue, flush_work, flush_workqueue};
pub use crate::kernel::workqueue::{
    WorkqueueStruct, alloc_ordered_workqueue, alloc_workqueue, apply_workqueue_attrs, current_work,
    destroy_workqueue, queue_work, queue_work_on, schedule_on_each_cpu, schedule_work,
    schedule_work_on, set_worker_desc, system_freezable_power_efficient_wq, system_freezable_wq,
    system_highpri_wq, system_long_wq, system_power_efficient_wq, system_unbound_wq, system_wq,
    work_busy, work_on_cpu, work_on_cpu_safe, workqueue_set_max_active,
};

/// What a work does.
pub type WorkFunc = fn(&'static WorkStruct);

/// The work is in a list, or about to be, and has not started.
pub const WORK_STRUCT_PENDING: u64 = 1 << 0;
/// It waits until its queue may run one more.
pub const WORK_STRUCT_INACTIVE: u64 = 1 << 1;
/// `WorkStruct::pwq` says where it is queued.
pub const WORK_STRUCT_PWQ: u64 = 1 << 2;
/// The next work in the list belongs to this one.
pub const WORK_STRUCT_LINKED: u64 = 1 << 3;
/// Where the colour of a queued work begins.
pub const WORK_STRUCT_COLOR_SHIFT: u32 = 4;
/// Bits of a colour.
pub const WORK_STRUCT_COLOR_BITS: u32 = 4;
/// Colours: how many flushes of a queue can be told apart.
pub const WORK_NR_COLORS: usize = 1 << WORK_STRUCT_COLOR_BITS;
/// Off every queue: somebody cancels the work.
pub const WORK_OFFQ_CANCELING: u64 = 1 << WORK_STRUCT_COLOR_SHIFT;
/// Off every queue: where the number of the pool that last had it begins.
pub const WORK_OFFQ_POOL_SHIFT: u32 = WORK_STRUCT_COLOR_SHIFT + 1;
/// No pool has had it.
pub const WORK_OFFQ_POOL_NONE: u64 = (1 << 31) - 1;
/// `data` of a work that no pool has had.
pub const WORK_STRUCT_NO_POOL: u64 = WORK_OFFQ_POOL_NONE << WORK_OFFQ_POOL_SHIFT;

/// No CPU asked for.
pub const WORK_CPU_UNBOUND: u32 = crate::include::linux::cpumask::NR_CPUS as u32;

/// `work_busy`: it waits.
pub const WORK_BUSY_PENDING: u32 = 1 << 0;
/// `work_busy`: it runs.
pub const WORK_BUSY_RUNNING: u32 = 1 << 1;

/// Longest description of a worker.
pub const WORKER_DESC_LEN: usize = 24;
/// Longest name of a workqueue, with the NUL.
pub const WQ_NAME_LEN: usize = 24;

/// Its works run on any CPU.
pub const WQ_UNBOUND: u32 = 1 << 1;
/// A suspend freezes it.
pub const WQ_FREEZABLE: u32 = 1 << 2;
/// Memory may be reclaimed through it: it has a rescuer.
pub const WQ_MEM_RECLAIM: u32 = 1 << 3;
/// Its works are urgent.
pub const WQ_HIGHPRI: u32 = 1 << 4;
/// Its works use a lot of CPU time and hold nobody up.
pub const WQ_CPU_INTENSIVE: u32 = 1 << 5;
/// It is shown to user space.
pub const WQ_SYSFS: u32 = 1 << 6;
/// It may be unbound to save power.
pub const WQ_POWER_EFFICIENT: u32 = 1 << 7;
/// It is going away.
pub const __WQ_DESTROYING: u32 = 1 << 15;
/// It is being drained.
pub const __WQ_DRAINING: u32 = 1 << 16;
/// Its works run one after the other.
pub const __WQ_ORDERED: u32 = 1 << 17;
/// It was made by an old interface.
pub const __WQ_LEGACY: u32 = 1 << 18;
/// It was made ordered on purpose.
pub const __WQ_ORDERED_EXPLICIT: u32 = 1 << 19;

/// Most works of a queue that may be active at once (on a CPU).
pub const WQ_MAX_ACTIVE: i32 = 512;
/// As many, if the maker does not say.
pub const WQ_DFL_ACTIVE: i32 = WQ_MAX_ACTIVE / 2;

/// A work.
#[doc(alias = "work_struct")]
#[repr(C)]
pub struct WorkStruct {
    /// `WORK_STRUCT_*` and the colour while queued, `WORK_OFFQ_*` and the pool's number otherwise.
    pub data: AtomicU64,
    /// Place in a list of works: under the pool's lock.
    pub entry: ListHead,
    /// What it does.
    pub func: Shared<WorkFunc>,
    /// Where it is queued, while `WORK_STRUCT_PWQ` is set: under the pool's lock.
    pub pwq: Shared<Option<&'static crate::kernel::workqueue::PoolWorkqueue>>,
}

impl WorkStruct {
    /// A work that is in no list (`INIT_WORK`).
    pub const fn new(func: WorkFunc) -> WorkStruct {
        WorkStruct {
            data: AtomicU64::new(WORK_STRUCT_NO_POOL),
            entry: ListHead::new(),
            func: Shared::new(func),
            pwq: Shared::new(None),
        }
    }
}

impl StackObject for WorkStruct {
    fn quiescent(&self) -> bool {
        list_empty(&self.entry) && !work_pending(self)
    }
}

/// Whether a work waits to be run.
pub fn work_pending(work: &WorkStruct) -> bool {
    work.data.load(Ordering::Relaxed) & WORK_STRUCT_PENDING != 0
}

intrusive_adapter!(
    /// Works by their link.
    pub WorkLink = WorkStruct { entry: ListHead });

/// A work that is queued after a while.
#[doc(alias = "delayed_work")]
#[repr(C)]
pub struct DelayedWork {
    /// The work.
    pub work: WorkStruct,
    /// Queues it.
    pub timer: TimerList,
    /// On which queue: set before the timer starts.
    pub wq: Shared<Option<&'static WorkqueueStruct>>,
    /// On which CPU: set before the timer starts.
    pub cpu: Shared<u32>,
}

impl DelayedWork {
    /// A work that is in no list and whose timer does not run (`INIT_DELAYED_WORK`).
    pub const fn new(func: WorkFunc) -> DelayedWork {
        DelayedWork {
            work: WorkStruct::new(func),
            timer: TimerList::new(),
            wq: Shared::new(None),
            cpu: Shared::new(WORK_CPU_UNBOUND),
        }
    }
}

intrusive_adapter!(
    /// Delayed works by their work (`to_delayed_work`).
    pub DelayedOfWork = DelayedWork { work: WorkStruct });
intrusive_adapter!(
    /// Delayed works by their timer.
    pub DelayedOfTimer = DelayedWork { timer: TimerList });

/// The delayed work around a work.
pub fn to_delayed_work(work: &'static WorkStruct) -> &'static DelayedWork {
    DelayedOfWork::entry(work)
}
