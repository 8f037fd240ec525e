//! Lock-free singly linked lists: many producers push, one consumer takes all.
//!
//! Linux: include/linux/llist.h, lib/llist.c, v6.8. **Kept** the names and the LIFO order of `llist_del_all`.
#![expect(unsafe_code, reason = "raw links between members")]

use crate::fence::shared::Shared;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

/// A member's link.
#[doc(alias = "llist_node")]
#[repr(C)]
pub struct LlistNode {
    /// The link pushed before this one.
    pub next: Shared<Option<&'static LlistNode>>,
}

impl LlistNode {
    /// A link in no list.
    pub const fn new() -> Self {
        Self {
            next: Shared::new(None),
        }
    }
}

/// The head of a list.
#[doc(alias = "llist_head")]
#[repr(C)]
pub struct LlistHead {
    first: AtomicPtr<LlistNode>,
}

impl LlistHead {
    /// An empty list.
    pub const fn new() -> Self {
        Self {
            first: AtomicPtr::new(ptr::null_mut()),
        }
    }
}

/// Pushes `new`; returns whether the list was empty before.
pub fn llist_add(new: &'static LlistNode, head: &LlistHead) -> bool {
    let link = ptr::from_ref(new).cast_mut();
    let mut first = head.first.load(Ordering::Relaxed);
    loop {
        // SAFETY: `first` is null or a link pushed by `llist_add`, hence `'static`.
        new.next.set(unsafe { first.as_ref() });
        match head
            .first
            .compare_exchange_weak(first, link, Ordering::AcqRel, Ordering::Relaxed)
        {
            Ok(_) => return first.is_null(),
            Err(now) => first = now,
        }
    }
}

/// Takes every member, newest first.
pub fn llist_del_all(head: &LlistHead) -> Option<&'static LlistNode> {
    let first = head.first.swap(ptr::null_mut(), Ordering::AcqRel);
    // SAFETY: null or a link pushed by `llist_add`, hence `'static`.
    unsafe { first.as_ref() }
}

/// Whether the list has no member.
pub fn llist_empty(head: &LlistHead) -> bool {
    head.first.load(Ordering::Relaxed).is_null()
}

/// Turns a taken chain around: oldest first.
pub fn llist_reverse_order(head: Option<&'static LlistNode>) -> Option<&'static LlistNode> {
    let mut rest = head;
    let mut done = None;
    while let Some(node) = rest {
        rest = node.next.get();
        node.next.set(done);
        done = Some(node);
    }
    done
}
