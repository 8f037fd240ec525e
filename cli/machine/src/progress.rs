//! The progress line: virtual time reached, host time spent. On standard error, and only if that is a
//! terminal; a pipe sees nothing of it.

use std::time::Duration;

use emu::Cycles;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The line, drawn at most ten times a second.
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A line that begins with what is being done.
    pub fn new(what: &str) -> Progress {
        // `stderr` draws nothing where there is no terminal.
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
        let style = ProgressStyle::with_template("{spinner} {prefix} {msg} [{elapsed}]")
            .unwrap_or_else(|_| ProgressStyle::default_spinner());
        bar.set_style(style);
        bar.set_prefix(what.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        Progress { bar }
    }

    /// Shows how far the run is.
    pub fn show(&self, now: Cycles, events: u64) {
        if !self.bar.is_hidden() {
            self.bar.set_message(format!(
                "virtual time {:.3} s, {events} events",
                now.0 as f64 / 1e9
            ));
        }
    }

    /// Prints above the line.
    pub fn suspend<R>(&self, print: impl FnOnce() -> R) -> R {
        self.bar.suspend(print)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
