//! Who is queued where: the runqueues rebuilt from the events, as of any event.
//!
//! A task is in a queue from its `move:enqueued` (the end of `activate_task`) until it leaves the CPU in
//! another state than R, or moves. The idle tasks and the boot CPU's first task are in no queue.

use std::collections::BTreeMap;
use std::fmt;

use trace::event::{Comm, Event, EventData};

use crate::names;

/// One CPU's queue.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RunQueue {
    /// The CPU.
    pub cpu: u32,
    /// Pid and name of the current task; pid 0 is the idle task.
    pub current: (i32, Comm),
    /// Queued tasks other than the current one, by pid.
    pub queued: BTreeMap<i32, Comm>,
}

impl fmt::Display for RunQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (pid, comm) = self.current;
        write!(
            f,
            "cpu{} runs {}",
            self.cpu,
            names::task(&comm.to_text(), pid)
        )?;
        let queued: Vec<String> = self
            .queued
            .iter()
            .map(|(pid, comm)| names::task(&comm.to_text(), *pid))
            .collect();
        match queued.is_empty() {
            true => write!(f, ", nobody waits"),
            false => write!(f, ", {} waits: {}", queued.len(), queued.join(" ")),
        }
    }
}

/// All queues.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RunQueues(Vec<RunQueue>);

impl RunQueues {
    /// Before the first event: every CPU runs its idle task.
    pub fn new(cpus: u32) -> RunQueues {
        let queue = |cpu| RunQueue {
            cpu,
            current: (0, Comm::from(format!("swapper/{cpu}").as_str())),
            queued: BTreeMap::new(),
        };
        RunQueues((0..cpus).map(queue).collect())
    }

    /// The queues, in the order of the CPUs.
    pub fn cpus(&self) -> &[RunQueue] {
        &self.0
    }

    /// Calls tasks what an event calls them: a task may be renamed while it runs or waits.
    pub fn rename(&mut self, event: &Event) {
        self.call(event.pid, event.comm);
        match &event.data {
            EventData::SchedSwitch(e) => {
                self.call(e.prev_pid, e.prev_comm);
                self.call(e.next_pid, e.next_comm);
            }
            EventData::SchedWaking(e) => self.call(e.pid, e.comm),
            EventData::SchedWakeup(e) => self.call(e.pid, e.comm),
            EventData::SchedWakeupNew(e) => self.call(e.pid, e.comm),
            EventData::SchedMigrateTask(e) => self.call(e.pid, e.comm),
            EventData::MoveAffinityEntry(e) => self.call(e.pid, e.comm),
            EventData::MoveEnqueued(e) => self.call(e.pid, e.comm),
            EventData::MoveFallback(e) => self.call(e.pid, e.comm),
            _ => {}
        }
    }

    fn call(&mut self, pid: i32, comm: Comm) {
        // Every CPU has a task 0, each with a name of its own.
        if pid == 0 {
            return;
        }
        for queue in &mut self.0 {
            if queue.current.0 == pid {
                queue.current.1 = comm;
            }
            if let Some(name) = queue.queued.get_mut(&pid) {
                *name = comm;
            }
        }
    }

    /// Takes the next event into account.
    pub fn push(&mut self, event: &Event) {
        self.rename(event);
        match &event.data {
            EventData::SchedSwitch(e) => {
                let Some(queue) = self.0.get_mut(event.cpu as usize) else {
                    return;
                };
                let stays = e.prev_state == 0 || e.prev_state & 0x100 != 0;
                queue.queued.remove(&e.next_pid);
                queue.current = (e.next_pid, e.next_comm);
                if stays && e.prev_pid != 0 {
                    queue.queued.insert(e.prev_pid, e.prev_comm);
                }
            }
            EventData::MoveEnqueued(e) => {
                self.remove(e.pid);
                if let Some(queue) = self.0.get_mut(e.cpu as usize)
                    && queue.current.0 != e.pid
                {
                    queue.queued.insert(e.pid, e.comm);
                }
            }
            EventData::SchedMigrateTask(e) => self.remove(e.pid),
            _ => {}
        }
    }

    fn remove(&mut self, pid: i32) {
        for queue in &mut self.0 {
            queue.queued.remove(&pid);
        }
    }
}
