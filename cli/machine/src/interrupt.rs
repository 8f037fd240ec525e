//! Ctrl-C: a flag that the run looks at between windows, so that the file it leaves is complete.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;

/// Whether the user wants us to stop.
#[derive(Clone)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Takes over Ctrl-C (and a polite kill) for this process; once.
    pub fn install() -> anyhow::Result<Interrupt> {
        let flag = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&flag);
        ctrlc::set_handler(move || seen.store(true, Ordering::Relaxed))
            .context("cannot take over Ctrl-C")?;
        Ok(Interrupt(flag))
    }

    /// True from the first Ctrl-C on.
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
