//! One lake: its root, its object store and its clock.

use std::collections::BTreeMap;
use std::sync::Arc;

use laguna_base::{Clock, Result};
use object_store::ObjectStore;
use url::Url;

/// A handle on one lake. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Lake {
    /// Root, with a trailing slash: `file:///data/lake/`.
    url: Url,
    /// Paths in it are relative to the root: `raw/flights/_delta_log/…`.
    objects: Arc<dyn ObjectStore>,
    clock: Arc<dyn Clock>,
}

impl Lake {
    /// Opens the lake at `root` (an absolute path or a `file://` URL). Writes nothing: a lake that does not exist yet
    /// reads as empty. Refuses a layout newer than this binary knows.
    pub async fn open(root: &str, options: &BTreeMap<String, String>, clock: Arc<dyn Clock>) -> Result<Lake> {
        let _ = (root, options, clock);
        unimplemented!()
    }

    /// A lake over a given store (tests: memory, fault injection). `objects` is rooted at the lake's root.
    pub fn with_store(url: Url, objects: Arc<dyn ObjectStore>, clock: Arc<dyn Clock>) -> Lake {
        Lake { url, objects, clock }
    }

    /// Prepares for the first write of a process: creates the root, writes `_laguna/format.json`, and probes that
    /// put-if-absent really refuses. Idempotent and cached.
    pub async fn prepare_for_writing(&self) -> Result<()> {
        unimplemented!()
    }

    /// The object store, rooted at the lake's root.
    pub fn objects(&self) -> &Arc<dyn ObjectStore> {
        &self.objects
    }

    /// The root's URL, with a trailing slash.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The clock that all of this lake's times come from.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }
}
