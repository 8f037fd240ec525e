//! Entries of a CPU's call queue.
//!
//! Linux: include/linux/smp_types.h, v6.8. **Kept** the bits and the node that a task embeds for wake-ups.
use crate::fence::shared::Shared;
use crate::include::linux::llist::LlistNode;
use core::sync::atomic::AtomicU32;

/// The csd is in flight.
pub const CSD_FLAG_LOCK: u32 = 0x01;
/// Sent and forgotten.
pub const CSD_TYPE_ASYNC: u32 = 0x00;
/// The sender spins until it ran.
pub const CSD_TYPE_SYNC: u32 = 0x10;
/// An irq_work.
pub const CSD_TYPE_IRQ_WORK: u32 = 0x20;
/// A remote wake-up: the node lies in a task.
pub const CSD_TYPE_TTWU: u32 = 0x30;
/// The bits of the type.
pub const CSD_FLAG_TYPE_MASK: u32 = 0xf0;

/// An entry of a CPU's `call_single_queue`.
#[doc(alias = "__call_single_node")]
#[repr(C)]
pub struct CallSingleNode {
    /// Link in the queue.
    pub llist: LlistNode,
    /// `CSD_*` bits.
    pub u_flags: AtomicU32,
    /// The CPU that queued it.
    pub src: Shared<u16>,
    /// The CPU it is queued on.
    pub dst: Shared<u16>,
}

impl CallSingleNode {
    /// A node in no queue, with its `CSD_*` bits.
    pub const fn new(u_flags: u32) -> Self {
        Self {
            llist: LlistNode::new(),
            u_flags: AtomicU32::new(u_flags),
            src: Shared::new(0),
            dst: Shared::new(0),
        }
    }
}
