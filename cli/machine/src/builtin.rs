//! The built-in kernel: the image that the build script made, inside this executable.

/// The ELF file, with its DWARF.
pub const VMLINUX: &[u8] = include_bytes!(env!("KREPLAY_VMLINUX"));

/// That file as frames of a recording: packed once, when this executable is built.
pub const FRAMES: &[u8] = include_bytes!(env!("KREPLAY_VMLINUX_FRAMES"));

/// SHA-256 of that file, in hexadecimal.
pub const SHA256: &str = env!("KREPLAY_VMLINUX_SHA256");

/// What `--version` prints after the name.
pub const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (built-in kernel: build-id ",
    env!("KREPLAY_VMLINUX_BUILD_ID"),
    ")"
);
