//! What a hit of a probe that reads three arguments costs, in nanoseconds of CPU time: a guest calls a
//! function twenty million times, with and without the probe. `scripts/bench.sh` prints it.
//!
//! usage: probe [ROUNDS]

use std::error::Error;
use std::fs;

use emu::{CpuView, Machine, MachineConfig, Observer, Reg, Site, VirtAddr};

#[path = "../tests/guests/mod.rs"]
mod guests;

const CALLS: u32 = 20_000_000;
/// The function that is called.
const FUNCTION: VirtAddr = VirtAddr(guests::BASE + 32);
/// The second instruction of the block that begins where the function returns to.
const INSIDE: VirtAddr = VirtAddr(guests::BASE + 19);

/// Sets a stack, calls [`FUNCTION`] so often, switches the machine off.
#[rustfmt::skip]
fn program() -> Vec<u8> {
    let mut code = vec![
        0x48, 0xc7, 0xc4, 0x00, 0x00, 0x60, 0x00, // mov rsp,0x600000
        0xb9,                                     // mov ecx,CALLS
    ];
    code.extend(CALLS.to_le_bytes());
    code.extend([
        0xe8, 0x0f, 0x00, 0x00, 0x00,             // 1: call f
        0xff, 0xc9,                               // dec ecx
        0x75, 0xf7,                               // jnz 1b
        0x66, 0xba, 0x04, 0x04,                   // mov dx,0x404
        0xb0, 0x34,                               // mov al,0x34
        0xee,                                     // out dx,al
        0xfa, 0xf4, 0xeb, 0xfc,                   // 2: cli; hlt; jmp 2b
        0xc3,                                     // f: ret
    ]);
    code
}

/// Reads three arguments at every hit.
#[derive(Default)]
struct Probe {
    hits: u64,
    fold: u64,
}

impl Observer for Probe {
    fn hit(&mut self, cpu: &mut CpuView<'_>, _at: VirtAddr, _site: Site) {
        self.hits += 1;
        for reg in [Reg::Rdi, Reg::Rsi, Reg::Rdx] {
            self.fold = self.fold.rotate_left(1) ^ cpu.reg(reg);
        }
    }
}

/// Nanoseconds that this process has been on a CPU.
fn cpu_time() -> Result<u64, Box<dyn Error>> {
    let text = fs::read_to_string("/proc/self/schedstat")?;
    let first = text.split_whitespace().next().ok_or("an empty schedstat")?;
    Ok(first.parse()?)
}

/// Nanoseconds of one run, and its hits.
fn run(watch: Option<(VirtAddr, Site)>) -> Result<(u64, u64), Box<dyn Error>> {
    let config = MachineConfig {
        vcpus: 1,
        ram_bytes: 64 << 20,
        ..MachineConfig::default()
    };
    let mut machine = Machine::new(&config, &guests::elf(&program()))?;
    if let Some((at, site)) = watch {
        machine.watch(at, site);
    }
    let mut probe = Probe::default();
    let start = cpu_time()?;
    machine.run(&mut probe, None)?;
    std::hint::black_box(probe.fold);
    Ok((cpu_time()? - start, probe.hits))
}

fn main() -> Result<(), Box<dyn Error>> {
    let rounds: usize = std::env::args().nth(1).map_or(Ok(5), |n| n.parse())?;
    let places = [
        ("at a function's entry", FUNCTION, Site::Block),
        ("inside a block", INSIDE, Site::Instruction),
    ];
    for (name, at, site) in places {
        let mut costs = Vec::new();
        for _ in 0..rounds {
            let (without, _) = run(None)?;
            let (with, hits) = run(Some((at, site)))?;
            if hits != u64::from(CALLS) {
                return Err(format!("{hits} hits of {CALLS}").into());
            }
            costs.push((with as f64 - without as f64) / hits as f64);
        }
        costs.sort_by(f64::total_cmp);
        let (least, most) = (costs[0], costs[costs.len() - 1]);
        let middle = costs[costs.len() / 2];
        println!("{name}: {middle:.1} ns a hit ({least:.1} to {most:.1})");
    }
    Ok(())
}
