//! Softirqs and hard interrupt entry.
//!
//! Linux: include/linux/interrupt.h, v6.8. **Kept** the softirq numbers and names, tasklets. **Left out**
//! device interrupts: the machine has none yet.
pub use crate::kernel::softirq::{
    __do_softirq, irq_enter, irq_exit, local_bh_disable, local_bh_enable, local_softirq_pending,
    open_softirq, raise_softirq, raise_softirq_irqoff,
};

pub use crate::kernel::softirq::tasklet::{
    TaskletFunc, TaskletStruct, tasklet_disable, tasklet_disable_in_atomic, tasklet_disable_nosync,
    tasklet_enable, tasklet_hi_schedule, tasklet_kill, tasklet_schedule, tasklet_unlock_wait,
};

/// High-priority tasklets.
pub const HI_SOFTIRQ: u32 = 0;
/// Timer wheel.
pub const TIMER_SOFTIRQ: u32 = 1;
/// Network transmit.
pub const NET_TX_SOFTIRQ: u32 = 2;
/// Network receive.
pub const NET_RX_SOFTIRQ: u32 = 3;
/// Block completion.
pub const BLOCK_SOFTIRQ: u32 = 4;
/// Interrupt polling.
pub const IRQ_POLL_SOFTIRQ: u32 = 5;
/// Tasklets.
pub const TASKLET_SOFTIRQ: u32 = 6;
/// Load balancing.
pub const SCHED_SOFTIRQ: u32 = 7;
/// Soft hrtimers.
pub const HRTIMER_SOFTIRQ: u32 = 8;
/// RCU callbacks.
pub const RCU_SOFTIRQ: u32 = 9;
/// Those that may be pending while their CPU goes: callbacks of hotplug see to what is left of them.
pub const SOFTIRQ_HOTPLUG_SAFE_MASK: u32 =
    1 << TIMER_SOFTIRQ | 1 << IRQ_POLL_SOFTIRQ | 1 << HRTIMER_SOFTIRQ | 1 << RCU_SOFTIRQ;
/// How many there are.
pub const NR_SOFTIRQS: u32 = 10;
/// Their names in traces.
pub const softirq_to_name: [&str; NR_SOFTIRQS as usize] = [
    "HI", "TIMER", "NET_TX", "NET_RX", "BLOCK", "IRQ_POLL", "TASKLET", "SCHED", "HRTIMER", "RCU",
];
