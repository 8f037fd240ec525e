//! What the loader left: memory map, command line, firmware tables.
//!
//! Linux: arch/x86/kernel/setup.c, e820.c, setup_percpu.c, v6.8. Offsets: Documentation/arch/x86/zero-page.rst.
//! **Left out** initrd, EFI, NUMA, relocation, crash kernels.
use crate::arch::x86::kernel::{acpi, apic::apic, early_printk, tsc};
use crate::fence::shared::Shared;
use crate::include::linux::cpumask::{NR_CPUS, cpu_possible_mask, nr_cpu_ids};
use crate::kernel::params::set_command_line;
use crate::mm::memblock::{memblock_add, memblock_reserve, phys_read, phys_u32, phys_u64};
use crate::pr_info;
use core::sync::atomic::Ordering;

const ACPI_RSDP_ADDR: u64 = 0x070;
const EXT_CMD_LINE_PTR: u64 = 0x0c8;
const E820_ENTRIES: u64 = 0x1e8;
const CMD_LINE_PTR: u64 = 0x228;
const E820_TABLE: u64 = 0x2d0;
const E820_ENTRY_SIZE: u64 = 20;
const E820_MAX_ENTRIES: u64 = 128;
const E820_TYPE_RAM: u32 = 1;
const COMMAND_LINE_SIZE: u64 = 2048;

static boot_params: Shared<u64> = Shared::new(0);

/// Remembers where boot_params is and switches the serial console on.
pub fn copy_bootdata(real_mode_data: u64) {
    boot_params.set(real_mode_data);
    early_printk::early_serial_init();
}

fn e820__memory_setup(params: u64) {
    pr_info!("BIOS-provided physical RAM map:");
    let [entries] = phys_read::<1>(params + E820_ENTRIES);
    for n in 0..u64::from(entries).min(E820_MAX_ENTRIES) {
        let at = params + E820_TABLE + n * E820_ENTRY_SIZE;
        let (addr, size, kind) = (phys_u64(at), phys_u64(at + 8), phys_u32(at + 16));
        let what = if kind == E820_TYPE_RAM {
            "usable"
        } else {
            "reserved"
        };
        pr_info!(
            "BIOS-e820: [mem {addr:#018x}-{:#018x}] {what}",
            addr + size.saturating_sub(1)
        );
        if kind == E820_TYPE_RAM && size > 0 {
            memblock_add(addr, size);
        }
    }
}

/// Copies the command line before its memory can be reused.
fn setup_boot_command_line(params: u64) {
    let low = u64::from(phys_u32(params + CMD_LINE_PTR));
    let at = low | u64::from(phys_u32(params + EXT_CMD_LINE_PTR)) << 32;
    let text = (0..COMMAND_LINE_SIZE - 1)
        .map(|n| phys_read::<1>(at + n)[0])
        .take_while(|&byte| at != 0 && byte != 0);
    set_command_line(text);
}

/// Memory map, command line, clocks, page tables, CPUs.
pub fn setup_arch() {
    let params = boot_params.get();
    setup_boot_command_line(params);
    pr_info!(
        "Command line: {}",
        crate::kernel::params::saved_command_line()
    );
    e820__memory_setup(params);
    let (image_start, image_end) = crate::mm::memblock_image();
    memblock_reserve(image_start, image_end - image_start);
    // The first MiB belongs to the firmware, the loader and the trampoline.
    memblock_reserve(0, 1 << 20);
    tsc::tsc_early_init();
    crate::mm::init::init_mem_mapping();
    acpi::acpi_boot_init(acpi::rsdp_address(phys_u64(params + ACPI_RSDP_ADDR)));
    if apic::num_processors() == 0 {
        apic::generic_processor_info(0);
    }
    apic::init_apic_mappings(acpi::mp_lapic_addr.get());
    pr_info!(
        "smpboot: Allowing {} CPUs, 0 hotplug CPUs",
        apic::num_processors()
    );
}

/// One more than the highest possible CPU.
pub fn setup_nr_cpu_ids() {
    nr_cpu_ids.store(
        64 - cpu_possible_mask().as_u64().leading_zeros(),
        Ordering::Relaxed,
    );
}

/// Per-CPU variables are arrays that exist already; says so in Linux's words.
pub fn setup_per_cpu_areas() {
    pr_info!(
        "setup_percpu: NR_CPUS:{NR_CPUS} nr_cpumask_bits:{0} nr_cpu_ids:{0} nr_node_ids:1",
        nr_cpu_ids.load(Ordering::Relaxed),
    );
    for cpu in cpu_possible_mask().iter() {
        crate::arch::x86::include::asm::current::pcpu_hot
            .per_cpu(cpu)
            .cpu_number
            .set(cpu);
    }
}

/// Linux identifies the CPU and applies mitigations here; there are none.
pub fn arch_cpu_finalize_init() {
    pr_info!(
        "CPU: {}",
        if apic::num_processors() > 1 {
            "SMP"
        } else {
            "UP"
        }
    );
}
