//! `VoidPtr`: C's `void *`, with the type it was made from travelling beside the address.
//!
//! Linux passes arguments through `void *` where the receiver is chosen at run time: the function of
//! a stopper work, of a kernel thread, of a cross call. This pair keeps that shape (the address is
//! the first word, so it arrives in the register a tracer expects) and makes the way back checked:
//! a receiver that asks for another type than was put in panics instead of reading nonsense.

#![expect(
    unsafe_code,
    reason = "turns an address back into a reference after checking its type"
)]

use core::any::TypeId;
use core::marker::PhantomData;
use core::ptr;

/// A pointer to something that lives for ever, of a type known only at run time.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct VoidPtr {
    /// The address, as Linux would pass it.
    ptr: *const (),
    /// Where the identity of the type is told.
    tag: *const Tag,
}

/// Tells the identity of a type; one per type, in read-only memory.
struct Tag(fn() -> TypeId);

struct TagOf<T>(PhantomData<T>);

impl<T: 'static> TagOf<T> {
    const TAG: &'static Tag = &Tag(TypeId::of::<T>);
}

// SAFETY: a VoidPtr is made from a `&'static T` with `T: Sync` (or is null), and gives only such a
// reference back, so it may go wherever that reference may.
unsafe impl Send for VoidPtr {}
// SAFETY: as for Send.
unsafe impl Sync for VoidPtr {}

impl VoidPtr {
    /// The pointer to nothing.
    pub const NULL: VoidPtr = VoidPtr {
        ptr: ptr::null(),
        tag: TagOf::<()>::TAG,
    };

    /// Forgets the type of `target`.
    pub const fn new<T: Sync + 'static>(target: &'static T) -> VoidPtr {
        VoidPtr {
            ptr: ptr::from_ref(target).cast(),
            tag: TagOf::<T>::TAG,
        }
    }

    /// The target, as what it was made from.
    ///
    /// # Panics
    /// If the pointer is null or was made from another type.
    #[track_caller]
    pub fn get<T: Sync + 'static>(self) -> &'static T {
        match self.try_get() {
            Some(target) => target,
            None => panic!(
                "a void pointer {:p} does not point to a {}",
                self.ptr,
                core::any::type_name::<T>()
            ),
        }
    }

    /// The target, if it is a `T`.
    pub fn try_get<T: Sync + 'static>(self) -> Option<&'static T> {
        // SAFETY: `tag` is always the address of a promoted constant (see `TagOf`).
        let tag = unsafe { &*self.tag };
        if self.ptr.is_null() || (tag.0)() != TypeId::of::<T>() {
            return None;
        }
        // SAFETY: the tag says that `ptr` came from a `&'static T` in `new`.
        Some(unsafe { &*self.ptr.cast::<T>() })
    }

    /// The address, for tracepoints and messages.
    pub fn addr(self) -> u64 {
        self.ptr.addr() as u64
    }

    /// Whether it points to nothing.
    pub fn is_null(self) -> bool {
        self.ptr.is_null()
    }

    /// Both words, for places that store them apart.
    pub fn into_words(self) -> (*const (), *const ()) {
        (self.ptr, self.tag.cast())
    }
}

/// A memory cell that holds a [`VoidPtr`] and is written by one CPU at a time.
///
/// The two words are written one after the other, so reader and writer must exclude each other by a
/// lock or a hand-over, as the fields of Linux's works do.
#[repr(C)]
pub struct VoidCell {
    value: core::cell::UnsafeCell<VoidPtr>,
}

// SAFETY: see the type's contract: accesses exclude each other by the owner's protocol, which all
// users state at the field; a VoidPtr itself may be shared.
unsafe impl Sync for VoidCell {}

impl VoidCell {
    /// A cell with a first value.
    pub const fn new(value: VoidPtr) -> VoidCell {
        VoidCell {
            value: core::cell::UnsafeCell::new(value),
        }
    }

    /// Reads it.
    pub fn get(&self) -> VoidPtr {
        // SAFETY: nobody writes meanwhile (the type's contract); reads are volatile so that the
        // compiler takes no second look.
        unsafe { self.value.get().read_volatile() }
    }

    /// Writes it.
    pub fn set(&self, value: VoidPtr) {
        // SAFETY: nobody else reads or writes meanwhile (the type's contract).
        unsafe { self.value.get().write_volatile(value) }
    }
}
