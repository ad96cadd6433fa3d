//! Checks that the statistics of a table's files answer, so that no row is read for them.
//!
//! A verdict is made by the check itself, from rows that stand for all: none where only their number matters, the
//! smallest and the largest value where a range is what is looked at.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::datatypes::SchemaRef;
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, Statistics};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::scalar::ScalarValue;
use laguna_base::{Error, Result};
use laguna_check::{CheckSpec, Suite, Verdict};

/// How a range answers a check.
#[derive(Clone, Copy, PartialEq)]
enum Asks {
    /// Whether no value is missing.
    Nulls,
    /// Whether all values lie within bounds: they do when the smallest and the largest do.
    Bounds,
    /// What the smallest or the largest value is.
    Extreme,
}

/// For each check its verdict, where the exact statistics of `scan`, which gives all rows of `schema`, tell it.
pub(super) fn answered(
    checks: &[CheckSpec],
    schema: &SchemaRef,
    scan: &dyn ExecutionPlan,
) -> Result<Vec<Option<Verdict>>> {
    let asks: Vec<Option<Asks>> = checks.iter().map(asks).collect();
    let none = vec![None; checks.len()];
    if asks.iter().all(Option::is_none) || scan.schema().fields().len() != schema.fields().len() {
        return Ok(none);
    }
    let Ok(statistics) = StatisticsContext::new().compute(scan, &StatisticsArgs::new()) else {
        return Ok(none);
    };
    let Statistics { num_rows: Precision::Exact(rows), column_statistics, .. } = statistics.as_ref() else {
        return Ok(none);
    };
    if *rows == 0 || column_statistics.len() != schema.fields().len() {
        return Ok(none);
    }
    checks
        .iter()
        .zip(asks)
        .map(|(check, asks)| match asks {
            Some(asks) => one(check, asks, schema, column_statistics, *rows),
            None => Ok(None),
        })
        .collect()
}

fn asks(check: &CheckSpec) -> Option<Asks> {
    let condition = check.kwargs().get("row_condition").is_some_and(|condition| !condition.is_null());
    match check.name() {
        _ if condition => None,
        "expect_column_values_to_not_be_null" => Some(Asks::Nulls),
        "expect_column_values_to_be_between" => Some(Asks::Bounds),
        "expect_column_min_to_be_between" | "expect_column_max_to_be_between" => Some(Asks::Extreme),
        _ => None,
    }
}

fn one(
    check: &CheckSpec,
    asks: Asks,
    schema: &SchemaRef,
    columns: &[ColumnStatistics],
    rows: usize,
) -> Result<Option<Verdict>> {
    let Some(at) = check.columns().first().and_then(|name| schema.index_of(name).ok()) else {
        return Ok(None);
    };
    // A float may be NaN, which counts as missing and which no statistics tell of.
    if schema.field(at).data_type().is_floating() {
        return Ok(None);
    }
    let column = &columns[at];
    if asks != Asks::Extreme && column.null_count != Precision::Exact(0) {
        return Ok(None);
    }
    let suite = Suite::compile(std::slice::from_ref(check), schema)?;
    let mut collector = suite.collector();
    let mut left = rows;
    if asks != Asks::Nulls {
        let (Precision::Exact(least), Precision::Exact(most)) = (&column.min_value, &column.max_value) else {
            return Ok(None);
        };
        if least.is_null() || most.is_null() {
            return Ok(None);
        }
        let ends = if rows == 1 { vec![least.clone()] } else { vec![least.clone(), most.clone()] };
        let Some(batch) = batch_of(schema, at, ends)? else { return Ok(None) };
        left -= batch.num_rows();
        collector.update(&batch)?;
    }
    collector.count_rows(left as u64);
    if suite.set_query(&collector).is_some() {
        return Ok(None);
    }
    let verdict = suite.finish(collector, None)?.pop();
    // How many rows lie beyond a bound is not known.
    Ok(verdict.filter(|verdict| asks == Asks::Extreme || verdict.unexpected_count == 0))
}

/// Rows of which only the column at `at` has values.
fn batch_of(schema: &SchemaRef, at: usize, values: Vec<ScalarValue>) -> Result<Option<RecordBatch>> {
    let rows = values.len();
    let Ok(array) = ScalarValue::iter_to_array(values) else { return Ok(None) };
    let Ok(array) = arrow::compute::cast(&array, schema.field(at).data_type()) else { return Ok(None) };
    let columns: Vec<ArrayRef> = schema
        .fields()
        .iter()
        .enumerate()
        .map(
            |(column, field)| {
                if column == at { array.clone() } else { new_null_array(field.data_type(), rows) }
            },
        )
        .collect();
    let nullable = arrow::datatypes::Schema::new(
        schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect::<Vec<_>>(),
    );
    RecordBatch::try_new(Arc::new(nullable), columns)
        .map(Some)
        .map_err(|error| Error::internal("the ends of a range are no rows").caused_by(error))
}
