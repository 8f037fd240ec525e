//! The making of scheduling domains and their groups.
//!
//! Linux: `kernel/sched/topology.c` (v6.8): `build_sched_domains`, `sd_init`, `build_sched_groups`,
//! `init_sched_groups_capacity`, `asym_cpu_capacity_classify`. Kept: every number, the order of building.
//! Left out: NUMA distances, packing priorities. Differs: memory: a set is one of a few static ones, and is
//! built anew when its last users are gone.
//! Locks: `sched_domains_mutex`.

use super::{
    TOPOLOGY_LEVELS, cpu_attach_domain, init_rootdomain, sched_asym_cpucapacity,
    sched_domain_topology,
};
use crate::arch::x86::kernel::smpboot::cpu_smt_mask;
use crate::fence::shared::Shared;
use crate::include::linux::cpumask::{Cpumask, NR_CPUS};
use crate::include::linux::jiffies::jiffies;
use crate::include::linux::sched::topology::*;
use crate::kernel::sched::fair::capacity::{arch_scale_cpu_capacity, update_group_capacity};
use crate::kernel::sched::sched::{
    RootDomain, SCHED_CAPACITY_SCALE, SchedGroup, SchedGroupCapacity, group_balance_cpu,
    sched_group_span,
};
use crate::{BUG_ON, WARN_ON_ONCE};
use core::sync::atomic::Ordering;

/// What a level has for each CPU (`struct sd_data`).
#[doc(alias = "sd_data")]
struct SdData {
    sd: [SchedDomain; NR_CPUS],
    sds: [SchedDomainShared; NR_CPUS],
    sg: [SchedGroup; NR_CPUS],
    sgc: [SchedGroupCapacity; NR_CPUS],
}

/// All that is built at once (`struct s_data`).
#[doc(alias = "s_data")]
pub struct SData {
    levels: [SdData; TOPOLOGY_LEVELS],
    rd: RootDomain,
    /// CPUs of some domain differ in capacity.
    has_asym: Shared<bool>,
}

/// One set is in force; others may still be looked at by whoever began before the change.
const SETS: usize = 3;
static sets: [SData; SETS] = [const {
    SData {
        levels: [const {
            SdData {
                sd: [const { SchedDomain::new() }; NR_CPUS],
                sds: [const { SchedDomainShared::new() }; NR_CPUS],
                sg: [const { SchedGroup::new() }; NR_CPUS],
                sgc: [const { SchedGroupCapacity::new() }; NR_CPUS],
            }
        }; TOPOLOGY_LEVELS],
        rd: RootDomain::new(),
        has_asym: Shared::new(false),
    }
}; SETS];
/// The set that was built last.
static current_set: Shared<usize> = Shared::new(SETS - 1);

/// The next set, which nobody uses any more, as if it had just been allocated.
fn get_set() -> &'static SData {
    let next = (current_set.get() + 1) % SETS;
    current_set.set(next);
    let set = &sets[next];
    BUG_ON!(set.rd.refcount.load(Ordering::Acquire) != 0);
    for level in &set.levels {
        for shared in &level.sds {
            shared.r#ref.store(0, Ordering::Relaxed);
            shared.nr_busy_cpus.store(0, Ordering::Relaxed);
            shared.has_idle_cores.set(0);
            shared.nr_idle_scan.set(0);
        }
        for group in &level.sg {
            group.r#ref.set(0);
            group.next.set(None);
            group.flags.set(0);
            group.cpumask.set(Cpumask::EMPTY);
        }
    }
    init_rootdomain(&set.rd);
    set
}

impl SData {
    /// The narrowest domain of a CPU, levels that say nothing included.
    pub fn narrowest(&'static self, cpu: u32) -> Option<SdRef> {
        Some(&self.levels[0].sd[cpu as usize])
    }
}

/// Builds domains for these CPUs and attaches the CPUs to them.
pub(super) fn build_sched_domains(cpu_map: Cpumask) {
    let d = make_sched_domains(cpu_map);
    for cpu in cpu_map.iter() {
        let capacity = arch_scale_cpu_capacity(cpu);
        let max = d.rd.max_cpu_capacity.get().max(capacity);
        d.rd.max_cpu_capacity.set(max);
        cpu_attach_domain(d.narrowest(cpu), &d.rd, cpu);
    }
    if d.has_asym.get() {
        sched_asym_cpucapacity.fetch_add(1, Ordering::Relaxed);
    }
}

/// Builds domains and groups for these CPUs; nobody uses them yet.
pub fn make_sched_domains(cpu_map: Cpumask) -> &'static SData {
    let d = get_set();
    d.has_asym.set(build_levels(d, cpu_map));
    for cpu in cpu_map.iter() {
        for sd in domains_of(d, cpu) {
            sd.span_weight.set(sched_domain_span(sd).weight());
            build_sched_groups(d, sd, cpu);
        }
    }
    // The highest first: a group's capacity is computed by its first CPU, after its children's.
    for cpu in (0..NR_CPUS as u32).rev().filter(|&cpu| cpu_map.test(cpu)) {
        for sd in domains_of(d, cpu) {
            init_sched_groups_capacity(cpu, sd);
        }
    }
    d
}

/// The domains of a CPU, none taken out yet.
fn domains_of(d: &'static SData, cpu: u32) -> impl Iterator<Item = SdRef> {
    let mut at = Some(&d.levels[0].sd[cpu as usize]);
    core::iter::from_fn(move || {
        let sd = at?;
        at = sd.parent.get();
        Some(sd)
    })
}

/// Every CPU's domains, up to the level that has all CPUs. Whether capacities differ in one.
fn build_levels(d: &'static SData, cpu_map: Cpumask) -> bool {
    let levels = sched_domain_topology
        .get()
        .expect("a machine without levels");
    let mut has_asym = false;
    for cpu in cpu_map.iter() {
        let mut child = None;
        for (n, tl) in levels.iter().enumerate() {
            let sd = sd_init(d, n, tl, cpu_map, child, cpu);
            has_asym |= sd.has(SD_ASYM_CPUCAPACITY);
            child = Some(sd);
            if sched_domain_span(sd) == cpu_map {
                break;
            }
        }
    }
    has_asym
}

/// The domain of a CPU at a level.
fn sd_init(
    d: &'static SData,
    level: usize,
    tl: &SchedDomainTopologyLevel,
    cpu_map: Cpumask,
    child: Option<SdRef>,
    cpu: u32,
) -> SdRef {
    let sdd = &d.levels[level];
    let sd = &sdd.sd[cpu as usize];
    let sd_weight = (tl.mask)(cpu).weight();
    let span = cpu_map.and((tl.mask)(cpu));
    sd.span.set(span);
    sd.parent.set(None);
    sd.child.set(child);
    sd.groups.set(None);
    sd.shared.set(None);
    sd.min_interval.set(u64::from(sd_weight));
    sd.max_interval.set(2 * u64::from(sd_weight));
    sd.busy_factor.set(16);
    sd.imbalance_pct.set(117);
    sd.cache_nice_tries.set(0);
    sd.nohz_idle.set(0);
    sd.last_balance.set(jiffies());
    sd.balance_interval.set(sd_weight);
    sd.nr_balance_failed.set(0);
    sd.max_newidle_lb_cost.set(0);
    sd.reset_stats();
    sd.last_decay_max_lb_cost.set(jiffies());
    sd.topology_level.set(level as u32);
    sd.level.set(child.map_or(0, |child| child.level.get() + 1));
    sd.flags.set(
        SD_BALANCE_NEWIDLE
            | SD_BALANCE_EXEC
            | SD_BALANCE_FORK
            | SD_WAKE_AFFINE
            | SD_PREFER_SIBLING
            | (tl.sd_flags)()
            | asym_cpu_capacity_classify(span, cpu_map),
    );
    WARN_ON_ONCE!(sd.has(SD_SHARE_CPUCAPACITY) && sd.has(SD_ASYM_CPUCAPACITY));
    if let Some(child) = child {
        child.parent.set(Some(sd));
        BUG_ON!(!sched_domain_span(child).subset(span));
        // Between CPUs of unlike capacity an even spread is not what is wanted.
        if sd.has(SD_ASYM_CPUCAPACITY) {
            child.flags.and_not(SD_PREFER_SIBLING);
        }
    }
    if sd.has(SD_SHARE_CPUCAPACITY) {
        sd.imbalance_pct.set(110);
    } else {
        sd.cache_nice_tries.set(1);
    }
    // Whoever shares a cache shares this, as well.
    if sd.has(SD_SHARE_PKG_RESOURCES) {
        let shared = &sdd.sds[span.first() as usize];
        shared.r#ref.fetch_add(1, Ordering::Relaxed);
        shared
            .nr_busy_cpus
            .store(sd_weight as i32, Ordering::Relaxed);
        sd.shared.set(Some(shared));
    }
    sd
}

/// The flags of a span whose CPUs differ in capacity.
fn asym_cpu_capacity_classify(sd_span: Cpumask, cpu_map: Cpumask) -> u32 {
    classify(&arch_scale_cpu_capacity, sd_span, cpu_map)
}

/// The same for any capacities.
pub fn classify(capacity: &dyn Fn(u32) -> u64, sd_span: Cpumask, cpu_map: Cpumask) -> u32 {
    // The first CPU of each capacity stands for it.
    let first_of_its_kind = |among: Cpumask| {
        among.iter().filter(move |&cpu| {
            !among
                .iter()
                .take_while(|&earlier| earlier < cpu)
                .any(|earlier| capacity(earlier) == capacity(cpu))
        })
    };
    if first_of_its_kind(sd_span).count() < 2 {
        return 0;
    }
    let missing = first_of_its_kind(cpu_map)
        .any(|cpu| !sd_span.iter().any(|it| capacity(it) == capacity(cpu)));
    if missing {
        SD_ASYM_CPUCAPACITY
    } else {
        SD_ASYM_CPUCAPACITY | SD_ASYM_CPUCAPACITY_FULL
    }
}

/// CPUs of `mask` in a circle, from `start` on.
pub fn for_each_cpu_wrap(mask: Cpumask, start: u32) -> impl Iterator<Item = u32> {
    let from = if start as usize >= NR_CPUS { 0 } else { start };
    let upper = mask.and(Cpumask::from_bits(!0 << from));
    upper.iter().chain(mask.andnot(upper).iter())
}

/// The circle of groups of a domain: each child domain within the span is one. It begins with the CPU's own.
fn build_sched_groups(d: &'static SData, sd: SdRef, cpu: u32) {
    let mut covered = Cpumask::EMPTY;
    let mut first = None;
    let mut last: Option<&'static SchedGroup> = None;
    for i in for_each_cpu_wrap(sched_domain_span(sd), cpu) {
        if covered.test(i) {
            continue;
        }
        let sg = get_group(&d.levels[sd.topology_level.get() as usize], i);
        covered = covered.or(sched_group_span(sg));
        match last {
            Some(last) => last.next.set(Some(sg)),
            None => first = Some(sg),
        }
        last = Some(sg);
    }
    if let Some(last) = last {
        last.next.set(first);
    }
    sd.groups.set(first);
}

/// The group of a CPU at a level; the first one who asks sets it up.
fn get_group(sdd: &'static SdData, cpu: u32) -> &'static SchedGroup {
    let sd = &sdd.sd[cpu as usize];
    let child = sd.child.get();
    let cpu = child.map_or(cpu, |child| sched_domain_span(child).first());
    let sg = &sdd.sg[cpu as usize];
    let already_visited = sg.r#ref.get() != 0;
    sg.r#ref.inc();
    if already_visited {
        return sg;
    }
    let sgc = &sdd.sgc[cpu as usize];
    sg.sgc.set(Some(sgc));
    let span = match child {
        Some(child) => {
            sg.flags.set(child.flags.get());
            sched_domain_span(child)
        }
        None => Cpumask::of(cpu),
    };
    sg.cpumask.set(span);
    sgc.cpumask.set(span);
    sgc.capacity
        .set(SCHED_CAPACITY_SCALE * u64::from(span.weight()));
    sgc.min_capacity.set(SCHED_CAPACITY_SCALE);
    sgc.max_capacity.set(SCHED_CAPACITY_SCALE);
    sgc.next_update.set(0);
    sgc.imbalance.set(0);
    sg
}

/// Weights and capacities of the groups.
fn init_sched_groups_capacity(cpu: u32, sd: SdRef) {
    for sg in sd.local_group().circle() {
        let mut cores = 0;
        let mut mask = sched_group_span(sg);
        sg.group_weight.set(mask.weight());
        while !mask.is_empty() {
            cores += 1;
            let first = mask.first();
            mask = mask.andnot(cpu_smt_mask(first)).without(first);
        }
        sg.cores.set(cores);
    }
    if cpu == group_balance_cpu(sd.local_group()) {
        update_group_capacity(sd, cpu);
    }
}
