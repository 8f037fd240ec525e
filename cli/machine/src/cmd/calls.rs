//! `kreplay calls`: the tree of calls that led from one function to another, as they happened.
//!
//! The recorded run is executed again (its image, settings and seed are in the recording) with a probe
//! on every place where a call of the target begins, inlined places included. At each hit the stack,
//! with what was inlined into its frames, is one path; the paths from `--from` on are merged into a
//! tree. So the tree holds only calls that reached the target, each as often as it did.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write};
use std::ops::{ControlFlow, Range};

use anyhow::{Context, bail};
use emu::{CpuView, Cycles, Machine, Observer, Outcome, Reg, Site, VirtAddr};
use trace::event::Addr;
use trace::image::Image;
use trace::krec::{OutcomeRow, Recording};
use trace::stack::{At, walk};

use crate::args::CallsArgs;
use crate::exit::Exit;
use crate::interrupt::Interrupt;
use crate::plan::Scenario;
use crate::progress::Progress;
use crate::target::OnCpu;

/// Runs the command.
pub fn run(args: &CallsArgs) -> anyhow::Result<Exit> {
    let recording = Recording::open(&args.recording)?;
    let Some(end) = recording.end() else {
        bail!(
            "{} does not say how its run ended ({}); record it again",
            args.recording.display(),
            recording.completeness()
        );
    };
    let scenario =
        Scenario::again(recording.manifest(), elf(&recording, args)?, Some(Cycles(end.cycles)))?;
    let places = places(&scenario.image, &args.to)?;
    places_exist(&scenario.image, &args.from)?;

    let mut machine = Machine::new(&scenario.config, &scenario.elf)?;
    for at in &places {
        machine.watch(*at, Site::Instruction);
    }
    let mut watch = Watch {
        image: &scenario.image,
        code: code(&scenario.image),
        places,
        from: &args.from,
        to: &args.to,
        tree: Node::default(),
        hits: 0,
        stack: Vec::new(),
        progress: Progress::new("executing again"),
        interrupt: Interrupt::install()?,
    };
    let outcome = machine.run(&mut watch, until(&end.outcome, end.cycles));
    let Watch { tree, hits, progress, .. } = watch;
    drop(progress);
    match (&end.outcome, outcome) {
        (_, Ok(Outcome::StoppedByObserver)) => return Ok(Exit::Interrupted),
        // The guest fails again, as it was recorded: the tree up to there is what was asked for.
        (OutcomeRow::GuestFailed { .. }, Err(_)) => {}
        (OutcomeRow::PowerOff | OutcomeRow::UntilReached, Ok(_)) => {
            let digest = trace::krec::hex(machine.digest());
            if digest != end.machine_digest {
                bail!(
                    "the run is not the recorded one: machine state {digest} and not {}; this kreplay runs it differently",
                    end.machine_digest
                );
            }
        }
        (_, Ok(_)) => {}
        (_, Err(error)) => return Err(error.into()),
    }
    print(&tree, args, hits)
}

/// The time at which the run ends: the guest's own end needs none.
fn until(outcome: &OutcomeRow, cycles: u64) -> Option<Cycles> {
    match outcome {
        OutcomeRow::PowerOff | OutcomeRow::GuestFailed { .. } => None,
        OutcomeRow::UntilReached | OutcomeRow::Interrupted => Some(Cycles(cycles)),
    }
}

fn elf(recording: &Recording, args: &CallsArgs) -> anyhow::Result<Vec<u8>> {
    match (&args.kernel, recording.image()?) {
        (Some(path), _) => {
            fs::read(path).with_context(|| format!("cannot read the kernel {}", path.display()))
        }
        (None, Some(image)) => Ok(image),
        (None, None) => bail!(
            "{} does not hold its kernel (it was made with --no-image); give it with --kernel",
            args.recording.display()
        ),
    }
}

/// Every address where a call of `function` begins.
fn places(image: &Image, function: &str) -> anyhow::Result<BTreeSet<VirtAddr>> {
    places_exist(image, function)?;
    Ok(image.entries_of(function).into_iter().map(|at| VirtAddr(at.0)).collect())
}

fn places_exist(image: &Image, function: &str) -> anyhow::Result<()> {
    if image.entries_of(function).is_empty() {
        let near = near(image, function);
        let hint = if near.is_empty() { String::new() } else { format!("; near it: {near}") };
        bail!("the kernel has no function `{function}`{hint}");
    }
    Ok(())
}

/// Up to five functions whose names share the longest beginning or contain the text.
fn near(image: &Image, function: &str) -> String {
    let mut names: Vec<(usize, &str)> = image
        .code_symbols()
        .map(|symbol| symbol.name.as_str())
        .filter_map(|name| {
            let common = name.bytes().zip(function.bytes()).take_while(|(a, b)| a == b).count();
            let score = if name.contains(function) { function.len() } else { common };
            (score >= 4).then_some((score, name))
        })
        .collect();
    names.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.len().cmp(&b.1.len())).then(a.1.cmp(b.1)));
    names.iter().take(5).map(|(_, name)| *name).collect::<Vec<_>>().join(", ")
}

/// From the first function's first byte to the last one's last.
fn code(image: &Image) -> Range<u64> {
    let low = image.code_symbols().map(|s| s.addr).min().unwrap_or(0);
    let high = image.code_symbols().map(|s| s.addr + s.size).max().unwrap_or(0);
    low..high
}

/// One function of a path, with the line of its definition.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Frame {
    name: String,
    file: Option<String>,
    line: Option<u32>,
}

/// A function in the tree, and what it called on the way to the target, in order of first call.
#[derive(Default)]
struct Node {
    calls: Vec<(Frame, Node)>,
    times: u64,
}

impl Node {
    fn add(&mut self, path: &[Frame]) {
        self.times += 1;
        let Some((first, rest)) = path.split_first() else { return };
        let index = match self.calls.iter().position(|(frame, _)| frame == first) {
            Some(index) => index,
            None => {
                self.calls.push((first.clone(), Node::default()));
                self.calls.len() - 1
            }
        };
        self.calls[index].1.add(rest);
    }
}

struct Watch<'a> {
    image: &'a Image,
    code: Range<u64>,
    places: BTreeSet<VirtAddr>,
    from: &'a str,
    to: &'a str,
    tree: Node,
    hits: u64,
    stack: Vec<Addr>,
    progress: Progress,
    interrupt: Interrupt,
}

impl Observer for Watch<'_> {
    fn hit(&mut self, cpu: &mut CpuView<'_>, at: VirtAddr, _site: Site) {
        if !self.places.contains(&at) {
            return;
        }
        self.hits += 1;
        // At a function's own first instruction the frame is not made yet; an inlined call stands
        // inside the frame of the function around it.
        let own = self.image.function_at(Addr(at.0)).is_some_and(|f| f.low == at.0);
        let place = if own { At::Entry } else { At::Inside };
        walk(&OnCpu(cpu), place, &self.code, &mut self.stack);
        let path = path(self.image, &self.stack, self.to);
        if let Some(start) = path.iter().position(|frame| frame.name == self.from) {
            self.tree.add(&path[start..]);
        }
    }

    fn slice(&mut self, now: Cycles) -> ControlFlow<()> {
        self.progress.show(now, self.hits);
        match self.interrupt.requested() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}

/// The functions of a stack, outermost first, ending at `to`.
fn path(image: &Image, stack: &[Addr], to: &str) -> Vec<Frame> {
    let mut frames = Vec::new();
    for (depth, addr) in stack.iter().enumerate().rev() {
        // A return address belongs to the call before it.
        let at = Addr(addr.0 - u64::from(depth > 0));
        if let Some(function) = image.function_at(at) {
            frames.push(Frame {
                name: function.name.clone(),
                file: function.decl_file.as_deref().map(str::to_owned),
                line: function.decl_line,
            });
        }
        let mut inlined: Vec<Frame> = image
            .inlined_at(at)
            .map(|call| Frame {
                name: call.name.clone(),
                file: call.decl_file.as_deref().map(str::to_owned),
                line: call.decl_line,
            })
            .collect();
        inlined.reverse();
        frames.append(&mut inlined);
    }
    // What was inlined into the target's own first instruction is past it.
    if let Some(last) = frames.iter().rposition(|frame| frame.name == to) {
        frames.truncate(last + 1);
    }
    frames
}

fn print(tree: &Node, args: &CallsArgs, hits: u64) -> anyhow::Result<Exit> {
    if tree.calls.is_empty() {
        bail!(
            "`{}` was entered {hits} times, never below `{}` in this run",
            args.to,
            args.from
        );
    }
    let mut text = String::new();
    for (frame, node) in &tree.calls {
        draw(&mut text, frame, node, 0);
    }
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    writeln!(
        out,
        "\n{} was entered {hits} times, {} times below {}",
        args.to, tree.times, args.from
    )?;
    Ok(Exit::Done)
}

fn draw(text: &mut String, frame: &Frame, node: &Node, depth: usize) {
    let _ = write!(text, "{:width$}- {}()", "", frame.name, width = depth * 2);
    if let (Some(file), Some(line)) = (&frame.file, frame.line) {
        let _ = write!(text, " // in {file} at line {line}");
    }
    if node.times > 1 {
        let _ = write!(text, ", {} times", node.times);
    }
    text.push('\n');
    for (frame, node) in &node.calls {
        draw(text, frame, node, depth + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(names: &[&str]) -> Vec<Frame> {
        names
            .iter()
            .map(|name| Frame { name: (*name).to_owned(), file: Some("a.rs".into()), line: Some(7) })
            .collect()
    }

    #[test]
    fn paths_merge_into_a_tree_in_the_order_of_their_first_call() {
        let mut tree = Node::default();
        tree.add(&frames(&["a", "b", "z"]));
        tree.add(&frames(&["a", "c", "z"]));
        tree.add(&frames(&["a", "b", "z"]));
        let mut text = String::new();
        draw(&mut text, &tree.calls[0].0, &tree.calls[0].1, 0);
        assert_eq!(
            text,
            "- a() // in a.rs at line 7, 3 times\n  - b() // in a.rs at line 7, 2 times\n    \
             - z() // in a.rs at line 7, 2 times\n  - c() // in a.rs at line 7\n    \
             - z() // in a.rs at line 7\n"
        );
    }
}
