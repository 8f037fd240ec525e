//! Hand-written traces: a list of events with names instead of addresses, as a [`Source`].
//!
//! `trace.cpu(0).at(12_900).switch(HOG, R, MIGRATION0)` reads as the timeline in the comment above it.
//! A busy CPU retires one instruction a cycle, so `insns` equals `cycles` unless a test says otherwise.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::collections::HashMap;

use analyze::source::{RunInfo, Source};
use trace::event::{Addr, Comm, Event, EventData, StackId};
use trace::events::*;
use trace::krec::Symbol;

/// A task of a hand-written trace.
#[derive(Clone, Copy)]
pub struct T(pub i32, pub &'static str);

impl T {
    fn comm(self) -> Comm {
        Comm::from(self.1)
    }
    fn prio(self) -> i32 {
        match self.1.starts_with("migration/") {
            true => 0,
            false => 120,
        }
    }
}

pub const IDLE0: T = T(0, "swapper/0");
pub const IDLE1: T = T(0, "swapper/1");
pub const STOP0: T = T(12, "migration/0");
pub const STOP1: T = T(15, "migration/1");
pub const HOG: T = T(40, "hog/0");
pub const ASKER: T = T(41, "asker");
pub const OTHER: T = T(42, "other");

/// States of `sched_switch`.
pub const R: i64 = 0;
pub const PREEMPTED: i64 = 0x100;
pub const S: i64 = 1;
pub const D: i64 = 2;

/// What a `cpu_stop_work` of a test is.
#[derive(Clone, Copy)]
pub struct Work {
    pub work: u64,
    pub cpu: u32,
    pub done: u64,
    pub pending: u64,
    pub task: Option<T>,
    pub func: &'static str,
}

/// The work of an affinity change of `task` for `cpu`, without a `cpu_stop_done`.
pub const fn affinity(cpu: u32, task: T) -> Work {
    Work {
        work: 0x100,
        cpu,
        done: 0,
        pending: 0x200,
        task: Some(task),
        func: "migration_cpu_stop",
    }
}

/// What the task of a work is when the work is done.
#[derive(Clone, Copy)]
pub struct After {
    pub cpu: i32,
    pub on_rq: i32,
    pub mask: u64,
    pub nr_todo: i32,
}

pub const AFFINE: &str =
    "cpu_stop_queue_work stop_one_cpu_nowait affine_move_task __set_cpus_allowed_ptr";
pub const STOPPER_MOVE: &str =
    "set_task_cpu move_queued_task __migrate_task migration_cpu_stop cpu_stopper_thread";
pub const WAKE_MOVE: &str = "set_task_cpu try_to_wake_up wake_up_process";
pub const DIRECT_MOVE: &str =
    "set_task_cpu move_queued_task affine_move_task __set_cpus_allowed_ptr";

#[derive(Debug)]
pub struct Trace {
    info: RunInfo,
    events: Vec<Event>,
    stacks: Vec<Vec<Addr>>,
    symbols: HashMap<Addr, Symbol>,
    names: HashMap<&'static str, Addr>,
    current: Vec<(i32, Comm)>,
    at: (u32, u64),
    insns: Option<u64>,
}

impl Trace {
    /// No event, on so many CPUs; quantum 1,000 and IPI latency 2,000 as in definitions.md.
    pub fn new(cpus: u32) -> Trace {
        let swapper = |cpu| (0, Comm::from(format!("swapper/{cpu}").as_str()));
        Trace {
            info: RunInfo {
                name: "hand.krec".into(),
                cpus,
                cycles_per_second: 1_000_000_000,
                quantum: 1_000,
                ipi_latency: 2_000,
                longest_stretch: Some(25),
                events: 0,
                stream_sha256: "00".into(),
                machine_digest: None,
                image_sha256: "11".into(),
                cost_model: 1,
                policy: "round-robin".into(),
                workload: "hand".into(),
                truncated: None,
                outcome: None,
                guest_works: None,
            },
            events: Vec::new(),
            stacks: Vec::new(),
            symbols: HashMap::new(),
            names: HashMap::new(),
            current: (0..cpus).map(swapper).collect(),
            at: (0, 0),
            insns: None,
        }
    }

    pub fn info_mut(&mut self) -> &mut RunInfo {
        &mut self.info
    }

    /// Events from here on are of `cpu` at the raw clock `cycles`.
    pub fn at(&mut self, cpu: u32, cycles: u64) -> &mut Trace {
        self.at = (cpu, cycles);
        self.insns = None;
        self
    }

    /// The CPU had retired so many instructions.
    pub fn insns(&mut self, insns: u64) -> &mut Trace {
        self.insns = Some(insns);
        self
    }

    fn address(&mut self, name: &'static str) -> Addr {
        let next = Addr(0xffff_ffff_8100_0000 + 0x40 * self.names.len() as u64);
        let addr = *self.names.entry(name).or_insert(next);
        self.symbols.entry(addr).or_insert(Symbol {
            name: name.into(),
            offset: 0,
            file: None,
            line: None,
            inlined: Vec::new(),
        });
        addr
    }

    /// Adds an event of any kind.
    pub fn event(&mut self, stack: &'static str, data: impl Into<EventData>) -> &mut Trace {
        let addrs: Vec<Addr> = stack
            .split_whitespace()
            .map(|name| self.address(name))
            .collect();
        let stack = (!addrs.is_empty()).then(|| {
            self.stacks.push(addrs);
            StackId(self.stacks.len() as u32 - 1)
        });
        let (cpu, cycles) = self.at;
        let (pid, comm) = self.current[cpu as usize];
        self.events.push(Event {
            seq: self.events.len() as u64,
            cpu,
            cycles,
            insns: self.insns.unwrap_or(cycles),
            pid,
            comm,
            stack,
            data: data.into(),
        });
        self.info.events = self.events.len() as u64;
        self
    }

    /// Adds an event as it is, but for its number and its stack.
    pub fn raw(&mut self, event: Event) {
        self.events.push(Event {
            seq: self.events.len() as u64,
            ..event
        });
        self.info.events = self.events.len() as u64;
    }

    pub fn switch(&mut self, prev: T, state: i64, next: T) -> &mut Trace {
        self.event(
            "",
            SchedSwitch {
                prev_comm: prev.comm(),
                prev_pid: prev.0,
                prev_prio: prev.prio(),
                prev_state: state,
                next_comm: next.comm(),
                next_pid: next.0,
                next_prio: next.prio(),
            },
        );
        self.current[self.at.0 as usize] = (next.0, next.comm());
        self
    }

    pub fn waking(&mut self, task: T, cpu: i32) -> &mut Trace {
        self.event(
            "",
            SchedWaking {
                comm: task.comm(),
                pid: task.0,
                prio: task.prio(),
                target_cpu: cpu,
            },
        )
    }

    pub fn wakeup(&mut self, task: T, cpu: i32) -> &mut Trace {
        self.event(
            "",
            SchedWakeup {
                comm: task.comm(),
                pid: task.0,
                prio: task.prio(),
                target_cpu: cpu,
            },
        )
    }

    pub fn wakeup_new(&mut self, task: T, cpu: i32) -> &mut Trace {
        self.event(
            "",
            SchedWakeupNew {
                comm: task.comm(),
                pid: task.0,
                prio: task.prio(),
                target_cpu: cpu,
            },
        )
    }

    /// `stack`: innermost first, with the function itself.
    pub fn milestone(&mut self, name: &'static str, stack: &'static str) -> &mut Trace {
        let func = self.address(name);
        self.event(stack, BootMilestone { func })
    }

    pub fn fork(&mut self, parent: T, child: T) -> &mut Trace {
        self.event(
            "",
            SchedProcessFork {
                parent_comm: parent.comm(),
                parent_pid: parent.0,
                child_comm: child.comm(),
                child_pid: child.0,
            },
        )
    }

    pub fn exit(&mut self, task: T) -> &mut Trace {
        self.event(
            "",
            SchedProcessExit {
                comm: task.comm(),
                pid: task.0,
                prio: task.prio(),
            },
        )
    }

    pub fn migrate(&mut self, stack: &'static str, task: T, from: i32, to: i32) -> &mut Trace {
        self.event(
            stack,
            SchedMigrateTask {
                comm: task.comm(),
                pid: task.0,
                prio: task.prio(),
                orig_cpu: from,
                dest_cpu: to,
            },
        )
    }

    pub fn enqueued(&mut self, task: T, cpu: u32) -> &mut Trace {
        self.event(
            "",
            MoveEnqueued {
                comm: task.comm(),
                pid: task.0,
                prio: task.prio(),
                cpu,
            },
        )
    }

    pub fn affinity_entry(&mut self, task: T, cpu: u32, mask: u64) -> &mut Trace {
        self.event(
            "",
            MoveAffinityEntry {
                comm: task.comm(),
                pid: task.0,
                prio: task.prio(),
                task_cpu: cpu,
                on_rq: 1,
                on_cpu: 0,
                new_mask: Mask(mask),
            },
        )
    }

    pub fn fallback(&mut self, task: T, from: i32, to: i32) -> &mut Trace {
        self.event(
            "",
            MoveFallback {
                comm: task.comm(),
                pid: task.0,
                prio: task.prio(),
                orig_cpu: from,
                dest_cpu: to,
            },
        )
    }

    /// A reschedule IPI to `cpu`.
    pub fn ipi(&mut self, cpu: u32) -> &mut Trace {
        let callsite = self.address("resched_curr");
        let callback = Addr(0);
        self.event(
            "",
            IpiSendCpu {
                cpu,
                callsite,
                callback,
            },
        )
    }

    /// A call-function-single IPI to `cpu`, as for a wake list.
    pub fn call_ipi(&mut self, cpu: u32) -> &mut Trace {
        let callsite = self.address("__smp_call_single_queue");
        let callback = self.address("generic_smp_call_function_single_interrupt");
        self.event(
            "",
            IpiSendCpu {
                cpu,
                callsite,
                callback,
            },
        )
    }

    pub fn ipi_entry(&mut self) -> &mut Trace {
        self.event("", RescheduleEntry { vector: 253 })
    }

    pub fn call_entry(&mut self) -> &mut Trace {
        self.event("", CallFunctionSingleEntry { vector: 251 })
    }

    pub fn work_queue(&mut self, stack: &'static str, work: Work, nr_todo: i32) -> &mut Trace {
        let func = self.address(work.func);
        let caller = self.address(stack.split_whitespace().nth(2).unwrap_or("caller"));
        let task = work.task.unwrap_or(T(0, ""));
        self.event(
            stack,
            StopWorkQueue {
                work: Addr(work.work),
                cpu: work.cpu,
                func,
                caller,
                done: Addr(work.done),
                pending: Addr(work.pending),
                task: Addr(task.0 as u64 * 0x1000),
                task_pid: task.0,
                task_comm: task.comm(),
                nr_todo,
            },
        )
    }

    pub fn work_start(&mut self, work: Work, nr_todo: i32) -> &mut Trace {
        let func = self.address(work.func);
        let task = work.task.unwrap_or(T(0, ""));
        self.event(
            "",
            StopWorkStart {
                work: Addr(work.work),
                cpu: work.cpu,
                func,
                caller: Addr(0),
                done: Addr(work.done),
                pending: Addr(work.pending),
                task: Addr(task.0 as u64 * 0x1000),
                task_pid: task.0,
                task_comm: task.comm(),
                nr_todo,
            },
        )
    }

    pub fn work_done(&mut self, work: Work, after: After) -> &mut Trace {
        let func = self.address(work.func);
        let task = work.task.unwrap_or(T(0, ""));
        self.event(
            "",
            StopWorkDone {
                work: Addr(work.work),
                cpu: work.cpu,
                func,
                caller: Addr(0),
                done: Addr(work.done),
                pending: Addr(work.pending),
                task: Addr(task.0 as u64 * 0x1000),
                task_pid: task.0,
                task_comm: task.comm(),
                nr_todo: after.nr_todo,
                ret: 0,
                task_cpu: after.cpu,
                task_on_rq: after.on_rq,
                task_cpus_mask: Mask(after.mask),
            },
        )
    }

    /// A participant of stop_machine enters (step 0) or acknowledges (step 1) a state.
    pub fn step(&mut self, state: u32, step: u32, polls: u64, active: bool) -> &mut Trace {
        let func = self.address("take_cpu_down");
        self.event(
            "",
            StopMachineState {
                msdata: Addr(0x7000),
                cpu: self.at.0,
                state,
                step,
                polls,
                func,
                active: active.into(),
            },
        )
    }

    /// The end of a reschedule handler.
    pub fn ipi_exit(&mut self) -> &mut Trace {
        self.event("", RescheduleExit { vector: 253 })
    }

    /// `stop:complete` of an affinity change's pending.
    pub fn complete_pending(&mut self, work: Work) -> &mut Trace {
        let task = work.task.unwrap_or(T(0, ""));
        self.event(
            "",
            StopComplete {
                done: Addr(0),
                pending: Addr(work.pending),
                task: Addr(task.0 as u64 * 0x1000),
                task_pid: task.0,
                task_comm: task.comm(),
            },
        )
    }

    /// `stop:complete` of a request's done.
    pub fn complete_done(&mut self, work: Work) -> &mut Trace {
        self.event(
            "",
            StopComplete {
                done: Addr(work.done),
                pending: Addr(0),
                task: Addr(0),
                task_pid: 0,
                task_comm: Comm::default(),
            },
        )
    }
}

impl Source for Trace {
    fn info(&self) -> &RunInfo {
        &self.info
    }
    fn events(&self) -> Box<dyn Iterator<Item = Result<Event, analyze::Error>> + '_> {
        Box::new(self.events.iter().copied().map(Ok))
    }
    fn stack(&self, id: StackId) -> &[Addr] {
        self.stacks.get(id.0 as usize).map_or(&[], |s| s)
    }
    fn symbol(&self, addr: Addr) -> Option<&Symbol> {
        self.symbols.get(&addr)
    }
}

/// The worked example of definitions.md section 3: a running task moved by another CPU. cpu1 requests,
/// cpu0 is the source.
pub fn worked_example() -> Trace {
    let work = affinity(0, HOG);
    let mut t = Trace::new(2);
    t.at(1, 9_000).switch(IDLE1, R, ASKER);
    t.at(0, 9_500).switch(IDLE0, R, HOG);
    t.at(1, 10_500).work_queue(AFFINE, work, -1);
    t.at(1, 10_520).waking(STOP0, 0);
    t.at(1, 10_600).ipi(0);
    t.at(1, 10_700).switch(ASKER, D, IDLE1);
    t.at(0, 12_604).ipi_entry();
    t.at(0, 12_900).switch(HOG, PREEMPTED, STOP0);
    t.at(0, 13_050).work_start(work, -1);
    t.at(0, 13_400).migrate(STOPPER_MOVE, HOG, 0, 1);
    t.at(0, 13_600).enqueued(HOG, 1);
    t.at(0, 13_650).ipi(1);
    t.at(0, 13_800).work_done(
        work,
        After {
            cpu: 1,
            on_rq: 1,
            mask: 0b10,
            nr_todo: -1,
        },
    );
    t.at(0, 14_100).switch(STOP0, S, IDLE0);
    t.at(1, 15_650).insns(10_720).ipi_entry();
    t.at(1, 15_900).insns(10_970).switch(IDLE1, R, HOG);
    t
}
