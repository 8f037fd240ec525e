//! The scheduling class of a task as of an event: the one place that decides it.
//!
//! The kernel priority that an event carries says which of dl, rt and fair a task is in at that moment,
//! whatever it is in later. It leaves two questions open, which are answered here: priority 0 is a
//! stopper or a real-time task of the highest priority (the task table at the end of the recording
//! knows, else the name), and an idle task has the priority of nice 0 (its pid, 0, tells it).

use std::collections::BTreeMap;
use std::fmt;

use trace::event::Comm;

use crate::names;
use crate::source::Source;

/// A scheduling class, in the order in which the kernel asks them for a task.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Class {
    /// `stop_sched_class`: `migration/N`.
    Stop,
    /// `dl_sched_class`: kernel priorities below 0.
    Dl,
    /// `rt_sched_class`: kernel priorities 0 to 99.
    Rt,
    /// `fair_sched_class`: kernel priorities 100 to 139.
    Fair,
    /// `idle_sched_class`: `swapper/N`. A task of policy `SCHED_IDLE` is in the fair class.
    Idle,
}

impl Class {
    /// Every class, the highest first.
    pub const ALL: [Class; 5] = [Class::Stop, Class::Dl, Class::Rt, Class::Fair, Class::Idle];

    /// The word of the reports.
    pub fn name(self) -> &'static str {
        match self {
            Class::Stop => "stop",
            Class::Dl => "dl",
            Class::Rt => "rt",
            Class::Fair => "fair",
            Class::Idle => "idle",
        }
    }

    /// The class of that name.
    pub fn named(name: &str) -> Option<Class> {
        Class::ALL.into_iter().find(|class| class.name() == name)
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What decides the class of the tasks of one recording.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Classes {
    /// Classes of the tasks that were there at the end, by pid; none without a task table.
    at_end: BTreeMap<i32, Class>,
}

impl Classes {
    /// Those of a recording.
    pub fn new(source: &dyn Source) -> Classes {
        let known = source
            .tasks()
            .iter()
            .filter_map(|task| Some((task.pid, Class::named(&task.class)?)));
        Classes {
            at_end: known.collect(),
        }
    }

    /// The class of a task that an event says to have this pid, name and kernel priority.
    pub fn of(&self, pid: i32, comm: Comm, prio: i32) -> Class {
        match prio {
            _ if pid == 0 => Class::Idle,
            ..0 => Class::Dl,
            0 => match self.at_end.get(&pid) {
                Some(Class::Stop) => Class::Stop,
                Some(Class::Rt) => Class::Rt,
                // It has gone, or has another priority by now.
                _ if names::stopper_cpu(comm).is_some() => Class::Stop,
                _ => Class::Rt,
            },
            1..100 => Class::Rt,
            _ => Class::Fair,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(at_end: impl IntoIterator<Item = (i32, Class)>) -> Classes {
        Classes {
            at_end: at_end.into_iter().collect(),
        }
    }

    #[test]
    fn priorities_and_names_decide_without_a_table() {
        let classes = classes([]);
        let of = |pid, comm: &str, prio| classes.of(pid, comm.into(), prio);
        assert_eq!(of(0, "swapper/1", 120), Class::Idle);
        assert_eq!(of(12, "migration/1", 0), Class::Stop);
        assert_eq!(of(12, "migration/1", 120), Class::Fair, "while it is made");
        assert_eq!(of(30, "dl", -1), Class::Dl);
        assert_eq!(of(31, "fifo99", 0), Class::Rt);
        assert_eq!(of(31, "fifo1", 98), Class::Rt);
        assert_eq!(of(32, "kworker/0:0H", 100), Class::Fair);
        assert_eq!(of(33, "hog/0", 139), Class::Fair);
    }

    #[test]
    fn the_table_tells_a_stopper_from_a_task_that_is_called_like_one() {
        let classes = classes([(40, Class::Rt), (12, Class::Stop), (41, Class::Fair)]);
        assert_eq!(classes.of(40, "migration/7".into(), 0), Class::Rt);
        assert_eq!(classes.of(12, "renamed".into(), 0), Class::Stop);
        assert_eq!(classes.of(41, "was fifo".into(), 0), Class::Rt);
    }

    #[test]
    fn names_are_linux_words_and_in_order() {
        let names = Class::ALL.map(Class::name);
        assert_eq!(names, ["stop", "dl", "rt", "fair", "idle"]);
        assert!(Class::ALL.is_sorted());
        assert_eq!(Class::named("rt"), Some(Class::Rt));
        assert_eq!(Class::named("none"), None);
    }
}
