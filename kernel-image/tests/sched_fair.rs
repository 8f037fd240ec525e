//! EEVDF's arithmetic against its definition: V, eligibility, the pick, the subtree minima, placement and
//! lag over long random sequences of joining, leaving and running, in exact wide integers.
use kernel_image::include::linux::rbtree::RbNode;
use kernel_image::include::linux::sched::{LoadWeight, RunNodeLink, SchedEntity};
use kernel_image::kernel::sched::core::params::{sched_prio_to_weight, sched_prio_to_wmult};
use kernel_image::kernel::sched::fair::eevdf::{
    __calc_delta, __dequeue_entity, __enqueue_entity, avg_vruntime, calc_delta_fair,
    entity_eligible, pick_eevdf, place_entity, update_entity_lag, update_min_vruntime,
};
use kernel_image::kernel::sched::fair::entity::reweight_entity;
use kernel_image::kernel::sched::fair::{base_slice_ns, init_cfs_rq, same_se};
use kernel_image::kernel::sched::sched::{CfsRq, NICE_0_LOAD, scale_load};

type Se = &'static SchedEntity;

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

fn entity(nice_index: usize) -> Se {
    let se: Se = Box::leak(Box::new(SchedEntity::new()));
    se.load
        .weight
        .set(scale_load(u64::from(sched_prio_to_weight[nice_index])));
    se.load.inv_weight.set(sched_prio_to_wmult[nice_index]);
    se.slice.set(base_slice_ns());
    se
}

/// The queue under test and who is on it.
struct Queue {
    cfs: &'static CfsRq,
    waiting: Vec<Se>,
    curr: Option<Se>,
}

impl Queue {
    fn new() -> Queue {
        let cfs: &'static CfsRq = Box::leak(Box::new(CfsRq::new()));
        init_cfs_rq(cfs);
        Queue {
            cfs,
            waiting: Vec::new(),
            curr: None,
        }
    }

    fn all(&self) -> impl Iterator<Item = Se> + '_ {
        self.waiting.iter().copied().chain(self.curr)
    }

    fn join(&mut self, se: Se) {
        place_entity(self.cfs, se, 0);
        self.cfs.nr_running.inc();
        __enqueue_entity(self.cfs, se);
        se.on_rq.set(1);
        self.waiting.push(se);
    }

    fn leave(&mut self, index: usize) -> Se {
        let se = self.waiting.swap_remove(index);
        update_entity_lag(self.cfs, se);
        __dequeue_entity(self.cfs, se);
        se.on_rq.set(0);
        self.cfs.nr_running.dec();
        update_min_vruntime(self.cfs);
        se
    }

    fn switch_to(&mut self, next: Option<Se>) {
        if let Some(prev) = self.curr.take() {
            __enqueue_entity(self.cfs, prev);
            self.waiting.push(prev);
        }
        self.cfs.curr.set(None);
        if let Some(next) = next {
            let at = self
                .waiting
                .iter()
                .position(|se| same_se(se, next))
                .expect("it waits");
            self.waiting.swap_remove(at);
            __dequeue_entity(self.cfs, next);
            self.cfs.curr.set(Some(next));
            self.curr = Some(next);
        }
    }

    fn run(&mut self, ns: u64) {
        let Some(curr) = self.curr else { return };
        curr.vruntime.add(calc_delta_fair(ns, curr));
        if curr.vruntime.get().wrapping_sub(curr.deadline.get()) as i64 >= 0 {
            let request = calc_delta_fair(curr.slice.get(), curr);
            curr.deadline.set(curr.vruntime.get().wrapping_add(request));
        }
        update_min_vruntime(self.cfs);
    }

    /// Sum of w (v - v0) and of w, by definition.
    fn sums(&self) -> (i128, i128) {
        self.all().fold((0, 0), |(a, l), se| {
            let w = i128::from(se.load.weight.get() >> 10);
            (a + w * self.key(se.vruntime.get()), l + w)
        })
    }

    fn key(&self, v: u64) -> i128 {
        i128::from(v.wrapping_sub(self.cfs.min_vruntime.get()) as i64)
    }

    fn eligible(&self, se: Se) -> bool {
        let (a, l) = self.sums();
        a >= self.key(se.vruntime.get()) * l
    }

    fn check(&self) {
        let (a, l) = self.sums();
        if l > 0 {
            let v = self.key(avg_vruntime(self.cfs));
            assert_eq!(v, a.div_euclid(l), "V is the mean, rounded down");
        }
        for se in self.all() {
            assert_eq!(entity_eligible(self.cfs, se), self.eligible(se));
        }
        let root = self.cfs.tasks_timeline.rb_root.rb_node.get();
        assert_eq!(check_minima(root).0, self.waiting.len());
        // The slowest entity at least: otherwise a pick could find nobody.
        assert!(self.all().next().is_none() || self.all().any(|se| self.eligible(se)));
        let picked = pick_eevdf(self.cfs);
        assert_eq!(picked.is_none(), self.all().next().is_none());
        if let (Some(picked), true) = (picked, self.cfs.nr_running.get() > 1) {
            assert!(self.eligible(picked));
            for se in self.all().filter(|&se| self.eligible(se)) {
                let earlier = se.deadline.get().wrapping_sub(picked.deadline.get()) as i64;
                assert!(earlier >= 0, "an eligible entity with an earlier deadline");
            }
        }
    }
}

/// Number of nodes and smallest vruntime below; every node's summary must be that.
fn check_minima(node: Option<&'static RbNode>) -> (usize, Option<u64>) {
    let Some(node) = node else { return (0, None) };
    let se = RunNodeLink::entry(node);
    let mut min = se.vruntime.get();
    let mut count = 1;
    for child in [node.rb_left.get(), node.rb_right.get()] {
        let (below, smallest) = check_minima(child);
        count += below;
        if let Some(v) = smallest
            && (v.wrapping_sub(min) as i64) < 0
        {
            min = v;
        }
    }
    assert_eq!(se.min_vruntime.get(), min, "the subtree's minimum");
    (count, Some(min))
}

#[test]
fn random_sequences_follow_the_definition() {
    for seed in 1..=8u64 {
        let mut random = Random(0x9e37_79b9_7f4a_7c15u64.wrapping_mul(seed));
        let mut queue = Queue::new();
        let mut asleep: Vec<Se> = (0..24).map(|n| entity(n * 5 % 40)).collect();
        for _ in 0..3_000 {
            match random.below(8) {
                0 | 1 if !asleep.is_empty() => {
                    let at = random.below(asleep.len() as u64) as usize;
                    let se = asleep.swap_remove(at);
                    queue.join(se);
                }
                2 if !queue.waiting.is_empty() => {
                    let at = random.below(queue.waiting.len() as u64) as usize;
                    asleep.push(queue.leave(at));
                }
                3 => {
                    // What a switch does: prev back into the tree, the pick out of it.
                    queue.switch_to(None);
                    queue.switch_to(pick_eevdf(queue.cfs));
                }
                _ => queue.run(random.below(4_000_000)),
            }
            queue.check();
        }
    }
}

#[test]
fn min_vruntime_never_goes_back_and_lag_is_bounded() {
    let mut random = Random(42);
    let mut queue = Queue::new();
    let mut last = queue.cfs.min_vruntime.get();
    for n in 0..8 {
        queue.join(entity(n * 5));
    }
    for _ in 0..5_000 {
        queue.switch_to(None);
        queue.switch_to(pick_eevdf(queue.cfs));
        queue.run(random.below(4_000_000));
        let now = queue.cfs.min_vruntime.get();
        assert!(now.wrapping_sub(last) as i64 >= 0);
        last = now;
    }
    queue.switch_to(None);
    while !queue.waiting.is_empty() {
        let se = queue.leave(0);
        let limit = calc_delta_fair((2 * se.slice.get()).max(4_000_000), se) as i64;
        assert!((-limit..=limit).contains(&se.vlag.get()));
    }
}

#[test]
fn shares_follow_the_weights() {
    // Nice 0 and nice 5 on one CPU, a tick of 4 ms: 1024 to 335.
    let mut queue = Queue::new();
    let (heavy, light) = (entity(20), entity(25));
    queue.join(heavy);
    queue.join(light);
    let (mut heavy_ns, mut light_ns) = (0u64, 0u64);
    for _ in 0..20_000 {
        queue.switch_to(None);
        let next = pick_eevdf(queue.cfs).expect("two tasks");
        queue.switch_to(Some(next));
        queue.run(4_000_000);
        *(if same_se(next, heavy) {
            &mut heavy_ns
        } else {
            &mut light_ns
        }) += 4_000_000;
    }
    let ratio = heavy_ns as f64 / light_ns as f64;
    assert!((ratio - 1024.0 / 335.0).abs() < 0.01, "{ratio}");
}

#[test]
fn calc_delta_is_a_truncated_division() {
    for (index, &weight) in sched_prio_to_weight.iter().enumerate() {
        let lw = LoadWeight::new();
        lw.weight.set(scale_load(u64::from(weight)));
        lw.inv_weight.set(sched_prio_to_wmult[index]);
        for delta in [1u64, 999, 1_000_000, 4_000_000, 10_000_000_000] {
            let exact = u128::from(delta) * 1024 / u128::from(weight);
            let got = u128::from(__calc_delta(delta, NICE_0_LOAD, &lw));
            // The inverse has 32 bits: its own rounding shows in large deltas only.
            let error = exact.abs_diff(got);
            assert!(
                error <= 1 + exact / 50_000,
                "nice index {index}: {got} for {exact}"
            );
        }
    }
}

#[test]
fn lag_survives_sleep_in_company() {
    // An entity that leaves with some lag and comes back has that lag again, up to rounding.
    let mut queue = Queue::new();
    for n in [20, 20, 15] {
        queue.join(entity(n));
    }
    let sleeper = entity(20);
    queue.join(sleeper);
    queue.switch_to(None);
    queue.switch_to(pick_eevdf(queue.cfs));
    queue.run(1_000_000);
    queue.switch_to(None);
    let at = queue
        .waiting
        .iter()
        .position(|se| same_se(se, sleeper))
        .expect("it waits");
    queue.leave(at);
    let lag = sleeper.vlag.get();
    queue.join(sleeper);
    let after = avg_vruntime(queue.cfs).wrapping_sub(sleeper.vruntime.get()) as i64;
    assert!((after - lag).abs() <= 4, "lag {lag} became {after}");
}

/// w (V - v) and w (d - V), which a new weight leaves alone. `V` is what `reweight_entity` goes by.
fn owed(v: u64, se: Se) -> [i128; 2] {
    let weight = i128::from(se.load.weight.get() >> 10);
    let to = |at: u64| i128::from(v.wrapping_sub(at) as i64);
    [
        weight * to(se.vruntime.get()),
        -weight * to(se.deadline.get()),
    ]
}

#[test]
fn a_new_weight_keeps_what_is_owed() {
    let mut queue = Queue::new();
    let changes = entity(20);
    for se in [20, 18, 25].map(entity).into_iter().chain([changes]) {
        queue.join(se);
        queue.cfs.load.weight.add(se.load.weight.get());
    }
    let mut random = Random(7);
    for round in 0..200 {
        queue.switch_to(pick_eevdf(queue.cfs));
        queue.run(200_000 + random.below(3_000_000));
        queue.switch_to(None);
        // v6.8 takes a queued entity off the tree first: its V is that of the others.
        __dequeue_entity(queue.cfs, changes);
        let v = avg_vruntime(queue.cfs);
        __enqueue_entity(queue.cfs, changes);
        let before = owed(v, changes);
        let weight = scale_load(u64::from(sched_prio_to_weight[random.below(40) as usize]));
        reweight_entity(queue.cfs, changes, weight);
        assert_eq!(changes.load.weight.get(), weight);
        // One division each, which truncates: less than one unit of the new weight.
        for (before, after) in before.into_iter().zip(owed(v, changes)) {
            let error = (after - before).abs();
            assert!(
                error <= i128::from(weight >> 10),
                "round {round}: {before} became {after} with weight {weight}"
            );
        }
        let load: u64 = queue.all().map(|se| se.load.weight.get()).sum();
        assert_eq!(queue.cfs.load.weight.get(), load);
        queue.check();
    }
}

#[test]
fn a_new_weight_scales_the_lag_of_who_is_not_there() {
    let queue = Queue::new();
    let sleeper = entity(20);
    for (lag, nice_index, scaled) in [(3_000_000, 25, 9_170_149), (-9_170_149, 20, -2_999_999)] {
        sleeper.vlag.set(lag);
        let weight = scale_load(u64::from(sched_prio_to_weight[nice_index]));
        reweight_entity(queue.cfs, sleeper, weight);
        assert_eq!(sleeper.vlag.get(), scaled);
        assert_eq!(queue.cfs.load.weight.get(), 0);
    }
}
