//! kernel/rcu: grace periods, and the callbacks that wait for them.
//!
//! `tree` is the engine; `tree_plugin` the preemptible readers, `tree_exp` the grace periods in a hurry,
//! `tree_stall` the warnings; `update` the parts all kinds share; `tasks` the three kinds that wait for
//! tasks; `sync` who chooses between a fast and a slow way with RCU's help; `srcutree` readers that sleep.
pub mod rcu;
pub mod rcu_segcblist;
pub mod srcutree;
pub mod sync;
pub mod tasks;
pub mod tree;
pub mod tree_exp;
pub mod tree_plugin;
pub mod tree_stall;
pub mod update;
