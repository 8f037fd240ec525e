//! Packages, cores, threads and NUMA nodes: who shares what with whom.
//!
//! vCPUs are numbered threads first, then cores, then packages; nodes hold whole packages. APIC ids
//! have a field of whole bits for each level, as CPUID leaf 0xB tells, so they have gaps where a
//! level's number is no power of two. The shape is all there is to it: no cache is emulated, and no
//! memory is slower than another.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind};

/// The shape of a machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Topology {
    /// Sockets.
    pub packages: u32,
    /// Cores in each package.
    pub cores: u32,
    /// Hardware threads of each core.
    pub threads: u32,
    /// NUMA nodes, each of the same number of packages.
    pub nodes: u32,
}

/// Bits that hold the numbers 0 to `count` - 1.
fn bits(count: u32) -> u32 {
    count.next_power_of_two().trailing_zeros()
}

impl Topology {
    /// One package of cores with one thread each.
    pub fn flat(vcpus: u32) -> Self {
        Self {
            packages: 1,
            cores: vcpus,
            threads: 1,
            nodes: 1,
        }
    }

    /// The number of CPUs; at most `u32::MAX`.
    pub fn vcpus(&self) -> u32 {
        let all = self.packages.saturating_mul(self.cores);
        all.saturating_mul(self.threads)
    }

    /// Bits of an APIC id below the core's.
    pub(crate) fn thread_bits(&self) -> u32 {
        bits(self.threads)
    }

    /// Bits of an APIC id below the package's.
    pub(crate) fn package_bits(&self) -> u32 {
        bits(self.threads) + bits(self.cores)
    }

    /// The APIC id of a vCPU.
    pub(crate) fn apic_id(&self, vcpu: u32) -> u32 {
        let thread = vcpu % self.threads;
        let core = vcpu / self.threads % self.cores;
        let package = vcpu / self.threads / self.cores;
        thread | core << self.thread_bits() | package << self.package_bits()
    }

    /// The node of a vCPU.
    pub(crate) fn node(&self, vcpu: u32) -> u32 {
        let package = vcpu / self.threads / self.cores;
        package / (self.packages / self.nodes)
    }

    /// Checks it against the number of vCPUs.
    pub(crate) fn validate(&self, vcpus: u32) -> Result<(), Error> {
        let bad = |m: String| Err(Error::new(ErrorKind::BadConfig, m));
        let Self {
            packages,
            cores,
            threads,
            nodes,
        } = *self;
        if [packages, cores, threads, nodes].contains(&0) {
            return bad(format!("topology {self}: every number is at least 1"));
        }
        if self.vcpus() != vcpus {
            return bad(format!(
                "topology {self} has {packages} x {cores} x {threads} = {} CPUs, and the machine \
                 {vcpus}",
                self.vcpus()
            ));
        }
        if !packages.is_multiple_of(nodes) {
            return bad(format!(
                "topology {self}: {packages} packages cannot be shared out evenly among {nodes} nodes"
            ));
        }
        Ok(())
    }
}

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "packages={},cores={},threads={},nodes={}",
            self.packages, self.cores, self.threads, self.nodes
        )
    }
}

impl FromStr for Topology {
    type Err = String;

    /// Reads `packages=2,cores=2,threads=2,nodes=2`; what is not given is 1.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut topology = Topology {
            packages: 1,
            cores: 1,
            threads: 1,
            nodes: 1,
        };
        let mut seen = Vec::new();
        for part in text.split(',') {
            let example = "write it as packages=2,cores=2,threads=2,nodes=2";
            let Some((name, number)) = part.split_once('=') else {
                return Err(format!("`{part}` has no number; {example}"));
            };
            let place = match name {
                "packages" => &mut topology.packages,
                "cores" => &mut topology.cores,
                "threads" => &mut topology.threads,
                "nodes" => &mut topology.nodes,
                _ => return Err(format!("there is no level `{name}`; {example}")),
            };
            if seen.contains(&name) {
                return Err(format!("`{name}` is given twice"));
            }
            seen.push(name);
            *place = match number.parse() {
                Ok(n) if n > 0 => n,
                _ => return Err(format!("`{number}` is no number of {name}; {example}")),
            };
        }
        Ok(topology)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_a_field_for_each_level() {
        let t: Topology = "packages=2,cores=3,threads=2,nodes=2".parse().unwrap();
        assert_eq!(t.vcpus(), 12);
        let ids: Vec<u32> = (0..12).map(|n| t.apic_id(n)).collect();
        assert_eq!(ids, [0, 1, 2, 3, 4, 5, 8, 9, 10, 11, 12, 13]);
        let nodes: Vec<u32> = (0..12).map(|n| t.node(n)).collect();
        assert_eq!(nodes, [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1]);
        assert!(t.validate(12).is_ok());
    }

    #[test]
    fn a_flat_one_numbers_apics_as_cpus() {
        let t = Topology::flat(64);
        assert!((0..64).all(|n| t.apic_id(n) == n && t.node(n) == 0));
        assert!(t.validate(64).is_ok());
    }

    /// 0xff is everybody in xAPIC mode, so the highest id is 0xfe; gaps never lead there.
    #[test]
    fn every_shape_of_64_cpus_has_ids_enough() {
        let shapes = (1..=64).flat_map(|p| (1..=64).map(move |c| (p, c)));
        for (packages, cores) in shapes {
            for threads in 1..=64 / (packages * cores).min(64) {
                let t = Topology {
                    packages,
                    cores,
                    threads,
                    nodes: 1,
                };
                if t.vcpus() <= 64 {
                    assert!(t.apic_id(t.vcpus() - 1) <= 0xfe, "{t}");
                }
            }
        }
    }

    #[test]
    fn what_is_refused() {
        let refused = |text: &str, vcpus, words: &str| {
            let error = text
                .parse::<Topology>()
                .and_then(|t| t.validate(vcpus).map_err(|e| e.message().to_string()))
                .unwrap_err();
            assert!(error.contains(words), "{error}");
        };
        refused("cores=4", 2, "1 x 4 x 1 = 4 CPUs, and the machine 2");
        refused("packages=3,nodes=2", 3, "3 packages");
        refused("packages=1,nodes=2", 1, "among 2 nodes");
        refused("cores", 1, "no number");
        refused("cores=0", 1, "`0` is no number of cores");
        refused("dies=2", 1, "no level `dies`");
        refused("cores=2,cores=2", 4, "twice");
        refused("", 1, "no number");
    }
}
