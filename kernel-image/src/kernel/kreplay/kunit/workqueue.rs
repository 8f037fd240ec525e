//! Tests of workqueues and kthread workers: what is promised about order, limits, flushing, cancelling and ends.

extern crate alloc;

use super::until;
use crate::arch::x86::include::asm::current::current;
use crate::arch::x86::include::asm::smp::raw_smp_processor_id;
use crate::fence::shared::Shared;
use crate::fence::void::VoidPtr;
use crate::include::kunit::test::Kunit;
use crate::include::linux::completion::Completion;
use crate::include::linux::cpumask::{cpu_online_mask, num_online_cpus};
use crate::include::linux::jiffies::{HZ, jiffies, time_before};
use crate::include::linux::kthread::{
    KthreadWork, kthread_cancel_work_sync, kthread_create_worker, kthread_destroy_worker,
    kthread_flush_work, kthread_flush_worker, kthread_queue_work,
};
use crate::include::linux::sched::{PF_WQ_WORKER, TasksLink};
use crate::include::linux::workqueue::*;
use crate::init::init_task::init_task;
use crate::kernel::fork::tasklist_lock;
use crate::kernel::sched::completion::{complete_all, wait_for_completion};
use crate::kernel::time::timer::sleep::{msleep, usleep_range};
use crate::kernel::workqueue::pool::cpu_worker_pools;
use crate::net::core::net_namespace;
use crate::{
    KUNIT_ASSERT_TRUE, KUNIT_EXPECT_EQ, KUNIT_EXPECT_FALSE, KUNIT_EXPECT_GE, KUNIT_EXPECT_LE,
    KUNIT_EXPECT_TRUE, kunit_test_suite,
};
use alloc::boxed::Box;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};

const WORKS: usize = 24;

/// Who runs just now, at most, and in which order they came.
struct Watch {
    running: AtomicI32,
    most: AtomicI32,
    done: AtomicU64,
    order: [Shared<usize>; WORKS],
}

static WATCH: Watch = Watch {
    running: AtomicI32::new(0),
    most: AtomicI32::new(0),
    done: AtomicU64::new(0),
    order: [const { Shared::new(usize::MAX) }; WORKS],
};

static WATCHED: [WorkStruct; WORKS] = [const { WorkStruct::new(watched) }; WORKS];

fn watched(work: &'static WorkStruct) {
    let now = WATCH.running.fetch_add(1, Ordering::SeqCst) + 1;
    WATCH.most.fetch_max(now, Ordering::SeqCst);
    let number = WATCHED.iter().position(|it| core::ptr::eq(it, work));
    usleep_range(200, 200);
    let place = WATCH.done.fetch_add(1, Ordering::SeqCst) as usize;
    WATCH.order[place % WORKS].set(number.unwrap_or(usize::MAX));
    WATCH.running.fetch_sub(1, Ordering::SeqCst);
}

/// Queues all watched works and waits for them; how many ran at once at most.
fn watch(wq: &'static WorkqueueStruct) -> i32 {
    WATCH.most.store(0, Ordering::SeqCst);
    WATCH.done.store(0, Ordering::SeqCst);
    for work in &WATCHED {
        queue_work(wq, work);
    }
    flush_workqueue(wq);
    WATCH.most.load(Ordering::SeqCst)
}

fn ordered_runs_one_at_a_time(test: &Kunit) {
    let wq = alloc_ordered_workqueue("kunit_ordered", 0);
    KUNIT_ASSERT_TRUE!(test, wq.is_some());
    let Some(wq) = wq else { return };
    KUNIT_EXPECT_EQ!(test, watch(wq), 1);
    KUNIT_EXPECT_EQ!(test, WATCH.done.load(Ordering::SeqCst), WORKS as u64);
    for (place, cell) in WATCH.order.iter().enumerate() {
        KUNIT_EXPECT_EQ!(test, cell.get(), place);
    }
    destroy_workqueue(wq);
}

/// As many as the limit says are active, on the CPU they were queued on; the rest waits its turn.
fn max_active_is_a_limit(test: &Kunit) {
    for (max_active, most) in [(1, 1), (3, 3)] {
        let wq = alloc_workqueue("kunit_limit", 0, max_active);
        KUNIT_ASSERT_TRUE!(test, wq.is_some());
        let Some(wq) = wq else { return };
        WATCH.most.store(0, Ordering::SeqCst);
        WATCH.done.store(0, Ordering::SeqCst);
        for work in &WATCHED {
            queue_work_on(0, wq, work);
        }
        flush_workqueue(wq);
        KUNIT_EXPECT_EQ!(test, WATCH.most.load(Ordering::SeqCst), most);
        KUNIT_EXPECT_EQ!(test, WATCH.done.load(Ordering::SeqCst), WORKS as u64);
        destroy_workqueue(wq);
    }
}

static CPUS_SEEN: AtomicU64 = AtomicU64::new(0);
static WORKER_FLAG: AtomicU64 = AtomicU64::new(0);

fn where_am_i(_: &'static WorkStruct) {
    CPUS_SEEN.fetch_or(1 << raw_smp_processor_id(), Ordering::SeqCst);
    if current().flags.get() & PF_WQ_WORKER != 0 && current_work().is_some() {
        WORKER_FLAG.fetch_add(1, Ordering::SeqCst);
    }
}

fn bound_works_run_on_their_cpu(test: &Kunit) {
    static WORK: WorkStruct = WorkStruct::new(where_am_i);
    for cpu in cpu_online_mask().iter() {
        CPUS_SEEN.store(0, Ordering::SeqCst);
        KUNIT_EXPECT_TRUE!(test, queue_work_on(cpu, &system_wq, &WORK));
        flush_work(&WORK);
        KUNIT_EXPECT_EQ!(test, CPUS_SEEN.load(Ordering::SeqCst), 1 << cpu);
        CPUS_SEEN.store(0, Ordering::SeqCst);
        queue_work_on(cpu, &system_highpri_wq, &WORK);
        flush_work(&WORK);
        KUNIT_EXPECT_EQ!(test, CPUS_SEEN.load(Ordering::SeqCst), 1 << cpu);
    }
    CPUS_SEEN.store(0, Ordering::SeqCst);
    WORKER_FLAG.store(0, Ordering::SeqCst);
    schedule_on_each_cpu(where_am_i);
    KUNIT_EXPECT_EQ!(
        test,
        CPUS_SEEN.load(Ordering::SeqCst),
        cpu_online_mask().as_u64()
    );
    KUNIT_EXPECT_EQ!(
        test,
        WORKER_FLAG.load(Ordering::SeqCst),
        u64::from(num_online_cpus())
    );
}

fn cpu_times_seven(factor: VoidPtr) -> i64 {
    i64::from(raw_smp_processor_id()) * *factor.get::<i64>()
}

fn work_on_cpu_returns_what_the_function_does(test: &Kunit) {
    static SEVEN: i64 = 7;
    for cpu in cpu_online_mask().iter() {
        let ret = work_on_cpu(cpu, cpu_times_seven, VoidPtr::new(&SEVEN));
        KUNIT_EXPECT_EQ!(test, ret, i64::from(cpu) * 7);
    }
}

static BLOCK: Completion = Completion::new();
static BLOCKED: AtomicU64 = AtomicU64::new(0);
static RAN: AtomicU64 = AtomicU64::new(0);

fn blocks(_: &'static WorkStruct) {
    BLOCKED.fetch_add(1, Ordering::SeqCst);
    wait_for_completion(&BLOCK);
}

fn runs(_: &'static WorkStruct) {
    RAN.fetch_add(1, Ordering::SeqCst);
}

/// While one work sleeps another one of the pool runs, by another worker; and then only one worker counts.
fn a_sleeping_work_does_not_stop_the_pool(test: &Kunit) {
    static SLEEPER: WorkStruct = WorkStruct::new(blocks);
    static OTHER: WorkStruct = WorkStruct::new(runs);
    BLOCK.reinit();
    BLOCKED.store(0, Ordering::SeqCst);
    RAN.store(0, Ordering::SeqCst);
    queue_work_on(0, &system_wq, &SLEEPER);
    KUNIT_EXPECT_TRUE!(test, until(|| BLOCKED.load(Ordering::SeqCst) == 1));
    queue_work_on(0, &system_wq, &OTHER);
    flush_work(&OTHER);
    KUNIT_EXPECT_EQ!(test, RAN.load(Ordering::SeqCst), 1);
    KUNIT_EXPECT_EQ!(test, work_busy(&SLEEPER), WORK_BUSY_RUNNING);
    let pool = &cpu_worker_pools.per_cpu(0)[0];
    KUNIT_EXPECT_GE!(test, pool.nr_workers.get(), 2);
    complete_all(&BLOCK);
    KUNIT_EXPECT_TRUE!(test, flush_work(&SLEEPER) || work_busy(&SLEEPER) == 0);
    KUNIT_EXPECT_TRUE!(test, until(|| pool.nr_running.get() == 0));
}

static REQUEUED: WorkStruct = WorkStruct::new(runs_alone);
static ALONE: AtomicI32 = AtomicI32::new(0);
static TOGETHER: AtomicBool = AtomicBool::new(false);

fn runs_alone(_: &'static WorkStruct) {
    if ALONE.fetch_add(1, Ordering::SeqCst) != 0 {
        TOGETHER.store(true, Ordering::SeqCst);
    }
    RAN.fetch_add(1, Ordering::SeqCst);
    usleep_range(300, 300);
    ALONE.fetch_sub(1, Ordering::SeqCst);
}

/// Queued again while it runs, on whatever CPU, it runs again but not beside itself.
fn no_work_runs_beside_itself(test: &Kunit) {
    RAN.store(0, Ordering::SeqCst);
    let mut queued = 0;
    for round in 0..40 {
        let cpus = cpu_online_mask();
        let cpu = cpus.iter().nth(round % cpus.weight() as usize).unwrap_or(0);
        queued += u64::from(queue_work_on(cpu, &system_wq, &REQUEUED));
        usleep_range(100, 100);
    }
    flush_work(&REQUEUED);
    KUNIT_EXPECT_FALSE!(test, TOGETHER.load(Ordering::SeqCst));
    KUNIT_EXPECT_EQ!(test, RAN.load(Ordering::SeqCst), queued);
}

fn cancelling_takes_works_back(test: &Kunit) {
    static SLEEPER: WorkStruct = WorkStruct::new(blocks);
    static BEHIND: WorkStruct = WorkStruct::new(runs);
    let wq = alloc_workqueue("kunit_cancel", 0, 1);
    KUNIT_ASSERT_TRUE!(test, wq.is_some());
    let Some(wq) = wq else { return };
    BLOCK.reinit();
    BLOCKED.store(0, Ordering::SeqCst);
    RAN.store(0, Ordering::SeqCst);
    queue_work_on(0, wq, &SLEEPER);
    KUNIT_EXPECT_TRUE!(test, until(|| BLOCKED.load(Ordering::SeqCst) == 1));
    // It waits for the limit: it can be taken back, once.
    queue_work_on(0, wq, &BEHIND);
    KUNIT_EXPECT_EQ!(test, work_busy(&BEHIND), WORK_BUSY_PENDING);
    KUNIT_EXPECT_TRUE!(test, cancel_work_sync(&BEHIND));
    KUNIT_EXPECT_FALSE!(test, cancel_work_sync(&BEHIND));
    KUNIT_EXPECT_EQ!(test, work_busy(&BEHIND), 0);
    // One that runs is waited for.
    complete_all(&BLOCK);
    KUNIT_EXPECT_FALSE!(test, cancel_work_sync(&SLEEPER));
    KUNIT_EXPECT_EQ!(test, work_busy(&SLEEPER), 0);
    KUNIT_EXPECT_EQ!(test, RAN.load(Ordering::SeqCst), 0);
    destroy_workqueue(wq);
}

static FIRED_AT: AtomicU64 = AtomicU64::new(0);

fn fires(_: &'static WorkStruct) {
    FIRED_AT.store(jiffies(), Ordering::SeqCst);
    RAN.fetch_add(1, Ordering::SeqCst);
}

fn delayed_works_are_never_early(test: &Kunit) {
    static DELAYED: DelayedWork = DelayedWork::new(fires);
    RAN.store(0, Ordering::SeqCst);
    let start = jiffies();
    KUNIT_EXPECT_TRUE!(test, schedule_delayed_work(&DELAYED, 5));
    KUNIT_EXPECT_FALSE!(test, schedule_delayed_work(&DELAYED, 5));
    KUNIT_EXPECT_TRUE!(test, until(|| RAN.load(Ordering::SeqCst) == 1));
    let fired = FIRED_AT.load(Ordering::SeqCst);
    KUNIT_EXPECT_FALSE!(test, time_before(fired, start + 5));
    KUNIT_EXPECT_LE!(test, fired.wrapping_sub(start), 8);
    // Moved further off, moved to now, taken back.
    schedule_delayed_work(&DELAYED, 3 * HZ);
    KUNIT_EXPECT_TRUE!(test, mod_delayed_work(&system_wq, &DELAYED, 2 * HZ));
    KUNIT_EXPECT_EQ!(test, RAN.load(Ordering::SeqCst), 1);
    KUNIT_EXPECT_TRUE!(test, mod_delayed_work(&system_wq, &DELAYED, 0));
    flush_delayed_work(&DELAYED);
    KUNIT_EXPECT_EQ!(test, RAN.load(Ordering::SeqCst), 2);
    schedule_delayed_work(&DELAYED, 2);
    KUNIT_EXPECT_TRUE!(test, cancel_delayed_work_sync(&DELAYED));
    msleep(20);
    KUNIT_EXPECT_EQ!(test, RAN.load(Ordering::SeqCst), 2);
    schedule_delayed_work(&DELAYED, HZ);
    flush_delayed_work(&DELAYED);
    KUNIT_EXPECT_EQ!(test, RAN.load(Ordering::SeqCst), 3);
}

/// Many flushers at once: more than there are colours.
fn many_flushers(test: &Kunit) {
    static FLUSHED: AtomicU64 = AtomicU64::new(0);
    static QUEUE: Shared<Option<&'static WorkqueueStruct>> = Shared::new(None);
    fn flushes(_: &'static WorkStruct) {
        if let Some(wq) = QUEUE.get() {
            queue_work(
                wq,
                &WATCHED[FLUSHED.load(Ordering::SeqCst) as usize % WORKS],
            );
            flush_workqueue(wq);
        }
        FLUSHED.fetch_add(1, Ordering::SeqCst);
    }
    let wq = alloc_workqueue("kunit_flush", WQ_UNBOUND, 4);
    KUNIT_ASSERT_TRUE!(test, wq.is_some());
    let Some(wq) = wq else { return };
    QUEUE.set(Some(wq));
    let flushers: &'static [WorkStruct; 40] =
        Box::leak(Box::new([const { WorkStruct::new(flushes) }; 40]));
    for work in flushers {
        queue_work(&system_unbound_wq, work);
    }
    for work in flushers {
        flush_work(work);
    }
    KUNIT_EXPECT_EQ!(test, FLUSHED.load(Ordering::SeqCst), 40);
    KUNIT_EXPECT_TRUE!(test, wq.first_flusher.get().is_none());
    destroy_workqueue(wq);
    QUEUE.set(None);
}

static CHAIN: WorkStruct = WorkStruct::new(chained);
static CHAIN_WQ: Shared<Option<&'static WorkqueueStruct>> = Shared::new(None);

fn chained(_: &'static WorkStruct) {
    if RAN.fetch_add(1, Ordering::SeqCst) < 9
        && let Some(wq) = CHAIN_WQ.get()
    {
        queue_work(wq, &CHAIN);
    }
}

fn draining_waits_for_works_of_works(test: &Kunit) {
    let wq = alloc_workqueue("kunit_drain", 0, 0);
    KUNIT_ASSERT_TRUE!(test, wq.is_some());
    let Some(wq) = wq else { return };
    CHAIN_WQ.set(Some(wq));
    RAN.store(0, Ordering::SeqCst);
    queue_work(wq, &CHAIN);
    destroy_workqueue(wq);
    KUNIT_EXPECT_EQ!(test, RAN.load(Ordering::SeqCst), 10);
    CHAIN_WQ.set(None);
}

/// Whether there is a task of this name.
fn exists(name: &str) -> bool {
    let _guard = tasklist_lock.lock();
    TasksLink::iter(&init_task.tasks).any(|task| {
        let comm = task
            .comm
            .iter()
            .map(Shared::get)
            .take_while(|&byte| byte != 0);
        comm.eq(name.bytes().take(15))
    })
}

/// A queue that needs memory to be reclaimed has its rescuer, which ends with it; a pool of its own, with its
/// workers, does too.
fn rescuers_and_pools_end_with_their_queues(test: &Kunit) {
    let flags = WQ_MEM_RECLAIM | WQ_UNBOUND | WQ_HIGHPRI;
    let before = nr_unbound_workers();
    let wq = alloc_workqueue("kunit", flags, 0);
    KUNIT_ASSERT_TRUE!(test, wq.is_some());
    let Some(wq) = wq else { return };
    KUNIT_EXPECT_TRUE!(test, exists("kworker/R-kunit"));
    KUNIT_EXPECT_GE!(test, nr_unbound_workers(), before + 1);
    WATCH.most.store(0, Ordering::SeqCst);
    KUNIT_EXPECT_LE!(test, watch(wq), WORKS as i32);
    destroy_workqueue(wq);
    // kthread_stop waits for the end of its function, not for the task's last breath.
    KUNIT_EXPECT_TRUE!(test, until(|| !exists("kworker/R-kunit")));
    KUNIT_EXPECT_TRUE!(test, until(|| nr_unbound_workers() == before));
}

/// Workers of urgent unbound pools.
fn nr_unbound_workers() -> usize {
    let _guard = tasklist_lock.lock();
    TasksLink::iter(&init_task.tasks)
        .filter(|task| {
            let comm = task.comm.iter().map(Shared::get).take(9);
            comm.eq(*b"kworker/u") && task.static_prio.get() == 100
        })
        .count()
}

static KTHREAD_ORDER: AtomicU64 = AtomicU64::new(0);

fn appends_one(_: &'static KthreadWork) {
    let old = KTHREAD_ORDER.load(Ordering::SeqCst);
    KTHREAD_ORDER.store(old * 10 + 1, Ordering::SeqCst);
}

fn appends_two(_: &'static KthreadWork) {
    usleep_range(500, 500);
    let old = KTHREAD_ORDER.load(Ordering::SeqCst);
    KTHREAD_ORDER.store(old * 10 + 2, Ordering::SeqCst);
}

fn kthread_workers_run_in_order(test: &Kunit) {
    static ONE: KthreadWork = KthreadWork::new(appends_one);
    static TWO: KthreadWork = KthreadWork::new(appends_two);
    let worker = kthread_create_worker(format_args!("kunit_worker"));
    KUNIT_ASSERT_TRUE!(test, worker.is_ok());
    let Ok(worker) = worker else { return };
    KTHREAD_ORDER.store(0, Ordering::SeqCst);
    KUNIT_EXPECT_TRUE!(test, kthread_queue_work(worker, &TWO));
    KUNIT_EXPECT_TRUE!(test, kthread_queue_work(worker, &ONE));
    KUNIT_EXPECT_FALSE!(test, kthread_queue_work(worker, &ONE));
    kthread_flush_worker(worker);
    KUNIT_EXPECT_EQ!(test, KTHREAD_ORDER.load(Ordering::SeqCst), 21);
    kthread_queue_work(worker, &TWO);
    kthread_queue_work(worker, &ONE);
    KUNIT_EXPECT_TRUE!(test, kthread_cancel_work_sync(&ONE));
    kthread_flush_work(&TWO);
    KUNIT_EXPECT_EQ!(test, KTHREAD_ORDER.load(Ordering::SeqCst), 212);
    kthread_destroy_worker(worker);
    // It has said that it ends; it is still to be taken off the list.
    KUNIT_EXPECT_TRUE!(test, until(|| !exists("kunit_worker")));
}

fn name_spaces_are_cleaned_up_by_netns(test: &Kunit) {
    let before = net_namespace::nr_cleaned.load(Ordering::SeqCst);
    let (a, b) = (net_namespace::copy_net_ns(), net_namespace::copy_net_ns());
    net_namespace::get_net(a);
    net_namespace::put_net(a);
    net_namespace::put_net(b);
    net_namespace::net_ns_barrier();
    KUNIT_EXPECT_EQ!(
        test,
        net_namespace::nr_cleaned.load(Ordering::SeqCst),
        before + 1
    );
    net_namespace::put_net(a);
    net_namespace::net_ns_barrier();
    KUNIT_EXPECT_EQ!(
        test,
        net_namespace::nr_cleaned.load(Ordering::SeqCst),
        before + 2
    );
}

kunit_test_suite!(
/// The suite.
suite = "workqueue": [
    ordered_runs_one_at_a_time,
    max_active_is_a_limit,
    bound_works_run_on_their_cpu,
    work_on_cpu_returns_what_the_function_does,
    a_sleeping_work_does_not_stop_the_pool,
    no_work_runs_beside_itself,
    cancelling_takes_works_back,
    delayed_works_are_never_early,
    many_flushers,
    draining_waits_for_works_of_works,
    rescuers_and_pools_end_with_their_queues,
    kthread_workers_run_in_order,
    name_spaces_are_cleaned_up_by_netns,
]);
