//! Load balancing: a CPU with less to do takes from those with more.
//!
//! Linux: `kernel/sched/fair.c` (v6.8): `load_balance` and around it; here a folder of the same name:
//! `stats` (who is busiest, and by how much), `detach` (which tasks go), `domains` (when: at the tick, before
//! idling), `nohz` (for CPUs that sleep without a tick), this file (one balance of one domain, and the active
//! balance, in which the busiest CPU's stopper pushes the task that runs there).
//! Kept: the whole walk with its retries for bound tasks, failures counted and the interval adapted to them.
//! Left out: NUMA, packing. Differs: nothing else.
//! Locks: one runqueue's at a time; tasks on their way between two are in neither (`TASK_ON_RQ_MIGRATING`).

pub mod detach;
pub mod domains;
pub mod nohz;
pub mod stats;

use super::capacity::{capacity_of, check_cpu_capacity};
use crate::arch::x86::include::asm::smp::raw_smp_processor_id;
use crate::arch::x86::kernel::smpboot::cpu_smt_mask;
use crate::fence::void::VoidPtr;
use crate::include::linux::cpumask::{Cpumask, cpu_active, cpu_active_mask};
use crate::include::linux::irqflags::{
    local_irq_disable, local_irq_enable, local_irq_restore, local_irq_save,
};
use crate::include::linux::list::ListHead;
use crate::include::linux::preempt::{preempt_disable, preempt_enable};
use crate::include::linux::sched::topology::{SD_SHARE_CPUCAPACITY, SdRef, sched_domain_span};
use crate::include::linux::stop_machine::stop_one_cpu_nowait;
use crate::kernel::kreplay::counters::{count, kreplay_counters};
use crate::kernel::sched::core::idle_cpu;
use crate::kernel::sched::sched::{
    Rq, RqRef, cpu_of, cpu_rq, group_balance_cpu, group_balance_mask, raw_spin_rq_lock,
    raw_spin_rq_unlock, same_rq, update_rq_clock,
};
use crate::kernel::sched::stats::{schedstat_add, schedstat_inc};
use crate::kernel::sched::topology::for_each_domain;
use crate::{WARN_ON_ONCE, stack_pinned};
use detach::{DetachedTasks, attach_one_task, attach_tasks, detach_one_task, detach_tasks};
use stats::{find_busiest_group, find_busiest_queue};

/// Why a balance takes place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub enum CpuIdleType {
    /// The CPU idles.
    Idle,
    /// It is busy.
    NotIdle,
    /// It is about to idle.
    NewlyIdle,
}

/// What is moved to even things out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub enum MigrationType {
    /// So much load.
    Load,
    /// So much utilisation.
    Util,
    /// So many tasks.
    Task,
    /// A task that is too heavy for its CPU.
    Misfit,
}

/// No task of the queue may run on the destination.
pub const LBF_ALL_PINNED: u32 = 0x01;
/// Long enough with interrupts off: go on after a breath.
pub const LBF_NEED_BREAK: u32 = 0x02;
/// A task may run on another CPU of the destination's group.
pub const LBF_DST_PINNED: u32 = 0x04;
/// Some task may not run on the destination.
pub const LBF_SOME_PINNED: u32 = 0x08;
/// The stopper does it, and takes warm tasks too.
pub const LBF_ACTIVE_LB: u32 = 0x10;

/// Tasks looked at with interrupts off.
pub const SCHED_NR_MIGRATE_BREAK: u32 = 32;
/// Tasks looked at in one balance at most.
pub const SYSCTL_SCHED_NR_MIGRATE: u32 = SCHED_NR_MIGRATE_BREAK;
/// Longest interval where all tasks are bound, ms.
const MAX_PINNED_INTERVAL: u32 = 512;

/// One balance.
#[doc(alias = "lb_env")]
#[repr(C)]
pub struct LbEnv {
    /// The domain.
    pub sd: SdRef,
    /// Where tasks come from, once that is known.
    pub src_rq: RqRef,
    /// Where they go.
    pub dst_cpu: u32,
    /// Its runqueue.
    pub dst_rq: RqRef,
    /// CPUs that could take them instead.
    pub dst_grpmask: Cpumask,
    /// Among those, one for a task that may not run on `dst_cpu`.
    pub new_dst_cpu: u32,
    /// Why.
    pub idle: CpuIdleType,
    /// What is left to move, in units of `migration_type`.
    pub imbalance: i64,
    /// CPUs that take part.
    pub cpus: Cpumask,
    /// `LBF_*`.
    pub flags: u32,
    /// Tasks looked at.
    pub r#loop: u32,
    /// At how many to take a breath.
    pub loop_break: u32,
    /// At how many to give up.
    pub loop_max: u32,
    /// The unit.
    pub migration_type: MigrationType,
}

impl LbEnv {
    fn new(sd: SdRef, src_rq: RqRef, dst_cpu: u32, idle: CpuIdleType) -> LbEnv {
        LbEnv {
            sd,
            src_rq,
            dst_cpu,
            dst_rq: cpu_rq(dst_cpu),
            dst_grpmask: group_balance_mask(sd.local_group()),
            new_dst_cpu: 0,
            idle,
            imbalance: 0,
            cpus: sched_domain_span(sd).and(cpu_active_mask()),
            flags: 0,
            r#loop: 0,
            loop_break: SCHED_NR_MIGRATE_BREAK,
            loop_max: 0,
            migration_type: MigrationType::Load,
        }
    }

    fn start_over(&mut self) {
        self.r#loop = 0;
        self.loop_break = SCHED_NR_MIGRATE_BREAK;
    }
}

/// How a balance ended.
enum Outcome {
    /// It went through; so many tasks moved, and maybe the stopper moves one more.
    Done(u32),
    /// There is nothing to even out.
    Balanced,
    /// All tasks that should move are bound.
    AllPinned,
    /// The one that runs there may not run here.
    OnePinned,
}

/// Balances a CPU with the others of a domain: takes tasks from the busiest CPU of the busiest group. Returns
/// how many came. `continue_balancing` is cleared if another CPU of the group is to do it, here and above.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn load_balance(
    this_cpu: u32,
    this_rq: RqRef,
    sd: SdRef,
    idle: CpuIdleType,
    continue_balancing: &mut bool,
) -> u32 {
    let mut env = LbEnv::new(sd, this_rq, this_cpu, idle);
    let mut ld_moved = 0;
    schedstat_inc(&sd.lb_count[idle as usize]);
    match balance_domain(this_cpu, &mut env, continue_balancing) {
        Outcome::Done(moved) => return moved,
        Outcome::Balanced => {
            // Though some may have been bound: others had their chance to move.
            if let Some(parent) = sd.parent.get()
                && env.flags & LBF_ALL_PINNED == 0
            {
                parent.local_group().sgc().imbalance.set(0);
            }
            schedstat_inc(&sd.lb_balanced[idle as usize]);
            sd.nr_balance_failed.set(0);
        }
        // The mark stays, so that the level above tries.
        Outcome::AllPinned => {
            schedstat_inc(&sd.lb_balanced[idle as usize]);
            sd.nr_balance_failed.set(0);
        }
        Outcome::OnePinned => ld_moved = 0,
    }
    // Before idling it is tried so often that the interval would grow without end.
    if idle != CpuIdleType::NewlyIdle {
        let interval = sd.balance_interval.get();
        let pinned = env.flags & LBF_ALL_PINNED != 0 && interval < MAX_PINNED_INTERVAL;
        if pinned || u64::from(interval) < sd.max_interval.get() {
            sd.balance_interval.set(interval * 2);
        }
    }
    ld_moved
}

/// The walk of one balance.
#[inline(always)]
fn balance_domain(this_cpu: u32, env: &mut LbEnv, continue_balancing: &mut bool) -> Outcome {
    let sd = env.sd;
    let busiest;
    let mut ld_moved = 0;
    loop {
        if !should_we_balance(env) {
            *continue_balancing = false;
            return Outcome::Balanced;
        }
        let Some(group) = find_busiest_group(env) else {
            schedstat_inc(&sd.lb_nobusyg[env.idle as usize]);
            return Outcome::Balanced;
        };
        let Some(rq) = find_busiest_queue(env, group) else {
            schedstat_inc(&sd.lb_nobusyq[env.idle as usize]);
            return Outcome::Balanced;
        };
        WARN_ON_ONCE!(same_rq(rq, env.dst_rq));
        schedstat_add(&sd.lb_imbalance[env.idle as usize], env.imbalance as u64);
        env.src_rq = rq;
        // Until one is found that may move.
        env.flags |= LBF_ALL_PINNED;
        if rq.nr_running.get() > 1 {
            env.loop_max = SYSCTL_SCHED_NR_MIGRATE.min(rq.nr_running.get());
            ld_moved += move_tasks(env);
            // Failed because tasks are bound: averages do not show it, so tell the level above.
            if let Some(parent) = sd.parent.get()
                && env.flags & LBF_SOME_PINNED != 0
                && env.imbalance > 0
            {
                parent.local_group().sgc().imbalance.set(1);
            }
            if env.flags & LBF_ALL_PINNED != 0 {
                env.cpus = env.cpus.without(cpu_of(rq));
                // Another one may have tasks that can move, if one outside our group is left.
                if env.cpus.subset(env.dst_grpmask) {
                    return Outcome::AllPinned;
                }
                env.start_over();
                continue;
            }
        }
        busiest = rq;
        break;
    }

    let mut active_balance = false;
    if ld_moved != 0 {
        sd.nr_balance_failed.set(0);
    } else {
        schedstat_inc(&sd.lb_failed[env.idle as usize]);
        // Only regular balances: new idle ones are so many that warm tasks would soon be moved.
        if env.idle != CpuIdleType::NewlyIdle {
            sd.nr_balance_failed.inc();
        }
        if need_active_balance(env) {
            match start_active_balance(this_cpu, env, busiest) {
                Some(started) => active_balance = started,
                None => return Outcome::OnePinned,
            }
        }
    }
    if !active_balance || need_active_balance(env) {
        // There was something to do: look again soon.
        sd.balance_interval.set(sd.min_interval.get() as u32);
    }
    Outcome::Done(ld_moved)
}

/// Moves tasks from the source to the destination, or to others of its group what may not run there.
#[inline(always)]
fn move_tasks(env: &mut LbEnv) -> u32 {
    stack_pinned!(let tasks = DetachedTasks {
        head: ListHead::new(),
    });
    let mut ld_moved = 0;
    loop {
        let flags = local_irq_save();
        raw_spin_rq_lock(env.src_rq);
        update_rq_clock(env.src_rq);
        let moved = detach_tasks(env, &tasks.head);
        // They are marked as migrating: whoever wants one of them waits until it has arrived.
        raw_spin_rq_unlock(env.src_rq);
        if moved != 0 {
            attach_tasks(env, &tasks.head);
            ld_moved += moved;
        }
        local_irq_restore(flags);

        if env.flags & LBF_NEED_BREAK != 0 {
            env.flags &= !LBF_NEED_BREAK;
            // Unless every task has been looked at.
            if env.r#loop < env.src_rq.nr_running.get() {
                continue;
            }
        }
        if env.flags & LBF_DST_PINNED != 0 && env.imbalance > 0 {
            // The same source again, for another CPU of our group.
            env.cpus = env.cpus.without(env.dst_cpu);
            env.dst_rq = cpu_rq(env.new_dst_cpu);
            env.dst_cpu = env.new_dst_cpu;
            env.flags &= !LBF_DST_PINNED;
            env.start_over();
            continue;
        }
        return ld_moved;
    }
}

/// Whether this CPU balances for its group: the first idle one does, on an idle core if there is one, else
/// the group's first.
fn should_we_balance(env: &LbEnv) -> bool {
    // The domains may be those of before a CPU went.
    if !env.cpus.test(env.dst_cpu) {
        return false;
    }
    if env.idle == CpuIdleType::NewlyIdle {
        // Every CPU may, unless work has come meanwhile.
        return env.dst_rq.nr_running.get() == 0 && env.dst_rq.ttwu_pending.get() == 0;
    }
    let sg = env.sd.local_group();
    let mut left = group_balance_mask(sg).and(env.cpus);
    let mut idle_smt = None;
    while !left.is_empty() {
        let cpu = left.first();
        left = left.without(cpu);
        if !idle_cpu(cpu) {
            continue;
        }
        if !env.sd.has(SD_SHARE_CPUCAPACITY) && !is_core_idle(cpu) {
            // Half of a busy core: only if no whole one is free.
            idle_smt = idle_smt.or(Some(cpu));
            left = left.andnot(cpu_smt_mask(cpu));
            continue;
        }
        return cpu == env.dst_cpu;
    }
    match idle_smt {
        Some(cpu) => cpu == env.dst_cpu,
        None => group_balance_cpu(sg) == env.dst_cpu,
    }
}

/// Whether the rest of a CPU's core idles.
fn is_core_idle(cpu: u32) -> bool {
    cpu_smt_mask(cpu)
        .iter()
        .all(|sibling| sibling == cpu || idle_cpu(sibling))
}

/// Whether the running task itself has to be moved.
fn need_active_balance(env: &LbEnv) -> bool {
    let sd = env.sd;
    // Bound tasks, or an uneven spread with room to spare: waiting tasks alone will not even it out.
    if env.migration_type == MigrationType::Task
        && sd.nr_balance_failed.get() > sd.cache_nice_tries.get() + 2
    {
        return true;
    }
    // The task would have more of this CPU than other classes leave it there.
    let src_cpu = cpu_of(env.src_rq);
    if env.idle != CpuIdleType::NotIdle
        && env.src_rq.cfs.h_nr_running.get() == 1
        && check_cpu_capacity(env.src_rq, sd)
        && capacity_of(src_cpu) * u64::from(sd.imbalance_pct.get()) < capacity_of(env.dst_cpu) * 100
    {
        return true;
    }
    env.migration_type == MigrationType::Misfit
}

/// Asks the busiest CPU's stopper to push the task that runs there. None if that task may not run here, else
/// whether it was asked: not if it is on its way already.
#[inline(always)]
fn start_active_balance(this_cpu: u32, env: &mut LbEnv, busiest: RqRef) -> Option<bool> {
    let flags = local_irq_save();
    raw_spin_rq_lock(busiest);
    if !busiest.current().allowed().test(this_cpu) {
        raw_spin_rq_unlock(busiest);
        local_irq_restore(flags);
        return None;
    }
    // One that may run here is found.
    env.flags &= !LBF_ALL_PINNED;
    // Whoever sets it owns the work until the stopper clears it.
    let active_balance = busiest.active_balance.get() == 0;
    if active_balance {
        busiest.active_balance.set(1);
        busiest.push_cpu.set(this_cpu as i32);
    }
    preempt_disable();
    raw_spin_rq_unlock(busiest);
    local_irq_restore(flags);
    if active_balance
        && stop_one_cpu_nowait(
            cpu_of(busiest),
            active_load_balance_cpu_stop,
            VoidPtr::new(busiest),
            &busiest.active_balance_work,
        )
    {
        count(&kreplay_counters.balance_stop_works);
    }
    preempt_enable();
    Some(active_balance)
}

/// The stopper's part of an active balance: the task that ran here waits now, so it can be moved.
///
/// # Context
/// The stopper thread of the busiest CPU, preemption off, interrupts on.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn active_load_balance_cpu_stop(data: VoidPtr) -> i32 {
    let busiest_rq: RqRef = data.get::<Rq>();
    let busiest_cpu = cpu_of(busiest_rq);
    let target_cpu = busiest_rq.push_cpu.get() as u32;
    let target_rq = cpu_rq(target_cpu);
    let mut p = None;

    local_irq_disable();
    raw_spin_rq_lock(busiest_rq);
    // A CPU may have gone inactive, or the task, since we were asked; the stopper itself counts as one.
    let go = cpu_active(busiest_cpu)
        && cpu_active(target_cpu)
        && busiest_cpu == raw_smp_processor_id()
        && busiest_rq.active_balance.get() != 0
        && busiest_rq.nr_running.get() > 1;
    if go {
        WARN_ON_ONCE!(same_rq(busiest_rq, target_rq));
        let sd = for_each_domain(target_cpu).find(|&sd| sched_domain_span(sd).test(busiest_cpu));
        if let Some(sd) = sd {
            let mut env = LbEnv::new(sd, busiest_rq, target_cpu, CpuIdleType::Idle);
            env.flags = LBF_ACTIVE_LB;
            schedstat_inc(&sd.alb_count);
            update_rq_clock(busiest_rq);
            p = detach_one_task(&mut env);
            if p.is_some() {
                schedstat_inc(&sd.alb_pushed);
                sd.nr_balance_failed.set(0);
            } else {
                schedstat_inc(&sd.alb_failed);
            }
        }
    }
    busiest_rq.active_balance.set(0);
    raw_spin_rq_unlock(busiest_rq);
    if let Some(p) = p {
        attach_one_task(target_rq, p);
    }
    local_irq_enable();
    0
}
