//! The one query for what the pass cannot answer: uniqueness, foreign keys, counts of different values, other SQL.
//!
//! Each part gives rows `(check_index, total, n, example)`: `total` rows fail in all, `n` of them with this example.
//! No row means that nothing fails.

use std::collections::HashMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use laguna_base::error::Location;
use laguna_base::{Error, Result, TableName};
use serde_json::{Map, Value};

use crate::plan::Plan;
use crate::sql;
use crate::suite::Compiled;
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
    pub examples: Vec<Value>,
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

/// The statement of one check; `None` for those that the pass answers.
pub(crate) fn part(compiled: &Compiled, index: usize) -> Option<String> {
    let check = &compiled.checks[index];
    let keys =
        |columns: &[usize]| -> Vec<String> { columns.iter().map(|c| key(compiled, *c, "t")).collect() };
    match &check.plan {
        Plan::Unique { columns } => {
            Some(select(index, columns.len(), &examples(compiled, columns), &repeated(compiled, columns)))
        }
        Plan::ForeignKey { columns, to, fields } => {
            let keys = keys(columns);
            let named: Vec<String> = keys.iter().enumerate().map(|(i, k)| format!("{k} AS k{i}")).collect();
            let counted = format!(
                "SELECT {}, count(*) AS n FROM this AS t WHERE {} GROUP BY {}",
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
            Some(select(index, columns.len(), &examples(compiled, columns), &orphans))
        }
        Plan::Sql { text } => Some(format!(
            "SELECT CAST({index} AS BIGINT) AS check_index, CAST(count(*) AS BIGINT) AS total, \
             CAST(0 AS BIGINT) AS n, make_array(CAST(NULL AS VARCHAR)) AS example FROM (\n{}\n) AS failures",
            sql::embeddable(text)
        )),
        Plan::Distinct { column, .. } => Some(format!(
            "SELECT CAST({index} AS BIGINT) AS check_index, CAST(count(DISTINCT {}) AS BIGINT) AS total, \
             CAST(0 AS BIGINT) AS n, make_array(CAST(NULL AS VARCHAR)) AS example FROM this AS t",
            key(compiled, *column, "t")
        )),
        Plan::Row(_) | Plan::Aggregate { .. } | Plan::Table(_) => None,
    }
}

fn select(index: usize, width: usize, examples: &[bool], groups: &str) -> String {
    let texts: Vec<String> =
        (0..width)
            .map(|i| {
                if examples[i] {
                    format!("CAST(k{i} AS VARCHAR)")
                } else {
                    "CAST(NULL AS VARCHAR)".to_string()
                }
            })
            .collect();
    format!(
        "SELECT CAST({index} AS BIGINT) AS check_index, CAST(sum(n) OVER () AS BIGINT) AS total, \
         CAST(n AS BIGINT) AS n, make_array({}) AS example FROM ({groups}) AS g LIMIT {EXAMPLES}",
        texts.join(", ")
    )
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

/// Groups of rows with the same key: `k0, k1, …, n`. Rows whose key is missing as a whole are taken out.
fn repeated(compiled: &Compiled, columns: &[usize]) -> String {
    let keys: Vec<String> = columns.iter().map(|column| key(compiled, *column, "t")).collect();
    let named: Vec<String> = keys.iter().enumerate().map(|(i, k)| format!("{k} AS k{i}")).collect();
    format!(
        "SELECT {}, count(*) AS n FROM this AS t WHERE {} GROUP BY {} HAVING count(*) > 1",
        named.join(", "),
        keys.iter().map(|k| format!("{k} IS NOT NULL")).collect::<Vec<_>>().join(" OR "),
        keys.join(", ")
    )
}

/// A column as a key: NaN is missing, like null.
fn key(compiled: &Compiled, column: usize, alias: &str) -> String {
    let name = format!("{alias}.{}", quote(compiled.schema.field(column).name()));
    if compiled.plain_type(column).is_floating() {
        return format!("CASE WHEN isnan({name}) THEN NULL ELSE {name} END");
    }
    name
}

/// The failing rows of set checks: the table's columns and `_check`, the index of the first check that each fails.
pub(crate) fn failing_rows(compiled: &Compiled, failing: &[usize]) -> Option<String> {
    let mut joins = Vec::new();
    let mut cases = Vec::new();
    for &index in failing {
        match &compiled.checks[index].plan {
            Plan::Unique { columns } => {
                let same = if columns.len() == 1 { "=" } else { "IS NOT DISTINCT FROM" };
                let on: Vec<String> = columns
                    .iter()
                    .enumerate()
                    .map(|(i, column)| format!("{} {same} d{index}.k{i}", key(compiled, *column, "t")))
                    .collect();
                joins.push(format!(
                    "LEFT JOIN ({}) AS d{index} ON {}",
                    repeated(compiled, columns),
                    on.join(" AND ")
                ));
                cases.push((index, format!("d{index}.n IS NOT NULL")));
            }
            Plan::ForeignKey { columns, to, fields } => {
                let named: Vec<String> =
                    fields.iter().enumerate().map(|(i, field)| format!("{} AS k{i}", quote(field))).collect();
                let on: Vec<String> = columns
                    .iter()
                    .enumerate()
                    .map(|(i, column)| format!("{} = d{index}.k{i}", key(compiled, *column, "t")))
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
                cases.push((index, format!("({} AND d{index}.hit IS NULL)", present.join(" AND "))));
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
    Some(format!(
        "SELECT {}, CAST(CASE {} END AS BIGINT) AS _check FROM this AS t {} WHERE {}",
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
            let check = compiled.checks.get(index).ok_or_else(malformed)?;
            let answer = answers.entry(index).or_default();
            answer.total = at(&totals).max(0) as u64;
            let columns = match &check.plan {
                Plan::Unique { columns } | Plan::ForeignKey { columns, .. } => columns,
                _ => continue,
            };
            let texts = cast(&lists.value(row), &DataType::Utf8).map_err(failed)?;
            let texts = texts.as_string::<i32>();
            let value = |i: usize| match texts.is_valid(i) {
                true => json_of_text(texts.value(i), compiled.plain_type(columns[i])),
                false => Value::Null,
            };
            let example = if columns.len() == 1 {
                value(0)
            } else {
                let named = columns.iter().enumerate();
                Value::Object(
                    named
                        .map(|(i, c)| (compiled.schema.field(*c).name().clone(), value(i)))
                        .collect::<Map<_, _>>(),
                )
            };
            let room = EXAMPLES.saturating_sub(answer.examples.len()).min(at(&counts).max(0) as usize);
            answer.examples.extend(std::iter::repeat_n(example, room));
        }
    }
    Ok(answers)
}

fn table(name: &TableName) -> String {
    format!("{}.{}", quote(name.tier.as_str()), quote(&name.table))
}

fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
