//! kreplay-machine.

fn main() {}
