//! A CPU's callbacks in four segments: done, waiting for the grace period that runs, waiting for the next
//! one, not yet assigned to any.
//!
//! Linux: `kernel/rcu/rcu_segcblist.c` and `include/linux/rcu_segcblist.h` (v6.8). Kept: one list with a
//! tail a segment, and every operation of the grace-period engine on it. Left out: offloading, lazy
//! callbacks' bypass. Differs: a segment's end is its last callback (None: the head) instead of the address
//! of that callback's link.
//! Locks: its CPU's interrupts off, or `barrier_lock` and the CPU dead.

use crate::fence::shared::Shared;
use crate::include::linux::types::RcuHead;
use crate::kernel::rcu::rcu::ULONG_CMP_LT;

/// Their grace period is over.
pub const RCU_DONE_TAIL: usize = 0;
/// They wait for the one that runs.
pub const RCU_WAIT_TAIL: usize = 1;
/// They wait for the one after it.
pub const RCU_NEXT_READY_TAIL: usize = 2;
/// No number has been given to them.
pub const RCU_NEXT_TAIL: usize = 3;
/// How many segments there are.
pub const RCU_CBLIST_NSEGS: usize = 4;

/// The end of a list or segment: its last callback, none when it ends at the head.
type Tail = Option<&'static RcuHead>;

fn same_tail(a: Tail, b: Tail) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => core::ptr::eq(a, b),
        _ => false,
    }
}

/// Callbacks in order, without segments; on the stack of who moves them.
#[doc(alias = "rcu_cblist")]
pub struct RcuCblist {
    head: Tail,
    tail: Tail,
    /// How many.
    pub len: i64,
}

impl RcuCblist {
    /// None.
    pub const fn new() -> RcuCblist {
        RcuCblist {
            head: None,
            tail: None,
            len: 0,
        }
    }

    /// Appends one.
    pub fn enqueue(&mut self, rhp: &'static RcuHead) {
        rhp.next.set(None);
        match self.tail {
            Some(tail) => tail.next.set(Some(rhp)),
            None => self.head = Some(rhp),
        }
        self.tail = Some(rhp);
        self.len += 1;
    }

    /// Takes the first (`rcu_cblist_dequeue`).
    pub fn dequeue(&mut self) -> Tail {
        let rhp = self.head?;
        self.len -= 1;
        self.head = rhp.next.get();
        if self.head.is_none() {
            self.tail = None;
        }
        Some(rhp)
    }
}

/// The list.
#[doc(alias = "rcu_segcblist")]
#[repr(C)]
pub struct RcuSegcblist {
    head: Shared<Tail>,
    tails: [Shared<Tail>; RCU_CBLIST_NSEGS],
    /// The grace period that each segment waits for; means something for the two middle ones.
    gp_seq: [Shared<u64>; RCU_CBLIST_NSEGS],
    /// Callbacks, those that are being invoked included.
    len: Shared<i64>,
    seglen: [Shared<i64>; RCU_CBLIST_NSEGS],
}

impl RcuSegcblist {
    /// Empty.
    pub const fn new() -> RcuSegcblist {
        RcuSegcblist {
            head: Shared::new(None),
            tails: [const { Shared::new(None) }; RCU_CBLIST_NSEGS],
            gp_seq: [const { Shared::new(0) }; RCU_CBLIST_NSEGS],
            len: Shared::new(0),
            seglen: [const { Shared::new(0) }; RCU_CBLIST_NSEGS],
        }
    }

    fn seg_next(&self, tail: Tail) -> Tail {
        tail.map_or_else(|| self.head.get(), |tail| tail.next.get())
    }

    fn set_next(&self, tail: Tail, next: Tail) {
        match tail {
            Some(tail) => tail.next.set(next),
            None => self.head.set(next),
        }
    }

    /// Whether there is none (`rcu_segcblist_empty`), those that are being invoked aside.
    pub fn empty(&self) -> bool {
        self.head.get().is_none()
    }

    /// How many there are, those that are being invoked included (`rcu_segcblist_n_cbs`).
    pub fn n_cbs(&self) -> i64 {
        self.len.get()
    }

    /// How many are in a segment (`rcu_segcblist_get_seglen`).
    pub fn get_seglen(&self, seg: usize) -> i64 {
        self.seglen[seg].get()
    }

    /// Whether segments behind `seg` are empty (`rcu_segcblist_restempty`).
    pub fn restempty(&self, seg: usize) -> bool {
        self.seg_next(self.tails[seg].get()).is_none()
    }

    fn segempty(&self, seg: usize) -> bool {
        if seg == RCU_DONE_TAIL {
            return self.tails[RCU_DONE_TAIL].get().is_none();
        }
        same_tail(self.tails[seg - 1].get(), self.tails[seg].get())
    }

    /// Whether some may be invoked (`rcu_segcblist_ready_cbs`).
    pub fn ready_cbs(&self) -> bool {
        self.tails[RCU_DONE_TAIL].get().is_some()
    }

    /// Whether some wait (`rcu_segcblist_pend_cbs`).
    pub fn pend_cbs(&self) -> bool {
        !self.restempty(RCU_DONE_TAIL)
    }

    /// The number that the first waiting segment waits for, if it has one (`rcu_segcblist_nextgp`).
    pub fn nextgp(&self) -> Option<u64> {
        self.pend_cbs().then(|| self.gp_seq[RCU_WAIT_TAIL].get())
    }

    /// Adds to the count, ordered against who looks for an empty list (`rcu_segcblist_add_len`).
    pub fn add_len(&self, v: i64) {
        self.len.add(v);
    }

    /// Appends one: it has no number yet (`rcu_segcblist_enqueue`).
    pub fn enqueue(&self, rhp: &'static RcuHead) {
        self.len.inc();
        self.seglen[RCU_NEXT_TAIL].inc();
        rhp.next.set(None);
        self.set_next(self.tails[RCU_NEXT_TAIL].get(), Some(rhp));
        self.tails[RCU_NEXT_TAIL].set(Some(rhp));
    }

    /// Appends one to the last segment that is not empty: it is invoked right behind those that are there,
    /// without a grace period of its own (`rcu_segcblist_entrain`). False, and nothing done, without any.
    pub fn entrain(&self, rhp: &'static RcuHead) -> bool {
        if self.n_cbs() == 0 {
            return false;
        }
        self.len.inc();
        rhp.next.set(None);
        let mut seg = RCU_NEXT_TAIL;
        while seg > RCU_DONE_TAIL && self.segempty(seg) {
            seg -= 1;
        }
        self.seglen[seg].inc();
        self.set_next(self.tails[seg].get(), Some(rhp));
        for tail in &self.tails[seg..] {
            tail.set(Some(rhp));
        }
        true
    }

    /// Moves the done ones to `rclp` (`rcu_segcblist_extract_done_cbs`). The count stays: they are still to
    /// be invoked.
    pub fn extract_done_cbs(&self, rclp: &mut RcuCblist) {
        let Some(last) = self.tails[RCU_DONE_TAIL].get() else {
            return;
        };
        rclp.len = self.seglen[RCU_DONE_TAIL].replace(0);
        rclp.head = self.head.get();
        rclp.tail = Some(last);
        self.head.set(last.next.get());
        last.next.set(None);
        // A segment that ended with the same callback now ends at the head.
        for tail in self.tails.iter().rev() {
            if same_tail(tail.get(), Some(last)) {
                tail.set(None);
            }
        }
    }

    /// Moves those that wait to `rclp` (`rcu_segcblist_extract_pend_cbs`).
    pub fn extract_pend_cbs(&self, rclp: &mut RcuCblist) {
        if !self.pend_cbs() {
            return;
        }
        let done = self.tails[RCU_DONE_TAIL].get();
        rclp.len = 0;
        for seg in RCU_WAIT_TAIL..RCU_CBLIST_NSEGS {
            rclp.len += self.seglen[seg].replace(0);
        }
        rclp.head = self.seg_next(done);
        rclp.tail = self.tails[RCU_NEXT_TAIL].get();
        self.set_next(done, None);
        for tail in &self.tails[RCU_WAIT_TAIL..] {
            tail.set(done);
        }
    }

    /// Puts callbacks in front: they are done (`rcu_segcblist_insert_done_cbs`). The count stays.
    pub fn insert_done_cbs(&self, rclp: &mut RcuCblist) {
        let Some(last) = rclp.tail else { return };
        self.seglen[RCU_DONE_TAIL].add(rclp.len);
        last.next.set(self.head.get());
        self.head.set(rclp.head);
        for tail in &self.tails {
            if tail.get().is_some() {
                break;
            }
            tail.set(Some(last));
        }
        *rclp = RcuCblist::new();
    }

    /// Appends callbacks without a number (`rcu_segcblist_insert_pend_cbs`). The count stays.
    pub fn insert_pend_cbs(&self, rclp: &mut RcuCblist) {
        let Some(last) = rclp.tail else { return };
        self.seglen[RCU_NEXT_TAIL].add(rclp.len);
        self.set_next(self.tails[RCU_NEXT_TAIL].get(), rclp.head);
        self.tails[RCU_NEXT_TAIL].set(Some(last));
        *rclp = RcuCblist::new();
    }

    /// The number `seq` has been reached: who waited for it is done, and the rest moves up
    /// (`rcu_segcblist_advance`).
    pub fn advance(&self, seq: u64) {
        if self.restempty(RCU_DONE_TAIL) {
            return;
        }
        let mut i = RCU_WAIT_TAIL;
        while i < RCU_NEXT_TAIL {
            if ULONG_CMP_LT(seq, self.gp_seq[i].get()) {
                break;
            }
            self.tails[RCU_DONE_TAIL].set(self.tails[i].get());
            self.move_seglen(i, RCU_DONE_TAIL);
            i += 1;
        }
        if i == RCU_WAIT_TAIL {
            return;
        }
        // The emptied segments end where the done ones end.
        for j in RCU_WAIT_TAIL..i {
            self.tails[j].set(self.tails[RCU_DONE_TAIL].get());
        }
        // Segments that still wait move up into the emptied ones.
        let mut j = RCU_WAIT_TAIL;
        while i < RCU_NEXT_TAIL {
            if same_tail(self.tails[j].get(), self.tails[RCU_NEXT_TAIL].get()) {
                break;
            }
            self.tails[j].set(self.tails[i].get());
            self.move_seglen(i, j);
            self.gp_seq[j].set(self.gp_seq[i].get());
            i += 1;
            j += 1;
        }
    }

    fn move_seglen(&self, from: usize, to: usize) {
        if from != to {
            let moved = self.seglen[from].replace(0);
            self.seglen[to].add(moved);
        }
    }

    /// Gives the number `seq` to everybody who has none, or a later one (`rcu_segcblist_accelerate`).
    ///
    /// # Returns
    /// Whether a grace period ending with `seq` is needed now.
    pub fn accelerate(&self, seq: u64) -> bool {
        if self.restempty(RCU_DONE_TAIL) {
            return false;
        }
        // The last segment that waits for an earlier grace period stays as it is.
        let mut i = RCU_NEXT_READY_TAIL;
        while i > RCU_DONE_TAIL {
            if !self.segempty(i) && ULONG_CMP_LT(self.gp_seq[i].get(), seq) {
                break;
            }
            i -= 1;
        }
        // Everybody behind it joins the next segment; none left in the unassigned one if it is that.
        if self.restempty(i) || i + 1 >= RCU_NEXT_TAIL {
            return false;
        }
        i += 1;
        for from in i + 1..RCU_CBLIST_NSEGS {
            self.move_seglen(from, i);
        }
        while i < RCU_NEXT_TAIL {
            self.tails[i].set(self.tails[RCU_NEXT_TAIL].get());
            self.gp_seq[i].set(seq);
            i += 1;
        }
        true
    }

    /// Takes everything of a CPU that is dead (`rcu_segcblist_merge`).
    pub fn merge(&self, dead: &RcuSegcblist) {
        let (mut done, mut pend) = (RcuCblist::new(), RcuCblist::new());
        dead.extract_done_cbs(&mut done);
        dead.extract_pend_cbs(&mut pend);
        let moved = dead.len.replace(0);
        self.add_len(moved);
        self.insert_done_cbs(&mut done);
        self.insert_pend_cbs(&mut pend);
    }
}
