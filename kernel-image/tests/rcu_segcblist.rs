//! RCU's segmented list of callbacks and its sequence numbers: what waits for which grace period, in any order of
//! operations, and across the wrap of the numbers.

use kernel_image::fence::shared::Shared;
use kernel_image::include::linux::types::RcuHead;
use kernel_image::kernel::rcu::rcu::{
    ULONG_CMP_GE, ULONG_CMP_LT, rcu_seq_completed_gp, rcu_seq_ctr, rcu_seq_done, rcu_seq_end,
    rcu_seq_new_gp, rcu_seq_snap, rcu_seq_start, rcu_seq_started, rcu_seq_state,
};
use kernel_image::kernel::rcu::rcu_segcblist::{
    RCU_CBLIST_NSEGS, RCU_DONE_TAIL, RCU_NEXT_READY_TAIL, RCU_NEXT_TAIL, RCU_WAIT_TAIL, RcuCblist,
    RcuSegcblist,
};

fn head() -> &'static RcuHead {
    Box::leak(Box::new(RcuHead::new()))
}

fn list() -> &'static RcuSegcblist {
    Box::leak(Box::new(RcuSegcblist::new()))
}

fn lens(l: &RcuSegcblist) -> [i64; RCU_CBLIST_NSEGS] {
    core::array::from_fn(|seg| l.get_seglen(seg))
}

fn drain(l: &RcuSegcblist) -> Vec<*const RcuHead> {
    let mut rcl = RcuCblist::new();
    l.extract_done_cbs(&mut rcl);
    let mut out = Vec::new();
    while let Some(rhp) = rcl.dequeue() {
        out.push(core::ptr::from_ref(rhp));
    }
    l.add_len(-(out.len() as i64));
    out
}

#[test]
fn a_grace_period_that_runs_does_not_count() {
    let seq = Shared::new(8);
    assert_eq!(rcu_seq_snap(&seq), 12, "none runs: the next one");
    rcu_seq_start(&seq);
    assert_eq!((seq.get(), rcu_seq_state(seq.get())), (9, 1));
    assert_eq!(rcu_seq_snap(&seq), 16, "one runs: the one after it");
    assert!(rcu_seq_started(&seq, 12) && !rcu_seq_started(&seq, 16));
    rcu_seq_end(&seq);
    assert_eq!((seq.get(), rcu_seq_ctr(seq.get())), (12, 3));
    assert!(rcu_seq_done(&seq, 12) && !rcu_seq_done(&seq, 16));
}

#[test]
fn beginning_and_end_are_noticed_apart() {
    assert!(!rcu_seq_completed_gp(8, 9) && rcu_seq_new_gp(8, 9));
    assert!(rcu_seq_completed_gp(9, 12) && !rcu_seq_new_gp(9, 12));
    // An end and a beginning missed at once.
    assert!(rcu_seq_completed_gp(9, 13) && rcu_seq_new_gp(9, 13));
}

#[test]
fn numbers_wrap() {
    let seq = Shared::new(u64::MAX - 3);
    let s = rcu_seq_snap(&seq);
    assert!(
        ULONG_CMP_LT(seq.get(), s) && s < 8,
        "the snapshot is past the wrap: {s}"
    );
    assert!(!rcu_seq_done(&seq, s));
    for _ in 0..2 {
        rcu_seq_start(&seq);
        rcu_seq_end(&seq);
    }
    assert!(rcu_seq_done(&seq, s) && ULONG_CMP_GE(seq.get(), s));
}

#[test]
fn callbacks_move_up_as_their_numbers_are_reached() {
    let l = list();
    let heads: Vec<_> = (0..6).map(|_| head()).collect();
    l.enqueue(heads[0]);
    l.enqueue(heads[1]);
    assert_eq!(lens(l), [0, 0, 0, 2]);
    assert!(l.accelerate(12), "a number for both");
    assert_eq!(lens(l), [0, 2, 0, 0]);
    l.enqueue(heads[2]);
    assert!(l.accelerate(16));
    assert_eq!(lens(l), [0, 2, 1, 0]);
    l.enqueue(heads[3]);
    assert!(!l.accelerate(20), "no segment is left for a third number");
    assert_eq!(lens(l), [0, 2, 1, 1]);
    assert_eq!(l.nextgp(), Some(12));
    l.advance(8);
    assert!(!l.ready_cbs());
    l.advance(12);
    assert_eq!(lens(l), [2, 1, 0, 1]);
    assert_eq!(l.nextgp(), Some(16));
    let done = drain(l);
    assert_eq!(
        done,
        [core::ptr::from_ref(heads[0]), core::ptr::from_ref(heads[1])]
    );
    assert_eq!((l.n_cbs(), lens(l)), (2, [0, 1, 0, 1]));
    assert!(l.accelerate(20));
    l.advance(20);
    assert_eq!(drain(l).len(), 2);
    assert!(l.empty() && l.n_cbs() == 0 && l.restempty(RCU_DONE_TAIL));
}

#[test]
fn an_earlier_number_takes_in_who_has_a_later_one() {
    let l = list();
    l.enqueue(head());
    assert!(l.accelerate(16));
    l.enqueue(head());
    // The same number again: the new one joins the first.
    assert!(l.accelerate(16));
    assert_eq!(lens(l), [0, 2, 0, 0]);
    // A snapshot can only be the same or later for the same list; an earlier one moves all.
    assert!(l.accelerate(12));
    assert_eq!(l.nextgp(), Some(12));
}

#[test]
fn a_barrier_goes_behind_the_last_segment_with_callbacks() {
    for filled in [
        RCU_DONE_TAIL,
        RCU_WAIT_TAIL,
        RCU_NEXT_READY_TAIL,
        RCU_NEXT_TAIL,
    ] {
        let l = list();
        let (first, barrier) = (head(), head());
        assert!(!l.entrain(barrier), "nothing to wait for");
        l.enqueue(first);
        if filled == RCU_NEXT_READY_TAIL {
            assert!(l.accelerate(12));
            l.enqueue(head());
            assert!(l.accelerate(16));
        } else if filled < RCU_NEXT_READY_TAIL {
            assert!(l.accelerate(12));
        }
        if filled == RCU_DONE_TAIL {
            l.advance(12);
        }
        let mut want = lens(l);
        want[filled] += 1;
        assert!(l.entrain(barrier));
        assert_eq!(lens(l), want, "into segment {filled}");
        l.accelerate(16);
        l.advance(100);
        assert_eq!(drain(l).last(), Some(&core::ptr::from_ref(barrier)));
    }
}

#[test]
fn what_is_left_of_a_batch_comes_first_the_next_time() {
    let l = list();
    let heads: Vec<_> = (0..4).map(|_| head()).collect();
    heads.iter().for_each(|h| l.enqueue(h));
    assert!(l.accelerate(12));
    l.advance(12);
    let mut rcl = RcuCblist::new();
    l.extract_done_cbs(&mut rcl);
    rcl.dequeue();
    l.enqueue(head());
    l.insert_done_cbs(&mut rcl);
    l.add_len(-1);
    assert_eq!((l.n_cbs(), lens(l)), (4, [3, 0, 0, 1]));
    assert_eq!(drain(l)[0], core::ptr::from_ref(heads[1]));
}

#[test]
fn a_dead_cpus_callbacks_are_adopted_done_ones_first() {
    let (mine, dead) = (list(), list());
    let heads: Vec<_> = (0..4).map(|_| head()).collect();
    dead.enqueue(heads[0]);
    assert!(dead.accelerate(12));
    dead.advance(12);
    dead.enqueue(heads[1]);
    mine.enqueue(heads[2]);
    assert!(mine.accelerate(16));
    mine.enqueue(heads[3]);
    mine.merge(dead);
    assert!(dead.empty() && dead.n_cbs() == 0);
    assert_eq!((mine.n_cbs(), lens(mine)), (4, [1, 1, 0, 2]));
    assert_eq!(drain(mine), [core::ptr::from_ref(heads[0])]);
    mine.accelerate(20);
    mine.advance(20);
    let rest = [heads[2], heads[3], heads[1]].map(core::ptr::from_ref);
    assert_eq!(drain(mine), rest);
}

/// Any sequence of operations keeps the order, loses nothing, and lets nobody out before the number that was
/// current when it was queued.
#[test]
fn random_operations_keep_order_and_numbers() {
    for seed in 1..200u64 {
        let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut next = || {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            x >> 8
        };
        let (l, seq) = (list(), Shared::new(0u64.wrapping_sub(40)));
        // Each callback with the number it may not be done before.
        let mut waiting: std::collections::VecDeque<(*const RcuHead, u64)> = Default::default();
        let mut running = false;
        for _ in 0..300 {
            match next() % 5 {
                0 | 1 => {
                    let h = head();
                    waiting.push_back((core::ptr::from_ref(h), rcu_seq_snap(&seq)));
                    l.enqueue(h);
                }
                2 => {
                    l.accelerate(rcu_seq_snap(&seq));
                }
                3 => {
                    if running {
                        rcu_seq_end(&seq);
                    } else {
                        rcu_seq_start(&seq);
                    }
                    running = !running;
                }
                _ => {
                    l.advance(seq.get());
                    l.accelerate(rcu_seq_snap(&seq));
                    for done in drain(l) {
                        let (h, s) = waiting.pop_front().expect("one that was queued");
                        assert_eq!(done, h, "seed {seed}: out of order");
                        assert!(
                            rcu_seq_done(&seq, s),
                            "seed {seed}: before its grace period"
                        );
                    }
                }
            }
            assert_eq!(l.n_cbs(), waiting.len() as i64);
            assert_eq!(lens(l).iter().sum::<i64>(), waiting.len() as i64);
        }
    }
}
