//! Threads that exist once on every CPU. Linux: `include/linux/smpboot.h` (v6.8).
//!
//! Kept: the descriptor. Differs: `store` is a function to the CPU's cell instead of a per-CPU pointer.

use crate::fence::shared::Shared;
use crate::include::linux::list::ListHead;
use crate::include::linux::sched::TaskRef;
use crate::intrusive_adapter;

/// A kind of per-CPU thread, as `struct smp_hotplug_thread`.
#[doc(alias = "smp_hotplug_thread")]
pub struct SmpHotplugThread {
    /// Where the CPU's thread is kept.
    pub store: fn(u32) -> &'static Shared<Option<TaskRef>>,
    /// Place in the list of kinds.
    pub list: ListHead,
    /// Whether there is something to do.
    pub thread_should_run: fn(u32) -> bool,
    /// Does it.
    pub thread_fn: extern "C" fn(u32),
    /// After the thread has been created and has parked.
    pub create: Option<fn(u32)>,
    /// Before it first runs.
    pub setup: Option<fn(u32)>,
    /// Before it ends.
    pub cleanup: Option<fn(u32, bool)>,
    /// Before it parks.
    pub park: Option<fn(u32)>,
    /// After it has been unparked.
    pub unpark: Option<fn(u32)>,
    /// It is unparked by its owner, not with the others.
    pub selfparking: bool,
    /// The name without the CPU.
    pub thread_comm: &'static str,
}

extern "C" fn nothing(_cpu: u32) {}

impl SmpHotplugThread {
    /// To be completed: every field that has a default.
    #[expect(
        clippy::declare_interior_mutable_const,
        reason = "each use is a fresh value"
    )]
    pub const EMPTY: SmpHotplugThread = SmpHotplugThread {
        store: |_| crate::BUG!(),
        list: ListHead::new(),
        thread_should_run: |_| false,
        thread_fn: nothing,
        create: None,
        setup: None,
        cleanup: None,
        park: None,
        unpark: None,
        selfparking: false,
        thread_comm: "",
    };
}

intrusive_adapter!(
    /// Kinds by their link.
    pub HotplugThreadLink = SmpHotplugThread { list: ListHead });
