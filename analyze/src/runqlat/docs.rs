//! What each column of the tables of runqlat means, in a sentence; `--define` prints them.

/// Column and sentence.
pub(super) const BUCKETS: &[(&str, &str)] = &[
    (
        "table",
        "One row a bucket of a histogram, up to the last that has a delay.",
    ),
    (
        "key",
        "The pid (-P) or the CPU (--per-cpu) that the histogram is of; null for all tasks together.",
    ),
    ("comm", "With -P the task's name."),
    ("unit", "What low and high are counted in."),
    ("low", "The smallest value of the bucket, in whole units."),
    ("high", "The largest value of the bucket."),
    ("count", "Number of delays in it."),
];

/// Column and sentence.
pub(super) const DELAYS: &[(&str, &str)] = &[
    ("table", "One row a histogram: the delays that it counts."),
    (
        "key",
        "The pid (-P) or the CPU (--per-cpu) that it is of; null for all tasks together.",
    ),
    ("comm", "With -P the task's name."),
    ("count", "Number of delays."),
    ("total_ns", "Their sum."),
    ("max_time_ns", "Causal time of max_seq."),
    ("max_seq", "The sched_switch that ends the longest delay."),
    ("max_cpu", "The CPU that it ended on."),
];
