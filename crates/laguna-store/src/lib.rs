//! Where the rows are: Delta tables on object storage. Stage, commit, release, as-of.
//!
//! Never parses SQL and knows nothing of models: it is told which rows go to which table.

mod checkpoint;
pub mod commit;
pub mod content;
mod durable;
pub mod forget;
pub mod handles;
pub mod kill_point;
pub mod lake;
pub mod landed;
pub mod latest;
pub mod lease;
pub mod ledger;
mod log;
pub mod maintain;
mod objects;
mod partition;
mod place;
mod process;
pub mod release;
pub mod scan;
mod settled;
pub mod snapshot;
pub mod staged;
pub mod statements;
pub mod states;
mod stats;
pub mod types;
pub mod writer;

pub use commit::CommitNote;
pub use handles::Handles;
pub use lake::Lake;
pub use release::{Release, ReleasedTable};
pub use snapshot::{DataFile, Snapshot};
pub use staged::Staged;
pub use writer::{TableWriter, WriteOptions};

/// The object store library, in the one version of the workspace.
pub use object_store;
