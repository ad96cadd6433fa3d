//! The store through its public interface.

mod commit;
mod content;
mod delta;
mod forget;
mod lake;
mod lease;
mod maintain;
mod support;
mod types;
mod writer;
