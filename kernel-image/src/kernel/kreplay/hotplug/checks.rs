//! What must hold of a CPU that is off, and of one that is back.

use super::fail;
use crate::fence::void::VoidPtr;
use crate::include::linux::cpuhotplug::{CPUHP_OFFLINE, CPUHP_ONLINE};
use crate::include::linux::cpumask::{cpu_active, cpu_dying, cpu_online};
use crate::include::linux::errno::{ENOENT, ENXIO};
use crate::include::linux::list::list_empty;
use crate::include::linux::sched::{TASK_PARKED, TaskRef, TasksLink, same_task, task_cpu};
use crate::include::linux::smp::smp_call_function_single;
use crate::include::linux::stop_machine::stop_one_cpu;
use crate::init::init_task::init_task;
use crate::kernel::cpu::cpuhp_state_of;
use crate::kernel::fork::tasklist_lock;
use crate::kernel::sched::sched::{cpu_rq, task_on_rq_queued};
use crate::kernel::stop_machine::cpu_stopper;

fn is_percpu_thread(p: TaskRef) -> bool {
    ["cpuhp/", "migration/", "ksoftirqd/"]
        .iter()
        .any(|name| p.has_name_prefix(name))
}

/// The per-CPU threads there are: how many, and their numbers summed up.
pub(super) fn percpu_threads() -> (u32, i32) {
    let _guard = tasklist_lock.lock();
    TasksLink::iter(&init_task.tasks)
        .filter(|&p| is_percpu_thread(p))
        .fold((0, 0), |(n, sum), p| (n + 1, sum + p.pid.get()))
}

extern "C" fn nothing(_: VoidPtr) -> i32 {
    0
}

fn no_call(_: u64) {}

/// The CPU is off: nobody runs there or waits there, its threads are parked, nobody gets in.
pub(super) fn is_off(cpu: u32) {
    let rq = cpu_rq(cpu);
    if cpu_online(cpu) || cpu_active(cpu) || cpuhp_state_of(cpu) != CPUHP_OFFLINE {
        fail(format_args!("cpu{cpu} is not off"));
    }
    if rq.nr_running.get() != 0 || rq.nr_pinned.get() != 0 || rq.online.get() != 0 {
        fail(format_args!("cpu{cpu} is off and not empty"));
    }
    if !same_task(rq.current(), rq.idle_task()) {
        fail(format_args!("{:?} is the last on cpu{cpu}", rq.current()));
    }
    if rq.balance_callback.get().is_none() {
        fail(format_args!("cpu{cpu} would keep tasks"));
    }
    let stopper = cpu_stopper.per_cpu(cpu);
    if stopper.enabled.get() || !list_empty(&stopper.works) {
        fail(format_args!("the stopper of cpu{cpu} takes works"));
    }
    let ret = stop_one_cpu(cpu, nothing, VoidPtr::NULL);
    if ret != -ENOENT {
        fail(format_args!("a work for cpu{cpu} gets {ret}"));
    }
    let ret = smp_call_function_single(cpu, no_call, 0, true);
    if ret != -ENXIO {
        fail(format_args!("a call to cpu{cpu} gets {ret}"));
    }
    let _guard = tasklist_lock.lock();
    for p in TasksLink::iter(&init_task.tasks).filter(|&p| task_cpu(p) == cpu) {
        if task_on_rq_queued(p) {
            fail(format_args!("{p:?} is queued on cpu{cpu}"));
        }
        if is_percpu_thread(p) && p.__state.get() != TASK_PARKED {
            fail(format_args!("{p:?} is not parked"));
        }
    }
}

/// The CPU is back: it takes part in everything.
pub(super) fn is_on(cpu: u32) {
    let rq = cpu_rq(cpu);
    if !cpu_online(cpu) || !cpu_active(cpu) || cpu_dying(cpu) {
        fail(format_args!("cpu{cpu} is not on"));
    }
    if cpuhp_state_of(cpu) != CPUHP_ONLINE || rq.online.get() == 0 {
        fail(format_args!("cpu{cpu} is in state {}", cpuhp_state_of(cpu)));
    }
    let ret = stop_one_cpu(cpu, nothing, VoidPtr::NULL);
    if ret != 0 {
        fail(format_args!("a work for cpu{cpu} gets {ret}"));
    }
    let ret = smp_call_function_single(cpu, no_call, 0, true);
    if ret != 0 {
        fail(format_args!("a call to cpu{cpu} gets {ret}"));
    }
}
