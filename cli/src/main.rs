//! kreplay.

fn main() {}
