//! Which queued work a `stop:work_start` starts.
//!
//! The address of a `cpu_stop_work` does not name it: a work that nobody waits for may be filled and
//! queued again as soon as its function has started. Works are numbered in the order in which they are
//! queued; a stopper runs them in queue order, which is checked here.

use std::collections::VecDeque;

use trace::event::Addr;

/// The number of a work in the order of the recording's `stop:work_queue` events.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct WorkId(pub usize);

/// The works of all CPUs that are queued or running.
#[derive(Debug, Default)]
pub struct Works {
    next: usize,
    cpus: Vec<Stopper>,
}

#[derive(Debug, Default)]
struct Stopper {
    queued: VecDeque<(WorkId, Addr)>,
    running: Option<(WorkId, Addr)>,
}

impl Works {
    /// No work, on so many CPUs.
    pub fn new(cpus: u32) -> Works {
        Works {
            next: 0,
            cpus: (0..cpus).map(|_| Stopper::default()).collect(),
        }
    }

    fn cpu(&mut self, cpu: u32) -> Result<&mut Stopper, String> {
        let cpus = self.cpus.len();
        self.cpus
            .get_mut(cpu as usize)
            .ok_or_else(|| format!("the work is for cpu {cpu} of {cpus}"))
    }

    /// A work is queued; gives it its number.
    pub fn queue(&mut self, cpu: u32, work: Addr) -> Result<WorkId, String> {
        let id = WorkId(self.next);
        self.cpu(cpu)?.queued.push_back((id, work));
        self.next += 1;
        Ok(id)
    }

    /// The stopper of `cpu` starts `work`, which must be the first of its queue.
    pub fn start(&mut self, cpu: u32, work: Addr) -> Result<WorkId, String> {
        let stopper = self.cpu(cpu)?;
        if let Some((_, running)) = stopper.running {
            return Err(format!("work {running} of cpu {cpu} is not done yet"));
        }
        match stopper.queued.pop_front() {
            Some((id, first)) if first == work => {
                stopper.running = Some((id, work));
                Ok(id)
            }
            Some((_, first)) => Err(format!(
                "work {work} starts but {first} is first in the queue of cpu {cpu}"
            )),
            None => Err(format!("work {work} starts but cpu {cpu} has none queued")),
        }
    }

    /// The work that the stopper of `cpu` runs has returned.
    pub fn done(&mut self, cpu: u32, work: Addr) -> Result<WorkId, String> {
        match self.cpu(cpu)?.running.take() {
            Some((id, running)) if running == work => Ok(id),
            Some((_, running)) => Err(format!("work {work} is done but {running} was started")),
            None => Err(format!(
                "work {work} is done but cpu {cpu} has started none"
            )),
        }
    }

    /// The work whose function runs on `cpu`.
    pub fn running(&self, cpu: u32) -> Option<WorkId> {
        self.cpus.get(cpu as usize)?.running.map(|(id, _)| id)
    }

    /// Number of works queued so far.
    pub fn count(&self) -> usize {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reused_work_is_two_works() {
        let mut works = Works::new(1);
        let a = works.queue(0, Addr(1)).unwrap();
        assert_eq!(works.start(0, Addr(1)), Ok(a));
        let b = works.queue(0, Addr(1)).unwrap();
        assert_ne!(a, b);
        assert_eq!(works.running(0), Some(a));
        assert_eq!(works.done(0, Addr(1)), Ok(a));
        assert_eq!(works.start(0, Addr(1)), Ok(b));
    }

    #[test]
    fn works_out_of_order_are_an_error() {
        let mut works = Works::new(2);
        works.queue(1, Addr(1)).unwrap();
        works.queue(1, Addr(2)).unwrap();
        assert!(works.start(1, Addr(2)).unwrap_err().contains("first"));
        assert!(works.done(0, Addr(2)).is_err());
        assert!(works.queue(2, Addr(2)).is_err());
    }
}
