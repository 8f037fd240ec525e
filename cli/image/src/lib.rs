//! Builds `kernel-image` into the bootable ELF `vmlinux`: the one place that holds its flags.
//!
//! Used by the build script that embeds the image in `kreplay-machine`, and by `kreplay image build DIR`
//! for an edited kernel. The image is a program of its own, built by a nested cargo for the host's
//! `x86_64-unknown-linux-gnu` target with everything of the caller's environment that could change a byte
//! cleared, and with the paths of checkout, cargo home and toolchain remapped: one rustc gives one image,
//! whoever builds it and wherever.
//!
//! It is *not* a build script itself and prints nothing; the caller adds the words.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

mod error;
mod kallsyms;
pub use error::Error;

/// The rustc target: the host's own, whose prebuilt `core` and `alloc` the image links.
pub const TARGET: &str = "x86_64-unknown-linux-gnu";

/// A kernel that was built.
#[derive(Clone, Debug)]
pub struct Built {
    /// The ELF file, `OUT/vmlinux`.
    pub elf: PathBuf,
    /// SHA-256 of that file.
    pub sha256: [u8; 32],
    /// Its GNU build-id.
    pub build_id: Vec<u8>,
}

/// Code generation: freestanding code at the top of the address space, interrupts on its own stack.
const CODEGEN: &[&str] = &[
    "-Crelocation-model=static",
    "-Ccode-model=kernel",
    "-Cforce-frame-pointers=yes",
    "-Cno-redzone=yes",
    "-Csymbol-mangling-version=v0",
];

/// Linking: by the toolchain's own lld, no libc, laid out by our script (relative to the source folder).
const LINK: &[&str] = &[
    "-Clinker=rust-lld",
    "-Clinker-flavor=ld.lld",
    "-Clink-self-contained=no",
    "-Ctarget-feature=+crt-static",
    "-Clink-arg=-Tsrc/arch/x86/kernel/vmlinux.lds",
    "-Clink-arg=-static",
    "-Clink-arg=--no-dynamic-linker",
    "-Clink-arg=-no-pie",
    "-Clink-arg=--build-id=sha1",
    "-Clink-arg=-znoexecstack",
    "-Clink-arg=-zmax-page-size=4096",
    "-Clink-arg=--orphan-handling=error",
];

/// Builds the kernel in `source_dir` (a `kernel-image` folder) into `out_dir/vmlinux`, and writes the names of its
/// functions into it, for its own messages.
///
/// `out_dir` is created; the nested cargo keeps its own target folder below it, so that a second build is
/// quick. The compiler's messages go to this process's standard error.
pub fn build(source_dir: &Path, out_dir: &Path) -> Result<Built, Error> {
    build_with(source_dir, out_dir, &[])
}

/// As [`build`], with further features of the kernel's `Cargo.toml`.
pub fn build_with(source_dir: &Path, out_dir: &Path, features: &[&str]) -> Result<Built, Error> {
    let source = absolute(source_dir)?;
    let manifest = source.join("Cargo.toml");
    if !manifest.is_file() {
        return Err(Error::NoKernelThere { dir: source });
    }
    std::fs::create_dir_all(out_dir).map_err(|cause| Error::Io {
        path: out_dir.into(),
        cause,
    })?;
    let out = absolute(out_dir)?;
    let target_dir = out.join("target");
    let mut command = cargo(&source, "build", &target_dir)?;
    command.args(["--bin", "vmlinux"]);
    for feature in features {
        command.args(["--features", feature]);
    }
    run(command, &source)?;
    let product = target_dir.join(TARGET).join("release/vmlinux");
    let mut bytes = std::fs::read(&product).map_err(|cause| Error::Io {
        path: product.clone(),
        cause,
    })?;
    kallsyms::fill(&mut bytes).map_err(|problem| match problem {
        kallsyms::Problem::Elf(cause) => Error::NotAnElf {
            path: product,
            cause,
        },
        kallsyms::Problem::TooSmall { room, needed } => Error::Kallsyms { room, needed },
    })?;
    let elf = out.join("vmlinux");
    std::fs::write(&elf, &bytes).map_err(|cause| Error::Io {
        path: elf.clone(),
        cause,
    })?;
    describe(elf, &bytes)
}

/// Lints the kernel in `source_dir` with the image's own flags; a warning is an error. The messages go to
/// this process's standard error.
pub fn lint(source_dir: &Path, out_dir: &Path) -> Result<(), Error> {
    let source = absolute(source_dir)?;
    let mut command = cargo(&source, "clippy", &out_dir.join("target"))?;
    command.args(["--lib", "--bins", "--", "-D", "warnings"]);
    run(command, &source)
}

/// A cargo command on the kernel in `source`, with every flag and a clean environment; the caller adds what to
/// build.
fn cargo(source: &Path, subcommand: &str, target_dir: &Path) -> Result<Command, Error> {
    let mut command = Command::new(cargo_program());
    clear_environment(&mut command);
    command
        .current_dir(source)
        .args([subcommand, "--release", "--locked", "--features", "image"])
        .args(["--target", TARGET])
        .arg("--target-dir")
        .arg(target_dir)
        .env("CARGO_ENCODED_RUSTFLAGS", rustflags(source)?);
    Ok(command)
}

fn cargo_program() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

fn run(mut command: Command, source: &Path) -> Result<(), Error> {
    let status = command.status().map_err(|cause| Error::Spawn {
        program: cargo_program(),
        cause,
    })?;
    if status.success() {
        return Ok(());
    }
    Err(Error::Cargo {
        dir: source.into(),
        status,
    })
}

/// Reads identity and build-id of an image that exists.
fn describe(elf: PathBuf, bytes: &[u8]) -> Result<Built, Error> {
    use object::Object;
    use sha2::Digest;
    let file = object::File::parse(bytes).map_err(|cause| Error::NotAnElf {
        path: elf.clone(),
        cause,
    })?;
    let build_id = file
        .build_id()
        .map_err(|cause| Error::NotAnElf {
            path: elf.clone(),
            cause,
        })?
        .ok_or_else(|| Error::NoBuildId { path: elf.clone() })?
        .to_vec();
    Ok(Built {
        elf,
        sha256: sha2::Sha256::digest(bytes).into(),
        build_id,
    })
}

/// The flags, separated as `CARGO_ENCODED_RUSTFLAGS` wants them.
fn rustflags(source: &Path) -> Result<OsString, Error> {
    let mut flags: Vec<OsString> = CODEGEN.iter().chain(LINK).map(OsString::from).collect();
    let home = cargo_home();
    let sysroot = sysroot(source)?;
    // The last matching prefix wins, so the most specific comes last.
    for (from, to) in [
        (&home, "/cargo"),
        (&sysroot, "/rust"),
        (&source.to_path_buf(), "/kernel-image"),
    ] {
        let mut flag = OsString::from("--remap-path-prefix=");
        flag.push(from);
        flag.push("=");
        flag.push(to);
        flags.push(flag);
    }
    Ok(flags.join("\u{1f}".as_ref()))
}

/// Removes every variable through which a caller's cargo or shell would change what is built. The
/// toolchain selection (`RUSTUP_*`) and the package cache (`CARGO_HOME`) stay.
fn clear_environment(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let ours =
            text.starts_with("CARGO") || text.starts_with("RUST") || text.starts_with("__CARGO");
        let keep = text == "CARGO_HOME" || text.starts_with("RUSTUP_");
        if ours && !keep || text == "SOURCE_DATE_EPOCH" {
            command.env_remove(&name);
        }
    }
}

fn cargo_home() -> PathBuf {
    std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .unwrap_or_else(|| {
            let home = std::env::var_os("HOME").unwrap_or_else(|| "/root".into());
            Path::new(&home).join(".cargo")
        })
}

/// Where the toolchain that cargo will use for `source` lives.
fn sysroot(source: &Path) -> Result<PathBuf, Error> {
    let mut command = Command::new("rustc");
    clear_environment(&mut command);
    let output = command
        .current_dir(source)
        .args(["--print", "sysroot"])
        .output()
        .map_err(|cause| Error::Spawn {
            program: "rustc".into(),
            cause,
        })?;
    if !output.status.success() {
        return Err(Error::Cargo {
            dir: source.into(),
            status: output.status,
        });
    }
    Ok(PathBuf::from(
        String::from_utf8_lossy(&output.stdout).trim(),
    ))
}

fn absolute(path: &Path) -> Result<PathBuf, Error> {
    path.canonicalize().map_err(|cause| Error::Io {
        path: path.into(),
        cause,
    })
}
