//! Tests of EEVDF on the live queues: what must hold of a queue whenever its lock is free (F1, F2, F4 to
//! F6), and who gets how much.

use super::{Subject, until};
use crate::include::kunit::test::Kunit;
use crate::include::linux::cpumask::{Cpumask, cpu_online_mask};
use crate::include::linux::jiffies::TICK_NSEC;
use crate::include::linux::kthread::kthread_stop;
use crate::include::linux::rbtree::{RbNode, rb_first_cached, rb_next};
use crate::include::linux::sched::{
    RunNodeLink, SchedEntity, TASK_INTERRUPTIBLE, TASK_RUNNING, TaskRef,
};
use crate::kernel::sched::core::{set_user_nice, wait_task_inactive, wake_up_process};
use crate::kernel::sched::fair::eevdf::{calc_delta_fair, entity_eligible, pick_eevdf};
use crate::kernel::sched::fair::{base_slice_ns, same_se};
use crate::kernel::sched::sched::{
    CfsRq, RqFlags, cpu_rq, rq_lock_irqsave, rq_unlock_irqrestore, scale_load_down,
};
use crate::kernel::time::timer::sleep::usleep_range;
use crate::{KUNIT_EXPECT_EQ, KUNIT_EXPECT_LE, KUNIT_EXPECT_TRUE, kunit_test_suite};

type Se = &'static SchedEntity;

/// The entities in the tree, earliest deadline first.
fn tree(cfs_rq: &'static CfsRq) -> impl Iterator<Item = Se> {
    let mut at = rb_first_cached(&cfs_rq.tasks_timeline);
    core::iter::from_fn(move || {
        let node = at?;
        at = rb_next(node);
        Some(RunNodeLink::entry(node))
    })
}

/// Whether every node's minimum is the smallest vruntime at and below it; that minimum.
fn minimum(node: Option<&'static RbNode>, exact: &mut bool) -> Option<u64> {
    let node = node?;
    let se = RunNodeLink::entry(node);
    let mut min = se.vruntime.get();
    for child in [node.rb_left.get(), node.rb_right.get()] {
        if let Some(below) = minimum(child, exact)
            && (below.wrapping_sub(min) as i64) < 0
        {
            min = below;
        }
    }
    *exact &= se.min_vruntime.get() == min;
    Some(min)
}

/// What a queue looked like; plain numbers, so that nothing is printed with the lock held.
#[derive(Default)]
struct Findings {
    broken: Option<&'static str>,
}

impl Findings {
    fn expect(&mut self, holds: bool, what: &'static str) {
        if !holds && self.broken.is_none() {
            self.broken = Some(what);
        }
    }
}

/// Looks at a queue, and at those of the groups on it.
fn look(cfs_rq: &'static CfsRq, findings: &mut Findings) {
    let curr = cfs_rq.curr.get().filter(|curr| curr.on_rq.get() != 0);
    let (mut avg_vruntime, mut avg_load, mut weight, mut count) = (0i64, 0u64, 0u64, 0u32);
    let mut deadline = None;
    let reference = cfs_rq.min_vruntime.get();
    for se in tree(cfs_rq) {
        let w = scale_load_down(se.load.weight.get());
        let key = se.vruntime.get().wrapping_sub(reference) as i64;
        avg_vruntime += key * w as i64;
        avg_load += w;
        weight += se.load.weight.get();
        count += 1;
        findings.expect(
            se.on_rq.get() != 0,
            "F1: an entity in the tree is not on_rq",
        );
        let is_curr = cfs_rq.curr.get().is_some_and(|curr| same_se(curr, se));
        findings.expect(!is_curr, "F1: the running entity is in the tree");
        let ascends =
            deadline.is_none_or(|last: u64| se.deadline.get().wrapping_sub(last) as i64 >= 0);
        findings.expect(ascends, "F2: the tree is not in the order of deadlines");
        deadline = Some(se.deadline.get());
        if let Some(group) = se.my_q.get() {
            look(group, findings);
        }
    }
    if let Some(curr) = curr {
        weight += curr.load.weight.get();
        count += 1;
        if let Some(group) = curr.my_q.get() {
            look(group, findings);
        }
    }
    let mut exact = true;
    minimum(cfs_rq.tasks_timeline.rb_root.rb_node.get(), &mut exact);
    findings.expect(exact, "F2: a subtree's minimum is wrong");
    findings.expect(
        cfs_rq.avg_vruntime.get() == avg_vruntime,
        "F1: avg_vruntime is not the sum",
    );
    findings.expect(
        cfs_rq.avg_load.get() == avg_load,
        "F1: avg_load is not the sum",
    );
    findings.expect(
        cfs_rq.load.weight.get() == weight,
        "F1: load is not the sum of weights",
    );
    findings.expect(
        cfs_rq.nr_running.get() == count,
        "F1: nr_running is not the count",
    );
    let picked = pick_eevdf(cfs_rq);
    findings.expect(
        picked.is_some() == (count > 0),
        "F4: nothing to pick on a queue with entities",
    );
    if let (Some(picked), true) = (picked, count > 1) {
        findings.expect(
            entity_eligible(cfs_rq, picked),
            "F4: the pick is not eligible",
        );
        let parity = curr.is_some_and(|curr| same_se(curr, picked));
        let earliest = tree(cfs_rq)
            .filter(|se| entity_eligible(cfs_rq, se))
            .all(|se| se.deadline.get().wrapping_sub(picked.deadline.get()) as i64 >= 0);
        findings.expect(
            parity || earliest,
            "F5: an eligible entity has an earlier deadline",
        );
    }
}

/// Checks the queues of all CPUs once.
fn check_queues(test: &Kunit) {
    for cpu in cpu_online_mask().iter() {
        let rq = cpu_rq(cpu);
        let mut rf = RqFlags::new();
        let mut findings = Findings::default();
        rq_lock_irqsave(rq, &mut rf);
        look(&rq.cfs, &mut findings);
        rq_unlock_irqrestore(rq, &rf);
        if let Some(what) = findings.broken {
            crate::KUNIT_FAIL!(test, "cpu{cpu}: {what}");
        }
    }
}

const HOGS: usize = 5;
const NICES: [i32; HOGS] = [0, 0, 5, -5, 9];

/// Starts busy threads of several weights, to run where they like.
fn start_hogs(
    test: &Kunit,
    hogs: &'static [Subject; HOGS],
    mask: Cpumask,
) -> [Option<TaskRef>; HOGS] {
    core::array::from_fn(|index| {
        let task = hogs[index].start(test, mask)?;
        set_user_nice(task, NICES[index]);
        Some(task)
    })
}

fn stop_all(test: &Kunit, tasks: &[Option<TaskRef>]) {
    for task in tasks.iter().flatten() {
        KUNIT_EXPECT_EQ!(test, kthread_stop(task), 0);
    }
}

/// The queues' invariants while tasks of several weights run, come, go and change.
fn queues_add_up(test: &Kunit) {
    static HOG: [Subject; HOGS] = [const { Subject::new(TASK_RUNNING) }; HOGS];
    static SLEEPER: Subject = Subject::new(TASK_INTERRUPTIBLE);
    let tasks = start_hogs(test, &HOG, cpu_online_mask());
    let sleeper = SLEEPER.start(test, cpu_online_mask());
    let mut last_min = [0u64; 64];
    for round in 0..30 {
        usleep_range(150, 150);
        if let Some(sleeper) = sleeper {
            wake_up_process(sleeper);
        }
        if let (Some(task), true) = (tasks[round % HOGS], round % 3 == 0) {
            set_user_nice(task, NICES[(round / 3) % HOGS]);
        }
        check_queues(test);
        for cpu in cpu_online_mask().iter() {
            let min = cpu_rq(cpu).cfs.min_vruntime.get();
            let last = &mut last_min[cpu as usize];
            // F2: it never goes back.
            KUNIT_EXPECT_TRUE!(test, round == 0 || min.wrapping_sub(*last) as i64 >= 0);
            *last = min;
        }
    }
    stop_all(test, &tasks);
    stop_all(test, &[sleeper]);
}

/// What is kept of a sleeper's lag is bounded by its request (F6).
fn lag_is_bounded(test: &Kunit) {
    static HOG: [Subject; HOGS] = [const { Subject::new(TASK_RUNNING) }; HOGS];
    static SLEEPER: Subject = Subject::new(TASK_INTERRUPTIBLE);
    let tasks = start_hogs(test, &HOG, Cpumask::of(0));
    let Some(sleeper) = SLEEPER.start(test, Cpumask::of(0)) else {
        return;
    };
    let slice = base_slice_ns();
    for round in 1..=5 {
        wake_up_process(sleeper);
        KUNIT_EXPECT_TRUE!(test, until(|| SLEEPER.rounds() == round));
        KUNIT_EXPECT_TRUE!(test, wait_task_inactive(sleeper, TASK_INTERRUPTIBLE));
        let limit = calc_delta_fair((2 * slice).max(TICK_NSEC as u64), &sleeper.se);
        KUNIT_EXPECT_LE!(test, sleeper.se.vlag.get().unsigned_abs(), limit);
    }
    stop_all(test, &tasks);
    stop_all(test, &[Some(sleeper)]);
}

/// Run time is shared by weight: nice 0 against nice 5 is 1024 to 335.
fn shares_by_weight(test: &Kunit) {
    static HOG: [Subject; 2] = [const { Subject::new(TASK_RUNNING) }; 2];
    let tasks = [
        HOG[0].start(test, Cpumask::of(0)),
        HOG[1].start(test, Cpumask::of(0)),
    ];
    let [Some(nice0), Some(nice5)] = tasks else {
        return;
    };
    set_user_nice(nice5, 5);
    let before = [nice0, nice5].map(|task| task.se.sum_exec_runtime.get());
    usleep_range(400_000, 400_000);
    let after = [nice0, nice5].map(|task| task.se.sum_exec_runtime.get());
    let (a, b) = (after[0] - before[0], after[1] - before[1]);
    // 3.057 within a tenth: turns go by ticks of 4 ms, of which the weaker has one in four.
    KUNIT_EXPECT_LE!(test, b * 2_751, a * 1000);
    KUNIT_EXPECT_LE!(test, a * 1000, b * 3_363);
    stop_all(test, &tasks);
}

kunit_test_suite!(
    /// The suite.
    suite = "sched_fair": [queues_add_up, lag_is_bounded, shares_by_weight]);
