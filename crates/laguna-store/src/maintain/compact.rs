//! Compaction: the rows of many small files in few large ones, without any reader seeing a change.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::datasource::provider_as_source;
use datafusion::error::DataFusionError;
use datafusion::execution::context::SessionState;
use datafusion::logical_expr::{LogicalPlanBuilder, ident};
use datafusion::physical_plan::ExecutionPlanProperties;
use futures::TryStreamExt;
use laguna_base::{Error, Result};

use crate::content::ContentHash;
use crate::types::normalize_batch;
use crate::{DataFile, Lake, Snapshot, TableWriter, WriteOptions};

/// Files of `head` that can become one of about `target` bytes each: neighbours of one partition, each at most half as
/// large. At least two make a bin.
pub fn bins(head: &Snapshot, target: u64) -> Vec<Vec<DataFile>> {
    let mut partitions: BTreeMap<&BTreeMap<String, Option<String>>, Vec<Vec<DataFile>>> = BTreeMap::new();
    for file in head.files.iter().filter(|file| file.size <= target / 2) {
        let bins = partitions.entry(&file.partition_values).or_default();
        let fits = bins.last().is_some_and(|bin| bytes(bin) + file.size <= target);
        match bins.last_mut() {
            Some(bin) if fits => bin.push(file.clone()),
            _ => bins.push(vec![file.clone()]),
        }
    }
    partitions.into_values().flatten().filter(|bin| bin.len() > 1).collect()
}

fn bytes(bin: &[DataFile]) -> u64 {
    bin.iter().map(|file| file.size).sum()
}

impl Lake {
    /// Writes each bin of files of `head` as one file, its rows sorted by the columns `sort`, and commits that; returns
    /// the new head. Refused, with nothing changed, when the rows read back are not the rows that were there.
    pub async fn compact(
        &self,
        head: &Snapshot,
        bins: Vec<Vec<DataFile>>,
        sort: &[String],
        target: u64,
        session: &SessionState,
    ) -> Result<u64> {
        let url = crate::scan::object_store_url();
        session.runtime_env().register_object_store(url.as_ref(), self.objects().clone());
        let mut adds = Vec::new();
        for bin in &bins {
            adds.extend(self.join(head, bin, sort, target, session).await?);
        }
        self.commit_rewrite(&head.table, head.version, adds, bins.into_iter().flatten().collect()).await
    }

    async fn join(
        &self,
        head: &Snapshot,
        bin: &[DataFile],
        sort: &[String],
        target: u64,
        session: &SessionState,
    ) -> Result<Vec<DataFile>> {
        let options = WriteOptions { partition: head.partition_columns.clone(), target_file_size: target };
        let mut writer = TableWriter::new(self, &head.table, head.schema.clone(), options)?;
        let written = self.pass(head, bin.to_vec(), sort, session, Some(&mut writer)).await;
        let before = match written {
            Ok(hash) => hash,
            Err(error) => {
                writer.abort().await;
                return Err(error);
            }
        };
        let files = writer.finish().await?.files;
        let after = self.pass(head, files.clone(), &[], session, None).await?;
        match before == after && before.rows == bin.iter().map(|file| file.rows).sum::<u64>() {
            true => Ok(files),
            false => Err(Error::internal(format!("compacting {} would change its rows", head.table))
                .hint("nothing was changed; please report this with the table's schema")),
        }
    }

    /// Reads `files` of `head`, in their order or sorted, into `writer`; gives the hash of their rows.
    async fn pass(
        &self,
        head: &Snapshot,
        files: Vec<DataFile>,
        sort: &[String],
        session: &SessionState,
        mut writer: Option<&mut TableWriter>,
    ) -> Result<ContentHash> {
        let failed = |error: DataFusionError| {
            Error::failed(format!("the files of {} cannot be joined", head.table)).caused_by(error)
        };
        let provider = self.provider(Arc::new(Snapshot { files, ..head.clone() }))?;
        let mut plan =
            LogicalPlanBuilder::scan("files", provider_as_source(provider), None).map_err(failed)?;
        if !sort.is_empty() {
            plan = plan.sort(sort.iter().map(|column| ident(column).sort(true, false))).map_err(failed)?;
        }
        let plan = plan.build().map_err(failed)?;
        let plan = session.create_physical_plan(&plan).await.map_err(failed)?;
        let mut hash = ContentHash::default();
        // One part after the other: the order of the files is the order of arrival.
        for part in 0..plan.output_partitioning().partition_count() {
            let mut rows = plan.execute(part, session.task_ctx()).map_err(failed)?;
            while let Some(batch) = rows.try_next().await.map_err(failed)? {
                let batch = normalize_batch(&batch, &head.schema)?;
                hash.update(&batch);
                if let Some(writer) = &mut writer {
                    writer.write(batch).await?;
                }
            }
        }
        Ok(hash)
    }
}
