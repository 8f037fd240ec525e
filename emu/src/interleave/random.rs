//! A fresh shuffle for each window, drawn from the seed and the window's number.

use super::Interleaver;
use crate::rng::SplitMix;
use crate::units::VcpuId;

pub(super) struct Random {
    pub(super) seed: u64,
}

impl Interleaver for Random {
    fn order(&self, window: u64, vcpus: u32, order: &mut Vec<VcpuId>) {
        order.clear();
        order.extend((0..vcpus).map(VcpuId));
        let mut rng = SplitMix::new(self.seed ^ SplitMix::new(window).next());
        for last in (1..order.len()).rev() {
            order.swap(last, rng.below(last as u64 + 1) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permutation_that_depends_on_seed_and_window_only() {
        let draw = |seed, window| {
            let mut order = Vec::new();
            Random { seed }.order(window, 8, &mut order);
            order
        };
        assert_eq!(draw(1, 7), draw(1, 7));
        assert_ne!(draw(1, 7), draw(2, 7));
        assert_ne!(draw(1, 7), draw(1, 8));
        let mut sorted = draw(3, 3);
        sorted.sort();
        assert_eq!(sorted, (0..8).map(VcpuId).collect::<Vec<_>>());
    }

    #[test]
    fn each_vcpu_goes_first_about_equally_often() {
        let mut first = [0; 4];
        let mut order = Vec::new();
        for window in 0..4_000 {
            Random { seed: 9 }.order(window, 4, &mut order);
            first[order[0].0 as usize] += 1;
        }
        assert!(first.iter().all(|n| (850..1_150).contains(n)), "{first:?}");
    }
}
