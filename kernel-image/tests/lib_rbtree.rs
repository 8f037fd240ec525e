//! The red-black tree against a sorted vector: order, colours, heights, the leftmost cache and an augmented
//! maximum after every insertion and removal of long random sequences.
use kernel_image::fence::shared::Shared;
use kernel_image::include::linux::rbtree::{
    RbAugment, RbNode, RbRootCached, rb_add_augmented_cached, rb_erase_augmented_cached,
    rb_first_cached, rb_next, rb_parent, rb_prev,
};
use kernel_image::rb_entry;

struct Item {
    key: u64,
    weight: u64,
    heaviest: Shared<u64>,
    node: RbNode,
}

fn item(node: &'static RbNode) -> &'static Item {
    rb_entry!(node, Item, node)
}

/// Keeps the greatest weight of each subtree.
struct Heaviest;

fn compute(node: &'static RbNode) -> u64 {
    let below = |child: Option<&'static RbNode>| child.map_or(0, |it| item(it).heaviest.get());
    item(node)
        .weight
        .max(below(node.rb_left.get()))
        .max(below(node.rb_right.get()))
}

impl RbAugment for Heaviest {
    fn propagate(node: Option<&'static RbNode>, stop: Option<&'static RbNode>) {
        let mut at = node;
        while let Some(node) = at.filter(|it| !stop.is_some_and(|stop| std::ptr::eq(stop, *it))) {
            let value = compute(node);
            if item(node).heaviest.get() == value {
                break;
            }
            item(node).heaviest.set(value);
            at = rb_parent(node);
        }
    }
    fn copy(old: &'static RbNode, new: &'static RbNode) {
        item(new).heaviest.set(item(old).heaviest.get());
    }
    fn rotate(old: &'static RbNode, new: &'static RbNode) {
        item(new).heaviest.set(item(old).heaviest.get());
        item(old).heaviest.set(compute(old));
    }
}

/// Checks one subtree and returns the number of black nodes on every path down.
fn check(node: Option<&'static RbNode>, parent_red: bool) -> u32 {
    let Some(node) = node else { return 1 };
    let red = node.__rb_parent_color.get() & 1 == 0;
    assert!(!(red && parent_red), "a red node below a red one");
    assert_eq!(
        item(node).heaviest.get(),
        compute(node),
        "the summary is stale"
    );
    let left = check(node.rb_left.get(), red);
    let right = check(node.rb_right.get(), red);
    assert_eq!(left, right, "paths of different black height");
    left + u32::from(!red)
}

fn check_tree(tree: &'static RbRootCached, model: &[&'static Item]) {
    if let Some(root) = tree.rb_root.rb_node.get() {
        assert!(
            root.__rb_parent_color.get() == 1,
            "the root is black and has no parent"
        );
    }
    check(tree.rb_root.rb_node.get(), false);
    let mut forward = Vec::new();
    let mut at = rb_first_cached(tree);
    let mut last = None;
    while let Some(node) = at {
        forward.push(std::ptr::from_ref(item(node)));
        last = at;
        at = rb_next(node);
    }
    let expected: Vec<_> = model.iter().map(|&it| std::ptr::from_ref(it)).collect();
    assert_eq!(forward, expected, "in order");
    let mut backward = Vec::new();
    while let Some(node) = last {
        backward.push(std::ptr::from_ref(item(node)));
        last = rb_prev(node);
    }
    backward.reverse();
    assert_eq!(backward, expected, "and back");
}

/// A small generator: the test needs variety, not quality.
fn next(state: &mut u64) -> u64 {
    *state = state
        .wrapping_mul(6364136223846793005)
        .wrapping_add(1442695040888963407);
    *state >> 33
}

#[test]
fn tree_equals_sorted_vector() {
    for seed in 0..20 {
        let mut state = seed;
        let tree: &'static RbRootCached = Box::leak(Box::new(RbRootCached::new()));
        let mut model: Vec<&'static Item> = Vec::new();
        for step in 0..600 {
            let grow = next(&mut state) % 100 < if step < 300 { 65 } else { 35 };
            if grow || model.is_empty() {
                let weight = next(&mut state) % 1000;
                let new: &'static Item = Box::leak(Box::new(Item {
                    key: next(&mut state) % 64,
                    weight,
                    heaviest: Shared::new(weight),
                    node: RbNode::new(),
                }));
                let less = |a: &'static RbNode, b: &'static RbNode| item(a).key < item(b).key;
                rb_add_augmented_cached::<Heaviest>(&new.node, tree, less);
                // Equal keys go to the right of those that are there.
                let at = model.partition_point(|it| it.key <= new.key);
                model.insert(at, new);
            } else {
                let gone = model.remove(next(&mut state) as usize % model.len());
                rb_erase_augmented_cached::<Heaviest>(&gone.node, tree);
            }
            check_tree(tree, &model);
        }
    }
}
