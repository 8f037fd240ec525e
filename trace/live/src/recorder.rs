//! Turns probe hits into the events of a recording.
//!
//! A hit costs a look-up, a few reads of guest memory and a row of a column store; nothing is allocated
//! except for a stack that has not been seen before. An error does not stop the machine from inside a
//! hit: it is kept, the next [`slice`](emu::Observer::slice) ends the run, and `finish` gives it back.

use std::collections::BTreeMap;
use std::io::Write;
use std::ops::ControlFlow;

use emu::{CpuView, Cycles, Machine, Observer, Reg, Site, Stamp, VirtAddr};
use trace::event::{Addr, Comm, Event, EventData, StackId};
use trace::events::*;
use trace::image::Image;
use trace::krec::{EndOfRun, InputRow, OutcomeRow, Writer};
use trace::stack::{At, Unwinder};
use trace::tail::TailCalls;
use trace::target::{Target, Unreadable};

use crate::error::LiveError;
use crate::finish;
use crate::hooks::{Hook, Returning};
use crate::layout::{Layout, Who, switch_state};
use crate::places::{Places, What};
use crate::source::Source;
use crate::view::CpuTarget;

/// The file is brought up to date at least once in so much virtual time, so that a kill loses little.
pub(crate) const FLUSH_EVERY: u64 = 200_000_000;

/// Linux's `TASK_ON_RQ_QUEUED`.
const QUEUED: i32 = 1;

/// Records the default events of a run.
pub struct Recorder<'a, W: Write> {
    image: &'a Image,
    cpus: u32,
    layout: Layout,
    unwinder: Unwinder,
    writer: Writer<W>,
    places: Places,
    source: Source,
    /// Probed functions that have been entered and not left, in the order of their entries.
    returns: Vec<Return>,
    /// By CPU: what the stopper is running.
    started: BTreeMap<u32, Started>,
    stack: Vec<Addr>,
    /// By the stack as it was walked: the number of the stack with its tail calls.
    stacks: BTreeMap<Box<[Addr]>, StackId>,
    tail_calls: TailCalls<'a>,
    next_flush: u64,
    error: Option<LiveError>,
}

/// A probed function that has been entered and not yet left.
#[derive(Clone, Copy)]
struct Return {
    /// Where it returns to.
    caller: VirtAddr,
    /// The stack pointer when it has.
    after: u64,
    what: Returning,
    cpu: u64,
    task: Addr,
}

/// The work that a stopper has started. Its memory may be reused once its function runs, so what
/// `stop:work_done` tells of it is kept from the start.
#[derive(Clone, Copy, Default)]
struct Started {
    work: Addr,
    caller: Addr,
    task: Addr,
    pending: Addr,
}

impl<'a, W: Write> Recorder<'a, W> {
    /// Prepares to record a guest that runs `image` on `cpus` CPUs.
    pub fn new(
        writer: Writer<W>,
        image: &'a Image,
        cpus: u32,
    ) -> Result<Recorder<'a, W>, LiveError> {
        let source = Source::of(image)?;
        let mut places = Places::new();
        for (addr, site, hook) in source.places() {
            places.add(VirtAddr(addr.0), site, What::Event(hook));
        }
        Ok(Recorder {
            image,
            cpus,
            layout: Layout::of(image)?,
            unwinder: image.unwinder(),
            writer,
            places,
            source,
            returns: Vec::new(),
            started: BTreeMap::new(),
            stack: Vec::new(),
            stacks: BTreeMap::new(),
            tail_calls: TailCalls::new(image)?,
            next_flush: FLUSH_EVERY,
            error: None,
        })
    }

    /// Watches the addresses of the default events.
    pub fn attach(&self, machine: &mut Machine) {
        for (addr, site) in self.places.all() {
            machine.watch(addr, site);
        }
    }

    /// Default events that this image has no place for, as probe names. They are not recorded.
    pub fn missing(&self) -> &[String] {
        self.source.missing()
    }

    /// What went wrong so far; the run ends at the next slice.
    pub fn error(&self) -> Option<&LiveError> {
        self.error.as_ref()
    }

    /// Number of events so far.
    pub fn events(&self) -> u64 {
        self.writer.events()
    }

    /// Bytes of the recording so far.
    pub fn bytes_written(&self) -> u64 {
        self.writer.bytes_written()
    }

    /// Writes the rest: the tasks as they are now, and how the run ended.
    pub fn finish(
        mut self,
        machine: &mut Machine,
        outcome: OutcomeRow,
    ) -> Result<(EndOfRun, W), LiveError> {
        if let Some(error) = self.error {
            // What has been recorded stays readable, if the disk takes it.
            return match error {
                LiveError::Write(_) => Err(error),
                other => self.writer.flush().map_err(Into::into).and(Err(other)),
            };
        }
        self.writer
            .tasks(&finish::tasks(machine, self.cpus, self.image, &self.layout))?;
        let end = EndOfRun {
            missing: self.source.missing().to_vec(),
            ..finish::end(machine, self.cpus, Some(self.image), outcome)
        };
        Ok(self.writer.finish(end)?)
    }

    fn record(
        &mut self,
        cpu: &mut CpuView<'_>,
        (at, site): (VirtAddr, Site),
        hook: Hook,
    ) -> Result<(), Failed> {
        let target = CpuTarget { cpu, at };
        let Some(arguments) = self.source.arguments(&target, site, hook)? else {
            return Ok(());
        };
        let reg = |index| arguments.get(&target, index);
        let [a0, a1, a2, a3, a4, a5] = [0, 1, 2, 3, 4, 5];
        let task = |layout: &Layout, index| layout.task(&target, Addr(reg(index)));
        let who = |layout: &Layout, index| layout.who(&target, Addr(reg(index)));
        let layout = &self.layout;
        let mut stack = None;
        let data: EventData = match hook {
            Hook::Switch => {
                let (prev, next) = (task(layout, a1)?, who(layout, a2)?);
                SchedSwitch {
                    prev_comm: prev.comm,
                    prev_pid: prev.pid,
                    prev_prio: prev.prio,
                    prev_state: switch_state(reg(a0) != 0, reg(a3) as u32, prev.exit_state),
                    next_comm: next.comm,
                    next_pid: next.pid,
                    next_prio: next.prio,
                }
                .into()
            }
            Hook::Waking => {
                let Who {
                    comm,
                    pid,
                    prio,
                    cpu,
                } = who(layout, a0)?;
                let target_cpu = cpu as i32;
                SchedWaking {
                    comm,
                    pid,
                    prio,
                    target_cpu,
                }
                .into()
            }
            Hook::Wakeup => {
                let Who {
                    comm,
                    pid,
                    prio,
                    cpu,
                } = who(layout, a0)?;
                let target_cpu = cpu as i32;
                SchedWakeup {
                    comm,
                    pid,
                    prio,
                    target_cpu,
                }
                .into()
            }
            Hook::WakeupNew => {
                let Who {
                    comm,
                    pid,
                    prio,
                    cpu,
                } = who(layout, a0)?;
                let target_cpu = cpu as i32;
                SchedWakeupNew {
                    comm,
                    pid,
                    prio,
                    target_cpu,
                }
                .into()
            }
            Hook::MigrateTask => {
                stack = Some(At::Inside);
                let Who {
                    comm,
                    pid,
                    prio,
                    cpu,
                } = who(layout, a0)?;
                SchedMigrateTask {
                    comm,
                    pid,
                    prio,
                    orig_cpu: cpu as i32,
                    dest_cpu: reg(a1) as i32,
                }
                .into()
            }
            Hook::Fork => {
                stack = Some(At::Inside);
                let (parent, child) = (who(layout, a0)?, who(layout, a1)?);
                SchedProcessFork {
                    parent_comm: parent.comm,
                    parent_pid: parent.pid,
                    child_comm: child.comm,
                    child_pid: child.pid,
                }
                .into()
            }
            Hook::Exit => {
                let Who {
                    comm, pid, prio, ..
                } = who(layout, a0)?;
                SchedProcessExit { comm, pid, prio }.into()
            }
            Hook::IpiCpu => IpiSendCpu {
                cpu: reg(a0) as u32,
                callsite: Addr(reg(a1)),
                callback: Addr(reg(a2)),
            }
            .into(),
            Hook::IpiMask => IpiSendCpumask {
                cpumask: Mask(target.read_u64(Addr(reg(a0)))?),
                callsite: Addr(reg(a1)),
                callback: Addr(reg(a2)),
            }
            .into(),
            Hook::Irq(event) => event(reg(a0) as i32),
            Hook::WorkQueue => {
                stack = Some(At::Inside);
                let address = Addr(reg(a1));
                let work = layout.work(&target, address)?;
                let (about, pending) = layout.subject(&target, work.func, work.arg)?;
                let subject = Subject::read(layout, &target, about)?;
                StopWorkQueue {
                    work: address,
                    cpu: reg(a0) as u32,
                    func: work.func,
                    caller: work.caller,
                    done: work.done,
                    pending,
                    task: about,
                    task_pid: subject.pid,
                    task_comm: subject.comm,
                    nr_todo: layout.nr_todo(&target, work.done)?,
                }
                .into()
            }
            Hook::WorkStart => {
                let (cpu, work) = (reg(a0) as u32, Addr(reg(a1)));
                let (func, arg) = (Addr(reg(a2)), Addr(reg(a3)));
                let (done, caller) = (Addr(reg(a4)), Addr(reg(a5)));
                let (about, pending) = layout.subject(&target, func, arg)?;
                let subject = Subject::read(layout, &target, about)?;
                self.started.insert(
                    cpu,
                    Started {
                        work,
                        caller,
                        task: about,
                        pending,
                    },
                );
                StopWorkStart {
                    work,
                    cpu,
                    func,
                    caller,
                    done,
                    pending,
                    task: about,
                    task_pid: subject.pid,
                    task_comm: subject.comm,
                    nr_todo: layout.nr_todo(&target, done)?,
                }
                .into()
            }
            Hook::WorkDone => {
                let (cpu, work) = (reg(a0) as u32, Addr(reg(a1)));
                let started = match self.started.get(&cpu) {
                    Some(started) if started.work == work => *started,
                    _ => Started::default(),
                };
                let subject = Subject::read(layout, &target, started.task)?;
                StopWorkDone {
                    work,
                    cpu,
                    func: Addr(reg(a2)),
                    caller: started.caller,
                    done: Addr(reg(a3)),
                    pending: started.pending,
                    task: started.task,
                    task_pid: subject.pid,
                    task_comm: subject.comm,
                    nr_todo: reg(a5) as i32,
                    ret: reg(a4) as i32,
                    task_cpu: subject.cpu,
                    task_on_rq: subject.on_rq,
                    task_cpus_mask: subject.cpus_mask,
                }
                .into()
            }
            Hook::Complete => {
                let about = Addr(reg(a2));
                let subject = Subject::read(layout, &target, about)?;
                StopComplete {
                    done: Addr(reg(a0)),
                    pending: Addr(reg(a1)),
                    task: about,
                    task_pid: subject.pid,
                    task_comm: subject.comm,
                }
                .into()
            }
            Hook::MachineState => StopMachineState {
                msdata: Addr(reg(a0)),
                cpu: reg(a1) as u32,
                state: reg(a2) as u32,
                step: reg(a3) as u32 & 1,
                polls: reg(a4),
                func: Addr(reg(a5)),
                active: reg(a3) as u32 >> 1 & 1,
            }
            .into(),
            Hook::CpuhpEnter => CpuhpEnter {
                cpu: reg(a0) as u32,
                target: reg(a1) as i32,
                idx: reg(a2) as i32,
                func: Addr(reg(a3)),
            }
            .into(),
            Hook::CpuhpExit => CpuhpExit {
                cpu: reg(a0) as u32,
                state: reg(a1) as i32,
                idx: reg(a2) as i32,
                ret: reg(a3) as i32,
            }
            .into(),
            Hook::CpuhpMultiEnter => CpuhpMultiEnter {
                cpu: reg(a0) as u32,
                target: reg(a1) as i32,
                idx: reg(a2) as i32,
                func: Addr(reg(a3)),
            }
            .into(),
            Hook::AffinityEntry => {
                stack = Some(At::Entry);
                let context = reg(a1);
                let task = task(layout, a0)?;
                MoveAffinityEntry {
                    comm: task.comm,
                    pid: task.pid,
                    prio: task.prio,
                    task_cpu: task.cpu,
                    on_rq: task.on_rq as u32,
                    on_cpu: task.on_cpu as u32,
                    new_mask: layout.new_mask(&target, Addr(context))?,
                }
                .into()
            }
            Hook::Returning(what) => {
                let stack_pointer = target.cpu.reg(Reg::Rsp);
                let entered = Return {
                    caller: VirtAddr(target.read_u64(Addr(stack_pointer))?),
                    after: stack_pointer.wrapping_add(8),
                    what,
                    cpu: reg(a0),
                    task: Addr(reg(a1)),
                };
                self.expect_return(cpu, entered);
                return Ok(());
            }
            Hook::Tick => SchedulerTick {}.into(),
            Hook::Milestone => {
                stack = Some(At::Entry);
                BootMilestone { func: Addr(at.0) }.into()
            }
        };
        self.emit(cpu, at, data, stack)?;
        if matches!(hook, Hook::Switch) {
            cpu.note_progress();
        }
        Ok(())
    }

    fn expect_return(&mut self, cpu: &mut CpuView<'_>, entered: Return) {
        // The same function on the same frame: the earlier call never returned.
        self.returns.retain(|earlier| {
            (earlier.what, earlier.caller, earlier.after)
                != (entered.what, entered.caller, entered.after)
        });
        self.returns.push(entered);
        // A return address stays watched: there are few, and nothing happens at one without a call.
        if self.places.add(entered.caller, Site::Block, What::Return) {
            cpu.watch(entered.caller, Site::Block);
        }
    }

    /// Control has come to an address that calls return to.
    fn returned(&mut self, cpu: &mut CpuView<'_>, at: VirtAddr) -> Result<(), Failed> {
        let after = cpu.reg(Reg::Rsp);
        // The last entered is left first, also where one left by a tail call to the other.
        let left = |entered: &Return| entered.caller == at && entered.after == after;
        while let Some(index) = self.returns.iter().rposition(left) {
            let entered = self.returns.remove(index);
            let target = CpuTarget { cpu, at };
            let task = self.layout.task(&target, entered.task)?;
            let data: EventData = match entered.what {
                // One that was queued before has only changed its place in the queue.
                Returning::EnqueueTask if task.on_rq == QUEUED => continue,
                Returning::ActivateTask | Returning::EnqueueTask => MoveEnqueued {
                    comm: task.comm,
                    pid: task.pid,
                    prio: task.prio,
                    cpu: task.cpu,
                }
                .into(),
                Returning::SelectFallbackRq => MoveFallback {
                    comm: task.comm,
                    pid: task.pid,
                    prio: task.prio,
                    orig_cpu: entered.cpu as i32,
                    dest_cpu: cpu.reg(Reg::Rax) as i32,
                }
                .into(),
            };
            self.emit(cpu, at, data, None)?;
        }
        Ok(())
    }

    fn emit(
        &mut self,
        cpu: &CpuView<'_>,
        at: VirtAddr,
        data: EventData,
        stack: Option<At>,
    ) -> Result<(), Failed> {
        let target = CpuTarget { cpu, at };
        let (pid, comm) = self.layout.current(&target)?;
        let stack = match stack {
            Some(at) => Some(self.stack(&target, at)?),
            None => None,
        };
        match &data {
            EventData::IpiSendCpu(ipi) => {
                self.symbol(ipi.callsite, true)?;
                self.symbol(ipi.callback, false)?;
            }
            EventData::IpiSendCpumask(ipi) => {
                self.symbol(ipi.callsite, true)?;
                self.symbol(ipi.callback, false)?;
            }
            EventData::StopWorkQueue(work) => {
                self.symbol(work.func, false)?;
                self.symbol(work.caller, true)?;
            }
            EventData::StopMachineState(state) => self.symbol(state.func, false)?,
            EventData::BootMilestone(milestone) => self.symbol(milestone.func, false)?,
            EventData::CpuhpEnter(callback) => self.symbol(callback.func, false)?,
            EventData::CpuhpMultiEnter(callback) => self.symbol(callback.func, false)?,
            _ => {}
        }
        let stamp = cpu.stamp();
        self.writer.event(&Event {
            seq: self.writer.events(),
            cpu: stamp.vcpu.0,
            cycles: stamp.cycles.0,
            insns: stamp.insns.0,
            pid,
            comm,
            stack,
            data,
        })?;
        Ok(())
    }

    fn stack(&mut self, target: &dyn Target, at: At) -> Result<StackId, Failed> {
        self.unwinder.walk(target, at, &mut self.stack);
        if let Some(id) = self.stacks.get(self.stack.as_slice()) {
            return Ok(*id);
        }
        let whole = self.tail_calls.complete(&self.stack);
        for (depth, addr) in whole.iter().enumerate() {
            let is_return = self.image.site(depth, *addr) != *addr;
            self.symbol(*addr, is_return)?;
        }
        let id = self.writer.stack(&whole);
        self.stacks.insert(self.stack.as_slice().into(), id);
        Ok(id)
    }

    fn symbol(&mut self, addr: Addr, is_return: bool) -> Result<(), Failed> {
        if addr != Addr(0)
            && !self.writer.knows_symbol(addr)
            && let Some(symbol) = self.image.symbol(addr, is_return)
        {
            self.writer.symbol(addr, &symbol)?;
        }
        Ok(())
    }

    fn keep(&mut self, failed: Failed, cpu: &CpuView<'_>, at: VirtAddr, hook: Option<Hook>) {
        let stamp = cpu.stamp();
        self.error.get_or_insert_with(|| match failed {
            Failed::Write(error) => error.into(),
            Failed::Read(source) => LiveError::Unreadable {
                event: hook.map_or("return probe", Hook::name),
                vcpu: stamp.vcpu.0,
                cycles: stamp.cycles.0,
                at: Addr(at.0),
                source,
            },
        });
    }
}

impl<W: Write> Observer for Recorder<'_, W> {
    fn hit(&mut self, cpu: &mut CpuView<'_>, at: VirtAddr, site: Site) {
        if self.error.is_some() {
            return;
        }
        let found = self.places.at(at, site);
        if found.returns
            && let Err(failed) = self.returned(cpu, at)
        {
            self.keep(failed, cpu, at, None);
        }
        if let Some(hook) = found.event
            && let Err(failed) = self.record(cpu, (at, site), hook)
        {
            self.keep(failed, cpu, at, Some(hook));
        }
    }

    fn console(&mut self, at: Stamp, byte: u8) {
        if self.error.is_none()
            && let Err(error) = self.writer.console(at.cycles.0, at.vcpu.0, byte)
        {
            self.error = Some(error.into());
        }
    }

    fn typed(&mut self, at: Cycles, byte: u8) {
        let input = InputRow {
            cycles: at.0,
            device: "serial0".to_owned(),
            byte,
        };
        if self.error.is_none()
            && let Err(error) = self.writer.input(&input)
        {
            self.error = Some(error.into());
        }
    }

    fn slice(&mut self, now: Cycles) -> ControlFlow<()> {
        if self.error.is_none() && now.0 >= self.next_flush {
            self.next_flush = now.0 + FLUSH_EVERY;
            if let Err(error) = self.writer.flush() {
                self.error = Some(error.into());
            }
        }
        match self.error {
            Some(_) => ControlFlow::Break(()),
            None => ControlFlow::Continue(()),
        }
    }
}

/// What stops the recording at one hit.
enum Failed {
    Write(trace::krec::Error),
    Read(Unreadable),
}

impl From<trace::krec::Error> for Failed {
    fn from(error: trace::krec::Error) -> Failed {
        Failed::Write(error)
    }
}

impl From<Unreadable> for Failed {
    fn from(error: Unreadable) -> Failed {
        Failed::Read(error)
    }
}

/// What `stop:*` events tell of the task that a work is about.
struct Subject {
    pid: i32,
    comm: Comm,
    cpu: i32,
    on_rq: i32,
    cpus_mask: Mask,
}

impl Subject {
    fn read(
        layout: &Layout,
        target: &(impl Target + ?Sized),
        addr: Addr,
    ) -> Result<Subject, Unreadable> {
        Ok(match addr {
            Addr(0) => Subject {
                pid: 0,
                comm: Comm::default(),
                cpu: -1,
                on_rq: -1,
                cpus_mask: Mask(0),
            },
            addr => {
                let task = layout.task(target, addr)?;
                Subject {
                    pid: task.pid,
                    comm: task.comm,
                    cpu: task.cpu as i32,
                    on_rq: task.on_rq,
                    cpus_mask: task.cpus_mask,
                }
            }
        })
    }
}
