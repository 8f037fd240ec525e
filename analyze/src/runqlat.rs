//! `runqlat`: a histogram of how long tasks waited in a run queue, in the styles of BCC and of bpftrace.
//!
//! The delays are those of `latency` (see `delays`), so their number and their sum are the same. Buckets
//! are powers of two of whole microseconds or milliseconds; BCC shows 0 and 1 as one bucket, bpftrace as
//! two. Both are printed from the same counts.

mod docs;

use std::collections::{BTreeMap, BTreeSet};

use crate::Error;
use crate::causal::walk;
use crate::delays::{Delay, Delays, Wake};
use crate::names::Latest;
use crate::report::{Check, Footer, Report};
use crate::source::Source;
use crate::stats::{self, Sample, Summary};
use crate::table::Kind::{Duration, Event, Instant, Number, Text};
use crate::table::Shown::Everywhere;
use crate::table::{Col, Layout, Table, Value, col};

/// Whose histogram.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum By {
    /// One of all tasks.
    #[default]
    All,
    /// One for each task.
    Pid,
    /// One for each CPU that tasks waited for.
    Cpu,
}

/// How it looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Style {
    /// `0 -> 1`, `2 -> 3`, `4 -> 7`, and asterisks.
    #[default]
    Bcc,
    /// `[0]`, `[1]`, `[2, 4)`, `[1K, 2K)`, and at signs.
    Bpftrace,
}

/// The unit of the buckets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Unit {
    /// Whole microseconds.
    #[default]
    Usecs,
    /// Whole milliseconds.
    Msecs,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Unit::Usecs => "usecs",
            Unit::Msecs => "msecs",
        }
    }

    fn ns(self) -> u64 {
        match self {
            Unit::Usecs => 1_000,
            Unit::Msecs => 1_000_000,
        }
    }
}

/// What to show.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// Whose histograms.
    pub by: By,
    /// How they look.
    pub style: Style,
    /// The unit.
    pub unit: Unit,
    /// Only delays of these tasks.
    pub pids: Option<BTreeSet<i32>>,
    /// Where a delay begins.
    pub wake: Wake,
}

/// Delays of one histogram: how many have each number of significant bits (0 for 0, 1 for 1, 2 for 2
/// and 3, ...).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Histogram {
    /// The pid or the CPU that it is of.
    pub key: Option<i64>,
    /// Name of the task that it is of.
    pub comm: Option<String>,
    /// Counts by the bits of the value.
    pub bits: [u64; 65],
    /// Sum of the delays.
    pub total_ns: u64,
    /// Count, percentiles and maximum of the delays.
    pub summary: Summary,
    /// CPU of the maximum.
    pub max_cpu: Option<u32>,
}

/// A bucket as a row.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Bucket {
    key: Option<i64>,
    comm: Option<String>,
    unit: &'static str,
    low: u64,
    high: u64,
    count: u64,
}

/// The histograms of a recording.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RunqlatReport {
    /// In the order of pids or CPUs.
    pub histograms: Vec<Histogram>,
    options: Options,
    title: String,
    footer: Footer,
}

/// Counts every delay of a recording.
pub fn analyze(source: &dyn Source, options: &Options) -> Result<RunqlatReport, Error> {
    let info = source.info();
    let mut delays = Delays::new(options.wake);
    let mut names = Latest::default();
    let mut groups: BTreeMap<Option<i64>, Vec<Delay>> = BTreeMap::new();
    let walked = walk(source, &mut |event| {
        names.push(event.event);
        if let Some(delay) = delays.push(event)
            && options
                .pids
                .as_ref()
                .is_none_or(|pids| pids.contains(&delay.pid))
        {
            let key = match options.by {
                By::All => None,
                By::Pid => Some(delay.pid.into()),
                By::Cpu => Some(delay.cpu.into()),
            };
            groups.entry(key).or_default().push(delay);
        }
        Ok(())
    })?;
    let histograms = groups
        .into_iter()
        .map(|(key, delays)| histogram(key, &delays, options, &names))
        .collect();
    Ok(RunqlatReport {
        histograms,
        options: options.clone(),
        title: format!("runqlat: {}", info.name),
        footer: Footer::new(info, &walked),
    })
}

fn histogram(key: Option<i64>, delays: &[Delay], options: &Options, names: &Latest) -> Histogram {
    let mut bits = [0; 65];
    for delay in delays {
        let value = delay.ns() / options.unit.ns();
        bits[(u64::BITS - value.leading_zeros()) as usize] += 1;
    }
    let summary = stats::summarize(delays.iter().map(|delay| Sample {
        value_ns: delay.ns(),
        time_ns: delay.to.0,
        seq: delay.to.1,
    }));
    let max = summary.max;
    let is_max = |delay: &&Delay| max.is_some_and(|max| delay.to.1 == max.seq);
    Histogram {
        key,
        comm: match (options.by, delays.first()) {
            (By::Pid, Some(delay)) => Some(names.of(delay.pid)),
            _ => None,
        },
        bits,
        total_ns: delays.iter().map(Delay::ns).sum(),
        summary,
        max_cpu: delays.iter().find(is_max).map(|delay| delay.cpu),
    }
}

impl Histogram {
    /// The buckets from the first to the last that has a delay: lowest and highest value, and count.
    pub fn buckets(&self, style: Style) -> Vec<(u64, u64, u64)> {
        let bounds = |bits: usize| match bits {
            0 => (0, 0),
            bits => (1 << (bits - 1), u64::MAX >> (64 - bits)),
        };
        let mut buckets: Vec<(u64, u64, u64)> = self
            .bits
            .iter()
            .enumerate()
            .map(|(bits, count)| (bounds(bits).0, bounds(bits).1, *count))
            .collect();
        if style == Style::Bcc {
            let zero = buckets.remove(0);
            buckets[0] = (0, 1, zero.2 + buckets[0].2);
        }
        let last = buckets.iter().rposition(|(.., count)| *count > 0);
        // BCC begins at 0, bpftrace at the first bucket that is not empty.
        let first = match style {
            Style::Bcc => Some(0),
            Style::Bpftrace => buckets.iter().position(|(.., count)| *count > 0),
        };
        match (first, last) {
            (Some(first), Some(last)) => buckets[first..=last].to_vec(),
            _ => Vec::new(),
        }
    }

    fn lines(&self, options: &Options) -> Vec<String> {
        let buckets = self.buckets(options.style);
        let most = buckets.iter().map(|(.., count)| *count).max().unwrap_or(0);
        let mut lines: Vec<String> = buckets
            .iter()
            .map(|(low, high, count)| match options.style {
                Style::Bcc => bcc_line(*low, *high, *count, most),
                Style::Bpftrace => bpftrace_line(*low, *high, *count, most),
            })
            .collect();
        if let Some(first) = lines.first_mut() {
            *first = format!("{}{first}", self.head(options));
        }
        lines
    }

    /// What comes before the first bucket.
    fn head(&self, options: &Options) -> String {
        let what = match options.by {
            By::All => None,
            By::Pid => Some("pid"),
            By::Cpu => Some("cpu"),
        };
        let unit = options.unit.name();
        match (options.style, what.zip(self.key)) {
            (Style::Bcc, section) => {
                let name = self
                    .comm
                    .as_ref()
                    .map_or(String::new(), |comm| format!(" {comm}"));
                let section = section.map(|(what, key)| format!("\n{what} = {key}{name}\n"));
                let head = format!("     {unit:<19} : count     distribution\n");
                section.unwrap_or_default() + &head
            }
            (Style::Bpftrace, Some((_, key))) => match &self.comm {
                Some(comm) => format!("\n@{unit}[{key}, {comm}]:\n"),
                None => format!("\n@{unit}[{key}]:\n"),
            },
            (Style::Bpftrace, None) => format!("@{unit}:\n"),
        }
    }
}

fn bcc_line(low: u64, high: u64, count: u64, most: u64) -> String {
    format!(
        "{low:>10} -> {high:<10} : {count:<8} |{:<40}|",
        bar('*', 40, count, most)
    )
}

fn bpftrace_line(low: u64, high: u64, count: u64, most: u64) -> String {
    let range = match low {
        0 | 1 => format!("[{low}]"),
        low => format!("[{}, {})", short(low), short(high.saturating_add(1))),
    };
    format!("{range:<16}{count:>8} |{:<52}|", bar('@', 52, count, most))
}

/// A part of the longest bar, cut to whole characters.
fn bar(mark: char, width: u64, count: u64, most: u64) -> String {
    let length = u128::from(count) * u128::from(width) / u128::from(most.max(1));
    std::iter::repeat_n(mark, length as usize).collect()
}

/// A power of two with the letter of its thousand (of 1,024).
fn short(value: u64) -> String {
    let power = u64::BITS - 1 - value.max(1).leading_zeros();
    let letter = ["", "K", "M", "G", "T", "P", "E"][power as usize / 10];
    format!("{}{letter}", value >> (power / 10 * 10))
}

const BUCKETS: &[Col<Bucket>] = &[
    col("key", "key", Number, Everywhere, |b| b.key.into()),
    col("comm", "task", Text, Everywhere, |b| b.comm.clone().into()),
    col("unit", "unit", Text, Everywhere, |b| b.unit.into()),
    col("low", "low", Number, Everywhere, |b| b.low.into()),
    col("high", "high", Number, Everywhere, |b| b.high.into()),
    col("count", "count", Number, Everywhere, |b| b.count.into()),
];

const DELAYS: &[Col<Histogram>] = &[
    col("key", "key", Number, Everywhere, |h| match h.key {
        Some(key) => key.into(),
        None => Value::Null,
    }),
    col("comm", "task", Text, Everywhere, |h| h.comm.clone().into()),
    col("count", "count", Number, Everywhere, |h| {
        h.summary.count.into()
    }),
    col("total_ns", "total(us)", Duration, Everywhere, |h| {
        h.total_ns.into()
    }),
    col("p50_ns", "p50(us)", Duration, Everywhere, |h| {
        h.summary.p50_ns.into()
    }),
    col("p90_ns", "p90(us)", Duration, Everywhere, |h| {
        h.summary.p90_ns.into()
    }),
    col("p99_ns", "p99(us)", Duration, Everywhere, |h| {
        h.summary.p99_ns.into()
    }),
    col("max_ns", "max(us)", Duration, Everywhere, |h| {
        h.summary.max.map(|max| max.value_ns).into()
    }),
    col("max_time_ns", "max at(s)", Instant, Everywhere, |h| {
        h.summary.max.map(|max| max.time_ns).into()
    }),
    col("max_seq", "event", Event, Everywhere, |h| {
        h.summary.max.map(|max| max.seq).into()
    }),
    col("max_cpu", "cpu", Number, Everywhere, |h| h.max_cpu.into()),
];

impl RunqlatReport {
    /// The tables, the check and the footer.
    pub fn report(&self) -> Report {
        let unit = self.options.unit;
        let rows: Vec<Bucket> = self
            .histograms
            .iter()
            .flat_map(|h| {
                let bucket = |(low, high, count)| Bucket {
                    key: h.key,
                    comm: h.comm.clone(),
                    unit: unit.name(),
                    low,
                    high,
                    count,
                };
                h.buckets(self.options.style).into_iter().map(bucket)
            })
            .collect();
        let layout = Layout {
            lines: self
                .histograms
                .iter()
                .flat_map(|h| h.lines(&self.options))
                .collect(),
            ..Layout::default()
        };
        let counted: u64 = rows.iter().map(|row| row.count).sum();
        let delays: u64 = self.histograms.iter().map(|h| h.summary.count).sum();
        Report {
            title: self.title.clone(),
            tables: vec![
                Table::new(
                    "runqlat",
                    "run queue latency: runnable until running",
                    BUCKETS,
                    &rows,
                )
                .with_docs(docs::BUCKETS)
                .with_layout(layout),
                Table::new("delays", "the delays behind it", DELAYS, &self.histograms)
                    .with_docs(docs::DELAYS),
            ],
            notes: vec![
                format!(
                    "a delay begins at {}, sched_wakeup_new or a preemption, and ends at the switch to the task",
                    self.options.wake.event()
                ),
                stats::TOO_FEW.to_owned(),
            ],
            checks: vec![Check {
                name: "the buckets have every delay",
                holds: counted == delays,
                detail: format!("{counted} of {delays} delays"),
            }],
            footer: self.footer.clone(),
        }
    }
}
