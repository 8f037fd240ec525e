//! Who runs first in a window: one policy a file behind one trait.

mod random;
mod round_robin;

use crate::config::PolicyKind;
use crate::units::VcpuId;

/// Decides the order of the vCPUs inside each window.
///
/// The order may depend on the window's number and on the policy's own parameters, and on nothing
/// else: a stretch in which one vCPU is alone skips windows, and must not change the later ones.
pub trait Interleaver {
    /// Fills `order` with every vCPU below `vcpus`, once each, for window number `window`.
    fn order(&self, window: u64, vcpus: u32, order: &mut Vec<VcpuId>);
}

/// The policy of a configuration.
pub(crate) fn policy(kind: PolicyKind) -> Box<dyn Interleaver> {
    match kind {
        PolicyKind::RoundRobin => Box::new(round_robin::RoundRobin),
        PolicyKind::Random { seed } => Box::new(random::Random { seed }),
    }
}
