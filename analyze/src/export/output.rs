//! A file that gets its name when it is complete.

use std::fs::{self, File};
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::Error;

/// A file that is being written under another name. Dropped before [`commit`](Partial::commit), it leaves
/// nothing behind.
#[derive(Debug)]
pub(crate) struct Partial {
    /// The name it is to have.
    target: PathBuf,
    /// The name it has until then; none for a device or a pipe, which is written straight into.
    partial: Option<PathBuf>,
}

impl Partial {
    /// Creates the file.
    pub(crate) fn create(path: &Path) -> Result<(Partial, File), Error> {
        let refused = |source| Error::Write {
            path: path.to_owned(),
            source,
        };
        let (target, partial) = match fs::metadata(path) {
            Ok(found) if !found.is_file() => (path.to_owned(), None),
            // A link stays, and what it points to becomes the file.
            Ok(_) => {
                let target = path.canonicalize().map_err(refused)?;
                let partial = partial_name(&target);
                (target, Some(partial))
            }
            Err(_) => (path.to_owned(), Some(partial_name(path))),
        };
        let file = File::create(partial.as_ref().unwrap_or(&target)).map_err(refused)?;
        Ok((Partial { target, partial }, file))
    }

    /// The name that it is to have.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// Gives the file its name, after everything has been written.
    pub(crate) fn commit(mut self) -> Result<PathBuf, Error> {
        if let Some(partial) = &self.partial {
            fs::rename(partial, &self.target).map_err(|source| Error::Write {
                path: self.target.clone(),
                source,
            })?;
            self.partial = None;
        }
        Ok(self.target.clone())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if let Some(partial) = &self.partial {
            // Nobody is left to be told; the name says that the file is partial.
            let _ = fs::remove_file(partial);
        }
    }
}

/// A file in the making. Dropped before [`finish`](OutFile::finish), it leaves nothing behind.
pub(super) struct OutFile {
    partial: Partial,
    file: BufWriter<File>,
    bytes: u64,
}

impl OutFile {
    pub(super) fn create(path: &Path) -> Result<OutFile, Error> {
        let (partial, file) = Partial::create(path)?;
        Ok(OutFile {
            partial,
            file: BufWriter::with_capacity(1 << 18, file),
            bytes: 0,
        })
    }

    /// Writes after what has been written.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.bytes += bytes.len() as u64;
        let written = self.file.write_all(bytes);
        written.map_err(|source| self.refused(source))
    }

    /// Writes at a place of the file, after which the next [`write`](OutFile::write) goes on.
    pub(super) fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        let found = self.file.seek(SeekFrom::Start(offset));
        found.map_err(|source| self.refused(source))?;
        self.write(bytes)
    }

    /// Gives the file its name; returns how many bytes were written.
    pub(super) fn finish(mut self) -> Result<u64, Error> {
        let flushed = self.file.flush();
        flushed.map_err(|source| self.refused(source))?;
        self.partial.commit()?;
        Ok(self.bytes)
    }

    fn refused(&self, source: std::io::Error) -> Error {
        Error::Write {
            path: self.partial.target().to_owned(),
            source,
        }
    }
}

/// `dir/.name.PID.partial`: in the same folder, so that renaming does not copy.
fn partial_name(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.partial", std::process::id()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_its_name_only_when_it_is_complete() {
        let dir = std::env::temp_dir().join(format!("kreplay-output-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let path = dir.join("x.dat");
        let names = || fs::read_dir(&dir).unwrap().count();

        let mut dropped = OutFile::create(&path).unwrap();
        dropped.write(b"half").unwrap();
        assert!(!path.exists() && names() == 1);
        drop(dropped);
        assert_eq!(names(), 0);

        fs::write(&path, "before").unwrap();
        let mut out = OutFile::create(&path).unwrap();
        out.write(b"....").unwrap();
        out.write_at(2, b"ab").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"before");
        assert_eq!(out.finish().unwrap(), 6);
        assert_eq!(fs::read(&path).unwrap(), b"..ab");
        assert_eq!(names(), 1);
        fs::remove_dir_all(&dir).unwrap();
    }
}
