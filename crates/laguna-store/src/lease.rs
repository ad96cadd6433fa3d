//! One writer at a time: leases by name, on a local folder by `flock`.

use laguna_base::Result;

use crate::Lake;

/// Held while this value lives; released when it is dropped or the process dies.
#[derive(Debug)]
pub struct Lease {
    _file: Option<std::fs::File>,
}

impl Lake {
    /// Takes the lease `name` (`run`, or a table). With `wait` it waits for its holder; else a
    /// [`laguna_base::ErrorKind::Conflict`] that says who holds it (run id, process, host, since when).
    pub async fn lease(&self, name: &str, holder: &str, wait: bool) -> Result<Lease> {
        let _ = (name, holder, wait);
        unimplemented!()
    }
}
