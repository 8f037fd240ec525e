//! Linux's `include/kunit/`.
pub mod test;
