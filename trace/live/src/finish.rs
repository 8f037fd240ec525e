//! What a recording says at its end: the tasks, the kernel's own counters, the machine's state.

use std::collections::{BTreeMap, BTreeSet};

use emu::{Machine, VcpuId};
use trace::event::Addr;
use trace::image::Image;
use trace::krec::{EndOfRun, OutcomeRow, TaskRow, hex};
use trace::target::{Target, Unreadable};
use trace::value::Value;

use crate::layout::{Layout, state_letter};
use crate::view::MachineTarget;

/// More tasks than any guest has: a list that is longer is broken.
const MOST_TASKS: usize = 1 << 16;

/// Every task: those in the list that begins at `init_task`, and each CPU's idle task. A guest that
/// ended before it had a list has none.
pub fn tasks(machine: &Machine, cpus: u32, image: &Image, layout: &Layout) -> Vec<TaskRow> {
    let target = MachineTarget {
        machine,
        vcpu: VcpuId(0),
    };
    let mut addrs = BTreeSet::new();
    if let Some(init) = image.address_of("init_task") {
        let mut task = init;
        while addrs.len() < MOST_TASKS && addrs.insert(task) {
            let Ok(next) = Value::of(&target, task, layout.tasks_next) else {
                break;
            };
            match next.u64() {
                0 => break,
                link => task = Addr(link.wrapping_sub(layout.tasks.offset)),
            }
        }
    }
    if let Some(runqueues) = layout.runqueues {
        for cpu in 0..u64::from(cpus) {
            if let Ok(rq) = runqueues.of_cpu(&target, cpu)
                && let Ok(idle) = Value::of(&target, rq, layout.rq_idle)
                && idle.u64() != 0
            {
                addrs.insert(idle.addr());
            }
        }
    }
    let mut rows: Vec<TaskRow> = addrs
        .into_iter()
        .filter_map(|addr| row(&target, image, layout, addr).ok())
        .collect();
    rows.sort_by_key(|row| (row.pid, row.cpu, row.addr));
    rows
}

fn row(
    target: &dyn Target,
    image: &Image,
    layout: &Layout,
    addr: Addr,
) -> Result<TaskRow, Unreadable> {
    let task = layout.task(target, addr)?;
    let class = Value::of(target, addr, layout.sched_class)?.addr();
    let class = image
        .elf_symbol(class)
        .and_then(|symbol| symbol.name.strip_suffix("_sched_class"))
        .unwrap_or("none");
    Ok(TaskRow {
        addr: addr.0,
        pid: task.pid,
        comm: task.comm.to_text(),
        cpu: task.cpu,
        state: state_letter(task.state, task.exit_state),
        on_cpu: task.on_cpu != 0,
        on_rq: task.on_rq as u32,
        class: class.to_owned(),
        prio: task.prio,
        cpus_mask: task.cpus_mask.0,
    })
}

/// How the run ended. The numbers that the writer knows are filled in by it.
pub fn end(
    machine: &mut Machine,
    cpus: u32,
    image: Option<&Image>,
    outcome: OutcomeRow,
) -> EndOfRun {
    let summary = machine.summary();
    let cpus = 0..cpus;
    // Not the translator's blocks: where probes split them is no property of the run.
    let mut counters = BTreeMap::from([
        ("insns".to_owned(), summary.insns),
        ("ipis".to_owned(), summary.ipis),
        ("late_ipis".to_owned(), summary.late_ipis),
        ("swaps".to_owned(), summary.swaps),
    ]);
    counters.extend(
        summary
            .interrupts
            .iter()
            .map(|(vector, n)| (format!("interrupt_{vector:#04x}"), *n)),
    );
    counters.extend(
        summary
            .exceptions
            .iter()
            .map(|(vector, n)| (format!("exception_{vector:#04x}"), *n)),
    );
    counters.extend(
        summary
            .unknown_ports
            .iter()
            .map(|(port, n)| (format!("unknown_port_{port:#06x}"), *n)),
    );
    counters.extend(
        summary
            .unknown_msrs
            .iter()
            .map(|(msr, n)| (format!("unknown_msr_{msr:#010x}"), *n)),
    );
    counters.extend(
        summary
            .unknown_instructions
            .iter()
            .map(|(name, n)| (format!("unknown_instruction_{name}"), *n)),
    );
    EndOfRun {
        outcome,
        cycles: machine.now().0,
        cpu_cycles: cpus
            .clone()
            .map(|cpu| machine.stamp(VcpuId(cpu)).cycles.0)
            .collect(),
        cpu_insns: cpus.map(|cpu| machine.stamp(VcpuId(cpu)).insns.0).collect(),
        events: 0,
        stream_sha256: String::new(),
        machine_digest: hex(machine.digest()),
        longest_stretch: machine.longest_stretch().0,
        late_ipis: summary.late_ipis,
        counters: image.map_or_else(BTreeMap::new, |image| kernel_counters(machine, image)),
        machine: counters,
        console_bytes: 0,
        missing: Vec::new(),
    }
}

/// The kernel's own counters, `kreplay_counters`, by the names of their fields.
fn kernel_counters(machine: &Machine, image: &Image) -> BTreeMap<String, u64> {
    let target = MachineTarget {
        machine,
        vcpu: VcpuId(0),
    };
    let (Some(base), Ok(members)) = (
        image.address_of("kreplay_counters"),
        image.types().members("kreplay_counters"),
    ) else {
        return BTreeMap::new();
    };
    members
        .into_iter()
        .filter_map(|(name, field)| {
            let value = Value::of(&target, base, field).ok()?;
            Some((name.to_owned(), value.u64()))
        })
        .collect()
}
