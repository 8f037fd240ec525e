//! The fair class's queues: F1, F2 and F4, group by group, and F3 of the runqueue's own.

use std::collections::BTreeMap;

use super::Broken;
use crate::state::{FairNode, FairQueue, State};

/// Adds what the fair queues of `state` break.
pub(super) fn check(state: &State, found: &mut Vec<Broken>) {
    for cpu in state.cpus.iter().filter(|cpu| !cpu.locked) {
        if let Some(queue) = &cpu.fair {
            let mut add = |invariant, what| {
                let what = format!("CPU {}: {what}", cpu.cpu);
                found.push(Broken { invariant, what });
            };
            check_queue(queue, &mut add);
            if let Some(mean) = cpu.avg_vruntime {
                lags(queue, mean, &mut add);
            }
        }
    }
}

type Add<'a> = &'a mut dyn FnMut(&'static str, String);

const SUMS: &str = "F1 the sums are the tree's";
const ORDER: &str = "F2 the tree is in order";
const LAGS: &str = "F3 the lags add up to nothing";
const ELIGIBLE: &str = "F4 somebody is eligible";

/// A weight in user resolution: never below 2 unless it is 0.
fn scale_load_down(weight: u64) -> i128 {
    match weight {
        0 => 0,
        weight => i128::from((weight >> 10).max(2)),
    }
}

/// The difference of two virtual times, which wrap.
fn after(a: u64, b: u64) -> i64 {
    a.wrapping_sub(b) as i64
}

fn check_queue(queue: &FairQueue, add: Add<'_>) {
    let curr = queue.curr.as_ref().filter(|curr| curr.on_rq != 0);
    sums(queue, curr, add);
    order(queue, add);
    eligible(queue, curr, add);
    for group in queue
        .tree
        .iter()
        .chain(curr)
        .filter_map(|node| node.group.as_deref())
    {
        check_queue(group, add);
    }
}

/// F1: members and sums.
fn sums(queue: &FairQueue, curr: Option<&FairNode>, add: Add<'_>) {
    let key = |node: &FairNode| i128::from(after(node.vruntime, queue.min_vruntime));
    let tree = &queue.tree;
    let average: i128 = tree
        .iter()
        .map(|it| key(it) * scale_load_down(it.weight))
        .sum();
    let load: i128 = tree.iter().map(|it| scale_load_down(it.weight)).sum();
    let weight: u64 = tree.iter().chain(curr).map(|it| it.weight).sum();
    let count = tree.len() + usize::from(curr.is_some());
    for (name, is, should) in [
        ("avg_vruntime", i128::from(queue.avg_vruntime), average),
        ("avg_load", i128::from(queue.avg_load), load),
        ("load", i128::from(queue.load), i128::from(weight)),
        ("nr_running", i128::from(queue.nr_running), count as i128),
    ] {
        if is != should {
            add(SUMS, format!("{name} is {is} and should be {should}"));
        }
    }
    if let Some(node) = tree.iter().find(|node| node.on_rq == 0) {
        add(
            SUMS,
            format!("entity {:#x} is in the tree and not on_rq", node.addr),
        );
    }
    if let Some(curr) = &queue.curr
        && tree.iter().any(|node| node.addr == curr.addr)
    {
        add(
            SUMS,
            format!("the running entity {:#x} is in the tree", curr.addr),
        );
    }
}

/// F2: by deadline, the leftmost and every subtree's minimum exact.
fn order(queue: &FairQueue, add: Add<'_>) {
    let pairs = queue.tree.iter().zip(queue.tree.iter().skip(1));
    for (a, b) in pairs {
        if after(b.deadline, a.deadline) < 0 {
            add(
                ORDER,
                format!("deadline {} comes after {}", b.deadline, a.deadline),
            );
        }
    }
    let first = queue.tree.first().map(|node| node.addr);
    if first != queue.leftmost {
        add(
            ORDER,
            format!(
                "the leftmost is {:x?} and should be {first:x?}",
                queue.leftmost
            ),
        );
    }
    let nodes: BTreeMap<u64, &FairNode> = queue.tree.iter().map(|it| (it.addr, it)).collect();
    for node in &queue.tree {
        let below = node
            .below
            .iter()
            .flatten()
            .filter_map(|addr| nodes.get(addr));
        let least = below
            .map(|child| child.min_vruntime)
            .fold(node.vruntime, |a, b| if after(b, a) < 0 { b } else { a });
        if node.min_vruntime != least {
            let (is, addr) = (node.min_vruntime, node.addr);
            add(
                ORDER,
                format!("the minimum below {addr:#x} is {is} and should be {least}"),
            );
        }
    }
}

/// F3: V is the weighted mean, rounded down: the sum of the lags lies in (-W, 0].
fn lags(queue: &FairQueue, mean: u64, add: Add<'_>) {
    let curr = queue.curr.as_ref().filter(|curr| curr.on_rq != 0);
    let all = || queue.tree.iter().chain(curr);
    let lag = |node: &FairNode| i128::from(after(mean, node.vruntime));
    let sum: i128 = all().map(|it| lag(it) * scale_load_down(it.weight)).sum();
    let load: i128 = all().map(|it| scale_load_down(it.weight)).sum();
    if load != 0 && !(-load < sum && sum <= 0) {
        add(LAGS, format!("their sum is {sum}, the weight {load}"));
    }
}

/// F4: an entity whose lag is not negative exists wherever there is one at all.
fn eligible(queue: &FairQueue, curr: Option<&FairNode>, add: Add<'_>) {
    let all = || queue.tree.iter().chain(curr);
    let key = |node: &FairNode| i128::from(after(node.vruntime, queue.min_vruntime));
    let average: i128 = all().map(|it| key(it) * scale_load_down(it.weight)).sum();
    let load: i128 = all().map(|it| scale_load_down(it.weight)).sum();
    let any = all().any(|node| average >= key(node) * load);
    if !any && all().next().is_some() {
        add(ELIGIBLE, "nobody is".to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{node, state};
    use super::*;

    fn broken(change: impl FnOnce(&mut FairQueue)) -> Vec<String> {
        let mut state = state(1);
        state.cpus[0].avg_vruntime = None;
        if let Some(queue) = &mut state.cpus[0].fair {
            change(queue);
        }
        let mut found = Vec::new();
        check(&state, &mut found);
        found.iter().map(Broken::to_string).collect()
    }

    #[test]
    fn sums_that_are_not_the_trees() {
        assert_eq!(broken(|_| ()), [""; 0]);
        let wrong = broken(|queue| queue.avg_vruntime += 1);
        assert_eq!(
            wrong,
            ["F1 the sums are the tree's: CPU 0: avg_vruntime is 102401 and should be 102400"]
        );
        assert!(broken(|queue| queue.load = 1)[0].contains("load is 1 and should be 2097152"));
        assert!(broken(|queue| queue.tree[0].on_rq = 0)[0].contains("not on_rq"));
        let inside = broken(|queue| queue.curr.as_mut().unwrap().addr = 2);
        assert!(inside[0].contains("running entity 0x2 is in the tree"));
    }

    #[test]
    fn a_mean_that_is_none() {
        let broken = |mean| {
            let mut state = state(1);
            state.cpus[0].avg_vruntime = Some(mean);
            let mut found = Vec::new();
            check(&state, &mut found);
            found.into_iter().map(|it| it.what).collect::<Vec<_>>()
        };
        assert_eq!(broken(5150), [""; 0]);
        assert_eq!(broken(5151), ["CPU 0: their sum is 2048, the weight 2048"]);
        assert_eq!(broken(5149), ["CPU 0: their sum is -2048, the weight 2048"]);
    }

    #[test]
    fn a_tree_out_of_order() {
        let two = |queue: &mut FairQueue| {
            // The second is the root's child on the right, and slower.
            queue.tree.push(node(3, 5050, 7500));
            queue.tree[0].below[1] = Some(3);
            queue.tree[0].min_vruntime = 5050;
            queue.nr_running = 3;
            queue.avg_load = 2048;
            queue.avg_vruntime = 1024 * 150;
            queue.load = 3 * (1024 << 10);
        };
        assert_eq!(broken(two), [""; 0]);
        let stale = broken(|queue| {
            two(queue);
            queue.tree[0].min_vruntime = 5100;
        });
        assert_eq!(
            stale,
            ["F2 the tree is in order: CPU 0: the minimum below 0x2 is 5100 and should be 5050"]
        );
        let swapped = broken(|queue| {
            two(queue);
            queue.tree[1].deadline = 6000;
        });
        assert!(swapped[0].contains("deadline 6000 comes after 7000"));
        let leftmost = broken(|queue| queue.leftmost = None);
        assert!(leftmost[0].contains("leftmost is None and should be Some(2)"));
    }

    #[test]
    fn groups_are_looked_into() {
        let below = broken(|queue| {
            let mut group = state(1).cpus[0].fair.take().unwrap();
            group.avg_load = 7;
            queue.tree[0].group = Some(Box::new(group));
        });
        assert_eq!(
            below,
            ["F1 the sums are the tree's: CPU 0: avg_load is 7 and should be 1024"]
        );
    }
}
