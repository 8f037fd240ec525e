//! The machinery of the scheduler. Linux: `kernel/sched/core.c` (v6.8), here a folder of the same name.
//!
//! - `schedule`: `__schedule` and all that leads to it, the walk over the classes.
//! - `switch`: from one task to the next, the lock's hand-over, a new task's first steps.
//! - `queue`: into and out of a runqueue, changing CPU.
//! - `wakeup`: `try_to_wake_up`, wake lists, wake queues, waiting until a task is off its CPU.
//! - `balance_callback`: what classes leave for the end of a section of the lock.
//! - `affinity`: masks and the moves they cause, `migration_cpu_stop`; `swap`: exchanging two tasks.
//! - `nohz`: CPUs that do not tick; `nr_running` and its relatives.
//! - `push`: the running task pushed away by the stopper.
//! - `params`: policies, nice, weights, the stop task. `syscalls`: who may change them, and how.
//! - `group`: groups of tasks.
//! - `preempt_dynamic`: where kernel code may be preempted, `preempt=`.
//! - `fork`: a task's birth. `tick`: the timer. `init`: start-up. `hotplug`: CPUs coming and going.
//!
//! Kept, left out, differs: see the head of each file.

pub mod affinity;
pub mod balance_callback;
pub mod fork;
pub mod group;
pub mod hotplug;
pub mod init;
pub mod nohz;
pub mod params;
pub mod preempt_dynamic;
pub mod push;
pub mod queue;
pub mod schedule;
pub mod swap;
pub mod switch;
pub mod syscalls;
pub mod tick;
pub mod wakeup;

pub use affinity::{
    migrate_disable, migrate_enable, sched_exec, sched_getaffinity, sched_setaffinity,
    set_cpus_allowed_ptr,
};
pub use fork::{sched_cgroup_fork, sched_fork, sched_post_fork, wake_up_new_task};
pub use group::{
    sched_create_group, sched_destroy_group, sched_move_task, sched_online_group,
    sched_release_group,
};
pub use init::{init_idle, sched_init, sched_init_smp};
pub use nohz::{
    get_nohz_timer_target, nr_context_switches, nr_iowait, nr_iowait_cpu, nr_running,
    single_task_running, wake_up_nohz_cpu,
};
pub use params::{
    SchedAttr, SchedParam, sched_set_fifo, sched_set_fifo_low, sched_set_normal,
    sched_set_stop_task, sched_setattr, sched_setattr_nocheck, sched_setscheduler,
    sched_setscheduler_nocheck, set_load_weight, set_user_nice,
};
pub use queue::{activate_task, deactivate_task, set_task_cpu, wakeup_preempt};
pub use schedule::{
    do_task_dead, preempt_schedule, preempt_schedule_irq, schedule, schedule_idle,
    schedule_preempt_disabled, yield_task as r#yield, yield_to,
};
pub use switch::{finish_task_switch, schedule_tail};
pub use tick::{idle_cpu, resched_curr, scheduler_tick};
pub use wakeup::{
    call_function_single_prep_ipi, default_wake_function, sched_ttwu_pending, scheduler_ipi,
    try_to_wake_up, wait_task_inactive, wake_q_add, wake_up_process, wake_up_q, wake_up_state,
};
