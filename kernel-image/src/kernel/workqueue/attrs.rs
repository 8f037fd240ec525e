//! What an unbound workqueue asks of its workers, and which CPUs belong together.
//!
//! Linux: `kernel/workqueue.c` (v6.8): `workqueue_attrs`, `wq_pod_type`, `apply_workqueue_attrs`,
//! `wq_update_pod`. Kept: nice value, mask, scope, strictness, the pods of every scope, a queue's share
//! for each CPU. Left out: sysfs. Differs: one cache and one memory node for all CPUs, so the scopes cache,
//! numa and system have one pod.
//! Locks: `wq_pool_mutex`.

use super::alloc::{alloc_unbound_pwq, link_pwq};
use super::pool::wq_unbound_cpumask;
use super::{
    __WQ_ORDERED, __WQ_ORDERED_EXPLICIT, PoolWorkqueue, WorkqueueStruct, put_pwq_unlocked,
    wq_pool_mutex,
};
use crate::WARN_ON;
use crate::arch::x86::kernel::smpboot::cpu_smt_mask;
use crate::fence::percpu::PerCpu;
use crate::fence::shared::Shared;
use crate::include::linux::cpumask::{Cpumask, NR_CPUS, cpu_online_mask, cpu_possible_mask};
use crate::include::linux::errno::{EINVAL, ENOMEM};
use crate::include::linux::list::list_empty;
use crate::include::linux::workqueue::WQ_UNBOUND;

/// Which CPUs share workers.
#[doc(alias = "wq_affn_scope")]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum WqAffnScope {
    /// The system's default.
    Dfl = 0,
    /// Each CPU by itself.
    Cpu = 1,
    /// The threads of a core.
    Smt = 2,
    /// CPUs of a last-level cache.
    Cache = 3,
    /// CPUs of a memory node.
    Numa = 4,
    /// All.
    System = 5,
    /// Of a pool: no scope, only masks.
    NrTypes = 6,
}

/// What `Dfl` stands for.
const WQ_AFFN_DFL: WqAffnScope = WqAffnScope::Cache;

/// What an unbound workqueue asks for.
#[doc(alias = "workqueue_attrs")]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WorkqueueAttrs {
    /// Nice value of the workers.
    pub nice: i32,
    /// CPUs they may use.
    pub cpumask: Cpumask,
    /// Of those, the ones they should use: the pod.
    pub __pod_cpumask: Cpumask,
    /// Whether they may use the pod only.
    pub affn_strict: bool,
    /// Which pods there are. Not part of a pool's attributes.
    pub affn_scope: WqAffnScope,
    /// One work at a time. Not part of a pool's attributes.
    pub ordered: bool,
}

impl WorkqueueAttrs {
    /// The default: any CPU (`alloc_workqueue_attrs`).
    pub fn new() -> WorkqueueAttrs {
        WorkqueueAttrs {
            nice: 0,
            cpumask: cpu_possible_mask(),
            __pod_cpumask: Cpumask::EMPTY,
            affn_strict: false,
            affn_scope: WqAffnScope::Dfl,
            ordered: false,
        }
    }

    /// What of it makes a pool.
    #[must_use]
    pub fn clear_for_pool(self) -> WorkqueueAttrs {
        WorkqueueAttrs {
            affn_scope: WqAffnScope::NrTypes,
            ordered: false,
            ..self
        }
    }
}

/// Attributes that are shared between CPUs, a word each.
pub struct SharedAttrs {
    /// Nice value.
    pub nice: Shared<i32>,
    /// CPUs.
    pub cpumask: Shared<Cpumask>,
    /// The pod.
    pub __pod_cpumask: Shared<Cpumask>,
    /// The pod only.
    pub affn_strict: Shared<bool>,
    affn_scope: Shared<WqAffnScope>,
    ordered: Shared<bool>,
}

impl SharedAttrs {
    pub(super) const fn new() -> SharedAttrs {
        SharedAttrs {
            nice: Shared::new(0),
            cpumask: Shared::new(Cpumask::EMPTY),
            __pod_cpumask: Shared::new(Cpumask::EMPTY),
            affn_strict: Shared::new(false),
            affn_scope: Shared::new(WqAffnScope::NrTypes),
            ordered: Shared::new(false),
        }
    }

    pub(super) fn get(&self) -> WorkqueueAttrs {
        WorkqueueAttrs {
            nice: self.nice.get(),
            cpumask: self.cpumask.get(),
            __pod_cpumask: self.__pod_cpumask.get(),
            affn_strict: self.affn_strict.get(),
            affn_scope: self.affn_scope.get(),
            ordered: self.ordered.get(),
        }
    }

    pub(super) fn set(&self, attrs: WorkqueueAttrs) {
        self.nice.set(attrs.nice);
        self.cpumask.set(attrs.cpumask);
        self.__pod_cpumask.set(attrs.__pod_cpumask);
        self.affn_strict.set(attrs.affn_strict);
        self.affn_scope.set(attrs.affn_scope);
        self.ordered.set(attrs.ordered);
    }
}

/// The pods of one scope: each CPU's pod, as its set of CPUs. Empty until they are known.
#[doc(alias = "wq_pod_type")]
struct WqPodType {
    nr_pods: Shared<u32>,
    pod_cpus: PerCpu<Shared<Cpumask>>,
}

static wq_pod_types: [WqPodType; WqAffnScope::NrTypes as usize] = [const {
    WqPodType {
        nr_pods: Shared::new(0),
        pod_cpus: PerCpu::new([const { Shared::new(Cpumask::EMPTY) }; NR_CPUS]),
    }
}; WqAffnScope::NrTypes as usize];

/// Fills the pods of a scope: CPUs that share go together.
fn init_pod_type(scope: WqAffnScope, cpus_share_pod: fn(u32, u32) -> bool) {
    let pt = &wq_pod_types[scope as usize];
    let mut nr_pods = 0;
    for cur in cpu_possible_mask().iter() {
        let pod = cpu_possible_mask()
            .iter()
            .filter(|&other| cpus_share_pod(cur, other))
            .fold(Cpumask::EMPTY, Cpumask::with);
        pt.pod_cpus.per_cpu(cur).set(pod);
        nr_pods += u32::from(pod.first() == cur);
    }
    pt.nr_pods.set(nr_pods);
}

/// Before the topology is known: one pod of everything.
pub(super) fn init_system_pod() {
    init_pod_type(WqAffnScope::System, |_, _| true);
}

/// The topology is known.
pub(super) fn init_pods() {
    init_pod_type(WqAffnScope::Cpu, |a, b| a == b);
    init_pod_type(WqAffnScope::Smt, |a, b| cpu_smt_mask(b).test(a));
    init_pod_type(WqAffnScope::Cache, |_, _| true);
    init_pod_type(WqAffnScope::Numa, |_, _| true);
}

/// The pods that a queue's scope means now.
fn wqattrs_pod_type(attrs: &WorkqueueAttrs) -> &'static WqPodType {
    let scope = match attrs.affn_scope {
        WqAffnScope::Dfl | WqAffnScope::NrTypes => WQ_AFFN_DFL,
        scope => scope,
    };
    let pt = &wq_pod_types[scope as usize];
    if pt.nr_pods.get() > 0 {
        pt
    } else {
        // Too early to know.
        &wq_pod_types[WqAffnScope::System as usize]
    }
}

/// The CPUs that a change of `cpu` concerns.
pub(super) fn pod_of(attrs: &WorkqueueAttrs, cpu: u32) -> Cpumask {
    wqattrs_pod_type(attrs).pod_cpus.per_cpu(cpu).get()
}

/// Fills in the pod for works queued on `cpu`; one without an online CPU that is wanted stands for all.
fn wq_calc_pod_cpumask(attrs: &mut WorkqueueAttrs, cpu: u32, cpu_going_down: Option<u32>) {
    let pod = pod_of(attrs, cpu).and(attrs.cpumask);
    let mut online = pod.and(cpu_online_mask());
    if let Some(down) = cpu_going_down {
        online = online.without(down);
    }
    attrs.__pod_cpumask = if online.is_empty() {
        attrs.cpumask
    } else {
        pod
    };
}

/// A wish limited to what the system allows; a mask of nothing usable becomes that.
fn wqattrs_actualize_cpumask(attrs: &mut WorkqueueAttrs, unbound_cpumask: Cpumask) {
    attrs.cpumask = attrs.cpumask.and(unbound_cpumask);
    if attrs.cpumask.is_empty() {
        attrs.cpumask = unbound_cpumask;
    }
}

/// Gives an unbound workqueue new attributes: new works go to pools that have them.
/// `wq_pool_mutex` is held.
pub(super) fn apply_workqueue_attrs_locked(
    wq: &'static WorkqueueStruct,
    attrs: &WorkqueueAttrs,
) -> i32 {
    if WARN_ON!(wq.flags.get() & WQ_UNBOUND == 0) {
        return -EINVAL;
    }
    // Several shares break the order; at first there is none.
    if !list_empty(&wq.pwqs) {
        if WARN_ON!(wq.flags.get() & __WQ_ORDERED_EXPLICIT != 0) {
            return -EINVAL;
        }
        wq.flags.and_not(__WQ_ORDERED);
    }
    let mut new_attrs = *attrs;
    wqattrs_actualize_cpumask(&mut new_attrs, wq_unbound_cpumask.get());
    new_attrs.__pod_cpumask = new_attrs.cpumask;
    let Some(dfl_pwq) = alloc_unbound_pwq(wq, &new_attrs) else {
        return -ENOMEM;
    };
    // First everything is made, then all of it is put in place.
    let mut pwq_tbl = [None; NR_CPUS];
    for cpu in cpu_possible_mask().iter() {
        let own = if new_attrs.ordered {
            None
        } else {
            let mut for_cpu = new_attrs;
            wq_calc_pod_cpumask(&mut for_cpu, cpu, None);
            alloc_unbound_pwq(wq, &for_cpu)
        };
        pwq_tbl[cpu as usize] = Some(own.unwrap_or_else(|| {
            dfl_pwq.get();
            dfl_pwq
        }));
    }
    wq.mutex.lock();
    // What was asked for, before the system's limits: those may change.
    wq.unbound_attrs.set(*attrs);
    for (cpu, slot) in pwq_tbl.iter_mut().enumerate() {
        if let Some(pwq) = *slot {
            *slot = install_unbound_pwq(wq, Some(cpu as u32), pwq);
        }
    }
    let old_dfl = install_unbound_pwq(wq, None, dfl_pwq);
    wq.mutex.unlock();
    for old in pwq_tbl.into_iter().flatten().chain(old_dfl) {
        put_pwq_unlocked(old);
    }
    0
}

/// Makes `pwq` the queue's share for a CPU, or its default one; the old one. The queue's mutex is held.
fn install_unbound_pwq(
    wq: &'static WorkqueueStruct,
    cpu: Option<u32>,
    pwq: &'static PoolWorkqueue,
) -> Option<&'static PoolWorkqueue> {
    link_pwq(pwq);
    let slot = match cpu {
        Some(cpu) => wq.cpu_pwq.per_cpu(cpu),
        None => &wq.dfl_pwq,
    };
    slot.replace(Some(pwq))
}

/// Gives an unbound workqueue new attributes.
///
/// # Context
/// May sleep.
/// # Returns
/// 0, or an error.
pub fn apply_workqueue_attrs(wq: &'static WorkqueueStruct, attrs: &WorkqueueAttrs) -> i32 {
    wq_pool_mutex.lock();
    let ret = apply_workqueue_attrs_locked(wq, attrs);
    wq_pool_mutex.unlock();
    ret
}

/// A CPU (`hotplug_cpu`) came or goes: which pool does the queue use for works of `cpu` now?
/// `wq_pool_mutex` is held.
pub(super) fn wq_update_pod(
    wq: &'static WorkqueueStruct,
    cpu: u32,
    hotplug_cpu: u32,
    online: bool,
) {
    let mut target = wq.unbound_attrs.get();
    if wq.flags.get() & WQ_UNBOUND == 0 || target.ordered {
        return;
    }
    wqattrs_actualize_cpumask(&mut target, wq_unbound_cpumask.get());
    wq_calc_pod_cpumask(&mut target, cpu, (!online).then_some(hotplug_cpu));
    let same = wq
        .cpu_pwq
        .per_cpu(cpu)
        .get()
        .is_some_and(|pwq| pwq.pool().attrs.get() == target.clear_for_pool());
    if same {
        return;
    }
    let old = match alloc_unbound_pwq(wq, &target) {
        Some(pwq) => {
            wq.mutex.lock();
            let old = install_unbound_pwq(wq, Some(cpu), pwq);
            wq.mutex.unlock();
            old
        }
        None => {
            // Better the default share than none.
            wq.mutex.lock();
            let old = wq.dfl_pwq.get().and_then(|dfl_pwq| {
                dfl_pwq.get();
                install_unbound_pwq(wq, Some(cpu), dfl_pwq)
            });
            wq.mutex.unlock();
            old
        }
    };
    if let Some(old) = old {
        put_pwq_unlocked(old);
    }
}
