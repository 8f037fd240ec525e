//! Locks that sleep, played as Linux's `locktorture` does, and the waits they are made of.
//!
//! - *storm*: threads on all CPUs take a mutex, an rwsem, a semaphore for two and a percpu_rwsem, hold it for
//!   a moment, for a sleep at times, and check who else is inside: nobody beside a writer, at most two with
//!   the semaphore. A plain counter loses an addition if two are inside at once.
//! - *together*: what two may have at once, two have.
//! - *order*: waiters that fell asleep one after the other are served in that order.
//! - *waits*: timeouts end waits, signals end those they may end and no others, a bit is taken by one.
//! - *calls*: functions on other CPUs, by every door of `kernel/smp.c`.

use super::{Random, fail};
use crate::arch::x86::include::asm::current::current;
use crate::fence::shared::Shared;
use crate::fence::void::VoidPtr;
use crate::include::linux::completion::Completion;
use crate::include::linux::cpumask::{Cpumask, NR_CPUS, cpu_online_mask, num_online_cpus};
use crate::include::linux::errno::{EINTR, ENXIO, ERESTARTSYS, ETIME};
use crate::include::linux::jiffies::HZ;
use crate::include::linux::kthread::{kthread_run, kthread_stop};
use crate::include::linux::mutex::Mutex;
use crate::include::linux::percpu_rwsem::PercpuRwSemaphore;
use crate::include::linux::rwsem::RwSemaphore;
use crate::include::linux::sched::signal::{SIGKILL, allow_signal, send_sig};
use crate::include::linux::sched::{TASK_RUNNING, TASK_UNINTERRUPTIBLE, TaskRef};
use crate::include::linux::semaphore::Semaphore;
use crate::include::linux::smp::{
    kick_all_cpus_sync, on_each_cpu_cond_mask, smp_call_function, smp_call_function_any,
    smp_call_function_single, smp_call_on_cpu, smp_processor_id, wake_up_all_idle_cpus,
};
use crate::include::linux::wait::WaitQueueHead;
use crate::kernel::kreplay::common::{compute, nth_cpu, wait_for_stop};
use crate::kernel::sched::completion::{
    complete, wait_for_completion, wait_for_completion_interruptible, wait_for_completion_timeout,
};
use crate::kernel::sched::core::set_cpus_allowed_ptr;
use crate::kernel::sched::wait::{wait_event_timeout, wake_up};
use crate::kernel::sched::wait_bit::{
    clear_and_wake_up_bit, wait_on_bit_lock, wait_var_event, wake_up_var,
};
use crate::kernel::time::timer::sleep::usleep_range;
use crate::pr_info;
use core::sync::atomic::{AtomicI64, AtomicU64, Ordering};

const MAX_THREADS: usize = 16;
/// Rounds of each thread through all locks.
const ROUNDS: u64 = 24;

static mutex: Mutex = Mutex::new();
static rwsem: RwSemaphore = RwSemaphore::new();
static semaphore: Semaphore = Semaphore::new(2);
static pcpu_rwsem: PercpuRwSemaphore = PercpuRwSemaphore::new();

/// Who is inside a lock, and how it went.
struct Inside {
    name: &'static str,
    readers: AtomicI64,
    writers: AtomicI64,
    most: AtomicI64,
    /// Additions that only exclusion keeps whole.
    plain: Shared<u64>,
    exact: AtomicU64,
}

const fn inside(name: &'static str) -> Inside {
    Inside {
        name,
        readers: AtomicI64::new(0),
        writers: AtomicI64::new(0),
        most: AtomicI64::new(0),
        plain: Shared::new(0),
        exact: AtomicU64::new(0),
    }
}

static in_mutex: Inside = inside("mutex");
static in_rwsem: Inside = inside("rwsem");
static in_semaphore: Inside = inside("semaphore");
static in_pcpu: Inside = inside("percpu_rwsem");

impl Inside {
    /// A section that nobody shares.
    fn write(&self, random: &mut Random) {
        let others = self.writers.fetch_add(1, Ordering::SeqCst);
        let readers = self.readers.load(Ordering::SeqCst);
        if others != 0 || readers != 0 {
            fail(format_args!(
                "{:?} writes in {} beside {others} writers and {readers} readers",
                current(),
                self.name
            ));
        }
        let before = self.plain.get();
        stay(random);
        self.plain.set(before + 1);
        self.exact.fetch_add(1, Ordering::SeqCst);
        self.writers.fetch_sub(1, Ordering::SeqCst);
    }

    /// A section that up to `most` share.
    fn share(&self, random: &mut Random, most: i64) {
        let now = self.readers.fetch_add(1, Ordering::SeqCst) + 1;
        let writers = self.writers.load(Ordering::SeqCst);
        if writers != 0 || now > most {
            fail(format_args!(
                "{:?} shares {} with {} others and {writers} writers",
                current(),
                self.name,
                now - 1
            ));
        }
        self.most.fetch_max(now, Ordering::SeqCst);
        stay(random);
        self.readers.fetch_sub(1, Ordering::SeqCst);
    }

    fn check(&self) {
        let (plain, exact) = (self.plain.get(), self.exact.load(Ordering::SeqCst));
        if plain != exact {
            fail(format_args!("{}: {plain} additions of {exact}", self.name));
        }
    }
}

/// A moment inside: a sleep at times, so that others fall asleep too.
fn stay(random: &mut Random) {
    if random.below(8) == 0 {
        usleep_range(200, 300);
    } else {
        compute(random.below(2_000) as u32, 5);
    }
}

static indices: [Shared<u64>; MAX_THREADS] = [const { Shared::new(0) }; MAX_THREADS];
static storm_done: [Completion; MAX_THREADS] = [const { Completion::new() }; MAX_THREADS];

fn one_round(random: &mut Random) {
    match random.below(8) {
        0 | 1 => {
            mutex.lock();
            in_mutex.write(random);
            mutex.unlock();
        }
        2 => {
            rwsem.down_write();
            in_rwsem.write(random);
            if random.below(2) == 0 {
                // Readers may come in, writers may not.
                in_rwsem.readers.fetch_add(1, Ordering::SeqCst);
                rwsem.downgrade_write();
                stay(random);
                in_rwsem.readers.fetch_sub(1, Ordering::SeqCst);
                rwsem.up_read();
            } else {
                rwsem.up_write();
            }
        }
        3 | 4 => {
            rwsem.down_read();
            in_rwsem.share(random, i64::MAX);
            rwsem.up_read();
        }
        5 => {
            semaphore.down();
            in_semaphore.share(random, 2);
            semaphore.up();
        }
        6 => {
            pcpu_rwsem.down_read();
            in_pcpu.share(random, i64::MAX);
            pcpu_rwsem.up_read();
        }
        _ if random.below(4) == 0 => {
            pcpu_rwsem.down_write();
            in_pcpu.write(random);
            pcpu_rwsem.up_write();
        }
        _ => {}
    }
}

extern "C" fn stormer(data: VoidPtr) -> i32 {
    let index = data.get::<Shared<u64>>().get();
    let mut random = Random::new(index + 77);
    for _ in 0..ROUNDS {
        one_round(&mut random);
        let us = random.below(400);
        usleep_range(us, us + 50);
    }
    complete(&storm_done[index as usize]);
    wait_for_stop()
}

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

fn storm() {
    let count = (4 * num_online_cpus() as usize).min(MAX_THREADS);
    let mut threads: [Option<TaskRef>; MAX_THREADS] = [None; MAX_THREADS];
    for (index, thread) in threads.iter_mut().enumerate().take(count) {
        let task = start("lock_torture", index, stormer);
        set_cpus_allowed_ptr(task, &Cpumask::of(nth_cpu(index as u64)));
        *thread = Some(task);
    }
    for (done, thread) in storm_done.iter().zip(threads) {
        if let Some(thread) = thread {
            wait_for_completion(done);
            kthread_stop(thread);
        }
    }
    in_mutex.check();
    in_rwsem.check();
    in_semaphore.check();
    in_pcpu.check();
    pr_info!(
        "rcutorture: locks: {} times mutex, {} times rwsem written and {} readers together, {} of 2, {} percpu_rwsem and {}",
        in_mutex.plain.get(),
        in_rwsem.plain.get(),
        in_rwsem.most.load(Ordering::Relaxed),
        in_semaphore.most.load(Ordering::Relaxed),
        in_pcpu.plain.get(),
        in_pcpu.most.load(Ordering::Relaxed)
    );
}

// Together.

/// What two may hold at once.
static shared: [Take; 3] = [
    Take {
        name: "rwsem",
        down: || rwsem.down_read(),
        up: || rwsem.up_read(),
    },
    Take {
        name: "semaphore",
        down: || semaphore.down(),
        up: || semaphore.up(),
    },
    Take {
        name: "percpu_rwsem",
        down: || pcpu_rwsem.down_read(),
        up: || pcpu_rwsem.up_read(),
    },
];

extern "C" fn second(_unused: VoidPtr) -> i32 {
    let take = &shared[scene.load(Ordering::SeqCst) as usize];
    (take.down)();
    complete(&waiting);
    (take.up)();
    wait_for_stop()
}

/// While one holds it, a second one gets it too.
fn together() {
    for (index, take) in shared.iter().enumerate() {
        scene.store(index as u64, Ordering::SeqCst);
        waiting.reinit();
        (take.down)();
        let task = start("lock_together", 0, second);
        if wait_for_completion_timeout(&waiting, HZ) == 0 {
            fail(format_args!(
                "{}: the second one does not get in",
                take.name
            ));
        }
        (take.up)();
        kthread_stop(task);
    }
}

// Order.

const WAITERS: usize = 4;
/// Who was served, in order.
static served: [Shared<u64>; WAITERS] = [const { Shared::new(0) }; WAITERS];
static served_len: AtomicU64 = AtomicU64::new(0);

fn serve(index: u64) {
    let at = served_len.fetch_add(1, Ordering::SeqCst) as usize;
    served[at].set(index);
}

/// What the waiters of a scene take, and the end of it.
struct Take {
    name: &'static str,
    down: fn(),
    up: fn(),
}

static takes: [Take; 4] = [
    Take {
        name: "mutex",
        down: || mutex.lock(),
        up: || mutex.unlock(),
    },
    Take {
        name: "rwsem",
        down: || rwsem.down_write(),
        up: || rwsem.up_write(),
    },
    Take {
        name: "semaphore",
        down: || semaphore.down(),
        up: || semaphore.up(),
    },
    Take {
        name: "percpu_rwsem",
        down: || pcpu_rwsem.down_write(),
        up: || pcpu_rwsem.up_write(),
    },
];
static scene: AtomicU64 = AtomicU64::new(0);

extern "C" fn waiter(data: VoidPtr) -> i32 {
    let take = &takes[scene.load(Ordering::SeqCst) as usize];
    (take.down)();
    serve(data.get::<Shared<u64>>().get());
    (take.up)();
    wait_for_stop()
}

/// Until the task sleeps: then it is in the lock's queue.
fn wait_until_asleep(task: TaskRef) {
    loop {
        usleep_range(100, 150);
        if task.__state.get() & TASK_UNINTERRUPTIBLE != 0 && task.on_rq.get() == 0 {
            return;
        }
    }
}

fn order() {
    // The semaphore is for two: one of them stays away.
    semaphore.down();
    for (index, take) in takes.iter().enumerate() {
        scene.store(index as u64, Ordering::SeqCst);
        served_len.store(0, Ordering::SeqCst);
        (take.down)();
        let threads: [TaskRef; WAITERS] = core::array::from_fn(|index| {
            let task = start("lock_order", index, waiter);
            wait_until_asleep(task);
            task
        });
        (take.up)();
        while served_len.load(Ordering::SeqCst) < WAITERS as u64 {
            usleep_range(100, 150);
        }
        threads.into_iter().for_each(|task| {
            kthread_stop(task);
        });
        for (at, index) in served.iter().enumerate() {
            if index.get() != at as u64 {
                fail(format_args!(
                    "{}: waiter {} was served as number {at}",
                    take.name,
                    index.get()
                ));
            }
        }
    }
    semaphore.up();
}

// Waits.

static never: Completion = Completion::new();
static waiting: Completion = Completion::new();
static verdict: AtomicI64 = AtomicI64::new(0);
static word: AtomicU64 = AtomicU64::new(0);
static queue: WaitQueueHead = WaitQueueHead::new();

extern "C" fn interruptible(_unused: VoidPtr) -> i32 {
    complete(&waiting);
    verdict.store(
        i64::from(wait_for_completion_interruptible(&never)),
        Ordering::SeqCst,
    );
    wait_for_stop()
}

extern "C" fn killable(_unused: VoidPtr) -> i32 {
    allow_signal(SIGKILL);
    complete(&waiting);
    verdict.store(i64::from(mutex.lock_killable()), Ordering::SeqCst);
    wait_for_stop()
}

/// Waits for the bit, takes it, and says so in a variable.
extern "C" fn bit_taker(_unused: VoidPtr) -> i32 {
    complete(&waiting);
    wait_on_bit_lock(&word, 3, TASK_UNINTERRUPTIBLE);
    verdict.store(1, Ordering::SeqCst);
    wake_up_var(&verdict);
    wake_up(&queue);
    wait_for_stop()
}

fn expect(what: &str, got: i64, want: i64) {
    if got != want {
        fail(format_args!("{what}: {got} instead of {want}"));
    }
}

fn begin(name: &str, f: extern "C" fn(VoidPtr) -> i32) -> TaskRef {
    waiting.reinit();
    verdict.store(0, Ordering::SeqCst);
    let task = start(name, 0, f);
    wait_for_completion(&waiting);
    while task.__state.get() == TASK_RUNNING {
        usleep_range(100, 150);
    }
    task
}

fn waits() {
    expect(
        "wait_for_completion_timeout",
        wait_for_completion_timeout(&never, 2) as i64,
        0,
    );
    complete(&never);
    let left = wait_for_completion_timeout(&never, 7) as i64;
    expect("wait_for_completion_timeout of a done one", left, 7);
    expect(
        "wait_event_timeout",
        wait_event_timeout(&queue, || false, 2) as i64,
        0,
    );
    semaphore.down();
    semaphore.down();
    expect(
        "down_timeout",
        i64::from(semaphore.down_timeout(2)),
        i64::from(-ETIME),
    );
    expect("down_trylock", i64::from(semaphore.down_trylock()), 0);
    semaphore.up();
    semaphore.up();

    // Being stopped counts as a signal.
    let task = begin("interruptible", interruptible);
    kthread_stop(task);
    expect(
        "an interruptible wait of a thread that is stopped",
        verdict.load(Ordering::SeqCst),
        i64::from(-ERESTARTSYS),
    );
    mutex.lock();
    let task = begin("killable", killable);
    expect("send_sig", i64::from(send_sig(SIGKILL, task)), 0);
    while verdict.load(Ordering::SeqCst) == 0 {
        usleep_range(100, 150);
    }
    expect(
        "mutex_lock_killable",
        verdict.load(Ordering::SeqCst),
        i64::from(-EINTR),
    );
    mutex.unlock();
    kthread_stop(task);

    word.store(1 << 3, Ordering::SeqCst);
    let task = begin("bit_taker", bit_taker);
    clear_and_wake_up_bit(3, &word);
    wait_var_event(&verdict, || verdict.load(Ordering::SeqCst) == 1);
    expect(
        "wait_on_bit_lock",
        word.load(Ordering::SeqCst) as i64,
        1 << 3,
    );
    kthread_stop(task);
}

// Calls.

static called: [AtomicU64; NR_CPUS] = [const { AtomicU64::new(0) }; NR_CPUS];

fn call(by: u64) {
    called[smp_processor_id() as usize].fetch_add(by, Ordering::SeqCst);
}

fn calls() {
    let online = cpu_online_mask();
    let me = nth_cpu(0);
    set_cpus_allowed_ptr(current(), &Cpumask::of(me));
    let total = || -> u64 { called.iter().map(|n| n.load(Ordering::SeqCst)).sum() };
    let others = u64::from(online.weight() - 1);
    smp_call_function(call, 1, true);
    expect("smp_call_function", total() as i64, others as i64);
    on_each_cpu_cond_mask(|cpu| cpu % 2 == 0, call, 1, true, online);
    let even = online.iter().filter(|cpu| cpu % 2 == 0).count() as u64;
    expect(
        "on_each_cpu_cond_mask",
        total() as i64,
        (others + even) as i64,
    );
    let before = called[me as usize].load(Ordering::SeqCst);
    expect(
        "smp_call_function_any",
        i64::from(smp_call_function_any(online, call, 1, true)),
        0,
    );
    expect(
        "smp_call_function_any here",
        called[me as usize].load(Ordering::SeqCst) as i64,
        before as i64 + 1,
    );
    let absent = (0..NR_CPUS as u32).rev().find(|&cpu| !online.test(cpu));
    if let Some(absent) = absent {
        let error = smp_call_function_single(absent, call, 1, true);
        expect(
            "a call to an offline CPU",
            i64::from(error),
            i64::from(-ENXIO),
        );
        let error = smp_call_function_any(Cpumask::of(absent), call, 1, true);
        expect(
            "a call to any of the offline CPUs",
            i64::from(error),
            i64::from(-ENXIO),
        );
    }
    for cpu in online.iter() {
        let answer = smp_call_on_cpu(cpu, |par| smp_processor_id() as i32 + par as i32, 1000);
        expect("smp_call_on_cpu", i64::from(answer), 1000 + i64::from(cpu));
    }
    kick_all_cpus_sync();
    wake_up_all_idle_cpus();
    set_cpus_allowed_ptr(current(), &online);
}

/// Plays all of it.
pub fn run() {
    storm();
    together();
    order();
    waits();
    calls();
    pr_info!("rcutorture: locks, waits and calls keep their rules");
}
