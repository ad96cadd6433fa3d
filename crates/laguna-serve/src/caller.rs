//! Who asks: a name, what it may read, and how much a statement of its may use.

use std::time::Duration;

use laguna_query::Access;

/// Somebody who came through a door.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Name of the user; `anonymous` where there are no users.
    pub user: String,
    /// Name of the role.
    pub role: String,
    /// What the role may read.
    pub access: Access,
    /// What one statement may use.
    pub limits: Limits,
}

/// What one statement may use, and how many may run at once. What is `None` is as the server says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// How long it may run.
    pub timeout: Option<Duration>,
    /// Rows that it may answer with.
    pub max_rows: Option<u64>,
    /// Statements of the role at once.
    pub concurrency: Option<usize>,
}
