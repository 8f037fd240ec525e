//! Starting the other CPUs.
//!
//! Linux: arch/x86/kernel/smpboot.c, realmode/init.c, v6.8, with parallel bring-up: a CPU finds its number by
//! its APIC id and its stack by its idle task. A CPU that goes halts in its idle task until the next INIT.
//! **Kept** which CPUs are siblings, and the levels that scheduling domains are built from. **Left out** dies,
//! NUMA in a package, ITMT, microcode, the TSC check (all counters of this machine agree), play-dead by MWAIT.
#![expect(
    unsafe_code,
    reason = "copies the trampoline to real-mode memory; entered from assembly"
)]

use crate::arch::x86::include::asm::current::pcpu_hot;
use crate::arch::x86::include::asm::irqflags::native_halt;
use crate::arch::x86::include::asm::page_types::{__pa, __va, PAGE_SIZE, THREAD_SIZE};
use crate::arch::x86::include::asm::ptrace::PtRegs;
use crate::arch::x86::kernel::apic::{apic, ipi};
use crate::arch::x86::kernel::cpu::topology::{BAD_APICID, Place, cpu_data, smp_store_cpu_info};
use crate::arch::x86::kernel::{idt, process, tsc};
use crate::fence::percpu::PerCpu;
use crate::include::linux::cpuhotplug::CPUHP_AP_ONLINE_IDLE;
use crate::include::linux::cpumask::{
    Cpumask, GlobalCpumask, NR_CPUS, num_online_cpus, set_cpu_online,
};
use crate::include::linux::errno::EINVAL;
use crate::include::linux::irqflags::{local_irq_disable, local_irq_enable};
use crate::include::linux::sched::TaskRef;
use crate::include::linux::sched::topology::{
    SD_CLUSTER, SD_SHARE_CPUCAPACITY, SD_SHARE_PKG_RESOURCES, SchedDomainTopologyLevel,
};
use crate::include::linux::smp::smp_processor_id;
use crate::init::main::{SystemStates, system_state};
use crate::kernel::sched::topology::{TOPOLOGY_LEVELS, set_sched_topology};
use crate::pr_info;
use core::ptr;
use core::sync::atomic::Ordering;

unsafe extern "C" {
    static trampoline_start: u8;
    static trampoline_end: u8;
    static trampoline_32: u8;
    static trampoline_64: u8;
    static tr_gdt_base: u8;
    static tr_gdt: u8;
    static tr_ljmp32: u8;
    static tr_ljmp64: u8;
    static tr_cr3: u8;
    static tr_start: u8;
    static trampoline_pgd: u8;
    safe fn secondary_startup_64();
}

/// Where the trampoline is copied to: the last page below the EBDA that is sure to be memory.
const TRAMPOLINE: u64 = 0x9_d000;

/// Makes `task` the boot CPU's current task; before this nothing may ask for it.
pub fn set_boot_current(task: TaskRef) {
    let hot = pcpu_hot.per_cpu(0);
    hot.current_task.set(Some(task));
    hot.top_of_stack
        .set(process::init_stack_base() + THREAD_SIZE);
}

/// The boot CPU is known to be CPU 0; its per-CPU words stand since the first instruction.
pub fn smp_prepare_boot_cpu() {}

/// Lays the trampoline out and sets up what every start needs.
pub fn smp_prepare_cpus(_max_cpus: u32) {
    setup_real_mode();
    smp_store_cpu_info(smp_processor_id());
    set_cpu_sibling_map(smp_processor_id());
    setup_sched_topology();
    pr_info!("smpboot: CPU0: kreplay emulated CPU");
}

/// Copies the trampoline below 1 MiB and fills in its addresses.
fn setup_real_mode() {
    let start = (&raw const trampoline_start) as u64;
    let len = (&raw const trampoline_end) as u64 - start;
    assert!(len <= PAGE_SIZE, "the trampoline fits its page");
    let to = __va(TRAMPOLINE);
    // Where a symbol of the trampoline lands.
    let at = |symbol: *const u8| symbol as u64 - start;
    let patch = |symbol: *const u8, value: u64, bytes: usize| {
        let field = (to + at(symbol)) as *mut u8;
        // SAFETY: inside the copy just made.
        unsafe { ptr::copy_nonoverlapping(value.to_le_bytes().as_ptr(), field, bytes) };
    };
    // SAFETY: the page lies in reserved low memory (`setup_arch`), nothing else uses it.
    unsafe { ptr::copy_nonoverlapping(start as *const u8, to as *mut u8, len as usize) };
    patch(
        &raw const tr_gdt_base,
        TRAMPOLINE + at(&raw const tr_gdt),
        4,
    );
    patch(
        &raw const tr_ljmp32,
        TRAMPOLINE + at(&raw const trampoline_32),
        4,
    );
    patch(
        &raw const tr_ljmp64,
        TRAMPOLINE + at(&raw const trampoline_64),
        4,
    );
    patch(
        &raw const tr_cr3,
        __pa((&raw const trampoline_pgd) as u64),
        4,
    );
    patch(
        &raw const tr_start,
        secondary_startup_64 as *const () as u64,
        8,
    );
}

/// Starts `cpu` on the stack of its idle task; returns at once, the hotplug code waits for it.
///
/// # Returns
/// 0, `-EINVAL` for a CPU without an APIC, `-ENOMEM` without memory for its exception stacks.
pub fn native_kick_ap(cpu: u32, tidle: TaskRef) -> i32 {
    let apicid = apic::cpuid_to_apicid[cpu as usize].get();
    if apicid > 0xff {
        return -EINVAL;
    }
    let hot = pcpu_hot.per_cpu(cpu);
    hot.cpu_number.set(cpu);
    hot.current_task.set(Some(tidle));
    hot.top_of_stack.set(tidle.stack.get() + THREAD_SIZE);
    // Each start begins at the stack's top: what the idle task left there when the CPU went is gone.
    let pt_regs = tidle.stack.get() + THREAD_SIZE - size_of::<PtRegs>() as u64;
    tidle.thread.sp.set(pt_regs);
    if !process::has_exception_stacks(cpu) {
        let error = process::prepare_exception_stacks(cpu);
        if error != 0 {
            return error;
        }
    }
    announce_cpu(cpu, apicid);
    wakeup_secondary_cpu_via_init(apicid);
    0
}

/// At boot the summary is enough.
fn announce_cpu(cpu: u32, apicid: u32) {
    if is_running() {
        pr_info!("smpboot: Booting Node 0 Processor {cpu} APIC {apicid:#x}");
    }
}

fn is_running() -> bool {
    system_state.load(Ordering::Acquire) == SystemStates::Running as u32
}

/// The CPU has reported that it is dead: there is nothing to clean up, but somebody to tell.
pub fn arch_cpuhp_cleanup_dead_cpu(cpu: u32) {
    if is_running() {
        pr_info!("smpboot: CPU {cpu} is now offline");
    }
}

/// INIT, then the start-up interrupt (twice, as the manual wants; the second finds the CPU running).
fn wakeup_secondary_cpu_via_init(apicid: u32) {
    ipi::send_init_sequence(apicid);
    for _ in 0..2 {
        ipi::send_startup(apicid, TRAMPOLINE);
        tsc::udelay(10);
    }
}

/// A secondary CPU's first Rust code, on its idle task's stack, interrupts off.
///
/// # Safety
/// Called by `secondary_startup_64` alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn start_secondary() -> ! {
    process::cpu_init();
    idt::load_current_idt();
    crate::kernel::cpu::cpuhp_ap_sync_alive();
    apic::setup_local_APIC();
    let cpu = smp_processor_id();
    crate::kernel::rcu::tree::rcutree_report_cpu_starting(cpu);
    smp_store_cpu_info(cpu);
    set_cpu_sibling_map(cpu);
    crate::kernel::cpu::notify_cpu_starting(cpu);
    set_cpu_online(cpu, true);
    local_irq_enable();
    apic::setup_secondary_APIC_clock();
    crate::kernel::sched::idle::cpu_startup_entry(CPUHP_AP_ONLINE_IDLE)
}

/// This CPU is online no more, and no interrupt of others reaches it: its own timer, and calls and
/// reschedule requests on their way here, are gone. It still answers INIT, and can send.
///
/// # Context
/// The CPU itself, interrupts off, all others stopped.
/// # Returns
/// 0: there are no device interrupts whose vectors other CPUs would have to take.
pub fn native_cpu_disable() -> i32 {
    let cpu = smp_processor_id();
    set_cpu_online(cpu, false);
    apic::apic_soft_disable();
    0
}

/// The end of a CPU's idle task: it halts with interrupts off until INIT resets it.
pub fn native_play_dead() -> ! {
    crate::kernel::cpu::down::cpuhp_ap_report_dead();
    local_irq_disable();
    loop {
        native_halt();
    }
}

/// The summary after all CPUs are up.
pub fn smp_cpus_done(_max_cpus: u32) {
    let (cpus, lpj) = (u64::from(num_online_cpus()), tsc::loops_per_jiffy.get());
    let hz = crate::include::linux::jiffies::HZ;
    pr_info!(
        "smpboot: Total of {cpus} processors activated ({}.{:02} BogoMIPS)",
        cpus * lpj / (500_000 / hz),
        cpus * lpj / (5000 / hz) % 100,
    );
}

/// Tells the scheduler the levels of an x86 machine.
pub fn setup_sched_topology() {
    set_sched_topology(&x86_topology);
}

/// CPUs of the same core, itself included.
static cpu_sibling_map: PerCpu<GlobalCpumask> =
    PerCpu::new([const { GlobalCpumask::new() }; NR_CPUS]);
/// CPUs that share the last cache level.
static cpu_llc_shared_map: PerCpu<GlobalCpumask> =
    PerCpu::new([const { GlobalCpumask::new() }; NR_CPUS]);
/// CPUs that share the second cache level.
static cpu_l2c_shared_map: PerCpu<GlobalCpumask> =
    PerCpu::new([const { GlobalCpumask::new() }; NR_CPUS]);
/// CPUs of the same package.
static cpu_core_map: PerCpu<GlobalCpumask> = PerCpu::new([const { GlobalCpumask::new() }; NR_CPUS]);
/// CPUs whose place is known.
static cpu_sibling_setup_mask: GlobalCpumask = GlobalCpumask::new();

/// CPUs of the same core.
pub fn cpu_smt_mask(cpu: u32) -> Cpumask {
    cpu_sibling_map.per_cpu(cpu).get()
}

/// CPUs that share the second cache level.
pub fn cpu_clustergroup_mask(cpu: u32) -> Cpumask {
    cpu_l2c_shared_map.per_cpu(cpu).get()
}

/// CPUs that share the last cache level.
pub fn cpu_coregroup_mask(cpu: u32) -> Cpumask {
    cpu_llc_shared_map.per_cpu(cpu).get()
}

/// CPUs of the same package.
pub fn topology_core_cpumask(cpu: u32) -> Cpumask {
    cpu_core_map.per_cpu(cpu).get()
}

/// CPUs of the same node: there is one.
pub fn cpu_cpu_mask(_cpu: u32) -> Cpumask {
    cpu_sibling_setup_mask.get()
}

fn match_smt(c: &Place, o: &Place) -> bool {
    c.phys_proc_id == o.phys_proc_id && c.cpu_core_id == o.cpu_core_id
}

fn match_pkg(c: &Place, o: &Place) -> bool {
    c.phys_proc_id == o.phys_proc_id
}

fn match_llc(c: &Place, o: &Place) -> bool {
    c.llc_id != BAD_APICID && c.llc_id == o.llc_id
}

fn match_l2c(c: &Place, o: &Place) -> bool {
    if c.l2c_id == BAD_APICID {
        return match_smt(c, o);
    }
    c.l2c_id == o.l2c_id
}

/// Finds a CPU's siblings among those whose place is known, and tells them.
pub fn set_cpu_sibling_map(cpu: u32) {
    let c = cpu_data(cpu);
    cpu_sibling_setup_mask.set_cpu(cpu);
    let link = |map: &PerCpu<GlobalCpumask>, i: u32, related: bool| {
        if related || i == cpu {
            map.per_cpu(cpu).set_cpu(i);
            map.per_cpu(i).set_cpu(cpu);
        }
    };
    for i in cpu_sibling_setup_mask.get().iter() {
        let o = cpu_data(i);
        link(&cpu_sibling_map, i, match_smt(&c, &o));
        link(&cpu_llc_shared_map, i, match_llc(&c, &o));
        link(&cpu_l2c_shared_map, i, match_l2c(&c, &o));
        link(&cpu_core_map, i, match_pkg(&c, &o));
    }
}

/// A CPU that goes offline is nobody's sibling.
pub fn remove_siblinginfo(cpu: u32) {
    for map in [
        &cpu_sibling_map,
        &cpu_llc_shared_map,
        &cpu_l2c_shared_map,
        &cpu_core_map,
    ] {
        for sibling in map.per_cpu(cpu).get().iter() {
            map.per_cpu(sibling).clear_cpu(cpu);
        }
        map.per_cpu(cpu).set(Cpumask::EMPTY);
    }
    cpu_sibling_setup_mask.clear_cpu(cpu);
}

fn x86_smt_flags() -> u32 {
    SD_SHARE_CPUCAPACITY | SD_SHARE_PKG_RESOURCES
}

fn x86_cluster_flags() -> u32 {
    SD_CLUSTER | SD_SHARE_PKG_RESOURCES
}

fn x86_core_flags() -> u32 {
    SD_SHARE_PKG_RESOURCES
}

fn x86_sched_itmt_flags() -> u32 {
    0
}

/// The levels of an x86 machine, the innermost first.
static x86_topology: [SchedDomainTopologyLevel; TOPOLOGY_LEVELS] = [
    SchedDomainTopologyLevel {
        mask: cpu_smt_mask,
        sd_flags: x86_smt_flags,
        name: "SMT",
    },
    SchedDomainTopologyLevel {
        mask: cpu_clustergroup_mask,
        sd_flags: x86_cluster_flags,
        name: "CLS",
    },
    SchedDomainTopologyLevel {
        mask: cpu_coregroup_mask,
        sd_flags: x86_core_flags,
        name: "MC",
    },
    SchedDomainTopologyLevel {
        mask: cpu_cpu_mask,
        sd_flags: x86_sched_itmt_flags,
        name: "PKG",
    },
];
