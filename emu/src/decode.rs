//! What the host must know about guest instructions: how long, what ends a stretch, what needs
//! help. Lengths come from capstone; the few properties come from the opcode bytes.

use capstone::prelude::*;

use crate::error::{Error, ErrorKind};

/// The longest x86 instruction.
pub(crate) const MAX_INSN: usize = 15;

/// How bytes decode.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Mode {
    Bits16,
    Bits32,
    Bits64,
}

/// The properties of one instruction that the machine acts on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Nothing special.
    Plain,
    /// Jump, call, return, software interrupt, system call: taken or not, a legal stop follows.
    Transfer,
    /// IRET: as [`Kind::Transfer`], and NMIs are not blocked after it.
    Iret,
    /// A string instruction with a REP prefix: a legal stop follows each iteration.
    Rep,
    /// HLT.
    Halt,
    /// RDMSR or WRMSR, which the engine cannot hook.
    Msr,
    /// IN, OUT and their string forms without REP.
    PortIo,
    /// MOV to a control register, INVLPG, LMSW: cached address translations may go.
    FlushesTlb,
}

impl Kind {
    /// Whether a legal stop follows the instruction.
    pub(crate) fn is_legal_end(self) -> bool {
        matches!(self, Kind::Transfer | Kind::Iret | Kind::Rep | Kind::Halt)
    }
}

/// One decoded instruction of a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Decoded {
    /// Offset from the start of the block.
    pub(crate) offset: u16,
    pub(crate) kind: Kind,
}

/// Capstone, for each mode.
pub(crate) struct Decoder {
    by_mode: [Capstone; 3],
}

impl Decoder {
    pub(crate) fn new() -> Result<Self, Error> {
        let open = |mode| {
            Capstone::new()
                .x86()
                .mode(mode)
                .detail(true)
                .build()
                .map_err(|e| Error::new(ErrorKind::Engine, format!("capstone: {e}")))
        };
        let modes = [
            arch::x86::ArchMode::Mode16,
            arch::x86::ArchMode::Mode32,
            arch::x86::ArchMode::Mode64,
        ];
        Ok(Self {
            by_mode: [open(modes[0])?, open(modes[1])?, open(modes[2])?],
        })
    }

    pub(crate) fn capstone(&self, mode: Mode) -> &Capstone {
        &self.by_mode[mode as usize]
    }

    /// The instructions of a block. Bytes that do not decode count as one instruction, which ends
    /// the block: executing it raises #UD.
    pub(crate) fn block(&self, mode: Mode, bytes: &[u8]) -> Vec<Decoded> {
        let mut all = Vec::with_capacity(bytes.len() / 4 + 1);
        let mut offset = 0;
        if let Ok(insns) = self.by_mode[mode as usize].disasm_all(bytes, 0) {
            for insn in insns.iter() {
                let kind = kind(mode, insn.bytes());
                all.push(Decoded {
                    offset: offset as u16,
                    kind,
                });
                offset += insn.bytes().len();
            }
        }
        if offset < bytes.len() {
            all.push(Decoded {
                offset: offset as u16,
                kind: Kind::Plain,
            });
        }
        all
    }
}

/// The properties of one instruction, from its bytes.
pub(crate) fn kind(mode: Mode, bytes: &[u8]) -> Kind {
    let mut i = 0;
    let mut rep = false;
    while let Some(&b) = bytes.get(i) {
        match b {
            0xf2 | 0xf3 => rep = true,
            0x66 | 0x67 | 0x2e | 0x36 | 0x3e | 0x26 | 0x64 | 0x65 | 0xf0 => {}
            0x40..=0x4f if mode == Mode::Bits64 => {}
            _ => break,
        }
        i += 1;
    }
    let at = |n: usize| bytes.get(i + n).copied().unwrap_or(0);
    let reg = at(1) >> 3 & 7;
    match at(0) {
        0x6c..=0x6f | 0xa4..=0xa7 | 0xaa..=0xaf if rep => Kind::Rep,
        0x6c..=0x6f | 0xe4..=0xe7 | 0xec..=0xef => Kind::PortIo,
        0x70..=0x7f | 0xe0..=0xe3 | 0xe8..=0xeb | 0x9a => Kind::Transfer,
        0xc2 | 0xc3 | 0xca | 0xcb | 0xcc..=0xce | 0xf1 => Kind::Transfer,
        0xcf => Kind::Iret,
        0xff if (2..=5).contains(&reg) => Kind::Transfer,
        0xf4 => Kind::Halt,
        0x0f => two_byte(at(1), at(2)),
        _ => Kind::Plain,
    }
}

fn two_byte(opcode: u8, modrm: u8) -> Kind {
    match opcode {
        0x05 | 0x07 | 0x34 | 0x35 | 0x80..=0x8f => Kind::Transfer,
        0x30 | 0x32 => Kind::Msr,
        0x22 => Kind::FlushesTlb,
        0x01 if modrm < 0xc0 && modrm >> 3 & 7 == 7 => Kind::FlushesTlb,
        0x01 if modrm >> 3 & 7 == 6 => Kind::FlushesTlb,
        _ => Kind::Plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_a_stretch() {
        let long = |b: &[u8]| kind(Mode::Bits64, b);
        assert_eq!(long(&[0xf3, 0xa4]), Kind::Rep);
        assert_eq!(long(&[0xf3, 0x48, 0xab]), Kind::Rep);
        assert_eq!(long(&[0xa4]), Kind::Plain);
        assert_eq!(
            long(&[0xf3, 0x0f, 0x10, 0x00]),
            Kind::Plain,
            "movss is not a string move"
        );
        assert_eq!(long(&[0xf3, 0x90]), Kind::Plain, "pause");
        assert_eq!(long(&[0xf3, 0xc3]), Kind::Transfer, "rep ret");
        assert_eq!(long(&[0x48, 0xcf]), Kind::Iret, "iretq");
        assert_eq!(long(&[0x41, 0xff, 0xe3]), Kind::Transfer, "jmp r11");
        assert_eq!(long(&[0x48, 0xff, 0xc0]), Kind::Plain, "inc rax");
        assert_eq!(long(&[0x0f, 0x84, 0, 0, 0, 0]), Kind::Transfer);
        assert_eq!(long(&[0x0f, 0x22, 0xd8]), Kind::FlushesTlb);
        assert_eq!(long(&[0x0f, 0x01, 0x38]), Kind::FlushesTlb, "invlpg [rax]");
        assert_eq!(long(&[0x0f, 0x01, 0xf8]), Kind::Plain, "swapgs");
        assert_eq!(long(&[0x0f, 0x32]), Kind::Msr);
        assert_eq!(
            kind(Mode::Bits32, &[0x40]),
            Kind::Plain,
            "inc eax is no prefix"
        );
        assert_eq!(kind(Mode::Bits32, &[0x40, 0xf4]), Kind::Plain);
    }

    #[test]
    fn bytes_that_do_not_decode_are_one_instruction() {
        let d = Decoder::new().unwrap();
        let all = d.block(Mode::Bits64, &[0x90, 0x06]);
        assert_eq!(all.len(), 2);
        assert_eq!(all[1].offset, 1);
    }
}
