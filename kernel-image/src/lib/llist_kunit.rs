//! Tests of the lock-free lists. Ours: Linux has `lib/llist_kunit.c` only after v6.8.

extern crate alloc;

use crate::fence::void::VoidPtr;
use crate::include::kunit::test::Kunit;
use crate::include::linux::cpumask::cpu_online_mask;
use crate::include::linux::kthread::{kthread_bind, kthread_create};
use crate::include::linux::llist::{
    LlistHead, LlistNode, llist_add, llist_del_all, llist_empty, llist_reverse_order,
};
use crate::kernel::kreplay::common::Crew;
use crate::kernel::sched::core::{wake_up_process, r#yield};
use crate::{
    KUNIT_ASSERT_TRUE, KUNIT_EXPECT_EQ, KUNIT_EXPECT_FALSE, KUNIT_EXPECT_TRUE, intrusive_adapter,
    kunit_test_suite,
};
use alloc::boxed::Box;

struct TestEntry {
    data: u64,
    node: LlistNode,
}

intrusive_adapter!(
    /// Entries by their link.
    TestLink = TestEntry { node: LlistNode });

fn entry(data: u64) -> &'static TestEntry {
    Box::leak(Box::new(TestEntry {
        data,
        node: LlistNode::new(),
    }))
}

fn next(at: &mut Option<&'static LlistNode>) -> Option<u64> {
    let node = (*at)?;
    *at = node.next.get();
    Some(TestLink::entry(node).data)
}

static PLAIN: LlistHead = LlistHead::new();

fn llist_test_add_tells_whether_it_was_empty(test: &Kunit) {
    KUNIT_EXPECT_TRUE!(test, llist_empty(&PLAIN));
    KUNIT_EXPECT_TRUE!(test, llist_add(&entry(1).node, &PLAIN));
    KUNIT_EXPECT_FALSE!(test, llist_add(&entry(2).node, &PLAIN));
    let mut taken = llist_del_all(&PLAIN);
    KUNIT_EXPECT_TRUE!(test, llist_empty(&PLAIN));
    KUNIT_EXPECT_EQ!(test, next(&mut taken), Some(2));
    KUNIT_EXPECT_EQ!(test, next(&mut taken), Some(1));
    KUNIT_EXPECT_EQ!(test, next(&mut taken), None);
}

fn llist_test_reverse_order(test: &Kunit) {
    (0..4).for_each(|data| {
        llist_add(&entry(data).node, &PLAIN);
    });
    let mut taken = llist_reverse_order(llist_del_all(&PLAIN));
    for data in 0..4 {
        KUNIT_EXPECT_EQ!(test, next(&mut taken), Some(data));
    }
    KUNIT_EXPECT_EQ!(test, next(&mut taken), None);
}

static CROWDED: LlistHead = LlistHead::new();
static PUSHERS: Crew = Crew::new();
const PUSHES: u64 = 200;

extern "C" fn pusher(_: VoidPtr) -> i32 {
    for data in 0..PUSHES {
        llist_add(&entry(data).node, &CROWDED);
    }
    PUSHERS.leaves();
    0
}

/// Every CPU pushes while this one takes; nothing is lost, nothing comes twice.
fn llist_test_many_producers(test: &Kunit) {
    let mut expected = 0;
    for cpu in cpu_online_mask().iter() {
        PUSHERS.joins();
        expected += PUSHES;
        let thread = kthread_create(pusher, VoidPtr::NULL, format_args!("pusher/{cpu}"));
        KUNIT_ASSERT_TRUE!(test, thread.is_ok());
        if let Ok(thread) = thread {
            kthread_bind(thread, cpu);
            wake_up_process(thread);
        }
    }
    let (mut count, mut sum) = (0, 0);
    loop {
        let last_look = PUSHERS.are_gone();
        let mut taken = llist_del_all(&CROWDED);
        while let Some(data) = next(&mut taken) {
            count += 1;
            sum += data;
        }
        if last_look {
            break;
        }
        r#yield();
    }
    KUNIT_EXPECT_EQ!(test, count, expected);
    KUNIT_EXPECT_EQ!(test, sum, expected / PUSHES * (PUSHES * (PUSHES - 1) / 2));
}

kunit_test_suite!(
/// The suite.
llist_test_module = "llist": [
    llist_test_add_tells_whether_it_was_empty,
    llist_test_reverse_order,
    llist_test_many_producers,
]);
