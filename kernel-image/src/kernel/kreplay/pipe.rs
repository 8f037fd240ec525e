//! A pipe between the workloads' threads, without files. After Linux's `fs/pipe.c` (v6.8).
//!
//! Kept: the ring of buffers under a mutex, readers and writers that wait exclusively, a wake-up only when
//! the pipe was empty or full before, synchronous wake-ups, and the next waiter woken by the one before it.
//! Left out: pages, packets, splice, poll, signals, the end of a pipe. Differs: a buffer is one message.

use crate::fence::shared::Shared;
use crate::include::linux::mutex::Mutex;
use crate::include::linux::sched::TASK_NORMAL;
use crate::include::linux::wait::WaitQueueHead;
use crate::kernel::sched::sched::WF_SYNC;
use crate::kernel::sched::wait::{__wake_up, wait_event_exclusive};

/// Buffers of a pipe, as Linux has them.
pub const PIPE_DEF_BUFFERS: usize = 16;
/// Length of a message in words: hackbench's 100 bytes, rounded up.
pub const MESSAGE_WORDS: usize = 13;

/// What goes through a pipe.
pub type Message = [u64; MESSAGE_WORDS];

/// A ring of messages.
#[doc(alias = "pipe_inode_info")]
pub struct Pipe {
    mutex: Mutex,
    rd_wait: WaitQueueHead,
    wr_wait: WaitQueueHead,
    /// Messages written so far.
    head: Shared<u64>,
    /// Messages read so far.
    tail: Shared<u64>,
    bufs: [[Shared<u64>; MESSAGE_WORDS]; PIPE_DEF_BUFFERS],
}

impl Pipe {
    /// An empty one.
    pub const fn new() -> Pipe {
        Pipe {
            mutex: Mutex::new(),
            rd_wait: WaitQueueHead::new(),
            wr_wait: WaitQueueHead::new(),
            head: Shared::new(0),
            tail: Shared::new(0),
            bufs: [const { [const { Shared::new(0) }; MESSAGE_WORDS] }; PIPE_DEF_BUFFERS],
        }
    }

    fn is_empty(&self) -> bool {
        self.head.get() == self.tail.get()
    }

    fn is_full(&self) -> bool {
        self.head.get() - self.tail.get() >= PIPE_DEF_BUFFERS as u64
    }

    fn buf(&self, at: u64) -> &[Shared<u64>; MESSAGE_WORDS] {
        &self.bufs[at as usize % PIPE_DEF_BUFFERS]
    }
}

fn wake_up_sync(q: &'static WaitQueueHead) {
    __wake_up(q, TASK_NORMAL, 1, WF_SYNC);
}

/// Writes a message; sleeps while the pipe is full.
#[inline(never)]
pub fn pipe_write(pipe: &'static Pipe, message: &Message) {
    let mut slept = false;
    pipe.mutex.lock();
    while pipe.is_full() {
        pipe.mutex.unlock();
        wait_event_exclusive(&pipe.wr_wait, || !pipe.is_full());
        slept = true;
        pipe.mutex.lock();
    }
    let was_empty = pipe.is_empty();
    let head = pipe.head.get();
    for (to, &from) in pipe.buf(head).iter().zip(message) {
        to.set(from);
    }
    pipe.head.set(head + 1);
    // We took the wake-up of one writer; if there is room for another, it is ours to pass on.
    let wake_next_writer = slept && !pipe.is_full();
    pipe.mutex.unlock();
    if was_empty {
        wake_up_sync(&pipe.rd_wait);
    }
    if wake_next_writer {
        wake_up_sync(&pipe.wr_wait);
    }
}

/// Reads a message; sleeps while the pipe is empty.
#[inline(never)]
pub fn pipe_read(pipe: &'static Pipe) -> Message {
    let mut slept = false;
    pipe.mutex.lock();
    while pipe.is_empty() {
        pipe.mutex.unlock();
        wait_event_exclusive(&pipe.rd_wait, || !pipe.is_empty());
        slept = true;
        pipe.mutex.lock();
    }
    let was_full = pipe.is_full();
    let tail = pipe.tail.get();
    let mut message = [0; MESSAGE_WORDS];
    for (to, from) in message.iter_mut().zip(pipe.buf(tail)) {
        *to = from.get();
    }
    pipe.tail.set(tail + 1);
    let wake_next_reader = slept && !pipe.is_empty();
    pipe.mutex.unlock();
    if was_full {
        wake_up_sync(&pipe.wr_wait);
    }
    if wake_next_reader {
        wake_up_sync(&pipe.rd_wait);
    }
    message
}
