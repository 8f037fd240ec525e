//! The first event in which two recordings differ, with the stack and the runqueues of both sides.

use trace::event::{Addr, Event, FieldType, FieldValue, StackId};
use trace::krec::Symbol;
use trace::state::Frame;

use crate::Error;
use crate::names;
use crate::runqueue::{RunQueue, RunQueues};
use crate::source::Source;

/// What one recording has at the first difference.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Side {
    /// The event in words; `None` if the recording ends before it.
    pub event: Option<String>,
    /// Its call stack, one line a function, innermost first.
    pub stack: Vec<String>,
    /// The runqueues before it.
    pub runqueues: Vec<RunQueue>,
}

impl Side {
    /// Whether there is an event, and the recording has no stack for it.
    pub fn lacks_stack(&self) -> bool {
        self.event.is_some() && self.stack.is_empty()
    }
}

/// The first difference.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// Number of the event.
    pub seq: u64,
    /// The first thing that is not the same about it.
    pub what: String,
    /// Both sides.
    pub sides: [Side; 2],
}

impl Difference {
    /// Whether the difference is that one recording is over.
    pub(super) fn one_ends(&self) -> bool {
        self.sides.iter().any(|side| side.event.is_none())
    }
}

/// How addresses of the two recordings may be compared.
struct Compare<'s> {
    a: &'s dyn Source,
    b: &'s dyn Source,
    one_image: bool,
}

pub(super) fn difference(a: &dyn Source, b: &dyn Source) -> Result<Option<Difference>, Error> {
    let compare = Compare {
        a,
        b,
        one_image: a.info().image_sha256 == b.info().image_sha256,
    };
    let mut queues = [RunQueues::new(a.info().cpus), RunQueues::new(b.info().cpus)];
    let (mut of_a, mut of_b) = (a.events(), b.events());
    let mut seq = 0;
    loop {
        let events = [of_a.next().transpose()?, of_b.next().transpose()?];
        let what = match &events {
            [None, None] => return Ok(None),
            [Some(_), None] => Some("B has ended".to_owned()),
            [None, Some(_)] => Some("A has ended".to_owned()),
            [Some(a), Some(b)] => compare.events(a, b),
        };
        if let Some(what) = what {
            // Where everybody is before the event, but by the names that the event says.
            for (queues, event) in queues.iter_mut().zip(&events) {
                event.iter().for_each(|event| queues.rename(event));
            }
            let [queues_a, queues_b] = queues;
            let sides = [
                side(a, events[0].as_ref(), &queues_a),
                side(b, events[1].as_ref(), &queues_b),
            ];
            return Ok(Some(Difference { seq, what, sides }));
        }
        for (queues, event) in queues.iter_mut().zip(events.iter().flatten()) {
            queues.push(event);
        }
        seq += 1;
    }
}

fn side(source: &dyn Source, event: Option<&Event>, queues: &RunQueues) -> Side {
    Side {
        event: event.map(|event| describe(source, event)),
        stack: event.map_or(Vec::new(), |event| stack(source, event.stack)),
        runqueues: queues.cpus().to_vec(),
    }
}

impl Compare<'_> {
    /// The first thing that differs, in the order in which people look at events.
    fn events(&self, a: &Event, b: &Event) -> Option<String> {
        // Most pairs are equal in everything but perhaps the numbering of their stacks.
        if self.one_image && a.stack == b.stack && a == b {
            return self.stacks(a, b);
        }
        let names = (a.data.schema().name, b.data.schema().name);
        let differ = |what: &str, same: bool| (!same).then(|| what.to_owned());
        differ("the kind of event", names.0 == names.1)
            .or_else(|| differ("the CPU", a.cpu == b.cpu))
            .or_else(|| differ("the current task", (a.pid, a.comm) == (b.pid, b.comm)))
            .or_else(|| self.fields(a, b))
            .or_else(|| differ("the clock", a.cycles == b.cycles))
            .or_else(|| differ("the instruction count", a.insns == b.insns))
            .or_else(|| self.stacks(a, b))
    }

    fn fields(&self, a: &Event, b: &Event) -> Option<String> {
        let mut values = Vec::new();
        b.data.visit(&mut |value| values.push(value));
        let mut at = 0;
        let mut found = None;
        a.data.visit(&mut |value| {
            if found.is_none() && !self.values(value, values[at]) {
                let name = a.data.schema().fields[at].name;
                found = Some(format!("the field {name}"));
            }
            at += 1;
        });
        found
    }

    fn values(&self, a: FieldValue, b: FieldValue) -> bool {
        match (a, b) {
            (FieldValue::Addr(a), FieldValue::Addr(b)) if !self.one_image => self.addresses(a, b),
            (a, b) => a == b,
        }
    }

    /// Functions by name; other addresses say only whether they are none.
    fn addresses(&self, a: Addr, b: Addr) -> bool {
        match (self.a.symbol(a), self.b.symbol(b)) {
            (Some(a), Some(b)) => names::linux_name(&a.name) == names::linux_name(&b.name),
            _ => (a.0 == 0) == (b.0 == 0),
        }
    }

    fn stacks(&self, a: &Event, b: &Event) -> Option<String> {
        let addrs = |source: &dyn Source, stack: Option<StackId>| -> Vec<Addr> {
            stack.map_or(Vec::new(), |id| source.stack(id).to_vec())
        };
        let (a, b) = (addrs(self.a, a.stack), addrs(self.b, b.stack));
        let same = match self.one_image {
            true => a == b,
            false => a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| self.addresses(*a, *b)),
        };
        (!same).then(|| "the call stack".to_owned())
    }
}

/// An event as one line: number, clock, CPU, current task, name and fields.
pub(crate) fn describe(source: &dyn Source, event: &Event) -> String {
    let schema = event.data.schema();
    let mut fields = Vec::new();
    let mut at = 0;
    event.data.visit(&mut |value| {
        let field = &schema.fields[at];
        let text = match value {
            FieldValue::Int(v) => v.to_string(),
            FieldValue::Uint(v) if field.ty == FieldType::Mask => format!("{v:#x}"),
            FieldValue::Uint(v) => v.to_string(),
            FieldValue::Addr(v) => names::address(source, v).unwrap_or_else(|| "0".into()),
            FieldValue::Comm(v) => v.to_text(),
        };
        fields.push(format!("{}={text}", field.name));
        at += 1;
    });
    format!(
        "@{} [{:03}] {}.{:09} {}: {}: {}",
        event.seq,
        event.cpu,
        source.info().ns(event.cycles) / 1_000_000_000,
        source.info().ns(event.cycles) % 1_000_000_000,
        names::task(&event.comm.to_text(), event.pid),
        schema.name,
        fields.join(" ")
    )
}

/// A call stack as lines `function+0xoffset (file:line)`.
pub(crate) fn stack(source: &dyn Source, stack: Option<StackId>) -> Vec<String> {
    let Some(id) = stack else { return Vec::new() };
    let addrs = source.stack(id).iter();
    addrs
        .map(|addr| line(*addr, source.symbol(*addr)))
        .collect()
}

/// The same of a stack that was not recorded.
pub(super) fn stack_of(frames: &[Frame]) -> Vec<String> {
    let frames = frames.iter();
    frames
        .map(|frame| line(Addr(frame.addr), frame.symbol.as_ref()))
        .collect()
}

fn line(addr: Addr, symbol: Option<&Symbol>) -> String {
    let Some(symbol) = symbol else {
        return addr.to_string();
    };
    let at = match (&symbol.file, symbol.line) {
        (Some(file), Some(line)) => format!(" ({file}:{line})"),
        _ => String::new(),
    };
    format!(
        "{}+{:#x}{at}",
        names::linux_name(&symbol.name),
        symbol.offset
    )
}
