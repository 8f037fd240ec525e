//! The tree of calls that really happened between two functions.
//!
//! The guest is run again; at every entry of the inner function, out of line or inlined, the stack is
//! walked, inlined functions included, and kept if the outer function is on it. The chains of all
//! entries are merged into one tree, so what is in the tree was executed, and what is not was not.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use emu::{CpuView, Cycles, Machine, Observer, Site, VirtAddr};
use trace::event::Addr;
use trace::image::Image;
use trace::stack::{At, Unwinder};
use trace::tail::TailCalls;

use crate::error::LiveError;
use crate::view::CpuTarget;

/// A function on a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its name.
    pub name: String,
    /// File of its declaration, from the kernel's root.
    pub file: Option<Arc<str>>,
    /// Line of its declaration.
    pub line: Option<u32>,
}

/// A function in the tree and what it called on the way to the inner function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallNode {
    /// The function.
    pub call: Call,
    /// How many chains go through here.
    pub count: u64,
    /// Functions it called, in the order in which they were first seen.
    pub children: Vec<CallNode>,
}

/// Watches a run and builds the tree.
pub struct Calls<'a> {
    image: &'a Image,
    unwinder: Unwinder,
    from: String,
    to: String,
    /// The entries of the inner function: true where it is inlined.
    entries: BTreeMap<VirtAddr, bool>,
    tail_calls: TailCalls<'a>,
    /// By the stack as it was walked: the chain from the outer to the inner function, empty if there
    /// is none.
    chains: BTreeMap<Box<[Addr]>, Vec<Call>>,
    roots: Vec<CallNode>,
    entered: u64,
    stack: Vec<Addr>,
}

impl<'a> Calls<'a> {
    /// Prepares to watch calls of `to` below `from`.
    pub fn new(image: &'a Image, from: &str, to: &str) -> Result<Calls<'a>, LiveError> {
        for name in [from, to] {
            if image.entries_of(name).is_empty() {
                return Err(LiveError::NoFunction {
                    name: name.to_owned(),
                    hint: match image.similar_function(name) {
                        Some(near) => format!(" (is {near} meant?)"),
                        None => String::new(),
                    },
                });
            }
        }
        let entries = image
            .entries_of(to)
            .into_iter()
            .map(|addr| {
                let own = image.function_at(addr).is_some_and(|f| f.low == addr.0);
                (VirtAddr(addr.0), !own)
            })
            .collect();
        Ok(Calls {
            image,
            unwinder: image.unwinder(),
            from: from.to_owned(),
            to: to.to_owned(),
            entries,
            tail_calls: TailCalls::new(image)?,
            chains: BTreeMap::new(),
            roots: Vec::new(),
            entered: 0,
            stack: Vec::new(),
        })
    }

    /// Watches the entries of the inner function.
    pub fn attach(&self, machine: &mut Machine) {
        for (addr, inlined) in &self.entries {
            machine.watch(*addr, site(*inlined));
        }
    }

    /// Entries of the inner function, below the outer one or not.
    pub fn entered(&self) -> u64 {
        self.entered
    }

    /// The tree: the outer function with what it called; empty if it never led to the inner one.
    pub fn tree(&self) -> &[CallNode] {
        &self.roots
    }

    /// The kernel's functions at an address, innermost first.
    fn functions_at(&self, at: Addr, calls: &mut Vec<Call>) {
        let inlined = self.image.inlined_at(at).map(|inlined| Call {
            name: inlined.name.to_string(),
            file: inlined.decl_file.clone(),
            line: inlined.decl_line,
        });
        calls.extend(inlined);
        match (self.image.function_at(at), self.image.elf_symbol(at)) {
            (Some(function), _) => calls.push(Call {
                name: function.name.to_string(),
                file: function.decl_file.clone(),
                line: function.decl_line,
            }),
            // Assembly has a symbol but no function in DWARF.
            (None, Some(symbol)) => calls.push(Call {
                name: symbol.name.clone(),
                file: None,
                line: None,
            }),
            (None, None) => {}
        }
    }

    /// The chain from the outer to the inner function on a stack.
    fn chain(&mut self, stack: &[Addr]) -> Vec<Call> {
        let mut chain: Vec<Call> = Vec::new();
        for (depth, addr) in self.tail_calls.complete(stack).iter().enumerate() {
            let at = self.image.site(depth, *addr);
            self.functions_at(at, &mut chain);
        }
        // The compiler's library is between kernel functions as inlined closures and adapters.
        chain.retain(|call| {
            !call
                .file
                .as_deref()
                .is_some_and(|f| f.starts_with("library/"))
        });
        // What is inlined at the very entry of the inner function has not been entered yet.
        let inner = chain.iter().position(|call| call.name == self.to);
        let outer = chain.iter().rposition(|call| call.name == self.from);
        match (inner, outer) {
            (Some(inner), Some(outer)) if inner <= outer => {
                chain.truncate(outer + 1);
                chain.drain(..inner);
                chain.reverse();
                chain
            }
            _ => Vec::new(),
        }
    }

    fn enter(&mut self, cpu: &CpuView<'_>, at: VirtAddr, inlined: bool) {
        self.entered += 1;
        let mut stack = std::mem::take(&mut self.stack);
        let stands = if inlined { At::Inside } else { At::Entry };
        self.unwinder
            .walk(&CpuTarget { cpu, at }, stands, &mut stack);
        if !self.chains.contains_key(stack.as_slice()) {
            let chain = self.chain(&stack);
            self.chains.insert(stack.as_slice().into(), chain);
        }
        if let Some(chain) = self.chains.get(stack.as_slice()) {
            merge(&mut self.roots, chain);
        }
        self.stack = stack;
    }
}

fn merge(mut level: &mut Vec<CallNode>, chain: &[Call]) {
    for call in chain {
        let index = match level.iter().position(|node| node.call == *call) {
            Some(index) => index,
            None => {
                level.push(CallNode {
                    call: call.clone(),
                    count: 0,
                    children: Vec::new(),
                });
                level.len() - 1
            }
        };
        level[index].count += 1;
        level = &mut level[index].children;
    }
}

fn site(inlined: bool) -> Site {
    match inlined {
        true => Site::Instruction,
        false => Site::Block,
    }
}

impl Observer for Calls<'_> {
    fn hit(&mut self, cpu: &mut CpuView<'_>, at: VirtAddr, hit: Site) {
        if let Some(inlined) = self.entries.get(&at).copied()
            && site(inlined) == hit
        {
            self.enter(cpu, at, inlined);
        }
    }

    fn slice(&mut self, _now: Cycles) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(name: &str) -> Call {
        Call {
            name: name.to_owned(),
            file: None,
            line: None,
        }
    }

    #[test]
    fn chains_with_one_beginning_share_it() {
        let mut roots = Vec::new();
        for chain in [["a", "b", "d"], ["a", "c", "d"], ["a", "b", "d"]] {
            merge(&mut roots, &chain.map(call));
        }
        assert_eq!(roots.len(), 1);
        assert_eq!(roots[0].count, 3);
        let counts: Vec<(&str, u64)> = roots[0]
            .children
            .iter()
            .map(|node| (node.call.name.as_str(), node.count))
            .collect();
        assert_eq!(counts, [("b", 2), ("c", 1)]);
        assert_eq!(roots[0].children[0].children[0].count, 2);
    }
}
