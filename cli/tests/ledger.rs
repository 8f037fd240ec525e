//! `kernel-image/ledger.txt` is true, and `LEDGER.md` is what it says: every function that is "same" or
//! "simplified" is in the files it names, every one that is "absent" is not, every test there is, and no row is
//! "same" without one; what must be "same" has a row that says so. With `KREPLAY_BLESS=1` the page is written anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    let cli = Path::new(env!("CARGO_MANIFEST_DIR"));
    cli.parent().expect("cli is in the root")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Every Rust file below a path, or the file itself; with or without its ending.
fn sources(path: &Path) -> Vec<PathBuf> {
    let file = path.with_extension("rs");
    let mut found = Vec::from_iter(file.is_file().then_some(file));
    let mut folders = Vec::from_iter(path.is_dir().then(|| path.to_owned()));
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder of the sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") {
                found.push(path);
            }
        }
    }
    found
}

/// The names of all functions in a text.
fn functions(text: &str) -> BTreeSet<String> {
    let names = text.split("fn ").skip(1).map(|rest| {
        let rest = rest.strip_prefix("r#").unwrap_or(rest);
        rest.chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect()
    });
    names.collect()
}

fn functions_of<'a>(files: impl IntoIterator<Item = &'a PathBuf>) -> BTreeSet<String> {
    files
        .into_iter()
        .flat_map(|file| functions(&read(file)))
        .collect()
}

/// One line of the ledger: functions that are alike.
struct Row {
    how: String,
    /// Linux's name, and the name here.
    names: Vec<(String, String)>,
    tests: Vec<String>,
    note: String,
}

struct Section {
    linux: String,
    here: Vec<String>,
    rows: Vec<Row>,
}

struct Ledger {
    tests: BTreeMap<String, String>,
    sections: Vec<Section>,
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn parse(text: &str) -> Ledger {
    let mut ledger = Ledger {
        tests: BTreeMap::new(),
        sections: Vec::new(),
    };
    for line in text.lines().map(str::trim) {
        if let Some(head) = line.strip_prefix("## ") {
            let (linux, here) = head.split_once('|').expect(line);
            ledger.sections.push(Section {
                linux: linux.trim().to_owned(),
                here: words(here),
                rows: Vec::new(),
            });
        } else if line.is_empty() || line.starts_with('#') {
            continue;
        } else if let Some(test) = line.strip_prefix("test ") {
            let (short, full) = test.trim().split_once(char::is_whitespace).expect(line);
            ledger
                .tests
                .insert(short.to_owned(), full.trim().to_owned());
        } else {
            let (how, rest) = line.split_once(':').expect(line);
            let parts: Vec<&str> = rest.split('|').map(str::trim).collect();
            let pair = |name: String| match name.split_once('=') {
                Some((linux, here)) => (linux.to_owned(), here.to_owned()),
                None => (name.clone(), name),
            };
            let (tests, note) = match (how, parts.as_slice()) {
                ("absent", [_, note]) => (Vec::new(), *note),
                ("same" | "simplified", [_, tests]) => (words(tests), ""),
                ("same" | "simplified", [_, tests, note]) => (words(tests), *note),
                _ => panic!("no row: {line}"),
            };
            let section = ledger.sections.last_mut().expect("a row is in a section");
            section.rows.push(Row {
                how: how.to_owned(),
                names: words(parts[0]).into_iter().map(pair).collect(),
                tests,
                note: note.to_owned(),
            });
        }
    }
    ledger
}

fn ledger() -> Ledger {
    parse(&read(&root().join("kernel-image/ledger.txt")))
}

/// Whether the kernel has a workload of that name, and the model checker's matrix runs it.
fn workload_exists(name: &str) -> bool {
    let kernel = read(&root().join("kernel-image/src/kernel/kreplay/mod.rs"));
    let (_, list) = kernel.split_once("\nworkloads! {").expect("a list");
    let (list, _) = list.split_once("\n}").expect("its end");
    let quoted = format!("\"{name}\"");
    let known = list
        .lines()
        .any(|line| line.split_whitespace().next() == Some(&quoted));
    known && read(&root().join("cli/tests/e2e/model.rs")).contains(&format!("workload({quoted}, "))
}

/// Whether a test of that name exists, by its kind: a place and a case in it, both named; a workload has no
/// cases.
fn test_exists(test: &str) -> bool {
    let (kind, name) = test.split_once(':').unwrap_or(("", test));
    let (place, case) = name.split_once('.').unwrap_or((name, ""));
    if place.is_empty() || case.is_empty() != (kind == "workload") {
        return false;
    }
    let image = root().join("kernel-image");
    let has_test = |path: PathBuf| path.is_file() && functions(&read(&path)).contains(case);
    match kind {
        "e2e" => has_test(root().join(format!("cli/tests/e2e/{place}.rs"))),
        "host" => has_test(image.join(format!("tests/{place}.rs"))),
        // In the source itself.
        "unit" => {
            let path = image.join(format!("src/{place}.rs"));
            path.is_file()
                && read(&path)
                    .split_once("\n#[cfg(test)]\nmod tests {")
                    .is_some_and(|(_, tests)| functions(tests).contains(case))
        }
        // A workload checks itself and ends in a panic.
        "workload" => workload_exists(place),
        "kunit" => sources(&image.join("src")).iter().any(|file| {
            let text = read(file);
            let suites = text.split("kunit_test_suite!(").skip(1);
            suites
                .filter_map(|suite| suite.split_once(&format!("\"{place}\": [")))
                .filter_map(|(_, list)| list.split_once(']'))
                .any(|(list, _)| list.split(',').any(|it| it.trim() == case))
        }),
        _ => false,
    }
}

#[test]
fn every_function_and_every_test_of_the_ledger_is_what_it_says() {
    let ledger = ledger();
    let src = root().join("kernel-image/src");
    let everywhere = functions_of(&sources(&src));
    let mut wrong = Vec::new();
    for (short, full) in &ledger.tests {
        if !test_exists(full) {
            wrong.push(format!("test {short}: there is no {full}"));
        }
    }
    let mut seen = BTreeSet::new();
    for section in &ledger.sections {
        let files: Vec<PathBuf> = section
            .here
            .iter()
            .flat_map(|it| sources(&src.join(it)))
            .collect();
        let here = functions_of(&files);
        for row in &section.rows {
            for (linux, name) in &row.names {
                if !seen.insert(linux.clone()) {
                    wrong.push(format!("{linux} has two rows"));
                }
                match row.how.as_str() {
                    "absent" if everywhere.contains(name) => {
                        wrong.push(format!("{linux} is not absent: say how it differs"));
                    }
                    "same" | "simplified" if !here.contains(name) => {
                        wrong.push(format!("{linux} is not in {:?}", section.here));
                    }
                    _ => {}
                }
            }
            if row.how == "same" && row.tests.is_empty() {
                wrong.push(format!("{:?}: \"same\" without a test", row.names));
            }
            if row.how != "same" && row.note.len() < 4 {
                wrong.push(format!("{:?}: what differs?", row.names));
            }
            for test in row
                .tests
                .iter()
                .filter(|test| !ledger.tests.contains_key(*test))
            {
                wrong.push(format!("{test} is no test's short name"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What must be *same*, as names of Linux v6.8 (issue 4, section 3).
const MUST_BE_SAME: &[&str] = &[
    // The pick, and each class's part in it.
    "__schedule pick_next_task put_prev_task_balance",
    "pick_next_task_stop pick_next_task_dl pick_next_task_rt pick_next_task_fair pick_next_task_idle",
    "put_prev_task_stop put_prev_task_dl put_prev_task_rt put_prev_task_fair put_prev_task_idle",
    "set_next_task_stop set_next_task_dl set_next_task_rt set_next_task_fair set_next_task_idle",
    "balance_stop balance_dl balance_rt balance_fair balance_idle pick_next_entity",
    // Wake-ups.
    "try_to_wake_up ttwu_state_match ttwu_runnable ttwu_do_wakeup ttwu_do_activate ttwu_stat",
    "ttwu_queue ttwu_queue_cond ttwu_queue_wakelist __ttwu_queue_wakelist sched_ttwu_pending",
    // Moves.
    "set_task_cpu __set_cpus_allowed_ptr_locked affine_move_task migration_cpu_stop",
    // stop_machine.c, all of it.
    "print_stop_info cpu_stop_init_done cpu_stop_signal_done __cpu_stop_queue_work cpu_stop_queue_work",
    "stop_one_cpu stop_one_cpu_nowait set_state ack_state stop_machine_yield multi_cpu_stop",
    "cpu_stop_queue_two_works stop_two_cpus queue_stop_cpus_work __stop_cpus stop_cpus",
    "cpu_stop_should_run cpu_stopper_thread stop_machine_park stop_machine_unpark",
    "cpu_stop_create cpu_stop_park cpu_stop_init stop_machine stop_machine_cpuslocked",
    "stop_core_cpuslocked stop_machine_from_inactive_cpu",
    // EEVDF.
    "avg_vruntime entity_eligible place_entity update_deadline pick_eevdf reweight_entity",
    // Balancing.
    "load_balance need_active_balance active_load_balance_cpu_stop",
    // smpboot.c, all of it.
    "idle_thread_get idle_thread_set_boot_cpu idle_init idle_threads_init smpboot_thread_fn",
    "__smpboot_create_thread smpboot_create_threads smpboot_destroy_threads",
    "smpboot_unpark_thread smpboot_unpark_threads smpboot_park_thread smpboot_park_threads",
    "smpboot_register_percpu_thread smpboot_unregister_percpu_thread",
    // kthread_bind and its relatives.
    "kthread_bind __kthread_bind kthread_bind_mask __kthread_bind_mask kthread_create_on_cpu",
    "kthread_set_per_cpu kthread_is_per_cpu kthread_park kthread_unpark kthread_parkme",
    "__kthread_parkme kthread_should_park kthread_should_stop kthread_stop",
    // The states of a CPU that threads hang on, in order, and what passes them.
    "workqueue_prepare_cpu cpuhp_kick_ap_alive cpuhp_bringup_ap cpuhp_online_idle finish_cpu",
    "sched_cpu_starting sched_cpu_dying takedown_cpu take_cpu_down sched_cpu_wait_empty",
    "workqueue_online_cpu workqueue_offline_cpu sched_cpu_activate sched_cpu_deactivate",
    "cpuhp_thread_fun cpuhp_should_run cpuhp_invoke_callback",
];

#[test]
fn what_must_be_same_has_a_row_that_says_so() {
    let ledger = ledger();
    let rows = ledger.sections.iter().flat_map(|section| &section.rows);
    let hows: BTreeMap<&str, &str> = rows
        .flat_map(|row| {
            row.names
                .iter()
                .map(|(linux, _)| (linux.as_str(), row.how.as_str()))
        })
        .collect();
    let names = MUST_BE_SAME.iter().flat_map(|line| line.split_whitespace());
    let mut wrong = Vec::new();
    for name in names {
        match hows.get(name) {
            None => wrong.push(format!("{name} has no row")),
            Some(&"same") => {}
            Some(how) => wrong.push(format!("{name} is {how}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_test_without_a_name_is_none() {
    for test in [
        "kunit:cpuhp.",
        "kunit:cpuhp",
        "kunit:.",
        "kunit:cpuhp.nothing",
        "e2e:model.",
        "host:sched_rt",
        "unit:kernel/sched/loadavg.calc_load",
        "workload:",
        "workload:kunit",
        "workload:nothing",
        "workload:rt.case",
        "",
    ] {
        assert!(!test_exists(test), "{test}");
    }
    assert!(test_exists("workload:rt"));
}

/// The page.
fn page(ledger: &Ledger) -> String {
    let mut page = String::from(
        "# The fidelity ledger, function by function\n\n\
         Written from `ledger.txt` by `KREPLAY_BLESS=1 cargo test --test ledger`, and checked by it: every function is\n\
         where it is said to be, every absent one is absent, every test exists, and nothing is *same* without one.\n\
         README.md has the ledger file by file.\n\n\
         *same*: does what v6.8 does on this configuration. *simplified*: the same contract by simpler means. *absent*:\n\
         what somebody who knows Linux would look for and not find.\n",
    );
    let mut sums: BTreeMap<&str, usize> = BTreeMap::new();
    for row in ledger.sections.iter().flat_map(|section| &section.rows) {
        *sums.entry(&row.how).or_default() += row.names.len();
    }
    let sum = |how| sums.get(how).copied().unwrap_or(0);
    let (same, simplified, absent) = (sum("same"), sum("simplified"), sum("absent"));
    let _ = writeln!(
        page,
        "\n{same} same, {simplified} simplified, {absent} absent."
    );
    for section in &ledger.sections {
        let here: Vec<String> = section
            .here
            .iter()
            .map(|it| format!("`src/{it}`"))
            .collect();
        let _ = writeln!(
            page,
            "\n## {}\n\nHere: {}.\n",
            section.linux,
            here.join(", ")
        );
        page.push_str("| function | how | what differs | shown by |\n| --- | --- | --- | --- |\n");
        for row in &section.rows {
            let tests: Vec<String> = row
                .tests
                .iter()
                .filter_map(|test| ledger.tests.get(test))
                .map(|test| format!("`{test}`"))
                .collect();
            for (linux, name) in &row.names {
                let alias = if linux == name {
                    String::new()
                } else {
                    format!(" (here `{name}`)")
                };
                let _ = writeln!(
                    page,
                    "| `{linux}`{alias} | {} | {} | {} |",
                    row.how,
                    row.note,
                    tests.join(", ")
                );
            }
        }
    }
    page
}

#[test]
fn the_page_is_what_the_ledger_says() {
    let path = root().join("kernel-image/LEDGER.md");
    let page = page(&ledger());
    if std::env::var_os("KREPLAY_BLESS").is_some() {
        fs::write(&path, &page).expect("the folder is writable");
    }
    let there = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == page,
        "LEDGER.md is not what ledger.txt says: run KREPLAY_BLESS=1 cargo test --test ledger"
    );
}
