//! `cargo run -p kreplay-image --example lint -- SRC OUT`: clippy on a kernel, with the image's flags.
use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args_os().skip(1);
    let (Some(source), Some(out)) = (args.next(), args.next()) else {
        return Err("usage: lint SRC OUT".into());
    };
    Ok(kreplay_image::lint(Path::new(&source), Path::new(&out))?)
}
