//! What EEVDF promises those that share a CPU, and what they received held against it.
//!
//! Two entities i and j wait or run on a queue, never sleep, and keep their weights w. A request is r long, the
//! tick comes every q. In virtual time (real time / w) their run times v stay close:
//!
//! ```text
//! v_i - v_j < max(r/w_i, r/w_j) + q/w_i        at any moment
//! ```
//!
//! Look at the last pick of i. If j was eligible then, i's deadline was not the later one: d_i <= d_j, and
//! d_j <= v_j + r/w_j. If j was not, then v_i <= V < v_j, and d_i <= v_i + r/w_i. Either way d_i is below v_j +
//! max(r/w_i, r/w_j), and v_j has not gone back since. What i was picked for ends at the first tick that finds
//! v_i >= d_i; the tick before it, or the pick, found v_i < d_i: v_i < d_i + q/w_i at the end.
//!
//! The pair alone is in the argument, so whoever passes by on the CPU changes nothing. Neither does being
//! preempted: the next pick is another pick. What an entity received differs from its part of what all
//! received by w_i/W of the sum of w_j (v_i - v_j), now less at the start. Where it stood at the start is
//! looked up; where it may stand at the end is the promise. It stands where it stood until it is picked, and a
//! change of its weight may have left it further away than the promise for the new weights: the distance to V
//! is kept in real time, and where the entity waits v6.8 keeps the distance to the V of the others, so that
//! from 1024 beside 2048 to 3 its lag grows by half.

use super::{Stage, fail};
use crate::include::linux::jiffies::TICK_NSEC;
use crate::include::linux::sched::SchedEntity;
use crate::kernel::sched::fair::eevdf::calc_delta_fair;
use crate::kernel::sched::fair::{base_slice_ns, cfs_rq_of, same_se};
use crate::kernel::sched::sched::{
    RqFlags, RqRef, cpu_rq, rq_clock_task, rq_lock_irqsave, rq_unlock_irqrestore, update_rq_clock,
};
use crate::kernel::time::timer::sleep::usleep_range;

pub(super) type Se = &'static SchedEntity;

/// Weight of nice 0: virtual time is real time for it.
pub(super) const NICE_0: i64 = 1024;
/// A timer is punctual, but the way from its interrupt to the charge and the switch is not equally long each
/// time: whoever has interrupts off, and handlers that come first, are in it.
const LATE: i64 = 100_000;
const MAX_ENTITIES: usize = 8;

/// Time between two looks at the running entity's deadline, ns.
pub(super) fn tick() -> i64 {
    TICK_NSEC + LATE
}

/// Where an entity is.
#[derive(Clone, Copy, Default)]
pub(super) struct Position {
    /// What it has received, ns.
    pub(super) received: u64,
    /// Virtual time.
    pub(super) vruntime: u64,
    /// Virtual time to the end of its request, if it runs.
    pub(super) rest: Option<i64>,
}

/// Where an entity is at `now`, task clock of its runqueue. Nothing is charged: a charge ends a request that is
/// over before the tick would find it so, and who looks often would take part in the scheduling.
pub(super) fn position(se: Se, now: u64) -> Position {
    let runs = cfs_rq_of(se)
        .curr
        .get()
        .is_some_and(|curr| same_se(curr, se));
    let uncharged = if runs {
        now.wrapping_sub(se.exec_start.get())
    } else {
        0
    };
    let vruntime = se
        .vruntime
        .get()
        .wrapping_add(calc_delta_fair(uncharged, se));
    Position {
        received: se.sum_exec_runtime.get() + uncharged,
        vruntime,
        rest: runs.then(|| (se.deadline.get().wrapping_sub(vruntime) as i64).max(0)),
    }
}

/// Looks at a CPU with its lock held and its clock up to date.
pub(super) fn look<T>(cpu: u32, at: impl FnOnce(RqRef, u64) -> T) -> T {
    let rq = cpu_rq(cpu);
    let mut rf = RqFlags::new();
    rq_lock_irqsave(rq, &mut rf);
    update_rq_clock(rq);
    let found = at(rq, rq_clock_task(rq));
    rq_unlock_irqrestore(rq, &rf);
    found
}

/// How far i may be ahead of j, virtual ns: the promise above.
pub(super) fn promise(weight_i: u64, weight_j: u64) -> i64 {
    let request = base_slice_ns() as i64 * NICE_0 / weight_i.min(weight_j) as i64;
    request + tick() * NICE_0 / weight_i as i64
}

/// Who is picked on the stage's queues.
#[derive(Clone, Copy)]
pub(super) enum Rule {
    /// The earliest deadline of the eligible: the promise above.
    Deadline,
    /// Any that is eligible: yields move deadlines away, and buddies go before them. When one of n equals is
    /// picked it is not ahead of V, and every other is ahead of it by a turn at most, r + q, since it was not
    /// when it was picked last. So one is behind V by n - 2 turns at most, and who runs now leads by one more.
    Eligible,
}

/// The entities on a queue and their weights.
pub(super) struct Queue<'a> {
    /// The group whose queue it is; the root group has no entity.
    pub(super) group: Option<Se>,
    /// Its entities.
    pub(super) entities: &'a [(Se, u64)],
}

/// Watches for `ms` milliseconds and compares what each entity received with its part of what its queue did,
/// on all queues of the stage, the root's first.
pub(super) fn compare(stage: &Stage, what: &str, ms: u64, queues: &[Queue<'_>], rule: Rule) {
    let before = positions(stage.cpu, queues);
    usleep_range(ms * 1000, ms * 1000);
    let after = positions(stage.cpu, queues);
    let mut first = 0;
    for queue in queues {
        let count = queue.entities.len();
        let watch = Watch {
            what,
            entities: queue.entities,
            before: &before[first..first + count],
            after: &after[first..first + count],
            rule,
        };
        first += count;
        let total = watch.total();
        match queue.group {
            None if total < ms * 1_000_000 / 100 * 98 => {
                fail(format_args!("{what}: the CPU was not busy: {total} ns"))
            }
            None => {}
            Some(group) => {
                let index = queues
                    .iter()
                    .flat_map(|queue| queue.entities)
                    .position(|(se, _)| same_se(se, group));
                let whole = index.map(|n| after[n].received - before[n].received);
                if whole != Some(total) {
                    fail(format_args!(
                        "{what}: {whole:?} ns of a group are {total} of its members"
                    ));
                }
            }
        }
        (0..count).for_each(|i| watch.check(i));
    }
}

fn positions(cpu: u32, queues: &[Queue<'_>]) -> [Position; MAX_ENTITIES] {
    look(cpu, |_, now| {
        let mut positions = [Position::default(); MAX_ENTITIES];
        let entities = queues.iter().flat_map(|queue| queue.entities);
        for (slot, &(se, _)) in positions.iter_mut().zip(entities) {
            *slot = position(se, now);
        }
        positions
    })
}

/// The entities of one queue at the start and at the end.
struct Watch<'a> {
    what: &'a str,
    entities: &'a [(Se, u64)],
    before: &'a [Position],
    after: &'a [Position],
    rule: Rule,
}

impl Watch<'_> {
    fn received(&self, i: usize) -> u64 {
        self.after[i].received - self.before[i].received
    }

    fn total(&self) -> u64 {
        (0..self.entities.len()).map(|i| self.received(i)).sum()
    }

    fn weight(&self, i: usize) -> u64 {
        self.entities[i].1
    }

    /// How far i may be ahead of j at the end, virtual ns.
    fn may_lead(&self, i: usize, j: usize) -> i64 {
        let (w_i, w_j) = (self.weight(i), self.weight(j));
        let promise = match self.rule {
            Rule::Deadline => promise(w_i, w_j),
            Rule::Eligible => (self.entities.len() as i64 - 1) * (base_slice_ns() as i64 + tick()),
        };
        // Not picked since the start, but for the turn in which it was found.
        let turn = self.before[i].rest.map_or(0, |rest| {
            let request = base_slice_ns() as i64 * NICE_0 / w_i as i64;
            rest.min(request) + tick() * NICE_0 / w_i as i64
        });
        promise.max(lead(self.before, i, j) + turn)
    }

    fn check(&self, i: usize) {
        let (weight, total) = (self.weight(i) as i64, self.total() as i64);
        let whole: i64 = self.entities.iter().map(|&(_, weight)| weight as i64).sum();
        // The mean over the queue of a distance to i, as i's real time.
        let real = |distance: &dyn Fn(usize) -> i64| {
            let others = (0..self.entities.len()).filter(|&j| j != i);
            let sum: i64 = others.map(|j| self.weight(j) as i64 * distance(j)).sum();
            (i128::from(sum) * i128::from(weight) / i128::from(NICE_0 * whole)) as i64
        };
        let owed = -real(&|j| lead(self.before, i, j));
        let part = (i128::from(total) * i128::from(weight) / i128::from(whole)) as i64;
        let right = part + owed;
        // Virtual time is short by as much as the inverse weight is (weight / 2^32 at most, here 1 / 2^20), and
        // by less than a nanosecond a charge, of which there are a few a tick.
        let rounding = (total >> 18) + 10;
        let over = real(&|j| self.may_lead(i, j)) + rounding;
        let under = real(&|j| self.may_lead(j, i)) + rounding;
        let got = self.received(i) as i64;
        if got > right + over || got < right - under {
            let what = self.what;
            fail(format_args!(
                "{what}: {got} ns is not {part} + {owed} owed, up to {over} more or {under} less"
            ));
        }
    }
}

/// How far i is ahead of j, virtual ns.
pub(super) fn lead(positions: &[Position], i: usize, j: usize) -> i64 {
    positions[i].vruntime.wrapping_sub(positions[j].vruntime) as i64
}
