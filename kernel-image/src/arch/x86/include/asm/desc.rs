//! Descriptor tables: GDT, TSS, IDT entries.
//!
//! Linux: arch/x86/include/asm/desc.h, desc_defs.h, segment.h, v6.8. **Kept** the selectors. Formats: Intel
//! SDM vol. 3, 3.4.5, 6.14.1, 7.7.
use crate::fence::shared::Shared;

/// 64-bit kernel code.
pub const __KERNEL_CS: u16 = 0x10;
/// Kernel data and stack.
pub const __KERNEL_DS: u16 = 0x18;
/// The task state segment (two entries).
pub const GDT_ENTRY_TSS: usize = 8;
/// Entries of a GDT.
pub const GDT_ENTRIES: usize = 16;
/// Stacks reachable through the IST.
pub const IST_STACKS: usize = 4;
/// Interrupts: only until the frame is copied to the interrupted stack.
pub const IST_INDEX_IRQ: u8 = 1;
/// Exceptions.
pub const IST_INDEX_EXC: u8 = 2;
/// Double faults.
pub const IST_INDEX_DF: u8 = 3;
/// Non-maskable interrupts.
pub const IST_INDEX_NMI: u8 = 4;

/// The 64-bit task state segment.
#[doc(alias = "tss_struct")]
#[repr(C, packed(4))]
#[derive(Clone, Copy)]
pub struct Tss {
    reserved1: u32,
    /// Stack pointers for rings 0 to 2.
    pub sp: [u64; 3],
    reserved2: u64,
    /// Interrupt stack table, entries 1 to 7.
    pub ist: [u64; 7],
    reserved3: [u32; 2],
    reserved4: u16,
    /// Offset of the port permission map: beyond the limit, none.
    pub io_bitmap_base: u16,
}

const _: () = assert!(size_of::<Tss>() == 104, "SDM vol. 3, 7.7");

impl Tss {
    /// A segment with these stacks.
    pub const fn with_stacks(ist: [u64; 7]) -> Self {
        Self {
            reserved1: 0,
            sp: [0; 3],
            reserved2: 0,
            ist,
            reserved3: [0; 2],
            reserved4: 0,
            io_bitmap_base: 104,
        }
    }
}

/// One CPU's global descriptor table.
#[doc(alias = "gdt_page")]
#[repr(C, align(16))]
pub struct GdtPage {
    /// The descriptors.
    pub gdt: [Shared<u64>; GDT_ENTRIES],
}

impl GdtPage {
    /// Code and data; the task state segment is filled in by `cpu_init`.
    pub const fn new() -> Self {
        let gdt = [const { Shared::new(0) }; GDT_ENTRIES];
        Self { gdt }
    }

    /// Writes the fixed descriptors and the one of the task state segment at `tss`.
    pub fn fill(&self, tss: u64) {
        let limit = size_of::<Tss>() as u64 - 1;
        self.gdt[1].set(0x00cf_9b00_0000_ffff);
        self.gdt[2].set(0x00af_9b00_0000_ffff);
        self.gdt[3].set(0x00cf_9300_0000_ffff);
        let low = limit | (tss & 0xff_ffff) << 16 | 0x89 << 40 | (tss >> 24 & 0xff) << 56;
        self.gdt[GDT_ENTRY_TSS].set(low);
        self.gdt[GDT_ENTRY_TSS + 1].set(tss >> 32);
    }
}

/// One gate of the interrupt descriptor table: an interrupt gate on an IST stack.
#[doc(alias = "gate_desc")]
#[repr(C, align(16))]
#[derive(Clone, Copy)]
pub struct GateDesc {
    low: u64,
    high: u64,
}

impl GateDesc {
    /// Not present.
    pub const EMPTY: Self = Self { low: 0, high: 0 };

    /// A present interrupt gate, ring 0, to `handler` on stack `ist`.
    pub const fn interrupt(handler: u64, ist: u8) -> Self {
        let low = handler & 0xffff
            | (__KERNEL_CS as u64) << 16
            | (ist as u64) << 32
            | 0x8e << 40
            | (handler >> 16 & 0xffff) << 48;
        Self {
            low,
            high: handler >> 32,
        }
    }
}

/// Operand of LGDT and LIDT.
#[repr(C, packed)]
pub struct DescPtr {
    /// Bytes minus one.
    pub size: u16,
    /// Where the table lies.
    pub address: u64,
}
