//! Objects on a sleeping task's stack, lent to other CPUs.
//!
//! Linux puts completions, works and wait-queue entries on the stack of the task that waits for
//! them, and other CPUs hold plain pointers to them until the wait is over. `stack_pinned!` does the
//! same: the object lives in the enclosing block, cannot be moved or forgotten there, and is lent
//! out as `&'static`. What makes that sound is checked, not hoped for: when the block ends the
//! object must be *quiescent* (in no list, no lock held, nothing left to do), and if it is not, the
//! kernel panics before the memory is reused.

/// What may be lent from a stack: something that can tell whether anyone still uses it.
pub trait StackObject: Sync + 'static {
    /// True when no list, lock or other CPU refers to the object any more.
    fn quiescent(&self) -> bool;
}

/// The owner of an object on a stack; made only by [`stack_pinned!`](crate::stack_pinned).
pub struct StackPinned<T: StackObject> {
    object: T,
}

impl<T: StackObject> StackPinned<T> {
    #[doc(hidden)]
    pub fn new(object: T) -> StackPinned<T> {
        StackPinned { object }
    }

    /// Lends the object out. Only for the macro, which keeps the owner where it is and drops it at
    /// the end of the block.
    #[doc(hidden)]
    #[expect(
        unsafe_code,
        reason = "the one place where a stack object's lifetime is stretched"
    )]
    pub fn lend(this: &StackPinned<T>) -> &'static T {
        let object: *const T = &this.object;
        // SAFETY: the macro's hygiene keeps the owner from being moved or forgotten, so the object
        // stays valid until `drop`, which does not return while anyone still uses the object. A
        // reference kept in a local of the lending function ends with the same block.
        unsafe { &*object }
    }
}

impl<T: StackObject> Drop for StackPinned<T> {
    fn drop(&mut self) {
        if !self.object.quiescent() {
            panic!(
                "a {} left its stack at {:p} while still in use",
                core::any::type_name::<T>(),
                &self.object
            );
        }
    }
}

/// Puts an object on the stack and binds a `&'static` to it, valid until the end of the block.
#[macro_export]
macro_rules! stack_pinned {
    (let $name:ident = $object:expr) => {
        let owner = $crate::fence::stack_pinned::StackPinned::new($object);
        let $name = $crate::fence::stack_pinned::StackPinned::lend(&owner);
    };
}
