//! Groups of a scheduling domain.
//!
//! Linux: `kernel/sched/sched.h` (v6.8): `struct sched_group`, `sched_group_capacity`. Kept: all fields but
//! those of packing. Differs: nothing else.
//! Locks: written while it is built; capacity by whoever balances, each a single word.

use crate::fence::shared::Shared;
use crate::include::linux::cpumask::Cpumask;

/// A group of CPUs, all of one child domain; groups of a domain form a circle.
#[doc(alias = "sched_group")]
#[repr(C)]
pub struct SchedGroup {
    /// The next one of the circle.
    pub next: Shared<Option<&'static SchedGroup>>,
    /// Domains that use it.
    pub r#ref: Shared<i32>,
    /// Number of its CPUs.
    pub group_weight: Shared<u32>,
    /// Number of its cores.
    pub cores: Shared<u32>,
    /// What its CPUs can do.
    pub sgc: Shared<Option<&'static SchedGroupCapacity>>,
    /// `SD_*` of the child domain.
    pub flags: Shared<u32>,
    /// Its CPUs.
    pub cpumask: Shared<Cpumask>,
}

/// What a group can do; shared by all who have the group.
#[doc(alias = "sched_group_capacity")]
#[repr(C)]
pub struct SchedGroupCapacity {
    /// Of all its CPUs, 1024 for a whole one.
    pub capacity: Shared<u64>,
    /// Of its weakest CPU.
    pub min_capacity: Shared<u64>,
    /// Of its strongest.
    pub max_capacity: Shared<u64>,
    /// When to look again, jiffies.
    pub next_update: Shared<u64>,
    /// A balance below failed because tasks are bound: pull from here though averages look even.
    pub imbalance: Shared<i32>,
    /// The CPUs that may balance for the group.
    pub cpumask: Shared<Cpumask>,
}

impl SchedGroup {
    /// A group that has to be set up.
    pub const fn new() -> SchedGroup {
        SchedGroup {
            next: Shared::new(None),
            r#ref: Shared::new(0),
            group_weight: Shared::new(0),
            cores: Shared::new(0),
            sgc: Shared::new(None),
            flags: Shared::new(0),
            cpumask: Shared::new(Cpumask::EMPTY),
        }
    }

    /// What it can do.
    pub fn sgc(&self) -> &'static SchedGroupCapacity {
        self.sgc.get().expect("a group without a capacity")
    }

    /// The groups of its circle, itself first.
    pub fn circle(&'static self) -> impl Iterator<Item = &'static SchedGroup> {
        let mut at = Some(self);
        core::iter::from_fn(move || {
            let group = at?;
            at = group.next.get().filter(|&next| !core::ptr::eq(next, self));
            Some(group)
        })
    }
}

impl SchedGroupCapacity {
    /// One that has to be set up.
    pub const fn new() -> SchedGroupCapacity {
        SchedGroupCapacity {
            capacity: Shared::new(0),
            min_capacity: Shared::new(0),
            max_capacity: Shared::new(0),
            next_update: Shared::new(0),
            imbalance: Shared::new(0),
            cpumask: Shared::new(Cpumask::EMPTY),
        }
    }
}

/// The group's CPUs.
pub fn sched_group_span(sg: &SchedGroup) -> Cpumask {
    sg.cpumask.get()
}

/// Those that may balance for it.
pub fn group_balance_mask(sg: &SchedGroup) -> Cpumask {
    sg.sgc().cpumask.get()
}

/// The one that does if none is idle.
pub fn group_balance_cpu(sg: &SchedGroup) -> u32 {
    group_balance_mask(sg).first()
}
