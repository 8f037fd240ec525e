//! Where kernel code may be preempted, chosen at boot: `preempt=none|voluntary|full`.
//!
//! Linux: `kernel/sched/core.c` (v6.8): `cond_resched`, `__might_sleep`, the PREEMPT_DYNAMIC part with
//! `sched_dynamic_mode`, `sched_dynamic_update`, `preempt_dynamic_init`; `irqentry_exit_cond_resched` of
//! `kernel/entry/common.c`. Kept: the table of modes, the messages, full as the default. Left out: the file
//! sched/preempt, `preempt_schedule_notrace`, `cond_resched_rcu`, klp. Differs: keys that are read instead of patched
//! code, as Linux on architectures without static calls.
//! Locks: none; the keys change before the first switch.

use super::schedule::{preempt_schedule, preempt_schedule_common, preempt_schedule_irq};
use crate::arch::x86::include::asm::current::current;
use crate::fence::shared::Shared;
use crate::include::linux::irqflags::irqs_disabled;
use crate::include::linux::jiffies::{HZ, jiffies, time_before};
use crate::include::linux::preempt::{preempt_count, should_resched};
use crate::include::linux::rcupdate::rcu_preempt_depth;
use crate::include::linux::sched::{TASK_RUNNING, is_idle_task, need_resched};
use crate::init::main::{SystemStates, system_state};
use crate::kernel::panic::dump_stack;
use crate::kernel::params::param;
use crate::{WARN, pr_err, pr_info, pr_warn};
use core::sync::atomic::Ordering;

/// How much of the kernel may be preempted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum PreemptDynamic {
    /// Not decided yet.
    Undefined,
    /// Only where code asks for it with `cond_resched`.
    None,
    /// Also wherever code could sleep.
    Voluntary,
    /// Everywhere that preemption is not turned off.
    Full,
}

/// The mode in force.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
pub static preempt_dynamic_mode: Shared<PreemptDynamic> = Shared::new(PreemptDynamic::Undefined);

// The keys start as the build has them: full.
static sk_dynamic_preempt_schedule: Shared<bool> = Shared::new(true);
static sk_dynamic_irqentry_exit_cond_resched: Shared<bool> = Shared::new(true);
static sk_dynamic_cond_resched: Shared<bool> = Shared::new(false);
static sk_dynamic_might_resched: Shared<bool> = Shared::new(false);

/// A preemption count became zero with a reschedule due.
#[inline(never)]
pub fn dynamic_preempt_schedule() {
    if sk_dynamic_preempt_schedule.get() {
        preempt_schedule();
    }
}

/// An interrupt goes back to kernel code that had interrupts on.
#[inline(always)]
pub fn dynamic_irqentry_exit_cond_resched() {
    if sk_dynamic_irqentry_exit_cond_resched.get() {
        raw_irqentry_exit_cond_resched();
    }
}

/// Preempts the interrupted code if it allows that.
#[inline(always)]
fn raw_irqentry_exit_cond_resched() {
    if preempt_count() == 0 && need_resched() {
        preempt_schedule_irq();
    }
}

/// Lets others run if somebody waits and nothing is held.
///
/// # Context
/// Task context, interrupts on.
/// # Returns
/// 1 if others ran.
#[inline(never)]
pub fn __cond_resched() -> i32 {
    if should_resched(0) {
        preempt_schedule_common();
        return 1;
    }
    0
}

/// A point where a long piece of work gives way: a no-op where preemption does that by itself.
#[inline(always)]
pub fn cond_resched() -> i32 {
    if sk_dynamic_cond_resched.get() {
        __cond_resched()
    } else {
        0
    }
}

/// A point where voluntary preemption gives way.
#[inline(always)]
pub fn might_resched() {
    if sk_dynamic_might_resched.get() {
        __cond_resched();
    }
}

/// Complains when a function that may sleep is called where that is not possible, or with a state set.
pub fn __might_sleep(file: &str, line: u32) {
    let state = current().__state.get();
    WARN!(
        state != TASK_RUNNING,
        "do not call blocking ops when !TASK_RUNNING; state={state:x}"
    );
    __might_resched(file, line);
}

/// When the last complaint was.
static prev_jiffy: Shared<u64> = Shared::new(0);

fn __might_resched(file: &str, line: u32) {
    let task = current();
    let nest = rcu_preempt_depth();
    let allowed = preempt_count() == 0 && nest == 0;
    if allowed && !irqs_disabled() && !is_idle_task(task) {
        return;
    }
    let state = system_state.load(Ordering::Relaxed);
    if state == SystemStates::Booting as u32 || state > SystemStates::Running as u32 {
        return;
    }
    let last = prev_jiffy.get();
    if last != 0 && time_before(jiffies(), last.wrapping_add(HZ)) {
        return;
    }
    prev_jiffy.set(jiffies());
    pr_err!("BUG: sleeping function called from invalid context at {file}:{line}");
    pr_err!(
        "in_atomic(): {}, irqs_disabled(): {}, non_block: 0, pid: {}, name: {}",
        u32::from(preempt_count() != 0),
        u32::from(irqs_disabled()),
        task.pid.get(),
        task.comm_str()
    );
    pr_err!("preempt_count: {:x}, expected: 0", preempt_count());
    pr_err!("RCU nest depth: {nest}, expected: 0");
    dump_stack();
}

/// The mode of a name.
fn sched_dynamic_mode(name: crate::kernel::params::Text) -> Option<PreemptDynamic> {
    use PreemptDynamic::*;
    [("none", None), ("voluntary", Voluntary), ("full", Full)]
        .into_iter()
        .find_map(|(known, mode)| name.is(known).then_some(mode))
}

/// Sets the keys of a mode.
pub fn sched_dynamic_update(mode: PreemptDynamic) {
    let (conditional, might, preempt, name) = match mode {
        PreemptDynamic::None => (true, false, false, "none"),
        PreemptDynamic::Voluntary => (true, true, false, "voluntary"),
        PreemptDynamic::Full | PreemptDynamic::Undefined => (false, false, true, "full"),
    };
    sk_dynamic_cond_resched.set(conditional);
    sk_dynamic_might_resched.set(might);
    sk_dynamic_preempt_schedule.set(preempt);
    sk_dynamic_irqentry_exit_cond_resched.set(preempt);
    preempt_dynamic_mode.set(mode);
    pr_info!("Dynamic Preempt: {name}");
}

/// `preempt=` on the command line.
fn setup_preempt_mode() {
    let Some(text) = param("preempt") else {
        return;
    };
    match sched_dynamic_mode(text) {
        Some(mode) => sched_dynamic_update(mode),
        None => pr_warn!("Dynamic Preempt: unsupported mode: {text}"),
    }
}

/// Chooses the mode: the command line's, or full.
pub fn preempt_dynamic_init() {
    setup_preempt_mode();
    if preempt_dynamic_mode.get() == PreemptDynamic::Undefined {
        sched_dynamic_update(PreemptDynamic::Full);
    }
}
