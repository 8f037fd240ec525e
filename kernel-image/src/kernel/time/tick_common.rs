//! The tick device of each CPU, the periodic tick before high resolution, and who counts jiffies.
//!
//! Linux: kernel/time/tick-common.c, tick-oneshot.c, v6.8. **Kept** the switch from periodic to single expiries, the
//! duty of counting jiffies and its hand-over, the device of a CPU that dies. **Left out** exchange of devices,
//! broadcast, suspend.
use crate::fence::percpu::PerCpu;
use crate::fence::shared::Shared;
use crate::include::linux::clockchips::ClockEventState::*;
use crate::include::linux::clockchips::{CLOCK_EVT_FEAT_ONESHOT, ClockEventDevice, DeviceFn};
use crate::include::linux::cpumask::{NR_CPUS, cpu_online_mask};
use crate::include::linux::errno::EINVAL;
use crate::include::linux::jiffies::TICK_NSEC;
use crate::include::linux::ktime::{KTIME_MAX, Ktime};
use crate::include::linux::smp::smp_processor_id;
use crate::kernel::time::clockevents::{clockevents_program_event, clockevents_switch_state};
use crate::kernel::time::hrtimer::hrtimer_interrupt;
use crate::kernel::time::jiffies::{do_timer, jiffies_lock};
use crate::kernel::time::tick_sched::tick_oneshot_notify;
use crate::kernel::time::timekeeping::ktime_get;
use crate::kernel::time::timer::update_process_times;
use crate::pr_info;

/// No CPU has the duty: the one that had it sleeps, and the next that ticks takes it.
pub const TICK_DO_TIMER_NONE: u32 = u32::MAX;
/// No CPU has had it yet.
pub const TICK_DO_TIMER_BOOT: u32 = u32::MAX - 1;

/// The CPU that advances jiffies.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
pub static tick_do_timer_cpu: Shared<u32> = Shared::new(TICK_DO_TIMER_BOOT);
/// When the next tick is due.
pub static tick_next_period: Shared<Ktime> = Shared::new(0);

static tick_cpu_device: PerCpu<Shared<Option<&'static ClockEventDevice>>> =
    PerCpu::new([const { Shared::new(None) }; NR_CPUS]);

/// Linux sets up broadcast masks here.
pub fn tick_init() {}

/// This CPU's tick device.
pub fn tick_device() -> Option<&'static ClockEventDevice> {
    tick_cpu_device.this_cpu().get()
}

/// Whether this CPU's device can be set to one expiry.
pub fn tick_is_oneshot_available() -> bool {
    tick_device().is_some_and(|dev| dev.features.get() & CLOCK_EVT_FEAT_ONESHOT != 0)
}

/// A device was registered on this CPU: it ticks from here on.
pub fn tick_check_new_device(dev: &'static ClockEventDevice) {
    tick_cpu_device.this_cpu().set(Some(dev));
    tick_setup_device(dev);
    if dev.features.get() & CLOCK_EVT_FEAT_ONESHOT != 0 {
        tick_oneshot_notify();
    }
}

fn tick_setup_device(dev: &'static ClockEventDevice) {
    if tick_do_timer_cpu.get() == TICK_DO_TIMER_BOOT {
        tick_do_timer_cpu.set(smp_processor_id());
        tick_next_period.set(ktime_get());
    }
    dev.event_handler.set(Some(tick_handle_periodic));
    clockevents_switch_state(dev, CLOCK_EVT_STATE_PERIODIC);
}

/// One tick of a CPU that has no other way yet.
fn tick_periodic(cpu: u32) {
    if tick_do_timer_cpu.get() == cpu {
        let _guard = jiffies_lock.lock();
        tick_next_period.add(TICK_NSEC);
        do_timer(1);
    }
    update_process_times(false);
}

/// One periodic interrupt.
fn tick_handle_periodic(_: &'static ClockEventDevice) {
    tick_periodic(smp_processor_id());
}

/// The device delivers single expiries to `handler` from here on.
///
/// # Returns
/// 0, or -EINVAL when it cannot.
pub fn tick_switch_to_oneshot(handler: DeviceFn) -> i32 {
    match tick_device() {
        Some(dev) if tick_is_oneshot_available() => {
            dev.event_handler.set(Some(handler));
            clockevents_switch_state(dev, CLOCK_EVT_STATE_ONESHOT);
            0
        }
        _ => {
            pr_info!(
                "Clockevents: could not switch to one-shot mode on CPU {}",
                smp_processor_id()
            );
            -EINVAL
        }
    }
}

/// The device serves high-resolution timers from here on.
pub fn tick_init_highres() -> i32 {
    tick_switch_to_oneshot(|dev| hrtimer_interrupt(dev))
}

/// Sets this CPU's device to `expires`, or stops it when there is nothing to wait for.
///
/// # Returns
/// 0, or `-ETIME` when that has passed and `force` is off.
pub fn tick_program_event(expires: Ktime, force: bool) -> i32 {
    let Some(dev) = tick_device() else {
        return 0;
    };
    if expires == KTIME_MAX {
        clockevents_switch_state(dev, CLOCK_EVT_STATE_ONESHOT_STOPPED);
        dev.next_event.set(KTIME_MAX);
        return 0;
    }
    if dev.state_use_accessors.get() == CLOCK_EVT_STATE_ONESHOT_STOPPED {
        clockevents_switch_state(dev, CLOCK_EVT_STATE_ONESHOT);
    }
    clockevents_program_event(dev, expires, force)
}

/// This CPU dies: another one counts jiffies.
///
/// # Context
/// On the dying CPU, interrupts off, all others in `stop_machine`; it is no longer online.
pub fn tick_handover_do_timer() {
    if tick_do_timer_cpu.get() == smp_processor_id() {
        let cpu = cpu_online_mask().first();
        tick_do_timer_cpu.set(if (cpu as usize) < NR_CPUS {
            cpu
        } else {
            TICK_DO_TIMER_NONE
        });
    }
}

/// Takes the device of a dead CPU away, or of this one that dies: it sets it up anew when it comes up again.
pub fn tick_shutdown(cpu: u32) {
    if let Some(dev) = tick_cpu_device.per_cpu(cpu).replace(None) {
        if cpu == smp_processor_id() {
            clockevents_switch_state(dev, CLOCK_EVT_STATE_SHUTDOWN);
        }
        dev.state_use_accessors.set(CLOCK_EVT_STATE_DETACHED);
        dev.event_handler.set(None);
    }
}

/// A dead CPU's device is let go of.
pub fn tick_cleanup_dead_cpu(cpu: u32) {
    tick_shutdown(cpu);
}
