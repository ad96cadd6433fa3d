//! Profiling a table or files for suggested checks: one pass over all rows.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use laguna_base::{Error, Result, TableName};
use laguna_check::Profile;
use laguna_ingest::{Layout, Piece, Sink, read_laid_out};
use laguna_query::{Engine, LakeTables};
use laguna_store::types;

use super::files::{Columns, Dates, Files};

/// Profiles a released table.
pub async fn profile_table(engine: &Engine, tables: Arc<LakeTables>, table: &TableName) -> Result<Profile> {
    let session = engine.session(tables, engine.lake().clock().now());
    let sql = format!("SELECT * FROM {}.\"{}\"", table.tier.as_str(), table.table.replace('"', "\"\""));
    let schema = types::normalize(&session.schema_of(&sql).await?)?;
    let output = session.partitions(&sql, &[]).await?;
    let parts = output.streams.into_iter().map(|mut stream| {
        let schema = schema.clone();
        async move {
            let mut profile = Profile::new(&schema);
            while let Some(batch) = stream.next().await {
                let batch = batch.map_err(laguna_query::translate)?;
                profile.update(&types::normalize_batch(&batch, &schema)?)?;
            }
            Ok::<Profile, Error>(profile)
        }
    });
    let mut tasks: tokio::task::JoinSet<Result<Profile>> = parts.collect();
    let mut all = Profile::new(&schema);
    while let Some(done) = tasks.join_next().await {
        all.merge(done.map_err(|error| Error::internal("a task of the profile died").caused_by(error))??);
    }
    Ok(all)
}

/// Profiles files as one table.
pub async fn profile_files(dir: &Path, patterns: &[String]) -> Result<Profile> {
    let files = Files::find(dir, patterns)?;
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let options = files.options(None, Default::default(), cores);
    let open = |layout: &Layout| {
        let columns = Columns::new(layout, &Dates::new());
        let look = || Look { profile: Profile::new(&columns.named), columns: columns.clone() };
        Ok((0..cores).map(|_| look()).collect())
    };
    let outcome =
        read_laid_out(files.list(), &options, open, &|_| {}).await.map_err(super::files::in_command)?;
    let mut sinks = outcome.sinks.into_iter();
    let Some(mut all) = sinks.next().map(|sink| sink.profile) else {
        return Err(Error::internal("nothing was read"));
    };
    sinks.for_each(|sink| all.merge(sink.profile));
    Ok(all)
}

struct Look {
    profile: Profile,
    columns: Columns,
}

#[async_trait]
impl Sink for Look {
    async fn write(&mut self, piece: Piece) -> Result<()> {
        self.profile.update(&self.columns.name(&piece.batch)?)
    }

    async fn abort(self) {}
}
