//! Interrupt entry and exit, and interrupts that nobody expects.
//!
//! Linux: arch/x86/kernel/irq.c, irqinit.c, kernel/entry/common.c (irqentry_*), v6.8. **Kept** the exit rule
//! of a preemptible kernel, switched by `preempt=`. **Left out** device interrupts: the machine has no IOAPIC yet.
#![expect(unsafe_code, reason = "called from assembly by name")]

use crate::arch::x86::include::asm::current::current;
use crate::arch::x86::include::asm::irqflags::X86_EFLAGS_IF;
use crate::arch::x86::include::asm::ptrace::PtRegs;
use crate::arch::x86::kernel::{apic::apic::apic_eoi, idt};
use crate::include::linux::sched::is_idle_task;
use crate::kernel::context_tracking::{ct_irq_enter, ct_irq_exit};
use crate::kernel::sched::core::preempt_dynamic::dynamic_irqentry_exit_cond_resched;
use crate::pr_warn;

/// Linux allocates interrupt descriptors here; system vectors have none.
pub fn early_irq_init() {}

/// Installs the interrupt gates; quiets the legacy controllers.
pub fn init_IRQ() {
    idt::idt_setup_apic_and_irq_gates();
    super::i8259::mask_8259A();
}

/// What the beginning of an interrupt leaves for its end.
#[doc(alias = "irqentry_state_t")]
#[derive(Clone, Copy)]
#[must_use]
pub struct IrqentryState {
    /// RCU was told that it must watch.
    exit_rcu: bool,
}

/// Every interrupt begins here: RCU watches again if the CPU idled. Linux tells lockdep, too.
#[inline(always)]
pub fn irqentry_enter(_regs: &PtRegs) -> IrqentryState {
    let exit_rcu = is_idle_task(current());
    if exit_rcu {
        ct_irq_enter();
    }
    IrqentryState { exit_rcu }
}

/// Every interrupt ends here: a preemptible context that should give way is switched out before it goes on.
#[inline(always)]
pub fn irqentry_exit(regs: &PtRegs, state: IrqentryState) {
    if state.exit_rcu {
        // The idle task is not preempted.
        ct_irq_exit();
        return;
    }
    if regs.flags & X86_EFLAGS_IF != 0 {
        dynamic_irqentry_exit_cond_resched();
    }
}

/// An external interrupt without a handler.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn common_interrupt(regs: &PtRegs) {
    let state = irqentry_enter(regs);
    apic_eoi();
    pr_warn!("common_interrupt: No irq handler for vector");
    irqentry_exit(regs, state);
}
