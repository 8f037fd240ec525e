//! Lag: how far a task is from its fair share at any moment.
//!
//! EEVDF keeps it within what a task is given at once. Here that is a request and the rest of the tick in
//! which it ends. `share` derives it for pairs; a task's lag is the mean of its distances to the others. Even
//! requests of whole ticks end one tick later: a turn begins at the switch, a little after the tick, and the
//! tick that would end it finds it not quite served. And a turn may begin anywhere: on a single CPU the
//! director's own wake-ups see to that.

use super::share::{NICE_0, Position, lead, look, position, promise, tick};
use super::{MAX_HOGS, Stage, fail, hog};
use crate::include::linux::jiffies::TICK_NSEC;
use crate::kernel::sched::fair::eevdf::avg_vruntime;
use crate::kernel::sched::fair::{base_slice_ns, sysctl_sched_base_slice};
use crate::kernel::sched::sched::scale_load_down;
use crate::kernel::time::timer::sleep::usleep_range;
use crate::pr_info;

/// With requests as they are, shorter than a tick, and with longer ones.
pub(super) fn lag() {
    let slice = base_slice_ns();
    for (what, nice) in [
        ("equals", [0; MAX_HOGS]),
        ("nice -5 to 10", [-5, 0, 0, 5, 10]),
    ] {
        for slice in [slice, 2 * TICK_NSEC as u64] {
            sysctl_sched_base_slice.set(slice);
            lag_among(what, &nice);
        }
    }
    sysctl_sched_base_slice.set(slice);
}

/// What a look finds.
struct Lags {
    positions: [Position; MAX_HOGS],
    weights: [u64; MAX_HOGS],
    /// Sum of weight x lag as the scheduler computes it, if the tasks of the stage are all there are.
    sum: Option<i64>,
}

fn look_at_lags(stage: &Stage) -> Lags {
    look(stage.cpu, |rq, now| {
        let average = avg_vruntime(&rq.cfs);
        let mut lags = Lags {
            positions: [Position::default(); MAX_HOGS],
            weights: [0; MAX_HOGS],
            sum: None,
        };
        let mut sum = 0;
        for (n, task) in stage.tasks().enumerate() {
            lags.positions[n] = position(&task.se, now);
            lags.weights[n] = scale_load_down(task.se.load.weight.get());
            let lag = average.wrapping_sub(task.se.vruntime.get()) as i64;
            sum += lag * lags.weights[n] as i64;
        }
        let alone = rq.cfs.nr_running.get() as usize == stage.count;
        lags.sum = alone.then_some(sum);
        lags
    })
}

/// The largest lag either way, ns of real time; the furthest that a task was ahead of another, in parts of a
/// hundred of what it may.
fn furthest(lags: &Lags) -> (i64, i64) {
    let (mut largest, mut used) = (0, i64::MIN);
    let whole: u64 = lags.weights.iter().sum();
    for (i, &weight_i) in lags.weights.iter().enumerate() {
        let mut sum = 0;
        for (j, &weight_j) in lags.weights.iter().enumerate().filter(|&(j, _)| j != i) {
            let ahead = lead(&lags.positions, i, j);
            used = used.max(ahead * 100 / promise(weight_i, weight_j));
            sum += ahead * weight_j as i64;
        }
        largest = largest.max((sum / whole as i64 * weight_i as i64 / NICE_0).abs());
    }
    (largest, used)
}

fn lag_among(what: &str, nice: &[i32]) {
    let mut stage = Stage::open();
    for &nice in nice {
        stage.enter(hog, nice);
    }
    usleep_range(100_000, 100_000);
    let (mut largest, mut used, mut exact) = (0, i64::MIN, 0);
    for _ in 0..200 {
        usleep_range(1_700, 1_700);
        let lags = look_at_lags(&stage);
        let (lag, part) = furthest(&lags);
        largest = largest.max(lag);
        used = used.max(part);
        let Some(sum) = lags.sum else { continue };
        exact += 1;
        // Exactly zero, had V not been rounded down.
        if sum > 0 || sum <= -(lags.weights.iter().sum::<u64>() as i64) {
            fail(format_args!("{what}: the lags add up to {sum}"));
        }
    }
    let slice = base_slice_ns();
    pr_info!(
        "fair: {what}: lag up to {largest} ns for requests of {slice}, {used} % of what pairs may be apart, \
         {exact} sums of lags are 0"
    );
    if used >= 100 || exact < 100 {
        let tick = tick();
        fail(format_args!(
            "{what}: a task is ahead of another by {used} % of {slice} and {tick} ns"
        ));
    }
    stage.close();
}
