//! The Linux guest's files, for the tests that boot it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Debian's kernel, and a RAM disk with this checkout's script.
pub struct Guest {
    /// `vmlinuz`.
    pub kernel: PathBuf,
    /// The RAM disk.
    pub initrd: PathBuf,
}

/// The files; fetched if they are not there.
pub fn guest() -> &'static Guest {
    static FETCHED: OnceLock<Guest> = OnceLock::new();
    FETCHED.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        // One for each test program: they run side by side.
        let name = format!("{}.cpio", module_path!().replace("::", "-"));
        let initrd = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let ran = Command::new(root.join("scripts/linux-guest.sh"))
            .arg(&initrd)
            .output()
            .expect("bash is there");
        assert!(
            ran.status.success(),
            "scripts/linux-guest.sh: {}",
            String::from_utf8_lossy(&ran.stderr)
        );
        let folder = PathBuf::from(String::from_utf8_lossy(&ran.stdout).trim());
        Guest {
            kernel: folder.join("vmlinuz"),
            initrd,
        }
    })
}
