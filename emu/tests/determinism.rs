//! The promises: same input, same run; and no observer effect.

mod guests;

use emu::{Cycles, Machine, MachineConfig, Outcome, PolicyKind, Site, VirtAddr};
use guests::{BASE, Log, Logger, counting, interrupts, machine_with, processors};

fn config(vcpus: u32, quantum: u64, policy: PolicyKind) -> MachineConfig {
    MachineConfig {
        vcpus,
        ram_bytes: 64 << 20,
        quantum: Cycles(quantum),
        policy,
        ..MachineConfig::default()
    }
}

fn finish(machine: &mut Machine) -> (Log, [u8; 32]) {
    let mut log = Logger::new(|_, _, _| {});
    assert_eq!(machine.run(&mut log, None).unwrap(), Outcome::PowerOff);
    (log.log, machine.digest())
}

const SEEDED: PolicyKind = PolicyKind::Random { seed: 42 };

#[test]
fn twice_the_same() {
    for policy in [PolicyKind::RoundRobin, SEEDED] {
        for (code, vcpus) in [
            (interrupts::CODE, 2),
            (processors::CODE, 4),
            (counting::CODE, 1),
        ] {
            let config = config(vcpus, 1_000, policy);
            let first = finish(&mut machine_with(code, &config));
            let second = finish(&mut machine_with(code, &config));
            assert_eq!(first, second);
        }
    }
}

#[test]
fn another_seed_or_quantum_is_another_run() {
    let digest = |q, policy| finish(&mut machine_with(processors::CODE, &config(4, q, policy))).1;
    let reference = digest(1_000, SEEDED);
    assert_ne!(reference, digest(1_000, PolicyKind::Random { seed: 43 }));
    assert_ne!(reference, digest(1_000, PolicyKind::RoundRobin));
    assert_ne!(reference, digest(500, SEEDED));
}

#[test]
fn one_changed_instruction_changes_the_digest() {
    let config = config(4, 1_000, PolicyKind::RoundRobin);
    let mut code = processors::CODE.to_vec();
    // mov ecx, 1000 of the contending loop becomes 1001 for everyone: the K is no longer printed.
    let at = code
        .windows(5)
        .position(|w| w == [0xb9, 0xe8, 0x03, 0, 0])
        .unwrap();
    code[at + 1] = 0xe9;
    let (log, digest) = finish(&mut machine_with(&code, &config));
    let (reference_log, reference) = finish(&mut machine_with(processors::CODE, &config));
    assert_ne!(digest, reference);
    assert_ne!(log.text(), reference_log.text());
}

#[test]
fn stopping_and_going_on_changes_nothing() {
    for (code, vcpus) in [(interrupts::CODE, 2), (processors::CODE, 4)] {
        let config = config(vcpus, 1_000, SEEDED);
        let whole = finish(&mut machine_with(code, &config));
        let mut machine = machine_with(code, &config);
        let mut log = Logger::new(|_, _, _| {});
        let mut time = 0;
        loop {
            time += 1_700;
            match machine.run(&mut log, Some(Cycles(time))).unwrap() {
                Outcome::UntilReached => {}
                outcome => break assert_eq!(outcome, Outcome::PowerOff),
            }
        }
        assert_eq!((log.log, machine.digest()), whole);
    }
}

/// SplitMix64, for the addresses of the next test.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ *state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// A thousand sites at random addresses of the code, in the middle of blocks and of instructions,
/// half of them added in the middle of the run by an observer: nothing changes but the hits.
#[test]
fn a_thousand_extra_sites_move_nothing() {
    for (code, vcpus) in [
        (interrupts::CODE, 2),
        (processors::CODE, 4),
        (counting::CODE, 1),
    ] {
        let config = config(vcpus, 1_000, SEEDED);
        let bare = finish(&mut machine_with(code, &config));
        let mut seed = 7;
        let mut at = || VirtAddr(BASE + random(&mut seed) % code.len() as u64);
        let mut machine = machine_with(code, &config);
        for n in 0..500 {
            machine.watch(
                at(),
                if n % 5 == 0 {
                    Site::Block
                } else {
                    Site::Instruction
                },
            );
        }
        let mut later: Vec<VirtAddr> = (0..500).map(|_| at()).collect();
        let mut hits = 0u64;
        let mut blocks = 0u64;
        let mut log = Logger::new(|cpu, at, site| {
            hits += 1;
            blocks += u64::from(site == Site::Block);
            let mut byte = [0];
            cpu.read_virt(at, &mut byte).unwrap();
            assert_eq!(
                cpu.reg(emu::Reg::Rip),
                at.0,
                "the hit is before the instruction"
            );
            // Half at the 40th hit, from inside the callback; then remove some again.
            if hits == 40 {
                later
                    .drain(..)
                    .for_each(|at| cpu.watch(at, Site::Instruction));
            }
            if hits.is_multiple_of(100) {
                cpu.unwatch(at, site);
            }
        });
        assert_eq!(machine.run(&mut log, None).unwrap(), Outcome::PowerOff);
        assert_eq!((log.log.clone(), machine.digest()), bare);
        drop(log);
        assert!(
            hits > 100 && blocks > 0,
            "{hits} hits, {blocks} at block starts"
        );
        assert!(later.is_empty());
    }
}

/// The same stamps at a site, whether it is alone or among many.
#[test]
fn stamps_do_not_depend_on_other_sites() {
    let config = config(4, 1_000, SEEDED);
    let site = VirtAddr(BASE + 0xca);
    let stamps = |extra: bool| {
        let mut machine = machine_with(processors::CODE, &config);
        let mut stamps = Vec::new();
        if extra {
            for at in 0..processors::CODE.len() as u64 {
                machine.watch(VirtAddr(BASE + at), Site::Instruction);
            }
        }
        machine.watch(site, Site::Instruction);
        let mut log = Logger::new(|cpu, at, _| {
            if at == site {
                stamps.push(cpu.stamp());
            }
        });
        machine.run(&mut log, None).unwrap();
        drop(log);
        stamps
    };
    let alone = stamps(false);
    assert!(!alone.is_empty());
    assert_eq!(alone, stamps(true));
}
