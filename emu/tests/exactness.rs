//! Block counts against a count of every instruction, at every instruction and every event: faults,
//! REP, HLT, device accesses, MSRs and interrupts included.

mod guests;

use emu::{Cycles, MachineConfig, Outcome, PolicyKind};
use guests::{
    Log, Logger, counting, hello, interrupts, machine_with, patched, privilege, processors,
};

fn run(code: &[u8], vcpus: u32, quantum: u64, verify: bool) -> (Log, [u8; 32]) {
    let config = MachineConfig {
        vcpus,
        ram_bytes: 64 << 20,
        quantum: Cycles(quantum),
        policy: PolicyKind::Random { seed: 5 },
        ..MachineConfig::default()
    };
    let mut machine = machine_with(code, &config);
    if verify {
        machine.verify_counts().unwrap();
    }
    let mut log = Logger::new(|_, _, _| {});
    assert_eq!(machine.run(&mut log, None).unwrap(), Outcome::PowerOff);
    (log.log, machine.digest())
}

#[test]
fn every_clock_is_the_number_of_instructions() {
    let guests = [
        (hello::CODE, 1),
        (interrupts::CODE, 2),
        (processors::CODE, 4),
        (counting::CODE, 1),
        (privilege::CODE, 1),
        (patched::CODE, 1),
    ];
    for (code, vcpus) in guests {
        for quantum in [1_000, 100, 37] {
            assert_eq!(
                run(code, vcpus, quantum, true),
                run(code, vcpus, quantum, false)
            );
        }
    }
}

#[test]
fn a_rep_counts_its_iterations_and_the_final_test_across_a_fault() {
    let (log, _) = run(counting::CODE, 1, 1_000, false);
    let page_fault = log.exceptions.iter().find(|(_, e)| e.vector == 14).unwrap();
    let protection = log.exceptions.iter().find(|(_, e)| e.vector == 13).unwrap();
    // REP of 20: 12 iterations before the absent page, 8 and the final test after it; the handler
    // has 13 instructions; 4 more until the RDMSR that faults.
    let between = protection.0.insns.0 - page_fault.0.insns.0;
    assert_eq!(page_fault.1.cr2.0, 0x60_0000);
    assert_eq!(between, 13 + 9 + 4);
}

#[test]
fn patched_code_does_and_counts_what_it_is_now() {
    let (log, _) = run(patched::CODE, 1, 1_000, false);
    // RDMSR, then a NOP in its place; 2 + 4 instructions, then 2 + 1. In user mode #GP, and no value.
    assert_eq!(log.text(), "RNgdRNgdRNgdG3");
}
