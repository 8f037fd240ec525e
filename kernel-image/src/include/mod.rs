//! Linux's headers: types and contracts.
pub mod linux;
pub mod trace;
