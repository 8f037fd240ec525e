//! The built-in kernel's boot with every instruction counted one by one: the clocks made from blocks
//! must agree at each of them and at every event, interrupts must land at legal stops only, and the
//! run must be the one that is not watched so closely.

use emu::{CpuView, Cycles, Machine, MachineConfig, Observer, Outcome, PolicyKind, Site, VirtAddr};

const VMLINUX: &[u8] = include_bytes!(env!("KREPLAY_VMLINUX"));

/// Past the start of the other CPUs, timer interrupts, and hundreds of moves.
const UNTIL: Cycles = Cycles(8_000_000);

struct Nobody;

impl Observer for Nobody {
    fn hit(&mut self, _: &mut CpuView<'_>, _: VirtAddr, _: Site) {}
}

fn boot(vcpus: u32, policy: PolicyKind, verify: bool) -> ([u8; 32], u64) {
    let config = MachineConfig {
        vcpus,
        policy,
        ..MachineConfig::default()
    };
    let mut machine = Machine::new(&config, VMLINUX).expect("the built-in kernel loads");
    if verify {
        machine
            .verify_counts()
            .expect("before the first instruction");
    }
    let outcome = machine
        .run(&mut Nobody, Some(UNTIL))
        .expect("no clock is off");
    assert_eq!(outcome, Outcome::UntilReached);
    (
        machine.digest(),
        machine.summary().interrupts.iter().map(|(_, n)| n).sum(),
    )
}

#[test]
fn block_counts_are_instruction_counts_at_every_event() {
    for (vcpus, policy) in [
        (2, PolicyKind::RoundRobin),
        (4, PolicyKind::Random { seed: 3 }),
    ] {
        let (counted, interrupts) = boot(vcpus, policy, true);
        assert!(interrupts > 50, "{interrupts} interrupts at {vcpus} CPUs");
        assert_eq!(counted, boot(vcpus, policy, false).0);
    }
}
