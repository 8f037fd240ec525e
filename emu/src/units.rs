//! The newtypes of the crate: one per address space, index and clock.
//!
//! A bare `u64` never appears in a public signature where two of them could be swapped. Addresses
//! print in hexadecimal, clocks in decimal.

use std::fmt;

macro_rules! unit {
    ($(#[$doc:meta])* $name:ident($inner:ty), $fmt:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub $inner);

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, $fmt, self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self, f)
            }
        }
    };
}

unit!(
    /// A guest physical address.
    PhysAddr(u64), "{:#x}"
);
unit!(
    /// A guest virtual (linear) address.
    VirtAddr(u64), "{:#x}"
);
unit!(
    /// A virtual time, or a length of it, in cycles; one cycle is one nanosecond at the default
    /// 1 GHz.
    Cycles(u64), "{}"
);
unit!(
    /// A number of retired instructions.
    Insns(u64), "{}"
);
unit!(
    /// The index of an emulated CPU; its local APIC id follows from the [`crate::Topology`].
    VcpuId(u32), "{}"
);

/// When and where something happened: exact at the instruction, in the middle of a block too.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stamp {
    /// The vCPU it happened on.
    pub vcpu: VcpuId,
    /// That vCPU's clock, before the instruction.
    pub cycles: Cycles,
    /// The instructions that vCPU has retired, this one not included.
    pub insns: Insns,
}
