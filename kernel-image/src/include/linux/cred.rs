//! Who a task is and what it may do, as far as the scheduler asks; and its limits.
//!
//! Linux: `include/linux/cred.h`, `uidgid.h`, `uapi/linux/capability.h`, `sched/signal.h`, `resource.h` (v6.8).
//! Kept: user numbers, the set of effective capabilities, limits by number. Left out: groups, the other sets,
//! keys, user name spaces. Differs: a task has its credentials and limits in itself instead of shared.

use crate::arch::x86::include::asm::current::current;
use crate::fence::shared::Shared;
use crate::include::linux::sched::TaskRef;

/// May raise priorities and change other users' tasks.
pub const CAP_SYS_NICE: u32 = 23;
/// Every capability of v6.8.
pub const CAP_FULL_SET: u64 = (1 << 41) - 1;
/// How far down a nice value may go: 20 - nice.
pub const RLIMIT_NICE: usize = 13;
/// The highest real-time priority.
pub const RLIMIT_RTPRIO: usize = 14;
/// How many limits there are.
pub const RLIM_NLIMITS: usize = 16;

/// A task's credentials: (self).
#[doc(alias = "cred")]
#[repr(C)]
pub struct Cred {
    /// Real user.
    pub uid: Shared<u32>,
    /// Effective user.
    pub euid: Shared<u32>,
    /// Capabilities in force, a bit each.
    pub cap_effective: Shared<u64>,
}

impl Cred {
    /// Root with everything.
    pub const fn new() -> Cred {
        Cred {
            uid: Shared::new(0),
            euid: Shared::new(0),
            cap_effective: Shared::new(CAP_FULL_SET),
        }
    }

    /// A child's are its parent's.
    pub fn copy_from(&self, parent: &Cred) {
        self.uid.set(parent.uid.get());
        self.euid.set(parent.euid.get());
        self.cap_effective.set(parent.cap_effective.get());
    }
}

/// Whether two users are the same.
pub fn uid_eq(left: u32, right: u32) -> bool {
    left == right
}

/// Whether the current task has a capability.
pub fn capable(cap: u32) -> bool {
    current().cred.cap_effective.get() & 1 << cap != 0
}

/// A task's limit.
pub fn task_rlimit(p: TaskRef, limit: usize) -> u64 {
    p.rlim[limit].get()
}
