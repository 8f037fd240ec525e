//! Tests of kernel threads: created, bound, parked, stopped.

use super::{Subject, two_cpus, until};
use crate::arch::x86::include::asm::current::current;
use crate::arch::x86::include::asm::smp::raw_smp_processor_id;
use crate::fence::shared::Shared;
use crate::fence::void::VoidPtr;
use crate::include::kunit::test::Kunit;
use crate::include::linux::cpumask::{Cpumask, cpu_online_mask, cpu_possible_mask};
use crate::include::linux::errno::{EINTR, EINVAL};
use crate::include::linux::kthread::{
    kthread_bind, kthread_bind_mask, kthread_create, kthread_create_on_cpu, kthread_park,
    kthread_parkme, kthread_run, kthread_set_per_cpu, kthread_should_park, kthread_should_stop,
    kthread_stop, kthread_unpark,
};
use crate::include::linux::sched::signal::SIGKILL;
use crate::include::linux::sched::{
    PF_KTHREAD, PF_NO_SETAFFINITY, SCHED_NORMAL, TASK_INTERRUPTIBLE, TASK_PARKED,
    TASK_UNINTERRUPTIBLE, same_task, set_special_state, task_cpu,
};
use crate::include::linux::sched::{TASK_COMM_LEN, TaskRef, TasksLink};
use crate::init::init_task::init_task;
use crate::kernel::fork::tasklist_lock;
use crate::kernel::kreplay::common::{compute, wait_for_stop};
use crate::kernel::kthread::{get_kthread_comm, kthread_is_per_cpu, kthreadd_task};
use crate::kernel::sched::core::{
    sched_set_fifo, sched_setaffinity, schedule, set_cpus_allowed_ptr, wait_task_inactive,
    wake_up_process, wake_up_state,
};
use crate::kernel::signal::{allow_signal, flush_signals, send_sig};
use crate::lib::string::as_str;
use crate::{
    KUNIT_ASSERT_TRUE, KUNIT_EXPECT_EQ, KUNIT_EXPECT_FALSE, KUNIT_EXPECT_NE, KUNIT_EXPECT_TRUE,
    kunit_skip, kunit_test_suite,
};
use core::sync::atomic::{AtomicI32, AtomicU64, Ordering};

static RUNS: AtomicU64 = AtomicU64::new(0);

extern "C" fn counts_and_returns(_: VoidPtr) -> i32 {
    RUNS.fetch_add(1, Ordering::SeqCst);
    wait_for_stop();
    42
}

/// A new thread waits for its first wake-up; one that never got it never ran.
fn waits_for_its_first_wakeup(test: &Kunit) {
    let thread = kthread_create(counts_and_returns, VoidPtr::NULL, format_args!("never"));
    KUNIT_ASSERT_TRUE!(test, thread.is_ok());
    let Ok(thread) = thread else { return };
    KUNIT_EXPECT_TRUE!(test, wait_task_inactive(thread, TASK_UNINTERRUPTIBLE));
    KUNIT_EXPECT_EQ!(test, RUNS.load(Ordering::SeqCst), 0);
    KUNIT_EXPECT_EQ!(test, kthread_stop(thread), -EINTR);
    KUNIT_EXPECT_EQ!(test, RUNS.load(Ordering::SeqCst), 0);
}

fn stop_returns_what_it_returned(test: &Kunit) {
    let thread = kthread_run(counts_and_returns, VoidPtr::NULL, format_args!("returns"));
    KUNIT_ASSERT_TRUE!(test, thread.is_ok());
    let Ok(thread) = thread else { return };
    let before = RUNS.load(Ordering::SeqCst);
    KUNIT_EXPECT_TRUE!(
        test,
        before == 1 || until(|| RUNS.load(Ordering::SeqCst) == 1)
    );
    KUNIT_EXPECT_EQ!(test, kthread_stop(thread), 42);
}

/// Ordinary, on any CPU, a child of kthreadd, whoever asks for it.
fn starts_ordinary(test: &Kunit) {
    static SUBJECT: Subject = Subject::new(TASK_INTERRUPTIBLE);
    let Some(task) = SUBJECT.start(test, cpu_possible_mask()) else {
        return;
    };
    KUNIT_EXPECT_EQ!(test, task.policy.get(), SCHED_NORMAL);
    KUNIT_EXPECT_EQ!(test, task.prio.get(), 120);
    KUNIT_EXPECT_NE!(test, task.flags.get() & PF_KTHREAD, 0);
    KUNIT_EXPECT_EQ!(test, task.flags.get() & PF_NO_SETAFFINITY, 0);
    KUNIT_EXPECT_EQ!(test, task.cpus_mask.get(), cpu_possible_mask());
    let parent = task.parent.get();
    let kthreadd = kthreadd_task.get();
    let both = parent.zip(kthreadd);
    KUNIT_EXPECT_TRUE!(test, both.is_some_and(|(a, b)| same_task(a, b)));
    KUNIT_EXPECT_TRUE!(test, task.pid.get() > current().pid.get());
    KUNIT_EXPECT_EQ!(test, kthread_stop(task), 0);
}

struct Where {
    cpu: Shared<u32>,
    ran: AtomicU64,
}

impl Where {
    const fn new() -> Where {
        Where {
            cpu: Shared::new(u32::MAX),
            ran: AtomicU64::new(0),
        }
    }
}

extern "C" fn says_where(data: VoidPtr) -> i32 {
    let me = data.get::<Where>();
    me.cpu.set(raw_smp_processor_id());
    me.ran.fetch_add(1, Ordering::SeqCst);
    wait_for_stop()
}

/// A bound thread runs on its CPU from the first instruction on, and users cannot move it.
fn bind(test: &Kunit) {
    static WHERE: Where = Where::new();
    for (cpu, nth) in cpu_online_mask().iter().zip(1..) {
        let thread = kthread_create(
            says_where,
            VoidPtr::new(&WHERE),
            format_args!("bound/{cpu}"),
        );
        KUNIT_ASSERT_TRUE!(test, thread.is_ok());
        let Ok(thread) = thread else { return };
        kthread_bind(thread, cpu);
        KUNIT_EXPECT_NE!(test, thread.flags.get() & PF_NO_SETAFFINITY, 0);
        wake_up_process(thread);
        KUNIT_EXPECT_TRUE!(test, until(|| WHERE.ran.load(Ordering::SeqCst) == nth));
        KUNIT_EXPECT_EQ!(test, WHERE.cpu.get(), cpu);
        KUNIT_EXPECT_EQ!(
            test,
            sched_setaffinity(thread, &cpu_possible_mask()),
            -EINVAL
        );
        KUNIT_EXPECT_EQ!(test, thread.cpus_mask.get(), Cpumask::of(cpu));
        kthread_stop(thread);
    }
}

fn bind_mask(test: &Kunit) {
    static WHERE: Where = Where::new();
    let Some((a, b)) = two_cpus() else {
        kunit_skip!(test, "one CPU only")
    };
    let mask = Cpumask::of(a).with(b);
    let thread = kthread_create(says_where, VoidPtr::new(&WHERE), format_args!("bound"));
    KUNIT_ASSERT_TRUE!(test, thread.is_ok());
    let Ok(thread) = thread else { return };
    kthread_bind_mask(thread, &mask);
    wake_up_process(thread);
    KUNIT_EXPECT_TRUE!(test, until(|| WHERE.ran.load(Ordering::SeqCst) == 1));
    KUNIT_EXPECT_TRUE!(test, mask.test(WHERE.cpu.get()));
    kthread_stop(thread);
}

static ROUNDS: AtomicU64 = AtomicU64::new(0);

extern "C" fn parks(_: VoidPtr) -> i32 {
    while !kthread_should_stop() {
        if kthread_should_park() {
            kthread_parkme();
            continue;
        }
        compute(20, 1);
        ROUNDS.fetch_add(1, Ordering::SeqCst);
    }
    0
}

/// A parked thread stands still, whoever wakes it, until it is unparked.
fn park_and_unpark(test: &Kunit) {
    let thread = kthread_run(parks, VoidPtr::NULL, format_args!("parks"));
    KUNIT_ASSERT_TRUE!(test, thread.is_ok());
    let Ok(thread) = thread else { return };
    for _ in 0..5 {
        let before = ROUNDS.load(Ordering::SeqCst);
        KUNIT_EXPECT_TRUE!(test, until(|| ROUNDS.load(Ordering::SeqCst) > before));
        KUNIT_EXPECT_EQ!(test, kthread_park(thread), 0);
        KUNIT_EXPECT_EQ!(test, thread.__state.get(), TASK_PARKED);
        KUNIT_EXPECT_EQ!(test, thread.on_rq.get(), 0);
        let parked = ROUNDS.load(Ordering::SeqCst);
        KUNIT_EXPECT_FALSE!(test, wake_up_process(thread));
        KUNIT_EXPECT_EQ!(test, ROUNDS.load(Ordering::SeqCst), parked);
        kthread_unpark(thread);
    }
    KUNIT_EXPECT_EQ!(test, kthread_stop(thread), 0);
}

/// Stopping a parked thread unparks it.
fn stop_while_parked(test: &Kunit) {
    let thread = kthread_run(parks, VoidPtr::NULL, format_args!("parks"));
    KUNIT_ASSERT_TRUE!(test, thread.is_ok());
    let Ok(thread) = thread else { return };
    KUNIT_EXPECT_EQ!(test, kthread_park(thread), 0);
    KUNIT_EXPECT_EQ!(test, kthread_stop(thread), 0);
}

/// A thread of one CPU is on that CPU after every unpark (T10).
fn per_cpu_thread(test: &Kunit) {
    for cpu in cpu_online_mask().iter() {
        let thread = kthread_create_on_cpu(parks, VoidPtr::NULL, cpu, "percpu");
        KUNIT_ASSERT_TRUE!(test, thread.is_ok());
        let Ok(thread) = thread else { return };
        KUNIT_EXPECT_FALSE!(test, kthread_is_per_cpu(thread));
        kthread_set_per_cpu(thread, Some(cpu));
        KUNIT_EXPECT_TRUE!(test, kthread_is_per_cpu(thread));
        wake_up_process(thread);
        KUNIT_EXPECT_EQ!(test, kthread_park(thread), 0);
        kthread_unpark(thread);
        let before = ROUNDS.load(Ordering::SeqCst);
        KUNIT_EXPECT_TRUE!(test, until(|| ROUNDS.load(Ordering::SeqCst) > before));
        KUNIT_EXPECT_EQ!(test, task_cpu(thread), cpu);
        kthread_set_per_cpu(thread, None);
        KUNIT_EXPECT_FALSE!(test, kthread_is_per_cpu(thread));
        KUNIT_EXPECT_EQ!(test, kthread_stop(thread), 0);
    }
}

static FAR: AtomicU64 = AtomicU64::new(u64::MAX);

/// Sleeps as if it were parked, without having been asked to, and then says where it was woken.
extern "C" fn sleeps_parked(_: VoidPtr) -> i32 {
    set_special_state(TASK_PARKED);
    schedule();
    FAR.store(u64::from(raw_smp_processor_id()), Ordering::SeqCst);
    wait_for_stop()
}

/// Unparking binds a thread to its CPU, wherever it was, and wakes it out of that state, asked to park or not: v6.8
/// does not look at the flag before.
fn unpark_binds_and_wakes(test: &Kunit) {
    let Some((a, b)) = two_cpus() else {
        kunit_skip!(test, "one CPU only")
    };
    for (near, far) in [(a, b), (b, a)] {
        let thread = kthread_create(sleeps_parked, VoidPtr::NULL, format_args!("parked/{near}"));
        KUNIT_ASSERT_TRUE!(test, thread.is_ok());
        let Ok(thread) = thread else { return };
        kthread_bind(thread, near);
        kthread_set_per_cpu(thread, Some(far));
        wake_up_process(thread);
        KUNIT_EXPECT_TRUE!(test, until(|| thread.__state.get() == TASK_PARKED));
        KUNIT_EXPECT_TRUE!(test, wait_task_inactive(thread, TASK_PARKED));
        KUNIT_EXPECT_EQ!(test, task_cpu(thread), near);
        FAR.store(u64::MAX, Ordering::SeqCst);
        kthread_unpark(thread);
        KUNIT_EXPECT_EQ!(test, thread.cpus_mask.get(), Cpumask::of(far));
        KUNIT_EXPECT_TRUE!(test, until(|| FAR.load(Ordering::SeqCst) != u64::MAX));
        if FAR.load(Ordering::SeqCst) == u64::MAX {
            // Nothing else gets it out of there.
            wake_up_state(thread, TASK_PARKED);
        }
        KUNIT_EXPECT_EQ!(test, FAR.load(Ordering::SeqCst), u64::from(far));
        // It is not parked any more: to stop it as one of its CPU would be worth a warning.
        kthread_set_per_cpu(thread, None);
        KUNIT_EXPECT_EQ!(test, kthread_stop(thread), 0);
    }
}

fn comm(task: TaskRef) -> [u8; TASK_COMM_LEN] {
    core::array::from_fn(|at| task.comm[at].get())
}

/// A name that does not fit into the task is cut there, and kept in full beside it.
fn has_its_full_name(test: &Kunit) {
    const LONG: &str = "a_thread_of_a_long_name/with_a_tail";
    for name in [LONG, "short"] {
        let thread = kthread_run(says_where, VoidPtr::new(&NAMED), format_args!("{name}"));
        KUNIT_ASSERT_TRUE!(test, thread.is_ok());
        let Ok(thread) = thread else { return };
        let short = &name[..name.len().min(15)];
        KUNIT_EXPECT_TRUE!(test, as_str(&comm(thread)) == short);
        KUNIT_EXPECT_TRUE!(test, as_str(&get_kthread_comm(thread)) == name);
        kthread_stop(thread);
    }
    // A task that is no kernel thread has one name.
    let first = TasksLink::iter(&init_task.tasks).find(|task| task.pid.get() == 1);
    let name = first.map(get_kthread_comm);
    KUNIT_EXPECT_TRUE!(test, name.is_some_and(|name| as_str(&name) == "init"));
}

static NAMED: Where = Where::new();
static UNBORN: AtomicU64 = AtomicU64::new(0);
/// What the creator that was killed got: 1 for a thread, or the error; 0 until then.
static KILLED: AtomicI32 = AtomicI32::new(0);

extern "C" fn is_never_born(_: VoidPtr) -> i32 {
    UNBORN.fetch_add(1, Ordering::SeqCst);
    0
}

/// Asks for a thread while a fatal signal waits for it.
extern "C" fn creates_and_is_killed(_: VoidPtr) -> i32 {
    // Kthreadd is on this CPU and gets no turn before we sleep.
    sched_set_fifo(current());
    allow_signal(SIGKILL);
    send_sig(SIGKILL, current());
    let created = kthread_create(is_never_born, VoidPtr::NULL, format_args!("unborn"));
    flush_signals();
    KILLED.store(created.map_or_else(|error| error, |_| 1), Ordering::SeqCst);
    wait_for_stop()
}

/// A creator that is killed does not wait for kthreadd; the thread that it asked for ends before it runs anything, and
/// the next one who asks gets his.
fn a_killed_creator_gets_none(test: &Kunit) {
    let Some(kthreadd) = kthreadd_task.get() else {
        return;
    };
    for cpu in cpu_online_mask().iter() {
        let creator = kthread_create(creates_and_is_killed, VoidPtr::NULL, format_args!("killed"));
        KUNIT_ASSERT_TRUE!(test, creator.is_ok());
        let Ok(creator) = creator else { return };
        kthread_bind(creator, cpu);
        KUNIT_EXPECT_TRUE!(test, wait_task_inactive(kthreadd, TASK_INTERRUPTIBLE));
        KUNIT_EXPECT_EQ!(test, set_cpus_allowed_ptr(kthreadd, &Cpumask::of(cpu)), 0);
        KILLED.store(0, Ordering::SeqCst);
        wake_up_process(creator);
        KUNIT_EXPECT_TRUE!(test, until(|| KILLED.load(Ordering::SeqCst) != 0));
        KUNIT_EXPECT_EQ!(test, KILLED.load(Ordering::SeqCst), -EINTR);
        KUNIT_EXPECT_EQ!(test, kthread_stop(creator), 0);
        // Behind the other one in the list.
        let before = NAMED.ran.load(Ordering::SeqCst);
        let thread = kthread_run(says_where, VoidPtr::new(&NAMED), format_args!("born"));
        KUNIT_ASSERT_TRUE!(test, thread.is_ok());
        if let Ok(thread) = thread {
            KUNIT_EXPECT_TRUE!(test, as_str(&comm(thread)) == "born");
            KUNIT_EXPECT_TRUE!(test, until(|| NAMED.ran.load(Ordering::SeqCst) > before));
            KUNIT_EXPECT_EQ!(test, kthread_stop(thread), 0);
        }
        let back = set_cpus_allowed_ptr(kthreadd, &cpu_possible_mask());
        KUNIT_EXPECT_EQ!(test, back, 0);
    }
    let unborn = || {
        let _guard = tasklist_lock.lock();
        TasksLink::iter(&init_task.tasks).any(|task| as_str(&comm(task)) == "unborn")
    };
    KUNIT_EXPECT_TRUE!(test, until(|| !unborn()));
    KUNIT_EXPECT_EQ!(test, UNBORN.load(Ordering::SeqCst), 0);
}

kunit_test_suite!(
/// The suite.
suite = "kthread": [
    waits_for_its_first_wakeup,
    stop_returns_what_it_returned,
    starts_ordinary,
    bind,
    bind_mask,
    park_and_unpark,
    stop_while_parked,
    per_cpu_thread,
    unpark_binds_and_wakes,
    has_its_full_name,
    a_killed_creator_gets_none,
]);
