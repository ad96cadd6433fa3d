//! The one query for what the pass cannot answer: uniqueness, foreign keys, counts of different values, other SQL.
//!
//! Each part gives rows `(check_index, total, n, example)`: `total` rows fail in all, `n` of them with this example.
//! No row means that nothing fails.

use std::collections::HashMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, SchemaRef};
use laguna_base::error::Location;
use laguna_base::{Error, Result, TableName};
use serde_json::{Map, Value};

use crate::plan::{Ignore, Plan};
use crate::sql;
use crate::suite::{Compiled, CompiledCheck};
use crate::value::json_of_text;
use crate::view::failed;

/// SQL to run in a session where `this` is the staged table. Its batches are given back to [`crate::Suite::finish`].
#[derive(Debug, Clone, PartialEq)]
pub struct SetQuery {
    /// One statement for all parts.
    pub sql: String,
    /// The same, check by check: when the statement cannot be planned, the part that cannot either is to blame.
    pub parts: Vec<SetPart>,
}

/// The share of one check in a [`SetQuery`].
#[derive(Debug, Clone, PartialEq)]
pub struct SetPart {
    /// Index of the check within its suite.
    pub check: usize,
    /// What people read.
    pub label: String,
    /// Where the check stands.
    pub location: Location,
    /// Its statement.
    pub sql: String,
}

/// What the set query says of one check.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    pub total: u64,
    /// `n` and the texts of `example`.
    pub rows: Vec<(u64, Vec<Option<String>>)>,
    /// `n` and `total`, row by row, where they differ from row to row.
    pub sums: Vec<(u64, u64)>,
}

impl Answer {
    /// At most `limit` values, each as often as it stands there; of several columns an object each.
    pub fn examples(&self, columns: &[(&str, &DataType)], limit: usize) -> Vec<Value> {
        let mut examples = Vec::new();
        for (count, texts) in &self.rows {
            let value = |at: usize| match texts.get(at).and_then(Option::as_deref) {
                Some(text) => json_of_text(text, columns[at].1),
                None => Value::Null,
            };
            let example = if columns.len() == 1 {
                value(0)
            } else {
                let named =
                    columns.iter().enumerate().map(|(at, (name, _))| ((*name).to_string(), value(at)));
                Value::Object(named.collect::<Map<_, _>>())
            };
            let room = limit.saturating_sub(examples.len()).min(*count as usize);
            examples.extend(std::iter::repeat_n(example, room));
        }
        examples
    }
}

pub(crate) const EXAMPLES: usize = 20;

impl SetQuery {
    pub(crate) fn new(parts: Vec<SetPart>) -> Option<SetQuery> {
        let sql =
            parts.iter().map(|part| format!("({})", part.sql)).collect::<Vec<_>>().join("\nUNION ALL\n");
        (!parts.is_empty())
            .then(|| SetQuery { sql: if parts.len() == 1 { parts[0].sql.clone() } else { sql }, parts })
    }
}

/// The rows of one check's statement with its number before them.
pub(crate) fn numbered(index: usize, sql: &str) -> String {
    format!("SELECT CAST({index} AS BIGINT) AS check_index, total, n, example FROM (\n{sql}\n) AS part")
}

/// A row of an answer as SQL: a number and texts.
pub(crate) fn row(total: &str, n: &str, example: &[String]) -> String {
    let none = ["CAST(NULL AS VARCHAR)".to_string()];
    let example = if example.is_empty() { &none } else { example };
    format!(
        "CAST({total} AS BIGINT) AS total, CAST({n} AS BIGINT) AS n, make_array({}) AS example",
        example.join(", ")
    )
}

/// The statement of one check; `None` for those that the pass answers.
pub(crate) fn part(compiled: &Compiled, check: &CompiledCheck, limit: usize) -> Option<String> {
    let source = compiled.source(check);
    match &check.plan {
        Plan::Unique { columns, ignore } => Some(select(
            columns.len(),
            &examples(compiled, columns),
            &repeated(compiled, columns, *ignore, &source),
            limit,
        )),
        Plan::ForeignKey { columns, to, fields } => {
            let keys: Vec<String> = columns.iter().map(|c| key(compiled, *c, "t")).collect();
            let named: Vec<String> = keys.iter().enumerate().map(|(i, k)| format!("{k} AS k{i}")).collect();
            let counted = format!(
                "SELECT {}, count(*) AS n FROM {source} AS t WHERE {} GROUP BY {}",
                named.join(", "),
                keys.iter().map(|k| format!("{k} IS NOT NULL")).collect::<Vec<_>>().join(" AND "),
                keys.join(", ")
            );
            let pairs: Vec<String> =
                fields.iter().enumerate().map(|(i, field)| format!("r.{} = d.k{i}", quote(field))).collect();
            let orphans = format!(
                "SELECT * FROM ({counted}) AS d WHERE NOT EXISTS (SELECT 1 FROM {} AS r WHERE {})",
                table(to),
                pairs.join(" AND ")
            );
            Some(select(columns.len(), &examples(compiled, columns), &orphans, limit))
        }
        Plan::Sql { text } => Some(format!(
            "SELECT {} FROM (\n{}\n) AS failures",
            row("count(*)", "0", &[]),
            sql::embeddable(text)
        )),
        _ => None,
    }
}

fn select(width: usize, examples: &[bool], groups: &str, limit: usize) -> String {
    let texts: Vec<String> = (0..width)
        .map(|i| match examples[i] {
            true => format!("CAST(k{i} AS VARCHAR)"),
            false => "CAST(NULL AS VARCHAR)".to_string(),
        })
        .collect();
    // The smallest keys: the same ones whoever asks, and whenever.
    let shown: Vec<String> = (0..width).filter(|i| examples[*i]).map(|i| format!("k{i}")).collect();
    let order = if shown.is_empty() { String::new() } else { format!(" ORDER BY {}", shown.join(", ")) };
    let row = row("sum(n) OVER ()", "n", &texts);
    format!("SELECT {row} FROM ({groups}) AS g{order} LIMIT {}", at_most(limit))
}

/// A limit as SQL takes it: at least one row, because a row carries the total too.
pub(crate) fn at_most(rows: usize) -> usize {
    rows.clamp(1, i64::MAX as usize)
}

/// Which columns can be shown as text.
fn examples(compiled: &Compiled, columns: &[usize]) -> Vec<bool> {
    columns
        .iter()
        .map(|column| {
            let data_type = compiled.plain_type(*column);
            data_type.is_numeric()
                || data_type.is_temporal()
                || matches!(
                    data_type,
                    DataType::Boolean | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
                )
        })
        .collect()
}

/// Groups of rows with the same key: `k0, k1, …, n`.
fn repeated(compiled: &Compiled, columns: &[usize], ignore: Ignore, source: &str) -> String {
    let keys: Vec<String> = columns.iter().map(|column| key(compiled, *column, "t")).collect();
    let named: Vec<String> = keys.iter().enumerate().map(|(i, k)| format!("{k} AS k{i}")).collect();
    let present: Vec<String> = keys.iter().map(|k| format!("({k} IS NOT NULL)")).collect();
    format!(
        "SELECT {}, count(*) AS n FROM {source} AS t WHERE {} GROUP BY {} HAVING count(*) > 1",
        named.join(", "),
        match ignore {
            Ignore::AllMissing => present.join(" OR "),
            Ignore::AnyMissing => present.join(" AND "),
            Ignore::Never => "true".to_string(),
        },
        keys.join(", ")
    )
}

/// A column as a key: NaN is missing, like null.
fn key(compiled: &Compiled, column: usize, alias: &str) -> String {
    key_of(&compiled.schema, column, alias)
}

/// A column as a key: NaN is missing, like null.
pub(crate) fn key_of(schema: &SchemaRef, column: usize, alias: &str) -> String {
    let field = schema.field(column);
    let name = format!("{alias}.{}", quote(field.name()));
    let data_type = match field.data_type() {
        DataType::Dictionary(_, values) => values,
        other => other,
    };
    if data_type.is_floating() {
        return format!("CASE WHEN isnan({name}) THEN NULL ELSE {name} END");
    }
    name
}

/// The failing rows of set checks: the table's columns and `_check`, the index of the first check that each fails.
pub(crate) fn failing_rows(compiled: &Compiled, failing: &[usize]) -> Option<String> {
    let mut joins = Vec::new();
    let mut cases = Vec::new();
    let mut met = String::new();
    for &index in failing {
        let check = &compiled.checks[index];
        let source = compiled.source(check);
        // Rows that the check does not look at are not refused by it.
        let looked_at = match compiled.conditions[check.condition].sql.as_str() {
            "" => String::new(),
            sql => {
                met.push_str(&format!(", {sql} AS \"_met{index}\""));
                format!(" AND t.\"_met{index}\"")
            }
        };
        match &check.plan {
            Plan::Unique { columns, ignore } => {
                let same = if columns.len() == 1 { "=" } else { "IS NOT DISTINCT FROM" };
                let on: Vec<String> = columns
                    .iter()
                    .enumerate()
                    .map(|(i, column)| format!("({} {same} d{index}.k{i})", key(compiled, *column, "t")))
                    .collect();
                joins.push(format!(
                    "LEFT JOIN ({}) AS d{index} ON {}",
                    repeated(compiled, columns, *ignore, &source),
                    on.join(" AND ")
                ));
                cases.push((index, format!("(d{index}.n IS NOT NULL{looked_at})")));
            }
            Plan::ForeignKey { columns, to, fields } => {
                let named: Vec<String> =
                    fields.iter().enumerate().map(|(i, field)| format!("{} AS k{i}", quote(field))).collect();
                let on: Vec<String> = columns
                    .iter()
                    .enumerate()
                    .map(|(i, column)| format!("({} = d{index}.k{i})", key(compiled, *column, "t")))
                    .collect();
                let present: Vec<String> = columns
                    .iter()
                    .map(|column| format!("{} IS NOT NULL", key(compiled, *column, "t")))
                    .collect();
                joins.push(format!(
                    "LEFT JOIN (SELECT DISTINCT {}, true AS hit FROM {}) AS d{index} ON {}",
                    named.join(", "),
                    table(to),
                    on.join(" AND ")
                ));
                let present = present.join(" AND ");
                cases.push((index, format!("({present} AND d{index}.hit IS NULL{looked_at})")));
            }
            _ => {}
        }
    }
    if cases.is_empty() {
        return None;
    }
    let columns: Vec<String> =
        compiled.schema.fields().iter().map(|field| format!("t.{}", quote(field.name()))).collect();
    let first: Vec<String> = cases.iter().map(|(index, case)| format!("WHEN {case} THEN {index}")).collect();
    let where_any: Vec<&str> = cases.iter().map(|(_, case)| case.as_str()).collect();
    let this = if met.is_empty() { "this".to_string() } else { format!("(SELECT *{met} FROM this)") };
    Some(format!(
        "SELECT {}, CAST(CASE {} END AS BIGINT) AS _check FROM {this} AS t {} WHERE {}",
        columns.join(", "),
        first.join(" "),
        joins.join(" "),
        where_any.join(" OR ")
    ))
}

/// Reads the answers back: one for each check that has rows.
pub(crate) fn read(compiled: &Compiled, batches: &[RecordBatch]) -> Result<HashMap<usize, Answer>> {
    let mut answers: HashMap<usize, Answer> = HashMap::new();
    let malformed = || Error::internal("the answer of the set query has another form than its question");
    for batch in batches.iter().filter(|batch| batch.num_rows() > 0) {
        if batch.num_columns() != 4 {
            return Err(malformed());
        }
        let numbers = |column: usize| cast(batch.column(column), &DataType::Int64).map_err(failed);
        let (checks, totals, counts) = (numbers(0)?, numbers(1)?, numbers(2)?);
        let lists = batch.column(3).as_list_opt::<i32>().ok_or_else(malformed)?;
        for row in 0..batch.num_rows() {
            let at = |array: &dyn Array| array.as_primitive::<Int64Type>().value(row);
            let index = usize::try_from(at(&checks)).map_err(|_| malformed())?;
            if index >= compiled.checks.len() {
                return Err(malformed());
            }
            let answer = answers.entry(index).or_default();
            answer.total = at(&totals).max(0) as u64;
            let texts = cast(&lists.value(row), &DataType::Utf8).map_err(failed)?;
            let texts = texts.as_string::<i32>().iter().map(|text| text.map(str::to_string)).collect();
            answer.rows.push((at(&counts).max(0) as u64, texts));
            answer.sums.push((at(&counts).max(0) as u64, answer.total));
        }
    }
    Ok(answers)
}

fn table(name: &TableName) -> String {
    format!("{}.{}", quote(name.tier.as_str()), quote(&name.table))
}

pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
