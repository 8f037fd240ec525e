//! A small machine at rest, for tests to break.

use crate::state::{
    Cpu, CpuMasks, FairNode, FairQueue, Instant, Name, Queued, RtQueue, State, Task,
};

/// Two tasks a CPU: pid 10 + n runs on CPU n, 20 + n waits there; the idle tasks have pid 0.
pub fn state(cpus: u32) -> State {
    let mut tasks = Vec::new();
    for cpu in 0..cpus {
        tasks.push(task(0, cpu, "idle", 140));
        tasks.push(task(10 + cpu as i32, cpu, "fair", 120));
        tasks.push(task(20 + cpu as i32, cpu, "fair", 120));
    }
    for task in &mut tasks {
        task.on_cpu = (10..20).contains(&task.pid);
        task.on_rq = u32::from(task.pid != 0);
    }
    State {
        at: Instant {
            cycles: 1000,
            event: None,
            events_before: 0,
            clocks: Vec::new(),
        },
        cpus: (0..cpus).map(cpu).collect(),
        tasks,
        masks: Some(CpuMasks {
            possible: (1 << cpus) - 1,
            present: (1 << cpus) - 1,
            online: (1 << cpus) - 1,
            active: (1 << cpus) - 1,
        }),
        stack: Vec::new(),
        context: None,
    }
}

pub fn addr(pid: i32, cpu: u32) -> u64 {
    0x1_0000 + 0x1000 * pid as u64 + 0x100 * u64::from(cpu)
}

fn task(pid: i32, cpu: u32, class: &str, prio: i32) -> Task {
    Task {
        addr: addr(pid, cpu),
        comm: format!("task{pid}"),
        pid,
        cpu,
        state: 'R',
        on_cpu: false,
        on_rq: 0,
        class: class.to_owned(),
        policy: 0,
        prio,
        static_prio: prio,
        cpus_mask: 1 << cpu,
        vruntime: 0,
        weight: 1024 << 10,
        sum_exec_runtime: 0,
        nvcsw: 0,
        nivcsw: 0,
        need_resched: false,
        migration_disabled: 0,
        migration_pending: false,
        kthread: true,
        group: None,
    }
}

fn queued(pid: i32, cpu: u32, place: u32) -> Queued {
    Queued {
        place,
        task: name(pid, cpu),
        class: "fair".to_owned(),
        prio: 120,
        fair: None,
    }
}

fn name(pid: i32, cpu: u32) -> Name {
    Name {
        addr: addr(pid, cpu),
        pid,
        comm: format!("task{pid}"),
    }
}

fn cpu(cpu: u32) -> Cpu {
    let (runs, waits) = (10 + cpu as i32, 20 + cpu as i32);
    Cpu {
        cpu,
        current: Some(name(runs, cpu)),
        nr_running: 2,
        nr_switches: 1,
        clock: 1000,
        clock_task: 1000,
        locked: false,
        cfs_nr_running: 2,
        rt_nr_running: 0,
        dl_nr_running: 0,
        min_vruntime: 5000,
        avg_vruntime: Some(5150),
        queue: vec![queued(runs, cpu, 0), queued(waits, cpu, 1)],
        stopper: None,
        nr_pinned: Some(0),
        nr_uninterruptible: Some(0),
        fair: Some(FairQueue {
            nr_running: 2,
            h_nr_running: 2,
            min_vruntime: 5000,
            avg_vruntime: 1024 * 100,
            avg_load: 1024,
            load: 2 * (1024 << 10),
            curr: Some(node(1, 5200, 8000)),
            tree: vec![node(2, 5100, 7000)],
            leftmost: Some(2),
        }),
        rt: Some(RtQueue {
            bitmap: [0, 1 << 36],
            lists: Vec::new(),
            highest_prio: 99,
            nr_running: 0,
            queued: false,
            pushable: Some(Vec::new()),
        }),
    }
}

/// A fair entity of nice 0 without anything below it.
pub fn node(addr: u64, vruntime: u64, deadline: u64) -> FairNode {
    FairNode {
        addr,
        on_rq: 1,
        weight: 1024 << 10,
        vruntime,
        deadline,
        min_vruntime: vruntime,
        below: [None, None],
        group: None,
    }
}
