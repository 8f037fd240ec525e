//! Clock event devices: what interrupts a CPU at a given time.
//!
//! Linux: include/linux/clockchips.h, v6.8. **Kept** the features, the states, the fields in use.
use crate::fence::shared::Shared;
use crate::include::linux::ktime::Ktime;

/// Can tick by itself.
pub const CLOCK_EVT_FEAT_PERIODIC: u32 = 1;
/// Can be set to one expiry.
pub const CLOCK_EVT_FEAT_ONESHOT: u32 = 2;

/// What the device is set to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum ClockEventState {
    /// Not in use.
    CLOCK_EVT_STATE_DETACHED,
    /// Off.
    CLOCK_EVT_STATE_SHUTDOWN,
    /// Ticking.
    CLOCK_EVT_STATE_PERIODIC,
    /// Waiting for one expiry.
    CLOCK_EVT_STATE_ONESHOT,
    /// Ready for single expiries, with none set.
    CLOCK_EVT_STATE_ONESHOT_STOPPED,
}

/// Handles an event of the device, or changes what it does.
pub type DeviceFn = fn(&'static ClockEventDevice);
/// Sets the next event, in cycles from now.
pub type NextEventFn = fn(u32, &'static ClockEventDevice);

/// One CPU's event device.
#[doc(alias = "clock_event_device")]
#[repr(C)]
pub struct ClockEventDevice {
    /// Called from the interrupt.
    pub event_handler: Shared<Option<DeviceFn>>,
    /// Sets the hardware to `cycles` from now.
    pub set_next_event: Shared<Option<NextEventFn>>,
    /// Starts ticking.
    pub set_state_periodic: Shared<Option<DeviceFn>>,
    /// Prepares for single expiries.
    pub set_state_oneshot: Shared<Option<DeviceFn>>,
    /// Stops until the next single expiry.
    pub set_state_oneshot_stopped: Shared<Option<DeviceFn>>,
    /// Switches off.
    pub set_state_shutdown: Shared<Option<DeviceFn>>,
    /// The programmed expiry.
    pub next_event: Shared<Ktime>,
    /// Largest distance in nanoseconds.
    pub max_delta_ns: Shared<u64>,
    /// Smallest distance in nanoseconds.
    pub min_delta_ns: Shared<u64>,
    /// Cycles = ns * mult >> shift.
    pub mult: Shared<u32>,
    /// See `mult`.
    pub shift: Shared<u32>,
    /// Current state.
    pub state_use_accessors: Shared<ClockEventState>,
    /// `CLOCK_EVT_FEAT_*`.
    pub features: Shared<u32>,
    /// The CPU it interrupts.
    pub cpu: Shared<u32>,
}

impl ClockEventDevice {
    /// A detached device.
    pub const fn new() -> Self {
        Self {
            event_handler: Shared::new(None),
            set_next_event: Shared::new(None),
            set_state_periodic: Shared::new(None),
            set_state_oneshot: Shared::new(None),
            set_state_oneshot_stopped: Shared::new(None),
            set_state_shutdown: Shared::new(None),
            next_event: Shared::new(0),
            max_delta_ns: Shared::new(0),
            min_delta_ns: Shared::new(0),
            mult: Shared::new(0),
            shift: Shared::new(0),
            state_use_accessors: Shared::new(ClockEventState::CLOCK_EVT_STATE_DETACHED),
            features: Shared::new(0),
            cpu: Shared::new(0),
        }
    }
}
