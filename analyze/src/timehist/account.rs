//! What `timehist` keeps of each task and each CPU: one entry a task, whatever the recording's length.

use std::collections::BTreeMap;

use trace::events::SchedSwitch;

use super::{Options, Show};
use crate::causal::Stamped;
use crate::delays::stays_runnable;
use crate::names::Latest;

/// The durations of one row.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Times {
    /// Off the CPU, asleep; none at the task's first row.
    pub sleep_ns: Option<u64>,
    /// Off the CPU, in uninterruptible sleep.
    pub iowait_ns: Option<u64>,
    /// Off the CPU, preempted.
    pub preempt_ns: Option<u64>,
    /// Runnable until running.
    pub delay_ns: Option<u64>,
    /// Of it: before the last migration.
    pub pre_mig_ns: Option<u64>,
    /// On the CPU; none at the CPU's first switch.
    pub run_ns: Option<u64>,
    /// Instructions that the CPU retired in that time.
    pub run_insns: Option<u64>,
}

impl Times {
    /// Off the CPU, however.
    pub fn wait_ns(&self) -> Option<u64> {
        self.sleep_ns.or(self.iowait_ns).or(self.preempt_ns)
    }
}

/// Run times of one task, as perf's `struct stats`.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct RunStats {
    pub n: u64,
    pub min_ns: u64,
    pub max_ns: u64,
    mean: f64,
    squares: f64,
}

impl RunStats {
    fn add(&mut self, ns: u64) {
        self.min_ns = if self.n == 0 { ns } else { self.min_ns.min(ns) };
        self.max_ns = self.max_ns.max(ns);
        self.n += 1;
        let delta = ns as f64 - self.mean;
        self.mean += delta / self.n as f64;
        self.squares += delta * (ns as f64 - self.mean);
    }

    /// The average, cut to whole nanoseconds.
    pub fn mean_ns(&self) -> u64 {
        self.mean as u64
    }

    /// The standard deviation of the mean, as a percentage of the mean.
    pub fn rel_stddev(&self) -> f64 {
        if self.n < 2 || self.mean == 0.0 {
            return 0.0;
        }
        let variance_of_mean = self.squares / (self.n - 1) as f64 / self.n as f64;
        100.0 * variance_of_mean.sqrt() / self.mean
    }
}

/// One task.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Account {
    /// Its last switch-out, and the state in which it left.
    last: Option<(u64, i64)>,
    ready_ns: Option<u64>,
    migrated_ns: Option<u64>,
    pub parent: Option<i32>,
    pub stats: RunStats,
    pub run_ns: u64,
    pub run_insns: u64,
    pub sleep_ns: u64,
    pub iowait_ns: u64,
    pub preempt_ns: u64,
    pub delay_ns: u64,
    pub migrations: u64,
    /// The longest run: when it ended, the event, the CPU.
    pub longest: Option<(u64, u64, u32)>,
}

/// One CPU.
#[derive(Clone, Debug, Default)]
struct Cpu {
    /// Its last switch: time, instructions, who came, with what priority.
    last: Option<(u64, u64, i32, i32)>,
    idle: Account,
    /// The task that ran before it was idle.
    before_idle: Option<i32>,
}

/// A switch-out that is to be shown.
pub(super) struct Out {
    /// The switch, or the end of the window.
    pub time_ns: u64,
    pub times: Times,
    pub prio_in: i32,
}

/// All of them.
pub(super) struct Accounts {
    tasks: BTreeMap<i32, Account>,
    cpus: Vec<Cpu>,
    pub names: Latest,
    /// Switches, and those at which another task left than had come.
    pub switches: u64,
    pub bugs: u64,
    /// The first and the last switch of the window.
    pub seen: Option<(u64, u64)>,
}

impl Accounts {
    pub fn new(cpus: u32) -> Accounts {
        Accounts {
            tasks: BTreeMap::new(),
            cpus: vec![Cpu::default(); cpus as usize],
            names: Latest::default(),
            switches: 0,
            bugs: 0,
            seen: None,
        }
    }

    /// Tasks that have run in the window, by pid.
    pub fn tasks(&self) -> impl Iterator<Item = (i32, &Account)> {
        let ran = |(pid, account): (&i32, _)| (*pid, account);
        self.tasks
            .iter()
            .map(ran)
            .filter(|(_, account): &(i32, &Account)| account.stats.n > 0)
    }

    /// The idle task of a CPU.
    pub fn idle(&self, cpu: u32) -> Option<&Account> {
        self.cpus.get(cpu as usize).map(|cpu| &cpu.idle)
    }

    pub fn woken(&mut self, pid: i32, now_ns: u64) {
        let account = self.tasks.entry(pid).or_default();
        account.ready_ns.get_or_insert(now_ns);
    }

    pub fn migrated(&mut self, pid: i32, now_ns: u64, inside: bool) {
        let account = self.tasks.entry(pid).or_default();
        account.migrated_ns = Some(now_ns);
        account.migrations += u64::from(inside);
    }

    pub fn forked(&mut self, parent: i32, child: i32) {
        self.tasks.entry(child).or_default().parent = Some(parent);
    }

    /// Takes a switch into account; gives it if it is to be shown.
    pub fn switched(
        &mut self,
        event: &Stamped<'_>,
        e: &SchedSwitch,
        options: &Options,
    ) -> Option<Out> {
        self.names.push(event.event);
        let cpu = event.event.cpu;
        let came = self.cpus[cpu as usize].last.replace((
            event.time_ns,
            event.event.insns,
            e.next_pid,
            e.next_prio,
        ));
        self.switches += 1;
        self.bugs += u64::from(came.is_some_and(|(_, _, pid, _)| pid != e.prev_pid));

        let (from_ns, to_ns) = options.window();
        let in_ns = came.map(|(ns, ..)| ns);
        let ended = event.time_ns.min(to_ns);
        let inside =
            event.time_ns >= from_ns && in_ns.is_none_or(|ns| ns <= to_ns) && ended >= from_ns;
        if event.time_ns >= from_ns && event.time_ns <= to_ns {
            let first = self.seen.map_or(event.time_ns, |(first, _)| first);
            self.seen = Some((first, event.time_ns));
        }
        let idle = e.prev_pid == 0;
        if !idle {
            self.cpus[cpu as usize].before_idle = Some(e.prev_pid);
        }
        let account = match idle {
            true => &mut self.cpus[cpu as usize].idle,
            false => self.tasks.entry(e.prev_pid).or_default(),
        };
        let mut times = account.times(in_ns);
        if let Some((in_ns, in_insns, ..)) = came {
            times.run_ns = Some(ended.saturating_sub(in_ns.max(from_ns)));
            times.run_insns = Some(event.event.insns - in_insns);
        }
        account.leaves(event.time_ns, e.prev_state);
        if idle {
            // It could always go on, and never waits.
            account.ready_ns = None;
        }
        let idle_only = options.has(Show::Idle);
        if !inside || !options.wants_cpu(cpu) || (idle_only && !idle) {
            return None;
        }
        let waits_inside = in_ns.is_some_and(|ns| ns >= from_ns);
        account.add(&times, waits_inside, (ended, event.event.seq, cpu));
        if idle_only {
            self.idle_after(cpu, &times, (ended, event.event.seq, cpu));
        }
        options.wants_task(e.prev_pid).then(|| Out {
            time_ns: ended,
            times,
            prio_in: came.map_or(e.prev_prio, |(.., prio)| prio),
        })
    }

    /// Charges a CPU's idle time to the task that ran before it.
    fn idle_after(&mut self, cpu: u32, times: &Times, at: (u64, u64, u32)) {
        let before = self.cpus[cpu as usize].before_idle.take();
        if let Some(account) = before.and_then(|pid| self.tasks.get_mut(&pid)) {
            let idle = Times {
                run_ns: times.run_ns,
                run_insns: times.run_insns,
                ..Times::default()
            };
            account.add(&idle, false, at);
        }
    }
}

impl Account {
    /// What its wait was, given when it came in.
    fn times(&self, in_ns: Option<u64>) -> Times {
        let mut times = Times::default();
        let Some(in_ns) = in_ns else {
            return times;
        };
        if let Some((out_ns, state)) = self.last {
            let wait = in_ns.checked_sub(out_ns);
            match state {
                _ if stays_runnable(state) => times.preempt_ns = wait,
                2 => times.iowait_ns = wait,
                _ => times.sleep_ns = wait,
            }
        }
        let ready = self.ready_ns.filter(|ready| *ready <= in_ns);
        times.delay_ns = ready.map(|ready| in_ns - ready);
        times.pre_mig_ns = ready.and_then(|ready| {
            let migrated = self.migrated_ns.filter(|m| *m > ready && *m < in_ns);
            migrated.map(|migrated| migrated - ready)
        });
        times
    }

    fn leaves(&mut self, now_ns: u64, state: i64) {
        self.last = Some((now_ns, state));
        self.ready_ns = stays_runnable(state).then_some(now_ns);
        self.migrated_ns = None;
    }

    fn add(&mut self, times: &Times, waits: bool, at: (u64, u64, u32)) {
        let run_ns = times.run_ns.unwrap_or(0);
        if self.longest.is_none() || run_ns > self.stats.max_ns {
            self.longest = Some(at);
        }
        self.stats.add(run_ns);
        self.run_ns += run_ns;
        self.run_insns += times.run_insns.unwrap_or(0);
        if waits {
            self.sleep_ns += times.sleep_ns.unwrap_or(0);
            self.iowait_ns += times.iowait_ns.unwrap_or(0);
            self.preempt_ns += times.preempt_ns.unwrap_or(0);
            self.delay_ns += times.delay_ns.unwrap_or(0);
        }
    }
}
