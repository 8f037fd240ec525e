//! The workload `hotplug`: every CPU but the first goes and comes back, again and again, under load.
//!
//! - *senders* and *receivers*, in pairs over wait queues, may run anywhere;
//! - *pinned* tasks, two for each CPU (a kernel thread and one without a kernel thread's side), have a mask
//!   of one CPU. They wait for a timer, sleep for a time, hand a work to their CPU's workers, now or later,
//!   wait for an RCU callback, stay where they are by `migrate_disable` while they sleep. When their CPU goes
//!   they get the widest mask, as Linux has it, and are bound again when it is back;
//! - *askers* want stoppers and CPUs to run something and move the hogs about, whichever CPUs are on;
//! - *hogs* compute for long, *rts* are real-time tasks; both may run anywhere.
//!
//! With `hotplug.load=hackbench` the workload [`hackbench`](super::hackbench) takes the place of the pairs and of all
//! hogs but one ([`benchmark`]).
//!
//! Odd rounds take the CPUs one at a time, even ones take all of them before the first comes back. After each
//! step the kernel is looked at ([`checks`]): nothing may be left on a CPU that is off, everybody must get on
//! with what they do, no task may run where its mask does not allow it. A failure is a panic.
//!
//! Parameters: `hotplug.cycles=` (default 3), `hotplug.load=` (`pairs`, the default, or `hackbench`, with the
//! parameters of that workload), `hotplug.pairs=` (default: one a CPU, at most 8), `hotplug.hogs=` (likewise),
//! `hotplug.pinned=0` (no pinned tasks), `hotplug.rts=` (default 2), `hotplug.patience_ms=` (nobody got on for so
//! long is a failure). Many cycles in little time: `hotplug.look=N` waits for everybody to get on only after every
//! N-th step (default 1; who is lost stays lost), and with `hotplug.expedited=1` grace periods, which are most of a
//! step, are expedited, as v6.8 has it when it takes CPUs off to suspend (`rcu_pm_notify`).

mod actors;
mod benchmark;
mod checks;
mod errors;

use crate::fence::shared::Shared;
use crate::include::linux::cpu::{add_cpu, remove_cpu};
use crate::include::linux::cpuhotplug::{
    CPUHP_AP_ONLINE_DYN, cpuhp_remove_state_nocalls, cpuhp_setup_state,
};
use crate::include::linux::cpumask::{
    Cpumask, NR_CPUS, cpu_online, cpu_online_mask, num_online_cpus,
};
use crate::include::linux::rcupdate::{rcu_expedite_gp, rcu_unexpedite_gp};
use crate::kernel::kreplay::table::show_tasks;
use crate::kernel::kreplay::workload_param;
use crate::kernel::params::param;
use crate::kernel::sched::clock::sched_clock;
use crate::kernel::sched::sched::cpu_rq;
use crate::kernel::time::timer::sleep::usleep_range;
use crate::pr_info;
use core::sync::atomic::{AtomicU64, Ordering};

/// How often a CPU came and went, as a callback of its own state counts it.
static UPS: [AtomicU64; NR_CPUS] = [const { AtomicU64::new(0) }; NR_CPUS];
static DOWNS: [AtomicU64; NR_CPUS] = [const { AtomicU64::new(0) }; NR_CPUS];
static PATIENCE_NS: Shared<u64> = Shared::new(0);
/// Steps so far, and after how many everybody must get on.
static STEPS: Shared<u64> = Shared::new(0);
static LOOK: Shared<u64> = Shared::new(1);

fn came(cpu: u32) -> i32 {
    UPS[cpu as usize].fetch_add(1, Ordering::Relaxed);
    0
}

fn went(cpu: u32) -> i32 {
    DOWNS[cpu as usize].fetch_add(1, Ordering::Relaxed);
    0
}

fn fail(what: core::fmt::Arguments<'_>) -> ! {
    crate::kernel::panic::panic(format_args!("hotplug: {what}"))
}

/// Runs it, as pid 1.
pub fn run() {
    let cpus = num_online_cpus();
    let cycles = workload_param("hotplug.cycles", 3, 0..=100_000);
    let few = u64::from(cpus).min(8);
    let with_hackbench = with_hackbench();
    let (pairs, hogs) = if with_hackbench { (0, 1) } else { (few, few) };
    let pairs = workload_param("hotplug.pairs", pairs, 0..=actors::MOST);
    let hogs = workload_param("hotplug.hogs", hogs, 0..=actors::MOST);
    let pinned = workload_param("hotplug.pinned", 1, 0..=1) != 0;
    let rts = workload_param("hotplug.rts", 2, 0..=actors::MOST);
    let patience = workload_param("hotplug.patience_ms", 2_000, 1..=10_000_000);
    let expedited = workload_param("hotplug.expedited", 0, 0..=1) != 0;
    LOOK.set(workload_param("hotplug.look", 1, 1..=1_000_000));
    PATIENCE_NS.set(patience * 1_000_000);
    pr_info!(
        "hotplug: {cycles} cycles of {} CPUs with {pairs} pairs and {hogs} hogs",
        cpus - 1
    );

    let start = sched_clock();
    let state = cpuhp_setup_state(
        CPUHP_AP_ONLINE_DYN,
        &"kreplay/hotplug:online",
        Some(came),
        Some(went),
    );
    if state < CPUHP_AP_ONLINE_DYN {
        fail(format_args!("no state: {state}"));
    }
    let all = cpu_online_mask();
    let others = all.without(0);
    errors::provoke(others, state);
    let threads = checks::percpu_threads();
    actors::hire(all, pairs, hogs, pinned, rts);
    if with_hackbench {
        benchmark::hire();
    }
    if expedited {
        rcu_expedite_gp();
    }
    for cycle in 0..cycles {
        if cycle % 2 == 0 {
            for cpu in others.iter() {
                take_down(cpu);
                bring_up(cpu);
            }
        } else {
            others.iter().for_each(take_down);
            others.iter().for_each(bring_up);
        }
        // No new thread took an old one's place.
        if checks::percpu_threads() != threads {
            fail(format_args!("other per-CPU threads than at the start"));
        }
    }
    if expedited {
        rcu_unexpedite_gp();
    }
    actors::get_on();
    show_tasks();
    actors::dismiss();
    cpuhp_remove_state_nocalls(state);
    if with_hackbench {
        benchmark::report();
    }
    report(all, cycles, sched_clock() - start);
}

fn with_hackbench() -> bool {
    match param("hotplug.load") {
        None => false,
        Some(load) if load.is("pairs") => false,
        Some(load) if load.is("hackbench") => true,
        Some(load) => fail(format_args!("load={load}: neither pairs nor hackbench")),
    }
}

fn take_down(cpu: u32) {
    let ret = remove_cpu(cpu);
    if ret != 0 {
        fail(format_args!("cpu{cpu} does not go: {ret}"));
    }
    checks::is_off(cpu);
    step_done();
}

fn bring_up(cpu: u32) {
    let ret = add_cpu(cpu);
    if ret != 0 {
        fail(format_args!("cpu{cpu} does not come: {ret}"));
    }
    checks::is_on(cpu);
    actors::bind_again(cpu);
    usleep_range(500, 1000);
    step_done();
}

fn step_done() {
    STEPS.inc();
    if STEPS.get().is_multiple_of(LOOK.get()) {
        actors::get_on();
    }
}

fn report(all: Cpumask, cycles: u64, elapsed: u64) {
    let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let sum = |counters: &[AtomicU64]| counters.iter().map(get).sum::<u64>();
    let (ups, downs) = (sum(&UPS), sum(&DOWNS));
    let n = u64::from(all.weight());
    let (gone, refused) = (cycles * (n - 1), errors::ATTEMPTS_BELOW.get());
    if downs != gone + refused || ups != downs + n {
        fail(format_args!("{ups} times up, {downs} times down"));
    }
    for cpu in all.iter() {
        if !cpu_online(cpu) {
            fail(format_args!("cpu{cpu} is off at the end"));
        }
    }
    actors::report();
    let switches: u64 = all.iter().map(|cpu| cpu_rq(cpu).nr_switches.get()).sum();
    pr_info!(
        "hotplug: {gone} times off and on, {switches} switches, {} us on {n} CPUs",
        elapsed / 1000
    );
    pr_info!("hotplug: done, nothing lost");
}
