//! Guests that use the interrupt hardware: I/O APIC and UART, NMIs, TSC deadlines, logical
//! destinations, and the double fault on its stack.

mod guests;

use emu::{Cycles, ErrorKind, Machine, MachineConfig, Outcome, PolicyKind, VcpuId, VirtAddr};
use guests::{
    Log, Logger, deadline, destinations, machine, machine_with, nmi, overflow, survivor, terminal,
};

fn finish(machine: &mut Machine) -> Log {
    let mut log = Logger::new(|_, _, _| {});
    assert_eq!(machine.run(&mut log, None).unwrap(), Outcome::PowerOff);
    log.log
}

fn config(vcpus: u32) -> MachineConfig {
    MachineConfig {
        vcpus,
        ram_bytes: 64 << 20,
        policy: PolicyKind::Random { seed: 3 },
        ..MachineConfig::default()
    }
}

fn type_all(machine: &mut Machine, at: u64, text: &str) {
    for byte in text.bytes() {
        machine.type_byte(Cycles(at), byte);
    }
}

/// When a byte was typed, and what came back when.
#[test]
fn typed_bytes_interrupt_as_edges_and_as_levels() {
    let mut machine = machine(terminal::CODE, 1);
    for (n, byte) in "ablcdtq".bytes().enumerate() {
        machine.type_byte(Cycles(100_000 * (n as u64 + 1)), byte);
    }
    let log = finish(&mut machine);
    assert_eq!(log.text(), "ablcdt*q", "the transmitter's interrupt once");
    assert_eq!(machine.summary().interrupts, [(0x34, 7)]);
    let at: Vec<u64> = log.console.iter().map(|(s, _)| s.cycles.0).collect();
    // The latency of the message, 2,000 cycles, and the handler up to its OUT.
    for (n, at) in at[..6].iter().enumerate() {
        let typed = 100_000 * (n as u64 + 1);
        assert!((typed + 2_000..typed + 2_030).contains(at), "{at}");
    }
}

/// The receiver has room for one byte without its FIFOs: the others wait for it, and none is lost.
#[test]
fn bytes_typed_at_once_wait_for_room() {
    let mut machine = machine(terminal::CODE, 1);
    type_all(&mut machine, 50_000, "hello, world");
    type_all(&mut machine, 50_000, "fq");
    assert_eq!(finish(&mut machine).text(), "hello, worldfq");
}

/// With FIFOs and a trigger level of 8: eight bytes interrupt at once, fewer after four characters'
/// time.
#[test]
fn the_fifo_interrupts_at_its_level_and_after_its_time_out() {
    let mut machine = machine(terminal::CODE, 1);
    type_all(&mut machine, 10_000, "f");
    type_all(&mut machine, 1_000_000, "12345678");
    type_all(&mut machine, 2_000_000, "abc");
    type_all(&mut machine, 3_000_000, "q");
    let log = finish(&mut machine);
    assert_eq!(log.text(), "f12345678abcq");
    let at = |c: u8| {
        log.console
            .iter()
            .find(|(_, b)| *b == c)
            .unwrap()
            .0
            .cycles
            .0
    };
    assert!((1_002_000..1_002_030).contains(&at(b'1')));
    let timeout = 4 * 86_805;
    let late = at(b'a') - 2_000_000 - timeout;
    assert!((2_000..3_100).contains(&late), "at the next window: {late}");
}

/// Typing is part of the input: whether the bytes are given before the run or when their time has
/// come, and however often the run is interrupted, it is the same run.
#[test]
fn when_the_machine_is_told_does_not_matter() {
    let script = [
        (10_500u64, b'f'),
        (20_000, b'a'),
        (20_000, b'b'),
        (700_123, b'q'),
    ];
    for policy in [PolicyKind::RoundRobin, PolicyKind::Random { seed: 9 }] {
        let config = MachineConfig {
            policy,
            ..config(2)
        };
        let mut known = machine_with(terminal::CODE, &config);
        for (at, byte) in script {
            known.type_byte(Cycles(at), byte);
        }
        let whole = (finish(&mut known), known.digest());
        let mut told = machine_with(terminal::CODE, &config);
        told.expect_input(true);
        let mut log = Logger::new(|_, _, _| {});
        for (at, byte) in script {
            let mut until = told.now().0;
            while until < at {
                until = (until + 3_333).min(at);
                let outcome = told.run(&mut log, Some(Cycles(until))).unwrap();
                assert_eq!(outcome, Outcome::UntilReached);
            }
            told.type_byte(Cycles(at), byte);
        }
        assert_eq!(told.run(&mut log, None).unwrap(), Outcome::PowerOff);
        assert_eq!((log.log, told.digest()), whole);
    }
}

#[test]
fn nobody_types_and_nothing_else_can_come() {
    let mut machine = machine(terminal::CODE, 1);
    let mut log = Logger::new(|_, _, _| {});
    let error = machine.run(&mut log, Some(Cycles(1_000_000))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::HaltForever);
}

/// SDM vol. 3, 6.7.1: an NMI is held while the handler of another runs, up to its IRET. Interrupts
/// being off holds none, and one ends HLT.
#[test]
fn nmis_come_one_at_a_time_and_wake() {
    let mut machine = machine(nmi::CODE, 2);
    let log = finish(&mut machine);
    assert_eq!(log.text(), "NxNxNxW");
    assert_eq!(log.vectors(), [2, 2, 2]);
    assert!(log.exceptions.iter().all(|(s, _)| s.vcpu == VcpuId(1)));
    assert_eq!(machine.summary().interrupts, [(2, 3)]);
}

#[test]
fn deadlines_come_on_time() {
    let mut machine = machine(deadline::CODE, 1);
    let log = finish(&mut machine);
    assert_eq!(log.text(), "TTTpT.");
    for (n, (stamp, _)) in log.exceptions[..3].iter().enumerate() {
        let mut deadline = [0; 8];
        let at = VirtAddr(0x50_0000 + 8 * n as u64);
        machine.read_virt(VcpuId(0), at, &mut deadline).unwrap();
        assert_eq!(stamp.cycles.0, u64::from_le_bytes(deadline), "to the cycle");
    }
}

/// Flat: bits of the LDR. Cluster: its number and a bit. Lowest priority: CPU 2, as CPU 1 has a higher
/// one and CPU 3 the same and comes later. An illegal vector interrupts once until the ESR is written.
#[test]
fn interrupts_reach_whom_they_are_for() {
    for seed in 0..4 {
        let config = MachineConfig {
            policy: PolicyKind::Random { seed },
            ..config(4)
        };
        let mut machine = machine_with(destinations::CODE, &config);
        assert_eq!(finish(&mut machine).text(), "0233EI");
        assert_eq!(machine.summary().interrupts, [(0x50, 8), (0x51, 1)]);
    }
}

/// SDM vol. 3, table 6-5: a page fault while one is delivered is a double fault, whose gate names its
/// own stack (IST); without a gate that works it is a triple fault, which ends the run.
#[test]
fn a_double_fault_has_its_stack_and_a_triple_fault_is_the_end() {
    let mut machine = machine(overflow::CODE, 1);
    let mut log = Logger::new(|_, _, _| {});
    let error = machine.run(&mut log, None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TripleFault);
    assert_eq!(log.log.text(), "D");
    let taken = &log.log.exceptions;
    assert_eq!(taken.len(), 1);
    assert_eq!((taken[0].1.vector, taken[0].1.error_code), (8, Some(0)));
    assert_eq!(
        taken[0].1.cr2,
        VirtAddr(0x5f_fff8),
        "the first word of the frame"
    );
}

/// What the machine lacks is counted under its name; UD2 is there to be refused.
#[test]
fn what_is_not_emulated_is_counted() {
    let mut code = survivor::CODE.to_vec();
    // in al,0x61; xgetbv; ud2; mov ecx,0x3a; rdmsr; power off. The handler skips a byte at a time.
    code.extend([0xe4, 0x61, 0x0f, 0x01, 0xd0, 0x0f, 0x0b, 0xc0]);
    code.extend([0xb9, 0x3a, 0, 0, 0, 0x0f, 0x32, 0xc0]);
    code.extend([0x66, 0xba, 0x04, 0x04, 0xb0, 0x34, 0xee, 0xeb, 0xfe]);
    let mut machine = machine(&code, 1);
    finish(&mut machine);
    let summary = machine.summary();
    assert_eq!(summary.unknown_ports, [(0x61, 1)]);
    assert_eq!(summary.unknown_msrs, [(0x3a, 1)]);
    assert_eq!(summary.unknown_instructions, [("xgetbv".to_owned(), 1)]);
}

/// Every one of these guests, with each instruction counted one by one.
#[test]
fn their_clocks_are_exact() {
    let guests = [
        (terminal::CODE, 1),
        (nmi::CODE, 2),
        (deadline::CODE, 1),
        (destinations::CODE, 4),
    ];
    for (code, vcpus) in guests {
        let run = |verify: bool| {
            let mut machine = machine_with(code, &config(vcpus));
            if verify {
                machine.verify_counts().unwrap();
            }
            type_all(&mut machine, 12_345, "lfabcdefghtq");
            (finish(&mut machine), machine.digest())
        };
        assert_eq!(run(true), run(false));
    }
}
