//! Programming the devices that interrupt at a given time.
//!
//! Linux: kernel/time/clockevents.c, v6.8. **Kept** state switches, the clamping of distances. **Left out**
//! exchange of devices, broadcast: every CPU has one device for ever.
use crate::include::linux::clockchips::ClockEventState::*;
use crate::include::linux::clockchips::*;
use crate::include::linux::errno::ETIME;
use crate::include::linux::ktime::Ktime;
use crate::kernel::time::tick_common::tick_check_new_device;
use crate::kernel::time::timekeeping::ktime_get;

/// Cycles = ns * mult >> SHIFT.
const SHIFT: u32 = 31;

/// Makes a device of `khz` known; it becomes the tick device of this CPU.
pub fn clockevents_config_and_register(
    dev: &'static ClockEventDevice,
    khz: u32,
    min_delta: u32,
    max_delta: u32,
) {
    dev.mult.set(((u64::from(khz) << SHIFT) / 1_000_000) as u32);
    dev.shift.set(SHIFT);
    let to_ns = |cycles: u32| u64::from(cycles) * 1_000_000 / u64::from(khz);
    dev.min_delta_ns.set(to_ns(min_delta).max(1000));
    dev.max_delta_ns.set(to_ns(max_delta));
    tick_check_new_device(dev);
}

/// Changes what the device does.
pub fn clockevents_switch_state(dev: &'static ClockEventDevice, state: ClockEventState) {
    if dev.state_use_accessors.get() == state {
        return;
    }
    let change = match state {
        CLOCK_EVT_STATE_DETACHED => None,
        CLOCK_EVT_STATE_SHUTDOWN => dev.set_state_shutdown.get(),
        CLOCK_EVT_STATE_PERIODIC => dev.set_state_periodic.get(),
        CLOCK_EVT_STATE_ONESHOT => dev.set_state_oneshot.get(),
        CLOCK_EVT_STATE_ONESHOT_STOPPED => dev.set_state_oneshot_stopped.get(),
    };
    if let Some(change) = change {
        change(dev);
    }
    dev.state_use_accessors.set(state);
}

/// Sets the next expiry.
///
/// # Context
/// Interrupts off, the device's own CPU.
///
/// # Returns
/// 0, or `-ETIME` when the time has passed already and `force` is off.
pub fn clockevents_program_event(
    dev: &'static ClockEventDevice,
    expires: Ktime,
    force: bool,
) -> i32 {
    dev.next_event.set(expires);
    let delta = expires - ktime_get();
    if delta <= 0 && !force {
        return -ETIME;
    }
    let delta = (delta.max(0) as u64).clamp(dev.min_delta_ns.get(), dev.max_delta_ns.get());
    let cycles = ((u128::from(delta) * u128::from(dev.mult.get())) >> dev.shift.get()) as u32;
    if let Some(set_next_event) = dev.set_next_event.get() {
        set_next_event(cycles, dev);
    }
    0
}
