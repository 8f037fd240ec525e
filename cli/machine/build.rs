//! Builds the kernel image and hands its place and ids to the code that embeds it.
//!
//! Every flag of that build is in `kreplay-image`; nothing is decided here. The kernel is also packed as a
//! recording stores it, so that no recording has to do it again.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::exit;

fn main() {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let kernel = here.join("../../kernel-image");
    for input in ["src", "Cargo.toml", "Cargo.lock", "build.rs"] {
        let path = kernel.join(input);
        if path.exists() {
            println!("cargo:rerun-if-changed={}", path.display());
        }
    }
    let built = match kreplay_image::build(&kernel, &out.join("kernel")) {
        Ok(built) => built,
        Err(error) => {
            println!("cargo:warning=the kernel image is not built: {error}");
            exit(1);
        }
    };
    let frames = out.join("vmlinux.frames");
    let elf = fs::read(&built.elf).expect("the kernel that was just built");
    let packed = trace::krec::image_frames(&elf).expect("zstd packs a slice");
    fs::write(&frames, packed).expect("cargo's folder takes files");
    set("KREPLAY_VMLINUX", path_text(&built.elf));
    set("KREPLAY_VMLINUX_FRAMES", path_text(&frames));
    set("KREPLAY_VMLINUX_BUILD_ID", &hex(&built.build_id));
    set("KREPLAY_VMLINUX_SHA256", &hex(&built.sha256));
}

fn set(name: &str, value: &str) {
    println!("cargo:rustc-env={name}={value}");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn path_text(path: &Path) -> &str {
    path.to_str().expect("a build folder whose name is UTF-8")
}
