//! Reads the scheduler's own structures from a guest that stands still, through DWARF.
//!
//! Nothing is locked and nothing can be: an instant may lie inside a critical section of the guest.
//! Links are followed with a bound and never twice, so that a list or tree that is being changed ends
//! the walk and not the program; [`trace::state::Cpu::locked`] says where to be careful.

mod fair;
mod fields;
mod links;
mod queues;

use std::collections::{BTreeMap, BTreeSet};

use trace::event::Addr;
use trace::image::Image;
use trace::state::{Context, Cpu, CpuMasks, Fair, Name, Queued, Stopper, Task, Work};
use trace::target::{Register, Target, Unreadable};
use trace::value::Value;

use crate::error::LiveError;
use crate::layout::state_letter;
use fair::{Entity, Sums};
use fields::{Fields, LIST_HEAD, queue_of};
use links::{in_order, list};

/// More tasks than any guest has: a list that is longer is broken.
const MOST_TASKS: usize = 1 << 16;
/// Bit of a task's flags (x86).
const TIF_NEED_RESCHED: u32 = 3;
/// Bit of a task's `flags`.
const PF_KTHREAD: u32 = 0x0020_0000;
/// Bit of a preempt count (x86): it is 0 while the scheduler is to be called.
const PREEMPT_NEED_RESCHED: u32 = 1 << 31;
/// Bit of the flags of a CPU: it takes interrupts.
const RFLAGS_IF: u64 = 1 << 9;
/// Real-time priorities.
const MAX_RT_PRIO: u64 = 100;

/// Knows where everything is in one kernel.
pub struct Inspector<'a> {
    image: &'a Image,
    cpus: u32,
    fields: Fields,
}

/// What was read.
pub struct Scheduler {
    /// Every CPU.
    pub cpus: Vec<Cpu>,
    /// Every task.
    pub tasks: Vec<Task>,
    /// The sets of CPUs.
    pub masks: Option<CpuMasks>,
}

impl<'a> Inspector<'a> {
    /// Looks the fields up; the error names the first that the kernel lacks and that nothing can be
    /// said without.
    pub fn new(image: &'a Image, cpus: u32) -> Result<Inspector<'a>, LiveError> {
        Ok(Inspector {
            image,
            cpus,
            fields: Fields::of(image)?,
        })
    }

    /// Reads everything. Fails where the guest has no page tables for its data yet.
    pub fn read(&self, target: &dyn Target) -> Result<Scheduler, Unreadable> {
        let tasks = self.tasks(target)?;
        let by_addr: BTreeMap<u64, &Task> = tasks.iter().map(|task| (task.addr, task)).collect();
        let cpus = (0..self.cpus)
            .map(|cpu| self.cpu(target, cpu, &by_addr))
            .collect::<Result<_, _>>()?;
        let masks = self.fields.masks(target)?;
        Ok(Scheduler { cpus, tasks, masks })
    }

    /// In what context the CPU is that a target looks with.
    pub fn context(&self, target: &dyn Target, cpu: u32) -> Result<Context, Unreadable> {
        let area = Addr(target.register(Register::GsBase));
        let count = |field| Ok(Value::of(target, area, field)?.u32() & !PREEMPT_NEED_RESCHED);
        Ok(Context {
            cpu,
            interrupts: target.register(Register::Rflags) & RFLAGS_IF != 0,
            preempt_count: self.fields.preempt_count.map(count).transpose()?,
        })
    }

    /// The runqueue of a CPU.
    fn rq(&self, target: &dyn Target, cpu: u32) -> Result<Addr, Unreadable> {
        let fields = &self.fields;
        fields.per_cpu(target, fields.runqueues, fields.rq_size, cpu)
    }

    fn tasks(&self, target: &dyn Target) -> Result<Vec<Task>, Unreadable> {
        let fields = &self.fields;
        let mut addrs = BTreeSet::new();
        let head = Addr(fields.init_task.0.wrapping_add(fields.tasks.offset));
        addrs.insert(fields.init_task.0);
        // A guest that has just begun has a head that was not set up.
        for link in list(target, head, MOST_TASKS)? {
            addrs.insert(link.0.wrapping_sub(fields.tasks.offset));
        }
        for cpu in 0..self.cpus {
            let rq = self.rq(target, cpu)?;
            let idle = Value::of(target, rq, fields.idle)?.u64();
            if idle != 0 {
                addrs.insert(idle);
            }
        }
        let mut tasks: Vec<Task> = addrs
            .into_iter()
            .filter_map(|addr| self.task(target, Addr(addr)).ok())
            .collect();
        tasks.sort_by_key(|task| (task.pid, task.cpu, task.addr));
        Ok(tasks)
    }

    fn task(&self, target: &dyn Target, addr: Addr) -> Result<Task, Unreadable> {
        let fields = &self.fields;
        let read = fields.task.at(target, addr);
        let number = |index| read.value(index);
        let class = Value::of(target, addr, fields.sched_class)?.addr();
        Ok(Task {
            addr: addr.0,
            comm: read.comm(0)?.to_text(),
            pid: number(1)?.i32(),
            cpu: number(2)?.u32(),
            state: state_letter(number(3)?.u32(), number(4)?.u32()),
            on_cpu: number(5)?.u64() != 0,
            on_rq: number(6)?.u32(),
            class: self.class(class),
            policy: number(7)?.u32(),
            prio: number(8)?.i32(),
            static_prio: number(9)?.i32(),
            cpus_mask: number(10)?.u64(),
            vruntime: number(11)?.u64(),
            sum_exec_runtime: number(12)?.u64(),
            nvcsw: number(13)?.u64(),
            nivcsw: number(14)?.u64(),
            weight: number(15)?.u64(),
            kthread: number(16)?.u32() & PF_KTHREAD != 0,
            need_resched: match fields.task_flags {
                Some(flags) => Value::of(target, addr, flags)?.u64() >> TIF_NEED_RESCHED & 1 != 0,
                None => false,
            },
            migration_disabled: match fields.migration_disabled {
                Some(field) => Value::of(target, addr, field)?.u32(),
                None => 0,
            },
            migration_pending: match fields.migration_pending {
                Some(field) => Value::of(target, addr, field)?.u64() != 0,
                None => false,
            },
            group: match fields.task_group {
                Some(field) => Some(Value::of(target, addr, field)?.u64()),
                None => None,
            },
        })
    }

    /// `fair` for the address of `fair_sched_class`.
    fn class(&self, addr: Addr) -> String {
        self.image
            .elf_symbol(addr)
            .filter(|symbol| symbol.addr == addr.0)
            .and_then(|symbol| symbol.name.strip_suffix("_sched_class"))
            .unwrap_or("none")
            .to_owned()
    }

    /// `name+0x12`, as far as the image knows.
    fn symbol(&self, addr: Addr) -> String {
        match self.image.elf_symbol(addr) {
            Some(symbol) if symbol.addr == addr.0 => symbol.name.clone(),
            Some(symbol) => format!("{}+{:#x}", symbol.name, addr.0 - symbol.addr),
            None => format!("{addr}"),
        }
    }

    fn cpu(
        &self,
        target: &dyn Target,
        cpu: u32,
        tasks: &BTreeMap<u64, &Task>,
    ) -> Result<Cpu, Unreadable> {
        let fields = &self.fields;
        let rq = self.rq(target, cpu)?;
        let number = |field| Value::of(target, rq, field);
        let pointer = |field| number(field).map(Value::addr);
        let named = |addr: Addr| self.name(target, addr, tasks);
        let current = pointer(fields.curr)?;
        let sums = self.sums(target, rq)?;
        let mut queue = Vec::new();
        let idle = pointer(fields.idle)?;
        if current != idle && current.0 != 0 {
            queue.push(self.queued(target, current, sums.as_ref(), tasks)?);
        }
        for addr in self.waiting(target, rq, cpu, sums.as_ref(), tasks)? {
            if addr != current && queue.iter().all(|known| known.task.addr != addr.0) {
                queue.push(self.queued(target, addr, sums.as_ref(), tasks)?);
            }
        }
        let first = u32::from(queue.first().is_none_or(|q| q.task.addr != current.0));
        for (place, queued) in queue.iter_mut().enumerate() {
            queued.place = first + place as u32;
        }
        Ok(Cpu {
            cpu,
            current: named(current)?,
            nr_running: number(fields.nr_running)?.u32(),
            nr_switches: number(fields.nr_switches)?.u64(),
            clock: number(fields.clock)?.u64(),
            clock_task: number(fields.clock_task)?.u64(),
            locked: fields.lock.held(target, rq)?,
            cfs_nr_running: number(fields.cfs_nr_running)?.u32(),
            rt_nr_running: number(fields.rt_nr_running)?.u32(),
            dl_nr_running: number(fields.dl_nr_running)?.u32(),
            min_vruntime: number(fields.min_vruntime)?.u64(),
            avg_vruntime: sums.map(|sums| sums.average()),
            queue,
            stopper: self.stopper(target, cpu, tasks)?,
            nr_pinned: match fields.nr_pinned {
                Some(field) => Some(number(field)?.u32()),
                None => None,
            },
            nr_uninterruptible: match fields.nr_uninterruptible {
                Some(field) => Some(number(field)?.i32()),
                None => None,
            },
            fair: self.fair_queue(target, rq)?,
            rt: self.rt_queue(target, rq)?,
        })
    }

    /// A task by its address: from the list, or read for itself if it is not in it.
    fn name(
        &self,
        target: &dyn Target,
        addr: Addr,
        tasks: &BTreeMap<u64, &Task>,
    ) -> Result<Option<Name>, Unreadable> {
        if addr == Addr(0) {
            return Ok(None);
        }
        let (pid, comm) = match tasks.get(&addr.0) {
            Some(task) => (task.pid, task.comm.clone()),
            None => {
                let task = self.task(target, addr)?;
                (task.pid, task.comm)
            }
        };
        let addr = addr.0;
        Ok(Some(Name { addr, pid, comm }))
    }

    fn queued(
        &self,
        target: &dyn Target,
        addr: Addr,
        sums: Option<&Sums>,
        tasks: &BTreeMap<u64, &Task>,
    ) -> Result<Queued, Unreadable> {
        let task = match tasks.get(&addr.0) {
            Some(task) => (*task).clone(),
            None => self.task(target, addr)?,
        };
        let fair = match task.class.as_str() {
            "fair" => Some(self.fair(target, addr, sums)?),
            _ => None,
        };
        Ok(Queued {
            place: 0,
            task: Name {
                addr: task.addr,
                pid: task.pid,
                comm: task.comm,
            },
            class: task.class,
            prio: task.prio,
            fair,
        })
    }

    fn fair(
        &self,
        target: &dyn Target,
        task: Addr,
        sums: Option<&Sums>,
    ) -> Result<Fair, Unreadable> {
        let entity = self.entity(target, self.fields.entity_of(task))?;
        let sums = sums.filter(|_| entity.deadline.is_some());
        Ok(Fair {
            vruntime: entity.vruntime,
            deadline: entity.deadline,
            lag: sums.map(|sums| sums.lag(&entity)),
            eligible: sums.map(|sums| sums.eligible(&entity)),
            slice: entity.slice,
            weight: entity.weight,
        })
    }

    /// Reads a `sched_entity`.
    fn entity(&self, target: &dyn Target, se: Addr) -> Result<Entity, Unreadable> {
        let fields = &self.fields.entity;
        let number = |field| Value::of(target, se, field).map(Value::u64);
        let maybe = |field: Option<_>| field.map(number).transpose();
        Ok(Entity {
            at: se.0,
            vruntime: number(fields.vruntime)?,
            deadline: maybe(fields.deadline)?,
            slice: maybe(fields.slice)?,
            weight: fair::scale_load_down(number(fields.weight)?),
        })
    }

    /// The weighted mean that EEVDF goes by, of a kernel that has it.
    fn sums(&self, target: &dyn Target, rq: Addr) -> Result<Option<Sums>, Unreadable> {
        let fields = &self.fields;
        let (Some(average), Some(load)) = (fields.avg_vruntime, fields.avg_load) else {
            return Ok(None);
        };
        let number = |field| Value::of(target, rq, field);
        let mut sums = Sums {
            min_vruntime: number(fields.min_vruntime)?.u64(),
            average: number(average)?.i64(),
            load: number(load)?.i64(),
        };
        // The tree has the waiting ones; the running one counts too, as long as it is on the queue.
        let curr = number(fields.cfs_curr)?.addr();
        if curr != Addr(0) && Value::of(target, curr, fields.entity.on_rq)?.u64() != 0 {
            sums.add(&self.entity(target, curr)?);
        }
        Ok(Some(sums))
    }

    /// Addresses of the tasks that wait on a CPU, in the order in which the classes would give them.
    fn waiting(
        &self,
        target: &dyn Target,
        rq: Addr,
        cpu: u32,
        sums: Option<&Sums>,
        tasks: &BTreeMap<u64, &Task>,
    ) -> Result<Vec<Addr>, Unreadable> {
        let fields = &self.fields;
        let mut waiting = Vec::new();
        let stop = Value::of(target, rq, fields.stop)?.addr();
        if tasks.get(&stop.0).is_some_and(|task| task.on_rq == 1) {
            waiting.push(stop);
        }
        // No deadline tree is known in every kernel: its tasks by their own numbers.
        let mut deadline: Vec<&Task> = tasks
            .values()
            .copied()
            .filter(|task| task.class == "dl" && task.on_rq == 1 && task.cpu == cpu)
            .collect();
        deadline.sort_by_key(|task| {
            let deadline = fields
                .dl_deadline
                .map(|f| Value::of(target, Addr(task.addr), f));
            deadline.and_then(Result::ok).map_or(0, Value::u64)
        });
        waiting.extend(deadline.iter().map(|task| Addr(task.addr)));
        if let Some((queues, run_list)) = fields.rt_queues {
            let base = rq.0.wrapping_add(queues.offset);
            for prio in 0..MAX_RT_PRIO {
                for link in list(target, queue_of(base, prio), MOST_TASKS)? {
                    waiting.push(Addr(link.0.wrapping_sub(run_list.offset)));
                }
            }
        }
        let root = Value::of(target, rq, fields.timeline)?.addr();
        let nodes = in_order(target, root, fields.rb_left, fields.rb_right)?;
        let mut entities = Vec::new();
        for node in nodes {
            let se = Addr(node.0.wrapping_sub(fields.entity.run_node.offset));
            entities.push(self.entity(target, se)?);
        }
        let order = fair::pick_order(entities, sums);
        waiting.extend(order.iter().map(|entity| fields.task_of(Addr(entity.at))));
        Ok(waiting)
    }

    fn stopper(
        &self,
        target: &dyn Target,
        cpu: u32,
        tasks: &BTreeMap<u64, &Task>,
    ) -> Result<Option<Stopper>, Unreadable> {
        let Some(fields) = &self.fields.stopper else {
            return Ok(None);
        };
        let at = self
            .fields
            .per_cpu(target, fields.symbol, fields.size, cpu)?;
        let number = |field| Value::of(target, at, field);
        let running = number(fields.running)?.addr();
        let head = Addr(at.0.wrapping_add(fields.works.offset));
        let mut works = Vec::new();
        for link in list(target, head, MOST_TASKS)? {
            let work = Addr(link.0.wrapping_sub(fields.work_list.offset));
            let word = |field| Value::of(target, work, field).map(Value::addr);
            let done = word(fields.work_done)?;
            works.push(Work {
                addr: work.0,
                func: self.symbol(word(fields.work_fn)?),
                caller: match fields.work_caller {
                    Some(caller) => self.symbol(word(caller)?),
                    None => String::new(),
                },
                arg: word(fields.work_arg)?.0,
                done: (done.0 != 0).then_some(done.0),
                nr_todo: match done.0 {
                    0 => None,
                    _ => Some(Value::of(target, done, fields.nr_todo)?.i32()),
                },
            });
        }
        Ok(Some(Stopper {
            thread: self.name(target, number(fields.thread)?.addr(), tasks)?,
            enabled: number(fields.enabled)?.u64() & 1 != 0,
            running: (running.0 != 0).then(|| self.symbol(running)),
            works,
        }))
    }
}

/// Bytes of a `list_head`, which arrays of them step by.
const _: () = assert!(LIST_HEAD == 16);
