//! Where a parameter or a variable is when the code at an address is reached: DWARF's location lists,
//! for functions out of line and for those inlined at the address.

use gimli::{AttributeValue, Operation, UnitRef};

use super::dwarf::Context;
use super::sections::{Sections, Slice};
use crate::place::{Place, Step};
use crate::target::Register;

/// Why a variable cannot be read at an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPlace {
    /// There is no function of that name at the address, or it has no such variable.
    #[error("{function} at {at:#x} has no variable {name}")]
    Unknown {
        /// The function, inlined or not.
        function: String,
        /// The variable.
        name: String,
        /// The address.
        at: u64,
    },
    /// The compiler has not kept it there.
    #[error("{name} of {function} is optimised out at {at:#x}")]
    OptimisedOut {
        /// The function, inlined or not.
        function: String,
        /// The variable.
        name: String,
        /// The address.
        at: u64,
    },
    /// DWARF says where it is with a word that is not understood here.
    #[error("{name} of {function} at {at:#x} is described by {word}, which is not understood")]
    NotUnderstood {
        /// The function, inlined or not.
        function: String,
        /// The variable.
        name: String,
        /// The address.
        at: u64,
        /// The operation.
        word: String,
    },
    /// The DWARF around the address is damaged.
    #[error("the DWARF around {at:#x} cannot be read: {reason}")]
    Damaged {
        /// The address.
        at: u64,
        /// What the DWARF reader said.
        reason: String,
    },
}

/// The place of variable `name` of `function` at address `at`; `die` is the entry of the function out of
/// line whose code is there, in the unit that begins at `unit`.
pub fn find(
    sections: &Sections,
    (unit, die): (usize, usize),
    function: &str,
    name: &str,
    at: u64,
) -> Result<Place, NoPlace> {
    let damaged = |error: gimli::Error| NoPlace::Damaged {
        at,
        reason: error.to_string(),
    };
    let dwarf = sections.dwarf().map_err(damaged)?;
    let header = dwarf
        .debug_info
        .header_from_offset(gimli::DebugInfoOffset(unit))
        .map_err(damaged)?;
    let whole = dwarf.unit(header).map_err(damaged)?;
    let cx = Context {
        unit: whole.unit_ref(&dwarf),
        base: unit,
        files: &[],
        owner: None,
    };
    let found = search(&cx, die - unit, function, name, at).map_err(damaged)?;
    let (function, name) = (function.to_owned(), name.to_owned());
    match found {
        Found::Place(place) => Ok(place),
        Found::Nothing => Err(NoPlace::Unknown { function, name, at }),
        Found::OptimisedOut => Err(NoPlace::OptimisedOut { function, name, at }),
        Found::NotUnderstood(word) => Err(NoPlace::NotUnderstood {
            function,
            name,
            at,
            word,
        }),
    }
}

enum Found {
    Nothing,
    OptimisedOut,
    NotUnderstood(String),
    Place(Place),
}

/// A function or block around the entry that is looked at.
struct Scope {
    depth: isize,
    covers: bool,
    /// The name of the function it is, or is a block of.
    function: Option<String>,
}

fn search<'d>(
    cx: &Context<'_, 'd>,
    die: usize,
    function: &str,
    name: &str,
    at: u64,
) -> gimli::Result<Found> {
    let mut best = Found::Nothing;
    let mut scopes: Vec<Scope> = Vec::new();
    let mut entries = cx.unit.entries_at_offset(gimli::UnitOffset(die))?;
    while let Some(entry) = entries.next_dfs()? {
        let depth = entry.depth();
        while scopes.last().is_some_and(|scope| scope.depth >= depth) {
            scopes.pop();
        }
        if scopes.is_empty() && entry.offset().0 != die {
            break;
        }
        let outer = scopes.last();
        match entry.tag() {
            gimli::DW_TAG_subprogram | gimli::DW_TAG_inlined_subroutine => {
                let scope = Scope {
                    depth,
                    covers: covers(cx, entry, at)?,
                    function: named(cx, entry)?,
                };
                scopes.push(scope);
            }
            gimli::DW_TAG_lexical_block => {
                let scope = Scope {
                    depth,
                    covers: covers(cx, entry, at)?,
                    function: outer.and_then(|scope| scope.function.clone()),
                };
                scopes.push(scope);
            }
            gimli::DW_TAG_formal_parameter | gimli::DW_TAG_variable
                if outer.is_some_and(|s| s.covers && s.function.as_deref() == Some(function))
                    && named(cx, entry)?.as_deref() == Some(name) =>
            {
                match (place(cx, entry, at)?, &best) {
                    (found @ Found::Place(_), _) => best = found,
                    (_, Found::Place(_)) => {}
                    (found, _) => best = found,
                }
            }
            _ => {}
        }
    }
    Ok(best)
}

fn covers<'d>(cx: &Context<'_, 'd>, die: &super::dwarf::Die<'d>, at: u64) -> gimli::Result<bool> {
    let mut covered = false;
    cx.each_range(die, |(low, high)| covered |= (low..high).contains(&at))?;
    Ok(covered)
}

/// The name of an entry, or of the abstract one that it is an instance of.
fn named<'d>(cx: &Context<'_, 'd>, die: &super::dwarf::Die<'d>) -> gimli::Result<Option<String>> {
    if let Some(name) = cx.name(die)? {
        return Ok(Some(name));
    }
    let mut next = origin(die);
    for _ in 0..4 {
        let Some(offset) = next else { break };
        let abstract_one = cx.unit.entry(offset)?;
        if let Some(name) = cx.name(&abstract_one)? {
            return Ok(Some(name));
        }
        next = origin(&abstract_one);
    }
    Ok(None)
}

fn origin(die: &super::dwarf::Die<'_>) -> Option<gimli::UnitOffset> {
    let of = |at| match die.attr_value(at) {
        Some(AttributeValue::UnitRef(offset)) => Some(offset),
        _ => None,
    };
    of(gimli::DW_AT_abstract_origin).or_else(|| of(gimli::DW_AT_specification))
}

/// Size in bytes and sign of an entry's type; a pointer's where it has none.
fn kind<'d>(cx: &Context<'_, 'd>, die: &super::dwarf::Die<'d>) -> gimli::Result<(u8, bool)> {
    let mut next = match origin(die) {
        Some(offset) if !die.has_attr(gimli::DW_AT_type) => type_of(&cx.unit.entry(offset)?),
        _ => type_of(die),
    };
    for _ in 0..16 {
        let Some(offset) = next else { break };
        let ty = cx.unit.entry(offset)?;
        match ty.tag() {
            gimli::DW_TAG_typedef
            | gimli::DW_TAG_const_type
            | gimli::DW_TAG_volatile_type
            | gimli::DW_TAG_enumeration_type
                if type_of(&ty).is_some() =>
            {
                next = type_of(&ty);
            }
            _ => {
                let size = ty
                    .attr(gimli::DW_AT_byte_size)
                    .and_then(|a| a.udata_value());
                let signed = matches!(
                    ty.attr_value(gimli::DW_AT_encoding),
                    Some(AttributeValue::Encoding(
                        gimli::DW_ATE_signed | gimli::DW_ATE_signed_char
                    ))
                );
                return Ok((size.unwrap_or(8).min(8) as u8, signed));
            }
        }
    }
    Ok((8, false))
}

fn type_of(die: &super::dwarf::Die<'_>) -> Option<gimli::UnitOffset> {
    match die.attr_value(gimli::DW_AT_type) {
        Some(AttributeValue::UnitRef(offset)) => Some(offset),
        _ => None,
    }
}

fn place<'d>(cx: &Context<'_, 'd>, die: &super::dwarf::Die<'d>, at: u64) -> gimli::Result<Found> {
    let (size, signed) = kind(cx, die)?;
    if let Some(value) = die.attr(gimli::DW_AT_const_value) {
        let number = value
            .sdata_value()
            .or_else(|| value.udata_value().map(|v| v as i64));
        return Ok(match number {
            Some(number) => {
                let steps = vec![Step::Number(number as u64), Step::IsValue];
                Found::Place(Place::new(steps, size, signed))
            }
            None => Found::NotUnderstood("DW_AT_const_value".to_owned()),
        });
    }
    let Some(value) = die.attr_value(gimli::DW_AT_location) else {
        return Ok(Found::OptimisedOut);
    };
    let expression = match value {
        AttributeValue::Exprloc(expression) => Some(expression),
        value => {
            let mut here = None;
            if let Some(mut list) = cx.unit.attr_locations(value)? {
                while let Some(entry) = list.next()? {
                    if (entry.range.begin..entry.range.end).contains(&at) {
                        here = Some(entry.data);
                        break;
                    }
                }
            }
            here
        }
    };
    let Some(expression) = expression else {
        return Ok(Found::OptimisedOut);
    };
    Ok(match steps(&cx.unit, expression)? {
        Ok(steps) if steps.is_empty() => Found::OptimisedOut,
        Ok(steps) => Found::Place(Place::new(steps, size, signed)),
        Err(word) => Found::NotUnderstood(word),
    })
}

/// The expression in our own words; `Err` with the first that is not understood.
fn steps(
    unit: &UnitRef<'_, Slice<'_>>,
    expression: gimli::Expression<Slice<'_>>,
) -> gimli::Result<Result<Vec<Step>, String>> {
    let mut operations = expression.operations(unit.encoding());
    let mut steps = Vec::new();
    while let Some(operation) = operations.next()? {
        let register = |number: gimli::Register| Register::from_dwarf(number.0);
        let step = match operation {
            Operation::Register { register: r } => register(r).map(Step::InRegister),
            Operation::RegisterOffset {
                register: r,
                offset,
                ..
            } => register(r).map(|r| Step::Register(r, offset)),
            Operation::FrameOffset { offset } => Some(Step::Frame(offset)),
            Operation::CallFrameCFA => Some(Step::Frame(0)),
            Operation::UnsignedConstant { value } => Some(Step::Number(value)),
            Operation::SignedConstant { value } => Some(Step::Number(value as u64)),
            Operation::Address { address } => Some(Step::Number(address)),
            Operation::PlusConstant { value } => Some(Step::AddNumber(value)),
            Operation::Plus => Some(Step::Add),
            Operation::Minus => Some(Step::Subtract),
            Operation::And => Some(Step::And),
            Operation::Or => Some(Step::Or),
            Operation::Shl => Some(Step::ShiftLeft),
            Operation::Shr => Some(Step::ShiftRight),
            Operation::Shra => Some(Step::ShiftRightSigned),
            Operation::Deref {
                size, space: false, ..
            } => Some(Step::Load(size)),
            Operation::StackValue => Some(Step::IsValue),
            Operation::Nop => continue,
            _ => None,
        };
        match step {
            Some(step) => steps.push(step),
            None => {
                let word = format!("{operation:?}");
                let word = word.split([' ', '{', '(']).next().unwrap_or_default();
                return Ok(Err(word.to_owned()));
            }
        }
    }
    Ok(Ok(steps))
}
