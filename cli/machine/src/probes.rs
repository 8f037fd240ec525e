//! Extra probes at random instructions: they record nothing and only look, to show that looking changes
//! nothing (`verify --probes`, and what `scripts/bench.sh` measures).

use std::collections::BTreeSet;

use anyhow::ensure;
use emu::{CpuView, Machine, Reg, Site, VirtAddr};
use trace::classify::Classifier;
use trace::event::Addr;
use trace::image::Image;

/// A probe of the second half is added at every so many hits of any kind, until all are in.
const HITS_PER_ADDITION: u64 = 64;

/// The probes of one run: the first half in place before it, the second half added while it goes on.
pub struct ExtraProbes {
    addresses: BTreeSet<VirtAddr>,
    /// Still to be added.
    waiting: Vec<VirtAddr>,
    seen: u64,
    /// Hits of these probes.
    pub hits: u64,
    /// Folds what the probes read, so that reading cannot be optimised away.
    pub fold: u64,
}

impl ExtraProbes {
    /// Draws `count` instructions of the image's code. The same count and seed draw the same ones.
    pub fn draw(image: &Image, count: u32, seed: u64) -> anyhow::Result<ExtraProbes> {
        let code = inside_blocks(image)?;
        let count = count as usize;
        ensure!(
            count <= code.len() / 2,
            "--probes {count}: the kernel has {} instructions inside blocks, ask for at most half as many",
            code.len()
        );
        let mut random = SplitMix(seed);
        let mut drawn = Vec::with_capacity(count);
        let mut addresses = BTreeSet::new();
        while drawn.len() < count {
            let at = code[(random.next() % code.len() as u64) as usize];
            if addresses.insert(at) {
                drawn.push(at);
            }
        }
        let waiting = drawn.split_off(count / 2);
        let addresses = drawn.into_iter().collect();
        Ok(ExtraProbes {
            addresses,
            waiting,
            seen: 0,
            hits: 0,
            fold: 0,
        })
    }

    /// Puts the first half in place.
    pub fn attach(&self, machine: &mut Machine) {
        for at in &self.addresses {
            machine.watch(*at, Site::Instruction);
        }
    }

    /// Looks at a hit of anybody's probe: reads as a probe would, and adds one of the second half now
    /// and then.
    pub fn hit(&mut self, cpu: &mut CpuView<'_>, at: VirtAddr) {
        self.seen += 1;
        if self.seen.is_multiple_of(HITS_PER_ADDITION)
            && let Some(next) = self.waiting.pop()
        {
            cpu.watch(next, Site::Instruction);
            self.addresses.insert(next);
        }
        if self.addresses.contains(&at) {
            self.hits += 1;
            let mut word = [0; 8];
            let stack = cpu.reg(Reg::Rsp);
            if cpu.read_virt(VirtAddr(stack), &mut word).is_ok() {
                self.fold = self.fold.rotate_left(1) ^ u64::from_le_bytes(word);
            }
        }
    }

    /// Probes that are in place by now.
    pub fn in_place(&self) -> usize {
        self.addresses.len()
    }
}

/// Every instruction inside a block of the image's functions, in order: where only a probe on the
/// instruction itself can stop.
fn inside_blocks(image: &Image) -> anyhow::Result<Vec<VirtAddr>> {
    let classifier = Classifier::new()?;
    let mut found: Vec<VirtAddr> = image
        .code_symbols()
        .filter_map(|symbol| image.function_at(Addr(symbol.addr)))
        .flat_map(|function| classifier.inside_blocks(image, function))
        .map(|at| VirtAddr(at.0))
        .collect();
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// SplitMix64: enough to spread probes, and the same everywhere.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
