//! Work to be done in an interrupt soon, asked for from a place where it cannot be done.
//!
//! Linux: `include/linux/irq_work.h` (v6.8). Kept: the type, its flags in the node's word. Left out: waiters
//! that sleep (PREEMPT_RT only). Differs: nothing.

use crate::fence::shared::Shared;
use crate::include::linux::smp_types::{CSD_TYPE_IRQ_WORK, CallSingleNode};
use core::sync::atomic::Ordering;

pub use crate::kernel::irq_work::{
    irq_work_needs_cpu, irq_work_queue, irq_work_queue_on, irq_work_run, irq_work_single,
    irq_work_sync, irq_work_tick,
};

/// Queued and not begun.
pub const IRQ_WORK_PENDING: u32 = 0x01;
/// Queued, or running.
pub const IRQ_WORK_BUSY: u32 = 0x02;
/// It can wait for the next tick.
pub const IRQ_WORK_LAZY: u32 = 0x04;
/// It must run in a hard interrupt, also with PREEMPT_RT.
pub const IRQ_WORK_HARD_IRQ: u32 = 0x08;
/// What whoever queues it sets.
pub const IRQ_WORK_CLAIMED: u32 = IRQ_WORK_PENDING | IRQ_WORK_BUSY;

/// A function of an irq_work.
pub type IrqWorkFn = fn(&'static IrqWork);

/// A work.
#[doc(alias = "irq_work")]
#[repr(C)]
pub struct IrqWork {
    /// Link of a list and `IRQ_WORK_*`; the type bits say what it is to a call queue.
    pub node: CallSingleNode,
    /// What to run.
    pub func: Shared<Option<IrqWorkFn>>,
}

impl IrqWork {
    /// A work that runs in the next interrupt (`IRQ_WORK_INIT`).
    pub const fn new(func: IrqWorkFn) -> IrqWork {
        IrqWork::with_flags(func, 0)
    }

    /// A work that waits for a tick (`IRQ_WORK_INIT_LAZY`).
    pub const fn lazy(func: IrqWorkFn) -> IrqWork {
        IrqWork::with_flags(func, IRQ_WORK_LAZY)
    }

    const fn with_flags(func: IrqWorkFn, flags: u32) -> IrqWork {
        IrqWork {
            node: CallSingleNode::new(CSD_TYPE_IRQ_WORK | flags),
            func: Shared::new(Some(func)),
        }
    }

    fn flags(&self) -> u32 {
        self.node.u_flags.load(Ordering::Acquire)
    }

    /// Whether it is queued and has not begun (`irq_work_is_pending`).
    pub fn is_pending(&self) -> bool {
        self.flags() & IRQ_WORK_PENDING != 0
    }

    /// Whether it is queued or runs (`irq_work_is_busy`).
    pub fn is_busy(&self) -> bool {
        self.flags() & IRQ_WORK_BUSY != 0
    }

    /// Whether it waits for a tick.
    pub fn is_lazy(&self) -> bool {
        self.flags() & IRQ_WORK_LAZY != 0
    }
}
