//! Configurations and images that cannot run, each refused with its kind and a sentence.

mod guests;

use emu::{Cycles, ErrorKind, Machine, MachineConfig};
use guests::{BASE, elf, elf_at, hello};

fn refused(config: &MachineConfig, image: &[u8], kind: ErrorKind, words: &str) {
    let error = Machine::new(config, image).err().expect("refused");
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(words), "{error}");
    assert_eq!(error.vcpu(), None, "the guest never ran");
}

#[test]
fn values_out_of_range() {
    let image = elf(hello::CODE);
    let with = |change: fn(&mut MachineConfig)| {
        let mut config = MachineConfig::default();
        change(&mut config);
        config
    };
    let bad = ErrorKind::BadConfig;
    refused(&with(|c| c.vcpus = 0), &image, bad, "0 vCPUs");
    refused(&with(|c| c.vcpus = 65), &image, bad, "65 vCPUs");
    refused(
        &with(|c| c.ram_bytes = 1 << 20),
        &image,
        bad,
        "1048576 bytes",
    );
    refused(&with(|c| c.ram_bytes = 4 << 30), &image, bad, "memory");
    refused(&with(|c| c.quantum = Cycles(0)), &image, bad, "quantum 0");
    refused(
        &with(|c| c.ipi_latency = Some(Cycles(1))),
        &image,
        bad,
        "latency 1",
    );
    refused(
        &with(|c| c.command_line = "x".repeat(3_000)),
        &image,
        bad,
        "3000 bytes",
    );
    refused(
        &with(|c| c.command_line = "a\0b".to_string()),
        &image,
        bad,
        "NUL",
    );
}

#[test]
fn images_that_are_none() {
    let config = MachineConfig {
        ram_bytes: 64 << 20,
        ..MachineConfig::default()
    };
    let bad = ErrorKind::BadImage;
    refused(&config, b"", bad, "not a 64-bit ELF");
    refused(&config, b"#!/bin/sh\n", bad, "not a 64-bit ELF");
    let good = elf(hello::CODE);
    refused(&config, &good[..70], bad, "program headers");
    refused(&config, &good[..130], bad, "outside the file");
    let mut arm = good.clone();
    arm[18] = 183;
    refused(&config, &arm, bad, "machine 183");
    let mut object = good.clone();
    object[16] = 1;
    refused(&config, &object, bad, "static executable");
    refused(&config, &elf_at(hello::CODE, 0x1000, 0x1000), bad, "0x1000");
    refused(
        &config,
        &elf_at(hello::CODE, 64 << 20, 64 << 20),
        bad,
        "end of memory",
    );
    refused(
        &config,
        &elf_at(hello::CODE, u64::MAX - 10, BASE),
        bad,
        "does not fit",
    );
    refused(
        &config,
        &elf_at(hello::CODE, BASE, 0xffff_ffff_8100_0000),
        bad,
        "entry point",
    );
    // Every prefix is refused or runs, and none panics.
    for n in 0..good.len() {
        let _ = Machine::new(&config, &good[..n]);
    }
}

#[test]
fn latency_follows_the_quantum() {
    let latency = |q| {
        MachineConfig {
            quantum: Cycles(q),
            ..MachineConfig::default()
        }
        .latency()
        .0
    };
    assert_eq!(
        [latency(100), latency(1_000), latency(5_000)],
        [1_100, 2_000, 10_000]
    );
}
