//! Walks of the kernel's lists and trees, which may be in the middle of a change.

use std::collections::BTreeSet;

use trace::event::Addr;
use trace::image::Field;
use trace::target::{Target, Unreadable};
use trace::value::Value;

/// The links of the list at `head`, without it, up to `most`. A head of zeros is an empty list.
pub(super) fn list(target: &dyn Target, head: Addr, most: usize) -> Result<Vec<Addr>, Unreadable> {
    let mut links = Vec::new();
    let mut seen = BTreeSet::from([head.0]);
    let mut at = target.read_u64(head)?;
    while at != 0 && links.len() < most && seen.insert(at) {
        links.push(Addr(at));
        // A link that leads nowhere is one that is being put in: what came before it is the list.
        let Ok(next) = target.read_u64(Addr(at)) else {
            links.pop();
            break;
        };
        at = next;
    }
    Ok(links)
}

/// The nodes of a red-black tree from its root, smallest first.
pub(super) fn in_order(
    target: &dyn Target,
    root: Addr,
    left: Field,
    right: Field,
) -> Result<Vec<Addr>, Unreadable> {
    let mut nodes = Vec::new();
    let mut above = Vec::new();
    let mut seen = BTreeSet::new();
    let mut at = root;
    loop {
        while at != Addr(0) && seen.insert(at.0) {
            above.push(at);
            at = Value::of(target, at, left)?.addr();
        }
        let Some(node) = above.pop() else {
            return Ok(nodes);
        };
        nodes.push(node);
        at = Value::of(target, node, right)?.addr();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use trace::image::Shape;
    use trace::target::Register;

    /// Words at addresses.
    struct Words(BTreeMap<u64, u64>);

    impl Target for Words {
        fn read(&self, at: Addr, into: &mut [u8]) -> Result<(), Unreadable> {
            let word = self.0.get(&at.0).ok_or(Unreadable(at))?;
            into.copy_from_slice(&word.to_le_bytes()[..into.len()]);
            Ok(())
        }

        fn register(&self, _: Register) -> u64 {
            0
        }
    }

    fn words(all: &[(u64, u64)]) -> Words {
        Words(all.iter().copied().collect())
    }

    #[test]
    fn a_list_ends_at_its_head_and_a_broken_one_ends_too() {
        let whole = words(&[(0x10, 0x20), (0x20, 0x30), (0x30, 0x10)]);
        assert_eq!(
            list(&whole, Addr(0x10), 9),
            Ok(vec![Addr(0x20), Addr(0x30)])
        );
        let round = words(&[(0x10, 0x20), (0x20, 0x30), (0x30, 0x20)]);
        assert_eq!(
            list(&round, Addr(0x10), 9),
            Ok(vec![Addr(0x20), Addr(0x30)])
        );
        let torn = words(&[(0x10, 0x20), (0x20, 0x66)]);
        assert_eq!(list(&torn, Addr(0x10), 9), Ok(vec![Addr(0x20)]));
        assert_eq!(list(&words(&[(0x10, 0)]), Addr(0x10), 9), Ok(vec![]));
        assert_eq!(
            list(&words(&[]), Addr(0x10), 9),
            Err(Unreadable(Addr(0x10)))
        );
    }

    #[test]
    fn a_tree_comes_out_in_order() {
        let field = |offset| Field {
            offset,
            size: 8,
            shape: Shape::Pointer,
            bits: None,
        };
        // Nodes 0x100 (root), 0x200 (left), 0x300 (right of the left): left at +8, right at +16.
        let mut tree = vec![(0x108, 0x200), (0x110, 0), (0x208, 0), (0x210, 0x300)];
        tree.extend([(0x308, 0), (0x310, 0)]);
        let order = in_order(&words(&tree), Addr(0x100), field(8), field(16));
        assert_eq!(order, Ok(vec![Addr(0x200), Addr(0x300), Addr(0x100)]));
        assert_eq!(
            in_order(&words(&[]), Addr(0), field(8), field(16)),
            Ok(vec![])
        );
        // A node that leads back to the root is left once.
        tree.retain(|(at, _)| *at != 0x310);
        tree.push((0x310, 0x100));
        assert!(in_order(&words(&tree), Addr(0x100), field(8), field(16)).is_ok());
    }
}
