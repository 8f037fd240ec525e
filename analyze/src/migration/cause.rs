//! The table of causes: the one place that says why a task was moved.
//!
//! A rule names a function of the call stack of `sched_migrate_task`. The stack is read from the inside
//! out, and the first function that a rule names decides; so the wake-up of a waiter from within
//! `migration_cpu_stop` is a wake-up, and not the stopper's move. Some rules also ask for a function
//! further out. A move that a stopper made was decided by whoever queued the work: there the second
//! half of the table is asked with the stack of the first `stop:work_queue` of the request.
//!
//! What no rule names is an error that prints the stacks; there is no "unknown".

use super::{Cause, Path};

/// What a matching function of the migrating stack says.
#[derive(Clone, Copy)]
enum Says {
    /// The whole answer.
    Move(Path, Cause),
    /// The stopper moved it: ask who queued the work.
    Stopper,
    /// A wake-up: ask what is known about the task's CPU.
    Wake,
}

struct Rule {
    function: &'static str,
    /// One of these must be further out; empty asks nothing.
    within: &'static [&'static str],
    says: Says,
}

const fn rule(function: &'static str, within: &'static [&'static str], says: Says) -> Rule {
    Rule {
        function,
        within,
        says,
    }
}

const fn direct(cause: Cause) -> Says {
    Says::Move(Path::Direct, cause)
}

const NEWIDLE: &[&str] = &["newidle_balance", "sched_balance_newidle"];
const NOHZ: &[&str] = &[
    "nohz_idle_balance",
    "_nohz_idle_balance",
    "nohz_run_idle_balance",
];
const PERIODIC: &[&str] = &["rebalance_domains", "run_rebalance_domains"];
const ACTIVE: &[&str] = &["active_load_balance_cpu_stop"];
const ENABLE: &[&str] = &["migrate_enable"];

/// Functions of the stack of `sched_migrate_task`; of rules for one function the first that fits.
const MIGRATE: &[Rule] = &[
    rule("try_to_wake_up", &[], Says::Wake),
    rule("migration_cpu_stop", &[], Says::Stopper),
    rule("push_cpu_stop", &[], Says::Stopper),
    rule("migrate_swap_stop", &[], Says::Stopper),
    rule("__balance_push_cpu_stop", &[], Says::Stopper),
    rule("active_load_balance_cpu_stop", &[], Says::Stopper),
    rule("affine_move_task", ENABLE, direct(Cause::MigrateEnable)),
    rule("affine_move_task", &[], direct(Cause::Affinity)),
    rule("detach_task", ACTIVE, Says::Stopper),
    rule("detach_task", NEWIDLE, direct(Cause::BalanceNewidle)),
    rule("detach_task", NOHZ, direct(Cause::BalanceNohz)),
    rule("detach_task", PERIODIC, direct(Cause::BalancePeriodic)),
    // The compiler may have dissolved detach_task into its callers.
    rule("load_balance", NEWIDLE, direct(Cause::BalanceNewidle)),
    rule("load_balance", NOHZ, direct(Cause::BalanceNohz)),
    rule("load_balance", PERIODIC, direct(Cause::BalancePeriodic)),
    rule("push_rt_task", &[], direct(Cause::RtPush)),
    rule("pull_rt_task", &[], direct(Cause::RtPull)),
    rule("push_dl_task", &[], direct(Cause::DlPush)),
    rule("pull_dl_task", &[], direct(Cause::DlPull)),
    rule("dl_task_offline_migration", &[], direct(Cause::Hotplug)),
];

/// Functions of the stack that queued the work of a stopper's move, likewise.
const QUEUER: &[(&str, &[&str], Cause)] = &[
    ("affine_move_task", ENABLE, Cause::MigrateEnable),
    ("affine_move_task", &[], Cause::Affinity),
    ("migrate_enable", &[], Cause::MigrateEnable),
    ("__set_cpus_allowed_ptr", &[], Cause::Affinity),
    ("__set_cpus_allowed_ptr_locked", &[], Cause::Affinity),
    ("sched_exec", &[], Cause::Exec),
    ("migrate_task_to", &[], Cause::NumaMove),
    ("migrate_swap", &[], Cause::NumaSwap),
    ("load_balance", &[], Cause::BalanceActive),
    ("balance_push", &[], Cause::Hotplug),
    ("push_rt_task", &[], Cause::RtPush),
    ("pull_rt_task", &[], Cause::RtPull),
    ("pull_dl_task", &[], Cause::DlPull),
];

/// What is known about a task that is moved while it is woken up.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct WakeFacts {
    /// The mask last asked for does not have the CPU it slept on.
    pub(super) source_not_allowed: bool,
    /// `select_fallback_rq` has chosen for this wake-up.
    pub(super) fallback: bool,
}

/// Path and cause of a move with this stack and, for a stopper's move, this queuer's stack; both
/// innermost function first.
pub(super) fn classify(
    stack: &[String],
    queuer: &[String],
    wake: WakeFacts,
) -> Option<(Path, Cause)> {
    match first_rule(stack)? {
        Says::Move(path, cause) => Some((path, cause)),
        Says::Stopper => Some((Path::Stopper, queuer_cause(queuer)?)),
        Says::Wake => Some((Path::Wake, wake_cause(wake))),
    }
}

/// Whether a `sched_migrate_task` with this stack is the deed of a stopper's function.
pub(crate) fn moved_by_stopper(stack: &[String]) -> bool {
    matches!(first_rule(stack), Some(Says::Stopper))
}

fn within(outer: &[String], any: &[&str]) -> bool {
    any.is_empty() || outer.iter().any(|f| any.contains(&f.as_str()))
}

fn first_rule(stack: &[String]) -> Option<Says> {
    stack.iter().enumerate().find_map(|(at, function)| {
        let fits = |r: &&Rule| r.function == function && within(&stack[at + 1..], r.within);
        MIGRATE.iter().find(fits).map(|rule| rule.says)
    })
}

fn queuer_cause(stack: &[String]) -> Option<Cause> {
    stack.iter().enumerate().find_map(|(at, function)| {
        let fits = |r: &&(&str, &[&str], Cause)| r.0 == function && within(&stack[at + 1..], r.1);
        QUEUER.iter().find(fits).map(|rule| rule.2)
    })
}

/// A task that slept on a CPU it may no longer use is moved by the change of its mask, whenever it
/// wakes up; else the fallback has chosen because that CPU could not be used; else it is a plain choice.
fn wake_cause(facts: WakeFacts) -> Cause {
    if facts.source_not_allowed {
        Cause::Affinity
    } else if facts.fallback {
        Cause::Fallback
    } else {
        Cause::Wake
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(stack: &str, queuer: &str) -> Option<(Path, Cause)> {
        let split =
            |text: &str| -> Vec<String> { text.split_whitespace().map(Into::into).collect() };
        classify(&split(stack), &split(queuer), WakeFacts::default())
    }

    #[test]
    fn the_innermost_function_decides() {
        let waiter = "set_task_cpu try_to_wake_up swake_up_all complete_all migration_cpu_stop";
        assert_eq!(cause(waiter, ""), Some((Path::Wake, Cause::Wake)));
        let moved = "set_task_cpu move_queued_task __migrate_task migration_cpu_stop";
        let setter =
            "cpu_stop_queue_work stop_one_cpu_nowait affine_move_task __set_cpus_allowed_ptr";
        assert_eq!(cause(moved, setter), Some((Path::Stopper, Cause::Affinity)));
    }

    #[test]
    fn outer_functions_tell_callers_apart() {
        let to = |outer: &str| cause(&format!("set_task_cpu affine_move_task {outer}"), "");
        let direct = |cause| Some((Path::Direct, cause));
        assert_eq!(to("sched_setaffinity"), direct(Cause::Affinity));
        assert_eq!(to("migrate_enable"), direct(Cause::MigrateEnable));
        let balance = |outer: &str| {
            cause(
                &format!("detach_task detach_tasks load_balance {outer}"),
                "",
            )
        };
        assert_eq!(balance("newidle_balance"), direct(Cause::BalanceNewidle));
        assert_eq!(balance("rebalance_domains"), direct(Cause::BalancePeriodic));
        assert_eq!(
            balance("rebalance_domains _nohz_idle_balance"),
            direct(Cause::BalanceNohz)
        );
        let active = "set_task_cpu detach_task detach_one_task active_load_balance_cpu_stop";
        assert_eq!(
            cause(active, "stop_one_cpu_nowait load_balance rebalance_domains"),
            Some((Path::Stopper, Cause::BalanceActive))
        );
    }

    #[test]
    fn what_is_not_in_the_table_has_no_cause() {
        assert_eq!(cause("set_task_cpu somebody_new", ""), None);
        assert_eq!(cause("migration_cpu_stop", "somebody_new"), None);
        assert_eq!(cause("", ""), None);
        // A balance of nobody knows which kind.
        assert_eq!(cause("detach_task somebody_new", ""), None);
    }

    #[test]
    fn wake_ups_by_what_is_known() {
        let stack = ["try_to_wake_up".to_owned()];
        let with = |source_not_allowed, fallback| {
            let facts = WakeFacts {
                source_not_allowed,
                fallback,
            };
            classify(&stack, &[], facts).map(|(_, cause)| cause)
        };
        assert_eq!(with(false, false), Some(Cause::Wake));
        assert_eq!(with(false, true), Some(Cause::Fallback));
        assert_eq!(with(true, true), Some(Cause::Affinity));
    }
}
