//! Tests of how tasks are made, of their numbers and maps, and of tasklets and messages.

use super::until;
use crate::arch::x86::include::asm::current::current;
use crate::fence::void::VoidPtr;
use crate::fs::exec::begin_new_exec;
use crate::include::kunit::test::Kunit;
use crate::include::linux::errno::{E2BIG, EINVAL};
use crate::include::linux::interrupt::{
    TaskletStruct, local_bh_disable, local_bh_enable, tasklet_disable, tasklet_enable,
    tasklet_hi_schedule, tasklet_kill, tasklet_schedule,
};
use crate::include::linux::mm_types::init_mm;
use crate::include::linux::preempt::in_interrupt;
use crate::include::linux::sched::PF_KTHREAD;
use crate::include::linux::sched::task::*;
use crate::kernel::exit::do_exit;
use crate::kernel::fork::{kernel_thread, sys_clone3, user_mode_thread};
use crate::kernel::pid::{find_task_by_pid, find_task_by_vpid, pid_max, set_pid_max};
use crate::kernel::printk::printk::{console_lock, console_unlock, printk_seq};
use crate::{
    KUNIT_EXPECT_EQ, KUNIT_EXPECT_FALSE, KUNIT_EXPECT_GT, KUNIT_EXPECT_LT, KUNIT_EXPECT_NE,
    KUNIT_EXPECT_TRUE, kunit_test_suite,
};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const SIZE: usize = CLONE_ARGS_SIZE_VER2;

extern "C" fn leaves(_: VoidPtr) -> i32 {
    do_exit(0)
}

static HAD_MM: AtomicU64 = AtomicU64::new(0);
static SEEN: AtomicBool = AtomicBool::new(false);

/// Says whose map it has: 0 for none, else the map's number.
extern "C" fn tells_its_mm(_: VoidPtr) -> i32 {
    let mm = current().mm.get().map_or(0, |mm| mm.ctx_id.get());
    HAD_MM.store(mm, Ordering::SeqCst);
    SEEN.store(true, Ordering::SeqCst);
    do_exit(0)
}

fn clone3_checks_its_arguments(test: &Kunit) {
    let good = CloneArgs {
        exit_signal: SIGCHLD as u64,
        ..CloneArgs::default()
    };
    let bad = [
        (good, CLONE_ARGS_SIZE_VER0 - 8, -EINVAL),
        (good, 4097, -E2BIG),
        (
            CloneArgs {
                exit_signal: 65,
                ..good
            },
            SIZE,
            -EINVAL,
        ),
        (
            CloneArgs {
                exit_signal: 0x111,
                ..good
            },
            SIZE,
            -EINVAL,
        ),
        (
            CloneArgs {
                flags: CLONE_DETACHED,
                ..good
            },
            SIZE,
            -EINVAL,
        ),
        (
            CloneArgs {
                flags: 1 << 40,
                ..good
            },
            SIZE,
            -EINVAL,
        ),
        (
            CloneArgs {
                flags: 0x11,
                ..good
            },
            SIZE,
            -EINVAL,
        ),
        // A thread has no signal, shares its handlers, and those need the memory.
        (
            CloneArgs {
                flags: CLONE_VM | CLONE_SIGHAND | CLONE_THREAD,
                ..good
            },
            SIZE,
            -EINVAL,
        ),
        (
            CloneArgs {
                flags: CLONE_THREAD,
                exit_signal: 0,
                ..good
            },
            SIZE,
            -EINVAL,
        ),
        (
            CloneArgs {
                flags: CLONE_SIGHAND,
                ..good
            },
            SIZE,
            -EINVAL,
        ),
        (
            CloneArgs {
                flags: CLONE_NEWNS | CLONE_FS,
                ..good
            },
            SIZE,
            -EINVAL,
        ),
        (
            CloneArgs {
                stack: 0x1000,
                ..good
            },
            SIZE,
            -EINVAL,
        ),
        (
            CloneArgs {
                stack_size: 0x1000,
                ..good
            },
            SIZE,
            -EINVAL,
        ),
        (
            CloneArgs {
                set_tid: 1,
                set_tid_size: 33,
                ..good
            },
            SIZE,
            -EINVAL,
        ),
        (
            CloneArgs {
                set_tid: 0,
                set_tid_size: 1,
                ..good
            },
            SIZE,
            -EINVAL,
        ),
        (
            CloneArgs {
                flags: CLONE_INTO_CGROUP,
                ..good
            },
            CLONE_ARGS_SIZE_VER1,
            -EINVAL,
        ),
    ];
    for (args, size, error) in bad {
        let ret = sys_clone3(&args, size, leaves, VoidPtr::NULL);
        KUNIT_EXPECT_EQ!(test, ret, error);
    }
}

/// Runs one door; the map of the child.
fn map_of_child(test: &Kunit, door: impl Fn() -> i32) -> u64 {
    SEEN.store(false, Ordering::SeqCst);
    let pid = door();
    KUNIT_EXPECT_GT!(test, pid, 0);
    KUNIT_EXPECT_TRUE!(test, until(|| SEEN.load(Ordering::SeqCst)));
    KUNIT_EXPECT_TRUE!(test, until(|| find_task_by_pid(pid).is_none()));
    HAD_MM.load(Ordering::SeqCst)
}

const ARGS: CloneArgs = CloneArgs {
    flags: 0,
    pidfd: 0,
    child_tid: 0,
    parent_tid: 0,
    exit_signal: SIGCHLD as u64,
    stack: 0,
    stack_size: 0,
    tls: 0,
    set_tid: 0,
    set_tid_size: 0,
    cgroup: 0,
};

/// The three doors: clone3 that copies, clone3 that shares and waits, a thread that will be a user's.
fn through_all_doors(test: &Kunit) -> [u64; 3] {
    let shared = CloneArgs {
        flags: CLONE_VM | CLONE_VFORK,
        ..ARGS
    };
    [
        map_of_child(test, || {
            sys_clone3(&ARGS, SIZE, tells_its_mm, VoidPtr::NULL)
        }),
        map_of_child(test, || {
            sys_clone3(&shared, SIZE, tells_its_mm, VoidPtr::NULL)
        }),
        map_of_child(test, || {
            user_mode_thread(tells_its_mm, VoidPtr::NULL, CLONE_FS | SIGCHLD as u64)
        }),
    ]
}

/// Of a task without a map come tasks without.
fn kernel_threads_have_no_map(test: &Kunit) {
    let me = current();
    KUNIT_EXPECT_TRUE!(
        test,
        me.flags.get() & PF_KTHREAD != 0 && me.mm.get().is_none()
    );
    // It borrows one while it runs.
    KUNIT_EXPECT_TRUE!(test, me.active_mm.get().is_some());
    KUNIT_EXPECT_EQ!(test, through_all_doors(test), [0, 0, 0]);
    let init = find_task_by_vpid(1);
    KUNIT_EXPECT_TRUE!(
        test,
        init.is_some_and(|task| task.mm.get().is_some() && task.flags.get() & PF_KTHREAD == 0)
    );
    let kthreadd = find_task_by_vpid(2);
    KUNIT_EXPECT_TRUE!(test, kthreadd.is_some_and(|task| task.mm.get().is_none()));
    KUNIT_EXPECT_GT!(test, init_mm.mm_count.load(Ordering::SeqCst), 0);
}

/// What a user's task found: its map and its children's, its map's users before and after.
static FOUND: [AtomicU64; 6] = [const { AtomicU64::new(0) }; 6];
static FOUND_ALL: AtomicBool = AtomicBool::new(false);

extern "C" fn user_program(_: VoidPtr) -> i32 {
    begin_new_exec("user");
    let Some(mm) = current().mm.get() else {
        do_exit(1)
    };
    let users = || mm.mm_users.load(Ordering::SeqCst) as u64;
    FOUND[0].store(mm.ctx_id.get(), Ordering::SeqCst);
    FOUND[1].store(users(), Ordering::SeqCst);
    let test = Kunit::new();
    for (cell, map) in FOUND[2..].iter().zip(through_all_doors(&test)) {
        cell.store(map, Ordering::SeqCst);
    }
    until(|| users() == 1);
    FOUND[5].store(users(), Ordering::SeqCst);
    FOUND_ALL.store(true, Ordering::SeqCst);
    do_exit(0)
}

/// Who has a map hands it on, as a copy or shared, through whichever door.
fn copy_mm_follows_the_parent(test: &Kunit) {
    FOUND_ALL.store(false, Ordering::SeqCst);
    let pid = user_mode_thread(user_program, VoidPtr::NULL, CLONE_FS | SIGCHLD as u64);
    KUNIT_EXPECT_GT!(test, pid, 0);
    KUNIT_EXPECT_TRUE!(test, until(|| FOUND_ALL.load(Ordering::SeqCst)));
    let found: [u64; 6] = core::array::from_fn(|n| FOUND[n].load(Ordering::SeqCst));
    let [own, before, copied, shared, user_mode, after] = found;
    KUNIT_EXPECT_NE!(test, own, 0);
    KUNIT_EXPECT_NE!(test, copied, 0);
    KUNIT_EXPECT_NE!(test, copied, own);
    KUNIT_EXPECT_EQ!(test, (shared, user_mode), (own, own));
    KUNIT_EXPECT_EQ!(test, (before, after), (1, 1));
}

/// Numbers rise; when the last one is reached they begin again at 300, past those that are taken.
fn pids_wrap_to_300(test: &Kunit) {
    let old = pid_max.get();
    let next = || kernel_thread(leaves, VoidPtr::NULL, None, CLONE_FS | SIGCHLD as u64);
    let gone = |pid| until(|| find_task_by_pid(pid).is_none());
    let (first, second) = (next(), next());
    KUNIT_EXPECT_GT!(test, second, first);
    KUNIT_EXPECT_EQ!(test, set_pid_max(300), -EINVAL);
    KUNIT_EXPECT_EQ!(test, set_pid_max(1 << 20), -EINVAL);
    let limit = second.max(400) + 20;
    KUNIT_EXPECT_EQ!(test, set_pid_max(limit), 0);
    let mut last = second;
    let mut wrapped = false;
    for _ in 0..limit {
        let pid = next();
        KUNIT_EXPECT_TRUE!(test, gone(pid));
        if pid < last {
            KUNIT_EXPECT_TRUE!(test, pid >= 300);
            KUNIT_EXPECT_LT!(test, pid, 400);
            wrapped = true;
            break;
        }
        last = pid;
    }
    KUNIT_EXPECT_TRUE!(test, wrapped);
    KUNIT_EXPECT_EQ!(test, set_pid_max(old), 0);
}

static TASKLET_RAN: AtomicU64 = AtomicU64::new(0);

fn tasklet_runs(_: &'static TaskletStruct) {
    if in_interrupt() {
        TASKLET_RAN.fetch_add(1, Ordering::SeqCst);
    }
}

static TASKLET: TaskletStruct = TaskletStruct::new(tasklet_runs);

fn tasklets_run_once_and_not_while_disabled(test: &Kunit) {
    let ran = || TASKLET_RAN.load(Ordering::SeqCst);
    local_bh_disable();
    tasklet_schedule(&TASKLET);
    tasklet_schedule(&TASKLET);
    KUNIT_EXPECT_EQ!(test, ran(), 0);
    local_bh_enable();
    tasklet_kill(&TASKLET);
    KUNIT_EXPECT_EQ!(test, ran(), 1);
    tasklet_disable(&TASKLET);
    tasklet_hi_schedule(&TASKLET);
    KUNIT_EXPECT_FALSE!(test, ran() != 1);
    tasklet_enable(&TASKLET);
    tasklet_kill(&TASKLET);
    KUNIT_EXPECT_EQ!(test, ran(), 2);
}

fn the_console_waits_for_its_lock(test: &Kunit) {
    console_lock();
    let (before, printed) = printk_seq();
    KUNIT_EXPECT_EQ!(test, before, printed);
    crate::pr_info!("kept while the console is locked");
    KUNIT_EXPECT_EQ!(test, printk_seq(), (before + 1, printed));
    console_unlock();
    let (next, printed) = printk_seq();
    KUNIT_EXPECT_EQ!(test, next, printed);
    crate::printk_deferred!(6, "printed from an interrupt");
    KUNIT_EXPECT_TRUE!(
        test,
        until(|| {
            let (next, printed) = printk_seq();
            next == printed
        })
    );
}

kunit_test_suite!(
/// The suite.
suite = "fork": [
    clone3_checks_its_arguments,
    copy_mm_follows_the_parent,
    kernel_threads_have_no_map,
    pids_wrap_to_300,
    tasklets_run_once_and_not_while_disabled,
    the_console_waits_for_its_lock,
]);
