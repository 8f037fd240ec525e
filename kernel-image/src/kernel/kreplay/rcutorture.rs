//! The workload `rcutorture`: readers and updaters that try to catch RCU at freeing too early, as Linux's
//! module of that name (`kernel/rcu/rcutorture.c`) does; then the locks that sleep ([`locks`]).
//!
//! An element is published, and replaced. From then on it ages by one with every grace period, and after
//! ten of them it is free and may be published again. A reader keeps the element it found for a while; in
//! that time it may age by one grace period (one that ran already), never by two, and never be free; and no
//! grace period may begin and end while the reader reads.
//!
//! - *readers* (two a CPU) read for short, or for so long that they are preempted in the reader, or nested,
//!   or from an interrupt; some end with interrupts off, where the end must be reported later;
//! - the *writer* replaces the element and ages the old ones by `call_rcu`, `synchronize_rcu` or
//!   `synchronize_rcu_expedited`;
//! - *fakewriters* only wait for grace periods, so that several do at the same time;
//! - then callbacks from every CPU and `rcu_barrier`; SRCU; Tasks RCU, whose rules [`tasks`] plays.
//!
//! A broken rule is a panic. Parameters: `rcutorture.updates=` (of the writer), `rcutorture.readers=` (a
//! CPU), `rcutorture.locks=0` (without the second half).

mod locks;
mod tasks;

use crate::arch::x86::include::asm::current::current;
use crate::fence::shared::Shared;
use crate::fence::void::VoidPtr;
use crate::include::linux::cpumask::{Cpumask, NR_CPUS, cpu_online_mask, num_online_cpus};
use crate::include::linux::irqflags::{local_irq_restore, local_irq_save};
use crate::include::linux::kthread::{kthread_run, kthread_should_stop, kthread_stop};
use crate::include::linux::preempt::{preempt_disable, preempt_enable};
use crate::include::linux::rcupdate::{
    RcuHead, call_rcu, rcu_barrier, rcu_read_lock, rcu_read_unlock, synchronize_rcu,
    synchronize_rcu_expedited,
};
use crate::include::linux::sched::TaskRef;
use crate::include::linux::smp::on_each_cpu;
use crate::kernel::kreplay::common::{compute, nth_cpu};
use crate::kernel::kreplay::table::show_tasks;
use crate::kernel::kreplay::workload_param;
use crate::kernel::rcu::rcu::{rcu_seq_ctr, rcu_seq_done, rcu_seq_snap};
use crate::kernel::rcu::tree::rcu_state;
use crate::kernel::rcu::tree::types::rcu_get_root;
use crate::kernel::rcu::tree_plugin::RCU_READ_UNLOCK_BLOCKED;
use crate::kernel::sched::core::set_cpus_allowed_ptr;
use crate::kernel::time::timer::sleep::usleep_range;
use crate::{intrusive_adapter, pr_info};
use core::fmt::Arguments;
use core::sync::atomic::{AtomicU64, Ordering};

/// Grace periods that an element lives after it was replaced.
const RCU_TORTURE_PIPE_LEN: u32 = 10;
const ELEMENTS: usize = 64;
const MAX_READERS: usize = 4 * NR_CPUS;

/// What is published.
#[doc(alias = "rcu_torture")]
struct RcuTorture {
    rtort_rcu: RcuHead,
    /// Grace periods since it was replaced.
    rtort_pipe_count: Shared<u32>,
    /// 1 while a reader may find it.
    rtort_mbtest: Shared<u32>,
    /// It is in use, published or ageing.
    busy: Shared<bool>,
}

static rcu_tortures: [RcuTorture; ELEMENTS] = [const {
    RcuTorture {
        rtort_rcu: RcuHead::new(),
        rtort_pipe_count: Shared::new(0),
        rtort_mbtest: Shared::new(0),
        busy: Shared::new(false),
    }
}; ELEMENTS];
intrusive_adapter!(
    /// Elements by their callback.
    TortureOfHead = RcuTorture { rtort_rcu: RcuHead });

/// The published element.
static rcu_torture_current: Shared<Option<&'static RcuTorture>> = Shared::new(None);

/// What happened, for the report.
struct Counts {
    reads: AtomicU64,
    preempted: AtomicU64,
    in_irq: AtomicU64,
    updates: AtomicU64,
    callbacks: AtomicU64,
    freed: AtomicU64,
    waits: AtomicU64,
    /// Seen ages at the end of a reader.
    pipe: [AtomicU64; 2],
}

static COUNTS: Counts = Counts {
    reads: AtomicU64::new(0),
    preempted: AtomicU64::new(0),
    in_irq: AtomicU64::new(0),
    updates: AtomicU64::new(0),
    callbacks: AtomicU64::new(0),
    freed: AtomicU64::new(0),
    waits: AtomicU64::new(0),
    pipe: [const { AtomicU64::new(0) }; 2],
};

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn fail(why: Arguments<'_>) -> ! {
    crate::kernel::panic::panic(format_args!("rcutorture: {why}"))
}

/// A thread's own chances.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Random {
        Random(compute(3, seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1))
    }

    fn below(&mut self, n: u64) -> u64 {
        self.0 = compute(1, self.0);
        (self.0 >> 16) % n
    }
}

fn rcu_torture_alloc() -> &'static RcuTorture {
    loop {
        if let Some(rp) = rcu_tortures.iter().find(|rp| !rp.busy.get()) {
            rp.busy.set(true);
            return rp;
        }
        // All age: some will be free soon.
        usleep_range(1000, 2000);
    }
}

/// One grace period older; true if that was the last one and the element is free.
fn rcu_torture_pipe_update_one(rp: &'static RcuTorture) -> bool {
    rp.rtort_pipe_count.inc();
    if rp.rtort_pipe_count.get() < RCU_TORTURE_PIPE_LEN {
        return false;
    }
    rp.rtort_mbtest.set(0);
    rp.busy.set(false);
    count(&COUNTS.freed);
    true
}

/// Once around for an element that ages by callbacks.
fn rcu_torture_cb(p: &'static RcuHead) {
    count(&COUNTS.callbacks);
    let rp = TortureOfHead::entry(p);
    if !rcu_torture_pipe_update_one(rp) {
        call_rcu(&rp.rtort_rcu, rcu_torture_cb);
    }
}

/// The ends of the first grace periods that can begin after a reader has begun.
#[derive(Clone, Copy)]
struct Began {
    gp: u64,
    exp: u64,
}

impl Began {
    /// In the reader, before it reads.
    fn now() -> Began {
        Began {
            gp: rcu_seq_snap(&rcu_state.gp_seq),
            exp: rcu_seq_snap(&rcu_state.expedited_sequence),
        }
    }
}

/// The end of one reader: what it found must be there still, and no grace period may have passed.
fn check(rp: &'static RcuTorture, began: Began, at: &str) {
    if rcu_seq_done(&rcu_state.gp_seq, began.gp)
        || rcu_seq_done(&rcu_state.expedited_sequence, began.exp)
    {
        fail(format_args!(
            "a whole grace period passed over a reader ({at}) of {:?}",
            current()
        ));
    }
    let age = rp.rtort_pipe_count.get();
    if age > 1 || rp.rtort_mbtest.get() != 1 {
        fail(format_args!(
            "a reader ({at}) of {:?} found its element {age} grace periods old, {}",
            current(),
            if rp.rtort_mbtest.get() == 1 {
                "not freed"
            } else {
                "freed"
            }
        ));
    }
    count(&COUNTS.pipe[age as usize]);
    count(&COUNTS.reads);
}

/// A reader in an interrupt.
fn read_in_irq(_unused: u64) {
    rcu_read_lock();
    let began = Began::now();
    if let Some(rp) = rcu_torture_current.get() {
        compute(200, 7);
        check(rp, began, "in an interrupt");
    }
    count(&COUNTS.in_irq);
    rcu_read_unlock();
}

/// One read of a kind that chance picks.
fn rcu_torture_one_read(random: &mut Random) {
    let kind = random.below(16);
    rcu_read_lock();
    let began = Began::now();
    let Some(rp) = rcu_torture_current.get() else {
        rcu_read_unlock();
        return;
    };
    // The long ones last longer than a slice: they are preempted. The longest see several grace periods begin.
    let turns = match kind {
        0 => 300_000 + random.below(1_200_000),
        1 => 200_000 + random.below(600_000),
        2..=5 => 20_000 + random.below(40_000),
        _ => random.below(6_000),
    };
    let nested = kind.is_multiple_of(3);
    for step in 0..8 {
        if nested {
            rcu_read_lock();
        }
        compute(turns as u32 / 8, step);
        if nested {
            rcu_read_unlock();
        }
    }
    check(rp, began, "in a thread");
    if current().rcu_read_unlock_special.get() & RCU_READ_UNLOCK_BLOCKED != 0 {
        count(&COUNTS.preempted);
    }
    match kind {
        5 => {
            let flags = local_irq_save();
            rcu_read_unlock();
            local_irq_restore(flags);
        }
        1 | 6 => {
            preempt_disable();
            rcu_read_unlock();
            preempt_enable();
        }
        _ => rcu_read_unlock(),
    }
}

extern "C" fn rcu_torture_reader(data: VoidPtr) -> i32 {
    let mut random = Random::new(data.get::<Shared<u64>>().get() + 1);
    while !kthread_should_stop() {
        for _ in 0..1 + random.below(4) {
            rcu_torture_one_read(&mut random);
        }
        let us = 300 + random.below(6_000);
        usleep_range(us, us + 100);
    }
    0
}

/// Publishes `updates` elements, one after the other.
fn rcu_torture_writer(updates: u64) {
    let mut random = Random::new(99);
    for update in 0..updates {
        let rp = rcu_torture_alloc();
        rp.rtort_pipe_count.set(0);
        rp.rtort_mbtest.set(1);
        let old = rcu_torture_current.replace(Some(rp));
        count(&COUNTS.updates);
        let Some(old) = old else { continue };
        old.rtort_pipe_count.inc();
        match update % 8 {
            0..=4 => call_rcu(&old.rtort_rcu, rcu_torture_cb),
            kind => loop {
                if kind == 5 {
                    synchronize_rcu();
                } else {
                    synchronize_rcu_expedited();
                }
                count(&COUNTS.waits);
                if rcu_torture_pipe_update_one(old) {
                    break;
                }
                // The rest by callbacks: a wait for all ten would take a while.
                if kind != 6 || random.below(2) == 0 {
                    call_rcu(&old.rtort_rcu, rcu_torture_cb);
                    break;
                }
            },
        }
        if update % 4 == 1 {
            on_each_cpu(read_in_irq, 0);
        }
        let us = 200 + random.below(3_000);
        usleep_range(us, us + 100);
    }
}

extern "C" fn rcu_torture_fakewriter(data: VoidPtr) -> i32 {
    let mut random = Random::new(data.get::<Shared<u64>>().get() + 1000);
    while !kthread_should_stop() {
        let us = 1_000 + random.below(8_000);
        usleep_range(us, us + 100);
        let cookie = rcu_seq_snap(&rcu_state.gp_seq);
        if random.below(3) == 0 {
            synchronize_rcu_expedited();
        } else {
            synchronize_rcu();
            // A full grace period after the call. The nodes' numbers say so before the state's does.
            if !rcu_seq_done(&rcu_get_root().gp_seq, cookie) {
                fail(format_args!(
                    "synchronize_rcu returned without a grace period"
                ));
            }
        }
        count(&COUNTS.waits);
    }
    0
}

static indices: [Shared<u64>; MAX_READERS] = [const { Shared::new(0) }; MAX_READERS];

fn start(name: &str, index: usize, f: extern "C" fn(VoidPtr) -> i32) -> TaskRef {
    indices[index].set(index as u64);
    match kthread_run(
        f,
        VoidPtr::new(&indices[index]),
        format_args!("{name}/{index}"),
    ) {
        Ok(task) => task,
        Err(error) => fail(format_args!("no thread {name}: {error}")),
    }
}

const BARRIER_CBS: usize = 3;
/// Callbacks of a barrier's test, some for each CPU.
static barrier_heads: [[RcuHead; BARRIER_CBS]; NR_CPUS] =
    [const { [const { RcuHead::new() }; BARRIER_CBS] }; NR_CPUS];
static barrier_invoked: AtomicU64 = AtomicU64::new(0);

fn barrier_cb(_head: &'static RcuHead) {
    count(&barrier_invoked);
}

fn queue_barrier_cbs(_unused: u64) {
    let cpu = crate::include::linux::smp::smp_processor_id();
    for head in &barrier_heads[cpu as usize] {
        call_rcu(head, barrier_cb);
    }
}

/// Callbacks from every CPU, and a barrier that waits for them all.
fn rcu_torture_barrier() {
    for round in 1..=3 {
        // From interrupts on all CPUs, and from one by one.
        if round == 2 {
            for cpu in cpu_online_mask().iter() {
                set_cpus_allowed_ptr(current(), &Cpumask::of(cpu));
                preempt_disable();
                queue_barrier_cbs(0);
                preempt_enable();
            }
            set_cpus_allowed_ptr(current(), &cpu_online_mask());
        } else {
            on_each_cpu(queue_barrier_cbs, 0);
        }
        rcu_barrier();
        let want = round * u64::from(num_online_cpus()) * BARRIER_CBS as u64;
        let got = barrier_invoked.load(Ordering::SeqCst);
        if got != want {
            fail(format_args!(
                "rcu_barrier returned after {got} callbacks of {want}"
            ));
        }
    }
}

/// Runs, as pid 1.
pub fn run() {
    let updates = workload_param("rcutorture.updates", 40, 8..=100_000);
    let readers_a_cpu = workload_param("rcutorture.readers", 2, 1..=4);
    let with_locks = workload_param("rcutorture.locks", 1, 0..=1);
    let readers = (readers_a_cpu * u64::from(num_online_cpus())).min(32) as usize;
    let first = rcu_seq_ctr(rcu_state.gp_seq.get());

    let mut threads: [Option<TaskRef>; MAX_READERS] = [None; MAX_READERS];
    for (index, thread) in threads.iter_mut().enumerate().take(readers) {
        let task = start("rcu_torture_rea", index, rcu_torture_reader);
        // Two of a CPU share it: long readers are preempted there.
        set_cpus_allowed_ptr(task, &Cpumask::of(nth_cpu(index as u64)));
        *thread = Some(task);
    }
    let fakes: [TaskRef; 2] =
        core::array::from_fn(|index| start("rcu_torture_fak", index, rcu_torture_fakewriter));
    rcu_torture_writer(updates);
    show_tasks();
    for task in fakes.into_iter().chain(threads.into_iter().flatten()) {
        kthread_stop(task);
    }
    // All callbacks that age elements: each barrier makes them one older.
    for _ in 0..RCU_TORTURE_PIPE_LEN {
        rcu_barrier();
    }
    let busy = rcu_tortures.iter().filter(|rp| rp.busy.get()).count();
    if busy != 1 {
        fail(format_args!(
            "{busy} elements in use at the end, instead of the published one"
        ));
    }
    rcu_torture_barrier();
    tasks::run();
    let gps = rcu_seq_ctr(rcu_state.gp_seq.get()).wrapping_sub(first);
    let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    pr_info!(
        "rcutorture: {} reads ({} preempted, {} in interrupts), ages {} {}, {} updates, {} callbacks, {} freed",
        get(&COUNTS.reads),
        get(&COUNTS.preempted),
        get(&COUNTS.in_irq),
        get(&COUNTS.pipe[0]),
        get(&COUNTS.pipe[1]),
        get(&COUNTS.updates),
        get(&COUNTS.callbacks),
        get(&COUNTS.freed)
    );
    pr_info!(
        "rcutorture: {gps} grace periods, {} expedited, {} waits, {} scans",
        get(&rcu_state.n_expedited),
        get(&COUNTS.waits),
        rcu_state.n_force_qs.get()
    );
    if with_locks == 1 {
        locks::run();
    }
    pr_info!("rcutorture: End of test: SUCCESS");
}
