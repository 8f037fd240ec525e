//! Kernel threads: kthreadd makes them, others create, bind, park and stop them.
//!
//! Linux: `kernel/kthread.c` (v6.8).
//! Kept: the request list and kthreadd's loop, the new thread's first sleep, binding of an inactive
//! thread, parking, stopping; `worker`: threads that run works. Left out: memory nodes, freezer, blkcg.
//! Differs: requests are used again instead of freed; a full name has at most 63 bytes.
//! Locks: `kthread_create_lock` for the list; a thread's `pi_lock` while it is bound.

extern crate alloc;

pub mod worker;

use crate::arch::x86::include::asm::current::current;
use crate::arch::x86::include::asm::thread_info::TIF_NOTIFY_SIGNAL;
use crate::fence::shared::Shared;
use crate::fence::void::{VoidCell, VoidPtr};
use crate::include::linux::completion::Completion;
use crate::include::linux::cpumask::{Cpumask, cpu_possible_mask};
use crate::include::linux::errno::{EBUSY, EINTR, ENOMEM, ENOSYS};
use crate::include::linux::list::{ListHead, list_add_tail, list_del_init, list_empty};
use crate::include::linux::preempt::{preempt_disable, preempt_enable};
use crate::include::linux::sched::task::{
    CLONE_FILES, CLONE_FS, SIGCHLD, ThreadFn, get_task_struct, put_task_struct,
};
use crate::include::linux::sched::{
    __set_current_state, CommBuf, PF_EXITING, PF_KTHREAD, PF_NO_SETAFFINITY, PF_NOFREEZE,
    SCHED_NORMAL, TASK_COMM_LEN, TASK_INTERRUPTIBLE, TASK_PARKED, TASK_RUNNING,
    TASK_UNINTERRUPTIBLE, TaskRef, same_task, set_current_state, set_special_state,
    set_tsk_thread_flag,
};
use crate::include::linux::spinlock::RawSpinlock;
use crate::include::trace::events::sched::{
    trace_sched_kthread_stop, trace_sched_kthread_stop_ret,
};
use crate::kernel::exit::do_exit;
use crate::kernel::fork::kernel_thread;
use crate::kernel::sched::completion::{
    complete, wait_for_completion, wait_for_completion_killable,
};
use crate::kernel::sched::core::affinity::do_set_cpus_allowed;
use crate::kernel::sched::core::{
    SchedParam, sched_setscheduler_nocheck, schedule, schedule_preempt_disabled,
    set_cpus_allowed_ptr, wait_task_inactive, wake_up_process, wake_up_state,
};
use crate::lib::string::as_str;
use crate::{WARN_ON, WARN_ON_ONCE, intrusive_adapter};
use alloc::boxed::Box;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

pub use worker::{
    KthreadWork, KthreadWorker, kthread_cancel_work_sync, kthread_create_worker,
    kthread_destroy_worker, kthread_flush_work, kthread_flush_worker, kthread_queue_work,
};

/// Bound to one CPU.
pub const KTHREAD_IS_PER_CPU: u64 = 1 << 0;
/// Asked to end.
pub const KTHREAD_SHOULD_STOP: u64 = 1 << 1;
/// Asked to stand aside.
pub const KTHREAD_SHOULD_PARK: u64 = 1 << 2;

/// Bytes of a full name, with the NUL: what /proc/PID/comm has room for. (Linux allocates the name.)
const FULL_NAME_LEN: usize = 64;

/// A full name, NUL-terminated; written by its owner alone.
struct FullName([Shared<u8>; FULL_NAME_LEN]);

impl FullName {
    const fn new() -> FullName {
        FullName([const { Shared::new(0) }; FULL_NAME_LEN])
    }

    fn set(&self, name: fmt::Arguments<'_>) {
        struct Writer<'a>(&'a FullName, usize);
        impl fmt::Write for Writer<'_> {
            fn write_str(&mut self, s: &str) -> fmt::Result {
                for &byte in s.as_bytes() {
                    // What does not fit is dropped.
                    if self.1 < FULL_NAME_LEN - 1 {
                        self.0.0[self.1].set(byte);
                        self.1 += 1;
                    }
                }
                Ok(())
            }
        }
        let mut writer = Writer(self, 0);
        // It cannot fail.
        let _ = fmt::Write::write_fmt(&mut writer, name);
        self.0[writer.1].set(0);
    }

    fn get(&self) -> [u8; FULL_NAME_LEN] {
        core::array::from_fn(|at| self.0[at].get())
    }

    /// As much of it as a task's name holds.
    fn comm(&self) -> [u8; TASK_COMM_LEN] {
        let full = self.get();
        CommBuf::format(format_args!("{}", as_str(&full)))
    }
}

/// What makes a task a kernel thread.
#[doc(alias = "kthread")]
#[repr(C)]
pub struct Kthread {
    /// `KTHREAD_*`.
    pub flags: AtomicU64,
    /// Its CPU, if bound to one.
    pub cpu: Shared<u32>,
    /// What it returned.
    pub result: Shared<i32>,
    /// What it runs.
    pub threadfn: Shared<Option<ThreadFn>>,
    /// With which argument; written once, before it runs.
    pub data: VoidCell,
    /// Its name as it was asked for; `comm` may have only the first part of it.
    full_name: FullName,
    /// Fires when it has parked.
    pub parked: Completion,
    /// Fires when it has ended.
    pub exited: Completion,
}

impl Kthread {
    fn new() -> Kthread {
        Kthread {
            flags: AtomicU64::new(0),
            cpu: Shared::new(0),
            result: Shared::new(-EINTR),
            threadfn: Shared::new(None),
            data: VoidCell::new(VoidPtr::NULL),
            full_name: FullName::new(),
            parked: Completion::new(),
            exited: Completion::new(),
        }
    }

    fn reset(&self) {
        self.full_name.set(format_args!(""));
        self.flags.store(0, Ordering::Relaxed);
        self.cpu.set(0);
        self.result.set(-EINTR);
        self.threadfn.set(None);
        self.data.set(VoidPtr::NULL);
        self.parked.reinit();
        self.exited.reinit();
    }

    fn test(&self, bit: u64) -> bool {
        self.flags.load(Ordering::SeqCst) & bit != 0
    }
}

/// A request to kthreadd. Not on the creator's stack, because a creator that is killed does not wait for the end of
/// it; the last who has to do with it lays it aside for the next request.
#[doc(alias = "kthread_create_info")]
struct KthreadCreateInfo {
    full_name: FullName,
    threadfn: Shared<Option<ThreadFn>>,
    /// Written before the request is queued.
    data: VoidCell,
    result: Shared<Option<TaskRef>>,
    error: Shared<i32>,
    done: Completion,
    /// The one of the two sides that took it first: the other one has been told, or is gone (Linux takes the
    /// pointer to `done` out of the request instead).
    taken: AtomicBool,
    /// In the list of requests, or of those laid aside.
    list: ListHead,
}

intrusive_adapter!(
    /// Requests by their link.
    CreateLink = KthreadCreateInfo { list: ListHead });

static kthread_create_lock: RawSpinlock = RawSpinlock::new();
static kthread_create_list: ListHead = ListHead::new();
/// Requests for the next creators; under the same lock.
static free_requests: ListHead = ListHead::new();
/// The task that makes all kernel threads, pid 2.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
pub static kthreadd_task: Shared<Option<TaskRef>> = Shared::new(None);

/// The kernel-thread side of a task.
pub fn to_kthread(p: TaskRef) -> &'static Kthread {
    WARN_ON!(p.flags.get() & PF_KTHREAD == 0);
    p.worker_private
        .get()
        .expect("a kernel thread without its kthread")
}

/// Gives a task its kernel-thread side. A slot keeps it for the next task.
pub fn set_kthread_struct(p: TaskRef) {
    let kthread = match p.worker_private.get() {
        Some(kthread) => {
            kthread.reset();
            kthread
        }
        None => &*Box::leak(Box::new(Kthread::new())),
    };
    p.worker_private.set(Some(kthread));
    // Whoever stops it waits for what a parent of vfork waits for: that it lets go of its memory map.
    p.vfork_done.set(Some(&kthread.exited));
}

/// Whether the current thread shall end.
pub fn kthread_should_stop() -> bool {
    to_kthread(current()).test(KTHREAD_SHOULD_STOP)
}

/// Whether the current thread shall stand aside.
pub fn kthread_should_park() -> bool {
    to_kthread(current()).test(KTHREAD_SHOULD_PARK)
}

/// Stands aside as long as it is asked to.
fn __kthread_parkme(self_: &'static Kthread) {
    loop {
        // A special state: the wake-up of unpark must not be lost between test and sleep.
        set_special_state(TASK_PARKED);
        if !self_.test(KTHREAD_SHOULD_PARK) {
            break;
        }
        // Preemption off: whoever waits for us to be parked finds us asleep.
        preempt_disable();
        complete(&self_.parked);
        schedule_preempt_disabled();
        preempt_enable();
    }
    __set_current_state(TASK_RUNNING);
}

/// The current thread stands aside if it is asked to.
pub fn kthread_parkme() {
    __kthread_parkme(to_kthread(current()));
}

/// Ends the current thread.
pub fn kthread_exit(result: i32) -> ! {
    to_kthread(current()).result.set(result);
    do_exit(0)
}

/// The name of a kernel thread as it was asked for, or of another task as it is.
pub fn get_kthread_comm(tsk: TaskRef) -> [u8; FULL_NAME_LEN] {
    let full = tsk
        .worker_private
        .get()
        .map(|kthread| kthread.full_name.get());
    full.filter(|full| full[0] != 0)
        .unwrap_or_else(|| core::array::from_fn(|at| tsk.comm.get(at).map_or(0, Shared::get)))
}

/// What a kernel thread was given to work with.
pub fn kthread_data(task: TaskRef) -> VoidPtr {
    to_kthread(task).data.get()
}

/// Lays a request aside; nobody looks at it any more.
fn free_request(create: &'static KthreadCreateInfo) {
    let _guard = kthread_create_lock.lock();
    list_add_tail(&create.list, &free_requests);
}

/// A request, new or used before.
fn alloc_request() -> &'static KthreadCreateInfo {
    let used = {
        let _guard = kthread_create_lock.lock();
        let used = CreateLink::first(&free_requests);
        if let Some(create) = used {
            list_del_init(&create.list);
        }
        used
    };
    let create = used.unwrap_or_else(|| {
        Box::leak(Box::new(KthreadCreateInfo {
            full_name: FullName::new(),
            threadfn: Shared::new(None),
            data: VoidCell::new(VoidPtr::NULL),
            result: Shared::new(None),
            error: Shared::new(0),
            done: Completion::new(),
            taken: AtomicBool::new(false),
            list: ListHead::new(),
        }))
    });
    create.result.set(None);
    create.error.set(0);
    create.done.reinit();
    create.taken.store(false, Ordering::Relaxed);
    create
}

/// The first function of every kernel thread.
extern "C" fn kthread(create: VoidPtr) -> i32 {
    let create = create.get::<KthreadCreateInfo>();
    let task = current();
    let self_ = to_kthread(task);
    let (threadfn, data) = (create.threadfn.get(), create.data.get());
    // The creator was killed, and is gone: nobody wants this thread.
    if create.taken.swap(true, Ordering::AcqRel) {
        free_request(create);
        kthread_exit(-EINTR);
    }
    self_
        .full_name
        .set(format_args!("{}", as_str(&create.full_name.get())));
    self_.threadfn.set(threadfn);
    self_.data.set(data);
    // Whatever kthreadd has been made: threads start ordinary, and on any CPU. Usually nothing changes.
    sched_setscheduler_nocheck(task, SCHED_NORMAL, &SchedParam::default());
    set_cpus_allowed_ptr(task, &cpu_possible_mask());

    // The creator decides when we run on: it may want to bind us first.
    __set_current_state(TASK_UNINTERRUPTIBLE);
    create.result.set(Some(task));
    preempt_disable();
    complete(&create.done);
    schedule_preempt_disabled();
    preempt_enable();

    let mut ret = -EINTR;
    if let Some(threadfn) = threadfn.filter(|_| !self_.test(KTHREAD_SHOULD_STOP)) {
        __kthread_parkme(self_);
        ret = threadfn(data);
    }
    kthread_exit(ret)
}

fn create_kthread(create: &'static KthreadCreateInfo) {
    let pid = kernel_thread(
        kthread,
        VoidPtr::new(create),
        Some(create.full_name.comm()),
        CLONE_FS | CLONE_FILES | SIGCHLD as u64,
    );
    if pid < 0 {
        if create.taken.swap(true, Ordering::AcqRel) {
            free_request(create);
            return;
        }
        create.error.set(pid);
        complete(&create.done);
    }
}

/// Asks kthreadd for a thread; it sleeps until it is woken for the first time (`__kthread_create_on_node`).
///
/// # Context
/// May sleep.
/// # Returns
/// The thread, or an error number: -EINTR if the caller is killed before kthreadd has come to it.
#[inline(never)]
pub fn kthread_create(
    threadfn: ThreadFn,
    data: VoidPtr,
    name: fmt::Arguments<'_>,
) -> Result<TaskRef, i32> {
    let create = alloc_request();
    create.full_name.set(name);
    create.threadfn.set(Some(threadfn));
    create.data.set(data);
    {
        let _guard = kthread_create_lock.lock();
        list_add_tail(&create.list, &kthread_create_list);
    }
    wake_up_process(kthreadd_task.get().expect("no kthreadd yet"));
    // Killable, because kthreadd may be waiting for memory that only the caller's end sets free.
    if wait_for_completion_killable(&create.done) != 0 {
        // Whoever comes to the request finds nobody, and clears away.
        if !create.taken.swap(true, Ordering::AcqRel) {
            return Err(-EINTR);
        }
        // Somebody is about to complete it.
        wait_for_completion(&create.done);
    }
    let thread = create.result.get().ok_or(match create.error.get() {
        0 => -ENOMEM,
        error => error,
    });
    free_request(create);
    thread
}

/// Creates a thread and lets it run.
pub fn kthread_run(
    threadfn: ThreadFn,
    data: VoidPtr,
    name: fmt::Arguments<'_>,
) -> Result<TaskRef, i32> {
    let task = kthread_create(threadfn, data, name)?;
    wake_up_process(task);
    Ok(task)
}

/// Fixes the mask of a thread that sleeps in `state` and is in no queue.
///
/// No move happens here: the thread's next wake-up takes it to its CPU.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn __kthread_bind_mask(p: TaskRef, mask: &Cpumask, state: u32) {
    if !wait_task_inactive(p, state) {
        WARN_ON!(true);
        return;
    }
    let _guard = p.pi_lock.lock_irqsave();
    do_set_cpus_allowed(p, mask);
    p.flags.or(PF_NO_SETAFFINITY);
}

fn __kthread_bind(p: TaskRef, cpu: u32, state: u32) {
    __kthread_bind_mask(p, &Cpumask::of(cpu), state);
}

/// Binds a newly created thread to a set of CPUs.
pub fn kthread_bind_mask(p: TaskRef, mask: &Cpumask) {
    __kthread_bind_mask(p, mask, TASK_UNINTERRUPTIBLE);
}

/// Binds a newly created thread to a CPU.
pub fn kthread_bind(p: TaskRef, cpu: u32) {
    __kthread_bind(p, cpu, TASK_UNINTERRUPTIBLE);
}

/// Creates a thread for one CPU. Parking and unparking binds it there again.
pub fn kthread_create_on_cpu(
    threadfn: ThreadFn,
    data: VoidPtr,
    cpu: u32,
    name: &str,
) -> Result<TaskRef, i32> {
    let p = kthread_create(threadfn, data, format_args!("{name}/{cpu}"))?;
    kthread_bind(p, cpu);
    to_kthread(p).cpu.set(cpu);
    Ok(p)
}

/// Says whether a thread belongs to one CPU, and to which.
pub fn kthread_set_per_cpu(k: TaskRef, cpu: Option<u32>) {
    let kthread = to_kthread(k);
    WARN_ON_ONCE!(k.flags.get() & PF_NO_SETAFFINITY == 0);
    match cpu {
        Some(cpu) => {
            kthread.cpu.set(cpu);
            kthread.flags.fetch_or(KTHREAD_IS_PER_CPU, Ordering::SeqCst);
        }
        None => {
            kthread
                .flags
                .fetch_and(!KTHREAD_IS_PER_CPU, Ordering::SeqCst);
        }
    }
}

/// Whether a thread belongs to one CPU.
pub fn kthread_is_per_cpu(p: TaskRef) -> bool {
    p.flags.get() & PF_KTHREAD != 0
        && p.worker_private
            .get()
            .is_some_and(|kthread| kthread.test(KTHREAD_IS_PER_CPU))
}

/// Lets a parked thread run, on its CPU. One that belongs to a CPU must be parked, when it is stopped too.
pub fn kthread_unpark(k: TaskRef) {
    let kthread = to_kthread(k);
    // It may have parked on another CPU, while its own was not there yet. A thread that is not parked has no
    // business here if it belongs to a CPU: the binding warns. Since 6.12 Linux looks for the flag first.
    if kthread.test(KTHREAD_IS_PER_CPU) {
        __kthread_bind(k, kthread.cpu.get(), TASK_PARKED);
    }
    kthread
        .flags
        .fetch_and(!KTHREAD_SHOULD_PARK, Ordering::SeqCst);
    // Only out of this state: it may be waiting for something else by now.
    wake_up_state(k, TASK_PARKED);
}

/// Asks a thread to stand aside and waits until it does.
///
/// # Context
/// May sleep, unless the thread asks itself.
/// # Returns
/// 0, -ENOSYS if it is ending, -EBUSY if it has been asked already.
pub fn kthread_park(k: TaskRef) -> i32 {
    let kthread = to_kthread(k);
    if WARN_ON!(k.flags.get() & PF_EXITING != 0) {
        return -ENOSYS;
    }
    if WARN_ON_ONCE!(kthread.test(KTHREAD_SHOULD_PARK)) {
        return -EBUSY;
    }
    kthread
        .flags
        .fetch_or(KTHREAD_SHOULD_PARK, Ordering::SeqCst);
    if !same_task(k, current()) {
        wake_up_process(k);
        wait_for_completion(&kthread.parked);
        WARN_ON_ONCE!(!wait_task_inactive(k, TASK_PARKED));
    }
    0
}

/// Asks a thread to end and waits until it has.
///
/// # Context
/// May sleep. The caller holds a reference, or the thread does not end by itself.
/// # Returns
/// What it returned; -EINTR if it never ran.
pub fn kthread_stop(k: TaskRef) -> i32 {
    trace_sched_kthread_stop(k);
    get_task_struct(k);
    let kthread = to_kthread(k);
    kthread
        .flags
        .fetch_or(KTHREAD_SHOULD_STOP, Ordering::SeqCst);
    kthread_unpark(k);
    // Sleeps that a signal would end end now.
    set_tsk_thread_flag(k, TIF_NOTIFY_SIGNAL);
    wake_up_process(k);
    wait_for_completion(&kthread.exited);
    let ret = kthread.result.get();
    put_task_struct(k);
    trace_sched_kthread_stop_ret(ret);
    ret
}

/// The same, and gives the caller's reference back.
pub fn kthread_stop_put(k: TaskRef) -> i32 {
    let ret = kthread_stop(k);
    put_task_struct(k);
    ret
}

/// Pid 2: forks every kernel thread that is asked for, in the order they are asked for.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
pub extern "C" fn kthreadd(_unused: VoidPtr) -> i32 {
    let tsk = current();
    tsk.set_comm(&CommBuf::format(format_args!("kthreadd")));
    set_cpus_allowed_ptr(tsk, &cpu_possible_mask());
    tsk.flags.or(PF_NOFREEZE);
    loop {
        set_current_state(TASK_INTERRUPTIBLE);
        if list_empty(&kthread_create_list) {
            schedule();
        }
        __set_current_state(TASK_RUNNING);
        while let Some(create) = next_request() {
            create_kthread(create);
        }
    }
}

fn next_request() -> Option<&'static KthreadCreateInfo> {
    let _guard = kthread_create_lock.lock();
    let create = CreateLink::first(&kthread_create_list)?;
    list_del_init(&create.list);
    Some(create)
}
