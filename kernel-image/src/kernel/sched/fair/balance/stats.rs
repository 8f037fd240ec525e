//! Who is busiest, and how much has to move.
//!
//! Linux: `kernel/sched/fair.c` (v6.8): `update_sd_lb_stats`, `find_busiest_group`, `calculate_imbalance`,
//! `find_busiest_queue`. Kept: the types of groups and their order, every comparison. Left out: NUMA,
//! packing, energy. Differs: the decisions are functions of their numbers, so that they can be tested.
//! Locks: none; runqueues are only looked at.

use super::{CpuIdleType, LbEnv, MigrationType};
use crate::include::linux::cpumask::Cpumask;
use crate::include::linux::jiffies::{jiffies, time_after_eq};
use crate::include::linux::sched::topology::{
    SD_ASYM_CPUCAPACITY, SD_PREFER_SIBLING, SD_SHARE_CPUCAPACITY, SD_SHARE_PKG_RESOURCES,
    sched_domain_span,
};
use crate::kernel::sched::core::idle_cpu;
use crate::kernel::sched::fair::capacity::{
    capacity_greater, capacity_of, check_cpu_capacity, cpu_overutilized, sched_reduced_capacity,
    update_group_capacity,
};
use crate::kernel::sched::fair::load::demand::{
    cpu_load, cpu_runnable, cpu_util_cfs, cpu_util_cfs_boost,
};
use crate::kernel::sched::features::{SchedFeat, sched_feat};
use crate::kernel::sched::sched::{
    RqRef, SCHED_CAPACITY_SCALE, SG_OVERLOAD, SG_OVERUTILIZED, SchedGroup, cpu_rq, sched_group_span,
};
use crate::kernel::sched::topology::{sd_llc_shared, sd_llc_size};

/// How busy a group is; a later one is in more need of help.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum GroupType {
    /// It has room for more.
    HasSpare,
    /// It is full, and nobody waits for a CPU.
    FullyBusy,
    /// A task needs a stronger CPU.
    MisfitTask,
    /// Tasks share cores while others are free.
    SmtBalance,
    /// (Never: packing.)
    AsymPacking,
    /// Bound tasks keep it from an even spread.
    Imbalanced,
    /// There is more to do than it can.
    Overloaded,
}

/// What is known of a group.
#[doc(alias = "sg_lb_stats")]
#[derive(Clone, Copy, Debug)]
pub struct SgLbStats {
    /// Load over capacity; only where it matters.
    pub avg_load: u64,
    /// Sum of its CPUs' loads.
    pub group_load: u64,
    /// Sum of their capacities.
    pub group_capacity: u64,
    /// Sum of what is used.
    pub group_util: u64,
    /// Sum of what wants to run.
    pub group_runnable: u64,
    /// Tasks of all classes.
    pub sum_nr_running: u32,
    /// Fair tasks.
    pub sum_h_nr_running: u32,
    /// CPUs that idle.
    pub idle_cpus: u32,
    /// CPUs.
    pub group_weight: u32,
    /// What it is.
    pub group_type: GroupType,
    /// Tasks share its core, and the destination idles.
    pub group_smt_balance: bool,
    /// The heaviest task that is too heavy for its CPU.
    pub group_misfit_task_load: u64,
}

impl SgLbStats {
    /// Of a group that has not been looked at.
    pub const fn new() -> SgLbStats {
        SgLbStats {
            avg_load: 0,
            group_load: 0,
            group_capacity: 0,
            group_util: 0,
            group_runnable: 0,
            sum_nr_running: 0,
            sum_h_nr_running: 0,
            idle_cpus: 0,
            group_weight: 0,
            group_type: GroupType::HasSpare,
            group_smt_balance: false,
            group_misfit_task_load: 0,
        }
    }
}

/// What is known of a domain.
#[doc(alias = "sd_lb_stats")]
pub struct SdLbStats {
    /// The busiest group but ours.
    pub busiest: Option<&'static SchedGroup>,
    /// Ours.
    pub local: Option<&'static SchedGroup>,
    /// Sum of all groups' loads.
    pub total_load: u64,
    /// Sum of all groups' capacities.
    pub total_capacity: u64,
    /// The one over the other.
    pub avg_load: u64,
    /// Tasks are to be spread over the groups.
    pub prefer_sibling: bool,
    /// Of the busiest.
    pub busiest_stat: SgLbStats,
    /// Of ours.
    pub local_stat: SgLbStats,
}

impl SdLbStats {
    fn new() -> SdLbStats {
        let mut busiest_stat = SgLbStats::new();
        busiest_stat.idle_cpus = u32::MAX;
        SdLbStats {
            busiest: None,
            local: None,
            total_load: 0,
            total_capacity: 0,
            avg_load: 0,
            prefer_sibling: false,
            busiest_stat,
            local_stat: SgLbStats::new(),
        }
    }
}

/// Whether a group could take more.
fn group_has_capacity(imbalance_pct: u64, sgs: &SgLbStats) -> bool {
    if sgs.sum_nr_running < sgs.group_weight {
        return true;
    }
    if sgs.group_capacity * imbalance_pct < sgs.group_runnable * 100 {
        return false;
    }
    sgs.group_capacity * 100 > sgs.group_util * imbalance_pct
}

/// Whether a group has more to do than it can.
fn group_is_overloaded(imbalance_pct: u64, sgs: &SgLbStats) -> bool {
    if sgs.sum_nr_running <= sgs.group_weight {
        return false;
    }
    sgs.group_capacity * 100 < sgs.group_util * imbalance_pct
        || sgs.group_capacity * imbalance_pct < sgs.group_runnable * 100
}

/// What a group is; `imbalanced`: bound tasks made a balance below fail.
pub fn group_classify(imbalance_pct: u64, imbalanced: bool, sgs: &SgLbStats) -> GroupType {
    if group_is_overloaded(imbalance_pct, sgs) {
        GroupType::Overloaded
    } else if imbalanced {
        GroupType::Imbalanced
    } else if sgs.group_smt_balance {
        GroupType::SmtBalance
    } else if sgs.group_misfit_task_load != 0 {
        GroupType::MisfitTask
    } else if !group_has_capacity(imbalance_pct, sgs) {
        GroupType::FullyBusy
    } else {
        GroupType::HasSpare
    }
}

/// What a look at the groups says of the root domain.
#[derive(Default)]
struct SgStatus {
    overload: bool,
    overutilized: bool,
}

fn update_sg_lb_stats(
    env: &LbEnv,
    local_group: bool,
    group: &'static SchedGroup,
    sg_status: &mut SgStatus,
) -> SgLbStats {
    let mut sgs = SgLbStats::new();
    for i in sched_group_span(group).and(env.cpus).iter() {
        let rq = cpu_rq(i);
        let load = cpu_load(rq);
        sgs.group_load += load;
        sgs.group_util += cpu_util_cfs(i);
        sgs.group_runnable += cpu_runnable(rq);
        sgs.sum_h_nr_running += rq.cfs.h_nr_running.get();
        let nr_running = rq.nr_running.get();
        sgs.sum_nr_running += nr_running;
        sg_status.overload |= nr_running > 1;
        sg_status.overutilized |= cpu_overutilized(i);
        if nr_running == 0 && idle_cpu(i) {
            sgs.idle_cpus += 1;
            continue;
        }
        if local_group {
            continue;
        }
        if env.sd.has(SD_ASYM_CPUCAPACITY) {
            if sgs.group_misfit_task_load < rq.misfit_task_load.get() {
                sgs.group_misfit_task_load = rq.misfit_task_load.get();
                sg_status.overload = true;
            }
        } else if env.idle != CpuIdleType::NotIdle && sched_reduced_capacity(rq, env.sd) {
            sgs.group_misfit_task_load = sgs.group_misfit_task_load.max(load);
        }
    }
    sgs.group_capacity = group.sgc().capacity.get();
    sgs.group_weight = group.group_weight.get();
    sgs.group_smt_balance = !local_group
        && env.idle != CpuIdleType::NotIdle
        && group.flags.get() & SD_SHARE_CPUCAPACITY != 0
        && sgs.sum_h_nr_running > 1;
    sgs.group_type = group_classify(
        u64::from(env.sd.imbalance_pct.get()),
        group.sgc().imbalance.get() != 0,
        &sgs,
    );
    if sgs.group_type == GroupType::Overloaded {
        sgs.avg_load = sgs.group_load * SCHED_CAPACITY_SCALE / sgs.group_capacity;
    }
    sgs
}

fn smt_vs_nonsmt_groups(a: Option<&SchedGroup>, b: Option<&SchedGroup>) -> bool {
    let (Some(a), Some(b)) = (a, b) else {
        return false;
    };
    (a.flags.get() ^ b.flags.get()) & SD_SHARE_CPUCAPACITY != 0
}

/// Whether a group is busier than the busiest one so far.
fn update_sd_pick_busiest(
    env: &LbEnv,
    sds: &SdLbStats,
    sg: &'static SchedGroup,
    sgs: &SgLbStats,
) -> bool {
    // Something to pull.
    if sgs.sum_h_nr_running == 0 {
        return false;
    }
    let asym = env.sd.has(SD_ASYM_CPUCAPACITY);
    let dst_capacity = capacity_of(env.dst_cpu);
    // A misfit whom we cannot help.
    if asym
        && sgs.group_type == GroupType::MisfitTask
        && (!capacity_greater(dst_capacity, sg.sgc().max_capacity.get())
            || sds.local_stat.group_type != GroupType::HasSpare)
    {
        return false;
    }
    let busiest = &sds.busiest_stat;
    if sgs.group_type != busiest.group_type {
        return sgs.group_type > busiest.group_type;
    }
    let more_tasks = || {
        sgs.idle_cpus < busiest.idle_cpus
            || sgs.idle_cpus == busiest.idle_cpus && sgs.sum_nr_running > busiest.sum_nr_running
    };
    let more_load = || {
        sgs.avg_load > busiest.avg_load
            || sgs.avg_load == busiest.avg_load
                // Cores that are shared need help more.
                && sds
                    .busiest
                    .is_none_or(|it| it.flags.get() & SD_SHARE_CPUCAPACITY == 0)
    };
    let busier = match sgs.group_type {
        GroupType::Overloaded => sgs.avg_load > busiest.avg_load,
        GroupType::Imbalanced | GroupType::AsymPacking => false,
        GroupType::MisfitTask => sgs.group_misfit_task_load > busiest.group_misfit_task_load,
        GroupType::SmtBalance if sgs.idle_cpus != 0 || busiest.idle_cpus != 0 => more_tasks(),
        GroupType::SmtBalance | GroupType::FullyBusy => more_load(),
        GroupType::HasSpare if smt_vs_nonsmt_groups(sds.busiest, Some(sg)) => {
            // Its only task would leave a core idle.
            return sg.flags.get() & SD_SHARE_CPUCAPACITY == 0 || sgs.sum_h_nr_running > 1;
        }
        GroupType::HasSpare => more_tasks(),
    };
    // From strong CPUs with a task each to a weak one: no.
    let weaker = asym
        && sgs.group_type <= GroupType::FullyBusy
        && capacity_greater(sg.sgc().min_capacity.get(), dst_capacity);
    busier && !weaker
}

fn update_sd_lb_stats(env: &LbEnv, sds: &mut SdLbStats) {
    let mut sg_status = SgStatus::default();
    let mut sum_util = 0;
    for sg in env.sd.local_group().circle() {
        let local_group = sched_group_span(sg).test(env.dst_cpu);
        if local_group {
            sds.local = Some(sg);
            let due = time_after_eq(jiffies(), sg.sgc().next_update.get());
            if env.idle != CpuIdleType::NewlyIdle || due {
                update_group_capacity(env.sd, env.dst_cpu);
            }
        }
        let sgs = update_sg_lb_stats(env, local_group, sg, &mut sg_status);
        if local_group {
            sds.local_stat = sgs;
        } else if update_sd_pick_busiest(env, sds, sg, &sgs) {
            sds.busiest = Some(sg);
            sds.busiest_stat = sgs;
        }
        sds.total_load += sgs.group_load;
        sds.total_capacity += sgs.group_capacity;
        sum_util += sgs.group_util;
    }
    // A group's flags are its child domain's.
    sds.prefer_sibling = sds
        .busiest
        .is_some_and(|busiest| busiest.flags.get() & SD_PREFER_SIBLING != 0);
    let rd = env.dst_rq.rd();
    if env.sd.parent.get().is_none() {
        rd.overload.set(SG_OVERLOAD * i32::from(sg_status.overload));
        rd.overutilized
            .set(SG_OVERUTILIZED * i32::from(sg_status.overutilized));
    } else if sg_status.overutilized {
        rd.overutilized.set(SG_OVERUTILIZED);
    }
    update_idle_cpu_scan(env, sum_util);
}

/// The busier the cache's CPUs, the fewer of them a wake-up looks at.
fn update_idle_cpu_scan(env: &LbEnv, sum_util: u64) {
    if !sched_feat(SchedFeat::SIS_UTIL) || env.idle == CpuIdleType::NewlyIdle {
        return;
    }
    let llc_weight = sd_llc_size.per_cpu(env.dst_cpu).get();
    if env.sd.span_weight.get() != llc_weight {
        return;
    }
    let Some(sd_share) = sd_llc_shared.per_cpu(env.dst_cpu).get() else {
        return;
    };
    let nr = nr_idle_scan(sum_util, llc_weight, u64::from(env.sd.imbalance_pct.get()));
    if nr != sd_share.nr_idle_scan.get() {
        sd_share.nr_idle_scan.set(nr);
    }
}

/// How many CPUs of a cache to look at: all while nothing runs, falling as a parabola to none at 85 % (with
/// the usual 117).
pub fn nr_idle_scan(sum_util: u64, llc_weight: u32, pct: u64) -> i32 {
    let x = sum_util / u64::from(llc_weight);
    let tmp = x * x * pct * pct / (10_000 * SCHED_CAPACITY_SCALE);
    let y = SCHED_CAPACITY_SCALE - tmp.min(SCHED_CAPACITY_SCALE);
    (y * u64::from(llc_weight) / SCHED_CAPACITY_SCALE) as i32
}

/// By how many tasks the groups differ, as if they had as many cores.
pub fn sibling_imbalance(
    idle: CpuIdleType,
    (busiest, ncores_busiest): (&SgLbStats, u64),
    (local, ncores_local): (&SgLbStats, u64),
) -> u64 {
    if idle == CpuIdleType::NotIdle || busiest.sum_nr_running == 0 {
        return 0;
    }
    let (nr_busiest, nr_local) = (
        u64::from(busiest.sum_nr_running),
        u64::from(local.sum_nr_running),
    );
    if ncores_busiest == ncores_local {
        return nr_busiest.saturating_sub(nr_local);
    }
    let imbalance = (ncores_local * nr_busiest).saturating_sub(ncores_busiest * nr_local);
    let ncores = ncores_local + ncores_busiest;
    let imbalance = (2 * imbalance + ncores) / ncores;
    // An empty group takes one though rounding says no.
    if imbalance <= 1 && nr_local == 0 && nr_busiest > 1 {
        return 2;
    }
    imbalance
}

fn sds_sibling_imbalance(env: &LbEnv, sds: &SdLbStats) -> u64 {
    let cores = |sg: Option<&SchedGroup>| sg.map_or(1, |sg| u64::from(sg.cores.get()));
    sibling_imbalance(
        env.idle,
        (&sds.busiest_stat, cores(sds.busiest)),
        (&sds.local_stat, cores(sds.local)),
    )
}

/// What has to move to even things out.
fn calculate_imbalance(env: &mut LbEnv, sds: &mut SdLbStats) {
    let busiest = sds.busiest_stat;
    let (migration_type, imbalance) = match busiest.group_type {
        GroupType::MisfitTask if env.sd.has(SD_ASYM_CPUCAPACITY) => (MigrationType::Misfit, 1),
        // Away from a CPU that other classes take part of.
        GroupType::MisfitTask => (MigrationType::Load, busiest.group_misfit_task_load),
        // Averages say nothing here: one task, and look again.
        GroupType::SmtBalance | GroupType::AsymPacking | GroupType::Imbalanced => {
            (MigrationType::Task, 1)
        }
        _ if sds.local_stat.group_type == GroupType::HasSpare => use_spare(env, sds),
        _ => even_load(sds),
    };
    env.migration_type = migration_type;
    env.imbalance = imbalance as i64;
}

/// We have room: fill it, without taking more than the busiest has too much.
fn use_spare(env: &LbEnv, sds: &SdLbStats) -> (MigrationType, u64) {
    let (local, busiest) = (&sds.local_stat, &sds.busiest_stat);
    if busiest.group_type > GroupType::FullyBusy && !env.sd.has(SD_SHARE_PKG_RESOURCES) {
        let room = local.group_capacity.saturating_sub(local.group_util);
        if env.idle != CpuIdleType::NotIdle && room == 0 {
            // Full by the numbers, which lag behind; but we idle, and somebody waits there.
            return (MigrationType::Task, 1);
        }
        return (MigrationType::Util, room);
    }
    let difference = if busiest.group_weight == 1 || sds.prefer_sibling {
        sds_sibling_imbalance(env, sds)
    } else {
        u64::from(local.idle_cpus.saturating_sub(busiest.idle_cpus))
    };
    // Half of the difference makes it even.
    (MigrationType::Task, difference >> 1)
}

/// Both are full or will be: towards the mean of the domain.
fn even_load(sds: &mut SdLbStats) -> (MigrationType, u64) {
    let (local, busiest) = (&mut sds.local_stat, &sds.busiest_stat);
    if local.group_type < GroupType::Overloaded {
        local.avg_load = local.group_load * SCHED_CAPACITY_SCALE / local.group_capacity;
        if local.avg_load >= busiest.avg_load {
            return (MigrationType::Load, 0);
        }
        sds.avg_load = sds.total_load * SCHED_CAPACITY_SCALE / sds.total_capacity;
        if local.avg_load >= sds.avg_load {
            return (MigrationType::Load, 0);
        }
    }
    let amount = towards_mean(
        (busiest.avg_load, busiest.group_capacity),
        (local.avg_load, local.group_capacity),
        sds.avg_load,
    );
    (MigrationType::Load, amount)
}

/// How much load to move from one group to another, each with its average load and its capacity: neither shall be
/// on the other side of the mean afterwards. As v6.8 computes it, without signs: a busiest group that is below the
/// mean itself (a third one, which cannot be helped, lifts it) sets no bound.
pub fn towards_mean(busiest: (u64, u64), local: (u64, u64), mean: u64) -> u64 {
    let far = |a: u64, b: u64, capacity: u64| a.wrapping_sub(b).wrapping_mul(capacity);
    let too_much = far(busiest.0, mean, busiest.1);
    let too_little = far(mean, local.0, local.1);
    too_much.min(too_little) / SCHED_CAPACITY_SCALE
}

/// The busiest group of the domain if it is busier than ours by enough; sets the imbalance.
pub(super) fn find_busiest_group(env: &mut LbEnv) -> Option<&'static SchedGroup> {
    env.imbalance = 0;
    let mut sds = SdLbStats::new();
    update_sd_lb_stats(env, &mut sds);
    let busiest = sds.busiest?;
    if !is_imbalanced(env, &mut sds) {
        return None;
    }
    calculate_imbalance(env, &mut sds);
    (env.imbalance != 0).then_some(busiest)
}

/// Whether the busiest group is busier than ours by enough.
fn is_imbalanced(env: &LbEnv, sds: &mut SdLbStats) -> bool {
    let (local, busiest) = (&sds.local_stat, &sds.busiest_stat);
    // Whatever the load.
    if matches!(
        busiest.group_type,
        GroupType::MisfitTask | GroupType::AsymPacking | GroupType::Imbalanced
    ) {
        return true;
    }
    if local.group_type > busiest.group_type {
        return false;
    }
    if local.group_type == GroupType::Overloaded {
        if local.avg_load >= busiest.avg_load {
            return false;
        }
        sds.avg_load = sds.total_load * SCHED_CAPACITY_SCALE / sds.total_capacity;
        if local.avg_load >= sds.avg_load {
            return false;
        }
        let pct = u64::from(env.sd.imbalance_pct.get());
        if 100 * busiest.avg_load <= pct * local.avg_load {
            return false;
        }
    }
    if sds.prefer_sibling
        && local.group_type == GroupType::HasSpare
        && sds_sibling_imbalance(env, sds) > 1
    {
        return true;
    }
    if busiest.group_type == GroupType::Overloaded {
        return true;
    }
    // Not so busy: let an idle CPU pull, if there is one.
    if env.idle == CpuIdleType::NotIdle {
        return false;
    }
    if busiest.group_type == GroupType::SmtBalance && smt_vs_nonsmt_groups(sds.local, sds.busiest) {
        return true;
    }
    // One idle CPU less there and one more here would change nothing.
    if busiest.group_weight > 1 && local.idle_cpus <= busiest.idle_cpus.saturating_add(1) {
        return false;
    }
    // Nobody waits there.
    busiest.sum_h_nr_running != 1
}

/// The busiest CPU of a group.
pub(super) fn find_busiest_queue(env: &LbEnv, group: &'static SchedGroup) -> Option<RqRef> {
    let mut busiest = None;
    let (mut busiest_load, mut busiest_util, mut busiest_capacity, mut busiest_nr) = (0, 0, 1, 0);
    let candidates: Cpumask = sched_group_span(group).and(env.cpus);
    for i in candidates.iter() {
        let rq = cpu_rq(i);
        let nr_running = rq.cfs.h_nr_running.get();
        if nr_running == 0 {
            continue;
        }
        let capacity = capacity_of(i);
        // Its only task would go from a strong CPU to a weak one.
        if env.sd.has(SD_ASYM_CPUCAPACITY)
            && !capacity_greater(capacity_of(env.dst_cpu), capacity)
            && nr_running == 1
        {
            continue;
        }
        match env.migration_type {
            MigrationType::Load => {
                let load = cpu_load(rq);
                if nr_running == 1 && load as i64 > env.imbalance && !check_cpu_capacity(rq, env.sd)
                {
                    continue;
                }
                // Load over capacity, compared without division.
                if load * busiest_capacity > busiest_load * capacity {
                    (busiest_load, busiest_capacity) = (load, capacity);
                    busiest = Some(rq);
                }
            }
            MigrationType::Util => {
                let util = cpu_util_cfs_boost(i);
                // A CPU's only task will not be detached anyway.
                if nr_running > 1 && busiest_util < util {
                    busiest_util = util;
                    busiest = Some(rq);
                }
            }
            MigrationType::Task => {
                if busiest_nr < nr_running {
                    busiest_nr = nr_running;
                    busiest = Some(rq);
                }
            }
            MigrationType::Misfit => {
                if rq.misfit_task_load.get() > busiest_load {
                    busiest_load = rq.misfit_task_load.get();
                    busiest = Some(rq);
                }
            }
        }
    }
    debug_assert!(sched_domain_span(env.sd).test(env.dst_cpu));
    busiest
}
