//! The task: `task_struct`, its scheduling entities, its states and flags.
//!
//! Linux: `include/linux/sched.h` (v6.8).
//! Kept: every field that the scheduler, the stopper and kthreads of this kernel use, in Linux's
//! order. Left out: files, signals, credentials, tracing, cgroups; statistics.
//! Differs: fields are [`Shared`] cells or atomics instead of plain fields behind a convention; who
//! may write which field is Linux's rule and stated at the field: (pi) `pi_lock`, (rq) the runqueue's
//! lock, (self) only the task itself, (new) before the task first runs.

pub mod deadline;
pub mod prio;
pub mod rt;
pub mod signal;
pub mod stats;
pub mod task;
pub mod topology;
pub mod wake_q;

use crate::arch::x86::include::asm::current::current;
use crate::arch::x86::include::asm::processor::ThreadStruct;
use crate::arch::x86::include::asm::thread_info::{TIF_NEED_RESCHED, ThreadInfo};
use crate::fence::shared::Shared;
use crate::include::linux::completion::Completion;
use crate::include::linux::cpumask::Cpumask;
use crate::include::linux::cred::{Cred, RLIM_NLIMITS};
use crate::include::linux::hrtimer::Hrtimer;
use crate::include::linux::list::ListHead;
use crate::include::linux::mm_types::MmStruct;
use crate::include::linux::plist::PlistNode;
use crate::include::linux::rbtree::RbNode;
use crate::include::linux::smp::{CSD_TYPE_TTWU, CallSingleNode};
use crate::include::linux::spinlock::RawSpinlock;
use crate::include::linux::types::RcuHead;
use crate::intrusive_adapter;
use crate::kernel::kthread::Kthread;
use crate::kernel::rcu::tree::types::RcuNode;
use crate::kernel::sched::core::affinity::SetAffinityPending;
use crate::kernel::sched::sched::{CfsRq, SchedClass, TaskGroup};
use crate::kernel::workqueue::Worker;
use core::sync::atomic::{AtomicI32, AtomicU64, Ordering};

/// A task. Tasks live in slots that are never unmapped (`kernel/fork.rs`), so a reference may be kept
/// anywhere; a reference count says when a slot may be used for another task.
pub type TaskRef = &'static TaskStruct;

pub use crate::kernel::time::timer::sleep::MAX_SCHEDULE_TIMEOUT;

/// Longest name, with the NUL.
pub const TASK_COMM_LEN: usize = 16;

/// Runs, or waits in a queue for a CPU.
pub const TASK_RUNNING: u32 = 0;
/// Sleeps; a signal may wake it.
pub const TASK_INTERRUPTIBLE: u32 = 0x1;
/// Sleeps; only what it waits for wakes it.
pub const TASK_UNINTERRUPTIBLE: u32 = 0x2;
/// Its parent has been told of its end.
pub const EXIT_DEAD: u32 = 0x10;
/// It has ended and its parent has not looked yet.
pub const EXIT_ZOMBIE: u32 = 0x20;
/// A kernel thread that has been asked to stand aside.
pub const TASK_PARKED: u32 = 0x40;
/// It never runs again.
pub const TASK_DEAD: u32 = 0x80;
/// Modifier: a fatal signal wakes it.
pub const TASK_WAKEKILL: u32 = 0x100;
/// Between the decision to wake it and its entry into a queue.
pub const TASK_WAKING: u32 = 0x200;
/// Modifier: does not count as load.
pub const TASK_NOLOAD: u32 = 0x400;
/// Forked and not yet woken for the first time.
pub const TASK_NEW: u32 = 0x800;
/// Modifier: frozen for a suspend.
pub const TASK_FROZEN: u32 = 0x8000;
/// An uninterruptible sleep that is not load.
pub const TASK_IDLE: u32 = TASK_UNINTERRUPTIBLE | TASK_NOLOAD;
/// An uninterruptible sleep that a fatal signal ends.
pub const TASK_KILLABLE: u32 = TASK_WAKEKILL | TASK_UNINTERRUPTIBLE;
/// What `wake_up_process` wakes.
pub const TASK_NORMAL: u32 = TASK_INTERRUPTIBLE | TASK_UNINTERRUPTIBLE;

/// An idle task.
pub const PF_IDLE: u32 = 0x2;
/// It is on its way out.
pub const PF_EXITING: u32 = 0x4;
/// A worker of a workqueue.
pub const PF_WQ_WORKER: u32 = 0x20;
/// Forked but not exec'ed.
pub const PF_FORKNOEXEC: u32 = 0x40;
/// Used super-user privileges.
pub const PF_SUPERPRIV: u32 = 0x100;
/// It frees memory: it may use the last of it.
pub const PF_MEMALLOC: u32 = 0x800;
/// A suspend does not freeze it.
pub const PF_NOFREEZE: u32 = 0x8000;
/// It is kswapd.
pub const PF_KSWAPD: u32 = 0x0002_0000;
/// A kernel thread.
pub const PF_KTHREAD: u32 = 0x0020_0000;
/// Its memory map is laid out at random.
pub const PF_RANDOMIZE: u32 = 0x0040_0000;
/// Its affinity may not be changed from outside.
pub const PF_NO_SETAFFINITY: u32 = 0x0400_0000;

/// `migration_flags`: a push found the task with migration disabled; its `migrate_enable` pushes.
pub const MDF_PUSH: u16 = 0x01;

/// The ordinary policy.
pub const SCHED_NORMAL: u32 = 0;
/// Real time, first in first out.
pub const SCHED_FIFO: u32 = 1;
/// Real time, taking turns.
pub const SCHED_RR: u32 = 2;
/// Ordinary, never preempting others when it wakes.
pub const SCHED_BATCH: u32 = 3;
/// Only when nothing else runs.
pub const SCHED_IDLE: u32 = 5;
/// Earliest deadline first.
pub const SCHED_DEADLINE: u32 = 6;
/// Or'ed into a policy: children start with an ordinary one.
pub const SCHED_RESET_ON_FORK: u32 = 0x4000_0000;

/// A weight and its inverse in 32 bits after the point.
#[doc(alias = "load_weight")]
#[repr(C)]
pub struct LoadWeight {
    /// The weight, scaled up by 1024.
    pub weight: Shared<u64>,
    /// 2^32 / weight, 0 when it must be computed again.
    pub inv_weight: Shared<u32>,
}

impl LoadWeight {
    /// No weight.
    pub const fn new() -> LoadWeight {
        LoadWeight {
            weight: Shared::new(0),
            inv_weight: Shared::new(0),
        }
    }
}

/// The load-tracking signal (`kernel/sched/pelt.rs`): three sums that fade, and their averages.
#[doc(alias = "sched_avg")]
#[repr(C)]
pub struct SchedAvg {
    /// When the signal was last brought up to date; 0 for an entity that is attached to no queue.
    pub last_update_time: Shared<u64>,
    /// Time in which it wanted to run; a queue's: times the weights.
    pub load_sum: Shared<u64>,
    /// Time in which it ran or waited, times how many, x 1024.
    pub runnable_sum: Shared<u64>,
    /// Time in which it ran, x 1024.
    pub util_sum: Shared<u32>,
    /// How far the running period has come, units of 1024 ns.
    pub period_contrib: Shared<u32>,
    /// Weight times the part of the time in which it wanted to run.
    pub load_avg: Shared<u64>,
    /// Part of the time in which it ran or waited, 1024 a task.
    pub runnable_avg: Shared<u64>,
    /// Part of the time in which it ran, of 1024.
    pub util_avg: Shared<u64>,
    /// What it is expected to need; the highest bit: its signal has not moved since.
    pub util_est: Shared<u32>,
}

impl SchedAvg {
    /// No signal.
    pub const fn new() -> SchedAvg {
        SchedAvg {
            last_update_time: Shared::new(0),
            load_sum: Shared::new(0),
            runnable_sum: Shared::new(0),
            util_sum: Shared::new(0),
            period_contrib: Shared::new(0),
            load_avg: Shared::new(0),
            runnable_avg: Shared::new(0),
            util_avg: Shared::new(0),
            util_est: Shared::new(0),
        }
    }

    /// Takes everything back.
    pub fn reset(&self) {
        let longs = [&self.last_update_time, &self.load_sum, &self.runnable_sum];
        let averages = [&self.load_avg, &self.runnable_avg, &self.util_avg];
        for cell in longs.into_iter().chain(averages) {
            cell.set(0);
        }
        for cell in [&self.util_sum, &self.period_contrib, &self.util_est] {
            cell.set(0);
        }
    }
}

/// What the fair class schedules. All fields: (rq).
#[doc(alias = "sched_entity")]
#[repr(C)]
pub struct SchedEntity {
    /// Share of the CPU.
    pub load: LoadWeight,
    /// Place in the queue's tree.
    pub run_node: RbNode,
    /// Virtual deadline: the tree's key.
    pub deadline: Shared<u64>,
    /// Smallest vruntime of the subtree below this node.
    pub min_vruntime: Shared<u64>,
    /// Place in `rq.cfs_tasks`.
    pub group_node: ListHead,
    /// Whether it is on a queue (running included).
    pub on_rq: Shared<u32>,
    /// `clock_task` at the last accounting.
    pub exec_start: Shared<u64>,
    /// Total run time, ns.
    pub sum_exec_runtime: Shared<u64>,
    /// The total when it was last picked.
    pub prev_sum_exec_runtime: Shared<u64>,
    /// Virtual run time, ns at nice 0.
    pub vruntime: Shared<u64>,
    /// Lag at the last dequeue; while running: the deadline it was picked with.
    pub vlag: Shared<i64>,
    /// Length of a request, ns.
    pub slice: Shared<u64>,
    /// How often it changed CPU.
    pub nr_migrations: Shared<u64>,
    /// Levels above it.
    pub depth: Shared<i32>,
    /// The entity of its group, None in the root group.
    pub parent: Shared<Option<&'static SchedEntity>>,
    /// The queue it is on.
    pub cfs_rq: Shared<Option<&'static CfsRq>>,
    /// The queue it owns: None for a task.
    pub my_q: Shared<Option<&'static CfsRq>>,
    /// Tasks in the queue it owns, as load tracking last saw them.
    pub runnable_weight: Shared<u64>,
    /// Load tracking.
    pub avg: SchedAvg,
}

impl SchedEntity {
    /// An entity of nothing.
    pub const fn new() -> SchedEntity {
        SchedEntity {
            load: LoadWeight::new(),
            run_node: RbNode::new(),
            deadline: Shared::new(0),
            min_vruntime: Shared::new(0),
            group_node: ListHead::new(),
            on_rq: Shared::new(0),
            exec_start: Shared::new(0),
            sum_exec_runtime: Shared::new(0),
            prev_sum_exec_runtime: Shared::new(0),
            vruntime: Shared::new(0),
            vlag: Shared::new(0),
            slice: Shared::new(0),
            nr_migrations: Shared::new(0),
            depth: Shared::new(0),
            parent: Shared::new(None),
            cfs_rq: Shared::new(None),
            my_q: Shared::new(None),
            runnable_weight: Shared::new(0),
            avg: SchedAvg::new(),
        }
    }
}

/// What the real-time class schedules. All fields: (rq).
#[doc(alias = "sched_rt_entity")]
#[repr(C)]
pub struct SchedRtEntity {
    /// Place in the list of its priority.
    pub run_list: ListHead,
    /// Ticks since it last slept.
    pub timeout: Shared<u64>,
    /// Rest of the round-robin slice, jiffies.
    pub time_slice: Shared<u32>,
    /// Whether it is on a queue.
    pub on_rq: Shared<u16>,
    /// Whether it is in a list: also while it is taken off the queue only to be put back.
    pub on_list: Shared<u16>,
}

impl SchedRtEntity {
    /// An entity of nothing.
    pub const fn new() -> SchedRtEntity {
        SchedRtEntity {
            run_list: ListHead::new(),
            timeout: Shared::new(0),
            time_slice: Shared::new(0),
            on_rq: Shared::new(0),
            on_list: Shared::new(0),
        }
    }
}

/// What the deadline class schedules. All fields: (rq).
#[doc(alias = "sched_dl_entity")]
#[repr(C)]
pub struct SchedDlEntity {
    /// Place in the queue's tree.
    pub rb_node: RbNode,
    /// Run time per period, ns.
    pub dl_runtime: Shared<u64>,
    /// Relative deadline, ns.
    pub dl_deadline: Shared<u64>,
    /// Period, ns.
    pub dl_period: Shared<u64>,
    /// Run time by period: the bandwidth.
    pub dl_bw: Shared<u64>,
    /// Run time by deadline.
    pub dl_density: Shared<u64>,
    /// What is left of the run time of this instance, ns.
    pub runtime: Shared<i64>,
    /// Absolute deadline of this instance, on the runqueue's clock.
    pub deadline: Shared<u64>,
    /// `SCHED_DL_FLAGS` of the attributes.
    pub flags: Shared<u32>,
    /// It has used up its run time (or may not run yet) and waits for `dl_timer`.
    pub dl_throttled: Shared<u8>,
    /// It has given up the rest of its run time.
    pub dl_yielded: Shared<u8>,
    /// It has blocked, and its bandwidth still counts as running until `inactive_timer` fires.
    pub dl_non_contending: Shared<u8>,
    /// It has asked to be told of overruns, and there was one.
    pub dl_overrun: Shared<u8>,
    /// Fires when the next period begins.
    pub dl_timer: Hrtimer,
    /// Fires at the 0-lag time.
    pub inactive_timer: Hrtimer,
}

impl SchedDlEntity {
    /// An entity of nothing.
    pub const fn new() -> SchedDlEntity {
        SchedDlEntity {
            rb_node: RbNode::new(),
            dl_runtime: Shared::new(0),
            dl_deadline: Shared::new(0),
            dl_period: Shared::new(0),
            dl_bw: Shared::new(0),
            dl_density: Shared::new(0),
            runtime: Shared::new(0),
            deadline: Shared::new(0),
            flags: Shared::new(0),
            dl_throttled: Shared::new(0),
            dl_yielded: Shared::new(0),
            dl_non_contending: Shared::new(0),
            dl_overrun: Shared::new(0),
            dl_timer: Hrtimer::new(),
            inactive_timer: Hrtimer::new(),
        }
    }
}

/// A task, as `struct task_struct`.
#[doc(alias = "task_struct")]
#[repr(C)]
pub struct TaskStruct {
    /// Flags tested at preemption points, and the task's CPU.
    pub thread_info: ThreadInfo,
    /// `TASK_*`: written by (self), or by a waker under (pi).
    pub __state: Shared<u32>,
    /// The state to go back to after a sleeping lock (unused without PREEMPT_RT).
    pub saved_state: Shared<u32>,
    /// Lowest usable address of the stack.
    pub stack: Shared<u64>,
    /// References to the slot.
    pub usage: AtomicI32,
    /// `PF_*`: (self), or (new).
    pub flags: Shared<u32>,
    /// 1 from before the task is switched in until after it is switched out.
    pub on_cpu: AtomicI32,
    /// Node of another CPU's call_single_queue while a wake-up is on its way there.
    pub wake_entry: CallSingleNode,
    /// How often it turned from one wakee to another; halved every second.
    pub wakee_flips: Shared<u32>,
    /// When that was last halved, jiffies.
    pub wakee_flip_decay_ts: Shared<u64>,
    /// Whom it woke last.
    pub last_wakee: Shared<Option<TaskRef>>,
    /// A CPU it ran on before.
    pub recent_used_cpu: Shared<i32>,
    /// Where the next wake-up starts looking: (pi).
    pub wake_cpu: Shared<i32>,
    /// 0, `TASK_ON_RQ_QUEUED` or `TASK_ON_RQ_MIGRATING`: (rq).
    pub on_rq: Shared<i32>,
    /// Effective priority: (pi)+(rq).
    pub prio: Shared<i32>,
    /// Priority from nice.
    pub static_prio: Shared<i32>,
    /// Priority without boosts.
    pub normal_prio: Shared<i32>,
    /// 1..99 for real-time policies.
    pub rt_priority: Shared<u32>,
    /// Fair entity.
    pub se: SchedEntity,
    /// Real-time entity.
    pub rt: SchedRtEntity,
    /// Deadline entity.
    pub dl: SchedDlEntity,
    /// Its class: (pi)+(rq). None only before the first fork set it.
    pub sched_class: Shared<Option<&'static SchedClass>>,
    /// Its group.
    pub sched_task_group: Shared<Option<&'static TaskGroup>>,
    /// Statistics, if they are counted: (rq).
    pub stats: stats::SchedStatistics,
    /// `SCHED_*`.
    pub policy: Shared<u32>,
    /// Weight of `cpus_mask`.
    pub nr_cpus_allowed: Shared<i32>,
    /// The mask in force: `cpus_mask`, or one CPU while migration is disabled.
    pub cpus_ptr: Shared<Option<&'static Shared<Cpumask>>>,
    /// The mask asked for: (pi)+(rq).
    pub cpus_mask: Shared<Cpumask>,
    /// What the user asked for, empty if nothing (Linux: a pointer to it): (pi)+(rq).
    pub user_cpus_ptr: Shared<Cpumask>,
    /// An affinity change that waits for the task to be moved: (pi).
    pub migration_pending: Shared<Option<&'static SetAffinityPending>>,
    /// Depth of migrate_disable: (self).
    pub migration_disabled: Shared<u16>,
    /// `MDF_*`.
    pub migration_flags: Shared<u16>,
    /// How deep it is in RCU readers: (self).
    pub rcu_read_lock_nesting: Shared<i32>,
    /// `RCU_READ_UNLOCK_*`: what the end of the reader must report: (self).
    pub rcu_read_unlock_special: Shared<u32>,
    /// Place in its leaf's list while a reader of it is switched out: the leaf's lock.
    pub rcu_node_entry: ListHead,
    /// That leaf.
    pub rcu_blocked_node: Shared<Option<&'static RcuNode>>,
    /// `nvcsw` when Tasks RCU began to wait for it.
    pub rcu_tasks_nvcsw: Shared<u64>,
    /// Tasks RCU waits for it.
    pub rcu_tasks_holdout: Shared<bool>,
    /// Its index in the readers of ending tasks: (self).
    pub rcu_tasks_idx: Shared<u32>,
    /// Place in the list of those that Tasks RCU waits for.
    pub rcu_tasks_holdout_list: ListHead,
    /// How deep it is in tracing readers: (self).
    pub trc_reader_nesting: Shared<i32>,
    /// A grace period waits for the end of its tracing reader.
    pub trc_reader_special: Shared<u32>,
    /// That has been asked once in this grace period.
    pub trc_was_marked: Shared<bool>,
    /// Place in the list of those that Tasks Trace RCU waits for.
    pub trc_holdout_list: ListHead,
    /// How often it ran and how long it waited: (rq).
    pub sched_info: stats::SchedInfo,
    /// Place in the list of all tasks, whose head is in `init_task`.
    pub tasks: ListHead,
    /// Place in the list of real-time tasks to push: (rq).
    pub pushable_tasks: PlistNode,
    /// Place in the tree of deadline tasks to push: (rq).
    pub pushable_dl_tasks: RbNode,
    /// Its memory map; a kernel thread has none: (self).
    pub mm: Shared<Option<&'static MmStruct>>,
    /// The map that is in force while it runs: its own, or a borrowed one.
    pub active_mm: Shared<Option<&'static MmStruct>>,
    /// `EXIT_*`.
    pub exit_state: Shared<u32>,
    /// What the task returned.
    pub exit_code: Shared<i32>,
    /// Its children start with an ordinary policy: (pi)+(rq).
    pub sched_reset_on_fork: Shared<u32>,
    /// Whether its sleep counts in nr_uninterruptible: (rq).
    pub sched_contributes_to_load: Shared<u32>,
    /// It changed CPU since it was last accounted.
    pub sched_migrated: Shared<u32>,
    /// It is being woken on another CPU and changed CPU.
    pub sched_remote_wakeup: Shared<u32>,
    /// It sleeps for I/O: (self).
    pub in_iowait: Shared<u32>,
    /// Its number; 0 for every idle task.
    pub pid: Shared<i32>,
    /// Number of its thread group.
    pub tgid: Shared<i32>,
    /// Who forked it.
    pub parent: Shared<Option<TaskRef>>,
    /// Who waits until it lets go of its parent's memory map (`vfork`).
    pub vfork_done: Shared<Option<&'static Completion>>,
    /// Who it is and what it may do.
    pub cred: Cred,
    /// Its limits, by `RLIMIT_*`: (self).
    pub rlim: [Shared<u64>; RLIM_NLIMITS],
    /// What makes a kernel thread one: (new), then fixed.
    pub worker_private: Shared<Option<&'static Kthread>>,
    /// The worker it is, if it is one: (self).
    pub worker: Shared<Option<&'static Worker>>,
    /// Ticks in user mode, ns: (self).
    pub utime: Shared<u64>,
    /// Ticks in kernel mode, ns: (self).
    pub stime: Shared<u64>,
    /// Voluntary switches.
    pub nvcsw: Shared<u64>,
    /// Involuntary switches.
    pub nivcsw: Shared<u64>,
    /// Its name, NUL-terminated.
    pub comm: [Shared<u8>; TASK_COMM_LEN],
    /// Protects wake-up, class and affinity; taken outside any runqueue lock.
    pub pi_lock: RawSpinlock,
    /// Signals that wait for it, one bit each. Anybody.
    pub pending: AtomicU64,
    /// Signals that a kernel thread wants to know of: (self).
    pub allowed_signals: AtomicU64,
    /// Its last reference by RCU's users goes with this callback.
    pub rcu: RcuHead,
    /// References of RCU's users: its reaper and the scheduler. The last one waits for a grace period.
    pub rcu_users: AtomicI32,
    /// Link of a wake_q; not null while in one.
    pub wake_q: wake_q::WakeQNode,
    /// The next task whose memory the OOM reaper shall take.
    pub oom_reaper_list: Shared<Option<TaskRef>>,
    /// Link of the list of free slots (ours).
    pub free_next: Shared<Option<TaskRef>>,
    /// What the architecture keeps while the task does not run. Last, as in Linux.
    pub thread: ThreadStruct,
}

impl TaskStruct {
    /// An empty slot.
    pub const fn new() -> TaskStruct {
        TaskStruct {
            thread_info: ThreadInfo::new(),
            __state: Shared::new(TASK_RUNNING),
            saved_state: Shared::new(TASK_RUNNING),
            stack: Shared::new(0),
            usage: AtomicI32::new(0),
            flags: Shared::new(0),
            on_cpu: AtomicI32::new(0),
            wake_entry: CallSingleNode::new(CSD_TYPE_TTWU),
            wakee_flips: Shared::new(0),
            wakee_flip_decay_ts: Shared::new(0),
            last_wakee: Shared::new(None),
            recent_used_cpu: Shared::new(0),
            wake_cpu: Shared::new(0),
            on_rq: Shared::new(0),
            prio: Shared::new(prio::DEFAULT_PRIO),
            static_prio: Shared::new(prio::DEFAULT_PRIO),
            normal_prio: Shared::new(prio::DEFAULT_PRIO),
            rt_priority: Shared::new(0),
            se: SchedEntity::new(),
            rt: SchedRtEntity::new(),
            dl: SchedDlEntity::new(),
            sched_class: Shared::new(None),
            sched_task_group: Shared::new(None),
            stats: stats::SchedStatistics::new(),
            policy: Shared::new(SCHED_NORMAL),
            nr_cpus_allowed: Shared::new(0),
            cpus_ptr: Shared::new(None),
            cpus_mask: Shared::new(Cpumask::EMPTY),
            migration_pending: Shared::new(None),
            migration_disabled: Shared::new(0),
            migration_flags: Shared::new(0),
            user_cpus_ptr: Shared::new(Cpumask::EMPTY),
            rcu_read_lock_nesting: Shared::new(0),
            rcu_read_unlock_special: Shared::new(0),
            rcu_node_entry: ListHead::new(),
            rcu_blocked_node: Shared::new(None),
            rcu_tasks_nvcsw: Shared::new(0),
            rcu_tasks_holdout: Shared::new(false),
            rcu_tasks_idx: Shared::new(0),
            rcu_tasks_holdout_list: ListHead::new(),
            trc_reader_nesting: Shared::new(0),
            trc_reader_special: Shared::new(0),
            trc_was_marked: Shared::new(false),
            trc_holdout_list: ListHead::new(),
            sched_info: stats::SchedInfo::new(),
            tasks: ListHead::new(),
            pushable_tasks: PlistNode::new(),
            pushable_dl_tasks: RbNode::new(),
            mm: Shared::new(None),
            active_mm: Shared::new(None),
            exit_state: Shared::new(0),
            exit_code: Shared::new(0),
            sched_reset_on_fork: Shared::new(0),
            sched_contributes_to_load: Shared::new(0),
            sched_migrated: Shared::new(0),
            sched_remote_wakeup: Shared::new(0),
            in_iowait: Shared::new(0),
            pid: Shared::new(0),
            tgid: Shared::new(0),
            parent: Shared::new(None),
            vfork_done: Shared::new(None),
            cred: Cred::new(),
            rlim: [const { Shared::new(0) }; RLIM_NLIMITS],
            worker_private: Shared::new(None),
            worker: Shared::new(None),
            utime: Shared::new(0),
            stime: Shared::new(0),
            nvcsw: Shared::new(0),
            nivcsw: Shared::new(0),
            comm: [const { Shared::new(0) }; TASK_COMM_LEN],
            pi_lock: RawSpinlock::new(),
            pending: AtomicU64::new(0),
            allowed_signals: AtomicU64::new(0),
            rcu: RcuHead::new(),
            rcu_users: AtomicI32::new(0),
            wake_q: wake_q::WakeQNode::new(),
            oom_reaper_list: Shared::new(None),
            free_next: Shared::new(None),
            thread: ThreadStruct::new(),
        }
    }

    /// Its class. Every task that can be scheduled has one.
    pub fn class(&self) -> &'static SchedClass {
        self.sched_class
            .get()
            .expect("a task without a scheduling class")
    }

    /// The mask in force.
    pub fn allowed(&'static self) -> Cpumask {
        self.cpus_ptr.get().unwrap_or(&self.cpus_mask).get()
    }

    /// Its name as text.
    pub fn comm_str(&self) -> CommStr {
        CommStr(core::array::from_fn(|i| self.comm[i].get()))
    }

    /// Whether its name begins so.
    pub fn has_name_prefix(&self, prefix: &str) -> bool {
        prefix
            .bytes()
            .zip(&self.comm)
            .all(|(byte, cell)| cell.get() == byte)
    }

    /// Gives it a name, as `set_task_comm`.
    pub fn set_comm(&self, name: &[u8; TASK_COMM_LEN]) {
        for (cell, &byte) in self.comm.iter().zip(name) {
            cell.set(byte);
        }
    }
}

impl core::fmt::Debug for TaskStruct {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}/{}", self.comm_str(), self.pid.get())
    }
}

/// A task's name, for messages.
#[derive(Clone, Copy)]
pub struct CommStr([u8; TASK_COMM_LEN]);

impl core::fmt::Display for CommStr {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let len = self.0.iter().position(|&b| b == 0).unwrap_or(TASK_COMM_LEN);
        f.write_str(core::str::from_utf8(&self.0[..len]).unwrap_or("?"))
    }
}

/// Builds a name: text is cut after 15 bytes.
pub struct CommBuf {
    bytes: [u8; TASK_COMM_LEN],
    len: usize,
}

impl CommBuf {
    /// The name that the arguments spell.
    pub fn format(args: core::fmt::Arguments<'_>) -> [u8; TASK_COMM_LEN] {
        let mut buf = CommBuf {
            bytes: [0; TASK_COMM_LEN],
            len: 0,
        };
        // Writing cannot fail: what does not fit is dropped.
        let _ = core::fmt::Write::write_fmt(&mut buf, args);
        buf.bytes
    }
}

impl core::fmt::Write for CommBuf {
    fn write_str(&mut self, s: &str) -> core::fmt::Result {
        for &byte in s.as_bytes() {
            if self.len < TASK_COMM_LEN - 1 {
                self.bytes[self.len] = byte;
                self.len += 1;
            }
        }
        Ok(())
    }
}

intrusive_adapter!(
    /// Tasks by their link in the list of all tasks.
    pub TasksLink = TaskStruct { tasks: ListHead });
intrusive_adapter!(
    /// Tasks by the node of a call_single_queue.
    pub WakeEntryLink = TaskStruct { wake_entry.llist: crate::include::linux::llist::LlistNode });
intrusive_adapter!(
    /// Entities by their node in the fair tree.
    pub RunNodeLink = SchedEntity { run_node: RbNode });
intrusive_adapter!(
    /// Tasks by their fair entity (`task_of`).
    pub SeOfTask = TaskStruct { se: SchedEntity });
intrusive_adapter!(
    /// Tasks by their real-time entity (`rt_task_of`).
    pub RtOfTask = TaskStruct { rt: SchedRtEntity });
intrusive_adapter!(
    /// Real-time entities by their link in the list of their priority.
    pub RunListLink = SchedRtEntity { run_list: ListHead });
intrusive_adapter!(
    /// Tasks by their deadline entity (`dl_task_of`).
    pub DlOfTask = TaskStruct { dl: SchedDlEntity });
intrusive_adapter!(
    /// Deadline entities by their node in the tree.
    pub DlNodeLink = SchedDlEntity { rb_node: RbNode });
intrusive_adapter!(
    /// Deadline entities by their timer of the next period.
    pub DlTimerLink = SchedDlEntity { dl_timer: Hrtimer });
intrusive_adapter!(
    /// Deadline entities by their timer of the 0-lag time.
    pub InactiveTimerLink = SchedDlEntity { inactive_timer: Hrtimer });
intrusive_adapter!(
    /// Tasks by their node in the tree of deadline tasks to push.
    pub PushableDlTasksLink = TaskStruct { pushable_dl_tasks: RbNode });
intrusive_adapter!(
    /// Tasks by their link in the list of real-time tasks to push.
    pub PushableTasksLink = TaskStruct { pushable_tasks: PlistNode });
intrusive_adapter!(
    /// Queues by their link in `rq.leaf_cfs_rq_list`.
    pub LeafCfsRqLink = CfsRq { leaf_cfs_rq_list: ListHead });
intrusive_adapter!(
    /// Entities by their link in `rq.cfs_tasks`.
    pub GroupNodeLink = SchedEntity { group_node: ListHead });

/// Whether two tasks are the same.
pub fn same_task(a: TaskRef, b: TaskRef) -> bool {
    core::ptr::eq(a, b)
}

/// Orders all earlier accesses before all later ones, as `smp_mb`.
pub fn smp_mb() {
    core::sync::atomic::fence(Ordering::SeqCst);
}

/// Sets the state of the current task without ordering.
pub fn __set_current_state(state: u32) {
    current().__state.set(state);
}

/// Sets the state of the current task; what is read afterwards is read after the state is visible, so
/// that a waker who writes first and then looks at the state cannot be missed.
pub fn set_current_state(state: u32) {
    current().__state.set(state);
    smp_mb();
}

/// Sets a state that a plain store could lose against a wake-up: under `pi_lock`.
pub fn set_special_state(state: u32) {
    let task = current();
    let guard = task.pi_lock.lock_irqsave();
    task.__state.set(state);
    drop(guard);
}

/// The CPU a task is on or was last on.
pub fn task_cpu(p: TaskRef) -> u32 {
    p.thread_info.cpu.get()
}

/// Whether a task is an idle task.
pub fn is_idle_task(p: TaskRef) -> bool {
    p.flags.get() & PF_IDLE != 0
}

/// Sets a `TIF_*` bit of a task.
pub fn set_tsk_thread_flag(p: TaskRef, flag: u32) {
    p.thread_info.flags.fetch_or(1 << flag, Ordering::SeqCst);
}

/// Clears one.
pub fn clear_tsk_thread_flag(p: TaskRef, flag: u32) {
    p.thread_info
        .flags
        .fetch_and(!(1 << flag), Ordering::SeqCst);
}

/// Tests one.
pub fn test_tsk_thread_flag(p: TaskRef, flag: u32) -> bool {
    p.thread_info.flags.load(Ordering::Relaxed) & 1 << flag != 0
}

/// Whether the current CPU shall call the scheduler soon.
pub fn need_resched() -> bool {
    test_tsk_need_resched(current())
}

/// Asks for the scheduler when the task next passes a preemption point.
pub fn set_tsk_need_resched(p: TaskRef) {
    set_tsk_thread_flag(p, TIF_NEED_RESCHED);
}

/// Takes that back.
pub fn clear_tsk_need_resched(p: TaskRef) {
    clear_tsk_thread_flag(p, TIF_NEED_RESCHED);
}

/// Whether the task has been asked.
pub fn test_tsk_need_resched(p: TaskRef) -> bool {
    test_tsk_thread_flag(p, TIF_NEED_RESCHED)
}

pub use crate::kernel::sched::core::preempt_dynamic::cond_resched;
