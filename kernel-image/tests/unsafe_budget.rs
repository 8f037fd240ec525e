//! UNSAFE.md is true: every file that contains `unsafe` code is listed with the number of places, no other file
//! is, at most one file in five has any, and kernel/ and init/ have none.
use std::collections::BTreeMap;
use std::path::Path;

/// Places with unsafe code: blocks, functions, implementations, foreign declarations. Attributes such as
/// `#[unsafe(no_mangle)]` only name a symbol and are not counted.
fn places(text: &str) -> usize {
    text.lines()
        .map(|line| line.split("//").next().unwrap_or(""))
        .flat_map(|code| code.match_indices("unsafe ").map(move |(at, _)| (code, at)))
        .filter(|&(code, at)| {
            let rest = &code[at + "unsafe ".len()..];
            ["{", "fn ", "impl", "extern"]
                .iter()
                .any(|what| rest.starts_with(what))
        })
        .count()
}

fn scan(dir: &Path, root: &Path, found: &mut BTreeMap<String, usize>, files: &mut usize) {
    for entry in std::fs::read_dir(dir).expect("the source folder can be read") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            scan(&path, root, found, files);
        } else if path.extension().is_some_and(|it| it == "rs") {
            *files += 1;
            let count = places(&std::fs::read_to_string(&path).expect("a source file"));
            if count > 0 {
                let name = path.strip_prefix(root).expect("below the root");
                found.insert(name.to_string_lossy().into_owned(), count);
            }
        }
    }
}

#[test]
fn unsafe_md_is_true() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut found, mut files) = (BTreeMap::new(), 0);
    scan(&root.join("src"), root, &mut found, &mut files);
    let page = std::fs::read_to_string(root.join("UNSAFE.md")).expect("UNSAFE.md");
    let mut listed = BTreeMap::new();
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let file = cells[1].trim_matches('`').to_owned();
        let count: usize = cells[2].parse().expect("a count");
        assert!(cells[3].len() > 10, "{file} has no argument");
        assert!(listed.insert(file.clone(), count).is_none(), "{file} twice");
    }
    for (file, count) in &found {
        assert_eq!(
            listed.get(file),
            Some(count),
            "UNSAFE.md on {file} (found {count})"
        );
    }
    for file in listed.keys() {
        assert!(
            found.contains_key(file),
            "{file} is listed and has no unsafe code"
        );
    }
    assert!(
        found.len() * 5 <= files,
        "{} of {files} files have unsafe code",
        found.len()
    );
    let inside = |file: &&String| file.starts_with("src/kernel/") || file.starts_with("src/init/");
    assert_eq!(
        found.keys().find(inside),
        None,
        "kernel/ and init/ are safe Rust"
    );
}
