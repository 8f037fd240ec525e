//! The files of a guest: the kernel, the file with its names, the initial RAM disk. Read, checked against
//! each other, and identified for the recording, which can have them found again.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use emu::{Kernel, Machine, MachineConfig};
use sha2::{Digest, Sha256};
use trace::image::Image;
use trace::krec::{FileId, GuestFiles, ImageId, Manifest, Recording, hex};

use crate::args::GuestArgs;
use crate::builtin;

/// What a machine boots, and what is known about it.
pub struct Guest {
    kernel: Kernel<'static>,
    /// Which file that is; the recording holds it if it is an ELF image.
    id: ImageId,
    /// Names, lines and types, if there is a file that has them.
    image: Option<Image>,
    initrd: Option<Vec<u8>>,
    files: GuestFiles,
}

impl Guest {
    /// The files named, or the built-in kernel.
    pub fn open(args: &GuestArgs) -> anyhow::Result<Guest> {
        let Some(path) = &args.kernel else {
            if args.debug.is_some() || args.initrd.is_some() {
                bail!("--debug and --initrd go with a kernel of one's own: give it with --kernel");
            }
            return Guest::builtin();
        };
        let bytes = read(path, "the kernel")?;
        Guest::new(path, &bytes, args.debug.as_deref(), args.initrd.as_deref())
    }

    /// The kernel inside this executable.
    fn builtin() -> anyhow::Result<Guest> {
        let image = Image::parse("the built-in kernel", builtin::VMLINUX)?;
        Ok(Guest {
            kernel: Kernel::open(builtin::VMLINUX)?,
            id: image_id(&image),
            image: Some(image),
            initrd: None,
            files: GuestFiles::default(),
        })
    }

    fn new(
        path: &Path,
        bytes: &[u8],
        debug: Option<&Path>,
        initrd: Option<&Path>,
    ) -> anyhow::Result<Guest> {
        let name = path.display().to_string();
        let kernel = Kernel::open(bytes).with_context(|| format!("cannot boot {name}"))?;
        let kernel = kernel.into_owned();
        let packed = kernel.is_bzimage();
        let own_names = !packed && debug.is_none();
        let image = match debug {
            Some(debug) => {
                let image = Image::open(debug)?;
                same_build(&name, &kernel, &image)?;
                Some(image)
            }
            None if own_names => Some(Image::parse(&name, bytes)?),
            None => None,
        };
        let id = match &image {
            Some(image) if own_names => image_id(image),
            _ => ImageId {
                build_id: kernel.build_id().map(hex),
                sha256: hex(Sha256::digest(bytes)),
                size: bytes.len() as u64,
                embedded: false,
            },
        };
        let debug = match (debug, &image) {
            (Some(path), Some(image)) => Some(FileId {
                path: path.display().to_string(),
                sha256: hex(image.sha256()),
                size: image.size(),
            }),
            _ => None,
        };
        let (initrd, initrd_id) = match initrd {
            Some(path) => {
                let bytes = read(path, "the initial RAM disk")?;
                let id = FileId {
                    path: path.display().to_string(),
                    sha256: hex(Sha256::digest(&bytes)),
                    size: bytes.len() as u64,
                };
                (Some(bytes), Some(id))
            }
            None => (None, None),
        };
        Ok(Guest {
            kernel,
            id,
            image,
            initrd,
            files: GuestFiles {
                kernel: packed.then_some(name),
                debug,
                initrd: initrd_id,
            },
        })
    }

    /// The guest that a recording was made of: from the recording, from this executable, or from the
    /// files it names. `args` says where they are now; what is not given is where it was.
    pub fn of_recording(recording: &Recording, args: &GuestArgs) -> anyhow::Result<Guest> {
        let manifest = recording.manifest();
        let files = &manifest.files;
        let place = |given: &Option<PathBuf>, recorded: Option<&str>| {
            given.clone().or_else(|| recorded.map(PathBuf::from))
        };
        let held = match args.kernel {
            Some(_) => None,
            None => recording.image()?,
        };
        let is_builtin = manifest.image.sha256 == builtin::SHA256;
        let kernel = place(&args.kernel, files.kernel.as_deref());
        let name = kernel
            .as_deref()
            .unwrap_or("the recording's image".as_ref());
        let bytes = match (held, &kernel) {
            (Some(image), _) => image,
            (None, Some(path)) => {
                let hint = "the recording does not hold its kernel; say with --kernel where it is";
                read(path, "the kernel").context(hint)?
            }
            (None, None) if is_builtin => builtin::VMLINUX.to_vec(),
            (None, None) => bail!(
                "the recording does not hold its kernel (it was made with --no-image), and the built-in one is another; give it with --kernel"
            ),
        };
        let debug = place(&args.debug, files.debug.as_ref().map(|f| f.path.as_str()));
        let initrd = place(&args.initrd, files.initrd.as_ref().map(|f| f.path.as_str()));
        let guest = Guest::new(name, &bytes, debug.as_deref(), initrd.as_deref())?;
        guest.is_the_one(manifest)?;
        Ok(guest)
    }

    /// Refuses files that are not those that were recorded.
    fn is_the_one(&self, manifest: &Manifest) -> anyhow::Result<()> {
        let id = |file: &Option<FileId>| file.as_ref().map(|file| file.sha256.clone());
        let none = || "none".to_owned();
        let pairs = [
            (
                "kernel",
                "--kernel",
                Some(&self.id.sha256),
                Some(&manifest.image.sha256),
            ),
            (
                "initial RAM disk",
                "--initrd",
                id(&self.files.initrd).as_ref(),
                id(&manifest.files.initrd).as_ref(),
            ),
        ]
        .map(|(what, option, ours, recorded)| (what, option, ours.cloned(), recorded.cloned()));
        for (what, option, ours, recorded) in pairs {
            if ours != recorded {
                bail!(
                    "this {what} is not the one that was recorded: SHA-256 {} and not {}; give the recorded one with {option}",
                    ours.unwrap_or_else(none),
                    recorded.unwrap_or_else(none)
                );
            }
        }
        Ok(())
    }

    /// A machine with this guest in it.
    pub fn machine(&self, config: &MachineConfig) -> Result<Machine, emu::Error> {
        Machine::boot(config, &self.kernel, self.initrd.as_deref())
    }

    /// Whether it is an unmodified Linux, which has a command line of its own and no workload of ours.
    pub fn is_linux(&self) -> bool {
        self.kernel.is_bzimage()
    }

    /// What a Linux says it is.
    pub fn version(&self) -> Option<&str> {
        self.kernel.version()
    }

    /// The kernel's ELF image: the file itself, or what was packed in it.
    pub fn elf(&self) -> &[u8] {
        self.kernel.elf()
    }

    /// Whether it is the kernel inside this executable.
    pub fn is_builtin(&self) -> bool {
        self.id.sha256 == builtin::SHA256
    }

    /// Names, lines and types, if there is a file that has them.
    pub fn image(&self) -> Option<&Image> {
        self.image.as_ref()
    }

    /// What the kernel is called in errors.
    pub fn name(&self) -> &str {
        let names = self.files.kernel.as_deref();
        names
            .or(self.image.as_ref().map(Image::name))
            .unwrap_or("the kernel")
    }

    /// The image for the recording to hold, if it is one that a recording holds.
    pub fn to_embed(&self) -> Option<&[u8]> {
        (!self.is_linux()).then(|| self.kernel.elf())
    }

    /// How the recording names the kernel.
    pub fn image_id(&self, embedded: bool) -> ImageId {
        ImageId {
            embedded,
            ..self.id.clone()
        }
    }

    /// How the recording names the files that it does not hold.
    pub fn files(&self) -> &GuestFiles {
        &self.files
    }
}

fn read(path: &Path, what: &str) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {what} {}", path.display()))
}

fn image_id(image: &Image) -> ImageId {
    ImageId {
        build_id: image.build_id().map(str::to_owned),
        sha256: hex(image.sha256()),
        size: image.size(),
        embedded: false,
    }
}

/// The names must be those of the very build that runs.
fn same_build(name: &str, kernel: &Kernel<'_>, debug: &Image) -> anyhow::Result<()> {
    let ours = kernel.build_id().map(hex);
    if ours.as_deref() == debug.build_id() {
        return Ok(());
    }
    let or_none = |id: Option<&str>| id.unwrap_or("none").to_owned();
    bail!(
        "{} is of another build than {name}: build-id {} and not {}; give the vmlinux of the same build (Debian: the package of the kernel's name with -dbg, in the same version)",
        debug.name(),
        or_none(debug.build_id()),
        or_none(ours.as_deref())
    );
}
