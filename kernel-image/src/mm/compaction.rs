//! kcompactd: makes large free blocks of small ones. Linux: `mm/compaction.c` (v6.8).
//!
//! Kept: the thread, its waits (it looks at fragmentation every 500 ms by itself), who wakes it, when a run is
//! needed, its counts. Left out: moving pages: all pages of this kernel are the kernel's own, which Linux
//! cannot move either, so a run looks at them, finds none it could move, and says so.

use super::page_alloc::{
    extfrag_for_order, low_wmark_pages, managed_pages, nr_free_pages, zone_watermark_ok,
};
use super::vmstat::{VmEventItem, count_vm_event, count_vm_events};
use crate::arch::x86::include::asm::current::current;
use crate::fence::void::VoidPtr;
use crate::include::linux::jiffies::msecs_to_jiffies;
use crate::include::linux::list::list_empty;
use crate::include::linux::mmzone::{PglistData, contig_page_data};
use crate::include::linux::sched::{PF_NOFREEZE, TASK_INTERRUPTIBLE};
use crate::include::linux::wait::WaitQueueEntry;
use crate::kernel::kthread::{kthread_run, kthread_should_stop};
use crate::kernel::sched::wait::{finish_wait, prepare_to_wait, wake_up};
use crate::kernel::time::timer::sleep::schedule_timeout;
use crate::{pr_err, stack_pinned};

/// How often it looks at fragmentation, ms.
const HPAGE_FRAG_CHECK_INTERVAL_MSEC: u64 = 500;
/// The size that matters: a huge page.
const COMPACTION_HPAGE_ORDER: u32 = 9;
/// How eager it is, 0 to 100.
const SYSCTL_COMPACTION_PROACTIVENESS: u64 = 20;

fn kcompactd_work_requested(pgdat: &PglistData) -> bool {
    pgdat.kcompactd_max_order.get() > 0 || kthread_should_stop()
}

/// One run over the zone: true if there is a free block of the order afterwards.
fn compact_zone(order: u32) -> bool {
    if zone_watermark_ok(order, low_wmark_pages()) {
        return true;
    }
    // All used pages are looked at. None can be moved.
    let scanned = managed_pages().saturating_sub(nr_free_pages());
    count_vm_events(VmEventItem::KcompactdMigrateScanned, scanned);
    zone_watermark_ok(order, low_wmark_pages())
}

fn kcompactd_do_work(pgdat: &PglistData) {
    let order = pgdat.kcompactd_max_order.get();
    count_vm_event(VmEventItem::KcompactdWake);
    count_vm_event(if compact_zone(order) {
        VmEventItem::CompactSuccess
    } else {
        VmEventItem::CompactFail
    });
    // Unless somebody asked for more meanwhile.
    if pgdat.kcompactd_max_order.get() <= order {
        pgdat.kcompactd_max_order.set(0);
    }
}

/// Whether free memory is in so small pieces that something must be done without being asked.
fn should_proactive_compact_node() -> bool {
    let wmark_low = (100 - SYSCTL_COMPACTION_PROACTIVENESS).max(5);
    let wmark_high = (wmark_low + 10).min(100);
    extfrag_for_order(COMPACTION_HPAGE_ORDER) > wmark_high
}

/// Sleeps until there is something to do; false if the time passed first.
fn wait_for_request(pgdat: &'static PglistData) -> bool {
    stack_pinned!(let wait = WaitQueueEntry::new(current()));
    let mut timeout = msecs_to_jiffies(HPAGE_FRAG_CHECK_INTERVAL_MSEC);
    loop {
        prepare_to_wait(&pgdat.kcompactd_wait, wait, TASK_INTERRUPTIBLE);
        if kcompactd_work_requested(pgdat) || timeout == 0 {
            break;
        }
        timeout = schedule_timeout(timeout);
    }
    finish_wait(&pgdat.kcompactd_wait, wait);
    kcompactd_work_requested(pgdat)
}

/// The thread.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn kcompactd(_: VoidPtr) -> i32 {
    let pgdat = &contig_page_data;
    current().flags.and_not(PF_NOFREEZE);
    pgdat.kcompactd_max_order.set(0);
    while !kthread_should_stop() {
        if wait_for_request(pgdat) {
            kcompactd_do_work(pgdat);
        } else if should_proactive_compact_node() {
            compact_zone(COMPACTION_HPAGE_ORDER);
        }
    }
    0
}

/// Free memory is in small pieces: kcompactd shall make blocks of the order.
///
/// # Context
/// Any that may wake a task.
pub fn wakeup_kcompactd(pgdat: &'static PglistData, order: u32) {
    if order == 0 {
        return;
    }
    if pgdat.kcompactd_max_order.get() < order {
        pgdat.kcompactd_max_order.set(order);
    }
    if !list_empty(&pgdat.kcompactd_wait.head) {
        wake_up(&pgdat.kcompactd_wait);
    }
}

/// Makes the node's kcompactd. A subsystem initcall.
pub fn kcompactd_init() -> i32 {
    match kthread_run(kcompactd, VoidPtr::NULL, format_args!("kcompactd0")) {
        Ok(task) => contig_page_data.kcompactd.set(Some(task)),
        Err(error) => pr_err!("Failed to start kcompactd on node 0: {error}"),
    }
    0
}
