//! Tests of the doubly linked lists. Linux: `lib/list-test.c` (v6.8).
//!
//! Kept: the cases for the operations that this kernel has, under their names.

extern crate alloc;

use crate::include::kunit::test::Kunit;
use crate::include::linux::list::{
    INIT_LIST_HEAD, ListHead, list_add, list_add_tail, list_del, list_del_init, list_empty,
    list_is_singular, list_move, list_move_tail, list_splice_tail_init,
};
use crate::{KUNIT_EXPECT_EQ, KUNIT_EXPECT_FALSE, KUNIT_EXPECT_TRUE};
use crate::{intrusive_adapter, kunit_test_suite};
use alloc::boxed::Box;

struct ListTestStruct {
    data: u32,
    list: ListHead,
}

intrusive_adapter!(
    /// Entries by their link.
    TestLink = ListTestStruct { list: ListHead });

fn head() -> &'static ListHead {
    let list: &'static ListHead = Box::leak(Box::new(ListHead::new()));
    INIT_LIST_HEAD(list);
    list
}

fn entry(data: u32) -> &'static ListTestStruct {
    Box::leak(Box::new(ListTestStruct {
        data,
        list: ListHead::new(),
    }))
}

/// A list of 0, 1, ….
fn filled(count: u32) -> &'static ListHead {
    let list = head();
    (0..count).for_each(|data| list_add_tail(&entry(data).list, list));
    list
}

fn is(list: &'static ListHead, right: &[u32]) -> bool {
    TestLink::iter(list)
        .map(|it| it.data)
        .eq(right.iter().copied())
}

fn list_test_list_init(test: &Kunit) {
    KUNIT_EXPECT_TRUE!(test, list_empty(head()));
    KUNIT_EXPECT_FALSE!(test, list_is_singular(head()));
    KUNIT_EXPECT_TRUE!(test, TestLink::first(head()).is_none());
}

fn list_test_list_add(test: &Kunit) {
    let list = head();
    list_add(&entry(1).list, list);
    KUNIT_EXPECT_TRUE!(test, list_is_singular(list));
    list_add(&entry(2).list, list);
    KUNIT_EXPECT_TRUE!(test, is(list, &[2, 1]));
}

fn list_test_list_add_tail(test: &Kunit) {
    KUNIT_EXPECT_TRUE!(test, is(filled(3), &[0, 1, 2]));
}

fn list_test_list_del(test: &Kunit) {
    let (list, a, b) = (head(), entry(1), entry(2));
    list_add_tail(&a.list, list);
    list_add_tail(&b.list, list);
    list_del(&a.list);
    KUNIT_EXPECT_TRUE!(test, is(list, &[2]));
    KUNIT_EXPECT_TRUE!(test, a.list.next.get().is_none());
}

fn list_test_list_del_init(test: &Kunit) {
    let (list, a) = (head(), entry(1));
    list_add_tail(&a.list, list);
    list_del_init(&a.list);
    KUNIT_EXPECT_TRUE!(test, list_empty(list));
    KUNIT_EXPECT_TRUE!(test, list_empty(&a.list));
}

fn list_test_list_move(test: &Kunit) {
    let (from, to) = (filled(2), filled(1));
    if let Some(last) = TestLink::last(from) {
        list_move(&last.list, to);
    }
    KUNIT_EXPECT_TRUE!(test, is(from, &[0]));
    KUNIT_EXPECT_TRUE!(test, is(to, &[1, 0]));
}

fn list_test_list_move_tail(test: &Kunit) {
    let (from, to) = (filled(2), filled(1));
    if let Some(last) = TestLink::last(from) {
        list_move_tail(&last.list, to);
    }
    KUNIT_EXPECT_TRUE!(test, is(from, &[0]));
    KUNIT_EXPECT_TRUE!(test, is(to, &[0, 1]));
}

fn list_test_list_splice_tail_init(test: &Kunit) {
    let (from, to) = (filled(3), filled(2));
    list_splice_tail_init(from, to);
    KUNIT_EXPECT_TRUE!(test, list_empty(from));
    KUNIT_EXPECT_TRUE!(test, is(to, &[0, 1, 0, 1, 2]));
    // An empty list changes nothing.
    list_splice_tail_init(from, to);
    KUNIT_EXPECT_EQ!(test, TestLink::iter(to).count(), 5);
}

fn list_test_list_for_each_safe(test: &Kunit) {
    let list = filled(6);
    for it in TestLink::iter(list) {
        if it.data.is_multiple_of(2) {
            list_del_init(&it.list);
        }
    }
    KUNIT_EXPECT_TRUE!(test, is(list, &[1, 3, 5]));
}

kunit_test_suite!(
/// The suite.
list_test_module = "list-kunit-test": [
    list_test_list_init,
    list_test_list_add,
    list_test_list_add_tail,
    list_test_list_del,
    list_test_list_del_init,
    list_test_list_move,
    list_test_list_move_tail,
    list_test_list_splice_tail_init,
    list_test_list_for_each_safe,
]);
