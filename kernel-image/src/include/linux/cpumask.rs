//! Sets of CPUs.
//!
//! Linux: include/linux/cpumask.h, v6.8. **Kept** the names of the operations and of the four global masks.
//! **Differs** a mask is one word and is passed by value; `for_each_cpu` is an iterator.
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Most CPUs this kernel can drive.
pub const NR_CPUS: usize = 64;

/// A set of CPUs, bit n for CPU n.
#[doc(alias = "cpumask")]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct Cpumask {
    /// The words of the mask.
    pub bits: [u64; NR_CPUS / 64],
}

impl Cpumask {
    /// No CPU.
    pub const EMPTY: Self = Self { bits: [0] };
    /// Every number below `NR_CPUS` (`CPU_MASK_ALL`).
    pub const ALL: Self = Self { bits: [!0] };

    /// From a bit mask.
    pub const fn from_bits(bits: u64) -> Self {
        Self { bits: [bits] }
    }
    /// Only `cpu` (`cpumask_of`).
    pub const fn of(cpu: u32) -> Self {
        Self::from_bits(1 << cpu)
    }
    /// As a bit mask.
    pub const fn as_u64(self) -> u64 {
        self.bits[0]
    }
    /// Whether `cpu` is in the set (`cpumask_test_cpu`).
    #[inline(always)]
    pub const fn test(self, cpu: u32) -> bool {
        cpu < NR_CPUS as u32 && self.bits[0] >> cpu & 1 != 0
    }
    /// With `cpu` added.
    #[must_use]
    pub const fn with(self, cpu: u32) -> Self {
        Self::from_bits(self.bits[0] | 1 << cpu)
    }
    /// With `cpu` removed.
    #[must_use]
    pub const fn without(self, cpu: u32) -> Self {
        Self::from_bits(self.bits[0] & !(1 << cpu))
    }
    /// Intersection (`cpumask_and`).
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self::from_bits(self.bits[0] & other.bits[0])
    }
    /// Union (`cpumask_or`).
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self::from_bits(self.bits[0] | other.bits[0])
    }
    /// Difference (`cpumask_andnot`).
    #[must_use]
    pub const fn andnot(self, other: Self) -> Self {
        Self::from_bits(self.bits[0] & !other.bits[0])
    }
    /// Whether the sets share a CPU (`cpumask_intersects`).
    pub const fn intersects(self, other: Self) -> bool {
        self.bits[0] & other.bits[0] != 0
    }
    /// Whether every CPU of this set is in `other` (`cpumask_subset`).
    pub const fn subset(self, other: Self) -> bool {
        self.bits[0] & !other.bits[0] == 0
    }
    /// Whether the set is empty (`cpumask_empty`).
    pub const fn is_empty(self) -> bool {
        self.bits[0] == 0
    }
    /// Number of CPUs (`cpumask_weight`).
    pub const fn weight(self) -> u32 {
        self.bits[0].count_ones()
    }
    /// Lowest CPU, or `nr_cpu_ids` or more when empty (`cpumask_first`).
    pub const fn first(self) -> u32 {
        self.bits[0].trailing_zeros()
    }
    /// Lowest CPU above `cpu`, or 64 when there is none (`cpumask_next`).
    pub const fn next(self, cpu: u32) -> u32 {
        if cpu >= 63 {
            64
        } else {
            (self.bits[0] & (!0 << (cpu + 1))).trailing_zeros()
        }
    }
    /// The CPUs in ascending order (`for_each_cpu`).
    pub fn iter(self) -> impl Iterator<Item = u32> {
        let mut left = self.bits[0];
        core::iter::from_fn(move || {
            if left == 0 {
                return None;
            }
            let cpu = left.trailing_zeros();
            left &= left - 1;
            Some(cpu)
        })
    }
}

/// Any CPU that is in both, or 64 and more when there is none; Linux takes the lowest too.
pub fn cpumask_any_and(a: Cpumask, b: Cpumask) -> u32 {
    a.and(b).first()
}

/// Any CPU that is in both, spread over the callers of this CPU: each call starts after the last answer
/// (`cpumask_any_and_distribute`).
pub fn cpumask_any_and_distribute(a: Cpumask, b: Cpumask) -> u32 {
    let prev = &distribute_cpu_mask_prev.this_cpu();
    let both = a.and(b);
    let mut cpu = both.next(prev.get());
    if cpu >= NR_CPUS as u32 {
        cpu = both.first();
    }
    if cpu < NR_CPUS as u32 {
        prev.set(cpu);
    }
    cpu
}

/// Any CPU of the set, spread likewise (`cpumask_any_distribute`).
pub fn cpumask_any_distribute(a: Cpumask) -> u32 {
    cpumask_any_and_distribute(a, a)
}

static distribute_cpu_mask_prev: crate::fence::percpu::PerCpu<crate::fence::shared::Shared<u32>> =
    crate::fence::percpu::PerCpu::new([const { crate::fence::shared::Shared::new(0) }; NR_CPUS]);

/// A set that CPUs change at run time.
#[repr(transparent)]
pub struct GlobalCpumask {
    bits: AtomicU64,
}

impl GlobalCpumask {
    /// No CPU.
    pub const fn new() -> Self {
        Self {
            bits: AtomicU64::new(0),
        }
    }
    /// The set right now.
    #[inline(always)]
    pub fn get(&self) -> Cpumask {
        Cpumask::from_bits(self.bits.load(Ordering::Relaxed))
    }
    /// Replaces the set.
    pub fn set(&self, mask: Cpumask) {
        self.bits.store(mask.as_u64(), Ordering::SeqCst);
    }
    /// Adds a CPU.
    pub fn set_cpu(&self, cpu: u32) {
        self.bits.fetch_or(1 << cpu, Ordering::SeqCst);
    }
    /// Removes a CPU.
    pub fn clear_cpu(&self, cpu: u32) {
        self.bits.fetch_and(!(1 << cpu), Ordering::SeqCst);
    }
    /// Adds a CPU and says whether it was there already.
    pub fn test_and_set_cpu(&self, cpu: u32) -> bool {
        self.bits.fetch_or(1 << cpu, Ordering::SeqCst) >> cpu & 1 != 0
    }
    /// Removes a CPU and says whether it was there.
    pub fn test_and_clear_cpu(&self, cpu: u32) -> bool {
        self.bits.fetch_and(!(1 << cpu), Ordering::SeqCst) >> cpu & 1 != 0
    }
}

/// CPUs that may ever exist.
pub static __cpu_possible_mask: GlobalCpumask = GlobalCpumask::new();
/// CPUs that are there.
pub static __cpu_present_mask: GlobalCpumask = GlobalCpumask::new();
/// CPUs that schedule.
pub static __cpu_online_mask: GlobalCpumask = GlobalCpumask::new();
/// CPUs that tasks may be moved to.
pub static __cpu_active_mask: GlobalCpumask = GlobalCpumask::new();
/// CPUs on their way down.
pub static __cpu_dying_mask: GlobalCpumask = GlobalCpumask::new();
/// One more than the highest possible CPU.
pub static nr_cpu_ids: AtomicU32 = AtomicU32::new(NR_CPUS as u32);

macro_rules! global_mask {
    ($($get:ident $test:ident $set:ident $mask:ident $what:literal;)*) => {$(
        #[doc = concat!("The set of ", $what, " CPUs.")]
        #[inline(always)]
        pub fn $get() -> Cpumask {
            $mask.get()
        }
        #[doc = concat!("Whether `cpu` is ", $what, ".")]
        #[inline(always)]
        pub fn $test(cpu: u32) -> bool {
            $mask.get().test(cpu)
        }
        #[doc = concat!("Says whether `cpu` is ", $what, ".")]
        pub fn $set(cpu: u32, yes: bool) {
            if yes { $mask.set_cpu(cpu) } else { $mask.clear_cpu(cpu) }
        }
    )*};
}
global_mask! {
    cpu_possible_mask cpu_possible set_cpu_possible __cpu_possible_mask "possible";
    cpu_present_mask cpu_present set_cpu_present __cpu_present_mask "present";
    cpu_online_mask cpu_online set_cpu_online __cpu_online_mask "online";
    cpu_active_mask cpu_active set_cpu_active __cpu_active_mask "active";
    cpu_dying_mask cpu_dying set_cpu_dying __cpu_dying_mask "dying";
}

/// Number of possible CPUs.
pub fn num_possible_cpus() -> u32 {
    cpu_possible_mask().weight()
}
/// Number of present CPUs.
pub fn num_present_cpus() -> u32 {
    cpu_present_mask().weight()
}
/// Number of online CPUs.
pub fn num_online_cpus() -> u32 {
    cpu_online_mask().weight()
}
/// Number of active CPUs.
pub fn num_active_cpus() -> u32 {
    cpu_active_mask().weight()
}
