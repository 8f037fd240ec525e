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

/// Column and sentence.
pub(super) const TIMES: &[(&str, &str)] = &[
    ("table", "How long each part of a work took."),
    (
        "metric",
        "The part: queue>wake is queue_to_wake_ns of stopper_works and so on; queue>start is the sum of the first two.",
    ),
    ("count", "Number of works that have it."),
    ("max_time_ns", "Causal time of that work's queueing."),
    (
        "max_seq",
        "The stop_work_queue of the work with the largest value.",
    ),
];

/// Column and sentence.
pub(super) const GROUPS: &[(&str, &str)] = &[
    (
        "table",
        "The works by function and caller, outcome, victim and victim's class.",
    ),
    (
        "group",
        "Which works; fn A <- B is the function A asked for by B.",
    ),
    ("works", "Number of works."),
    (
        "run_p50_ns",
        "Half of their run_ns are not larger; by nearest rank, from 2 values on.",
    ),
    ("run_max_ns", "The largest run_ns, the first of equal ones."),
    (
        "max_seq",
        "The stop_work_queue of the work with the largest run_ns.",
    ),
    ("lost_ns", "The sum of their victim_lost_ns."),
];

/// Column and sentence.
pub(super) const GUARANTEE: &[(&str, &str)] = &[
    (
        "table",
        "The work that waited longest from its queueing to its start; the four parts sum to the wait.",
    ),
    ("time_ns", "Causal time of work_queue_seq."),
    ("cpu", "The stopper's CPU."),
    ("fn", "The function that the stopper ran."),
    ("queue_to_start_ns", "The wait."),
    (
        "queue_to_wake_ns",
        "From the queueing to the stopper's wake-up; 0 if the stopper was awake.",
    ),
    ("wake_to_in_ns", "From there to the stopper's switch-in."),
    (
        "earlier_works_ns",
        "From there to the done of the work before it in the same episode.",
    ),
    ("in_to_start_ns", "From there to the start."),
    ("work_queue_seq", "Its stop_work_queue."),
    ("work_start_seq", "Its stop_work_start."),
];

/// Column and sentence.
pub(super) const OVERHEAD: &[(&str, &str)] = &[
    (
        "table",
        "Times that a stopper was switched in and ran no work.",
    ),
    ("time_ns", "Causal time of begin_seq."),
    ("cpu", "The CPU whose stopper it is."),
    (
        "on_cpu",
        "The CPU that it ran on: another one only before it was bound to its own.",
    ),
    ("overhead_ns", "From the switch-in to the switch-out."),
    ("insns", "Instructions that the CPU retired in it."),
    ("begin_seq", "The sched_switch that it came in with."),
    ("end_seq", "The sched_switch that it left with."),
];

/// Column and sentence.
pub(super) const BALANCE: &[(&str, &str)] = &[
    (
        "table",
        "One row a CPU; the five columns after occupancy_ns sum to it.",
    ),
    ("cpu", "The CPU."),
    ("works", "Works that its stopper has done."),
    ("episodes", "Times that its stopper was switched in."),
    ("occupancy_ns", "Time that its stopper was on a CPU."),
    (
        "lost_ns",
        "Of it: while a victim was runnable and did not run.",
    ),
    ("idle_ns", "Of it: on a CPU that was idle before."),
    ("blocked_ns", "Of it: after a task that had gone to sleep."),
    (
        "elsewhere_ns",
        "Of it: while the victim ran elsewhere, slept or had exited.",
    ),
    ("overhead_ns", "Of it: episodes without a work."),
];
