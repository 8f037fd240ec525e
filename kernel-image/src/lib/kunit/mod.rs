//! Linux's `lib/kunit/`.
pub mod executor;
pub mod test;
