//! Network name spaces: which exist, and how one goes away. Linux: `net/core/net_namespace.c` (v6.8).
//!
//! Kept: the first name space, references, the workqueue `netns` whose work cleans up those that nobody refers
//! to, many in one go. Left out: what a name space holds: devices, sockets, operations that are told of it.
//! Differs: name spaces are recycled instead of freed.
//! Locks: `net_rwsem` (a mutex here) for the list.

extern crate alloc;

use crate::fence::shared::Shared;
use crate::include::linux::list::{ListHead, list_add, list_add_tail, list_del_init};
use crate::include::linux::llist::{LlistHead, LlistNode, llist_add, llist_del_all};
use crate::include::linux::mutex::Mutex;
use crate::include::linux::workqueue::{
    __WQ_LEGACY, WQ_MEM_RECLAIM, WorkStruct, WorkqueueStruct, alloc_ordered_workqueue, flush_work,
    queue_work,
};
use crate::{WARN_ON, intrusive_adapter};
use alloc::boxed::Box;
use core::sync::atomic::{AtomicI32, AtomicU64, Ordering};

/// A network name space.
#[doc(alias = "net")]
#[repr(C)]
pub struct Net {
    /// References of those that need it to work.
    pub count: AtomicI32,
    /// Which one it is: never given twice.
    pub net_cookie: Shared<u64>,
    /// Place among all, or among those that are not in use: under `net_rwsem`.
    pub list: ListHead,
    /// Place among those that shall go.
    pub cleanup_list: LlistNode,
}

intrusive_adapter!(
    /// Name spaces by their place among all.
    pub NetLink = Net { list: ListHead });
intrusive_adapter!(
    CleanupLink = Net {
        cleanup_list: crate::include::linux::llist::LlistNode
    }
);

impl Net {
    const fn new() -> Net {
        Net {
            count: AtomicI32::new(1),
            net_cookie: Shared::new(0),
            list: ListHead::new(),
            cleanup_list: LlistNode::new(),
        }
    }
}

/// The name space of the first task.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
pub static init_net: Net = Net::new();
/// All name spaces.
pub static net_namespace_list: ListHead = ListHead::new();
/// Protects the list.
static net_rwsem: Mutex = Mutex::new();
static free_nets: ListHead = ListHead::new();
static next_cookie: AtomicU64 = AtomicU64::new(1);
/// Name spaces that nobody refers to.
static cleanup_list: LlistHead = LlistHead::new();
static net_cleanup_work: WorkStruct = WorkStruct::new(cleanup_net);
static netns_wq: Shared<Option<&'static WorkqueueStruct>> = Shared::new(None);
/// How many have been cleaned up.
pub static nr_cleaned: AtomicU64 = AtomicU64::new(0);

fn setup_net(net: &'static Net) {
    net.count.store(1, Ordering::SeqCst);
    net.net_cookie
        .set(next_cookie.fetch_add(1, Ordering::SeqCst));
    net_rwsem.lock();
    list_add_tail(&net.list, &net_namespace_list);
    net_rwsem.unlock();
}

/// Makes a name space, with one reference.
///
/// # Context
/// May sleep.
pub fn copy_net_ns() -> &'static Net {
    net_rwsem.lock();
    let used = NetLink::first(&free_nets);
    if let Some(net) = used {
        list_del_init(&net.list);
    }
    net_rwsem.unlock();
    let net: &'static Net = used.unwrap_or_else(|| Box::leak(Box::new(Net::new())));
    setup_net(net);
    net
}

/// One reference more.
pub fn get_net(net: &'static Net) -> &'static Net {
    net.count.fetch_add(1, Ordering::SeqCst);
    net
}

/// One reference less; a name space without any is cleaned up later.
///
/// # Context
/// Any.
pub fn put_net(net: &'static Net) {
    if net.count.fetch_sub(1, Ordering::SeqCst) == 1 {
        // Only the first one of a batch needs to ask for it.
        if llist_add(&net.cleanup_list, &cleanup_list)
            && let Some(wq) = netns_wq.get()
        {
            queue_work(wq, &net_cleanup_work);
        }
    }
}

/// The work: takes all name spaces that shall go off the list, then lets them go.
fn cleanup_net(_work: &'static WorkStruct) {
    let mut at = llist_del_all(&cleanup_list);
    while let Some(node) = at {
        at = node.next.get();
        let net = CleanupLink::entry(node);
        net_rwsem.lock();
        WARN_ON!(net.count.load(Ordering::SeqCst) != 0);
        list_del_init(&net.list);
        list_add(&net.list, &free_nets);
        net_rwsem.unlock();
        nr_cleaned.fetch_add(1, Ordering::SeqCst);
    }
}

/// Waits until all name spaces that shall go have gone.
///
/// # Context
/// May sleep.
pub fn net_ns_barrier() {
    flush_work(&net_cleanup_work);
}

/// The first name space, and the workqueue.
pub fn net_ns_init() {
    let wq = alloc_ordered_workqueue("netns", __WQ_LEGACY | WQ_MEM_RECLAIM);
    if wq.is_none() {
        crate::kernel::panic::panic(format_args!("Could not create netns workq"));
    }
    netns_wq.set(wq);
    setup_net(&init_net);
}
