//! Load tracking against its definition: y^32 = 1/2, the sum of a series in floating point, halves in 32 ms
//! both ways, independence from how often a signal is brought up to date.
use kernel_image::include::linux::sched::SchedAvg;
use kernel_image::kernel::sched::pelt::{
    ___update_load_avg, ___update_load_sum, LOAD_AVG_MAX, PELT_MIN_DIVIDER, decay_load,
    get_pelt_divider, runnable_avg_yN_inv,
};

/// The factor of a period, by definition.
fn y() -> f64 {
    0.5f64.powf(1.0 / 32.0)
}

/// ns of a number of periods.
fn periods(n: u64) -> u64 {
    n * 1024 * 1024
}

fn advance(sa: &SchedAvg, now: u64, load: u64, runnable: u64, running: bool) {
    if ___update_load_sum(now, sa, load, runnable, running) {
        ___update_load_avg(sa, 1);
    }
}

#[test]
fn the_table_holds_the_powers_of_y() {
    for (n, &inverse) in runnable_avg_yN_inv.iter().enumerate() {
        let exact = y().powi(n as i32) * f64::from(u32::MAX);
        let error = (exact - f64::from(inverse)).abs();
        assert!(error < 2.0, "y^{n}: {inverse:#x} is {error} away");
    }
}

#[test]
fn decay_is_a_multiplication_by_a_power_of_y() {
    for val in [1u64, 1000, LOAD_AVG_MAX, 1 << 30, 88_761 * LOAD_AVG_MAX] {
        for n in [0u64, 1, 2, 31, 32, 33, 100, 500, 63 * 32] {
            let exact = val as f64 * y().powi(n as i32);
            let got = decay_load(val, n) as f64;
            // Two truncations.
            assert!(got <= exact + 1.0, "{val} y^{n}: {got} for {exact}");
            assert!(
                got >= exact - 2.0 - exact * 1e-8,
                "{val} y^{n}: {got} for {exact}"
            );
        }
        assert_eq!(decay_load(val, 63 * 32 + 1), 0);
    }
    assert_eq!(decay_load(1 << 40, 32), (1 << 39) - (1 << 7));
}

#[test]
fn the_longest_sum_is_the_constant() {
    // A series that never paused, until it stands still: all periods but the running one, and its part.
    let sa = SchedAvg::new();
    let mut now = 0;
    for _ in 0..2000 {
        now += periods(1);
        advance(&sa, now, 1, 1, true);
    }
    for units in [0, 1, 500, 1023] {
        ___update_load_sum(now + units * 1024, &sa, 1, 1, true);
        let (sum, most) = (sa.load_sum.get(), get_pelt_divider(&sa));
        assert_eq!(most, PELT_MIN_DIVIDER + units);
        assert!(sum <= most && sum + 100 > most, "{sum} of {most}");
        for finer in [sa.runnable_sum.get(), u64::from(sa.util_sum.get())] {
            // Ten more digits lose less.
            assert!((sum..=sum + 100).contains(&(finer >> 10)), "{sum} {finer}");
        }
    }
    // The exact limit is larger: what the truncations of the decay lose.
    let exact = 1024.0 / (1.0 - y());
    assert!(
        (exact - LOAD_AVG_MAX as f64).abs() / exact < 0.003,
        "{exact}"
    );
    ___update_load_avg(&sa, 1);
    assert!((1021..=1024).contains(&sa.util_avg.get()));
}

#[test]
fn half_in_32_periods_and_back() {
    let sa = SchedAvg::new();
    advance(&sa, periods(32), 1, 1, true);
    let half = sa.util_avg.get();
    assert!(
        (508..=514).contains(&half),
        "{half} after 32 periods of running"
    );
    // Three quarters after twice that.
    advance(&sa, periods(64), 1, 1, true);
    let more = sa.util_avg.get();
    assert!(
        (764..=770).contains(&more),
        "{more} after 64 periods of running"
    );
    // Sleep: half of it is gone, and a quarter is left after twice the time.
    advance(&sa, periods(96), 0, 0, false);
    assert!(sa.util_avg.get().abs_diff(more / 2) <= 2);
    advance(&sa, periods(128), 0, 0, false);
    assert!(sa.util_avg.get().abs_diff(more / 4) <= 2);
}

#[test]
fn a_signal_does_not_depend_on_how_often_it_is_updated() {
    let (often, seldom) = (SchedAvg::new(), SchedAvg::new());
    let mut now = 0;
    let mut x = 7u64;
    for _ in 0..20_000 {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        now += (x >> 40) & !1023;
        advance(&often, now, 3, 2, true);
    }
    advance(&seldom, now, 3, 2, true);
    for (a, b) in [
        (often.load_avg.get(), seldom.load_avg.get()),
        (often.runnable_avg.get(), seldom.runnable_avg.get()),
        (often.util_avg.get(), seldom.util_avg.get()),
    ] {
        assert!(a.abs_diff(b) <= 1 + a / 200, "{a} against {b}");
    }
    assert_eq!(often.period_contrib.get(), seldom.period_contrib.get());
    assert_eq!(often.last_update_time.get(), seldom.last_update_time.get());
}

#[test]
fn a_random_history_follows_the_series() {
    // Pieces of running, waiting and sleeping; the exact sum piece by piece, unit by unit.
    let sa = SchedAvg::new();
    let (mut now, mut unit) = (0u64, 0u64);
    let mut history: Vec<(u64, u64, bool)> = Vec::new();
    let mut x = 99u64;
    for _ in 0..400 {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        let units = 1 + x % 3000;
        let (runnable, running) = match x >> 60 {
            0..=5 => (0, false),
            6..=9 => (1 + (x >> 50) % 3, false),
            _ => (1 + (x >> 50) % 3, true),
        };
        now += units * 1024;
        advance(&sa, now, u64::from(runnable != 0), runnable, running);
        history.push((units, runnable, running));
        unit += units;
    }
    let (mut load, mut waits, mut util) = (0f64, 0f64, 0f64);
    let mut at = 0u64;
    for (units, runnable, running) in history {
        let mut end = at + units;
        // Each piece, period by period: all units of one period weigh alike.
        while at < end {
            let border = ((at / 1024 + 1) * 1024).min(end);
            let weight = (border - at) as f64 * y().powi((unit / 1024 - at / 1024) as i32);
            load += if runnable != 0 { weight } else { 0.0 };
            waits += runnable as f64 * weight;
            util += if running { weight } else { 0.0 };
            at = border;
        }
        end = at;
        at = end;
    }
    let divider = get_pelt_divider(&sa) as f64;
    assert_eq!(get_pelt_divider(&sa), PELT_MIN_DIVIDER + unit % 1024);
    for (name, got, exact) in [
        ("load", sa.load_sum.get() as f64, load),
        ("runnable", sa.runnable_sum.get() as f64 / 1024.0, waits),
        ("util", f64::from(sa.util_sum.get()) / 1024.0, util),
    ] {
        let error = (got - exact).abs() / divider;
        assert!(error < 0.005, "{name}: {got} for {exact}");
    }
}

#[test]
fn a_clock_that_is_behind_only_moves_the_time_stamp() {
    let sa = SchedAvg::new();
    advance(&sa, periods(100), 1, 1, true);
    let (sum, util) = (sa.load_sum.get(), sa.util_avg.get());
    assert!(!___update_load_sum(periods(99), &sa, 1, 1, true));
    assert_eq!(sa.last_update_time.get(), periods(99));
    assert_eq!((sa.load_sum.get(), sa.util_avg.get()), (sum, util));
}
