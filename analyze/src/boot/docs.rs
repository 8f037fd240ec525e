//! What each column of the tables of boot means, in a sentence; `--define` prints them.

/// Column and sentence.
pub(super) const MILESTONES: &[(&str, &str)] = &[
    (
        "table",
        "Entries of the functions that Linux boots by, first events and switches of CPUs, lines of the console.",
    ),
    (
        "time_ns",
        "Causal time of seq; of a line of the console its CPU's raw clock.",
    ),
    ("cpu", "The CPU."),
    (
        "insns",
        "Instructions that the CPU had retired; null for a line of the console.",
    ),
    (
        "total_insns",
        "Instructions that all CPUs had retired, as of their latest events; null for a line of the console.",
    ),
    ("seq", "The event; null for a line of the console."),
    ("kind", "function, cpu or console."),
    ("what", "The function, what the CPU does, or the line."),
];

/// Column and sentence.
pub(super) const THREADS: &[(&str, &str)] = &[
    ("table", "One row a sched_process_fork."),
    ("time_ns", "Causal time of seq."),
    ("seq", "The sched_process_fork."),
    ("cpu", "The CPU that it happened on."),
    ("insns", "Instructions that the CPU had retired."),
    ("tid", "The new task's pid."),
    ("comm", "The new task's name at its creation."),
    ("called", "The new task's latest name."),
    ("parent_tid", "Pid of the task that made it."),
    ("parent_comm", "Name of the task that made it."),
    (
        "asked_by_tid",
        "Pid of the last waker of the parent, if that was after the parent's creation before; else null.",
    ),
    ("asked_by_comm", "Name of that waker."),
    (
        "chain_number",
        "Its row in the table thread_chains; null without a call stack.",
    ),
    (
        "chain",
        "The functions that led there, the outermost first.",
    ),
];

/// Column and sentence.
pub(super) const WAYS: &[(&str, &str)] = &[
    (
        "table",
        "The different call chains of the creations, in the order in which they occur.",
    ),
    ("chain_number", "Its number, from 1."),
    ("creations", "Number of creations by it."),
    ("chain", "Its functions, the outermost first."),
];

/// Column and sentence.
pub(super) const CALLS: &[(&str, &str)] = &[
    ("table", "The milestones that have a call stack."),
    ("time_ns", "Causal time of the milestone."),
    ("cpu", "The CPU."),
    ("fn", "The function that is the milestone."),
    ("depth", "Number of functions in the chain."),
    (
        "chain",
        "The functions that led there, the outermost first, the milestone's own last.",
    ),
];
