//! What earlier runs said of the tables: failing values and texts of errors can hold what is to be forgotten.

use std::collections::BTreeSet;

use futures::TryStreamExt;
use laguna_base::{Result, TableName, Tier};
use laguna_store::{CommitNote, DataFile, Snapshot, TableWriter, WriteOptions, types};

use super::{Plan, Work};

/// What stands for a text that is gone.
const GONE: &str = "'removed: rows were forgotten'";

impl Work<'_> {
    /// Plans the tables of the ledger without texts about `nodes`.
    pub(super) async fn ledger(&mut self, nodes: &BTreeSet<TableName>, plan: &mut Plan) -> Result<()> {
        let lake = self.context.lake().clone();
        let list: Vec<String> = nodes.iter().map(|node| format!("'{node}'")).collect();
        let ours = format!("node IN ({})", list.join(", "));
        let failed = format!("{ours} AND outcome IN ('failed', 'blocked')");
        let runs = format!("error IS NOT NULL AND run IN (SELECT run FROM system.tasks WHERE {failed})");
        let texts: [(&str, &str, &[&str]); 3] = [
            ("checks", &ours, &["message", "observed", "error", "examples", "failing_rows"]),
            ("tasks", &failed, &["reason"]),
            ("runs", &runs, &["error"]),
        ];
        for (table, condition, columns) in texts {
            let Some(head) = lake.head(&TableName::new(Tier::System, table)?).await? else { continue };
            let sql = format!("SELECT count(*) AS n FROM this WHERE {condition}");
            let found = laguna_query::collect(self.session(&head).await?.execute(&sql).await?).await?;
            let count = found.iter().find_map(|batch| {
                use arrow::array::AsArray;
                batch.column(0).as_primitive::<arrow::datatypes::Int64Type>().values().first().copied()
            });
            let count = count.unwrap_or(0);
            if count > 0 {
                let files = self.with_texts_gone(&head, condition, columns).await?;
                plan.head(&head, files, CommitNote::default(), "texts removed", count as u64)?;
            }
        }
        Ok(())
    }

    async fn with_texts_gone(
        &mut self,
        head: &Snapshot,
        condition: &str,
        columns: &[&str],
    ) -> Result<Vec<DataFile>> {
        let lake = self.context.lake();
        let list: Vec<String> = head
            .schema
            .fields()
            .iter()
            .map(|field| match columns.contains(&field.name().as_str()) {
                true => format!(
                    "CASE WHEN \"{0}\" IS NOT NULL AND {condition} THEN {GONE} ELSE \"{0}\" END AS \"{0}\"",
                    field.name()
                ),
                false => format!("\"{}\"", field.name()),
            })
            .collect();
        let sql = format!("SELECT {} FROM this", list.join(", "));
        let mut writer = TableWriter::new(lake, &head.table, head.schema.clone(), WriteOptions::default())?;
        let mut rows = self.session(head).await?.execute(&sql).await?.stream;
        while let Some(batch) = rows.try_next().await.map_err(laguna_query::translate)? {
            writer.write(types::normalize_batch(&batch, &head.schema)?).await?;
        }
        let files = writer.finish().await?.files;
        self.fresh.extend(files.iter().map(|file| (head.table.clone(), file.clone())));
        Ok(files)
    }
}
