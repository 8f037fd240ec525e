//! Functions and their parameters as DWARF declares them, by the offset of their entries.
//!
//! An image has tens of thousands, of which a run asks for some hundred. So a name stays where it is in
//! the file until somebody wants it; it is made once then, and shared.

use std::sync::{Arc, OnceLock};

use super::sections::{Sections, Text};
use super::symbols;

/// Number of a source file in the list of a part's files.
pub type FileNumber = u32;

/// A function's entry: with code, a declaration or an abstract instance.
#[derive(Debug)]
pub struct Declaration {
    /// Offset of the entry in `.debug_info`.
    pub at: usize,
    /// Its name, and which type or namespace is around it.
    pub name: Option<(Text, Option<OwnerNumber>)>,
    pub linkage: Option<Text>,
    pub file: Option<FileNumber>,
    pub line: Option<u32>,
    /// The entry that has what is missing here.
    pub origin: Option<usize>,
}

/// Number of an owner in [`Declared::owners`].
pub type OwnerNumber = u32;

/// A type or a namespace around an entry; Rust has a namespace for a function with closures.
#[derive(Debug)]
pub struct Owner {
    pub name: Text,
    pub is_type: bool,
}

/// What following an entry's origins has found.
#[derive(Default)]
struct Found {
    name: Option<(Text, Option<OwnerNumber>)>,
    linkage: Option<Text>,
    file: Option<FileNumber>,
    line: Option<u32>,
}

/// All entries of a part, in the order of their offsets, which is the order a walk meets them in.
#[derive(Debug, Default)]
pub struct Declared {
    sections: Arc<Sections>,
    pub files: Vec<Arc<str>>,
    pub owners: Vec<Owner>,
    entries: Vec<(Declaration, OnceLock<Arc<str>>)>,
    parameters: Vec<(usize, Text)>,
}

impl Declared {
    pub fn new(sections: Arc<Sections>) -> Declared {
        Declared {
            sections,
            ..Declared::default()
        }
    }

    /// Takes the next entry of the walk.
    pub fn push(&mut self, declaration: Declaration) {
        self.entries.push((declaration, OnceLock::new()));
    }

    /// Takes the name of the parameter whose entry is at `at`, the next of the walk.
    pub fn push_parameter(&mut self, at: usize, name: Text) {
        self.parameters.push((at, name));
    }

    fn entry(&self, at: usize) -> Option<&(Declaration, OnceLock<Arc<str>>)> {
        let key = |(declaration, _): &(Declaration, _)| declaration.at;
        let index = self.entries.binary_search_by_key(&at, key).ok()?;
        self.entries.get(index)
    }

    /// Follows declarations to a name, a file and a line.
    fn follow(&self, at: usize) -> Found {
        let mut found = Found::default();
        let mut next = Some(at);
        for _ in 0..8 {
            let Some((here, _)) = next.and_then(|at| self.entry(at)) else {
                break;
            };
            found.name = found.name.or(here.name);
            found.linkage = found.linkage.or(here.linkage);
            found.file = found.file.or(here.file);
            found.line = found.line.or(here.line);
            next = here.origin;
        }
        found
    }

    /// The name of the function whose entry is at `at`, as the symbol table shows it, so that both agree.
    pub fn name(&self, at: usize) -> Arc<str> {
        match self.entry(at) {
            Some((_, name)) => name.get_or_init(|| self.shown(at)).clone(),
            None => Arc::default(),
        }
    }

    fn shown(&self, at: usize) -> Arc<str> {
        let found = self.follow(at);
        match (found.linkage, found.name) {
            (Some(linkage), _) => symbols::short(&self.sections.text(linkage)).into(),
            (None, Some((name, owner))) => {
                let name = self.sections.text(name);
                let owner = owner.and_then(|number| self.owners.get(number as usize));
                match owner {
                    // A method is named with its type, a closure with the function around it.
                    Some(owner) if owner.is_type || name.starts_with('{') => {
                        let owner = self.sections.text(owner.name);
                        symbols::without_inner_paths(&format!("{owner}::{name}")).into()
                    }
                    _ => symbols::without_inner_paths(&name).into(),
                }
            }
            (None, None) => Arc::default(),
        }
    }

    /// Where the function whose entry is at `at` is declared.
    pub fn place(&self, at: usize) -> (Option<Arc<str>>, Option<u32>) {
        let found = self.follow(at);
        (self.file(found.file), found.line)
    }

    pub fn file(&self, number: Option<FileNumber>) -> Option<Arc<str>> {
        self.files.get(number? as usize).cloned()
    }

    /// The name of the parameter whose entry is at `at`.
    pub fn parameter(&self, at: usize) -> Option<String> {
        let key = |(at, _): &(usize, Text)| *at;
        let index = self.parameters.binary_search_by_key(&at, key).ok()?;
        self.parameters.get(index).map(|(_, name)| self.text(*name))
    }

    pub fn text(&self, text: Text) -> String {
        self.sections.text(text).into_owned()
    }
}
