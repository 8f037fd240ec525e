//! Source paths as the reports show them: from the kernel's root, whatever machine built it.

/// Drops the build's directories: `…/kernel-image/src/kernel/sched/core.rs` is `kernel/sched/core.rs`,
/// a file of the compiler's library keeps its path from `library/` on, and a kernel in C is named from
/// the directory it was compiled in, or from a directory that is called `linux-` and its version.
pub fn shown<'a>(path: &'a str, compiled_in: &str) -> &'a str {
    for marker in ["kernel-image/src/", "/rustc/"] {
        if let Some(at) = path.find(marker) {
            let rest = &path[at + marker.len()..];
            return match marker {
                "/rustc/" => rest.split_once('/').map_or(rest, |(_, file)| file),
                _ => rest,
            };
        }
    }
    if let Some(at) = path.rfind("/linux-")
        && let Some((version, file)) = path[at + 7..].split_once('/')
        && version.starts_with(|c: char| c.is_ascii_digit())
        && !file.starts_with("debian/")
    {
        return file;
    }
    let inside = path
        .strip_prefix(compiled_in)
        .and_then(|rest| rest.strip_prefix('/'))
        .filter(|rest| !compiled_in.is_empty() && !rest.is_empty());
    let path = inside.unwrap_or(path);
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
            assert_eq!(shown(path, ""), "kernel/sched/core.rs", "{path}");
        }
        let core = "/rustc/0123abcd/library/core/src/num/mod.rs";
        assert_eq!(shown(core, "/rustc"), "library/core/src/num/mod.rs");
    }

    #[test]
    fn a_kernel_in_c_is_named_from_its_root() {
        let built = "debian/build/build_amd64_none_cloud-amd64";
        let core = format!("{built}/kernel/sched/core.c");
        assert_eq!(shown(&core, built), "kernel/sched/core.c");
        let head = "/build/reproducible-path/linux-6.1.192/arch/x86/kernel/head_64.S";
        assert_eq!(shown(head, built), "arch/x86/kernel/head_64.S");
        assert_eq!(
            shown("/usr/src/linux-headers/a.h", ""),
            "/usr/src/linux-headers/a.h"
        );
    }

    #[test]
    fn an_absolute_file_ignores_its_directory() {
        assert_eq!(join("/build", "a.rs"), "/build/a.rs");
        assert_eq!(join("/build/", "/a.rs"), "/a.rs");
        assert_eq!(join("", "a.rs"), "a.rs");
    }
}
