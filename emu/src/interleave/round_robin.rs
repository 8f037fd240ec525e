//! Index order, beginning with another vCPU in each window, so that none is always the late one.

use super::Interleaver;
use crate::units::VcpuId;

pub(super) struct RoundRobin;

impl Interleaver for RoundRobin {
    fn order(&self, window: u64, vcpus: u32, order: &mut Vec<VcpuId>) {
        order.clear();
        let first = (window % u64::from(vcpus)) as u32;
        order.extend((0..vcpus).map(|i| VcpuId((first + i) % vcpus)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_goes_first_in_turn() {
        let mut order = Vec::new();
        RoundRobin.order(5, 3, &mut order);
        assert_eq!(order, [VcpuId(2), VcpuId(0), VcpuId(1)]);
        RoundRobin.order(6, 3, &mut order);
        assert_eq!(order[0], VcpuId(0));
    }
}
