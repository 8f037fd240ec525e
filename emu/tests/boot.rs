//! Small guests from the first instruction to power-off: devices, exceptions, timer, AP start.

mod guests;

use emu::{Cycles, ErrorKind, MachineConfig, Outcome, Reg, Site, VcpuId, VirtAddr};
use guests::{BASE, Logger, hello, interrupts, machine, machine_with, privilege, processors};

/// The byte sequence that switches the machine off: mov dx,0x404; mov al,0x34; out dx,al; hlt.
const POWER_OFF: [u8; 8] = [0x66, 0xba, 0x04, 0x04, 0xb0, 0x34, 0xee, 0xf4];

#[test]
fn console_and_power_off() {
    let mut machine = machine(hello::CODE, 1);
    let mut log = Logger::new(|_, _, _| {});
    assert_eq!(machine.run(&mut log, None).unwrap(), Outcome::PowerOff);
    assert_eq!(log.log.text(), "hello\n");
    // lea, mov; five instructions a byte, the first OUT after four of them.
    let first = log.log.console[0].0;
    assert_eq!((first.cycles, first.insns.0), (Cycles(5), 5));
    assert_eq!(log.log.console[1].0.cycles, Cycles(10));
    // 2 + 6 * 5 + 3 for the zero byte + 3 + REP of 10 as 11 + 3 to power off + cli, hlt.
    assert_eq!(machine.stamp(VcpuId(0)).insns.0, 54);
    assert_eq!(machine.summary().unknown_ports, []);
}

#[test]
fn exceptions_and_timer() {
    let mut machine = machine(interrupts::CODE, 1);
    let mut log = Logger::new(|_, _, _| {});
    assert_eq!(machine.run(&mut log, None).unwrap(), Outcome::PowerOff);
    assert_eq!(log.log.text(), "BUGPTTTTTTTTTT");
    let mut vectors = vec![3, 6, 13, 14];
    vectors.extend([0x40; 10]);
    assert_eq!(log.log.vectors(), vectors);
    let taken = &log.log.exceptions;
    let codes: Vec<_> = taken[..4].iter().map(|(_, e)| e.error_code).collect();
    assert_eq!(
        codes,
        [None, None, Some(0), Some(0)],
        "#GP and #PF push codes, #BP and #UD none"
    );
    assert_eq!(taken[3].1.cr2, VirtAddr(0x7f00_0000_0000));
    assert_eq!(
        taken[0].1.rip, taken[1].1.rip,
        "INT3 is behind itself, UD2 is not"
    );
    // One-shot: armed for 5,000 cycles while halted: on time to the cycle. Periodic: every 3,000,
    // at the first legal stop of a three-instruction loop.
    let at: Vec<u64> = taken[4..].iter().map(|(s, _)| s.cycles.0).collect();
    let armed = at[0] - 5_000;
    assert!((70..90).contains(&armed), "armed at {armed}");
    for pair in at[1..].windows(2) {
        assert!((2_998..=3_002).contains(&(pair[1] - pair[0])), "{at:?}");
    }
    assert_eq!(machine.summary().interrupts, [(0x40, 10)]);
    assert_eq!(machine.summary().unknown_msrs, [(0x1234, 1)]);
}

#[test]
fn privilege_changes_stacks_and_double_faults() {
    let mut machine = machine(privilege::CODE, 1);
    let mut log = Logger::new(|_, _, _| {});
    assert_eq!(machine.run(&mut log, None).unwrap(), Outcome::PowerOff);
    // `!` would say that a handler found itself on the wrong stack.
    assert_eq!(log.log.text(), "3SGGP3TUD");
    let taken: Vec<_> = log
        .log
        .exceptions
        .iter()
        .map(|(_, e)| (e.vector, e.error_code))
        .collect();
    let expected = [
        (0x80, None),
        // INT 0x40 through a ring-0 gate: #GP with the gate's number, at the INT itself.
        (13, Some(0x40 << 3 | 2)),
        (13, Some(0)),
        // A write by the user to a present supervisor page.
        (14, Some(7)),
        (0x80, None),
        (0x40, None),
        (0x81, None),
        (8, Some(0)),
    ];
    assert_eq!(taken, expected);
    let double = log.log.exceptions.last().unwrap().1;
    assert_eq!(
        double.cr2,
        VirtAddr(0x7eff_ffff_fff8),
        "the first word of the frame"
    );
}

#[test]
fn application_processors_start_contend_and_send() {
    for vcpus in [4] {
        let mut machine = machine(processors::CODE, vcpus);
        let mut log = Logger::new(|_, _, _| {});
        assert_eq!(machine.run(&mut log, None).unwrap(), Outcome::PowerOff);
        assert_eq!(log.log.text(), "K", "no increment under the lock was lost");
        assert_eq!(log.log.vectors(), [0xfd; 3]);
        for vcpu in 0..vcpus {
            assert!(
                machine.stamp(VcpuId(vcpu)).insns.0 > 8_000,
                "vCPU {vcpu} worked"
            );
        }
    }
}

#[test]
fn an_ipi_lands_after_its_latency() {
    // The APs' last IPI: the receiver spins in short blocks, so it lands within one block of s + L.
    let config = MachineConfig {
        vcpus: 4,
        ram_bytes: 64 << 20,
        ipi_latency: Some(Cycles(5_000)),
        ..MachineConfig::default()
    };
    let mut machine = machine_with(processors::CODE, &config);
    // `mov dword ptr [rbp+0x300], 0xfd` of the APs.
    let send = find(
        processors::CODE,
        &[0xc7, 0x85, 0x00, 0x03, 0, 0, 0xfd, 0, 0, 0],
    );
    machine.watch(VirtAddr(send), Site::Instruction);
    let mut sent = Vec::new();
    let mut log = Logger::new(|cpu, _, _| sent.push(cpu.stamp().cycles.0));
    machine.run(&mut log, None).unwrap();
    let taken: Vec<u64> = log.log.exceptions.iter().map(|(s, _)| s.cycles.0).collect();
    drop(log);
    sent.sort();
    assert_eq!(sent.len(), 3);
    for (s, t) in sent.iter().zip(&taken) {
        assert!(
            (5_000..5_020).contains(&(t - s)),
            "sent {sent:?}, taken {taken:?}"
        );
    }
    assert_eq!(machine.summary().late_ipis, 0);
}

#[test]
fn a_guest_that_halts_for_ever_is_an_error_with_a_place() {
    let mut machine = machine(&[0xfa, 0xf4, 0xeb, 0xfd], 2);
    let error = machine
        .run(&mut Logger::new(|_, _, _| {}), None)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::HaltForever);
    assert_eq!(error.vcpu(), Some(VcpuId(0)));
    assert_eq!(error.rip(), Some(VirtAddr(BASE + 2)));
    assert_eq!(error.last_blocks(), [VirtAddr(BASE)]);
    assert!(error.registers().contains("vCPU 1"));
}

#[test]
fn a_fault_without_a_handler_is_a_triple_fault() {
    let mut machine = machine(&[0x90, 0x0f, 0x0b], 1);
    let error = machine
        .run(&mut Logger::new(|_, _, _| {}), None)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TripleFault);
    assert_eq!(
        (error.rip(), error.time()),
        (Some(VirtAddr(BASE + 1)), Some(Cycles(1)))
    );
}

#[test]
fn a_guest_that_gets_nowhere_hangs() {
    let config = MachineConfig {
        vcpus: 2,
        ram_bytes: 64 << 20,
        hang_limit: Cycles(3_000_000),
        ..MachineConfig::default()
    };
    let mut machine = machine_with(&[0xeb, 0xfe], &config);
    let error = machine
        .run(&mut Logger::new(|_, _, _| {}), None)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Hang);
    assert!(error.time().unwrap().0 <= 5_000_000);
    // The same loop with a switch reported now and then runs on.
    let mut machine = machine_with(&[0xeb, 0xfe], &config);
    machine.watch(VirtAddr(BASE), Site::Block);
    let mut log = Logger::new(|cpu, _, _| cpu.note_progress());
    let outcome = machine.run(&mut log, Some(Cycles(6_000_000))).unwrap();
    assert_eq!(outcome, Outcome::UntilReached);
}

#[test]
fn an_access_to_no_memory_is_reported_with_its_address() {
    // mov ebx, 0xfed00000; mov eax, [rbx]
    let mut through = vec![0xbb, 0x00, 0x00, 0xd0, 0xfe, 0x8b, 0x03];
    through.extend(POWER_OFF);
    let mut machine = machine(&through, 1);
    let error = machine
        .run(&mut Logger::new(|_, _, _| {}), None)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.message().contains("0xfed00000"), "{error}");
    assert_eq!(error.rip(), Some(VirtAddr(BASE + 5)));
}

#[test]
fn the_observer_can_stop_and_the_run_goes_on_later() {
    let mut machine = machine(processors::CODE, 4);
    let mut log = Logger::new(|_, _, _| {});
    log.stop_at = Some(Cycles(2_000));
    assert_eq!(
        machine.run(&mut log, None).unwrap(),
        Outcome::StoppedByObserver
    );
    assert!(machine.now() >= Cycles(2_000));
    assert_ne!(machine.reg(VcpuId(0), Reg::Rip), 0);
    log.stop_at = None;
    assert_eq!(machine.run(&mut log, None).unwrap(), Outcome::PowerOff);
}

fn find(code: &[u8], needle: &[u8]) -> u64 {
    let at = code
        .windows(needle.len())
        .position(|w| w == needle)
        .expect("in the guest");
    BASE + at as u64
}
