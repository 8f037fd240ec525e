//! arch/x86/kernel/cpu: what a CPU says of itself.
pub mod cacheinfo;
pub mod topology;
