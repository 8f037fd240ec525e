//! Which CPU runs what priority: where to push a real-time task, found without a look at the runqueues.
//!
//! Linux: `kernel/sched/cpupri.c`, `cpupri.h` (v6.8). Kept: the vectors of CPUs by priority with their counts,
//! the order of updates that readers without a lock rely on, the search upwards from the lowest priority.
//! Left out: fitness by capacity (all CPUs are alike). Differs: masks are words, so nothing is allocated.
//! Locks: a CPU's priority is written under its runqueue's lock; searches take none and may be stale.

use crate::fence::shared::Shared;
use crate::include::linux::cpumask::{Cpumask, GlobalCpumask, NR_CPUS, cpu_active_mask};
use crate::include::linux::sched::prio::MAX_RT_PRIO;
use crate::include::linux::sched::{TaskRef, smp_mb};
use core::sync::atomic::{AtomicI32, Ordering};

/// How many levels there are.
pub const CPUPRI_NR_PRIORITIES: usize = MAX_RT_PRIO as usize + 1;
/// The CPU is offline: in no vector.
pub const CPUPRI_INVALID: i32 = -1;
/// It runs nothing of real time.
pub const CPUPRI_NORMAL: i32 = 0;
/// It runs something above real time.
pub const CPUPRI_HIGHER: i32 = MAX_RT_PRIO;

/// The CPUs of one level.
#[doc(alias = "cpupri_vec")]
#[repr(C)]
pub struct CpupriVec {
    /// How many: a hint that saves a look at the mask.
    pub count: AtomicI32,
    /// Which.
    pub mask: GlobalCpumask,
}

/// The levels, and the level of each CPU.
#[doc(alias = "cpupri")]
#[repr(C)]
pub struct Cpupri {
    /// The CPUs of each level; a higher number is a higher priority.
    pub pri_to_cpu: [CpupriVec; CPUPRI_NR_PRIORITIES],
    /// The level of each CPU.
    pub cpu_to_pri: [Shared<i32>; NR_CPUS],
}

impl Cpupri {
    /// All CPUs offline.
    pub const fn new() -> Cpupri {
        Cpupri {
            pri_to_cpu: [const {
                CpupriVec {
                    count: AtomicI32::new(0),
                    mask: GlobalCpumask::new(),
                }
            }; CPUPRI_NR_PRIORITIES],
            cpu_to_pri: [const { Shared::new(CPUPRI_INVALID) }; NR_CPUS],
        }
    }
}

/// The level of a kernel priority: 99 (nothing of real time) is the lowest, 98 to 0 follow, and what is
/// above real time is the highest.
pub fn convert_prio(prio: i32) -> i32 {
    const HIGHER: i32 = MAX_RT_PRIO;
    match prio {
        CPUPRI_INVALID => CPUPRI_INVALID,
        HIGHER => CPUPRI_HIGHER,
        _ => MAX_RT_PRIO - 1 - prio,
    }
}

/// The CPUs of a level that the task may use, if there are any.
fn __cpupri_find(cp: &Cpupri, p: TaskRef, idx: usize) -> Option<Cpumask> {
    let vec = &cp.pri_to_cpu[idx];
    let some = vec.count.load(Ordering::Relaxed) != 0;
    // The count before the mask: the other way round of how `cpupri_set` writes them.
    smp_mb();
    if !some {
        return None;
    }
    let lowest_mask = p.cpus_mask.get().and(vec.mask.get()).and(cpu_active_mask());
    (!lowest_mask.is_empty()).then_some(lowest_mask)
}

/// The CPUs of the lowest level below the task's that it may use.
pub fn cpupri_find(cp: &Cpupri, p: TaskRef) -> Option<Cpumask> {
    let task_pri = convert_prio(p.prio.get()).max(0) as usize;
    (0..task_pri).find_map(|idx| __cpupri_find(cp, p, idx))
}

/// Whether there is one: all that `cpupri_find` looks at for a caller who does not want the mask, be the CPU active or
/// not.
pub fn cpupri_find_any(cp: &Cpupri, p: TaskRef) -> bool {
    let task_pri = convert_prio(p.prio.get()).max(0) as usize;
    (0..task_pri).any(|idx| {
        let vec = &cp.pri_to_cpu[idx];
        let some = vec.count.load(Ordering::Relaxed) != 0;
        smp_mb();
        some && p.cpus_mask.get().intersects(vec.mask.get())
    })
}

/// Tells the highest priority of a CPU's runqueue (`CPUPRI_INVALID`: it is offline). Its lock is held.
pub fn cpupri_set(cp: &Cpupri, cpu: u32, newpri: i32) {
    let currpri = &cp.cpu_to_pri[cpu as usize];
    let oldpri = currpri.get();
    let newpri = convert_prio(newpri);
    if newpri == oldpri {
        return;
    }
    // Into the new level before out of the old one: a search may find the CPU twice, but never not at all.
    if newpri != CPUPRI_INVALID {
        let vec = &cp.pri_to_cpu[newpri as usize];
        vec.mask.set_cpu(cpu);
        smp_mb();
        vec.count.fetch_add(1, Ordering::SeqCst);
    }
    if oldpri != CPUPRI_INVALID {
        let vec = &cp.pri_to_cpu[oldpri as usize];
        smp_mb();
        vec.count.fetch_sub(1, Ordering::SeqCst);
        smp_mb();
        vec.mask.clear_cpu(cpu);
    }
    currpri.set(newpri);
}
