//! Which CPU runs which deadline: where to push a deadline task, found without a look at the runqueues.
//!
//! Linux: `kernel/sched/cpudeadline.c`, `cpudeadline.h` (v6.8). Kept: the heap of the CPUs with deadline tasks,
//! the latest earliest deadline on top; the set of CPUs without any. Left out: capacities. Differs: masks are
//! words; the search gives the CPUs back instead of filling a mask.
//! Locks: `lock` inside a runqueue's lock; searches take none and may be stale.

use crate::fence::shared::Shared;
use crate::include::linux::cpumask::{Cpumask, GlobalCpumask, NR_CPUS};
use crate::include::linux::sched::TaskRef;
use crate::include::linux::sched::deadline::dl_time_before;
use crate::include::linux::spinlock::RawSpinlock;

/// The CPU is not in the heap.
pub const IDX_INVALID: i32 = -1;

/// A place of the heap, and (for the CPU whose number is the index) where in the heap that CPU is.
#[doc(alias = "cpudl_item")]
#[repr(C)]
pub struct CpudlItem {
    /// The earliest deadline on `cpu`.
    pub dl: Shared<u64>,
    /// The CPU at this place.
    pub cpu: Shared<i32>,
    /// The place of the CPU of this index.
    pub idx: Shared<i32>,
}

/// The heap.
#[doc(alias = "cpudl")]
#[repr(C)]
pub struct Cpudl {
    /// Protects all of it.
    pub lock: RawSpinlock,
    /// CPUs in the heap.
    pub size: Shared<i32>,
    /// CPUs that are online and run no deadline task.
    pub free_cpus: GlobalCpumask,
    /// The places.
    pub elements: [CpudlItem; NR_CPUS],
}

fn parent(i: usize) -> usize {
    (i - 1) >> 1
}

impl Cpudl {
    /// Nobody in the heap, nobody free.
    pub const fn new() -> Cpudl {
        Cpudl {
            lock: RawSpinlock::new(),
            size: Shared::new(0),
            free_cpus: GlobalCpumask::new(),
            elements: [const {
                CpudlItem {
                    dl: Shared::new(0),
                    cpu: Shared::new(0),
                    idx: Shared::new(IDX_INVALID),
                }
            }; NR_CPUS],
        }
    }

    fn at(&self, place: usize) -> &CpudlItem {
        &self.elements[place]
    }

    /// Writes a place, and tells the CPU.
    fn put(&self, place: usize, cpu: i32, dl: u64) {
        self.at(place).cpu.set(cpu);
        self.at(place).dl.set(dl);
        self.at(cpu as usize).idx.set(place as i32);
    }

    /// Moves what is at `place` down until no child has a later deadline.
    fn heapify_down(&self, mut place: usize) {
        let (cpu, dl) = (self.at(place).cpu.get(), self.at(place).dl.get());
        let size = self.size.get() as usize;
        loop {
            let mut largest = None;
            let mut largest_dl = dl;
            for child in [2 * place + 1, 2 * place + 2] {
                if child < size && dl_time_before(largest_dl, self.at(child).dl.get()) {
                    largest = Some(child);
                    largest_dl = self.at(child).dl.get();
                }
            }
            let Some(largest) = largest else {
                break;
            };
            self.put(place, self.at(largest).cpu.get(), largest_dl);
            place = largest;
        }
        self.put(place, cpu, dl);
    }

    /// Moves what is at `place` up until its parent has no earlier deadline.
    fn heapify_up(&self, mut place: usize) {
        let (cpu, dl) = (self.at(place).cpu.get(), self.at(place).dl.get());
        while place > 0 {
            let p = parent(place);
            if dl_time_before(dl, self.at(p).dl.get()) {
                break;
            }
            self.put(place, self.at(p).cpu.get(), self.at(p).dl.get());
            place = p;
        }
        self.put(place, cpu, dl);
    }

    fn heapify(&self, place: usize) {
        if place > 0 && dl_time_before(self.at(parent(place)).dl.get(), self.at(place).dl.get()) {
            self.heapify_up(place);
        } else {
            self.heapify_down(place);
        }
    }

    /// Takes a CPU out. The lock is held.
    pub fn clear(&self, cpu: u32) {
        let place = self.at(cpu as usize).idx.get();
        // A CPU that goes down may do so without ever having had a deadline task.
        if place == IDX_INVALID {
            return;
        }
        let place = place as usize;
        let last = self.size.get() as usize - 1;
        let (last_cpu, last_dl) = (self.at(last).cpu.get(), self.at(last).dl.get());
        self.size.dec();
        self.at(cpu as usize).idx.set(IDX_INVALID);
        if place != last {
            self.put(place, last_cpu, last_dl);
            self.heapify(place);
        }
        self.free_cpus.set_cpu(cpu);
    }

    /// Puts a CPU in, or moves it. The lock is held.
    pub fn set(&self, cpu: u32, dl: u64) {
        let place = self.at(cpu as usize).idx.get();
        if place != IDX_INVALID {
            self.at(place as usize).dl.set(dl);
            self.heapify(place as usize);
            return;
        }
        let place = self.size.get() as usize;
        self.size.inc();
        self.put(place, cpu as i32, dl);
        self.heapify_up(place);
        self.free_cpus.clear_cpu(cpu);
    }

    /// The CPU with the latest earliest deadline, and that deadline.
    pub fn maximum(&self) -> Option<(u32, u64)> {
        (self.size.get() > 0).then(|| (self.at(0).cpu.get() as u32, self.at(0).dl.get()))
    }
}

/// CPUs for a task: all free ones that it may use; else the one with the latest deadline, if the task's is
/// earlier and it may go there.
pub fn cpudl_find(cp: &Cpudl, p: TaskRef) -> Option<Cpumask> {
    let later_mask = cp.free_cpus.get().and(p.cpus_mask.get());
    if !later_mask.is_empty() {
        return Some(later_mask);
    }
    cpudl_later(cp, p).map(Cpumask::of)
}

/// The CPU with the latest deadline, if the task's is earlier and it may go there. All that `cpudl_find` looks at
/// for a caller who does not want the mask: free CPUs are none to it.
pub fn cpudl_later(cp: &Cpudl, p: TaskRef) -> Option<u32> {
    let (best_cpu, dl) = cp.maximum()?;
    let better = p.cpus_mask.get().test(best_cpu) && dl_time_before(p.dl.deadline.get(), dl);
    better.then_some(best_cpu)
}

/// The last deadline task has left the CPU.
pub fn cpudl_clear(cp: &Cpudl, cpu: u32) {
    let _guard = cp.lock.lock_irqsave();
    cp.clear(cpu);
}

/// The earliest deadline on the CPU is now `dl`. The runqueue's lock is held.
pub fn cpudl_set(cp: &Cpudl, cpu: u32, dl: u64) {
    let _guard = cp.lock.lock_irqsave();
    cp.set(cpu, dl);
}

/// The CPU is online and has no deadline task.
pub fn cpudl_set_freecpu(cp: &Cpudl, cpu: u32) {
    cp.free_cpus.set_cpu(cpu);
}

/// The CPU is offline.
pub fn cpudl_clear_freecpu(cp: &Cpudl, cpu: u32) {
    cp.free_cpus.clear_cpu(cpu);
}
