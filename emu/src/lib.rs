//! emu.
