//! Sums and orders that hold for any run, however strange: random schedules of a few tasks on a few
//! CPUs, whose events come in an order that their clocks do not always agree with.

mod support;

use std::collections::HashMap;

use analyze::causal::{About, walk};
use analyze::{migration, stopper, timeline};
use proptest::prelude::*;
use support::*;

const CPUS: u32 = 3;
const TASKS: [T; 3] = [HOG, ASKER, OTHER];
const STOPPERS: [T; 3] = [STOP0, STOP1, T(18, "migration/2")];
const IDLE: [T; 3] = [IDLE0, IDLE1, T(0, "swapper/2")];

/// A small scheduler that does what the numbers say. It keeps the rules that the kernel cannot break
/// (one task on one CPU, works in queue order) and nothing else.
struct Play {
    trace: Trace,
    clock: [u64; CPUS as usize],
    current: [Option<T>; CPUS as usize],
    /// CPU of each task that is queued or running; its state when it is not.
    home: HashMap<i32, u32>,
    queued: Vec<Vec<Work>>,
    running: [Option<Work>; CPUS as usize],
    next: u64,
}

impl Play {
    fn new() -> Play {
        Play {
            trace: Trace::new(CPUS),
            clock: [10_000; CPUS as usize],
            current: [None; CPUS as usize],
            home: TASKS.iter().map(|t| (t.0, 0)).collect(),
            queued: vec![Vec::new(); CPUS as usize],
            running: [None; CPUS as usize],
            next: 0x1000,
        }
    }

    fn at(&mut self, cpu: u32, step: u64) -> &mut Trace {
        let clock = &mut self.clock[cpu as usize];
        *clock += step;
        let now = *clock;
        self.trace.at(cpu, now)
    }

    fn name(&self, cpu: u32) -> T {
        self.current[cpu as usize].unwrap_or(IDLE[cpu as usize])
    }

    fn is_running(&self, task: T) -> bool {
        self.current.iter().flatten().any(|t| t.0 == task.0)
    }

    fn switch(&mut self, cpu: u32, to: Option<T>, state: i64, step: u64) {
        let prev = self.name(cpu);
        let next = to.unwrap_or(IDLE[cpu as usize]);
        if prev.0 != next.0 {
            self.at(cpu, step).switch(prev, state, next);
            self.current[cpu as usize] = to;
        }
    }

    /// One step: what, where, with whom, after how many cycles.
    fn step(&mut self, (what, cpu, who, step): (u8, u32, usize, u64)) {
        let (task, to) = (TASKS[who], (cpu + 1 + step as u32 % 2) % CPUS);
        let stopper = STOPPERS[cpu as usize];
        let on = self.running[cpu as usize];
        match what {
            0 | 1 if on.is_none() && !self.is_running(task) => {
                let state = if what == 0 { PREEMPTED } else { S };
                self.switch(cpu, Some(task), state, step);
                self.home.insert(task.0, cpu);
            }
            2 if on.is_none() => {
                self.switch(cpu, None, if step.is_multiple_of(2) { R } else { D }, step)
            }
            3 if !self.is_running(task) => {
                self.at(cpu, step).waking(task, 0);
                let from = self.home.insert(task.0, to).unwrap_or(0);
                self.at(cpu, 40)
                    .migrate(WAKE_MOVE, task, from as i32, to as i32);
                self.at(cpu, 20).ipi(to);
            }
            4 if !self.is_running(task) => {
                let home = self.home[&task.0];
                self.at(home, step).enqueued(task, home);
                self.at(home, 5).wakeup(task, home as i32);
            }
            5 => {
                let work = Work {
                    work: self.next,
                    pending: self.next + 8,
                    ..affinity(cpu, task)
                };
                self.next += 16;
                self.at(to, step).work_queue(AFFINE, work, -1);
                self.at(to, 30).waking(stopper, cpu as i32);
                self.queued[cpu as usize].push(work);
            }
            6 if on.is_none() && !self.queued[cpu as usize].is_empty() => {
                self.switch(cpu, Some(stopper), PREEMPTED, step);
                let work = self.queued[cpu as usize].remove(0);
                self.at(cpu, 50).work_start(work, -1);
                self.running[cpu as usize] = Some(work);
            }
            7 => {
                if let Some(work) = self.running[cpu as usize].take() {
                    self.finish(work, cpu, to, step);
                }
            }
            8 => drop(self.at(cpu, step).ipi_entry()),
            _ => {}
        }
    }

    fn finish(&mut self, work: Work, cpu: u32, to: u32, step: u64) {
        let task = work.task.expect("every work of the play has one");
        if !self.is_running(task) && !step.is_multiple_of(3) {
            let from = self.home.insert(task.0, to).unwrap_or(0);
            self.at(cpu, step)
                .migrate(STOPPER_MOVE, task, from as i32, to as i32);
            self.at(cpu, 10).enqueued(task, to);
        }
        self.at(cpu, 10).complete_pending(work);
        let after = After {
            cpu: to as i32,
            on_rq: 1,
            mask: 0b111,
            nr_todo: -1,
        };
        self.at(cpu, 10).work_done(work, after);
        if self.queued[cpu as usize].is_empty() {
            self.switch(cpu, None, S, 20);
        }
    }
}

fn plays() -> impl Strategy<Value = Trace> {
    let step = (0..9_u8, 0..CPUS, 0..TASKS.len(), 1..3_000_u64);
    prop::collection::vec(step, 0..300).prop_map(|steps| {
        let mut play = Play::new();
        for step in steps {
            play.step(step);
        }
        play.trace
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Causal time is never before the raw clock, and strictly increases on every vCPU and along every
    /// chain.
    #[test]
    fn causal_time_increases(trace in plays()) {
        let mut last: HashMap<About, u64> = HashMap::new();
        let mut cpus = [None; CPUS as usize];
        walk(&trace, &mut |e| {
            assert_eq!(e.time_ns, e.event.cycles + e.pushed_ns);
            let cpu = &mut cpus[e.event.cpu as usize];
            assert!(cpu.is_none_or(|t| t < e.time_ns));
            *cpu = Some(e.time_ns);
            for about in e.abouts.iter() {
                let before = last.insert(about, e.time_ns);
                assert!(before.is_none_or(|t| t < e.time_ns));
            }
            Ok(())
        }).expect("a play is dense");
    }

    /// Phases sum to the total, boundaries are in order, and every move has a row.
    #[test]
    fn phases_partition(trace in plays()) {
        let report = migration::analyze(&trace).expect("every cause is in the table");
        // The third check is about what a kernel does with a preempted task; the play does anything.
        prop_assert!(report.checks[..2].iter().all(|check| check.holds));
        for m in &report.moves {
            prop_assert_eq!(m.phases_ns.iter().sum::<u64>(), m.total_ns());
            prop_assert!(m.seqs.begin <= m.seqs.migrate && m.seqs.migrate <= m.seqs.end);
            prop_assert!(m.begin_ns <= m.end_ns);
            if let (Some(send), Some(entry)) = (m.seqs.ipi_send, m.seqs.ipi_entry) {
                prop_assert!(m.seqs.migrate < send && send < entry && entry <= m.seqs.end);
            }
        }
        // Begin and end are the causal times of their events, except that an open move ends with the run.
        let mut migrations = 0;
        let (mut times, mut pushed) = (Vec::new(), Vec::new());
        walk(&trace, &mut |e| {
            times.push(e.time_ns);
            pushed.push(e.pushed_ns);
            if let trace::event::EventData::SchedMigrateTask(m) = e.event.data {
                migrations += usize::from(m.orig_cpu != m.dest_cpu);
            }
            Ok(())
        }).expect("a play is dense");
        prop_assert_eq!(report.moves.len(), migrations);
        for m in &report.moves {
            prop_assert_eq!(m.begin_ns, times[m.seqs.begin as usize]);
            let s = m.seqs;
            let others = [s.switch_out, s.work_queue, s.work_start, s.enqueued, s.ipi_send, s.ipi_entry];
            let all = [s.begin, s.migrate, s.end].into_iter().chain(others.into_iter().flatten());
            let farthest = all.map(|seq| pushed[seq as usize]).max();
            prop_assert_eq!(Some(m.pushed_ns), farthest);
            if m.ended != migration::Ended::Open {
                prop_assert_eq!(m.end_ns, times[m.seqs.end as usize]);
            }
        }
    }

    /// The balance holds, shares do not overlap, and a loss is part of its share.
    #[test]
    fn the_balance_holds(trace in plays()) {
        let report = stopper::analyze(&trace).expect("works are in queue order");
        for total in &report.totals {
            prop_assert!(total.balances(), "{:?}", total);
        }
        let mut shares: Vec<(u32, u64, u64)> = Vec::new();
        for work in &report.works {
            let Some(share) = work.share else { continue };
            shares.push((work.cpu, share.begin.time_ns, share.end.time_ns));
            if let (Some(lost), Some(elsewhere)) = (work.lost_ns, work.elsewhere_ns) {
                prop_assert_eq!(lost + elsewhere, share.ns());
            }
            prop_assert_eq!(work.lost_ns.is_some(), work.victim.is_some());
        }
        shares.sort_unstable();
        for pair in shares.windows(2) {
            prop_assert!(pair[0].0 != pair[1].0 || pair[0].2 <= pair[1].1, "{:?}", pair);
        }
    }

    /// Slices of one CPU do not overlap and stay in the window.
    #[test]
    fn slices_do_not_overlap(trace in plays()) {
        let timeline = timeline::analyze(&trace, timeline::Window::Auto).expect("a window");
        for slice in &timeline.slices {
            prop_assert!(slice.from_ns < slice.to_ns);
            prop_assert!(timeline.from_ns <= slice.from_ns && slice.to_ns <= timeline.to_ns);
        }
        for pair in timeline.slices.windows(2) {
            prop_assert!(pair[0].cpu != pair[1].cpu || pair[0].to_ns <= pair[1].from_ns);
        }
    }
}
