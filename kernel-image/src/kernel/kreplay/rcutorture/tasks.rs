//! The rules of SRCU and of Tasks RCU, played and checked.
//!
//! - SRCU waits for a reader that sleeps.
//! - Tasks RCU waits for a task that computes until it sleeps; rude for every CPU to switch; trace for a
//!   reader that sleeps.

use super::fail;
use crate::fence::void::VoidPtr;
use crate::include::linux::completion::Completion;
use crate::include::linux::kthread::{kthread_run, kthread_stop};
use crate::include::linux::rcupdate::{
    RcuHead, SrcuStruct, call_rcu_tasks, call_rcu_tasks_rude, call_rcu_tasks_trace,
    rcu_barrier_tasks, rcu_barrier_tasks_trace, rcu_read_lock_trace, rcu_read_unlock_trace,
    srcu_read_lock, srcu_read_unlock, synchronize_rcu_tasks, synchronize_rcu_tasks_rude,
    synchronize_rcu_tasks_trace, synchronize_srcu,
};
use crate::include::linux::sched::TaskRef;
use crate::kernel::kreplay::common::{compute, wait_for_stop};
use crate::kernel::rcu::tasks::rcu_tasks_gps;
use crate::kernel::sched::completion::{complete, wait_for_completion};
use crate::kernel::time::timer::sleep::msleep;
use crate::pr_info;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

static srcu: SrcuStruct = SrcuStruct::new();
static entered: Completion = Completion::new();
static left: AtomicBool = AtomicBool::new(false);
static invoked: AtomicU64 = AtomicU64::new(0);
static heads: [RcuHead; 3] = [const { RcuHead::new() }; 3];

extern "C" fn srcu_reader(_unused: VoidPtr) -> i32 {
    let idx = srcu_read_lock(&srcu);
    complete(&entered);
    msleep(12);
    left.store(true, Ordering::SeqCst);
    srcu_read_unlock(&srcu, idx);
    wait_for_stop()
}

/// Computes without sleeping for some ticks: Tasks RCU must wait for it.
extern "C" fn task_without_sleep(_unused: VoidPtr) -> i32 {
    complete(&entered);
    for step in 0..200 {
        compute(8_000, step);
    }
    left.store(true, Ordering::SeqCst);
    wait_for_stop()
}

extern "C" fn trace_reader(_unused: VoidPtr) -> i32 {
    rcu_read_lock_trace();
    complete(&entered);
    msleep(12);
    left.store(true, Ordering::SeqCst);
    rcu_read_unlock_trace();
    wait_for_stop()
}

/// Starts `f`, waits until it has begun, then with `wait`; by its end `f` must have left.
fn play(what: &str, f: extern "C" fn(VoidPtr) -> i32, wait: fn()) {
    entered.reinit();
    left.store(false, Ordering::SeqCst);
    let task: TaskRef = match kthread_run(f, VoidPtr::NULL, format_args!("{what}")) {
        Ok(task) => task,
        Err(error) => fail(format_args!("no thread for {what}: {error}")),
    };
    wait_for_completion(&entered);
    wait();
    if !left.load(Ordering::SeqCst) {
        fail(format_args!(
            "{what} returned before the one it must wait for had left"
        ));
    }
    kthread_stop(task);
}

fn invoked_cb(_head: &'static RcuHead) {
    invoked.fetch_add(1, Ordering::SeqCst);
}

/// Plays them all.
pub fn run() {
    play("srcu", srcu_reader, || synchronize_srcu(&srcu));
    play("rcu_tasks", task_without_sleep, synchronize_rcu_tasks);
    play("rcu_trace", trace_reader, synchronize_rcu_tasks_trace);
    synchronize_rcu_tasks_rude();
    // Callbacks, and the waits for them.
    call_rcu_tasks(&heads[0], invoked_cb);
    call_rcu_tasks_trace(&heads[1], invoked_cb);
    call_rcu_tasks_rude(&heads[2], invoked_cb);
    rcu_barrier_tasks();
    rcu_barrier_tasks_trace();
    synchronize_rcu_tasks_rude();
    let done = invoked.load(Ordering::SeqCst);
    if done != heads.len() as u64 {
        fail(format_args!(
            "{done} callbacks of {} after the barriers",
            heads.len()
        ));
    }
    let [tasks, rude, trace] = rcu_tasks_gps();
    pr_info!("rcutorture: Tasks RCU: {tasks} grace periods, rude {rude}, trace {trace}");
}
