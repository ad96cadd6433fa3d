//! A snapshot as a DataFusion table: the file list goes straight to the Parquet source, with the log's statistics.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::execution::object_store::ObjectStoreUrl;
use laguna_base::Result;

use crate::{Lake, Snapshot};

/// Where sessions find the lake's object store; register [`Lake::objects`] under it.
pub fn object_store_url() -> ObjectStoreUrl {
    ObjectStoreUrl::parse("laguna://lake").expect("a constant URL parses")
}

impl Lake {
    /// `snapshot` as a table that can be queried.
    pub fn provider(&self, snapshot: Arc<Snapshot>) -> Result<Arc<dyn TableProvider>> {
        let _ = snapshot;
        unimplemented!()
    }
}
