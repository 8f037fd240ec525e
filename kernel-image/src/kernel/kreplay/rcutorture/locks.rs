//! Locks that sleep, played as Linux's `locktorture` does.
pub fn run() {}
