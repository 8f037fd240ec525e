//! What is refused, and what fails half-way: afterwards all is as before.

use super::{checks, fail};
use crate::fence::shared::Shared;
use crate::include::linux::cpu::{
    add_cpu, cpu_down, cpu_hotplug_disable, cpu_hotplug_enable, cpu_up, remove_cpu,
};
use crate::include::linux::cpuhotplug::*;
use crate::include::linux::cpumask::{Cpumask, cpu_active, cpu_online};
use crate::include::linux::errno::{EAGAIN, EBUSY, EINVAL, EPERM};
use crate::kernel::cpu::down::target_store;
use crate::kernel::cpu::{cpuhp_state_of, write_cpuhp_fail};

/// Attempts that got below the workload's own state, and came back through it.
pub(super) static ATTEMPTS_BELOW: Shared<u64> = Shared::new(0);

fn expect(what: &str, got: i32, wanted: i32) {
    if got != wanted {
        fail(format_args!("{what} gets {got}, not {wanted}"));
    }
}

/// Tries everything that must not work. `own` is the workload's own state.
pub(super) fn provoke(others: Cpumask, own: CpuhpState) {
    expect("taking cpu0 off", remove_cpu(0), -EPERM);
    expect("putting cpu0 on", add_cpu(0), 1);
    expect("a number too big", cpu_up(70, CPUHP_ONLINE), -EINVAL);
    expect(
        "failing while dying",
        write_cpuhp_fail(0, CPUHP_AP_SCHED_STARTING),
        -EINVAL,
    );
    expect(
        "failing to be dead",
        write_cpuhp_fail(0, CPUHP_SOFTIRQ_DEAD),
        -EINVAL,
    );
    // Of a CPU that is up these are on its way down, whatever they do on its way up.
    for state in [CPUHP_TIMERS_PREPARE, CPUHP_BRINGUP_CPU] {
        expect("failing while dead", write_cpuhp_fail(0, state), -EINVAL);
    }
    expect(
        "stopping in between",
        target_store(0, CPUHP_TEARDOWN_CPU),
        -EINVAL,
    );
    let Some(cpu) = others.iter().next() else {
        expect(
            "taking the last CPU off",
            cpu_down(0, CPUHP_OFFLINE),
            -EBUSY,
        );
        return;
    };
    cpu_hotplug_disable();
    expect("going while forbidden", remove_cpu(cpu), -EBUSY);
    cpu_hotplug_enable();
    for state in [
        CPUHP_AP_ACTIVE,
        own,
        CPUHP_AP_WORKQUEUE_ONLINE,
        CPUHP_AP_SMPBOOT_THREADS,
        CPUHP_AP_SCHED_WAIT_EMPTY,
        CPUHP_TEARDOWN_CPU,
    ] {
        expect("the injection", write_cpuhp_fail(cpu, state), 0);
        expect("failing on the way down", remove_cpu(cpu), -EAGAIN);
        checks::is_on(cpu);
        if state < own {
            ATTEMPTS_BELOW.inc();
        }
    }
    expect("going after all", remove_cpu(cpu), 0);
    ATTEMPTS_BELOW.inc();
    checks::is_off(cpu);
    for state in [
        CPUHP_CREATE_THREADS,
        CPUHP_TIMERS_PREPARE,
        CPUHP_BP_KICK_AP,
        CPUHP_BRINGUP_CPU,
        CPUHP_AP_SMPBOOT_THREADS,
        CPUHP_AP_WORKQUEUE_ONLINE,
        own,
        CPUHP_AP_ACTIVE,
    ] {
        expect("the injection", write_cpuhp_fail(cpu, state), 0);
        expect("failing on the way up", add_cpu(cpu), -EAGAIN);
        checks::is_off(cpu);
        if state > own {
            ATTEMPTS_BELOW.inc();
        }
    }
    // Half up: online, and nobody's tasks get there.
    expect(
        "going half-way",
        target_store(cpu, CPUHP_AP_SMPBOOT_THREADS),
        0,
    );
    if cpuhp_state_of(cpu) != CPUHP_AP_SMPBOOT_THREADS || cpu_active(cpu) || !cpu_online(cpu) {
        fail(format_args!("cpu{cpu} is not half-way up"));
    }
    expect("coming after all", add_cpu(cpu), 0);
    checks::is_on(cpu);
}
