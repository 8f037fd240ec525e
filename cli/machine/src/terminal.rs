//! The user's terminal as the guest's: keys are typed to the guest as they are pressed.
//!
//! Keys go through as they are (no echo, no line editing), except two: Ctrl-C ends the run, as it does
//! without a terminal, and Ctrl-A begins a command: Ctrl-A c types a Ctrl-C, Ctrl-A Ctrl-A a Ctrl-A,
//! Ctrl-A x ends the run. While a terminal is there, virtual time is not let ahead of the host's clock,
//! so that a guest that waits for a key waits. The host's clock decides when a key is typed, and the
//! recording says when that was: executing it again asks no clock.
//!
//! The terminal's settings come back however the program ends: with the value that holds them, by
//! Ctrl-C or a polite kill (which end the run), and by a panic (which may not unwind).

use std::cell::Cell;
use std::io::{self, IsTerminal, Read};
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use emu::Cycles;
use nix::sys::termios::{
    self, InputFlags, LocalFlags, SetArg, SpecialCharacterIndices as Index, Termios,
};

/// The settings to go back to.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// The value that switches a special character off.
const NO_CHARACTER: u8 = 0;

/// What a key press means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Key {
    /// A byte for the guest.
    Byte(u8),
    /// The user wants out.
    Quit,
}

/// A terminal in use.
pub struct Terminal {
    keys: Receiver<Key>,
    /// The last time both clocks were looked at.
    last: Cell<(Instant, Cycles)>,
}

/// Whether somebody sits at the terminal.
pub fn is_there() -> bool {
    io::stdin().is_terminal()
}

impl Terminal {
    /// Takes over the terminal on standard input.
    pub fn open() -> anyhow::Result<Terminal> {
        let before =
            termios::tcgetattr(io::stdin()).context("cannot read the terminal's settings")?;
        let mut raw = before.clone();
        raw.local_flags &= !(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::IEXTEN);
        raw.input_flags &=
            !(InputFlags::ICRNL | InputFlags::INLCR | InputFlags::IGNCR | InputFlags::IXON);
        for index in [Index::VQUIT, Index::VSUSP] {
            raw.control_chars[index as usize] = NO_CHARACTER;
        }
        raw.control_chars[Index::VMIN as usize] = 1;
        raw.control_chars[Index::VTIME as usize] = 0;
        if let Ok(mut place) = BEFORE.lock() {
            *place = Some(before);
        }
        let inner = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            restore();
            inner(info);
        }));
        termios::tcsetattr(io::stdin(), SetArg::TCSANOW, &raw)
            .context("cannot change the terminal's settings")?;
        let (sender, keys) = mpsc::channel();
        thread::spawn(move || read_keys(&sender));
        Ok(Terminal {
            keys,
            last: Cell::new((Instant::now(), Cycles(0))),
        })
    }

    /// Waits until the host's clock has come as far as virtual time has since the last call, or a key
    /// is pressed; returns the keys that were.
    pub fn wait(&self, now: Cycles) -> Vec<Key> {
        let (instant, cycles) = self.last.get();
        let ran = Duration::from_nanos(now.0.saturating_sub(cycles.0));
        let ahead = ran.saturating_sub(instant.elapsed());
        let mut keys = Vec::new();
        match self.keys.recv_timeout(ahead) {
            Ok(key) => keys.push(key),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => thread::sleep(ahead),
        }
        keys.extend(self.keys.try_iter());
        self.last.set((Instant::now(), now));
        keys
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        restore();
    }
}

/// Gives the terminal back; doing it twice does nothing.
fn restore() {
    let before = BEFORE.lock().ok().and_then(|mut place| place.take());
    if let Some(before) = before {
        let _ = termios::tcsetattr(io::stdin(), SetArg::TCSANOW, &before);
    }
}

fn read_keys(sender: &Sender<Key>) {
    let mut commands = Commands::default();
    let mut bytes = [0; 256];
    while let Ok(count @ 1..) = io::stdin().lock().read(&mut bytes) {
        for key in bytes[..count].iter().filter_map(|byte| commands.key(*byte)) {
            if sender.send(key).is_err() {
                return;
            }
        }
    }
}

/// Finds commands among the keys.
#[derive(Default)]
struct Commands {
    after_ctrl_a: bool,
}

impl Commands {
    fn key(&mut self, byte: u8) -> Option<Key> {
        const CTRL_A: u8 = 1;
        const CTRL_C: u8 = 3;
        if !std::mem::take(&mut self.after_ctrl_a) {
            self.after_ctrl_a = byte == CTRL_A;
            return (byte != CTRL_A).then_some(Key::Byte(byte));
        }
        match byte {
            CTRL_A => Some(Key::Byte(CTRL_A)),
            b'c' => Some(Key::Byte(CTRL_C)),
            b'x' => Some(Key::Quit),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ctrl_a_begins_a_command() {
        let mut commands = Commands::default();
        let typed = b"a\x01cb\x01\x01\x01zx\x01x";
        let keys: Vec<Key> = typed.iter().filter_map(|b| commands.key(*b)).collect();
        let mut expected = [b'a', 3, b'b', 1, b'x'].map(Key::Byte).to_vec();
        expected.push(Key::Quit);
        assert_eq!(keys, expected);
    }
}
