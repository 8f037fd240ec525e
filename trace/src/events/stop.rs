//! `stop:*`: ours. The life of a `cpu_stop_work`, from static tracepoints in `kernel/stop_machine`.

use super::{Mask, events};
use crate::event::{Addr, Comm};

events! {
    /// Ours: a work has been added to a CPU's stopper, under the stopper's lock.
    StopWorkQueue = 19, "stop:work_queue" {
        /// Address of the `cpu_stop_work`; it may be reused as soon as its function starts.
        work: Addr = "work",
        /// The CPU whose stopper runs it.
        cpu: u32 = "cpu",
        /// The function to run.
        func: Addr = "fn",
        /// Return address of whoever asked for it.
        caller: Addr = "caller",
        /// Address of the request's `cpu_stop_done`, 0 when nobody waits.
        done: Addr = "done",
        /// Address of the `set_affinity_pending` the work serves, 0 if none.
        pending: Addr = "pending",
        /// Address of the task that the work is about, 0 if none.
        task: Addr = "task",
        /// Pid of that task, 0 if none.
        task_pid: i32 = "task_pid",
        /// Name of that task, empty if none.
        task_comm: Comm = "task_comm",
        /// Works of the request that are not done yet, -1 when nobody waits.
        nr_todo: i32 = "nr_todo",
    }
    /// Ours: the stopper is about to call the work's function.
    StopWorkStart = 20, "stop:work_start" {
        /// Address of the `cpu_stop_work`; it may be reused as soon as its function starts.
        work: Addr = "work",
        /// The CPU whose stopper runs it.
        cpu: u32 = "cpu",
        /// The function to run.
        func: Addr = "fn",
        /// Return address of whoever asked for it.
        caller: Addr = "caller",
        /// Address of the request's `cpu_stop_done`, 0 when nobody waits.
        done: Addr = "done",
        /// Address of the `set_affinity_pending` the work serves, 0 if none.
        pending: Addr = "pending",
        /// Address of the task that the work is about, 0 if none.
        task: Addr = "task",
        /// Pid of that task, 0 if none.
        task_pid: i32 = "task_pid",
        /// Name of that task, empty if none.
        task_comm: Comm = "task_comm",
        /// Works of the request that are not done yet, -1 when nobody waits.
        nr_todo: i32 = "nr_todo",
    }
    /// Ours: the function has returned, nr_todo has been counted down.
    StopWorkDone = 21, "stop:work_done" {
        /// Address of the `cpu_stop_work`; it may be reused as soon as its function starts.
        work: Addr = "work",
        /// The CPU whose stopper runs it.
        cpu: u32 = "cpu",
        /// The function to run.
        func: Addr = "fn",
        /// Return address of whoever asked for it.
        caller: Addr = "caller",
        /// Address of the request's `cpu_stop_done`, 0 when nobody waits.
        done: Addr = "done",
        /// Address of the `set_affinity_pending` the work serves, 0 if none.
        pending: Addr = "pending",
        /// Address of the task that the work is about, 0 if none.
        task: Addr = "task",
        /// Pid of that task, 0 if none.
        task_pid: i32 = "task_pid",
        /// Name of that task, empty if none.
        task_comm: Comm = "task_comm",
        /// Works of the request that are not done yet, -1 when nobody waits.
        nr_todo: i32 = "nr_todo",
        /// What the function returned.
        ret: i32 = "ret",
        /// CPU of the task the work was about, after it; -1 if none.
        task_cpu: i32 = "task_cpu",
        /// on_rq of that task: 0 asleep, 1 queued, 2 migrating; -1 if none.
        task_on_rq: i32 = "task_on_rq",
        /// cpus_mask of that task, 0 if none.
        task_cpus_mask: Mask = "task_cpus_mask",
    }
    /// Ours: a waiter is about to be released: a request's nr_todo reached 0 (`done`), or an affinity
    /// change ended (`pending`, with the task).
    StopComplete = 22, "stop:complete" {
        /// Address of the request's `cpu_stop_done`, 0 for an affinity pending.
        done: Addr = "done",
        /// Address of the `set_affinity_pending`, 0 for a request.
        pending: Addr = "pending",
        /// Address of the pending's task, 0 for a request.
        task: Addr = "task",
        /// Its pid, 0 for a request.
        task_pid: i32 = "task_pid",
        /// Its name, empty for a request.
        task_comm: Comm = "task_comm",
    }
    /// Ours: a participant of stop_machine has seen a new state of the request (step 0) or has done the
    /// state's part and acknowledged it (step 1). It lies on its CPU between the `stop:work_start` and the
    /// `stop:work_done` of a work whose function is `multi_cpu_stop`. The state EXIT is acknowledged after
    /// interrupts are on again.
    StopMachineState = 26, "stop:machine_state" {
        /// Address of the request's `multi_stop_data`.
        msdata: Addr = "msdata",
        /// The participant's CPU.
        cpu: u32 = "cpu",
        /// The state, as `enum multi_stop_state`: 0 NONE, 1 PREPARE, 2 DISABLE_IRQ, 3 RUN, 4 EXIT.
        state: u32 = "state",
        /// 0 enter: the participant has seen the state; 1 ack: it has done its part and acknowledged.
        step: u32 = "step",
        /// Polls of the state, i.e. calls of `stop_machine_yield`, by this participant since its previous
        /// `stop:machine_state`.
        polls: u64 = "polls",
        /// The function that the request is to run.
        func: Addr = "fn",
        /// 1 if this participant runs the function.
        active: u32 = "active",
    }
}
