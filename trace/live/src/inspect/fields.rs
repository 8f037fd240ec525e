//! Where the scheduler's fields are: looked up in DWARF once. Fields that only some kernels have are
//! options.

use trace::event::Addr;
use trace::image::{Field, Image, Shape};
use trace::state::CpuMasks;
use trace::target::{Target, Unreadable};
use trace::value::{Span, Value};

use crate::error::LiveError;
use crate::layout::of_pcpu_hot;

/// Bytes of a `list_head`.
pub(super) const LIST_HEAD: u64 = 16;

/// The list of a priority in an array of lists.
pub(super) fn queue_of(base: u64, prio: u64) -> Addr {
    Addr(base.wrapping_add(prio * LIST_HEAD))
}

/// The fields of `sched_entity`, from its start.
#[derive(Debug)]
pub(super) struct EntityFields {
    pub(super) vruntime: Field,
    pub(super) weight: Field,
    pub(super) on_rq: Field,
    pub(super) run_node: Field,
    pub(super) deadline: Option<Field>,
    pub(super) slice: Option<Field>,
}

/// The fields of `cpu_stopper`, `cpu_stop_work` and `cpu_stop_done`.
#[derive(Debug)]
pub(super) struct StopperFields {
    pub(super) symbol: Addr,
    pub(super) size: u64,
    pub(super) thread: Field,
    pub(super) enabled: Field,
    pub(super) works: Field,
    pub(super) running: Field,
    pub(super) work_list: Field,
    pub(super) work_fn: Field,
    pub(super) work_caller: Option<Field>,
    pub(super) work_arg: Field,
    pub(super) work_done: Field,
    pub(super) nr_todo: Field,
}

/// How to see that a runqueue's lock is held.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lock {
    /// Two tickets that differ while it is.
    Tickets(Field, Field),
    /// A word that is not 0 while it is.
    Word(Field),
    /// Not known.
    Unknown,
}

impl Lock {
    fn of(image: &Image) -> Lock {
        let field = |path| image.types().field("rq", path).ok();
        match (field("__lock.owner"), field("__lock.next")) {
            (Some(owner), Some(next)) => Lock::Tickets(owner, next),
            _ => field("__lock.raw_lock").map_or(Lock::Unknown, Lock::Word),
        }
    }

    pub(super) fn held(self, target: &dyn Target, rq: Addr) -> Result<bool, Unreadable> {
        let number = |field| Value::of(target, rq, field).map(Value::u64);
        Ok(match self {
            Lock::Tickets(owner, next) => number(owner)? != number(next)?,
            Lock::Word(word) => number(word)? != 0,
            Lock::Unknown => false,
        })
    }
}

/// Everything the inspector reads.
#[derive(Debug)]
pub(super) struct Fields {
    pub(super) init_task: Addr,
    pub(super) runqueues: Addr,
    /// Where a kernel keeps the distance of each CPU's per-CPU variables; without it they are arrays.
    per_cpu_offset: Option<Addr>,
    pub(super) rq_size: u64,
    pub(super) task: Span,
    pub(super) tasks: Field,
    pub(super) sched_class: Field,
    /// `se` in a task.
    se: Field,
    pub(super) entity: EntityFields,
    pub(super) dl_deadline: Option<Field>,
    pub(super) curr: Field,
    pub(super) idle: Field,
    pub(super) stop: Field,
    pub(super) nr_running: Field,
    pub(super) nr_switches: Field,
    pub(super) clock: Field,
    pub(super) clock_task: Field,
    pub(super) lock: Lock,
    pub(super) cfs_nr_running: Field,
    pub(super) cfs_curr: Field,
    pub(super) rt_nr_running: Field,
    pub(super) dl_nr_running: Field,
    pub(super) min_vruntime: Field,
    pub(super) avg_vruntime: Option<Field>,
    pub(super) avg_load: Option<Field>,
    pub(super) timeline: Field,
    pub(super) rb_left: Field,
    pub(super) rb_right: Field,
    /// The array of lists of `rt_rq`, and the link of a task in them.
    pub(super) rt_queues: Option<(Field, Field)>,
    pub(super) stopper: Option<StopperFields>,
    pub(super) task_flags: Option<Field>,
    pub(super) migration_disabled: Option<Field>,
    pub(super) migration_pending: Option<Field>,
    pub(super) task_group: Option<Field>,
    pub(super) nr_pinned: Option<Field>,
    pub(super) nr_uninterruptible: Option<Field>,
    pub(super) queues: Option<QueueFields>,
    /// `preempt_count`, from the start of a CPU's own area.
    pub(super) preempt_count: Option<Field>,
    /// The words of the sets of CPUs: possible, present, online, active.
    masks: Option<[Addr; 4]>,
}

/// The fields of `cfs_rq`, `sched_entity` and `rt_rq` that only a check of them reads.
#[derive(Debug)]
pub(super) struct QueueFields {
    /// `cfs` and `rt` in a runqueue.
    pub(super) cfs: Field,
    pub(super) rt: Field,
    pub(super) nr_running: Field,
    pub(super) h_nr_running: Field,
    pub(super) min_vruntime: Field,
    pub(super) avg_vruntime: Field,
    pub(super) avg_load: Field,
    pub(super) load: Field,
    pub(super) curr: Field,
    pub(super) root: Field,
    pub(super) leftmost: Field,
    pub(super) se_deadline: Field,
    pub(super) se_min_vruntime: Field,
    pub(super) my_q: Option<Field>,
    pub(super) bitmap: Field,
    pub(super) highest_prio: Field,
    pub(super) rt_queued: Field,
    pub(super) rt_nr_running: Field,
    /// The list of pushable tasks in `rt_rq`, and the link of a task in it.
    pub(super) pushable: Option<(Field, Field)>,
}

impl QueueFields {
    fn of(image: &Image) -> Option<QueueFields> {
        let types = image.types();
        let rq = |path| types.field("rq", path).ok();
        let cfs = |path| types.field("cfs_rq", path).ok();
        let se = |path| types.field("sched_entity", path).ok();
        let rt = |path| types.field("rt_rq", path).ok();
        Some(QueueFields {
            cfs: rq("cfs")?,
            rt: rq("rt")?,
            nr_running: cfs("nr_running")?,
            h_nr_running: cfs("h_nr_running")?,
            min_vruntime: cfs("min_vruntime")?,
            avg_vruntime: cfs("avg_vruntime")?,
            avg_load: cfs("avg_load")?,
            load: cfs("load.weight")?,
            curr: cfs("curr")?,
            root: cfs("tasks_timeline.rb_root.rb_node")
                .or_else(|| cfs("tasks_timeline.rb_root"))?,
            leftmost: cfs("tasks_timeline.rb_leftmost")?,
            se_deadline: se("deadline")?,
            se_min_vruntime: se("min_vruntime")?,
            my_q: se("my_q"),
            bitmap: rt("active.bitmap")?,
            highest_prio: rt("highest_prio.curr").or_else(|| rt("highest_prio"))?,
            rt_queued: rt("rt_queued")?,
            rt_nr_running: rt("rt_nr_running")?,
            pushable: rt("pushable_tasks.node_list")
                .zip(types.field("task_struct", "pushable_tasks.node_list").ok()),
        })
    }
}

impl Fields {
    pub(super) fn of(image: &Image) -> Result<Fields, LiveError> {
        let types = image.types();
        let task = |path| types.field("task_struct", path);
        let rq = |path| types.field("rq", path);
        let se = |path| types.field("sched_entity", path);
        let symbol = |name: &str| {
            image
                .address_of(name)
                .ok_or_else(|| LiveError::NoSymbol(name.to_owned()))
        };
        // `active` may be looked through or not; an array of lists is bytes either way.
        let rt_queues = rq("rt.active.queue").ok().zip(task("rt.run_list").ok());
        Ok(Fields {
            init_task: symbol("init_task")?,
            runqueues: symbol("runqueues")?,
            per_cpu_offset: image.address_of("__per_cpu_offset"),
            rq_size: types.size_of("rq")?,
            task: Span::new(vec![
                task("comm")?,
                task("pid")?,
                task("thread_info.cpu").or_else(|_| task("cpu"))?,
                task("__state")?,
                task("exit_state")?,
                task("on_cpu")?,
                task("on_rq")?,
                task("policy")?,
                task("prio")?,
                task("static_prio")?,
                task("cpus_mask")?,
                task("se.vruntime")?,
                task("se.sum_exec_runtime")?,
                task("nvcsw")?,
                task("nivcsw")?,
                task("se.load.weight")?,
                task("flags")?,
            ]),
            tasks: task("tasks")?,
            sched_class: task("sched_class")?,
            se: task("se")?,
            entity: EntityFields {
                vruntime: se("vruntime")?,
                weight: se("load.weight")?,
                on_rq: se("on_rq")?,
                run_node: se("run_node")?,
                deadline: se("deadline").ok(),
                slice: se("slice").ok(),
            },
            dl_deadline: task("dl.deadline").ok(),
            curr: rq("curr")?,
            idle: rq("idle")?,
            stop: rq("stop")?,
            nr_running: rq("nr_running")?,
            nr_switches: rq("nr_switches")?,
            clock: rq("clock")?,
            clock_task: rq("clock_task")?,
            lock: Lock::of(image),
            cfs_nr_running: rq("cfs.nr_running")?,
            cfs_curr: rq("cfs.curr")?,
            rt_nr_running: rq("rt.rt_nr_running")?,
            dl_nr_running: rq("dl.dl_nr_running")?,
            min_vruntime: rq("cfs.min_vruntime")?,
            avg_vruntime: rq("cfs.avg_vruntime").ok(),
            avg_load: rq("cfs.avg_load").ok(),
            timeline: rq("cfs.tasks_timeline.rb_root.rb_node")
                .or_else(|_| rq("cfs.tasks_timeline.rb_root"))?,
            rb_left: types.field("rb_node", "rb_left")?,
            rb_right: types.field("rb_node", "rb_right")?,
            rt_queues,
            stopper: StopperFields::of(image),
            task_flags: task("thread_info.flags").ok(),
            migration_disabled: task("migration_disabled").ok(),
            migration_pending: task("migration_pending").ok(),
            task_group: task("sched_task_group").ok(),
            nr_pinned: rq("nr_pinned").ok(),
            nr_uninterruptible: rq("nr_uninterruptible").ok(),
            queues: QueueFields::of(image),
            preempt_count: of_pcpu_hot(image, "preempt_count", ("__preempt_count", Shape::Signed)),
            masks: ["possible", "present", "online", "active"]
                .map(|which| image.address_of(&format!("__cpu_{which}_mask")))
                .into_iter()
                .collect::<Option<Vec<Addr>>>()
                .and_then(|all| all.try_into().ok()),
        })
    }

    /// The sets of CPUs.
    pub(super) fn masks(&self, target: &dyn Target) -> Result<Option<CpuMasks>, Unreadable> {
        let Some([possible, present, online, active]) = self.masks else {
            return Ok(None);
        };
        Ok(Some(CpuMasks {
            possible: target.read_u64(possible)?,
            present: target.read_u64(present)?,
            online: target.read_u64(online)?,
            active: target.read_u64(active)?,
        }))
    }

    /// A CPU's copy of a per-CPU variable.
    pub(super) fn per_cpu(
        &self,
        target: &dyn Target,
        symbol: Addr,
        size: u64,
        cpu: u32,
    ) -> Result<Addr, Unreadable> {
        let cpu = u64::from(cpu);
        let distance = match self.per_cpu_offset {
            Some(offsets) => target.read_u64(Addr(offsets.0.wrapping_add(8 * cpu)))?,
            None => cpu.wrapping_mul(size),
        };
        Ok(Addr(symbol.0.wrapping_add(distance)))
    }

    /// The entity of a task.
    pub(super) fn entity_of(&self, task: Addr) -> Addr {
        Addr(task.0.wrapping_add(self.se.offset))
    }

    /// The task of an entity.
    pub(super) fn task_of(&self, entity: Addr) -> Addr {
        Addr(entity.0.wrapping_sub(self.se.offset))
    }
}

impl StopperFields {
    fn of(image: &Image) -> Option<StopperFields> {
        let types = image.types();
        let stopper = |path| types.field("cpu_stopper", path).ok();
        let work = |path| types.field("cpu_stop_work", path).ok();
        Some(StopperFields {
            symbol: image.address_of("cpu_stopper")?,
            size: types.size_of("cpu_stopper").ok()?,
            thread: stopper("thread")?,
            enabled: stopper("enabled")?,
            works: stopper("works")?,
            running: stopper("fn")?,
            work_list: work("list")?,
            work_fn: work("fn")?,
            work_caller: work("caller"),
            work_arg: work("arg.ptr").or_else(|| work("arg"))?,
            work_done: work("done")?,
            nr_todo: types.field("cpu_stop_done", "nr_todo").ok()?,
        })
    }
}
