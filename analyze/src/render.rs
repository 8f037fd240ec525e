//! Reports as text, JSON and CSV: one format a file. Nothing is computed here.

pub(crate) mod csv;
pub(crate) mod json;
pub(crate) mod text;
