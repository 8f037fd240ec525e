//! `Shared<T>`: one word of memory that several CPUs read and write, as Linux's plain struct fields are.
//!
//! Linux's task and runqueue fields are ordinary C members, protected by a lock that the type does not
//! name, or read without one through `READ_ONCE`. `Shared` is that member in Rust: `get` and `set` are
//! single volatile accesses of the machine's word, so a racing reader sees the old or the new value and
//! never a torn one. Which lock orders the writers is written at each field, as Linux does.
//! It is *not* a lock and *not* an atomic read-modify-write: `inc` and friends are a load and a store, for
//! fields whose writers hold the lock. Counters that race use `core::sync::atomic`.
#![expect(unsafe_code, reason = "fence: the cell behind every shared field")]

use core::cell::UnsafeCell;

/// A word shared between CPUs. Holding a reference proves only that the memory lives; see the field for
/// the lock that orders its writers.
#[repr(transparent)]
pub struct Shared<T: Copy>(UnsafeCell<T>);

// SAFETY: every access is one volatile load or store of at most a machine word (asserted in `new`), which
// x86 performs whole for aligned addresses; `T: Copy`, so no destructor or borrow can observe a race.
unsafe impl<T: Copy> Sync for Shared<T> {}
// SAFETY: as for `Sync`: the value is plain data that any CPU may read.
unsafe impl<T: Copy> Send for Shared<T> {}

impl<T: Copy> Shared<T> {
    const WORD: () = assert!(
        matches!(size_of::<T>(), 1 | 2 | 4 | 8) && align_of::<T>() == size_of::<T>(),
        "Shared<T> holds one naturally aligned machine word"
    );

    /// A cell that holds `value`.
    pub const fn new(value: T) -> Self {
        const { Self::WORD };
        Self(UnsafeCell::new(value))
    }

    /// Reads the word once (`READ_ONCE`).
    #[inline(always)]
    pub fn get(&self) -> T {
        // SAFETY: the cell is alive and aligned; a racing `set` stores the word whole.
        unsafe { self.0.get().read_volatile() }
    }

    /// Writes the word once (`WRITE_ONCE`).
    #[inline(always)]
    pub fn set(&self, value: T) {
        // SAFETY: the cell is alive and aligned; a racing `get` loads the word whole.
        unsafe { self.0.get().write_volatile(value) }
    }

    /// Reads the old word and writes `value`; not atomic, the writers hold the field's lock.
    #[inline(always)]
    pub fn replace(&self, value: T) -> T {
        let old = self.get();
        self.set(value);
        old
    }

    /// Where the word lies, for assembly and for pointer comparisons.
    pub const fn as_ptr(&self) -> *mut T {
        self.0.get()
    }
}

macro_rules! integers {
    ($($int:ty)*) => {$(
        impl Shared<$int> {
            /// Adds `n`, wrapping as C does; not atomic, the writers hold the field's lock.
            #[inline(always)]
            pub fn add(&self, n: $int) {
                self.set(self.get().wrapping_add(n));
            }
            /// Subtracts `n`, wrapping as C does; not atomic, the writers hold the field's lock.
            #[inline(always)]
            pub fn sub(&self, n: $int) {
                self.set(self.get().wrapping_sub(n));
            }
            /// Adds one.
            #[inline(always)]
            pub fn inc(&self) {
                self.add(1);
            }
            /// Subtracts one.
            #[inline(always)]
            pub fn dec(&self) {
                self.sub(1);
            }
        }
    )*};
}
integers!(u8 u16 u32 u64 usize i8 i16 i32 i64 isize);

macro_rules! bits {
    ($($int:ty)*) => {$(
        impl Shared<$int> {
            /// Sets the bits of `mask`; not atomic, the writers hold the field's lock.
            #[inline(always)]
            pub fn or(&self, mask: $int) {
                self.set(self.get() | mask);
            }
            /// Clears the bits of `mask`; not atomic, the writers hold the field's lock.
            #[inline(always)]
            pub fn and_not(&self, mask: $int) {
                self.set(self.get() & !mask);
            }
        }
    )*};
}
bits!(u8 u16 u32 u64 usize);
