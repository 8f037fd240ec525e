//! Which CPU is near: by the domains that the machine has.

use super::two_cpus;
use crate::arch::x86::include::asm::smp::raw_smp_processor_id;
use crate::include::kunit::test::Kunit;
use crate::include::linux::cpumask::{Cpumask, cpu_active_mask};
use crate::include::linux::preempt::{preempt_disable, preempt_enable};
use crate::include::linux::sched::topology::{SD_WAKE_AFFINE, sched_domain_span};
use crate::kernel::sched::topology::{for_each_domain, nearest_cpu};
use crate::{KUNIT_EXPECT_EQ, KUNIT_EXPECT_TRUE, kunit_skip, kunit_test_suite};

/// A CPU of the same narrowest domain is nearer than one outside it; among equals this one is taken; from a
/// set of far ones only one of the set can be taken.
fn nearest(test: &Kunit) {
    if two_cpus().is_none() {
        kunit_skip!(test, "one CPU only")
    }
    let active = cpu_active_mask();
    preempt_disable();
    let this_cpu = raw_smp_processor_id();
    for cpu in active.iter() {
        let narrowest = for_each_domain(cpu).find(|sd| sd.has(SD_WAKE_AFFINE));
        let Some(span) = narrowest.map(sched_domain_span) else {
            KUNIT_EXPECT_TRUE!(test, false);
            continue;
        };
        let far = active.andnot(span).without(this_cpu);
        for near in span.without(cpu).iter() {
            let set = far.with(near);
            KUNIT_EXPECT_EQ!(test, nearest_cpu(set, cpu), Some(near));
            let here_too = nearest_cpu(set.with(this_cpu), cpu);
            let right = if span.test(this_cpu) { this_cpu } else { near };
            KUNIT_EXPECT_EQ!(test, here_too, Some(right));
        }
        if !far.is_empty() {
            let found = nearest_cpu(far, cpu);
            KUNIT_EXPECT_TRUE!(test, found.is_some_and(|found| far.test(found)));
            // No domain of the CPU has one of the set and not the one that was found.
            let found = found.unwrap_or(cpu);
            let mut reaching =
                for_each_domain(cpu).filter(|sd| sched_domain_span(sd).intersects(far));
            KUNIT_EXPECT_TRUE!(test, reaching.all(|sd| sched_domain_span(sd).test(found)));
        }
        KUNIT_EXPECT_EQ!(test, nearest_cpu(Cpumask::EMPTY, cpu), None);
    }
    preempt_enable();
}

kunit_test_suite!(
/// The suite.
suite = "sched_topology": [
    nearest,
]);
