//! Structure layouts by name, and paths through them.
//!
//! A name may be Rust's (`TaskStruct`) or Linux's (`task_struct`); a path such as `thread_info.cpu`
//! names members. Structures with exactly one member that is not empty (`Shared<T>`, `UnsafeCell`,
//! atomics, a mask of one word) are looked through, and so is an `Option` that is stored as its pointer.
//! The members of a structure or union without a name count as those of the structure around it.

use std::collections::BTreeMap;

use super::debug::Debug;
use super::dwarf::Tables;

/// Number of a type in the table.
pub type TypeId = usize;

/// A member of a structure.
#[derive(Clone, Debug)]
pub struct Member {
    pub name: String,
    pub offset: u64,
    pub bits: Option<Bits>,
    pub ty: TypeId,
}

/// The bits of a field that is smaller than its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bits {
    /// Bits below it in its first byte.
    pub shift: u8,
    /// How many are its own, at most 57.
    pub width: u8,
}

/// What a type is made of.
#[derive(Clone, Debug, Default)]
pub enum Kind {
    /// Not followed: functions, and what DWARF leaves out.
    #[default]
    Opaque,
    Base {
        signed: bool,
    },
    Pointer,
    /// A structure, or a union when several members have one offset.
    Struct {
        members: Vec<Member>,
        /// For an enum with data: the structures of its variants.
        variants: Vec<Member>,
    },
    Enum {
        values: Vec<(String, i64)>,
        base: Option<TypeId>,
    },
    Array {
        element: Option<TypeId>,
        count: u64,
    },
    /// typedef, const, volatile.
    Alias(Option<TypeId>),
}

/// One type.
#[derive(Clone, Debug, Default)]
pub struct Type {
    pub name: String,
    pub size: u64,
    pub kind: Kind,
}

/// How the bytes of a field are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Signed number of the field's size.
    Signed,
    /// Unsigned number of the field's size.
    Unsigned,
    /// Address.
    Pointer,
    /// Anything larger than a word or with more than one part: bytes.
    Bytes,
}

/// Where a field is and how to read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Bytes from the start of the structure.
    pub offset: u64,
    /// Its size in bytes.
    pub size: u64,
    /// How to read it.
    pub shape: Shape,
    /// For a bit-field: which bits of these bytes.
    pub bits: Option<Bits>,
}

/// Why a layout cannot be told.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TypeError {
    /// No structure has this name.
    #[error("the image has no type {0}{hint}", hint = nearest(.1))]
    NoType(String, Option<String>),
    /// The structure has no such member.
    #[error("{ty} has no field {field} (it has {})", .has.join(", "))]
    NoField {
        /// The structure.
        ty: String,
        /// The member asked for.
        field: String,
        /// The members it has.
        has: Vec<String>,
    },
}

fn nearest(name: &Option<String>) -> String {
    name.as_ref()
        .map(|name| format!(" (is {name} meant?)"))
        .unwrap_or_default()
}

/// The layouts of an image, looked up part by part.
#[derive(Clone, Copy, Debug)]
pub struct Types<'a> {
    debug: &'a Debug,
    /// An address in the unit that is asked first.
    near: Option<u64>,
}

impl<'a> Types<'a> {
    pub(super) fn new(debug: &'a Debug, near: Option<u64>) -> Types<'a> {
        Types { debug, near }
    }

    /// Asks the unit that is near, the parts that have been read, then those that mention the type, for the first that knows it.
    fn ask<T>(
        &self,
        name: &str,
        f: impl Fn(&'a TypeTable) -> Result<T, TypeError>,
    ) -> Result<T, TypeError> {
        let mut unknown = None;
        let mut answer = |tables: &'a Tables| match f(&tables.types) {
            Err(error @ TypeError::NoType(..)) => {
                unknown.get_or_insert(error);
                None
            }
            known => Some(known),
        };
        let bare = name.strip_prefix("struct ").unwrap_or(name);
        let near = self.near.and_then(|addr| self.debug.at(addr));
        let first = near.into_iter().chain(self.debug.loaded());
        let found = first.into_iter().find_map(&mut answer).or_else(|| {
            if self.debug.is_whole() {
                return None;
            }
            let linux = self.debug.mentioning(bare).find_map(&mut answer);
            linux.or_else(|| {
                self.debug
                    .mentioning(&rust_name(bare))
                    .find_map(&mut answer)
            })
        });
        match (found, unknown) {
            (Some(known), _) => known,
            (None, Some(error)) => Err(error),
            (None, None) => Err(TypeError::NoType(name.to_owned(), None)),
        }
    }

    /// Size of the type called `name`.
    pub fn size_of(&self, name: &str) -> Result<u64, TypeError> {
        self.ask(name, |types| types.size_of(name))
    }

    /// The members of the type called `name`, as name and offset.
    pub fn members(&self, name: &str) -> Result<Vec<(&'a str, Field)>, TypeError> {
        self.ask(name, |types| types.members(name))
    }

    /// The field at `path` (members joined by dots) of the type called `name`.
    pub fn field(&self, name: &str, path: &str) -> Result<Field, TypeError> {
        self.ask(name, |types| types.field(name, path))
    }

    /// The value of constant `constant` of the enumeration called `name`.
    pub fn constant(&self, name: &str, constant: &str) -> Result<i64, TypeError> {
        self.ask(name, |types| types.constant(name, constant))
    }
}

/// The layouts of one part of an image.
#[derive(Debug, Default)]
pub struct TypeTable {
    types: Vec<Type>,
    by_name: BTreeMap<String, TypeId>,
}

impl TypeTable {
    pub(super) fn new(types: Vec<Type>) -> TypeTable {
        let mut by_name = BTreeMap::new();
        for (id, ty) in types.iter().enumerate() {
            let whole = match &ty.kind {
                Kind::Struct { members, variants } => !(members.is_empty() && variants.is_empty()),
                Kind::Enum { values, .. } => !values.is_empty(),
                _ => false,
            };
            if whole && !ty.name.is_empty() {
                by_name.entry(ty.name.clone()).or_insert(id);
            }
        }
        // Last, so that `struct name` wins over `typedef … name`.
        for (id, ty) in types.iter().enumerate() {
            if matches!(ty.kind, Kind::Alias(Some(_))) && !ty.name.is_empty() {
                by_name.entry(ty.name.clone()).or_insert(id);
            }
        }
        TypeTable { types, by_name }
    }

    /// The type called `name`, in Rust's or Linux's spelling.
    fn find(&self, name: &str) -> Result<TypeId, TypeError> {
        let bare = name.strip_prefix("struct ").unwrap_or(name);
        let rust = rust_name(bare);
        self.by_name
            .get(bare)
            .or_else(|| self.by_name.get(&rust))
            .copied()
            .ok_or_else(|| {
                let near = self
                    .by_name
                    .keys()
                    .filter(|known| known.eq_ignore_ascii_case(&rust))
                    .min()
                    .cloned();
                TypeError::NoType(name.to_owned(), near)
            })
    }

    /// Size of the type called `name`.
    pub fn size_of(&self, name: &str) -> Result<u64, TypeError> {
        self.find(name).map(|id| self.types[id].size)
    }

    /// The members of the type called `name`, as name and offset.
    pub fn members(&self, name: &str) -> Result<Vec<(&str, Field)>, TypeError> {
        let (id, base) = self.struct_inside(self.find(name)?);
        Ok(match &self.types[id].kind {
            Kind::Struct { members, .. } => members
                .iter()
                .map(|member| {
                    let offset = base + member.offset;
                    (
                        member.name.as_str(),
                        self.leaf(member.ty, offset, member.bits),
                    )
                })
                .collect(),
            _ => Vec::new(),
        })
    }

    /// The field at `path` (members joined by dots) of the type called `name`.
    pub fn field(&self, name: &str, path: &str) -> Result<Field, TypeError> {
        let mut at = self.find(name)?;
        let (mut offset, mut bits) = (0, None);
        for step in path.split('.') {
            let (next, more, part) = self.step(at, step).ok_or_else(|| {
                let (inside, _) = self.struct_inside(at);
                TypeError::NoField {
                    ty: match self.types[inside].name.as_str() {
                        "" => name.to_owned(),
                        named => named.to_owned(),
                    },
                    field: step.to_owned(),
                    has: self.member_names(inside),
                }
            })?;
            at = next;
            offset += more;
            bits = part;
        }
        Ok(self.leaf(at, offset, bits))
    }

    /// The value of constant `constant` of the enumeration called `name`.
    pub fn constant(&self, name: &str, constant: &str) -> Result<i64, TypeError> {
        let no_field = |has| TypeError::NoField {
            ty: name.to_owned(),
            field: constant.to_owned(),
            has,
        };
        match &self.types[self.find(name)?].kind {
            Kind::Enum { values, .. } => values
                .iter()
                .find(|(known, _)| known == constant)
                .map(|(_, value)| *value)
                .ok_or_else(|| no_field(values.iter().map(|(known, _)| known.clone()).collect())),
            _ => Err(no_field(Vec::new())),
        }
    }

    fn member_names(&self, id: TypeId) -> Vec<String> {
        match &self.types[id].kind {
            Kind::Struct { members, .. } => members.iter().map(|m| m.name.clone()).collect(),
            _ => Vec::new(),
        }
    }

    /// Finds a member in `id` or in the one thing that `id` wraps: its type, where it is, and which
    /// bits.
    fn step(&self, mut id: TypeId, name: &str) -> Option<(TypeId, u64, Option<Bits>)> {
        let mut offset = 0;
        for _ in 0..32 {
            if let Some((ty, more, bits)) = self.member(id, name, 0) {
                return Some((ty, offset + more, bits));
            }
            let (inside, more) = self.unwrap(id)?;
            id = inside;
            offset += more;
        }
        None
    }

    /// A member of `id` itself or of what has no name in it.
    fn member(&self, id: TypeId, name: &str, depth: u32) -> Option<(TypeId, u64, Option<Bits>)> {
        let Kind::Struct { members, .. } = &self.types[id].kind else {
            return None;
        };
        let named = |m: &&Member| m.name == name || m.name.strip_prefix("r#") == Some(name);
        if let Some(member) = members.iter().find(named) {
            return Some((member.ty, member.offset, member.bits));
        }
        let nameless = members.iter().filter(|m| m.name.is_empty() && depth < 8);
        nameless.into_iter().find_map(|m| {
            let (ty, offset, bits) = self.member(m.ty, name, depth + 1)?;
            Some((ty, m.offset + offset, bits))
        })
    }

    /// What a wrapper wraps, and where in it.
    fn unwrap(&self, id: TypeId) -> Option<(TypeId, u64)> {
        let ty = &self.types[id];
        match &ty.kind {
            Kind::Alias(target) => Some(((*target)?, 0)),
            Kind::Array { element, count: 1 } => Some(((*element)?, 0)),
            Kind::Struct { members, variants } if variants.is_empty() => {
                self.only(members).map(|m| (m.ty, m.offset))
            }
            // An enum stored as its one payload: `Option<&T>`, where 0 is None.
            Kind::Struct { variants, .. } => {
                let variant = self.only(variants)?;
                let Kind::Struct { members, .. } = &self.types[variant.ty].kind else {
                    return None;
                };
                let payload = self.only(members)?;
                (self.types[payload.ty].size == ty.size)
                    .then_some((payload.ty, variant.offset + payload.offset))
            }
            _ => None,
        }
    }

    /// The only member that is not empty.
    fn only<'a>(&self, members: &'a [Member]) -> Option<&'a Member> {
        let mut sized = members.iter().filter(|m| !self.is_empty(m.ty, 0));
        let first = sized.next()?;
        sized.next().is_none().then_some(first)
    }

    /// Whether a type holds nothing: size 0, or a variant's structure without a payload.
    fn is_empty(&self, id: TypeId, depth: u32) -> bool {
        let ty = &self.types[id];
        match &ty.kind {
            Kind::Struct { members, variants } if depth < 8 && ty.size > 0 => {
                variants.is_empty() && members.iter().all(|m| self.is_empty(m.ty, depth + 1))
            }
            Kind::Alias(Some(target)) if depth < 8 => self.is_empty(*target, depth + 1),
            Kind::Array { element, count } => {
                *count == 0 || element.is_none_or(|e| depth < 8 && self.is_empty(e, depth + 1))
            }
            Kind::Pointer => false,
            _ => ty.size == 0,
        }
    }

    /// Follows wrappers to the structure with several members.
    fn struct_inside(&self, mut id: TypeId) -> (TypeId, u64) {
        let mut offset = 0;
        for _ in 0..32 {
            match (&self.types[id].kind, self.unwrap(id)) {
                (Kind::Alias(_) | Kind::Struct { .. }, Some((inside, more)))
                    if matches!(
                        self.types[inside].kind,
                        Kind::Struct { .. } | Kind::Alias(_)
                    ) =>
                {
                    id = inside;
                    offset += more;
                }
                _ => break,
            }
        }
        (id, offset)
    }

    /// Follows wrappers to a number, an address or bytes.
    fn leaf(&self, mut id: TypeId, mut offset: u64, bits: Option<Bits>) -> Field {
        for _ in 0..32 {
            match self.unwrap(id) {
                Some((inside, more)) => {
                    id = inside;
                    offset += more;
                }
                None => break,
            }
        }
        let ty = &self.types[id];
        let (size, shape) = match &ty.kind {
            Kind::Base { signed } if ty.size <= 8 => (
                ty.size,
                if *signed {
                    Shape::Signed
                } else {
                    Shape::Unsigned
                },
            ),
            Kind::Enum { base, .. } => {
                let signed = base.is_some_and(|base| {
                    matches!(self.types[base].kind, Kind::Base { signed: true })
                });
                (
                    ty.size,
                    if signed {
                        Shape::Signed
                    } else {
                        Shape::Unsigned
                    },
                )
            }
            Kind::Pointer => (8, Shape::Pointer),
            Kind::Array { .. } => (self.size(id, 0), Shape::Bytes),
            _ => (ty.size, Shape::Bytes),
        };
        Field {
            offset,
            // Of a bit-field only the bytes that it is in.
            size: bits.map_or(size, |b| u64::from((b.shift + b.width).div_ceil(8))),
            shape,
            bits,
        }
    }

    fn size(&self, id: TypeId, depth: u32) -> u64 {
        match &self.types[id].kind {
            Kind::Array {
                element: Some(element),
                count,
            } if depth < 8 => count.saturating_mul(self.size(*element, depth + 1)),
            Kind::Alias(Some(target)) if depth < 8 => self.size(*target, depth + 1),
            Kind::Pointer => 8,
            _ => self.types[id].size,
        }
    }
}

/// `task_struct` as Rust spells it: `TaskStruct`.
fn rust_name(linux: &str) -> String {
    linux
        .split('_')
        .flat_map(|word| {
            let mut chars = word.chars();
            chars
                .next()
                .into_iter()
                .flat_map(char::to_uppercase)
                .chain(chars)
        })
        .collect()
}
