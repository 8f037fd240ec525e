//! The stopper's guarantee (definitions.md section 4), on traces worked out in the comments.

mod support;

use analyze::stopper::guarantee::{Guarantee, Part, Wait, analyze};
use support::*;

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

fn guarantee(trace: &Trace, top: usize) -> Guarantee {
    let found = analyze(trace, top).expect("the trace is good");
    for check in &found.checks {
        assert!(check.holds, "{}: {}", check.name, check.detail);
    }
    for wait in &found.waits {
        assert_eq!(wait.pieces.iter().map(|p| p.ns()).sum::<u64>(), wait.ns());
        for pair in wait.pieces.windows(2) {
            assert_eq!(pair[0].to_ns, pair[1].from_ns);
        }
    }
    found
}

fn pieces(wait: &Wait) -> Vec<(&'static str, u64, &str)> {
    let piece = |p: &'_ analyze::stopper::guarantee::Piece| (p.part.name(), p.ns());
    let who = wait.pieces.iter().map(|p| p.who.as_str());
    let parts = wait.pieces.iter().map(piece);
    parts
        .zip(who)
        .map(|((part, ns), who)| (part, ns, who))
        .collect()
}

/// The first interrupt finds interrupts on and takes 2,004: that is a flight. The second is sent at
/// 20,100, was due at 22,104 and lands at 22,600.
///
/// ```text
///  cpu1  1,000 queue    1,040 waking   1,100 IPI
///  cpu0  3,104 entry    3,150 exit     3,400 in      3,500 start
///        ask 100, ipi 2,004, irqs-off 46, preempt-off 250, stopper 100 = 2,500
///
///  cpu1  20,000 queue   20,040 waking  20,100 IPI
///  cpu0  22,600 entry   22,650 exit    22,900 in     23,000 start
///        ask 100, ipi 2,004, irqs-off 496 + 50, preempt-off 250, stopper 100 = 3,000
/// ```
#[test]
fn a_late_interrupt_found_interrupts_off() {
    let mut t = Trace::new(2);
    t.at(0, 500).switch(IDLE0, R, HOG);
    t.at(1, 900).switch(IDLE1, R, ASKER);
    for (at, entry) in [(1_000, 3_104), (20_000, 22_600)] {
        t.at(1, at).work_queue("q q caller", PLAIN, -1);
        t.at(1, at + 40).waking(STOP0, 0);
        t.at(1, at + 100).ipi(0);
        t.at(0, entry).ipi_entry();
        t.at(0, entry + 46 + (at / 5_000)).ipi_exit();
        t.at(0, entry + 296 + (at / 5_000))
            .switch(HOG, PREEMPTED, STOP0);
        t.at(0, entry + 396 + (at / 5_000)).work_start(PLAIN, -1);
        t.at(0, entry + 500).work_done(PLAIN, NOBODY);
        t.at(0, entry + 600).switch(STOP0, S, HOG);
    }
    let found = guarantee(&t, 5);
    assert_eq!((found.works, found.total_ns), (2, 5_500));
    assert_eq!(found.flights, [("reschedule", 2_004)]);
    let [longest, other] = &found.waits[..] else {
        panic!("two waits")
    };
    assert_eq!((longest.queue.seq, longest.ns()), (11, 3_000));
    assert_eq!(
        pieces(longest),
        [
            ("ask", 100, "asker[41]@1"),
            ("ipi", 2_004, "reschedule"),
            ("irqs-off", 496, "hog/0[40]"),
            ("irqs-off", 50, "reschedule in hog/0[40]"),
            ("preempt-off", 250, "hog/0[40]"),
            ("stopper", 100, "migration/0[12]"),
        ]
    );
    assert_eq!(
        pieces(other),
        [
            ("ask", 100, "asker[41]@1"),
            ("ipi", 2_004, "reschedule"),
            ("irqs-off", 46, "reschedule in hog/0[40]"),
            ("preempt-off", 250, "hog/0[40]"),
            ("stopper", 100, "migration/0[12]"),
        ]
    );
    let off = &found
        .parts
        .iter()
        .find(|p| p.part == Part::IrqsOff)
        .expect("there");
    assert_eq!((off.ns, off.summary.count), (592, 2));
    // Only so many as were asked for.
    assert_eq!(guarantee(&t, 1).waits.len(), 1);
    assert_eq!(guarantee(&t, 0).works, 2);
}

/// One asks for its own CPU: there is no interrupt; preemption is off until it is on again. The second
/// work waits for the first.
///
/// ```text
///  cpu0  1,000 queue A   1,030 waking  1,400 in     1,500 A starts
///  cpu1  1,600 queue B
///  cpu0                                1,900 A done 2,000 B starts
///        A: ask 30, preempt-off 370, stopper 100 = 500
///        B: earlier-works 300, stopper 100 = 400
/// ```
#[test]
fn ones_own_cpu_and_an_earlier_work() {
    let b = Work {
        work: 0x301,
        func: "other_fn",
        ..PLAIN
    };
    let mut t = Trace::new(2);
    t.at(0, 500).switch(IDLE0, R, ASKER);
    t.at(0, 1_000).work_queue("q q caller", PLAIN, -1);
    t.at(0, 1_030).waking(STOP0, 0);
    t.at(0, 1_400).switch(ASKER, PREEMPTED, STOP0);
    t.at(0, 1_500).work_start(PLAIN, -1);
    t.at(1, 1_600).work_queue("q q caller", b, -1);
    t.at(0, 1_900).work_done(PLAIN, NOBODY);
    t.at(0, 2_000).work_start(b, -1);
    t.at(0, 2_100).work_done(b, NOBODY);
    let found = guarantee(&t, 9);
    assert_eq!(
        pieces(&found.waits[0]),
        [
            ("ask", 30, "asker[41]@0"),
            ("preempt-off", 370, "asker[41]"),
            ("stopper", 100, "migration/0[12]"),
        ]
    );
    assert_eq!(
        pieces(&found.waits[1]),
        [
            ("earlier-works", 300, "some_fn"),
            ("stopper", 100, "migration/0[12]"),
        ]
    );
}

/// An idle CPU that polls is not sent an interrupt: its idle task notices.
///
/// ```text
///  cpu1  1,000 queue   1,040 waking
///  cpu0  1,700 in      1,800 start       ask 40, idle 660, stopper 100
/// ```
#[test]
fn an_idle_cpu_that_polls() {
    let mut t = Trace::new(2);
    t.at(1, 900).switch(IDLE1, R, ASKER);
    t.at(1, 1_000).work_queue("q q caller", PLAIN, -1);
    t.at(1, 1_040).waking(STOP0, 0);
    t.at(0, 1_700).switch(IDLE0, R, STOP0);
    t.at(0, 1_800).work_start(PLAIN, -1);
    let found = guarantee(&t, 1);
    assert_eq!(
        pieces(&found.waits[0]),
        [
            ("ask", 40, "asker[41]@1"),
            ("idle", 660, "swapper/0[0]"),
            ("stopper", 100, "migration/0[12]"),
        ]
    );
}

#[test]
fn a_run_without_a_work() {
    let found = guarantee(&Trace::new(1), 5);
    assert_eq!((found.works, found.waits.len()), (0, 0));
    let mut text = Vec::new();
    let options = analyze::report::Options::default();
    let report = found.report();
    report
        .render(analyze::report::Format::Text, &options, &mut text)
        .expect("written");
    let text = String::from_utf8(text).expect("text");
    assert!(text.contains("no work started"), "{text}");
}
