//! What each column of the tables of timehist means, in a sentence; `--define` prints them.

/// Column and sentence.
pub(super) const ROWS: &[(&str, &str)] = &[
    (
        "table",
        "One row a switch-out, by causal time; with -w and -M also one a wake-up and a migration.",
    ),
    (
        "time_ns",
        "Causal time of seq; with --time at most the end of the window.",
    ),
    (
        "seq",
        "The sched_switch; for the other kinds sched_waking, sched_wakeup_new or sched_migrate_task.",
    ),
    ("cpu", "The CPU of the event."),
    ("kind", "switch, wakeup or migrate."),
    (
        "comm",
        "Name of the task that leaves; for the other kinds of the CPU's current task.",
    ),
    ("tid", "Its pid."),
    (
        "wait_ns",
        "Its last switch-out to its switch-in; null if either is not recorded, and in rows of other kinds than switch.",
    ),
    (
        "sch_delay_ns",
        "From runnable (sched_waking, sched_wakeup_new or the preemption) to its switch-in; null as wait_ns.",
    ),
    (
        "run_ns",
        "Its switch-in to this switch-out; null at a CPU's first switch, whose begin is not recorded, and in rows of other kinds.",
    ),
    (
        "run_insns",
        "Instructions that the CPU retired from its switch-in to this switch-out.",
    ),
    (
        "pre_mig_ns",
        "The part of sch_delay_ns before its last migration; null if it did not migrate in it.",
    ),
    ("prio_in", "Its kernel priority when it came in."),
    ("prio", "Its kernel priority when it left."),
    (
        "state",
        "The state in which it left, by the letter that sched_switch prints; R+ is preempted.",
    ),
    ("next_comm", "Name of the task that comes."),
    ("next_tid", "Pid of the task that comes."),
    ("other_comm", "Name of the task that is woken or migrates."),
    ("other_tid", "Pid of that task."),
    ("orig_cpu", "The CPU that it migrates from."),
    ("dest_cpu", "The CPU that it migrates to."),
];

/// Column and sentence.
pub(super) const SUMMARY: &[(&str, &str)] = &[
    (
        "table",
        "One row a task that was switched out; with -I the runs are the idle times of the CPU after it.",
    ),
    ("comm", "Its name at the end."),
    ("tid", "Its pid."),
    (
        "parent",
        "Pid of the task that made it; null if that is not recorded.",
    ),
    ("count", "Number of runs that ended."),
    ("run_ns", "Their sum."),
    ("run_insns", "Instructions retired in them."),
    ("min_run_ns", "The shortest."),
    ("avg_run_ns", "run_ns / count, cut."),
    ("max_run_ns", "The longest."),
    ("max_run_end_ns", "When the longest ended, in causal time."),
    ("max_run_seq", "The sched_switch that ended it."),
    ("max_run_cpu", "The CPU that it was on."),
    ("sleep_ns", "Time off the CPU, asleep."),
    ("iowait_ns", "Time off the CPU in uninterruptible sleep."),
    ("preempt_ns", "Time off the CPU, preempted."),
    ("delay_ns", "The sum of its sch delays."),
    ("migrations", "Number of its sched_migrate_task."),
];

/// Column and sentence.
pub(super) const IDLE: &[(&str, &str)] = &[
    ("table", "One row a CPU."),
    ("cpu", "The CPU."),
    ("idle_ns", "Time that its idle task ran."),
    ("stretches", "Number of times that it did."),
    (
        "window_ns",
        "From the first switch to the last, of all CPUs.",
    ),
];
