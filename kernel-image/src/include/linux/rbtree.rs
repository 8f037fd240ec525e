//! Red-black trees whose nodes live in their members, optionally cached and augmented.
//!
//! Linux: include/linux/rbtree.h, rbtree_augmented.h, v6.8. **Kept** node layout (parent and colour in one
//! word), the leftmost cache, the three augment callbacks. Rebalancing is in lib/rbtree.rs.
//! **Locks** none: the owner of the tree says which lock guards it.
use crate::fence::shared::Shared;
pub use crate::lib::rbtree::{
    rb_erase_augmented, rb_insert_augmented, rb_next, rb_parent, rb_prev,
};

/// A link of a tree.
#[doc(alias = "rb_node")]
#[repr(C, align(8))]
pub struct RbNode {
    /// The parent's address and, in bit 0, the colour (1 is black). 0: in no tree.
    pub __rb_parent_color: Shared<usize>,
    /// Greater or equal keys.
    pub rb_right: Shared<Option<&'static RbNode>>,
    /// Smaller keys.
    pub rb_left: Shared<Option<&'static RbNode>>,
}

impl RbNode {
    /// A node in no tree.
    pub const fn new() -> Self {
        Self {
            __rb_parent_color: Shared::new(0),
            rb_right: Shared::new(None),
            rb_left: Shared::new(None),
        }
    }
}

/// The root of a tree.
#[doc(alias = "rb_root")]
#[repr(C)]
pub struct RbRoot {
    /// The topmost node.
    pub rb_node: Shared<Option<&'static RbNode>>,
}

impl RbRoot {
    /// An empty tree.
    pub const fn new() -> Self {
        Self {
            rb_node: Shared::new(None),
        }
    }
}

/// A root that remembers its leftmost node.
#[doc(alias = "rb_root_cached")]
#[repr(C)]
pub struct RbRootCached {
    /// The tree.
    pub rb_root: RbRoot,
    /// Its smallest member.
    pub rb_leftmost: Shared<Option<&'static RbNode>>,
}

impl RbRootCached {
    /// An empty tree.
    pub const fn new() -> Self {
        Self {
            rb_root: RbRoot::new(),
            rb_leftmost: Shared::new(None),
        }
    }
}

/// Keeps a value in every node that summarises its subtree.
pub trait RbAugment {
    /// Recomputes from `node` up to, not including, `stop`; may end early at a node that did not change.
    fn propagate(node: Option<&'static RbNode>, stop: Option<&'static RbNode>);
    /// Gives `new` the summary of `old`, whose place it takes.
    fn copy(old: &'static RbNode, new: &'static RbNode);
    /// After a rotation: `new` stands where `old` stood (and takes its summary), `old` is below it and is
    /// recomputed.
    fn rotate(old: &'static RbNode, new: &'static RbNode);
}

/// No summary.
pub struct Plain;

impl RbAugment for Plain {
    fn propagate(_: Option<&'static RbNode>, _: Option<&'static RbNode>) {}
    fn copy(_: &'static RbNode, _: &'static RbNode) {}
    fn rotate(_: &'static RbNode, _: &'static RbNode) {}
}

/// Marks `node` as in no tree.
pub fn RB_CLEAR_NODE(node: &'static RbNode) {
    node.__rb_parent_color.set(0);
}

/// Whether `node` is in no tree.
pub fn RB_EMPTY_NODE(node: &RbNode) -> bool {
    node.__rb_parent_color.get() == 0
}

/// Whether the tree has no members.
pub fn RB_EMPTY_ROOT(root: &RbRoot) -> bool {
    root.rb_node.get().is_none()
}

/// The smallest member.
pub fn rb_first_cached(root: &RbRootCached) -> Option<&'static RbNode> {
    root.rb_leftmost.get()
}

/// The smallest member of an uncached tree.
pub fn rb_first(root: &RbRoot) -> Option<&'static RbNode> {
    let mut node = root.rb_node.get()?;
    while let Some(left) = node.rb_left.get() {
        node = left;
    }
    Some(node)
}

/// The greatest member.
pub fn rb_last(root: &RbRoot) -> Option<&'static RbNode> {
    let mut node = root.rb_node.get()?;
    while let Some(right) = node.rb_right.get() {
        node = right;
    }
    Some(node)
}

/// Inserts `node` by `less` (equal keys go right) and returns it if it became the leftmost.
pub fn rb_add_augmented_cached<A: RbAugment>(
    node: &'static RbNode,
    tree: &'static RbRootCached,
    less: impl Fn(&'static RbNode, &'static RbNode) -> bool,
) -> Option<&'static RbNode> {
    let mut link = &tree.rb_root.rb_node;
    let mut parent: Option<&'static RbNode> = None;
    let mut leftmost = true;
    while let Some(at) = link.get() {
        parent = Some(at);
        if less(node, at) {
            link = &at.rb_left;
        } else {
            link = &at.rb_right;
            leftmost = false;
        }
    }
    node.__rb_parent_color
        .set(parent.map_or(0, |p| core::ptr::from_ref(p) as usize));
    node.rb_left.set(None);
    node.rb_right.set(None);
    link.set(Some(node));
    if leftmost {
        tree.rb_leftmost.set(Some(node));
    }
    A::propagate(parent, None);
    rb_insert_augmented::<A>(node, &tree.rb_root);
    leftmost.then_some(node)
}

/// [`rb_add_augmented_cached`] without a summary.
pub fn rb_add_cached(
    node: &'static RbNode,
    tree: &'static RbRootCached,
    less: impl Fn(&'static RbNode, &'static RbNode) -> bool,
) -> Option<&'static RbNode> {
    rb_add_augmented_cached::<Plain>(node, tree, less)
}

/// Removes `node`; returns the new leftmost if that changed.
pub fn rb_erase_augmented_cached<A: RbAugment>(
    node: &'static RbNode,
    tree: &'static RbRootCached,
) -> Option<&'static RbNode> {
    let mut leftmost = None;
    if tree
        .rb_leftmost
        .get()
        .is_some_and(|first| core::ptr::eq(first, node))
    {
        leftmost = rb_next(node);
        tree.rb_leftmost.set(leftmost);
    }
    rb_erase_augmented::<A>(node, &tree.rb_root);
    leftmost
}

/// [`rb_erase_augmented_cached`] without a summary.
pub fn rb_erase_cached(
    node: &'static RbNode,
    tree: &'static RbRootCached,
) -> Option<&'static RbNode> {
    rb_erase_augmented_cached::<Plain>(node, tree)
}
