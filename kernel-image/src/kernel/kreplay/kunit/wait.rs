//! Tests of wait queues: exclusive waiters one at a time and in order, all others at once.

extern crate alloc;

use super::until;
use crate::fence::shared::Shared;
use crate::fence::void::VoidPtr;
use crate::include::kunit::test::Kunit;
use crate::include::linux::kthread::kthread_run;
use crate::include::linux::list::list_empty;
use crate::include::linux::sched::TASK_UNINTERRUPTIBLE;
use crate::include::linux::wait::WaitQueueHead;
use crate::kernel::sched::core::wait_task_inactive;
use crate::kernel::sched::wait::{wait_event, wait_event_exclusive, wake_up, wake_up_all};
use crate::{KUNIT_ASSERT_TRUE, KUNIT_EXPECT_EQ, KUNIT_EXPECT_TRUE, kunit_test_suite};
use core::sync::atomic::{AtomicU64, Ordering};

const MAX: usize = 8;

/// A queue, tickets to leave it, and who left when.
struct Scene {
    queue: WaitQueueHead,
    tickets: AtomicU64,
    left: AtomicU64,
    order: [Shared<u64>; MAX],
}

impl Scene {
    const fn new() -> Scene {
        Scene {
            queue: WaitQueueHead::new(),
            tickets: AtomicU64::new(0),
            left: AtomicU64::new(0),
            order: [const { Shared::new(0) }; MAX],
        }
    }

    fn left(&self) -> u64 {
        self.left.load(Ordering::SeqCst)
    }

    fn take_ticket(&self) -> bool {
        let take = |tickets: u64| tickets.checked_sub(1);
        self.tickets
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, take)
            .is_ok()
    }

    /// Starts one waiter and waits until it sleeps.
    fn start(&'static self, test: &Kunit, number: u64, exclusive: bool) {
        let me: &'static Waiter = alloc::boxed::Box::leak(alloc::boxed::Box::new(Waiter {
            scene: self,
            number,
            exclusive,
        }));
        let thread = kthread_run(waiter, VoidPtr::new(me), format_args!("waiter/{number}"));
        KUNIT_ASSERT_TRUE!(test, thread.is_ok());
        if let Ok(thread) = thread {
            let asleep = until(|| thread.__state.get() == TASK_UNINTERRUPTIBLE);
            KUNIT_EXPECT_TRUE!(test, asleep);
            KUNIT_EXPECT_TRUE!(test, wait_task_inactive(thread, TASK_UNINTERRUPTIBLE));
        }
    }
}

struct Waiter {
    scene: &'static Scene,
    number: u64,
    exclusive: bool,
}

extern "C" fn waiter(data: VoidPtr) -> i32 {
    let me = data.get::<Waiter>();
    let scene = me.scene;
    if me.exclusive {
        wait_event_exclusive(&scene.queue, || scene.take_ticket());
    } else {
        wait_event(&scene.queue, || scene.take_ticket());
    }
    let at = scene.left.fetch_add(1, Ordering::SeqCst);
    scene.order[at as usize % MAX].set(me.number);
    0
}

fn exclusive_one_at_a_time(test: &Kunit) {
    static SCENE: Scene = Scene::new();
    (0..4).for_each(|number| SCENE.start(test, number, true));
    for number in 0..4 {
        SCENE.tickets.store(1, Ordering::SeqCst);
        wake_up(&SCENE.queue);
        KUNIT_EXPECT_TRUE!(test, until(|| SCENE.left() == number + 1));
        KUNIT_EXPECT_EQ!(test, SCENE.order[number as usize].get(), number);
    }
    KUNIT_EXPECT_TRUE!(test, list_empty(&SCENE.queue.head));
}

fn ordinary_all_at_once(test: &Kunit) {
    static SCENE: Scene = Scene::new();
    (0..4).for_each(|number| SCENE.start(test, number, false));
    SCENE.tickets.store(4, Ordering::SeqCst);
    wake_up(&SCENE.queue);
    KUNIT_EXPECT_TRUE!(test, until(|| SCENE.left() == 4));
    KUNIT_EXPECT_TRUE!(test, list_empty(&SCENE.queue.head));
}

/// One wake-up: every ordinary waiter, and the first of the exclusive ones.
fn both_kinds(test: &Kunit) {
    static SCENE: Scene = Scene::new();
    for (number, exclusive) in [true, false, true, false].into_iter().enumerate() {
        SCENE.start(test, number as u64, exclusive);
    }
    SCENE.tickets.store(3, Ordering::SeqCst);
    wake_up(&SCENE.queue);
    KUNIT_EXPECT_TRUE!(test, until(|| SCENE.left() == 3));
    let mut came = [false; 4];
    for slot in &SCENE.order[..3] {
        came[slot.get() as usize % 4] = true;
    }
    KUNIT_EXPECT_EQ!(test, came, [true, true, false, true]);
    SCENE.tickets.store(1, Ordering::SeqCst);
    wake_up_all(&SCENE.queue);
    KUNIT_EXPECT_TRUE!(test, until(|| SCENE.left() == 4));
    KUNIT_EXPECT_TRUE!(test, list_empty(&SCENE.queue.head));
}

/// A wake-up without a reason: the waiter looks, and sleeps again.
fn condition_decides(test: &Kunit) {
    static SCENE: Scene = Scene::new();
    SCENE.start(test, 0, false);
    for _ in 0..5 {
        wake_up(&SCENE.queue);
    }
    KUNIT_EXPECT_EQ!(test, SCENE.left(), 0);
    SCENE.tickets.store(1, Ordering::SeqCst);
    wake_up(&SCENE.queue);
    KUNIT_EXPECT_TRUE!(test, until(|| SCENE.left() == 1));
}

kunit_test_suite!(
/// The suite.
suite = "wait": [
    exclusive_one_at_a_time,
    ordinary_all_at_once,
    both_kinds,
    condition_decides,
]);
