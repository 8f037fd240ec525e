//! The table of the default events on an unmodified Linux: for every event the ways to find it.
//!
//! A way is a place ([`Where`]) and the numbers that are read there ([`Want`]).

use trace::events::{
    CallFunctionEntry, CallFunctionExit, CallFunctionSingleEntry, CallFunctionSingleExit,
    LocalTimerEntry, LocalTimerExit, RescheduleEntry, RescheduleExit,
};

use crate::hooks::{Hook, Returning};

/// A number that an event is made of, as the manifest says it.
#[derive(Clone, Copy)]
pub(super) enum Want {
    /// A variable of the probed function.
    Var(&'static str),
    /// The same; where it points to a `cpu_stopper`, the CPU that has it.
    StopperOf(&'static str),
    /// A member of the structure of that type that a variable points to.
    Member(&'static str, &'static str, &'static str),
    /// The structure of that type whose member the first argument of a call points to.
    Around(&'static str, &'static str),
    /// A member of that structure: type, member pointed to, member read.
    Beside(&'static str, &'static str, &'static str),
    /// Four bytes at the start of what a variable points to, plus a distance by type and member.
    Count(&'static str, &'static str, &'static str),
    /// The address that the function returns to.
    Caller,
    /// The address of a function.
    Function(&'static str),
    /// The CPU that is here.
    ThisCpu,
    /// Always this.
    Number(i64),
}

/// Where the probes of one way are.
#[derive(Clone, Copy)]
pub(super) enum Where {
    /// The entry of a function out of line.
    Entry(&'static str),
    /// Every entry of a function, inlined or not, in the file that has the other function.
    Entries(&'static str, &'static str),
    /// The entries of a function `trace_…` in the file that has the other function: where the bytes are
    /// the `nop` that Linux patches. The copies out of line are where it jumps to when tracing is on.
    Patchable(&'static str, &'static str),
    /// In a function, the call through a pointer.
    CallByPointer(&'static str),
    /// After it, if this variable is null.
    AfterCallByPointer(&'static str, &'static str),
    /// After the locked instruction that follows it: a count has been taken down.
    AfterCountDown(&'static str),
    /// In the first function's file, calls of the second where the third is inlined or is the function
    /// around the call.
    Calls(&'static str, &'static str, &'static str),
}

impl Where {
    pub(super) fn words(self) -> String {
        match self {
            Where::Entry(name) => format!("entry of {name}"),
            Where::Entries(name, _) => format!("entries of {name}, inlined"),
            Where::Patchable(name, _) => format!("entries of {name}, inlined"),
            Where::CallByPointer(name) => format!("{name}'s call of the work's function"),
            Where::AfterCallByPointer(name, null) => {
                format!("after {name}'s call of the work's function, {null} being null")
            }
            Where::AfterCountDown(name) => format!("after {name}'s count-down of nr_todo"),
            Where::Calls(_, callee, inside) => format!("calls of {callee} by {inside}"),
        }
    }
}

/// One way to find an event.
pub(super) struct Way {
    pub(super) at: Where,
    /// The function whose variables are meant.
    pub(super) of: &'static str,
    pub(super) wants: &'static [Want],
}

/// An event, and the ways to find it. All places of the first way that works are probed. An event that
/// happens at places of several kinds has a row for each kind.
pub(super) struct Row {
    pub(super) event: &'static str,
    pub(super) hook: Hook,
    pub(super) ways: &'static [Way],
}

use Want::{Around, Beside, Caller, Count, Function, Member, Number, StopperOf, ThisCpu, Var};
use Where::{AfterCallByPointer, AfterCountDown, CallByPointer, Calls, Entries, Entry, Patchable};

const fn way(at: Where, of: &'static str, wants: &'static [Want]) -> Way {
    Way { at, of, wants }
}

const fn row(event: &'static str, hook: Hook, ways: &'static [Way]) -> Row {
    Row { event, hook, ways }
}

const P: &[Want] = &[Var("p")];
const VECTOR: &[Want] = &[Var("vector")];
const ENQUEUE: &[Want] = &[Number(0), Var("p")];

/// Read with Linux 6.1 at hand (`kernel/sched/core.c`, `kernel/stop_machine.c`, `kernel/fork.c`,
/// `kernel/exit.c`, `arch/x86/kernel/{smp.c,apic/}`); ways for other versions stand after it.
pub(super) const MANIFEST: &[Row] = &[
    row(
        "sched:sched_switch",
        Hook::Switch,
        &[way(
            Patchable("trace_sched_switch", "__schedule"),
            "trace_sched_switch",
            &[Var("preempt"), Var("prev"), Var("next"), Var("prev_state")],
        )],
    ),
    row(
        "sched:sched_waking",
        Hook::Waking,
        &[
            way(
                Patchable("trace_sched_waking", "try_to_wake_up"),
                "trace_sched_waking",
                P,
            ),
            way(Entry("try_to_wake_up"), "try_to_wake_up", P),
        ],
    ),
    row(
        "sched:sched_wakeup",
        Hook::Wakeup,
        &[
            way(
                Patchable("trace_sched_wakeup", "try_to_wake_up"),
                "trace_sched_wakeup",
                P,
            ),
            way(Entry("ttwu_do_wakeup"), "ttwu_do_wakeup", P),
        ],
    ),
    row(
        "sched:sched_wakeup_new",
        Hook::WakeupNew,
        &[way(
            Patchable("trace_sched_wakeup_new", "wake_up_new_task"),
            "trace_sched_wakeup_new",
            P,
        )],
    ),
    row(
        "sched:sched_migrate_task",
        Hook::MigrateTask,
        &[way(
            Patchable("trace_sched_migrate_task", "set_task_cpu"),
            "trace_sched_migrate_task",
            &[Var("p"), Var("dest_cpu")],
        )],
    ),
    row(
        "sched:sched_process_fork",
        Hook::Fork,
        &[way(
            Patchable("trace_sched_process_fork", "kernel_clone"),
            "trace_sched_process_fork",
            &[Var("parent"), Var("child")],
        )],
    ),
    row(
        "sched:sched_process_exit",
        Hook::Exit,
        &[way(
            Patchable("trace_sched_process_exit", "do_exit"),
            "trace_sched_process_exit",
            P,
        )],
    ),
    row(
        "ipi:ipi_send_cpu",
        Hook::IpiCpu,
        &[way(
            Entry("native_smp_send_reschedule"),
            "native_smp_send_reschedule",
            &[Var("cpu"), Caller, Number(0)],
        )],
    ),
    row(
        "ipi:ipi_send_cpu",
        Hook::IpiCpu,
        &[way(
            Entry("native_send_call_func_single_ipi"),
            "native_send_call_func_single_ipi",
            &[
                Var("cpu"),
                Caller,
                Function("generic_smp_call_function_single_interrupt"),
            ],
        )],
    ),
    row(
        "ipi:ipi_send_cpumask",
        Hook::IpiMask,
        &[way(
            Entry("native_send_call_func_ipi"),
            "native_send_call_func_ipi",
            &[
                Var("mask"),
                Caller,
                Function("generic_smp_call_function_single_interrupt"),
            ],
        )],
    ),
    row(
        "irq_vectors:local_timer_entry",
        Hook::Irq(|vector| LocalTimerEntry { vector }.into()),
        &[way(
            Patchable("trace_local_timer_entry", "__sysvec_apic_timer_interrupt"),
            "trace_local_timer_entry",
            VECTOR,
        )],
    ),
    row(
        "irq_vectors:local_timer_exit",
        Hook::Irq(|vector| LocalTimerExit { vector }.into()),
        &[way(
            Patchable("trace_local_timer_exit", "__sysvec_apic_timer_interrupt"),
            "trace_local_timer_exit",
            VECTOR,
        )],
    ),
    row(
        "irq_vectors:reschedule_entry",
        Hook::Irq(|vector| RescheduleEntry { vector }.into()),
        &[way(
            Patchable("trace_reschedule_entry", "sysvec_reschedule_ipi"),
            "trace_reschedule_entry",
            VECTOR,
        )],
    ),
    row(
        "irq_vectors:reschedule_exit",
        Hook::Irq(|vector| RescheduleExit { vector }.into()),
        &[way(
            Patchable("trace_reschedule_exit", "sysvec_reschedule_ipi"),
            "trace_reschedule_exit",
            VECTOR,
        )],
    ),
    row(
        "irq_vectors:call_function_entry",
        Hook::Irq(|vector| CallFunctionEntry { vector }.into()),
        &[way(
            Patchable("trace_call_function_entry", "__sysvec_call_function"),
            "trace_call_function_entry",
            VECTOR,
        )],
    ),
    row(
        "irq_vectors:call_function_exit",
        Hook::Irq(|vector| CallFunctionExit { vector }.into()),
        &[way(
            Patchable("trace_call_function_exit", "__sysvec_call_function"),
            "trace_call_function_exit",
            VECTOR,
        )],
    ),
    row(
        "irq_vectors:call_function_single_entry",
        Hook::Irq(|vector| CallFunctionSingleEntry { vector }.into()),
        &[way(
            Patchable(
                "trace_call_function_single_entry",
                "__sysvec_call_function_single",
            ),
            "trace_call_function_single_entry",
            VECTOR,
        )],
    ),
    row(
        "irq_vectors:call_function_single_exit",
        Hook::Irq(|vector| CallFunctionSingleExit { vector }.into()),
        &[way(
            Patchable(
                "trace_call_function_single_exit",
                "__sysvec_call_function_single",
            ),
            "trace_call_function_single_exit",
            VECTOR,
        )],
    ),
    row(
        "stop:work_queue",
        Hook::WorkQueue,
        &[way(
            Entries("__cpu_stop_queue_work", "cpu_stop_queue_work"),
            "__cpu_stop_queue_work",
            &[StopperOf("stopper"), Var("work")],
        )],
    ),
    row(
        "stop:work_start",
        Hook::WorkStart,
        &[way(
            CallByPointer("cpu_stopper_thread"),
            "cpu_stopper_thread",
            &[
                ThisCpu,
                Var("work"),
                Var("fn"),
                Var("arg"),
                Var("done"),
                Member("work", "cpu_stop_work", "caller"),
            ],
        )],
    ),
    row(
        "stop:work_done",
        Hook::WorkDone,
        &[way(
            AfterCallByPointer("cpu_stopper_thread", "done"),
            "cpu_stopper_thread",
            &[
                ThisCpu,
                Var("work"),
                Var("fn"),
                Number(0),
                Var("ret"),
                Number(-1),
            ],
        )],
    ),
    row(
        "stop:work_done",
        Hook::WorkDone,
        &[way(
            AfterCountDown("cpu_stopper_thread"),
            "cpu_stopper_thread",
            &[
                ThisCpu,
                Var("work"),
                Var("fn"),
                Var("done"),
                Var("ret"),
                Count("done", "cpu_stop_done", "nr_todo"),
            ],
        )],
    ),
    row(
        "stop:complete",
        Hook::Complete,
        &[way(
            Calls("cpu_stopper_thread", "complete", "cpu_stop_signal_done"),
            "cpu_stop_signal_done",
            &[Around("cpu_stop_done", "completion"), Number(0), Number(0)],
        )],
    ),
    row(
        "stop:complete",
        Hook::Complete,
        &[way(
            Calls("migration_cpu_stop", "complete_all", "migration_cpu_stop"),
            "migration_cpu_stop",
            &[
                Number(0),
                Around("set_affinity_pending", "done"),
                Beside("set_affinity_pending", "done", "arg.task"),
            ],
        )],
    ),
    row(
        "stop:complete",
        Hook::Complete,
        &[way(
            Calls("migration_cpu_stop", "complete_all", "affine_move_task"),
            "affine_move_task",
            &[
                Number(0),
                Around("set_affinity_pending", "done"),
                Beside("set_affinity_pending", "done", "arg.task"),
            ],
        )],
    ),
    row(
        "move:affinity_entry",
        Hook::AffinityEntry,
        &[
            way(
                Entries("__set_cpus_allowed_ptr", "set_task_cpu"),
                "__set_cpus_allowed_ptr",
                &[Var("p"), Var("new_mask")],
            ),
            // From 6.2 on the mask comes in a context.
            way(
                Entries("__set_cpus_allowed_ptr", "set_task_cpu"),
                "__set_cpus_allowed_ptr",
                &[Var("p"), Member("ctx", "affinity_context", "new_mask")],
            ),
        ],
    ),
    row(
        "move:enqueued",
        Hook::Returning(Returning::EnqueueTask),
        &[way(
            Entry("enqueue_task_fair"),
            "enqueue_task_fair",
            ENQUEUE,
        )],
    ),
    row(
        "move:enqueued",
        Hook::Returning(Returning::EnqueueTask),
        &[way(Entry("enqueue_task_rt"), "enqueue_task_rt", ENQUEUE)],
    ),
    row(
        "move:enqueued",
        Hook::Returning(Returning::EnqueueTask),
        &[way(Entry("enqueue_task_dl"), "enqueue_task_dl", ENQUEUE)],
    ),
    row(
        "move:enqueued",
        Hook::Returning(Returning::EnqueueTask),
        &[way(
            Entry("enqueue_task_stop"),
            "enqueue_task_stop",
            ENQUEUE,
        )],
    ),
    row(
        "move:fallback",
        Hook::Returning(Returning::SelectFallbackRq),
        &[way(
            Entry("select_fallback_rq"),
            "select_fallback_rq",
            &[Var("cpu"), Var("p")],
        )],
    ),
    row(
        "cpuhp:cpuhp_enter",
        Hook::CpuhpEnter,
        &[way(
            Patchable("trace_cpuhp_enter", "cpuhp_invoke_callback"),
            "trace_cpuhp_enter",
            &[Var("cpu"), Var("target"), Var("idx"), Var("fun")],
        )],
    ),
    row(
        "cpuhp:cpuhp_exit",
        Hook::CpuhpExit,
        &[way(
            Patchable("trace_cpuhp_exit", "cpuhp_invoke_callback"),
            "trace_cpuhp_exit",
            &[Var("cpu"), Var("state"), Var("idx"), Var("ret")],
        )],
    ),
    row(
        "cpuhp:cpuhp_multi_enter",
        Hook::CpuhpMultiEnter,
        &[way(
            Patchable("trace_cpuhp_multi_enter", "cpuhp_invoke_callback"),
            "trace_cpuhp_multi_enter",
            &[Var("cpu"), Var("target"), Var("idx"), Var("fun")],
        )],
    ),
    row(
        "probe:scheduler_tick",
        Hook::Tick,
        &[
            way(Entry("scheduler_tick"), "scheduler_tick", &[]),
            // Its name from 6.10 on.
            way(Entry("sched_tick"), "sched_tick", &[]),
        ],
    ),
];
