//! lib: data structures and string helpers without kernel state.
pub mod rbtree;
pub mod string;
