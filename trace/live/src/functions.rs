//! The default events of an unmodified Linux kernel, by probes on its functions.
//!
//! A place is the entry of a function, out of line or inlined, or a call in the middle of one; the
//! arguments are variables, found at that very address through DWARF. The functions `trace_sched_switch`
//! and so on, which Linux inlines wherever it has a tracepoint, are functions like any other: their
//! entries are exact, and they are there whether or not the guest traces itself. The kernel's tables of
//! tracepoints are not used, nor is anything enabled in it.
//!
//! [`manifest`] names, for every event, the ways to find it, best first; the first that this kernel has
//! all of is taken. What no way finds is listed as missing, with the names that are near.

mod manifest;

use std::collections::BTreeMap;

use emu::Site;
use trace::classify::{Classifier, Flow, Instruction};
use trace::event::Addr;
use trace::image::{Image, NoPlace, Types};
use trace::orc::Orc;
use trace::place;
use trace::target::{Register, Target, Unreadable};

use crate::error::LiveError;
use crate::hooks::Hook;
use crate::layout::PerCpu;
use crate::source::{ARGUMENTS, Place};
use crate::view::CpuTarget;
use manifest::{MANIFEST, Row, Want, Way, Where};

/// A number that an event is made of, ready to be read.
#[derive(Clone, Debug)]
enum Arg {
    Place(place::Place),
    StopperOf(place::Place),
    /// So many bytes at a distance from where a variable points to.
    Load(place::Place, i64, usize),
    /// A register plus a distance.
    Register(Register, i64),
    /// The word at a register plus a distance.
    LoadRegister(Register, i64),
    Number(u64),
    ThisCpu,
}

/// A probe that is in place.
#[derive(Debug)]
struct Probe {
    arguments: Vec<Arg>,
    /// The event happens here only if this is null.
    only_if_null: Option<place::Place>,
}

/// How one event is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HowFound {
    /// The event.
    pub event: &'static str,
    /// In words.
    pub how: String,
    /// The addresses probed.
    pub at: Vec<Addr>,
}

/// The probes of a kernel.
pub struct Functions {
    hooks: BTreeMap<(Addr, Site), (Hook, Probe)>,
    missing: Vec<String>,
    found: Vec<HowFound>,
    orc: Option<Orc>,
    per_cpu: PerCpu,
    cpu_stopper: u64,
}

impl Functions {
    /// Finds every event that `image` has places for.
    pub fn of(image: &Image) -> Result<Functions, LiveError> {
        let symbol = |name: &str| {
            image
                .address_of(name)
                .ok_or_else(|| LiveError::NoSymbol(name.to_owned()))
        };
        let mut functions = Functions {
            hooks: BTreeMap::new(),
            missing: Vec::new(),
            found: Vec::new(),
            orc: image.orc(),
            per_cpu: PerCpu::of(image)?,
            cpu_stopper: symbol("cpu_stopper")?.0,
        };
        let finder = Finder {
            image,
            classifier: Classifier::new()?,
        };
        for row in MANIFEST {
            functions.add(&finder, row);
        }
        functions.missing.push(
            "stop:machine_state (multi_cpu_stop's states are no functions' entries)".to_owned(),
        );
        if let Some(damage) = image.damage() {
            return Err(LiveError::Damaged(damage.to_owned()));
        }
        Ok(functions)
    }

    /// The first way that works; what was wrong with each if none does.
    fn add(&mut self, finder: &Finder<'_>, row: &Row) {
        let mut reasons = Vec::new();
        for way in row.ways {
            match finder.way(way) {
                Ok(probes) => {
                    let at = probes.iter().map(|(at, ..)| *at).collect();
                    self.found.push(HowFound {
                        event: row.event,
                        how: way.at.words(),
                        at,
                    });
                    for (at, site, probe) in probes {
                        self.hooks.insert((at, site), (row.hook, probe));
                    }
                    return;
                }
                Err(reason) => reasons.push(reason),
            }
        }
        self.missing
            .push(format!("{} ({})", row.event, reasons.join("; ")));
    }

    /// The addresses to watch.
    pub fn places(&self) -> impl Iterator<Item = Place> {
        self.hooks
            .iter()
            .map(|((at, site), (hook, _))| (*at, *site, *hook))
    }

    /// The events without a place.
    pub fn missing(&self) -> &[String] {
        &self.missing
    }

    /// How each event is found.
    pub fn found(&self) -> &[HowFound] {
        &self.found
    }

    /// The arguments at a hit; `None` if the event does not happen there this time.
    pub fn arguments(
        &self,
        target: &CpuTarget<'_, '_>,
        site: Site,
    ) -> Result<Option<[u64; ARGUMENTS]>, Unreadable> {
        let at = Addr(target.at.0);
        let Some((_, probe)) = self.hooks.get(&(at, site)) else {
            return Ok(None);
        };
        if let Some(variable) = &probe.only_if_null
            && variable.value(target, self.orc.as_ref())? != 0
        {
            return Ok(None);
        }
        let mut values = [0; ARGUMENTS];
        for (value, argument) in values.iter_mut().zip(&probe.arguments) {
            *value = self.argument(target, argument)?;
        }
        Ok(Some(values))
    }

    fn argument(&self, target: &CpuTarget<'_, '_>, argument: &Arg) -> Result<u64, Unreadable> {
        let value = |place: &place::Place| place.value(target, self.orc.as_ref());
        match argument {
            Arg::Place(place) => value(place),
            Arg::StopperOf(place) => {
                let stopper = value(place)?;
                let cpu = self.per_cpu.cpu_of(target, self.cpu_stopper, stopper)?;
                cpu.ok_or(Unreadable(Addr(stopper)))
            }
            Arg::Load(place, distance, size) => {
                let mut bytes = [0; 8];
                let at = Addr(value(place)?.wrapping_add_signed(*distance));
                target.read(at, &mut bytes[..*size])?;
                Ok(u64::from_le_bytes(bytes))
            }
            Arg::Register(register, distance) => {
                Ok(target.register(*register).wrapping_add_signed(*distance))
            }
            Arg::LoadRegister(register, distance) => target.read_u64(Addr(
                target.register(*register).wrapping_add_signed(*distance),
            )),
            Arg::Number(number) => Ok(*number),
            Arg::ThisCpu => Ok(u64::from(target.cpu.stamp().vcpu.0)),
        }
    }
}

/// Looks for the places of one way.
struct Finder<'a> {
    image: &'a Image,
    classifier: Classifier,
}

type Probes = Vec<(Addr, Site, Probe)>;

/// An address to probe, and the variable that must be null there.
type Spot = (Addr, Site, Option<&'static str>);

impl Finder<'_> {
    fn way(&self, way: &Way) -> Result<Probes, String> {
        let mut probes = Vec::new();
        for (at, site, null) in self.places(way.at)? {
            let around = self.image.types_around(at);
            let arguments = way
                .wants
                .iter()
                .map(|want| self.argument(at, way.of, *want, around))
                .collect::<Result<Vec<Arg>, String>>()?;
            let only_if_null = match null {
                Some(name) => Some(self.variable(at, way.of, name)?),
                None => None,
            };
            let probe = Probe {
                arguments,
                only_if_null,
            };
            probes.push((at, site, probe));
        }
        Ok(probes)
    }

    fn variable(&self, at: Addr, of: &str, name: &str) -> Result<place::Place, String> {
        self.image
            .variable(at, of, name)
            .map_err(|error: NoPlace| error.to_string())
    }

    fn argument(&self, at: Addr, of: &str, want: Want, types: Types<'_>) -> Result<Arg, String> {
        let offset = |ty: &str, path: &str| {
            let field = types.field(ty, path).map_err(|error| error.to_string())?;
            Ok::<i64, String>(field.offset as i64)
        };
        Ok(match want {
            Want::Var(name) => Arg::Place(self.variable(at, of, name)?),
            Want::StopperOf(name) => Arg::StopperOf(self.variable(at, of, name)?),
            Want::Member(name, ty, path) => {
                Arg::Load(self.variable(at, of, name)?, offset(ty, path)?, 8)
            }
            Want::Count(name, ty, path) => {
                Arg::Load(self.variable(at, of, name)?, offset(ty, path)?, 4)
            }
            Want::Around(ty, path) => Arg::Register(Register::Rdi, -offset(ty, path)?),
            Want::Beside(ty, path, read) => {
                Arg::LoadRegister(Register::Rdi, offset(ty, read)? - offset(ty, path)?)
            }
            Want::Caller => Arg::LoadRegister(Register::Rsp, 0),
            Want::Function(name) => Arg::Number(self.function(name)?.0),
            Want::ThisCpu => Arg::ThisCpu,
            Want::Number(number) => Arg::Number(number as u64),
        })
    }

    fn function(&self, name: &str) -> Result<Addr, String> {
        let near = || match self.image.similar_function(name) {
            Some(near) => format!("no function {name}; is {near} meant?"),
            None => format!("no function {name}"),
        };
        let out_of_line = self.image.functions_named(name);
        out_of_line.first().map(|f| Addr(f.low)).ok_or_else(near)
    }

    fn places(&self, at: Where) -> Result<Vec<Spot>, String> {
        let some = |found: Vec<Addr>, site: Site| match found.is_empty() {
            true => Err(format!("{}: there is none", at.words())),
            false => Ok(found.into_iter().map(|at| (at, site, None)).collect()),
        };
        match at {
            Where::Entry(name) => some(vec![self.function(name)?], Site::Block),
            Where::Entries(name, around) => {
                let around = self.function(around)?;
                let entries = self.image.entries_around(around, name);
                some(entries, Site::Instruction)
            }
            Where::Patchable(name, around) => {
                let around = self.function(around)?;
                let mut entries = self.image.entries_around(around, name);
                entries.retain(|at| self.is_patchable(*at));
                some(entries, Site::Instruction)
            }
            Where::CallByPointer(name) => {
                let call = self.call_by_pointer(name)?;
                some(vec![call.addr], Site::Instruction)
            }
            Where::AfterCallByPointer(name, null) => {
                let after = after(&self.call_by_pointer(name)?);
                Ok(vec![(after, Site::Instruction, Some(null))])
            }
            Where::AfterCountDown(name) => {
                let call = self.call_by_pointer(name)?;
                let code = self.code(name)?;
                let locked = code
                    .iter()
                    .filter(|insn| insn.addr > call.addr)
                    .find(|insn| self.image.bytes_at(insn.addr, 1) == Some(&[0xf0]));
                some(locked.map(after).into_iter().collect(), Site::Instruction)
            }
            Where::Calls(around, callee, inside) => {
                some(self.calls(around, callee, inside)?, Site::Instruction)
            }
        }
    }

    /// The two- and five-byte `nop`s that Linux's jump labels are when they are off.
    fn is_patchable(&self, at: Addr) -> bool {
        let bytes = self.image.bytes_at(at, 5).unwrap_or_default();
        bytes.starts_with(&[0x66, 0x90]) || bytes.starts_with(&[0x0f, 0x1f, 0x44, 0x00, 0x00])
    }

    fn code(&self, name: &str) -> Result<Vec<Instruction>, String> {
        self.function(name)?;
        let functions = self.image.functions_named(name);
        Ok(functions
            .first()
            .map(|f| self.classifier.instructions(self.image, f))
            .unwrap_or_default())
    }

    /// The one call of a function through a register: written as such, or as a call of the thunk that
    /// stands for it (`__x86_indirect_thunk_r15`).
    fn call_by_pointer(&self, name: &str) -> Result<Instruction, String> {
        let is_thunk = |to: Addr| {
            let symbol = self.image.elf_symbol(to);
            symbol.is_some_and(|s| s.name.starts_with("__x86_indirect_thunk"))
        };
        let mut calls = self.code(name)?;
        calls.retain(|insn| match insn.flow {
            Flow::Call { to } => to.is_none_or(is_thunk),
            _ => false,
        });
        match calls.as_slice() {
            [one] => Ok(*one),
            some => Err(format!(
                "{name} has {} calls by pointer, not one",
                some.len()
            )),
        }
    }

    /// Calls of `callee` in the functions of a file, where `inside` is inlined or is the function.
    fn calls(&self, around: &str, callee: &str, inside: &str) -> Result<Vec<Addr>, String> {
        let (around, callee) = (self.function(around)?, self.function(callee)?);
        let mut found = Vec::new();
        for entry in self.image.entries_around(around, inside) {
            let Some(function) = self.image.function_at(entry) else {
                continue;
            };
            for insn in self.classifier.instructions(self.image, function) {
                let to = match insn.flow {
                    Flow::Call { to } | Flow::TailCall { to } => to,
                    _ => None,
                };
                let inlined = || self.image.inlined_at(insn.addr).any(|c| &*c.name == inside);
                if to == Some(callee) && (&*function.name == inside || inlined()) {
                    found.push(insn.addr);
                }
            }
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }
}

/// The address after an instruction.
fn after(insn: &Instruction) -> Addr {
    Addr(insn.addr.0 + u64::from(insn.len))
}
