//! The load: who runs while CPUs come and go, and what each of them checks of itself.

use super::benchmark::{self, BENCH};
use super::{PATIENCE_NS, fail};
use crate::arch::x86::include::asm::current::current;
use crate::arch::x86::include::asm::smp::raw_smp_processor_id;
use crate::fence::shared::Shared;
use crate::fence::void::VoidPtr;
use crate::include::linux::completion::Completion;
use crate::include::linux::cpu::{cpus_read_lock, cpus_read_unlock};
use crate::include::linux::cpumask::{Cpumask, NR_CPUS, cpu_possible_mask};
use crate::include::linux::errno::{EINVAL, ENOENT, ENXIO};
use crate::include::linux::jiffies::jiffies;
use crate::include::linux::kthread::{kthread_run, kthread_stop};
use crate::include::linux::rcupdate::call_rcu;
use crate::include::linux::sched::task::CLONE_FS;
use crate::include::linux::sched::{CommBuf, SCHED_FIFO, SCHED_RR, TaskRef, task_cpu};
use crate::include::linux::smp::smp_call_function_single;
use crate::include::linux::stop_machine::{stop_machine, stop_one_cpu, stop_two_cpus};
use crate::include::linux::timer::TimerList;
use crate::include::linux::types::RcuHead;
use crate::include::linux::wait::WaitQueueHead;
use crate::include::linux::workqueue::{
    DelayedWork, WORK_CPU_UNBOUND, WorkStruct, queue_delayed_work, queue_work_on,
    system_highpri_wq, system_unbound_wq, system_wq,
};
use crate::intrusive_adapter;
use crate::kernel::fork::user_mode_thread;
use crate::kernel::kreplay::common::{compute, wait_for_stop};
use crate::kernel::kreplay::counters::count;
use crate::kernel::kreplay::hackbench::received;
use crate::kernel::pid::find_task_by_pid;
use crate::kernel::sched::clock::sched_clock;
use crate::kernel::sched::completion::{complete, wait_for_completion};
use crate::kernel::sched::core::{
    SchedParam, migrate_disable, migrate_enable, sched_setscheduler_nocheck, set_cpus_allowed_ptr,
};
use crate::kernel::sched::wait::{wait_event, wake_up};
use crate::kernel::time::timer::sleep::{msleep, usleep_range};
use crate::kernel::time::timer::{mod_timer, timer_setup};
use crate::pr_info;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Most of a kind.
pub(super) const MOST: u64 = 2 * NR_CPUS as u64;
/// Messages that may be on their way in a pair.
const WINDOW: u64 = 4;

/// One task of the load.
pub(super) struct Actor {
    index: Shared<u64>,
    pub(super) rounds: AtomicU64,
    /// How far it was when everybody was last asked to go on.
    seen: Shared<u64>,
    task: Shared<Option<TaskRef>>,
    /// A kernel thread; others end by themselves.
    is_kthread: Shared<bool>,
    /// The CPU it is bound to.
    home: Shared<u32>,
    timer: TimerList,
    work: WorkStruct,
    delayed: DelayedWork,
    rcu: RcuHead,
    done: Completion,
}

impl Actor {
    pub(super) const fn new() -> Actor {
        Actor {
            index: Shared::new(0),
            rounds: AtomicU64::new(0),
            seen: Shared::new(0),
            task: Shared::new(None),
            is_kthread: Shared::new(true),
            home: Shared::new(u32::MAX),
            timer: TimerList::new(),
            work: WorkStruct::new(work_done),
            delayed: DelayedWork::new(delayed_done),
            rcu: RcuHead::new(),
            done: Completion::new(),
        }
    }

    /// A number that changes as long as it gets on.
    fn progress(&self) -> u64 {
        if core::ptr::eq(self, &BENCH) {
            received()
        } else {
            self.rounds.load(Ordering::Relaxed)
        }
    }
}

intrusive_adapter!(
    /// Actors by their timer.
    ActorOfTimer = Actor { timer: TimerList });
intrusive_adapter!(
    /// Actors by their work.
    ActorOfWork = Actor { work: WorkStruct });

intrusive_adapter!(
    /// Actors by their delayed work.
    ActorOfDelayed = Actor { delayed.work: WorkStruct });
intrusive_adapter!(
    /// Actors by what they wait for with RCU.
    ActorOfRcu = Actor { rcu: RcuHead });

/// The way between a sender and its receiver.
struct Pair {
    sent: AtomicU64,
    received: AtomicU64,
    room: WaitQueueHead,
    mail: WaitQueueHead,
    ended: AtomicBool,
}

static PAIRS: [Pair; MOST as usize] = [const {
    Pair {
        sent: AtomicU64::new(0),
        received: AtomicU64::new(0),
        room: WaitQueueHead::new(),
        mail: WaitQueueHead::new(),
        ended: AtomicBool::new(false),
    }
}; MOST as usize];
static SENDERS: [Actor; MOST as usize] = [const { Actor::new() }; MOST as usize];
static RECEIVERS: [Actor; MOST as usize] = [const { Actor::new() }; MOST as usize];
static HOGS: [Actor; MOST as usize] = [const { Actor::new() }; MOST as usize];
static PINNED: [Actor; MOST as usize] = [const { Actor::new() }; MOST as usize];
static ASKERS: [Actor; 2] = [const { Actor::new() }; 2];
static RTS: [Actor; MOST as usize] = [const { Actor::new() }; MOST as usize];
static STOPPING: AtomicBool = AtomicBool::new(false);
static FINISHED: AtomicU64 = AtomicU64::new(0);
static HIRED: Shared<u64> = Shared::new(0);

/// What has been asked for, and what has come.
struct Counts {
    timers: AtomicU64,
    fired: AtomicU64,
    works: AtomicU64,
    worked: AtomicU64,
    callbacks: AtomicU64,
    called: AtomicU64,
    stays: AtomicU64,
    /// Requests that were not refused, and functions that ran for them.
    asked: AtomicU64,
    visits: AtomicU64,
    rebound: AtomicU64,
    widened: AtomicU64,
}
static COUNTS: Counts = Counts {
    timers: AtomicU64::new(0),
    fired: AtomicU64::new(0),
    works: AtomicU64::new(0),
    worked: AtomicU64::new(0),
    callbacks: AtomicU64::new(0),
    called: AtomicU64::new(0),
    stays: AtomicU64::new(0),
    asked: AtomicU64::new(0),
    visits: AtomicU64::new(0),
    rebound: AtomicU64::new(0),
    widened: AtomicU64::new(0),
};

fn everybody() -> impl Iterator<Item = &'static Actor> {
    SENDERS
        .iter()
        .chain(&RECEIVERS)
        .chain(&HOGS)
        .chain(&PINNED)
        .chain(&RTS)
        .chain(&ASKERS)
        .chain([&BENCH])
        .filter(|actor| actor.task.get().is_some())
}

pub(super) fn hire_one(
    actor: &'static Actor,
    name: &str,
    index: u64,
    part: extern "C" fn(VoidPtr) -> i32,
) {
    actor.index.set(index);
    let hired = kthread_run(part, VoidPtr::new(actor), format_args!("{name}/{index}"));
    match hired {
        Ok(task) => actor.task.set(Some(task)),
        Err(error) => fail(format_args!("no thread {name}/{index}: error {error}")),
    }
    HIRED.inc();
}

/// As the first process comes to be: no kernel thread, so it may run on active CPUs only.
fn hire_user(actor: &'static Actor, index: u64) {
    actor.index.set(index);
    actor.is_kthread.set(false);
    let pid = user_mode_thread(pinned, VoidPtr::new(actor), CLONE_FS);
    let Some(task) = find_task_by_pid(pid) else {
        fail(format_args!("no task {index}: {pid}"))
    };
    task.set_comm(&CommBuf::format(format_args!("user/{index}")));
    actor.task.set(Some(task));
    HIRED.inc();
}

/// Starts everybody.
pub(super) fn hire(all: Cpumask, pairs: u64, hogs: u64, with_pinned: bool, rts: u64) {
    for index in 0..pairs {
        hire_one(&RECEIVERS[index as usize], "receive", index, receiver);
        hire_one(&SENDERS[index as usize], "send", index, sender);
    }
    for index in 0..hogs {
        hire_one(&HOGS[index as usize], "hog", index, hog);
    }
    if with_pinned {
        for (cpu, slot) in all.iter().zip((0..).step_by(2)) {
            let (thread, user) = (&PINNED[slot], &PINNED[slot + 1]);
            hire_one(thread, "pin", slot as u64, pinned);
            hire_user(user, slot as u64 + 1);
            thread.home.set(cpu);
            user.home.set(cpu);
            bind(thread);
            bind(user);
        }
    }
    for (actor, index) in ASKERS.iter().zip(0..) {
        hire_one(actor, "ask", index, asker);
    }
    for index in 0..rts {
        let actor = &RTS[index as usize];
        hire_one(actor, "rt", index, rt);
        let policy = [SCHED_FIFO, SCHED_RR][index as usize % 2];
        let param = SchedParam {
            sched_priority: 20 + index as u32 % 40,
        };
        let task = actor.task.get();
        let ret = task.map_or(-1, |task| sched_setscheduler_nocheck(task, policy, &param));
        if ret != 0 {
            fail(format_args!("rt/{index} gets {ret}"));
        }
    }
}

fn bind(actor: &Actor) {
    let (Some(task), home) = (actor.task.get(), actor.home.get()) else {
        return;
    };
    let ret = set_cpus_allowed_ptr(task, &Cpumask::of(home));
    if ret != 0 {
        fail(format_args!("binding {task:?} to cpu{home} gets {ret}"));
    }
}

/// A CPU is back: its pinned tasks are bound to it again. While it was off, those that woke up or ran got
/// the widest mask; nobody has another.
pub(super) fn bind_again(cpu: u32) {
    for actor in PINNED.iter().filter(|actor| actor.home.get() == cpu) {
        let Some(task) = actor.task.get() else {
            continue;
        };
        let mask = task.cpus_mask.get();
        if mask == cpu_possible_mask() {
            count(&COUNTS.widened);
        } else if mask != Cpumask::of(cpu) {
            fail(format_args!("{task:?} has the mask {:#x}", mask.as_u64()));
        }
        bind(actor);
        count(&COUNTS.rebound);
    }
}

/// Waits until every single task has gone round once more.
pub(super) fn get_on() {
    let start = sched_clock();
    for actor in everybody() {
        actor.seen.set(actor.progress());
    }
    for actor in everybody() {
        while actor.progress() == actor.seen.get() {
            if sched_clock() - start > PATIENCE_NS.get() {
                let task = actor.task.get();
                fail(format_args!(
                    "{task:?} is lost: state {:?} on cpu{:?}",
                    task.map(|task| task.__state.get()),
                    task.map(task_cpu)
                ));
            }
            usleep_range(100, 200);
        }
    }
}

/// Lets everybody come to an end.
pub(super) fn dismiss() {
    STOPPING.store(true, Ordering::SeqCst);
    let (mut start, mut messages) = (sched_clock(), received());
    while FINISHED.load(Ordering::Acquire) != HIRED.get() || !benchmark::is_over() {
        for pair in &PAIRS {
            wake_up(&pair.room);
            wake_up(&pair.mail);
        }
        if received() != messages {
            (start, messages) = (sched_clock(), received());
        }
        if sched_clock() - start > PATIENCE_NS.get() {
            fail(format_args!(
                "{} of {} came to an end",
                FINISHED.load(Ordering::Relaxed),
                HIRED.get()
            ));
        }
        usleep_range(200, 400);
    }
    for actor in everybody().filter(|actor| actor.is_kthread.get()) {
        let ret = actor.task.get().map_or(0, kthread_stop);
        if ret != 0 {
            fail(format_args!("a thread returned {ret}"));
        }
    }
}

pub(super) fn stopping() -> bool {
    STOPPING.load(Ordering::SeqCst)
}

pub(super) fn finish(actor: &Actor) -> i32 {
    FINISHED.fetch_add(1, Ordering::Release);
    if actor.is_kthread.get() {
        wait_for_stop()
    } else {
        0
    }
}

/// The current task runs where its mask allows it, unless a change of the mask is under way.
fn check_mask() {
    let p = current();
    let guard = p.pi_lock.lock_irqsave();
    let (mask, cpu) = (p.cpus_mask.get(), raw_smp_processor_id());
    let bad = !mask.test(cpu) && p.migration_pending.get().is_none();
    drop(guard);
    if bad {
        fail(format_args!(
            "{p:?} runs on cpu{cpu} with mask {:#x}",
            mask.as_u64()
        ));
    }
}

extern "C" fn sender(data: VoidPtr) -> i32 {
    let actor = data.get::<Actor>();
    let pair = &PAIRS[actor.index.get() as usize];
    while !stopping() {
        wait_event(&pair.room, || {
            pair.sent.load(Ordering::SeqCst) < pair.received.load(Ordering::SeqCst) + WINDOW
                || stopping()
        });
        compute(200, actor.index.get());
        pair.sent.fetch_add(1, Ordering::SeqCst);
        wake_up(&pair.mail);
        check_mask();
        count(&actor.rounds);
        if pair.sent.load(Ordering::SeqCst).is_multiple_of(16) {
            usleep_range(400 + 30 * (actor.index.get() % 8), 800);
        }
    }
    pair.ended.store(true, Ordering::SeqCst);
    finish(actor)
}

extern "C" fn receiver(data: VoidPtr) -> i32 {
    let actor = data.get::<Actor>();
    let pair = &PAIRS[actor.index.get() as usize];
    loop {
        let waiting = || pair.sent.load(Ordering::SeqCst) > pair.received.load(Ordering::SeqCst);
        wait_event(&pair.mail, || {
            waiting() || pair.ended.load(Ordering::SeqCst)
        });
        if !waiting() {
            return finish(actor);
        }
        compute(150, actor.index.get());
        pair.received.fetch_add(1, Ordering::SeqCst);
        wake_up(&pair.room);
        check_mask();
        count(&actor.rounds);
    }
}

fn timer_fired(timer: &'static TimerList) {
    count(&COUNTS.fired);
    complete(&ActorOfTimer::entry(timer).done);
}

fn work_done(work: &'static WorkStruct) {
    compute(100, 1);
    count(&COUNTS.worked);
    complete(&ActorOfWork::entry(work).done);
}

fn delayed_done(work: &'static WorkStruct) {
    count(&COUNTS.worked);
    complete(&ActorOfDelayed::entry(work).done);
}

fn rcu_done(head: &'static RcuHead) {
    count(&COUNTS.called);
    complete(&ActorOfRcu::entry(head).done);
}

extern "C" fn pinned(data: VoidPtr) -> i32 {
    let actor = data.get::<Actor>();
    timer_setup(&actor.timer, timer_fired, 0);
    let mut round = actor.index.get();
    while !stopping() {
        compute(300, round);
        check_mask();
        match round % 6 {
            0 => {
                count(&COUNTS.timers);
                mod_timer(&actor.timer, jiffies() + round % 3);
                wait_for_completion(&actor.done);
            }
            1 => usleep_range(50 + 40 * (round % 7), 500),
            2 => hand_over(actor, round),
            3 => stay(),
            4 => {
                count(&COUNTS.works);
                if !queue_delayed_work(&system_wq, &actor.delayed, 1) {
                    fail(format_args!("a delayed work is queued twice"));
                }
                wait_for_completion(&actor.done);
            }
            _ => {
                count(&COUNTS.callbacks);
                call_rcu(&actor.rcu, rcu_done);
                wait_for_completion(&actor.done);
            }
        }
        round += 1;
        count(&actor.rounds);
    }
    finish(actor)
}

/// A work for the workers of this CPU, or of any, and its end.
fn hand_over(actor: &'static Actor, round: u64) {
    count(&COUNTS.works);
    let wq = match round / 6 % 3 {
        0 => &system_wq,
        1 => &system_highpri_wq,
        _ => &system_unbound_wq,
    };
    if !queue_work_on(WORK_CPU_UNBOUND, wq, &actor.work) {
        fail(format_args!("a work is queued twice"));
    }
    wait_for_completion(&actor.done);
}

/// Stays on a CPU across a sleep.
fn stay() {
    migrate_disable();
    let cpu = raw_smp_processor_id();
    usleep_range(100, 200);
    compute(100, 7);
    let now = raw_smp_processor_id();
    migrate_enable();
    if now != cpu {
        fail(format_args!(
            "{:?} went from cpu{cpu} to cpu{now}",
            current()
        ));
    }
    count(&COUNTS.stays);
}

/// Computes for long, so that it is often running when its CPU goes.
extern "C" fn hog(data: VoidPtr) -> i32 {
    let actor = data.get::<Actor>();
    while !stopping() {
        for round in 0..160 {
            compute(500, round);
            check_mask();
        }
        usleep_range(300 + 50 * (actor.index.get() % 8), 800);
        count(&actor.rounds);
    }
    finish(actor)
}

extern "C" fn visit(_: VoidPtr) -> i32 {
    count(&COUNTS.visits);
    0
}

fn call(_: u64) {
    count(&COUNTS.visits);
}

/// Asks the stoppers and the CPUs themselves for something, without caring which CPUs are on: each
/// request is served in full, or refused and nothing of it happens.
extern "C" fn asker(data: VoidPtr) -> i32 {
    let actor = data.get::<Actor>();
    let all = cpu_possible_mask().weight();
    let mut round = actor.index.get();
    while !stopping() {
        let a = round as u32 % all;
        let b = (a + 1 + round as u32 / all % (all - 1).max(1)) % all;
        let (ret, refusal) = match round % 5 {
            0 => (stop_one_cpu(a, visit, VoidPtr::NULL), -ENOENT),
            1 if a != b => (stop_two_cpus(a, b, visit, VoidPtr::NULL), -ENOENT),
            2 => (stop_machine(visit, VoidPtr::NULL, None), 0),
            3 => (smp_call_function_single(a, call, 0, true), -ENXIO),
            _ => (chase(round, a), -EINVAL),
        };
        if ret == 0 && (round % 5 != 1 || a != b) && round % 5 != 4 {
            count(&COUNTS.asked);
        } else if ret != 0 && ret != refusal {
            fail(format_args!("request {} for cpu{a} gets {ret}", round % 5));
        }
        round += 1;
        count(&actor.rounds);
        usleep_range(250 + 60 * actor.index.get(), 500);
    }
    finish(actor)
}

/// Moves a hog to a CPU, wherever it runs now. No CPU goes meanwhile: a kernel thread may be given a CPU
/// that is on its way out, but is not moved there any more, and runs on outside its mask until it next
/// sleeps. v6.8 knows that (a remark in `migration_cpu_stop`); here it would look like a lost mask.
fn chase(round: u64, cpu: u32) -> i32 {
    let hogs = HOGS.iter().filter_map(|hog| hog.task.get());
    let count = hogs.clone().count().max(1);
    let hog = hogs.clone().nth(round as usize / 5 % count);
    cpus_read_lock();
    let ret = hog.map_or(0, |task| set_cpus_allowed_ptr(task, &Cpumask::of(cpu)));
    cpus_read_unlock();
    ret
}

extern "C" fn rt(data: VoidPtr) -> i32 {
    let actor = data.get::<Actor>();
    let mut round = 0;
    while !stopping() {
        compute(400, round);
        check_mask();
        round += 1;
        if round.is_multiple_of(16) {
            msleep(1);
        } else {
            usleep_range(150 + 20 * actor.index.get(), 400);
        }
        count(&actor.rounds);
    }
    finish(actor)
}

/// Compares what was asked for with what has come, and prints it.
pub(super) fn report() {
    let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let sent: u64 = PAIRS.iter().map(|pair| get(&pair.sent)).sum();
    let received = PAIRS.iter().map(|pair| get(&pair.received)).sum();
    let c = &COUNTS;
    for (what, asked, came) in [
        ("messages", sent, received),
        ("timers", get(&c.timers), get(&c.fired)),
        ("works", get(&c.works), get(&c.worked)),
        ("RCU callbacks", get(&c.callbacks), get(&c.called)),
        ("requests", get(&c.asked), get(&c.visits)),
    ] {
        if asked != came {
            fail(format_args!("{came} of {asked} {what}"));
        }
    }
    pr_info!(
        "hotplug: {sent} messages, {} timers, {} works, {} RCU callbacks, {} requests, {} stays, \
         {} of {} pinned tasks widened",
        get(&c.timers),
        get(&c.works),
        get(&c.callbacks),
        get(&c.asked),
        get(&c.stays),
        get(&c.widened),
        get(&c.rebound)
    );
}
