//! What each column of the migration table means, in a sentence; Parquet files carry them.

/// Column and sentence.
pub(super) const MOVES: &[(&str, &str)] = &[
    (
        "table",
        "Moves of tasks between CPUs and placements of new tasks, in the order of migrate_seq; the \
         phases partition [time_ns, end_ns].",
    ),
    ("time_ns", "Where it begins: causal time of begin_seq."),
    ("kind", "move, or placement: where a new task was put."),
    ("comm", "The task's name."),
    ("tid", "The task's pid."),
    ("prio", "The task's kernel priority at migrate_seq."),
    ("src_cpu", "The CPU it left."),
    ("dst_cpu", "The CPU it went to."),
    (
        "path",
        "stopper: by a function that a stopper ran; direct: by who wanted it; wake: while waking it \
         up; fork.",
    ),
    (
        "cause",
        "Why, by the call stack of migrate_seq. A stopper's move has the cause of the first work of \
         its request, which is where it begins: \
         if an affinity change queued that, the cause is affinity, also if migrate_enable queued a \
         later work of the same pending.",
    ),
    (
        "off_src_ns",
        "It still runs at the source, or no work for it exists yet.",
    ),
    ("stop_wait_ns", "Its work is queued."),
    (
        "stop_run_ns",
        "The work's function runs and has not moved it yet.",
    ),
    (
        "enq_dst_ns",
        "It belongs to the destination and is not in its queue yet.",
    ),
    (
        "ipi_ns",
        "The interrupt for the destination is on its way: until ipi_entry_seq, or the end if that \
         is earlier in causal time or missing.",
    ),
    ("first_run_ns", "It is in the destination's queue."),
    ("total_ns", "end_ns - time_ns, the sum of the phases."),
    ("total_insns", "The sum of the phases' instructions."),
    (
        "ended",
        "ran: it ran at the destination; moved: it was moved again first; exit; open: the recording \
         ended first. Only ran is in percentiles.",
    ),
    (
        "end_ns",
        "Causal time of end_seq; if open, the latest causal time of the recording.",
    ),
    (
        "pushed_ns",
        "The farthest that causal time lies after the raw clock at any event whose number the row has.",
    ),
    (
        "off_src_insns",
        "Instructions retired in off_src_ns by the CPU whose event ends it; likewise the five others.",
    ),
    ("stop_wait_insns", "See off_src_insns."),
    ("stop_run_insns", "See off_src_insns."),
    ("enq_dst_insns", "See off_src_insns."),
    ("ipi_insns", "See off_src_insns."),
    ("first_run_insns", "See off_src_insns."),
    (
        "begin_seq",
        "The first stop_work_queue of its request, sched_waking, sched_process_fork, \
         move_affinity_entry, or migrate_seq itself.",
    ),
    (
        "switch_out_seq",
        "The last sched_switch after the begin that took it off the source.",
    ),
    (
        "work_queue_seq",
        "stop_work_queue of the work that moved it.",
    ),
    ("work_start_seq", "stop_work_start of that work."),
    (
        "migrate_seq",
        "sched_migrate_task; of a placement sched_wakeup_new.",
    ),
    ("enqueued_seq", "move_enqueued at the destination."),
    (
        "ipi_send_seq",
        "ipi_send_cpu or ipi_send_cpumask that told the destination.",
    ),
    (
        "ipi_entry_seq",
        "The entry of that interrupt's handler, if it comes before end_seq in the order of events.",
    ),
    (
        "end_seq",
        "The event that ended it; if open, the last event of the recording.",
    ),
];

/// Column and sentence.
pub(super) const SUMMARY: &[(&str, &str)] = &[
    (
        "table",
        "How long moves took, by path, cause and pair of CPUs; placements are a group of their own.",
    ),
    ("group", "Which moves."),
    ("moves", "Number of moves."),
    (
        "count",
        "Those that ended because the task ran at the destination; the percentiles and the maximum are of their total_ns.",
    ),
    ("max_time_ns", "Causal time of that move's end."),
    (
        "max_seq",
        "The sched_migrate_task of the move with the largest value; of a placement its sched_wakeup_new.",
    ),
];

/// Column and sentence.
pub(super) const PHASES: &[(&str, &str)] = &[
    (
        "table",
        "How long each phase of the moves took that ended because the task ran.",
    ),
    ("phase", "The phase."),
    (
        "above_zero",
        "Number of moves in which it was longer than 0.",
    ),
    (
        "count",
        "Number of moves; the percentiles and the maximum are of the phase in each, 0 included.",
    ),
    ("max_time_ns", "Causal time of that move's end."),
    (
        "max_seq",
        "The sched_migrate_task of the move with the largest value; of a placement its sched_wakeup_new.",
    ),
];
