//! SQL over files for the checks that need a grouping; started only when one is left open. What does not fit into its
//! memory goes to disk.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::config::Dialect;
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement;
use laguna_base::{Error, Result};
use laguna_ingest::{InputFile, Layout, Piece, ReadOptions, Sink, read_laid_out};
use tokio::sync::mpsc::Sender;

use super::files::Columns;

/// Memory of the query, bytes.
const MEMORY: usize = 512 << 20;

/// The files as the table `this`.
pub(super) struct Source {
    pub files: Vec<InputFile>,
    pub options: ReadOptions,
    pub columns: Columns,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} files", self.files.len())
    }
}

/// The answer to one statement over `this`.
pub(super) async fn ask(source: Source, sql: &str) -> Result<Vec<RecordBatch>> {
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(FairSpillPool::new(MEMORY)))
        .build_arc()
        .map_err(laguna_query::translate)?;
    let mut config = SessionConfig::new();
    config.options_mut().sql_parser.dialect = Dialect::PostgreSQL;
    config.options_mut().execution.time_zone = Some("UTC".to_string());
    let session = SessionContext::new_with_config_rt(config, runtime);
    let schema = source.columns.named.clone();
    let table = StreamingTable::try_new(schema, vec![Arc::new(source)]).map_err(laguna_query::translate)?;
    session.register_table("this", Arc::new(table)).map_err(laguna_query::translate)?;
    let state = session.state();
    let mut statement = state.sql_to_statement(sql, &Dialect::PostgreSQL).map_err(laguna_query::translate)?;
    if let Statement::Statement(ast) = &mut statement {
        laguna_sql::put_right(ast.as_mut());
    }
    let plan = state.statement_to_plan(statement).await.map_err(laguna_query::translate)?;
    let frame = session.execute_logical_plan(plan).await.map_err(laguna_query::translate)?;
    frame.collect().await.map_err(laguna_query::translate)
}

impl PartitionStream for Source {
    fn schema(&self) -> &SchemaRef {
        &self.columns.named
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut builder = RecordBatchReceiverStream::builder(self.columns.named.clone(), 4);
        let rows = builder.tx();
        let (files, options, columns) = (self.files.clone(), self.options.clone(), self.columns.clone());
        builder.spawn(async move {
            let open = |_: &Layout| {
                let sink = || Forward { rows: rows.clone(), columns: columns.clone() };
                Ok((0..options.parallel.max(1)).map(|_| sink()).collect())
            };
            match read_laid_out(&files, &options, open, &|_| {}).await {
                Ok(_) => Ok(()),
                // Nobody listens any more: the query has what it needs.
                Err(_) if rows.is_closed() => Ok(()),
                Err(error) => {
                    Err(DataFusionError::External(Box::new(std::io::Error::other(error.to_string()))))
                }
            }
        });
        builder.build()
    }
}

struct Forward {
    rows: Sender<datafusion::error::Result<RecordBatch>>,
    columns: Columns,
}

#[async_trait]
impl Sink for Forward {
    async fn write(&mut self, piece: Piece) -> Result<()> {
        let batch = self.columns.name(&piece.batch)?;
        self.rows.send(Ok(batch)).await.map_err(|_| Error::interrupted())
    }

    async fn abort(self) {}
}
