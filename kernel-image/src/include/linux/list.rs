//! Circular doubly linked lists whose links live in their members.
//!
//! Linux: include/linux/list.h, v6.8.
//! **Kept** the names, FIFO and LIFO insertion, removal with poisoning replaced by self-links.
//! **Differs** a link that was never initialised is null and counts as empty, so that statics and arrays
//! need no run-time set-up; `list_add*` initialises such a head.
//! **Locks** none: the owner of the list says which lock guards it.
use crate::fence::shared::Shared;

/// A link, or the head of a list.
#[doc(alias = "list_head")]
#[repr(C)]
pub struct ListHead {
    /// The following link.
    pub next: Shared<Option<&'static ListHead>>,
    /// The preceding link.
    pub prev: Shared<Option<&'static ListHead>>,
}

impl ListHead {
    /// An uninitialised link; as a head it is empty.
    pub const fn new() -> Self {
        Self {
            next: Shared::new(None),
            prev: Shared::new(None),
        }
    }

    /// The link after this one: itself when empty or uninitialised.
    #[inline(always)]
    fn after(&'static self) -> &'static ListHead {
        self.next.get().unwrap_or(self)
    }

    /// The link before this one: itself when empty or uninitialised.
    #[inline(always)]
    fn before(&'static self) -> &'static ListHead {
        self.prev.get().unwrap_or(self)
    }
}

/// Makes `list` an empty head, or a link in no list.
#[inline(always)]
pub fn INIT_LIST_HEAD(list: &'static ListHead) {
    list.next.set(Some(list));
    list.prev.set(Some(list));
}

#[inline(always)]
fn __list_add(new: &'static ListHead, prev: &'static ListHead, next: &'static ListHead) {
    next.prev.set(Some(new));
    new.next.set(Some(next));
    new.prev.set(Some(prev));
    prev.next.set(Some(new));
}

/// Inserts `new` right after `head`: the list becomes a stack.
#[inline(always)]
pub fn list_add(new: &'static ListHead, head: &'static ListHead) {
    __list_add(new, head, head.after());
}

/// Inserts `new` right before `head`: the list becomes a queue.
#[inline(always)]
pub fn list_add_tail(new: &'static ListHead, head: &'static ListHead) {
    __list_add(new, head.before(), head);
}

/// Takes `entry` out of its list; the entry itself ends uninitialised (Linux poisons it).
#[inline(always)]
pub fn list_del(entry: &'static ListHead) {
    __list_del_entry(entry);
    entry.next.set(None);
    entry.prev.set(None);
}

#[inline(always)]
fn __list_del_entry(entry: &'static ListHead) {
    let (prev, next) = (entry.before(), entry.after());
    next.prev.set(Some(prev));
    prev.next.set(Some(next));
}

/// Takes `entry` out of its list and leaves it empty.
#[inline(always)]
pub fn list_del_init(entry: &'static ListHead) {
    __list_del_entry(entry);
    INIT_LIST_HEAD(entry);
}

/// Moves `list` to the front of `head`.
#[inline(always)]
pub fn list_move(list: &'static ListHead, head: &'static ListHead) {
    __list_del_entry(list);
    list_add(list, head);
}

/// Moves `list` to the tail of `head`.
#[inline(always)]
pub fn list_move_tail(list: &'static ListHead, head: &'static ListHead) {
    __list_del_entry(list);
    list_add_tail(list, head);
}

/// Whether `head` has no members. Works on stack objects, hence any lifetime.
#[inline(always)]
pub fn list_empty(head: &ListHead) -> bool {
    match head.next.get() {
        None => true,
        Some(next) => core::ptr::eq(next, head),
    }
}

/// Whether `head` has exactly one member.
pub fn list_is_singular(head: &'static ListHead) -> bool {
    !list_empty(head) && core::ptr::eq(head.after(), head.before())
}

/// Appends all of `list` to the tail of `head` and leaves `list` empty.
pub fn list_splice_tail_init(list: &'static ListHead, head: &'static ListHead) {
    if list_empty(list) {
        return;
    }
    let (first, last, tail) = (list.after(), list.before(), head.before());
    first.prev.set(Some(tail));
    tail.next.set(Some(first));
    last.next.set(Some(head));
    head.prev.set(Some(last));
    INIT_LIST_HEAD(list);
}

/// The first link of `head`, none when empty.
pub fn list_first(head: &'static ListHead) -> Option<&'static ListHead> {
    (!list_empty(head)).then(|| head.after())
}

/// The last link of `head`, none when empty.
pub fn list_last(head: &'static ListHead) -> Option<&'static ListHead> {
    (!list_empty(head)).then(|| head.before())
}

/// The links of `head`, first to last; the next one is read before the current one is handed out
/// (`list_for_each_safe`).
pub fn links(head: &'static ListHead) -> impl Iterator<Item = &'static ListHead> {
    let mut at = head.after();
    core::iter::from_fn(move || {
        if core::ptr::eq(at, head) {
            return None;
        }
        let link = at;
        at = link.after();
        Some(link)
    })
}

/// The links of `head`, last to first; the one before is read before the current one is handed out.
pub fn links_reverse(head: &'static ListHead) -> impl Iterator<Item = &'static ListHead> {
    let mut at = head.before();
    core::iter::from_fn(move || {
        if core::ptr::eq(at, head) {
            return None;
        }
        let link = at;
        at = link.before();
        Some(link)
    })
}
