//! One walk over the DWARF that fills the tables of lines, functions and types.
//!
//! Entries refer to each other by offset and may come in any order, so references are kept as offsets
//! during the walk and looked up after it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use gimli::{AttributeValue, DebuggingInformationEntry, Section, UnitRef};

use super::declared::{Declaration, Declared, FileNumber, Owner, OwnerNumber};
use super::functions::{Functions, Location, Raw, RawArgument, RawFunction, RawInlined};
use super::lines::{Lines, Row};
use super::paths;
use super::sections::{Sections, Slice, Text};
use super::types::{Bits, Kind, Member, Type, TypeId, TypeTable};

pub type Die<'a> = DebuggingInformationEntry<Slice<'a>>;

/// What the walk yields.
#[derive(Debug, Default)]
pub struct Tables {
    pub lines: Lines,
    pub functions: Functions,
    pub types: TypeTable,
    /// Why there is nothing in them.
    pub damage: Option<String>,
}

/// A compile unit, before anything in it has been read.
pub struct UnitPlace {
    /// Its offsets in `.debug_info`.
    pub info: Range<usize>,
    /// Its code, as pairs of first address and first address after.
    pub code: Vec<(u64, u64)>,
}

/// The units of a file, in the order of `.debug_info`.
pub fn units(sections: &Sections) -> Result<Vec<UnitPlace>, String> {
    let list = || -> gimli::Result<Vec<UnitPlace>> {
        let dwarf = sections.dwarf()?;
        let mut places = Vec::new();
        let mut units = dwarf.units();
        while let Some(header) = units.next()? {
            let Some(start) = header.debug_info_offset() else {
                continue;
            };
            let end = start.0 + header.length_including_self();
            let unit = dwarf.unit(header)?;
            let mut ranges = dwarf.unit_ranges(&unit)?;
            let mut code = Vec::new();
            while let Some(range) = ranges.next()? {
                if range.begin != 0 && range.begin < range.end {
                    code.push((range.begin, range.end));
                }
            }
            places.push(UnitPlace {
                info: start.0..end,
                code,
            });
        }
        Ok(places)
    };
    list().map_err(|error| error.to_string())
}

/// Reads the units that begin in `range` of `.debug_info`, or says what is wrong with them.
pub fn read(sections: &Arc<Sections>, range: Range<usize>) -> Result<Tables, String> {
    let walk = || -> gimli::Result<Walk> {
        let dwarf = sections.dwarf()?;
        let mut walk = Walk::new(sections);
        let mut at = range.start;
        while at < range.end {
            let header = dwarf
                .debug_info
                .header_from_offset(gimli::DebugInfoOffset(at))?;
            at += header.length_including_self();
            let unit = dwarf.unit(header)?;
            walk.unit(unit.unit_ref(&dwarf))?;
        }
        Ok(walk)
    };
    match walk() {
        Ok(walk) => Ok(walk.finish()),
        Err(error) => Err(error.to_string()),
    }
}

/// What an open entry of the tree is, for its children.
#[derive(Clone, Copy)]
enum Scope {
    Other,
    /// A structure; inside a variant, members are variants.
    Type(TypeId),
    Variant(TypeId),
    Function {
        /// Whether it has code of its own.
        concrete: bool,
    },
    /// Inlined calls and lexical blocks: inside a function, but their parameters are not its own.
    Inside,
}

#[derive(Default)]
struct Walk {
    rows: Vec<Row>,
    file_numbers: BTreeMap<Arc<str>, FileNumber>,
    types: Vec<Type>,
    /// By section offset, as everything that other entries refer to.
    type_numbers: BTreeMap<usize, TypeId>,
    raw: Raw,
}

impl Walk {
    fn new(sections: &Arc<Sections>) -> Walk {
        let mut walk = Walk::default();
        walk.raw.declared = Declared::new(Arc::clone(sections));
        walk
    }

    fn unit(&mut self, unit: UnitRef<Slice>) -> gimli::Result<()> {
        let base = match unit.header.debug_info_offset() {
            Some(offset) => offset.0,
            None => return Ok(()),
        };
        let unit_files = self.lines(unit)?;
        let mut scopes: Vec<(isize, Scope)> = Vec::new();
        let mut owners: Vec<(isize, OwnerNumber)> = Vec::new();
        let mut entries = unit.entries();
        while let Some(die) = entries.next_dfs()? {
            let depth = die.depth();
            while scopes.last().is_some_and(|(open, _)| *open >= depth) {
                scopes.pop();
            }
            while owners.last().is_some_and(|(open, _)| *open >= depth) {
                owners.pop();
            }
            let parent = scopes.last().map_or(Scope::Other, |(_, scope)| *scope);
            let context = Context {
                unit,
                base,
                files: &unit_files,
                owner: owners.last().map(|(_, owner)| *owner),
            };
            let scope = self.die(&context, die, parent)?;
            if let Some(is_type) = match die.tag() {
                gimli::DW_TAG_structure_type | gimli::DW_TAG_union_type => Some(true),
                gimli::DW_TAG_namespace => Some(false),
                _ => None,
            } && let Some(name) = context.text(die, gimli::DW_AT_name)?
            {
                let known = &mut self.raw.declared.owners;
                owners.push((depth, known.len() as OwnerNumber));
                known.push(Owner { name, is_type });
            }
            scopes.push((depth, scope));
        }
        Ok(())
    }

    /// Reads the line program; gives the unit's files by index.
    fn lines(&mut self, unit: UnitRef<Slice>) -> gimli::Result<Vec<Option<FileNumber>>> {
        let Some(program) = unit.line_program.clone() else {
            return Ok(Vec::new());
        };
        let directory = match unit.comp_dir {
            Some(dir) => dir.to_string_lossy().into_owned(),
            None => String::new(),
        };
        let header = program.header().clone();
        let mut numbers: Vec<Option<FileNumber>> = Vec::new();
        // Files are numbered from 1 up to DWARF 4 and from 0 from 5 on.
        let count = header.file_names().len() as u64;
        for index in 0..=count {
            numbers.push(match header.file(index) {
                None => None,
                Some(file) => {
                    let path = unit.attr_string(file.path_name())?.to_string_lossy();
                    let inside = match file.directory(&header) {
                        Some(dir) => unit.attr_string(dir)?.to_string_lossy(),
                        None => "".into(),
                    };
                    let whole = paths::join(&directory, &paths::join(&inside, &path));
                    Some(self.file_number(paths::shown(&whole, &directory)))
                }
            });
        }
        let mut rows = program.rows();
        let mut sequence = self.rows.len();
        while let Some((_, row)) = rows.next_row()? {
            let file = numbers.get(row.file_index() as usize).copied().flatten();
            self.rows.push(Row {
                addr: row.address(),
                end: row.end_sequence(),
                file: file.unwrap_or(0),
                line: row.line().map_or(0, |line| line.get() as u32),
            });
            if row.end_sequence() {
                // Code that the linker dropped keeps its line program, at address 0.
                if self.rows.get(sequence).is_some_and(|first| first.addr == 0) {
                    self.rows.truncate(sequence);
                }
                sequence = self.rows.len();
            }
        }
        // A sequence without an end.
        self.rows.truncate(sequence);
        Ok(numbers)
    }

    fn file_number(&mut self, name: &str) -> FileNumber {
        if let Some(number) = self.file_numbers.get(name) {
            return *number;
        }
        let files = &mut self.raw.declared.files;
        let number = files.len() as FileNumber;
        let name: Arc<str> = name.into();
        files.push(Arc::clone(&name));
        self.file_numbers.insert(name, number);
        number
    }

    /// The number of the type at a section offset, reserved if it has not been read yet.
    fn type_at(&mut self, offset: usize) -> TypeId {
        let next = self.types.len();
        let id = *self.type_numbers.entry(offset).or_insert(next);
        if id == next {
            self.types.push(Type::default());
        }
        id
    }

    fn die<'d>(
        &mut self,
        cx: &Context<'_, 'd>,
        die: &Die<'d>,
        parent: Scope,
    ) -> gimli::Result<Scope> {
        match die.tag() {
            gimli::DW_TAG_base_type
            | gimli::DW_TAG_pointer_type
            | gimli::DW_TAG_reference_type
            | gimli::DW_TAG_structure_type
            | gimli::DW_TAG_union_type
            | gimli::DW_TAG_enumeration_type
            | gimli::DW_TAG_array_type
            | gimli::DW_TAG_typedef
            | gimli::DW_TAG_const_type
            | gimli::DW_TAG_volatile_type => self.type_die(cx, die),
            gimli::DW_TAG_variant_part => Ok(match parent {
                Scope::Type(id) => Scope::Variant(id),
                _ => Scope::Other,
            }),
            gimli::DW_TAG_variant => Ok(match parent {
                Scope::Variant(id) => Scope::Variant(id),
                _ => Scope::Other,
            }),
            gimli::DW_TAG_member => self.member(cx, die, parent),
            gimli::DW_TAG_enumerator => {
                if let Scope::Type(id) = parent
                    && let Some(name) = cx.name(die)?
                    && let Some(value) = die.attr(gimli::DW_AT_const_value)
                    && let Some(value) = value
                        .sdata_value()
                        .or_else(|| value.udata_value().map(|v| v as i64))
                    && let Kind::Enum { values, .. } = &mut self.types[id].kind
                {
                    values.push((name, value));
                }
                Ok(Scope::Other)
            }
            gimli::DW_TAG_subrange_type => {
                let number = |at| die.attr(at).and_then(|attr| attr.udata_value());
                let length = number(gimli::DW_AT_count)
                    .or_else(|| Some(number(gimli::DW_AT_upper_bound)?.wrapping_add(1)));
                if let Scope::Type(id) = parent
                    && let Kind::Array { count, .. } = &mut self.types[id].kind
                {
                    // A second dimension multiplies.
                    let length = length.unwrap_or(0);
                    *count = match *count {
                        u64::MAX => length,
                        before => before.saturating_mul(length),
                    };
                }
                Ok(Scope::Other)
            }
            gimli::DW_TAG_subprogram => self.subprogram(cx, die),
            gimli::DW_TAG_inlined_subroutine => {
                self.inlined(cx, die)?;
                Ok(Scope::Inside)
            }
            gimli::DW_TAG_lexical_block => Ok(Scope::Inside),
            gimli::DW_TAG_formal_parameter => {
                self.parameter(cx, die, parent)?;
                Ok(Scope::Other)
            }
            _ => Ok(Scope::Other),
        }
    }

    fn type_die<'d>(&mut self, cx: &Context<'_, 'd>, die: &Die<'d>) -> gimli::Result<Scope> {
        let id = self.type_at(cx.base + die.offset().0);
        let target = cx.reference(die, gimli::DW_AT_type);
        let kind = match die.tag() {
            gimli::DW_TAG_base_type => Kind::Base {
                signed: matches!(
                    die.attr_value(gimli::DW_AT_encoding),
                    Some(AttributeValue::Encoding(
                        gimli::DW_ATE_signed | gimli::DW_ATE_signed_char
                    ))
                ),
            },
            gimli::DW_TAG_pointer_type | gimli::DW_TAG_reference_type => Kind::Pointer,
            gimli::DW_TAG_enumeration_type => Kind::Enum {
                values: Vec::new(),
                base: target.map(|offset| self.type_at(offset)),
            },
            gimli::DW_TAG_array_type => Kind::Array {
                element: target.map(|offset| self.type_at(offset)),
                count: u64::MAX,
            },
            gimli::DW_TAG_typedef | gimli::DW_TAG_const_type | gimli::DW_TAG_volatile_type => {
                Kind::Alias(target.map(|offset| self.type_at(offset)))
            }
            _ if die.has_attr(gimli::DW_AT_declaration) => Kind::Opaque,
            _ => Kind::Struct {
                members: Vec::new(),
                variants: Vec::new(),
            },
        };
        let size = die
            .attr(gimli::DW_AT_byte_size)
            .and_then(|attr| attr.udata_value());
        self.types[id] = Type {
            name: cx.name(die)?.unwrap_or_default(),
            size: size.unwrap_or(if matches!(kind, Kind::Pointer) { 8 } else { 0 }),
            kind,
        };
        Ok(Scope::Type(id))
    }

    fn member<'d>(
        &mut self,
        cx: &Context<'_, 'd>,
        die: &Die<'d>,
        parent: Scope,
    ) -> gimli::Result<Scope> {
        let (id, is_variant) = match parent {
            Scope::Type(id) => (id, false),
            Scope::Variant(id) if !die.has_attr(gimli::DW_AT_artificial) => (id, true),
            _ => return Ok(Scope::Other),
        };
        let Some(ty) = cx.reference(die, gimli::DW_AT_type) else {
            return Ok(Scope::Other);
        };
        let number = |at| die.attr(at).and_then(|attr| attr.udata_value());
        let first_bit = number(gimli::DW_AT_data_bit_offset);
        let bits = number(gimli::DW_AT_bit_size).and_then(|width| {
            Some(Bits {
                shift: (first_bit? % 8) as u8,
                width: u8::try_from(width).ok().filter(|width| *width <= 57)?,
            })
        });
        let member = Member {
            name: cx.name(die)?.unwrap_or_default(),
            offset: match first_bit {
                Some(bit) => bit / 8,
                None => number(gimli::DW_AT_data_member_location).unwrap_or(0),
            },
            bits,
            ty: self.type_at(ty),
        };
        if let Kind::Struct { members, variants } = &mut self.types[id].kind {
            match is_variant {
                true => variants.push(member),
                false => members.push(member),
            }
        }
        Ok(Scope::Other)
    }

    fn subprogram<'d>(&mut self, cx: &Context<'_, 'd>, die: &Die<'d>) -> gimli::Result<Scope> {
        let offset = cx.base + die.offset().0;
        let name = cx.text(die, gimli::DW_AT_name)?;
        self.raw.declared.push(Declaration {
            at: offset,
            name: name.map(|name| (name, cx.owner)),
            linkage: cx.text(die, gimli::DW_AT_linkage_name)?,
            file: cx.file(die, gimli::DW_AT_decl_file),
            line: cx.number(die, gimli::DW_AT_decl_line),
            origin: cx
                .reference(die, gimli::DW_AT_abstract_origin)
                .or_else(|| cx.reference(die, gimli::DW_AT_specification)),
        });
        let ranges = self.ranges(cx, die)?;
        let Some((low, _)) = self.raw.ranges.get(ranges.start).copied() else {
            return Ok(Scope::Function { concrete: false });
        };
        let none = |len| len..len;
        self.raw.functions.push(RawFunction {
            unit: cx.base,
            die: offset,
            low,
            ranges,
            arguments: none(self.raw.arguments.len()),
            inlined: none(self.raw.inlined.len()),
        });
        Ok(Scope::Function { concrete: true })
    }

    /// Puts the code of an entry into the long list.
    fn ranges<'d>(&mut self, cx: &Context<'_, 'd>, die: &Die<'d>) -> gimli::Result<Range<usize>> {
        let start = self.raw.ranges.len();
        cx.each_range(die, |range| self.raw.ranges.push(range))?;
        Ok(start..self.raw.ranges.len())
    }

    fn inlined<'d>(&mut self, cx: &Context<'_, 'd>, die: &Die<'d>) -> gimli::Result<()> {
        let ranges = self.ranges(cx, die)?;
        let code = self.raw.ranges.get(ranges.clone()).unwrap_or_default();
        let Some(first) = code.iter().map(|(low, _)| *low).min() else {
            return Ok(());
        };
        let entry = match die.attr_value(gimli::DW_AT_entry_pc) {
            Some(value) => cx.unit.attr_address(value)?.unwrap_or(first),
            None => first,
        };
        if let Some(function) = self.raw.functions.last_mut() {
            self.raw.inlined.push(RawInlined {
                origin: cx.reference(die, gimli::DW_AT_abstract_origin),
                call_file: cx.file(die, gimli::DW_AT_call_file),
                call_line: cx.number(die, gimli::DW_AT_call_line),
                entry,
                ranges,
            });
            function.inlined.end = self.raw.inlined.len();
        }
        Ok(())
    }

    fn parameter<'d>(
        &mut self,
        cx: &Context<'_, 'd>,
        die: &Die<'d>,
        parent: Scope,
    ) -> gimli::Result<()> {
        let Scope::Function { concrete } = parent else {
            return Ok(());
        };
        let name = cx.text(die, gimli::DW_AT_name)?;
        if let Some(name) = name {
            let at = cx.base + die.offset().0;
            self.raw.declared.push_parameter(at, name);
        }
        if !concrete {
            return Ok(());
        }
        if let Some(function) = self.raw.functions.last_mut() {
            self.raw.arguments.push(RawArgument {
                name,
                origin: cx.reference(die, gimli::DW_AT_abstract_origin),
                location: cx.location_at(die, function.low)?,
            });
            function.arguments.end = self.raw.arguments.len();
        }
        Ok(())
    }

    fn finish(mut self) -> Tables {
        for ty in &mut self.types {
            if let Kind::Array { count, .. } = &mut ty.kind
                && *count == u64::MAX
            {
                *count = 0;
            }
        }
        Tables {
            lines: Lines::new(self.rows, self.raw.declared.files.clone()),
            functions: Functions::new(self.raw),
            types: TypeTable::new(self.types),
            damage: None,
        }
    }
}

/// The unit that an entry is in, and what its attributes refer to.
pub struct Context<'a, 'd> {
    pub unit: UnitRef<'a, Slice<'d>>,
    pub base: usize,
    pub files: &'a [Option<FileNumber>],
    pub owner: Option<OwnerNumber>,
}

impl<'d> Context<'_, 'd> {
    /// The bytes of a string attribute, and where they are.
    fn found(&self, die: &Die<'d>, at: gimli::DwAt) -> gimli::Result<Option<(Slice<'d>, Text)>> {
        let in_str = |offset: gimli::DebugStrOffset| {
            let bytes = self.unit.string(offset)?;
            Ok(Some((bytes, Text::Str(offset.0))))
        };
        match die.attr_value(at) {
            None => Ok(None),
            Some(AttributeValue::String(text)) => {
                let start = *self.unit.dwarf.debug_info.reader();
                Ok(Some((text, Text::Info(text.offset_from(start)))))
            }
            Some(AttributeValue::DebugStrRef(offset)) => in_str(offset),
            Some(AttributeValue::DebugStrOffsetsIndex(index)) => {
                in_str(self.unit.string_offset(index)?)
            }
            Some(AttributeValue::DebugLineStrRef(offset)) => {
                let bytes = self.unit.line_string(offset)?;
                Ok(Some((bytes, Text::LineStr(offset.0))))
            }
            Some(_) => Ok(None),
        }
    }

    /// Where a string attribute is, which is known to be there.
    fn text(&self, die: &Die<'d>, at: gimli::DwAt) -> gimli::Result<Option<Text>> {
        Ok(self.found(die, at)?.map(|(_, text)| text))
    }

    pub fn name(&self, die: &Die<'d>) -> gimli::Result<Option<String>> {
        let found = self.found(die, gimli::DW_AT_name)?;
        Ok(found.map(|(bytes, _)| bytes.to_string_lossy().into_owned()))
    }

    fn number(&self, die: &Die<'d>, at: gimli::DwAt) -> Option<u32> {
        u32::try_from(die.attr(at)?.udata_value()?).ok()
    }

    /// The section offset that an attribute refers to.
    fn reference(&self, die: &Die<'d>, at: gimli::DwAt) -> Option<usize> {
        match die.attr_value(at)? {
            AttributeValue::UnitRef(offset) => Some(self.base + offset.0),
            AttributeValue::DebugInfoRef(offset) => Some(offset.0),
            _ => None,
        }
    }

    fn file(&self, die: &Die<'d>, at: gimli::DwAt) -> Option<FileNumber> {
        let index = match die.attr_value(at)? {
            AttributeValue::FileIndex(index) => index,
            value => value.udata_value()?,
        };
        *self.files.get(usize::try_from(index).ok()?)?
    }

    /// The code of an entry; none if it has none, or if the linker dropped it.
    pub fn each_range(&self, die: &Die<'d>, mut take: impl FnMut((u64, u64))) -> gimli::Result<()> {
        let mut ranges = self.unit.die_ranges(die)?;
        while let Some(range) = ranges.next()? {
            if range.begin != 0 && range.begin < range.end {
                take((range.begin, range.end));
            }
        }
        Ok(())
    }

    /// Where a parameter is when the code at `pc` is reached.
    fn location_at(&self, die: &Die<'d>, pc: u64) -> gimli::Result<Option<Location>> {
        let Some(value) = die.attr_value(gimli::DW_AT_location) else {
            return Ok(None);
        };
        if let AttributeValue::Exprloc(expression) = value {
            return self.simple(expression);
        }
        let Some(mut list) = self.unit.attr_locations(value)? else {
            return Ok(None);
        };
        while let Some(entry) = list.next()? {
            if (entry.range.begin..entry.range.end).contains(&pc) {
                return self.simple(entry.data);
            }
        }
        Ok(None)
    }

    /// A location that is one register, or one register plus an offset. Places relative to the frame
    /// do not hold yet at the entry, so they are not followed.
    fn simple(&self, expression: gimli::Expression<Slice<'d>>) -> gimli::Result<Option<Location>> {
        let mut operations = expression.operations(self.unit.encoding());
        let first = operations.next()?;
        if operations.next()?.is_some() {
            return Ok(None);
        }
        Ok(match first {
            Some(gimli::Operation::Register { register }) => Some(Location::Register(register.0)),
            Some(gimli::Operation::RegisterOffset {
                register, offset, ..
            }) => Some(Location::Memory {
                register: register.0,
                offset,
            }),
            _ => None,
        })
    }
}
