//! `kreplay image build`: an edited kernel, built as the built-in one is.
//!
//! The flags are in `kreplay-image`, the one place that has them (D8).

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::args::ImageBuildArgs;
use crate::exit::Exit;

/// Runs the command.
pub fn build(args: &ImageBuildArgs) -> anyhow::Result<Exit> {
    let work = work_folder(&args.dir)?;
    let built = kreplay_image::build(&args.dir, &work)?;
    fs::copy(&built.elf, &args.output)
        .with_context(|| format!("cannot write {}", args.output.display()))?;
    let output = args.output.display();
    super::say(format_args!("{output}: build-id {}", hex(&built.build_id)))?;
    super::say(format_args!("sha256 {}", hex(&built.sha256)))?;
    super::say(format_args!("boot it: kreplay record --kernel {output}"))?;
    Ok(Exit::Done)
}

/// The nested cargo's target folder: below the sources' own `target`, where `.gitignore` and
/// `cargo clean` expect such things.
fn work_folder(dir: &Path) -> anyhow::Result<PathBuf> {
    let dir = dir
        .canonicalize()
        .with_context(|| format!("{}: give the folder of the kernel's sources", dir.display()))?;
    Ok(dir.join("target/kreplay"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
