//! Architectures: x86; and the host, for tests.
#[cfg(not(feature = "image"))]
pub mod um;
pub mod x86;
