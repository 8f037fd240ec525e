//! What each column of the tables of classes means, in a sentence; `--define` prints them.

/// Column and sentence.
pub(super) const CPUS: &[(&str, &str)] = &[
    (
        "table",
        "One row a CPU, and one of all of them; the seven columns after wall_ns sum to it.",
    ),
    ("cpu", "The CPU, or all."),
    (
        "wall_ns",
        "From power-on to the end of the run; without an end, to the last event.",
    ),
    ("stop_ns", "Time with a current task of the stop class."),
    ("dl_ns", "Time with a current task of the deadline class."),
    ("rt_ns", "Time with a current task of the real-time class."),
    ("fair_ns", "Time with a current task of the fair class."),
    ("idle_ns", "Time with a current task of the idle class."),
    (
        "boot_ns",
        "Time from the CPU's first event (CPU 0: from power-on) to its first switch.",
    ),
    ("before_ns", "Time before the CPU's first event."),
    (
        "busy",
        "The part of the time since the first switch in which the current task was not the idle one.",
    ),
    ("stop_switches", "Switches to a task of the stop class."),
    ("dl_switches", "Switches to a task of the deadline class."),
    ("rt_switches", "Switches to a task of the real-time class."),
    ("fair_switches", "Switches to a task of the fair class."),
    ("idle_switches", "Switches to a task of the idle class."),
    ("stop_insns", "Instructions retired in stop_ns."),
    ("dl_insns", "Instructions retired in dl_ns."),
    ("rt_insns", "Instructions retired in rt_ns."),
    ("fair_insns", "Instructions retired in fair_ns."),
    ("idle_insns", "Instructions retired in idle_ns."),
    (
        "boot_insns",
        "Instructions retired before the CPU's first switch.",
    ),
];

/// Column and sentence.
pub(super) const SHARES: &[(&str, &str)] = &[
    ("table", "All CPUs together, by class."),
    ("class", "The scheduling class of the current task."),
    ("time_ns", "Time with such a task, summed over the CPUs."),
    ("insns", "Instructions retired in it."),
    ("switches", "Switches to a task of that class."),
];
