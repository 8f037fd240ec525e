//! What each column of the tables of latency means, in a sentence; `--define` prints them.

/// Column and sentence.
pub(super) const ROWS: &[(&str, &str)] = &[
    (
        "table",
        "One row a task, or a name where tasks share it; a delay is from runnable to running.",
    ),
    ("comm", "Its name at the end."),
    ("tid", "Its pid; of several tasks the smallest."),
    ("tasks", "Number of tasks of the row."),
    (
        "runtime_ns",
        "Time on a CPU, each stretch counted when it ends.",
    ),
    ("count", "Number of delays."),
    ("total_delay_ns", "Their sum."),
    ("avg_delay_ns", "total_delay_ns / count, cut."),
    (
        "max_delay_ns",
        "The longest delay, the first of equal ones.",
    ),
    ("max_delay_start_ns", "Causal time of max_delay_start_seq."),
    ("max_delay_end_ns", "Causal time of max_delay_end_seq."),
    (
        "max_delay_start_seq",
        "The event that the longest delay begins at.",
    ),
    ("max_delay_end_seq", "The sched_switch that ends it."),
    ("max_delay_cpu", "The CPU that it ended on."),
];

/// Column and sentence.
pub(super) const CLASSES: &[(&str, &str)] = &[
    ("table", "The delays by scheduling class."),
    ("class", "all, or the class of the task at the delay's end."),
    ("count", "Number of delays."),
    ("max_time_ns", "Causal time of max_seq."),
    ("max_seq", "The sched_switch that ends the longest delay."),
    ("max_cpu", "The CPU that it ended on."),
];
