//! The arguments of the reports that people know from perf and from BCC, by the names they have there.

use std::collections::BTreeSet;
use std::str::FromStr;

use analyze::delays::Wake;
use analyze::latency::SortKey;
use analyze::runqlat::Style;
use clap::{Args, ValueEnum};
use trace::time_arg::TimeArg;

use super::ReportArgs;

/// A list of numbers and ranges, as `0-3,7`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CpuList(pub BTreeSet<u32>);

impl FromStr for CpuList {
    type Err = String;

    fn from_str(text: &str) -> Result<CpuList, String> {
        let wrong = || format!("`{text}` is no list of CPUs: write 0-3,7");
        let mut cpus = BTreeSet::new();
        for part in text.split(',') {
            let (from, to) = part.split_once('-').unwrap_or((part, part));
            let number = |text: &str| text.trim().parse::<u32>().map_err(|_| wrong());
            let (from, to) = (number(from)?, number(to)?);
            // No machine has more; a longer range would only fill memory.
            if from > to || to > 4096 {
                return Err(wrong());
            }
            cpus.extend(from..=to);
        }
        Ok(CpuList(cpus))
    }
}

/// A part of the run, `START,STOP`; either may be missing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    /// The first instant.
    pub from: TimeArg,
    /// The last.
    pub to: TimeArg,
}

impl FromStr for Window {
    type Err = String;

    fn from_str(text: &str) -> Result<Window, String> {
        let (from, to) = text.split_once(',').unwrap_or((text, ""));
        let instant = |text: &str, open| match text.trim() {
            "" => Ok(open),
            // perf writes seconds without a unit.
            number if number.bytes().all(|b| b.is_ascii_digit() || b == b'.') => {
                format!("{number}s").parse::<TimeArg>()
            }
            other => other.parse(),
        };
        Ok(Window {
            from: instant(from, TimeArg::Boot).map_err(|e| e.to_string())?,
            to: instant(to, TimeArg::End).map_err(|e| e.to_string())?,
        })
    }
}

/// The event of a wake-up that a delay begins at.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum WakeEvent {
    /// `sched_wakeup`.
    Wakeup,
    /// `sched_waking`.
    Waking,
}

impl From<WakeEvent> for Wake {
    fn from(event: WakeEvent) -> Wake {
        match event {
            WakeEvent::Wakeup => Wake::Wakeup,
            WakeEvent::Waking => Wake::Waking,
        }
    }
}

/// Keys of `latency --sort`.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sort {
    /// Time on a CPU.
    Runtime,
    /// Number of delays.
    #[value(alias = "count")]
    Switch,
    /// Average delay.
    Avg,
    /// Longest delay.
    Max,
    /// Pid.
    Pid,
}

impl From<Sort> for SortKey {
    fn from(key: Sort) -> SortKey {
        match key {
            Sort::Runtime => SortKey::Runtime,
            Sort::Switch => SortKey::Switch,
            Sort::Avg => SortKey::Avg,
            Sort::Max => SortKey::Max,
            Sort::Pid => SortKey::Pid,
        }
    }
}

/// `analyze latency`.
#[derive(Args, Debug)]
pub struct LatencyArgs {
    /// What every report takes.
    #[command(flatten)]
    pub report: ReportArgs,
    /// A row for each task, instead of one for each name
    #[arg(short, long)]
    pub pids: bool,
    /// Order, the largest first: of runtime, switch, avg, max, pid [default: avg,max,switch,runtime]
    #[arg(
        short,
        long,
        value_name = "KEY,...",
        value_delimiter = ',',
        hide_possible_values = true
    )]
    pub sort: Vec<Sort>,
    /// Only what happened on these CPUs, as 0-3,7
    #[arg(short = 'C', long = "CPU", visible_alias = "cpu", value_name = "CPUS")]
    pub cpus: Option<CpuList>,
    /// A delay begins at sched_wakeup, or already at sched_waking
    #[arg(long, value_enum, value_name = "wakeup|waking", default_value_t = WakeEvent::Wakeup, hide_possible_values = true)]
    pub from: WakeEvent,
}

/// `analyze timehist`.
#[derive(Args, Debug)]
pub struct TimehistArgs {
    /// What every report takes.
    #[command(flatten)]
    pub report: ReportArgs,
    /// Rows for migrations too
    #[arg(short = 'M', long)]
    pub migrations: bool,
    /// One letter a CPU: i idle, s switch, m migration
    #[arg(short = 'V', long)]
    pub cpu_visual: bool,
    /// Rows for wake-ups too
    #[arg(short, long)]
    pub wakeups: bool,
    /// The next task
    #[arg(short, long)]
    pub next: bool,
    /// The state in which a task left; in the summary its waits
    #[arg(long)]
    pub state: bool,
    /// Kernel priorities, in->out if changed
    #[arg(long)]
    pub show_prio: bool,
    /// How much of the delay lay before the last migration
    #[arg(long)]
    pub pre_migrations: bool,
    /// Idle rows only; in the summary idle times by the task that ran before
    #[arg(short = 'I', long)]
    pub idle_hist: bool,
    /// The summary only
    #[arg(short, long)]
    pub summary: bool,
    /// Rows and summary
    #[arg(short = 'S', long)]
    pub with_summary: bool,
    /// Only these CPUs, as 0-3,7
    #[arg(short = 'C', long, value_name = "CPUS")]
    pub cpu: Option<CpuList>,
    /// Only these tasks, by pid
    #[arg(short, long, value_name = "PID,...", value_delimiter = ',')]
    pub pid: Vec<i32>,
    /// The same: every task here is a process of its own
    #[arg(short, long, value_name = "TID,...", value_delimiter = ',')]
    pub tid: Vec<i32>,
    /// Only this part of the run: START,STOP, each as 12.5ms, @18342 or seconds; either may be missing
    #[arg(long, value_name = "START,STOP")]
    pub time: Option<Window>,
}

/// `analyze map`.
#[derive(Args, Debug)]
pub struct MapArgs {
    /// What every report takes.
    #[command(flatten)]
    pub report: ReportArgs,
    /// A column only for CPUs that have switched, in that order
    #[arg(long)]
    pub compact: bool,
    /// Only these CPUs, as 0-3,7
    #[arg(long, value_name = "CPUS")]
    pub cpus: Option<CpuList>,
    /// Mark these CPUs, on a terminal
    #[arg(long, value_name = "CPUS")]
    pub color_cpus: Option<CpuList>,
    /// Mark these tasks, on a terminal
    #[arg(long, value_name = "PID,...", value_delimiter = ',')]
    pub color_pids: Vec<i32>,
    /// Only tasks of these names; others are -
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    pub task_name: Vec<String>,
    /// With --task-name: a part of the name is enough
    #[arg(long, requires = "task_name")]
    pub fuzzy_name: bool,
}

/// How a histogram looks.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum HistogramStyle {
    /// `4 -> 7`, asterisks.
    Bcc,
    /// `[4, 8)`, at signs.
    Bpftrace,
}

impl From<HistogramStyle> for Style {
    fn from(style: HistogramStyle) -> Style {
        match style {
            HistogramStyle::Bcc => Style::Bcc,
            HistogramStyle::Bpftrace => Style::Bpftrace,
        }
    }
}

/// `analyze runqlat`.
#[derive(Args, Debug)]
pub struct RunqlatArgs {
    /// What every report takes.
    #[command(flatten)]
    pub report: ReportArgs,
    /// Milliseconds instead of microseconds
    #[arg(short, long)]
    pub milliseconds: bool,
    /// A histogram for each task
    #[arg(short = 'P', long)]
    pub pids: bool,
    /// A histogram for each CPU
    #[arg(long, conflicts_with = "pids")]
    pub per_cpu: bool,
    /// Only these tasks, by pid
    #[arg(short, long, value_name = "PID,...", value_delimiter = ',')]
    pub pid: Vec<i32>,
    /// bcc (4 -> 7) or bpftrace ([4, 8)): the same numbers
    #[arg(long, value_enum, default_value_t = HistogramStyle::Bcc, hide_possible_values = true, value_name = "bcc|bpftrace")]
    pub style: HistogramStyle,
    /// A delay begins at sched_wakeup, or already at sched_waking
    #[arg(long, value_enum, value_name = "wakeup|waking", default_value_t = WakeEvent::Wakeup, hide_possible_values = true)]
    pub from: WakeEvent,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus() {
        let cpus = |text: &str| text.parse::<CpuList>().map(|list| list.0);
        assert_eq!(cpus("0-2,7"), Ok(BTreeSet::from([0, 1, 2, 7])));
        assert_eq!(cpus("3"), Ok(BTreeSet::from([3])));
        for bad in ["", "a", "2-1", "0-", "-1", "1,,2", "0-4000000000"] {
            assert!(cpus(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn windows() {
        let window = |text: &str| text.parse::<Window>().map(|w| (w.from, w.to));
        let ns = TimeArg::Nanoseconds;
        assert_eq!(window("0.01,20ms"), Ok((ns(10_000_000), ns(20_000_000))));
        assert_eq!(window(",@7"), Ok((TimeArg::Boot, TimeArg::Event(7))));
        assert_eq!(window("1"), Ok((ns(1_000_000_000), TimeArg::End)));
        assert!(window("soon,").is_err());
    }
}
