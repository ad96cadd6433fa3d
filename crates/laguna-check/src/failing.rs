//! Which rows fail: looked for again, and only until enough of each check are found, when its verdict is known.

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, SchemaRef};
use laguna_base::Result;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::spec::CheckSpec;
use crate::suite::{Keep, Suite};
use crate::value;
use crate::verdict::{Verdict, VerdictKind};

/// A row that a check refuses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FailingRow {
    /// The file that it came from, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Its number in that file, from 1, headers not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// Its key and the columns of the check; of a table without a key all columns.
    pub row: Value,
}

impl FailingRow {
    /// A row of `batch` with the columns `shown`, and where it came from when the batch has `_source`.
    pub fn of(batch: &RecordBatch, row: usize, shown: &[usize]) -> FailingRow {
        let source = batch.column_by_name("_source").and_then(|source| {
            let source = source.as_struct_opt()?;
            let file = source.column_by_name("file")?.as_string_opt::<i32>()?.value(row).to_string();
            let number = source.column_by_name("row")?.as_primitive_opt::<Int64Type>()?.value(row);
            Some((file, number.unsigned_abs()))
        });
        let (file, number) = source.unzip();
        FailingRow { file, number, row: row_values(batch, row, shown) }
    }
}

/// Looks for the rows that failed checks refuse.
pub struct RowFinder {
    /// Place in the suite, and the check alone.
    wanted: Vec<(usize, CheckSpec, Suite)>,
    left: Vec<u64>,
    limit: usize,
}

impl RowFinder {
    /// For the checks among `specs` whose rows can be told one by one; at most `limit` rows of each are looked for.
    /// `None` when there is nothing to look for.
    pub fn new(
        specs: &[CheckSpec],
        verdicts: &[Verdict],
        schema: &SchemaRef,
        limit: usize,
    ) -> Result<Option<RowFinder>> {
        let mut finder = RowFinder { wanted: Vec::new(), left: Vec::new(), limit };
        for (at, (spec, verdict)) in specs.iter().zip(verdicts).enumerate() {
            let alone = |word: &str| !spec.name().contains(word);
            let by_itself = alone("increasing") && alone("decreasing") && alone("z_scores");
            if verdict.success
                || verdict.unexpected_count == 0
                || verdict.kind == VerdictKind::Set
                || !by_itself
            {
                continue;
            }
            let Ok(suite) = Suite::compile(std::slice::from_ref(spec), schema) else { continue };
            if suite.needs_set_query() || suite.needs_no_rows() {
                continue;
            }
            finder.wanted.push((
                at,
                spec.clone(),
                suite.keeping(Keep { examples: limit, row_numbers: true }),
            ));
            finder.left.push(verdict.unexpected_count.min(limit as u64));
        }
        Ok((limit > 0 && !finder.wanted.is_empty()).then_some(finder))
    }

    /// The checks whose rows are looked for, and how many of each.
    pub fn wanted(&self) -> impl Iterator<Item = (usize, u64)> {
        self.wanted.iter().map(|(at, ..)| *at).zip(self.left.iter().copied())
    }

    /// Whether enough rows of every check were found.
    pub fn is_done(&self) -> bool {
        self.left.iter().all(|left| *left == 0)
    }

    /// Whether more rows of one check are looked for.
    pub fn wants(&self, check: usize) -> bool {
        self.wanted.iter().zip(&self.left).any(|((at, ..), left)| *at == check && *left > 0)
    }

    /// Check and row of the batch, for the rows of `batch` that are wanted.
    pub fn update(&mut self, batch: &RecordBatch) -> Result<Vec<(usize, usize)>> {
        let mut found = Vec::new();
        for ((at, _, suite), left) in self.wanted.iter().zip(&mut self.left) {
            if *left == 0 {
                continue;
            }
            let mut collector = suite.collector();
            collector.update(batch)?;
            let Some(verdict) = suite.finish(collector, None)?.pop() else { continue };
            for row in verdict.unexpected_index.into_iter().take((*left).min(self.limit as u64) as usize) {
                *left -= 1;
                found.push((*at, row as usize));
            }
        }
        Ok(found)
    }

    /// Columns that a row shows for the check at `at`: the key and its own; all when there is no key.
    pub fn shown(specs: &[CheckSpec], at: usize, schema: &SchemaRef, key: &[String]) -> Vec<usize> {
        let own = specs.get(at).map(CheckSpec::columns).unwrap_or_default();
        let all = schema.fields().iter().enumerate();
        all.filter(|(_, field)| {
            let name = field.name();
            match key.is_empty() {
                true => !name.starts_with('_'),
                false => key.contains(name) || own.contains(name),
            }
        })
        .map(|(column, _)| column)
        .collect()
    }
}

/// The values of one row, by column.
pub fn row_values(batch: &RecordBatch, row: usize, columns: &[usize]) -> Value {
    let schema = batch.schema();
    let values: Map<String, Value> = columns
        .iter()
        .map(|column| (schema.field(*column).name().clone(), value::json(batch.column(*column), row)))
        .collect();
    Value::Object(values)
}
