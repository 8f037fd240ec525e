//! What each column of the table of works means, in a sentence; Parquet files carry them.

/// Column and sentence.
pub(super) const WORKS: &[(&str, &str)] = &[
    (
        "table",
        "The works that stoppers were asked for, in the order of work_queue_seq.",
    ),
    ("time_ns", "Causal time of work_queue_seq."),
    ("cpu", "The stopper's CPU."),
    ("queued_by_comm", "Name of the task that queued it."),
    ("queued_by_tid", "Pid of the task that queued it."),
    ("queued_by_cpu", "The CPU that queued it."),
    ("caller", "The function that asked for it."),
    ("fn", "The function that the stopper ran."),
    (
        "task_comm",
        "Name of the task that it is about, if it names one.",
    ),
    ("task_tid", "Pid of that task."),
    (
        "queue_to_wake_ns",
        "From the queueing to the stopper's wake-up; 0 if the stopper was awake.",
    ),
    (
        "wake_to_run_ns",
        "From the wake-up, or the queueing if the stopper was awake, to the start.",
    ),
    ("run_ns", "From the start to the done."),
    (
        "done_to_waiter_ns",
        "From nr_todo reaching 0 to the next instruction of the task that queued the request and \
         waits for it, on the request's last work; \
         0 if it runs then or came in earlier in causal time; null where nobody waits.",
    ),
    (
        "pending_to_waiter_ns",
        "From stop_complete of the pending to its waiter's next instruction, likewise. The waiter \
         is the first task that the completion wakes; \
         if all who wait are still awake, the task that queued the pending's first work, or, if \
         migrate_enable did, the task that had last asked for the change.",
    ),
    (
        "victim_comm",
        "Name of the task that was preempted for the episode.",
    ),
    ("victim_tid", "Pid of the victim."),
    (
        "victim_class",
        "Scheduling class of the victim, by its priority.",
    ),
    (
        "victim_prio",
        "Kernel priority of the victim when it was preempted.",
    ),
    (
        "share_ns",
        "What it is charged with: from the switch-in or the previous work's done to its own done; \
         the last work also has the tail.",
    ),
    (
        "victim_lost_ns",
        "The part of the share in which the victim was runnable and did not run; null without a \
         victim.",
    ),
    (
        "victim_elsewhere_ns",
        "The rest of the share: the victim ran elsewhere, slept or had exited.",
    ),
    (
        "share_insns",
        "Instructions that the CPU retired in the share.",
    ),
    (
        "outcome",
        "What became of the task. moved: the function moved it. requeued: it had gone to another \
         CPU that it may not use, and the work was queued again there. \
         sleeping: it slept when the function ran. already-ok: it was where it may be, also because \
         it had disabled migration (then its CPU is allowed, whatever \
         its mask says, and its request stays pending). raced: another request had changed the mask \
         meanwhile. Null if the work names no task or is not done.",
    ),
    (
        "pushed_ns",
        "The farthest that causal time lies after the raw clock at any event whose number the row has.",
    ),
    ("work_queue_seq", "stop_work_queue."),
    (
        "stopper_waking_seq",
        "sched_waking of the stopper for it; null if the stopper was awake.",
    ),
    ("work_start_seq", "stop_work_start."),
    ("work_done_seq", "stop_work_done."),
    ("share_begin_seq", "Where its share begins."),
    ("share_end_seq", "Where its share ends."),
    ("released_seq", "Where the waiter's time begins."),
    (
        "waiter_in_seq",
        "The waiter's switch-in; released_seq if it was running.",
    ),
];
