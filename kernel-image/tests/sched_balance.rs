//! The decisions of load balancing and of the choice of a CPU, on their numbers.
use kernel_image::kernel::sched::fair::balance::CpuIdleType;
use kernel_image::kernel::sched::fair::balance::detach::shr_bound;
use kernel_image::kernel::sched::fair::balance::stats::{
    GroupType, SgLbStats, group_classify, nr_idle_scan, sibling_imbalance, towards_mean,
};
use kernel_image::kernel::sched::fair::capacity::{capacity_greater, fits_capacity};
use kernel_image::kernel::sched::fair::select::idlest::stays_local;
use kernel_image::kernel::sched::fair::select::{is_wide, weigh};

/// A group of so many CPUs and tasks, and how busy it has been.
fn group(cpus: u32, tasks: u32, util: u64, runnable: u64) -> SgLbStats {
    let mut sgs = SgLbStats::new();
    sgs.group_weight = cpus;
    sgs.group_capacity = 1024 * u64::from(cpus);
    sgs.sum_nr_running = tasks;
    sgs.sum_h_nr_running = tasks;
    sgs.idle_cpus = cpus.saturating_sub(tasks);
    sgs.group_util = util;
    sgs.group_runnable = runnable;
    sgs
}

#[test]
fn what_a_group_is() {
    let is = |sgs: &SgLbStats| group_classify(117, false, sgs);
    assert_eq!(
        is(&group(4, 3, 4096, 8192)),
        GroupType::HasSpare,
        "a CPU free"
    );
    assert_eq!(
        is(&group(4, 4, 2000, 4096)),
        GroupType::HasSpare,
        "light tasks"
    );
    assert_eq!(is(&group(4, 4, 3600, 4096)), GroupType::FullyBusy, "87 %");
    assert_eq!(
        is(&group(4, 4, 3400, 4800)),
        GroupType::FullyBusy,
        "they waited"
    );
    assert_eq!(
        is(&group(4, 4, 4096, 8192)),
        GroupType::FullyBusy,
        "one each"
    );
    assert_eq!(is(&group(4, 5, 3600, 4096)), GroupType::Overloaded);
    assert_eq!(
        is(&group(4, 5, 2000, 5000)),
        GroupType::Overloaded,
        "they waited"
    );
    assert_eq!(
        is(&group(4, 5, 2000, 4000)),
        GroupType::HasSpare,
        "they did not"
    );
    let mut sgs = group(1, 1, 500, 500);
    assert_eq!(group_classify(117, true, &sgs), GroupType::Imbalanced);
    sgs.group_misfit_task_load = 700;
    assert_eq!(is(&sgs), GroupType::MisfitTask);
    sgs.group_smt_balance = true;
    assert_eq!(is(&sgs), GroupType::SmtBalance, "before a misfit");
    assert!(GroupType::HasSpare < GroupType::FullyBusy);
    assert!(GroupType::Imbalanced < GroupType::Overloaded);
}

#[test]
fn the_scan_of_a_busy_cache_is_short() {
    let scan = |percent: u64| nr_idle_scan(16 * 1024 * percent / 100, 16, 117);
    assert_eq!(scan(0), 16);
    assert_eq!(scan(86), 0, "above 85 %");
    assert_eq!(scan(100), 0);
    let all: Vec<i32> = (0..=100).map(scan).collect();
    assert!(all.windows(2).all(|pair| pair[0] >= pair[1]), "{all:?}");
    // A parabola: half busy leaves 1 - (0.5 x 1.17)^2 of it.
    assert_eq!(scan(50), (16.0 * (1.0 - 0.585_f64.powi(2))) as i32);
}

#[test]
fn siblings_are_evened_out_by_cores() {
    let imbalance = |busiest: (u32, u64), local: (u32, u64)| {
        sibling_imbalance(
            CpuIdleType::Idle,
            (&group(4, busiest.0, 0, 0), busiest.1),
            (&group(4, local.0, 0, 0), local.1),
        )
    };
    assert_eq!(imbalance((5, 4), (2, 4)), 3);
    assert_eq!(imbalance((2, 4), (5, 4)), 0);
    assert_eq!(
        imbalance((4, 2), (4, 4)),
        3,
        "twice the cores, 2 x 8 and rounded"
    );
    assert_eq!(
        imbalance((2, 8), (0, 1)),
        2,
        "an empty one takes one anyway"
    );
    let busy = sibling_imbalance(
        CpuIdleType::NotIdle,
        (&group(4, 9, 0, 0), 4),
        (&group(4, 0, 0, 0), 4),
    );
    assert_eq!(busy, 0, "a busy CPU leaves it to an idle one");
}

#[test]
fn a_crowd_is_wide_when_both_turn_often() {
    // Eight CPUs in the cache.
    assert!(!is_wide(100, 7, 8), "the one that is woken serves few");
    assert!(is_wide(100, 8, 8));
    assert!(is_wide(8, 100, 8), "whoever of the two");
    assert!(!is_wide(63, 8, 8), "the other does not turn enough");
    assert!(is_wide(64, 8, 8));
}

#[test]
fn the_wakee_comes_where_less_is_to_do() {
    let here = |load, prev_load| weigh(117, (load, 1024), (prev_load, 1024), false);
    assert!(here(1024, 2048));
    assert!(!here(1024, 900));
    assert!(here(1024, 1000), "within half the allowed imbalance");
    assert!(!here(1100, 1000));
    assert!(!weigh(117, (1024, 512), (1024, 1024), false), "half a CPU");
    assert!(!weigh(100, (1024, 1024), (1024, 1024), false));
    assert!(
        weigh(100, (1024, 1024), (1024, 1024), true),
        "even, and the waker leaves"
    );
}

#[test]
fn a_new_task_stays_unless_elsewhere_is_better() {
    let stay = |local: &SgLbStats, other: &SgLbStats| stays_local(117, local, other, (1024, 1024));
    let spare = |idle: u32| {
        let mut sgs = group(2, 2 - idle, 0, 0);
        sgs.group_type = GroupType::HasSpare;
        sgs
    };
    assert!(stay(&spare(1), &spare(1)));
    assert!(!stay(&spare(0), &spare(1)), "an idle CPU there");
    let full = |avg_load| {
        let mut sgs = group(2, 4, 2048, 4096);
        sgs.group_type = GroupType::Overloaded;
        sgs.avg_load = avg_load;
        sgs
    };
    assert!(stay(&spare(0), &full(0)), "the lower type wins");
    assert!(!stay(&full(0), &spare(0)));
    assert!(stay(&full(1100), &full(1000)), "not for a small difference");
    assert!(!stay(&full(2000), &full(1000)));
}

#[test]
fn margins() {
    assert!(
        fits_capacity(819, 1024) && !fits_capacity(820, 1024),
        "a fifth to spare"
    );
    assert!(
        capacity_greater(1024, 972) && !capacity_greater(1024, 973),
        "5 %"
    );
    assert_eq!(shr_bound(1024, 3), 128);
    assert_eq!(shr_bound(u64::MAX, 64), 1);
    assert_eq!(shr_bound(u64::MAX, 1000), 1);
}

#[test]
fn a_busiest_group_below_the_mean_sets_no_bound() {
    // Between both and the mean: the smaller distance.
    assert_eq!(towards_mean((3000, 1024), (1000, 1024), 2500), 500);
    assert_eq!(towards_mean((3000, 1024), (1000, 1024), 1200), 200);
    // Of CPUs that can do half.
    assert_eq!(towards_mean((3000, 512), (1000, 1024), 2000), 500);
    // A nice -20 hog elsewhere lifts the mean above both: what is missing here counts alone, as in v6.8, whose
    // numbers have no sign.
    assert_eq!(towards_mean((4096, 1024), (2048, 1024), 30_000), 27_952);
}
