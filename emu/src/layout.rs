//! The memory map, port numbers and register values that the machine and its guests agree on.
//!
//! What real x86 defines is written as the manuals have it; the places the loader chooses below
//! 1 MiB are ours, and a guest may reuse them once it has its own page tables and descriptors.

/// Local APIC registers (SDM vol. 3, 11.4.1).
pub(crate) const LAPIC_BASE: u64 = 0xfee0_0000;
pub(crate) const LAPIC_SIZE: u64 = 0x1000;

/// I/O APIC registers (82093AA).
pub(crate) const IOAPIC_BASE: u64 = 0xfec0_0000;
pub(crate) const IOAPIC_SIZE: u64 = 0x1000;

/// 16550 UART, COM1, and the I/O APIC pin of its interrupt.
pub(crate) const COM1: u16 = 0x3f8;
pub(crate) const COM1_IRQ: usize = 4;
/// CMOS index and data ports.
pub(crate) const CMOS_INDEX: u16 = 0x70;
pub(crate) const CMOS_DATA: u16 = 0x71;
/// Status and command port of the keyboard controller.
pub(crate) const KEYBOARD_COMMAND: u16 = 0x64;
/// Reset control register of Intel's chip sets.
pub(crate) const RESET_CONTROL: u16 = 0xcf9;
/// What resets there: SYS_RST and RST_CPU.
pub(crate) const RESET_VALUE: u8 = 6;
/// Where firmware tells how far it is, and where old drivers write to lose time.
pub(crate) const POST_CODE: u16 = 0x80;
pub(crate) const IO_DELAY: u16 = 0xed;
/// ACPI sleep control and status registers (hardware-reduced, ACPI 6.5 section 4.8.3.7).
pub(crate) const SLEEP_CONTROL: u16 = 0x404;
pub(crate) const SLEEP_STATUS: u16 = 0x405;
/// `SLP_TYP` of the soft-off state, as our `_S5_` says.
pub(crate) const S5_SLP_TYP: u8 = 5;
/// `SLP_EN` in the sleep control register.
pub(crate) const SLP_EN: u8 = 1 << 5;

/// Where the loader puts what the boot protocol needs.
pub(crate) const GDT: u64 = 0x6000;
pub(crate) const BOOT_PARAMS: u64 = 0x7000;
pub(crate) const COMMAND_LINE: u64 = 0x2_0000;
pub(crate) const PAGE_TABLES: u64 = 0x7_0000;
/// Top of a small stack, for guests that push before they have their own.
pub(crate) const BOOT_STACK: u64 = 0x7_f000;
/// End of conventional memory, and of the ROM area that follows it.
pub(crate) const LOW_END: u64 = 0x9_fc00;
pub(crate) const HIGH_START: u64 = 0x10_0000;
/// ACPI tables.
pub(crate) const ACPI: u64 = 0xe_0000;

/// Selectors of the boot protocol (`__BOOT_CS`, `__BOOT_DS`).
pub(crate) const BOOT_CS: u16 = 0x10;
pub(crate) const BOOT_DS: u16 = 0x18;

/// Core crystal, TSC and local APIC timer: one cycle is one nanosecond.
pub(crate) const HZ: u32 = 1_000_000_000;

const _: () = assert!(GDT + 0x1000 <= BOOT_PARAMS && BOOT_PARAMS + 0x1000 <= COMMAND_LINE);
const _: () =
    assert!(COMMAND_LINE + 0x1000 <= PAGE_TABLES && PAGE_TABLES + 6 * 0x1000 < BOOT_STACK);
const _: () = assert!(BOOT_STACK < LOW_END && LOW_END < ACPI && ACPI < HIGH_START);
