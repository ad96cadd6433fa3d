//! Runs a suite over batches as the lake does: one pass, then the set query over `this`.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::config::Dialect;
use datafusion::datasource::MemTable;
use datafusion::prelude::{SessionConfig, SessionContext};
use laguna_base::Result;
use laguna_base::settings::{TableSettings, yaml};
use laguna_check::{CheckSpec, Suite, Verdict};

pub fn specs(text: &str) -> Result<Vec<CheckSpec>> {
    let settings: TableSettings = yaml::parse("enhanced/t.yml", text)?;
    laguna_check::parse(&settings, "enhanced/t.yml")
}

pub async fn query(
    schema: &SchemaRef,
    batches: &[RecordBatch],
    others: &[(&str, RecordBatch)],
    sql: &str,
) -> Vec<RecordBatch> {
    let mut config = SessionConfig::new();
    config.options_mut().sql_parser.dialect = Dialect::PostgreSQL;
    let context = SessionContext::new_with_config(config);
    let table = MemTable::try_new(schema.clone(), vec![batches.to_vec()]).unwrap();
    context.register_table("this", Arc::new(table)).unwrap();
    context.sql("CREATE SCHEMA sanitized").await.unwrap().collect().await.unwrap();
    for (name, batch) in others {
        context.register_batch(*name, batch.clone()).unwrap();
    }
    context
        .sql(sql)
        .await
        .unwrap_or_else(|e| panic!("{e}\n{sql}"))
        .collect()
        .await
        .unwrap_or_else(|e| panic!("{e}\n{sql}"))
}

/// Feeds every batch to a collector of its own and merges them.
pub async fn run(
    specs: &[CheckSpec],
    schema: &SchemaRef,
    batches: &[RecordBatch],
    others: &[(&str, RecordBatch)],
) -> Result<Vec<Verdict>> {
    let suite = Suite::compile(specs, schema)?;
    run_suite(&suite, schema, batches, others).await
}

pub async fn run_suite(
    suite: &Suite,
    schema: &SchemaRef,
    batches: &[RecordBatch],
    others: &[(&str, RecordBatch)],
) -> Result<Vec<Verdict>> {
    let mut merged = suite.collector();
    let mut rows = 0;
    for batch in batches {
        let mut one = suite.collector();
        one.at_row(rows);
        one.update(batch)?;
        rows += batch.num_rows() as u64;
        merged.merge(one);
    }
    let answers = match suite.set_query(&merged) {
        Some(question) => Some(query(schema, batches, others, &question.sql).await),
        None => None,
    };
    suite.finish(merged, answers)
}
