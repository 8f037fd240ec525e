//! What the arguments mean: the kernel read, the defaults filled in, the scenario checked as far as
//! that needs no machine.

use std::borrow::Cow;
use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use emu::{Cycles, MachineConfig, PolicyKind};
use trace::image::Image;
use trace::krec::Manifest;
use trace::time_arg::TimeArg;

use crate::args::{Policy, ScenarioArgs};
use crate::builtin;

/// Version 1 of the cost model: every instruction is one cycle, and a second has 10^9 of them.
pub const CYCLES_PER_SECOND: u64 = 1_000_000_000;
const COST_MODEL: u32 = 1;
/// The workloads of the built-in kernel (`kernel-image/src/kernel/kreplay`).
const WORKLOADS: [&str; 2] = ["affinity", "idle"];
/// How long a run lasts at most, unless `--until` says otherwise.
const DEFAULT_END: Cycles = Cycles(10 * CYCLES_PER_SECOND);
/// The seed of a policy that draws, unless `--seed` says otherwise: a run without a seed is a run with
/// this one, and the manifest says so.
const DEFAULT_SEED: u64 = 1;

/// A scenario that can be run.
pub struct Scenario {
    /// The machine.
    pub config: MachineConfig,
    /// The kernel's ELF file.
    pub elf: Cow<'static, [u8]>,
    /// Its names, lines and types.
    pub image: Image,
    /// The workload that the kernel is asked for.
    pub workload: String,
    /// When the run ends at the latest.
    pub until: Option<Cycles>,
    /// Whether the guest's console is printed.
    pub console: bool,
}

impl Scenario {
    /// Reads the kernel and fills in the defaults. Prints warnings.
    pub fn new(args: &ScenarioArgs) -> anyhow::Result<Scenario> {
        if args.kernel.is_none() {
            check_workload(&args.workload)?;
        }
        let (elf, image) = kernel(args.kernel.as_deref())?;
        let config = MachineConfig {
            vcpus: args.smp,
            ram_bytes: u64::from(args.mem) << 20,
            quantum: Cycles(args.quantum),
            policy: policy(args),
            command_line: command_line(&args.workload, &args.append),
            ..MachineConfig::default()
        };
        Ok(Scenario {
            config,
            elf,
            image,
            workload: args.workload.clone(),
            until: until(args.until)?,
            console: args.console,
        })
    }

    /// The scenario that a recording's manifest tells, to execute it again.
    pub fn again(
        manifest: &Manifest,
        elf: Vec<u8>,
        until: Option<Cycles>,
    ) -> anyhow::Result<Scenario> {
        let image = Image::parse("the recording's image", &elf)?;
        if trace::krec::hex(image.sha256()) != manifest.image.sha256 {
            bail!(
                "this kernel is not the one that was recorded: SHA-256 {} and not {}; give the recorded one with --kernel",
                trace::krec::hex(image.sha256()),
                manifest.image.sha256
            );
        }
        let policy = match (manifest.policy.as_str(), manifest.seed) {
            ("round-robin", _) => PolicyKind::RoundRobin,
            ("random", Some(seed)) => PolicyKind::Random { seed },
            (other, _) => bail!(
                "the recording was made with policy `{other}`, which this kreplay does not have"
            ),
        };
        let config = MachineConfig {
            vcpus: manifest.cpus,
            ram_bytes: manifest.ram_bytes,
            quantum: Cycles(manifest.quantum),
            ipi_latency: Some(Cycles(manifest.ipi_latency)),
            policy,
            command_line: manifest.command_line.clone(),
            ..MachineConfig::default()
        };
        Ok(Scenario {
            config,
            elf: Cow::Owned(elf),
            image,
            workload: manifest.workload.clone(),
            until,
            console: false,
        })
    }

    /// Whether a machine for this scenario can be made, before any file is touched.
    pub fn check(&self) -> anyhow::Result<()> {
        match emu::Machine::new(&self.config, &self.elf) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == emu::ErrorKind::BadImage => {
                Err(error).with_context(|| format!("cannot boot {}", self.image.name()))
            }
            Err(error) => Err(error.into()),
        }
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
            image: trace::krec::ImageId {
                build_id: self.image.build_id().map(str::to_owned),
                sha256: trace::krec::hex(self.image.sha256()),
                size: self.image.size(),
                embedded,
            },
            command_line: self.config.command_line.clone(),
            cpus: self.config.vcpus,
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

/// The kernel named, or the built-in one.
pub fn kernel(path: Option<&Path>) -> anyhow::Result<(Cow<'static, [u8]>, Image)> {
    match path {
        None => {
            let image = Image::parse("the built-in kernel", builtin::VMLINUX)?;
            Ok((Cow::Borrowed(builtin::VMLINUX), image))
        }
        Some(path) => {
            let elf = fs::read(path)
                .with_context(|| format!("cannot read the kernel {}", path.display()))?;
            let image = Image::parse(&path.display().to_string(), &elf)?;
            Ok((Cow::Owned(elf), image))
        }
    }
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

fn command_line(workload: &str, append: &str) -> String {
    let mut line = format!("workload={workload}");
    if !append.is_empty() {
        line.push(' ');
        line.push_str(append);
    }
    line
}

fn until(arg: Option<TimeArg>) -> anyhow::Result<Option<Cycles>> {
    match arg {
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
fn check_workload(workload: &str) -> anyhow::Result<()> {
    if !WORKLOADS.contains(&workload) {
        bail!(
            "unknown workload `{workload}`; the built-in kernel has {}",
            WORKLOADS.join(" and ")
        );
    }
    Ok(())
}
