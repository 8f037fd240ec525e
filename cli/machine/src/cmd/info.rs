//! `kreplay image info`: what a kernel image is and what can be probed in it.

use std::fs;
use std::io::{self, Write};

use anyhow::Context;

use crate::args::{GuestArgs, InfoArgs};
use crate::exit::Exit;
use crate::guest::Guest;

/// Runs the command.
pub fn run(args: &InfoArgs) -> anyhow::Result<Exit> {
    let guest = Guest::open(&GuestArgs {
        kernel: args.kernel.clone(),
        debug: args.debug.clone(),
        initrd: None,
    })?;
    let id = guest.image_id(false);
    let mut out = io::stdout().lock();
    writeln!(out, "image:       {}", guest.name())?;
    if let Some(version) = guest.version() {
        writeln!(out, "version:     {version}")?;
    }
    writeln!(
        out,
        "build-id:    {}",
        id.build_id.as_deref().unwrap_or("none")
    )?;
    let same = if guest.is_builtin() {
        " (the built-in kernel)"
    } else {
        ""
    };
    writeln!(out, "sha256:      {}{same}", id.sha256)?;
    writeln!(out, "size:        {} bytes", id.size)?;
    match guest.image() {
        Some(image) => {
            writeln!(out, "functions:   {}", image.code_symbols().count())?;
            writeln!(out, "tracepoints: {} sites", image.tracepoints().len())?;
            let mut last = "";
            for site in image.tracepoints() {
                if site.name != last {
                    writeln!(out, "  {:#018x} {}", site.addr.0, site.name)?;
                }
                last = &site.name;
            }
        }
        None => writeln!(out, "functions:   not known; give the vmlinux with --debug")?,
    }
    if let Some(path) = &args.output {
        fs::write(path, guest.elf()).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(Exit::Done)
}
