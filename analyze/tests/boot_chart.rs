//! The boot chart, from a boot of ten events that is worked out by hand.

mod support;

use analyze::boot::chart::{self, Chart};
use analyze::plot;
use support::{D, HOG, IDLE0, OTHER, R, STOP0, Trace};

const INIT: &str = "kernel_init ret_from_fork ret_from_fork_asm";

/// start_kernel 100, setup_arch in it 200, rest_init in it 600; hog made at 1,000; kernel_init 1,200 in a task
/// of its own; a stopper made at 1,300; run_workload 2,000 from kernel_init; other made at 9,000, after it all.
fn boot() -> Trace {
    let mut t = Trace::new(1);
    t.at(0, 100)
        .milestone("start_kernel", "start_kernel startup_64");
    t.at(0, 200)
        .milestone("setup_arch", "setup_arch start_kernel startup_64");
    t.at(0, 600)
        .milestone("rest_init", "rest_init start_kernel startup_64");
    t.at(0, 1_000).fork(IDLE0, HOG);
    t.at(0, 1_100).switch(IDLE0, R, HOG);
    t.at(0, 1_200).milestone("kernel_init", INIT);
    t.at(0, 1_300).fork(HOG, STOP0);
    t.at(0, 1_400).switch(HOG, D, STOP0);
    t.at(0, 1_450).exit(STOP0);
    t.at(0, 1_500).switch(STOP0, R, HOG);
    t.at(0, 2_000).milestone(
        "run_workload",
        "run_workload kernel_init ret_from_fork ret_from_fork_asm",
    );
    t.at(0, 9_000).fork(HOG, OTHER);
    t
}

fn steps(chart: &Chart) -> Vec<(&str, u32, u64, u64)> {
    chart
        .steps
        .iter()
        .map(|s| (s.name.as_str(), s.depth, s.from_ns, s.to_ns))
        .collect()
}

#[test]
fn a_step_reaches_to_the_next_that_it_did_not_call() {
    let chart = chart::analyze(&boot()).expect("good");
    assert_eq!(chart.boot_ns, 2_000);
    assert_eq!(chart.to_ns, 2_100, "a twentieth more");
    assert_eq!(
        steps(&chart),
        [
            ("start_kernel", 0, 100, 2_100),
            ("setup_arch", 1, 200, 600),
            ("rest_init", 1, 600, 2_100),
            ("kernel_init", 0, 1_200, 2_100),
            ("run_workload", 1, 2_000, 2_100),
        ]
    );
}

#[test]
fn threads_live_from_their_creation_and_have_their_slices() {
    let chart = chart::analyze(&boot()).expect("good");
    let threads: Vec<_> = chart
        .threads
        .iter()
        .map(|t| {
            (
                t.name.as_str(),
                t.stopper,
                t.created_ns,
                t.to_ns,
                t.slices.clone(),
            )
        })
        .collect();
    assert_eq!(
        threads,
        [
            (
                "hog/0[40]",
                false,
                1_000,
                2_100,
                vec![(1_100, 1_400), (1_500, 2_100)]
            ),
            ("migration/0[12]", true, 1_300, 1_450, vec![(1_400, 1_500)]),
        ],
        "who is made after the boot is not in it"
    );
    let svg = plot::boot::svg(&chart).expect("drawn");
    for words in ["hog/0[40]", "migration/0[12]", "setup_arch", "run_workload"] {
        assert!(svg.contains(&format!("\n{words}\n")), "{words}");
    }
}

#[test]
fn a_boot_of_which_nothing_is_known_is_drawn_too() {
    let chart = chart::analyze(&Trace::new(2)).expect("good");
    assert!(chart.steps.is_empty() && chart.threads.is_empty());
    assert!(plot::boot::svg(&chart).expect("drawn").contains("2 CPUs"));
}
