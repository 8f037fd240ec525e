//! Lists, lock-free lists and CPU masks against their obvious models.
use kernel_image::include::linux::cpumask::Cpumask;
use kernel_image::include::linux::list::*;
use kernel_image::include::linux::llist::*;
use kernel_image::intrusive_adapter;

struct Item {
    key: u32,
    link: ListHead,
    lockless: LlistNode,
}

intrusive_adapter!(
    /// Items by their link.
    ItemLink = Item { link: ListHead });

fn new(key: u32) -> &'static Item {
    Box::leak(Box::new(Item {
        key,
        link: ListHead::new(),
        lockless: LlistNode::new(),
    }))
}

fn head() -> &'static ListHead {
    Box::leak(Box::new(ListHead::new()))
}

fn keys(head: &'static ListHead) -> Vec<u32> {
    ItemLink::iter(head).map(|item| item.key).collect()
}

#[test]
fn an_uninitialised_head_is_empty() {
    let list = head();
    assert!(list_empty(list) && list_first(list).is_none() && keys(list).is_empty());
    INIT_LIST_HEAD(list);
    assert!(list_empty(list) && list_last(list).is_none());
}

#[test]
fn queue_stack_and_removal() {
    let (list, items) = (head(), [new(0), new(1), new(2), new(3)]);
    list_add_tail(&items[1].link, list);
    assert!(list_is_singular(list));
    list_add_tail(&items[2].link, list);
    list_add(&items[0].link, list);
    list_add_tail(&items[3].link, list);
    assert_eq!(keys(list), [0, 1, 2, 3]);
    list_del(&items[1].link);
    assert!(list_empty(&items[1].link));
    list_move_tail(&items[0].link, list);
    assert_eq!(keys(list), [2, 3, 0]);
    list_move(&items[3].link, list);
    assert_eq!(keys(list), [3, 2, 0]);
    assert_eq!(ItemLink::first(list).map(|it| it.key), Some(3));
    assert_eq!(ItemLink::last(list).map(|it| it.key), Some(0));
}

#[test]
fn the_member_in_hand_may_be_removed() {
    let list = head();
    for key in 0..6 {
        list_add_tail(&new(key).link, list);
    }
    ItemLink::iter(list)
        .filter(|it| it.key % 2 == 0)
        .for_each(|it| list_del_init(&it.link));
    assert_eq!(keys(list), [1, 3, 5]);
}

#[test]
fn splicing_empties_the_source() {
    let (from, to) = (head(), head());
    list_splice_tail_init(from, to);
    assert!(list_empty(to));
    for key in 0..3 {
        list_add_tail(&new(key).link, from);
        list_add_tail(&new(key + 10).link, to);
    }
    list_splice_tail_init(from, to);
    assert!(list_empty(from));
    assert_eq!(keys(to), [10, 11, 12, 0, 1, 2]);
}

#[test]
fn llist_takes_all_newest_first() {
    let list: &'static LlistHead = Box::leak(Box::new(LlistHead::new()));
    let items = [new(1), new(2), new(3)];
    let was_empty: Vec<bool> = items
        .iter()
        .map(|it| llist_add(&it.lockless, list))
        .collect();
    assert_eq!(was_empty, [true, false, false]);
    let mut at = llist_reverse_order(llist_del_all(list));
    for item in items {
        assert!(
            at.is_some_and(|node| std::ptr::eq(node, &item.lockless)),
            "oldest first"
        );
        at = at.and_then(|node| node.next.get());
    }
    assert!(at.is_none() && llist_empty(list) && llist_del_all(list).is_none());
}

#[test]
fn llist_loses_nothing_between_threads() {
    let list: &'static LlistHead = Box::leak(Box::new(LlistHead::new()));
    let pushers: Vec<_> = (0..3)
        .map(|_| {
            std::thread::spawn(move || {
                (0..2000).for_each(|key| {
                    llist_add(&new(key).lockless, list);
                })
            })
        })
        .collect();
    let mut seen = 0;
    while seen < 6000 {
        let mut at = llist_del_all(list);
        while let Some(node) = at {
            at = node.next.get();
            seen += 1;
        }
    }
    pushers
        .into_iter()
        .for_each(|it| it.join().expect("a pusher panicked"));
    assert!(llist_empty(list));
}

#[test]
fn cpumasks() {
    let mask = Cpumask::from_bits(1 << 63 | 0b1010);
    assert_eq!(mask.iter().collect::<Vec<_>>(), [1, 3, 63]);
    assert_eq!(
        (mask.first(), mask.next(1), mask.next(3), mask.next(63)),
        (1, 3, 63, 64)
    );
    assert_eq!(
        (mask.weight(), Cpumask::EMPTY.first(), Cpumask::ALL.weight()),
        (3, 64, 64)
    );
    assert!(mask.test(63) && !mask.test(0) && !mask.test(64));
    assert_eq!(mask.without(63).with(0), Cpumask::from_bits(0b1011));
    assert!(Cpumask::of(3).subset(mask) && !mask.subset(Cpumask::of(3)));
    assert!(mask.intersects(Cpumask::of(1)) && !mask.intersects(Cpumask::of(2)));
    assert_eq!(
        mask.and(Cpumask::from_bits(0b11))
            .or(Cpumask::of(5))
            .andnot(Cpumask::of(1)),
        Cpumask::of(5)
    );
}
