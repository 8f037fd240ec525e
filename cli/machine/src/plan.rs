//! What the arguments mean: the kernel read, the defaults filled in, the scenario checked as far as
//! that needs no machine.

use std::path::PathBuf;

use anyhow::{Context, anyhow, bail};
use emu::{Cycles, Machine, MachineConfig, PolicyKind, Topology};
use trace::image::Image;
use trace::krec::{Manifest, Recording};
use trace::time_arg::TimeArg;

use crate::args::{Policy, ScenarioArgs};
use crate::guest::Guest;
use crate::input::{self, Inputs};
use crate::terminal;

/// Version 1 of the cost model: every instruction is one cycle, and a second has 10^9 of them.
pub const CYCLES_PER_SECOND: u64 = 1_000_000_000;
const COST_MODEL: u32 = 1;
/// The workload of the built-in kernel, unless `--workload` says otherwise.
const DEFAULT_WORKLOAD: &str = "affinity";
/// What a recording of Linux calls what it did.
const INIT: &str = "/init";
/// CPUs of a scenario that says nothing of them.
const DEFAULT_CPUS: u32 = 2;
/// How long a run lasts at most, unless `--until` says otherwise.
const DEFAULT_END: Cycles = Cycles(10 * CYCLES_PER_SECOND);
/// The seed of a policy that draws, unless `--seed` says otherwise: a run without a seed is a run with
/// this one, and the manifest says so.
const DEFAULT_SEED: u64 = 1;

/// A scenario that can be run.
pub struct Scenario {
    /// The machine.
    pub config: MachineConfig,
    /// The kernel and its files.
    pub guest: Guest,
    /// The workload that the kernel is asked for.
    pub workload: String,
    /// When the run ends at the latest.
    pub until: Option<Cycles>,
    /// Whether the guest's console is printed.
    pub console: bool,
    /// What is typed to the guest, and when.
    pub inputs: Inputs,
    /// Whether the user's terminal is the guest's.
    pub at_terminal: bool,
}

impl Scenario {
    /// Reads the kernel and fills in the defaults. Prints warnings.
    pub fn new(args: &ScenarioArgs) -> anyhow::Result<Scenario> {
        let guest = Guest::open(&args.guest)?;
        if args.guest.kernel.is_none()
            && let Some(workload) = &args.workload
        {
            check_workload(guest.image(), workload)?;
        }
        let (workload, command_line) = match guest.is_linux() {
            true => linux(args)?,
            false => ours(args),
        };
        let at_terminal =
            args.console && args.input != Some(PathBuf::from("-")) && terminal::is_there();
        let inputs = args.input.as_deref().map(input::script);
        let inputs = inputs.transpose()?.unwrap_or_default();
        let config = MachineConfig {
            vcpus: cpus(args)?,
            topology: args.topology,
            ram_bytes: u64::from(args.mem) << 20,
            quantum: Cycles(args.quantum),
            policy: policy(args),
            command_line,
            hang_limit: hang_limit(&guest),
            ..MachineConfig::default()
        };
        Ok(Scenario {
            config,
            guest,
            workload,
            until: until(args.until, at_terminal)?,
            console: args.console,
            inputs,
            at_terminal,
        })
    }

    /// The scenario that a recording tells, to execute it again: with what was typed.
    pub fn again(
        recording: &Recording,
        guest: Guest,
        until: Option<Cycles>,
    ) -> anyhow::Result<Scenario> {
        let manifest = recording.manifest();
        let policy = match (manifest.policy.as_str(), manifest.seed) {
            ("round-robin", _) => PolicyKind::RoundRobin,
            ("random", Some(seed)) => PolicyKind::Random { seed },
            (other, _) => bail!(
                "the recording was made with policy `{other}`, which this kreplay does not have"
            ),
        };
        let config = MachineConfig {
            vcpus: manifest.cpus,
            topology: topology(manifest)?,
            ram_bytes: manifest.ram_bytes,
            quantum: Cycles(manifest.quantum),
            ipi_latency: Some(Cycles(manifest.ipi_latency)),
            policy,
            command_line: manifest.command_line.clone(),
            hang_limit: hang_limit(&guest),
        };
        Ok(Scenario {
            config,
            guest,
            workload: manifest.workload.clone(),
            until,
            console: false,
            inputs: input::journal(recording)?,
            at_terminal: false,
        })
    }

    /// A machine in the state it is switched on in.
    pub fn machine(&self) -> anyhow::Result<Machine> {
        match self.guest.machine(&self.config) {
            Ok(mut machine) => {
                for (at, byte) in &self.inputs {
                    machine.type_byte(*at, *byte);
                }
                // After the last byte a guest may wait for more.
                machine.expect_input(self.at_terminal || !self.inputs.is_empty());
                Ok(machine)
            }
            Err(error) if error.kind() == emu::ErrorKind::BadImage => {
                Err(error).with_context(|| format!("cannot boot {}", self.guest.name()))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The kernel's names, for what cannot be done without.
    pub fn image(&self) -> anyhow::Result<&Image> {
        self.guest.image().with_context(|| {
            format!(
                "{} has no names in it: give the vmlinux with its DWARF with --debug",
                self.guest.name()
            )
        })
    }

    /// The policy and its seed, for people.
    pub fn policy_text(&self) -> String {
        match self.config.policy {
            PolicyKind::RoundRobin => "round-robin".to_owned(),
            PolicyKind::Random { seed } => format!("random seed {seed}"),
        }
    }

    /// What a recording of this scenario says about it.
    pub fn manifest(&self, embedded: bool) -> Manifest {
        let (policy, seed) = match self.config.policy {
            PolicyKind::RoundRobin => ("round-robin", None),
            PolicyKind::Random { seed } => ("random", Some(seed)),
        };
        Manifest {
            kreplay: env!("CARGO_PKG_VERSION").to_owned(),
            image: self.guest.image_id(embedded),
            files: self.guest.files().clone(),
            command_line: self.config.command_line.clone(),
            cpus: self.config.vcpus,
            topology: self.config.topology.map(|shape| shape.to_string()),
            ram_bytes: self.config.ram_bytes,
            quantum: self.config.quantum.0,
            ipi_latency: self.config.latency().0,
            cycles_per_second: CYCLES_PER_SECOND,
            policy: policy.to_owned(),
            seed,
            workload: self.workload.clone(),
            until: self.until.map(|cycles| cycles.0),
            cost_model: COST_MODEL,
        }
    }
}

/// The number of CPUs: that of `--smp`, which `--topology` must have too.
fn cpus(args: &ScenarioArgs) -> anyhow::Result<u32> {
    match (args.smp, args.topology) {
        (Some(smp), Some(shape)) if smp != shape.vcpus() => bail!(
            "--smp {smp} and --topology {shape}, which has {} CPUs: give one of them, or both the same number",
            shape.vcpus()
        ),
        (smp, shape) => Ok(smp.or(shape.map(|s| s.vcpus())).unwrap_or(DEFAULT_CPUS)),
    }
}

fn topology(manifest: &Manifest) -> anyhow::Result<Option<Topology>> {
    let shape = manifest.topology.as_deref().map(str::parse::<Topology>);
    shape
        .transpose()
        .map_err(|why| anyhow!("the recording's topology: {why}"))
}

fn policy(args: &ScenarioArgs) -> PolicyKind {
    let kind = match args.policy {
        Policy::RoundRobin => PolicyKind::RoundRobin,
        Policy::Random => PolicyKind::Random {
            seed: args.seed.unwrap_or(DEFAULT_SEED),
        },
    };
    if args.seed.is_some() && !kind.uses_seed() {
        eprintln!(
            "warning: --seed changes nothing: policy round-robin does not draw; try --policy random"
        );
    }
    kind
}

/// Workload and command line of a kernel that speaks ours: the built-in one, and what was made of it.
fn ours(args: &ScenarioArgs) -> (String, String) {
    let workload = args.workload.as_deref().unwrap_or(DEFAULT_WORKLOAD);
    let line = with_more(&format!("workload={workload}"), &args.append);
    (workload.to_owned(), line)
}

/// The command line of an unmodified Linux:
///
/// | words | why |
/// |---|---|
/// | `console=ttyS0 earlyprintk=serial,ttyS0,115200` | the machine's UART is the console, from the first line |
/// | `nokaslr` | the kernel lies where its names say; the loader leaves it no choice anyway |
/// | `mitigations=off nopti` | this CPU does not speculate |
/// | `tsc=reliable` | the TSC is the clock, nothing watches it |
/// | `pci=off` | there is no PCI |
/// | `idle=halt` | an idle CPU halts, and its time is jumped over |
/// | `nowatchdog` | no watchdog threads beside those that are looked at |
/// | `cryptomgr.notests audit=0 apparmor=0` | less boot that has nothing to do with scheduling |
/// | `8250.nr_uarts=1` | one UART is there |
/// | `printk.devkmsg=on` | what init writes to /dev/kmsg comes out whole |
/// | `panic=-1` | a panic ends the run at once |
const LINUX: &str = "console=ttyS0 earlyprintk=serial,ttyS0,115200 nokaslr mitigations=off nopti tsc=reliable \
     pci=off idle=halt nowatchdog cryptomgr.notests audit=0 apparmor=0 8250.nr_uarts=1 \
     printk.devkmsg=on panic=-1";

fn linux(args: &ScenarioArgs) -> anyhow::Result<(String, String)> {
    if args.workload.is_some() {
        bail!(
            "--workload is for the built-in kernel: a Linux does what the /init of its --initrd does"
        );
    }
    Ok((INIT.to_owned(), with_more(LINUX, &args.append)))
}

fn with_more(line: &str, append: &str) -> String {
    match append {
        "" => line.to_owned(),
        append => format!("{line} {append}"),
    }
}

/// How long nothing may happen. Of a kernel without names no task switch is seen, so a process that
/// computes looks like a hang, and is given the time that a run lasts.
fn hang_limit(guest: &Guest) -> Cycles {
    match guest.image() {
        Some(_) => MachineConfig::default().hang_limit,
        None => DEFAULT_END,
    }
}

fn until(arg: Option<TimeArg>, at_terminal: bool) -> anyhow::Result<Option<Cycles>> {
    match arg {
        // Whoever types decides when it is enough.
        None if at_terminal => Ok(None),
        None => Ok(Some(DEFAULT_END)),
        Some(TimeArg::End) => Ok(None),
        Some(TimeArg::Nanoseconds(ns)) if ns > 0 => Ok(Some(Cycles(ns))),
        Some(TimeArg::Nanoseconds(_) | TimeArg::Boot) => {
            bail!("--until 0 would record nothing; give a time after the boot, such as 12.5ms")
        }
        Some(TimeArg::Event(seq)) => bail!(
            "--until @{seq}: the events of a run have no times before it is recorded; give a time, such as 12.5ms"
        ),
    }
}

/// Refuses a workload that the built-in kernel does not have, before anything is written. A kernel
/// given with `--kernel` has its own list and says in its own words (a panic) what it does not know.
fn check_workload(image: Option<&Image>, workload: &str) -> anyhow::Result<()> {
    let names = image.map(workloads).unwrap_or_default();
    if names.iter().any(|name| name == workload) {
        return Ok(());
    }
    match names.split_last() {
        Some((last, [])) => bail!("unknown workload `{workload}`; the built-in kernel has {last}"),
        Some((last, others)) => bail!(
            "unknown workload `{workload}`; the built-in kernel has {} and {last}",
            others.join(", ")
        ),
        None => bail!("unknown workload `{workload}`; the built-in kernel names none"),
    }
}

/// The workloads that a kernel says it has: the NUL-terminated names at its symbol `kreplay_workloads`.
fn workloads(image: &Image) -> Vec<String> {
    let symbol = image
        .address_of("kreplay_workloads")
        .and_then(|addr| image.elf_symbol(addr));
    let bytes = symbol
        .and_then(|symbol| image.bytes_at(trace::event::Addr(symbol.addr), symbol.size as usize))
        .unwrap_or_default();
    bytes
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .collect()
}
