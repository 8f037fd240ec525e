//! Scheduling domains of machines of many shapes, from what CPUID says to the circles of groups.
use kernel_image::arch::x86::kernel::cpu::topology::{identify_topology, store_place};
use kernel_image::arch::x86::kernel::smpboot::{
    remove_siblinginfo, set_cpu_sibling_map, setup_sched_topology,
};
use kernel_image::include::linux::cpumask::{Cpumask, NR_CPUS};
use kernel_image::include::linux::sched::topology::*;
use kernel_image::kernel::sched::sched::{SchedGroup, sched_group_span};
use kernel_image::kernel::sched::topology::build::{
    classify, for_each_cpu_wrap, make_sched_domains,
};
use kernel_image::kernel::sched::topology::{remove_degenerate, sd_name};
use std::sync::{Mutex, MutexGuard};

/// The maps and the sets of domains are the kernel's own: one machine at a time.
static MACHINE: Mutex<()> = Mutex::new(());

#[derive(Clone, Copy, Debug)]
struct Shape {
    packages: u32,
    cores: u32,
    threads: u32,
}

fn bits(count: u32) -> u32 {
    count.next_power_of_two().trailing_zeros()
}

impl Shape {
    fn cpus(&self) -> u32 {
        self.packages * self.cores * self.threads
    }

    fn apicid(&self, cpu: u32) -> u32 {
        let thread = cpu % self.threads;
        let core = cpu / self.threads % self.cores;
        let package = cpu / self.threads / self.cores;
        let low = bits(self.threads);
        thread | core << low | package << (low + bits(self.cores))
    }

    /// What CPUID answers on a CPU, with leaf 0xb or without.
    fn cpuid(&self, cpu: u32, extended: bool, leaf: u32, subleaf: u32) -> [u32; 4] {
        let (id, core_bits) = (self.apicid(cpu), bits(self.threads));
        let package_bits = core_bits + bits(self.cores);
        match (leaf, subleaf) {
            (0, _) => [if extended { 0xb } else { 4 }, 0, 0, 0],
            (1, _) => [0, id << 24 | 1 << (16 + package_bits), 0, 1 << 28],
            (4, 0) => [1 | 1 << 5 | ((1 << bits(self.cores)) - 1) << 26, 0, 0, 0],
            (4, 1) => [3 | 2 << 5 | ((1 << core_bits) - 1) << 14, 0, 0, 0],
            (4, 2) => [3 | 3 << 5 | ((1 << package_bits) - 1) << 14, 0, 0, 0],
            (0xb, 0) => [core_bits, self.threads, 1 << 8, id],
            (0xb, 1) => [package_bits, self.cores * self.threads, 1 | 2 << 8, id],
            (0xb, n) => [0, 0, n, id],
            _ => [0; 4],
        }
    }

    /// Boots a machine of this shape as far as the sibling maps.
    fn boot(&self, extended: bool) -> MutexGuard<'static, ()> {
        let guard = MACHINE.lock().unwrap_or_else(|broken| broken.into_inner());
        for cpu in 0..NR_CPUS as u32 {
            remove_siblinginfo(cpu);
        }
        setup_sched_topology();
        for cpu in 0..self.cpus() {
            let answer = |leaf, subleaf| self.cpuid(cpu, extended, leaf, subleaf);
            store_place(cpu, &identify_topology(&answer));
            set_cpu_sibling_map(cpu);
        }
        guard
    }

    fn all(&self) -> Cpumask {
        Cpumask::from_bits(!0 >> (64 - self.cpus()))
    }
}

fn shape(packages: u32, cores: u32, threads: u32) -> Shape {
    Shape {
        packages,
        cores,
        threads,
    }
}

/// The domains of every CPU of `map`, levels that say nothing taken out.
fn domains(map: Cpumask) -> Vec<Vec<SdRef>> {
    let set = make_sched_domains(map);
    map.iter()
        .map(|cpu| {
            let narrowest = set.narrowest(cpu).and_then(remove_degenerate);
            core::iter::successors(narrowest, |sd| sd.parent.get()).collect()
        })
        .collect()
}

fn names(of: &[SdRef]) -> Vec<&'static str> {
    of.iter().map(|sd| sd_name(sd)).collect()
}

fn circle(sd: SdRef) -> Vec<&'static SchedGroup> {
    sd.local_group().circle().collect()
}

#[test]
fn each_shape_has_the_levels_that_say_something() {
    for (shape, levels) in [
        (shape(1, 1, 1), &[][..]),
        (shape(1, 2, 1), &["MC"]),
        (shape(1, 1, 2), &["SMT"]),
        (shape(1, 4, 2), &["SMT", "MC"]),
        (shape(2, 2, 1), &["MC", "PKG"]),
        (shape(2, 1, 1), &["PKG"]),
        (shape(2, 3, 2), &["SMT", "MC", "PKG"]),
    ] {
        for extended in [true, false] {
            let _machine = shape.boot(extended);
            for (cpu, of) in domains(shape.all()).iter().enumerate() {
                assert_eq!(
                    names(of),
                    levels,
                    "{shape:?} cpu{cpu}, leaf 0xb: {extended}"
                );
            }
        }
    }
}

/// The numbers of each level (linux-facts 2.19).
#[test]
fn levels_have_their_numbers() {
    let shape = shape(2, 2, 2);
    let _machine = shape.boot(true);
    let of = &domains(shape.all())[5];
    let spans: Vec<u64> = of.iter().map(|sd| sd.span.get().as_u64()).collect();
    assert_eq!(spans, [0x30, 0xf0, 0xff]);
    let numbers = |sd: SdRef| {
        (
            sd.min_interval.get(),
            sd.max_interval.get(),
            sd.busy_factor.get(),
            sd.imbalance_pct.get(),
            sd.cache_nice_tries.get(),
        )
    };
    assert_eq!(numbers(of[0]), (2, 4, 16, 110, 0));
    assert_eq!(numbers(of[1]), (4, 8, 16, 117, 1));
    assert_eq!(numbers(of[2]), (8, 16, 16, 117, 1));
    let common =
        SD_BALANCE_NEWIDLE | SD_BALANCE_EXEC | SD_BALANCE_FORK | SD_WAKE_AFFINE | SD_PREFER_SIBLING;
    let flags: Vec<u32> = of.iter().map(|sd| sd.flags.get()).collect();
    assert_eq!(
        flags,
        [
            common | SD_SHARE_CPUCAPACITY | SD_SHARE_PKG_RESOURCES,
            common | SD_SHARE_PKG_RESOURCES,
            common
        ]
    );
    let busy = |sd: SdRef| {
        let shared = sd.shared.get()?;
        Some(
            shared
                .nr_busy_cpus
                .load(std::sync::atomic::Ordering::Relaxed),
        )
    };
    assert_eq!([busy(of[1]), busy(of[2])], [Some(4), None]);
}

/// Every circle of groups covers its span once, begins with the CPU's own, and adds up.
#[test]
fn groups_partition_the_span_of_every_shape() {
    for packages in 1..=4 {
        for cores in 1..=5 {
            for threads in 1..=2 {
                let shape = shape(packages, cores, threads);
                let _machine = shape.boot(true);
                for (cpu, of) in domains(shape.all()).iter().enumerate() {
                    check_circles(&shape, cpu as u32, of);
                }
            }
        }
    }
}

fn check_circles(shape: &Shape, cpu: u32, of: &[SdRef]) {
    let mut below = Cpumask::of(cpu);
    for sd in of {
        let span = sched_domain_span(sd);
        assert!(below.subset(span) && below != span, "{shape:?} cpu{cpu}");
        let groups = circle(sd);
        assert_eq!(sched_group_span(groups[0]), below, "{shape:?} cpu{cpu}");
        let mut covered = Cpumask::EMPTY;
        for group in &groups {
            let part = sched_group_span(group);
            assert!(!covered.intersects(part), "{shape:?} cpu{cpu}");
            covered = covered.or(part);
            assert_eq!(group.group_weight.get(), part.weight());
            assert_eq!(group.sgc().capacity.get(), 1024 * u64::from(part.weight()));
            assert_eq!(group.cores.get(), part.weight().div_ceil(shape.threads));
        }
        assert_eq!(covered, span, "{shape:?} cpu{cpu}");
        below = span;
    }
    if let Some(widest) = of.last() {
        assert_eq!(sched_domain_span(widest), shape.all());
    } else {
        assert_eq!(shape.cpus(), 1);
    }
}

/// Domains over a part of the CPUs: those that have gone are in none.
#[test]
fn a_part_of_the_machine() {
    let shape = shape(2, 2, 2);
    let _machine = shape.boot(true);
    let map = shape.all().without(1).without(4).without(5);
    let of = domains(map);
    let spans = |index: usize| -> Vec<u64> {
        let of = of[index].iter();
        of.map(|sd| sd.span.get().as_u64()).collect()
    };
    assert_eq!(spans(0), [0x0d, 0xcd], "cpu0: its sibling has gone");
    assert_eq!(spans(1), [0x0c, 0x0d, 0xcd], "cpu2");
    assert_eq!(spans(4), [0xc0, 0xcd], "cpu7: the other core has gone");
}

#[test]
fn unlike_capacities_are_found() {
    let all = Cpumask::from_bits(0xff);
    let capacity = |cpu: u32| [1024, 1024, 1024, 1024, 512, 512, 256, 256][cpu as usize];
    let of = |span| classify(&capacity, Cpumask::from_bits(span), all);
    assert_eq!(of(0x0f), 0);
    assert_eq!(of(0x3c), SD_ASYM_CPUCAPACITY, "two of three kinds");
    assert_eq!(of(0xff), SD_ASYM_CPUCAPACITY | SD_ASYM_CPUCAPACITY_FULL);
    assert_eq!(of(0x58), SD_ASYM_CPUCAPACITY | SD_ASYM_CPUCAPACITY_FULL);
}

#[test]
fn circles_of_cpus() {
    let mask = Cpumask::from_bits(0b1011_0100);
    let from = |start| for_each_cpu_wrap(mask, start).collect::<Vec<u32>>();
    assert_eq!(from(0), [2, 4, 5, 7]);
    assert_eq!(from(5), [5, 7, 2, 4]);
    assert_eq!(from(8), [2, 4, 5, 7]);
    assert_eq!(from(64), [2, 4, 5, 7]);
}
