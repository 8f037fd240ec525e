//! drivers/misc.
pub mod lkdtm;
