//! Single files of a snapshot as plans: for what is known of each file by itself, such as the accumulators of checks.

use std::sync::Arc;

use datafusion::catalog::Session;
use datafusion::common::Statistics;
use datafusion::datasource::physical_plan::FileGroup;
use datafusion::physical_plan::ExecutionPlan;
use laguna_base::{Error, Result};

use super::SnapshotTable;
use crate::{DataFile, Snapshot};

/// Bytes of a file that are read by one plan. The same on every machine: sums of floats hang on it.
const PART: u64 = 64 << 20;

/// Scans of the files of one snapshot, one by one.
#[derive(Debug)]
pub struct FileScans(SnapshotTable);

impl FileScans {
    /// Of the files of `snapshot`.
    pub fn new(snapshot: Arc<Snapshot>) -> Result<FileScans> {
        SnapshotTable::new(snapshot).map(FileScans)
    }

    /// The snapshot.
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.0.snapshot
    }

    /// Plans that together read `file`: one, unless it is large.
    pub fn parts(file: &DataFile) -> usize {
        file.size.div_ceil(PART).max(1) as usize
    }

    /// The columns named `columns`, which are in the snapshot, of a part of its file number `file`, as a plan of one
    /// partition. The rows of a part follow those of the one before.
    pub fn plan(
        &self,
        state: &dyn Session,
        (file, part): (usize, usize),
        columns: &[String],
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let table = &self.0;
        let data_file = &table.snapshot.files[file];
        let engine = |error| Error::internal("the scan of a file cannot be made").caused_by(error);
        let mut partitioned = table.partitioned_file(data_file).map_err(engine)?;
        if FileScans::parts(data_file) > 1 {
            let start = part as u64 * PART;
            partitioned = partitioned.with_range(start as i64, (start + PART).min(data_file.size) as i64);
        }
        let places = columns
            .iter()
            .map(|name| Ok(table.places[table.schema.index_of(name)?]))
            .collect::<std::result::Result<Vec<usize>, arrow::error::ArrowError>>()
            .map_err(|error| Error::internal("a file has no such column").caused_by(error))?;
        let statistics = Statistics::new_unknown(table.scan_schema.table_schema());
        let groups = vec![FileGroup::new(vec![partitioned])];
        table.source(state, groups, places, statistics, None, (false, true)).map_err(engine)
    }
}
