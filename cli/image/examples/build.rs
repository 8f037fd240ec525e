//! `cargo run -p kreplay-image --example build -- SRC OUT`: builds a kernel and prints where it is.
use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args_os().skip(1);
    let (Some(source), Some(out)) = (args.next(), args.next()) else {
        return Err("usage: build SRC OUT".into());
    };
    let built = kreplay_image::build(Path::new(&source), Path::new(&out))?;
    let hex = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    println!(
        "{}\nsha256 {}\nbuild-id {}",
        built.elf.display(),
        hex(&built.sha256),
        hex(&built.build_id)
    );
    Ok(())
}
