//! How the default events are found in a kernel: by the built-in kernel's static tracepoints, or by
//! probes on the functions of an unmodified Linux.
//!
//! Both say which addresses are watched, what is recorded at each, and what the arguments of the event
//! are there. The recorder asks for nothing else.

use emu::{Reg, Site};
use trace::event::Addr;
use trace::image::{Image, Location};
use trace::target::Unreadable;
use trace::value::argument;

use crate::error::LiveError;
use crate::functions::Functions;
use crate::hooks::{FUNCTIONS, Hook, Returning, TRACEPOINTS};
use crate::milestones;
use crate::view::CpuTarget;

/// The most arguments that an event is made of.
pub const ARGUMENTS: usize = 6;

/// The registers that the System V ABI passes arguments in, and that a static tracepoint has its own in.
const ABI: [Reg; ARGUMENTS] = [Reg::Rdi, Reg::Rsi, Reg::Rdx, Reg::Rcx, Reg::R8, Reg::R9];

/// The arguments of an event at a hit.
pub enum Arguments {
    /// Still in the registers of the ABI.
    Registers,
    /// Read already.
    Values([u64; ARGUMENTS]),
}

impl Arguments {
    /// Argument `index`.
    pub fn get(&self, target: &CpuTarget<'_, '_>, index: usize) -> u64 {
        match self {
            Arguments::Registers => target.cpu.reg(ABI[index]),
            Arguments::Values(values) => values[index],
        }
    }
}

/// How the default events are found in one kernel.
pub enum Source {
    /// Section `.tracepoints`, and a few functions by their names.
    Tracepoints(Box<Tracepoints>),
    /// Functions found through DWARF.
    Functions(Box<Functions>),
}

/// An address to watch, and what for.
pub type Place = (Addr, Site, Hook);

impl Source {
    /// The way that fits `image`: one that declares no tracepoint of ours but has the stopper of Linux is
    /// probed by its functions.
    pub fn of(image: &Image) -> Result<Source, LiveError> {
        match Source::is_linux(image) {
            true => Functions::of(image).map(|found| Source::Functions(Box::new(found))),
            false => Ok(Source::Tracepoints(Box::new(Tracepoints::of(image)))),
        }
    }

    /// Whether `image` is an unmodified Linux.
    pub fn is_linux(image: &Image) -> bool {
        image.tracepoints().is_empty() && image.address_of("__per_cpu_offset").is_some()
    }

    /// The addresses to watch.
    pub fn places(&self) -> Vec<Place> {
        match self {
            Source::Tracepoints(tracepoints) => tracepoints.places.clone(),
            Source::Functions(functions) => functions.places().collect(),
        }
    }

    /// The events that this kernel has no place for, and what was looked for.
    pub fn missing(&self) -> &[String] {
        match self {
            Source::Tracepoints(tracepoints) => &tracepoints.missing,
            Source::Functions(functions) => functions.missing(),
        }
    }

    /// The arguments of the event of `hook` at a hit; `None` where the place turns out not to be one.
    pub fn arguments(
        &self,
        target: &CpuTarget<'_, '_>,
        site: Site,
        hook: Hook,
    ) -> Result<Option<Arguments>, Unreadable> {
        match self {
            Source::Tracepoints(tracepoints) => tracepoints.arguments(target, hook).map(Some),
            Source::Functions(functions) => functions
                .arguments(target, site)
                .map(|values| values.map(Arguments::Values)),
        }
    }
}

/// The built-in kernel's own places.
pub struct Tracepoints {
    places: Vec<Place>,
    missing: Vec<String>,
    affinity: [Option<Location>; 2],
    activate: Option<Location>,
    fallback: [Option<Location>; 2],
}

impl Tracepoints {
    fn of(image: &Image) -> Tracepoints {
        let (mut places, mut missing) = (Vec::new(), Vec::new());
        for (name, hook) in TRACEPOINTS {
            let sites = image.tracepoints().iter().filter(|site| site.name == *name);
            let before = places.len();
            places.extend(sites.map(|site| (site.addr, Site::Instruction, *hook)));
            if places.len() == before {
                missing.push(format!("tracepoint:{name}"));
            }
        }
        for (name, hook) in FUNCTIONS {
            match image.address_of(name) {
                Some(entry) => places.push((entry, Site::Block, *hook)),
                None => missing.push(format!("kprobe:{name}")),
            }
        }
        places.extend(milestones::places(image));
        let argument = |function: &str, index| {
            let functions = image.functions_named(function);
            let by_dwarf = functions.first().and_then(|f| f.argument(index));
            by_dwarf.or_else(|| trace::image::abi_argument(index))
        };
        Tracepoints {
            places,
            missing,
            affinity: [0, 1].map(|index| argument("__set_cpus_allowed_ptr", index)),
            activate: argument("activate_task", 1),
            fallback: [0, 1].map(|index| argument("select_fallback_rq", index)),
        }
    }

    fn arguments(&self, target: &CpuTarget<'_, '_>, hook: Hook) -> Result<Arguments, Unreadable> {
        let read = |location: Option<Location>| match location {
            Some(location) => argument(target, location),
            None => Err(Unreadable(Addr(0))),
        };
        let two = |[first, second]: [Option<Location>; 2]| -> Result<Arguments, Unreadable> {
            let (first, second) = (read(first)?, read(second)?);
            Ok(Arguments::Values([first, second, 0, 0, 0, 0]))
        };
        match hook {
            Hook::AffinityEntry => two(self.affinity),
            Hook::Returning(Returning::SelectFallbackRq) => two(self.fallback),
            Hook::Returning(_) => {
                let task = read(self.activate)?;
                Ok(Arguments::Values([0, task, 0, 0, 0, 0]))
            }
            _ => Ok(Arguments::Registers),
        }
    }
}
