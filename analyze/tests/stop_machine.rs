//! stop_machine's rules of definitions.md section 4, each on a trace worked out in the comment above it.

mod support;

use analyze::source::Source;
use analyze::stopmachine::{State, StopMachineReport, analyze};
use analyze::{Error, causal, plot};
use support::*;

const NOBODY: After = After {
    cpu: -1,
    on_rq: -1,
    mask: 0,
    nr_todo: 1,
};
const LAST: After = After {
    nr_todo: 0,
    ..NOBODY
};
const ASKED: &str = "queue_stop_cpus_work __stop_cpus stop_machine_cpuslocked stop_machine";

const fn work(cpu: u32) -> Work {
    Work {
        work: 0x800 + cpu as u64,
        cpu,
        done: 0x900,
        pending: 0,
        task: None,
        func: "multi_cpu_stop",
    }
}

/// Two CPUs; cpu0 runs the function.
///
/// ```text
///             cpu0                           cpu1
///  queue      1,000                          1,050
///  start      3,000                          2,000
///  PREPARE    3,010 (1 poll)  ack 3,025      2,010 (1)   ack 2,020     skew 1,000
///  DISABLE    3,040 (1)       ack 3,050      3,060 (80)  ack 3,070     skew 20
///  RUN        3,090 (3)       ack 3,190      3,080 (1)   ack 3,085     skew 10, fn 100
///  EXIT       3,200 (1)       ack 3,230      3,210 (9)   ack 3,240     skew 10
///  done       3,250                          3,260
///  irqs off   190                            180
///  polls      6                              91
///  phases     10 15 15 10 40 100 10 30 20    10 10 1,040 10 10 5 125 30 20
/// ```
fn two_cpus() -> Trace {
    let mut t = Trace::new(2);
    t.at(1, 900).switch(IDLE1, R, ASKER);
    t.at(1, 1_000).work_queue(ASKED, work(0), 2);
    t.at(1, 1_050).work_queue(ASKED, work(1), 2);
    t.at(1, 2_000).work_start(work(1), 2);
    t.at(1, 2_010).step(1, 0, 1, false);
    t.at(1, 2_020).step(1, 1, 0, false);
    t.at(0, 3_000).work_start(work(0), 2);
    t.at(0, 3_010).step(1, 0, 1, true);
    t.at(0, 3_025).step(1, 1, 0, true);
    t.at(0, 3_040).step(2, 0, 1, true);
    t.at(0, 3_050).step(2, 1, 0, true);
    t.at(1, 3_060).step(2, 0, 80, false);
    t.at(1, 3_070).step(2, 1, 0, false);
    t.at(0, 3_090).step(3, 0, 3, true);
    t.at(1, 3_080).step(3, 0, 1, false);
    t.at(1, 3_085).step(3, 1, 0, false);
    t.at(0, 3_190).step(3, 1, 0, true);
    t.at(0, 3_200).step(4, 0, 1, true);
    t.at(0, 3_230).step(4, 1, 0, true);
    t.at(1, 3_210).step(4, 0, 9, false);
    t.at(1, 3_240).step(4, 1, 0, false);
    t.at(0, 3_250).work_done(work(0), NOBODY);
    t.at(1, 3_260).work_done(work(1), LAST);
    t
}

fn report(trace: &Trace) -> StopMachineReport {
    analyze(trace).expect("the trace is good")
}

#[test]
fn the_worked_example() {
    let found = report(&two_cpus());
    for check in &found.checks {
        assert!(check.holds, "{}: {}", check.name, check.detail);
    }
    assert_eq!((found.requests.len(), found.steps), (1, 16));
    let request = &found.requests[0];
    assert_eq!(request.func.as_deref(), Some("take_cpu_down"));
    assert_eq!(request.caller, "stop_machine_cpuslocked");
    assert_eq!((request.queuer.tid, request.queuer_cpu), (ASKER.0, 1));
    assert_eq!(
        State::ALL.map(|state| request.skew_ns(state)),
        [Some(1_000), Some(20), Some(10), Some(10)]
    );
    let (first, last) = request.enters(State::Prepare).expect("all entered");
    assert_eq!((first.1, last.1), (1, 0));
    assert_eq!(request.gather_ns(), Some(2_010));
    assert_eq!(
        (request.func_ns(), request.total_ns()),
        (Some(100), Some(2_260))
    );
    assert_eq!(request.irqs_off_ns_max(), Some(190));
    assert_eq!(request.irqs_off_ns_sum(), Some(370));
    assert_eq!(request.polls(), 97);

    let [cpu0, cpu1] = &request.participants[..] else {
        panic!("two participants")
    };
    assert_eq!((cpu0.active, cpu1.active), (Some(true), Some(false)));
    assert_eq!((cpu0.polls(), cpu1.polls()), (6, 91));
    assert_eq!(
        (cpu0.irqs_off_ns(), cpu1.irqs_off_ns()),
        (Some(190), Some(180))
    );
    assert_eq!(
        cpu0.phases_ns(),
        Some([10, 15, 15, 10, 40, 100, 10, 30, 20])
    );
    assert_eq!(
        cpu1.phases_ns(),
        Some([10, 10, 1_040, 10, 10, 5, 125, 30, 20])
    );
    assert_eq!((cpu0.run_ns(), cpu1.run_ns()), (Some(250), Some(1_260)));
    assert_eq!(cpu0.queue_to_start_ns(), Some(2_000));
}

/// The `cpu_stop_done` and the `multi_stop_data` lie on the asker's stack: the next request has the
/// same addresses and is another one.
#[test]
fn the_same_addresses_again_are_another_request() {
    let mut t = two_cpus();
    let mut again = two_cpus();
    again.info_mut();
    for event in again.events() {
        let mut event = event.expect("by hand");
        event.cycles += 10_000;
        t.raw(event);
    }
    let found = report(&t);
    assert_eq!(found.requests.len(), 2);
    assert_eq!(found.requests[1].queue().time_ns, 11_000);
    let skews = |at: usize| State::ALL.map(|state| found.requests[at].skew_ns(state));
    assert_eq!(skews(0), skews(1));
    assert_eq!(found.at(23).map(|r| r.queue().seq), Some(1));
    assert_eq!(found.at(24).map(|r| r.queue().seq), Some(24));
    assert_eq!(found.at(0), None);
}

/// cpu1 sees DISABLE_IRQ at 2,900 of its clock and after cpu0's acknowledgement at 3,025 in the order:
/// 3,026. cpu0's own enter at 3,040 pushes nothing, though it comes before cpu1's RUN at 3,030.
#[test]
fn an_enter_comes_after_the_acknowledgements_and_after_nothing_else() {
    let mut t = Trace::new(2);
    t.at(0, 3_025).step(1, 1, 0, true);
    t.at(0, 3_040).step(2, 0, 1, true);
    t.at(1, 2_900).step(2, 0, 5, false);
    t.at(1, 2_905).step(2, 1, 0, false);
    let mut times = Vec::new();
    causal::walk(&t, &mut |event| {
        times.push(event.time_ns);
        Ok(())
    })
    .unwrap();
    assert_eq!(times, [3_025, 3_040, 3_026, 3_027]);
}

/// In the order of execution cpu0 enters DISABLE_IRQ before cpu1 has acknowledged PREPARE.
#[test]
fn entering_too_early_is_found() {
    let mut t = Trace::new(2);
    t.at(1, 1_000).work_queue(ASKED, work(0), 2);
    t.at(1, 1_050).work_queue(ASKED, work(1), 2);
    t.at(1, 2_000).work_start(work(1), 2);
    t.at(0, 2_000).work_start(work(0), 2);
    t.at(1, 2_010).step(1, 0, 1, false);
    t.at(0, 2_010).step(1, 0, 1, true);
    t.at(0, 2_020).step(1, 1, 0, true);
    t.at(0, 2_030).step(2, 0, 1, true);
    t.at(1, 2_040).step(1, 1, 0, false);
    let found = report(&t);
    let failed: Vec<_> = found.checks.iter().filter(|c| !c.holds).collect();
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert!(failed[0].name.starts_with("nobody enters"));
}

/// DISABLE_IRQ is acknowledged at 250, and an interrupt lands at 300.
#[test]
fn an_interrupt_with_interrupts_off_is_found() {
    let mut t = Trace::new(1);
    t.at(0, 100).work_queue(ASKED, work(0), 1);
    t.at(0, 200).work_start(work(0), 1);
    for state in [1, 2] {
        t.at(0, 200 + 20 * u64::from(state)).step(state, 0, 1, true);
        t.at(0, 210 + 20 * u64::from(state)).step(state, 1, 0, true);
    }
    t.at(0, 300).ipi_entry();
    let found = report(&t);
    let failed: Vec<_> = found.checks.iter().filter(|c| !c.holds).collect();
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(failed[0].detail, "event @6 is one");
}

#[test]
fn steps_that_cannot_be_are_refused() {
    let start = |t: &mut Trace| {
        t.at(0, 100).work_queue(ASKED, work(0), 1);
        t.at(0, 200).work_start(work(0), 1);
    };
    let refused = |t: &Trace, words: &str| match analyze(t) {
        Err(Error::Inconsistent { what, .. }) => assert!(what.contains(words), "{what}"),
        other => panic!("{other:?}"),
    };
    let mut t = Trace::new(1);
    t.at(0, 100).step(1, 0, 1, true);
    refused(&t, "not in multi_cpu_stop");

    let mut t = Trace::new(1);
    start(&mut t);
    t.at(0, 300).step(5, 0, 1, true);
    refused(&t, "no multi_stop_state 5");

    let mut t = Trace::new(1);
    start(&mut t);
    t.at(0, 300).step(1, 1, 1, true);
    refused(&t, "acknowledges PREPARE out of turn");

    let mut t = Trace::new(1);
    start(&mut t);
    t.at(0, 300).step(3, 0, 1, true);
    refused(&t, "not been through the state before RUN");
}

/// A run that is cut in the middle: what was seen is shown, what was not is null.
#[test]
fn a_request_without_its_end() {
    let mut t = Trace::new(2);
    t.at(1, 1_000).work_queue(ASKED, work(0), 2);
    t.at(1, 1_050).work_queue(ASKED, work(1), 2);
    t.at(1, 2_000).work_start(work(1), 2);
    t.at(1, 2_010).step(1, 0, 1, false);
    let found = report(&t);
    assert!(found.checks.iter().all(|check| check.holds));
    let request = &found.requests[0];
    assert_eq!(
        (request.skew_ns(State::Prepare), request.total_ns()),
        (None, None)
    );
    assert_eq!(request.participants[1].phases_ns(), None);
    assert!(found.longest().is_none());
    let svg = plot::waterfall::svg(request, &found.footer).expect("drawn all the same");
    assert!(svg.contains("no state was recorded") && svg.contains("cpu1"));
}

#[test]
fn the_waterfall_shows_every_participant_and_skew() {
    let found = report(&two_cpus());
    let svg = plot::waterfall::svg(&found.requests[0], &found.footer).expect("drawn");
    for words in [
        "take_cpu_down",
        "asker[41] in stop_machine_cpuslocked",
        "cpu0 runs",
        "cpu1",
        "0.190",
        "PREPARE skew 1000 ns: cpu1 enters first, cpu0 last",
        "EXIT skew 10 ns",
        "(us)",
    ] {
        assert!(svg.contains(words), "{words}: {svg}");
    }
    let empty = plot::waterfall::empty(&found.footer).expect("drawn");
    assert!(empty.contains("no request in this recording"));
}
