//! Ways to crash, on purpose: the proof that guards, page rights and panics work, and the tests' failing guest.
//!
//! Linux: drivers/misc/lkdtm (core.c, bugs.c, perms.c), v6.8. **Kept** the names of the crash types and of the
//! parameter: `workload=lkdtm lkdtm.cpoint_type=EXEC_DATA`. **Differs** each is run once, by pid 1; a type that
//! should have crashed and did not says so. `TRIPLE_FAULT` and what follows it are ours.
#![expect(unsafe_code, reason = "breaks every rule there is, one at a time")]

use crate::arch::x86::include::asm::desc::DescPtr;
use crate::arch::x86::kernel::tsc::udelay;
use crate::fence::shared::Shared;
use crate::fence::void::VoidPtr;
use crate::include::linux::cpumask::cpu_online_mask;
use crate::include::linux::irqflags::local_irq_disable;
use crate::include::linux::preempt::preempt_disable;
use crate::include::linux::smp::smp_call_function_many;
use crate::include::linux::spinlock::{RawSpinlock, raw_spin_lock};
use crate::include::linux::stop_machine::stop_one_cpu;
use crate::kernel::params::param;
use crate::kernel::sched::idle::idle_sched_class;
use crate::kernel::sched::sched::this_rq;
use crate::{BUG, WARN, WARN_ON, pr_emerg, pr_info};
use core::arch::asm;

struct CrashType {
    name: &'static str,
    func: fn(),
}

macro_rules! crash_types {
    ($($name:literal $func:expr,)*) => { [$(CrashType { name: $name, func: $func }),*] };
}

static crashtypes: [CrashType; 22] = crash_types![
    "PANIC" || crate::kernel::panic::panic(format_args!("dumptest")),
    "PANIC_STOP_IRQOFF" lkdtm_PANIC_STOP_IRQOFF,
    "BUG" || BUG!(),
    "WARNING" || { WARN_ON!(true); },
    "WARNING_MESSAGE" || { WARN!(true, "Warning message trigger count: 1"); },
    "EXCEPTION" lkdtm_EXCEPTION,
    "ACCESS_NULL" lkdtm_ACCESS_NULL,
    "EXHAUST_STACK" || lkdtm_EXHAUST_STACK(),
    "STACK_GUARD_PAGE_LEADING" lkdtm_STACK_GUARD_PAGE_LEADING,
    "EXEC_DATA" || execute_location(data_area.as_ptr() as u64),
    "EXEC_STACK" lkdtm_EXEC_STACK,
    "EXEC_RODATA" || execute_location((&raw const RODATA_AREA) as u64),
    "EXEC_NULL" || execute_location(0),
    "WRITE_RO" || write_location((&raw const RODATA_AREA) as u64),
    "WRITE_KERN" || write_location(do_overwritten as *const () as u64),
    "LOOP" || spin(),
    "SOFTLOCKUP" lkdtm_SOFTLOCKUP,
    "HARDLOCKUP" lkdtm_HARDLOCKUP,
    "SPINLOCKUP" lkdtm_SPINLOCKUP,
    "TRIPLE_FAULT" triple_fault,
    "WARNING_STOPPER" warning_stopper,
    "BALANCE_IDLE" balance_idle_twice,
];

/// `ret`: what the EXEC tests would run if they could.
const RET: u64 = 0xc3;
static data_area: Shared<u64> = Shared::new(RET);
static RODATA_AREA: u64 = RET;
static lock_me_up: RawSpinlock = RawSpinlock::new();

/// The workload: crashes as `lkdtm.cpoint_type` says.
pub fn run() {
    let wanted = param("lkdtm.cpoint_type");
    let found = wanted.and_then(|name| crashtypes.iter().find(|it| name.is(it.name)));
    let Some(found) = found else {
        let names = core::fmt::from_fn(|f| {
            crashtypes
                .iter()
                .try_for_each(|it| write!(f, " {}", it.name))
        });
        pr_emerg!("lkdtm: lkdtm.cpoint_type must be one of:{names}");
        return;
    };
    pr_info!("lkdtm: Performing direct entry {}", found.name);
    (found.func)();
    pr_info!("lkdtm: {} did not end the kernel", found.name);
}

/// Panics while every other CPU spins with interrupts off.
fn lkdtm_PANIC_STOP_IRQOFF() {
    raw_spin_lock(&lock_me_up);
    preempt_disable();
    smp_call_function_many(cpu_online_mask(), |_| raw_spin_lock(&lock_me_up), 0, false);
    udelay(100);
    crate::kernel::panic::panic(format_args!("panic stop irqoff test"))
}

#[inline(never)]
fn lkdtm_EXCEPTION() {
    // SAFETY: none; the kernel ends here.
    unsafe { asm!("ud2") };
}

#[inline(never)]
fn lkdtm_ACCESS_NULL() {
    // SAFETY: none; the page at 0 is not mapped.
    unsafe { asm!("mov {0}, [{0}]", inout(reg) 0u64 => _) };
}

#[inline(never)]
#[expect(unconditional_recursion, reason = "until the guard page ends it")]
fn recursive_loop(depth: u64) -> u64 {
    let mut buffer = [depth; 64];
    core::hint::black_box(&mut buffer);
    recursive_loop(buffer[depth as usize % 64] + 1) + buffer[0]
}

fn lkdtm_EXHAUST_STACK() {
    core::hint::black_box(recursive_loop(0));
}

fn lkdtm_STACK_GUARD_PAGE_LEADING() {
    write_location(
        crate::arch::x86::include::asm::current::current()
            .stack
            .get()
            - 8,
    );
}

#[inline(never)]
fn execute_location(at: u64) {
    pr_info!("lkdtm: attempting bad execution at {at:#x}");
    // SAFETY: none; the page is not executable.
    unsafe { asm!("call {}", in(reg) at, clobber_abi("C")) };
    pr_emerg!("lkdtm: FAIL: func returned");
}

fn lkdtm_EXEC_STACK() {
    let area = [RET; 2];
    execute_location(core::hint::black_box(&area).as_ptr() as u64);
}

#[inline(never)]
fn write_location(at: u64) {
    pr_info!("lkdtm: attempting bad write at {at:#x}");
    // SAFETY: none; the page is not writable.
    unsafe { asm!("mov qword ptr [{}], {}", in(reg) at, in(reg) RET) };
    pr_emerg!("lkdtm: FAIL: survived bad write");
}

/// The function that WRITE_KERN would overwrite.
#[inline(never)]
fn do_overwritten() {
    pr_info!("lkdtm: do_overwritten wasn't overwritten!");
}

fn lkdtm_SOFTLOCKUP() {
    preempt_disable();
    spin()
}

fn lkdtm_HARDLOCKUP() {
    local_irq_disable();
    spin()
}

/// For ever. Straight code without `pause`, which an emulator gets through fast: it is waited for.
fn spin() -> ! {
    loop {
        // SAFETY: does nothing.
        unsafe { asm!(".rept 250", "nop", ".endr", options(nomem, nostack)) };
    }
}

fn lkdtm_SPINLOCKUP() {
    raw_spin_lock(&lock_me_up);
    raw_spin_lock(&lock_me_up);
}

/// A work of a stopper that warns.
#[expect(unsafe_code, reason = "no_mangle: a message must show its name")]
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn warns_in_a_stopper(_: VoidPtr) -> i32 {
    WARN_ON!(true);
    0
}

/// A warning from inside a stopper names the work and who asked for it; then one that is not.
#[inline(never)]
fn warning_stopper() {
    let last = cpu_online_mask().iter().last().unwrap_or(0);
    stop_one_cpu(last, warns_in_a_stopper, VoidPtr::NULL);
    WARN_ON!(true);
}

/// What nobody does: asks the idle class for work. It says yes, and warns, once.
fn balance_idle_twice() {
    let rq = this_rq();
    let answers = [(); 2].map(|()| (idle_sched_class.balance)(rq, rq.idle_task()));
    pr_info!("lkdtm: the idle class says {answers:?}");
}

/// An empty interrupt table: the exception, the double fault and then nothing can be delivered.
fn triple_fault() {
    let empty = DescPtr {
        size: 0,
        address: 0,
    };
    local_irq_disable();
    // SAFETY: none; the machine ends here.
    unsafe { asm!("lidt [{}]", "ud2", in(reg) &empty) };
}
