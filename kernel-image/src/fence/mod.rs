//! The fence: safe building blocks over the unsafe parts of an SMP kernel.
//!
//! Nothing here has a counterpart in Linux under the same name. Everything in `kernel/**` and
//! `init/**` is written against these types, so that `unsafe` stays in the files that UNSAFE.md lists.
pub mod caller;
pub mod intrusive;
pub mod percpu;
pub mod section;
pub mod shared;
pub mod stack_pinned;
pub mod tagged;
pub mod void;
