//! kswapd: keeps memory free. Linux: `mm/vmscan.c` (v6.8).
//!
//! Kept: the thread, its short and its long sleep, who wakes it, its run from priority to priority, giving up
//! after 16 runs without success. Left out: LRU lists, so only shrinkers (`shrink_slab`) free anything; direct
//! reclaim: whoever finds no memory gets none. Differs: nothing else.

use super::compaction::wakeup_kcompactd;
use super::page_alloc::{high_wmark_pages, zone_watermark_ok};
use super::shrinker::shrink_slab;
use super::vmstat::{VmEventItem, count_vm_event};
use crate::arch::x86::include::asm::current::current;
use crate::fence::void::VoidPtr;
use crate::include::linux::jiffies::HZ;
use crate::include::linux::list::list_empty;
use crate::include::linux::mmzone::{PglistData, contig_page_data};
use crate::include::linux::sched::{
    PF_KSWAPD, PF_MEMALLOC, PF_NOFREEZE, TASK_INTERRUPTIBLE, cond_resched,
};
use crate::include::linux::wait::WaitQueueEntry;
use crate::kernel::kthread::{kthread_run, kthread_should_stop};
use crate::kernel::sched::core::schedule;
use crate::kernel::sched::wait::{finish_wait, prepare_to_wait, wake_up};
use crate::kernel::time::timer::sleep::schedule_timeout;
use crate::{pr_err, stack_pinned};

/// Where a run begins: a 4096th part of everything.
const DEF_PRIORITY: u32 = 12;
/// So many runs without success, and nothing helps.
const MAX_RECLAIM_RETRIES: u32 = 16;

/// Whether enough is free, in blocks of the order.
fn pgdat_balanced(order: u32) -> bool {
    zone_watermark_ok(order, high_wmark_pages())
}

/// Whether kswapd may go to sleep.
fn prepare_kswapd_sleep(pgdat: &PglistData, order: u32) -> bool {
    pgdat.kswapd_failures.get() >= MAX_RECLAIM_RETRIES || pgdat_balanced(order)
}

/// Frees until enough is free, or everything has been tried. What order it freed for: 0 when it gave up on a
/// larger one.
fn balance_pgdat(pgdat: &PglistData, order: u32) -> u32 {
    count_vm_event(VmEventItem::Pageoutrun);
    let mut nr_reclaimed = 0;
    let mut priority = DEF_PRIORITY;
    while priority >= 1 {
        if pgdat_balanced(order) {
            pgdat.kswapd_failures.set(0);
            return order;
        }
        let freed = shrink_slab(priority);
        nr_reclaimed += freed;
        cond_resched();
        if kthread_should_stop() {
            return order;
        }
        if freed == 0 || priority > 1 {
            priority -= 1;
        }
    }
    if nr_reclaimed == 0 {
        pgdat.kswapd_failures.inc();
    }
    // Single pages at least: larger blocks are kcompactd's business.
    if pgdat_balanced(order) { order } else { 0 }
}

/// Sleeps: a short while first, to see whether memory stays free, then until somebody wakes it.
fn kswapd_try_to_sleep(pgdat: &'static PglistData, alloc_order: u32, reclaim_order: u32) {
    stack_pinned!(let wait = WaitQueueEntry::new(current()));
    let mut remaining = 0;
    prepare_to_wait(&pgdat.kswapd_wait, wait, TASK_INTERRUPTIBLE);
    if prepare_kswapd_sleep(pgdat, reclaim_order) {
        // What is free may be in small pieces.
        wakeup_kcompactd(pgdat, alloc_order);
        remaining = schedule_timeout(HZ / 10);
        if remaining != 0 {
            // Woken early: what was asked for before is asked for still.
            pgdat
                .kswapd_order
                .set(pgdat.kswapd_order.get().max(reclaim_order));
        }
        finish_wait(&pgdat.kswapd_wait, wait);
        prepare_to_wait(&pgdat.kswapd_wait, wait, TASK_INTERRUPTIBLE);
    }
    if remaining == 0 && prepare_kswapd_sleep(pgdat, reclaim_order) && !kthread_should_stop() {
        schedule();
    }
    finish_wait(&pgdat.kswapd_wait, wait);
}

/// The thread.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn kswapd(_: VoidPtr) -> i32 {
    let pgdat = &contig_page_data;
    let tsk = current();
    // It frees memory: it may use the last of it.
    tsk.flags.or(PF_MEMALLOC | PF_KSWAPD);
    tsk.flags.and_not(PF_NOFREEZE);
    pgdat.kswapd_order.set(0);
    let mut reclaim_order = 0;
    loop {
        let alloc_order = reclaim_order.max(pgdat.kswapd_order.get());
        kswapd_try_to_sleep(pgdat, alloc_order, reclaim_order);
        let alloc_order = pgdat.kswapd_order.replace(0);
        if kthread_should_stop() {
            break;
        }
        reclaim_order = balance_pgdat(pgdat, alloc_order);
        if reclaim_order < alloc_order {
            wakeup_kcompactd(pgdat, alloc_order);
        }
        reclaim_order = 0;
    }
    tsk.flags.and_not(PF_MEMALLOC | PF_KSWAPD);
    0
}

/// Memory is low: kswapd shall free some, if that can help.
///
/// # Context
/// Any that may wake a task.
pub fn wakeup_kswapd(order: u32) {
    let pgdat = &contig_page_data;
    if pgdat.kswapd_order.get() < order {
        pgdat.kswapd_order.set(order);
    }
    if list_empty(&pgdat.kswapd_wait.head) {
        return;
    }
    if pgdat.kswapd_failures.get() >= MAX_RECLAIM_RETRIES || pgdat_balanced(order) {
        wakeup_kcompactd(pgdat, order);
        return;
    }
    wake_up(&pgdat.kswapd_wait);
}

/// Makes the node's kswapd. A device initcall.
pub fn kswapd_init() -> i32 {
    match kthread_run(kswapd, VoidPtr::NULL, format_args!("kswapd0")) {
        Ok(task) => contig_page_data.kswapd.set(Some(task)),
        Err(error) => pr_err!("Failed to start kswapd on node 0, ret={error}"),
    }
    0
}
