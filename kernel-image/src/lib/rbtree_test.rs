//! Tests of the red-black tree. Linux: `lib/rbtree_test.c` (v6.8), there a module of its own.
//!
//! Kept: a hundred nodes with random keys, order and colours checked after every step, the augmented
//! maximum. Left out: the timing.

extern crate alloc;

use crate::fence::shared::Shared;
use crate::include::kunit::test::Kunit;
use crate::include::linux::rbtree::{
    RbAugment, RbNode, RbRootCached, rb_add_augmented_cached, rb_erase_augmented_cached,
    rb_first_cached, rb_next, rb_parent,
};
use crate::{KUNIT_ASSERT_EQ, KUNIT_ASSERT_TRUE, kunit_test_suite, rb_entry};
use alloc::boxed::Box;
use alloc::vec::Vec;

const NNODES: usize = 100;

struct TestNode {
    key: Shared<u32>,
    val: Shared<u32>,
    /// Greatest `val` of the subtree.
    augmented: Shared<u32>,
    rb: RbNode,
}

fn node(rb: &'static RbNode) -> &'static TestNode {
    rb_entry!(rb, TestNode, rb)
}

struct AugmentCallbacks;

fn augment_recompute(it: &TestNode) -> u32 {
    [it.rb.rb_left.get(), it.rb.rb_right.get()]
        .into_iter()
        .flatten()
        .map(|child| node(child).augmented.get())
        .fold(it.val.get(), u32::max)
}

impl RbAugment for AugmentCallbacks {
    fn propagate(at: Option<&'static RbNode>, stop: Option<&'static RbNode>) {
        let mut at = at;
        while let Some(rb) = at.filter(|it| !stop.is_some_and(|stop| core::ptr::eq(stop, *it))) {
            let max = augment_recompute(node(rb));
            if node(rb).augmented.replace(max) == max {
                break;
            }
            at = rb_parent(rb);
        }
    }
    fn copy(old: &'static RbNode, new: &'static RbNode) {
        node(new).augmented.set(node(old).augmented.get());
    }
    fn rotate(old: &'static RbNode, new: &'static RbNode) {
        Self::copy(old, new);
        let max = augment_recompute(node(old));
        node(old).augmented.set(max);
    }
}

/// A small generator, as the test needs variety only.
fn random(state: &mut u64) -> u32 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state >> 16) as u32
}

/// Number of nodes and of black ones on every path down; None if the subtree is out of order.
fn check_subtree(at: Option<&'static RbNode>, parent_is_red: bool) -> Option<(usize, u32)> {
    let Some(rb) = at else { return Some((0, 1)) };
    let is_red = rb.__rb_parent_color.get() & 1 == 0;
    let (left, left_blacks) = check_subtree(rb.rb_left.get(), is_red)?;
    let (right, right_blacks) = check_subtree(rb.rb_right.get(), is_red)?;
    let good = !(is_red && parent_is_red)
        && left_blacks == right_blacks
        && node(rb).augmented.get() == augment_recompute(node(rb));
    good.then_some((left + right + 1, left_blacks + u32::from(!is_red)))
}

/// In ascending order, with as many nodes as there should be.
fn check(tree: &'static RbRootCached, nr_nodes: usize) -> bool {
    let mut count = 0;
    let mut last = 0;
    let mut at = rb_first_cached(tree);
    while let Some(rb) = at {
        if node(rb).key.get() < last {
            return false;
        }
        last = node(rb).key.get();
        count += 1;
        at = rb_next(rb);
    }
    let shape = check_subtree(tree.rb_root.rb_node.get(), false);
    count == nr_nodes && shape.is_some_and(|(nodes, _)| nodes == nr_nodes)
}

fn rbtree_test_insert_and_erase(test: &Kunit) {
    let mut state = 3_141_592_653_589_793_238;
    let tree: &'static RbRootCached = Box::leak(Box::new(RbRootCached::new()));
    let nodes: Vec<&'static TestNode> = (0..NNODES)
        .map(|_| {
            let it: &'static TestNode = Box::leak(Box::new(TestNode {
                key: Shared::new(0),
                val: Shared::new(0),
                augmented: Shared::new(0),
                rb: RbNode::new(),
            }));
            it
        })
        .collect();
    for round in 0..3 {
        for (index, it) in nodes.iter().enumerate() {
            it.key.set(random(&mut state));
            it.val.set(random(&mut state));
            it.augmented.set(it.val.get());
            rb_add_augmented_cached::<AugmentCallbacks>(&it.rb, tree, |a, b| {
                node(a).key.get() < node(b).key.get()
            });
            KUNIT_ASSERT_TRUE!(test, check(tree, index + 1));
        }
        for index in 0..NNODES {
            // Each round from another end: the first added, the last, and from the middle.
            let gone = match round {
                0 => index,
                1 => NNODES - 1 - index,
                _ => (index * 37) % NNODES,
            };
            rb_erase_augmented_cached::<AugmentCallbacks>(&nodes[gone].rb, tree);
            KUNIT_ASSERT_TRUE!(test, check(tree, NNODES - 1 - index));
        }
        KUNIT_ASSERT_EQ!(test, rb_first_cached(tree).is_none(), true);
    }
}

kunit_test_suite!(
    /// The suite.
    rbtree_test_module = "rbtree": [rbtree_test_insert_and_erase]);
