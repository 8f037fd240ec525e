//! Source paths as the reports show them: from the kernel's root, whatever machine built it.

/// Drops the build's directories: `…/kernel-image/src/kernel/sched/core.rs` is `kernel/sched/core.rs`,
/// and a file of the compiler's library keeps its path from `library/` on.
pub fn shown(path: &str) -> &str {
    for marker in ["kernel-image/src/", "/rustc/"] {
        if let Some(at) = path.find(marker) {
            let rest = &path[at + marker.len()..];
            return match marker {
                "/rustc/" => rest.split_once('/').map_or(rest, |(_, file)| file),
                _ => rest,
            };
        }
    }
    let path = path.strip_prefix("./").unwrap_or(path);
    path.strip_prefix("src/").unwrap_or(path)
}

/// `file` in `directory`, unless it is absolute.
pub fn join(directory: &str, file: &str) -> String {
    match directory {
        "" | "." => file.to_owned(),
        _ if file.starts_with('/') => file.to_owned(),
        _ => format!("{}/{file}", directory.trim_end_matches('/')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builds_from_other_places_show_the_same_path() {
        for path in [
            "/home/a/kreplay/kernel-image/src/kernel/sched/core.rs",
            "/kernel-image/src/kernel/sched/core.rs",
            "src/kernel/sched/core.rs",
            "./src/kernel/sched/core.rs",
            "kernel/sched/core.rs",
        ] {
            assert_eq!(shown(path), "kernel/sched/core.rs", "{path}");
        }
        let core = "/rustc/0123abcd/library/core/src/num/mod.rs";
        assert_eq!(shown(core), "library/core/src/num/mod.rs");
    }

    #[test]
    fn an_absolute_file_ignores_its_directory() {
        assert_eq!(join("/build", "a.rs"), "/build/a.rs");
        assert_eq!(join("/build/", "/a.rs"), "/a.rs");
        assert_eq!(join("", "a.rs"), "a.rs");
    }
}
