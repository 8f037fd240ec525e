//! From an intrusive link back to the object that contains it (`container_of`).
//!
//! A list head or a tree root in Linux says nothing about the type of its members. Here every such list
//! names an *adapter*, made once beside the type that holds the link:
//!
//! ```text
//! intrusive_adapter!(/// Tasks on `init_task.tasks`.
//!     pub TasksLink = TaskStruct { tasks: ListHead });
//! for p in TasksLink::iter(&init_task.tasks) { … }
//! ```
//!
//! The one rule: a list or tree holds links of one adapter only (its head aside). All links are
//! `&'static`: members live in never-freed memory or are lent out by `fence::stack_pinned`, which asserts
//! that they left every list before their stack frame goes.

/// Declares an adapter type: `entry` is `container_of`, `iter` walks a `ListHead`.
#[macro_export]
macro_rules! intrusive_adapter {
    ($(#[$doc:meta])* $vis:vis $name:ident = $container:ty { $($field:tt).+ : ListHead }) => {
        $crate::intrusive_adapter!(@entry $(#[$doc])* $vis $name, $container, [$($field).+],
            $crate::include::linux::list::ListHead);
        impl $name {
            /// The members of `head`, first to last. The next link is read before a member is handed
            /// out, so the body may remove the member it was given.
            #[allow(dead_code)]
            $vis fn iter(
                head: &'static $crate::include::linux::list::ListHead,
            ) -> impl Iterator<Item = &'static $container> {
                $crate::include::linux::list::links(head).map(Self::entry)
            }
            /// The first member (`list_first_entry_or_null`).
            #[allow(dead_code)]
            $vis fn first(
                head: &'static $crate::include::linux::list::ListHead,
            ) -> Option<&'static $container> {
                $crate::include::linux::list::list_first(head).map(Self::entry)
            }
            /// The last member.
            #[allow(dead_code)]
            $vis fn last(
                head: &'static $crate::include::linux::list::ListHead,
            ) -> Option<&'static $container> {
                $crate::include::linux::list::list_last(head).map(Self::entry)
            }
        }
    };
    ($(#[$doc:meta])* $vis:vis $name:ident = $container:ty { $($field:tt).+ : $link:ty }) => {
        $crate::intrusive_adapter!(@entry $(#[$doc])* $vis $name, $container, [$($field).+], $link);
    };
    (@entry $(#[$doc:meta])* $vis:vis $name:ident, $container:ty, [$($field:tt).+], $link:ty) => {
        $(#[$doc])*
        $vis struct $name;
        impl $name {
            /// The object around `link` (`container_of`).
            #[allow(dead_code)]
            #[inline(always)]
            $vis fn entry(link: &'static $link) -> &'static $container {
                let offset = core::mem::offset_of!($container, $($field).+);
                #[allow(unsafe_code)]
                // SAFETY: by the adapter's rule the link is the named field of a live `'static`
                // container, so stepping back by the field's offset yields that container.
                unsafe {
                    &*core::ptr::from_ref(link)
                        .byte_sub(offset)
                        .cast::<$container>()
                }
            }
        }
    };
}

/// The object around an embedded link: `list_entry!(node, TaskStruct, tasks)`. The caller's promise is the
/// adapter's: the link is that field of that type.
#[macro_export]
macro_rules! container_of {
    ($link:expr, $container:ty, $($field:tt).+) => {{
        fn of<L>(link: &'static L) -> &'static $container {
            let offset = core::mem::offset_of!($container, $($field).+);
            #[allow(unsafe_code)]
            // SAFETY: links are only ever made as that field of a live `'static` container (module doc).
            unsafe {
                &*core::ptr::from_ref(link).byte_sub(offset).cast::<$container>()
            }
        }
        of($link)
    }};
}
/// `container_of!` for a list link.
#[macro_export]
macro_rules! list_entry { ($($t:tt)+) => { $crate::container_of!($($t)+) }; }
/// `container_of!` for a lock-free list's link.
#[macro_export]
macro_rules! llist_entry { ($($t:tt)+) => { $crate::container_of!($($t)+) }; }
/// `container_of!` for a tree's link.
#[macro_export]
macro_rules! rb_entry { ($($t:tt)+) => { $crate::container_of!($($t)+) }; }
