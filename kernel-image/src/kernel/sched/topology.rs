//! Root domains and scheduling domains: which CPUs are balanced with which.
//!
//! Linux: `kernel/sched/topology.c` (v6.8). Kept: the passage of a runqueue from one root domain to another;
//! the domains of every CPU from the machine's levels with their numbers, the circles of groups, the removal
//! of levels that say nothing, the pointers to the cache's domain, the rebuilding when the set of active CPUs
//! changes. Left out: NUMA levels and overlapping groups (a machine with several nodes is balanced as one
//! with several packages), cpusets and isolated CPUs, packing, performance domains, what debugfs shows.
//! Differs: domains, groups and root domains are not allocated; they come from a few static sets, and a set
//! is used again only after a grace period. Debugging output is one line a CPU, with `sched_verbose`.
//! Locks: `sched_domains_mutex` for building; a runqueue's lock while it changes its root domain.

pub mod build;

use crate::arch::x86::include::asm::smp::raw_smp_processor_id;
use crate::fence::percpu::PerCpu;
use crate::fence::shared::Shared;
use crate::include::linux::cpumask::{
    Cpumask, NR_CPUS, cpu_active, cpu_active_mask, cpumask_any_and_distribute,
    cpumask_any_distribute,
};
use crate::include::linux::mutex::Mutex;
use crate::include::linux::rcupdate::{rcu_read_lock, rcu_read_unlock};
use crate::include::linux::sched::topology::{
    SD_ASYM_CPUCAPACITY_FULL, SD_CLUSTER, SD_DEGENERATE_GROUPS_MASK, SD_PREFER_SIBLING,
    SD_SHARE_PKG_RESOURCES, SD_SHARED_CHILD_MASK, SD_WAKE_AFFINE, SchedDomainShared,
    SchedDomainTopologyLevel, SdRef, sched_domain_span,
};
use crate::kernel::params::param;
use crate::kernel::rcu::tree::synchronize_rcu;
use crate::kernel::sched::core::hotplug::{set_rq_offline, set_rq_online};
use crate::kernel::sched::deadline::bandwidth::init_dl_bw;
use crate::kernel::sched::deadline::params::dl_rebuild_rd_accounting;
use crate::kernel::sched::sched::{
    RdRef, RootDomain, RqFlags, RqRef, cpu_of, cpu_rq, rq_lock_irqsave, rq_unlock_irqrestore,
    sched_group_span,
};
use crate::pr_info;
use build::build_sched_domains;
use core::sync::atomic::{AtomicI32, Ordering};

/// Guards the building of domains.
static sched_domains_mutex: Mutex = Mutex::new();
/// The CPUs that the domains in force were built for; empty: none are.
static doms_cur: Shared<Cpumask> = Shared::new(Cpumask::EMPTY);

/// Where every runqueue is before there are domains, and while they are rebuilt.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
pub static def_root_domain: RootDomain = RootDomain::new();

macro_rules! per_cpu_words {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $value:expr;)*) => {$(
        $(#[$doc])*
        #[expect(unsafe_code, reason = "no_mangle: known by name")]
        #[unsafe(no_mangle)]
        pub static $name: PerCpu<Shared<$type>> =
            PerCpu::new([const { Shared::new($value) }; NR_CPUS]);
    )*};
}
per_cpu_words! {
    /// The widest domain whose CPUs share the last cache level.
    sd_llc: Option<SdRef> = None;
    /// The number of its CPUs.
    sd_llc_size: u32 = 0;
    /// Its lowest CPU: two CPUs of the same number share the cache.
    sd_llc_id: u32 = 0;
    /// The same for the cluster, or for the cache where there are none.
    sd_share_id: u32 = 0;
    /// What its CPUs share.
    sd_llc_shared: Option<&'static SchedDomainShared> = None;
    /// The narrowest domain with all capacities of the machine.
    sd_asym_cpucapacity: Option<SdRef> = None;
}

/// Sets of domains in force whose CPUs differ in capacity (a static key in Linux).
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
pub static sched_asym_cpucapacity: AtomicI32 = AtomicI32::new(0);

/// Whether CPUs differ in capacity.
pub fn sched_asym_cpucap_active() -> bool {
    sched_asym_cpucapacity.load(Ordering::Relaxed) > 0
}

/// Whether two CPUs share the last cache level.
pub fn cpus_share_cache(this_cpu: u32, that_cpu: u32) -> bool {
    this_cpu == that_cpu || sd_llc_id.per_cpu(this_cpu).get() == sd_llc_id.per_cpu(that_cpu).get()
}

/// The domains of a CPU from the narrowest to the widest. Preemption is off.
pub fn for_each_domain(cpu: u32) -> impl Iterator<Item = SdRef> {
    let mut at = cpu_rq(cpu).sd.get();
    core::iter::from_fn(move || {
        let sd = at?;
        at = sd.parent.get();
        Some(sd)
    })
}

/// The CPU of a set that is nearest to `cpu` by the domains that wake-ups stay in; where several are as near,
/// this one, which needs no interrupt to be preempted. How `find_lowest_rq` and `find_later_rq` end, once
/// `cpu` itself is not in the set (ours as a function: Linux has it twice).
pub fn nearest_cpu(mask: Cpumask, cpu: u32) -> Option<u32> {
    let here = Some(raw_smp_processor_id()).filter(|&here| mask.test(here));
    rcu_read_lock();
    let near = for_each_domain(cpu)
        .filter(|sd| sd.has(SD_WAKE_AFFINE))
        .find_map(|sd| {
            let span = sched_domain_span(sd);
            here.filter(|&here| span.test(here)).or_else(|| {
                let best = cpumask_any_and_distribute(mask, span);
                ((best as usize) < NR_CPUS).then_some(best)
            })
        });
    rcu_read_unlock();
    near.or(here).or_else(|| {
        let any = cpumask_any_distribute(mask);
        ((any as usize) < NR_CPUS).then_some(any)
    })
}

/// The widest domain of a CPU that has the flag.
pub fn highest_flag_domain(cpu: u32, flag: u32) -> Option<SdRef> {
    let mut hsd = None;
    for sd in for_each_domain(cpu) {
        if sd.has(flag) {
            hsd = Some(sd);
        } else if flag & SD_SHARED_CHILD_MASK != 0 {
            // Not found further up either.
            break;
        }
    }
    hsd
}

/// The narrowest domain of a CPU that has the flag.
pub fn lowest_flag_domain(cpu: u32, flag: u32) -> Option<SdRef> {
    for_each_domain(cpu).find(|sd| sd.has(flag))
}

/// Makes the default root domain ready; it is never given up.
pub fn init_defrootdomain() {
    init_rootdomain(&def_root_domain);
    def_root_domain.refcount.store(1, Ordering::Relaxed);
}

/// An empty root domain.
fn init_rootdomain(rd: RdRef) {
    rd.rto_count.store(0, Ordering::Relaxed);
    rd.overload.set(0);
    rd.overutilized.set(0);
    rd.dlo_count.store(0, Ordering::Relaxed);
    init_dl_bw(&rd.dl_bw);
    rd.visit_gen.set(0);
    rd.max_cpu_capacity.set(0);
}

/// Moves a runqueue to a root domain: it goes offline in the old one and, if its CPU is active, online in
/// the new one.
pub fn rq_attach_root(rq: RqRef, rd: RdRef) {
    let mut rf = RqFlags::new();
    rq_lock_irqsave(rq, &mut rf);
    let cpu = cpu_of(rq);
    let old_rd = rq.rd.get();
    if let Some(old_rd) = old_rd {
        if old_rd.online.get().test(cpu) {
            set_rq_offline(rq);
        }
        old_rd.span.clear_cpu(cpu);
    }
    sched_get_rd(rd);
    rq.rd.set(Some(rd));
    rd.span.set_cpu(cpu);
    if cpu_active(cpu) {
        set_rq_online(rq);
    }
    rq_unlock_irqrestore(rq, &rf);
    if let Some(old_rd) = old_rd {
        sched_put_rd(old_rd);
    }
}

/// One user of the root domain more.
pub fn sched_get_rd(rd: RdRef) {
    rd.refcount.fetch_add(1, Ordering::Relaxed);
}

/// One user less; with the last one the object may be used again.
pub fn sched_put_rd(rd: RdRef) {
    rd.refcount.fetch_sub(1, Ordering::AcqRel);
}

/// A CPU's short ways to the domains that wake-ups ask for.
fn update_top_cache_domain(cpu: u32) {
    let sd = highest_flag_domain(cpu, SD_SHARE_PKG_RESOURCES);
    let (mut id, size) = sd.map_or((cpu, 1), |sd| {
        (
            sched_domain_span(sd).first(),
            sched_domain_span(sd).weight(),
        )
    });
    sd_llc.per_cpu(cpu).set(sd);
    sd_llc_size.per_cpu(cpu).set(size);
    sd_llc_id.per_cpu(cpu).set(id);
    sd_llc_shared
        .per_cpu(cpu)
        .set(sd.and_then(|sd| sd.shared.get()));
    if let Some(cluster) = lowest_flag_domain(cpu, SD_CLUSTER) {
        id = sched_domain_span(cluster).first();
    }
    sd_share_id.per_cpu(cpu).set(id);
    sd_asym_cpucapacity
        .per_cpu(cpu)
        .set(lowest_flag_domain(cpu, SD_ASYM_CPUCAPACITY_FULL));
}

/// Tells the machine's levels, the innermost first.
pub fn set_sched_topology(tl: &'static [SchedDomainTopologyLevel; TOPOLOGY_LEVELS]) {
    sched_domain_topology.set(Some(tl));
}

/// How many levels a machine has.
pub const TOPOLOGY_LEVELS: usize = 4;
static sched_domain_topology: Shared<Option<&'static [SchedDomainTopologyLevel; TOPOLOGY_LEVELS]>> =
    Shared::new(None);

/// The level's name of a domain.
pub fn sd_name(sd: SdRef) -> &'static str {
    sched_domain_topology
        .get()
        .map_or("", |levels| levels[sd.topology_level.get() as usize].name)
}

/// Makes `sd` the narrowest domain of a CPU, after the levels that say nothing have been taken out, and
/// moves its runqueue to the root domain.
fn cpu_attach_domain(sd: Option<SdRef>, rd: RdRef, cpu: u32) {
    let rq = cpu_rq(cpu);
    let sd = sd.and_then(remove_degenerate);
    sched_domain_debug(sd, cpu);
    rq_attach_root(rq, rd);
    rq.sd.set(sd);
    update_top_cache_domain(cpu);
}

/// Takes out the levels that say nothing; the narrowest that is left, if any.
pub fn remove_degenerate(sd: SdRef) -> Option<SdRef> {
    let mut at = sd;
    while let Some(parent) = at.parent.get() {
        if !sd_parent_degenerate(at, parent) {
            at = parent;
            continue;
        }
        at.parent.set(parent.parent.get());
        if let Some(grandparent) = parent.parent.get() {
            grandparent.child.set(Some(at));
            grandparent.local_group().flags.set(at.flags.get());
        }
        // The spans are the same, so what the parent prefers holds for the child.
        at.flags.or(parent.flags.get() & SD_PREFER_SIBLING);
    }
    if !sd_degenerate(sd) {
        return Some(sd);
    }
    let parent = sd.parent.get()?;
    // Its groups have the flags of a child that is gone.
    for group in parent.local_group().circle() {
        group.flags.set(0);
    }
    parent.child.set(None);
    Some(parent)
}

fn one_group(sd: SdRef) -> bool {
    sd.local_group().circle().nth(1).is_none()
}

/// Whether a domain says nothing: one CPU, or one group and no flag that means something then.
pub fn sd_degenerate(sd: SdRef) -> bool {
    if sched_domain_span(sd).weight() == 1 {
        return true;
    }
    if sd.has(SD_DEGENERATE_GROUPS_MASK) && !one_group(sd) {
        return false;
    }
    !sd.has(SD_WAKE_AFFINE)
}

/// Whether the parent says nothing that the child does not.
pub fn sd_parent_degenerate(sd: SdRef, parent: SdRef) -> bool {
    if sd_degenerate(parent) {
        return true;
    }
    if sched_domain_span(sd) != sched_domain_span(parent) {
        return false;
    }
    let mut pflags = parent.flags.get();
    if one_group(parent) {
        pflags &= !SD_DEGENERATE_GROUPS_MASK;
    }
    !sd.flags.get() & pflags == 0
}

/// With `sched_verbose` on the command line: the domains of a CPU.
fn sched_domain_debug(sd: Option<SdRef>, cpu: u32) {
    if param("sched_verbose").is_none() {
        return;
    }
    let Some(sd) = sd else {
        pr_info!("CPU{cpu} attaching NULL sched-domain.");
        return;
    };
    pr_info!("CPU{cpu} attaching sched-domain(s):");
    let (mut at, mut level) = (Some(sd), 0);
    while let Some(sd) = at {
        pr_info!(
            " domain-{level}: span={:#x} level={} flags={:#x}",
            sched_domain_span(sd).as_u64(),
            sd_name(sd),
            sd.flags.get()
        );
        for group in sd.local_group().circle() {
            pr_info!(
                "  group: span={:#x} cores={} cap={} flags={:#x}",
                sched_group_span(group).as_u64(),
                group.cores.get(),
                group.sgc().capacity.get(),
                group.flags.get()
            );
        }
        at = sd.parent.get();
        level += 1;
    }
}

/// Builds the first domains.
///
/// # Context
/// All CPUs of the boot are up. May sleep.
pub fn sched_init_domains(cpu_map: Cpumask) {
    sched_domains_mutex.lock();
    doms_cur.set(cpu_map);
    build_sched_domains(cpu_map);
    sched_domains_mutex.unlock();
}

/// No domains for these CPUs: each balances by itself, in the default root domain.
fn detach_destroy_domains(cpu_map: Cpumask) {
    let any = sd_asym_cpucapacity.per_cpu(cpu_map.first());
    if any.get().is_some() {
        sched_asym_cpucapacity.fetch_sub(1, Ordering::Relaxed);
    }
    for cpu in cpu_map.iter() {
        cpu_attach_domain(None, &def_root_domain, cpu);
    }
}

/// Builds domains for the CPUs that are active now, if they are others than before.
///
/// # Context
/// The hotplug lock is held, or no CPU can come or go. May sleep.
pub fn partition_sched_domains() {
    sched_domains_mutex.lock();
    let (old, new) = (doms_cur.get(), cpu_active_mask());
    if old != new {
        if !old.is_empty() {
            detach_destroy_domains(old);
            // The memory is used again: whoever looks at these domains has to be done.
            synchronize_rcu();
        }
        doms_cur.set(new);
        build_sched_domains(new);
        // The new root domain does not know yet what deadline tasks hold of it.
        dl_rebuild_rd_accounting(new.iter().take(1).map(|cpu| cpu_rq(cpu).rd()));
    }
    sched_domains_mutex.unlock();
}
