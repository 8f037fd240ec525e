//! Rebalancing of red-black trees.
//!
//! Linux: lib/rbtree.c, v6.8. **Kept** the entry points and the augment protocol. **Differs** the textbook
//! form with a rotation function, not Linux's inlined cases.
//!
//! Invariants: the root is black; a red node has black children; every path from a node down to a missing
//! child has the same number of black nodes.
#![expect(unsafe_code, reason = "parent links carry the colour in bit 0")]

use crate::include::linux::rbtree::{RbAugment, RbNode, RbRoot};
use core::ptr;

type Node = &'static RbNode;
const BLACK: usize = 1;

/// The node above, none at the root.
pub fn rb_parent(node: Node) -> Option<Node> {
    parent(node)
}

fn parent(node: Node) -> Option<Node> {
    let address = node.__rb_parent_color.get() & !BLACK;
    // SAFETY: the word holds 0 or the address of a `'static` node, stored by `set_parent` or at insertion.
    unsafe { ptr::with_exposed_provenance::<RbNode>(address).as_ref() }
}

fn set_parent(node: Node, up: Option<Node>) {
    let colour = node.__rb_parent_color.get() & BLACK;
    let address = up.map_or(0, |it| ptr::from_ref(it).expose_provenance());
    node.__rb_parent_color.set(address | colour);
}

fn is_black(node: Option<Node>) -> bool {
    node.is_none_or(|it| it.__rb_parent_color.get() & BLACK != 0)
}

fn set_black(node: Node) {
    node.__rb_parent_color.or(BLACK);
}

fn set_red(node: Node) {
    node.__rb_parent_color.and_not(BLACK);
}

fn same(a: Option<Node>, b: Node) -> bool {
    a.is_some_and(|it| ptr::eq(it, b))
}

/// Puts `new` where `old` hangs below its parent (or at the root).
fn change_child(old: Node, new: Option<Node>, up: Option<Node>, root: &RbRoot) {
    match up {
        None => root.rb_node.set(new),
        Some(up) if same(up.rb_left.get(), old) => up.rb_left.set(new),
        Some(up) => up.rb_right.set(new),
    }
}

/// `node`'s right child takes its place, `node` becomes that one's left child; or the mirror image.
fn rotate<A: RbAugment>(node: Node, to_left: bool, root: &RbRoot) {
    let up = parent(node);
    let child = if to_left {
        node.rb_right.get()
    } else {
        node.rb_left.get()
    };
    let Some(child) = child else { return };
    let moved = if to_left {
        child.rb_left.replace(Some(node))
    } else {
        child.rb_right.replace(Some(node))
    };
    if to_left {
        node.rb_right.set(moved)
    } else {
        node.rb_left.set(moved)
    }
    if let Some(moved) = moved {
        set_parent(moved, Some(node));
    }
    change_child(node, Some(child), up, root);
    set_parent(child, up);
    set_parent(node, Some(child));
    A::rotate(node, child);
}

/// Recolours and rotates after `node` was linked as a red leaf.
pub fn rb_insert_augmented<A: RbAugment>(node: Node, root: &RbRoot) {
    let mut node = node;
    set_red(node);
    loop {
        let Some(up) = parent(node) else {
            set_black(node);
            return;
        };
        if is_black(Some(up)) {
            return;
        }
        // A red parent is not the root, so there is a grandparent.
        let Some(grand) = parent(up) else { return };
        let up_is_left = same(grand.rb_left.get(), up);
        let uncle = if up_is_left {
            grand.rb_right.get()
        } else {
            grand.rb_left.get()
        };
        if let Some(uncle) = uncle.filter(|it| !is_black(Some(it))) {
            set_black(up);
            set_black(uncle);
            set_red(grand);
            node = grand;
            continue;
        }
        let inner = if up_is_left {
            up.rb_right.get()
        } else {
            up.rb_left.get()
        };
        let top = if same(inner, node) {
            rotate::<A>(up, up_is_left, root);
            node
        } else {
            up
        };
        set_black(top);
        set_red(grand);
        rotate::<A>(grand, !up_is_left, root);
        return;
    }
}

/// Removes `node` from its tree.
pub fn rb_erase_augmented<A: RbAugment>(node: Node, root: &RbRoot) {
    let up = parent(node);
    let (left, right) = (node.rb_left.get(), node.rb_right.get());
    let removed_black;
    let hole_parent;
    let filler;
    if let (Some(left), Some(right)) = (left, right) {
        let mut next = right;
        while let Some(smaller) = next.rb_left.get() {
            next = smaller;
        }
        removed_black = is_black(Some(next));
        filler = next.rb_right.get();
        if ptr::eq(next, right) {
            hole_parent = Some(next);
        } else {
            let above = parent(next);
            hole_parent = above;
            change_child(next, filler, above, root);
            if let Some(filler) = filler {
                set_parent(filler, above);
            }
            next.rb_right.set(Some(right));
            set_parent(right, Some(next));
        }
        change_child(node, Some(next), up, root);
        next.rb_left.set(Some(left));
        set_parent(left, Some(next));
        next.__rb_parent_color.set(node.__rb_parent_color.get());
        A::copy(node, next);
        A::propagate(hole_parent, Some(next));
        A::propagate(Some(next), None);
    } else {
        removed_black = is_black(Some(node));
        filler = left.or(right);
        hole_parent = up;
        change_child(node, filler, up, root);
        if let Some(filler) = filler {
            set_parent(filler, up);
        }
        A::propagate(up, None);
    }
    if removed_black {
        restore_black::<A>(filler, hole_parent, root);
    }
    node.__rb_parent_color.set(0);
}

/// `node` (a missing child counts as one) is one black short; `up` is its parent.
fn restore_black<A: RbAugment>(node: Option<Node>, up: Option<Node>, root: &RbRoot) {
    let (mut node, mut up) = (node, up);
    loop {
        if let Some(red) = node.filter(|it| !is_black(Some(it))) {
            set_black(red);
            return;
        }
        let Some(above) = up else { return };
        let is_left = match node {
            Some(it) => same(above.rb_left.get(), it),
            None => above.rb_left.get().is_none(),
        };
        let sibling_of = |above: Node| {
            if is_left {
                above.rb_right.get()
            } else {
                above.rb_left.get()
            }
        };
        let Some(mut sibling) = sibling_of(above) else {
            return;
        };
        if !is_black(Some(sibling)) {
            set_black(sibling);
            set_red(above);
            rotate::<A>(above, is_left, root);
            let Some(now) = sibling_of(above) else { return };
            sibling = now;
        }
        let near = if is_left {
            sibling.rb_left.get()
        } else {
            sibling.rb_right.get()
        };
        let far = if is_left {
            sibling.rb_right.get()
        } else {
            sibling.rb_left.get()
        };
        if is_black(near) && is_black(far) {
            set_red(sibling);
            node = Some(above);
            up = parent(above);
            continue;
        }
        let mut far = far;
        if let (true, Some(near)) = (is_black(far), near) {
            set_black(near);
            set_red(sibling);
            rotate::<A>(sibling, !is_left, root);
            far = Some(sibling);
            sibling = near;
        }
        let above_black = is_black(Some(above));
        if above_black {
            set_black(sibling)
        } else {
            set_red(sibling)
        }
        set_black(above);
        if let Some(far) = far {
            set_black(far);
        }
        rotate::<A>(above, is_left, root);
        return;
    }
}

/// The member after `node`.
pub fn rb_next(node: Node) -> Option<Node> {
    step(node, |it| it.rb_right.get(), |it| it.rb_left.get())
}

/// The member before `node`.
pub fn rb_prev(node: Node) -> Option<Node> {
    step(node, |it| it.rb_left.get(), |it| it.rb_right.get())
}

fn step(
    node: Node,
    toward: impl Fn(Node) -> Option<Node>,
    back: impl Fn(Node) -> Option<Node>,
) -> Option<Node> {
    if let Some(mut at) = toward(node) {
        while let Some(closer) = back(at) {
            at = closer;
        }
        return Some(at);
    }
    let mut node = node;
    loop {
        let up = parent(node)?;
        if !same(toward(up), node) {
            return Some(up);
        }
        node = up;
    }
}
