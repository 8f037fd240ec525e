//! `kreplay image info`: what a kernel image is and what can be probed in it.

use std::fs;
use std::io::{self, Write};

use anyhow::Context;

use crate::args::InfoArgs;
use crate::exit::Exit;
use crate::{builtin, plan};

/// Runs the command.
pub fn run(args: &InfoArgs) -> anyhow::Result<Exit> {
    let (elf, image) = plan::kernel(args.kernel.as_deref())?;
    let mut out = io::stdout().lock();
    let sha256 = trace::krec::hex(image.sha256());
    writeln!(out, "image:       {}", image.name())?;
    writeln!(out, "build-id:    {}", image.build_id().unwrap_or("none"))?;
    let same = if sha256 == builtin::SHA256 {
        " (the built-in kernel)"
    } else {
        ""
    };
    writeln!(out, "sha256:      {sha256}{same}")?;
    writeln!(out, "size:        {} bytes", image.size())?;
    writeln!(out, "functions:   {}", image.code_symbols().count())?;
    writeln!(out, "tracepoints: {} sites", image.tracepoints().len())?;
    let mut last = "";
    for site in image.tracepoints() {
        if site.name != last {
            writeln!(out, "  {:#018x} {}", site.addr.0, site.name)?;
        }
        last = &site.name;
    }
    if let Some(path) = &args.output {
        fs::write(path, &elf).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(Exit::Done)
}
