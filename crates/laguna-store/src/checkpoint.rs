//! Checkpoints: every so many commits the state of a table in one Parquet file, so that opening it stays cheap.

use deltalake_core::{DeltaTableBuilder, checkpoints};
use laguna_base::{Error, Result, TableName};
use object_store::PutMode;
use url::Url;

use crate::Lake;

/// Commits from one checkpoint to the next.
pub(crate) const INTERVAL: u64 = 20;

impl Lake {
    /// Writes a checkpoint when `version` is due for one. Never fails: a table without it is only slower to open.
    pub(crate) async fn checkpoint_when_due(&self, table: &TableName, version: u64) {
        if version == 0 || !version.is_multiple_of(INTERVAL) {
            return;
        }
        let (lake, name) = (self.clone(), table.clone());
        // In a task of its own, so that even a panic in there cannot undo the commit.
        let outcome = tokio::spawn(async move { lake.write_checkpoint(&name, version).await }).await;
        match outcome {
            Ok(Ok(())) => tracing::debug!(%table, version, "wrote a checkpoint"),
            Ok(Err(error)) => tracing::warn!(%table, version, ?error, "cannot write a checkpoint"),
            Err(error) => tracing::warn!(%table, version, %error, "cannot write a checkpoint"),
        }
    }

    /// Writes the checkpoint of any version. Readers are still pointed to the newest one.
    pub(crate) async fn write_old_checkpoint(&self, table: &TableName, version: u64) -> Result<()> {
        let path = format!("{}/_delta_log/_last_checkpoint", table.path());
        let hint = self.get(&path).await?;
        self.write_checkpoint(table, version).await?;
        let newest =
            |hint: &bytes::Bytes| serde_json::from_slice::<serde_json::Value>(hint).ok()?["version"].as_u64();
        match hint {
            Some(hint) if newest(&hint).is_some_and(|newest| newest > version) => {
                let put = self.put(&path, hint, PutMode::Overwrite).await;
                put.map_err(|error| self.write_error(&path, error))
            }
            _ => Ok(()),
        }
    }

    /// Writes the checkpoint of `version`.
    pub(crate) async fn write_checkpoint(&self, table: &TableName, version: u64) -> Result<()> {
        let failed = |error: deltalake_core::DeltaTableError| {
            Error::storage(format!("no checkpoint of {table} at version {version}")).caused_by(error)
        };
        // The store is rooted at the lake's root, whatever its kind: only the path of this URL counts.
        let url = Url::parse(&format!("memory:///{}", table.path()))
            .map_err(|error| Error::internal("the URL of a table is invalid").caused_by(error))?;
        let opened = DeltaTableBuilder::from_url(url.clone())
            .map_err(failed)?
            .with_storage_backend(self.objects().clone(), url)
            .with_version(version)
            .load()
            .await
            .map_err(failed)?;
        checkpoints::create_checkpoint(&opened, None).await.map_err(failed)
    }
}
