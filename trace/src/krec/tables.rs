//! The rows of a recording that are not events: manifest, schema, symbols, tasks, console, end.
//!
//! They are stored as JSON, because they are few and people look at them with other tools. Nothing
//! in them depends on the host, its clock or its paths, except what the user chose to say.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::event::{Addr, EventData, FieldSchema, FieldType};

/// What was run, and with which settings: enough to run it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of kreplay that recorded.
    pub kreplay: String,
    /// The guest kernel.
    pub image: ImageId,
    /// The files of the guest that the recording does not hold.
    #[serde(default, skip_serializing_if = "GuestFiles::is_empty")]
    pub files: GuestFiles,
    /// The guest's kernel command line.
    pub command_line: String,
    /// Number of CPUs.
    pub cpus: u32,
    /// How they are packaged, as `--topology` has it; `None` is one package of single-threaded cores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topology: Option<String>,
    /// Guest RAM in bytes.
    pub ram_bytes: u64,
    /// Length of a window in cycles.
    pub quantum: u64,
    /// Cycles from sending an interrupt to its delivery, as in force.
    pub ipi_latency: u64,
    /// Cycles in a second of virtual time.
    pub cycles_per_second: u64,
    /// Name of the interleaving policy.
    pub policy: String,
    /// The policy's seed, if it uses one.
    pub seed: Option<u64>,
    /// The workload chosen.
    pub workload: String,
    /// The virtual time in cycles at which the run was to end at the latest, if one was given.
    pub until: Option<u64>,
    /// Version of the cost model: 1 means one cycle an instruction.
    pub cost_model: u32,
}

/// Which guest kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageId {
    /// GNU build-id in hexadecimal, if the file has one.
    pub build_id: Option<String>,
    /// SHA-256 of the file in hexadecimal.
    pub sha256: String,
    /// Size of the file in bytes.
    pub size: u64,
    /// Whether the recording holds the file itself.
    pub embedded: bool,
}

/// Files that a run was made from and that executing it again needs; by the paths they were given as.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestFiles {
    /// Where the kernel was, if the recording does not hold it; [`ImageId`] says which it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// The ELF file with the kernel's DWARF, if that is another file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub debug: Option<FileId>,
    /// The initial RAM disk, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initrd: Option<FileId>,
}

impl GuestFiles {
    fn is_empty(&self) -> bool {
        *self == GuestFiles::default()
    }
}

/// A file outside of the recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileId {
    /// Its path as it was given.
    pub path: String,
    /// Its SHA-256 in hexadecimal.
    pub sha256: String,
    /// Its size in bytes.
    pub size: u64,
}

/// An event kind as the recording declares it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedSchema {
    /// Its number in this file.
    pub id: u8,
    /// `system:name`.
    pub name: String,
    /// Where the kernel emits it.
    pub doc: String,
    /// Its fields in order, after the [base columns](BASE_COLUMNS).
    pub fields: Vec<RecordedField>,
}

/// A field as the recording declares it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedField {
    /// Linux's name of the field.
    pub name: String,
    /// `int`, `uint`, `mask`, `addr` or `comm`.
    #[serde(rename = "type")]
    pub ty: String,
    /// Unit and meaning.
    pub doc: String,
}

/// The columns that every event has, before its own fields.
pub const BASE_COLUMNS: &[FieldSchema] = &[
    FieldSchema {
        name: "seq",
        ty: FieldType::Uint,
        bytes: 8,
        doc: "Number of the event in the order of cause and effect, dense from 0.",
    },
    FieldSchema {
        name: "cpu",
        ty: FieldType::Uint,
        bytes: 4,
        doc: "The CPU that executed it.",
    },
    FieldSchema {
        name: "cycles",
        ty: FieldType::Uint,
        bytes: 8,
        doc: "Raw clock of that CPU in cycles (1 cycle is 1 ns at the default 1 GHz).",
    },
    FieldSchema {
        name: "insns",
        ty: FieldType::Uint,
        bytes: 8,
        doc: "Instructions that CPU had retired before this one.",
    },
    FieldSchema {
        name: "pid",
        ty: FieldType::Int,
        bytes: 4,
        doc: "Pid of the CPU's current task, 0 for every idle task.",
    },
    FieldSchema {
        name: "comm",
        ty: FieldType::Comm,
        bytes: 16,
        doc: "Name of the CPU's current task.",
    },
    FieldSchema {
        name: "stack",
        ty: FieldType::Uint,
        bytes: 4,
        doc: "Number of the call stack in the stack table, where the event has one.",
    },
];

impl RecordedSchema {
    /// The kinds of this version, in the order of their numbers.
    pub fn current() -> Vec<RecordedSchema> {
        EventData::SCHEMAS
            .iter()
            .map(|schema| RecordedSchema {
                id: schema.id,
                name: schema.name.to_owned(),
                doc: schema.doc.trim().to_owned(),
                fields: schema.fields.iter().map(RecordedField::of).collect(),
            })
            .collect()
    }

    /// What keeps this version from reading events of this kind, if anything does.
    pub(crate) fn difference(&self) -> Option<&'static str> {
        match EventData::SCHEMAS.iter().find(|s| s.id == self.id) {
            None => Some("does not know"),
            Some(ours) => {
                let same = ours.name == self.name
                    && ours.fields.len() == self.fields.len()
                    && ours
                        .fields
                        .iter()
                        .zip(&self.fields)
                        .all(|(a, b)| a.name == b.name && type_name(a.ty) == b.ty);
                (!same).then_some("knows with other fields")
            }
        }
    }
}

impl RecordedField {
    fn of(field: &FieldSchema) -> RecordedField {
        RecordedField {
            name: field.name.to_owned(),
            ty: type_name(field.ty).to_owned(),
            doc: field.doc.trim().to_owned(),
        }
    }
}

fn type_name(ty: FieldType) -> &'static str {
    match ty {
        FieldType::Int => "int",
        FieldType::Uint => "uint",
        FieldType::Mask => "mask",
        FieldType::Addr => "addr",
        FieldType::Comm => "comm",
    }
}

/// What is at an address: of a function, a call site or a return address of a stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Symbol {
    /// Name of the function in the symbol table.
    pub name: String,
    /// Bytes from its start.
    pub offset: u64,
    /// Source file as the image names it, such as `kernel/sched/core.rs`.
    pub file: Option<String>,
    /// Line in it.
    pub line: Option<u32>,
    /// Functions inlined at the address, innermost first; `file` and `line` are the innermost's, and
    /// the last entry was inlined into `name` itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inlined: Vec<Inlined>,
}

impl Symbol {
    /// Every function the address is in, innermost first: the inlined ones, then `name`.
    pub fn functions(&self) -> impl Iterator<Item = &str> {
        self.inlined
            .iter()
            .map(|inlined| inlined.name.as_str())
            .chain([self.name.as_str()])
    }
}

/// One inlined call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inlined {
    /// The function that was inlined.
    pub name: String,
    /// File of the place that calls it.
    pub call_file: Option<String>,
    /// Line of that place.
    pub call_line: Option<u32>,
}

/// A [`Symbol`] and its address, as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SymbolRow {
    /// The address.
    pub addr: u64,
    /// What is there.
    #[serde(flatten)]
    pub symbol: Symbol,
}

/// A task at the end of the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRow {
    /// Address of its `task_struct`.
    pub addr: u64,
    /// Its pid; 0 for the idle tasks.
    pub pid: i32,
    /// Its name.
    pub comm: String,
    /// The CPU it belongs to.
    pub cpu: u32,
    /// Linux's letter: R S D T t X Z P I.
    pub state: char,
    /// Whether it was running.
    pub on_cpu: bool,
    /// Whether it was queued: 0, 1, or 2 while it migrates.
    pub on_rq: u32,
    /// Its class: stop, dl, rt, fair or idle.
    pub class: String,
    /// Its kernel priority, 0 highest.
    pub prio: i32,
    /// The CPUs it may use, bit n = CPU n.
    pub cpus_mask: u64,
}

/// A line of the guest's console (or the rest of one).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsoleLine {
    /// Raw clock of the CPU that wrote the first byte.
    pub cycles: u64,
    /// That CPU.
    pub cpu: u32,
    /// The bytes, with the newline if there was one.
    pub bytes: Vec<u8>,
}

/// A byte that came into the machine from outside: the journal of a run. Executing the image and the
/// configuration again with the same journal is the same run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputRow {
    /// When it was typed, in cycles; the receiver gets it at the first window from there on.
    pub cycles: u64,
    /// The device that received it: `serial0`.
    pub device: String,
    /// The byte.
    pub byte: u8,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "how")]
pub enum OutcomeRow {
    /// The guest switched the machine off.
    PowerOff,
    /// The guest reset the machine, and here a run ends with that.
    Reset,
    /// The time given was reached.
    UntilReached,
    /// The user stopped it.
    Interrupted,
    /// The guest failed.
    GuestFailed {
        /// The error, symbolised.
        error: String,
    },
}

impl std::fmt::Display for OutcomeRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            OutcomeRow::PowerOff => f.write_str("power off"),
            OutcomeRow::Reset => f.write_str("reset by the guest"),
            OutcomeRow::UntilReached => f.write_str("time reached"),
            OutcomeRow::Interrupted => f.write_str("interrupted"),
            OutcomeRow::GuestFailed { error } => write!(f, "guest failed: {error}"),
        }
    }
}

/// What is known when a run has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndOfRun {
    /// How it ended.
    pub outcome: OutcomeRow,
    /// Virtual time of the machine in cycles.
    pub cycles: u64,
    /// Raw clock of each CPU in cycles.
    pub cpu_cycles: Vec<u64>,
    /// Instructions each CPU has retired.
    pub cpu_insns: Vec<u64>,
    /// Number of events.
    pub events: u64,
    /// [Stream hash](super::StreamHash) of the events, in hexadecimal.
    pub stream_sha256: String,
    /// SHA-256 of RAM, CPU states, devices and clocks, in hexadecimal.
    pub machine_digest: String,
    /// The longest stretch between two legal stops, in cycles.
    pub longest_stretch: u64,
    /// Interrupts between CPUs that landed late.
    pub late_ipis: u64,
    /// The guest's own counters (`kreplay_counters`), by name.
    pub counters: BTreeMap<String, u64>,
    /// Counters of the machine, by name.
    pub machine: BTreeMap<String, u64>,
    /// Bytes the guest wrote to its console.
    pub console_bytes: u64,
    /// Events that could not be recorded because the kernel has no place for them, and what was looked
    /// for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
}

/// A stack address list as stored.
pub(crate) type Stack = Box<[Addr]>;
