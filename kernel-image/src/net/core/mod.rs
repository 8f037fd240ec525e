//! net/core: network name spaces.
pub mod net_namespace;
