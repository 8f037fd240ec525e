//! What each column of the tables of stop_machine means, in a sentence; Parquet files carry them.

/// Column and sentence.
pub(super) const REQUESTS: &[(&str, &str)] = &[
    (
        "table",
        "The requests of stop_machine and stop_two_cpus: works of multi_cpu_stop that share a \
         cpu_stop_done.",
    ),
    (
        "time_ns",
        "Causal time of the request's first stop_work_queue.",
    ),
    ("queued_by_comm", "Name of the task that asked."),
    ("queued_by_tid", "Its pid."),
    ("queued_by_cpu", "The CPU that it asked on."),
    ("caller", "The function that asked."),
    ("fn", "The function that ran with all participants stopped."),
    ("participants", "Number of CPUs that were stopped."),
    ("total_ns", "First queueing to last done."),
    (
        "gather_ns",
        "First queueing to the last enter of PREPARE: until all participants have come.",
    ),
    (
        "fn_ns",
        "RUN's enter to its acknowledgement on the active participant that took longest.",
    ),
    (
        "irqs_off_ns_max",
        "The longest that a participant's interrupts were off.",
    ),
    ("irqs_off_ns_sum", "The same, summed over the participants."),
    ("prepare_skew_ns", "Last enter of PREPARE - the first."),
    (
        "disable_irq_skew_ns",
        "Last enter of DISABLE_IRQ - the first.",
    ),
    ("run_skew_ns", "Last enter of RUN - the first."),
    ("exit_skew_ns", "Last enter of EXIT - the first."),
    ("polls", "Polls of the state by all participants."),
    ("work_queue_seq", "Its first stop_work_queue."),
];

/// Column and sentence.
pub(super) const PARTICIPANTS: &[(&str, &str)] = &[
    (
        "table",
        "The participants of each request; the columns from entry_ns to return_ns sum to run_ns.",
    ),
    ("request_seq", "The request's first stop_work_queue."),
    ("cpu", "The participant's CPU."),
    ("active", "It runs the function."),
    (
        "queue_to_start_ns",
        "Its stop_work_queue to its stop_work_start.",
    ),
    ("run_ns", "stop_work_start to stop_work_done."),
    ("entry_ns", "stop_work_start to PREPARE's enter."),
    ("prepare_ns", "PREPARE's enter to its acknowledgement."),
    (
        "prepare_wait_ns",
        "PREPARE's acknowledgement to DISABLE_IRQ's enter.",
    ),
    (
        "disable_irq_ns",
        "DISABLE_IRQ's enter to its acknowledgement.",
    ),
    (
        "disable_irq_wait_ns",
        "DISABLE_IRQ's acknowledgement to RUN's enter.",
    ),
    (
        "run_state_ns",
        "RUN's enter to its acknowledgement: the function itself on an active participant.",
    ),
    ("run_wait_ns", "RUN's acknowledgement to EXIT's enter."),
    (
        "exit_ns",
        "EXIT's enter to its acknowledgement, after interrupts are on again.",
    ),
    ("return_ns", "EXIT's acknowledgement to stop_work_done."),
    (
        "irqs_off_ns",
        "How long interrupts were off: DISABLE_IRQ's enter to EXIT's acknowledgement.",
    ),
    ("polls", "Polls of the state by this participant."),
    ("work_queue_seq", "Its stop_work_queue."),
    ("work_start_seq", "Its stop_work_start."),
    ("work_done_seq", "Its stop_work_done."),
];

/// Column and sentence.
pub(super) const STATES: &[(&str, &str)] = &[
    (
        "table",
        "When each participant of each request entered and acknowledged each state.",
    ),
    ("request_seq", "The request's first stop_work_queue."),
    ("state", "PREPARE, DISABLE_IRQ, RUN or EXIT."),
    ("cpu", "The participant's CPU."),
    ("enter_time_ns", "Causal time of enter_seq."),
    ("ack_time_ns", "Causal time of ack_seq."),
    (
        "enter_after_ns",
        "The request's first queueing to the enter.",
    ),
    (
        "ack_after_ns",
        "The request's first queueing to the acknowledgement.",
    ),
    (
        "behind_ns",
        "The enter - the first participant's enter of this state.",
    ),
    (
        "polls",
        "Polls since the participant's acknowledgement of the state before, or since its start.",
    ),
    ("enter_seq", "The stop_machine_state of step 0."),
    ("ack_seq", "The stop_machine_state of step 1."),
    (
        "pushed_ns",
        "How far causal time lies after the raw clock, at the farther of the two.",
    ),
];

/// Column and sentence.
pub(super) const TIMES: &[(&str, &str)] = &[
    (
        "table",
        "How long the requests took and how far apart their participants were.",
    ),
    (
        "metric",
        "total, gather, fn: total_ns, gather_ns, fn_ns of the table stop_machine; skew: of each state; irqs-off: of each participant.",
    ),
    (
        "count",
        "Number of requests that have it; of irqs-off the number of participants.",
    ),
    ("max_time_ns", "Causal time of max_seq."),
    (
        "max_seq",
        "The request's first stop_work_queue; of irqs-off the participant's enter of DISABLE_IRQ.",
    ),
];
