//! Causal time (definitions.md section 1), worked by hand.

mod support;

use analyze::causal::walk;
use support::*;

/// Causal times and pushes of a trace.
fn times(trace: &Trace) -> Vec<(u64, u64)> {
    let mut times = Vec::new();
    walk(trace, &mut |e| {
        times.push((e.time_ns, e.pushed_ns));
        Ok(())
    })
    .expect("the trace is in order");
    times
}

/// cpu1's window ran first, to 10,900; cpu0 then hands the task over at its own 10,300.
///
/// ```text
///  seq cpu  raw     about        causal
///  0   1    10,900  OTHER        10,900
///  1   0    10,300  HOG          10,300
///  2   0    10,300  HOG          10,301  same vCPU: one later, although the raw clock is equal
///  3   1    10,200  HOG          10,901  its vCPU's previous event was at 10,900
///  4   0    10,400  HOG          10,902  the task's chain
///  5   0    10,500  nothing      10,903  its vCPU's previous event
///  6   0    11,500  nothing      11,500  the raw clock has caught up
///  7   1    11,000  OTHER        11,000  unrelated to cpu0: not distorted by it
/// ```
#[test]
fn chains_push_and_raw_clocks_catch_up() {
    let mut t = Trace::new(2);
    t.at(1, 10_900).waking(OTHER, 1);
    t.at(0, 10_300).waking(HOG, 0);
    t.at(0, 10_300).wakeup(HOG, 0);
    t.at(1, 10_200).enqueued(HOG, 1);
    t.at(0, 10_400).wakeup(HOG, 1);
    t.at(0, 10_500).ipi_entry();
    t.at(0, 11_500).ipi_entry();
    t.at(1, 11_000).wakeup(OTHER, 1);
    assert_eq!(
        times(&t),
        [
            (10_900, 0),
            (10_300, 0),
            (10_301, 1),
            (10_901, 701),
            (10_902, 502),
            (10_903, 403),
            (11_500, 0),
            (11_000, 0),
        ]
    );
}

/// A sent interrupt is about what the previous event of its vCPU is about, an entry about nothing.
///
/// ```text
///  seq cpu  raw    about            causal
///  0   0    5,000  HOG              5,000
///  1   1    4,100  nothing          4,100
///  2   1    4,200  nothing (of 1)   4,200
///  3   0    5,010  HOG (of 0)       5,010
///  4   1    4,300  HOG              5,011   after the interrupt, not after seq 0
/// ```
#[test]
fn an_interrupt_inherits_what_it_is_about() {
    let mut t = Trace::new(2);
    t.at(0, 5_000).enqueued(HOG, 1);
    t.at(1, 4_100).ipi_entry();
    t.at(1, 4_200).ipi(0);
    t.at(0, 5_010).ipi(1);
    t.at(1, 4_300).wakeup(HOG, 1);
    let causal: Vec<u64> = times(&t).into_iter().map(|(t, _)| t).collect();
    assert_eq!(causal, [5_000, 4_100, 4_200, 5_010, 5_011]);
}

/// A request's chain: queueing is about the request and its task, starting about the request only.
///
/// ```text
///  seq cpu  raw    about             causal
///  0   1    9,000  HOG               9,000
///  1   1    9,500  request + HOG     9,500
///  2   0    9,100  request           9,501
///  3   1    9,505  HOG               9,505   start did not touch the task's chain
///  4   0    9,200  request + current 9,502   `current` (HOG) is not what it is about
/// ```
#[test]
fn a_request_is_a_chain_and_current_is_not() {
    let work = affinity(0, HOG);
    let mut t = Trace::new(2);
    t.at(1, 9_000).waking(HOG, 0);
    t.at(1, 9_500).work_queue(AFFINE, work, -1);
    t.at(0, 9_100).work_start(work, -1);
    t.at(1, 9_505).wakeup(HOG, 0);
    t.at(0, 9_200).complete_pending(work);
    let causal: Vec<u64> = times(&t).into_iter().map(|(t, _)| t).collect();
    assert_eq!(causal, [9_000, 9_500, 9_501, 9_505, 9_502]);
}

/// Idle tasks of two CPUs share pid 0 and are two tasks.
#[test]
fn idle_tasks_do_not_chain_cpus() {
    let mut t = Trace::new(2);
    t.at(0, 8_000).switch(HOG, S, IDLE0);
    t.at(1, 7_500).switch(OTHER, S, IDLE1);
    assert_eq!(times(&t), [(8_000, 0), (7_500, 0)]);
}

#[test]
fn a_gap_in_the_numbers_is_an_error() {
    let mut t = Trace::new(1);
    t.at(0, 1).waking(HOG, 0);
    let mut events: Vec<_> = analyze::source::Source::events(&t)
        .collect::<Result<_, _>>()
        .expect("hand-written");
    events[0].seq = 1;
    struct Gap(Trace, trace::event::Event);
    impl analyze::source::Source for Gap {
        fn info(&self) -> &analyze::source::RunInfo {
            self.0.info()
        }
        fn events(
            &self,
        ) -> Box<dyn Iterator<Item = Result<trace::event::Event, analyze::Error>> + '_> {
            Box::new([Ok(self.1)].into_iter())
        }
        fn stack(&self, _: trace::event::StackId) -> &[trace::event::Addr] {
            &[]
        }
        fn symbol(&self, _: trace::event::Addr) -> Option<&trace::krec::Symbol> {
            None
        }
    }
    let error = walk(&Gap(t, events[0]), &mut |_| Ok(())).expect_err("event 0 is missing");
    assert_eq!(
        error.to_string(),
        "event 1 contradicts the events before it: event 0 was to come here"
    );
}
