//! The real-time array against its definition: a queue for each priority, heads and tails, and a bitmap that
//! finds the highest, over a long random sequence of joining, leaving and turning.

use std::collections::{BTreeMap, VecDeque};

use kernel_image::include::linux::sched::SchedRtEntity;
use kernel_image::kernel::sched::sched::RtPrioArray;

type Se = &'static SchedRtEntity;

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

/// Entities by their number; the lists of the definition.
struct Model {
    array: &'static RtPrioArray,
    entities: Vec<Se>,
    lists: BTreeMap<i32, VecDeque<usize>>,
    prio_of: BTreeMap<usize, i32>,
}

impl Model {
    fn new(entities: usize) -> Model {
        let array: &'static RtPrioArray = Box::leak(Box::new(RtPrioArray::new()));
        array.init();
        Model {
            array,
            entities: (0..entities)
                .map(|_| -> Se { Box::leak(Box::new(SchedRtEntity::new())) })
                .collect(),
            lists: BTreeMap::new(),
            prio_of: BTreeMap::new(),
        }
    }

    fn step(&mut self, which: usize, random: &mut Random) {
        let rt_se = self.entities[which];
        let head = random.below(2) == 0;
        match self.prio_of.get(&which).copied() {
            None => {
                // Both words of the bitmap, and their edges.
                let prio = [0, 1, 31, 62, 63, 64, 65, 98, 99][random.below(9) as usize];
                self.array.add(rt_se, prio, head);
                let list = self.lists.entry(prio).or_default();
                if head {
                    list.push_front(which);
                } else {
                    list.push_back(which);
                }
                self.prio_of.insert(which, prio);
            }
            Some(prio) => {
                let list = self.lists.get_mut(&prio).expect("it is in a list");
                list.retain(|other| *other != which);
                if random.below(2) == 0 {
                    self.array.del(rt_se, prio);
                    self.prio_of.remove(&which);
                } else {
                    self.array.requeue(rt_se, prio, head);
                    if head {
                        list.push_front(which);
                    } else {
                        list.push_back(which);
                    }
                }
                if list.is_empty() {
                    self.lists.remove(&prio);
                }
            }
        }
    }

    fn check(&self) {
        let highest = self.lists.first_key_value();
        assert_eq!(self.array.first(), highest.map_or(100, |(prio, _)| *prio));
        let right = highest.and_then(|(_, list)| list.front().copied());
        let picked = self.array.pick().map(|rt_se| {
            self.entities
                .iter()
                .position(|known| std::ptr::eq(*known, rt_se))
                .expect("one of ours")
        });
        assert_eq!(picked, right);
        for (prio, list) in &self.lists {
            assert_eq!(self.array.is_alone(*prio), list.len() == 1, "{prio}");
        }
        for (which, rt_se) in self.entities.iter().enumerate() {
            let queued = self.prio_of.contains_key(&which);
            assert_eq!(rt_se.on_list.get() != 0, queued, "{which}");
        }
    }
}

#[test]
fn the_array_picks_the_first_of_the_highest_priority() {
    let mut random = Random(88_172_645_463_325_252);
    let mut model = Model::new(24);
    for _ in 0..20_000 {
        let which = random.below(24) as usize;
        model.step(which, &mut random);
        model.check();
    }
}
