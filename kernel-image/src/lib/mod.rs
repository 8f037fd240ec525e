//! lib: data structures and string helpers without kernel state.
pub mod cpumask_kunit;
pub mod idr;
pub mod kunit;
pub mod list_test;
pub mod llist_kunit;
pub mod rbtree;
pub mod rbtree_test;
pub mod string;
