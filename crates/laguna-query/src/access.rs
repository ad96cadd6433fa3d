//! What a session may read.

/// What a session may read. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    everything: (),
}

impl Access {
    /// Every table, whole.
    pub fn everything() -> Access {
        Access { everything: () }
    }
}
