//! The table of states, and callbacks that are set up at run time.
//!
//! Linux: `kernel/cpu.c` (v6.8): `cpuhp_hp_states`, `__cpuhp_setup_state*`, `__cpuhp_remove_state*`,
//! `write_cpuhp_fail`. Kept: names, who may fail, dynamic numbers in order of registration, callbacks run on
//! the CPUs that have passed the state already, taken back when one fails. Left out: instances, sysfs.
//! Differs: nothing else. Locks: `cpuhp_state_mutex` inside the hotplug lock.

use super::{
    CpuhpCallback, cpuhp_invoke_ap_callback, cpuhp_invoke_callback, cpuhp_state, cpus_read_lock,
    cpus_read_unlock, down, lockdep_assert_cpus_held, up,
};
use crate::fence::shared::Shared;
use crate::include::linux::cpuhotplug::*;
use crate::include::linux::cpumask::{cpu_possible, cpu_present_mask};
use crate::include::linux::errno::{EBUSY, EINVAL, ENOSPC};
use crate::include::linux::mutex::Mutex;
use crate::kernel::kreplay::stopstorm::inactive;
use crate::kernel::rcu::tree::{
    rcutree_dead_cpu, rcutree_dying_cpu, rcutree_offline_cpu, rcutree_online_cpu,
    rcutree_prepare_cpu,
};
use crate::kernel::sched::core::hotplug::{
    sched_cpu_activate, sched_cpu_deactivate, sched_cpu_dying, sched_cpu_starting,
    sched_cpu_wait_empty,
};
use crate::kernel::smp::{smpcfd_dead_cpu, smpcfd_dying_cpu, smpcfd_prepare_cpu};
use crate::kernel::smpboot::{
    smpboot_create_threads, smpboot_park_threads, smpboot_unpark_threads,
};
use crate::kernel::time::hrtimer::{hrtimers_cpu_dying, hrtimers_prepare_cpu};
use crate::kernel::time::timer::{timers_dead_cpu, timers_prepare_cpu};
use crate::kernel::workqueue::{
    workqueue_offline_cpu, workqueue_online_cpu, workqueue_prepare_cpu,
};
use crate::{BUG_ON, WARN};

/// A state's name and what is done to enter and to leave it. Written under `cpuhp_state_mutex`.
#[doc(alias = "cpuhp_step")]
pub(super) struct CpuhpStep {
    name: Shared<Option<&'static &'static str>>,
    startup: Shared<Option<CpuhpCallback>>,
    teardown: Shared<Option<CpuhpCallback>>,
    /// Nobody may ask for a CPU to stay in it.
    cant_stop: bool,
}

impl CpuhpStep {
    const fn empty() -> CpuhpStep {
        CpuhpStep {
            name: Shared::new(None),
            startup: Shared::new(None),
            teardown: Shared::new(None),
            cant_stop: false,
        }
    }

    pub(super) fn callback(&self, bringup: bool) -> Option<CpuhpCallback> {
        if bringup {
            self.startup.get()
        } else {
            self.teardown.get()
        }
    }

    pub(super) fn name(&self) -> &'static str {
        self.name.get().copied().unwrap_or("")
    }
}

const NR_STATES: usize = CPUHP_ONLINE as usize + 1;
type Steps = [CpuhpStep; NR_STATES];

/// A row of the table.
struct Row(
    CpuhpState,
    &'static &'static str,
    Option<CpuhpCallback>,
    Option<CpuhpCallback>,
    bool,
);

const fn row(
    state: CpuhpState,
    name: &'static &'static str,
    startup: Option<CpuhpCallback>,
    teardown: Option<CpuhpCallback>,
) -> Row {
    Row(state, name, startup, teardown, false)
}

const fn cant_stop(row: Row) -> Row {
    Row(row.0, row.1, row.2, row.3, true)
}

const fn steps<const N: usize>(rows: &[Row; N]) -> Steps {
    let mut steps = [const { CpuhpStep::empty() }; NR_STATES];
    let mut n = 0;
    while n < N {
        let Row(state, name, startup, teardown, cant_stop) = rows[n];
        steps[state as usize] = CpuhpStep {
            name: Shared::new(Some(name)),
            startup: Shared::new(startup),
            teardown: Shared::new(teardown),
            cant_stop,
        };
        n += 1;
    }
    steps
}

/// What is there from the start; the rest is set up by `cpuhp_setup_state`.
static cpuhp_hp_states: Steps = steps(&[
    row(CPUHP_OFFLINE, &"offline", None, None),
    cant_stop(row(
        CPUHP_CREATE_THREADS,
        &"threads:prepare",
        Some(smpboot_create_threads),
        None,
    )),
    row(
        CPUHP_WORKQUEUE_PREP,
        &"workqueue:prepare",
        Some(workqueue_prepare_cpu),
        None,
    ),
    row(
        CPUHP_HRTIMERS_PREPARE,
        &"hrtimers:prepare",
        Some(hrtimers_prepare_cpu),
        None,
    ),
    row(
        CPUHP_SMPCFD_PREPARE,
        &"smpcfd:prepare",
        Some(smpcfd_prepare_cpu),
        Some(smpcfd_dead_cpu),
    ),
    row(
        CPUHP_RCUTREE_PREP,
        &"RCU/tree:prepare",
        Some(rcutree_prepare_cpu),
        Some(rcutree_dead_cpu),
    ),
    row(
        CPUHP_TIMERS_PREPARE,
        &"timers:prepare",
        Some(timers_prepare_cpu),
        Some(timers_dead_cpu),
    ),
    row(
        CPUHP_BP_KICK_AP,
        &"cpu:kick_ap",
        Some(up::cpuhp_kick_ap_alive),
        None,
    ),
    cant_stop(row(
        CPUHP_BRINGUP_CPU,
        &"cpu:bringup",
        Some(up::cpuhp_bringup_ap),
        Some(down::finish_cpu),
    )),
    row(CPUHP_AP_IDLE_DEAD, &"idle:dead", None, None),
    cant_stop(row(CPUHP_AP_OFFLINE, &"ap:offline", None, None)),
    row(
        CPUHP_AP_CACHECTRL_STARTING,
        &"x86/cachectrl:starting",
        Some(inactive::cpu_starting),
        None,
    ),
    row(
        CPUHP_AP_SCHED_STARTING,
        &"sched:starting",
        Some(sched_cpu_starting),
        Some(sched_cpu_dying),
    ),
    row(
        CPUHP_AP_RCUTREE_DYING,
        &"RCU/tree:dying",
        None,
        Some(rcutree_dying_cpu),
    ),
    row(
        CPUHP_AP_SMPCFD_DYING,
        &"smpcfd:dying",
        None,
        Some(smpcfd_dying_cpu),
    ),
    row(
        CPUHP_AP_HRTIMERS_DYING,
        &"hrtimers:dying",
        None,
        Some(hrtimers_cpu_dying),
    ),
    row(CPUHP_AP_ONLINE, &"ap:online", None, None),
    cant_stop(row(
        CPUHP_TEARDOWN_CPU,
        &"cpu:teardown",
        None,
        Some(down::takedown_cpu),
    )),
    row(
        CPUHP_AP_SCHED_WAIT_EMPTY,
        &"sched:waitempty",
        None,
        Some(sched_cpu_wait_empty),
    ),
    row(
        CPUHP_AP_SMPBOOT_THREADS,
        &"smpboot/threads:online",
        Some(smpboot_unpark_threads),
        Some(smpboot_park_threads),
    ),
    row(
        CPUHP_AP_WORKQUEUE_ONLINE,
        &"workqueue:online",
        Some(workqueue_online_cpu),
        Some(workqueue_offline_cpu),
    ),
    row(
        CPUHP_AP_RCUTREE_ONLINE,
        &"RCU/tree:online",
        Some(rcutree_online_cpu),
        Some(rcutree_offline_cpu),
    ),
    row(
        CPUHP_AP_ACTIVE,
        &"sched:active",
        Some(sched_cpu_activate),
        Some(sched_cpu_deactivate),
    ),
    row(CPUHP_ONLINE, &"online", None, None),
]);

static cpuhp_state_mutex: Mutex = Mutex::new();

pub(super) fn cpuhp_get_step(state: CpuhpState) -> &'static CpuhpStep {
    &cpuhp_hp_states[state as usize]
}

pub(super) fn cpuhp_step_empty(bringup: bool, step: &CpuhpStep) -> bool {
    step.callback(bringup).is_none()
}

/// Whether the CPU itself runs the state's callback.
pub(super) fn cpuhp_is_ap_state(state: CpuhpState) -> bool {
    state > CPUHP_BRINGUP_CPU && state != CPUHP_TEARDOWN_CPU
}

/// Whether it runs with interrupts off and may not fail.
pub(super) fn cpuhp_is_atomic_state(state: CpuhpState) -> bool {
    (CPUHP_AP_IDLE_DEAD..CPUHP_AP_ONLINE).contains(&state)
}

/// A free number of a dynamic range.
fn cpuhp_reserve_state(state: CpuhpState) -> i32 {
    let end = if state == CPUHP_AP_ONLINE_DYN {
        CPUHP_AP_ONLINE_DYN_END
    } else {
        CPUHP_BP_PREPARE_DYN_END
    };
    match (state..=end).find(|&it| cpuhp_get_step(it).name.get().is_none()) {
        Some(free) => free,
        None => {
            WARN!(true, "No more dynamic states available for CPU hotplug\n");
            -ENOSPC
        }
    }
}

fn is_dynamic(state: CpuhpState) -> bool {
    state == CPUHP_AP_ONLINE_DYN || state == CPUHP_BP_PREPARE_DYN
}

/// Fills a row, or empties it (no name). Returns the number if it was handed out here.
fn cpuhp_store_callbacks(
    state: CpuhpState,
    name: Option<&'static &'static str>,
    startup: Option<CpuhpCallback>,
    teardown: Option<CpuhpCallback>,
) -> i32 {
    let mut ret = 0;
    let mut state = state;
    if name.is_some() && is_dynamic(state) {
        ret = cpuhp_reserve_state(state);
        if ret < 0 {
            return ret;
        }
        state = ret;
    }
    let sp = cpuhp_get_step(state);
    if name.is_some() && sp.name.get().is_some() {
        return -EBUSY;
    }
    sp.startup.set(startup);
    sp.teardown.set(teardown);
    sp.name.set(name);
    ret
}

/// Runs a callback for a CPU that has passed its state already.
fn cpuhp_issue_call(cpu: u32, state: CpuhpState, bringup: bool) -> i32 {
    if cpuhp_step_empty(bringup, cpuhp_get_step(state)) {
        return 0;
    }
    let ret = if cpuhp_is_ap_state(state) {
        cpuhp_invoke_ap_callback(cpu, state, bringup)
    } else {
        cpuhp_invoke_callback(cpu, state, bringup)
    };
    BUG_ON!(ret != 0 && !bringup);
    ret
}

/// The CPUs below the one that failed are taken back.
fn cpuhp_rollback_install(failedcpu: u32, state: CpuhpState) {
    for cpu in cpu_present_mask().iter().take_while(|&cpu| cpu < failedcpu) {
        if cpuhp_state.per_cpu(cpu).state.get() >= state {
            cpuhp_issue_call(cpu, state, false);
        }
    }
}

fn cpuhp_cb_check(state: CpuhpState) -> i32 {
    if state <= CPUHP_OFFLINE || state >= CPUHP_ONLINE {
        -EINVAL
    } else {
        0
    }
}

/// Adds callbacks to a state. The hotplug lock is held.
fn __cpuhp_setup_state_cpuslocked(
    state: CpuhpState,
    name: &'static &'static str,
    invoke: bool,
    startup: Option<CpuhpCallback>,
    teardown: Option<CpuhpCallback>,
) -> i32 {
    lockdep_assert_cpus_held();
    if cpuhp_cb_check(state) != 0 {
        return -EINVAL;
    }
    cpuhp_state_mutex.lock();
    let mut ret = cpuhp_store_callbacks(state, Some(name), startup, teardown);
    // v6.8's rule for who gets a number back and callbacks run; a number before the start of the CPU is
    // returned as it is, and nothing is run for it.
    let dynstate = ret > 0 && state == CPUHP_AP_ONLINE_DYN;
    let mut state = state;
    if dynstate {
        state = ret;
        ret = 0;
    }
    if ret == 0 && invoke && startup.is_some() {
        for cpu in cpu_present_mask().iter() {
            if cpuhp_state.per_cpu(cpu).state.get() < state {
                continue;
            }
            ret = cpuhp_issue_call(cpu, state, true);
            if ret != 0 {
                if teardown.is_some() {
                    cpuhp_rollback_install(cpu, state);
                }
                cpuhp_store_callbacks(state, None, None, None);
                break;
            }
        }
    }
    cpuhp_state_mutex.unlock();
    if ret == 0 && dynstate { state } else { ret }
}

fn __cpuhp_setup_state(
    state: CpuhpState,
    name: &'static &'static str,
    invoke: bool,
    startup: Option<CpuhpCallback>,
    teardown: Option<CpuhpCallback>,
) -> i32 {
    cpus_read_lock();
    let ret = __cpuhp_setup_state_cpuslocked(state, name, invoke, startup, teardown);
    cpus_read_unlock();
    ret
}

/// Adds callbacks to a state and runs `startup` for every CPU that has passed it.
///
/// # Context
/// May sleep.
/// # Returns
/// 0, the number handed out for `CPUHP_AP_ONLINE_DYN`, -EBUSY if the state has callbacks, -EINVAL,
/// -ENOSPC, or the first error of `startup`: then all is as before.
pub fn cpuhp_setup_state(
    state: CpuhpState,
    name: &'static &'static str,
    startup: Option<CpuhpCallback>,
    teardown: Option<CpuhpCallback>,
) -> i32 {
    __cpuhp_setup_state(state, name, true, startup, teardown)
}

/// The same without running anything now.
pub fn cpuhp_setup_state_nocalls(
    state: CpuhpState,
    name: &'static &'static str,
    startup: Option<CpuhpCallback>,
    teardown: Option<CpuhpCallback>,
) -> i32 {
    __cpuhp_setup_state(state, name, false, startup, teardown)
}

fn __cpuhp_remove_state(state: CpuhpState, invoke: bool) {
    BUG_ON!(cpuhp_cb_check(state) != 0);
    cpus_read_lock();
    cpuhp_state_mutex.lock();
    if invoke && !cpuhp_step_empty(false, cpuhp_get_step(state)) {
        for cpu in cpu_present_mask().iter() {
            if cpuhp_state.per_cpu(cpu).state.get() >= state {
                cpuhp_issue_call(cpu, state, false);
            }
        }
    }
    cpuhp_store_callbacks(state, None, None, None);
    cpuhp_state_mutex.unlock();
    cpus_read_unlock();
}

/// Takes a state's callbacks away, after `teardown` ran for every CPU that has passed it.
///
/// # Context
/// May sleep.
pub fn cpuhp_remove_state(state: CpuhpState) {
    __cpuhp_remove_state(state, true);
}

/// The same without running anything.
pub fn cpuhp_remove_state_nocalls(state: CpuhpState) {
    __cpuhp_remove_state(state, false);
}

/// The next time a CPU comes to this state, in either direction, its callback fails with -EAGAIN without
/// being run; `CPUHP_INVALID` takes that back. In Linux a file of each CPU in sysfs.
///
/// # Returns
/// 0; -EINVAL for states that may not fail or have no callback.
pub fn write_cpuhp_fail(cpu: u32, fail: CpuhpState) -> i32 {
    if !cpu_possible(cpu) {
        return -EINVAL;
    }
    let st = cpuhp_state.per_cpu(cpu);
    if fail == CPUHP_INVALID {
        st.fail.set(fail);
        return 0;
    }
    if !(CPUHP_OFFLINE..=CPUHP_ONLINE).contains(&fail) || cpuhp_is_atomic_state(fail) {
        return -EINVAL;
    }
    let step = cpuhp_get_step(fail);
    // Of a CPU that is on its way down: the dead cannot come back to life, so those callbacks do not fail.
    if fail <= CPUHP_BRINGUP_CPU && st.state.get() > CPUHP_BRINGUP_CPU {
        return -EINVAL;
    }
    cpuhp_state_mutex.lock();
    let empty = step.startup.get().is_none() && step.teardown.get().is_none();
    cpuhp_state_mutex.unlock();
    if empty {
        return -EINVAL;
    }
    st.fail.set(fail);
    0
}

/// Whether a CPU may be asked to go to a state and to stay there.
pub(super) fn cpuhp_may_stop(state: CpuhpState) -> bool {
    let step = cpuhp_get_step(state);
    step.name.get().is_some() && !step.cant_stop
}
