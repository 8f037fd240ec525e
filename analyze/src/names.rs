//! Names of functions and tasks as reports say them.
//!
//! The built-in kernel is Rust, so a symbol may be a path (`kernel::sched::core::schedule`) where
//! Linux has `schedule`; reports and the table of causes speak Linux's words.

use std::collections::BTreeMap;

use trace::event::{Addr, Comm, Event, EventData, StackId};

use crate::source::Source;

/// The last segment of a Rust path, without generic arguments and hash; a plain name is itself.
pub fn linux_name(symbol: &str) -> &str {
    let generics = match symbol.starts_with('<') {
        true => symbol,
        false => symbol.split('<').next().unwrap_or(symbol),
    };
    let generics = generics.trim_end_matches("::");
    let mut segments = generics.rsplit("::");
    let last = segments.next().unwrap_or(generics);
    let is_hash = last.len() == 17
        && last.starts_with('h')
        && last[1..].bytes().all(|b| b.is_ascii_hexdigit());
    let name = match is_hash {
        true => segments.next().unwrap_or(last),
        false => last,
    };
    // Rust has `fn`, `move` and others as words of its own; the kernel writes them raw.
    name.strip_prefix("r#").unwrap_or(name)
}

/// The function an address is in by Linux's name, as `%ps` prints it: the one in the symbol table,
/// whatever was inlined into it; a number if unknown.
pub fn function(source: &dyn Source, addr: Addr) -> String {
    match source.symbol(addr) {
        Some(symbol) => linux_name(&symbol.name).to_owned(),
        None => addr.to_string(),
    }
}

/// The functions that were inlined where an address is, innermost first, as one line.
pub fn inlined(source: &dyn Source, addr: Addr) -> Option<String> {
    let symbol = source.symbol(addr)?;
    let names: Vec<String> = symbol
        .inlined
        .iter()
        .map(|inlined| linux_name(&inlined.name).to_owned())
        .collect();
    (!names.is_empty()).then(|| one_line(&names))
}

/// An address as text: `name`, `name+0x1c`, or the number where no symbol is known; `None` for 0.
pub fn address(source: &dyn Source, addr: Addr) -> Option<String> {
    if addr.0 == 0 {
        return None;
    }
    Some(match source.symbol(addr) {
        Some(symbol) if symbol.offset == 0 => linux_name(&symbol.name).to_owned(),
        Some(symbol) => format!("{}+{:#x}", linux_name(&symbol.name), symbol.offset),
        None => addr.to_string(),
    })
}

/// The functions of a stack by Linux's names, innermost first, inlined ones included.
pub fn stack_functions(source: &dyn Source, stack: Option<StackId>) -> Vec<String> {
    let Some(stack) = stack else {
        return Vec::new();
    };
    let mut names = Vec::new();
    for addr in source.stack(stack) {
        match source.symbol(*addr) {
            Some(symbol) => names.extend(symbol.functions().map(|f| linux_name(f).to_owned())),
            None => names.push(addr.to_string()),
        }
    }
    names
}

/// Function names as one line, ` <- ` between callee and caller.
pub fn one_line(functions: &[String]) -> String {
    match functions {
        [] => "none".to_owned(),
        some => some.join(" <- "),
    }
}

/// `comm[pid]`, as `perf sched timehist` shows a task.
pub fn task(comm: &str, pid: i32) -> String {
    format!("{comm}[{pid}]")
}

/// Whether a task of this name is a stopper, and of which CPU. It is asked twice a switch, so it does
/// not make text of the name first.
pub fn stopper_cpu(comm: Comm) -> Option<u32> {
    let digits = comm.as_bytes().strip_prefix(b"migration/")?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The latest name of every task: a task may be renamed while it lives.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Latest(BTreeMap<i32, Comm>);

impl Latest {
    /// Calls tasks what an event calls them.
    pub fn push(&mut self, event: &Event) {
        self.call(event.pid, event.comm);
        match &event.data {
            EventData::SchedSwitch(e) => {
                self.call(e.prev_pid, e.prev_comm);
                self.call(e.next_pid, e.next_comm);
            }
            EventData::SchedProcessFork(e) => self.call(e.child_pid, e.child_comm),
            EventData::SchedWaking(e) => self.call(e.pid, e.comm),
            EventData::SchedWakeup(e) => self.call(e.pid, e.comm),
            EventData::SchedWakeupNew(e) => self.call(e.pid, e.comm),
            EventData::SchedMigrateTask(e) => self.call(e.pid, e.comm),
            _ => {}
        }
    }

    fn call(&mut self, pid: i32, comm: Comm) {
        if pid != 0 {
            self.0.insert(pid, comm);
        }
    }

    /// The name of a task; pid 0 is every CPU's idle task, which perf calls `swapper`.
    pub fn of(&self, pid: i32) -> String {
        match self.0.get(&pid) {
            Some(comm) => comm.to_text(),
            None if pid == 0 => "swapper".to_owned(),
            None => format!(":{pid}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_linux_words() {
        assert_eq!(linux_name("schedule"), "schedule");
        assert_eq!(linux_name("kernel::sched::core::schedule"), "schedule");
        assert_eq!(
            linux_name("kernel::sched::core::set_task_cpu::h0123456789abcdef"),
            "set_task_cpu"
        );
        assert_eq!(linux_name("list::list_add<kernel::Foo>"), "list_add");
        assert_eq!(linux_name("r#move"), "move");
        assert_eq!(linux_name("h0123456789abcdeg"), "h0123456789abcdeg");
    }

    #[test]
    fn stoppers_are_known_by_name() {
        assert_eq!(stopper_cpu("migration/12".into()), Some(12));
        assert_eq!(stopper_cpu("migration/".into()), None);
        assert_eq!(stopper_cpu("hog/1".into()), None);
    }
}
