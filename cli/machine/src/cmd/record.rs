//! `kreplay record`: boots a scenario and writes a recording.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use trace::krec::{EndOfRun, OutcomeRow};

use crate::args::RecordArgs;
use crate::exit::Exit;
use crate::interrupt::Interrupt;
use crate::plan::Scenario;
use crate::progress::Progress;
use crate::session::{self, Finished, Outside};
use crate::terminal::Terminal;

/// Runs the command.
pub fn run(args: &RecordArgs) -> anyhow::Result<Exit> {
    let scenario = Scenario::new(&args.scenario)?;
    // Made before any file is touched: whether it can be made shows here.
    let machine = scenario.machine()?;
    let interrupt = Interrupt::install()?;
    let progress = Progress::new("recording");
    let terminal = scenario.at_terminal.then(Terminal::open).transpose()?;
    let outside = Outside {
        progress: &progress,
        interrupt: &interrupt,
        console: scenario.console,
        terminal: terminal.as_ref(),
    };
    refuse_input_as_output(args)?;
    let file = File::create(&args.output)
        .with_context(|| format!("cannot write {}", args.output.display()))?;
    let file = BufWriter::new(file);
    let start = Instant::now();
    let (Finished { end, failure }, file) = session::record(
        &scenario,
        machine,
        (file, &args.output),
        !args.no_image,
        None,
        &outside,
    )?;
    file.into_inner()
        .map_err(io::IntoInnerError::into_error)
        .with_context(|| format!("cannot write {}", args.output.display()))?;
    drop(terminal);
    drop(progress);
    summary(args, &scenario, &end, start.elapsed())?;
    Ok(match (&end.outcome, failure) {
        (_, Some(failure)) => {
            eprintln!("kreplay: the guest failed: {failure}");
            Exit::GuestFailed
        }
        (OutcomeRow::Interrupted, None) => {
            eprintln!(
                "kreplay: interrupted; {} is valid up to here",
                args.output.display()
            );
            Exit::Interrupted
        }
        (_, None) => Exit::Done,
    })
}

/// The recording may not replace a file that it is made from.
fn refuse_input_as_output(args: &RecordArgs) -> anyhow::Result<()> {
    let files = &args.scenario.guest;
    // `-` is standard input, and no file of that name.
    let typed = args.scenario.input.as_ref();
    let typed = typed.filter(|path| path.as_os_str() != "-");
    let inputs = [
        (files.kernel.as_ref(), "the kernel to boot"),
        (files.debug.as_ref(), "the file with the kernel's names"),
        (files.initrd.as_ref(), "the initial RAM disk"),
        (typed, "what is to be typed"),
    ];
    for (path, what) in inputs {
        if let Some(path) = path
            && let (Ok(input), Ok(output)) = (path.canonicalize(), args.output.canonicalize())
            && input == output
        {
            bail!(
                "{} is {what}; give the recording another name with -o",
                args.output.display()
            );
        }
    }
    Ok(())
}

/// What the guest asked for and the machine does not have, by name, if it asked for anything.
fn lacked(end: &EndOfRun) -> Option<String> {
    let number = |text: &str| u32::from_str_radix(text.trim_start_matches("0x"), 16).ok();
    let named = |kind: &str, text: &str, name: Option<&str>| match name {
        Some(name) => format!("{kind} {text} ({name})"),
        None => format!("{kind} {text}"),
    };
    let mut all = Vec::new();
    for (counter, times) in &end.machine {
        let what = if let Some(port) = counter.strip_prefix("unknown_port_") {
            let at = number(port).and_then(|n| u16::try_from(n).ok());
            named("port", port, at.and_then(emu::port_name))
        } else if let Some(msr) = counter.strip_prefix("unknown_msr_") {
            named("MSR", msr, number(msr).and_then(emu::msr_name))
        } else if let Some(name) = counter.strip_prefix("unknown_instruction_") {
            format!("instruction {name}")
        } else {
            continue;
        };
        all.push(format!("{what} x {times}"));
    }
    (!all.is_empty()).then(|| all.join(", "))
}

/// A line each: what was written, what ran, how it ended and how long it took, what it lacked (if
/// anything), and the hashes.
fn summary(
    args: &RecordArgs,
    scenario: &Scenario,
    end: &EndOfRun,
    took: Duration,
) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    let path = &args.output;
    let bytes = fs::metadata(path).map(|m| m.len()).unwrap_or(0);
    let insns: u64 = end.cpu_insns.iter().sum();
    let config = &scenario.config;
    let how = match &end.outcome {
        OutcomeRow::GuestFailed { .. } => "the guest failed".to_owned(),
        other => other.to_string(),
    };
    writeln!(
        out,
        "{}: {} events, {:.1} MiB with {} kernel image",
        path.display(),
        end.events,
        bytes as f64 / f64::from(1 << 20),
        match scenario.guest.to_embed() {
            Some(_) if !args.no_image => "the",
            _ => "no",
        },
    )?;
    writeln!(
        out,
        "guest: {}, {} CPUs, {} MiB, {}, quantum {}",
        config.command_line,
        config.vcpus,
        config.ram_bytes >> 20,
        scenario.policy_text(),
        config.quantum.0
    )?;
    writeln!(
        out,
        "ended: {how} at {}.{:06} s virtual, {insns} instructions, {} late IPIs; \
         host: {:.2} s, {:.0} million a second",
        end.cycles / 1_000_000_000,
        end.cycles % 1_000_000_000 / 1000,
        end.late_ipis,
        took.as_secs_f64(),
        insns as f64 / took.as_secs_f64() / 1e6
    )?;
    if let Some(lacked) = lacked(end) {
        writeln!(out, "not emulated: {lacked}")?;
    }
    writeln!(out, "sha256: {} (events)", end.stream_sha256)?;
    writeln!(out, "sha256: {} (machine)", end.machine_digest)?;
    Ok(())
}
