//! The workload `rt`: the rules of SCHED_FIFO and SCHED_RR, played on CPU 0 and checked by who ran when.
//!
//! Pid 1 becomes the highest real-time task, sets a scene of players that wait for CPU 0, and sleeps until
//! all have played. A player writes its letter whenever it finds that another wrote last, so a scene leaves
//! a word; each has one right word. A wrong one is a panic.
//!
//! With two and more CPUs `spread` plays how real-time tasks are pushed and pulled between them.
//!
//! Parameter: `rt.throttle=1` adds a scene of a second and more: a real-time task that never sleeps is
//! throttled, and an ordinary one gets to run.

mod spread;

use crate::arch::x86::include::asm::current::current;
use crate::fence::shared::Shared;
use crate::fence::void::VoidPtr;
use crate::include::linux::cpumask::{Cpumask, cpu_active_mask, num_active_cpus};
use crate::include::linux::errno::{EINVAL, EOPNOTSUPP};
use crate::include::linux::jiffies::HZ;
use crate::include::linux::kthread::{kthread_create, kthread_stop};
use crate::include::linux::sched::{
    SCHED_DEADLINE, SCHED_FIFO, SCHED_NORMAL, SCHED_RESET_ON_FORK, SCHED_RR, TaskRef,
};
use crate::include::linux::spinlock::RawSpinlock;
use crate::kernel::kreplay::common::{compute, wait_for_stop};
use crate::kernel::kreplay::table::show_tasks;
use crate::kernel::kreplay::workload_param;
use crate::kernel::sched::clock::sched_clock;
use crate::kernel::sched::core::params::SETPARAM_POLICY;
use crate::kernel::sched::core::{
    SchedAttr, SchedParam, sched_set_normal, sched_setattr_nocheck, sched_setscheduler_nocheck,
    set_cpus_allowed_ptr, wake_up_process, r#yield,
};
use crate::kernel::sched::rt::{RR_TIMESLICE, get_rr_interval_rt};
use crate::kernel::sched::sched::cpu_rq;
use crate::kernel::time::timer::sleep::usleep_range;
use crate::pr_info;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Real-time priority of the director, above all players.
const DIRECTOR: u32 = 90;
const MAX_PLAYERS: usize = 4;

/// One player of a scene.
struct Player {
    letter: Shared<u8>,
    /// How long it plays, us of computing.
    us: Shared<u64>,
    /// How often it gives way meanwhile.
    yields: Shared<u64>,
    done: AtomicBool,
    task: Shared<Option<TaskRef>>,
}

static PLAYERS: [Player; MAX_PLAYERS] = [const {
    Player {
        letter: Shared::new(0),
        us: Shared::new(0),
        yields: Shared::new(0),
        done: AtomicBool::new(false),
        task: Shared::new(None),
    }
}; MAX_PLAYERS];

/// What the players wrote.
struct Word {
    lock: RawSpinlock,
    len: Shared<u64>,
    letters: [Shared<u8>; 32],
    /// When each letter was written, ns.
    times: [Shared<u64>; 32],
}

static WORD: Word = Word {
    lock: RawSpinlock::new(),
    len: Shared::new(0),
    letters: [const { Shared::new(0) }; 32],
    times: [const { Shared::new(0) }; 32],
};
static SCENES: AtomicU64 = AtomicU64::new(0);

fn write(letter: u8) {
    let _guard = WORD.lock.lock_irqsave();
    let len = WORD.len.get() as usize;
    if len > 0 && WORD.letters[len - 1].get() == letter || len == WORD.letters.len() {
        return;
    }
    WORD.letters[len].set(letter);
    WORD.times[len].set(sched_clock());
    WORD.len.set(len as u64 + 1);
}

extern "C" fn player(data: VoidPtr) -> i32 {
    let player = data.get::<Player>();
    let letter = player.letter.get();
    let acts = player.yields.get() + 1;
    for act in 0..acts {
        for _ in 0..player.us.get() / acts {
            write(letter);
            compute(100, act);
        }
        if act + 1 < acts {
            r#yield();
        }
    }
    player.done.store(true, Ordering::Release);
    wait_for_stop()
}

/// A scene: its players in the order they enter.
struct Scene {
    players: usize,
}

impl Scene {
    fn open() -> Scene {
        WORD.len.set(0);
        Scene { players: 0 }
    }

    /// A player for CPU 0, still asleep.
    fn enter(&mut self, letter: u8, policy: u32, priority: u32, us: u64, yields: u64) -> TaskRef {
        let player_ = &PLAYERS[self.players];
        self.players += 1;
        player_.letter.set(letter);
        player_.us.set(us);
        player_.yields.set(yields);
        player_.done.store(false, Ordering::Relaxed);
        let name = char::from(letter);
        let thread = format_args!("player/{name}");
        let task = match kthread_create(player, VoidPtr::new(player_), thread) {
            Ok(task) => task,
            Err(error) => fail(format_args!("no player {name}: {error}")),
        };
        player_.task.set(Some(task));
        if set_cpus_allowed_ptr(task, &Cpumask::of(0)) != 0 {
            fail(format_args!("player {name} cannot be bound"));
        }
        change(task, policy, priority);
        task
    }

    /// Wakes players in the order they entered: they are ready to run, and do not, because we do.
    fn begin(&self, first: usize, last: usize) {
        for player in &PLAYERS[first..last] {
            if let Some(task) = player.task.get() {
                wake_up_process(task);
            }
        }
    }

    /// Wakes all, lets them play, and compares the word.
    fn play(self, what: &str, right: &[u8]) {
        self.begin(0, self.players);
        self.end(what, right);
    }

    /// Waits until all have played, and compares the word.
    fn end(self, what: &str, right: &[u8]) {
        let players = &PLAYERS[..self.players];
        while players
            .iter()
            .any(|player| !player.done.load(Ordering::Acquire))
        {
            usleep_range(1000, 2000);
        }
        for player in players {
            if let Some(task) = player.task.get() {
                kthread_stop(task);
            }
        }
        let written = &WORD.letters[..WORD.len.get() as usize];
        if !written.iter().map(Shared::get).eq(right.iter().copied()) {
            fail(format_args!(
                "{what}: {} is not {}",
                Text(written),
                Plain(right)
            ));
        }
        pr_info!("rt: {what}: {}", Plain(right));
        SCENES.fetch_add(1, Ordering::Relaxed);
    }
}

struct Text<'a>(&'a [Shared<u8>]);

impl core::fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        use core::fmt::Write;
        self.0
            .iter()
            .try_for_each(|letter| f.write_char(char::from(letter.get())))
    }
}

struct Plain<'a>(&'a [u8]);

impl core::fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        use core::fmt::Write;
        self.0
            .iter()
            .try_for_each(|&letter| f.write_char(char::from(letter)))
    }
}

fn change(task: TaskRef, policy: u32, priority: u32) {
    let param = SchedParam {
        sched_priority: priority,
    };
    let ret = sched_setscheduler_nocheck(task, policy, &param);
    if ret != 0 {
        fail(format_args!("policy {policy} priority {priority}: {ret}"));
    }
}

/// Runs it, as pid 1.
pub fn run() {
    let throttle = workload_param("rt.throttle", 0, 0..=1) == 1;
    let me = current();
    if set_cpus_allowed_ptr(me, &Cpumask::of(0)) != 0 {
        fail(format_args!("pid 1 cannot be bound"));
    }
    change(me, SCHED_FIFO, DIRECTOR);
    errors();
    scenes();
    round_robin();
    if num_active_cpus() > 1 {
        spread::run();
    }
    if throttle {
        throttling();
    }
    show_tasks();
    sched_set_normal(me, 0);
    if set_cpus_allowed_ptr(me, &cpu_active_mask()) != 0 {
        fail(format_args!("pid 1 cannot be let go"));
    }
    let scenes = SCENES.load(Ordering::Relaxed);
    pr_info!("rt: {scenes} scenes played, all as they should be");
}

/// What `__sched_setscheduler` refuses, and what it stores.
fn errors() {
    let me = current();
    let set = |task, policy, sched_priority| {
        sched_setscheduler_nocheck(task, policy, &SchedParam { sched_priority })
    };
    let attr = |sched_policy, sched_flags| SchedAttr {
        sched_policy,
        sched_flags,
        sched_priority: DIRECTOR,
        ..SchedAttr::default()
    };
    let stop = cpu_rq(0).stop.get().unwrap_or(me);
    let checks = [
        ("an unknown policy", set(me, 4, 0), -EINVAL),
        ("deadline", set(me, SCHED_DEADLINE, 0), -EINVAL),
        ("FIFO without a priority", set(me, SCHED_FIFO, 0), -EINVAL),
        ("FIFO above 99", set(me, SCHED_FIFO, 100), -EINVAL),
        ("NORMAL with a priority", set(me, SCHED_NORMAL, 1), -EINVAL),
        ("the stopper", set(stop, SCHED_RR, 5), -EINVAL),
        (
            "an unknown flag",
            sched_setattr_nocheck(me, &attr(SCHED_FIFO as i32, 1 << 20)),
            -EINVAL,
        ),
        (
            "bounds of utilisation",
            sched_setattr_nocheck(me, &attr(SCHED_FIFO as i32, 0x20)),
            -EOPNOTSUPP,
        ),
        (
            "the policy it has",
            sched_setattr_nocheck(me, &attr(SETPARAM_POLICY, 0x08)),
            0,
        ),
        // The flag is for the system call: here the policy counts.
        (
            "the flag to keep it",
            sched_setattr_nocheck(me, &attr(0, 0x08)),
            -EINVAL,
        ),
        (
            "reset on fork",
            set(me, SCHED_FIFO | SCHED_RESET_ON_FORK, DIRECTOR),
            0,
        ),
        ("no reset on fork", set(me, SCHED_FIFO, DIRECTOR), 0),
        ("its prio", me.prio.get(), 99 - DIRECTOR as i32),
        ("its turn", get_rr_interval_rt(cpu_rq(0), me) as i32, 0),
        ("the stopper's prio", stop.prio.get(), 0),
    ];
    for (what, found, right) in checks {
        if found != right {
            fail(format_args!("{what}: {found} is not {right}"));
        }
    }
    pr_info!("rt: {} parameters checked", checks.len());
}

fn scenes() {
    let mut scene = Scene::open();
    for letter in *b"ABC" {
        // Longer than a tick: the tick does not rotate FIFO.
        scene.enter(letter, SCHED_FIFO, 20, 6_000, 0);
    }
    scene.play("equals play in the order they came", b"ABC");

    let mut scene = Scene::open();
    scene.enter(b'L', SCHED_FIFO, 10, 500, 0);
    scene.enter(b'M', SCHED_RR, 20, 500, 0);
    scene.enter(b'H', SCHED_FIFO, 30, 500, 0);
    scene.enter(b'N', SCHED_NORMAL, 0, 500, 0);
    scene.play("the highest first, ordinary ones last", b"HMLN");

    let mut scene = Scene::open();
    scene.enter(b'L', SCHED_FIFO, 10, 8_000, 0);
    scene.enter(b'M', SCHED_FIFO, 10, 500, 0);
    scene.enter(b'H', SCHED_FIFO, 30, 500, 0);
    scene.begin(0, 2);
    usleep_range(2000, 2000);
    // L plays; we preempt it, and so does H. L goes on before M: it was not its turn that ended.
    scene.begin(2, 3);
    scene.end("who is preempted stays first", b"LHLM");

    let mut scene = Scene::open();
    scene.enter(b'A', SCHED_FIFO, 20, 900, 2);
    scene.enter(b'B', SCHED_FIFO, 20, 900, 2);
    scene.play("a yield goes to the end", b"ABABAB");

    let mut scene = Scene::open();
    scene.enter(b'A', SCHED_FIFO, 20, 900, 2);
    scene.enter(b'B', SCHED_FIFO, 10, 900, 0);
    scene.play("but not behind a lower one", b"AB");

    let mut scene = Scene::open();
    scene.enter(b'A', SCHED_FIFO, 20, 500, 0);
    scene.enter(b'B', SCHED_FIFO, 20, 500, 0);
    let lowered = scene.enter(b'C', SCHED_FIFO, 30, 500, 0);
    let raised = scene.enter(b'D', SCHED_FIFO, 10, 500, 0);
    scene.begin(0, 4);
    change(lowered, SCHED_FIFO, 20);
    change(raised, SCHED_FIFO, 20);
    scene.end("lowered to the head, raised to the tail", b"CABD");

    let mut scene = Scene::open();
    let a = scene.enter(b'A', SCHED_FIFO, 20, 6_000, 0);
    scene.enter(b'B', SCHED_FIFO, 10, 500, 0);
    scene.begin(0, 2);
    usleep_range(2000, 2000);
    change(a, SCHED_FIFO, 5);
    scene.end("lowered while it plays", b"ABA");

    let mut scene = Scene::open();
    scene.enter(b'A', SCHED_FIFO, 20, 6_000, 0);
    let normal = scene.enter(b'N', SCHED_NORMAL, 0, 500, 0);
    scene.begin(0, 2);
    usleep_range(2000, 2000);
    change(normal, SCHED_RR, 30);
    scene.end("an ordinary one becomes real-time", b"ANA");
}

/// Turns of 100 ms.
fn round_robin() {
    let mut scene = Scene::open();
    let a = scene.enter(b'A', SCHED_RR, 20, 130_000, 0);
    let interval = get_rr_interval_rt(cpu_rq(0), a);
    scene.enter(b'B', SCHED_RR, 20, 130_000, 0);
    scene.play("round robin takes turns", b"ABAB");
    let turn = WORD.times[1].get() - WORD.times[0].get();
    let tick = 1_000_000_000 / HZ;
    let right = u64::from(RR_TIMESLICE) * tick;
    if interval != RR_TIMESLICE || turn + 2 * tick < right || turn > right + 2 * tick {
        fail(format_args!("a turn of {turn} ns is not {right} ns"));
    }
    pr_info!("rt: a turn took {} us", turn / 1000);

    let mut scene = Scene::open();
    scene.enter(b'A', SCHED_RR, 20, 110_000, 0);
    scene.enter(b'B', SCHED_RR, 10, 1_000, 0);
    scene.play("alone in its list it goes on", b"AB");
}

/// More than 95 % of a second is too much.
fn throttling() {
    let mut scene = Scene::open();
    scene.enter(b'R', SCHED_FIFO, 20, 1_200_000, 0);
    scene.enter(b'N', SCHED_NORMAL, 0, 1_000, 0);
    scene.play("a real-time task is throttled", b"RNR");
}

fn fail(why: core::fmt::Arguments<'_>) -> ! {
    crate::kernel::panic::panic(format_args!("rt: {why}"))
}
