//! Tests of sets of CPUs. Linux: `lib/cpumask_kunit.c` (v6.8).
//!
//! Kept: the cases under their names, for the operations that this kernel has; the distribution is ours.

use crate::include::kunit::test::Kunit;
use crate::include::linux::cpumask::{
    Cpumask, NR_CPUS, cpu_active_mask, cpu_online_mask, cpu_possible_mask, cpu_present_mask,
    cpumask_any_and_distribute, nr_cpu_ids, num_online_cpus, num_possible_cpus,
};
use crate::include::linux::preempt::{preempt_disable, preempt_enable};
use crate::kunit_test_suite;
use crate::{KUNIT_EXPECT_EQ, KUNIT_EXPECT_FALSE, KUNIT_EXPECT_GE, KUNIT_EXPECT_TRUE};
use core::sync::atomic::Ordering;

fn test_cpumask_weight(test: &Kunit) {
    let ids = nr_cpu_ids.load(Ordering::Relaxed);
    KUNIT_EXPECT_TRUE!(test, Cpumask::EMPTY.is_empty());
    KUNIT_EXPECT_EQ!(test, Cpumask::EMPTY.weight(), 0);
    KUNIT_EXPECT_EQ!(test, Cpumask::ALL.weight(), NR_CPUS as u32);
    KUNIT_EXPECT_EQ!(test, cpu_possible_mask().weight(), num_possible_cpus());
    KUNIT_EXPECT_GE!(test, ids, num_possible_cpus());
    KUNIT_EXPECT_TRUE!(test, cpu_possible_mask().iter().all(|cpu| cpu < ids));
}

fn test_cpumask_first(test: &Kunit) {
    KUNIT_EXPECT_GE!(test, Cpumask::EMPTY.first(), NR_CPUS as u32);
    KUNIT_EXPECT_EQ!(test, cpu_possible_mask().first(), 0);
    KUNIT_EXPECT_EQ!(test, Cpumask::of(63).with(7).first(), 7);
}

fn test_cpumask_next(test: &Kunit) {
    let mask = Cpumask::from_bits(1 << 63 | 0b1010);
    KUNIT_EXPECT_EQ!(test, mask.next(1), 3);
    KUNIT_EXPECT_EQ!(test, mask.next(3), 63);
    KUNIT_EXPECT_GE!(test, mask.next(63), NR_CPUS as u32);
    KUNIT_EXPECT_GE!(test, Cpumask::EMPTY.next(0), NR_CPUS as u32);
}

fn test_cpumask_iterators(test: &Kunit) {
    KUNIT_EXPECT_EQ!(test, Cpumask::EMPTY.iter().count(), 0);
    KUNIT_EXPECT_EQ!(test, Cpumask::ALL.iter().count(), NR_CPUS);
    let mask = Cpumask::from_bits(0x8000_0000_0000_0005);
    KUNIT_EXPECT_TRUE!(test, mask.iter().eq([0, 2, 63]));
}

/// Possible, present, online, active: each is a part of the one before (H1).
fn test_cpumask_iterators_builtin(test: &Kunit) {
    KUNIT_EXPECT_TRUE!(test, cpu_active_mask().subset(cpu_online_mask()));
    KUNIT_EXPECT_TRUE!(test, cpu_online_mask().subset(cpu_present_mask()));
    KUNIT_EXPECT_TRUE!(test, cpu_present_mask().subset(cpu_possible_mask()));
    KUNIT_EXPECT_EQ!(
        test,
        cpu_online_mask().iter().count(),
        num_online_cpus() as usize
    );
}

fn test_cpumask_sets(test: &Kunit) {
    let (a, b) = (Cpumask::from_bits(0b1100), Cpumask::from_bits(0b0110));
    KUNIT_EXPECT_EQ!(test, a.and(b), Cpumask::of(2));
    KUNIT_EXPECT_EQ!(test, a.or(b).weight(), 3);
    KUNIT_EXPECT_EQ!(test, a.andnot(b), Cpumask::of(3));
    KUNIT_EXPECT_TRUE!(test, a.intersects(b));
    KUNIT_EXPECT_FALSE!(test, a.subset(b));
    KUNIT_EXPECT_TRUE!(test, Cpumask::EMPTY.subset(b));
    KUNIT_EXPECT_EQ!(test, a.without(3).with(1), b);
    KUNIT_EXPECT_FALSE!(test, Cpumask::ALL.test(NR_CPUS as u32));
}

/// Callers of one CPU are spread over the set: every member is given once before one is given again.
fn test_cpumask_distribute(test: &Kunit) {
    let mask = Cpumask::from_bits(0b1011_0100);
    let mut given = Cpumask::EMPTY;
    preempt_disable();
    for _ in 0..mask.weight() {
        given = given.with(cpumask_any_and_distribute(mask, Cpumask::ALL));
    }
    let nobody = cpumask_any_and_distribute(mask, Cpumask::of(0));
    preempt_enable();
    KUNIT_EXPECT_EQ!(test, given, mask);
    KUNIT_EXPECT_GE!(test, nobody, NR_CPUS as u32);
}

kunit_test_suite!(
/// The suite.
test_cpumask_suite = "cpumask": [
    test_cpumask_weight,
    test_cpumask_first,
    test_cpumask_next,
    test_cpumask_iterators,
    test_cpumask_iterators_builtin,
    test_cpumask_sets,
    test_cpumask_distribute,
]);
