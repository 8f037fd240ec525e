//! The rules of the repository that the compiler does not hold; a rule that nothing checks is no rule.
//!
//! Each test is one promise of ARCHITECTURE.md: the arrows between packages, where `unsafe` may be,
//! what the deterministic part may not read, who may print.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Packages, where they are, and the packages of ours that each may depend on.
const ARROWS: [(&str, &str, &[&str]); 7] = [
    ("emu", "emu", &[]),
    ("trace", "trace", &[]),
    ("trace-live", "trace/live", &["emu", "trace"]),
    ("analyze", "analyze", &["trace"]),
    ("kreplay-image", "cli/image", &[]),
    ("kreplay", "cli", &["analyze", "trace", "kreplay-image"]),
    (
        "kreplay-machine",
        "cli/machine",
        &["emu", "trace", "trace-live", "kreplay-image"],
    ),
];

/// Packages whose run must depend on nothing but their input.
const DETERMINISTIC: [&str; 3] = ["emu/src", "trace/src", "trace/live/src"];

/// Libraries return values; the two executables print.
const LIBRARIES: [&str; 5] = [
    "emu/src",
    "trace/src",
    "trace/live/src",
    "analyze/src",
    "cli/image/src",
];

#[test]
fn packages_depend_along_the_arrows_only() {
    let ours: BTreeSet<&str> = ARROWS.iter().map(|(name, ..)| *name).collect();
    for (name, dir, allowed) in ARROWS {
        let manifest = read(&root().join(dir).join("Cargo.toml"));
        let used: BTreeSet<&str> = dependency_names(&manifest)
            .filter(|dep| ours.contains(dep))
            .collect();
        let allowed: BTreeSet<&str> = allowed.iter().copied().collect();
        assert_eq!(used, allowed, "dependencies of {name}");
    }
    let kernel = read(&root().join("kernel-image/Cargo.toml"));
    assert_eq!(
        dependency_names(&kernel).collect::<Vec<_>>(),
        Vec::<&str>::new(),
        "kernel-image imports nothing"
    );
}

#[test]
fn unsafe_is_only_where_it_is_listed() {
    let listed = kernel_unsafe_files();
    assert!(!listed.is_empty(), "kernel-image/UNSAFE.md lists no file");
    for file in rust_files(&["emu", "trace", "analyze", "cli", "kernel-image"]) {
        let path = relative(&file);
        let code = code_of(&read(&file));
        let uses = code.lines().filter(|line| is_unsafe(line)).count();
        // Guests of the tests are programs without a system below them, as the kernel is.
        let a_test_guest = path.contains("/tests/fixtures/");
        // The host's side of the dirty-page tracker: its head says what the system calls are and why
        // they are sound.
        let a_host_call = path == "emu/src/dirty/write_protect.rs";
        let allowed = path.starts_with("emu/src/unicorn")
            || a_host_call
            || a_test_guest
            || listed.iter().any(|l| covers(l, &path));
        assert!(
            uses == 0 || allowed,
            "{path}: {uses} lines with `unsafe`, and it is not listed"
        );
    }
    for file in &listed {
        let path = root().join("kernel-image").join(file);
        assert!(
            path.exists(),
            "kernel-image/UNSAFE.md lists {file}, which is not there"
        );
    }
}

#[test]
fn nothing_that_must_repeat_reads_the_host() {
    let banned = [
        "Instant::now",
        "SystemTime",
        "std::time",
        "thread_rng",
        "rand::",
        "std::env::",
        "available_parallelism",
        "HashMap<",
        "HashSet<",
        "HashMap::",
        "HashSet::",
        "RandomState",
    ];
    for file in rust_files(&DETERMINISTIC) {
        refuse(&file, &banned);
    }
    for file in rust_files(&["emu/src"]) {
        refuse(&file, &[": f64", ": f32", "as f64", "as f32", "<f64>"]);
    }
}

#[test]
fn libraries_never_print() {
    for file in rust_files(&LIBRARIES) {
        refuse(
            &file,
            &["println!", "print!(", "eprintln!", "eprint!(", "dbg!("],
        );
    }
}

#[test]
fn nothing_is_left_for_later_in_the_code() {
    for file in rust_files(&["emu", "trace", "analyze", "cli", "kernel-image"]) {
        refuse(&file, &["todo!(", "unimplemented!("]);
        let text = read(&file);
        for mark in [
            concat!("TO", "DO"),
            concat!("FIX", "ME"),
            concat!("XX", "X "),
        ] {
            assert!(!text.contains(mark), "{}: contains {mark}", relative(&file));
        }
    }
}

#[test]
fn every_file_says_what_it_is_for_and_stays_one_room() {
    let mut lengths = Vec::new();
    for file in rust_files(&["emu", "trace", "analyze", "cli", "kernel-image"]) {
        let text = read(&file);
        let path = relative(&file);
        let head = text.lines().find(|line| !line.is_empty()).unwrap_or("");
        assert!(
            head.starts_with("//!") || head.starts_with("// "),
            "{path} begins with `{head}`, and not with what it is for"
        );
        let lines = text
            .split("#[cfg(test)]")
            .next()
            .unwrap_or("")
            .lines()
            .count();
        assert!(lines <= 1000, "{path} has {lines} lines");
        lengths.push(lines);
    }
    lengths.sort_unstable();
    let median = lengths[lengths.len() / 2];
    assert!(median <= 250, "the median file has {median} lines");
}

#[test]
fn both_executables_forbid_unsafe_code() {
    for main in ["cli/src/main.rs", "cli/machine/src/main.rs"] {
        assert!(
            read(&root().join(main)).contains("#![forbid(unsafe_code)]"),
            "{main}"
        );
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("cli is in the root")
        .to_owned()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root())
        .expect("a file of ours")
        .display()
        .to_string()
}

/// Names on the left of `=` in the dependency tables of a manifest.
fn dependency_names(manifest: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    manifest.lines().filter_map(move |line| {
        if line.starts_with('[') {
            inside = line.ends_with("dependencies]");
            return None;
        }
        if !inside || line.starts_with('#') {
            return None;
        }
        line.split(['=', '.', ' '])
            .next()
            .filter(|name| !name.is_empty())
    })
}

/// Files and folders (ending in `/`) of kernel-image that UNSAFE.md names in backquotes at the start
/// of a table row.
fn kernel_unsafe_files() -> Vec<String> {
    read(&root().join("kernel-image/UNSAFE.md"))
        .lines()
        .filter_map(|line| {
            let cell = line.strip_prefix('|')?.split('|').next()?.trim();
            let name = cell.strip_prefix('`')?.split('`').next()?;
            (name.ends_with(".rs") || name.ends_with('/')).then(|| name.to_owned())
        })
        .collect()
}

fn covers(listed: &str, path: &str) -> bool {
    let full = format!("kernel-image/{listed}");
    if listed.ends_with('/') {
        path.starts_with(&full)
    } else {
        path == full
    }
}

/// True for code that opens the door; `#[unsafe(no_mangle)]` names a symbol and opens none, and the
/// lints that forbid it speak of it too.
fn is_unsafe(line: &str) -> bool {
    line.replace("#[unsafe(", "#[(")
        .replace("#![unsafe(", "#![(")
        .split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .any(|word| word == "unsafe")
}

fn refuse(file: &Path, banned: &[&str]) {
    let code = code_of(&read(file));
    for (number, line) in code.lines().enumerate() {
        for word in banned {
            assert!(
                !line.contains(word),
                "{}:{}: `{word}`",
                relative(file),
                number + 1
            );
        }
    }
}

/// The code before the file's unit tests, without comments and without the insides of strings.
fn code_of(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or("");
    text.lines().map(strip_line).collect::<Vec<_>>().join("\n")
}

fn strip_line(line: &str) -> String {
    let mut out = String::new();
    let mut chars = line.chars().peekable();
    let mut inside = false;
    while let Some(c) = chars.next() {
        match c {
            '\\' if inside => drop(chars.next()),
            // A quote in quotes is a character literal, not a string.
            '\'' if !inside && chars.peek() == Some(&'"') => drop(chars.next()),
            '"' => inside = !inside,
            '/' if !inside && chars.peek() == Some(&'/') => break,
            _ if !inside => out.push(c),
            _ => {}
        }
    }
    out
}

/// Every Rust file below the folders, sorted, except what cargo built.
fn rust_files(dirs: &[&str]) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders: Vec<PathBuf> = dirs.iter().map(|dir| root().join(dir)).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let path = entry.expect("a readable folder").path();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    assert!(!files.is_empty(), "{dirs:?} have no Rust file");
    files
}

#[test]
fn the_reader_of_code_sees_code_only() {
    let word = concat!("uns", "afe");
    let line = format!("let a = \"{word} // \\\" {{\"; // {word}");
    assert_eq!(strip_line(&line), "let a = ; ");
    assert!(is_unsafe(&format!("    {word} {{ x }}")) && is_unsafe(&format!("pub {word} fn f()")));
    assert!(!is_unsafe(&format!("#[{word}(no_mangle)]")));
    assert!(!is_unsafe(&format!("#![forbid({word}_code)]")));
    assert_eq!(
        dependency_names("[a]\nx = 1\n[dev-dependencies]\ny.workspace = true\n# z = 1\n[b]\nw = 2")
            .collect::<Vec<_>>(),
        ["y"]
    );
}
