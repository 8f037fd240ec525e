//! Lists sorted by priority, in which finding the first and inserting cost little.
//!
//! Linux: `include/linux/plist.h`, `lib/plist.c` (v6.8). Kept: the two lists (all nodes; one node for each
//! priority), order of arrival among equals. Left out: requeueing, the debugging checks. Differs: nothing.
//! Locks: none: the owner of the list says which lock guards it.

use crate::fence::shared::Shared;
use crate::include::linux::list::{
    INIT_LIST_HEAD, ListHead, list_add, list_add_tail, list_del_init, list_empty,
};
use crate::intrusive_adapter;

/// The head of a list.
#[doc(alias = "plist_head")]
#[repr(C)]
pub struct PlistHead {
    /// All nodes, the lowest number first.
    pub node_list: ListHead,
}

impl PlistHead {
    /// An empty list.
    pub const fn new() -> PlistHead {
        PlistHead {
            node_list: ListHead::new(),
        }
    }
}

/// A member's link.
#[doc(alias = "plist_node")]
#[repr(C)]
pub struct PlistNode {
    /// The key; a low number comes first.
    pub prio: Shared<i32>,
    /// The first nodes of all priorities: a circle without a head. Empty for a node that is not the first.
    pub prio_list: ListHead,
    /// All nodes.
    pub node_list: ListHead,
}

intrusive_adapter!(
    /// Nodes by their link among all nodes.
    pub PlistNodeLink = PlistNode { node_list: ListHead });
intrusive_adapter!(
    /// Nodes by their link among the first ones.
    PlistPrioLink = PlistNode { prio_list: ListHead });

impl PlistNode {
    /// A node in no list.
    pub const fn new() -> PlistNode {
        PlistNode {
            prio: Shared::new(0),
            prio_list: ListHead::new(),
            node_list: ListHead::new(),
        }
    }
}

/// Makes `node` one that is in no list, with its key.
pub fn plist_node_init(node: &'static PlistNode, prio: i32) {
    node.prio.set(prio);
    INIT_LIST_HEAD(&node.prio_list);
    INIT_LIST_HEAD(&node.node_list);
}

/// Whether the list has no member.
pub fn plist_head_empty(head: &PlistHead) -> bool {
    list_empty(&head.node_list)
}

/// Whether the node is in no list.
pub fn plist_node_empty(node: &PlistNode) -> bool {
    list_empty(&node.node_list)
}

/// The member with the lowest number that came first.
pub fn plist_first(head: &'static PlistHead) -> Option<&'static PlistNode> {
    PlistNodeLink::first(&head.node_list)
}

/// The member with the highest number that came last.
pub fn plist_last(head: &'static PlistHead) -> Option<&'static PlistNode> {
    PlistNodeLink::last(&head.node_list)
}

/// The first nodes of each priority, in order.
fn prios(head: &'static PlistHead) -> impl Iterator<Item = &'static PlistNode> {
    let first = plist_first(head);
    let mut at = first;
    core::iter::from_fn(move || {
        let node = at?;
        at = node
            .prio_list
            .next
            .get()
            .map(PlistPrioLink::entry)
            .filter(|&next| first.is_some_and(|first| !core::ptr::eq(first, next)));
        Some(node)
    })
}

/// Adds a node behind all of its priority.
pub fn plist_add(node: &'static PlistNode, head: &'static PlistHead) {
    let prio = node.prio.get();
    let mut equal = false;
    let mut next = None;
    for first_of_prio in prios(head) {
        if first_of_prio.prio.get() > prio {
            next = Some(first_of_prio);
            break;
        }
        equal = first_of_prio.prio.get() == prio;
    }
    if !equal {
        // Alone of its priority: before the next one in the circle, which the first one closes.
        if let Some(at) = next.or_else(|| plist_first(head)) {
            list_add_tail(&node.prio_list, &at.prio_list);
        }
    }
    list_add_tail(
        &node.node_list,
        next.map_or(&head.node_list, |next| &next.node_list),
    );
}

/// Takes a node out; one that is in no list is left alone.
pub fn plist_del(node: &'static PlistNode, head: &'static PlistHead) {
    if !list_empty(&node.prio_list) {
        // The first of its priority, and there are others. The next node in line, if it is in no circle,
        // is the second of the same priority: it takes the place.
        let heir = node
            .node_list
            .next
            .get()
            .filter(|&link| !core::ptr::eq(link, &head.node_list))
            .map(PlistNodeLink::entry)
            .filter(|heir| list_empty(&heir.prio_list));
        if let Some(heir) = heir {
            list_add(&heir.prio_list, &node.prio_list);
        }
        list_del_init(&node.prio_list);
    }
    list_del_init(&node.node_list);
}
