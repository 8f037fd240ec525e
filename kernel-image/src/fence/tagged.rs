//! `TaggedRef<T>`: an atomic word that holds a reference and some flags in its low bits.
//!
//! Linux keeps the owner of a mutex or rwsem that way, so that one compare-and-exchange changes both. The
//! word is only ever made from a `&'static T`, so the way back from its upper bits is sound.
#![expect(
    unsafe_code,
    reason = "fence: a reference back from the word it was stored in"
)]

use core::marker::PhantomData;
use core::sync::atomic::{AtomicUsize, Ordering};

/// A reference or none, and flags.
#[repr(transparent)]
pub struct TaggedRef<T: Sync + 'static> {
    word: AtomicUsize,
    of: PhantomData<&'static T>,
}

/// What a [`TaggedRef`] holds.
pub struct Tagged<T: Sync + 'static> {
    word: usize,
    of: PhantomData<&'static T>,
}

impl<T: Sync + 'static> Clone for Tagged<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T: Sync + 'static> Copy for Tagged<T> {}
impl<T: Sync + 'static> PartialEq for Tagged<T> {
    fn eq(&self, other: &Self) -> bool {
        self.word == other.word
    }
}

impl<T: Sync + 'static> Tagged<T> {
    /// The bits that an aligned reference leaves free.
    pub const FLAGS: usize = align_of::<T>() - 1;

    /// A reference, or none, with flags.
    pub fn new(target: Option<&'static T>, flags: usize) -> Self {
        assert!(
            flags & !Self::FLAGS == 0,
            "flags that are part of an address"
        );
        let address = target.map_or(0, |target| core::ptr::from_ref(target).expose_provenance());
        Tagged {
            word: address | flags,
            of: PhantomData,
        }
    }

    /// The flags.
    pub fn flags(self) -> usize {
        self.word & Self::FLAGS
    }

    /// The reference.
    pub fn target(self) -> Option<&'static T> {
        let address = self.word & !Self::FLAGS;
        // SAFETY: null, or the address of a `&'static T` that `new` exposed; `T: Sync` may be shared.
        unsafe { core::ptr::with_exposed_provenance::<T>(address).as_ref() }
    }
}

impl<T: Sync + 'static> TaggedRef<T> {
    /// No reference, no flag.
    pub const fn new() -> Self {
        TaggedRef {
            word: AtomicUsize::new(0),
            of: PhantomData,
        }
    }

    /// What it holds now.
    pub fn load(&self) -> Tagged<T> {
        Tagged {
            word: self.word.load(Ordering::Acquire),
            of: PhantomData,
        }
    }

    /// Replaces what it holds.
    pub fn store(&self, value: Tagged<T>) {
        self.word.store(value.word, Ordering::Release);
    }

    /// Replaces `old` by `new`; gives what it holds instead if that is something else.
    pub fn compare_exchange(&self, old: Tagged<T>, new: Tagged<T>) -> Result<(), Tagged<T>> {
        self.word
            .compare_exchange(old.word, new.word, Ordering::SeqCst, Ordering::SeqCst)
            .map(|_| ())
            .map_err(|word| Tagged {
                word,
                of: PhantomData,
            })
    }

    /// Sets flags; what it held before.
    pub fn fetch_or(&self, flags: usize) -> Tagged<T> {
        Tagged {
            word: self
                .word
                .fetch_or(flags & Tagged::<T>::FLAGS, Ordering::SeqCst),
            of: PhantomData,
        }
    }

    /// Clears flags.
    pub fn clear(&self, flags: usize) {
        self.word
            .fetch_and(!(flags & Tagged::<T>::FLAGS), Ordering::SeqCst);
    }
}
