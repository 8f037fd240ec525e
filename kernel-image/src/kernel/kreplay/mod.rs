//! Ours: what Linux has user space for. Workloads, chosen on the kernel command line with `workload=`, and
//! counters that the tracer reads at the end of a run.

pub mod affinity;
pub mod balance;
pub mod common;
pub mod counters;
pub mod cyclictest;
pub mod deadline;
pub mod fair;
pub mod forkexec;
pub mod hackbench;
pub mod hotplug;
pub mod idle;
pub mod kunit;
pub mod pipe;
pub mod rcutorture;
pub mod rt;
pub mod schbench;
pub mod stopstorm;
pub mod table;
pub mod timers;

use crate::fs::exec::begin_new_exec;
use crate::kernel::params::param;
use core::ops::RangeInclusive;

/// A workload: runs as pid 1 and returns when it is done.
///
/// One with threads of its own calls [`table::show_tasks`] while they are all there.
struct Workload {
    name: &'static str,
    run: fn(),
}

macro_rules! workloads {
    ($($name:literal $run:path,)*) => {
        const NAMES: &str = concat!($($name, "\0"),*);

        /// All of them; the first is the default.
        static WORKLOADS: &[Workload] = &[$(Workload { name: $name, run: $run },)*];
    };
}
workloads! {
    "affinity" affinity::run,
    "balance" balance::run,
    "cyclictest" cyclictest::run,
    "deadline" deadline::run,
    "fair" fair::run,
    "hotplug" hotplug::run,
    "forkexec" forkexec::run,
    "hackbench" hackbench::run,
    "idle" idle::run,
    "kunit" kunit::run,
    "lkdtm" crate::drivers::misc::lkdtm::run,
    "rcutorture" rcutorture::run,
    "rt" rt::run,
    "schbench" schbench::run,
    "stopstorm" stopstorm::run,
    "timers" timers::run,
}

/// Their names, NUL-terminated: a tool that starts this kernel finds out what it may ask for.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[used]
pub static kreplay_workloads: [u8; NAMES.len()] = {
    let mut bytes = [0; NAMES.len()];
    bytes.copy_from_slice(NAMES.as_bytes());
    bytes
};

/// Runs the workload of the command line; a name that is not known ends the boot.
pub fn run_workload() {
    let name = param("workload");
    let chosen = match name {
        None => Some(&WORKLOADS[0]),
        Some(name) => WORKLOADS.iter().find(|workload| name.is(workload.name)),
    };
    match (chosen, name) {
        (Some(workload), _) => {
            crate::pr_info!("Run workload {} as init process", workload.name);
            begin_new_exec("init");
            (workload.run)();
        }
        (None, name) => crate::kernel::panic::panic(format_args!(
            "unknown workload \"{}\"; the known ones are: {KnownNames}",
            name.as_ref()
                .map_or(&"" as &dyn core::fmt::Display, |name| name)
        )),
    }
}

/// A parameter of a workload; one that is no number, or out of range, ends the boot.
fn workload_param(name: &str, default: u64, allowed: RangeInclusive<u64>) -> u64 {
    let Some(text) = param(name) else {
        return default;
    };
    match text.as_u64() {
        Some(value) if allowed.contains(&value) => value,
        _ => crate::kernel::panic::panic(format_args!(
            "{name}={text}: not a number from {} to {}",
            allowed.start(),
            allowed.end()
        )),
    }
}

struct KnownNames;

impl core::fmt::Display for KnownNames {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for (index, workload) in WORKLOADS.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            f.write_str(workload.name)?;
        }
        Ok(())
    }
}
