//! The periodic tick, before high-resolution mode.
//!
//! Linux: kernel/time/tick-common.c, tick-oneshot.c, timer.c (update_process_times), v6.8. **Left out** device
//! exchange, broadcast, suspend.
use crate::fence::percpu::PerCpu;
use crate::fence::shared::Shared;
use crate::include::linux::clockchips::ClockEventDevice;
use crate::include::linux::clockchips::ClockEventState::*;
use crate::include::linux::cpumask::{NR_CPUS, cpu_online_mask};
use crate::include::linux::jiffies::TICK_NSEC;
use crate::include::linux::ktime::Ktime;
use crate::include::linux::smp::smp_processor_id;
use crate::kernel::time::clockevents::{clockevents_program_event, clockevents_switch_state};
use crate::kernel::time::jiffies::{do_timer, jiffies_lock};
use crate::kernel::time::timekeeping::ktime_get;
use crate::kernel::time::timer::run_local_timers;

/// No CPU has the duty yet.
pub const TICK_DO_TIMER_NONE: u32 = u32::MAX;

/// The CPU that advances jiffies.
pub static tick_do_timer_cpu: Shared<u32> = Shared::new(TICK_DO_TIMER_NONE);
/// When the next periodic tick is due.
pub static tick_next_period: Shared<Ktime> = Shared::new(0);

static tick_cpu_device: PerCpu<Shared<Option<&'static ClockEventDevice>>> =
    PerCpu::new([const { Shared::new(None) }; NR_CPUS]);

/// Linux sets up broadcast masks here.
pub fn tick_init() {}

/// This CPU's tick device.
pub fn tick_device() -> Option<&'static ClockEventDevice> {
    tick_cpu_device.this_cpu().get()
}

/// A device was registered on this CPU: it ticks from here on.
pub fn tick_check_new_device(dev: &'static ClockEventDevice) {
    tick_cpu_device.this_cpu().set(Some(dev));
    tick_setup_device(dev);
}

fn tick_setup_device(dev: &'static ClockEventDevice) {
    if tick_do_timer_cpu.get() == TICK_DO_TIMER_NONE {
        tick_do_timer_cpu.set(smp_processor_id());
        tick_next_period.set(ktime_get());
    }
    dev.event_handler.set(Some(tick_handle_periodic));
    clockevents_switch_state(dev, CLOCK_EVT_STATE_PERIODIC);
}

/// The timekeeping duty goes to another CPU, if this one has it: it is offline by now.
pub fn tick_handover_do_timer() {
    if tick_do_timer_cpu.get() == smp_processor_id() {
        tick_do_timer_cpu.set(cpu_online_mask().first());
    }
}

/// A CPU that is dead has no tick device any more; its next start registers one.
fn tick_shutdown(cpu: u32) {
    if let Some(dev) = tick_cpu_device.per_cpu(cpu).replace(None) {
        // Detached without a word to the hardware, which is another CPU's and off.
        dev.state_use_accessors.set(CLOCK_EVT_STATE_DETACHED);
        dev.event_handler.set(None);
    }
}

/// After a CPU has died.
pub fn tick_cleanup_dead_cpu(cpu: u32) {
    tick_shutdown(cpu);
}

/// One periodic tick.
fn tick_handle_periodic(_: &'static ClockEventDevice) {
    if tick_do_timer_cpu.get() == smp_processor_id() {
        let _guard = jiffies_lock.lock();
        tick_next_period.add(TICK_NSEC);
        do_timer(1);
    }
    update_process_times(false);
}

/// What every tick does for the task it interrupted.
///
/// # Context
/// The timer interrupt.
#[inline(never)]
pub fn update_process_times(user_tick: bool) {
    run_local_timers();
    crate::kernel::rcu::tree::rcu_sched_clock_irq(user_tick);
    crate::kernel::irq_work::irq_work_tick();
    crate::kernel::sched::core::scheduler_tick();
}

/// The device delivers single expiries to `handler` from here on.
pub fn tick_switch_to_oneshot(handler: fn(&'static ClockEventDevice)) {
    if let Some(dev) = tick_device() {
        dev.event_handler.set(Some(handler));
        clockevents_switch_state(dev, CLOCK_EVT_STATE_ONESHOT);
    }
}

/// Sets this CPU's device to `expires`.
///
/// # Returns
/// 0, or `-ETIME` when that has passed and `force` is off.
pub fn tick_program_event(expires: Ktime, force: bool) -> i32 {
    tick_device().map_or(0, |dev| clockevents_program_event(dev, expires, force))
}
