//! The priority list and the CPUs by priority against their obvious models, over long random sequences.

use kernel_image::include::linux::cpumask::{Cpumask, set_cpu_active};
use kernel_image::include::linux::plist::*;
use kernel_image::include::linux::sched::TaskStruct;
use kernel_image::kernel::sched::cpupri::*;

/// A small generator: the same numbers on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

#[test]
fn a_priority_list_is_a_stable_sort() {
    let head: &'static PlistHead = Box::leak(Box::new(PlistHead::new()));
    let nodes: Vec<&'static PlistNode> = (0..24)
        .map(|_| -> &'static PlistNode { Box::leak(Box::new(PlistNode::new())) })
        .collect();
    let mut model: Vec<usize> = Vec::new();
    let mut random = Random(42);
    for _ in 0..20_000 {
        let which = random.below(24) as usize;
        if let Some(at) = model.iter().position(|&n| n == which) {
            plist_del(nodes[which], head);
            model.remove(at);
            assert!(plist_node_empty(nodes[which]));
        } else {
            plist_node_init(nodes[which], random.below(5) as i32);
            plist_add(nodes[which], head);
            let prio = nodes[which].prio.get();
            let at = model
                .iter()
                .position(|&n| nodes[n].prio.get() > prio)
                .unwrap_or(model.len());
            model.insert(at, which);
        }
        let found: Vec<*const PlistNode> = PlistNodeLink::iter(&head.node_list)
            .map(std::ptr::from_ref)
            .collect();
        let right: Vec<*const PlistNode> = model
            .iter()
            .map(|&n| std::ptr::from_ref(nodes[n]))
            .collect();
        assert_eq!(found, right);
        assert_eq!(plist_head_empty(head), model.is_empty());
        assert_eq!(
            plist_first(head).map(std::ptr::from_ref),
            right.first().copied()
        );
        assert_eq!(
            plist_last(head).map(std::ptr::from_ref),
            right.last().copied()
        );
    }
}

#[test]
fn levels_turn_priorities_around() {
    assert_eq!(convert_prio(-1), CPUPRI_INVALID);
    assert_eq!(convert_prio(99), CPUPRI_NORMAL);
    assert_eq!(convert_prio(98), 1);
    assert_eq!(convert_prio(0), 99);
    assert_eq!(convert_prio(100), CPUPRI_HIGHER);
}

#[test]
fn the_search_finds_the_cpus_of_the_lowest_level_below_the_task() {
    const CPUS: u64 = 8;
    for cpu in 0..CPUS as u32 {
        // One that is not active is never found.
        set_cpu_active(cpu, cpu != 5);
    }
    let cp: &'static Cpupri = Box::leak(Box::new(Cpupri::new()));
    let p: &'static TaskStruct = Box::leak(Box::new(TaskStruct::new()));
    let mut levels = [CPUPRI_INVALID; CPUS as usize];
    let mut random = Random(7);
    for _ in 0..20_000 {
        let cpu = random.below(CPUS) as usize;
        let prio = [-1, 0, 1, 50, 97, 98, 99, 100][random.below(8) as usize];
        cpupri_set(cp, cpu as u32, prio);
        levels[cpu] = convert_prio(prio);
        p.cpus_mask.set(Cpumask::from_bits(random.below(1 << CPUS)));
        p.prio.set(random.below(100) as i32);
        let candidate = |cpu: &usize| {
            *cpu != 5
                && levels[*cpu] != CPUPRI_INVALID
                && levels[*cpu] < convert_prio(p.prio.get())
                && p.cpus_mask.get().test(*cpu as u32)
        };
        let lowest = (0..CPUS as usize)
            .filter(candidate)
            .map(|cpu| levels[cpu])
            .min();
        let right = lowest.map(|lowest| {
            (0..CPUS as usize)
                .filter(candidate)
                .filter(|&cpu| levels[cpu] == lowest)
                .fold(Cpumask::EMPTY, |mask, cpu| mask.with(cpu as u32))
        });
        assert_eq!(cpupri_find(cp, p), right);
    }
}
