//! Root domains and scheduling domains: which CPUs are balanced with which.
//!
//! Linux: `kernel/sched/topology.c` (v6.8). Kept: the default root domain, the passage of a runqueue from
//! one root domain to another. Left out: cpusets and isolated CPUs. Differs: root domains are not
//! allocated.
//! Locks: a runqueue's lock while it changes its root domain.

use crate::include::linux::cpumask::cpu_active;
use crate::kernel::sched::core::hotplug::{set_rq_offline, set_rq_online};
use crate::kernel::sched::deadline::bandwidth::init_dl_bw;
use crate::kernel::sched::sched::{
    RdRef, RootDomain, RqFlags, RqRef, cpu_of, rq_lock_irqsave, rq_unlock_irqrestore,
};
use core::sync::atomic::Ordering;

/// Where every runqueue is before there are domains, and while they are rebuilt.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
pub static def_root_domain: RootDomain = RootDomain::new();

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
    if let Some(old_rd) = rq.rd.get() {
        if old_rd.online.get().test(cpu) {
            set_rq_offline(rq);
        }
        old_rd.span.clear_cpu(cpu);
        old_rd.refcount.fetch_sub(1, Ordering::AcqRel);
    }
    sched_get_rd(rd);
    rq.rd.set(Some(rd));
    rd.span.set_cpu(cpu);
    if cpu_active(cpu) {
        set_rq_online(rq);
    }
    rq_unlock_irqrestore(rq, &rf);
}

/// One user of the root domain more.
pub fn sched_get_rd(rd: RdRef) {
    rd.refcount.fetch_add(1, Ordering::Relaxed);
}

/// One user less.
pub fn sched_put_rd(rd: RdRef) {
    rd.refcount.fetch_sub(1, Ordering::AcqRel);
}
