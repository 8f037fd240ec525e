//! The kernel's scheduler at one instant, as a value: every task, every runqueue in pick order, every
//! stopper's works, and at an event the calls that led to it.
//!
//! `trace-live` reads it from a machine that stands still, `kreplay-machine` writes it down as a line
//! of JSON, and `kreplay` prints it. Numbers are the kernel's own, unless a field says that it is
//! computed; `None` is a field that this kernel does not have, or a thing that is not there.

use serde::{Deserialize, Serialize};

use crate::krec::Symbol;

/// The scheduler at an instant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Where in the run it is.
    pub at: Instant,
    /// Every CPU.
    pub cpus: Vec<Cpu>,
    /// Every task, by pid, the idle tasks by CPU.
    pub tasks: Vec<Task>,
    /// The sets of CPUs, of a kernel that keeps them in plain words.
    #[serde(default)]
    pub masks: Option<CpuMasks>,
    /// At an event: the call stack of its CPU, innermost first, as a recording has it of the events whose
    /// stack it holds. Empty between two windows.
    #[serde(default)]
    pub stack: Vec<Frame>,
    /// At an event: in what context its CPU is.
    #[serde(default)]
    pub context: Option<Context>,
}

/// What a CPU would answer to an interrupt and to a wish to preempt it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context {
    /// Which CPU.
    pub cpu: u32,
    /// Whether it takes interrupts: IF of its flags.
    pub interrupts: bool,
    /// Its preempt count, without the bit that x86 keeps in it (`PREEMPT_NEED_RESCHED`).
    pub preempt_count: Option<u32>,
}

/// A place on a call stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// Where the CPU is, or where a call returns to.
    pub addr: u64,
    /// What is there, if the image knows.
    pub symbol: Option<Symbol>,
}

/// The kernel's sets of CPUs, bit n = CPU n.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuMasks {
    /// `__cpu_possible_mask`.
    pub possible: u64,
    /// `__cpu_present_mask`.
    pub present: u64,
    /// `__cpu_online_mask`.
    pub online: u64,
    /// `__cpu_active_mask`.
    pub active: u64,
}

/// An instant of a run, exact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instant {
    /// Virtual time in cycles: of the event's CPU at an event, else the start of the window that comes
    /// next, which no CPU has begun.
    pub cycles: u64,
    /// The event that it is at: emitted, its instruction not executed yet. `None` between two windows.
    pub event: Option<u64>,
    /// How many events lie before it.
    pub events_before: u64,
    /// By CPU: its clock, and the instructions that it had retired. At an event, which lies inside a
    /// window, that of the event's CPU only: the others are somewhere in their slices.
    pub clocks: Vec<Option<Clock>>,
}

/// Where one CPU stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// Its clock in cycles.
    pub cycles: u64,
    /// Instructions retired.
    pub insns: u64,
}

/// A CPU: its runqueue and its stopper.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cpu {
    /// Its number.
    pub cpu: u32,
    /// `rq->curr`; `None` before the scheduler is set up.
    pub current: Option<Name>,
    /// `rq->nr_running`: runnable tasks of all classes, the running one included, the idle task not.
    pub nr_running: u32,
    /// `rq->nr_switches`.
    pub nr_switches: u64,
    /// `rq->clock` in ns, as of its last update.
    pub clock: u64,
    /// `rq->clock_task` in ns.
    pub clock_task: u64,
    /// Somebody holds `rq->__lock`: what is read may be in the middle of a change.
    pub locked: bool,
    /// `rq->cfs.nr_running`.
    pub cfs_nr_running: u32,
    /// `rq->rt.rt_nr_running`.
    pub rt_nr_running: u32,
    /// `rq->dl.dl_nr_running`.
    pub dl_nr_running: u32,
    /// `rq->cfs.min_vruntime`.
    pub min_vruntime: u64,
    /// Computed as `avg_vruntime()` does: where lag is 0.
    pub avg_vruntime: Option<u64>,
    /// The running task, unless it is the idle task, and then those that wait, in the order in which
    /// they would be picked.
    pub queue: Vec<Queued>,
    /// The stopper.
    pub stopper: Option<Stopper>,
    /// `rq->nr_pinned`: tasks with migration disabled.
    #[serde(default)]
    pub nr_pinned: Option<u32>,
    /// `rq->nr_uninterruptible`: sleeps that count as load, begun here minus ended here. Only the sum over all CPUs
    /// says how many there are.
    #[serde(default)]
    pub nr_uninterruptible: Option<i32>,
    /// What the fair class keeps, with every node of its tree.
    #[serde(default)]
    pub fair: Option<FairQueue>,
    /// What the real-time class keeps.
    #[serde(default)]
    pub rt: Option<RtQueue>,
}

/// A `cfs_rq` as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FairQueue {
    /// `nr_running`: entities on it.
    pub nr_running: u32,
    /// `h_nr_running`: tasks on it and below.
    pub h_nr_running: u32,
    /// `min_vruntime`.
    pub min_vruntime: u64,
    /// `avg_vruntime`: the sum, not the mean.
    pub avg_vruntime: i64,
    /// `avg_load`.
    pub avg_load: i64,
    /// `load.weight`, as it is stored.
    pub load: u64,
    /// `curr`, if it has one.
    pub curr: Option<FairNode>,
    /// The tree, in its order.
    pub tree: Vec<FairNode>,
    /// Address of the entity that the tree takes for its leftmost.
    pub leftmost: Option<u64>,
}

/// A `sched_entity` as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FairNode {
    /// Its address.
    pub addr: u64,
    /// `on_rq`.
    pub on_rq: u32,
    /// `load.weight`, as it is stored.
    pub weight: u64,
    /// `vruntime`.
    pub vruntime: u64,
    /// `deadline`.
    pub deadline: u64,
    /// `min_vruntime`: the smallest at and below it.
    pub min_vruntime: u64,
    /// The entities below it in the tree, left and right, by address.
    pub below: [Option<u64>; 2],
    /// The queue that it owns, if it stands for a group.
    pub group: Option<Box<FairQueue>>,
}

/// An `rt_rq` as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RtQueue {
    /// `active.bitmap`.
    pub bitmap: [u64; 2],
    /// By priority: how long its list is; empty ones are left out.
    pub lists: Vec<(u32, u32)>,
    /// `highest_prio.curr`.
    pub highest_prio: i32,
    /// `rt_nr_running`.
    pub nr_running: u32,
    /// `rt_queued`: whether they count in the runqueue.
    pub queued: bool,
    /// `pushable_tasks`, in its order: addresses of `task_struct`s.
    #[serde(default)]
    pub pushable: Option<Vec<u64>>,
}

/// Which task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Name {
    /// Address of its `task_struct`.
    pub addr: u64,
    /// Its pid.
    pub pid: i32,
    /// Its name.
    pub comm: String,
}

/// A runnable task of a CPU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queued {
    /// 0 runs; 1 would be picked next, if it left.
    pub place: u32,
    /// The task.
    pub task: Name,
    /// Its class: stop, dl, rt, fair.
    pub class: String,
    /// Its kernel priority.
    pub prio: i32,
    /// For a fair task.
    pub fair: Option<Fair>,
}

/// What EEVDF goes by. Virtual times are in ns at nice 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fair {
    /// `se->vruntime`.
    pub vruntime: u64,
    /// `se->deadline`.
    pub deadline: Option<u64>,
    /// Computed: `avg_vruntime()` minus `vruntime`. Positive: it is owed time.
    pub lag: Option<i64>,
    /// Computed as `entity_eligible()` does.
    pub eligible: Option<bool>,
    /// `se->slice` in ns.
    pub slice: Option<u64>,
    /// `se->load.weight`, scaled down: 1024 is nice 0.
    pub weight: u64,
}

/// A CPU's stopper.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopper {
    /// Its thread, once it exists.
    pub thread: Option<Name>,
    /// Whether it takes works.
    pub enabled: bool,
    /// What it runs now: name of the function.
    pub running: Option<String>,
    /// Its works, first to run first.
    pub works: Vec<Work>,
}

/// A work that waits in a stopper's list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// Address of the `cpu_stop_work`.
    pub addr: u64,
    /// Name of its function.
    #[serde(rename = "fn")]
    pub func: String,
    /// Where it was queued from: function and offset.
    pub caller: String,
    /// Its argument.
    pub arg: u64,
    /// Address of the `cpu_stop_done` that somebody waits for; `None` if nobody does.
    pub done: Option<u64>,
    /// Works of that request that are not done.
    pub nr_todo: Option<i32>,
}

/// A task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Address of its `task_struct`.
    pub addr: u64,
    /// Its pid; 0 for the idle tasks.
    pub pid: i32,
    /// Its name.
    pub comm: String,
    /// The CPU it belongs to.
    pub cpu: u32,
    /// Linux's letter: R S D T t X Z P I.
    pub state: char,
    /// Whether it is on a CPU, or just being switched out.
    pub on_cpu: bool,
    /// Whether it is queued: 0, 1, or 2 while it migrates.
    pub on_rq: u32,
    /// Its class: stop, dl, rt, fair, idle; `none` before it has one.
    pub class: String,
    /// `SCHED_*` number.
    pub policy: u32,
    /// Its kernel priority, 0 highest.
    pub prio: i32,
    /// Its priority from nice.
    pub static_prio: i32,
    /// The CPUs it may use, bit n = CPU n.
    pub cpus_mask: u64,
    /// `se.vruntime`, ns at nice 0.
    pub vruntime: u64,
    /// `se.load.weight`, as it is stored.
    #[serde(default)]
    pub weight: u64,
    /// `se.sum_exec_runtime`, ns: run time as of the last accounting.
    pub sum_exec_runtime: u64,
    /// Voluntary switches.
    pub nvcsw: u64,
    /// Involuntary switches.
    pub nivcsw: u64,
    /// `TIF_NEED_RESCHED`: the scheduler is to be called where it can be.
    #[serde(default)]
    pub need_resched: bool,
    /// `migration_disabled`.
    #[serde(default)]
    pub migration_disabled: u32,
    /// Whether a change of its mask waits for it to be moved.
    #[serde(default)]
    pub migration_pending: bool,
    /// Whether it is a kernel thread (`PF_KTHREAD`).
    #[serde(default)]
    pub kthread: bool,
    /// `sched_task_group`: address of its group.
    #[serde(default)]
    pub group: Option<u64>,
}

impl State {
    /// One line of JSON, without its end.
    pub fn to_line(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads a line; the error says what is wrong with it.
    pub fn from_line(line: &str) -> Result<State, serde_json::Error> {
        serde_json::from_str(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(stack: Vec<Frame>) -> State {
        State {
            at: Instant {
                cycles: 1000,
                event: Some(7),
                events_before: 7,
                clocks: vec![None],
            },
            cpus: Vec::new(),
            tasks: Vec::new(),
            masks: None,
            stack,
            context: None,
        }
    }

    #[test]
    fn a_line_is_read_as_it_was_written() {
        let written = with(vec![
            Frame {
                addr: 0x8010,
                symbol: Some(Symbol {
                    name: "schedule".to_owned(),
                    offset: 0x10,
                    file: Some("kernel/sched/core.rs".to_owned()),
                    line: Some(7),
                    inlined: Vec::new(),
                }),
            },
            Frame {
                addr: 0x9000,
                symbol: None,
            },
        ]);
        assert_eq!(State::from_line(&written.to_line()).unwrap(), written);
    }

    #[test]
    fn a_line_without_a_stack_has_none() {
        let written = with(Vec::new());
        let line = written.to_line();
        let older = line.replace(",\"stack\":[]", "");
        assert_ne!(older, line);
        assert_eq!(State::from_line(&older).unwrap(), written);
    }
}
