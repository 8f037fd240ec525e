//! The heap of deadlines against its obvious model, and the constant bandwidth server's arithmetic against
//! its rules in exact wide integers.

use kernel_image::include::linux::cpumask::Cpumask;
use kernel_image::include::linux::sched::deadline::dl_time_before;
use kernel_image::include::linux::sched::{SchedDlEntity, TaskStruct};
use kernel_image::kernel::sched::core::params::{SCHED_FLAG_RECLAIM, SchedAttr};
use kernel_image::kernel::sched::cpudeadline::*;
use kernel_image::kernel::sched::deadline::bandwidth::*;
use kernel_image::kernel::sched::deadline::cbs::*;
use kernel_image::kernel::sched::deadline::params::__checkparam_dl;
use kernel_image::kernel::sched::sched::DlRq;

const MS: u64 = 1_000_000;

/// A small generator: the same numbers on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

fn entity(runtime: u64, deadline: u64, period: u64) -> SchedDlEntity {
    let dl_se = SchedDlEntity::new();
    dl_se.dl_runtime.set(runtime);
    dl_se.dl_deadline.set(deadline);
    dl_se.dl_period.set(period);
    dl_se.dl_bw.set(to_ratio(period, runtime));
    dl_se.dl_density.set(to_ratio(deadline, runtime));
    dl_se
}

#[test]
fn the_heap_knows_the_latest_deadline_and_the_free_cpus() {
    const CPUS: u64 = 9;
    let cp: &'static Cpudl = Box::leak(Box::new(Cpudl::new()));
    let p: &'static TaskStruct = Box::leak(Box::new(TaskStruct::new()));
    for cpu in 0..CPUS as u32 {
        cpudl_set_freecpu(cp, cpu);
    }
    let mut model: [Option<u64>; CPUS as usize] = [None; CPUS as usize];
    let mut random = Random(99);
    // Deadlines around the wrap of the clock compare as well.
    let base = u64::MAX - 5000;
    for _ in 0..50_000 {
        let cpu = random.below(CPUS) as usize;
        if random.below(3) == 0 {
            cp.clear(cpu as u32);
            model[cpu] = None;
        } else {
            let dl = base.wrapping_add(random.below(10_000));
            cp.set(cpu as u32, dl);
            model[cpu] = Some(dl);
        }
        let latest = model
            .iter()
            .flatten()
            .copied()
            .reduce(|a, b| if dl_time_before(a, b) { b } else { a });
        assert_eq!(cp.maximum().map(|(_, dl)| dl), latest);
        if let Some((at, dl)) = cp.maximum() {
            assert_eq!(model[at as usize], Some(dl));
        }
        p.cpus_mask.set(Cpumask::from_bits(random.below(1 << CPUS)));
        let own = base.wrapping_add(random.below(10_000));
        p.dl.deadline.set(own);
        let free = (0..CPUS as usize)
            .filter(|&cpu| model[cpu].is_none() && p.cpus_mask.get().test(cpu as u32))
            .fold(Cpumask::EMPTY, |mask, cpu| mask.with(cpu as u32));
        match cpudl_find(cp, p) {
            Some(found) if !free.is_empty() => assert_eq!(found, free),
            Some(found) => {
                assert_eq!(found.weight(), 1);
                assert!(found.subset(p.cpus_mask.get()));
                assert_eq!(model[found.first() as usize], latest);
                assert!(dl_time_before(own, latest.unwrap()));
            }
            None => assert!(free.is_empty()),
        }
    }
}

#[test]
fn replenishing_pays_for_what_was_overrun() {
    let dl_se = entity(10 * MS, 100 * MS, 100 * MS);
    replenish_dl_new_period(&dl_se, 1000 * MS);
    assert_eq!(dl_se.deadline.get(), 1100 * MS);
    // 14 ms of 10 were used: the next instance has 6.
    dl_se.runtime.set(-4 * MS as i64);
    dl_se.dl_throttled.set(1);
    replenish_dl_entity(&dl_se, 1100 * MS);
    assert_eq!(dl_se.runtime.get(), 6 * MS as i64);
    assert_eq!(dl_se.deadline.get(), 1200 * MS);
    assert_eq!(dl_se.dl_throttled.get(), 0);
    // 25 ms over: two whole periods are lost.
    dl_se.runtime.set(-25 * MS as i64);
    replenish_dl_entity(&dl_se, 1200 * MS);
    assert_eq!(dl_se.runtime.get(), 5 * MS as i64);
    assert_eq!(dl_se.deadline.get(), 1500 * MS);
    // A yield gives the rest away.
    dl_se.dl_yielded.set(1);
    replenish_dl_entity(&dl_se, 1500 * MS);
    assert_eq!(dl_se.runtime.get(), 10 * MS as i64);
    assert_eq!(dl_se.deadline.get(), 1600 * MS);
    assert_eq!(dl_se.dl_yielded.get(), 0);
    assert_eq!(dl_next_period(&dl_se), 1600 * MS);
}

#[test]
fn a_wake_up_keeps_what_does_not_exceed_the_bandwidth() {
    let mut random = Random(5);
    for _ in 0..20_000 {
        let period = (1 + random.below(1000)) * MS;
        let deadline = period - random.below(2) * random.below(period / 2);
        let runtime = 1024 + random.below(deadline / 2);
        let dl_se = entity(runtime, deadline, period);
        let now = 1 << 40;
        let left = random.below(runtime + runtime / 4) as i64;
        let laxity = random.below(2 * deadline) as i64 - (deadline / 2) as i64;
        dl_se.runtime.set(left);
        dl_se.deadline.set((now as i64 + laxity) as u64);
        update_dl_entity(&dl_se, now);

        let late = laxity < 0;
        let over = laxity >= 0 && {
            // As the kernel rounds.
            let a = u128::from(deadline >> 10) * u128::from((left as u64) >> 10);
            let b = u128::from((laxity as u64) >> 10) * u128::from(runtime >> 10);
            b < a
        };
        if late || over && dl_is_implicit(&dl_se) {
            assert_eq!(dl_se.deadline.get(), now + deadline);
            assert_eq!(dl_se.runtime.get(), runtime as i64);
        } else if over {
            // The deadline stays, the run time follows the density.
            assert_eq!(dl_se.deadline.get() as i64, now as i64 + laxity);
            let right = u128::from(to_ratio(deadline, runtime)) * laxity as u128 >> 20;
            assert_eq!(dl_se.runtime.get() as u128, right);
        } else {
            assert_eq!(dl_se.runtime.get(), left);
        }
    }
}

#[test]
fn bandwidth_and_reclaiming() {
    assert_eq!(to_ratio(1_000_000, 950_000), 996_147);
    assert_eq!(to_ratio(0, 5), 0);
    assert_eq!(to_ratio(5, u64::MAX), BW_UNIT);
    let dl_b = DlBw::new();
    init_dl_bw(&dl_b);
    let half = to_ratio(100, 50);
    assert!(!__dl_overflow(&dl_b, 1024, 0, half));
    dl_b.total_bw.set(half);
    assert!(__dl_overflow(&dl_b, 1024, 0, half));
    assert!(!__dl_overflow(&dl_b, 1024, half, half));
    assert!(!__dl_overflow(&dl_b, 2048, 0, half));

    // Alone on a CPU a tenth may use 95 % of it; beside a running half, its own part and what is left.
    let dl_rq: &'static DlRq = Box::leak(Box::new(DlRq::new()));
    kernel_image::kernel::sched::deadline::init_dl_rq(dl_rq);
    let tenth = entity(10 * MS, 100 * MS, 100 * MS);
    dl_rq.this_bw.set(tenth.dl_bw.get());
    dl_rq.running_bw.set(tenth.dl_bw.get());
    dl_rq.extra_bw.sub(tenth.dl_bw.get());
    let spent = grub_reclaim(95 * MS, dl_rq, &tenth);
    assert!(spent.abs_diff(10 * MS) < MS / 10, "{spent}");
    dl_rq.this_bw.add(half);
    dl_rq.running_bw.add(half);
    dl_rq.extra_bw.sub(half);
    let spent = grub_reclaim(10 * MS, dl_rq, &tenth);
    assert!(spent.abs_diff(6 * MS * 100 / 95) < MS / 10, "{spent}");
}

#[test]
fn impossible_times_are_refused() {
    let attr = |sched_runtime, sched_deadline, sched_period| SchedAttr {
        sched_flags: SCHED_FLAG_RECLAIM,
        sched_runtime,
        sched_deadline,
        sched_period,
        ..SchedAttr::default()
    };
    for (runtime, deadline, period, right) in [
        (10 * MS, 100 * MS, 0, true),
        (10 * MS, 100 * MS, 100 * MS, true),
        (10 * MS, 10 * MS, 100 * MS, true),
        (1024, 100_000, 0, true),
        (1023, 100_000, 0, false),
        (10 * MS, 0, 0, false),
        (11 * MS, 10 * MS, 0, false),
        (10 * MS, 100 * MS, 99 * MS, false),
        (1024, 99_999, 0, false),
        (MS, 1 << 32, 0, false),
        (MS, 4_194_304_000, 0, true),
        (MS, 1 << 63, 0, false),
    ] {
        let found = __checkparam_dl(&attr(runtime, deadline, period));
        assert_eq!(found, right, "{runtime} {deadline} {period}");
    }
}
