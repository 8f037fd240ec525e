//! Follows every task and stop request through the events, once, and writes a row for each move.
//!
//! A stop request's time is partitioned from its first `stop:work_queue` on, whether or not a move
//! comes of it; when `sched_migrate_task` comes, the move takes over what the request has so far.
//! All other moves begin at an event that their task remembers, and have no phase but off-src before
//! they leave. Memory is that of the tasks, the open requests and the rows.

use std::collections::HashMap;

use trace::event::{Addr, EventData};
use trace::events::{MoveEnqueued, SchedMigrateTask, SchedSwitch, SchedWakeupNew, StopWorkQueue};

use super::cause::{WakeFacts, classify};
use super::phases::{Mark, Phases};
use super::state::{Ipi, Marks, Newborn, OpenMove, OpenWork, StopRequest, Task, Vector, WorkState};
use super::{Boundaries, Cause, Ended, Kind, Move, Path, Phase};
use crate::Error;
use crate::causal::{Request, Stamped, Walked};
use crate::names;
use crate::source::Source;
use crate::works::{WorkId, Works};

/// Moves of tasks that ran when the stopper that had a work for them switched in.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Victims {
    pub(super) moved: usize,
    pub(super) by_stopper: usize,
}

pub(super) struct Tracker<'s> {
    source: &'s dyn Source,
    ipi_latency: u64,
    tasks: HashMap<i32, Task>,
    requests: HashMap<Request, StopRequest>,
    works: Works,
    open_works: HashMap<WorkId, OpenWork>,
    /// Instructions each CPU had retired at its latest event.
    retired: Vec<u64>,
    /// The task whose move by this vCPU still looks for its interrupt.
    watch: Vec<Option<i32>>,
    /// Tasks that an interrupt on its way to this CPU is for.
    inbound: Vec<Vec<i32>>,
    /// Rows in the order of their migrate events; `None` until they end.
    rows: Vec<Option<Move>>,
    victims: Victims,
    last: Option<Mark>,
}

impl<'s> Tracker<'s> {
    pub(super) fn new(source: &'s dyn Source) -> Tracker<'s> {
        let cpus = source.info().cpus as usize;
        Tracker {
            source,
            ipi_latency: source.info().ipi_latency,
            tasks: HashMap::new(),
            requests: HashMap::new(),
            works: Works::new(source.info().cpus),
            open_works: HashMap::new(),
            retired: vec![0; cpus],
            watch: vec![None; cpus],
            inbound: vec![Vec::new(); cpus],
            rows: Vec::new(),
            victims: Victims::default(),
            last: None,
        }
    }

    pub(super) fn push(&mut self, event: &Stamped<'_>) -> Result<(), Error> {
        let mark = Mark::of(event);
        let cpu = mark.cpu as usize;
        self.last = Some(mark);
        self.retired[cpu] = mark.insns;
        if self.watch[cpu].is_some_and(|pid| !event.abouts.has_task(pid)) {
            self.watch[cpu] = None;
        }
        match &event.event.data {
            EventData::SchedSwitch(e) => self.switch(e, &mark),
            EventData::SchedWaking(e) => {
                let task = self.task(e.pid);
                task.waking = Some(mark);
                task.fallback = false;
            }
            EventData::SchedProcessFork(e) => {
                let phases = Phases::new(mark, &self.retired);
                self.task(e.child_pid).newborn = Some(Newborn {
                    phases,
                    enqueued: None,
                });
            }
            EventData::SchedWakeupNew(e) => self.wakeup_new(e, &mark),
            EventData::SchedMigrateTask(e) => self.migrate(event, e, &mark)?,
            EventData::SchedProcessExit(e) => self.end_move(e.pid, Ended::Exit, &mark),
            EventData::MoveEnqueued(e) => self.enqueued(e, &mark),
            EventData::MoveAffinityEntry(e) => {
                let task = self.task(e.pid);
                task.affinity.insert(event.event.pid, mark);
                task.mask = Some(e.new_mask.0);
            }
            EventData::MoveFallback(e) => self.task(e.pid).fallback = true,
            EventData::IpiSendCpu(e) => {
                let vector = match e.callback {
                    Addr(0) => Vector::Reschedule,
                    _ => Vector::CallFunctionSingle,
                };
                self.ipi_send(event, 1_u64.checked_shl(e.cpu).unwrap_or(0), vector, &mark);
            }
            EventData::IpiSendCpumask(e) => {
                self.ipi_send(event, e.cpumask.0, Vector::CallFunction, &mark);
            }
            EventData::RescheduleEntry(_) => self.ipi_entry(event, Vector::Reschedule, &mark),
            EventData::CallFunctionEntry(_) => self.ipi_entry(event, Vector::CallFunction, &mark),
            EventData::CallFunctionSingleEntry(_) => {
                self.ipi_entry(event, Vector::CallFunctionSingle, &mark);
            }
            EventData::StopWorkQueue(e) => self.work_queue(event, e, &mark)?,
            EventData::StopWorkStart(e) => {
                let id = self.works.start(e.cpu, e.work);
                self.work_start(inconsistent(mark.seq, id)?, &mark);
            }
            EventData::StopWorkDone(e) => {
                if e.task_pid != 0 {
                    self.task(e.task_pid).mask = Some(e.task_cpus_mask.0);
                }
                let id = self.works.done(e.cpu, e.work);
                self.work_done(inconsistent(mark.seq, id)?, &mark);
            }
            EventData::StopComplete(e) if e.pending.0 != 0 => {
                self.close_request(Request::Pending(e.pending));
            }
            _ => {}
        }
        Ok(())
    }

    /// Ends what is open and gives out the rows.
    pub(super) fn finish(mut self, walked: &Walked) -> (Vec<Move>, Victims) {
        if let Some(last) = self.last {
            let end = Mark {
                time_ns: walked.end_ns,
                ..last
            };
            let mut open: Vec<i32> = self
                .tasks
                .iter()
                .filter_map(|(pid, task)| task.open.is_some().then_some(*pid))
                .collect();
            open.sort_unstable();
            for pid in open {
                self.end_move(pid, Ended::Open, &end);
            }
        }
        (self.rows.into_iter().flatten().collect(), self.victims)
    }

    fn task(&mut self, pid: i32) -> &mut Task {
        self.tasks.entry(pid).or_default()
    }

    fn switch(&mut self, e: &SchedSwitch, mark: &Mark) {
        if e.prev_pid != 0 {
            self.cut_requests(e.prev_pid, mark, false);
            let victim_of = match runnable(e.prev_state) {
                true => self.own_work(e, mark.cpu).map(|queuer| (mark.cpu, queuer)),
                false => None,
            };
            let task = self.task(e.prev_pid);
            task.on_cpu = false;
            task.last_out = Some(*mark);
            task.victim_of = victim_of;
        }
        if e.next_pid != 0 {
            self.end_move(e.next_pid, Ended::Ran, mark);
            self.cut_requests(e.next_pid, mark, true);
            let task = self.task(e.next_pid);
            task.on_cpu = true;
            task.waking = None;
            task.fallback = false;
            task.victim_of = None;
        }
    }

    /// If the stopper of `cpu` comes in with a work for the task that it preempts: who queued that work.
    fn own_work(&self, e: &SchedSwitch, cpu: u32) -> Option<i32> {
        if names::stopper_cpu(e.next_comm) != Some(cpu) {
            return None;
        }
        let requests = &self.tasks.get(&e.prev_pid)?.requests;
        requests
            .iter()
            .filter_map(|key| self.requests.get(key))
            .find(|request| request.work == WorkState::Queued)
            .map(|request| request.queuer)
    }

    /// Cuts the phases of every request about a task that comes to a CPU or leaves it.
    fn cut_requests(&mut self, pid: i32, mark: &Mark, on_cpu: bool) {
        let Some(task) = self.tasks.get(&pid) else {
            return;
        };
        for key in &task.requests {
            if let Some(request) = self.requests.get_mut(key) {
                request.cut(mark, &self.retired);
                request.on_cpu = on_cpu;
                if !on_cpu {
                    request.switch_out = Some(*mark);
                }
            }
        }
    }

    fn enqueued(&mut self, e: &MoveEnqueued, mark: &Mark) {
        let Some(task) = self.tasks.get_mut(&e.pid) else {
            return;
        };
        if let Some(open) = &mut task.open
            && !open.enqueued
        {
            open.cut(mark, &self.retired);
            open.enqueued = true;
            open.marks.enqueued = Some(*mark);
        }
        if let Some(newborn) = &mut task.newborn
            && newborn.enqueued.is_none()
        {
            newborn.phases.advance(Phase::OffSrc, mark, &self.retired);
            newborn.enqueued = Some(*mark);
        }
    }

    fn ipi_send(&mut self, event: &Stamped<'_>, receivers: u64, vector: Vector, mark: &Mark) {
        let cpu = mark.cpu as usize;
        let Some(pid) = self.watch[cpu] else { return };
        let Some(open) = self.tasks.get_mut(&pid).and_then(|task| task.open.as_mut()) else {
            return;
        };
        let dest = open.row.dst_cpu;
        if receivers.checked_shr(dest).unwrap_or(0) & 1 == 0 {
            return;
        }
        self.watch[cpu] = None;
        open.cut(mark, &self.retired);
        open.ipi = Ipi::Outstanding {
            vector,
            due: event.event.cycles.saturating_add(self.ipi_latency),
        };
        open.marks.ipi_send = Some(*mark);
        self.inbound[dest as usize].push(pid);
    }

    /// A handler begins. It takes every interrupt of its vector that was due: an earlier one of the
    /// same vector may be entered while a move's own is still on its way.
    fn ipi_entry(&mut self, event: &Stamped<'_>, entered: Vector, mark: &Mark) {
        let cpu = mark.cpu as usize;
        let waiting = std::mem::take(&mut self.inbound[cpu]);
        for pid in waiting {
            let Some(open) = self.tasks.get_mut(&pid).and_then(|task| task.open.as_mut()) else {
                continue;
            };
            let Ipi::Outstanding { vector, due } = open.ipi else {
                continue;
            };
            if vector == entered && due <= event.event.cycles {
                open.entered = Some((*mark, self.retired.clone()));
                open.marks.ipi_entry = Some(*mark);
            } else {
                self.inbound[cpu].push(pid);
            }
        }
    }

    fn work_queue(
        &mut self,
        event: &Stamped<'_>,
        e: &StopWorkQueue,
        mark: &Mark,
    ) -> Result<(), Error> {
        let id = inconsistent(mark.seq, self.works.queue(e.cpu, e.work))?;
        let key = Request::of(e.pending, e.done, e.work);
        self.open_works.insert(
            id,
            OpenWork {
                request: key,
                queue: *mark,
                start: None,
            },
        );
        if let Some(request) = self.requests.get_mut(&key) {
            request.cut(mark, &self.retired);
            request.work = WorkState::Queued;
            request.latest = id;
            request.open_works += 1;
            return Ok(());
        }
        let pid = if e.task.0 == 0 { 0 } else { e.task_pid };
        let mut on_cpu = false;
        if pid != 0 {
            let task = self.task(pid);
            task.requests.push(key);
            on_cpu = task.on_cpu;
        }
        let request = StopRequest {
            task_pid: pid,
            phases: Phases::new(*mark, &self.retired),
            on_cpu,
            switch_out: None,
            work: WorkState::Queued,
            latest: id,
            open_works: 1,
            queuer: event.event.pid,
            stack: event.event.stack,
        };
        self.requests.insert(key, request);
        Ok(())
    }

    fn work_start(&mut self, id: WorkId, mark: &Mark) {
        let Some(work) = self.open_works.get_mut(&id) else {
            return;
        };
        work.start = Some(*mark);
        if let Some(request) = self.requests.get_mut(&work.request)
            && request.latest == id
        {
            request.cut(mark, &self.retired);
            request.work = WorkState::Started;
        }
    }

    fn work_done(&mut self, id: WorkId, mark: &Mark) {
        let Some(work) = self.open_works.remove(&id) else {
            return;
        };
        let Some(request) = self.requests.get_mut(&work.request) else {
            return;
        };
        request.open_works = request.open_works.saturating_sub(1);
        if request.latest == id {
            request.cut(mark, &self.retired);
            request.work = WorkState::None;
        }
        // A pending lives until its `stop:complete`, for it may be queued again.
        if request.open_works == 0 && !matches!(work.request, Request::Pending(_)) {
            self.close_request(work.request);
        }
    }

    fn close_request(&mut self, key: Request) {
        if let Some(request) = self.requests.remove(&key)
            && let Some(task) = self.tasks.get_mut(&request.task_pid)
        {
            task.requests.retain(|r| *r != key);
        }
    }

    fn wakeup_new(&mut self, e: &SchedWakeupNew, mark: &Mark) {
        let Some(Newborn {
            mut phases,
            enqueued,
        }) = self.task(e.pid).newborn.take()
        else {
            return;
        };
        let src_cpu = phases.begin.cpu;
        let Ok(dst_cpu) = u32::try_from(e.target_cpu) else {
            return;
        };
        if dst_cpu == src_cpu || dst_cpu as usize >= self.inbound.len() {
            return;
        }
        let phase = match enqueued {
            Some(_) => Phase::FirstRun,
            None => Phase::OffSrc,
        };
        phases.advance(phase, mark, &self.retired);
        let marks = Marks {
            enqueued,
            ..Marks::new(phases.begin, *mark)
        };
        let row = Move {
            kind: Kind::Placement,
            prio: e.prio,
            ..row(e.comm.to_text(), e.pid, (src_cpu, dst_cpu), &phases)
        };
        self.open_move(row, phases, marks, mark);
    }

    fn migrate(
        &mut self,
        event: &Stamped<'_>,
        e: &SchedMigrateTask,
        mark: &Mark,
    ) -> Result<(), Error> {
        if e.orig_cpu == e.dest_cpu {
            return Ok(());
        }
        let cpus = self.inbound.len();
        let cpu = |number: i32| match u32::try_from(number) {
            Ok(cpu) if (cpu as usize) < cpus => Ok(cpu),
            _ => Err(Error::Inconsistent {
                seq: mark.seq,
                what: format!("it names cpu {number} of {cpus}"),
            }),
        };
        let cpus = (cpu(e.orig_cpu)?, cpu(e.dest_cpu)?);
        self.end_move(e.pid, Ended::Moved, mark);
        let work = self.works.running(mark.cpu);
        let work = work.and_then(|id| self.open_works.get(&id)).copied();
        let (path, cause) = self.classify(event, e, cpus, work)?;
        let (phases, marks) = match (path, work) {
            (Path::Stopper, Some(work)) => self.take_over(e.pid, &work, mark),
            (Path::Stopper, None) => {
                return Err(Error::Inconsistent {
                    seq: mark.seq,
                    what: format!(
                        "a stopper's function moves a task, but cpu {} runs no work",
                        mark.cpu
                    ),
                });
            }
            _ => self.begin_without_work(e.pid, path, cause, event.event.pid, mark),
        };
        let row = Move {
            prio: e.prio,
            path,
            cause,
            ..row(e.comm.to_text(), e.pid, cpus, &phases)
        };
        self.count_victim(e.pid, cpus.0, (path, cause), event.event.pid);
        self.open_move(row, phases, marks, mark);
        Ok(())
    }

    /// A task that ran when the stopper came for it must be moved by the stopper, unless somebody else
    /// than the one who sent the stopper was faster: a task that is preempted is queued, and a queued
    /// task is moved directly. A load balance is somebody else, even if the one who sent the stopper
    /// runs it on its way to sleep.
    fn count_victim(&mut self, pid: i32, src_cpu: u32, (path, cause): (Path, Cause), current: i32) {
        let Some((cpu, queuer)) = self.task(pid).victim_of.take() else {
            return;
        };
        let by_stopper = path == Path::Stopper;
        let by_queuer =
            current == queuer && matches!(cause, Cause::Affinity | Cause::MigrateEnable);
        if cpu == src_cpu && (by_stopper || by_queuer) {
            self.victims.moved += 1;
            self.victims.by_stopper += usize::from(by_stopper);
        }
    }

    fn classify(
        &self,
        event: &Stamped<'_>,
        e: &SchedMigrateTask,
        (orig_cpu, dest_cpu): (u32, u32),
        work: Option<OpenWork>,
    ) -> Result<(Path, Cause), Error> {
        let stack = names::stack_functions(self.source, event.event.stack);
        let queuer = work
            .and_then(|work| self.requests.get(&work.request))
            .map(|request| names::stack_functions(self.source, request.stack))
            .unwrap_or_default();
        let task = self.tasks.get(&e.pid);
        let mask = task.and_then(|task| task.mask);
        let wake = WakeFacts {
            source_not_allowed: mask
                .is_some_and(|mask| mask != 0 && mask >> (orig_cpu & 63) & 1 == 0),
            fallback: task.is_some_and(|task| task.fallback),
        };
        classify(&stack, &queuer, wake).ok_or_else(|| Error::Unclassified {
            seq: event.event.seq,
            task: names::task(&e.comm.to_text(), e.pid),
            orig_cpu,
            dest_cpu,
            stack: names::one_line(&stack),
            queuer: names::one_line(&queuer),
        })
    }

    /// The phases of a stopper's move up to now: what its request has had so far.
    fn take_over(&mut self, pid: i32, work: &OpenWork, mark: &Mark) -> (Phases, Marks) {
        let last_out = self.tasks.get(&pid).and_then(|task| task.last_out);
        let marks = |phases: &Phases, switch_out| Marks {
            switch_out,
            work_queue: Some(work.queue),
            work_start: work.start,
            ..Marks::new(phases.begin, *mark)
        };
        let Some(request) = self.requests.get_mut(&work.request) else {
            // Its pending was completed before the move: the move begins where it happens.
            let phases = Phases::new(*mark, &self.retired);
            let marks = marks(&phases, None);
            return (phases, marks);
        };
        if request.task_pid == pid {
            request.cut(mark, &self.retired);
            let phases = request.phases.clone();
            let marks = marks(&phases, request.switch_out);
            return (phases, marks);
        }
        // The work names no task: its function has just chosen one. It ran until it last left a CPU.
        let mut phases = Phases::new(request.phases.begin, &self.retired);
        let last_out = last_out.filter(|out| out.time_ns > phases.now_ns);
        if let Some(out) = &last_out {
            phases.advance(Phase::OffSrc, out, &self.retired);
        }
        if let Some(start) = &work.start {
            phases.advance(Phase::StopWait, start, &self.retired);
        }
        phases.advance(Phase::StopRun, mark, &self.retired);
        let marks = marks(&phases, last_out);
        (phases, marks)
    }

    /// The phases of a move without a work: off-src from the event that began it.
    fn begin_without_work(
        &mut self,
        pid: i32,
        path: Path,
        cause: Cause,
        current: i32,
        mark: &Mark,
    ) -> (Phases, Marks) {
        let task = self.tasks.entry(pid).or_default();
        let begin = match (path, cause) {
            (Path::Wake, _) => task.waking.take(),
            (Path::Direct, Cause::Affinity | Cause::MigrateEnable) => {
                task.affinity.remove(&current)
            }
            _ => None,
        };
        let last_out = task
            .last_out
            .filter(|out| begin.is_some_and(|begin| out.seq > begin.seq));
        let mut phases = Phases::new(begin.unwrap_or(*mark), &self.retired);
        phases.advance(Phase::OffSrc, mark, &self.retired);
        let marks = Marks {
            switch_out: last_out,
            ..Marks::new(phases.begin, *mark)
        };
        (phases, marks)
    }

    fn open_move(&mut self, row: Move, phases: Phases, marks: Marks, mark: &Mark) {
        let at = self.rows.len();
        let pid = row.tid;
        self.rows.push(None);
        self.watch[mark.cpu as usize] = Some(pid);
        self.task(pid).open = Some(OpenMove {
            row,
            at,
            phases,
            enqueued: marks.enqueued.is_some(),
            marks,
            ipi: Ipi::None,
            entered: None,
        });
    }

    fn end_move(&mut self, pid: i32, ended: Ended, mark: &Mark) {
        let Some(mut open) = self.tasks.get_mut(&pid).and_then(|task| task.open.take()) else {
            return;
        };
        open.cut(mark, &self.retired);
        self.rows[open.at] = Some(Move {
            ended,
            end_ns: open.phases.now_ns,
            phases_ns: open.phases.ns,
            phases_insns: open.phases.insns,
            pushed_ns: open.marks.pushed_ns(mark),
            seqs: open.marks.seqs(mark),
            ..open.row
        });
        for inbound in &mut self.inbound {
            inbound.retain(|waiting| *waiting != pid);
        }
    }
}

/// Whether a task that left with this state of `sched_switch` can still run: R or R+.
fn runnable(prev_state: i64) -> bool {
    prev_state == 0 || prev_state & 0x100 != 0
}

fn row(comm: String, tid: i32, cpus: (u32, u32), phases: &Phases) -> Move {
    Move {
        kind: Kind::Move,
        comm,
        tid,
        prio: 0,
        src_cpu: cpus.0,
        dst_cpu: cpus.1,
        path: Path::Fork,
        cause: Cause::Fork,
        ended: Ended::Open,
        begin_ns: phases.begin.time_ns,
        end_ns: phases.now_ns,
        phases_ns: [0; 6],
        phases_insns: [0; 6],
        pushed_ns: 0,
        seqs: Boundaries::default(),
    }
}

fn inconsistent<T>(seq: u64, result: Result<T, String>) -> Result<T, Error> {
    result.map_err(|what| Error::Inconsistent { seq, what })
}
