//! The stopper rules of definitions.md section 4, each on a trace of about ten events worked out in
//! the comment above it.

mod support;

use analyze::source::GuestWorks;
use analyze::stopper::{Before, Outcome, StopperReport, Work as Row, analyze};
use support::*;
use trace::events::RescheduleExit;

const DONE: After = After {
    cpu: 1,
    on_rq: 1,
    mask: 0b10,
    nr_todo: -1,
};

/// A work that nobody waits for and that is about no task.
const PLAIN: Work = Work {
    work: 0x300,
    cpu: 0,
    done: 0,
    pending: 0,
    task: None,
    func: "some_fn",
};
const NOBODY: After = After {
    cpu: -1,
    on_rq: -1,
    mask: 0,
    nr_todo: -1,
};

fn report(trace: &Trace) -> StopperReport {
    let report = analyze(trace).expect("the trace is good");
    for check in &report.checks {
        assert!(check.holds, "{}: {}", check.name, check.detail);
    }
    report
}

fn only(trace: &Trace) -> Row {
    let mut works = report(trace).works;
    assert_eq!(works.len(), 1);
    works.remove(0)
}

/// The worked example of definitions.md: queue 10,500, waking 10,520, start 13,050, done 13,800: 20,
/// 2,530, 750. The episode is 12,900 to 14,100 and the work is its last: share 1,200, all of it lost by
/// the task that was preempted, for it runs again at 15,900 only.
#[test]
fn the_worked_example() {
    let trace = worked_example();
    let w = only(&trace);
    assert_eq!(w.queue_to_wake_ns(), Some(20));
    assert_eq!(w.wake_to_run_ns(), Some(2_530));
    assert_eq!(w.run_ns(), Some(750));
    let share = w.share.expect("it was done");
    assert_eq!((share.ns(), share.insns), (1_200, 1_200));
    assert_eq!((share.begin.seq, share.end.seq), (7, 13));
    assert_eq!((w.lost_ns, w.elsewhere_ns), (Some(1_200), Some(0)));
    assert_eq!(w.outcome, Some(Outcome::Moved));
    let victim = w.victim.expect("the hog");
    assert_eq!(
        (victim.task.tid, victim.prio, victim.class.name()),
        (40, 120, "fair")
    );
    assert_eq!(
        (w.caller.as_str(), w.func.as_str()),
        ("affine_move_task", "migration_cpu_stop")
    );
    assert_eq!((w.queuer.tid, w.queuer_cpu, w.cpu), (41, 1, 0));
    assert_eq!((w.done_to_waiter, w.pending_to_waiter), (None, None));
    let total = report(&trace).totals[0];
    assert_eq!((total.occupancy_ns, total.lost_ns), (1_200, 1_200));
}

/// Two works in one episode: the second is queued while the stopper is awake.
///
/// ```text
///  1,000 queue A   1,010 waking   1,200 in (victim HOG)   1,300 A starts
///  1,350 queue B, no waking
///  1,500 A done    share A = 1,200 to 1,500 = 300
///  1,600 B starts  queue>wake 0, wake>run 250 from the queueing
///  1,900 B done    share B = 1,500 to 2,050 = 550, with the tail
///  2,050 out
/// ```
#[test]
fn works_share_an_episode_and_the_last_takes_the_tail() {
    let a = Work {
        work: 0x301,
        ..PLAIN
    };
    let b = Work {
        work: 0x302,
        ..PLAIN
    };
    let mut t = Trace::new(2);
    t.at(0, 900).switch(IDLE0, R, HOG);
    t.at(1, 1_000).work_queue("q q caller", a, -1);
    t.at(1, 1_010).waking(STOP0, 0);
    t.at(0, 1_200).switch(HOG, PREEMPTED, STOP0);
    t.at(0, 1_300).work_start(a, -1);
    t.at(1, 1_350).work_queue("q q caller", b, -1);
    t.at(0, 1_500).work_done(a, NOBODY);
    t.at(0, 1_600).work_start(b, -1);
    t.at(0, 1_900).work_done(b, NOBODY);
    t.at(0, 2_050).switch(STOP0, S, HOG);
    let r = report(&t);
    let [a, b] = &r.works[..] else {
        panic!("two works")
    };
    assert_eq!(
        (a.queue_to_wake_ns(), a.wake_to_run_ns()),
        (Some(10), Some(290))
    );
    assert_eq!(
        (b.queue_to_wake_ns(), b.wake_to_run_ns()),
        (Some(0), Some(250))
    );
    assert_eq!(a.share.map(|s| s.ns()), Some(300));
    assert_eq!(b.share.map(|s| s.ns()), Some(550));
    assert_eq!((a.lost_ns, b.lost_ns), (Some(300), Some(550)));
    assert_eq!((a.outcome, r.totals[0].lost_ns), (None, 850));
    // B waited for A: nothing until the wake-up and the switch-in, 150 of an earlier work, then 100.
    assert_eq!(b.latency_parts_ns(), Some([0, 0, 150, 100]));
    assert_eq!(a.latency_parts_ns(), Some([10, 190, 0, 100]));
    assert_eq!(r.guarantee().map(|w| w.queue.seq), Some(1));
}

/// cpu1 wakes the stopper for A at 1,800 of its clock; in the order B has been queued by then, at 2,000
/// of cpu2's. The stopper is awake when B is queued: queue>wake 0, and wake>run from the queueing.
#[test]
fn a_wake_up_before_the_queueing_is_another_works() {
    let b = Work {
        work: 0x302,
        ..PLAIN
    };
    let mut t = Trace::new(3);
    t.at(1, 1_790).work_queue("q q caller", PLAIN, -1);
    t.at(2, 2_000).work_queue("q q caller", b, -1);
    t.at(1, 1_800).waking(STOP0, 0);
    t.at(0, 2_500).switch(IDLE0, R, STOP0);
    t.at(0, 2_600).work_start(PLAIN, -1);
    t.at(0, 2_700).work_done(PLAIN, NOBODY);
    t.at(0, 2_800).work_start(b, -1);
    t.at(0, 2_900).work_done(b, NOBODY);
    let r = report(&t);
    let [a, b] = &r.works[..] else {
        panic!("two works")
    };
    assert_eq!(
        (a.queue_to_wake_ns(), a.wake_to_run_ns()),
        (Some(10), Some(800))
    );
    assert_eq!(
        (b.queue_to_wake_ns(), b.wake_to_run_ns()),
        (Some(0), Some(800))
    );
    assert_eq!(b.waking, None);
}

/// No victim, no loss: on an idle CPU, and after a task that has just gone to sleep. An episode
/// without a work is an overhead row.
///
/// ```text
///  cpu0 1,000 idle => stopper   1,100 start  1,200 done  1,300 out      idle     300
///  cpu0 2,000 HOG sleeps => stopper  2,100 start  2,200 done  2,450 out blocked  450
///  cpu0 3,000 HOG preempted => stopper  3,150 out, no work              overhead 150
/// ```
#[test]
fn no_victim_no_loss() {
    let mut t = Trace::new(1);
    t.at(0, 900).work_queue("q q caller", PLAIN, -1);
    t.at(0, 1_000).switch(IDLE0, R, STOP0);
    t.at(0, 1_100).work_start(PLAIN, -1);
    t.at(0, 1_200).work_done(PLAIN, NOBODY);
    t.at(0, 1_300).switch(STOP0, S, HOG);
    t.at(0, 1_900).work_queue("q q caller", PLAIN, -1);
    t.at(0, 2_000).switch(HOG, D, STOP0);
    t.at(0, 2_100).work_start(PLAIN, -1);
    t.at(0, 2_200).work_done(PLAIN, NOBODY);
    t.at(0, 2_450).switch(STOP0, S, OTHER);
    t.at(0, 3_000).switch(OTHER, PREEMPTED, STOP0);
    t.at(0, 3_150).switch(STOP0, S, OTHER);
    let r = report(&t);
    let before: Vec<_> = r.works.iter().map(|w| (w.before, w.lost_ns)).collect();
    assert_eq!(
        before,
        [(Some(Before::Idle), None), (Some(Before::Blocked), None)]
    );
    let total = r.totals[0];
    assert_eq!(
        (total.idle_ns, total.blocked_ns, total.overhead_ns),
        (300, 450, 150)
    );
    assert_eq!(
        (total.occupancy_ns, total.episodes, total.works),
        (900, 3, 2)
    );
    assert_eq!(r.overhead.len(), 1);
    assert_eq!((r.overhead[0].begin.seq, r.overhead[0].insns), (10, 150));
}

/// The victim is moved and runs elsewhere before the stopper leaves, sleeps there, wakes up and waits.
///
/// ```text
///  2,000 in (HOG waits)   2,100 start   2,300 migrate
///  cpu1 2,500 HOG runs                       lost 500
///  cpu1 2,700 HOG sleeps                     elsewhere 200
///  cpu1 2,800 HOG is woken                   elsewhere 100
///  2,900 done   3,000 out                    lost 200    share 1,000 = 700 lost + 300 elsewhere
/// ```
#[test]
fn a_victim_that_runs_elsewhere_loses_nothing_there() {
    let work = affinity(0, HOG);
    let mut t = Trace::new(2);
    t.at(0, 1_000).switch(IDLE0, R, HOG);
    t.at(1, 1_500).work_queue(AFFINE, work, -1);
    t.at(0, 2_000).switch(HOG, PREEMPTED, STOP0);
    t.at(0, 2_100).work_start(work, -1);
    t.at(0, 2_300).migrate(STOPPER_MOVE, HOG, 0, 1);
    t.at(1, 2_500).switch(IDLE1, R, HOG);
    t.at(1, 2_700).switch(HOG, S, IDLE1);
    t.at(0, 2_800).wakeup(HOG, 1);
    t.at(0, 2_900).work_done(work, DONE);
    t.at(0, 3_000).switch(STOP0, S, IDLE0);
    let w = only(&t);
    assert_eq!(w.share.map(|s| s.ns()), Some(1_000));
    assert_eq!((w.lost_ns, w.elsewhere_ns), (Some(700), Some(300)));
}

/// An event of another CPU may come later in the order than the episode's end and lie inside it in
/// causal time: HOG runs on cpu1 from 2,600, which the host executed after cpu0's switch at 2,900.
#[test]
fn the_order_of_events_is_not_the_order_of_time() {
    let work = affinity(0, HOG);
    let mut t = Trace::new(2);
    t.at(0, 1_000).switch(IDLE0, R, HOG);
    t.at(1, 1_500).work_queue(AFFINE, work, -1);
    t.at(0, 2_000).switch(HOG, PREEMPTED, STOP0);
    t.at(0, 2_100).work_start(work, -1);
    t.at(0, 2_300).migrate(STOPPER_MOVE, HOG, 0, 1);
    t.at(0, 2_800).work_done(work, DONE);
    t.at(0, 2_900).switch(STOP0, S, IDLE0);
    t.at(1, 2_600).switch(IDLE1, R, HOG);
    let w = only(&t);
    assert_eq!((w.lost_ns, w.elsewhere_ns), (Some(600), Some(300)));
}

/// done→waiter: on the work that brought nr_todo to 0 only, from then to the waiter's switch-in.
///
/// ```text
///  1,000 ASKER (cpu1) queues A for cpu0, 1,050 B for cpu1; nr_todo 2
///  cpu1 1,100 ASKER preempted by the stopper; B 1,200 to 1,300, nr_todo 1
///  cpu0 A 1,500 to 1,700, nr_todo 0 (complete at 1,680)
///  cpu1 1,900 ASKER runs again: 220 after 1,680
/// ```
#[test]
fn the_waiter_of_a_request() {
    let a = Work {
        work: 0x401,
        done: 0x400,
        ..PLAIN
    };
    let b = Work {
        work: 0x402,
        done: 0x400,
        cpu: 1,
        ..PLAIN
    };
    let mut t = Trace::new(2);
    t.at(1, 900).switch(IDLE1, R, ASKER);
    t.at(1, 1_000).work_queue("q q stop_cpus", a, 2);
    t.at(1, 1_050).work_queue("q q stop_cpus", b, 2);
    t.at(1, 1_100).switch(ASKER, PREEMPTED, STOP1);
    t.at(1, 1_200).work_start(b, 2);
    t.at(1, 1_300).work_done(
        b,
        After {
            nr_todo: 1,
            ..NOBODY
        },
    );
    t.at(0, 1_400).switch(IDLE0, R, STOP0);
    t.at(0, 1_500).work_start(a, 1);
    t.at(0, 1_680).complete_done(a);
    t.at(0, 1_700).work_done(
        a,
        After {
            nr_todo: 0,
            ..NOBODY
        },
    );
    t.at(1, 1_900).switch(STOP1, S, ASKER);
    t.at(0, 2_000).switch(STOP0, S, IDLE0);
    let r = report(&t);
    assert_eq!(
        (r.works[0].done_to_waiter, r.works[1].done_to_waiter),
        (Some(220), None)
    );
    assert_eq!(
        r.works[0].waited.map(|(a, b)| (a.seq, b.seq)),
        Some((8, 10))
    );
}

/// Without `stop:complete`, nr_todo is 0 at `stop:work_done`; a waiter that still runs waits for 0 ns;
/// a work that nobody waits for has null.
#[test]
fn a_waiter_that_runs_and_no_waiter() {
    let waited = Work {
        work: 0x401,
        done: 0x400,
        ..PLAIN
    };
    let mut t = Trace::new(2);
    t.at(1, 900).switch(IDLE1, R, ASKER);
    t.at(1, 1_000).work_queue("q q stop_one_cpu", waited, 1);
    t.at(1, 1_010).work_queue("q q caller", PLAIN, -1);
    t.at(0, 1_400).switch(IDLE0, R, STOP0);
    t.at(0, 1_500).work_start(waited, 1);
    t.at(0, 1_700).work_done(
        waited,
        After {
            nr_todo: 0,
            ..NOBODY
        },
    );
    t.at(0, 1_800).work_start(PLAIN, -1);
    t.at(0, 1_900).work_done(PLAIN, NOBODY);
    t.at(0, 2_000).switch(STOP0, S, IDLE0);
    let r = report(&t);
    assert_eq!(
        (r.works[0].done_to_waiter, r.works[1].done_to_waiter),
        (Some(0), None)
    );
}

/// pending→waiter starts at `stop:complete` of the pending: 2,400, and the asker runs at 2,950.
#[test]
fn the_waiter_of_a_pending() {
    let work = affinity(0, HOG);
    let mut t = Trace::new(2);
    t.at(1, 900).switch(IDLE1, R, ASKER);
    t.at(1, 1_000).work_queue(AFFINE, work, -1);
    t.at(1, 1_100).switch(ASKER, D, IDLE1);
    t.at(0, 2_000).switch(IDLE0, R, STOP0);
    t.at(0, 2_100).work_start(work, -1);
    t.at(0, 2_200).migrate(STOPPER_MOVE, HOG, 0, 1);
    t.at(0, 2_400).complete_pending(work);
    t.at(0, 2_500).work_done(work, DONE);
    t.at(0, 2_600).switch(STOP0, S, IDLE0);
    t.at(1, 2_950).switch(IDLE1, R, ASKER);
    let w = only(&t);
    assert_eq!((w.pending_to_waiter, w.done_to_waiter), (Some(550), None));
    assert_eq!(w.waited.map(|(a, b)| (a.seq, b.seq)), Some((6, 9)));
}

/// One work whose task is in this state when it is done.
fn outcome(asleep: bool, after: After) -> Option<Outcome> {
    let work = affinity(0, HOG);
    let mut t = Trace::new(2);
    let state = if asleep { S } else { PREEMPTED };
    t.at(0, 900).switch(IDLE0, R, HOG);
    t.at(1, 1_000).work_queue(AFFINE, work, -1);
    t.at(0, 2_000).switch(HOG, state, STOP0);
    t.at(0, 2_100).work_start(work, -1);
    t.at(0, 2_300).complete_pending(work);
    t.at(0, 2_500).work_done(work, after);
    t.at(0, 2_600).switch(STOP0, S, IDLE0);
    only(&t).outcome
}

#[test]
fn outcomes_by_the_task_at_the_done() {
    let after = |cpu, on_rq, mask| After {
        cpu,
        on_rq,
        mask,
        nr_todo: -1,
    };
    assert_eq!(outcome(false, after(0, 1, 0b01)), Some(Outcome::AlreadyOk));
    assert_eq!(outcome(false, after(0, 1, 0b10)), Some(Outcome::Raced));
    assert_eq!(outcome(false, after(0, 0, 0b10)), Some(Outcome::Sleeping));
    // The completion that its function sent may have woken it up before the work is done.
    assert_eq!(outcome(true, after(1, 1, 0b10)), Some(Outcome::Sleeping));
}

/// A wake-up of the sleeping task from within its own work is no move of the stopper's.
#[test]
fn a_wake_up_within_the_work_is_not_moved() {
    let work = affinity(0, HOG);
    let mut t = Trace::new(2);
    t.at(0, 900).switch(IDLE0, R, HOG);
    t.at(0, 1_000).work_queue(AFFINE, work, -1);
    t.at(0, 2_000).switch(HOG, D, STOP0);
    t.at(0, 2_100).work_start(work, -1);
    t.at(0, 2_200).complete_pending(work);
    t.at(0, 2_210).waking(HOG, 0);
    let stack = "set_task_cpu try_to_wake_up complete_all migration_cpu_stop cpu_stopper_thread";
    t.at(0, 2_220).migrate(stack, HOG, 0, 1);
    t.at(0, 2_300).wakeup(HOG, 1);
    t.at(0, 2_500).work_done(work, DONE);
    t.at(0, 2_600).switch(STOP0, S, IDLE0);
    t.at(1, 4_300).switch(IDLE1, R, HOG);
    let w = only(&t);
    assert_eq!(w.outcome, Some(Outcome::Sleeping));
    // It waits for its own pending: from 2,200 to 4,300.
    assert_eq!(w.pending_to_waiter, Some(2_100));
    assert_eq!((w.before, w.lost_ns), (Some(Before::Blocked), None));
}

/// The task has gone to cpu1: the work queues itself there; the second work moves it.
#[test]
fn a_requeued_work_and_its_successor() {
    let first = affinity(0, HOG);
    let second = affinity(1, HOG);
    let mut t = Trace::new(3);
    t.at(2, 900).switch(T(0, "swapper/2"), R, ASKER);
    t.at(2, 1_000).work_queue(AFFINE, first, -1);
    t.at(2, 1_050).switch(ASKER, D, T(0, "swapper/2"));
    t.at(0, 1_200).switch(IDLE0, R, STOP0);
    t.at(0, 1_300).work_start(first, -1);
    t.at(0, 1_400)
        .work_queue("q q migration_cpu_stop", second, -1);
    t.at(0, 1_450).work_done(
        first,
        After {
            mask: 0b100,
            ..DONE
        },
    );
    t.at(0, 1_500).switch(STOP0, S, IDLE0);
    t.at(1, 2_000).switch(HOG, PREEMPTED, STOP1);
    t.at(1, 2_100).work_start(second, -1);
    t.at(1, 2_200).migrate(STOPPER_MOVE, HOG, 1, 2);
    t.at(1, 2_300).complete_pending(second);
    t.at(1, 2_400).work_done(
        second,
        After {
            cpu: 2,
            mask: 0b100,
            ..DONE
        },
    );
    t.at(1, 2_500).switch(STOP1, S, IDLE1);
    t.at(2, 4_300).switch(T(0, "swapper/2"), R, ASKER);
    let r = report(&t);
    let outcomes: Vec<_> = r.works.iter().map(|w| w.outcome).collect();
    assert_eq!(outcomes, [Some(Outcome::Requeued), Some(Outcome::Moved)]);
    // The asker waits for the pending, and that is told on its last work.
    let waits: Vec<_> = r.works.iter().map(|w| w.pending_to_waiter).collect();
    assert_eq!(waits, [None, Some(2_000)]);
    assert_eq!(r.works[1].queuer.comm, "migration/0");
}

/// The recording ends while a work runs: it has the rest of the episode, and the balance holds.
#[test]
fn a_work_that_is_not_done_at_the_end() {
    let mut t = Trace::new(1);
    t.at(0, 900).switch(IDLE0, R, HOG);
    t.at(0, 1_000).work_queue("q q caller", PLAIN, -1);
    t.at(0, 1_100).switch(HOG, PREEMPTED, STOP0);
    t.at(0, 1_200).work_start(PLAIN, -1);
    t.at(0, 1_600).ipi_entry();
    let w = only(&t);
    assert_eq!((w.run_ns(), w.outcome), (None, None));
    assert_eq!((w.share.map(|s| s.ns()), w.lost_ns), (Some(500), Some(500)));
}

/// The kernel's own counts must agree, and at a power-off every work must be done.
#[test]
fn the_counts_are_checked() {
    let mut t = worked_example();
    let counts = |t: &Trace| analyze(t).expect("good").checks[1].holds;
    t.info_mut().outcome = Some("power off".into());
    let guest = |n| GuestWorks {
        queued: n,
        started: n,
        done: n,
    };
    t.info_mut().guest_works = Some(guest(1));
    assert!(counts(&t));
    t.info_mut().guest_works = Some(guest(2));
    assert!(!counts(&t));

    let mut t = Trace::new(1);
    t.at(0, 1_000).work_queue("q q caller", PLAIN, -1);
    assert!(counts(&t));
    t.info_mut().outcome = Some("power off".into());
    assert!(!counts(&t));
}

/// HOG has migration disabled while ASKER asks for its mask and sleeps; HOG's own migrate_enable sends
/// the stopper. The completion wakes ASKER, the waiter: 2,400 to 2,950.
///
/// ```text
///  cpu1 1,000 ASKER asks for HOG's mask   1,100 ASKER sleeps
///  cpu0 1,500 HOG queues the work         2,000 stopper in   2,100 start
///  cpu0 2,400 complete   2,410 an interrupt that wakes OTHER   2,440 ASKER woken   2,500 done
///  cpu1 2,700 OTHER in   2,950 ASKER in: 550 after the completion
/// ```
#[test]
fn the_waiter_of_a_work_that_the_moved_task_queued() {
    let work = affinity(0, HOG);
    let mut t = Trace::new(2);
    t.at(0, 900).switch(IDLE0, R, HOG);
    t.at(1, 900).switch(IDLE1, R, ASKER);
    t.at(1, 1_000).affinity_entry(HOG, 0, 0b10);
    t.at(1, 1_100).switch(ASKER, D, IDLE1);
    t.at(0, 1_500).work_queue(
        "cpu_stop_queue_work stop_one_cpu_nowait affine_move_task migrate_enable",
        work,
        -1,
    );
    t.at(0, 2_000).switch(HOG, PREEMPTED, STOP0);
    t.at(0, 2_100).work_start(work, -1);
    t.at(0, 2_200).migrate(STOPPER_MOVE, HOG, 0, 1);
    t.at(0, 2_400).complete_pending(work);
    t.at(0, 2_410).ipi_entry();
    t.at(0, 2_420).waking(OTHER, 1);
    t.at(0, 2_430).event("", RescheduleExit { vector: 253 });
    t.at(0, 2_440).waking(ASKER, 1);
    t.at(0, 2_450).wakeup(ASKER, 1);
    t.at(0, 2_500).work_done(work, DONE);
    t.at(0, 2_600).switch(STOP0, S, IDLE0);
    t.at(1, 2_700).switch(IDLE1, R, OTHER);
    t.at(1, 2_950).switch(OTHER, PREEMPTED, ASKER);
    let w = only(&t);
    assert_eq!((w.queuer.tid, w.pending_to_waiter), (HOG.0, Some(550)));
    assert_eq!(w.waited.map(|(a, b)| (a.seq, b.seq)), Some((8, 17)));
}

/// Two wait for one pending: ASKER came first and sleeps, OTHER joined it, found HOG running, queued the
/// work and sleeps too. The completion wakes ASKER first: 2,400 to 3,000, although OTHER runs at 2,800.
/// What it wakes next is no waiter of this pending if it did not ask for HOG's mask (STOP1 here).
#[test]
fn the_first_of_several_waiters_is_the_one() {
    let work = affinity(0, HOG);
    let waiter = |first: T| {
        let mut t = Trace::new(3);
        t.at(0, 900).switch(IDLE0, R, HOG);
        t.at(1, 950).switch(IDLE1, R, ASKER);
        t.at(1, 1_000).affinity_entry(HOG, 0, 0b10);
        t.at(1, 1_100).switch(ASKER, D, IDLE1);
        t.at(2, 1_200).switch(T(0, "swapper/2"), R, OTHER);
        t.at(2, 1_300).affinity_entry(HOG, 0, 0b10);
        t.at(2, 1_400).work_queue(AFFINE, work, -1);
        t.at(2, 1_500).switch(OTHER, D, T(0, "swapper/2"));
        t.at(0, 2_000).switch(HOG, PREEMPTED, STOP0);
        t.at(0, 2_100).work_start(work, -1);
        t.at(0, 2_200).migrate(STOPPER_MOVE, HOG, 0, 1);
        t.at(0, 2_400).complete_pending(work);
        t.at(0, 2_410).waking(first, 1);
        t.at(0, 2_500).work_done(work, DONE);
        t.at(0, 2_600).switch(STOP0, S, IDLE0);
        t.at(2, 2_800).switch(T(0, "swapper/2"), R, OTHER);
        t.at(1, 3_000).switch(IDLE1, R, ASKER);
        only(&t).pending_to_waiter
    };
    assert_eq!(waiter(ASKER), Some(600));
    assert_eq!(waiter(OTHER), Some(400));
    assert_eq!(waiter(STOP1), Some(400));
}

/// ASKER has asked for HOG's mask and was preempted before it could sleep: the completion wakes nobody,
/// and ASKER is the waiter of the work that HOG's migrate_enable queued. Had it slept by then, without
/// being woken, it would not have waited for this.
#[test]
fn a_waiter_that_did_not_sleep_yet() {
    let work = affinity(0, HOG);
    let waiter = |state: i64| {
        let mut t = Trace::new(2);
        t.at(0, 900).switch(IDLE0, R, HOG);
        t.at(1, 900).switch(IDLE1, R, ASKER);
        t.at(1, 1_000).affinity_entry(HOG, 0, 0b10);
        t.at(1, 1_100).switch(ASKER, state, OTHER);
        t.at(0, 1_500)
            .work_queue("q q affine_move_task migrate_enable", work, -1);
        t.at(0, 2_000).switch(HOG, PREEMPTED, STOP0);
        t.at(0, 2_100).work_start(work, -1);
        t.at(0, 2_200).migrate(STOPPER_MOVE, HOG, 0, 1);
        t.at(0, 2_400).complete_pending(work);
        t.at(0, 2_500).work_done(work, DONE);
        t.at(0, 2_600).switch(STOP0, S, IDLE0);
        t.at(1, 3_100).switch(OTHER, S, ASKER);
        only(&t).pending_to_waiter
    };
    assert_eq!(waiter(PREEMPTED), Some(700));
    assert_eq!(waiter(D), None);
}

/// A task that has disabled migration stays where its mask does not have it, and its pending waits for
/// migrate_enable: it may be there, so it is `already-ok`. If the pending was completed, the work had
/// dealt with the task, and a mask that does not fit afterwards is another request's: `raced`.
#[test]
fn migration_disabled_is_not_raced() {
    let outcome = |completed: bool| {
        let work = affinity(0, HOG);
        let mut t = Trace::new(2);
        t.at(0, 900).switch(IDLE0, R, HOG);
        t.at(1, 1_000).work_queue(AFFINE, work, -1);
        t.at(0, 2_000).switch(HOG, PREEMPTED, STOP0);
        t.at(0, 2_100).work_start(work, -1);
        if completed {
            t.at(0, 2_300).complete_pending(work);
        }
        t.at(0, 2_500).work_done(work, After { cpu: 0, ..DONE });
        t.at(0, 2_600).switch(STOP0, S, HOG);
        only(&t).outcome
    };
    assert_eq!(outcome(false), Some(Outcome::AlreadyOk));
    assert_eq!(outcome(true), Some(Outcome::Raced));
}

/// Every stretch of `migration/N` is an episode of N's stopper: also those in which it is being made and
/// runs where its maker does, as long as it is not bound to its own CPU.
///
/// ```text
///  cpu0 1,000 migration/1 in   1,150 out       cpu 1's: 150, ran on cpu 0
///  cpu1 1,500 migration/1 in   1,540 out       cpu 1's:  40
///  cpu0 1,600 migration/0 in   1,630 out       cpu 0's:  30
/// ```
#[test]
fn episodes_before_the_stopper_is_bound_count() {
    let mut t = Trace::new(2);
    t.at(0, 900).switch(IDLE0, R, HOG);
    t.at(0, 1_000).switch(HOG, PREEMPTED, STOP1);
    t.at(0, 1_150).switch(STOP1, D, HOG);
    t.at(1, 1_500).switch(IDLE1, R, STOP1);
    t.at(1, 1_540).switch(STOP1, S, IDLE1);
    t.at(0, 1_600).switch(HOG, PREEMPTED, STOP0);
    t.at(0, 1_630).switch(STOP0, S, HOG);
    let r = report(&t);
    let rows: Vec<_> = r
        .overhead
        .iter()
        .map(|o| (o.cpu, o.on_cpu, o.begin.seq, o.end.seq, o.insns))
        .collect();
    assert_eq!(
        rows,
        [(1, 0, 1, 2, 150), (1, 1, 3, 4, 40), (0, 0, 5, 6, 30)]
    );
    let totals: Vec<_> = r
        .totals
        .iter()
        .map(|t| (t.episodes, t.occupancy_ns, t.overhead_ns))
        .collect();
    assert_eq!(totals, [(1, 30, 30), (2, 190, 190)]);
}

/// A work's `pushed_ns` is that of every event that its row names: cpu1's clock says 2,200 when it
/// switches the waiter in that cpu0 has woken at 2,410, so the switch is at 2,411, pushed by 211.
#[test]
fn a_pushed_waiter_is_told() {
    let work = affinity(0, HOG);
    let mut t = Trace::new(2);
    t.at(1, 900).switch(IDLE1, R, ASKER);
    t.at(1, 950).affinity_entry(HOG, 0, 0b10);
    t.at(1, 1_000).work_queue(AFFINE, work, -1);
    t.at(1, 1_100).switch(ASKER, D, IDLE1);
    t.at(0, 2_000).switch(IDLE0, R, STOP0);
    t.at(0, 2_100).work_start(work, -1);
    t.at(0, 2_400).complete_pending(work);
    t.at(0, 2_410).waking(ASKER, 1);
    t.at(1, 2_200).switch(IDLE1, R, ASKER);
    t.at(0, 2_500).work_done(work, DONE);
    let w = only(&t);
    assert_eq!((w.pending_to_waiter, w.pushed_ns()), (Some(11), 211));
}

/// The stopper is awake when it is given a second work, and takes it before it is woken for it: it starts
/// at 2,600 on causal time, and cpu1 wakes it at 2,650, which comes first in the order.
#[test]
fn a_wake_up_after_the_start_found_it_awake() {
    let b = Work {
        work: 0x302,
        ..PLAIN
    };
    let mut t = Trace::new(2);
    t.at(0, 900).switch(IDLE0, R, HOG);
    t.at(1, 1_000).work_queue("q q caller", PLAIN, -1);
    t.at(1, 1_010).waking(STOP0, 0);
    t.at(0, 2_000).switch(HOG, PREEMPTED, STOP0);
    t.at(0, 2_100).work_start(PLAIN, -1);
    t.at(0, 2_500).work_done(PLAIN, NOBODY);
    t.at(1, 2_550).work_queue("q q caller", b, -1);
    t.at(1, 2_650).waking(STOP0, 0);
    t.at(0, 2_600).work_start(b, -1);
    t.at(0, 2_700).work_done(b, NOBODY);
    t.at(0, 2_800).switch(STOP0, S, HOG);
    let r = report(&t);
    let b = &r.works[1];
    assert_eq!((b.waking, b.queue_to_start_ns()), (None, Some(50)));
    assert_eq!(
        (b.queue_to_wake_ns(), b.wake_to_run_ns()),
        (Some(0), Some(50))
    );
}

/// A pending lies on its owner's stack. ASKER asks for HOG, is released at 1,400, and asks for OTHER with
/// the same address at 1,600, before the first work is done at 1,700: two requests, each with its wait.
#[test]
fn a_pending_used_again_before_the_work_is_done() {
    let first = affinity(0, HOG);
    let second = Work {
        task: Some(OTHER),
        cpu: 1,
        ..first
    };
    let mut t = Trace::new(3);
    t.at(2, 900).switch(T(0, "swapper/2"), R, ASKER);
    t.at(2, 950).affinity_entry(HOG, 0, 0b10);
    t.at(2, 1_000).work_queue(AFFINE, first, -1);
    t.at(0, 1_100).switch(IDLE0, R, STOP0);
    t.at(0, 1_200).work_start(first, -1);
    t.at(0, 1_300).migrate(STOPPER_MOVE, HOG, 0, 1);
    t.at(0, 1_400).complete_pending(first);
    t.at(2, 1_550).affinity_entry(OTHER, 1, 0b01);
    t.at(2, 1_600).work_queue(AFFINE, second, -1);
    t.at(2, 1_650).switch(ASKER, D, T(0, "swapper/2"));
    t.at(0, 1_700).work_done(first, DONE);
    t.at(0, 1_800).switch(STOP0, S, IDLE0);
    t.at(1, 2_000).switch(IDLE1, R, STOP1);
    t.at(1, 2_100).work_start(second, -1);
    t.at(1, 2_200).migrate(STOPPER_MOVE, OTHER, 1, 0);
    t.at(1, 2_300).complete_pending(second);
    t.at(1, 2_310).waking(ASKER, 2);
    t.at(1, 2_400).work_done(second, DONE);
    t.at(1, 2_500).switch(STOP1, S, IDLE1);
    t.at(2, 3_300).switch(T(0, "swapper/2"), R, ASKER);
    let r = report(&t);
    let waits: Vec<_> = r.works.iter().map(|w| w.pending_to_waiter).collect();
    assert_eq!(waits, [Some(0), Some(1_000)]);
}
