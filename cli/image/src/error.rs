//! What can go wrong while a kernel is built.
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The folder has no Cargo.toml.
    #[error("{} is not a kernel source folder: it has no Cargo.toml", dir.display())]
    NoKernelThere {
        /// The folder that was named.
        dir: PathBuf,
    },
    /// A file could not be read or written.
    #[error("{}: {cause}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// cargo or rustc could not be started.
    #[error("cannot run {}: {cause}", program.display())]
    Spawn {
        /// The program.
        program: OsString,
        /// What the system said.
        cause: io::Error,
    },
    /// The compiler found errors; they are on standard error.
    #[error("the kernel in {} does not build ({status})", dir.display())]
    Cargo {
        /// The source folder.
        dir: PathBuf,
        /// cargo's exit status.
        status: ExitStatus,
    },
    /// The product is not an ELF file.
    #[error("{} is not an ELF file: {cause}", path.display())]
    NotAnElf {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        cause: object::Error,
    },
    /// The names of the functions do not fit into the section that the kernel keeps for them.
    #[error(
        "the names of the functions take {needed} bytes, and the section .kallsyms has {room}: see KALLSYMS_BYTES in \
         the kernel's src/kernel/kallsyms.rs"
    )]
    Kallsyms {
        /// Bytes of the section.
        room: usize,
        /// Bytes of the table.
        needed: usize,
    },
    /// The product has no build-id note.
    #[error("{} has no build-id", path.display())]
    NoBuildId {
        /// The file.
        path: PathBuf,
    },
}
