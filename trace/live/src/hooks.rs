//! Where the default events come from: which tracepoint or function gives which event.

use trace::event::EventData;
use trace::events::{
    CallFunctionEntry, CallFunctionExit, CallFunctionSingleEntry, CallFunctionSingleExit,
    LocalTimerEntry, LocalTimerExit, RescheduleEntry, RescheduleExit,
};

/// What to do at a watched address.
#[derive(Clone, Copy)]
pub enum Hook {
    Switch,
    Waking,
    Wakeup,
    WakeupNew,
    MigrateTask,
    Fork,
    Exit,
    IpiCpu,
    IpiMask,
    /// An interrupt handler's entry or exit, with the event's constructor.
    Irq(fn(i32) -> EventData),
    WorkQueue,
    WorkStart,
    WorkDone,
    Complete,
    MachineState,
    CpuhpEnter,
    CpuhpExit,
    CpuhpMultiEnter,
    AffinityEntry,
    /// Entry of a function whose return is an event.
    Returning(Returning),
    Tick,
    /// Entry of a function of the boot.
    Milestone,
}

/// Functions whose return is an event.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Returning {
    ActivateTask,
    /// A class's `enqueue_task`: the task is in the queue, but counts as queued only a little later.
    EnqueueTask,
    SelectFallbackRq,
}

pub const TRACEPOINTS: &[(&str, Hook)] = &[
    ("sched:sched_switch", Hook::Switch),
    ("sched:sched_waking", Hook::Waking),
    ("sched:sched_wakeup", Hook::Wakeup),
    ("sched:sched_wakeup_new", Hook::WakeupNew),
    ("sched:sched_migrate_task", Hook::MigrateTask),
    ("sched:sched_process_fork", Hook::Fork),
    ("sched:sched_process_exit", Hook::Exit),
    ("ipi:ipi_send_cpu", Hook::IpiCpu),
    ("ipi:ipi_send_cpumask", Hook::IpiMask),
    (
        "irq_vectors:local_timer_entry",
        Hook::Irq(|vector| LocalTimerEntry { vector }.into()),
    ),
    (
        "irq_vectors:local_timer_exit",
        Hook::Irq(|vector| LocalTimerExit { vector }.into()),
    ),
    (
        "irq_vectors:reschedule_entry",
        Hook::Irq(|vector| RescheduleEntry { vector }.into()),
    ),
    (
        "irq_vectors:reschedule_exit",
        Hook::Irq(|vector| RescheduleExit { vector }.into()),
    ),
    (
        "irq_vectors:call_function_entry",
        Hook::Irq(|vector| CallFunctionEntry { vector }.into()),
    ),
    (
        "irq_vectors:call_function_exit",
        Hook::Irq(|vector| CallFunctionExit { vector }.into()),
    ),
    (
        "irq_vectors:call_function_single_entry",
        Hook::Irq(|vector| CallFunctionSingleEntry { vector }.into()),
    ),
    (
        "irq_vectors:call_function_single_exit",
        Hook::Irq(|vector| CallFunctionSingleExit { vector }.into()),
    ),
    ("stop:work_queue", Hook::WorkQueue),
    ("stop:work_start", Hook::WorkStart),
    ("stop:work_done", Hook::WorkDone),
    ("stop:complete", Hook::Complete),
    ("stop:machine_state", Hook::MachineState),
    ("cpuhp:cpuhp_enter", Hook::CpuhpEnter),
    ("cpuhp:cpuhp_exit", Hook::CpuhpExit),
];

pub const FUNCTIONS: &[(&str, Hook)] = &[
    ("__set_cpus_allowed_ptr", Hook::AffinityEntry),
    ("activate_task", Hook::Returning(Returning::ActivateTask)),
    (
        "select_fallback_rq",
        Hook::Returning(Returning::SelectFallbackRq),
    ),
    ("scheduler_tick", Hook::Tick),
];

impl Hook {
    /// Name of the event, for messages.
    pub fn name(self) -> &'static str {
        match self {
            Hook::Switch => "sched:sched_switch",
            Hook::Waking => "sched:sched_waking",
            Hook::Wakeup => "sched:sched_wakeup",
            Hook::WakeupNew => "sched:sched_wakeup_new",
            Hook::MigrateTask => "sched:sched_migrate_task",
            Hook::Fork => "sched:sched_process_fork",
            Hook::Exit => "sched:sched_process_exit",
            Hook::IpiCpu => "ipi:ipi_send_cpu",
            Hook::IpiMask => "ipi:ipi_send_cpumask",
            Hook::Irq(event) => event(0).schema().name,
            Hook::WorkQueue => "stop:work_queue",
            Hook::WorkStart => "stop:work_start",
            Hook::WorkDone => "stop:work_done",
            Hook::Complete => "stop:complete",
            Hook::MachineState => "stop:machine_state",
            Hook::CpuhpEnter => "cpuhp:cpuhp_enter",
            Hook::CpuhpExit => "cpuhp:cpuhp_exit",
            Hook::CpuhpMultiEnter => "cpuhp:cpuhp_multi_enter",
            Hook::AffinityEntry => "move:affinity_entry",
            Hook::Returning(Returning::ActivateTask | Returning::EnqueueTask) => "move:enqueued",
            Hook::Returning(Returning::SelectFallbackRq) => "move:fallback",
            Hook::Tick => "probe:scheduler_tick",
            Hook::Milestone => "boot:milestone",
        }
    }
}
