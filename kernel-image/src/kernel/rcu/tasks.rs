//! RCU whose grace periods wait for tasks instead of readers: until every task has slept (Tasks RCU), every
//! CPU has switched (rude), every task has left its tracing readers (trace).
//!
//! Linux: `kernel/rcu/tasks.h` (v6.8). Kept: the three kinds, each with its thread and its steps; holdouts
//! that are looked at again and again; exiting tasks by SRCU. Left out: a queue a CPU (Linux starts with one
//! for all, too), stall warnings, the lists of preempted tracing readers. Differs: a running task's tracing
//! depth is read by an interrupt on its CPU as there, a waiting one's with its runqueue locked.
//! Locks: a kind's `cbs_lock`; `tasks_gp_mutex` for its grace period.

use crate::arch::x86::include::asm::current::current;
use crate::fence::shared::Shared;
use crate::fence::void::VoidPtr;
use crate::include::linux::completion::Completion;
use crate::include::linux::cpumask::cpu_online_mask;
use crate::include::linux::interrupt::{local_bh_disable, local_bh_enable};
use crate::include::linux::jiffies::{HZ, jiffies};
use crate::include::linux::list::{INIT_LIST_HEAD, ListHead, list_add, list_del_init, list_empty};
use crate::include::linux::mutex::Mutex;
use crate::include::linux::rcuwait::{Rcuwait, rcuwait_wait_event, rcuwait_wake_up};
use crate::include::linux::sched::task::{get_task_struct, put_task_struct};
use crate::include::linux::sched::{
    TASK_IDLE, TaskRef, TaskStruct, TasksLink, cond_resched, is_idle_task, same_task, smp_mb,
    task_cpu,
};
use crate::include::linux::smp::smp_call_function_single;
use crate::include::linux::spinlock::RawSpinlock;
use crate::include::linux::types::{RcuCallback, RcuHead};
use crate::include::linux::workqueue::{WorkStruct, schedule_on_each_cpu};
use crate::init::init_task::init_task;
use crate::intrusive_adapter;
use crate::kernel::fork::tasklist_lock;
use crate::kernel::kthread::kthread_run;
use crate::kernel::rcu::rcu::{rcu_seq_end, rcu_seq_snap, rcu_seq_start};
use crate::kernel::rcu::rcu_segcblist::{RcuCblist, RcuSegcblist};
use crate::kernel::rcu::srcutree::{
    SrcuStruct, srcu_read_lock, srcu_read_unlock, synchronize_srcu,
};
use crate::kernel::rcu::tree::synchronize_rcu;
use crate::kernel::rcu::update::wait_rcu_gp;
use crate::kernel::sched::completion::{complete, wait_for_completion};
use crate::kernel::sched::sched::{RqFlags, task_on_cpu, task_rq_lock, task_rq_unlock};
use crate::kernel::smpboot::idle_thread_get;
use crate::kernel::time::timer::sleep::schedule_timeout_idle;
use crate::{BUG_ON, WARN_ON_ONCE};

/// A kind of RCU that waits for tasks.
#[doc(alias = "rcu_tasks")]
pub struct RcuTasks {
    cbs_wait: Rcuwait,
    cbs_lock: RawSpinlock,
    cblist: RcuSegcblist,
    tasks_gp_mutex: Mutex,
    tasks_gp_seq: Shared<u64>,
    gp_jiffies: Shared<u64>,
    n_gps: Shared<u64>,
    kthread_ptr: Shared<Option<TaskRef>>,
    /// One grace period.
    gp_func: fn(&'static RcuTasks),
    /// What comes before the look at all tasks.
    pregp_func: fn(),
    /// The look at a task: puts a holdout into the list.
    pertask_func: fn(TaskRef, &'static ListHead),
    /// What comes after it.
    postscan_func: fn(&'static ListHead),
    /// Takes those that are through out of the list.
    holdouts_func: fn(&'static ListHead),
    /// What comes at the end.
    postgp_func: fn(),
    holdouts: ListHead,
    /// Ticks between grace periods.
    gp_sleep: u64,
    barrier_q_mutex: Mutex,
    barrier_q_head: RcuHead,
    barrier_q_completion: Completion,
    kname: &'static str,
}

const fn flavour(kname: &'static str, gp_sleep: u64, gp_func: fn(&'static RcuTasks)) -> RcuTasks {
    RcuTasks {
        cbs_wait: Rcuwait::new(),
        cbs_lock: RawSpinlock::new(),
        cblist: RcuSegcblist::new(),
        tasks_gp_mutex: Mutex::new(),
        tasks_gp_seq: Shared::new(0),
        gp_jiffies: Shared::new(0),
        n_gps: Shared::new(0),
        kthread_ptr: Shared::new(None),
        gp_func,
        pregp_func: || {},
        pertask_func: |_, _| {},
        postscan_func: |_| {},
        holdouts_func: |_| {},
        postgp_func: || {},
        holdouts: ListHead::new(),
        gp_sleep,
        barrier_q_mutex: Mutex::new(),
        barrier_q_head: RcuHead::new(),
        barrier_q_completion: Completion::new(),
        kname,
    }
}

static rcu_tasks: RcuTasks = RcuTasks {
    pregp_func: rcu_tasks_pregp_step,
    pertask_func: rcu_tasks_pertask,
    postscan_func: rcu_tasks_postscan,
    holdouts_func: check_all_holdout_tasks,
    postgp_func: rcu_tasks_postgp,
    ..flavour("rcu_tasks", HZ / 10, rcu_tasks_wait_gp)
};
static rcu_tasks_rude: RcuTasks = flavour("rcu_tasks_rude", HZ / 10, rcu_tasks_rude_wait_gp);
static rcu_tasks_trace: RcuTasks = RcuTasks {
    pertask_func: rcu_tasks_trace_pertask,
    postscan_func: rcu_tasks_trace_postscan,
    holdouts_func: check_all_holdout_tasks_trace,
    postgp_func: smp_mb,
    ..flavour("rcu_tasks_trace", HZ / 10, rcu_tasks_wait_gp)
};

intrusive_adapter!(
    /// Tasks that Tasks RCU waits for.
    HoldoutLink = TaskStruct { rcu_tasks_holdout_list: ListHead });
intrusive_adapter!(
    /// Tasks that Tasks Trace RCU waits for.
    TraceHoldoutLink = TaskStruct { trc_holdout_list: ListHead });

/// A callback that waits for a grace period of this kind.
fn call_rcu_tasks_generic(rhp: &'static RcuHead, func: RcuCallback, rtp: &'static RcuTasks) {
    WARN_ON_ONCE!(rhp.func.get().is_some());
    rhp.func.set(Some(func));
    let needwake = {
        let _guard = rtp.cbs_lock.lock_irqsave();
        let was_empty = rtp.cblist.empty();
        rtp.cblist.enqueue(rhp);
        was_empty
    };
    if needwake && rtp.kthread_ptr.get().is_some() {
        rcuwait_wake_up(&rtp.cbs_wait);
    }
}

/// What the thread has to do: bit 0 callbacks to invoke, bit 1 a grace period.
fn rcu_tasks_need_gpcb(rtp: &'static RcuTasks) -> u32 {
    let _guard = rtp.cbs_lock.lock_irqsave();
    if rtp.cblist.n_cbs() == 0 {
        return 0;
    }
    rtp.cblist.advance(rtp.tasks_gp_seq.get());
    rtp.cblist.accelerate(rcu_seq_snap(&rtp.tasks_gp_seq));
    match (rtp.cblist.pend_cbs(), rtp.cblist.ready_cbs()) {
        (true, _) => 3,
        (false, true) => 1,
        (false, false) => 0,
    }
}

/// Invokes callbacks whose grace period is over.
fn rcu_tasks_invoke_cbs(rtp: &'static RcuTasks) {
    let mut rcl = RcuCblist::new();
    {
        let _guard = rtp.cbs_lock.lock_irqsave();
        rtp.cblist.advance(rtp.tasks_gp_seq.get());
        rtp.cblist.extract_done_cbs(&mut rcl);
    }
    let mut count = 0;
    while let Some(rhp) = rcl.dequeue() {
        count += 1;
        let func = rhp.func.replace(None);
        local_bh_disable();
        if let Some(func) = func {
            func(rhp);
        }
        local_bh_enable();
        cond_resched();
    }
    let _guard = rtp.cbs_lock.lock_irqsave();
    rtp.cblist.add_len(-count);
    rtp.cblist.accelerate(rcu_seq_snap(&rtp.tasks_gp_seq));
}

/// Waits for something to do and does it.
fn rcu_tasks_one_gp(rtp: &'static RcuTasks, midboot: bool) {
    rtp.tasks_gp_mutex.lock();
    let mut needgpcb = 2;
    if !midboot {
        rtp.tasks_gp_mutex.unlock();
        rcuwait_wait_event(
            &rtp.cbs_wait,
            || {
                needgpcb = rcu_tasks_need_gpcb(rtp);
                needgpcb != 0
            },
            TASK_IDLE,
        );
        rtp.tasks_gp_mutex.lock();
    }
    if needgpcb & 2 != 0 {
        rtp.gp_jiffies.set(jiffies());
        rcu_seq_start(&rtp.tasks_gp_seq);
        (rtp.gp_func)(rtp);
        rcu_seq_end(&rtp.tasks_gp_seq);
        rtp.n_gps.inc();
    }
    rcu_tasks_invoke_cbs(rtp);
    rtp.tasks_gp_mutex.unlock();
}

/// The thread of a kind.
extern "C" fn rcu_tasks_kthread(arg: VoidPtr) -> i32 {
    let rtp = arg.get::<RcuTasks>();
    rtp.kthread_ptr.set(Some(current()));
    // Whoever queued before saw no thread; we look before we sleep.
    smp_mb();
    loop {
        rcu_tasks_one_gp(rtp, false);
        // Callbacks that come in a bunch share a grace period.
        schedule_timeout_idle(rtp.gp_sleep);
    }
}

/// Waits for a grace period of a kind.
fn synchronize_rcu_tasks_generic(
    rtp: &'static RcuTasks,
    call_func: fn(&'static RcuHead, RcuCallback),
) {
    if rtp.kthread_ptr.get().is_some() {
        wait_rcu_gp(call_func);
    } else {
        rcu_tasks_one_gp(rtp, true);
    }
}

fn rcu_barrier_tasks_generic_cb(rhp: &'static RcuHead) {
    let rtp = crate::container_of!(rhp, RcuTasks, barrier_q_head);
    complete(&rtp.barrier_q_completion);
}

/// Waits until all callbacks of a kind that were queued before have been invoked.
fn rcu_barrier_tasks_generic(rtp: &'static RcuTasks) {
    rtp.barrier_q_mutex.lock();
    rtp.barrier_q_completion.reinit();
    rtp.barrier_q_head
        .func
        .set(Some(rcu_barrier_tasks_generic_cb));
    let queued = {
        let _guard = rtp.cbs_lock.lock_irqsave();
        rtp.cblist.entrain(&rtp.barrier_q_head)
    };
    if queued {
        rcuwait_wake_up(&rtp.cbs_wait);
        wait_for_completion(&rtp.barrier_q_completion);
    } else {
        rtp.barrier_q_head.func.set(None);
    }
    rtp.barrier_q_mutex.unlock();
}

/// One grace period of the kinds that look at tasks.
fn rcu_tasks_wait_gp(rtp: &'static RcuTasks) {
    let holdouts = &rtp.holdouts;
    INIT_LIST_HEAD(holdouts);
    (rtp.pregp_func)();
    {
        let _guard = tasklist_lock.lock();
        for t in TasksLink::iter(&init_task.tasks) {
            (rtp.pertask_func)(t, holdouts);
        }
    }
    (rtp.postscan_func)(holdouts);
    // The waits grow, as long as somebody is left.
    let mut fract = HZ / 10;
    (rtp.holdouts_func)(holdouts);
    while !list_empty(holdouts) {
        schedule_timeout_idle(fract);
        if fract < HZ {
            fract += 1;
        }
        (rtp.holdouts_func)(holdouts);
    }
    (rtp.postgp_func)();
}

// Tasks RCU.

/// Tasks that are so far in their end that they are on no list.
static tasks_rcu_exit_srcu: SrcuStruct = SrcuStruct::new();

/// Whoever had interrupts or preemption off while something was unlinked has them on now.
fn rcu_tasks_pregp_step() {
    synchronize_rcu();
}

/// Whether the task may be anywhere in the kernel's code: it runs, or has been preempted.
fn rcu_tasks_is_holdout(t: TaskRef) -> bool {
    t.on_rq.get() != 0 && !is_idle_task(t)
}

fn rcu_tasks_pertask(t: TaskRef, hop: &'static ListHead) {
    if !same_task(t, current()) && rcu_tasks_is_holdout(t) {
        get_task_struct(t);
        t.rcu_tasks_nvcsw.set(t.nvcsw.get());
        t.rcu_tasks_holdout.set(true);
        list_add(&t.rcu_tasks_holdout_list, hop);
    }
}

fn rcu_tasks_postscan(_hop: &'static ListHead) {
    synchronize_srcu(&tasks_rcu_exit_srcu);
}

fn check_all_holdout_tasks(hop: &'static ListHead) {
    for t in HoldoutLink::iter(hop) {
        let slept = t.rcu_tasks_nvcsw.get() != t.nvcsw.get();
        if !t.rcu_tasks_holdout.get() || slept || !rcu_tasks_is_holdout(t) {
            t.rcu_tasks_holdout.set(false);
            list_del_init(&t.rcu_tasks_holdout_list);
            put_task_struct(t);
        }
    }
}

fn rcu_tasks_postgp() {
    synchronize_rcu();
}

/// Calls `func(rhp)` when every task has slept, or has been outside the kernel.
pub fn call_rcu_tasks(rhp: &'static RcuHead, func: RcuCallback) {
    call_rcu_tasks_generic(rhp, func, &rcu_tasks);
}

/// Waits until every task has slept of its own accord.
///
/// # Context
/// May sleep.
pub fn synchronize_rcu_tasks() {
    synchronize_rcu_tasks_generic(&rcu_tasks, call_rcu_tasks);
}

/// Waits for all its callbacks.
pub fn rcu_barrier_tasks() {
    rcu_barrier_tasks_generic(&rcu_tasks);
}

/// The task ends: soon the list of tasks will not show it any more.
pub fn exit_tasks_rcu_start() {
    let t = current();
    t.rcu_tasks_idx.set(srcu_read_lock(&tasks_rcu_exit_srcu));
}

/// It will not run anything again but the scheduler.
pub fn exit_tasks_rcu_finish() {
    let t = current();
    srcu_read_unlock(&tasks_rcu_exit_srcu, t.rcu_tasks_idx.get());
    exit_tasks_rcu_finish_trace(t);
}

// Rude: every CPU switches.

/// The work of a CPU: that it runs is all it is for.
fn rcu_tasks_be_rude(_work: &'static WorkStruct) {}

/// A work on every CPU: for it to run, the CPU has switched.
fn rcu_tasks_rude_wait_gp(_rtp: &'static RcuTasks) {
    schedule_on_each_cpu(rcu_tasks_be_rude);
}

/// Calls `func(rhp)` when every CPU has switched.
pub fn call_rcu_tasks_rude(rhp: &'static RcuHead, func: RcuCallback) {
    call_rcu_tasks_generic(rhp, func, &rcu_tasks_rude);
}

/// Waits until every CPU has switched.
///
/// # Context
/// May sleep.
pub fn synchronize_rcu_tasks_rude() {
    synchronize_rcu_tasks_generic(&rcu_tasks_rude, call_rcu_tasks_rude);
}

// Trace: readers that may sleep, marked in the task.

/// In `trc_reader_special`: a grace period waits for the end of this reader.
const TRC_NEED_QS: u32 = 0x1;

/// Reads from here on: what a tracer may unload is not unloaded before the end. May sleep.
pub fn rcu_read_lock_trace() {
    current().trc_reader_nesting.inc();
    smp_mb();
}

/// Reads no more.
pub fn rcu_read_unlock_trace() {
    let t = current();
    let nesting = t.trc_reader_nesting.get() - 1;
    smp_mb();
    if nesting == 0 {
        // An interrupt from here on finds neither a reader nor none, and looks again.
        t.trc_reader_nesting.set(i32::MIN);
        t.trc_reader_special.and_not(TRC_NEED_QS);
    }
    t.trc_reader_nesting.set(nesting);
}

/// What a look at a task found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TraceLook {
    /// It reads nothing.
    Outside,
    /// It reads, and will say so when it ends.
    Marked,
    /// It has to be looked at again.
    Again,
}

fn trc_look(t: TaskRef) -> TraceLook {
    match t.trc_reader_nesting.get() {
        0 => TraceLook::Outside,
        n if n < 0 => TraceLook::Again,
        _ => {
            t.trc_reader_special.or(TRC_NEED_QS);
            TraceLook::Marked
        }
    }
}

/// The look on the task's own CPU; the argument says whose, by its pid, and takes the answer.
struct TraceCheck {
    task: Shared<Option<TaskRef>>,
    answer: Shared<u32>,
}
/// One look at a time: the kind's grace period has one thread.
static trc_check: TraceCheck = TraceCheck {
    task: Shared::new(None),
    answer: Shared::new(0),
};

fn trc_read_check_handler(_unused: u64) {
    let t = current();
    let look = match trc_check.task.get() {
        Some(task) if same_task(task, t) => trc_look(t),
        _ => TraceLook::Again,
    };
    trc_check.answer.set(look as u32);
}

/// Looks at a task wherever it is.
fn trc_inspect_reader(t: TaskRef) -> TraceLook {
    {
        let mut rf = RqFlags::new();
        let rq = task_rq_lock(t, &mut rf);
        let look = (!task_on_cpu(t)).then(|| trc_look(t));
        task_rq_unlock(rq, t, &rf);
        if let Some(look) = look {
            return look;
        }
    }
    if same_task(t, current()) {
        return trc_look(t);
    }
    trc_check.task.set(Some(t));
    trc_check.answer.set(TraceLook::Again as u32);
    let error = smp_call_function_single(task_cpu(t), trc_read_check_handler, 0, true);
    if error != 0 && is_idle_task(t) {
        // Its CPU is offline.
        return TraceLook::Outside;
    }
    match trc_check.answer.get() {
        0 => TraceLook::Outside,
        1 => TraceLook::Marked,
        _ => TraceLook::Again,
    }
}

/// Every task is looked at, outside the list's lock: a look may interrupt a CPU.
fn rcu_tasks_trace_pertask(t: TaskRef, hop: &'static ListHead) {
    t.trc_was_marked.set(false);
    get_task_struct(t);
    list_add(&t.trc_holdout_list, hop);
}

fn rcu_tasks_trace_postscan(hop: &'static ListHead) {
    // Idle tasks are in no list; interrupts read in them.
    for cpu in cpu_online_mask().iter() {
        if let Some(idle) = idle_thread_get(cpu) {
            rcu_tasks_trace_pertask(idle, hop);
        }
    }
    // Tasks that are ending have left their readers after this.
    synchronize_rcu();
}

fn check_all_holdout_tasks_trace(hop: &'static ListHead) {
    for t in TraceHoldoutLink::iter(hop) {
        let marked = t.trc_reader_special.get() & TRC_NEED_QS != 0;
        if !marked && trc_through(t) {
            list_del_init(&t.trc_holdout_list);
            put_task_struct(t);
        }
    }
}

/// Whether a task that is not marked has left the readers it was in: those that were marked clear the mark
/// at their end, so a second look at a task that has been marked before finds what came later.
fn trc_through(t: TaskRef) -> bool {
    if t.trc_was_marked.replace(false) {
        return true;
    }
    match trc_inspect_reader(t) {
        TraceLook::Outside => true,
        TraceLook::Again => false,
        TraceLook::Marked => {
            t.trc_was_marked.set(true);
            false
        }
    }
}

fn exit_tasks_rcu_finish_trace(t: TaskRef) {
    WARN_ON_ONCE!(t.trc_reader_nesting.get() != 0);
    t.trc_reader_nesting.set(0);
}

/// Calls `func(rhp)` when every task has left its tracing readers.
pub fn call_rcu_tasks_trace(rhp: &'static RcuHead, func: RcuCallback) {
    call_rcu_tasks_generic(rhp, func, &rcu_tasks_trace);
}

/// Waits for that.
///
/// # Context
/// May sleep; outside tracing readers.
pub fn synchronize_rcu_tasks_trace() {
    synchronize_rcu_tasks_generic(&rcu_tasks_trace, call_rcu_tasks_trace);
}

/// Waits for all its callbacks.
pub fn rcu_barrier_tasks_trace() {
    rcu_barrier_tasks_generic(&rcu_tasks_trace);
}

fn rcu_spawn_tasks_kthread_generic(rtp: &'static RcuTasks) {
    let t = kthread_run(
        rcu_tasks_kthread,
        VoidPtr::new(rtp),
        format_args!("{}_kthread", rtp.kname),
    );
    BUG_ON!(t.is_err());
}

/// Makes the threads of the three kinds, in this order.
pub fn rcu_init_tasks_generic() {
    rcu_spawn_tasks_kthread_generic(&rcu_tasks);
    rcu_spawn_tasks_kthread_generic(&rcu_tasks_rude);
    rcu_spawn_tasks_kthread_generic(&rcu_tasks_trace);
}

/// How many grace periods each kind has had, for a workload's report: tasks, rude, trace.
pub fn rcu_tasks_gps() -> [u64; 3] {
    [&rcu_tasks, &rcu_tasks_rude, &rcu_tasks_trace].map(|rtp| rtp.n_gps.get())
}
