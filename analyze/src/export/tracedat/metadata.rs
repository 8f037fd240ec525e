//! Everything before the pages.

use std::collections::BTreeMap;

use super::super::order::Survey;
use super::formats::Formats;
use super::pages::PAGE;
use crate::names;
use crate::source::Source;

const HEADER_PAGE: &str = "\
\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;
\tfield: local_t commit;\toffset:8;\tsize:8;\tsigned:1;
\tfield: int overwrite;\toffset:8;\tsize:1;\tsigned:1;
\tfield: char data;\toffset:16;\tsize:4080;\tsigned:1;
";
const HEADER_EVENT: &str = "\
# compressed entry header
\ttype_len    :    5 bits
\ttime_delta  :   27 bits
\tarray       :   32 bits

\tpadding     : type == 29
\ttime_extend : type == 30
\ttime_stamp : type == 31
\tdata max type_len  == 28
";
/// All CPUs' stamps are of one clock, in nanoseconds.
const CLOCKS: &str = "local [global] counter uptime perf mono mono_raw boot x86-tsc\n";

/// Numbers of the options.
const CPUSTAT: u16 = 2;
const TRACECLOCK: u16 = 4;
const UNAME: u16 = 5;
const CPUCOUNT: u16 = 8;
const VERSION: u16 = 9;

/// The file's beginning, up to where the places of the pages are to stand.
pub(super) fn head(source: &dyn Source, survey: &Survey, formats: &Formats) -> Vec<u8> {
    let cpus = source.info().cpus;
    let mut head = Vec::new();
    head.extend(b"\x17\x08\x44tracing6\0");
    head.extend([0, 8]);
    head.extend((PAGE as u32).to_le_bytes());
    for (name, text) in [("header_page", HEADER_PAGE), ("header_event", HEADER_EVENT)] {
        head.extend(name.as_bytes());
        head.push(0);
        sized(&mut head, text);
    }
    // No formats of ftrace's own events.
    head.extend(0_u32.to_le_bytes());
    let systems = formats.systems();
    head.extend((systems.len() as u32).to_le_bytes());
    for (system, formats) in systems {
        head.extend(system.as_bytes());
        head.push(0);
        head.extend((formats.len() as u32).to_le_bytes());
        for format in formats {
            sized(&mut head, &format.text());
        }
    }
    let kallsyms = kallsyms(source, survey);
    head.extend((kallsyms.len() as u32).to_le_bytes());
    head.extend(kallsyms.as_bytes());
    // No printk formats.
    head.extend(0_u32.to_le_bytes());
    sized(&mut head, &cmdlines(survey));
    head.extend(cpus.to_le_bytes());
    head.extend(b"options  \0");
    for cpu in 0..cpus {
        // Nothing was left unread and nothing was lost.
        let stat =
            format!("CPU: {cpu}\nentries: 0\noverrun: 0\ncommit overrun: 0\ndropped events: 0\n\0");
        option(&mut head, CPUSTAT, stat.as_bytes());
    }
    let version = concat!("kreplay ", env!("CARGO_PKG_VERSION"), "\0");
    option(&mut head, TRACECLOCK, format!("{CLOCKS}\0").as_bytes());
    option(&mut head, UNAME, b"Linux kreplay x86_64\0");
    option(&mut head, CPUCOUNT, &cpus.to_le_bytes());
    option(&mut head, VERSION, version.as_bytes());
    head.extend(0_u16.to_le_bytes());
    head.extend(b"flyrecord\0");
    head
}

/// Length of the head with the places of so many CPUs.
pub(super) fn length(head: &[u8], cpus: usize) -> u64 {
    (head.len() + 16 * cpus) as u64
}

/// The head and the place and the number of pages of each CPU.
pub(super) fn with_index(mut head: Vec<u8>, offsets: &[u64], counts: &[u64]) -> Vec<u8> {
    for (offset, count) in offsets.iter().zip(counts) {
        head.extend(offset.to_le_bytes());
        head.extend((count * PAGE as u64).to_le_bytes());
    }
    head.resize(head.len().next_multiple_of(PAGE), 0);
    head
}

fn sized(head: &mut Vec<u8>, text: &str) {
    head.extend((text.len() as u64).to_le_bytes());
    head.extend(text.as_bytes());
}

fn option(head: &mut Vec<u8>, number: u16, data: &[u8]) {
    head.extend(number.to_le_bytes());
    head.extend((data.len() as u32).to_le_bytes());
    head.extend(data);
}

/// The functions that events name, as `/proc/kallsyms` lists them.
fn kallsyms(source: &dyn Source, survey: &Survey) -> String {
    let mut functions: BTreeMap<u64, &str> = BTreeMap::new();
    for addr in &survey.code {
        if let Some(symbol) = source.symbol(*addr) {
            let start = addr.0.wrapping_sub(symbol.offset);
            functions.insert(start, names::linux_name(&symbol.name));
        }
    }
    // A function ends for the readers where the next begins, and the last one never names an address.
    if let Some(last) = survey.code.last() {
        functions.insert(last.0.saturating_add(1), "_etext");
    }
    functions
        .iter()
        .map(|(start, name)| format!("{start:016x} t {name}\n"))
        .collect()
}

/// The tasks by their latest names; the idle tasks share pid 0.
fn cmdlines(survey: &Survey) -> String {
    let tasks = survey.tasks.iter();
    let tasks = tasks.map(|(pid, task)| format!("{pid} {}\n", task.comm));
    ["0 <idle>\n".to_owned()].into_iter().chain(tasks).collect()
}
