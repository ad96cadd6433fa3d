//! Which rows are the newest of their keys, as logical plans that spill.

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::{Column, JoinType, NullEquality};
use datafusion::datasource::provider_as_source;
use datafusion::functions::core::expr_fn::get_field;
use datafusion::functions::string::expr_fn::lower;
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::expr::Sort;
use datafusion::logical_expr::{
    Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder, ScalarUDF, cast, ident, lit,
};
use datafusion::scalar::ScalarValue;
use laguna_base::{Error, Instant, Result};

use super::LatestRule;
use super::tombstone::Tombstones;
use crate::{DataFile, Lake, Snapshot};

/// Marks deletions among the winners.
pub(super) const DELETED: &str = "__deleted";
const PLACE: &str = "__place";

/// With more new rows than this the newest are found by sorting, which spills; with fewer by hash joins whose build
/// side is the new rows, so that the kept rows only stream by. Few in tests, so that they go both ways.
const JOIN_ROWS: u64 = if cfg!(test) { 10 } else { 2_000_000 };

/// What was known before the new rows.
pub(super) struct Previous {
    /// The newest row of each living key, with the columns of the raw table.
    pub(super) rows: Arc<Snapshot>,
    /// Deleted keys.
    pub(super) deleted: Option<Tombstones>,
}

/// Raw rows with `after < _ingested_at <= until`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) after: Option<Instant>,
    pub(super) until: Instant,
}

/// Rows of some buckets only: the function that gives a key's bucket, and the buckets.
pub(super) struct Only {
    pub(super) bucket_of: Arc<ScalarUDF>,
    pub(super) buckets: Vec<u32>,
}

/// Columns of `schema` and [`DELETED`]: one row for each key in `previous` or among the new rows of `raw`.
pub(super) fn winners(
    lake: &Lake,
    raw: &Arc<Snapshot>,
    rule: &LatestRule,
    previous: Option<Previous>,
    span: Span,
    only: Option<Only>,
) -> Result<LogicalPlan> {
    let few = rows_in(raw, span) <= JOIN_ROWS;
    let build = || {
        let schema = &raw.schema;
        let mut tail = scan(lake, raw.clone())?.filter(within(span))?;
        if let Some(only) = only {
            let bucket = only.bucket_of.call(rule.key.iter().map(ident).collect());
            tail = tail.filter(bucket.in_list(only.buckets.into_iter().map(lit).collect(), false))?;
        }
        let deleted = match rule.op_column() {
            Some(op) => {
                lower(cast(ident(op), DataType::Utf8)).in_list(vec![lit("d"), lit("delete")], false).is_true()
            }
            None => lit(false),
        };
        let tail = tail.project(columns(schema).chain([deleted.alias(DELETED)]))?.build()?;
        let Some(previous) = previous else { return newest(tail, rule, schema) };
        let mut known = scan(lake, previous.rows)?
            .project(columns(schema).chain([lit(false).alias(DELETED)]))?
            .build()?;
        if let Some(tombstones) = previous.deleted {
            let gone = LogicalPlanBuilder::scan("deleted", provider_as_source(tombstones.provider()?), None)?
                .project(columns(schema).chain([lit(true).alias(DELETED)]))?
                .build()?;
            known = LogicalPlanBuilder::from(known).union(gone)?.build()?;
        }
        if few && !rule.key.is_empty() {
            merge(known, newest(tail, rule, schema)?, rule, schema)
        } else {
            newest(LogicalPlanBuilder::from(known).union(tail)?.build()?, rule, schema)
        }
    };
    let plan: datafusion::error::Result<LogicalPlan> = build();
    plan.map_err(|error| {
        Error::internal(format!("the newest rows of {} cannot be planned", raw.table)).caused_by(error)
    })
}

/// The living among `winners`, with the columns of `schema`.
pub(super) fn living(winners: LogicalPlan, schema: &SchemaRef) -> Result<LogicalPlan> {
    let plan = LogicalPlanBuilder::from(winners)
        .filter(!ident(DELETED))
        .and_then(|plan| plan.project(columns(schema)))
        .and_then(LogicalPlanBuilder::build);
    plan.map_err(|error| Error::internal("the living rows cannot be planned").caused_by(error))
}

/// Mode snapshot: the rows of the batch at `until`, the newest of each key where there is one.
pub(super) fn snapshot(
    lake: &Lake,
    raw: &Arc<Snapshot>,
    rule: &LatestRule,
    until: Instant,
) -> Result<LogicalPlan> {
    let build = || {
        let rows = scan(lake, raw.clone())?.filter(ident("_ingested_at").eq(moment(until)))?;
        if rule.key.is_empty() {
            return rows.build();
        }
        let rows = rows.project(columns(&raw.schema).chain([lit(false).alias(DELETED)]))?.build()?;
        let newest = newest(rows, rule, &raw.schema)?;
        LogicalPlanBuilder::from(newest).project(columns(&raw.schema))?.build()
    };
    let plan: datafusion::error::Result<LogicalPlan> = build();
    plan.map_err(|error| {
        Error::internal(format!("the last batch of {} cannot be planned", raw.table)).caused_by(error)
    })
}

/// The raw rows of `span`.
pub(super) fn tail(lake: &Lake, raw: &Arc<Snapshot>, span: Span) -> Result<LogicalPlan> {
    let plan = scan(lake, raw.clone())
        .and_then(|rows| rows.filter(within(span)))
        .and_then(LogicalPlanBuilder::build);
    plan.map_err(|error| {
        Error::internal(format!("the new rows of {} cannot be planned", raw.table)).caused_by(error)
    })
}

/// Rows that files in `span` hold, from above.
pub(super) fn rows_in(raw: &Snapshot, span: Span) -> u64 {
    let field = raw.schema.fields().find("_ingested_at").map(|(_, field)| field);
    let newest = |file: &DataFile| match file.range(field?).max {
        Some(ScalarValue::TimestampMicrosecond(micros, _)) => micros,
        _ => None,
    };
    raw.files
        .iter()
        .filter(|file| {
            let Some(after) = span.after else { return true };
            newest(file).is_none_or(|max| max.saturating_add(999) > after.as_micros())
        })
        .map(|file| file.rows)
        .sum()
}

/// `known` has one row a key, `fresh` too and all of them arrived later: what of both remains.
fn merge(
    known: LogicalPlan,
    fresh: LogicalPlan,
    rule: &LatestRule,
    schema: &SchemaRef,
) -> datafusion::error::Result<LogicalPlan> {
    let of = |side: &str, name: &str| Column::new(Some(side.to_string()), name);
    let keys = |side: &str| -> Vec<Column> { rule.key.iter().map(|key| of(side, key)).collect() };
    // Later arrival wins unless the known row's order is larger; null is the smallest.
    let known_wins = rule.order_column().map(|order| {
        let (old, new) = (Expr::Column(of("known", order)), Expr::Column(of("fresh", order)));
        old.clone().is_not_null().and(new.clone().is_null().or(old.gt(new)).is_true())
    });
    let needed = || -> Vec<Expr> { rule.key.iter().chain(rule.order_column()).map(ident).collect() };
    let all = || columns(schema).chain([ident(DELETED)]);

    let all_known = LogicalPlanBuilder::from(known.clone()).alias("known")?.build()?;
    let fresh_keys = LogicalPlanBuilder::from(fresh.clone()).project(distinct(needed()))?.alias("fresh")?;
    let kept = fresh_keys
        .join_detailed(
            all_known,
            JoinType::RightAnti,
            (keys("fresh"), keys("known")),
            known_wins.clone().map(|known_wins| !known_wins),
            NullEquality::NullEqualsNull,
        )?
        .project(all())?;
    let Some(known_wins) = known_wins else {
        let fresh = LogicalPlanBuilder::from(fresh).project(all())?.build()?;
        return kept.union(fresh)?.build();
    };
    let known_keys = LogicalPlanBuilder::from(known).project(distinct(needed()))?.alias("known")?.build()?;
    let taken = LogicalPlanBuilder::from(fresh)
        .alias("fresh")?
        .join_detailed(
            known_keys,
            JoinType::LeftAnti,
            (keys("fresh"), keys("known")),
            Some(known_wins),
            NullEquality::NullEqualsNull,
        )?
        .project(all())?
        .build()?;
    kept.union(taken)?.build()
}

/// The newest row of each key: by (order, `_ingested_at`, file, row), where null order is oldest.
fn newest(
    rows: LogicalPlan,
    rule: &LatestRule,
    schema: &SchemaRef,
) -> datafusion::error::Result<LogicalPlan> {
    let newest_first = |expression: Expr| Sort::new(expression, false, false);
    let mut order: Vec<Sort> =
        rule.order_column().map(|order| newest_first(ident(order))).into_iter().collect();
    order.push(newest_first(ident("_ingested_at")));
    if let Some((_, source)) = schema.fields().find("_source")
        && let DataType::Struct(parts) = source.data_type()
    {
        for part in ["file", "row"] {
            if parts.find(part).is_some() {
                order.push(newest_first(get_field(ident("_source"), part)));
            }
        }
    }
    let place = row_number()
        .partition_by(distinct(rule.key.iter().map(ident).collect()))
        .order_by(order)
        .build()?
        .alias(PLACE);
    LogicalPlanBuilder::from(rows)
        .window(vec![place])?
        .filter(ident(PLACE).eq(lit(1u64)))?
        .project(columns(schema).chain([ident(DELETED)]))?
        .build()
}

/// A key that names a column twice, or the order too, is projected once.
fn distinct(expressions: Vec<Expr>) -> Vec<Expr> {
    let mut seen: Vec<Expr> = Vec::with_capacity(expressions.len());
    for expression in expressions {
        if !seen.contains(&expression) {
            seen.push(expression);
        }
    }
    seen
}

fn scan(lake: &Lake, snapshot: Arc<Snapshot>) -> datafusion::error::Result<LogicalPlanBuilder> {
    let name = snapshot.table.table.clone();
    let provider = lake
        .provider(snapshot)
        .map_err(|error| datafusion::error::DataFusionError::External(error.to_string().into()))?;
    LogicalPlanBuilder::scan(name, provider_as_source(provider), None)
}

fn columns(schema: &SchemaRef) -> impl Iterator<Item = Expr> {
    schema.fields().iter().map(|field| ident(field.name()))
}

fn within(span: Span) -> Expr {
    let until = ident("_ingested_at").lt_eq(moment(span.until));
    match span.after {
        Some(after) => ident("_ingested_at").gt(moment(after)).and(until),
        None => until,
    }
}

fn moment(instant: Instant) -> Expr {
    lit(ScalarValue::TimestampMicrosecond(Some(instant.as_micros()), Some("UTC".into())))
}
