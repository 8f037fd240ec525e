//! Waiting for a bit, or for any word, without a wait queue of its own. Linux: `kernel/sched/wait_bit.c`
//! (v6.8).
//!
//! Kept: 256 queues, chosen by a hash of the word's address; waits for a bit to clear, waits that take the
//! bit, waits for a variable. Left out: I/O variants. Differs: a wake-up compares keys itself, queue entries
//! have no key argument.
//! Locks: the queue's.

use crate::arch::x86::include::asm::current::current;
use crate::fence::stack_pinned::StackObject;
use crate::include::linux::errno::EINTR;
use crate::include::linux::list::list_empty;
use crate::include::linux::sched::signal::signal_pending_state;
use crate::include::linux::sched::{MAX_SCHEDULE_TIMEOUT, TASK_NORMAL, smp_mb};
use crate::include::linux::wait::{WQ_FLAG_EXCLUSIVE, WaitLink, WaitQueueEntry, WaitQueueHead};
use crate::kernel::sched::wait::{finish_wait, prepare_to_wait};
use crate::kernel::time::timer::sleep::schedule_timeout;
use crate::{container_of, stack_pinned};
use core::sync::atomic::{AtomicU64, Ordering};

const WAIT_TABLE_BITS: u32 = 8;
const WAIT_TABLE_SIZE: usize = 1 << WAIT_TABLE_BITS;
/// The bit of a key that stands for a whole variable.
const VARIABLE: i32 = -1;

static bit_wait_table: [WaitQueueHead; WAIT_TABLE_SIZE] =
    [const { WaitQueueHead::new() }; WAIT_TABLE_SIZE];

/// What is waited for.
#[doc(alias = "wait_bit_key")]
#[derive(Clone, Copy, PartialEq, Eq)]
struct WaitBitKey {
    flags: usize,
    bit_nr: i32,
}

/// A waiter; on its stack.
#[doc(alias = "wait_bit_queue_entry")]
struct WaitBitQueueEntry {
    key: WaitBitKey,
    wq_entry: WaitQueueEntry,
}

impl StackObject for WaitBitQueueEntry {
    fn quiescent(&self) -> bool {
        self.wq_entry.quiescent()
    }
}

/// The queue of a key: many keys share one.
fn bit_waitqueue(key: WaitBitKey) -> &'static WaitQueueHead {
    let value = (key.flags as u64) << 6 | (key.bit_nr as u64 & 63);
    let hash = value.wrapping_mul(0x61c8_8646_80b5_83eb) >> (64 - WAIT_TABLE_BITS);
    &bit_wait_table[hash as usize]
}

/// Wakes those who wait for the key: all, or up to one exclusive one.
fn __wake_up_key(key: WaitBitKey, mut nr_exclusive: i32) {
    let q = bit_waitqueue(key);
    // What was waited for, then the look at the queue; a waiter does it the other way round.
    smp_mb();
    if list_empty(&q.head) {
        return;
    }
    let _guard = q.lock.lock_irqsave();
    for curr in WaitLink::iter(&q.head) {
        if container_of!(curr, WaitBitQueueEntry, wq_entry).key != key {
            continue;
        }
        let exclusive = curr.flags.get() & WQ_FLAG_EXCLUSIVE != 0;
        if (curr.func.get())(curr, TASK_NORMAL, 0) && exclusive {
            nr_exclusive -= 1;
            if nr_exclusive == 0 {
                break;
            }
        }
    }
}

/// Sleeps in `mode` until `done`, a signal or the end of the time.
fn wait_for_key(
    key: WaitBitKey,
    done: impl Fn() -> bool,
    mode: u32,
    exclusive: u32,
    timeout: u64,
) -> i64 {
    if done() {
        return timeout.max(1) as i64;
    }
    let q = bit_waitqueue(key);
    stack_pinned!(let waiter = WaitBitQueueEntry {
        key,
        wq_entry: WaitQueueEntry::new(current()),
    });
    waiter.wq_entry.flags.set(exclusive);
    let mut left = timeout;
    loop {
        prepare_to_wait(q, &waiter.wq_entry, mode);
        if done() {
            left = left.max(1);
            break;
        }
        if signal_pending_state(mode, current()) {
            finish_wait(q, &waiter.wq_entry);
            return i64::from(-EINTR);
        }
        if left == 0 {
            break;
        }
        left = schedule_timeout(left);
    }
    finish_wait(q, &waiter.wq_entry);
    left as i64
}

fn key_of_bit(word: &'static AtomicU64, bit: i32) -> WaitBitKey {
    WaitBitKey {
        flags: core::ptr::from_ref(word).addr(),
        bit_nr: bit,
    }
}

/// Sleeps in `mode` until a bit is clear: 0 or -EINTR.
///
/// # Context
/// May sleep.
pub fn wait_on_bit(word: &'static AtomicU64, bit: u32, mode: u32) -> i32 {
    let clear = || word.load(Ordering::Acquire) >> bit & 1 == 0;
    let key = key_of_bit(word, bit as i32);
    wait_for_key(key, clear, mode, 0, MAX_SCHEDULE_TIMEOUT).min(0) as i32
}

/// The same for so many ticks at most: -EINTR, 0 when the time is over, else what is left.
pub fn wait_on_bit_timeout(word: &'static AtomicU64, bit: u32, mode: u32, timeout: u64) -> i64 {
    let clear = || word.load(Ordering::Acquire) >> bit & 1 == 0;
    wait_for_key(key_of_bit(word, bit as i32), clear, mode, 0, timeout)
}

/// Sleeps in `mode` until the bit is clear and has been set by this task: 0 or -EINTR.
///
/// # Context
/// May sleep.
pub fn wait_on_bit_lock(word: &'static AtomicU64, bit: u32, mode: u32) -> i32 {
    let taken = || word.fetch_or(1 << bit, Ordering::SeqCst) >> bit & 1 == 0;
    let key = key_of_bit(word, bit as i32);
    wait_for_key(key, taken, mode, WQ_FLAG_EXCLUSIVE, MAX_SCHEDULE_TIMEOUT).min(0) as i32
}

/// The bit has been cleared: wakes those who wait for that, one if they want to take it.
pub fn wake_up_bit(word: &'static AtomicU64, bit: u32) {
    __wake_up_key(key_of_bit(word, bit as i32), 1);
}

/// Clears the bit and wakes who waits for that (`clear_and_wake_up_bit`).
pub fn clear_and_wake_up_bit(bit: u32, word: &'static AtomicU64) {
    word.fetch_and(!(1 << bit), Ordering::SeqCst);
    wake_up_bit(word, bit);
}

fn key_of_variable<T>(var: &'static T) -> WaitBitKey {
    WaitBitKey {
        flags: core::ptr::from_ref(var).addr(),
        bit_nr: VARIABLE,
    }
}

/// Sleeps until a condition on `var` holds.
///
/// # Context
/// May sleep.
pub fn wait_var_event<T>(var: &'static T, condition: impl Fn() -> bool) {
    let mode = crate::include::linux::sched::TASK_UNINTERRUPTIBLE;
    wait_for_key(
        key_of_variable(var),
        condition,
        mode,
        0,
        MAX_SCHEDULE_TIMEOUT,
    );
}

/// `var` has changed: whoever waits for it looks again.
pub fn wake_up_var<T>(var: &'static T) {
    __wake_up_key(key_of_variable(var), 0);
}
