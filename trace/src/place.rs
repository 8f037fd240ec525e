//! Where a variable is, as DWARF's expressions say it, and how it is read from a CPU that stands there.

use crate::event::Addr;
use crate::orc::Orc;
use crate::target::{Register, Target, Unreadable};

/// One step of a location, on a small stack of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The variable is in this register: the whole location.
    InRegister(Register),
    /// Pushes a register plus a distance.
    Register(Register, i64),
    /// Pushes the frame's base, which is the canonical frame address, plus a distance.
    Frame(i64),
    /// Pushes a number.
    Number(u64),
    /// Adds a number to the top.
    AddNumber(u64),
    /// Replaces the two topmost by their sum.
    Add,
    /// The lower minus the upper.
    Subtract,
    /// Bit by bit.
    And,
    /// Bit by bit.
    Or,
    /// The lower, by the upper.
    ShiftLeft,
    /// The lower, by the upper.
    ShiftRight,
    /// The lower, by the upper, keeping the sign.
    ShiftRightSigned,
    /// Replaces the top by so many bytes of memory at it.
    Load(u8),
    /// The top is the variable's value and not its address.
    IsValue,
}

/// Where a variable is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    steps: Vec<Step>,
    size: u8,
    signed: bool,
}

/// More steps on the stack than any real location has.
const DEEPEST: usize = 16;

impl Place {
    /// A place found by `steps`, of a variable of `size` bytes.
    pub fn new(steps: Vec<Step>, size: u8, signed: bool) -> Place {
        let size = size.clamp(1, 8);
        Place {
            steps,
            size,
            signed,
        }
    }

    /// The variable's value now, as 64 bits with its sign. `orc` knows the frame's base.
    pub fn value(&self, target: &dyn Target, orc: Option<&Orc>) -> Result<u64, Unreadable> {
        // Nearly all are one register.
        if let [Step::InRegister(register)] = self.steps.as_slice() {
            return Ok(self.cut(target.register(*register)));
        }
        let bad = Unreadable(Addr(0));
        let load = |at: u64, size: u8| {
            let mut bytes = [0; 8];
            let size = usize::from(size.min(8));
            target.read(Addr(at), &mut bytes[..size])?;
            Ok(u64::from_le_bytes(bytes))
        };
        let mut stack: Vec<u64> = Vec::with_capacity(4);
        let mut is_value = false;
        for step in &self.steps {
            let pushed = match *step {
                Step::InRegister(register) => {
                    is_value = true;
                    target.register(register)
                }
                Step::Register(register, distance) => {
                    target.register(register).wrapping_add_signed(distance)
                }
                Step::Frame(distance) => {
                    let cfa = orc.and_then(|orc| orc.cfa(target)).ok_or(bad)?;
                    cfa.wrapping_add_signed(distance)
                }
                Step::Number(number) => number,
                Step::AddNumber(number) => stack.pop().ok_or(bad)?.wrapping_add(number),
                Step::Load(size) => load(stack.pop().ok_or(bad)?, size)?,
                Step::IsValue => {
                    is_value = true;
                    continue;
                }
                two => {
                    let (upper, lower) = (stack.pop().ok_or(bad)?, stack.pop().ok_or(bad)?);
                    let by = (upper & 63) as u32;
                    match two {
                        Step::Subtract => lower.wrapping_sub(upper),
                        Step::And => lower & upper,
                        Step::Or => lower | upper,
                        Step::ShiftLeft => lower << by,
                        Step::ShiftRight => lower >> by,
                        Step::ShiftRightSigned => ((lower as i64) >> by) as u64,
                        _ => lower.wrapping_add(upper),
                    }
                }
            };
            if stack.len() >= DEEPEST {
                return Err(bad);
            }
            stack.push(pushed);
        }
        let top = stack.pop().ok_or(bad)?;
        match is_value {
            true => Ok(self.cut(top)),
            false => load(top, self.size).map(|value| self.cut(value)),
        }
    }

    /// The bits of the variable's size, with its sign.
    fn cut(&self, value: u64) -> u64 {
        let unused = 64 - 8 * u32::from(self.size);
        match self.signed {
            true => ((value << unused) as i64 >> unused) as u64,
            false => value << unused >> unused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Cpu;

    impl Target for Cpu {
        fn read(&self, at: Addr, into: &mut [u8]) -> Result<(), Unreadable> {
            if at.0 != 0x1010 {
                return Err(Unreadable(at));
            }
            into.copy_from_slice(&0xffff_fff0_8000_0001_u64.to_le_bytes()[..into.len()]);
            Ok(())
        }

        fn register(&self, register: Register) -> u64 {
            match register {
                Register::Rdi => 0x1000,
                Register::Rax => 0xabcd_0000_ffff_fffe,
                _ => 0,
            }
        }
    }

    fn value(steps: &[Step], size: u8, signed: bool) -> Result<u64, Unreadable> {
        Place::new(steps.to_vec(), size, signed).value(&Cpu, None)
    }

    #[test]
    fn registers_memory_and_values_have_the_variables_size_and_sign() {
        let rax = [Step::InRegister(Register::Rax)];
        assert_eq!(value(&rax, 4, true), Ok(-2_i64 as u64));
        assert_eq!(value(&rax, 4, false), Ok(0xffff_fffe));
        assert_eq!(value(&rax, 1, false), Ok(0xfe));
        let memory = [Step::Register(Register::Rdi, 16)];
        assert_eq!(value(&memory, 4, false), Ok(0x8000_0001));
        assert_eq!(value(&memory, 4, true), Ok(0xffff_ffff_8000_0001));
        let masked = [
            Step::Register(Register::Rdi, 16),
            Step::Load(4),
            Step::Number(0xff),
            Step::And,
            Step::IsValue,
        ];
        assert_eq!(value(&masked, 8, false), Ok(1));
        let shifted = [
            Step::Number(-16_i64 as u64),
            Step::Number(2),
            Step::ShiftRightSigned,
            Step::IsValue,
        ];
        assert_eq!(value(&shifted, 8, true), Ok(-4_i64 as u64));
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        assert!(value(&[Step::Register(Register::Rdi, 0)], 8, false).is_err());
        assert!(value(&[Step::Frame(-8)], 8, false).is_err());
        assert!(value(&[Step::Add], 8, false).is_err());
        assert!(value(&[], 8, false).is_err());
        assert!(value(&[Step::Number(1); 40], 8, false).is_err());
    }
}
