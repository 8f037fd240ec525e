//! The reports that people know from perf and BCC, on traces worked out in the comment above each test.

mod support;

use analyze::classes;
use analyze::delays::Wake;
use analyze::latency;
use analyze::map;
use analyze::report::{Format, Options, Streamed};
use analyze::runqlat::{self, Style};
use analyze::timehist::{self, Extent, Show, Timehist};
use support::*;

/// ```text
///  cpu0  1,000 idle -> HOG
///  cpu1  2,000 wakes ASKER (waking), 2,100 (wakeup) on cpu0
///  cpu0  3,000 HOG preempted -> ASKER    ASKER waited 900 from the wakeup, 1,000 from the waking
///  cpu0  3,400 ASKER sleeps -> HOG       HOG waited 400; ASKER ran 400
///  cpu0  5,400 HOG sleeps -> idle        HOG ran 2,000 + 2,000
/// ```
fn one_cpu() -> Trace {
    let mut t = Trace::new(2);
    t.at(0, 1_000).switch(IDLE0, R, HOG);
    t.at(1, 2_000).waking(ASKER, 0);
    t.at(1, 2_100).wakeup(ASKER, 0);
    t.at(0, 3_000).switch(HOG, PREEMPTED, ASKER);
    t.at(0, 3_400).switch(ASKER, S, HOG);
    t.at(0, 5_400).switch(HOG, D, IDLE0);
    t
}

fn text(report: &dyn Streamed) -> String {
    let mut out = Vec::new();
    let options = Options::default();
    report
        .render(Format::Text, &options, &mut out)
        .expect("it is a good trace");
    String::from_utf8(out).expect("text")
}

#[test]
fn latency_counts_wakeups_and_preemptions() {
    let t = one_cpu();
    let found = latency::analyze(&t, &latency::Options::default()).unwrap();
    let rows: Vec<(&str, u64, u64, u64)> = found
        .rows
        .iter()
        .map(|r| (r.comm.as_str(), r.runtime_ns, r.count, r.total_ns))
        .collect();
    assert_eq!(rows, [("asker", 400, 1, 900), ("hog/0", 4_000, 1, 400)]);
    let max = found.rows[0].max.unwrap();
    assert_eq!((max.from, max.to, max.cpu), ((2_100, 2), (3_000, 3), 0));
    assert!(found.checks.iter().all(|check| check.holds));

    let waking = latency::Options {
        wake: Wake::Waking,
        ..latency::Options::default()
    };
    let found = latency::analyze(&t, &waking).unwrap();
    assert_eq!(found.rows[0].total_ns, 1_000);
}

#[test]
fn latency_merges_names_unless_pids_are_asked_for() {
    let mut t = one_cpu();
    // A second task of the same name: woken at 6,000, runs at 6,050 until 6,100.
    let twin = T(50, "asker");
    t.at(1, 6_000).wakeup(twin, 0);
    t.at(0, 6_050).switch(IDLE0, R, twin);
    t.at(0, 6_100).switch(twin, S, IDLE0);
    let row = |options: &latency::Options| {
        let found = latency::analyze(&t, options).unwrap();
        let asker = found.rows.iter().filter(|r| r.comm == "asker");
        asker
            .map(|r| (r.tid, r.tasks, r.count, r.total_ns, r.runtime_ns))
            .collect::<Vec<_>>()
    };
    assert_eq!(row(&latency::Options::default()), [(41, 2, 2, 950, 450)]);
    let pids = latency::Options {
        pids: true,
        ..latency::Options::default()
    };
    assert_eq!(row(&pids), [(41, 1, 1, 900, 400), (50, 1, 1, 50, 50)]);
}

#[test]
fn a_task_that_waits_already_is_not_woken_again() {
    let mut t = Trace::new(1);
    t.at(0, 1_000).switch(IDLE0, R, HOG);
    t.at(0, 1_100).switch(HOG, PREEMPTED, OTHER);
    t.at(0, 1_200).wakeup(HOG, 0);
    t.at(0, 1_500).switch(OTHER, S, HOG);
    let found = latency::analyze(&t, &latency::Options::default()).unwrap();
    assert_eq!((found.rows.len(), found.rows[0].total_ns), (1, 400));
}

#[test]
fn a_switch_from_a_task_that_never_came_is_a_bug_and_fails_the_check() {
    let mut t = one_cpu();
    t.at(0, 6_000).switch(OTHER, S, IDLE0);
    let found = latency::analyze(&t, &latency::Options::default()).unwrap();
    assert_eq!(
        found.info[2],
        "  INFO: 20.000% context switch bugs (1 out of 5)"
    );
    assert!(!found.report().checks_hold());
}

/// Both delays in buckets: 900 ns and 400 ns are 0 us; then one of 2,500 ns and one of 1,300 ns.
#[test]
fn runqlat_has_the_same_numbers_in_both_styles() {
    let mut t = one_cpu();
    t.at(0, 10_000).wakeup(HOG, 0);
    t.at(0, 12_500).switch(IDLE0, R, HOG);
    t.at(0, 13_000).wakeup(ASKER, 0);
    t.at(0, 14_300).switch(HOG, S, ASKER);
    let found = runqlat::analyze(&t, &runqlat::Options::default()).unwrap();
    let [all] = &found.histograms[..] else {
        panic!("one histogram")
    };
    assert_eq!(all.buckets(Style::Bcc), [(0, 1, 3), (2, 3, 1)]);
    assert_eq!(
        all.buckets(Style::Bpftrace),
        [(0, 0, 2), (1, 1, 1), (2, 3, 1)]
    );
    assert_eq!(
        (all.total_ns, all.summary.count),
        (900 + 400 + 2_500 + 1_300, 4)
    );
    let text = |style| {
        let options = runqlat::Options {
            style,
            ..runqlat::Options::default()
        };
        let found = runqlat::analyze(&t, &options).unwrap();
        let mut out = Vec::new();
        let all = Options::default();
        found.report().render(Format::Text, &all, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    let bcc = text(Style::Bcc);
    for line in [
        "     usecs               : count     distribution",
        "         0 -> 1          : 3        |****************************************|",
        "         2 -> 3          : 1        |*************                           |",
    ] {
        assert!(bcc.lines().any(|l| l == line), "{line}\n{bcc}");
    }
    let bpftrace = text(Style::Bpftrace);
    for line in [
        "@usecs:",
        "[0]                    2 |@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@|",
        "[1]                    1 |@@@@@@@@@@@@@@@@@@@@@@@@@@                          |",
        "[2, 4)                 1 |@@@@@@@@@@@@@@@@@@@@@@@@@@                          |",
    ] {
        assert!(bpftrace.lines().any(|l| l == line), "{line}\n{bpftrace}");
    }
}

/// HOG's second row: it waited 400, all of it runnable, because it had been preempted. ASKER's: its first
/// wait has no begin, its delay is 1,000 from the waking. The first row of a CPU has no begin at all.
#[test]
fn timehist_rows_are_written_at_the_switch_out() {
    let t = one_cpu();
    let shown = text(&Timehist::new(
        &t,
        timehist::Options {
            show: [Show::CpuVisual, Show::Wakeups, Show::Next, Show::State].into(),
            extent: Extent::RowsAndSummary,
            ..timehist::Options::default()
        },
    ));
    for line in [
        "           time    cpu  01  task name                       wait time  sch delay   run time  state",
        "       0.000001 [0000]  i   <idle>                              0.000      0.000      0.000      R  next: hog/0[40]",
        "       0.000002 [0001]      swapper                                                          awakened: asker[41]",
        "       0.000003 [0000]  s   hog/0[40]                           0.000      0.000      0.002      R  next: asker[41]",
        "       0.000003 [0000]  s   asker[41]                           0.000      0.001      0.000      S  next: hog/0[40]",
        "       0.000005 [0000]  s   hog/0[40]                           0.000      0.000      0.002      D  next: swapper/0[0]",
    ] {
        assert!(shown.lines().any(|l| l == line), "{line}\n{shown}");
    }
    // hog/0: two runs of 2,000; no parent is known; waits 400, preempted.
    let hog = "                     hog/0[40]      -1          2        0.004      0.000       0.000       0.000       0.000";
    assert!(shown.lines().any(|l| l == hog), "{shown}");
}

#[test]
fn timehist_json_has_nanoseconds_and_null_where_there_is_no_number() {
    let t = one_cpu();
    let mut out = Vec::new();
    Timehist::new(&t, timehist::Options::default())
        .render(Format::Json, &Options::default(), &mut out)
        .unwrap();
    let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
    let rows = json["timehist"].as_array().unwrap();
    let of = |at: usize| {
        let keys = ["seq", "wait_ns", "sch_delay_ns", "run_ns"];
        keys.map(|key| rows[at][key].as_u64())
    };
    assert_eq!(rows.len(), 4);
    assert_eq!(of(0), [Some(0), None, None, None]);
    assert_eq!(of(1), [Some(3), None, None, Some(2_000)]);
    assert_eq!(of(2), [Some(4), None, Some(1_000), Some(400)]);
    assert_eq!(of(3), [Some(5), Some(400), Some(400), Some(2_000)]);
}

/// cpu1's event of 2,000 comes after cpu0's of 2,400 in the order of cause and effect (its window ran
/// later); by time it comes before.
#[test]
fn rows_come_by_time() {
    let mut t = Trace::new(2);
    t.at(0, 2_400).switch(IDLE0, R, HOG);
    t.at(1, 2_000).switch(IDLE1, R, ASKER);
    t.at(1, 9_000).switch(ASKER, S, IDLE1);
    let shown = text(&map::Map::new(&t, map::Options::default()));
    let rows: Vec<&str> = shown.lines().filter(|l| l.contains(" secs")).collect();
    assert_eq!(
        rows,
        [
            "      *A0       0.000002 secs A0 => asker:41",
            "  *B0  A0       0.000002 secs B0 => hog/0:40",
            "   B0 *.        0.000009 secs .  => swapper:0",
        ]
    );
}

#[test]
fn map_with_a_name_shows_that_task_and_when_it_leaves() {
    let t = one_cpu();
    let options = map::Options {
        tasks: Some(map::TaskNames {
            names: vec!["asker".into()],
            fuzzy: false,
        }),
        ..map::Options::default()
    };
    let shown = text(&map::Map::new(&t, options));
    let rows: Vec<&str> = shown.lines().filter(|l| l.contains(" secs")).collect();
    assert_eq!(
        rows,
        [
            "  *A0  .        0.000003 secs A0 => asker:41",
            "  *-   .        0.000003 secs",
        ]
    );
}

/// cpu0: boot 1,000, then fair 4,400 until it is idle at 5,400. cpu1: nothing until its first event at
/// 2,000, then boot; it never switches. The last event is at 6,000.
#[test]
fn classes_sum_to_wall_time() {
    let mut t = one_cpu();
    t.at(1, 6_000).waking(ASKER, 0);
    let found = classes::analyze(&t).unwrap();
    let [first, second] = &found.cpus[..] else {
        panic!("two CPUs")
    };
    assert_eq!(first.ns, [0, 0, 0, 4_400, 600, 1_000, 0]);
    assert_eq!(second.ns, [0, 0, 0, 0, 0, 4_000, 2_000]);
    assert_eq!((first.wall_ns(), second.wall_ns()), (6_000, 6_000));
    assert!(
        found.checks.iter().all(|check| check.holds),
        "{:?}",
        found.checks
    );
}
