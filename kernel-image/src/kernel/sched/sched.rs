//! What the files of the scheduler share: the runqueue, the classes, locking, the clock of a queue.
//!
//! Linux: `kernel/sched/sched.h` (v6.8).
//! Kept: `rq`, `cfs_rq`, `rt_rq`, `dl_rq`, `sched_class` and the inline functions over them, with
//! FAIR_GROUP_SCHED's root group; `root_domain` has its own file below. Left out: load tracking, core
//! scheduling, uclamp, NUMA, bandwidth, the rq_pin checks. Differs: a class's rank is a number in the
//! class and not its address.
//!
//! Lock order: `pi_lock` of a task, then a runqueue's `__lock`, then a second runqueue's by ascending
//! CPU number. The stopper's lock is never taken with a runqueue's lock held.

use crate::WARN_ON_ONCE;
use crate::arch::x86::include::asm::processor::cpu_relax;
use crate::arch::x86::include::asm::smp::raw_smp_processor_id;
use crate::fence::percpu::PerCpu;
use crate::fence::shared::Shared;
use crate::include::linux::cpumask::NR_CPUS;
use crate::include::linux::irqflags::local_irq_save;
use crate::include::linux::list::ListHead;
use crate::include::linux::plist::PlistHead;
use crate::include::linux::rbtree::RbRootCached;
use crate::include::linux::rcuwait::Rcuwait;
use crate::include::linux::sched::prio::MAX_RT_PRIO;
use crate::include::linux::sched::topology::SdRef;
use crate::include::linux::sched::{
    LoadWeight, PF_KTHREAD, SchedAvg, SchedEntity, TaskRef, same_task, task_cpu,
    test_tsk_need_resched,
};
use crate::include::linux::smp::CallSingleData;
use crate::include::linux::spinlock::{
    RawSpinlock, raw_spin_lock, raw_spin_unlock, raw_spin_unlock_irqrestore,
};
use crate::include::linux::stop_machine::CpuStopWork;
use crate::kernel::sched::clock::sched_clock_cpu;
use crate::kernel::sched::core::affinity::AffinityContext;
use crate::kernel::sched::fair::bandwidth::CfsBandwidth;
use crate::kernel::sched::fair::load::set_task_rq_fair;
use crate::kernel::sched::pelt::update_rq_clock_pelt;
use crate::kernel::sched::stats::RqStats;
use core::sync::atomic::{AtomicI32, AtomicI64, AtomicU32};

pub mod balance_callback;
pub mod double_lock;
pub mod group;
pub mod root_domain;
pub use balance_callback::{BalanceCallback, queue_balance_callback};
pub use double_lock::{
    double_lock_balance, double_rq_lock, double_rq_unlock, double_unlock_balance,
};
pub use group::{
    SchedGroup, SchedGroupCapacity, group_balance_cpu, group_balance_mask, sched_group_span,
};
pub use root_domain::{RdRef, RootDomain, SG_OVERLOAD, SG_OVERUTILIZED};

/// A runqueue.
pub type RqRef = &'static Rq;

/// In a class's queue.
pub const TASK_ON_RQ_QUEUED: i32 = 1;
/// Between two queues.
pub const TASK_ON_RQ_MIGRATING: i32 = 2;

/// The entity goes to sleep.
pub const DEQUEUE_SLEEP: i32 = 0x01;
/// Taken out to be put back with other parameters.
pub const DEQUEUE_SAVE: i32 = 0x02;
/// Its place may change.
pub const DEQUEUE_MOVE: i32 = 0x04;
/// The clock is up to date.
pub const DEQUEUE_NOCLOCK: i32 = 0x08;
/// It goes to another CPU.
pub const DEQUEUE_MIGRATING: i32 = 0x100;
/// The entity wakes up.
pub const ENQUEUE_WAKEUP: i32 = 0x01;
/// Put back after `DEQUEUE_SAVE`.
pub const ENQUEUE_RESTORE: i32 = 0x02;
/// Its place may change.
pub const ENQUEUE_MOVE: i32 = 0x04;
/// The clock is up to date.
pub const ENQUEUE_NOCLOCK: i32 = 0x08;
/// At the head of its priority's list.
pub const ENQUEUE_HEAD: i32 = 0x10;
/// It comes from another CPU.
pub const ENQUEUE_MIGRATED: i32 = 0x40;
/// A deadline task's next period begins.
pub const ENQUEUE_REPLENISH: i32 = 0x20;
/// It comes from another CPU without having slept.
pub const ENQUEUE_MIGRATING: i32 = 0x100;
/// It is new.
pub const ENQUEUE_INITIAL: i32 = 0x80;

/// Selecting a CPU for exec.
pub const WF_EXEC: i32 = 0x02;
/// Selecting a CPU for a new task.
pub const WF_FORK: i32 = 0x04;
/// Selecting a CPU for a task that wakes.
pub const WF_TTWU: i32 = 0x08;
/// The waker is about to sleep.
pub const WF_SYNC: i32 = 0x10;
/// The task changed CPU in this wake-up.
pub const WF_MIGRATED: i32 = 0x20;
/// Prefer the waker's CPU.
pub const WF_CURRENT_CPU: i32 = 0x40;

/// A request to leave the clock alone in the next `__schedule`.
pub const RQCF_REQ_SKIP: u32 = 0x01;
/// The request in force.
pub const RQCF_ACT_SKIP: u32 = 0x02;
/// The clock was brought up to date in this section.
pub const RQCF_UPDATED: u32 = 0x04;

/// Binary digits after the point of a 64-bit load.
pub const SCHED_FIXEDPOINT_SHIFT: u32 = 10;
/// The load of nice 0.
pub const NICE_0_LOAD: u64 = 1 << (2 * SCHED_FIXEDPOINT_SHIFT);
/// The capacity of a CPU.
pub const SCHED_CAPACITY_SCALE: u64 = 1 << SCHED_CAPACITY_SHIFT;
/// Binary digits after the point of a capacity.
pub const SCHED_CAPACITY_SHIFT: u32 = SCHED_FIXEDPOINT_SHIFT;
/// Weight of a SCHED_IDLE task.
pub const WEIGHT_IDLEPRIO: u64 = 3;
/// Its inverse.
pub const WMULT_IDLEPRIO: u32 = 1_431_655_765;
/// What a migration costs, ns.
pub const SYSCTL_SCHED_MIGRATION_COST: u64 = 500_000;

/// A weight in 64-bit resolution.
pub const fn scale_load(w: u64) -> u64 {
    w << SCHED_FIXEDPOINT_SHIFT
}

/// A weight in user resolution; never below 2 unless it is 0.
pub const fn scale_load_down(w: u64) -> u64 {
    if w == 0 {
        return 0;
    }
    let down = w >> SCHED_FIXEDPOINT_SHIFT;
    if down < 2 { 2 } else { down }
}

/// A scheduling class: a table of functions, as `struct sched_class`.
#[doc(alias = "sched_class")]
#[repr(C)]
pub struct SchedClass {
    /// 0 is the highest class (ours; Linux compares addresses).
    pub rank: u8,
    /// Puts a task into the queue.
    pub enqueue_task: fn(RqRef, TaskRef, i32),
    /// Takes a task out of the queue.
    pub dequeue_task: fn(RqRef, TaskRef, i32),
    /// The running task lets others run.
    pub yield_task: fn(RqRef),
    /// The running task would like that one to run; false if it cannot.
    pub yield_to_task: Option<fn(RqRef, TaskRef) -> bool>,
    /// A task of this class woke up: shall it preempt the running one?
    pub wakeup_preempt: fn(RqRef, TaskRef, i32),
    /// Takes the next task to run, and makes it the running one.
    pub pick_next_task: fn(RqRef) -> Option<TaskRef>,
    /// The task stops running.
    pub put_prev_task: fn(RqRef, TaskRef),
    /// The task starts running. `first`: from a pick.
    pub set_next_task: fn(RqRef, TaskRef, bool),
    /// Tries to get work for this class from other CPUs; true if the class has work.
    pub balance: fn(RqRef, TaskRef) -> bool,
    /// Chooses a CPU for a task that wakes, forks or execs.
    pub select_task_rq: fn(TaskRef, i32, i32) -> i32,
    /// The task is about to change CPU.
    pub migrate_task_rq: Option<fn(TaskRef, i32)>,
    /// The task has been woken.
    pub task_woken: Option<fn(RqRef, TaskRef)>,
    /// Its mask changes.
    pub set_cpus_allowed: fn(TaskRef, &AffinityContext),
    /// The CPU has become active.
    pub rq_online: Option<fn(RqRef)>,
    /// The CPU is no longer active, or its runqueue changes root domain.
    pub rq_offline: Option<fn(RqRef)>,
    /// Finds a runqueue for a task that its own must get rid of, and locks it beside that one.
    pub find_lock_rq: Option<fn(TaskRef, RqRef) -> Option<RqRef>>,
    /// A tick while the task runs.
    pub task_tick: fn(RqRef, TaskRef, i32),
    /// The task has been forked.
    pub task_fork: Option<fn(TaskRef)>,
    /// The task has ended.
    pub task_dead: Option<fn(TaskRef)>,
    /// The task left this class.
    pub switched_from: Option<fn(RqRef, TaskRef)>,
    /// The task came into this class.
    pub switched_to: fn(RqRef, TaskRef),
    /// Its priority changed; the old one.
    pub prio_changed: fn(RqRef, TaskRef, i32),
    /// How long a turn of the task is, in jiffies; None: it has no end.
    pub get_rr_interval: Option<fn(RqRef, TaskRef) -> u32>,
    /// Brings the running task's accounting up to date.
    pub update_curr: fn(RqRef),
    /// The task goes to another group: changes its queue.
    pub task_change_group: Option<fn(TaskRef)>,
}

/// Whether class `a` is above class `b`.
pub fn sched_class_above(a: &SchedClass, b: &SchedClass) -> bool {
    a.rank < b.rank
}

/// The classes from the highest to the lowest.
pub static SCHED_CLASSES: [&SchedClass; 5] = [
    &super::stop_task::stop_sched_class,
    &super::deadline::dl_sched_class,
    &super::rt::rt_sched_class,
    &super::fair::fair_sched_class,
    &super::idle::idle_sched_class,
];

/// Whether two classes are the same.
pub fn same_class(a: &SchedClass, b: &SchedClass) -> bool {
    a.rank == b.rank
}

/// The fair class's queue of one CPU (and, later, of one group). All fields: (rq).
#[doc(alias = "cfs_rq")]
#[repr(C)]
pub struct CfsRq {
    /// Sum of the weights of all entities on it, the running one included.
    pub load: LoadWeight,
    /// Entities on it.
    pub nr_running: Shared<u32>,
    /// Tasks on it and below.
    pub h_nr_running: Shared<u32>,
    /// Entities on it that run when nothing else does.
    pub idle_nr_running: Shared<u32>,
    /// Tasks on it and below that do.
    pub idle_h_nr_running: Shared<u32>,
    /// Sum of (vruntime - min_vruntime) x weight over the tree.
    pub avg_vruntime: Shared<i64>,
    /// Sum of weights over the tree.
    pub avg_load: Shared<u64>,
    /// Reference for vruntimes; never goes back.
    pub min_vruntime: Shared<u64>,
    /// The tree, by deadline.
    pub tasks_timeline: RbRootCached,
    /// The running entity: not in the tree.
    pub curr: Shared<Option<&'static SchedEntity>>,
    /// Wanted next by a yield_to.
    pub next: Shared<Option<&'static SchedEntity>>,
    /// Load tracking: the sum over its entities, those that sleep included.
    pub avg: SchedAvg,
    /// What left it without the lock.
    pub removed: RemovedAvg,
    /// When its load was last published in the group, ns.
    pub last_update_tg_load_avg: Shared<u64>,
    /// Its part of the group's `load_avg`.
    pub tg_load_avg_contrib: Shared<u64>,
    /// Whether its entity's signal has to follow a change here.
    pub propagate: Shared<u32>,
    /// The change, in time that its entity wanted to run.
    pub prop_runnable_sum: Shared<i64>,
    /// Its part of the CPU's load.
    pub h_load: Shared<u64>,
    /// When that was computed, jiffies.
    pub last_h_load_update: Shared<u64>,
    /// The way down to the queue it is being computed for.
    pub h_load_next: Shared<Option<&'static SchedEntity>>,
    /// Whose it is.
    pub rq: Shared<Option<RqRef>>,
    /// Whether it is in the CPU's list of queues with something to fade.
    pub on_list: Shared<u32>,
    /// Its place there.
    pub leaf_cfs_rq_list: ListHead,
    /// The group it belongs to.
    pub tg: Shared<Option<&'static TaskGroup>>,
    /// Whether the group runs when nothing else does.
    pub idle: Shared<i32>,
    /// The group has a limit.
    pub runtime_enabled: Shared<i32>,
    /// What this CPU may still use; negative when it used more.
    pub runtime_remaining: Shared<i64>,
    /// `throttled_clock_pelt_time` when the queue became empty; `u64::MAX` while it is throttled. Read
    /// without the lock.
    pub throttled_pelt_idle: Shared<u64>,
    /// Since when its tasks cannot run.
    pub throttled_clock: Shared<u64>,
    /// `rq_clock_pelt` when it, or a group above, was throttled.
    pub throttled_clock_pelt: Shared<u64>,
    /// How long that was so far.
    pub throttled_clock_pelt_time: Shared<u64>,
    /// Since when something is queued here that an own or an upper throttling keeps from the CPU; 0: nothing.
    pub throttled_clock_self: Shared<u64>,
    /// How long that has been so in all.
    pub throttled_clock_self_time: Shared<u64>,
    /// It is out of the hierarchy.
    pub throttled: Shared<i32>,
    /// How many at and above it are.
    pub throttle_count: Shared<i32>,
    /// Place in its group's list of throttled queues.
    pub throttled_list: ListHead,
    /// Place in its CPU's list of queues to unthrottle.
    pub throttled_csd_list: ListHead,
}

/// Signals of entities that left a queue without its runqueue's lock. All fields: (lock).
#[repr(C)]
pub struct RemovedAvg {
    /// The lock.
    pub lock: RawSpinlock,
    /// How many left; read without the lock.
    pub nr: Shared<u32>,
    /// Their load.
    pub load_avg: Shared<u64>,
    /// Their utilisation.
    pub util_avg: Shared<u64>,
    /// Their runnable signal.
    pub runnable_avg: Shared<u64>,
}

impl CfsRq {
    /// A queue that `init_cfs_rq` has to set up.
    pub const fn new() -> CfsRq {
        CfsRq {
            load: LoadWeight::new(),
            nr_running: Shared::new(0),
            h_nr_running: Shared::new(0),
            idle_nr_running: Shared::new(0),
            idle_h_nr_running: Shared::new(0),
            avg_vruntime: Shared::new(0),
            avg_load: Shared::new(0),
            min_vruntime: Shared::new(0),
            tasks_timeline: RbRootCached::new(),
            curr: Shared::new(None),
            next: Shared::new(None),
            avg: SchedAvg::new(),
            removed: RemovedAvg {
                lock: RawSpinlock::new(),
                nr: Shared::new(0),
                load_avg: Shared::new(0),
                util_avg: Shared::new(0),
                runnable_avg: Shared::new(0),
            },
            last_update_tg_load_avg: Shared::new(0),
            tg_load_avg_contrib: Shared::new(0),
            propagate: Shared::new(0),
            prop_runnable_sum: Shared::new(0),
            h_load: Shared::new(0),
            last_h_load_update: Shared::new(0),
            h_load_next: Shared::new(None),
            rq: Shared::new(None),
            on_list: Shared::new(0),
            leaf_cfs_rq_list: ListHead::new(),
            tg: Shared::new(None),
            idle: Shared::new(0),
            runtime_enabled: Shared::new(0),
            runtime_remaining: Shared::new(0),
            throttled_pelt_idle: Shared::new(0),
            throttled_clock: Shared::new(0),
            throttled_clock_pelt: Shared::new(0),
            throttled_clock_pelt_time: Shared::new(0),
            throttled_clock_self: Shared::new(0),
            throttled_clock_self_time: Shared::new(0),
            throttled: Shared::new(0),
            throttle_count: Shared::new(0),
            throttled_list: ListHead::new(),
            throttled_csd_list: ListHead::new(),
        }
    }

    /// The group it belongs to.
    pub fn tg(&self) -> &'static TaskGroup {
        self.tg.get().expect("a queue without a group")
    }
}

/// The real-time tasks of a queue, by priority.
#[doc(alias = "rt_prio_array")]
#[repr(C)]
pub struct RtPrioArray {
    /// Which priorities have tasks; bit 100 ends the search.
    pub bitmap: [Shared<u64>; 2],
    /// A list for each.
    pub queue: [ListHead; MAX_RT_PRIO as usize],
}

impl RtPrioArray {
    /// An array that `init` has to set up.
    pub const fn new() -> RtPrioArray {
        RtPrioArray {
            bitmap: [const { Shared::new(0) }; 2],
            queue: [const { ListHead::new() }; MAX_RT_PRIO as usize],
        }
    }
}

/// The highest priorities of a queue; 99 where there is none.
#[repr(C)]
pub struct RtPrioRange {
    /// Of all, the running task's included.
    pub curr: Shared<i32>,
    /// Of those that could run elsewhere.
    pub next: Shared<i32>,
}

/// The real-time class's queue. All fields: (rq).
#[doc(alias = "rt_rq")]
#[repr(C)]
pub struct RtRq {
    /// The tasks on it, the running one included.
    pub active: RtPrioArray,
    /// How many.
    pub rt_nr_running: Shared<u32>,
    /// How many of policy SCHED_RR.
    pub rr_nr_running: Shared<u32>,
    /// How many of them the runqueue counts: all, or none while the queue is throttled (in Linux a flag).
    pub rt_queued: Shared<u32>,
    /// The highest priorities on it.
    pub highest_prio: RtPrioRange,
    /// There are tasks to push.
    pub overloaded: Shared<u32>,
    /// The tasks that wait here and could run elsewhere, by priority.
    pub pushable_tasks: PlistHead,
    /// It has had its share of this period.
    pub rt_throttled: Shared<i32>,
    /// Run time in this period, ns.
    pub rt_time: Shared<u64>,
    /// Allowed run time in a period, ns.
    pub rt_runtime: Shared<u64>,
}

/// The earliest deadlines of a queue; 0 where there is none.
#[repr(C)]
pub struct DlEarliest {
    /// Of all, the running task's included.
    pub curr: Shared<u64>,
    /// Of those that could run elsewhere.
    pub next: Shared<u64>,
}

/// The deadline class's queue. All fields: (rq).
#[doc(alias = "dl_rq")]
#[repr(C)]
pub struct DlRq {
    /// The tasks that are not throttled, by deadline; the running one included.
    pub root: RbRootCached,
    /// Tasks on it.
    pub dl_nr_running: Shared<u32>,
    /// The earliest deadlines on it; read without the lock.
    pub earliest_dl: DlEarliest,
    /// There are tasks to push.
    pub overloaded: Shared<u32>,
    /// The tasks that wait here and could run elsewhere, by deadline.
    pub pushable_dl_tasks_root: RbRootCached,
    /// Bandwidth of its tasks that run, wait for the CPU, or blocked before their 0-lag time.
    pub running_bw: Shared<u64>,
    /// Bandwidth of all its tasks.
    pub this_bw: Shared<u64>,
    /// What the root domain has not given away, this CPU's part.
    pub extra_bw: Shared<u64>,
    /// What reclaiming may hand out.
    pub max_bw: Shared<u64>,
    /// 1 / `max_bw`.
    pub bw_ratio: Shared<u64>,
}

impl DlRq {
    /// A queue that `init_dl_rq` has to set up.
    pub const fn new() -> DlRq {
        DlRq {
            root: RbRootCached::new(),
            dl_nr_running: Shared::new(0),
            earliest_dl: DlEarliest {
                curr: Shared::new(0),
                next: Shared::new(0),
            },
            overloaded: Shared::new(0),
            pushable_dl_tasks_root: RbRootCached::new(),
            running_bw: Shared::new(0),
            this_bw: Shared::new(0),
            extra_bw: Shared::new(0),
            max_bw: Shared::new(0),
            bw_ratio: Shared::new(0),
        }
    }
}

/// A group of tasks: on every CPU a queue, and an entity that stands for it in the queue of the group
/// above. The root group's queue is the runqueue's own, and it has no entities.
#[doc(alias = "task_group")]
#[repr(C)]
pub struct TaskGroup {
    /// Weight of the group: (shares_mutex).
    pub shares: Shared<u64>,
    /// Whether it runs when nothing else does: (shares_mutex).
    pub idle: Shared<i32>,
    /// The group's queue of each CPU.
    pub cfs_rq: PerCpu<Shared<Option<&'static CfsRq>>>,
    /// The group's entity of each CPU.
    pub se: PerCpu<Shared<Option<&'static SchedEntity>>>,
    /// Sum of its queues' published loads.
    pub load_avg: AtomicI64,
    /// Place in the list of all groups: (task_group_lock).
    pub list: ListHead,
    /// The group above; None for the root group.
    pub parent: Shared<Option<&'static TaskGroup>>,
    /// Place among the children of the group above: (task_group_lock).
    pub siblings: ListHead,
    /// The groups below: (task_group_lock).
    pub children: ListHead,
    /// Its limit.
    pub cfs_bandwidth: CfsBandwidth,
    /// Link of the list of free slots (ours).
    pub free_next: Shared<Option<&'static TaskGroup>>,
}

impl TaskGroup {
    /// A group that `init_tg_cfs_entry` has to connect.
    pub const fn new() -> TaskGroup {
        TaskGroup {
            shares: Shared::new(0),
            idle: Shared::new(0),
            cfs_rq: PerCpu::new([const { Shared::new(None) }; NR_CPUS]),
            se: PerCpu::new([const { Shared::new(None) }; NR_CPUS]),
            load_avg: AtomicI64::new(0),
            list: ListHead::new(),
            parent: Shared::new(None),
            siblings: ListHead::new(),
            children: ListHead::new(),
            cfs_bandwidth: CfsBandwidth::new(),
            free_next: Shared::new(None),
        }
    }

    /// The group's queue of a CPU.
    pub fn cfs_rq_on(&self, cpu: u32) -> &'static CfsRq {
        let cfs_rq = self.cfs_rq.per_cpu(cpu).get();
        cfs_rq.expect("a group without a queue")
    }
}

/// Whether two groups are the same.
pub fn same_tg(a: &TaskGroup, b: &TaskGroup) -> bool {
    core::ptr::eq(a, b)
}

/// A runqueue, as `struct rq`. Fields: under `__lock` unless said otherwise.
#[doc(alias = "rq")]
#[repr(C)]
pub struct Rq {
    /// The lock.
    pub __lock: RawSpinlock,
    /// Tasks on it, all classes.
    pub nr_running: Shared<u32>,
    /// Wake-ups on their way here; read without the lock.
    pub ttwu_pending: Shared<u32>,
    /// Context switches.
    pub nr_switches: Shared<u64>,
    /// Fair.
    pub cfs: CfsRq,
    /// Real time.
    pub rt: RtRq,
    /// Deadline.
    pub dl: DlRq,
    /// Queues with something to fade, those of groups before their parents'.
    pub leaf_cfs_rq_list: ListHead,
    /// The last queue put there whose parent is not there yet (in Linux the list's head when there is none).
    pub tmp_alone_branch: Shared<Option<&'static ListHead>>,
    /// Sleepers that count as load; may be negative on one CPU.
    pub nr_uninterruptible: Shared<i32>,
    /// The running task; read without the lock.
    pub curr: Shared<Option<TaskRef>>,
    /// The idle task.
    pub idle: Shared<Option<TaskRef>>,
    /// The stopper, once it exists.
    pub stop: Shared<Option<TaskRef>>,
    /// Time of the next balance, jiffies.
    pub next_balance: Shared<u64>,
    /// `RQCF_*`.
    pub clock_update_flags: Shared<u32>,
    /// ns, as of the last update.
    pub clock: Shared<u64>,
    /// The same without interrupts' and others' time.
    pub clock_task: Shared<u64>,
    /// The clock of load tracking, stopped while the CPU is idle.
    pub clock_pelt: Shared<u64>,
    /// Idle time that the clock of load tracking leaves out.
    pub lost_idle_time: Shared<u64>,
    /// `rq_clock_pelt` when the CPU became idle; read without the lock.
    pub clock_pelt_idle: Shared<u64>,
    /// `clock` at that moment; read without the lock.
    pub clock_idle: Shared<u64>,
    /// When sleepers' signals were last faded, jiffies.
    pub last_blocked_load_update_tick: Shared<u64>,
    /// Whether there may be something to fade.
    pub has_blocked_load: Shared<u32>,
    /// Tasks in I/O wait.
    pub nr_iowait: AtomicI32,
    /// The CPUs it is balanced with; changed under the lock.
    pub rd: Shared<Option<RdRef>>,
    /// Its narrowest scheduling domain; read with preemption off.
    pub sd: Shared<Option<SdRef>>,
    /// What the CPU can do for fair tasks.
    pub cpu_capacity: Shared<u64>,
    /// What to run before the lock is released the next time: a list.
    pub balance_callback: Shared<Option<&'static BalanceCallback>>,
    /// What the balance for sleeping CPUs is to do (`NOHZ_*`), once the softirq runs.
    pub nohz_idle_balance: Shared<u32>,
    /// Whether the CPU was idle at the last tick.
    pub idle_balance: Shared<u8>,
    /// The map that the task before borrowed: the next one gives it back.
    pub prev_mm: Shared<Option<&'static crate::include::linux::mm_types::MmStruct>>,
    /// Load of a running task that is too heavy for this CPU.
    pub misfit_task_load: Shared<u64>,
    /// An active balance is on its way.
    pub active_balance: Shared<i32>,
    /// Where it pushes to.
    pub push_cpu: Shared<i32>,
    /// Its work.
    pub active_balance_work: CpuStopWork,
    /// Number of the CPU.
    pub cpu: Shared<i32>,
    /// The CPU idles without a tick: written by the CPU itself.
    pub nohz_tick_stopped: Shared<u32>,
    /// Bits `NOHZ_*` of who wants it to balance for sleepers.
    pub nohz_flags: AtomicU32,
    /// The call that wakes it for that.
    pub nohz_csd: CallSingleData,
    /// Whether the CPU is active.
    pub online: Shared<i32>,
    /// Fair tasks, last picked first.
    pub cfs_tasks: ListHead,
    /// Time of the real-time class.
    pub avg_rt: SchedAvg,
    /// Time of the deadline class.
    pub avg_dl: SchedAvg,
    /// Asks the CPU to unthrottle the queues of the next list.
    pub cfsb_csd: CallSingleData,
    /// Queues of limited groups that may run again.
    pub cfsb_csd_list: ListHead,
    /// When the CPU became idle.
    pub idle_stamp: Shared<u64>,
    /// Mean idle time, ns.
    pub avg_idle: Shared<u64>,
    /// Longest cost of an idle balance, ns.
    pub max_idle_balance_cost: Shared<u64>,
    /// The hotplug thread waits here until the CPU is empty.
    pub hotplug_wait: Rcuwait,
    /// Tasks that must stay here.
    pub nr_pinned: Shared<u32>,
    /// A push is on its way.
    pub push_busy: Shared<u8>,
    /// Its work.
    pub push_work: CpuStopWork,
    /// Statistics (fields of `rq` itself in Linux).
    pub stats: RqStats,
    /// Load average bookkeeping.
    pub calc_load_update: Shared<u64>,
    /// Load average bookkeeping.
    pub calc_load_active: Shared<i64>,
}

impl Rq {
    const fn new() -> Rq {
        Rq {
            __lock: RawSpinlock::new(),
            nr_running: Shared::new(0),
            ttwu_pending: Shared::new(0),
            nr_switches: Shared::new(0),
            cfs: CfsRq::new(),
            rt: RtRq {
                active: RtPrioArray::new(),
                rt_nr_running: Shared::new(0),
                rr_nr_running: Shared::new(0),
                rt_queued: Shared::new(0),
                highest_prio: RtPrioRange {
                    curr: Shared::new(0),
                    next: Shared::new(0),
                },
                overloaded: Shared::new(0),
                pushable_tasks: PlistHead::new(),
                rt_throttled: Shared::new(0),
                rt_time: Shared::new(0),
                rt_runtime: Shared::new(0),
            },
            dl: DlRq::new(),
            leaf_cfs_rq_list: ListHead::new(),
            tmp_alone_branch: Shared::new(None),
            nr_uninterruptible: Shared::new(0),
            curr: Shared::new(None),
            idle: Shared::new(None),
            stop: Shared::new(None),
            next_balance: Shared::new(0),
            clock_update_flags: Shared::new(0),
            clock: Shared::new(0),
            clock_task: Shared::new(0),
            clock_pelt: Shared::new(0),
            lost_idle_time: Shared::new(0),
            clock_pelt_idle: Shared::new(0),
            clock_idle: Shared::new(0),
            last_blocked_load_update_tick: Shared::new(0),
            has_blocked_load: Shared::new(0),
            nr_iowait: AtomicI32::new(0),
            rd: Shared::new(None),
            sd: Shared::new(None),
            cpu_capacity: Shared::new(0),
            balance_callback: Shared::new(None),
            nohz_idle_balance: Shared::new(0),
            idle_balance: Shared::new(0),
            prev_mm: Shared::new(None),
            misfit_task_load: Shared::new(0),
            active_balance: Shared::new(0),
            push_cpu: Shared::new(0),
            active_balance_work: CpuStopWork::new(),
            cpu: Shared::new(0),
            nohz_tick_stopped: Shared::new(0),
            nohz_flags: AtomicU32::new(0),
            nohz_csd: CallSingleData::new(),
            online: Shared::new(0),
            cfs_tasks: ListHead::new(),
            avg_rt: SchedAvg::new(),
            avg_dl: SchedAvg::new(),
            cfsb_csd: CallSingleData::new(),
            cfsb_csd_list: ListHead::new(),
            idle_stamp: Shared::new(0),
            avg_idle: Shared::new(0),
            max_idle_balance_cost: Shared::new(0),
            hotplug_wait: Rcuwait::new(),
            nr_pinned: Shared::new(0),
            push_busy: Shared::new(0),
            push_work: CpuStopWork::new(),
            stats: RqStats::new(),
            calc_load_update: Shared::new(0),
            calc_load_active: Shared::new(0),
        }
    }

    /// The running task.
    pub fn current(&self) -> TaskRef {
        self.curr.get().expect("a runqueue without a running task")
    }

    /// The idle task.
    pub fn idle_task(&self) -> TaskRef {
        self.idle.get().expect("a runqueue without an idle task")
    }

    /// Its root domain.
    pub fn rd(&self) -> RdRef {
        self.rd.get().expect("a runqueue without a root domain")
    }

    /// The CPU's number.
    pub fn cpu_nr(&self) -> u32 {
        self.cpu.get() as u32
    }
}

/// One runqueue for each possible CPU.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
pub static runqueues: PerCpu<Rq> = PerCpu::new([const { Rq::new() }; NR_CPUS]);

/// The group of all tasks.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
pub static root_task_group: TaskGroup = TaskGroup::new();

/// The runqueue of a CPU.
pub fn cpu_rq(cpu: u32) -> RqRef {
    runqueues.per_cpu(cpu)
}

/// The runqueue of this CPU. The caller cannot be moved meanwhile.
pub fn this_rq() -> RqRef {
    cpu_rq(raw_smp_processor_id())
}

/// The runqueue a task belongs to.
pub fn task_rq(p: TaskRef) -> RqRef {
    cpu_rq(task_cpu(p))
}

/// The CPU of a runqueue.
pub fn cpu_of(rq: RqRef) -> u32 {
    rq.cpu_nr()
}

/// Whether two runqueues are the same.
pub fn same_rq(a: RqRef, b: RqRef) -> bool {
    core::ptr::eq(a, b)
}

/// Whether two root domains are the same.
pub fn same_rd(a: RdRef, b: RdRef) -> bool {
    core::ptr::eq(a, b)
}

/// Takes the runqueue's lock. Interrupts are off.
pub fn raw_spin_rq_lock(rq: RqRef) {
    raw_spin_lock(&rq.__lock);
}

/// Releases it.
pub fn raw_spin_rq_unlock(rq: RqRef) {
    raw_spin_unlock(&rq.__lock);
}

/// What a locked section has to restore.
#[doc(alias = "rq_flags")]
#[derive(Clone, Copy)]
pub struct RqFlags {
    flags: u64,
}

impl RqFlags {
    /// Nothing to restore.
    pub const fn new() -> RqFlags {
        RqFlags { flags: 0 }
    }
}

/// Takes the runqueue's lock with interrupts off.
pub fn rq_lock_irqsave(rq: RqRef, rf: &mut RqFlags) {
    rf.flags = local_irq_save();
    raw_spin_rq_lock(rq);
}

/// Releases it and restores interrupts.
pub fn rq_unlock_irqrestore(rq: RqRef, rf: &RqFlags) {
    raw_spin_unlock_irqrestore(&rq.__lock, rf.flags);
}

/// Takes the lock of a task's runqueue. `pi_lock` is held.
pub fn __task_rq_lock(p: TaskRef) -> RqRef {
    loop {
        let rq = task_rq(p);
        raw_spin_rq_lock(rq);
        if same_rq(rq, task_rq(p)) && !task_on_rq_migrating(p) {
            return rq;
        }
        raw_spin_rq_unlock(rq);
        while task_on_rq_migrating(p) {
            cpu_relax();
        }
    }
}

/// Takes a task's `pi_lock` and its runqueue's lock, so that neither its state nor its place changes.
pub fn task_rq_lock(p: TaskRef, rf: &mut RqFlags) -> RqRef {
    loop {
        rf.flags = local_irq_save();
        raw_spin_lock(&p.pi_lock);
        let rq = task_rq(p);
        raw_spin_rq_lock(rq);
        if same_rq(rq, task_rq(p)) && !task_on_rq_migrating(p) {
            return rq;
        }
        raw_spin_rq_unlock(rq);
        raw_spin_unlock_irqrestore(&p.pi_lock, rf.flags);
        while task_on_rq_migrating(p) {
            cpu_relax();
        }
    }
}

/// Releases both.
pub fn task_rq_unlock(rq: RqRef, p: TaskRef, rf: &RqFlags) {
    raw_spin_rq_unlock(rq);
    raw_spin_unlock_irqrestore(&p.pi_lock, rf.flags);
}

/// Whether the task is in a class's queue.
pub fn task_on_rq_queued(p: TaskRef) -> bool {
    p.on_rq.get() == TASK_ON_RQ_QUEUED
}

/// Whether the task is between two queues.
pub fn task_on_rq_migrating(p: TaskRef) -> bool {
    p.on_rq.get() == TASK_ON_RQ_MIGRATING
}

/// Whether the task is the running one of the runqueue.
pub fn task_current(rq: RqRef, p: TaskRef) -> bool {
    rq.curr.get().is_some_and(|curr| same_task(curr, p))
}

/// Whether the task is on a CPU, or is just being switched out.
pub fn task_on_cpu(p: TaskRef) -> bool {
    p.on_cpu.load(core::sync::atomic::Ordering::Acquire) != 0
}

/// Whether the task may not leave its CPU now.
pub fn is_migration_disabled(p: TaskRef) -> bool {
    p.migration_disabled.get() != 0
}

/// Whether the task is a kernel thread.
pub fn is_kthread(p: TaskRef) -> bool {
    p.flags.get() & PF_KTHREAD != 0
}

/// More tasks. With the second one there is something for others to pull.
pub fn add_nr_running(rq: RqRef, count: u32) {
    let prev_nr = rq.nr_running.get();
    rq.nr_running.set(prev_nr + count);
    if prev_nr < 2 && rq.nr_running.get() >= 2 && rq.rd().overload.get() == 0 {
        rq.rd().overload.set(SG_OVERLOAD);
    }
}

/// Fewer tasks.
pub fn sub_nr_running(rq: RqRef, count: u32) {
    rq.nr_running.set(rq.nr_running.get() - count);
}

/// The queue's time, valid in a section that updated it.
pub fn rq_clock(rq: RqRef) -> u64 {
    rq.clock.get()
}

/// The same without interrupts' time.
pub fn rq_clock_task(rq: RqRef) -> u64 {
    rq.clock_task.get()
}

/// Asks that the next `__schedule` leaves the clock as it is: the caller just updated it.
pub fn rq_clock_skip_update(rq: RqRef) {
    rq.clock_update_flags
        .set(rq.clock_update_flags.get() | RQCF_REQ_SKIP);
}

/// Takes that back. The lock is held.
pub fn rq_clock_cancel_skipupdate(rq: RqRef) {
    rq.clock_update_flags
        .set(rq.clock_update_flags.get() & !RQCF_REQ_SKIP);
}

/// A loop under the lock that would bring the clock up to date at every turn: once is enough, which was before.
pub fn rq_clock_start_loop_update(rq: RqRef) {
    WARN_ON_ONCE!(rq.clock_update_flags.get() & RQCF_ACT_SKIP != 0);
    rq.clock_update_flags
        .set(rq.clock_update_flags.get() | RQCF_ACT_SKIP);
}

/// The loop is over.
pub fn rq_clock_stop_loop_update(rq: RqRef) {
    rq.clock_update_flags
        .set(rq.clock_update_flags.get() & !RQCF_ACT_SKIP);
}

/// Brings the queue's clock up to date. The lock is held.
pub fn update_rq_clock(rq: RqRef) {
    if rq.clock_update_flags.get() & RQCF_ACT_SKIP != 0 {
        return;
    }
    rq.clock_update_flags
        .set(rq.clock_update_flags.get() | RQCF_UPDATED);
    let delta = sched_clock_cpu(cpu_of(rq)).wrapping_sub(rq.clock.get()) as i64;
    if delta < 0 {
        return;
    }
    rq.clock.set(rq.clock.get() + delta as u64);
    // No interrupt time accounting: task time is wall time, as Linux without it.
    rq.clock_task.set(rq.clock_task.get() + delta as u64);
    update_rq_clock_pelt(rq, delta as u64);
}

/// Whether the runqueue's running task has been asked to leave.
pub fn rq_needs_resched(rq: RqRef) -> bool {
    test_tsk_need_resched(rq.current())
}

/// The group that a task belongs to.
pub fn task_group(p: TaskRef) -> &'static TaskGroup {
    p.sched_task_group.get().unwrap_or(&root_task_group)
}

/// Tells the task's queue and entity which CPU it belongs to.
///
/// In the root group, the group's queue of a CPU is that CPU's own and there is no parent.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn set_task_rq(p: TaskRef, cpu: u32) {
    let tg = task_group(p);
    let next = tg.cfs_rq.per_cpu(cpu).get();
    set_task_rq_fair(&p.se, p.se.cfs_rq.get(), next);
    p.se.cfs_rq.set(next);
    let parent = tg.se.per_cpu(cpu).get();
    p.se.parent.set(parent);
    p.se.depth
        .set(parent.map_or(0, |parent| parent.depth.get() + 1));
}

/// Makes a task belong to a CPU. Its `pi_lock` or the old runqueue's lock is held, or it is new.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn __set_task_cpu(p: TaskRef, cpu: u32) {
    set_task_rq(p, cpu);
    // After this store a task_rq_lock may succeed on the new queue: everything above is visible then
    // (stores stay in order on x86; volatile accesses stay in order in the compiler).
    p.thread_info.cpu.set(cpu);
    p.wake_cpu.set(cpu as i32);
}
