//! What EEVDF computes from a queue's numbers: the mean, lag, who is eligible, who is picked.
//!
//! Linux v6.8, `kernel/sched/fair.c`: `avg_vruntime`, `vruntime_eligible`, `pick_eevdf`. Virtual times
//! wrap, so they are compared by their difference.

/// A fair entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entity {
    /// Its address.
    pub(super) at: u64,
    pub(super) vruntime: u64,
    /// `None` in a kernel before EEVDF (6.6).
    pub(super) deadline: Option<u64>,
    pub(super) slice: Option<u64>,
    /// Scaled down.
    pub(super) weight: u64,
}

/// A weight in user resolution: never below 2 unless it is 0.
pub(super) fn scale_load_down(weight: u64) -> u64 {
    match weight {
        0 => 0,
        weight => (weight >> 10).max(2),
    }
}

/// The sums over a queue, from which its mean virtual time comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) min_vruntime: u64,
    /// Sum of (vruntime - min_vruntime) x weight.
    pub(super) average: i64,
    /// Sum of weights.
    pub(super) load: i64,
}

impl Sums {
    fn key(&self, entity: &Entity) -> i64 {
        entity.vruntime.wrapping_sub(self.min_vruntime) as i64
    }

    /// Counts an entity in.
    pub(super) fn add(&mut self, entity: &Entity) {
        let weight = entity.weight as i64;
        self.average = self
            .average
            .wrapping_add(self.key(entity).wrapping_mul(weight));
        self.load = self.load.wrapping_add(weight);
    }

    fn remove(&mut self, entity: &Entity) {
        let weight = entity.weight as i64;
        self.average = self
            .average
            .wrapping_sub(self.key(entity).wrapping_mul(weight));
        self.load = self.load.wrapping_sub(weight);
    }

    /// The mean, rounded down.
    pub(super) fn average(&self) -> u64 {
        let mean = match self.load {
            0 => 0,
            load => {
                let toward_zero = match self.average < 0 {
                    true => self.average.wrapping_sub(load - 1),
                    false => self.average,
                };
                toward_zero.wrapping_div(load)
            }
        };
        self.min_vruntime.wrapping_add_signed(mean)
    }

    /// How much virtual time an entity is owed.
    pub(super) fn lag(&self, entity: &Entity) -> i64 {
        self.average().wrapping_sub(entity.vruntime) as i64
    }

    /// Whether its lag is not negative, without the division's rounding.
    pub(super) fn eligible(&self, entity: &Entity) -> bool {
        self.average >= self.key(entity).wrapping_mul(self.load)
    }
}

/// The waiting entities in the order in which they would be picked, each leaving the queue when it is;
/// `entities` are in the order of the tree. Without EEVDF that order is the tree's.
pub(super) fn pick_order(mut entities: Vec<Entity>, sums: Option<&Sums>) -> Vec<Entity> {
    let Some(mut sums) = sums.copied() else {
        return entities;
    };
    let mut order = Vec::with_capacity(entities.len());
    while !entities.is_empty() {
        let deadline = |index: &usize| entities[*index].deadline.unwrap_or(0);
        let earlier =
            |a: usize, b: usize| match (deadline(&b).wrapping_sub(deadline(&a)) as i64) < 0 {
                true => b,
                false => a,
            };
        let eligible = (0..entities.len()).filter(|i| sums.eligible(&entities[*i]));
        // Where nobody that waits is eligible, the running one is; after it, the leftmost.
        let picked = entities.remove(eligible.reduce(earlier).unwrap_or(0));
        sums.remove(&picked);
        order.push(picked);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entity(at: u64, vruntime: u64, deadline: u64) -> Entity {
        Entity {
            at,
            vruntime,
            deadline: Some(deadline),
            slice: Some(3_000_000),
            weight: 1024,
        }
    }

    /// Three of one weight at 100, 200 and 600: the mean is 300, so the third is not eligible, though
    /// its deadline is the earliest. Without the first two it is alone, and at its own mean.
    #[test]
    fn the_earliest_deadline_among_the_eligible_is_picked() {
        let tree = vec![
            entity(3, 600, 650),
            entity(1, 100, 700),
            entity(2, 200, 900),
        ];
        let mut sums = Sums {
            min_vruntime: 100,
            average: 0,
            load: 0,
        };
        tree.iter().for_each(|e| sums.add(e));
        assert_eq!(sums.average(), 300);
        let lags: Vec<i64> = tree.iter().map(|e| sums.lag(e)).collect();
        assert_eq!(lags, [-300, 200, 100]);
        let eligible: Vec<bool> = tree.iter().map(|e| sums.eligible(e)).collect();
        assert_eq!(eligible, [false, true, true]);
        let order: Vec<u64> = pick_order(tree, Some(&sums)).iter().map(|e| e.at).collect();
        assert_eq!(order, [1, 2, 3]);
    }

    #[test]
    fn a_mean_below_the_reference_rounds_down() {
        let mut sums = Sums {
            min_vruntime: 1_000,
            average: 0,
            load: 0,
        };
        sums.add(&entity(1, 999, 0));
        sums.add(&entity(2, 1_000, 0));
        assert_eq!(sums.average(), 999);
        assert!(!sums.eligible(&entity(2, 1_000, 0)));
    }

    #[test]
    fn weights_are_told_in_user_resolution() {
        assert_eq!(
            [0, 1, 1024 << 10, 15 << 10].map(scale_load_down),
            [0, 2, 1024, 15]
        );
    }
}
