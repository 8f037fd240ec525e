//! Tests of CPUs coming and going: the order of states, who runs their callbacks, what an error leaves behind.

use super::{Subject, until};
use crate::arch::x86::include::asm::current::current;
use crate::arch::x86::include::asm::smp::raw_smp_processor_id;
use crate::arch::x86::kernel::smpboot::cpu_smt_mask;
use crate::fence::percpu::PerCpu;
use crate::fence::shared::Shared;
use crate::include::kunit::test::Kunit;
use crate::include::linux::cpu::{add_cpu, cpu_hotplug_disable, cpu_hotplug_enable, remove_cpu};
use crate::include::linux::cpuhotplug::*;
use crate::include::linux::cpumask::{
    Cpumask, NR_CPUS, cpu_active, cpu_online, cpu_online_mask, cpu_possible_mask, num_online_cpus,
};
use crate::include::linux::errno::{EAGAIN, EBUSY, EINVAL, EIO, EPERM};
use crate::include::linux::irqflags::irqs_disabled;
use crate::include::linux::kthread::{kthread_park, kthread_stop};
use crate::include::linux::sched::{
    SCHED_DEADLINE, TASK_PARKED, TASK_RUNNING, TASK_UNINTERRUPTIBLE, TaskRef, task_cpu,
};
use crate::include::linux::smpboot::SmpHotplugThread;
use crate::kernel::cpu::{cpuhp_state_of, write_cpuhp_fail};
use crate::kernel::kthread::kthread_data;
use crate::kernel::sched::core::hotplug::{balance_push_callback, sched_smt_present};
use crate::kernel::sched::core::{SchedAttr, sched_setattr_nocheck, wake_up_process};
use crate::kernel::sched::sched::cpu_rq;
use crate::kernel::smpboot::{smpboot_register_percpu_thread, smpboot_unregister_percpu_thread};
use crate::{
    KUNIT_ASSERT_TRUE, KUNIT_EXPECT_EQ, KUNIT_EXPECT_FALSE, KUNIT_EXPECT_GT, KUNIT_EXPECT_NE,
    KUNIT_EXPECT_TRUE, kunit_skip, kunit_test_suite,
};
use core::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};

/// What callbacks have noted: which one ran, where, in a thread of that CPU, with interrupts off.
static NOTES: [Shared<u32>; 16] = [const { Shared::new(0) }; 16];
static NOTED: AtomicU32 = AtomicU32::new(0);
/// The CPU whose callback fails.
static FAILING: AtomicI32 = AtomicI32::new(-1);

fn note(which: u32, cpu: u32) -> i32 {
    let here = u32::from(raw_smp_processor_id() == cpu);
    let in_cpuhp = u32::from(current().has_name_prefix("cpuhp/"));
    let off = u32::from(irqs_disabled());
    let at = NOTED.fetch_add(1, Ordering::SeqCst) as usize;
    if let Some(cell) = NOTES.get(at) {
        cell.set(which << 4 | here << 2 | in_cpuhp << 1 | off);
    }
    if FAILING.load(Ordering::SeqCst) == cpu as i32 {
        -EIO
    } else {
        0
    }
}

fn notes() -> impl Iterator<Item = u32> {
    let noted = NOTED.swap(0, Ordering::SeqCst) as usize;
    NOTES.iter().take(noted).map(Shared::get)
}

fn nothing_noted() -> bool {
    notes().next().is_none()
}

/// Noted by the controlling CPU, not by the one that comes or goes.
const BY_OTHER: u32 = 0;
/// Noted in cpuhp/N on CPU N.
const BY_CPUHP: u32 = 0b110;
/// Noted on the CPU itself with interrupts off, by no thread of hotplug.
const IRQS_OFF: u32 = 0b101;

fn last_cpu() -> Option<u32> {
    cpu_online_mask().iter().filter(|&cpu| cpu > 0).last()
}

/// Up in ascending order, down in descending order, each on the CPU it belongs to (H2).
fn states_are_passed_in_order(test: &Kunit) {
    let Some(cpu) = last_cpu() else {
        kunit_skip!(test, "needs two CPUs");
    };
    let first = cpuhp_setup_state_nocalls(
        CPUHP_AP_ONLINE_DYN,
        &"test:first",
        Some(|cpu| note(3, cpu)),
        Some(|cpu| note(3, cpu)),
    );
    let second = cpuhp_setup_state_nocalls(
        CPUHP_AP_ONLINE_DYN,
        &"test:second",
        Some(|cpu| note(4, cpu)),
        Some(|cpu| note(4, cpu)),
    );
    KUNIT_EXPECT_GT!(test, second, first);
    // The states of drivers that this kernel does not have are free for the test.
    for (state, name, startup, teardown) in [
        (
            CPUHP_RANDOM_PREPARE,
            &"test:prepare",
            Some((|cpu| note(1, cpu)) as fn(u32) -> i32),
            Some((|cpu| note(1, cpu)) as fn(u32) -> i32),
        ),
        (
            CPUHP_AP_PERF_X86_STARTING,
            &"test:starting",
            Some((|cpu| note(2, cpu)) as fn(u32) -> i32),
            Some((|cpu| note(2, cpu)) as fn(u32) -> i32),
        ),
    ] {
        KUNIT_EXPECT_EQ!(
            test,
            cpuhp_setup_state_nocalls(state, name, startup, teardown),
            0
        );
        KUNIT_EXPECT_EQ!(
            test,
            cpuhp_setup_state_nocalls(state, name, startup, teardown),
            -EBUSY
        );
    }
    KUNIT_EXPECT_TRUE!(test, nothing_noted());
    KUNIT_EXPECT_EQ!(test, remove_cpu(cpu), 0);
    let down = [
        4 << 4 | BY_CPUHP,
        3 << 4 | BY_CPUHP,
        2 << 4 | IRQS_OFF,
        1 << 4 | BY_OTHER,
    ];
    KUNIT_EXPECT_TRUE!(test, notes().eq(down));
    KUNIT_EXPECT_EQ!(test, add_cpu(cpu), 0);
    KUNIT_EXPECT_TRUE!(test, notes().eq(down.into_iter().rev()));
    for state in [
        CPUHP_RANDOM_PREPARE,
        CPUHP_AP_PERF_X86_STARTING,
        first,
        second,
    ] {
        cpuhp_remove_state_nocalls(state);
    }
    KUNIT_EXPECT_TRUE!(test, nothing_noted());
}

/// A callback that is set up runs for every CPU that is up, and is taken back everywhere if one fails.
fn set_up_runs_for_all_or_none(test: &Kunit) {
    let n = num_online_cpus() as usize;
    let set_up = || {
        cpuhp_setup_state(
            CPUHP_AP_ONLINE_DYN,
            &"test:online",
            Some(|cpu| note(1, cpu)),
            Some(|_| note(2, NR_CPUS as u32)),
        )
    };
    let state = set_up();
    KUNIT_EXPECT_TRUE!(
        test,
        (CPUHP_AP_ONLINE_DYN..=CPUHP_AP_ONLINE_DYN_END).contains(&state)
    );
    let ups = notes().filter(|&it| it == 1 << 4 | BY_CPUHP).count();
    KUNIT_EXPECT_EQ!(test, ups, n.min(NOTES.len()));
    cpuhp_remove_state(state);
    KUNIT_EXPECT_EQ!(test, notes().count(), n.min(NOTES.len()));

    // The last one refuses: the ones before it are taken back, and the number is free again.
    let last = cpu_online_mask().iter().last().unwrap_or(0);
    FAILING.store(last as i32, Ordering::SeqCst);
    KUNIT_EXPECT_EQ!(test, set_up(), -EIO);
    FAILING.store(-1, Ordering::SeqCst);
    let (ups, downs) = notes().fold((0, 0), |(ups, downs), it| match it >> 4 {
        1 => (ups + 1, downs),
        _ => (ups, downs + 1),
    });
    if n <= NOTES.len() / 2 {
        KUNIT_EXPECT_EQ!(test, (ups, downs), (n, n - 1));
    }
    let again = set_up();
    KUNIT_EXPECT_EQ!(test, again, state);
    cpuhp_remove_state(again);
    notes().for_each(drop);
}

/// Whatever state fails, in whichever direction: -EAGAIN, and the CPU is where it was.
fn an_error_leads_back(test: &Kunit) {
    let Some(cpu) = last_cpu() else {
        kunit_skip!(test, "needs two CPUs");
    };
    let mut refused = 0;
    for state in CPUHP_OFFLINE..=CPUHP_ONLINE {
        if write_cpuhp_fail(cpu, state) != 0 {
            refused += 1;
            continue;
        }
        // A dead CPU cannot refuse to be dead: these states are tried on the way up only.
        let mut waits = true;
        if state <= CPUHP_BRINGUP_CPU {
            write_cpuhp_fail(cpu, CPUHP_INVALID);
            KUNIT_EXPECT_EQ!(test, remove_cpu(cpu), 0);
            write_cpuhp_fail(cpu, state);
        } else {
            // A state without a callback for this direction is not entered: what was injected stays.
            let ret = remove_cpu(cpu);
            KUNIT_EXPECT_TRUE!(test, ret == 0 || ret == -EAGAIN);
            waits = ret == 0;
        }
        if waits {
            KUNIT_EXPECT_EQ!(test, cpuhp_state_of(cpu), CPUHP_OFFLINE);
            KUNIT_EXPECT_EQ!(test, add_cpu(cpu), -EAGAIN);
            KUNIT_EXPECT_EQ!(test, cpuhp_state_of(cpu), CPUHP_OFFLINE);
            KUNIT_EXPECT_TRUE!(test, !cpu_online(cpu) && !cpu_active(cpu));
            KUNIT_EXPECT_EQ!(test, add_cpu(cpu), 0);
        }
        KUNIT_EXPECT_EQ!(test, cpuhp_state_of(cpu), CPUHP_ONLINE);
        KUNIT_EXPECT_TRUE!(test, cpu_online(cpu) && cpu_active(cpu));
    }
    // At least the section with interrupts off.
    KUNIT_EXPECT_GT!(test, refused, CPUHP_AP_ONLINE - CPUHP_AP_IDLE_DEAD);
}

fn what_is_refused(test: &Kunit) {
    KUNIT_EXPECT_EQ!(test, remove_cpu(0), -EPERM);
    KUNIT_EXPECT_EQ!(test, add_cpu(0), 1);
    KUNIT_EXPECT_EQ!(test, add_cpu(NR_CPUS as u32), -EINVAL);
    let setup = |state| cpuhp_setup_state_nocalls(state, &"test:refused", None, None);
    KUNIT_EXPECT_EQ!(test, setup(CPUHP_OFFLINE), -EINVAL);
    KUNIT_EXPECT_EQ!(test, setup(CPUHP_ONLINE), -EINVAL);
    KUNIT_EXPECT_EQ!(test, setup(CPUHP_AP_ACTIVE), -EBUSY);
    if let Some(cpu) = last_cpu() {
        cpu_hotplug_disable();
        cpu_hotplug_disable();
        cpu_hotplug_enable();
        KUNIT_EXPECT_EQ!(test, remove_cpu(cpu), -EBUSY);
        cpu_hotplug_enable();
        KUNIT_EXPECT_EQ!(test, remove_cpu(cpu), 0);
        KUNIT_EXPECT_EQ!(test, remove_cpu(cpu), 1);
        KUNIT_EXPECT_EQ!(test, add_cpu(cpu), 0);
        KUNIT_EXPECT_EQ!(test, add_cpu(cpu), 1);
    }
}

/// A task whose mask is the CPU that goes gets every CPU; one that sleeps keeps its mask until it wakes.
fn a_mask_of_a_dead_cpu_is_widened(test: &Kunit) {
    let Some(cpu) = last_cpu() else {
        kunit_skip!(test, "needs two CPUs");
    };
    static BUSY: Subject = Subject::new(TASK_RUNNING);
    static ASLEEP: Subject = Subject::new(TASK_UNINTERRUPTIBLE);
    let home = Cpumask::of(cpu);
    let tasks = (BUSY.start(test, home), ASLEEP.start(test, home));
    let (Some(busy), Some(asleep)) = tasks else {
        return;
    };
    KUNIT_EXPECT_EQ!(test, remove_cpu(cpu), 0);
    KUNIT_EXPECT_EQ!(test, busy.cpus_mask.get(), cpu_possible_mask());
    KUNIT_EXPECT_EQ!(test, asleep.cpus_mask.get(), home);
    let before = BUSY.rounds();
    KUNIT_EXPECT_TRUE!(test, until(|| BUSY.rounds() > before));
    let before = ASLEEP.rounds();
    wake_up_process(asleep);
    KUNIT_EXPECT_TRUE!(test, until(|| ASLEEP.rounds() > before));
    KUNIT_EXPECT_EQ!(test, asleep.cpus_mask.get(), cpu_possible_mask());
    KUNIT_EXPECT_TRUE!(test, BUSY.cpu.get() != cpu && ASLEEP.cpu.get() != cpu);
    KUNIT_EXPECT_EQ!(test, add_cpu(cpu), 0);
    for task in [busy, asleep] {
        KUNIT_EXPECT_EQ!(test, kthread_stop(task), 0);
    }
}

/// What was promised to deadline tasks keeps a CPU from going: -EBUSY, and it is active as before.
fn promises_keep_a_cpu(test: &Kunit) {
    static VISITOR: Subject = Subject::new(TASK_RUNNING);
    const MOST: usize = 16;
    static SUBJECTS: [Subject; MOST] = [const { Subject::new(TASK_UNINTERRUPTIBLE) }; MOST];
    let online = cpu_online_mask();
    let n = online.weight() as usize;
    let Some(cpu) = last_cpu().filter(|_| n <= MOST) else {
        kunit_skip!(test, "needs 2 to 16 CPUs");
    };
    // Nine tenths of each CPU: too much for one CPU less.
    let attr = SchedAttr {
        sched_policy: SCHED_DEADLINE as i32,
        sched_runtime: 9_000_000,
        sched_deadline: 10_000_000,
        sched_period: 10_000_000,
        ..SchedAttr::default()
    };
    let tasks = || SUBJECTS[..n].iter().zip(&DL_TASKS);
    for (subject, cell) in tasks() {
        cell.set(subject.start(test, online));
        let ret = cell.get().map(|task| sched_setattr_nocheck(task, &attr));
        KUNIT_EXPECT_EQ!(test, ret, Some(0));
    }
    let cores = sched_smt_present.load(Ordering::SeqCst);
    KUNIT_EXPECT_EQ!(test, remove_cpu(cpu), -EBUSY);
    KUNIT_EXPECT_EQ!(test, cpuhp_state_of(cpu), CPUHP_ONLINE);
    KUNIT_EXPECT_TRUE!(test, cpu_online(cpu) && cpu_active(cpu));
    // What v6.8 does not undo: the runqueue is offline, and the core is counted as one that went.
    let rq = cpu_rq(cpu);
    let online = || (rq.online.get(), rq.rd().online.get().test(cpu));
    KUNIT_EXPECT_EQ!(test, online(), (0, false));
    let core = i32::from(cpu_smt_mask(cpu).weight() == 2);
    KUNIT_EXPECT_EQ!(test, sched_smt_present.load(Ordering::SeqCst), cores - core);
    // What it undoes: switches there push nobody away.
    let callback = rq.balance_callback.get();
    let pushes = callback.is_some_and(|it| core::ptr::eq(it, &balance_push_callback));
    KUNIT_EXPECT_FALSE!(test, pushes);
    let visitor = VISITOR.start(test, Cpumask::of(cpu));
    let before = VISITOR.rounds();
    KUNIT_EXPECT_TRUE!(test, until(|| VISITOR.rounds() > before + 2));
    if let Some(task) = visitor {
        KUNIT_EXPECT_EQ!(test, task_cpu(task), cpu);
        KUNIT_EXPECT_EQ!(test, task.cpus_mask.get(), Cpumask::of(cpu));
        KUNIT_EXPECT_EQ!(test, kthread_stop(task), 0);
    }
    for (_, cell) in tasks() {
        if let Some(task) = cell.replace(None) {
            KUNIT_EXPECT_EQ!(test, kthread_stop(task), 0);
        }
    }
    KUNIT_EXPECT_TRUE!(test, until(|| remove_cpu(cpu) == 0));
    KUNIT_EXPECT_EQ!(test, add_cpu(cpu), 0);
    KUNIT_EXPECT_EQ!(test, online(), (1, true));
}

static DL_TASKS: [Shared<Option<TaskRef>>; 16] = [const { Shared::new(None) }; 16];
static PLUG_TASKS: PerCpu<Shared<Option<TaskRef>>> =
    PerCpu::new([const { Shared::new(None) }; NR_CPUS]);
static PLUG_RUNS: PerCpu<AtomicU64> = PerCpu::new([const { AtomicU64::new(0) }; NR_CPUS]);
/// Which hooks ran, of all CPUs together: setup, park, unpark, cleanup.
static PLUG_HOOKS: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];

fn hook(n: usize) {
    PLUG_HOOKS[n].fetch_add(1, Ordering::SeqCst);
}

fn hooks() -> [u64; 4] {
    core::array::from_fn(|n| PLUG_HOOKS[n].load(Ordering::SeqCst))
}

extern "C" fn plug_run(cpu: u32) {
    PLUG_RUNS.per_cpu(cpu).fetch_add(1, Ordering::SeqCst);
}

static PLUG: SmpHotplugThread = SmpHotplugThread {
    store: |cpu| PLUG_TASKS.per_cpu(cpu),
    thread_should_run: |cpu| PLUG_RUNS.per_cpu(cpu).load(Ordering::SeqCst) == 0,
    thread_fn: plug_run,
    setup: Some(|_| hook(0)),
    park: Some(|_| hook(1)),
    unpark: Some(|_| hook(2)),
    cleanup: Some(|_, _| hook(3)),
    thread_comm: "plug",
    ..SmpHotplugThread::EMPTY
};

/// Ends the kind, after its threads have parked: stopping one that runs is worth a warning in v6.8.
fn unregister_parked() {
    for cpu in cpu_online_mask().iter() {
        if let Some(task) = PLUG_TASKS.per_cpu(cpu).get() {
            kthread_park(task);
        }
    }
    smpboot_unregister_percpu_thread(&PLUG);
}

/// A kind of per-CPU threads: made for all CPUs, parked and unparked with its CPU, ended with its kind.
fn percpu_threads_follow_their_cpu(test: &Kunit) {
    let n = u64::from(num_online_cpus());
    KUNIT_EXPECT_EQ!(test, smpboot_register_percpu_thread(&PLUG), 0);
    let all_ran = || {
        cpu_online_mask()
            .iter()
            .all(|cpu| PLUG_RUNS.per_cpu(cpu).load(Ordering::SeqCst) == 1)
    };
    KUNIT_ASSERT_TRUE!(test, until(all_ran));
    KUNIT_EXPECT_EQ!(test, hooks(), [n, 0, 0, 0]);
    if let Some(cpu) = last_cpu() {
        let task = PLUG_TASKS.per_cpu(cpu).get();
        KUNIT_EXPECT_EQ!(test, remove_cpu(cpu), 0);
        KUNIT_EXPECT_EQ!(test, hooks(), [n, 1, 0, 0]);
        KUNIT_EXPECT_EQ!(test, task.map(|task| task.__state.get()), Some(TASK_PARKED));
        PLUG_RUNS.per_cpu(cpu).store(0, Ordering::SeqCst);
        KUNIT_EXPECT_EQ!(test, add_cpu(cpu), 0);
        KUNIT_EXPECT_TRUE!(test, until(all_ran));
        KUNIT_EXPECT_EQ!(test, hooks(), [n, 1, 1, 0]);
        // One that is parked is ended like the others.
        KUNIT_EXPECT_EQ!(test, remove_cpu(cpu), 0);
        unregister_parked();
        KUNIT_EXPECT_EQ!(test, hooks(), [n, 1 + n, 1, n]);
        KUNIT_EXPECT_EQ!(test, add_cpu(cpu), 0);
    } else {
        unregister_parked();
        KUNIT_EXPECT_EQ!(test, hooks(), [n, n, 0, n]);
    }
    for cpu in cpu_possible_mask().iter() {
        KUNIT_EXPECT_TRUE!(test, PLUG_TASKS.per_cpu(cpu).get().is_none());
    }
}

/// What ended threads knew of themselves is there for the next ones: nothing is left behind.
fn a_kind_leaves_nothing_behind(test: &Kunit) {
    // The sum of where they have it: the order may differ.
    let mut places = [0u64; 3];
    for place in &mut places {
        for cpu in cpu_possible_mask().iter() {
            PLUG_RUNS.per_cpu(cpu).store(0, Ordering::SeqCst);
        }
        KUNIT_EXPECT_EQ!(test, smpboot_register_percpu_thread(&PLUG), 0);
        for cpu in cpu_online_mask().iter() {
            let runs = PLUG_RUNS.per_cpu(cpu);
            KUNIT_EXPECT_TRUE!(test, until(|| runs.load(Ordering::SeqCst) == 1));
            let task = PLUG_TASKS.per_cpu(cpu).get();
            *place += task.map_or(0, |task| kthread_data(task).addr() & 0xffff_ffff);
        }
        unregister_parked();
    }
    KUNIT_EXPECT_NE!(test, places[0], 0);
    KUNIT_EXPECT_EQ!(test, places, [places[0]; 3]);
}

kunit_test_suite!(
    /// The suite.
    suite = "cpuhp": [
        states_are_passed_in_order,
        set_up_runs_for_all_or_none,
        an_error_leads_back,
        what_is_refused,
        a_mask_of_a_dead_cpu_is_widened,
        promises_keep_a_cpu,
        percpu_threads_follow_their_cpu,
    a_kind_leaves_nothing_behind,
    ]
);
