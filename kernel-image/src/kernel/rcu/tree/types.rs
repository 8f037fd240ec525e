//! What the grace-period engine keeps. Linux: `kernel/rcu/tree.h` (v6.8).
//!
//! Kept: the tree of nodes, the data of a CPU, the state of all. Left out: boosting, offloaded callbacks,
//! the fields of tracing. Differs: the tree is built for at most 64 CPUs: one node up to 16 of them, else a
//! root with leaves of 16.

use crate::fence::percpu::PerCpu;
use crate::fence::shared::Shared;
use crate::include::linux::completion::Completion;
use crate::include::linux::cpumask::NR_CPUS;
use crate::include::linux::irq_work::IrqWork;
use crate::include::linux::list::ListHead;
use crate::include::linux::mutex::Mutex;
use crate::include::linux::sched::TaskRef;
use crate::include::linux::spinlock::RawSpinlock;
use crate::include::linux::swait::SwaitQueueHead;
use crate::include::linux::types::RcuHead;
use crate::kernel::rcu::rcu::RCU_SEQ_CTR_SHIFT;
use crate::kernel::rcu::rcu_segcblist::RcuSegcblist;
use crate::kernel::rcu::tree_plugin::rcu_preempt_deferred_qs_handler;
use core::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};

/// CPUs of a leaf.
pub const RCU_FANOUT_LEAF: usize = 16;
/// Leaves that the most CPUs need.
const RCU_LEAVES: usize = NR_CPUS / RCU_FANOUT_LEAF;
/// Nodes of the largest tree: the root and its leaves.
pub const NUM_RCU_NODES: usize = 1 + RCU_LEAVES;

/// A node: what it still waits for from below, and the readers that were preempted on its CPUs.
#[doc(alias = "rcu_node")]
#[repr(C)]
pub struct RcuNode {
    /// Protects the fields; interrupts off.
    pub lock: RawSpinlock,
    /// The grace period as this node knows it.
    pub gp_seq: Shared<u64>,
    /// The latest one that somebody below has asked for.
    pub gp_seq_needed: Shared<u64>,
    /// The grace period whose quiescent states are all in.
    pub completedqs: Shared<u64>,
    /// CPUs (or nodes) below that the grace period still waits for.
    pub qsmask: Shared<u64>,
    /// `qsmask` at the start of a grace period.
    pub qsmaskinit: Shared<u64>,
    /// CPUs online: `qsmaskinit` of the next grace period. Leaves only.
    pub qsmaskinitnext: Shared<u64>,
    /// As `qsmask`, for the grace period in a hurry.
    pub expmask: Shared<u64>,
    /// `expmask` at its start.
    pub expmaskinit: Shared<u64>,
    /// CPUs that have ever been online: `expmaskinit` of the next one. Leaves only.
    pub expmaskinitnext: Shared<u64>,
    /// This node's bit in its parent's masks.
    pub grpmask: Shared<u64>,
    /// Lowest CPU below.
    pub grplo: Shared<u32>,
    /// Highest CPU below.
    pub grphi: Shared<u32>,
    /// Number among its siblings.
    pub grpnum: Shared<u32>,
    /// 0 for the root.
    pub level: Shared<u32>,
    /// All CPUs below went offline while readers of theirs were still blocked.
    pub wait_blkd_tasks: Shared<bool>,
    /// The node above.
    pub parent: Shared<Option<RnpRef>>,
    /// Readers that were switched out on a CPU below, newest first but for those that block a grace period.
    pub blkd_tasks: ListHead,
    /// From this reader to the list's end, all block the grace period that runs.
    pub gp_tasks: Shared<Option<&'static ListHead>>,
    /// From this one on they block the grace period in a hurry.
    pub exp_tasks: Shared<Option<&'static ListHead>>,
}

/// Nodes are static.
pub type RnpRef = &'static RcuNode;

impl RcuNode {
    const fn new() -> RcuNode {
        RcuNode {
            lock: RawSpinlock::new(),
            gp_seq: Shared::new(0),
            gp_seq_needed: Shared::new(0),
            completedqs: Shared::new(0),
            qsmask: Shared::new(0),
            qsmaskinit: Shared::new(0),
            qsmaskinitnext: Shared::new(0),
            expmask: Shared::new(0),
            expmaskinit: Shared::new(0),
            expmaskinitnext: Shared::new(0),
            grpmask: Shared::new(0),
            grplo: Shared::new(0),
            grphi: Shared::new(0),
            grpnum: Shared::new(0),
            level: Shared::new(0),
            wait_blkd_tasks: Shared::new(false),
            parent: Shared::new(None),
            blkd_tasks: ListHead::new(),
            gp_tasks: Shared::new(None),
            exp_tasks: Shared::new(None),
        }
    }

    /// The CPUs of a leaf whose bit is set in `mask` (`for_each_leaf_node_cpu_mask`).
    pub fn cpus(&'static self, mask: u64) -> impl Iterator<Item = u32> {
        let lo = self.grplo.get();
        (lo..=self.grphi.get()).filter(move |cpu| mask >> (cpu - lo) & 1 != 0)
    }
}

/// What a CPU still owes: a quiescent state for the ordinary grace period, one for that in a hurry.
#[doc(alias = "rcu_noqs")]
#[repr(C)]
pub struct RcuNoqs {
    /// For the ordinary one.
    pub norm: Shared<bool>,
    /// For the one in a hurry.
    pub exp: Shared<bool>,
}

/// One CPU's data; its own with interrupts off, unless a field says otherwise.
#[doc(alias = "rcu_data")]
#[repr(C)]
pub struct RcuData {
    /// The grace period as this CPU knows it.
    pub gp_seq: Shared<u64>,
    /// The latest one it has asked for.
    pub gp_seq_needed: Shared<u64>,
    /// What it has not passed yet.
    pub cpu_no_qs: RcuNoqs,
    /// The engine waits for this CPU.
    pub core_needs_qs: Shared<bool>,
    /// It has been online.
    pub beenonline: Shared<bool>,
    /// Its leaf.
    pub mynode: Shared<Option<RnpRef>>,
    /// Its bit there.
    pub grpmask: Shared<u64>,
    /// Ticks it has seen in this grace period.
    pub ticks_this_gp: Shared<u64>,
    /// Its callbacks.
    pub cblist: RcuSegcblist,
    /// Callbacks at the last forced scan.
    pub qlen_last_fqs_check: Shared<i64>,
    /// Callbacks it has invoked.
    pub n_cbs_invoked: Shared<u64>,
    /// Forced scans at the last look.
    pub n_force_qs_snap: Shared<u64>,
    /// Most callbacks in a row.
    pub blimit: Shared<i64>,
    /// Its dynticks counter when the scan first looked: (gp_kthread).
    pub dynticks_snap: Shared<u32>,
    /// The grace period is old: any point that may report shall do so at once. Any CPU.
    pub rcu_need_heavy_qs: Shared<bool>,
    /// The tick shall ask for a context switch. Any CPU.
    pub rcu_urgent_qs: Shared<bool>,
    /// When a scan last asked it for a switch, jiffies: (gp_kthread).
    pub last_fqs_resched: Shared<u64>,
    /// A reader's end in a hurry is on its way to where it may report: its own CPU.
    pub defer_qs_iw_pending: Shared<bool>,
    /// That way.
    pub defer_qs_iw: IrqWork,
    /// The barrier that has been here: under `barrier_lock`.
    pub barrier_seq_snap: Shared<u64>,
    /// The barrier's callback.
    pub barrier_head: RcuHead,
    /// Its dynticks counter for the grace period in a hurry.
    pub exp_dynticks_snap: Shared<u32>,
    /// RCU knows of its start: its own CPU.
    pub cpu_started: Shared<bool>,
    /// `gp_seq` when it last came online.
    pub rcu_onl_gp_seq: Shared<u64>,
    /// `gp_seq` when it last went offline.
    pub rcu_ofl_gp_seq: Shared<u64>,
    /// Softirqs of RCU it has run, for warnings.
    pub softirq_snap: Shared<u64>,
    /// Its number.
    pub cpu: Shared<u32>,
}

/// Per-CPU data is static.
pub type RdpRef = &'static RcuData;

/// Most callbacks in a row without need.
pub const DEFAULT_RCU_BLIMIT: i64 = 10;
/// The same when there are too many of them.
pub const DEFAULT_MAX_RCU_BLIMIT: i64 = 10_000;
/// Too many.
pub const DEFAULT_RCU_QHIMARK: i64 = 10_000;
/// No longer too many.
pub const DEFAULT_RCU_QLOMARK: i64 = 100;

/// All CPUs' data.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
pub static rcu_data: PerCpu<RcuData> = PerCpu::new(
    [const {
        RcuData {
            gp_seq: Shared::new(0),
            gp_seq_needed: Shared::new(0),
            cpu_no_qs: RcuNoqs {
                norm: Shared::new(false),
                exp: Shared::new(false),
            },
            core_needs_qs: Shared::new(false),
            beenonline: Shared::new(false),
            mynode: Shared::new(None),
            grpmask: Shared::new(0),
            ticks_this_gp: Shared::new(0),
            cblist: RcuSegcblist::new(),
            qlen_last_fqs_check: Shared::new(0),
            n_cbs_invoked: Shared::new(0),
            n_force_qs_snap: Shared::new(0),
            blimit: Shared::new(DEFAULT_RCU_BLIMIT),
            dynticks_snap: Shared::new(0),
            rcu_need_heavy_qs: Shared::new(false),
            rcu_urgent_qs: Shared::new(false),
            last_fqs_resched: Shared::new(0),
            defer_qs_iw_pending: Shared::new(false),
            defer_qs_iw: IrqWork::new(rcu_preempt_deferred_qs_handler),
            barrier_seq_snap: Shared::new(0),
            barrier_head: RcuHead::new(),
            exp_dynticks_snap: Shared::new(0),
            cpu_started: Shared::new(false),
            rcu_onl_gp_seq: Shared::new(0),
            rcu_ofl_gp_seq: Shared::new(0),
            softirq_snap: Shared::new(0),
            cpu: Shared::new(0),
        }
    }; NR_CPUS],
);

impl RcuData {
    /// Its leaf.
    pub fn node(&self) -> RnpRef {
        self.mynode.get().expect("a CPU without an rcu_node")
    }
}

/// Bit of `gp_flags`: a grace period is wanted.
pub const RCU_GP_FLAG_INIT: u32 = 0x1;
/// Bit of `gp_flags`: the scan shall run now.
pub const RCU_GP_FLAG_FQS: u32 = 0x2;

/// What `rcu_preempt` does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum GpState {
    /// Nothing.
    Idle = 0,
    /// Waits until a grace period is wanted.
    WaitGps = 1,
    /// Has been woken for one.
    DoneGps = 2,
    /// Waits for CPUs that went off or on.
    OnOff = 3,
    /// Tells the nodes.
    Init = 4,
    /// Waits for quiescent states, or for the time of a scan.
    WaitFqs = 5,
    /// Scans.
    DoingFqs = 6,
    /// Ends the grace period.
    Cleanup = 7,
    /// Has ended it.
    Cleaned = 8,
}

/// The engine's state; fields without a word are written by `rcu_preempt` under the root's lock.
#[doc(alias = "rcu_state")]
#[repr(C)]
pub struct RcuState {
    /// The tree: root, then leaves.
    pub node: [RcuNode; NUM_RCU_NODES],
    /// Number of CPUs that have been online.
    pub ncpus: Shared<u32>,
    /// The grace period.
    pub gp_seq: Shared<u64>,
    /// Longest one, jiffies.
    pub gp_max: Shared<u64>,
    /// `rcu_preempt`.
    pub gp_kthread: Shared<Option<TaskRef>>,
    /// Where it waits.
    pub gp_wq: SwaitQueueHead,
    /// `RCU_GP_FLAG_*`.
    pub gp_flags: AtomicU32,
    /// [`GpState`] as a number.
    pub gp_state: Shared<u32>,
    /// One barrier at a time.
    pub barrier_mutex: Mutex,
    /// CPUs that a barrier still waits for.
    pub barrier_cpu_count: AtomicI32,
    /// It is done.
    pub barrier_completion: Completion,
    /// Barriers.
    pub barrier_sequence: Shared<u64>,
    /// Orders a barrier against CPUs that go.
    pub barrier_lock: RawSpinlock,
    /// One grace period in a hurry at a time.
    pub exp_mutex: Mutex,
    /// Them.
    pub expedited_sequence: Shared<u64>,
    /// Where the one who drives it waits.
    pub expedited_wq: SwaitQueueHead,
    /// When the next scan is due.
    pub jiffies_force_qs: Shared<u64>,
    /// Scans.
    pub n_force_qs: Shared<u64>,
    /// Scans at the start of this grace period.
    pub n_force_qs_gpstart: Shared<u64>,
    /// When the grace period began.
    pub gp_start: Shared<u64>,
    /// From when on a scan asks for switches itself, jiffies.
    pub jiffies_resched: Shared<u64>,
    /// When somebody last did something for it.
    pub gp_activity: Shared<u64>,
    /// When one was last asked for.
    pub gp_req_activity: Shared<u64>,
    /// When to complain that it takes too long.
    pub jiffies_stall: AtomicU64,
    /// How many grace periods were in a hurry, and how many not (ours, for the workloads' report).
    pub n_expedited: AtomicU64,
    /// Protects the masks of CPUs that are there.
    pub ofl_lock: RawSpinlock,
    /// Levels of the tree.
    pub num_lvls: Shared<u32>,
    /// Its name.
    pub name: &'static str,
}

/// The state.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
pub static rcu_state: RcuState = RcuState {
    node: [const { RcuNode::new() }; NUM_RCU_NODES],
    ncpus: Shared::new(0),
    // It begins shortly before a wrap, so that comparisons that forget the wrap fail early.
    gp_seq: Shared::new(0u64.wrapping_sub(300 << RCU_SEQ_CTR_SHIFT)),
    gp_max: Shared::new(0),
    gp_kthread: Shared::new(None),
    gp_wq: SwaitQueueHead::new(),
    gp_flags: AtomicU32::new(0),
    gp_state: Shared::new(GpState::Idle as u32),
    barrier_mutex: Mutex::new(),
    barrier_cpu_count: AtomicI32::new(0),
    barrier_completion: Completion::new(),
    barrier_sequence: Shared::new(0),
    barrier_lock: RawSpinlock::new(),
    exp_mutex: Mutex::new(),
    expedited_sequence: Shared::new(0),
    expedited_wq: SwaitQueueHead::new(),
    jiffies_force_qs: Shared::new(0),
    n_force_qs: Shared::new(0),
    n_force_qs_gpstart: Shared::new(0),
    gp_start: Shared::new(0),
    jiffies_resched: Shared::new(0),
    gp_activity: Shared::new(0),
    gp_req_activity: Shared::new(0),
    jiffies_stall: AtomicU64::new(0),
    n_expedited: AtomicU64::new(0),
    ofl_lock: RawSpinlock::new(),
    num_lvls: Shared::new(1),
    name: "rcu_preempt",
};

/// The root (`rcu_get_root`).
pub fn rcu_get_root() -> RnpRef {
    &rcu_state.node[0]
}

/// Nodes in use.
fn num_nodes() -> usize {
    let cpus = crate::include::linux::cpumask::nr_cpu_ids.load(Ordering::Relaxed) as usize;
    match rcu_state.num_lvls.get() {
        1 => 1,
        _ => 1 + cpus.div_ceil(RCU_FANOUT_LEAF),
    }
}

/// All nodes, the root first (`rcu_for_each_node_breadth_first`).
pub fn rcu_for_each_node_breadth_first() -> impl Iterator<Item = RnpRef> {
    rcu_state.node[..num_nodes()].iter()
}

/// The leaves (`rcu_for_each_leaf_node`).
pub fn rcu_for_each_leaf_node() -> impl Iterator<Item = RnpRef> {
    let first = if rcu_state.num_lvls.get() == 1 { 0 } else { 1 };
    rcu_state.node[first..num_nodes()].iter()
}

/// Whether a node is a leaf (`rcu_is_leaf_node`).
pub fn rcu_is_leaf_node(rnp: RnpRef) -> bool {
    rnp.level.get() + 1 == rcu_state.num_lvls.get()
}
