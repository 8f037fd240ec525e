//! Linux's headers: types and contracts.
pub mod kunit;
pub mod linux;
pub mod trace;
