//! Incremental models: only rows at or above the watermark are computed; rows of the same key are replaced.
//!
//! New state = (released rows whose key is not among the new rows) + new rows. Files that hold no replaced key stay
//! as they are; the others are written again by an anti-join.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, SchemaRef};
use futures::TryStreamExt;
use laguna_base::settings::parse_duration;
use laguna_base::settings::table::Incremental;
use laguna_base::{Error, Result};
use laguna_check::{Gate, Suite};
use laguna_query::Session;
use laguna_store::content::ContentHash;
use laguna_store::{DataFile, Snapshot, Staged, types};

use super::by_file::{self, ByFile, Passed};
use super::look::Within;
use super::{BuildContext, Built, finish, judge, quoted, require_columns, start, stream, whole};
use crate::project::Model;

/// How much of a model was computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Everything.
    Whole,
    /// Rows at or above this watermark (as SQL wrote it).
    Since(String),
    /// Nothing: a view.
    View,
}

/// The released version that can be built upon; `None` when the model must be built whole.
pub(super) async fn base(model: &Arc<Model>, context: &BuildContext) -> Result<Option<Snapshot>> {
    let Some(version) = context.released.as_ref().and_then(|released| released.version) else {
        return Ok(None);
    };
    let snapshot = context.engine.lake().snapshot(&model.name, version).await?;
    let same_layout = snapshot.partition_columns == model.settings.partition.to_vec();
    Ok((same_layout && !snapshot.files.is_empty()).then_some(snapshot))
}

pub(super) async fn build(
    model: &Arc<Model>,
    rule: &Incremental,
    base: Snapshot,
    context: &BuildContext,
    session: &Session,
) -> Result<Built> {
    let lake = context.engine.lake();
    let schema = types::normalize(&session.schema_of(&model.sql).await?)?;
    require_columns(model, &schema)?;
    let (Some(watermark), true) = (&rule.watermark, same_columns(&schema, &base.schema)) else {
        // Without a watermark nothing tells new rows from old ones, and another schema needs every row again.
        return whole(model, context, session).await;
    };
    let Some(since) = since(model, rule, watermark, &base, context).await? else {
        return whole(model, context, session).await;
    };

    let sql = format!("SELECT * FROM (\n{}\n) AS fresh WHERE {} >= {since}", model.sql, quoted(watermark));
    let output = session.partitions(&sql, &model.settings.sort).await?;
    let suite = Arc::new(Suite::compile(&model.checks, &schema)?);
    let pass = stream::write(model, context, &suite, schema.clone(), output.streams).await?;
    let scanned = laguna_store::scan::scan_totals(output.physical.as_ref());
    let (rows_in, mut bytes_in) = (scanned.rows, scanned.bytes);

    let mut staged = Staged {
        base: Some(base.version),
        rows: base.rows() + pass.written.rows,
        content: context.released.as_ref().and_then(|released| released.content),
        ..start(model, context, &schema, pass.written.clone())?
    };
    let replaced = replace(model, rule, &base, &staged, context).await?;
    staged.rows =
        staged.rows + replaced.kept_rows - replaced.removed.iter().map(|file| file.rows).sum::<u64>();
    staged.content = staged.content.map(|content| ContentHash {
        sum: content
            .sum
            .wrapping_sub(replaced.old.sum)
            .wrapping_add(replaced.kept.sum)
            .wrapping_add(pass.written.content.sum),
        rows: staged.rows,
    });
    staged.removes = replaced.removed;
    staged.adds.extend(replaced.added);
    bytes_in += replaced.bytes_in;

    // The checks speak of the whole table: what stands in it beside the new rows is read once more, and joins what
    // the pass saw of the new ones, those set aside among them.
    let mut within = None;
    let collector = if model.checks.is_empty() {
        pass.collector
    } else {
        let fresh: HashSet<&str> = pass.written.files.iter().map(|file| file.path.as_str()).collect();
        let all = lake.staged_snapshot(&staged).await?;
        let mut kept = all.clone();
        kept.files.retain(|file| !fresh.contains(file.path.as_str()));
        let states = Arc::new(lake.file_states(&model.name));
        let kept = Arc::new(ByFile::new(session, Arc::new(kept), states.clone())?);
        let Passed { mut collector, bytes, failing, .. } =
            kept.pass(&suite, &schema, context.progress.as_ref()).await?;
        bytes_in += bytes;
        // Rows that are refused lie in the kept files that tell so, and in any of the new ones.
        let all = Arc::new(ByFile::new(session, Arc::new(all), states)?);
        let in_kept =
            |check: usize, path: &str| failing[check].iter().any(|file| kept.files()[*file].path == path);
        let failing = (0..failing.len()).map(|check| {
            let may_fail = |file: &DataFile| match fresh.contains(file.path.as_str()) {
                true => pass.collector.refused(check) > 0,
                false => in_kept(check, &file.path),
            };
            (0..all.files().len()).filter(|file| may_fail(&all.files()[*file])).collect()
        });
        within = Some(Within { failing: failing.collect(), files: all });
        collector.merge(pass.collector);
        collector
    };
    let judged = judge(model, context, &suite, collector, within, &mut staged, &mut bytes_in).await?;
    finish(model, context, &mut staged, &judged.verdicts)?;
    if judged.gate != Gate::Block {
        by_file::keep_written(lake, &model.name, pass.fresh, &staged.adds).await;
    }
    let mut quarantined = pass.quarantined;
    quarantined.extend(judged.quarantined);
    Ok(Built {
        schema: staged.schema.clone(),
        gate: judged.gate,
        verdicts: judged.verdicts,
        failing: judged.failing,
        rows_in,
        rows_out: staged.rows,
        bytes_out: staged.adds.iter().map(|file| file.size).sum(),
        bytes_in,
        quarantined,
        scope: Scope::Since(since),
        staged: Some(staged),
    })
}

fn same_columns(new: &SchemaRef, old: &SchemaRef) -> bool {
    new.fields().len() == old.fields().len()
        && new
            .fields()
            .iter()
            .zip(old.fields())
            .all(|(new, old)| new.name() == old.name() && new.data_type() == old.data_type())
}

/// The SQL expression from which rows are computed again: the largest watermark kept, less the lookback.
async fn since(
    model: &Arc<Model>,
    rule: &Incremental,
    watermark: &str,
    base: &Snapshot,
    context: &BuildContext,
) -> Result<Option<String>> {
    let session = context.engine.session(context.tables.clone(), context.instant);
    session.register_this(context.engine.lake().provider(Arc::new(base.clone()))?);
    let field = base
        .schema
        .field_with_name(watermark)
        .map_err(|error| Error::internal("no watermark").caused_by(error))?;
    let column = quoted(watermark);
    let lookback = lookback(model, rule, field.data_type())?;
    let expression = match lookback {
        Some(lookback) => format!("max({column}) - {lookback}"),
        None => format!("max({column})"),
    };
    let answer = laguna_query::collect(
        session.execute(&format!("SELECT CAST({expression} AS VARCHAR) AS since FROM this")).await?,
    )
    .await?;
    let text = answer.first().and_then(|batch| {
        let column = arrow::compute::cast(batch.column(0), &DataType::Utf8).ok()?;
        let column = column.as_string::<i32>();
        (column.len() == 1 && column.is_valid(0)).then(|| column.value(0).to_string())
    });
    let word = match field.data_type() {
        DataType::Date32 => "DATE",
        DataType::Timestamp(_, _) => "TIMESTAMP WITH TIME ZONE",
        DataType::Utf8 => "VARCHAR",
        DataType::Float32 | DataType::Float64 => "DOUBLE",
        DataType::Decimal128(_, _) => "",
        _ => "BIGINT",
    };
    Ok(text.map(|text| {
        if word.is_empty() { text } else { format!("CAST('{}' AS {word})", text.replace('\'', "''")) }
    }))
}

/// The lookback as SQL: an interval for dates and timestamps, a number for numbers.
fn lookback(model: &Arc<Model>, rule: &Incremental, watermark: &DataType) -> Result<Option<String>> {
    let file = model.settings_file.as_deref().unwrap_or(&model.file);
    let wrong = |message: String| {
        Error::project(message)
            .at(file, 0, 0)
            .hint("write `lookback: 3d`, or a number for a numeric watermark")
    };
    let Some(value) = &rule.lookback else { return Ok(None) };
    match (value, watermark) {
        (serde_json::Value::Number(number), kind) if kind.is_numeric() => Ok(Some(number.to_string())),
        (serde_json::Value::String(text), DataType::Date32) => {
            let span = parse_duration(text).ok_or_else(|| wrong(format!("`{text}` is not a duration")))?;
            Ok(Some(format!("INTERVAL '{} days'", span.as_secs().div_ceil(86_400))))
        }
        (serde_json::Value::String(text), DataType::Timestamp(_, _)) => {
            let span = parse_duration(text).ok_or_else(|| wrong(format!("`{text}` is not a duration")))?;
            Ok(Some(format!("INTERVAL '{} milliseconds'", span.as_millis())))
        }
        (value, kind) => Err(wrong(format!("the lookback {value} does not fit a watermark of type {kind}"))),
    }
}

/// What replacing keys did to the files of the base version.
#[derive(Default)]
struct Replaced {
    removed: Vec<DataFile>,
    added: Vec<DataFile>,
    old: ContentHash,
    kept: ContentHash,
    kept_rows: u64,
    bytes_in: u64,
}

/// Writes again, without the replaced keys, those base files that hold any of them.
async fn replace(
    model: &Arc<Model>,
    rule: &Incremental,
    base: &Snapshot,
    staged: &Staged,
    context: &BuildContext,
) -> Result<Replaced> {
    let lake = context.engine.lake();
    let mut replaced = Replaced::default();
    if staged.adds.is_empty() {
        return Ok(replaced);
    }
    let mut fresh = staged.clone();
    fresh.base = None;
    let fresh = Arc::new(lake.staged_snapshot(&fresh).await?);
    let on = rule
        .key
        .iter()
        .map(|column| format!("(old.{0} IS NOT DISTINCT FROM fresh.{0})", quoted(column)))
        .collect::<Vec<_>>()
        .join(" AND ");
    for file in &base.files {
        if !may_share_keys(file, base, &fresh, rule) {
            continue;
        }
        let session = context.engine.session(context.tables.clone(), context.instant);
        session.register_this(lake.provider(fresh.clone())?);
        let one = Snapshot { files: vec![file.clone()], ..base.clone() };
        session.register("old", lake.provider(Arc::new(one))?);
        let count = laguna_query::collect(
            session
                .execute(&format!(
                    "SELECT count(*) FROM old WHERE EXISTS (SELECT 1 FROM this AS fresh WHERE {on})"
                ))
                .await?,
        )
        .await?;
        let shared = count
            .first()
            .map_or(0, |batch| batch.column(0).as_primitive::<arrow::datatypes::Int64Type>().value(0));
        if shared == 0 {
            continue;
        }
        let mut all = session.execute("SELECT * FROM old").await?.stream;
        while let Some(batch) = all.try_next().await.map_err(laguna_query::translate)? {
            replaced.old.update(&types::normalize_batch(&batch, &base.schema)?);
        }
        let kept = format!("SELECT * FROM old WHERE NOT EXISTS (SELECT 1 FROM this AS fresh WHERE {on})");
        let kept = session.partitions(&kept, &model.settings.sort).await?;
        let written = stream::copy(model, context, base.schema.clone(), kept.streams).await?;
        replaced.bytes_in += laguna_store::scan::bytes_scanned(kept.physical.as_ref());
        replaced.kept.merge(&written.content);
        replaced.kept_rows += written.rows;
        replaced.added.extend(written.files);
        replaced.removed.push(file.clone());
    }
    Ok(replaced)
}

/// Whether the log's ranges allow that `file` holds a key of the fresh rows.
fn may_share_keys(file: &DataFile, base: &Snapshot, fresh: &Snapshot, rule: &Incremental) -> bool {
    let old = file.ranges(&base.schema);
    fresh.files.iter().any(|new| {
        let new = new.ranges(&fresh.schema);
        rule.key.iter().all(|column| {
            let (Some(old), Some(new)) = (old.get(column), new.get(column)) else { return true };
            let nulls = old.nulls != Some(0) && new.nulls != Some(0);
            let (Some(old_min), Some(old_max), Some(new_min), Some(new_max)) =
                (&old.min, &old.max, &new.min, &new.max)
            else {
                return true;
            };
            nulls || (old_min <= new_max && new_min <= old_max)
        })
    })
}
