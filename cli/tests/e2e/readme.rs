//! The sessions in README.md and in every `--help` are run, and their output is what the texts show.
//!
//! A session is a line `$ kreplay ...` and the lines below it; a line `...` stands for what is left out.
//! Numbers are compared as numbers-are-there, not by value: host times differ. Another rustc, or an edited
//! kernel, gives another image and another run, whose rows may be others too: then every command must
//! still succeed and its output begin as the text says. The image that the texts were made with is in
//! the example of `kreplay image info`. `KREPLAY_BLESS=1` rewrites the texts with what is printed now.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::support::{code, file, finish, kreplay, recording, root};

/// One command and what the text says it prints.
struct Session {
    /// Without `$ `.
    command: String,
    /// Lines of the text that show the output, by index.
    shown: std::ops::Range<usize>,
}

#[test]
fn the_sessions_of_the_readme_are_true() {
    let folder = check(&root().join("README.md"), "", fenced);
    let (drawn, shown) = (
        folder.join("timeline.svg"),
        root().join("docs/timeline.svg"),
    );
    if std::env::var_os("KREPLAY_BLESS").is_some() {
        fs::copy(&drawn, &shown).unwrap();
    }
    // The picture is that of the session: drawn by the same command, from a run of the same kind.
    let (drawn, shown) = (
        fs::read_to_string(drawn).unwrap(),
        fs::read_to_string(shown).unwrap(),
    );
    let first_line = |svg: &str| svg.lines().next().unwrap_or("").to_owned();
    if same_image() {
        assert_eq!(first_line(&drawn), first_line(&shown));
    }
    assert!(first_line(&drawn).starts_with("<svg ") && first_line(&shown).starts_with("<svg "));
}

#[test]
fn the_example_of_every_help_is_true() {
    let mut texts = Vec::new();
    for folder in ["cli/src/help", "cli/machine/src/help"] {
        texts.extend(
            fs::read_dir(root().join(folder))
                .unwrap()
                .map(|e| e.unwrap().path()),
        );
    }
    texts.sort();
    assert!(texts.len() >= 10, "{texts:?}");
    for text in &texts {
        check(text, "  ", indented);
    }
}

#[test]
fn every_command_has_a_help_with_an_example() {
    for command in [
        "record",
        "verify",
        "calls",
        "analyze migration",
        "analyze stopper",
        "analyze latency",
        "analyze timehist",
        "analyze map",
        "analyze runqlat",
        "analyze classes",
        "analyze boot",
        "analyze stop-machine",
        "plot timeline",
        "plot migration",
        "plot matrix",
        "plot latency",
        "plot boot",
        "plot stop-machine",
        "ps",
        "runq",
        "diff",
        "export perfetto",
        "export trace.dat",
        "export parquet",
        "image build",
        "image info",
        "doctor",
    ] {
        let line: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        let help = kreplay(&line).expect(code::DONE);
        assert!(help.stdout.contains("Usage: kreplay"), "{help}");
        assert!(
            help.stdout.contains(&format!("  $ kreplay {command}")),
            "{help}"
        );
    }
    let all = kreplay(["--help"]).expect(code::DONE).stdout;
    for word in ["record", "analyze", "plot", "diff", "130"] {
        assert!(all.contains(word), "{all}");
    }
    kreplay(["record", "--nonsense"])
        .expect(code::BAD_INPUT)
        .complains(&["--nonsense", "--help"]);
    kreplay(["analyse"])
        .expect(code::BAD_INPUT)
        .complains(&["analyse"]);
    kreplay(["--version"]).expect(code::DONE);
    assert!(
        kreplay(["record", "--version"])
            .stderr
            .contains("--version")
    );
}

/// Runs the sessions of one text in a folder that has `boot.krec` and `kernel-image`; returns the folder.
fn check(text: &Path, indent: &str, chosen: impl Fn(&[&str]) -> Vec<usize>) -> PathBuf {
    let content = fs::read_to_string(text).unwrap();
    let lines: Vec<&str> = content.lines().collect();
    let sessions = sessions(&lines, indent, &chosen(&lines));
    assert!(!sessions.is_empty(), "{} shows no session", text.display());
    let folder = folder_for(text);
    let mut blessed: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
    let mut replacements = Vec::new();
    for session in &sessions {
        let printed = run(&session.command, &folder);
        let shown: Vec<&str> = lines[session.shown.clone()]
            .iter()
            .map(|l| l.strip_prefix(indent).unwrap_or(l))
            .collect();
        if std::env::var_os("KREPLAY_BLESS").is_some() {
            replacements.push((session.shown.clone(), cut_like(&shown, &printed)));
        } else if same_image() {
            compare(text, &session.command, &shown, &printed);
        } else {
            let heads = [
                shown.first().copied().unwrap_or(""),
                printed.first().map_or("", |l| l),
            ];
            let [wanted, got] = heads.map(masked);
            assert!(
                wanted == got || wanted == "...",
                "{}: {wanted}\n{got}",
                session.command
            );
        }
    }
    if !replacements.is_empty() {
        for (range, new) in replacements.into_iter().rev() {
            blessed.splice(
                range,
                new.into_iter()
                    .map(|l| format!("{indent}{l}").trim_end().to_owned()),
            );
        }
        fs::write(text, blessed.join("\n") + "\n").unwrap();
    }
    folder
}

/// Whether the built-in kernel is the one that the texts were made with.
fn same_image() -> bool {
    let text = fs::read_to_string(root().join("cli/machine/src/help/info.txt")).unwrap();
    let sha256 = |text: &str| {
        let line = text
            .lines()
            .find_map(|l| l.trim_start().strip_prefix("sha256:"))
            .unwrap_or("");
        line.split_whitespace().next().unwrap_or("").to_owned()
    };
    let now = kreplay(["image", "info"]).expect(code::DONE);
    sha256(&text) == sha256(&now.stdout)
}

/// Indices of the indented lines, and of the empty ones between two of the same output.
fn indented(lines: &[&str]) -> Vec<usize> {
    let goes_on = |index: usize| {
        let next = lines[index..].iter().find(|line| !line.is_empty());
        next.is_some_and(|line| line.starts_with("  ") && !line.starts_with("  $ "))
    };
    (0..lines.len())
        .filter(|&n| lines[n].starts_with("  ") || lines[n].is_empty() && goes_on(n))
        .collect()
}

/// Indices of the lines inside ```console fences.
fn fenced(lines: &[&str]) -> Vec<usize> {
    let mut inside = false;
    let mut chosen = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        match *line {
            "```console" => inside = true,
            "```" => inside = false,
            _ if inside => chosen.push(index),
            _ => {}
        }
    }
    chosen
}

/// The `kreplay` commands among the chosen lines, each with the chosen lines up to the next command.
fn sessions(lines: &[&str], indent: &str, chosen: &[usize]) -> Vec<Session> {
    let prompt = format!("{indent}$ ");
    let mut found: Vec<Session> = Vec::new();
    let mut open = false;
    for &index in chosen {
        if let Some(command) = lines[index].strip_prefix(&prompt) {
            open = command.starts_with("kreplay ");
            if open {
                found.push(Session {
                    command: command.to_owned(),
                    shown: index + 1..index + 1,
                });
            }
        } else if open && found.last().is_some_and(|s| s.shown.end == index) {
            found.last_mut().expect("just seen").shown.end = index + 1;
        }
    }
    found
}

fn folder_for(text: &Path) -> PathBuf {
    let name = text.file_stem().unwrap().to_string_lossy().into_owned();
    let group = text
        .parent()
        .unwrap()
        .parent()
        .unwrap()
        .file_name()
        .unwrap()
        .to_string_lossy();
    let folder = file(&format!("session-{group}-{name}"));
    fs::create_dir_all(&folder).unwrap();
    fs::copy(recording(2), folder.join("boot.krec")).unwrap();
    symlink(root().join("kernel-image"), folder.join("kernel-image")).unwrap();
    folder
}

/// What a command prints on its standard output. (A compiler's messages, which `image build` lets through
/// on the other stream, are not the texts'.) A report that differs exits 1, and may.
fn run(command: &str, folder: &Path) -> Vec<String> {
    let bin = Path::new(env!("CARGO_BIN_EXE_kreplay")).parent().unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let mut shell = Command::new("bash");
    shell.args(["-c", command]).current_dir(folder);
    shell.env("PATH", format!("{}:{path}", bin.display()));
    let ran = finish(&mut shell);
    assert!(matches!(ran.code, Some(0 | 1)), "{ran}");
    ran.stdout
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect()
}

/// As many lines of the new output as the old text showed before its `...`.
fn cut_like(shown: &[&str], printed: &[String]) -> Vec<String> {
    match shown.iter().position(|line| *line == "...") {
        Some(kept) if printed.len() > kept => printed[..kept]
            .iter()
            .cloned()
            .chain(["...".to_owned()])
            .collect(),
        _ => printed.to_vec(),
    }
}

#[track_caller]
fn compare(text: &Path, command: &str, shown: &[&str], printed: &[String]) {
    let all = printed.join("\n");
    let mut at = 0;
    let mut skipping = false;
    for line in shown {
        if line.trim() == "..." {
            skipping = true;
            continue;
        }
        let wanted = masked(line);
        let found = if skipping {
            printed[at..]
                .iter()
                .position(|p| masked(p) == wanted)
                .map(|n| at + n)
        } else {
            printed.get(at).filter(|p| masked(p) == wanted).map(|_| at)
        };
        let Some(found) = found else {
            panic!(
                "{}: `$ {command}` does not print\n  {line}\nas line {at}; it prints\n{all}\n\
                 (KREPLAY_BLESS=1 rewrites the text)",
                text.display()
            );
        };
        at = found + 1;
        skipping = false;
    }
    assert!(
        skipping || at == printed.len(),
        "{}: `$ {command}` prints more than is shown, from line {at} on:\n{all}",
        text.display()
    );
}

/// A line with every number (also hexadecimal, also with separators) as `#`, and blanks as one.
fn masked(line: &str) -> String {
    let mut out = String::new();
    let mut word = String::new();
    for c in line.chars().chain(['\n']) {
        if c.is_ascii_alphanumeric() {
            word.push(c);
            continue;
        }
        match word.bytes().any(|b| b.is_ascii_digit()) {
            true => out.push('#'),
            false => out.push_str(&word),
        }
        word.clear();
        out.push(c);
    }
    let mut out = out.split_whitespace().collect::<Vec<_>>().join(" ");
    for pair in ["#.#", "#,#"] {
        while out.contains(pair) {
            out = out.replace(pair, "#");
        }
    }
    out
}

#[test]
fn numbers_are_masked_and_words_are_not() {
    assert_eq!(
        masked("  migration/0[18]   1,234.5 us"),
        "migration/#[#] # us"
    );
    assert_eq!(masked("sha256: 00ff12ab events"), "#: # events");
    assert_ne!(masked("hog/1 R"), masked("hog/1 S"));
}
