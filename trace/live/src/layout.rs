//! Where the kernel's fields are: looked up in DWARF once, before the run, and never written down.

use trace::event::{Addr, Comm};
use trace::events::Mask;
use trace::image::{Field, Image, Shape, Types};
use trace::target::{Register, Target, Unreadable};
use trace::value::{Span, Value};

use crate::error::LiveError;
use crate::source::Source;

/// What the events tell of a task.
#[derive(Clone, Copy, Debug)]
pub struct Task {
    pub comm: Comm,
    pub pid: i32,
    pub prio: i32,
    pub cpu: u32,
    pub on_rq: i32,
    pub on_cpu: i32,
    pub cpus_mask: Mask,
    pub state: u32,
    pub exit_state: u32,
}

/// What most events tell of a task: a part of [`Task`], which is read faster.
#[derive(Clone, Copy, Debug)]
pub struct Who {
    pub comm: Comm,
    pub pid: i32,
    pub prio: i32,
    pub cpu: u32,
}

/// The words of a `cpu_stop_work`.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    pub func: Addr,
    pub caller: Addr,
    pub arg: Addr,
    pub done: Addr,
}

/// The fields of the kernel that the tracer reads.
#[derive(Debug)]
pub struct Layout {
    task: Span,
    who: Span,
    /// Name and number only, which every event tells of the current task.
    name: Span,
    current: Field,
    work: Span,
    nr_todo: Field,
    migration_task: Field,
    migration_pending: Field,
    /// Where a context has the mask; `None` where the mask itself is passed.
    new_mask: Option<Field>,
    /// `sched_class` of a task.
    pub sched_class: Field,
    /// Next link of a task's place in the list of all tasks.
    pub tasks_next: Field,
    /// Where that link is in a task.
    pub tasks: Field,
    /// `idle` of a runqueue.
    pub rq_idle: Field,
    /// Where the runqueues are.
    pub runqueues: Option<Runqueues>,
    migration_cpu_stop: Option<Addr>,
}

/// Where each CPU's runqueue is.
#[derive(Clone, Copy, Debug)]
pub enum Runqueues {
    /// One behind the other: the first, and the bytes from one to the next.
    Array(Addr, u64),
    /// In each CPU's own area, at this distance.
    PerCpu(PerCpu, u64),
}

impl Runqueues {
    /// The runqueue of `cpu`.
    pub fn of_cpu(&self, target: &dyn Target, cpu: u64) -> Result<Addr, Unreadable> {
        match *self {
            Runqueues::Array(first, size) => Ok(Addr(first.0.wrapping_add(cpu.wrapping_mul(size)))),
            Runqueues::PerCpu(areas, distance) => areas.at(target, cpu, distance),
        }
    }
}

/// Linux's per-CPU areas: `__per_cpu_offset` has the distance from a symbol to its copy of each CPU.
#[derive(Clone, Copy, Debug)]
pub struct PerCpu {
    offsets: Addr,
}

impl PerCpu {
    /// The areas of a Linux kernel.
    pub fn of(image: &Image) -> Result<PerCpu, LiveError> {
        match image.address_of("__per_cpu_offset") {
            Some(offsets) => Ok(PerCpu { offsets }),
            None => Err(LiveError::NoSymbol("__per_cpu_offset".to_owned())),
        }
    }

    /// Where `cpu` has its copy of the symbol at `distance`.
    pub fn at(&self, target: &dyn Target, cpu: u64, distance: u64) -> Result<Addr, Unreadable> {
        let offset = target.read_u64(Addr(self.offsets.0.wrapping_add(8 * cpu)))?;
        Ok(Addr(offset.wrapping_add(distance)))
    }

    /// The CPU whose copy of the symbol at `distance` is at `address`.
    pub fn cpu_of(
        &self,
        target: &dyn Target,
        distance: u64,
        address: u64,
    ) -> Result<Option<u64>, Unreadable> {
        for cpu in 0..u64::from(u64::BITS) {
            if self.at(target, cpu, distance)?.0 == address {
                return Ok(Some(cpu));
            }
        }
        Ok(None)
    }
}

impl Layout {
    /// Looks every field up; names the first that is missing.
    pub fn of(image: &Image) -> Result<Layout, LiveError> {
        // In C a name is a file's own matter: the scheduler's are meant.
        let types = match image.address_of("__schedule") {
            Some(scheduler) => image.types_around(scheduler),
            None => image.types(),
        };
        let task = |path| types.field("task_struct", path);
        // A `void *` that carries its type is the pair of both; the address is its first word.
        let void = |ty, path: &str| {
            types
                .field(ty, &format!("{path}.ptr"))
                .or_else(|_| types.field(ty, path))
        };
        Ok(Layout {
            task: Span::new(vec![
                task("comm")?,
                task("pid")?,
                task("prio")?,
                task("thread_info.cpu")?,
                task("on_rq")?,
                task("on_cpu")?,
                task("cpus_mask")?,
                task("__state")?,
                task("exit_state")?,
            ]),
            who: Span::new(vec![
                task("comm")?,
                task("pid")?,
                task("prio")?,
                task("thread_info.cpu")?,
            ]),
            name: Span::new(vec![task("comm")?, task("pid")?]),
            current: current(image, types)?,
            work: Span::new(vec![
                types.field("cpu_stop_work", "fn")?,
                types.field("cpu_stop_work", "caller")?,
                void("cpu_stop_work", "arg")?,
                types.field("cpu_stop_work", "done")?,
            ]),
            nr_todo: types.field("cpu_stop_done", "nr_todo")?,
            migration_task: types.field("migration_arg", "task")?,
            migration_pending: types.field("migration_arg", "pending")?,
            // A Linux's probes take the mask out of its context, in versions that have one.
            new_mask: match Source::is_linux(image) {
                true => None,
                false => Some(types.field("affinity_context", "new_mask")?),
            },
            sched_class: task("sched_class")?,
            tasks_next: task("tasks.next")?,
            tasks: task("tasks")?,
            rq_idle: types.field("rq", "idle")?,
            runqueues: match (image.address_of("runqueues"), PerCpu::of(image)) {
                (Some(distance), Ok(areas)) => Some(Runqueues::PerCpu(areas, distance.0)),
                (Some(first), Err(_)) => Some(Runqueues::Array(first, types.size_of("rq")?)),
                (None, _) => None,
            },
            migration_cpu_stop: image.address_of("migration_cpu_stop"),
        })
    }

    /// Reads the task at `addr`.
    pub fn task(&self, target: &(impl Target + ?Sized), addr: Addr) -> Result<Task, Unreadable> {
        let loaded = self.task.at(target, addr);
        Ok(Task {
            comm: loaded.comm(0)?,
            pid: loaded.value(1)?.i32(),
            prio: loaded.value(2)?.i32(),
            cpu: loaded.value(3)?.u32(),
            on_rq: loaded.value(4)?.i32(),
            on_cpu: loaded.value(5)?.i32(),
            cpus_mask: Mask(loaded.value(6)?.u64()),
            state: loaded.value(7)?.u32(),
            exit_state: loaded.value(8)?.u32(),
        })
    }

    /// Reads who the task at `addr` is.
    pub fn who(&self, target: &(impl Target + ?Sized), addr: Addr) -> Result<Who, Unreadable> {
        let loaded = self.who.at(target, addr);
        Ok(Who {
            comm: loaded.comm(0)?,
            pid: loaded.value(1)?.i32(),
            prio: loaded.value(2)?.i32(),
            cpu: loaded.value(3)?.u32(),
        })
    }

    /// Number and name of the CPU's current task. Before the kernel has set its per-CPU data up, that
    /// is the task it boots in.
    pub fn current(&self, target: &(impl Target + ?Sized)) -> Result<(i32, Comm), Unreadable> {
        let task = match target.register(Register::GsBase) {
            0 => Addr(0),
            base => Value::of(target, Addr(base), self.current)?.addr(),
        };
        if task == Addr(0) {
            return Ok((0, Comm::from("swapper/0")));
        }
        let loaded = self.name.at(target, task);
        Ok((loaded.value(1)?.i32(), loaded.comm(0)?))
    }

    /// Reads the work at `addr`.
    pub fn work(&self, target: &(impl Target + ?Sized), addr: Addr) -> Result<Work, Unreadable> {
        let loaded = self.work.at(target, addr);
        Ok(Work {
            func: loaded.value(0)?.addr(),
            caller: loaded.value(1)?.addr(),
            arg: loaded.value(2)?.addr(),
            done: loaded.value(3)?.addr(),
        })
    }

    /// Works of a request that are not done yet; -1 when nobody waits.
    pub fn nr_todo(&self, target: &(impl Target + ?Sized), done: Addr) -> Result<i32, Unreadable> {
        match done {
            Addr(0) => Ok(-1),
            done => Value::of(target, done, self.nr_todo).map(Value::i32),
        }
    }

    /// The task and the pending that a work is about, from its argument: 0 where it is about none.
    pub fn subject(
        &self,
        target: &(impl Target + ?Sized),
        func: Addr,
        arg: Addr,
    ) -> Result<(Addr, Addr), Unreadable> {
        if Some(func) != self.migration_cpu_stop || arg == Addr(0) {
            return Ok((Addr(0), Addr(0)));
        }
        let task = Value::of(target, arg, self.migration_task)?.addr();
        let pending = Value::of(target, arg, self.migration_pending)?.addr();
        Ok((task, pending))
    }

    /// The mask that an affinity change asks for; the context holds it or points to it.
    pub fn new_mask(
        &self,
        target: &(impl Target + ?Sized),
        context: Addr,
    ) -> Result<Mask, Unreadable> {
        let Some(field) = self.new_mask else {
            return target.read_u64(context).map(Mask);
        };
        let value = Value::of(target, context, field)?;
        Ok(Mask(match field.shape {
            Shape::Pointer => target.read_u64(value.addr())?,
            _ => value.u64(),
        }))
    }
}

/// Where the current task is in a CPU's own area.
fn current(image: &Image, types: Types<'_>) -> Result<Field, LiveError> {
    match of_pcpu_hot(image, "current_task", ("current_task", Shape::Pointer)) {
        Some(field) => Ok(field),
        // The error says what is missing.
        None => Ok(types.field("pcpu_hot", "current_task")?),
    }
}

/// Where something that every CPU often needs is in its own area: in `pcpu_hot`, which Linux has from 6.2 on
/// and the built-in kernel has first in the area, or as a variable of its own, as Linux had it before.
pub(crate) fn of_pcpu_hot(image: &Image, name: &str, older: (&str, Shape)) -> Option<Field> {
    let per_cpu = |name| match PerCpu::of(image) {
        Ok(_) => image.address_of(name),
        Err(_) => None,
    };
    let (older, shape) = older;
    if let Some(variable) = per_cpu(older) {
        return Some(Field {
            offset: variable.0,
            size: if shape == Shape::Pointer { 8 } else { 4 },
            shape,
            bits: None,
        });
    }
    let field = image.types().field("pcpu_hot", name).ok()?;
    let area = per_cpu("pcpu_hot").map_or(0, |hot| hot.0);
    Some(Field {
        offset: field.offset + area,
        ..field
    })
}

/// Linux's `__trace_sched_switch_state`: what `sched_switch` says of the task that leaves.
pub fn switch_state(preempted: bool, state: u32, exit_state: u32) -> i64 {
    match preempted {
        true => i64::from(REPORT_MAX),
        false => i64::from(reported_state(state, exit_state)),
    }
}

const TASK_REPORT: u32 = 0x7f;
const TASK_REPORT_IDLE: u32 = 0x80;
const REPORT_MAX: u32 = 0x100;
const TASK_UNINTERRUPTIBLE: u32 = 2;
const TASK_NOLOAD: u32 = 0x400;
const TASK_IDLE: u32 = TASK_UNINTERRUPTIBLE | TASK_NOLOAD;

/// The one bit of a state that tools show: its highest, with an idle sleep apart; 0 is runnable.
fn reported_state(state: u32, exit_state: u32) -> u32 {
    if state & TASK_IDLE == TASK_IDLE {
        return TASK_REPORT_IDLE;
    }
    match (state | exit_state) & TASK_REPORT {
        0 => 0,
        bits => 1 << bits.ilog2(),
    }
}

/// Linux's letter for a task's state, as `ps` shows it.
pub fn state_letter(state: u32, exit_state: u32) -> char {
    match reported_state(state, exit_state) {
        0 => 'R',
        bit => "SDTtXZPI".chars().nth(bit.ilog2() as usize).unwrap_or('?'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_told_as_linux_tells_them() {
        assert_eq!(switch_state(true, 1, 0), 0x100);
        assert_eq!(switch_state(false, 0, 0), 0);
        assert_eq!(switch_state(false, 1, 0), 1);
        assert_eq!(switch_state(false, 0x402, 0), 0x80);
        assert_eq!(switch_state(false, 0x80, 0x10), 0x10);
        let letters: String = [0, 1, 2, 4, 8, 0x40, 0x402]
            .map(|state| state_letter(state, 0))
            .iter()
            .collect();
        assert_eq!(letters, "RSDTtPI");
        assert_eq!(state_letter(0x80, 0x10), 'X');
        assert_eq!(state_letter(0x80, 0x20), 'Z');
    }
}
