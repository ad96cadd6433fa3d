//! The store through its public interface.

mod commit;
mod content;
mod delta;
mod lake;
mod lease;
mod maintain;
mod support;
mod types;
mod writer;
