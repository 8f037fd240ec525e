//! The analyses on a recording of an unmodified Linux. Whether its events are right is asked in
//! `cli/machine/tests/linux_events.rs`, of the kernel's own counters.

use std::path::PathBuf;
use std::process::Command;

use super::support::{code, file, finish, kreplay, root, text};

#[test]
fn migration_and_stopper_hold_on_debians_kernel() {
    let (script, initrd) = (root().join("scripts/linux-guest.sh"), file("debian.cpio"));
    let ran = finish(Command::new(script).arg(&initrd)).expect(code::DONE);
    let guest = PathBuf::from(ran.stdout.trim());
    let [kernel, names] = ["vmlinuz", "vmlinux"].map(|f| guest.join(f));
    let output = file("debian.krec");
    let kernel = ["record", "--kernel", text(&kernel), "--debug", text(&names)];
    let rest = ["--initrd", text(&initrd), "--smp", "2", "-o", text(&output)];
    kreplay(kernel.into_iter().chain(rest)).expect(code::DONE);
    for report in ["migration", "stopper"] {
        let ran = kreplay(["analyze", report, text(&output)]).expect(code::DONE);
        let checks = ran.stdout.matches("# check holds: ").count();
        assert!(checks >= 3, "{ran}");
        assert_eq!(ran.stdout.matches("# check ").count(), checks, "{ran}");
        assert!(
            ran.stdout.contains("migration_cpu_stop") || report == "migration",
            "{ran}"
        );
        assert!(!ran.stdout.contains(": 0 of 0 rows"), "{ran}");
    }
}
