//! The command line: words, values, numbers, dashes and underscores. One test: the command line is set once.
use kernel_image::kernel::params::{param, saved_command_line, set_command_line};

#[test]
fn command_line() {
    assert!(param("x").is_none(), "nothing before it is set");
    let line = "  quiet workload=idle affinity.hogs=4 affinity.moves=0x10 log-buf_len=1 workload=affinity\t\
                bad=12x big=99999999999999999999 empty= \u{7f}";
    set_command_line(line.bytes());

    assert!(param("quiet").is_some_and(|value| value.is("")));
    assert!(
        param("workload").is_some_and(|value| value.is("affinity")),
        "the last one counts"
    );
    assert!(param("work").is_none() && param("workloads").is_none());
    let param_u64 = |name| param(name).and_then(|value| value.as_u64());
    assert_eq!(param_u64("affinity.hogs"), Some(4));
    assert_eq!(param_u64("affinity.moves"), Some(16));
    assert_eq!(param_u64("log_buf-len"), Some(1));
    assert_eq!(param_u64("bad"), None);
    assert_eq!(param_u64("big"), None, "too large");
    assert_eq!(param_u64("empty"), None);
    assert_eq!(param_u64("quiet"), None);
    let text = saved_command_line().to_string();
    assert!(
        text.contains(" workload=affinity bad=12x "),
        "a tab is a space: {text}"
    );
    assert!(text.is_ascii() && !text.contains('\u{7f}'));
}
