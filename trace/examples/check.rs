//! `cargo run -p trace --example check -- FILE.krec…`: the invariants of [`trace::check`] over recordings.

use std::process::ExitCode;

use trace::check;
use trace::krec::Recording;

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let mut held = true;
    for path in std::env::args().skip(1) {
        let recording = Recording::open(path.as_ref())?;
        let found = check::whole(&recording.load_events()?);
        println!("{path}: {} violations", found.len());
        for violation in found.iter().take(20) {
            println!("  {violation}");
        }
        held &= found.is_empty();
    }
    Ok(ExitCode::from(u8::from(!held)))
}
