//! `kreplay ps`: the tasks at the end of the run, from the recording's task table.
//!
//! The columns begin as gdb users of Linux know them from `lx-ps` (TASK PID COMM); ours follow.

use std::io::{self, Write};

use anyhow::{Context, bail};
use trace::krec::TaskRow;

use crate::args::{Format, PsArgs};
use crate::exit::Exit;

/// Runs the command.
pub fn run(args: &PsArgs) -> anyhow::Result<Exit> {
    let recording = super::open(&args.recording)?;
    if recording.tasks().is_empty() {
        bail!(
            "{} has no task table: it ends before the run did ({}); record the scenario again",
            args.recording.display(),
            recording.completeness()
        );
    }
    let mut tasks: Vec<&TaskRow> = recording.tasks().iter().collect();
    // One idle task a CPU has pid 0; the CPU tells them apart.
    tasks.sort_by_key(|task| (task.pid, task.cpu, task.addr));
    let mut out = io::BufWriter::new(io::stdout().lock());
    match args.format {
        Format::Text => write_text(&mut out, &tasks)?,
        Format::Csv => write_csv(&mut out, &tasks)?,
        Format::Json => {
            serde_json::to_writer_pretty(&mut out, &tasks).map_err(io::Error::from)?;
            writeln!(out)?;
        }
    }
    out.flush().context("cannot write the table")?;
    Ok(Exit::Done)
}

fn write_text(out: &mut impl Write, tasks: &[&TaskRow]) -> io::Result<()> {
    writeln!(
        out,
        "{:<18} {:>5} {:<15} {:>3} {:<5} {:<5} {:>4} CPUS",
        "TASK", "PID", "COMM", "CPU", "STATE", "CLASS", "PRIO"
    )?;
    for task in tasks {
        writeln!(
            out,
            "{:#018x} {:>5} {:<15} {:>3} {:<5} {:<5} {:>4} {}",
            task.addr,
            task.pid,
            task.comm,
            task.cpu,
            state(task),
            task.class,
            task.prio,
            cpu_list(task.cpus_mask)
        )?;
    }
    Ok(())
}

fn write_csv(out: &mut impl Write, tasks: &[&TaskRow]) -> io::Result<()> {
    writeln!(out, "task,pid,comm,cpu,state,on_cpu,on_rq,class,prio,cpus_mask")?;
    for t in tasks {
        writeln!(
            out,
            "{:#x},{},{},{},{},{},{},{},{},{:#x}",
            t.addr,
            t.pid,
            csv_field(&t.comm),
            t.cpu,
            t.state,
            t.on_cpu,
            t.on_rq,
            t.class,
            t.prio,
            t.cpus_mask
        )?;
    }
    Ok(())
}

/// The state letter, with `*` for a task that was on its CPU.
fn state(task: &TaskRow) -> String {
    let mark = if task.on_cpu { "*" } else { "" };
    format!("{}{mark}", task.state)
}

/// A mask in the notation of `taskset -c`: `0-3,7`.
fn cpu_list(mask: u64) -> String {
    let mut parts = Vec::new();
    let mut cpu = 0;
    while cpu < 64 {
        if mask >> cpu & 1 == 0 {
            cpu += 1;
            continue;
        }
        let first = cpu;
        while cpu < 64 && mask >> cpu & 1 == 1 {
            cpu += 1;
        }
        let last = cpu - 1;
        parts.push(if first == last { first.to_string() } else { format!("{first}-{last}") });
    }
    parts.join(",")
}

/// A name as a field: quoted where it would break the row. Guests choose their names.
fn csv_field(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_read_as_cpu_lists() {
        assert_eq!(cpu_list(0), "");
        assert_eq!(cpu_list(1), "0");
        assert_eq!(cpu_list(0b1000_1111), "0-3,7");
        assert_eq!(cpu_list(u64::MAX), "0-63");
        assert_eq!(cpu_list(1 << 63), "63");
    }

    #[test]
    fn a_name_cannot_break_its_row() {
        assert_eq!(csv_field("kworker/0:1"), "kworker/0:1");
        assert_eq!(csv_field("a,\"b\""), "\"a,\"\"b\"\"\"");
    }
}
