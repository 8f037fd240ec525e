//! Executes one instruction that touched a device in memory space.
//!
//! The engine has no memory there, so the access ended the run with every register as before the
//! instruction. The forms compilers emit for volatile accesses are done here: MOV, MOVZX, MOVSX,
//! XCHG, and OR/AND/XOR/ADD/SUB into memory; anything else is reported.

use capstone::RegId;
use capstone::arch::DetailsArchInsn;
use capstone::arch::x86::{X86Insn, X86OperandType, X86Reg as R};

use crate::decode::{Decoder, MAX_INSN, Mode};
use crate::paging::Access;
use crate::unicorn::{Cpu, Seg};
use crate::units::{PhysAddr, VirtAddr};

/// A part of a general register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Part {
    index: usize,
    bytes: usize,
    high: bool,
}

/// Where a value comes from or goes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Value {
    Register(Part),
    Immediate(u64),
    Memory,
}

/// What the instruction does with its two operands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Operation {
    Move,
    SignExtend,
    Exchange,
    Or,
    And,
    Xor,
    Add,
    Sub,
}

/// A decoded access.
#[derive(Debug)]
pub(crate) struct DeviceAccess {
    operation: Operation,
    to: Value,
    from: Value,
    /// Physical address of the memory operand.
    pub(crate) at: PhysAddr,
    /// Its size in bytes.
    pub(crate) size: usize,
    /// Length of the instruction.
    pub(crate) length: usize,
}

/// Capstone's numbers of the general registers, widest first.
#[rustfmt::skip]
const IDS: [[u32; 4]; 16] = [
    [R::X86_REG_RAX, R::X86_REG_EAX, R::X86_REG_AX, R::X86_REG_AL],
    [R::X86_REG_RCX, R::X86_REG_ECX, R::X86_REG_CX, R::X86_REG_CL],
    [R::X86_REG_RDX, R::X86_REG_EDX, R::X86_REG_DX, R::X86_REG_DL],
    [R::X86_REG_RBX, R::X86_REG_EBX, R::X86_REG_BX, R::X86_REG_BL],
    [R::X86_REG_RSP, R::X86_REG_ESP, R::X86_REG_SP, R::X86_REG_SPL],
    [R::X86_REG_RBP, R::X86_REG_EBP, R::X86_REG_BP, R::X86_REG_BPL],
    [R::X86_REG_RSI, R::X86_REG_ESI, R::X86_REG_SI, R::X86_REG_SIL],
    [R::X86_REG_RDI, R::X86_REG_EDI, R::X86_REG_DI, R::X86_REG_DIL],
    [R::X86_REG_R8, R::X86_REG_R8D, R::X86_REG_R8W, R::X86_REG_R8B],
    [R::X86_REG_R9, R::X86_REG_R9D, R::X86_REG_R9W, R::X86_REG_R9B],
    [R::X86_REG_R10, R::X86_REG_R10D, R::X86_REG_R10W, R::X86_REG_R10B],
    [R::X86_REG_R11, R::X86_REG_R11D, R::X86_REG_R11W, R::X86_REG_R11B],
    [R::X86_REG_R12, R::X86_REG_R12D, R::X86_REG_R12W, R::X86_REG_R12B],
    [R::X86_REG_R13, R::X86_REG_R13D, R::X86_REG_R13W, R::X86_REG_R13B],
    [R::X86_REG_R14, R::X86_REG_R14D, R::X86_REG_R14W, R::X86_REG_R14B],
    [R::X86_REG_R15, R::X86_REG_R15D, R::X86_REG_R15W, R::X86_REG_R15B],
];

/// AH, CH, DH, BH.
const HIGH: [u32; 4] = [R::X86_REG_AH, R::X86_REG_CH, R::X86_REG_DH, R::X86_REG_BH];

fn part(id: RegId) -> Option<Part> {
    let id = u32::from(id.0);
    if let Some(index) = HIGH.iter().position(|h| *h == id) {
        return Some(Part {
            index,
            bytes: 1,
            high: true,
        });
    }
    IDS.iter().enumerate().find_map(|(index, row)| {
        let column = row.iter().position(|n| *n == id)?;
        Some(Part {
            index,
            bytes: 8 >> column,
            high: false,
        })
    })
}

fn read_part(cpu: &Cpu, p: Part) -> u64 {
    let value = cpu.gpr(p.index) >> if p.high { 8 } else { 0 };
    value & mask(p.bytes)
}

/// Writes as the hardware does: 32-bit results clear the upper half, smaller ones leave the rest.
fn write_part(cpu: &Cpu, p: Part, value: u64) {
    let old = cpu.gpr(p.index);
    let new = match p.bytes {
        8 => value,
        4 => value & 0xffff_ffff,
        n => {
            let shift = if p.high { 8 } else { 0 };
            old & !(mask(n) << shift) | (value & mask(n)) << shift
        }
    };
    cpu.set_gpr(p.index, new);
}

fn mask(bytes: usize) -> u64 {
    if bytes >= 8 {
        !0
    } else {
        (1 << (8 * bytes)) - 1
    }
}

/// Decodes the instruction at the vCPU's RIP. The error is a sentence for the user.
pub(crate) fn decode(decoder: &Decoder, mode: Mode, cpu: &Cpu) -> Result<DeviceAccess, String> {
    let rip = cpu.linear_rip();
    let mut bytes = [0; MAX_INSN];
    let room = (4096 - (rip.0 & 4095) as usize).min(MAX_INSN);
    let all = cpu.read_virt(rip, &mut bytes).is_ok();
    if !all {
        cpu.read_virt(rip, &mut bytes[..room])
            .map_err(|f| f.to_string())?;
    }
    let cs = decoder.capstone(mode);
    let insns = cs
        .disasm_count(if all { &bytes } else { &bytes[..room] }, rip.0, 1)
        .map_err(|e| e.to_string())?;
    let insn = insns.first().ok_or("the instruction does not decode")?;
    let text = || {
        format!(
            "the instruction {:02x?} on a device is not emulated",
            insn.bytes()
        )
    };
    let detail = cs.insn_detail(insn).map_err(|e| e.to_string())?;
    let operation = operation(insn.id().0).ok_or_else(text)?;
    let arch = detail.arch_detail();
    let x86 = arch.x86().ok_or_else(text)?;
    let mut values = [Value::Memory; 2];
    let mut memory = None;
    let mut count = 0;
    for op in x86.operands() {
        let slot = values.get_mut(count).ok_or_else(text)?;
        count += 1;
        match op.op_type {
            X86OperandType::Reg(r) => {
                *slot = Value::Register(part(r).ok_or_else(text)?);
            }
            X86OperandType::Imm(i) => *slot = Value::Immediate(i as u64),
            X86OperandType::Mem(m) => {
                let reg = |r: RegId| match u32::from(r.0) {
                    R::X86_REG_INVALID | R::X86_REG_RIZ | R::X86_REG_EIZ => Ok(0),
                    R::X86_REG_RIP | R::X86_REG_EIP => Ok(cpu.rip() + insn.bytes().len() as u64),
                    _ => part(r).map(|p| read_part(cpu, p)).ok_or_else(text),
                };
                let segment = match u32::from(m.segment().0) {
                    R::X86_REG_FS => cpu.segment(Seg::Fs).base,
                    R::X86_REG_GS => cpu.segment(Seg::Gs).base,
                    _ => 0,
                };
                let index = reg(m.index())?.wrapping_mul(m.scale() as u64);
                let offset = reg(m.base())?
                    .wrapping_add(index)
                    .wrapping_add(m.disp() as u64);
                memory = Some((VirtAddr(segment.wrapping_add(offset)), usize::from(op.size)));
            }
            X86OperandType::Invalid => return Err(text()),
        }
    }
    let (address, size) = memory.filter(|_| count == 2).ok_or_else(text)?;
    let at = cpu
        .translate(address, Access::Peek)
        .map_err(|f| f.to_string())?;
    Ok(DeviceAccess {
        operation,
        to: values[0],
        from: values[1],
        at,
        size,
        length: insn.bytes().len(),
    })
}

fn operation(id: u32) -> Option<Operation> {
    use X86Insn as I;
    let is = |i: I| id == i as u32;
    Some(match () {
        () if is(I::X86_INS_MOV) || is(I::X86_INS_MOVABS) || is(I::X86_INS_MOVZX) => {
            Operation::Move
        }
        () if is(I::X86_INS_MOVSX) || is(I::X86_INS_MOVSXD) => Operation::SignExtend,
        () if is(I::X86_INS_XCHG) => Operation::Exchange,
        () if is(I::X86_INS_OR) => Operation::Or,
        () if is(I::X86_INS_AND) => Operation::And,
        () if is(I::X86_INS_XOR) => Operation::Xor,
        () if is(I::X86_INS_ADD) => Operation::Add,
        () if is(I::X86_INS_SUB) => Operation::Sub,
        () => return None,
    })
}

impl DeviceAccess {
    /// Whether the instruction reads the device.
    pub(crate) fn reads(&self) -> bool {
        self.from == Value::Memory || self.operation != Operation::Move
    }

    /// Does the register side, given what the device read; returns what to write to the device.
    /// RIP moves past the instruction.
    pub(crate) fn execute(&self, cpu: &Cpu, read: u64) -> Option<u64> {
        let read = read & mask(self.size);
        let value = |v: Value| match v {
            Value::Register(p) => read_part(cpu, p),
            Value::Immediate(i) => i & mask(self.size),
            Value::Memory => read,
        };
        let (a, b) = (value(self.to), value(self.from));
        let result = match self.operation {
            Operation::Move | Operation::Exchange => b,
            Operation::SignExtend => {
                let shift = 64 - 8 * self.size as u32;
                ((b << shift) as i64 >> shift) as u64
            }
            Operation::Or => a | b,
            Operation::And => a & b,
            Operation::Xor => a ^ b,
            Operation::Add => a.wrapping_add(b),
            Operation::Sub => a.wrapping_sub(b),
        };
        if self.sets_flags() {
            self.set_flags(cpu, a, b, result);
        }
        cpu.set_rip(cpu.rip().wrapping_add(self.length as u64));
        let mut write = None;
        match self.to {
            Value::Memory => write = Some(result & mask(self.size)),
            Value::Register(p) => write_part(cpu, p, result),
            Value::Immediate(_) => {}
        }
        if self.operation == Operation::Exchange {
            match self.from {
                Value::Memory => write = Some(a & mask(self.size)),
                Value::Register(p) => write_part(cpu, p, a),
                Value::Immediate(_) => {}
            }
        }
        write
    }

    fn sets_flags(&self) -> bool {
        !matches!(
            self.operation,
            Operation::Move | Operation::SignExtend | Operation::Exchange
        )
    }

    /// CF, PF, AF, ZF, SF and OF of the result.
    fn set_flags(&self, cpu: &Cpu, a: u64, b: u64, result: u64) {
        let bits = 8 * self.size as u32;
        let sign = |v: u64| v >> (bits - 1) & 1;
        let r = result & mask(self.size);
        let (carry, overflow) = match self.operation {
            Operation::Add => (r < a, sign(!(a ^ b) & (a ^ r)) != 0),
            Operation::Sub => (a < b, sign((a ^ b) & (a ^ r)) != 0),
            _ => (false, false),
        };
        let parity = (r as u8).count_ones().is_multiple_of(2);
        let adjust = match self.operation {
            Operation::Add | Operation::Sub => (a ^ b ^ r) >> 4 & 1,
            _ => 0,
        };
        let flags = u64::from(carry)
            | u64::from(parity) << 2
            | adjust << 4
            | u64::from(r == 0) << 6
            | sign(r) << 7
            | u64::from(overflow) << 11;
        cpu.set_rflags(cpu.rflags() & !0x8d5 | flags);
    }
}
