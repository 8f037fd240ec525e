//! Tests of the stopper: where works run, in which order, how often, and what comes back.

use super::{two_cpus, until};
use crate::arch::x86::include::asm::current::current;
use crate::arch::x86::include::asm::processor::cpu_relax;
use crate::arch::x86::include::asm::smp::raw_smp_processor_id;
use crate::arch::x86::kernel::smpboot::cpu_smt_mask;
use crate::fence::shared::Shared;
use crate::fence::void::VoidPtr;
use crate::include::kunit::test::Kunit;
use crate::include::linux::cpumask::{Cpumask, NR_CPUS, cpu_online_mask, num_online_cpus};
use crate::include::linux::errno::{EIO, ENOENT};
use crate::include::linux::irqflags::irqs_disabled;
use crate::include::linux::list::list_empty;
use crate::include::linux::preempt::preempt_count;
use crate::include::linux::sched::same_task;
use crate::include::linux::stop_machine::{
    CpuStopWork, stop_machine, stop_one_cpu, stop_one_cpu_nowait, stop_two_cpus,
};
use crate::kernel::cpu::{cpus_read_lock, cpus_read_unlock};
use crate::kernel::sched::sched::cpu_rq;
use crate::kernel::stop_machine::{cpu_stopper, stop_core_cpuslocked, stop_cpus};
use crate::{
    KUNIT_EXPECT_EQ, KUNIT_EXPECT_FALSE, KUNIT_EXPECT_GE, KUNIT_EXPECT_TRUE, kunit_skip,
    kunit_test_suite,
};
use core::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};

/// What a stopper's function saw.
struct Seen {
    runs: AtomicU64,
    cpus: AtomicU64,
    by_stopper: AtomicU64,
    irqs_off: AtomicU64,
    least_preempt_count: AtomicU32,
    ret: AtomicI32,
}

impl Seen {
    const fn new() -> Seen {
        Seen {
            runs: AtomicU64::new(0),
            cpus: AtomicU64::new(0),
            by_stopper: AtomicU64::new(0),
            irqs_off: AtomicU64::new(0),
            least_preempt_count: AtomicU32::new(u32::MAX),
            ret: AtomicI32::new(0),
        }
    }

    fn runs(&self) -> u64 {
        self.runs.load(Ordering::SeqCst)
    }

    fn cpus(&self) -> Cpumask {
        Cpumask::from_bits(self.cpus.load(Ordering::SeqCst))
    }
}

extern "C" fn sees(data: VoidPtr) -> i32 {
    let seen = data.get::<Seen>();
    let cpu = raw_smp_processor_id();
    let stopper = cpu_rq(cpu).stop.get();
    if stopper.is_some_and(|stop| same_task(stop, current())) {
        seen.by_stopper.fetch_add(1, Ordering::SeqCst);
    }
    if irqs_disabled() {
        seen.irqs_off.fetch_add(1, Ordering::SeqCst);
    }
    seen.least_preempt_count
        .fetch_min(preempt_count(), Ordering::SeqCst);
    seen.cpus.fetch_or(1 << cpu, Ordering::SeqCst);
    seen.runs.fetch_add(1, Ordering::SeqCst);
    seen.ret.load(Ordering::SeqCst)
}

/// A CPU whose stopper takes nothing.
fn offline_cpu() -> Option<u32> {
    (0..NR_CPUS as u32)
        .rev()
        .find(|&cpu| !cpu_stopper.per_cpu(cpu).enabled.get())
}

fn one_cpu(test: &Kunit) {
    static SEEN: Seen = Seen::new();
    for (cpu, nth) in cpu_online_mask().iter().zip(1..) {
        SEEN.cpus.store(0, Ordering::SeqCst);
        KUNIT_EXPECT_EQ!(test, stop_one_cpu(cpu, sees, VoidPtr::new(&SEEN)), 0);
        // Waited for: it has run by now, there, as the stopper, with preemption off and interrupts on.
        KUNIT_EXPECT_EQ!(test, SEEN.runs(), nth);
        KUNIT_EXPECT_EQ!(test, SEEN.cpus(), Cpumask::of(cpu));
        KUNIT_EXPECT_EQ!(test, SEEN.by_stopper.load(Ordering::SeqCst), nth);
    }
    KUNIT_EXPECT_EQ!(test, SEEN.irqs_off.load(Ordering::SeqCst), 0);
    KUNIT_EXPECT_GE!(test, SEEN.least_preempt_count.load(Ordering::SeqCst), 1);
}

fn returns_the_functions_error(test: &Kunit) {
    static SEEN: Seen = Seen::new();
    SEEN.ret.store(-EIO, Ordering::SeqCst);
    let arg = VoidPtr::new(&SEEN);
    KUNIT_EXPECT_EQ!(test, stop_one_cpu(0, sees, arg), -EIO);
    KUNIT_EXPECT_EQ!(test, stop_cpus(&cpu_online_mask(), sees, arg), -EIO);
    KUNIT_EXPECT_EQ!(test, stop_machine(sees, arg, None), -EIO);
    if let Some((a, b)) = two_cpus() {
        KUNIT_EXPECT_EQ!(test, stop_two_cpus(a, b, sees, arg), -EIO);
    }
    SEEN.ret.store(0, Ordering::SeqCst);
    KUNIT_EXPECT_EQ!(test, stop_machine(sees, arg, None), 0);
}

/// A CPU that is not there takes no work: -ENOENT, and nothing runs (S2).
fn refuses_an_offline_cpu(test: &Kunit) {
    static SEEN: Seen = Seen::new();
    static WORK: CpuStopWork = CpuStopWork::new();
    let Some(gone) = offline_cpu() else {
        kunit_skip!(test, "all CPUs are online")
    };
    let arg = VoidPtr::new(&SEEN);
    KUNIT_EXPECT_EQ!(test, stop_one_cpu(gone, sees, arg), -ENOENT);
    KUNIT_EXPECT_FALSE!(test, stop_one_cpu_nowait(gone, sees, arg, &WORK));
    KUNIT_EXPECT_EQ!(test, stop_cpus(&Cpumask::of(gone), sees, arg), -ENOENT);
    KUNIT_EXPECT_EQ!(test, stop_two_cpus(0, gone, sees, arg), -ENOENT);
    KUNIT_EXPECT_EQ!(test, SEEN.runs(), 0);
    // One of two is enough to have an answer.
    KUNIT_EXPECT_EQ!(test, stop_cpus(&Cpumask::of(gone).with(0), sees, arg), 0);
    KUNIT_EXPECT_EQ!(test, SEEN.runs(), 1);
}

fn many_cpus_once_each(test: &Kunit) {
    static SEEN: Seen = Seen::new();
    let online = cpu_online_mask();
    for round in 1..=5 {
        SEEN.cpus.store(0, Ordering::SeqCst);
        KUNIT_EXPECT_EQ!(test, stop_cpus(&online, sees, VoidPtr::new(&SEEN)), 0);
        KUNIT_EXPECT_EQ!(test, SEEN.cpus(), online);
        KUNIT_EXPECT_EQ!(test, SEEN.runs(), round * u64::from(online.weight()));
    }
}

/// The function runs on the first of the two, while the other one waits with interrupts off.
fn two_cpus_together(test: &Kunit) {
    static SEEN: Seen = Seen::new();
    let Some((a, b)) = two_cpus() else {
        kunit_skip!(test, "one CPU only")
    };
    for (first, second) in [(a, b), (b, a)] {
        SEEN.cpus.store(0, Ordering::SeqCst);
        let before = SEEN.runs();
        KUNIT_EXPECT_EQ!(
            test,
            stop_two_cpus(first, second, sees, VoidPtr::new(&SEEN)),
            0
        );
        KUNIT_EXPECT_EQ!(test, SEEN.runs(), before + 1);
        KUNIT_EXPECT_EQ!(test, SEEN.cpus(), Cpumask::of(first));
    }
    KUNIT_EXPECT_EQ!(test, SEEN.irqs_off.load(Ordering::SeqCst), SEEN.runs());
}

fn machine_runs_on_the_first_cpu(test: &Kunit) {
    static SEEN: Seen = Seen::new();
    KUNIT_EXPECT_EQ!(test, stop_machine(sees, VoidPtr::new(&SEEN), None), 0);
    KUNIT_EXPECT_EQ!(test, SEEN.runs(), 1);
    KUNIT_EXPECT_EQ!(test, SEEN.cpus(), Cpumask::of(cpu_online_mask().first()));
    KUNIT_EXPECT_EQ!(test, SEEN.irqs_off.load(Ordering::SeqCst), 1);
    let last = cpu_online_mask().iter().last().unwrap_or(0);
    SEEN.cpus.store(0, Ordering::SeqCst);
    let only = Cpumask::of(last);
    KUNIT_EXPECT_EQ!(
        test,
        stop_machine(sees, VoidPtr::new(&SEEN), Some(&only)),
        0
    );
    KUNIT_EXPECT_EQ!(test, SEEN.cpus(), only);
}

static INSIDE: AtomicU32 = AtomicU32::new(0);
static LONELY: AtomicU32 = AtomicU32::new(0);

/// Waits until all others are here too: possible only if they run at the same time.
extern "C" fn meets_the_others(_: VoidPtr) -> i32 {
    INSIDE.fetch_add(1, Ordering::SeqCst);
    let mut patience = 1_000_000u32;
    while INSIDE.load(Ordering::SeqCst) < num_online_cpus() && patience > 0 {
        cpu_relax();
        patience -= 1;
    }
    if patience == 0 || !irqs_disabled() {
        LONELY.fetch_add(1, Ordering::SeqCst);
    }
    0
}

/// With a mask of all, the function runs everywhere at once, interrupts off (S5, S6).
fn machine_on_all_at_once(test: &Kunit) {
    for _ in 0..5 {
        INSIDE.store(0, Ordering::SeqCst);
        let online = cpu_online_mask();
        KUNIT_EXPECT_EQ!(
            test,
            stop_machine(meets_the_others, VoidPtr::NULL, Some(&online)),
            0
        );
        KUNIT_EXPECT_EQ!(test, INSIDE.load(Ordering::SeqCst), online.weight());
    }
    KUNIT_EXPECT_EQ!(test, LONELY.load(Ordering::SeqCst), 0);
}

/// The threads of a core meet; nobody else comes.
fn core_alone(test: &Kunit) {
    static SEEN: Seen = Seen::new();
    let online = cpu_online_mask();
    for cpu in online.iter() {
        let core = cpu_smt_mask(cpu);
        SEEN.cpus.store(0, Ordering::SeqCst);
        SEEN.runs.store(0, Ordering::SeqCst);
        SEEN.irqs_off.store(0, Ordering::SeqCst);
        cpus_read_lock();
        let ret = stop_core_cpuslocked(cpu, sees, VoidPtr::new(&SEEN));
        cpus_read_unlock();
        KUNIT_EXPECT_EQ!(test, ret, 0);
        KUNIT_EXPECT_TRUE!(test, core.test(cpu));
        KUNIT_EXPECT_EQ!(test, SEEN.cpus(), core);
        KUNIT_EXPECT_EQ!(test, SEEN.runs(), u64::from(core.weight()));
        KUNIT_EXPECT_EQ!(test, SEEN.irqs_off.load(Ordering::SeqCst), SEEN.runs());
    }
}

const NOWAIT: usize = 4;

struct Nowait {
    number: u64,
    work: CpuStopWork,
}

static WORKS: [Nowait; NOWAIT] = {
    const fn numbered(number: u64) -> Nowait {
        Nowait {
            number,
            work: CpuStopWork::new(),
        }
    }
    [numbered(0), numbered(1), numbered(2), numbered(3)]
};
static CAME: AtomicU64 = AtomicU64::new(0);
static ORDER: [Shared<u64>; NOWAIT] = [const { Shared::new(u64::MAX) }; NOWAIT];

extern "C" fn comes(data: VoidPtr) -> i32 {
    let at = CAME.fetch_add(1, Ordering::SeqCst);
    ORDER[at as usize % NOWAIT].set(data.get::<Nowait>().number);
    0
}

/// Queues works behind itself: none may start before it ends.
extern "C" fn queues_more(_: VoidPtr) -> i32 {
    for it in &WORKS {
        stop_one_cpu_nowait(raw_smp_processor_id(), comes, VoidPtr::new(it), &it.work);
    }
    CAME.load(Ordering::SeqCst) as i32
}

/// One at a time, first in, first out (S1).
fn works_in_order(test: &Kunit) {
    for cpu in cpu_online_mask().iter() {
        CAME.store(0, Ordering::SeqCst);
        KUNIT_EXPECT_EQ!(test, stop_one_cpu(cpu, queues_more, VoidPtr::NULL), 0);
        KUNIT_EXPECT_TRUE!(test, until(|| CAME.load(Ordering::SeqCst) == NOWAIT as u64));
        for (slot, right) in ORDER.iter().zip(0..) {
            KUNIT_EXPECT_EQ!(test, slot.get(), right);
        }
        KUNIT_EXPECT_TRUE!(test, WORKS.iter().all(|it| list_empty(&it.work.list)));
    }
}

kunit_test_suite!(
/// The suite.
suite = "stop_machine": [
    one_cpu,
    returns_the_functions_error,
    refuses_an_offline_cpu,
    many_cpus_once_each,
    two_cpus_together,
    machine_runs_on_the_first_cpu,
    machine_on_all_at_once,
    core_alone,
    works_in_order,
]);
