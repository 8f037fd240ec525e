//! What instructions are, by capstone: where instructions and blocks begin and end, how a function
//! leaves, and whether code in memory is still the code of the image.

use capstone::Capstone;
use capstone::arch::BuildsCapstone;
use capstone::arch::DetailsArchInsn;
use capstone::arch::x86::{ArchMode, X86Insn, X86OperandType};

use crate::event::Addr;
use crate::image::{Function, Image};
use crate::target::{Target, Unreadable};

/// What an instruction does to control.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flow {
    /// Goes on to the next one.
    Next,
    /// Jumps inside the function, taken or not; it ends a block.
    Jump,
    /// Calls and comes back; it ends a block.
    Call {
        /// The function called, if it is written in the instruction.
        to: Option<Addr>,
    },
    /// Returns to the caller; it ends a block.
    Return,
    /// Jumps out of the function: the function jumped to returns to this one's caller.
    TailCall {
        /// Where to, if it is written in the instruction.
        to: Option<Addr>,
    },
    /// Never goes on by itself: `hlt`, `ud2`, a jump to itself, an interrupt return.
    Stop,
}

impl Flow {
    /// Whether the instruction is the last of its block.
    pub fn ends_block(self) -> bool {
        self != Flow::Next
    }
}

/// One instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Instruction {
    /// Its address.
    pub addr: Addr,
    /// Its length in bytes.
    pub len: u8,
    /// What it does to control.
    pub flow: Flow,
}

/// The jumps that may not be taken. (The library knows them as a group only with its tables of names,
/// which are not built.)
const CONDITIONAL: [X86Insn; 22] = [
    X86Insn::X86_INS_JA,
    X86Insn::X86_INS_JAE,
    X86Insn::X86_INS_JB,
    X86Insn::X86_INS_JBE,
    X86Insn::X86_INS_JE,
    X86Insn::X86_INS_JG,
    X86Insn::X86_INS_JGE,
    X86Insn::X86_INS_JL,
    X86Insn::X86_INS_JLE,
    X86Insn::X86_INS_JNE,
    X86Insn::X86_INS_JNO,
    X86Insn::X86_INS_JNP,
    X86Insn::X86_INS_JNS,
    X86Insn::X86_INS_JO,
    X86Insn::X86_INS_JP,
    X86Insn::X86_INS_JS,
    X86Insn::X86_INS_JCXZ,
    X86Insn::X86_INS_JECXZ,
    X86Insn::X86_INS_JRCXZ,
    X86Insn::X86_INS_LOOP,
    X86Insn::X86_INS_LOOPE,
    X86Insn::X86_INS_LOOPNE,
];

/// Reads x86_64 code.
pub struct Classifier(Capstone);

/// The disassembler could not be made; it never happens with the library this is built with.
#[derive(Debug, thiserror::Error)]
#[error("the disassembler cannot be set up: {0}")]
pub struct NoDisassembler(String);

impl Classifier {
    /// Sets the disassembler up.
    pub fn new() -> Result<Classifier, NoDisassembler> {
        Capstone::new()
            .x86()
            .mode(ArchMode::Mode64)
            .detail(true)
            .build()
            .map(Classifier)
            .map_err(|error| NoDisassembler(error.to_string()))
    }

    /// The instructions of a function, up to the first bytes that are none.
    pub fn instructions(&self, image: &Image, function: &Function) -> Vec<Instruction> {
        let len = usize::try_from(function.high - function.low).unwrap_or(0);
        let Some(code) = image.bytes_at(Addr(function.low), len) else {
            return Vec::new();
        };
        self.decode(code, function.low, function.low..function.high)
    }

    /// The instructions in `code`, which lies at `at` in a function with the addresses `inside`.
    pub fn decode(&self, code: &[u8], at: u64, inside: std::ops::Range<u64>) -> Vec<Instruction> {
        let Ok(decoded) = self.0.disasm_all(code, at) else {
            return Vec::new();
        };
        decoded
            .iter()
            .map(|insn| Instruction {
                addr: Addr(insn.address()),
                len: insn.bytes().len() as u8,
                flow: self.flow(insn, &inside),
            })
            .collect()
    }

    fn flow(&self, insn: &capstone::Insn, inside: &std::ops::Range<u64>) -> Flow {
        let Ok(detail) = self.0.insn_detail(insn) else {
            return Flow::Next;
        };
        let to = detail
            .arch_detail()
            .x86()
            .and_then(|x86| x86.operands().next())
            .and_then(|operand| match operand.op_type {
                X86OperandType::Imm(target) => Some(target as u64),
                _ => None,
            });
        match X86Insn::from(insn.id().0) {
            X86Insn::X86_INS_RET | X86Insn::X86_INS_RETF | X86Insn::X86_INS_RETFQ => Flow::Return,
            X86Insn::X86_INS_IRET
            | X86Insn::X86_INS_IRETD
            | X86Insn::X86_INS_IRETQ
            | X86Insn::X86_INS_SYSRET
            | X86Insn::X86_INS_SYSEXIT
            | X86Insn::X86_INS_HLT
            | X86Insn::X86_INS_UD2 => Flow::Stop,
            X86Insn::X86_INS_CALL | X86Insn::X86_INS_LCALL => Flow::Call { to: to.map(Addr) },
            X86Insn::X86_INS_JMP | X86Insn::X86_INS_LJMP => match to {
                Some(target) if target == insn.address() => Flow::Stop,
                Some(target) if inside.contains(&target) => Flow::Jump,
                // A jump through a register or memory is a switch's table or a tail call through a
                // pointer; both may leave, so both are shown as a way out.
                target => Flow::TailCall {
                    to: target.map(Addr),
                },
            },
            id if CONDITIONAL.contains(&id) => match to {
                Some(target) if !inside.contains(&target) => Flow::TailCall {
                    to: Some(Addr(target)),
                },
                _ => Flow::Jump,
            },
            _ => Flow::Next,
        }
    }

    /// Where a function leaves: its returns and tail calls.
    pub fn exits(&self, image: &Image, function: &Function) -> Vec<Instruction> {
        let mut exits = self.instructions(image, function);
        exits.retain(|insn| matches!(insn.flow, Flow::Return | Flow::TailCall { .. }));
        exits
    }

    /// The addresses that are neither the first instruction of a block nor of the function: where only
    /// a probe on the instruction itself can stop.
    pub fn inside_blocks(&self, image: &Image, function: &Function) -> Vec<Addr> {
        let all = self.instructions(image, function);
        let mut starts: Vec<u64> = all
            .iter()
            .filter(|insn| matches!(insn.flow, Flow::Jump))
            .filter_map(|insn| {
                let code = image.bytes_at(insn.addr, usize::from(insn.len))?;
                jump_target(code, insn.addr.0)
            })
            .collect();
        starts.sort_unstable();
        all.windows(2)
            .filter(|pair| !pair[0].flow.ends_block())
            .map(|pair| pair[1].addr)
            .filter(|addr| starts.binary_search(&addr.0).is_err())
            .collect()
    }
}

/// The target of a short or near relative jump.
fn jump_target(code: &[u8], at: u64) -> Option<u64> {
    let next = at.wrapping_add(code.len() as u64);
    let distance = match code.len() {
        2 => i64::from(*code.last()? as i8),
        _ => i64::from(i32::from_le_bytes(
            code.get(code.len() - 4..)?.try_into().ok()?,
        )),
    };
    Some(next.wrapping_add(distance as u64))
}

/// Whether the `len` bytes at `at` differ in memory from those of the image: a site that the guest, or
/// someone else, has patched.
pub fn is_patched(
    image: &Image,
    target: &dyn Target,
    at: Addr,
    len: usize,
) -> Result<bool, Unreadable> {
    let Some(linked) = image.bytes_at(at, len) else {
        return Err(Unreadable(at));
    };
    let mut now = vec![0; len];
    target.read(at, &mut now)?;
    Ok(now != linked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flows(code: &[u8]) -> Vec<Flow> {
        let classifier = Classifier::new().unwrap();
        classifier
            .decode(code, 0x1000, 0x1000..0x1000 + code.len() as u64)
            .into_iter()
            .map(|insn| insn.flow)
            .collect()
    }

    #[test]
    fn the_ends_of_blocks_are_told_apart() {
        // push rbp; call +0; je +0; jmp out; ret
        let code = [
            0x55, 0xe8, 0, 0, 0, 0, 0x74, 0x00, 0xe9, 0, 1, 0, 0, 0xc3, 0xf4, 0xeb, 0xfe,
        ];
        assert_eq!(
            flows(&code),
            [
                Flow::Next,
                Flow::Call {
                    to: Some(Addr(0x1006))
                },
                Flow::Jump,
                Flow::TailCall {
                    to: Some(Addr(0x110d))
                },
                Flow::Return,
                Flow::Stop,
                Flow::Stop,
            ]
        );
    }

    #[test]
    fn bytes_that_are_no_code_end_the_list() {
        assert_eq!(flows(&[0x90, 0x06, 0x90]), [Flow::Next]);
        assert!(flows(&[]).is_empty());
    }
}
