//! Follows works, episodes, victims and waiters through the events, once.

use std::collections::HashMap;

use trace::event::{EventData, StackId};
use trace::events::{SchedMigrateTask, SchedSwitch, StopComplete, StopWorkDone, StopWorkQueue};

use super::episode::{Cut, Episode, TaskState};
use super::{Before, CpuTotal, Outcome, Overhead, Point, TaskName, Victim, Work};
use crate::Error;
use crate::causal::{Request, Stamped, Walked};
use crate::class::Classes;
use crate::migration::moved_by_stopper;
use crate::names;
use crate::source::Source;
use crate::works::{WorkId, Works};

/// What the tracker has found.
pub(super) struct Found {
    pub(super) works: Vec<Work>,
    pub(super) overhead: Vec<Overhead>,
    pub(super) totals: Vec<CpuTotal>,
}

/// A work that is queued or running.
struct OpenWork {
    id: WorkId,
    request: Request,
    task_pid: i32,
    /// Its function has moved its task.
    moved: bool,
    /// Its function has queued the request again.
    requeued: bool,
    /// Its task slept when it started.
    asleep: bool,
    /// Its function has completed the request.
    completed: bool,
}

/// A request, as far as its waiter is concerned.
struct Waited {
    /// The task that queued it and waits for it, if it does.
    waiter: Option<i32>,
    /// Else, of a pending: the task that had last asked for a change of the task's mask.
    asker: Option<i32>,
    last: WorkId,
    open_works: u32,
    /// nr_todo has reached 0, or the pending is complete.
    complete: bool,
}

/// What a task last asked for by `__set_cpus_allowed_ptr`.
struct Asked {
    /// The task whose mask is to change.
    about: i32,
    seq: u64,
}

/// A pending that this CPU has just completed: the task that it wakes next is the waiter.
struct Completing {
    work: WorkId,
    from: Point,
    /// The task that the pending is about.
    about: i32,
    /// Who is taken for the waiter until then.
    waiter: Option<i32>,
}

/// Somebody will run again: the time since `from` belongs to a work.
#[derive(Clone, Copy)]
struct Waiting {
    work: WorkId,
    from: Point,
    pending: bool,
}

pub(super) struct Tracker<'s> {
    source: &'s dyn Source,
    classes: Classes,
    ids: Works,
    works: Vec<Work>,
    /// Works that are not done, in queue order, per CPU.
    open: Vec<Vec<OpenWork>>,
    requests: HashMap<Request, Waited>,
    tasks: HashMap<i32, TaskState>,
    waiting: HashMap<i32, Vec<Waiting>>,
    /// The latest affinity change that each task asked for.
    asked: HashMap<i32, Asked>,
    /// The pending that each CPU has just completed.
    completing: Vec<Option<Completing>>,
    in_interrupt: Vec<bool>,
    /// The episode of each CPU's stopper while it is on a CPU.
    current: Vec<Option<Episode>>,
    /// Ended episodes whose victim's chain has not passed their end.
    unsettled: HashMap<i32, Vec<Episode>>,
    /// Latest insns of each CPU, for episodes that the recording's end closes.
    retired: Vec<u64>,
    overhead: Vec<Overhead>,
    totals: Vec<CpuTotal>,
    /// Stacks that go through `migrate_enable`.
    moves_itself: HashMap<StackId, bool>,
}

impl<'s> Tracker<'s> {
    pub(super) fn new(source: &'s dyn Source) -> Tracker<'s> {
        let cpus = source.info().cpus;
        let total = |cpu| CpuTotal {
            cpu,
            ..CpuTotal::default()
        };
        Tracker {
            source,
            classes: Classes::new(source),
            ids: Works::new(cpus),
            works: Vec::new(),
            open: (0..cpus).map(|_| Vec::new()).collect(),
            requests: HashMap::new(),
            tasks: HashMap::new(),
            waiting: HashMap::new(),
            asked: HashMap::new(),
            completing: (0..cpus).map(|_| None).collect(),
            in_interrupt: vec![false; cpus as usize],
            current: (0..cpus).map(|_| None).collect(),
            unsettled: HashMap::new(),
            retired: vec![0; cpus as usize],
            overhead: Vec::new(),
            totals: (0..cpus).map(total).collect(),
            moves_itself: HashMap::new(),
        }
    }

    pub(super) fn push(&mut self, event: &Stamped<'_>) -> Result<(), Error> {
        let at = Cut {
            point: Point {
                seq: event.event.seq,
                time_ns: event.time_ns,
                pushed_ns: event.pushed_ns,
            },
            insns: event.event.insns,
        };
        let cpu = event.event.cpu;
        self.retired[cpu as usize] = at.insns;
        self.first_after_complete(event);
        let bad = |what| Error::Inconsistent {
            seq: event.event.seq,
            what,
        };
        match &event.event.data {
            EventData::SchedSwitch(e) => self.switch(e, cpu, at),
            EventData::SchedWaking(e) => {
                if let Some(stopper) = names::stopper_cpu(e.comm) {
                    self.stopper_woken(stopper, at);
                }
            }
            EventData::SchedWakeup(e) if self.tasks.get(&e.pid) == Some(&TaskState::Asleep) => {
                self.task_becomes(e.pid, TaskState::Waiting, at);
            }
            EventData::SchedWakeupNew(e) => self.task_becomes(e.pid, TaskState::Waiting, at),
            EventData::SchedMigrateTask(e) => self.migrate(e, event),
            EventData::MoveAffinityEntry(e) => {
                let asked = Asked {
                    about: e.pid,
                    seq: event.event.seq,
                };
                self.asked.insert(event.event.pid, asked);
            }
            EventData::StopWorkQueue(e) => self.queue(e, event, at).map_err(bad)?,
            EventData::StopWorkStart(e) => {
                self.ids.start(e.cpu, e.work).map_err(bad)?;
                self.start(e.cpu, at);
            }
            EventData::StopWorkDone(e) => {
                let id = self.ids.done(e.cpu, e.work).map_err(bad)?;
                self.done(id, e, at);
            }
            EventData::StopComplete(e) => self.complete(e, cpu, at),
            _ => {}
        }
        Ok(())
    }

    pub(super) fn finish(mut self, walked: &Walked) -> Found {
        let seq = walked.events.saturating_sub(1);
        for cpu in 0..self.current.len() {
            if let Some(mut episode) = self.current[cpu].take() {
                let end = Cut {
                    point: Point {
                        seq,
                        time_ns: walked.end_ns,
                        pushed_ns: 0,
                    },
                    insns: self.retired[episode.on_cpu as usize],
                };
                episode.close(self.ids.running(cpu as u32), end);
                self.settle(&episode);
            }
        }
        let unsettled = std::mem::take(&mut self.unsettled);
        for episode in unsettled.into_values().flatten() {
            self.settle(&episode);
        }
        self.overhead.sort_by_key(|row| row.begin.seq);
        Found {
            works: self.works,
            overhead: self.overhead,
            totals: self.totals,
        }
    }

    fn switch(&mut self, e: &SchedSwitch, cpu: u32, at: Cut) {
        let runnable = e.prev_state == 0 || e.prev_state & 0x100 != 0;
        if let Some(stopper) = names::stopper_cpu(e.prev_comm)
            && let Some(mut episode) = self.episode_of(stopper).and_then(Option::take)
        {
            episode.close(self.ids.running(stopper), at);
            match episode.victim.as_ref().map(|victim| victim.task.tid) {
                Some(victim) => self.unsettled.entry(victim).or_default().push(episode),
                None => self.settle(&episode),
            }
        }
        if e.prev_pid != 0 {
            let state = match runnable {
                true => TaskState::Waiting,
                false => TaskState::Asleep,
            };
            self.task_becomes(e.prev_pid, state, at);
        }
        if let Some(stopper) = names::stopper_cpu(e.next_comm) {
            let (before, victim) = match (e.prev_pid, runnable) {
                (0, _) => (Before::Idle, None),
                (_, false) => (Before::Blocked, None),
                (tid, true) => {
                    let comm = e.prev_comm.to_text();
                    let victim = Victim {
                        task: TaskName { comm, tid },
                        prio: e.prev_prio,
                        class: self.classes.of(tid, e.prev_comm, e.prev_prio),
                    };
                    (Before::Victim, Some(victim))
                }
            };
            if let Some(current) = self.episode_of(stopper) {
                *current = Some(Episode::new((stopper, cpu), at, before, victim));
            }
        }
        if e.next_pid != 0 {
            self.task_becomes(e.next_pid, TaskState::Running, at);
            for waiting in self.waiting.remove(&e.next_pid).unwrap_or_default() {
                self.waiter_runs(waiting, at.point);
            }
        }
    }

    /// Where the episode of a CPU's stopper is; `None` if the run has no such CPU.
    fn episode_of(&mut self, stopper: u32) -> Option<&mut Option<Episode>> {
        self.current.get_mut(stopper as usize)
    }

    /// A task's state changes; episodes of which it is the victim take note, or are settled.
    fn task_becomes(&mut self, pid: i32, state: TaskState, at: Cut) {
        self.tasks.insert(pid, state);
        let time_ns = at.point.time_ns;
        for episode in self.current.iter_mut().flatten() {
            if episode.victim.as_ref().is_some_and(|v| v.task.tid == pid) {
                episode.victim_becomes(state, time_ns);
            }
        }
        let Some(episodes) = self.unsettled.get_mut(&pid) else {
            return;
        };
        let (settled, mut rest): (Vec<Episode>, Vec<Episode>) = std::mem::take(episodes)
            .into_iter()
            .partition(|episode| episode.ends_by(time_ns));
        for episode in &mut rest {
            episode.victim_becomes(state, time_ns);
        }
        match rest.is_empty() {
            true => drop(self.unsettled.remove(&pid)),
            false => *episodes = rest,
        }
        for episode in settled {
            self.settle(&episode);
        }
    }

    fn settle(&mut self, episode: &Episode) {
        let total = &mut self.totals[episode.cpu as usize];
        total.episodes += 1;
        total.occupancy_ns += episode.occupancy_ns();
        if let Some(overhead) = episode.overhead() {
            total.overhead_ns += overhead.end.time_ns - overhead.begin.time_ns;
            self.overhead.push(overhead);
        }
        for charge in episode.charges() {
            match episode.before {
                Before::Idle => total.idle_ns += charge.share.ns(),
                Before::Blocked => total.blocked_ns += charge.share.ns(),
                Before::Victim => {
                    total.lost_ns += charge.lost_ns.unwrap_or(0);
                    total.elsewhere_ns += charge.elsewhere_ns.unwrap_or(0);
                }
            }
            let work = &mut self.works[charge.work.0];
            work.share = Some(charge.share);
            work.before = Some(episode.before);
            work.victim = episode.victim.clone();
            work.lost_ns = charge.lost_ns;
            work.elsewhere_ns = charge.elsewhere_ns;
        }
    }

    fn queue(&mut self, e: &StopWorkQueue, event: &Stamped<'_>, at: Cut) -> Result<(), String> {
        let id = self.ids.queue(e.cpu, e.work)?;
        let request = Request::of(e.pending, e.done, e.work);
        let queuer = TaskName {
            comm: event.event.comm.to_text(),
            tid: event.event.pid,
        };
        let has_task = e.task.0 != 0;
        let runner = self.ids.running(event.event.cpu);
        let open = self.open[event.event.cpu as usize].first_mut();
        if let Some(open) = open
            && Some(open.id) == runner
            && open.request == request
        {
            open.requeued = true;
        }
        self.open[e.cpu as usize].push(OpenWork {
            id,
            request,
            task_pid: if has_task { e.task_pid } else { 0 },
            moved: false,
            requeued: false,
            asleep: false,
            completed: false,
        });
        let waits = match request {
            Request::Work(_) => false,
            Request::Done(_) => true,
            Request::Pending(_) => !self.moves_itself(event.event.stack),
        };
        let asker = match request {
            Request::Pending(_) if !waits => self.asker_of(e.task_pid),
            _ => None,
        };
        let waited = self.requests.entry(request).or_insert_with(|| Waited {
            waiter: waits.then_some(queuer.tid),
            asker,
            last: id,
            open_works: 0,
            complete: false,
        });
        waited.last = id;
        waited.open_works += 1;
        self.works.push(Work {
            cpu: e.cpu,
            func: names::function(self.source, e.func),
            caller: names::function(self.source, e.caller),
            queuer,
            queuer_cpu: event.event.cpu,
            task: has_task.then(|| TaskName {
                comm: e.task_comm.to_text(),
                tid: e.task_pid,
            }),
            queue: at.point,
            waking: None,
            start: None,
            done: None,
            done_to_waiter: None,
            pending_to_waiter: None,
            waited: None,
            share: None,
            switched_in: None,
            previous_done: None,
            before: None,
            victim: None,
            lost_ns: None,
            elsewhere_ns: None,
            outcome: None,
        });
        Ok(())
    }

    /// The task that has last asked for a change of this task's mask.
    fn asker_of(&self, pid: i32) -> Option<i32> {
        let asked = self.asked.iter().filter(|(_, asked)| asked.about == pid);
        asked
            .max_by_key(|(_, asked)| asked.seq)
            .map(|(tid, _)| *tid)
    }

    /// `migrate_enable` sends the stopper for the current task, which does not wait: whoever asked for
    /// the change of its mask does.
    fn moves_itself(&mut self, stack: Option<StackId>) -> bool {
        let Some(id) = stack else { return false };
        let source = self.source;
        *self.moves_itself.entry(id).or_insert_with(|| {
            let functions = names::stack_functions(source, stack);
            functions
                .iter()
                .any(|function| function == "migrate_enable")
        })
    }

    fn stopper_woken(&mut self, cpu: u32, at: Cut) {
        let Some(open) = self.open.get(cpu as usize) else {
            return;
        };
        for open in open {
            let work = &mut self.works[open.id.0];
            if work.start.is_none() && work.waking.is_none() {
                work.waking = Some(at.point);
            }
        }
    }

    fn start(&mut self, cpu: u32, at: Cut) {
        let Some(open) = self.open[cpu as usize].first_mut() else {
            return;
        };
        open.asleep = self.tasks.get(&open.task_pid) == Some(&TaskState::Asleep);
        let work = &mut self.works[open.id.0];
        work.start = Some(at.point);
        // A wake-up after the start on causal time found the stopper awake; one before the queueing, for
        // another work, had it awake by then.
        let waited = work.queue.time_ns..=at.point.time_ns;
        work.waking = work
            .waking
            .filter(|waking| waited.contains(&waking.time_ns));
        if let Some(episode) = &self.current[cpu as usize] {
            work.previous_done = episode.previous_done();
            work.switched_in = Some(episode.begin());
        }
    }

    fn migrate(&mut self, e: &SchedMigrateTask, event: &Stamped<'_>) {
        let cpu = event.event.cpu;
        if self.ids.running(cpu).is_none() || e.orig_cpu == e.dest_cpu {
            return;
        }
        let Some(open) = self.open[cpu as usize].first_mut() else {
            return;
        };
        let own = open.task_pid == e.pid || open.task_pid == 0;
        if own && moved_by_stopper(&names::stack_functions(self.source, event.event.stack)) {
            open.moved = true;
        }
    }

    fn done(&mut self, id: WorkId, e: &StopWorkDone, at: Cut) {
        let open = self.open[e.cpu as usize].remove(0);
        let work = &mut self.works[id.0];
        work.done = Some(at.point);
        work.outcome = outcome(&open, e);
        self.totals[e.cpu as usize].works += 1;
        if let Some(episode) = &mut self.current[e.cpu as usize] {
            episode.work_done(id, at);
        }
        if e.nr_todo == 0 {
            self.released(open.request, id, at.point);
        }
        let pending = matches!(open.request, Request::Pending(_));
        if !(pending && open.completed)
            && let Some(waited) = self.requests.get_mut(&open.request)
        {
            waited.open_works = waited.open_works.saturating_sub(1);
            if waited.open_works == 0 && !pending {
                self.requests.remove(&open.request);
            }
        }
    }

    fn complete(&mut self, e: &StopComplete, cpu: u32, at: Cut) {
        let request = match e.pending.0 {
            0 => Request::Done(e.done),
            _ => Request::Pending(e.pending),
        };
        let Some(waited) = self.requests.get(&request) else {
            return;
        };
        // The work whose function does it, or the latest if the setter of a mask does it itself.
        let mut work = waited.last;
        let idle = waited.open_works == 0;
        if let Some(running) = self.ids.running(cpu)
            && let Some(open) = self.open[cpu as usize].first_mut()
            && open.request == request
        {
            open.completed = true;
            work = running;
        }
        if e.pending.0 != 0 && !waited.complete {
            self.completing[cpu as usize] = Some(Completing {
                work,
                from: at.point,
                about: e.task_pid,
                waiter: self.waiter_of(waited),
            });
        }
        self.released(request, work, at.point);
        // A completed pending is over, and its address may be that of the next one before the work that
        // completed it is done.
        if idle || e.pending.0 != 0 {
            self.requests.remove(&request);
        }
    }

    /// A request is over at `from`: its waiter's time starts, at most once.
    fn released(&mut self, request: Request, work: WorkId, from: Point) {
        let Some(waited) = self.requests.get(&request) else {
            return;
        };
        let waiter = self.waiter_of(waited);
        if let Some(waited) = self.requests.get_mut(&request)
            && std::mem::replace(&mut waited.complete, true)
        {
            return;
        }
        let Some(tid) = waiter else { return };
        let waiting = Waiting {
            work,
            from,
            pending: matches!(request, Request::Pending(_)),
        };
        self.will_run(tid, waiting);
    }

    /// Who is taken for the waiter as long as the completion has woken nobody. One who has asked for the
    /// change, sleeps and is not woken by it waits for something else.
    fn waiter_of(&self, waited: &Waited) -> Option<i32> {
        let awake = |tid: &i32| self.tasks.get(tid) != Some(&TaskState::Asleep);
        waited.waiter.or(waited.asker.filter(awake))
    }

    fn will_run(&mut self, tid: i32, waiting: Waiting) {
        match self.tasks.get(&tid) {
            // It runs, and has not waited yet: its next instruction is at once.
            Some(TaskState::Running) => self.waiter_runs(waiting, waiting.from),
            _ => self.waiting.entry(tid).or_default().push(waiting),
        }
    }

    /// Who a completed pending is for: several may wait for one, and the work may have been queued by the
    /// moved task itself. `complete_all` wakes them in the order in which they came, so the first task
    /// that the CPU wakes next is the waiter, if it asked for a change of this very task. If it wakes
    /// none, nobody slept yet: then the waiter is who queued the first work or else asked last before it.
    fn first_after_complete(&mut self, event: &Stamped<'_>) {
        let cpu = event.event.cpu as usize;
        match &event.event.data {
            EventData::LocalTimerEntry(_)
            | EventData::RescheduleEntry(_)
            | EventData::CallFunctionEntry(_)
            | EventData::CallFunctionSingleEntry(_) => self.in_interrupt[cpu] = true,
            EventData::LocalTimerExit(_)
            | EventData::RescheduleExit(_)
            | EventData::CallFunctionExit(_)
            | EventData::CallFunctionSingleExit(_) => self.in_interrupt[cpu] = false,
            data if !self.in_interrupt[cpu] => {
                let completing = self.completing[cpu].take();
                if let (Some(completing), EventData::SchedWaking(e)) = (completing, data) {
                    self.waiter_woken(&completing, e.pid);
                }
            }
            _ => {}
        }
    }

    fn waiter_woken(&mut self, completing: &Completing, tid: i32) {
        let asked = self.asked.get(&tid);
        if completing.waiter == Some(tid) || asked.is_none_or(|a| a.about != completing.about) {
            return;
        }
        if let Some(supposed) = completing.waiter
            && let Some(waiting) = self.waiting.get_mut(&supposed)
        {
            waiting.retain(|waiting| waiting.work != completing.work);
        }
        let work = &mut self.works[completing.work.0];
        work.waited = None;
        work.pending_to_waiter = None;
        let waiting = Waiting {
            work: completing.work,
            from: completing.from,
            pending: true,
        };
        self.will_run(tid, waiting);
    }

    fn waiter_runs(&mut self, waiting: Waiting, at: Point) {
        let work = &mut self.works[waiting.work.0];
        let ns = at.time_ns.saturating_sub(waiting.from.time_ns);
        work.waited = Some((waiting.from, at));
        match waiting.pending {
            true => work.pending_to_waiter = Some(ns),
            false => work.done_to_waiter = Some(ns),
        }
    }
}

/// What became of the task of a work, by the work's own deeds and the task's state at its done.
fn outcome(open: &OpenWork, e: &StopWorkDone) -> Option<Outcome> {
    if open.moved {
        return Some(Outcome::Moved);
    }
    if open.task_pid == 0 {
        return None;
    }
    let cpu = u32::try_from(e.task_cpu).unwrap_or(u32::MAX);
    let allowed = e.task_cpus_mask.0.checked_shr(cpu).unwrap_or(0) & 1 == 1;
    // Of a pending, `migration_cpu_stop` completes what it has dealt with and queues again what has gone
    // elsewhere. It does neither for a task that has disabled migration.
    let left_alone = matches!(open.request, Request::Pending(_)) && !open.completed;
    Some(if open.requeued {
        Outcome::Requeued
    } else if open.asleep || e.task_on_rq == 0 {
        Outcome::Sleeping
    } else if allowed || left_alone {
        Outcome::AlreadyOk
    } else {
        Outcome::Raced
    })
}
