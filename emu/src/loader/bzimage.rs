//! A bzImage: the real-mode setup with its header, and the compressed kernel behind it.
//!
//! The header is that of Documentation/arch/x86/boot.rst. The kernel is taken out on the host, so
//! its own decompressor never runs: the guest starts at the ELF file's entry point, at the address
//! the kernel was linked for, and KASLR has nothing to move. Documentation and the kernel's
//! `scripts/Makefile.lib` say how the payload is packed: every format but gzip is followed by four
//! bytes with the unpacked length.

use std::io::Read;

use crate::error::{Error, ErrorKind};

/// Where the setup header begins in the file, and in `boot_params`.
pub(crate) const HEADER: usize = 0x1f1;
/// The jump over the header; its second byte is the distance from 0x202 to the header's end.
const JUMP: usize = 0x200;
const MAGIC: usize = 0x202;
const VERSION: usize = 0x206;
const KERNEL_VERSION: usize = 0x20e;
const LOADFLAGS: usize = 0x211;
const INITRD_ADDR_MAX: usize = 0x22c;
const XLOADFLAGS: usize = 0x236;
const CMDLINE_SIZE: usize = 0x238;
const PAYLOAD_OFFSET: usize = 0x248;
const PAYLOAD_LENGTH: usize = 0x24c;
const INIT_SIZE: usize = 0x260;
/// The end of what this loader reads of the header.
const NEEDED: usize = 0x268;

/// Protocol 2.12, the first with `xloadflags`.
const OLDEST: u16 = 0x020c;
const LOADED_HIGH: u8 = 1;
/// `XLF_KERNEL_64`: there is a 64-bit entry point.
const KERNEL_64: u16 = 1;
const SECTOR: usize = 512;

/// The largest kernel that is unpacked: more than any memory has room for.
const LARGEST: usize = 1 << 30;

fn bad(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::BadImage, message)
}

/// The setup header of a bzImage.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Setup {
    /// From [`HEADER`] to its end, as in the file.
    bytes: Vec<u8>,
    version: Option<String>,
}

impl Setup {
    fn u32_at(&self, at: usize) -> u32 {
        let bytes = self.bytes[at - HEADER..][..4].try_into();
        u32::from_le_bytes(bytes.expect("4 bytes"))
    }

    /// The bytes to put at [`HEADER`] of `boot_params`.
    pub(crate) fn header(&self) -> &[u8] {
        &self.bytes
    }

    /// The version the kernel says it has, with who built it.
    pub(crate) fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// The last address an initial RAM disk may occupy.
    pub(crate) fn initrd_max(&self) -> u64 {
        self.u32_at(INITRD_ADDR_MAX).into()
    }

    /// Bytes from the start of the kernel that it needs before it has read the memory map.
    pub(crate) fn init_size(&self) -> u64 {
        self.u32_at(INIT_SIZE).into()
    }

    /// The longest command line, without its terminator.
    pub(crate) fn command_line(&self) -> usize {
        self.u32_at(CMDLINE_SIZE) as usize
    }
}

/// Whether a file is a bzImage.
pub(crate) fn is_one(file: &[u8]) -> bool {
    file.get(MAGIC..MAGIC + 4) == Some(b"HdrS")
}

/// The setup header, and the ELF file behind it.
pub(crate) fn open(file: &[u8]) -> Result<(Setup, Vec<u8>), Error> {
    let short = || bad("a bzImage that is cut off; copy it again");
    if file.len() < NEEDED {
        return Err(short());
    }
    let u16_at = |at: usize| u16::from_le_bytes([file[at], file[at + 1]]);
    let u32_at = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().expect("4 bytes"));
    let version = u16_at(VERSION);
    if version < OLDEST {
        return Err(bad(format!(
            "a bzImage of boot protocol {}.{:02}; 2.12 (Linux 3.8) is the oldest that is known to have \
             a 64-bit entry point",
            version >> 8,
            version & 0xff
        )));
    }
    if file[LOADFLAGS] & LOADED_HIGH == 0 || u16_at(XLOADFLAGS) & KERNEL_64 == 0 {
        return Err(bad(
            "a bzImage without a 64-bit entry point; give a kernel for x86_64",
        ));
    }
    let end = (MAGIC + usize::from(file[JUMP + 1])).max(NEEDED);
    // 0 sectors means 4, for kernels older than the protocol says it can be.
    let sectors = match usize::from(file[HEADER]) {
        0 => 4,
        n => n,
    };
    let start = (sectors + 1) * SECTOR + u32_at(PAYLOAD_OFFSET) as usize;
    let payload = start
        .checked_add(u32_at(PAYLOAD_LENGTH) as usize)
        .and_then(|end| file.get(start..end))
        .ok_or_else(short)?;
    let setup = Setup {
        bytes: file.get(HEADER..end).ok_or_else(short)?.to_vec(),
        version: text(file, u16_at(KERNEL_VERSION)),
    };
    Ok((setup, unpack(payload)?))
}

/// The string that the header points to, from 0x200 on; 0 is none.
fn text(file: &[u8], at: u16) -> Option<String> {
    let from = file.get(JUMP + usize::from(at)..).filter(|_| at != 0)?;
    let text = from.iter().take(SECTOR).take_while(|b| **b != 0);
    Some(String::from_utf8_lossy(&text.copied().collect::<Vec<u8>>()).into_owned())
}

/// A way in which kernels are packed, told by its first bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Packing {
    Gzip,
    Lz4,
    Zstd,
    /// One that is not unpacked here.
    Other(&'static str),
    None,
}

fn packing(payload: &[u8]) -> Option<Packing> {
    const KNOWN: [(&[u8], Packing); 8] = [
        (b"\x1f\x8b", Packing::Gzip),
        (b"\x02\x21\x4c\x18", Packing::Lz4),
        (b"\x28\xb5\x2f\xfd", Packing::Zstd),
        (b"\xfd7zXZ\0", Packing::Other("XZ")),
        (b"BZh", Packing::Other("bzip2")),
        (b"\x89LZO", Packing::Other("LZO")),
        (b"\x5d\0\0", Packing::Other("LZMA")),
        (b"\x7fELF", Packing::None),
    ];
    let known = KNOWN.iter().find(|(magic, _)| payload.starts_with(magic));
    known.map(|(_, packing)| *packing)
}

/// The ELF file in a payload; what follows it (relocations) stays.
fn unpack(payload: &[u8]) -> Result<Vec<u8>, Error> {
    let first = || payload.iter().take(4).map(|b| format!("{b:02x}"));
    let packing = packing(payload).ok_or_else(|| {
        bad(format!(
            "a bzImage whose kernel is packed in an unknown way (it begins {})",
            first().collect::<Vec<_>>().join(" ")
        ))
    })?;
    // All but gzip and the unpacked form.
    let stream = &payload[..payload.len().saturating_sub(4)];
    let (name, elf) = match packing {
        Packing::Gzip => ("gzip", read_all(flate2::read::GzDecoder::new(payload))),
        Packing::Zstd => (
            "zstd",
            zstd::stream::read::Decoder::new(stream).and_then(|d| read_all(d.single_frame())),
        ),
        Packing::Lz4 => ("LZ4", lz4(stream)),
        Packing::None => return Ok(payload.to_vec()),
        Packing::Other(name) => {
            return Err(bad(format!(
                "a bzImage packed with {name}; LZ4, gzip and zstd are unpacked here. Unpack it with the \
                 kernel's scripts/extract-vmlinux and give the result"
            )));
        }
    };
    elf.map_err(|e| {
        bad(format!(
            "a bzImage whose {name} payload does not unpack: {e}"
        ))
    })
}

fn read_all(from: impl Read) -> std::io::Result<Vec<u8>> {
    let mut all = Vec::new();
    from.take(LARGEST as u64 + 1).read_to_end(&mut all)?;
    if all.len() > LARGEST {
        return Err(std::io::Error::other("it is larger than 1 GiB"));
    }
    Ok(all)
}

/// LZ4's legacy frame: blocks of at most 8 MiB, each preceded by its packed length.
fn lz4(mut stream: &[u8]) -> std::io::Result<Vec<u8>> {
    const MAGIC: &[u8] = b"\x02\x21\x4c\x18";
    const BLOCK: usize = 8 << 20;
    let wrong = |what: String| Err(std::io::Error::other(what));
    let mut all = Vec::new();
    while !stream.is_empty() {
        // `cat a.lz4 b.lz4` is a stream too.
        if let Some(rest) = stream.strip_prefix(MAGIC) {
            stream = rest;
            continue;
        }
        let Some((length, rest)) = stream.split_first_chunk() else {
            return wrong("a block's length is cut off".to_owned());
        };
        let length = u32::from_le_bytes(*length) as usize;
        let Some((block, rest)) = rest.split_at_checked(length) else {
            return wrong(format!(
                "a block of {length} bytes, of which {} are there",
                rest.len()
            ));
        };
        let from = all.len();
        if from + BLOCK > LARGEST {
            return wrong("it is larger than 1 GiB".to_owned());
        }
        all.resize(from + BLOCK, 0);
        match lz4_flex::block::decompress_into(block, &mut all[from..]) {
            Ok(size) => all.truncate(from + size),
            Err(e) => return wrong(e.to_string()),
        }
        stream = rest;
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bzImage with one setup sector behind the boot sector and a payload.
    fn image(payload: &[u8]) -> Vec<u8> {
        let mut file = vec![0; 2 * SECTOR];
        file[HEADER] = 1;
        file[JUMP..JUMP + 2].copy_from_slice(&[0xeb, 0x66]);
        file[MAGIC..MAGIC + 4].copy_from_slice(b"HdrS");
        file[VERSION..VERSION + 2].copy_from_slice(&0x020fu16.to_le_bytes());
        file[KERNEL_VERSION..KERNEL_VERSION + 2].copy_from_slice(&0x100u16.to_le_bytes());
        file[LOADFLAGS] = LOADED_HIGH;
        file[XLOADFLAGS] = KERNEL_64 as u8;
        file[PAYLOAD_LENGTH..PAYLOAD_LENGTH + 4]
            .copy_from_slice(&(payload.len() as u32).to_le_bytes());
        file[0x300..0x305].copy_from_slice(b"6.1.0");
        file.extend(payload);
        file
    }

    /// Bytes that are worth packing.
    fn kernel() -> Vec<u8> {
        let mut all = b"\x7fELF".to_vec();
        (0..20_000u32).for_each(|n| all.extend((n / 7).to_le_bytes()));
        all
    }

    /// What the kernel's build appends to all formats but gzip.
    fn with_length(mut packed: Vec<u8>) -> Vec<u8> {
        packed.extend((kernel().len() as u32).to_le_bytes());
        packed
    }

    /// A legacy LZ4 frame of literals only, in two blocks.
    fn lz4_frame() -> Vec<u8> {
        let mut frame = b"\x02\x21\x4c\x18".to_vec();
        let all = kernel();
        for piece in all.chunks(all.len() / 2 + 1) {
            let mut block = vec![0xf0];
            let mut rest = piece.len() - 15;
            while rest >= 255 {
                block.push(255);
                rest -= 255;
            }
            block.push(rest as u8);
            block.extend(piece);
            frame.extend((block.len() as u32).to_le_bytes());
            frame.extend(block);
        }
        frame
    }

    #[test]
    fn each_packing_gives_the_kernel() {
        let gzip = {
            use std::io::Write;
            let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            to.write_all(&kernel()).unwrap();
            to.finish().unwrap()
        };
        let zstd = with_length(zstd::bulk::compress(&kernel(), 1).unwrap());
        for payload in [gzip, zstd, with_length(lz4_frame()), kernel()] {
            let (setup, elf) = open(&image(&payload)).unwrap();
            assert!(elf == kernel(), "{:02x?}", &payload[..4]);
            assert_eq!(setup.version(), Some("6.1.0"));
            assert_eq!(setup.header().len(), 0x268 - HEADER);
        }
    }

    #[test]
    fn a_damaged_file_is_an_error_and_never_a_panic() {
        let good = image(&with_length(lz4_frame()));
        for n in (0..NEEDED + SECTOR).chain([good.len() - 1]) {
            assert!(open(&good[..n]).is_err(), "cut off at {n}");
        }
        for at in [LOADFLAGS, PAYLOAD_OFFSET + 3, 2 * SECTOR, 2 * SECTOR + 4] {
            let mut changed = good.clone();
            changed[at] ^= 0xff;
            assert!(open(&changed).is_err(), "changed at {at:#x}");
        }
        let mut old = good;
        old[VERSION] = 0x04;
        let error = open(&old).unwrap_err();
        assert!(error.message().contains("protocol 2.04"), "{error}");
    }

    #[test]
    fn a_packing_that_is_not_unpacked_is_named() {
        let error = open(&image(b"\xfd7zXZ\0 and so on")).unwrap_err();
        assert!(error.message().contains("XZ"), "{error}");
        assert!(error.message().contains("extract-vmlinux"), "{error}");
        let error = open(&image(b"what is this")).unwrap_err();
        assert!(error.message().contains("77 68 61 74"), "{error}");
    }
}
