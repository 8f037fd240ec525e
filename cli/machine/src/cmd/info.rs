//! `kreplay image info`: what a kernel image is and what can be probed in it.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};

use anyhow::Context;
use trace::image::Image;
use trace::stack::Unwinder;
use trace_live::{Functions, HowFound, Source};

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
            if Source::is_linux(image) {
                return events(&mut out, image).and_then(|()| output(args, &guest));
            }
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
    output(args, &guest)
}

/// Writes the image to a file, if asked to.
fn output(args: &InfoArgs, guest: &Guest) -> anyhow::Result<Exit> {
    if let Some(path) = &args.output {
        fs::write(path, guest.elf()).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(Exit::Done)
}

/// Where the default events of an unmodified Linux are found, and which are not.
fn events(out: &mut impl Write, image: &Image) -> anyhow::Result<()> {
    let functions = Functions::of(image)?;
    let stacks = match image.unwinder() {
        Unwinder::Orc(_) => "ORC tables",
        Unwinder::Frames(_) => "frame pointers",
    };
    writeln!(out, "stacks:      {stacks}")?;
    let kinds: BTreeSet<&str> = functions.found().iter().map(|found| found.event).collect();
    writeln!(out, "events:      {} kinds have places", kinds.len())?;
    for HowFound { event, how, at } in functions.found() {
        let first = at.first().map_or(0, |at| at.0);
        let more = match at.len() {
            0 | 1 => String::new(),
            more => format!(" and {} more", more - 1),
        };
        writeln!(out, "  {first:#018x} {event:<37} {how}{more}")?;
    }
    for missing in functions.missing() {
        writeln!(out, "  missing            {missing}")?;
    }
    Ok(())
}
