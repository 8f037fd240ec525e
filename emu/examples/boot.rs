//! Boots an image and prints its console: the tool for debugging a kernel before anything else
//! works. A bzImage has no symbols; `--debug` names the ELF file that has them.
//!
//! `boot KERNEL [--initrd FILE] [--debug VMLINUX] [--smp N] [--mem MIB] [--append "..."] [--until NS] [--quantum Q] [--seed S]`
//! `     [--exceptions] [--interrupts] [--break ADDR|SYMBOL]... [--hang NS] [--quiet] [--verify]
//! [--digest] [--sites N] [--registers]`
//!
//! `--exceptions` prints every exception taken, `--interrupts` every device interrupt, `--break` a
//! line with registers whenever the function is entered. Errors come with the registers of every
//! vCPU and the last blocks, with symbols.

use std::io::Write;
use std::process::ExitCode;

use emu::{
    CpuView, Cycles, Exception, Kernel, Machine, MachineConfig, Observer, PolicyKind, Reg, Site,
    Stamp, VcpuId, VirtAddr,
};
use object::{Object, ObjectSymbol};

struct Symbols(Vec<(u64, u64, String)>);

impl Symbols {
    fn new(elf: &[u8]) -> Self {
        let mut all: Vec<(u64, u64, String)> = object::File::parse(elf)
            .map(|file| {
                file.symbols()
                    .filter(|s| s.kind() == object::SymbolKind::Text)
                    .filter_map(|s| Some((s.address(), s.size(), s.name().ok()?.to_string())))
                    .collect()
            })
            .unwrap_or_default();
        all.sort();
        Self(all)
    }

    fn name(&self, at: u64) -> String {
        let n = self.0.partition_point(|s| s.0 <= at);
        match self.0[..n].last() {
            Some((start, _, name)) if at - start < 1 << 20 => {
                format!("{at:#x} {name}+{:#x}", at - start)
            }
            _ => format!("{at:#x}"),
        }
    }

    fn find(&self, name: &str) -> Option<u64> {
        self.0.iter().find(|s| s.2 == name).map(|s| s.0)
    }
}

struct Printer {
    symbols: Symbols,
    exceptions: bool,
    interrupts: bool,
    quiet: bool,
    line_start: bool,
    count_only: bool,
    hits: u64,
}

impl Printer {
    fn note(&mut self, text: String) {
        if !self.line_start {
            println!();
        }
        println!("{text}");
        self.line_start = true;
    }
}

impl Observer for Printer {
    fn hit(&mut self, cpu: &mut CpuView<'_>, at: VirtAddr, _site: Site) {
        self.hits += 1;
        if self.count_only {
            return;
        }
        let args = [Reg::Rdi, Reg::Rsi, Reg::Rdx, Reg::Rcx, Reg::R8, Reg::R9].map(|r| cpu.reg(r));
        let mut caller = [0; 8];
        let _ = cpu.read_virt(VirtAddr(cpu.reg(Reg::Rsp)), &mut caller);
        let caller = self.symbols.name(u64::from_le_bytes(caller));
        let s = cpu.stamp();
        cpu.note_progress();
        let text = format!(
            "[break] {} cpu{} {} args {args:x?} from {caller}",
            s.cycles,
            s.vcpu,
            self.symbols.name(at.0)
        );
        self.note(text);
    }

    fn console(&mut self, _at: Stamp, byte: u8) {
        if self.quiet {
            return;
        }
        let _ = std::io::stdout().write_all(&[byte]);
        self.line_start = byte == b'\n';
    }

    fn exception(&mut self, at: Stamp, e: Exception) {
        if if e.external {
            self.interrupts
        } else {
            self.exceptions
        } {
            let text = format!(
                "[vector {:#x}] {} cpu{} rip {} error {:x?} cr2 {}",
                e.vector,
                at.cycles,
                at.vcpu,
                self.symbols.name(e.rip.0),
                e.error_code,
                self.symbols.name(e.cr2.0)
            );
            self.note(text);
        }
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(e) => {
            eprintln!("boot: {e}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<ExitCode, String> {
    let mut args = std::env::args().skip(1);
    let mut config = MachineConfig {
        vcpus: 1,
        ..MachineConfig::default()
    };
    let (mut image, mut until, mut breaks) = (None, None, Vec::new());
    let (mut initrd, mut debug) = (None, None);
    let (mut exceptions, mut interrupts, mut quiet) = (false, false, false);
    let (mut verify, mut digest, mut sites, mut registers) = (false, false, 0, false);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} needs a value"));
        let number = |s: String| s.parse::<u64>().map_err(|e| format!("{s}: {e}"));
        match arg.as_str() {
            "--smp" => config.vcpus = number(value()?)? as u32,
            "--mem" => config.ram_bytes = number(value()?)? << 20,
            "--initrd" => initrd = Some(value()?),
            "--debug" => debug = Some(value()?),
            "--append" => config.command_line = value()?,
            "--until" => until = Some(Cycles(number(value()?)?)),
            "--quantum" => config.quantum = Cycles(number(value()?)?),
            "--seed" => {
                config.policy = PolicyKind::Random {
                    seed: number(value()?)?,
                }
            }
            "--hang" => config.hang_limit = Cycles(number(value()?)?),
            "--break" => breaks.push(value()?),
            "--exceptions" => exceptions = true,
            "--interrupts" => interrupts = true,
            "--quiet" => quiet = true,
            "--sites" => sites = number(value()?)?,
            "--verify" => verify = true,
            "--digest" => digest = true,
            "--registers" => registers = true,
            _ => image = Some(arg),
        }
    }
    let image = image.ok_or("no image given")?;
    let read = |path: &String| std::fs::read(path).map_err(|e| format!("{path}: {e}"));
    let file = read(&image)?;
    let kernel = Kernel::open(&file).map_err(|e| e.to_string())?;
    let initrd = initrd.as_ref().map(read).transpose()?;
    let mut machine =
        Machine::boot(&config, &kernel, initrd.as_deref()).map_err(|e| e.to_string())?;
    let symbols = match debug.as_ref().map(read).transpose()? {
        Some(debug) => Symbols::new(&debug),
        None => Symbols::new(kernel.elf()),
    };
    for b in breaks {
        let hex = b
            .strip_prefix("0x")
            .and_then(|h| u64::from_str_radix(h, 16).ok());
        let at = hex
            .or_else(|| symbols.find(&b))
            .ok_or(format!("no symbol {b}"))?;
        machine.watch(VirtAddr(at), Site::Block);
    }
    if verify {
        machine.verify_counts().map_err(|e| e.to_string())?;
    }
    let mut printer = Printer {
        symbols,
        exceptions,
        interrupts,
        quiet,
        line_start: true,
        count_only: false,
        hits: 0,
    };
    // Half of the sites before the run, half after its first 20 ms.
    let outcome = if sites == 0 {
        machine.run(&mut printer, until)
    } else {
        let first = printer.symbols.0.first().map_or(0, |s| s.0);
        let length = printer.symbols.0.last().map_or(1, |s| s.0 + s.1 - first);
        let mut seed = 88172645463325252u64;
        let mut next = || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            VirtAddr(first + seed % length)
        };
        printer.count_only = true;
        (0..sites / 2).for_each(|_| machine.watch(next(), Site::Instruction));
        machine
            .run(&mut printer, Some(Cycles(20_000_000)))
            .and_then(|_| {
                (0..sites / 2).for_each(|_| machine.watch(next(), Site::Instruction));
                machine.run(&mut printer, until)
            })
    };
    if sites != 0 {
        eprintln!("boot: {} hits", printer.hits);
    }
    if !printer.line_start {
        println!();
    }
    let failed = outcome.is_err();
    match outcome {
        Ok(outcome) => eprintln!("boot: {outcome:?} at {} ns", machine.now()),
        Err(e) => {
            eprintln!("boot: {:?}: {e}", e.kind());
            if let Some(rip) = e.rip() {
                eprintln!("  rip {}", printer.symbols.name(rip.0));
            }
            eprint!("{}", e.registers());
            for cpu in 0..config.vcpus {
                backtrace(&machine, VcpuId(cpu), &printer.symbols);
            }
            eprintln!("last blocks, oldest first:");
            for b in e.last_blocks() {
                eprintln!("  {}", printer.symbols.name(b.0));
            }
        }
    }
    for cpu in 0..config.vcpus {
        let s = machine.stamp(VcpuId(cpu));
        eprintln!("cpu{cpu}: {} cycles, {} instructions", s.cycles, s.insns);
    }
    eprintln!(
        "longest stretch {}, {:?}",
        machine.longest_stretch(),
        machine.summary()
    );
    if registers {
        eprint!("{}", machine.registers());
    }
    if digest {
        let hex = machine.digest().map(|b| format!("{b:02x}")).concat();
        eprintln!("digest {hex}");
    }
    Ok(ExitCode::from(if failed { 3 } else { 0 }))
}

/// Frame-pointer chain of a vCPU.
fn backtrace(machine: &Machine, cpu: VcpuId, symbols: &Symbols) {
    eprintln!(
        "cpu{cpu} backtrace: {}",
        symbols.name(machine.reg(cpu, Reg::Rip))
    );
    let mut frame = machine.reg(cpu, Reg::Rbp);
    for _ in 0..24 {
        let mut words = [0; 16];
        if frame == 0 || machine.read_virt(cpu, VirtAddr(frame), &mut words).is_err() {
            break;
        }
        let word = |n: usize| u64::from_le_bytes(words[8 * n..8 * n + 8].try_into().unwrap());
        if word(1) == 0 {
            break;
        }
        eprintln!("    {}", symbols.name(word(1)));
        if word(0) <= frame {
            break;
        }
        frame = word(0);
    }
}
