//! The load `hackbench`: that workload in full, again and again, as long as CPUs go and come.
//!
//! Each time it makes its threads anew and lets them end, so threads are also born, and die, beside CPUs that go. That
//! every message arrives, in order, and every thread gets to its end it checks itself each time; here is added that
//! messages keep coming after each step and that no thread is left over in the end.

use super::actors::{self, Actor};
use super::fail;
use crate::fence::void::VoidPtr;
use crate::include::linux::sched::TasksLink;
use crate::init::init_task::init_task;
use crate::kernel::fork::tasklist_lock;
use crate::kernel::kreplay::counters::count;
use crate::kernel::kreplay::hackbench::{bench, prepare, received};
use crate::pr_info;
use core::sync::atomic::Ordering;

/// Who starts it and waits for it. Its rounds are the times it was done.
pub(super) static BENCH: Actor = Actor::new();

/// Begins, with the parameters of the workload `hackbench`.
pub(super) fn hire() {
    prepare();
    actors::hire_one(&BENCH, "hackbench", 0, benchmark);
}

extern "C" fn benchmark(data: VoidPtr) -> i32 {
    let actor = data.get::<Actor>();
    while !actors::stopping() {
        bench(|| {});
        count(&actor.rounds);
    }
    actors::finish(actor)
}

/// Its threads that have not ended.
fn threads() -> usize {
    let _guard = tasklist_lock.lock();
    TasksLink::iter(&init_task.tasks)
        .filter(|p| p.has_name_prefix("sender/") || p.has_name_prefix("receiver/"))
        .count()
}

/// Whether every thread that it ever made has ended.
pub(super) fn is_over() -> bool {
    threads() == 0
}

/// Prints what it did.
pub(super) fn report() {
    let times = BENCH.rounds.load(Ordering::Relaxed);
    if times == 0 || !is_over() {
        fail(format_args!(
            "hackbench was done {times} times, {} of its threads are left",
            threads()
        ));
    }
    pr_info!(
        "hotplug: hackbench done {times} times, {} messages, all in order",
        received()
    );
}
