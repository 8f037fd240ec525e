//! Fuzzers for guests and for device registers: whatever a guest does, the machine answers with an
//! outcome or an error, in bounded time, and touches no memory of the host but the guest's.
//!
//! Each batch of cases runs in a process of its own, since a guard page around guest memory ends the
//! process that touches it, as an abort in the engine would. The parent names the case that did it:
//! `KREPLAY_FUZZ=kind:seed:1 cargo test -p emu --test fuzz child -- --nocapture` repeats it. All cases
//! come from their seed. KREPLAY_LONG runs a hundred times as many.

mod guests;

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use emu::{Cycles, ErrorKind, Kernel, Machine, MachineConfig, PolicyKind, Topology};
use guests::{BASE, Logger, elf, elf_at, machine_with};

/// The variable that makes a process a child: `kind:first seed:cases`.
const CHILD: &str = "KREPLAY_FUZZ";

/// A case takes well under a second; a child that says nothing for so long hangs.
const SILENCE: Duration = Duration::from_secs(120);

/// Our generator (SplitMix64): the same case from the same seed, everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| self.next() as u8).collect()
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }

    /// An address or value that something may trip over.
    fn word(&mut self) -> u64 {
        let near = self.below(64);
        match self.below(12) {
            0 => 0,
            1 => BASE + self.below(0x1_0000),
            2 => self.below(64 << 20),
            3 => (64 << 20) - near,
            4 => 0xfee0_0000 + self.below(0x1000),
            5 => 0xfec0_0000 + self.below(0x1000),
            6 => 0x8000_0000_0000_0000 | self.next() >> 1,
            7 => 0x0000_8000_0000_0000 - near,
            8 => u64::MAX - near,
            9 => 0x7_0000 + self.below(0x6000),
            10 => 1 << self.below(64),
            _ => self.next(),
        }
    }
}

/// Instructions that change how the machine works, or that a machine gets wrong easily.
const PIECES: &[&[u8]] = &[
    &[0x0f, 0x01, 0x10],       // lgdt [rax]
    &[0x0f, 0x01, 0x18],       // lidt [rax]
    &[0x0f, 0x00, 0xd8],       // ltr ax
    &[0x0f, 0x00, 0xd0],       // lldt ax
    &[0x0f, 0x22, 0xc0],       // mov cr0, rax
    &[0x0f, 0x22, 0xd8],       // mov cr3, rax
    &[0x0f, 0x22, 0xe0],       // mov cr4, rax
    &[0x44, 0x0f, 0x22, 0xc0], // mov cr8, rax
    &[0x0f, 0x23, 0xc0],       // mov dr0, rax
    &[0x0f, 0x23, 0xf8],       // mov dr7, rax
    &[0x0f, 0x30],             // wrmsr
    &[0x0f, 0x32],             // rdmsr
    &[0xed],                   // in eax, dx
    &[0xef],                   // out dx, eax
    &[0x6c],                   // insb
    &[0x6e],                   // outsb
    &[0xf3, 0x6e],             // rep outsb
    &[0x48, 0xcf],             // iretq
    &[0xcf],                   // iretd
    &[0x48, 0xcb],             // retfq
    &[0x0f, 0x05],             // syscall
    &[0x48, 0x0f, 0x07],       // sysretq
    &[0x0f, 0x34],             // sysenter
    &[0x0f, 0x35],             // sysexit
    &[0xf4],                   // hlt
    &[0xcd, 0x80],             // int 0x80
    &[0xcc],                   // int3
    &[0xf1],                   // int1
    &[0x0f, 0x0b],             // ud2
    &[0xf3, 0xa4],             // rep movsb
    &[0xf3, 0x48, 0xab],       // rep stosq
    &[0xfb],                   // sti
    &[0xfa],                   // cli
    &[0x8e, 0xd0],             // mov ss, ax
    &[0x8e, 0xe8],             // mov gs, ax
    &[0x0f, 0x01, 0xf8],       // swapgs
    &[0x0f, 0x01, 0x38],       // invlpg [rax]
    &[0x0f, 0xae, 0x00],       // fxsave [rax]
    &[0x0f, 0xae, 0x08],       // fxrstor [rax]
    &[0x0f, 0xae, 0x20],       // xsave [rax]
    &[0xdb, 0xe3],             // fninit
    &[0x9d],                   // popf
    &[0x9c],                   // pushf
    &[0x0f, 0xa2],             // cpuid
    &[0x0f, 0x31],             // rdtsc
    &[0x0f, 0x01, 0xf9],       // rdtscp
    &[0xff, 0x28],             // jmp far [rax]
    &[0x48, 0x89, 0x18],       // mov [rax], rbx
    &[0x48, 0x8b, 0x18],       // mov rbx, [rax]
    &[0x89, 0x18],             // mov [rax], ebx
    &[0x8b, 0x18],             // mov ebx, [rax]
    &[0x0f, 0xc7, 0x08],       // cmpxchg8b [rax]
    &[0x48, 0x0f, 0xc7, 0x08], // cmpxchg16b [rax]
    &[0xc5, 0xf8, 0x77],       // vzeroupper
    &[0x0f, 0x01, 0xc1],       // vmcall
    &[0x0f, 0x01, 0xd8],       // vmrun
    &[0x0f, 0xaa],             // rsm
    &[0x0f, 0x09],             // wbinvd
    &[0xe6, 0x80],             // out 0x80, al
];

fn mov(code: &mut Vec<u8>, register: u8, value: u64) {
    code.extend([0x48 | register >> 3, 0xb8 | register & 7]);
    code.extend(value.to_le_bytes());
}

/// Pieces with fresh registers before some, and random bytes between.
fn program(random: &mut Random) -> Vec<u8> {
    let mut code = Vec::new();
    for register in 0..16 {
        mov(&mut code, register, random.word());
    }
    for _ in 0..random.below(40) {
        for register in [0, 1, 2, 3] {
            if random.below(3) == 0 {
                mov(&mut code, register, random.word());
            }
        }
        code.extend_from_slice(random.pick(PIECES));
    }
    let noise = random.below(256) as usize;
    code.extend(random.bytes(noise));
    code
}

fn config(random: &mut Random, vcpus: u32) -> MachineConfig {
    MachineConfig {
        vcpus,
        ram_bytes: 64 << 20,
        quantum: Cycles(random.pick(&[10, 100, 1_000])),
        policy: random.pick(&[PolicyKind::RoundRobin, PolicyKind::Random { seed: 3 }]),
        ..MachineConfig::default()
    }
}

/// Runs a guest for a while. Any answer is right but that the machine itself is broken.
fn run(machine: &mut Machine) {
    let mut log = Logger::new(|_, _, _| {});
    let end = machine.run(&mut log, Some(Cycles(20_000)));
    if let Err(error) = end {
        assert_ne!(error.kind(), ErrorKind::Engine, "{error}");
        assert!(!error.message().is_empty());
        return;
    }
    // What ran to a window's end can be looked at and gone on from.
    machine.summary();
    if let Ok(snapshot) = machine.snapshot() {
        machine.restore(&snapshot).expect("its own snapshot");
        let _ = machine.run(&mut log, Some(Cycles(21_000)));
    }
}

/// Random programs in long mode, at ring 0, with no descriptor tables but the loader's.
fn long_mode(random: &mut Random) {
    let code = program(random);
    let config = config(random, 1);
    run(&mut machine_with(&code, &config));
}

/// Random bytes where an AP starts, in real mode: CPU 0 copies them to 0x8000 and sends INIT and SIPI.
fn real_mode(random: &mut Random) {
    let mut code = Vec::new();
    mov(&mut code, 7, 0x8000); // rdi
    let source = code.len() + 2;
    mov(&mut code, 6, 0); // rsi, below
    mov(&mut code, 1, 512); // rcx
    code.extend([0xf3, 0xa4]); // rep movsb
    mov(&mut code, 5, 0xfee0_0000); // rbp
    for (register, value) in [(0xf0u32, 0x1ffu32), (0x300, 0xc4500), (0x300, 0xc4608)] {
        code.extend([0xc7, 0x85]); // mov dword ptr [rbp + register], value
        code.extend(register.to_le_bytes());
        code.extend(value.to_le_bytes());
    }
    code.extend([0xf3, 0x90, 0xeb, 0xfc]); // pause; jmp
    let at = BASE + code.len() as u64;
    code[source..source + 8].copy_from_slice(&at.to_le_bytes());
    for _ in 0..random.below(30) {
        code.extend_from_slice(random.pick(PIECES));
        let noise = random.below(6) as usize;
        code.extend(random.bytes(noise));
    }
    code.extend(random.bytes(512));
    let config = config(random, 2);
    run(&mut machine_with(&code, &config));
}

/// Random interrupt and segment descriptors and page tables, and an exception to use them.
fn tables(random: &mut Random) {
    let mut code = Vec::new();
    let (table, pointer) = (BASE + 0x4000, BASE + 0x3000);
    mov(&mut code, 4, random.word());
    mov(&mut code, 0, pointer);
    if random.below(4) != 0 {
        code.extend([0x0f, 0x01, 0x18]); // lidt [rax]
    }
    if random.below(3) == 0 {
        mov(&mut code, 0, pointer + 16);
        code.extend([0x0f, 0x01, 0x10]); // lgdt [rax]
        code.extend([0x66, 0xb8, random.next() as u8 & 0xf8, 0, 0x0f, 0x00, 0xd8]); // ltr
    }
    if random.below(3) == 0 {
        mov(&mut code, 0, BASE + 0x8000);
        code.extend([0x0f, 0x22, 0xd8]); // mov cr3, rax
    }
    for _ in 0..8 {
        code.extend_from_slice(random.pick(PIECES));
        mov(&mut code, 0, random.word());
    }
    code.resize(0x3000, 0x90);
    for base in [table, table + 0x1000] {
        code.extend((random.next() as u16).to_le_bytes());
        code.extend(
            if random.below(8) == 0 {
                random.word()
            } else {
                base
            }
            .to_le_bytes(),
        );
        code.resize(code.len() + 6, 0);
    }
    code.resize(0x4000, 0);
    for _ in 0..32 {
        // Gates that are nearly right: present, to this code or anywhere, with any stack.
        let to = match random.below(3) {
            0 => random.word(),
            _ => BASE + random.below(0x3000),
        };
        let any = random.next() as u8;
        let kind = random.pick(&[0x8e, 0x8f, 0xee, 0x0e, any]);
        let low = to & 0xffff
            | 0x10 << 16
            | random.below(8) << 32
            | u64::from(kind) << 40
            | (to >> 16 & 0xffff) << 48;
        code.extend(low.to_le_bytes());
        code.extend((to >> 32).to_le_bytes());
    }
    code.resize(0x8000, 0);
    for _ in 0..512 {
        let entry = match random.below(3) {
            0 => 0x7_1003,
            1 => random.word(),
            _ => BASE + 0x8003,
        };
        code.extend(entry.to_le_bytes());
    }
    let config = config(random, 1);
    run(&mut machine_with(&code, &config));
}

/// Random accesses to every register of every device, of every size, with interrupts and input.
fn devices(random: &mut Random) {
    const PORTS: [u64; 12] = [
        0x3f8, 0x3f9, 0x3fa, 0x3fb, 0x3fc, 0x3fd, 0x70, 0x71, 0x404, 0x405, 0xcf9, 0x64,
    ];
    let mut code = Vec::new();
    mov(&mut code, 4, BASE + 0xf000);
    // No descriptor for any vector: interrupts stay off in most cases.
    if random.below(8) == 0 {
        code.push(0xfb);
    }
    for _ in 0..200 {
        let base = random.pick(&[0xfee0_0000, 0xfee0_0000, 0xfec0_0000]);
        let offset = match (base, random.below(10)) {
            (_, 0) => random.below(0x1000),
            (0xfec0_0000, _) => random.pick(&[0, 0x10, 0x40]),
            _ => random.below(0x40) * 16,
        };
        mov(&mut code, 0, base + offset);
        mov(
            &mut code,
            3,
            random.pick(&[random.0, 0x1ff, 0x200ff, 1 << (random.0 % 32)]),
        );
        match random.below(16) {
            0..5 => code.extend([0x89, 0x18]),
            5..9 => code.extend([0x8b, 0x18]),
            9 => code.extend_from_slice(random.pick(PIECES)),
            _ => {
                let port = match random.below(5) {
                    0 => random.below(0x1_0000),
                    // The machine switches itself off at one, resets at others: rarely.
                    _ if random.below(8) != 0 => PORTS[random.below(8) as usize],
                    _ => random.pick(&PORTS),
                };
                mov(&mut code, 2, port);
                mov(&mut code, 0, random.0);
                let accesses: [&[u8]; 6] =
                    [&[0xec], &[0xee], &[0xec], &[0xee], &[0xed], &[0x66, 0xef]];
                code.extend_from_slice(random.pick(&accesses));
            }
        }
    }
    code.push(0xf4);
    let vcpus = random.pick(&[1, 2, 5]);
    let config = config(random, vcpus);
    let mut machine = machine_with(&code, &config);
    for _ in 0..random.below(40) {
        machine.type_byte(Cycles(random.below(20_000)), random.next() as u8);
    }
    run(&mut machine);
}

/// Changed, cut and invented kernel files, and configurations of all kinds.
fn files(random: &mut Random) {
    let code = program(random);
    let mut file = match random.below(3) {
        0 => elf(&code),
        1 => elf_at(&code, random.word(), random.word()),
        _ => {
            // What a bzImage begins with: magics at 0x1fe and 0x202.
            let mut file = random.bytes(0x4000);
            file[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
            file[0x202..0x206].copy_from_slice(b"HdrS");
            file[0x206..0x208].copy_from_slice(&[0x0f, 0x02]);
            file[0x1f1] = random.below(40) as u8;
            file
        }
    };
    for _ in 0..random.below(8) {
        let at = random.below(file.len().min(0x300) as u64) as usize;
        file[at] = random.pick(&[0, 1, 0x7f, 0x80, 0xff, random.0 as u8]);
    }
    if random.below(4) == 0 {
        file.truncate(random.below(file.len() as u64 + 1) as usize);
    }
    let mut config = config(random, 1);
    if random.below(3) == 0 {
        config.vcpus = random.pick(&[0, 1, 3, 64, 65, u32::MAX]);
        config.quantum = Cycles(random.word());
        config.ram_bytes = random.pick(&[0, 1, 64 << 20, (64 << 20) + 1, u64::MAX]);
        config.ipi_latency = random.pick(&[None, Some(Cycles(random.0)), Some(Cycles(1))]);
        config.topology = Some(Topology {
            packages: random.pick(&[0, 1, 2, u32::MAX]),
            cores: random.pick(&[0, 1, 3, u32::MAX]),
            threads: random.pick(&[0, 1, 2, u32::MAX]),
            nodes: random.pick(&[0, 1, 2, u32::MAX]),
        });
        config.command_line = "x".repeat(random.below(4_000) as usize);
    }
    if let Err(error) = Kernel::open(&file) {
        assert_eq!(error.kind(), ErrorKind::BadImage, "{error}");
        return;
    }
    match Machine::new(&config, &file) {
        Ok(mut machine) => run(&mut machine),
        Err(error) => assert!(
            matches!(error.kind(), ErrorKind::BadImage | ErrorKind::BadConfig),
            "{error}"
        ),
    }
}

type Case = fn(&mut Random);

const KINDS: [(&str, Case); 5] = [
    ("long-mode", long_mode),
    ("real-mode", real_mode),
    ("tables", tables),
    ("devices", devices),
    ("files", files),
];

/// The child: says which case begins, and runs it. Does nothing in an ordinary run of the tests.
#[test]
fn child() {
    let Ok(what) = std::env::var(CHILD) else {
        return;
    };
    let mut parts = what.split(':');
    let kind = parts.next().unwrap();
    let mut number = || parts.next().unwrap().parse::<u64>().unwrap();
    let (first, cases) = (number(), number());
    let case = KINDS.iter().find(|(name, _)| *name == kind).unwrap().1;
    for seed in first..first + cases {
        println!("case {kind}:{seed}");
        std::io::stdout().flush().unwrap();
        case(&mut Random(seed.wrapping_mul(0x1000_0001)));
    }
    println!("case all");
}

/// Runs the cases of a kind in a child and waits for it; a child that dies or hangs is a failure that
/// names its last case.
fn batch(kind: &str, first: u64, cases: u64) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--nocapture"])
        .env(CHILD, format!("{kind}:{first}:{cases}"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        lines
            .map_while(Result::ok)
            .filter(|line| line.contains("case "))
            .all(|line| tell.send(line).is_ok())
    });
    let mut last = String::new();
    loop {
        match told.recv_timeout(SILENCE) {
            Ok(line) => last = line,
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!("{last} hangs: nothing for {SILENCE:?}");
            }
        }
    }
    let status = child.wait().unwrap();
    assert!(
        status.success() && last.ends_with("case all"),
        "{last} ended the process: {status}"
    );
}

fn cases(few: u64) -> u64 {
    match std::env::var_os("KREPLAY_LONG") {
        Some(_) => few * 100,
        None => few,
    }
}

#[test]
fn any_program_in_long_mode() {
    batch("long-mode", 1, cases(30));
}

#[test]
fn any_program_in_real_mode() {
    batch("real-mode", 1, cases(12));
}

#[test]
fn any_descriptor_and_page_tables() {
    batch("tables", 1, cases(30));
}

#[test]
fn any_access_to_any_device() {
    batch("devices", 1, cases(30));
}

#[test]
fn any_kernel_file_and_configuration() {
    batch("files", 1, cases(60));
}

/// A page-fault handler that cannot be fetched, on a stack of its own: every attempt raises the next,
/// and no instruction ever retires. Real hardware would do that for ever.
#[test]
fn exceptions_without_an_instruction_between_them_end() {
    let (gate, pointer, stack) = (BASE + 0x2000, BASE + 0x1000, BASE + 0x8000);
    let mut code = Vec::new();
    mov(&mut code, 0, pointer);
    code.extend([0x0f, 0x01, 0x18]); // lidt [rax]
    code.extend([0x0f, 0x01, 0x50, 0x10]); // lgdt [rax + 16]
    code.extend([0x66, 0xb8, 0x20, 0, 0x0f, 0x00, 0xd8]); // ltr 0x20
    mov(&mut code, 0, 0x10_0000_0000); // no page is there
    code.extend([0x8a, 0x00]); // mov al, [rax]
    code.resize(0x1000, 0);
    code.extend(0xfffu16.to_le_bytes());
    code.extend(gate.to_le_bytes());
    code.resize(0x1010, 0);
    code.extend(0xffu16.to_le_bytes());
    code.extend((BASE + 0x3000).to_le_bytes());
    code.resize(0x2000 + 14 * 16, 0);
    let to: u64 = 0x20_0000_0000;
    let low = to & 0xffff | 0x10 << 16 | 1 << 32 | 0x8e << 40 | (to >> 16 & 0xffff) << 48;
    code.extend(low.to_le_bytes());
    code.extend((to >> 32).to_le_bytes());
    code.resize(0x3010, 0);
    let tss = BASE + 0x4000;
    code.extend(0x00af_9b00_0000_ffffu64.to_le_bytes());
    code.extend(0x00cf_9300_0000_ffffu64.to_le_bytes());
    let low = 0x67 | (tss & 0xff_ffff) << 16 | 0x89 << 40 | (tss >> 24 & 0xff) << 56;
    code.extend(low.to_le_bytes());
    code.extend((tss >> 32).to_le_bytes());
    code.resize(0x4000 + 36, 0);
    code.extend(stack.to_le_bytes()); // IST1
    let config = config(&mut Random(1), 1);
    let mut machine = machine_with(&code, &config);
    let mut log = Logger::new(|_, _, _| {});
    let error = machine.run(&mut log, None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Hang, "{error}");
    assert!(error.message().contains("vector 14"), "{error}");
}
