//! init: from the architecture's entry to the first workload.

pub mod init_task;
pub mod main;
pub mod version;
