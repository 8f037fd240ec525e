//! The rows of `timehist` in the columns of perf.

use super::{Entry, Options, Show, What, Who, state_word};
use crate::render::text::seconds;
use crate::report::Row;
use crate::table::Value;

/// Room for a task, as perf keeps it.
pub(super) const COMM_WIDTH: usize = 30;

/// A row and how to write it.
pub(super) struct Written<'e> {
    pub entry: &'e Entry,
    pub options: &'e Options,
    pub cpus: u32,
}

impl Row for Written<'_> {
    fn values(&self) -> Vec<Value> {
        self.entry.values()
    }

    fn line(&self) -> String {
        let e = self.entry;
        let mut line = format!("{:>15} [{:04}] ", seconds(e.time_ns), e.cpu);
        let here = |letter: char| -> String {
            let mark = |cpu| if cpu == e.cpu { letter } else { ' ' };
            (0..self.cpus).map(mark).collect()
        };
        let visual = self.options.has(Show::CpuVisual);
        match e.what {
            What::Switch(_) if visual => {
                let letter = if e.who.pid == 0 { 'i' } else { 's' };
                line.push_str(&format!(" {} ", here(letter)));
            }
            What::Wakeup(_) if visual => line.push_str(&format!(" {} ", here(' '))),
            What::Migrate(..) if visual => line.push_str(&format!("  {}  ", here('m'))),
            _ => {}
        }
        match &e.what {
            What::Switch(_) => self.switch(&mut line),
            What::Wakeup(who) => {
                line.push_str(&format!(" {:<COMM_WIDTH$} {SPACER}", name(e.who)));
                line.push_str(&format!("awakened: {}", name(*who)));
            }
            What::Migrate(who, from, to) => {
                line.push_str(&format!(" {:<COMM_WIDTH$} {SPACER}", name(e.who)));
                line.push_str(&format!("migrated: {} cpu {from} => {to}", name(*who)));
            }
        }
        line
    }
}

/// In place of the three durations.
const SPACER: &str = "                                  ";

impl Written<'_> {
    fn switch(&self, line: &mut String) {
        let Some(left) = self.entry.left() else {
            return;
        };
        let has = |show| self.options.has(show);
        let task = match self.entry.who.pid {
            0 => "<idle>".to_owned(),
            _ => name(self.entry.who),
        };
        line.push_str(&format!(" {task:<COMM_WIDTH$} "));
        if has(Show::Prio) {
            let prio = match left.prio {
                (before, after) if before == after => after.to_string(),
                (before, after) => format!("{before}->{after}"),
            };
            line.push_str(&format!(" {prio:<8} "));
        }
        let times = &left.times;
        let mut durations = vec![times.wait_ns(), times.delay_ns, times.run_ns];
        durations.extend(has(Show::PreMigrations).then_some(times.pre_mig_ns));
        for ns in durations {
            line.push_str(&sched_time(ns.unwrap_or(0), 6));
        }
        if has(Show::State) {
            let letter = state_word(left.state).trim_end_matches('+');
            line.push_str(&format!(" {letter:>5} "));
        }
        if has(Show::Next) {
            let next = format!("next: {}[{}]", left.next.comm, left.next.pid);
            line.push_str(&format!(" {next:<COMM_WIDTH$}"));
        }
    }
}

/// `comm[pid]`; the idle task as perf calls it beside the rows that are its own.
fn name(who: Who) -> String {
    match who.pid {
        0 => "swapper".to_owned(),
        pid => format!("{}[{pid}]", who.comm),
    }
}

/// Nanoseconds as milliseconds with what is below a microsecond cut off, and a space.
pub(super) fn sched_time(ns: u64, width: usize) -> String {
    format!("{:>width$}.{:03} ", ns / 1_000_000, ns % 1_000_000 / 1_000)
}

/// perf's three lines of column heads.
pub(super) fn head(options: &Options, cpus: u32) -> Vec<String> {
    let cpus = cpus as usize;
    let has = |show| options.has(show);
    let mut lines = [
        format!("{:>15} {:>6} ", "time", "cpu"),
        format!("{:>15} {:<6} ", "", ""),
        format!("{:.>15} {:.>6} ", "", "").replace('.', "-"),
    ];
    let mut add = |parts: [String; 3]| {
        for (line, part) in lines.iter_mut().zip(parts) {
            line.push_str(&part);
        }
    };
    if has(Show::CpuVisual) {
        let digits: String = (0..cpus).map(|cpu| format!("{:x}", cpu % 16)).collect();
        add([
            format!(" {digits} "),
            format!(" {:cpus$} ", ""),
            format!(" {} ", "-".repeat(cpus)),
        ]);
    }
    add([
        format!(" {:<COMM_WIDTH$} ", "task name"),
        format!(" {:<COMM_WIDTH$} ", "[tid/pid]"),
        format!(" {} ", "-".repeat(COMM_WIDTH)),
    ]);
    if has(Show::Prio) {
        add([
            format!(" {:<8} ", "prio"),
            format!(" {:<8} ", ""),
            format!(" {} ", "-".repeat(8)),
        ]);
    }
    let mut durations = vec!["wait time", "sch delay", "run time"];
    durations.extend(has(Show::PreMigrations).then_some("pre-mig time"));
    for (at, duration) in durations.iter().enumerate() {
        let gap = if at == 0 { " " } else { "  " };
        let width = duration.len().max(9);
        add([
            format!("{gap}{duration:>width$}"),
            format!("{gap}{:>width$}", "(msec)"),
            format!("{gap}{}", "-".repeat(width)),
        ]);
    }
    if has(Show::State) {
        add([
            "  state".to_owned(),
            "       ".to_owned(),
            "  -----".to_owned(),
        ]);
    }
    lines.to_vec()
}
