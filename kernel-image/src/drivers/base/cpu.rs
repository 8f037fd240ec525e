//! CPUs as devices: whoever wants one on or off asks its device.
//!
//! Linux: `drivers/base/cpu.c`, `drivers/base/core.c` (`device_online`, `device_offline`), `kernel/cpu.c`
//! (`add_cpu`, `remove_cpu`), `arch/x86/kernel/topology.c`, v6.8. Kept: the answers, and that CPU 0's
//! device cannot go offline. Left out: sysfs, nodes, everything else of a device. Differs: a device is two words.
//! Locks: `device_hotplug_lock`, then those of `kernel/cpu.rs`.

use crate::fence::percpu::PerCpu;
use crate::fence::shared::Shared;
use crate::include::linux::cpuhotplug::{CPUHP_OFFLINE, CPUHP_ONLINE};
use crate::include::linux::cpumask::{NR_CPUS, cpu_online, cpu_possible, cpu_present_mask};
use crate::include::linux::errno::{EINVAL, EPERM};
use crate::include::linux::mutex::Mutex;
use crate::kernel::cpu::{cpu_down, cpu_up};

/// What is left of a device here.
struct Device {
    /// It may not be taken offline.
    offline_disabled: Shared<bool>,
    /// It is offline.
    offline: Shared<bool>,
}

static cpu_devices: PerCpu<Device> = PerCpu::new(
    [const {
        Device {
            offline_disabled: Shared::new(false),
            offline: Shared::new(true),
        }
    }; NR_CPUS],
);
static device_hotplug_lock: Mutex = Mutex::new();

/// CPU 0 takes part in too much that only it can do.
fn arch_cpu_is_hotpluggable(cpu: u32) -> bool {
    cpu > 0
}

/// Makes the devices. An initcall of level 4, once the boot's CPUs are up.
pub fn topology_init() -> i32 {
    for cpu in cpu_present_mask().iter() {
        let dev = cpu_devices.per_cpu(cpu);
        dev.offline_disabled.set(!arch_cpu_is_hotpluggable(cpu));
        dev.offline.set(!cpu_online(cpu));
    }
    0
}

fn device_offline(cpu: u32) -> i32 {
    let dev = cpu_devices.per_cpu(cpu);
    if dev.offline_disabled.get() {
        return -EPERM;
    }
    if dev.offline.get() {
        return 1;
    }
    let ret = cpu_down(cpu, CPUHP_OFFLINE);
    if ret == 0 {
        dev.offline.set(true);
    }
    ret
}

fn device_online(cpu: u32) -> i32 {
    let dev = cpu_devices.per_cpu(cpu);
    if !dev.offline.get() {
        return 1;
    }
    let ret = cpu_up(cpu, CPUHP_ONLINE);
    if ret == 0 {
        dev.offline.set(false);
    }
    ret
}

fn with_lock(cpu: u32, call: fn(u32) -> i32) -> i32 {
    if !cpu_possible(cpu) {
        return -EINVAL;
    }
    device_hotplug_lock.lock();
    let ret = call(cpu);
    device_hotplug_lock.unlock();
    ret
}

/// Brings a CPU up.
///
/// # Context
/// May sleep.
/// # Returns
/// 0, 1 if it is up already, or an error of `cpu_up`.
pub fn add_cpu(cpu: u32) -> i32 {
    with_lock(cpu, device_online)
}

/// Takes a CPU down.
///
/// # Context
/// May sleep; on any CPU, this one included.
/// # Returns
/// 0, 1 if it is down already, -EPERM for CPU 0, or an error of `cpu_down`.
pub fn remove_cpu(cpu: u32) -> i32 {
    with_lock(cpu, device_offline)
}
