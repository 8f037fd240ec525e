//! High-resolution timers.
//!
//! Linux: include/linux/hrtimer.h, hrtimer_defs.h, v6.8. **Kept** four clocks, hard and soft bases, the modes,
//! callback returns. **Left out** deferred clock changes: nothing sets the clock.
use crate::fence::shared::Shared;
use crate::include::linux::ktime::{KTIME_MAX, Ktime};
use crate::include::linux::rbtree::{RbNode, RbRootCached};
use crate::include::linux::spinlock::RawSpinlock;
pub use crate::kernel::time::hrtimer::{
    hrtimer_active, hrtimer_callback_running, hrtimer_cancel, hrtimer_forward, hrtimer_forward_now,
    hrtimer_get_remaining, hrtimer_init, hrtimer_is_queued, hrtimer_start, hrtimer_start_expires,
    hrtimer_start_range_ns, hrtimer_try_to_cancel, ktime_get,
};

/// What a callback wants next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HrtimerRestart {
    /// Done.
    HRTIMER_NORESTART,
    /// Queue again at the expiry the callback set.
    HRTIMER_RESTART,
}
pub use HrtimerRestart::{HRTIMER_NORESTART, HRTIMER_RESTART};

/// Expiry is absolute.
pub const HRTIMER_MODE_ABS: u32 = 0;
/// Expiry is relative to now.
pub const HRTIMER_MODE_REL: u32 = 1;
/// Stays on the CPU that started it.
pub const HRTIMER_MODE_PINNED: u32 = 2;
/// Runs in softirq.
pub const HRTIMER_MODE_SOFT: u32 = 4;
/// Runs in the timer interrupt.
pub const HRTIMER_MODE_HARD: u32 = 8;
/// Absolute, pinned.
pub const HRTIMER_MODE_ABS_PINNED: u32 = HRTIMER_MODE_ABS | HRTIMER_MODE_PINNED;
/// Absolute, in the interrupt.
pub const HRTIMER_MODE_ABS_HARD: u32 = HRTIMER_MODE_ABS | HRTIMER_MODE_HARD;
/// Absolute, pinned, in the interrupt.
pub const HRTIMER_MODE_ABS_PINNED_HARD: u32 = HRTIMER_MODE_ABS_PINNED | HRTIMER_MODE_HARD;
/// Relative, pinned.
pub const HRTIMER_MODE_REL_PINNED: u32 = HRTIMER_MODE_REL | HRTIMER_MODE_PINNED;
/// Relative, pinned, in the interrupt.
pub const HRTIMER_MODE_REL_PINNED_HARD: u32 = HRTIMER_MODE_REL_PINNED | HRTIMER_MODE_HARD;
/// Relative, in the interrupt.
pub const HRTIMER_MODE_REL_HARD: u32 = HRTIMER_MODE_REL | HRTIMER_MODE_HARD;

/// Not queued.
pub const HRTIMER_STATE_INACTIVE: u8 = 0;
/// Queued.
pub const HRTIMER_STATE_ENQUEUED: u8 = 1;

/// The clock of the machine's uptime.
pub const CLOCK_MONOTONIC: i32 = 1;
/// The clock on the wall.
pub const CLOCK_REALTIME: i32 = 0;
/// The clock of the machine's uptime, time asleep included.
pub const CLOCK_BOOTTIME: i32 = 7;
/// International atomic time.
pub const CLOCK_TAI: i32 = 11;

/// A callback: runs with the base unlocked, in the interrupt (hard) or in softirq (soft).
pub type HrtimerFn = fn(&'static Hrtimer) -> HrtimerRestart;

/// A place in a base's tree.
#[doc(alias = "timerqueue_node")]
#[repr(C)]
pub struct TimerqueueNode {
    /// Tree link.
    pub node: RbNode,
    /// Key: latest expiry.
    pub expires: Shared<Ktime>,
}

/// A timer. Static, or lent out by a stack frame that cancels it before it ends.
#[doc(alias = "hrtimer")]
#[repr(C)]
pub struct Hrtimer {
    /// Key and link; guarded by the base's lock.
    pub node: TimerqueueNode,
    /// Earliest expiry.
    pub _softexpires: Shared<Ktime>,
    /// Callback.
    pub function: Shared<Option<HrtimerFn>>,
    /// The base it is on or was on last.
    pub base: Shared<Option<&'static HrtimerClockBase>>,
    /// `HRTIMER_STATE_*`.
    pub state: Shared<u8>,
    /// Started relative.
    pub is_rel: Shared<u8>,
    /// Expires in softirq.
    pub is_soft: Shared<u8>,
    /// Expires in the interrupt.
    pub is_hard: Shared<u8>,
}

impl Hrtimer {
    /// A timer without a base; `hrtimer_init` gives it one.
    pub const fn new() -> Self {
        Self {
            node: TimerqueueNode {
                node: RbNode::new(),
                expires: Shared::new(0),
            },
            _softexpires: Shared::new(0),
            function: Shared::new(None),
            base: Shared::new(None),
            state: Shared::new(HRTIMER_STATE_INACTIVE),
            is_rel: Shared::new(0),
            is_soft: Shared::new(0),
            is_hard: Shared::new(0),
        }
    }
    /// Latest expiry (`hrtimer_get_expires`).
    pub fn expires(&self) -> Ktime {
        self.node.expires.get()
    }
    /// Earliest expiry (`hrtimer_get_softexpires`).
    pub fn softexpires(&self) -> Ktime {
        self._softexpires.get()
    }
    /// Sets both expiries, `delta_ns` apart (`hrtimer_set_expires_range_ns`).
    pub fn set_expires_range_ns(&self, time: Ktime, delta_ns: u64) {
        self._softexpires.set(time);
        self.node
            .expires
            .set(time.saturating_add(delta_ns.min(i64::MAX as u64) as Ktime));
    }
    /// Moves both expiries (`hrtimer_add_expires`).
    pub fn add_expires(&self, time: Ktime) {
        self._softexpires
            .set(self._softexpires.get().saturating_add(time));
        self.node
            .expires
            .set(self.node.expires.get().saturating_add(time));
    }
    /// Sets both expiries (`hrtimer_set_expires`).
    pub fn set_expires(&self, time: Ktime) {
        self.node.expires.set(time);
        self._softexpires.set(time);
    }
}

/// Bases of one CPU: four clocks, hard and soft.
pub const HRTIMER_MAX_CLOCK_BASES: usize = 8;
/// Hard monotonic.
pub const HRTIMER_BASE_MONOTONIC: u32 = 0;
/// Hard realtime.
pub const HRTIMER_BASE_REALTIME: u32 = 1;
/// Hard boottime.
pub const HRTIMER_BASE_BOOTTIME: u32 = 2;
/// Hard atomic time.
pub const HRTIMER_BASE_TAI: u32 = 3;
/// Soft monotonic: the soft bases follow in the same order.
pub const HRTIMER_BASE_MONOTONIC_SOFT: u32 = 4;
/// The hard bases.
pub const HRTIMER_ACTIVE_HARD: u32 = (1 << HRTIMER_BASE_MONOTONIC_SOFT) - 1;
/// The soft bases.
pub const HRTIMER_ACTIVE_SOFT: u32 = HRTIMER_ACTIVE_HARD << HRTIMER_BASE_MONOTONIC_SOFT;
/// All bases.
pub const HRTIMER_ACTIVE_ALL: u32 = HRTIMER_ACTIVE_SOFT | HRTIMER_ACTIVE_HARD;

/// The timers of one clock on one CPU.
#[doc(alias = "hrtimer_clock_base")]
#[repr(C)]
pub struct HrtimerClockBase {
    /// The CPU whose base this is.
    pub cpu: Shared<u32>,
    /// Its index in `clock_base`.
    pub index: Shared<u32>,
    /// Its clock.
    pub clockid: Shared<i32>,
    /// Moves on when `running` and a timer's state change, for readers without the lock.
    pub seq: Shared<u32>,
    /// The callback that runs right now.
    pub running: Shared<Option<&'static Hrtimer>>,
    /// Queued timers by expiry.
    pub active: RbRootCached,
}

/// The timers of one CPU; `lock` guards every base and every queued timer's fields.
#[doc(alias = "hrtimer_cpu_base")]
#[repr(C)]
pub struct HrtimerCpuBase {
    /// Guards all of it.
    pub lock: RawSpinlock,
    /// This CPU.
    pub cpu: Shared<u32>,
    /// Bit per base with queued timers.
    pub active_bases: Shared<u32>,
    /// High-resolution mode is on.
    pub hres_active: Shared<bool>,
    /// Inside `hrtimer_interrupt`.
    pub in_hrtirq: Shared<bool>,
    /// The last interrupt took too long.
    pub hang_detected: Shared<bool>,
    /// HRTIMER_SOFTIRQ is raised.
    pub softirq_activated: Shared<bool>,
    /// The CPU is not going down.
    pub online: Shared<bool>,
    /// Interrupts taken.
    pub nr_events: Shared<u32>,
    /// Interrupts that had to retry.
    pub nr_retries: Shared<u16>,
    /// Interrupts that gave up.
    pub nr_hangs: Shared<u16>,
    /// Longest time in an interrupt that gave up, ns.
    pub max_hang_time: Shared<u32>,
    /// What the hardware is set to.
    pub expires_next: Shared<Ktime>,
    /// The timer for which it is.
    pub next_timer: Shared<Option<&'static Hrtimer>>,
    /// Next soft expiry.
    pub softirq_expires_next: Shared<Ktime>,
    /// The timer whose it is.
    pub softirq_next_timer: Shared<Option<&'static Hrtimer>>,
    /// The per-clock bases.
    pub clock_base: [HrtimerClockBase; HRTIMER_MAX_CLOCK_BASES],
}

impl HrtimerCpuBase {
    /// Empty bases.
    pub const fn new() -> Self {
        Self {
            lock: RawSpinlock::new(),
            cpu: Shared::new(0),
            active_bases: Shared::new(0),
            hres_active: Shared::new(false),
            in_hrtirq: Shared::new(false),
            hang_detected: Shared::new(false),
            softirq_activated: Shared::new(false),
            online: Shared::new(false),
            nr_events: Shared::new(0),
            nr_retries: Shared::new(0),
            nr_hangs: Shared::new(0),
            max_hang_time: Shared::new(0),
            expires_next: Shared::new(KTIME_MAX),
            next_timer: Shared::new(None),
            softirq_expires_next: Shared::new(KTIME_MAX),
            softirq_next_timer: Shared::new(None),
            clock_base: [const {
                HrtimerClockBase {
                    cpu: Shared::new(0),
                    index: Shared::new(0),
                    clockid: Shared::new(0),
                    seq: Shared::new(0),
                    running: Shared::new(None),
                    active: RbRootCached::new(),
                }
            }; HRTIMER_MAX_CLOCK_BASES],
        }
    }
}
