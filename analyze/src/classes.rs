//! `classes`: where the time of every CPU went, by scheduling class.
//!
//! From power-on to the end of the run every nanosecond of a CPU belongs to one column: the class of its
//! current task; *boot* while it has not switched yet (its idle task sets it up, which is not being idle);
//! *before* until its first event, which only the CPUs have that the first one starts. So a row sums to
//! wall time exactly, and its instructions to those that the CPU has retired; both are checked against the
//! machine's own clocks and counts where the recording has its end. Interrupts count for the task they
//! interrupt.

mod docs;

use trace::event::EventData;

use crate::Error;
use crate::causal::{Stamped, walk};
use crate::class::{Class, Classes};
use crate::report::{Check, Footer, Report};
use crate::source::Source;
use crate::table::Kind::{Duration, Number, Text};
use crate::table::Shown::{Everywhere, Machine};
use crate::table::{Col, Table, Value, col};

/// What a CPU's time goes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Use {
    Class(Class),
    Boot,
    Before,
}

impl Use {
    fn index(self) -> usize {
        match self {
            Use::Class(class) => class as usize,
            Use::Boot => 5,
            Use::Before => 6,
        }
    }
}

/// Columns of time: the five classes, boot, before.
const USES: usize = 7;

/// One CPU.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CpuClasses {
    /// The CPU; none in the row of all of them.
    pub cpu: Option<u32>,
    /// Time by class, then boot, then before the first event.
    pub ns: [u64; USES],
    /// Instructions in it.
    pub insns: [u64; USES],
    /// Switches to a task of each class.
    pub switches: [u64; 5],
}

impl CpuClasses {
    fn new(cpu: Option<u32>) -> CpuClasses {
        CpuClasses {
            cpu,
            ns: [0; USES],
            insns: [0; USES],
            switches: [0; 5],
        }
    }

    /// Time of a class.
    pub fn class_ns(&self, class: Class) -> u64 {
        self.ns[class as usize]
    }

    /// Time while the CPU had not switched yet.
    pub fn boot_ns(&self) -> u64 {
        self.ns[Use::Boot.index()]
    }

    /// Time before the CPU's first event.
    pub fn before_ns(&self) -> u64 {
        self.ns[Use::Before.index()]
    }

    /// All of it.
    pub fn wall_ns(&self) -> u64 {
        self.ns.iter().sum()
    }

    fn busy_ns(&self) -> u64 {
        self.ns[..4].iter().sum()
    }

    /// Busy part of the time since the CPU's first switch, in hundredths of a percent, cut.
    fn busy_per_10000(&self) -> Option<u64> {
        let since = self.busy_ns() + self.class_ns(Class::Idle);
        (self.busy_ns() * 10_000).checked_div(since)
    }
}

/// All CPUs of a recording.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClassesReport {
    /// In their order.
    pub cpus: Vec<CpuClasses>,
    /// What was checked.
    pub checks: Vec<Check>,
    whole: bool,
    title: String,
    footer: Footer,
}

/// What a CPU does now, and since when.
#[derive(Clone, Copy, Debug)]
struct Now {
    what: Use,
    since_ns: u64,
    since_insns: u64,
    current: Option<i32>,
}

struct Tracker {
    classes: Classes,
    cpus: Vec<CpuClasses>,
    now: Vec<Now>,
    switches: u64,
    bugs: u64,
}

impl Tracker {
    fn push(&mut self, event: &Stamped<'_>) {
        let e = event.event;
        let now = self.now[e.cpu as usize];
        if now.what == Use::Before {
            // Its instructions until here are those of its boot; only the time before is not known to be.
            self.turn(e.cpu, Use::Boot, event.time_ns, 0, None);
        }
        if let EventData::SchedSwitch(s) = &e.data {
            self.switches += 1;
            self.bugs += u64::from(now.current.is_some_and(|pid| pid != s.prev_pid));
            let class = self.classes.of(s.next_pid, s.next_comm, s.next_prio);
            self.turn(
                e.cpu,
                Use::Class(class),
                event.time_ns,
                e.insns,
                Some(s.next_pid),
            );
            self.cpus[e.cpu as usize].switches[class as usize] += 1;
        }
    }

    /// From here on the CPU does something else.
    fn turn(&mut self, cpu: u32, what: Use, time_ns: u64, insns: u64, current: Option<i32>) {
        let now = &mut self.now[cpu as usize];
        let row = &mut self.cpus[cpu as usize];
        row.ns[now.what.index()] += time_ns - now.since_ns;
        row.insns[now.what.index()] += insns - now.since_insns;
        *now = Now {
            what,
            since_ns: time_ns,
            since_insns: insns,
            current,
        };
    }
}

/// Adds up the time of every CPU.
pub fn analyze(source: &dyn Source) -> Result<ClassesReport, Error> {
    let info = source.info();
    let start = |cpu| Now {
        // The machine starts with CPU 0 at time 0.
        what: if cpu == 0 { Use::Boot } else { Use::Before },
        since_ns: 0,
        since_insns: 0,
        current: None,
    };
    let mut tracker = Tracker {
        classes: Classes::new(source),
        cpus: (0..info.cpus)
            .map(|cpu| CpuClasses::new(Some(cpu)))
            .collect(),
        now: (0..info.cpus).map(start).collect(),
        switches: 0,
        bugs: 0,
    };
    // The last instruction count of each CPU, for a recording without its end.
    let mut insns = vec![0; info.cpus as usize];
    let walked = walk(source, &mut |event| {
        insns[event.event.cpu as usize] = event.event.insns;
        tracker.push(event);
        Ok(())
    })?;
    let end = source.end();
    let clock_ns = end.map_or(0, |end| info.ns(end.cycles));
    let wall_ns = clock_ns.max(walked.end_ns);
    for cpu in 0..info.cpus {
        let at = cpu as usize;
        let retired = end.and_then(|end| end.cpu_insns.get(at)).copied();
        let last = retired.unwrap_or(insns[at]).max(insns[at]);
        let now = tracker.now[at];
        tracker.turn(cpu, now.what, wall_ns, last, now.current);
    }
    let checks = checks(&tracker, wall_ns, end.map(|end| end.cpu_insns.as_slice()));
    Ok(ClassesReport {
        cpus: tracker.cpus,
        checks,
        whole: end.is_some(),
        title: format!("classes: {}", info.name),
        footer: Footer::new(info, &walked),
    })
}

fn checks(tracker: &Tracker, wall_ns: u64, retired: Option<&[u64]>) -> Vec<Check> {
    let walls: Vec<u64> = tracker.cpus.iter().map(CpuClasses::wall_ns).collect();
    let good = walls.iter().filter(|wall| **wall == wall_ns).count();
    let mut checks = vec![
        Check {
            name: "the columns of every CPU sum to wall time",
            holds: good == walls.len(),
            detail: format!("{good} of {} CPUs, {wall_ns} ns each", walls.len()),
        },
        Check {
            name: "who leaves a CPU is who came in at the switch before",
            holds: tracker.bugs == 0,
            detail: format!(
                "{} of {} switches",
                tracker.switches - tracker.bugs,
                tracker.switches
            ),
        },
    ];
    if let Some(retired) = retired {
        let sums: Vec<u64> = tracker
            .cpus
            .iter()
            .map(|cpu| cpu.insns.iter().sum())
            .collect();
        checks.push(Check {
            name: "the instructions of every CPU sum to those that it has retired",
            holds: sums == retired,
            detail: format!(
                "{} of {}",
                sums.iter().sum::<u64>(),
                retired.iter().sum::<u64>()
            ),
        });
    }
    checks
}

macro_rules! times {
    ($($key:literal, $insns:literal, $switches:literal, $head:literal, $class:ident;)*) => {
        const COLUMNS: &[Col<CpuClasses>] = &[
            col("cpu", "cpu", Text, Everywhere, |c| match c.cpu {
                Some(cpu) => cpu.to_string().into(),
                None => "all".into(),
            }),
            col("wall_ns", "wall(us)", Duration, Everywhere, |c| c.wall_ns().into()),
            $(col($key, $head, Duration, Everywhere, |c| c.class_ns(Class::$class).into()),)*
            col("boot_ns", "boot", Duration, Everywhere, |c| c.boot_ns().into()),
            col("before_ns", "before", Duration, Everywhere, |c| c.before_ns().into()),
            col("busy", "busy", Text, crate::table::Shown::Text, |c| match c.busy_per_10000() {
                Some(part) => format!("{}.{:02}%", part / 100, part % 100).into(),
                None => Value::Null,
            }),
            $(col($switches, "", Number, Machine, |c| c.switches[Class::$class as usize].into()),)*
            $(col($insns, "", Number, Machine, |c| c.insns[Class::$class as usize].into()),)*
            col("boot_insns", "", Number, Machine, |c| c.insns[Use::Boot.index()].into()),
        ];
    };
}

times! {
    "stop_ns", "stop_insns", "stop_switches", "stop", Stop;
    "dl_ns", "dl_insns", "dl_switches", "dl", Dl;
    "rt_ns", "rt_insns", "rt_switches", "rt", Rt;
    "fair_ns", "fair_insns", "fair_switches", "fair", Fair;
    "idle_ns", "idle_insns", "idle_switches", "idle", Idle;
}

struct Share {
    class: Class,
    ns: u64,
    insns: u64,
    switches: u64,
}

const SHARES: &[Col<Share>] = &[
    col("class", "class", Text, Everywhere, |s| {
        s.class.name().into()
    }),
    col("time_ns", "time(us)", Duration, Everywhere, |s| s.ns.into()),
    col("insns", "insns", Number, Everywhere, |s| s.insns.into()),
    col("switches", "switches to it", Number, Everywhere, |s| {
        s.switches.into()
    }),
];

impl ClassesReport {
    /// The rows, the sums, the checks and the footer.
    pub fn report(&self) -> Report {
        let mut all = CpuClasses::new(None);
        for cpu in &self.cpus {
            let add = |sums: &mut [u64], parts: &[u64]| {
                for (sum, part) in sums.iter_mut().zip(parts) {
                    *sum += part;
                }
            };
            add(&mut all.ns, &cpu.ns);
            add(&mut all.insns, &cpu.insns);
            add(&mut all.switches, &cpu.switches);
        }
        let shares: Vec<Share> = Class::ALL
            .into_iter()
            .map(|class| Share {
                class,
                ns: all.class_ns(class),
                insns: all.insns[class as usize],
                switches: all.switches[class as usize],
            })
            .collect();
        let mut rows = self.cpus.clone();
        rows.push(all);
        let until = match self.whole {
            true => "power-on to the end of the run",
            false => "power-on to the last event, for the recording has no end",
        };
        Report {
            title: self.title.clone(),
            tables: vec![
                Table::new(
                    "classes",
                    format!("time of each CPU by scheduling class, {until}"),
                    COLUMNS,
                    &rows,
                )
                .with_docs(docs::CPUS),
                Table::new("shares", "all CPUs together", SHARES, &shares).with_docs(docs::SHARES),
            ],
            notes: vec![
                "boot: until the CPU's first switch; before: until its first event, when the first CPU had not \
                 started it; busy: of the time since its first switch"
                    .to_owned(),
            ],
            checks: self.checks.clone(),
            footer: self.footer.clone(),
        }
    }
}
