//! fs: of files there is nothing yet, only what exec does to a task.
pub mod exec;
