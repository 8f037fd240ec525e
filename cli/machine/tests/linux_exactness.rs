//! Debian's stock Linux with every instruction counted one by one, over its boot (code patched while it
//! runs, another CPU started) and over its user space (faults, system calls, forks, shells that are
//! moved): the clocks made from blocks must agree at each instruction and at every event, and the run
//! must be the one that is not watched so closely.

use std::ops::ControlFlow;

use emu::{
    CpuView, Cycles, Kernel, Machine, MachineConfig, MachineSummary, Observer, Outcome, PolicyKind,
    Site, Stamp, VcpuId, VirtAddr,
};

#[path = "support/guest.rs"]
mod support;

use support::guest;

/// The first instructions to well behind the start of the other CPU.
const BOOT: Cycles = Cycles(160_000_000);
/// The words of `cli/machine/src/plan.rs` that make the boot shorter.
const COMMAND_LINE: &str = "console=ttyS0 mitigations=off nopti tsc=reliable pci=off idle=halt \
     nowatchdog cryptomgr.notests audit=0 apparmor=0";
/// How long user space is looked at.
const USER: u64 = 40_000_000;

struct Nobody;

impl Observer for Nobody {
    fn hit(&mut self, _: &mut CpuView<'_>, _: VirtAddr, _: Site) {}
}

/// Ends the run when init has written its first line.
#[derive(Default)]
struct UntilInit(Vec<u8>);

impl Observer for UntilInit {
    fn hit(&mut self, _: &mut CpuView<'_>, _: VirtAddr, _: Site) {}

    fn console(&mut self, _: Stamp, byte: u8) {
        self.0.push(byte);
    }

    fn slice(&mut self, _: Cycles) -> ControlFlow<()> {
        match self.0.ends_with(b"2 CPUs\r\n") {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}

fn run(machine: &mut Machine, until: Cycles) -> [u8; 32] {
    let outcome = machine
        .run(&mut Nobody, Some(until))
        .expect("no clock is off");
    assert_eq!(outcome, Outcome::UntilReached);
    machine.digest()
}

#[test]
fn block_counts_are_instruction_counts_in_an_unmodified_linux() {
    let guest = guest();
    let file = std::fs::read(&guest.kernel).unwrap();
    let initrd = std::fs::read(&guest.initrd).unwrap();
    let kernel = Kernel::open(&file).unwrap();
    let config = MachineConfig {
        vcpus: 2,
        policy: PolicyKind::Random { seed: 3 },
        command_line: COMMAND_LINE.to_owned(),
        ..MachineConfig::default()
    };
    let boot = || Machine::boot(&config, &kernel, Some(&initrd)).unwrap();

    let mut counted = boot();
    counted.verify_counts().unwrap();
    let early = run(&mut counted, BOOT);
    let started = counted.stamp(VcpuId(1)).insns.0;
    assert!(
        started > 1_000_000,
        "{started} instructions on the other CPU"
    );
    drop(counted);

    let mut plain = boot();
    assert_eq!(run(&mut plain, BOOT), early);
    let outcome = plain.run(&mut UntilInit::default(), None).unwrap();
    assert_eq!(outcome, Outcome::StoppedByObserver);
    let end = Cycles(plain.now().0 + USER);
    let before = plain.summary();
    let mut counted = Machine::from_snapshot(&plain.snapshot().unwrap()).unwrap();
    let late = run(&mut plain, end);
    let faults = |summary: &MachineSummary| {
        let mut all = summary.exceptions.iter();
        all.find(|(vector, _)| *vector == 14).map_or(0, |(_, n)| *n)
    };
    let faults = faults(&plain.summary()) - faults(&before);
    assert!(faults > 50, "{faults} page faults: is this user space?");
    counted.verify_counts().unwrap();
    assert_eq!(run(&mut counted, end), late);
}
