//! The phase rules of definitions.md section 3 and the begin/end rules of section 2, each on a trace
//! of about ten events worked out in the comment above it.

mod support;

use analyze::migration::{Cause, Ended, Kind, Move, Path, analyze};
use support::*;

fn moves(trace: &Trace) -> Vec<Move> {
    let report = analyze(trace).expect("the trace is good");
    for check in &report.checks {
        assert!(check.holds, "{}: {}", check.name, check.detail);
    }
    report.moves
}

fn only(trace: &Trace) -> Move {
    let mut moves = moves(trace);
    assert_eq!(moves.len(), 1);
    moves.remove(0)
}

/// The worked example of definitions.md: off-src 2,400 (10,500 to 12,900), stop-wait 150, stop-run 350,
/// enq-dst 200, ipi 2,000 (13,650 to 15,650), first-run 50 + 250; total 5,400.
///
/// Instructions: off-src ends at cpu0's switch; cpu0's last event before 10,500 was at 9,500, so of its
/// 12,900 - 9,500 instructions at most the 2,400 of the phase count. cpu1 had retired 10,700 at its
/// last event before the interrupt's sending and 10,720 at its entry: 20, then 250.
#[test]
fn the_worked_example() {
    let m = only(&worked_example());
    assert_eq!(
        (m.kind, m.path, m.cause),
        (Kind::Move, Path::Stopper, Cause::Affinity)
    );
    assert_eq!(
        (m.src_cpu, m.dst_cpu, m.tid, m.ended),
        (0, 1, 40, Ended::Ran)
    );
    assert_eq!(m.phases_ns, [2_400, 150, 350, 200, 2_000, 300]);
    assert_eq!(
        (m.begin_ns, m.end_ns, m.total_ns()),
        (10_500, 15_900, 5_400)
    );
    assert_eq!(m.phases_insns, [2_400, 150, 350, 200, 20, 300]);
    assert_eq!(m.pushed_ns, 0);
    let s = m.seqs;
    assert_eq!((s.begin, s.switch_out, s.work_queue), (2, Some(7), Some(2)));
    assert_eq!(
        (s.work_start, s.migrate, s.enqueued),
        (Some(8), 9, Some(10))
    );
    assert_eq!((s.ipi_send, s.ipi_entry, s.end), (Some(11), Some(14), 15));
}

/// Rule 1 before rule 2: the task is preempted by OTHER at 11,000, runs again from 11,400 to 12,000,
/// and the work, queued at 10,000, starts at 12,300.
///
/// ```text
///  10,000 queue      on cpu    off-src   1,000
///  11,000 out        waiting   stop-wait   400
///  11,400 in         on cpu    off-src     600
///  12,000 out        waiting   stop-wait   300
///  12,300 start      running   stop-run    100
///  12,400 migrate    not queued enq-dst     50
///  12,450 enqueued, no interrupt: first-run 550
///  13,000 in
/// ```
#[test]
fn running_at_the_source_comes_first() {
    let work = affinity(0, HOG);
    let mut t = Trace::new(2);
    t.at(0, 9_000).switch(IDLE0, R, HOG);
    t.at(1, 10_000).work_queue(AFFINE, work, -1);
    t.at(0, 11_000).switch(HOG, PREEMPTED, OTHER);
    t.at(0, 11_400).switch(OTHER, PREEMPTED, HOG);
    t.at(0, 12_000).switch(HOG, PREEMPTED, STOP0);
    t.at(0, 12_300).work_start(work, -1);
    t.at(0, 12_400).migrate(STOPPER_MOVE, HOG, 0, 1);
    t.at(0, 12_450).enqueued(HOG, 1);
    t.at(1, 13_000).switch(IDLE1, R, HOG);
    let m = only(&t);
    assert_eq!(m.phases_ns, [1_600, 700, 100, 50, 0, 550]);
    assert_eq!(m.total_ns(), 3_000);
    assert_eq!(m.seqs.switch_out, Some(4));
}

/// The work starts while the task is not on the CPU: queue 10,000, start 10,700 (the stopper was
/// awake), migrate 11,000, enqueued 11,100, in 11,500. Nothing is off-src.
#[test]
fn a_queued_task_of_a_work_waits_for_the_stopper_at_once() {
    let work = affinity(0, HOG);
    let mut t = Trace::new(2);
    t.at(0, 9_000).switch(HOG, PREEMPTED, STOP0);
    t.at(1, 10_000).work_queue(AFFINE, work, -1);
    t.at(0, 10_700).work_start(work, -1);
    t.at(0, 11_000).migrate(STOPPER_MOVE, HOG, 0, 1);
    t.at(0, 11_100).enqueued(HOG, 1);
    t.at(1, 11_500).switch(IDLE1, R, HOG);
    assert_eq!(only(&t).phases_ns, [0, 700, 300, 100, 0, 400]);
}

/// Wake-up through the wake list: the interrupt comes before the enqueue, which the destination does.
///
/// ```text
///  5,000 waking    source, no work  off-src   100
///  5,100 migrate   not enqueued     enq-dst    60
///  5,160 ipi sent                   ipi     2,040   (due at 7,160)
///  7,200 entered   not enqueued     enq-dst    80
///  7,280 enqueued                   first-run 320
///  7,600 in
/// ```
#[test]
fn a_wake_list_has_its_interrupt_before_the_enqueue() {
    let mut t = Trace::new(2);
    t.at(0, 5_000).waking(HOG, 0);
    t.at(0, 5_100).migrate(WAKE_MOVE, HOG, 0, 1);
    t.at(0, 5_160).call_ipi(1);
    t.at(1, 7_200).call_entry();
    t.at(1, 7_280).enqueued(HOG, 1);
    t.at(1, 7_290).wakeup(HOG, 1);
    t.at(1, 7_600).switch(IDLE1, R, HOG);
    let m = only(&t);
    assert_eq!((m.path, m.cause), (Path::Wake, Cause::Wake));
    assert_eq!(m.phases_ns, [100, 0, 0, 140, 2_040, 320]);
    assert_eq!(m.seqs.begin, 0);
}

/// An elided interrupt (the destination polls): the phase is 0, not missing.
#[test]
fn an_elided_interrupt_is_zero() {
    let mut t = Trace::new(2);
    t.at(0, 5_000).waking(HOG, 0);
    t.at(0, 5_100).migrate(WAKE_MOVE, HOG, 0, 1);
    t.at(0, 5_150).enqueued(HOG, 1);
    t.at(0, 5_160).wakeup(HOG, 1);
    t.at(1, 5_400).switch(IDLE1, R, HOG);
    let m = only(&t);
    assert_eq!(m.phases_ns, [100, 0, 0, 50, 0, 250]);
    assert_eq!((m.seqs.ipi_send, m.seqs.ipi_entry), (None, None));
}

/// Which interrupt is the move's: not one to another CPU (seq 2), not one after an event that is about
/// something else (seq 6), not an entry of another vector (seq 4) nor one before it was due (seq 5).
///
/// ```text
///  5,000 waking               off-src   100
///  5,100 migrate              enq-dst   100
///  5,200 ipi to cpu2: no
///  5,200 ipi to cpu1: the one ipi     2,100   (due at 7,200)
///  6,000 cpu1 enters a call-function interrupt: another vector
///  6,900 cpu1 enters a reschedule interrupt: an earlier one, ours is not due
///  7,300 cpu1 enters a reschedule interrupt: ours
///                             enq-dst   100
///  7,400 enqueued             first-run 600
///  8,000 in
/// ```
#[test]
fn the_interrupt_of_a_move() {
    let mut t = Trace::new(3);
    t.at(0, 5_000).waking(HOG, 0);
    t.at(0, 5_100).migrate(WAKE_MOVE, HOG, 0, 1);
    t.at(0, 5_190).ipi(2);
    t.at(0, 5_200).ipi(1);
    t.at(1, 6_000).call_entry();
    t.at(1, 6_900).ipi_entry();
    t.at(1, 7_300).ipi_entry();
    t.at(1, 7_400).enqueued(HOG, 1);
    t.at(1, 8_000).switch(IDLE1, R, HOG);
    let m = only(&t);
    assert_eq!(m.phases_ns, [100, 0, 0, 200, 2_100, 600]);
    assert_eq!((m.seqs.ipi_send, m.seqs.ipi_entry), (Some(3), Some(6)));

    let mut t = Trace::new(2);
    t.at(0, 5_000).waking(HOG, 0);
    t.at(0, 5_100).migrate(WAKE_MOVE, HOG, 0, 1);
    t.at(0, 5_150).waking(OTHER, 1);
    t.at(0, 5_200).ipi(1);
    t.at(1, 7_200).ipi_entry();
    t.at(1, 7_400).enqueued(HOG, 1);
    t.at(1, 8_000).switch(IDLE1, R, HOG);
    let m = only(&t);
    assert_eq!(m.seqs.ipi_send, None);
    assert_eq!(m.phases_ns, [100, 0, 0, 2_300, 0, 600]);
}

/// A direct affinity change of a queued task begins at `__set_cpus_allowed_ptr` and has no work.
#[test]
fn a_direct_affinity_change_begins_at_its_entry() {
    let mut t = Trace::new(2);
    t.at(0, 4_000).switch(IDLE0, R, OTHER);
    t.at(1, 4_100).switch(IDLE1, R, ASKER);
    t.at(1, 5_000).affinity_entry(HOG, 0, 0b10);
    t.at(1, 5_300).migrate(DIRECT_MOVE, HOG, 0, 1);
    t.at(1, 5_350).enqueued(HOG, 1);
    t.at(1, 5_900).switch(ASKER, S, HOG);
    let m = only(&t);
    assert_eq!((m.path, m.cause), (Path::Direct, Cause::Affinity));
    assert_eq!(m.phases_ns, [300, 0, 0, 50, 0, 550]);
    assert_eq!(m.seqs.begin, 2);
}

/// A pull or push without a work begins where it happens.
#[test]
fn a_pull_begins_with_the_migrate_event() {
    let mut t = Trace::new(2);
    t.at(1, 5_300).migrate(
        "set_task_cpu detach_task load_balance newidle_balance",
        HOG,
        0,
        1,
    );
    t.at(1, 5_350).enqueued(HOG, 1);
    t.at(1, 5_900).switch(IDLE1, R, HOG);
    let m = only(&t);
    assert_eq!((m.path, m.cause), (Path::Direct, Cause::BalanceNewidle));
    assert_eq!((m.phases_ns, m.seqs.begin), ([0, 0, 0, 50, 0, 550], 0));
}

/// A task found asleep: no move through the work; its later wake-up elsewhere is affinity by wake.
#[test]
fn the_wake_up_after_a_sleeping_outcome_is_affinity() {
    let work = affinity(0, HOG);
    let mut t = Trace::new(2);
    t.at(0, 4_000).switch(IDLE0, R, HOG);
    t.at(1, 5_000).affinity_entry(HOG, 0, 0b10);
    t.at(1, 5_100).work_queue(AFFINE, work, -1);
    t.at(0, 5_200).switch(HOG, S, STOP0);
    t.at(0, 5_300).work_start(work, -1);
    t.at(0, 5_400).complete_pending(work);
    let after = After {
        cpu: 0,
        on_rq: 0,
        mask: 0b10,
        nr_todo: -1,
    };
    t.at(0, 5_500).work_done(work, after);
    t.at(1, 6_000).waking(HOG, 0);
    t.at(1, 6_100).fallback(HOG, 0, 1);
    t.at(1, 6_150).migrate(WAKE_MOVE, HOG, 0, 1);
    t.at(1, 6_200).enqueued(HOG, 1);
    t.at(1, 6_700).switch(IDLE1, R, HOG);
    let m = only(&t);
    assert_eq!((m.path, m.cause), (Path::Wake, Cause::Affinity));
    assert_eq!((m.begin_ns, m.phases_ns), (6_000, [150, 0, 0, 50, 0, 500]));
}

/// The fallback's choice, although the mask allows the source.
#[test]
fn a_fallback_is_a_cause() {
    let mut t = Trace::new(2);
    t.at(1, 6_000).waking(HOG, 0);
    t.at(1, 6_100).fallback(HOG, 0, 1);
    t.at(1, 6_150).migrate(WAKE_MOVE, HOG, 0, 1);
    t.at(1, 6_200).enqueued(HOG, 1);
    t.at(1, 6_700).switch(IDLE1, R, HOG);
    assert_eq!(only(&t).cause, Cause::Fallback);
}

/// A requeued work: the move begins at the first queueing of the pending, and between the works the
/// task waits for the second.
///
/// ```text
///  5,000 queued for cpu0 (task queued there)    stop-wait 300
///  5,300 starts on cpu0                         stop-run  100
///  5,400 its function queues it for cpu1        stop-wait 600   (done at 5,450)
///  6,000 starts on cpu1                         stop-run  200
///  6,200 migrate 1 => 2                         enq-dst   100
///  6,300 enqueued                               first-run 700
///  7,000 in
/// ```
#[test]
fn a_requeued_work_begins_at_the_first_queueing() {
    let first = affinity(0, HOG);
    let second = affinity(1, HOG);
    let mut t = Trace::new(3);
    t.at(2, 5_000).work_queue(AFFINE, first, -1);
    t.at(0, 5_300).work_start(first, -1);
    t.at(0, 5_400).work_queue(
        "__cpu_stop_queue_work stop_one_cpu_nowait migration_cpu_stop",
        second,
        -1,
    );
    t.at(0, 5_450).work_done(
        first,
        After {
            cpu: 1,
            on_rq: 1,
            mask: 0b100,
            nr_todo: -1,
        },
    );
    t.at(1, 6_000).work_start(second, -1);
    t.at(1, 6_200).migrate(STOPPER_MOVE, HOG, 1, 2);
    t.at(1, 6_300).enqueued(HOG, 2);
    t.at(1, 6_350).complete_pending(second);
    t.at(1, 6_400).work_done(
        second,
        After {
            cpu: 2,
            on_rq: 1,
            mask: 0b100,
            nr_todo: -1,
        },
    );
    t.at(2, 7_000).switch(IDLE1, R, HOG);
    let m = only(&t);
    assert_eq!((m.seqs.begin, m.seqs.work_queue), (0, Some(2)));
    assert_eq!(m.cause, Cause::Affinity);
    assert_eq!(m.phases_ns, [0, 900, 300, 100, 0, 700]);
}

/// A completed pending whose address is used again is another request.
#[test]
fn a_pending_on_the_stack_is_used_again() {
    let work = affinity(0, HOG);
    let mut t = Trace::new(2);
    t.at(1, 5_000).work_queue(AFFINE, work, -1);
    t.at(0, 5_300).work_start(work, -1);
    t.at(0, 5_400).complete_pending(work);
    t.at(0, 5_450).work_done(
        work,
        After {
            cpu: 0,
            on_rq: 1,
            mask: 0b11,
            nr_todo: -1,
        },
    );
    t.at(1, 8_000).work_queue(AFFINE, work, -1);
    t.at(0, 8_100).work_start(work, -1);
    t.at(0, 8_200).migrate(STOPPER_MOVE, HOG, 0, 1);
    t.at(0, 8_300).enqueued(HOG, 1);
    t.at(1, 8_900).switch(IDLE1, R, HOG);
    let m = only(&t);
    assert_eq!((m.begin_ns, m.seqs.begin), (8_000, 4));
    assert_eq!(m.phases_ns, [0, 100, 100, 100, 0, 600]);
}

/// A work that names no task (active balance): the task was on the CPU until the stopper came.
///
/// ```text
///  5,000 queued      running    off-src   1,200
///  6,200 out                    stop-wait   100
///  6,300 starts                 stop-run    200
///  6,500 migrate                enq-dst      40
///  6,540 enqueued               first-run   460
///  7,000 in
/// ```
#[test]
fn a_work_without_a_task() {
    let work = Work {
        pending: 0,
        task: None,
        func: "active_load_balance_cpu_stop",
        ..affinity(0, HOG)
    };
    let mut t = Trace::new(2);
    t.at(0, 4_000).switch(IDLE0, R, HOG);
    t.at(1, 5_000).work_queue(
        "cpu_stop_queue_work stop_one_cpu_nowait load_balance rebalance_domains",
        work,
        -1,
    );
    t.at(0, 6_200).switch(HOG, PREEMPTED, STOP0);
    t.at(0, 6_300).work_start(work, -1);
    t.at(0, 6_500).migrate(
        "set_task_cpu detach_task detach_one_task active_load_balance_cpu_stop",
        HOG,
        0,
        1,
    );
    t.at(0, 6_540).enqueued(HOG, 1);
    t.at(1, 7_000).switch(IDLE1, R, HOG);
    let m = only(&t);
    assert_eq!((m.path, m.cause), (Path::Stopper, Cause::BalanceActive));
    assert_eq!(m.phases_ns, [1_200, 100, 200, 40, 0, 460]);
    assert_eq!(m.seqs.switch_out, Some(2));
}

/// A fork's placement: off-src until the child is in the destination's queue.
///
/// ```text
///  3,000 fork on cpu0           off-src   500
///  3,500 enqueued on cpu1       first-run 100   (wakeup_new at 3,550)
///  3,600 ipi                    ipi     2,000
///  5,600 entered                first-run 200
///  5,800 in
/// ```
#[test]
fn a_placement_is_a_row_of_its_own_kind() {
    let mut t = Trace::new(2);
    t.at(0, 3_000).fork(ASKER, HOG);
    t.at(0, 3_500).enqueued(HOG, 1);
    t.at(0, 3_550).wakeup_new(HOG, 1);
    t.at(0, 3_600).ipi(1);
    t.at(1, 5_600).ipi_entry();
    t.at(1, 5_800).switch(IDLE1, R, HOG);
    let m = only(&t);
    assert_eq!(
        (m.kind, m.path, m.cause),
        (Kind::Placement, Path::Fork, Cause::Fork)
    );
    assert_eq!(
        (m.phases_ns, m.total_ns()),
        ([500, 0, 0, 0, 2_000, 300], 2_800)
    );
    assert!(!m.counts());

    let mut t = Trace::new(2);
    t.at(0, 3_000).fork(ASKER, HOG);
    t.at(0, 3_500).enqueued(HOG, 0);
    t.at(0, 3_550).wakeup_new(HOG, 0);
    assert_eq!(moves(&t), []);
}

/// Moved again before it ran, exited, and still waiting at the end: rows that are in no percentile.
#[test]
fn moves_that_do_not_end_in_a_run() {
    let mut t = Trace::new(3);
    t.at(0, 5_000).waking(HOG, 0);
    t.at(0, 5_100).migrate(WAKE_MOVE, HOG, 0, 1);
    t.at(0, 5_200).enqueued(HOG, 1);
    t.at(2, 5_900).migrate(
        "set_task_cpu detach_task load_balance newidle_balance",
        HOG,
        1,
        2,
    );
    t.at(2, 6_000).waking(OTHER, 2);
    t.at(2, 6_100).migrate(WAKE_MOVE, OTHER, 2, 0);
    t.at(2, 6_200).exit(OTHER);
    t.at(0, 9_000).ipi_entry();
    let moves = moves(&t);
    let ended: Vec<Ended> = moves.iter().map(|m| m.ended).collect();
    assert_eq!(ended, [Ended::Moved, Ended::Open, Ended::Exit]);
    assert_eq!(moves[0].phases_ns, [100, 0, 0, 100, 0, 700]);
    assert_eq!(
        (moves[1].phases_ns, moves[1].end_ns),
        ([0, 0, 0, 3_100, 0, 0], 9_000)
    );
    assert_eq!(moves[2].phases_ns, [100, 0, 0, 100, 0, 0]);
    assert!(moves.iter().all(|m| !m.counts()));
}

/// A migrate event to the CPU where the task is already is no move.
#[test]
fn the_same_cpu_is_no_move() {
    let mut t = Trace::new(1);
    t.at(0, 1).migrate(WAKE_MOVE, HOG, 0, 0);
    assert_eq!(moves(&t), []);
}

/// A hand-off inside one window: cpu1's clock is behind cpu0's when it enqueues the task, so causal
/// time is pushed and the row says by how much; the sum still holds.
///
/// ```text
///  cpu0 5,000 waking              5,000  off-src 900
///  cpu0 5,900 migrate             5,900  enq-dst 1
///  cpu1 5,200 enqueued            5,901  (pushed 701)  first-run 1
///  cpu1 5,250 in                  5,902  (pushed 652)
/// ```
#[test]
fn a_pushed_boundary_is_told() {
    let mut t = Trace::new(2);
    t.at(0, 5_000).waking(HOG, 0);
    t.at(0, 5_900).migrate(WAKE_MOVE, HOG, 0, 1);
    t.at(1, 5_200).enqueued(HOG, 1);
    t.at(1, 5_250).switch(IDLE1, R, HOG);
    let m = only(&t);
    assert_eq!((m.phases_ns, m.pushed_ns), ([900, 0, 0, 1, 0, 1], 701));
}

/// A stack that no rule names is an error that prints the stack.
#[test]
fn an_unknown_cause_is_an_error() {
    let mut t = Trace::new(2);
    t.at(0, 5_100)
        .migrate("set_task_cpu somebody_new kthread", HOG, 0, 1);
    let error = analyze(&t).expect_err("no rule").to_string();
    assert!(
        error.contains("set_task_cpu <- somebody_new <- kthread") && error.contains("hog/0[40]"),
        "{error}"
    );
}

/// Works that start out of queue order are an error that names the event.
#[test]
fn works_out_of_order_are_an_error() {
    let mut t = Trace::new(1);
    t.at(0, 5_000).work_queue(AFFINE, affinity(0, HOG), -1);
    t.at(0, 5_100).work_start(
        Work {
            work: 0x999,
            ..affinity(0, HOG)
        },
        -1,
    );
    let error = analyze(&t).expect_err("0x100 is first").to_string();
    assert!(
        error.starts_with("event 1 contradicts") && error.contains("0x100"),
        "{error}"
    );
}

/// Two tasks ask for a change of one task's mask at the same time: each one's move begins at its own
/// entry. OTHER enters at 5,000 and waits for the lock, ASKER at 5,100; OTHER then moves the task.
#[test]
fn two_requests_begin_at_their_own_entries() {
    let mut t = Trace::new(3);
    t.at(1, 4_000).switch(IDLE1, R, ASKER);
    t.at(2, 4_000).switch(T(0, "swapper/2"), R, OTHER);
    t.at(2, 5_000).affinity_entry(HOG, 0, 0b10);
    t.at(1, 5_100).affinity_entry(HOG, 0, 0b100);
    t.at(2, 5_300).migrate(DIRECT_MOVE, HOG, 0, 1);
    t.at(2, 5_350).enqueued(HOG, 1);
    t.at(1, 5_600).migrate(DIRECT_MOVE, HOG, 1, 2);
    t.at(1, 5_650).enqueued(HOG, 2);
    t.at(2, 5_900).switch(OTHER, S, HOG);
    let begins: Vec<u64> = moves(&t).iter().map(|m| m.seqs.begin).collect();
    assert_eq!(begins, [2, 3]);
}

/// A running task that is preempted by the stopper that came for it, and then moved by somebody else
/// directly, is not the stopper's; moved directly by the one who sent the stopper, it would be an error
/// of the kernel that the report's check tells.
#[test]
fn whose_stopper_it_was() {
    let trace = |mover: T| {
        let work = affinity(0, HOG);
        let mut t = Trace::new(3);
        t.at(0, 900).switch(IDLE0, R, HOG);
        t.at(1, 950).switch(IDLE1, R, ASKER);
        t.at(2, 950).switch(T(0, "swapper/2"), R, OTHER);
        t.at(1, 1_000).work_queue(AFFINE, work, -1);
        t.at(0, 2_000).switch(HOG, PREEMPTED, STOP0);
        let cpu = if mover.0 == ASKER.0 { 1 } else { 2 };
        t.at(cpu, 2_050).migrate(DIRECT_MOVE, HOG, 0, 1);
        t
    };
    let holds = |mover| analyze(&trace(mover)).expect("good").checks[2].holds;
    assert!(holds(OTHER));
    assert!(!holds(ASKER));
}

/// The interrupt's entry comes before the end in the order and lies after it in causal time: the phase
/// ends with the move. cpu2 pulls the task away at 7,500 while cpu1 is already at 8,000.
///
/// ```text
///  5,000 waking          off-src   100
///  5,100 migrate         enq-dst   100
///  5,200 enqueued        first-run  50
///  5,250 ipi             ipi     2,250   (due at 7,250, entered at 8,000)
///  7,500 moved again     first-run   0
/// ```
#[test]
fn an_entry_after_the_end_ends_with_the_move() {
    let mut t = Trace::new(3);
    t.at(0, 5_000).waking(HOG, 0);
    t.at(0, 5_100).migrate(WAKE_MOVE, HOG, 0, 1);
    t.at(0, 5_200).enqueued(HOG, 1);
    t.at(0, 5_250).ipi(1);
    t.at(1, 8_000).ipi_entry();
    t.at(2, 7_500).migrate(
        "set_task_cpu detach_task load_balance newidle_balance",
        HOG,
        1,
        2,
    );
    let m = moves(&t).remove(0);
    assert_eq!((m.ended, m.end_ns), (Ended::Moved, 7_500));
    assert_eq!(m.phases_ns, [100, 0, 0, 100, 2_250, 50]);
    assert_eq!(m.seqs.ipi_entry, Some(4));
}

/// The farthest push of any event that the row names, also of one that is no boundary of its phases:
/// nobody has a work for the task when it leaves cpu0 at 4,950, which its clock calls 4,500.
///
/// ```text
///  cpu1 4,949 affinity entry      4,949
///  cpu0 4,500 switch out          4,950  (pushed 450)
///  cpu1 5,300 migrate             5,300  off-src 351
///  cpu1 5,350 enqueued            5,350  enq-dst  50
///  cpu1 5,900 in                  5,900  first-run 550
/// ```
#[test]
fn a_pushed_switch_out_is_told() {
    let mut t = Trace::new(2);
    t.at(1, 4_000).switch(IDLE1, R, ASKER);
    t.at(0, 4_100).switch(IDLE0, R, HOG);
    t.at(1, 4_949).affinity_entry(HOG, 0, 0b10);
    t.at(0, 4_500).switch(HOG, PREEMPTED, OTHER);
    t.at(1, 5_300).migrate(DIRECT_MOVE, HOG, 0, 1);
    t.at(1, 5_350).enqueued(HOG, 1);
    t.at(1, 5_900).switch(ASKER, S, HOG);
    let m = only(&t);
    assert_eq!(m.seqs.switch_out, Some(3));
    assert_eq!((m.phases_ns, m.pushed_ns), ([351, 0, 0, 50, 0, 550], 450));
}
