//! net: what the network needs of the kernel's core. There is no network here yet.
pub mod core;
