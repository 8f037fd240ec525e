//! End to end: the two executables as a user runs them, on real recordings of the built-in kernel.
//!
//! One test program, so that a recording is made once for each number of CPUs and shared by all
//! tests (see [`support::recording`]). What may be slow asks [`support::long`].

mod bad_input;
mod determinism;
mod diff;
mod edited_kernel;
mod guest_failed;
mod instants;
mod interrupted;
mod invariants;
mod known;
mod kunit;
mod linux_events;
mod model;
mod outside;
mod perfetto;
mod pictures;
mod planted;
mod readme;
mod reports;
mod stopstorm;
mod support;
mod threads;
mod trace_dat;
mod witness;
mod workloads;
