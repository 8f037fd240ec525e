//! A kernel as a file: an ELF image, or a bzImage with one inside.

use std::borrow::Cow;

use object::Object;

use super::bzimage::{self, Setup};
use crate::error::Error;

/// A kernel, unpacked and ready to be loaded any number of times.
#[derive(Clone, Debug)]
pub struct Kernel<'a> {
    elf: Cow<'a, [u8]>,
    setup: Option<Setup>,
}

impl<'a> Kernel<'a> {
    /// Reads a kernel file. An ELF image is taken as it is; a bzImage (`vmlinuz`) is unpacked.
    ///
    /// Errors: a bzImage that is damaged, too old, for 32 bits, or packed in a way that is not known.
    /// Whether the ELF image can be booted is seen when a machine loads it.
    pub fn open(file: &'a [u8]) -> Result<Kernel<'a>, Error> {
        if bzimage::is_one(file) {
            let (setup, elf) = bzimage::open(file)?;
            return Ok(Kernel {
                elf: Cow::Owned(elf),
                setup: Some(setup),
            });
        }
        Ok(Kernel {
            elf: Cow::Borrowed(file),
            setup: None,
        })
    }

    /// The same kernel, which no longer borrows its file.
    pub fn into_owned(self) -> Kernel<'static> {
        Kernel {
            elf: Cow::Owned(self.elf.into_owned()),
            setup: self.setup,
        }
    }

    /// The ELF image.
    pub fn elf(&self) -> &[u8] {
        &self.elf
    }

    /// Whether the file was a bzImage.
    pub fn is_bzimage(&self) -> bool {
        self.setup.is_some()
    }

    /// What a bzImage says it is: release, who built it, when.
    pub fn version(&self) -> Option<&str> {
        self.setup.as_ref().and_then(Setup::version)
    }

    /// GNU build-id of the ELF image. A bzImage's has no sections, so its notes are looked through too.
    pub fn build_id(&self) -> Option<Vec<u8>> {
        let elf = object::File::parse(self.elf()).ok()?;
        if let Ok(Some(id)) = elf.build_id() {
            return Some(id.to_vec());
        }
        super::elf::build_id_note(self.elf())
    }

    pub(super) fn setup(&self) -> Option<&Setup> {
        self.setup.as_ref()
    }
}
