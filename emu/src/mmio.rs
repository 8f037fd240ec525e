//! Executes one instruction that touched a device in memory space.
//!
//! The engine has no memory there, so the access ended the run with every register as before the
//! instruction. The forms compilers emit for volatile accesses are done here: MOV, MOVZX, MOVSX,
//! XCHG, and OR/AND/XOR/ADD/SUB into memory; anything else is reported.

use capstone::RegId;
use capstone::arch::DetailsArchInsn;
use capstone::arch::x86::{X86Insn, X86OperandType};

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

const NAMES: [[&str; 4]; 16] = [
    ["rax", "eax", "ax", "al"],
    ["rcx", "ecx", "cx", "cl"],
    ["rdx", "edx", "dx", "dl"],
    ["rbx", "ebx", "bx", "bl"],
    ["rsp", "esp", "sp", "spl"],
    ["rbp", "ebp", "bp", "bpl"],
    ["rsi", "esi", "si", "sil"],
    ["rdi", "edi", "di", "dil"],
    ["r8", "r8d", "r8w", "r8b"],
    ["r9", "r9d", "r9w", "r9b"],
    ["r10", "r10d", "r10w", "r10b"],
    ["r11", "r11d", "r11w", "r11b"],
    ["r12", "r12d", "r12w", "r12b"],
    ["r13", "r13d", "r13w", "r13b"],
    ["r14", "r14d", "r14w", "r14b"],
    ["r15", "r15d", "r15w", "r15b"],
];

fn part(name: &str) -> Option<Part> {
    if let Some(n) = ["ah", "ch", "dh", "bh"].iter().position(|h| *h == name) {
        return Some(Part {
            index: n,
            bytes: 1,
            high: true,
        });
    }
    NAMES.iter().enumerate().find_map(|(index, row)| {
        let column = row.iter().position(|n| *n == name)?;
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
        let (m, o) = (insn.mnemonic().unwrap_or("?"), insn.op_str().unwrap_or(""));
        format!("`{m} {o}` on a device")
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
                let name = cs.reg_name(r).ok_or_else(text)?;
                *slot = Value::Register(part(&name).ok_or_else(text)?);
            }
            X86OperandType::Imm(i) => *slot = Value::Immediate(i as u64),
            X86OperandType::Mem(m) => {
                let reg = |r: RegId| -> Result<u64, String> {
                    if r.0 == 0 {
                        return Ok(0);
                    }
                    let name = cs.reg_name(r).ok_or_else(text)?;
                    match name.as_str() {
                        "rip" | "eip" => Ok(cpu.rip() + insn.bytes().len() as u64),
                        n => Ok(read_part(cpu, part(n).ok_or_else(text)?)),
                    }
                };
                let segment = match cs.reg_name(m.segment()).as_deref() {
                    Some("fs") => cpu.segment(Seg::Fs).base,
                    Some("gs") => cpu.segment(Seg::Gs).base,
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
