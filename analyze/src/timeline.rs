//! Who ran where: the slices of tasks and stoppers on every CPU in a window of time, and the moves
//! between them. It is what `plot::timeline` draws, which computes nothing.

use trace::event::EventData;
use trace::time_arg::TimeArg;

use crate::Error;
use crate::causal::walk;
use crate::migration::{self, Kind, Move, Path, Phase};
use crate::names;
use crate::report::Footer;
use crate::source::Source;

/// Which stretch of the run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Window {
    /// Around the move that a stopper took longest to bring into the destination's queue; the whole run
    /// if it is short, its first instants if nothing moves.
    Auto,
    /// From one causal time to another, in nanoseconds.
    Between {
        /// The first instant.
        from_ns: u64,
        /// The last.
        to_ns: u64,
    },
}

/// What a CPU does in a slice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Who {
    /// It runs a task.
    Task,
    /// It runs its stopper.
    Stopper,
    /// It has not switched yet: its swapper sets the CPU or the kernel up, which is not being idle.
    Boot,
    /// It has recorded no event yet, and is not the CPU that the machine starts with.
    NotStarted,
}

/// One task on one CPU, without a break.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Slice {
    /// The CPU.
    pub cpu: u32,
    /// When it came, or the begin of the window.
    pub from_ns: u64,
    /// When it left, or the end of the window.
    pub to_ns: u64,
    /// Its pid.
    pub tid: i32,
    /// Its name.
    pub comm: String,
    /// What the CPU does.
    pub who: Who,
}

/// A move whose begin or end lies in the window.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Arrow {
    /// The CPU it left.
    pub src_cpu: u32,
    /// When its CPU changed.
    pub migrate_ns: u64,
    /// The CPU it went to.
    pub dst_cpu: u32,
    /// When it ran there.
    pub end_ns: u64,
    /// The task.
    pub tid: i32,
    /// How.
    pub path: Path,
}

/// The window's contents.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Timeline {
    /// Number of CPUs.
    pub cpus: u32,
    /// The first instant.
    pub from_ns: u64,
    /// The last.
    pub to_ns: u64,
    /// Why this window, in words.
    pub why: String,
    /// Slices, in the order of CPUs and times; a CPU without one is idle.
    pub slices: Vec<Slice>,
    /// Moves of tasks that ran at the destination.
    pub arrows: Vec<Arrow>,
    /// How far to trust the times.
    pub footer: Footer,
}

/// The window that is shown when nobody asked for one is this many times as long as the hand-over in it:
/// begin to queue at the destination. How long a task then waits in the queue says little about moving.
const AUTO_TIMES: u64 = 3;
/// But not shorter than this.
const AUTO_NS_MIN: u64 = 60_000;
/// A run that is not longer than this is shown whole, and so is one without moves.
const WHOLE_NS: u64 = 200_000;

/// The causal time of an instant that a person named.
pub fn resolve(source: &dyn Source, at: TimeArg) -> Result<u64, Error> {
    let wanted = match at {
        TimeArg::Boot => return Ok(0),
        TimeArg::Nanoseconds(ns) => return Ok(ns),
        TimeArg::End => None,
        TimeArg::Event(seq) => Some(seq),
    };
    let mut found = None;
    let walked = walk(source, &mut |event| {
        if Some(event.event.seq) == wanted {
            found = Some(event.time_ns);
        }
        Ok(())
    })?;
    match wanted {
        None => Ok(walked.end_ns),
        Some(seq) => found.ok_or_else(|| {
            let last = walked.events.saturating_sub(1);
            Error::NoSuchTime(format!("there is no event @{seq}: the last is @{last}"))
        }),
    }
}

/// Gathers the slices and moves of a window.
pub fn analyze(source: &dyn Source, window: Window) -> Result<Timeline, Error> {
    let report = migration::analyze(source)?;
    let end_ns = resolve(source, TimeArg::End)?;
    let (from_ns, to_ns, why) = choose(window, &report, end_ns)?;
    let slices = slices(source, from_ns, to_ns)?;
    let arrows = report
        .moves
        .iter()
        .filter(|m| m.kind == Kind::Move && m.ended == migration::Ended::Ran)
        .filter(|m| m.end_ns >= from_ns && migrate_ns(m) <= to_ns)
        .map(|m| Arrow {
            src_cpu: m.src_cpu,
            migrate_ns: migrate_ns(m),
            dst_cpu: m.dst_cpu,
            end_ns: m.end_ns,
            tid: m.tid,
            path: m.path,
        })
        .collect();
    Ok(Timeline {
        cpus: source.info().cpus,
        from_ns,
        to_ns,
        why,
        slices,
        arrows,
        footer: report.footer,
    })
}

fn migrate_ns(m: &Move) -> u64 {
    let before = [Phase::OffSrc, Phase::StopWait, Phase::StopRun];
    m.begin_ns + before.iter().map(|p| m.phases_ns[*p as usize]).sum::<u64>()
}

fn choose(
    window: Window,
    report: &migration::MigrationReport,
    end_ns: u64,
) -> Result<(u64, u64, String), Error> {
    if let Window::Between { from_ns, to_ns } = window {
        return match from_ns < to_ns {
            true => Ok((from_ns, to_ns, "the window asked for".into())),
            false => Err(Error::NoSuchTime(format!(
                "the window ends at {to_ns} ns, which is not after its begin at {from_ns} ns"
            ))),
        };
    }
    if end_ns <= WHOLE_NS {
        return Ok((0, end_ns.max(1), "the whole run".into()));
    }
    let Some(m) = slowest_hand_over(report) else {
        return Ok((0, end_ns, "the whole run, which has no move".into()));
    };
    let hand_over = m.hand_over_ns();
    let length = (hand_over * AUTO_TIMES).max(AUTO_NS_MIN);
    let from_ns = (m.begin_ns + hand_over / 2).saturating_sub(length / 2);
    let task = names::task(&m.comm, m.tid);
    let why = format!(
        "around the slowest hand-over by path {}: {task} from cpu{} to cpu{}, event @{}",
        m.path.name(),
        m.src_cpu,
        m.dst_cpu,
        m.seqs.migrate
    );
    Ok((from_ns, from_ns + length, why))
}

/// By a stopper if it moved any task; the first of equal ones.
fn slowest_hand_over(report: &migration::MigrationReport) -> Option<&Move> {
    let slowest = report.slowest(usize::MAX, Move::hand_over_ns);
    let by_stopper = slowest.iter().find(|m| m.path == Path::Stopper);
    by_stopper.or(slowest.first()).copied()
}

fn slices(source: &dyn Source, from_ns: u64, to_ns: u64) -> Result<Vec<Slice>, Error> {
    // The machine starts with CPU 0 at time 0; the others run from their first event on, at the latest.
    let first = |cpu| swapper(cpu, 0, if cpu == 0 { Who::Boot } else { Who::NotStarted });
    let mut running: Vec<Slice> = (0..source.info().cpus).map(first).collect();
    let mut slices = Vec::new();
    let mut keep = |slice: Slice, end_ns: u64| {
        let idle = slice.tid == 0 && slice.who == Who::Task;
        if slice.from_ns < to_ns && end_ns > from_ns.max(slice.from_ns) && !idle {
            slices.push(Slice {
                from_ns: slice.from_ns.max(from_ns),
                to_ns: end_ns.min(to_ns),
                ..slice
            });
        }
    };
    let walked = walk(source, &mut |event| {
        let cpu = event.event.cpu;
        let now = &mut running[cpu as usize];
        let next = match &event.event.data {
            EventData::SchedSwitch(e) => Slice {
                cpu,
                from_ns: event.time_ns,
                to_ns: event.time_ns,
                tid: e.next_pid,
                who: match names::stopper_cpu(e.next_comm) == Some(cpu) {
                    true => Who::Stopper,
                    false => Who::Task,
                },
                comm: e.next_comm.to_text(),
            },
            _ if now.who == Who::NotStarted => swapper(cpu, event.time_ns, Who::Boot),
            _ => return Ok(()),
        };
        keep(std::mem::replace(now, next), event.time_ns);
        Ok(())
    })?;
    for slice in running {
        keep(slice, walked.end_ns);
    }
    slices.sort_by_key(|slice| (slice.cpu, slice.from_ns));
    Ok(slices)
}

/// A CPU before its first switch.
fn swapper(cpu: u32, from_ns: u64, who: Who) -> Slice {
    Slice {
        cpu,
        from_ns,
        to_ns: from_ns,
        tid: 0,
        comm: format!("swapper/{cpu}"),
        who,
    }
}
