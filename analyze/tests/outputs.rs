//! Reports, tables, diffs and pictures of hand-written traces: shapes, formats and equal bytes.

mod support;

use analyze::diff::{Verdict, compare};
use analyze::report::{Format, Options};
use analyze::timeline::{Who, Window};
use analyze::{migration, plot, stopper, timeline};
use support::*;
use trace::krec::Symbol;
use trace::state::Frame;
use trace::time_arg::TimeArg;

fn rendered(report: &analyze::report::Report, format: Format, options: &Options) -> String {
    let mut out = Vec::new();
    report
        .render(format, options, &mut out)
        .expect("a Vec takes all");
    String::from_utf8(out).expect("text")
}

#[test]
fn the_migration_report_as_text() {
    let report = migration::analyze(&worked_example())
        .expect("good")
        .report();
    let text = rendered(&report, Format::Text, &Options::default());
    let row = "0.000010 hog/0[40] 0 => 1 affinity   2.400     0.150    0.350   0.200 2.000     0.300 5.400  3420     @2";
    assert!(text.contains(row), "{text}");
    assert!(
        text.contains("all moves           1    1        -"),
        "{text}"
    );
    assert!(text.contains("check holds: the phases sum to the total: 1 of 1 rows"));
    assert!(text.contains("+-1.025 us (quantum 1.000 us + longest stretch 0.025 us)"));
    assert!(text.contains("hand.krec, complete, 16 events, 0 lost"));
    assert!(text.lines().all(|line| line.len() <= 120), "{text}");
    assert!(!text.contains('\u{1b}'));
}

#[test]
fn machine_formats_have_the_names_and_whole_nanoseconds() {
    let report = migration::analyze(&worked_example())
        .expect("good")
        .report();
    let json = rendered(&report, Format::Json, &Options::default());
    let value: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let row = &value["moves"][0];
    let phases = [
        "off_src_ns",
        "stop_wait_ns",
        "stop_run_ns",
        "enq_dst_ns",
        "ipi_ns",
        "first_run_ns",
    ];
    let sum: u64 = phases.iter().filter_map(|phase| row[phase].as_u64()).sum();
    assert_eq!((sum, row["total_ns"].as_u64()), (5_400, Some(5_400)));
    assert_eq!(row["cause"], "affinity");
    assert_eq!(row["ended"], "ran");
    assert!(value["summary"][0]["p50_ns"].is_null());
    assert_eq!(value["recording"]["bound_ns"], 1_025);
    assert_eq!(value["checks"][0]["holds"], true);

    let csv = rendered(&report, Format::Csv, &Options::default());
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines.len(), 2);
    let column = |name: &str| {
        let at = lines[0]
            .split(',')
            .position(|head| head == name)
            .expect(name);
        lines[1].split(',').nth(at).expect(name)
    };
    assert_eq!(
        (column("stop_wait_ns"), column("tid"), column("src_cpu")),
        ("150", "40", "0")
    );
    assert_eq!((column("begin_seq"), column("end_seq")), ("2", "15"));

    let other = Options {
        table: Some("phases".into()),
        ..Options::default()
    };
    assert!(rendered(&report, Format::Csv, &other).starts_with("phase,above_zero,count,p50_ns"));
    let wrong = Options {
        table: Some("phase".into()),
        ..Options::default()
    };
    let error = report
        .render(Format::Csv, &wrong, &mut Vec::new())
        .expect_err("no table");
    assert_eq!(
        error.to_string(),
        "the report has no table `phase`: it has moves, summary, phases"
    );
}

#[test]
fn the_stopper_report_as_text_and_csv() {
    let report = stopper::analyze(&worked_example()).expect("good").report();
    let text = rendered(&report, Format::Text, &Options::default());
    assert!(
        text.contains("migration_cpu_stop <- affine_move_task"),
        "{text}"
    );
    assert!(text.contains("1200 + 0 + 0 + 0 + 0 = 1200 ns"), "{text}");
    let csv = rendered(&report, Format::Csv, &Options::default());
    assert!(csv.contains("queue_to_wake_ns,wake_to_run_ns,run_ns,done_to_waiter_ns"));
    assert!(csv.contains(",20,2530,750,"), "{csv}");
}

#[test]
fn rows_can_be_cut_and_are_counted() {
    let mut t = worked_example();
    t.at(1, 20_000).waking(OTHER, 1);
    t.at(1, 20_100).migrate(WAKE_MOVE, OTHER, 1, 0);
    let report = migration::analyze(&t).expect("good").report();
    let options = Options {
        rows: Some(1),
        table: Some("moves".into()),
    };
    let text = rendered(&report, Format::Text, &options);
    assert!(text.contains("# ... 1 more rows"), "{text}");
}

#[test]
fn a_truncated_recording_says_so_in_the_footer() {
    let mut t = worked_example();
    t.info_mut().truncated = Some("truncated at byte 9, event 16".into());
    t.info_mut().longest_stretch = None;
    let report = migration::analyze(&t).expect("good").report();
    let text = rendered(&report, Format::Text, &Options::default());
    assert!(text.contains("TRUNCATED AT BYTE 9, EVENT 16"), "{text}");
    assert!(text.contains("does not say"), "{text}");
}

#[test]
fn pictures_have_the_same_bytes_every_time() {
    let trace = worked_example();
    let timeline = timeline::analyze(&trace, Window::Auto).expect("good");
    let svg = plot::timeline::svg(&timeline).expect("drawn");
    assert_eq!(svg, plot::timeline::svg(&timeline).expect("drawn"));
    for words in ["cpu0", "cpu1", "hog/0[40]", "stopper (migration/N)", "(us)"] {
        assert!(svg.contains(words), "{words}");
    }
    let report = migration::analyze(&trace).expect("good");
    let svg = plot::migration::svg(&report, 15).expect("drawn");
    assert_eq!(svg, plot::migration::svg(&report, 15).expect("drawn"));
    for words in ["off-src", "first-run", "all: 1", "stopper: 1", "@9"] {
        assert!(svg.contains(words), "{words}");
    }
    // A run without a move is a picture too.
    let nothing = Trace::new(1);
    let report = migration::analyze(&nothing).expect("good");
    assert!(
        plot::migration::svg(&report, 15)
            .expect("drawn")
            .contains("no move ran")
    );
    let timeline = timeline::analyze(&nothing, Window::Auto).expect("good");
    assert!(plot::timeline::svg(&timeline).is_ok());
}

/// The slices of the worked example between 12,000 and 15,000, cut at the window.
#[test]
fn a_window_cuts_slices() {
    let window = Window::Between {
        from_ns: 12_000,
        to_ns: 15_000,
    };
    let timeline = timeline::analyze(&worked_example(), window).expect("good");
    let slices: Vec<_> = timeline
        .slices
        .iter()
        .map(|s| (s.cpu, s.from_ns, s.to_ns, s.tid, s.who))
        .collect();
    assert_eq!(
        slices,
        [
            (0, 12_000, 12_900, 40, Who::Task),
            (0, 12_900, 14_100, 12, Who::Stopper),
        ]
    );
    let arrows: Vec<_> = timeline
        .arrows
        .iter()
        .map(|a| (a.src_cpu, a.migrate_ns, a.dst_cpu, a.end_ns))
        .collect();
    assert_eq!(arrows, [(0, 13_400, 1, 15_900)]);
    let empty = Window::Between {
        from_ns: 15_000,
        to_ns: 15_000,
    };
    assert!(timeline::analyze(&worked_example(), empty).is_err());
}

#[test]
fn instants_are_resolved_in_causal_time() {
    let t = worked_example();
    let at = |text: &str| timeline::resolve(&t, text.parse::<TimeArg>().expect("a time"));
    assert_eq!(at("boot").ok(), Some(0));
    assert_eq!(at("end").ok(), Some(15_900));
    assert_eq!(at("@9").ok(), Some(13_400));
    assert_eq!(at("2us").ok(), Some(2_000));
    assert_eq!(
        at("@16").expect_err("there are 16").to_string(),
        "there is no event @16: the last is @15"
    );
}

fn diff_text(a: &Trace, b: &Trace) -> (Verdict, String) {
    let diff = compare(a, b).expect("good");
    let mut out = Vec::new();
    diff.render(Format::Text, &mut out)
        .expect("a Vec takes all");
    (
        diff.verdict().clone(),
        String::from_utf8(out).expect("text"),
    )
}

#[test]
fn equal_recordings_are_the_same() {
    let (verdict, text) = diff_text(&worked_example(), &worked_example());
    assert_eq!(verdict, Verdict::Same);
    assert!(text.contains("\nsame\n"), "{text}");
    assert!(text.contains("migration_total_max (us)"), "{text}");
}

/// B moves the task 10 cycles later: event 9 is the first difference. Its stack and both runqueues are
/// shown: cpu0 runs the stopper and has the task queued.
#[test]
fn the_first_difference_has_stacks_and_runqueues() {
    let work = affinity(0, HOG);
    let mut b = Trace::new(2);
    b.at(1, 9_000).switch(IDLE1, R, ASKER);
    b.at(0, 9_500).switch(IDLE0, R, HOG);
    b.at(1, 10_500).work_queue(AFFINE, work, -1);
    b.at(1, 10_520).waking(STOP0, 0);
    b.at(1, 10_600).ipi(0);
    b.at(1, 10_700).switch(ASKER, D, IDLE1);
    b.at(0, 12_604).ipi_entry();
    b.at(0, 12_900).switch(HOG, PREEMPTED, STOP0);
    b.at(0, 13_050).work_start(work, -1);
    b.at(0, 13_410).migrate(STOPPER_MOVE, HOG, 0, 1);
    let (verdict, text) = diff_text(&worked_example(), &b);
    assert_eq!(verdict, Verdict::Differs);
    assert!(
        text.contains("first difference: event @9: the clock"),
        "{text}"
    );
    assert!(
        text.contains("A: @9 [000] 0.000013400 migration/0[12]: sched:sched_migrate_task"),
        "{text}"
    );
    assert!(text.contains("     __migrate_task+0x0\n"), "{text}");
    assert!(
        text.contains("runqueue: cpu0 runs migration/0[12], 1 waits: hog/0[40]"),
        "{text}"
    );
    assert!(
        text.contains("runqueue: cpu1 runs swapper/1[0], nobody waits"),
        "{text}"
    );
}

#[test]
fn a_shorter_recording_differs_and_a_cut_one_cannot_be_compared() {
    let a = worked_example();
    let mut b = worked_example();
    b.at(1, 16_000).ipi_entry();
    let (verdict, text) = diff_text(&a, &b);
    assert_eq!(verdict, Verdict::Differs);
    assert!(text.contains("event @16: A has ended"), "{text}");
    // B's event has no stack; A has no event that could have one.
    assert_eq!(
        text.matches("no stack is recorded for this event").count(),
        1
    );

    let mut cut = worked_example();
    cut.info_mut().truncated = Some("truncated at byte 9, event 16".into());
    let (verdict, _) = diff_text(&cut, &b);
    assert!(matches!(verdict, Verdict::CannotCompare(_)));
    let (verdict, _) = diff_text(&cut, &a);
    assert!(matches!(verdict, Verdict::CannotCompare(_)));
}

/// B's event has no stack; A has no event that could have one. What was read elsewhere is shown as what was
/// recorded is, and does not take the place of a recorded stack.
#[test]
fn a_stack_that_was_not_recorded_can_be_given() {
    let a = worked_example();
    let mut b = worked_example();
    b.at(1, 16_000).ipi_entry();
    let mut diff = compare(&a, &b).expect("good");
    assert_eq!(diff.without_stack(), [None, Some(16)]);
    let stack = |name: &str| {
        let symbol = Symbol {
            name: name.into(),
            offset: 0x21,
            file: Some("kernel/smp.rs".into()),
            line: Some(7),
            inlined: Vec::new(),
        };
        let known = Frame {
            addr: 0x8021,
            symbol: Some(symbol),
        };
        let unknown = Frame {
            addr: 0x9000,
            symbol: None,
        };
        [known, unknown]
    };
    diff.give_stack(0, &stack("of_nothing"));
    diff.give_stack(1, &stack("sysvec_reschedule"));
    diff.give_stack(1, &stack("too_late"));
    diff.give_stack(2, &stack("of_nobody"));
    assert_eq!(diff.without_stack(), [None, None]);
    let mut out = Vec::new();
    diff.render(Format::Text, &mut out)
        .expect("a Vec takes all");
    let text = String::from_utf8(out).expect("text");
    let lines = "     sysvec_reschedule+0x21 (kernel/smp.rs:7)\n     0x9000\n";
    assert!(text.contains(lines), "{text}");
    for other in [
        "no stack is recorded",
        "of_nothing",
        "too_late",
        "of_nobody",
    ] {
        assert!(!text.contains(other), "{text}");
    }
}

#[test]
fn what_cannot_be_compared() {
    let (verdict, text) = diff_text(&Trace::new(2), &Trace::new(4));
    let reason = "the recordings differ in the number of CPUs: 2 and 4";
    assert_eq!(verdict, Verdict::CannotCompare(reason.into()));
    assert!(
        text.contains(&format!("cannot compare: {reason}")),
        "{text}"
    );

    let mut other = worked_example();
    other.info_mut().machine_digest = Some("ff".into());
    let (verdict, text) = diff_text(&worked_example(), &other);
    assert_eq!(verdict, Verdict::Differs);
    assert!(
        text.contains("every event is the same; the final state"),
        "{text}"
    );
}

/// Another image: addresses mean nothing, names do.
#[test]
fn an_edited_kernel_is_compared_by_names() {
    let mut edited = worked_example();
    edited.info_mut().image_sha256 = "22".into();
    assert_eq!(diff_text(&worked_example(), &edited).0, Verdict::Same);

    let build = |name: &'static str| {
        let mut t = Trace::new(1);
        // Another address for the same name, or another name.
        t.at(0, 100).event(name, trace::events::SchedulerTick {});
        t
    };
    let mut b = Trace::new(1);
    b.info_mut().image_sha256 = "22".into();
    b.at(0, 100)
        .event("one_function", trace::events::SchedulerTick {});
    assert_eq!(diff_text(&build("one_function"), &b).0, Verdict::Same);
    assert_eq!(diff_text(&build("another"), &b).0, Verdict::Differs);
}

/// Every column that files have is explained by one sentence, and nothing else is.
#[test]
fn every_column_has_its_sentence() {
    let trace = worked_example();
    let moves = analyze::migration::analyze(&trace).expect("good").table();
    let works = analyze::stopper::analyze(&trace).expect("good").table();
    for table in [moves, works] {
        let columns = table.shown(false).into_iter().map(|i| table.columns[i].key);
        let expected: Vec<&str> = std::iter::once("table").chain(columns).collect();
        let explained: Vec<&str> = table.docs.iter().map(|(name, _)| *name).collect();
        assert_eq!(explained, expected);
        assert!(table.docs.iter().all(|(_, doc)| doc.ends_with('.')));
    }
}

#[test]
fn one_cpu_is_not_several() {
    let footer = |cpus| {
        let report = analyze::migration::analyze(&Trace::new(cpus)).expect("good");
        report.footer.lines().join("\n")
    };
    assert!(footer(1).contains(", 1 CPU, "), "{}", footer(1));
    assert!(footer(2).contains(", 2 CPUs, "), "{}", footer(2));
}

/// A long run without a move is shown whole: where it would begin or end instead, nobody knows.
#[test]
fn a_run_without_moves_is_shown_whole() {
    let mut t = Trace::new(1);
    t.at(0, 700_000).switch(IDLE0, R, HOG);
    t.at(0, 900_000).switch(HOG, S, IDLE0);
    let timeline = timeline::analyze(&t, timeline::Window::Auto).expect("a window");
    assert_eq!((timeline.from_ns, timeline.to_ns), (0, 900_000));
    let slices: Vec<_> = timeline
        .slices
        .iter()
        .map(|s| (s.from_ns, s.to_ns, s.who))
        .collect();
    assert_eq!(
        slices,
        [(0, 700_000, Who::Boot), (700_000, 900_000, Who::Task),]
    );
}

/// Before its first switch a CPU boots, and before its first event it has not started; idle is neither.
#[test]
fn a_cpu_that_boots_is_not_idle() {
    let mut t = Trace::new(3);
    t.at(1, 3_000).event("", trace::events::SchedulerTick {});
    t.at(0, 4_000).switch(IDLE0, R, HOG);
    t.at(1, 5_000).switch(IDLE1, R, OTHER);
    t.at(1, 6_000).switch(OTHER, S, IDLE1);
    t.at(0, 9_000).switch(HOG, S, IDLE0);
    let window = Window::Between {
        from_ns: 1_000,
        to_ns: 9_000,
    };
    let timeline = timeline::analyze(&t, window).expect("good");
    let slices: Vec<_> = timeline
        .slices
        .iter()
        .map(|s| (s.cpu, s.from_ns, s.to_ns, s.who))
        .collect();
    assert_eq!(
        slices,
        [
            (0, 1_000, 4_000, Who::Boot),
            (0, 4_000, 9_000, Who::Task),
            (1, 1_000, 3_000, Who::NotStarted),
            (1, 3_000, 5_000, Who::Boot),
            (1, 5_000, 6_000, Who::Task),
            (2, 1_000, 9_000, Who::NotStarted),
        ]
    );
    let svg = plot::timeline::svg(&timeline).expect("drawn");
    for words in ["boot (swapper/0)", "boot (swapper)", "not started", "idle"] {
        assert!(svg.contains(&format!("\n{words}\n")), "{words}");
    }
    // Later nothing of this is in the window, nor in the legend.
    let window = Window::Between {
        from_ns: 5_000,
        to_ns: 6_000,
    };
    let mut later = timeline::analyze(&t, window).expect("good");
    later.slices.retain(|slice| slice.cpu != 2);
    let svg = plot::timeline::svg(&later).expect("drawn");
    assert!(!svg.contains("boot") && !svg.contains("not started"));
}

/// A stopper that runs 2 % of the time in slices far below a pixel has 2 % of the picture, and thousands
/// of moves are a number, not a black bar.
#[test]
fn a_long_window_is_not_painted_red() {
    let mut t = Trace::new(2);
    t.at(0, 0).switch(IDLE0, R, HOG);
    for at in (0..4_000_000).step_by(1_000) {
        t.at(0, at + 100).switch(HOG, PREEMPTED, STOP0);
        t.at(0, at + 120).switch(STOP0, S, HOG);
    }
    let window = Window::Between {
        from_ns: 0,
        to_ns: 4_000_000,
    };
    let mut timeline = timeline::analyze(&t, window).expect("good");
    let move_of = |at| timeline::Arrow {
        src_cpu: 0,
        migrate_ns: at,
        dst_cpu: 1,
        end_ns: at + 10,
        tid: HOG.0,
        path: migration::Path::Stopper,
    };
    timeline.arrows = (0..3_000).map(|i| move_of(i * 1_000)).collect();
    let svg = plot::timeline::svg(&timeline).expect("drawn");
    assert!(
        svg.contains("condensed: 8000 slices narrower than a pixel, drawn as shares of 4 pixel")
    );
    assert!(svg.contains("3000 moves not drawn: zoom in with --from/--to"));
    // Of cpu0's lane the red is one row of 26 pixels, 1112 wide, however many slices there are.
    let number = |line: &str, name: &str| -> u64 {
        let value = line.split(&format!(" {name}=\"")).nth(1);
        let value = value.and_then(|rest| rest.split('"').next());
        value.and_then(|text| text.parse().ok()).expect(name)
    };
    let red: u64 = svg
        .lines()
        .filter(|line| line.starts_with("<rect") && line.contains("#CC3311"))
        .map(|line| number(line, "width") * number(line, "height"))
        .sum();
    // And the square in the legend.
    assert!(red <= 1_112 + 11 * 11, "{red}");
    assert!(red >= 1_112 / 2, "{red}");
    assert!(svg.len() < 60_000, "{}", svg.len());
}

/// A task that was renamed has its new name in the runqueue lines, too, where it runs and where it waits.
#[test]
fn runqueues_call_tasks_by_their_latest_names() {
    let (old, new) = (T(1, "swapper/0"), T(1, "init"));
    let build = |to| {
        let mut t = Trace::new(2);
        t.at(0, 100).switch(IDLE0, R, old);
        t.at(0, 200).enqueued(T(7, "kthreadd"), 1);
        t.at(0, 300).event("", trace::events::SchedulerTick {});
        t.at(0, 400).waking(T(7, "kworker/1:0"), 1);
        t.at(0, to).switch(new, R, IDLE0);
        t
    };
    let (_, text) = diff_text(&build(500), &build(501));
    assert!(
        text.contains("runqueue: cpu0 runs init[1], nobody waits"),
        "{text}"
    );
    assert!(
        text.contains("runqueue: cpu1 runs swapper/1[0], 1 waits: kworker/1:0[7]"),
        "{text}"
    );
}
