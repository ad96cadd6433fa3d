//! The checks of one table, compiled against its schema: the way from specs to verdicts.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use laguna_base::{Error, Result};
use serde_json::Value;

use crate::collector::{Collector, Known};
use crate::moments::{Family, Moments, Numbers};
use crate::plan::{Binding, Metric, Plan};
use crate::range::Range;
use crate::set_query::{self, Answer, SetPart, SetQuery};
use crate::spec::{CheckSpec, Severity};
use crate::value;
use crate::verdict::{Observation, Verdict, VerdictKind};

/// The checks of one table, compiled against its schema.
#[derive(Clone)]
pub struct Suite {
    pub(crate) compiled: Arc<Compiled>,
    pub(crate) keep: Keep,
}

/// How much verdicts tell of failing rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// At most this many failing values of each check.
    pub examples: usize,
    /// Whether the numbers of failing rows are kept, as many as values: they need one stream, fed in order.
    pub row_numbers: bool,
}

impl Default for Keep {
    fn default() -> Keep {
        Keep { examples: set_query::EXAMPLES, row_numbers: false }
    }
}

/// What a suite and its collectors share.
pub(crate) struct Compiled {
    pub schema: SchemaRef,
    pub checks: Vec<CompiledCheck>,
    /// Accumulators of columns, shared by the checks that need them.
    pub numbers: Vec<(usize, Family)>,
    /// Hashes that all collectors together still may keep.
    pub hash_room: AtomicUsize,
}

pub(crate) struct CompiledCheck {
    pub spec: CheckSpec,
    pub plan: Plan,
    /// Which of [`Compiled::numbers`] answers it.
    pub slot: Option<usize>,
}

/// Hashes of keys that uniqueness may keep for one table: 64 MiB.
const HASHES: usize = (64 << 20) / size_of::<u64>();

impl Compiled {
    /// The column's type behind a dictionary.
    pub fn plain_type(&self, column: usize) -> &DataType {
        match self.schema.field(column).data_type() {
            DataType::Dictionary(_, values) => values,
            other => other,
        }
    }
}

impl CompiledCheck {
    /// Whether each row that fails is to blame by itself: critical, and no share of failures is allowed.
    pub fn sets_rows_aside(&self) -> bool {
        self.spec.severity == Severity::Critical && self.spec.arguments.mostly() >= 1.0
    }
}

impl Suite {
    /// Compiles checks against the schema of the table's batches. All that do not fit are reported at their places.
    pub fn compile(specs: &[CheckSpec], schema: &SchemaRef) -> Result<Suite> {
        Self::with_hash_room(specs, schema, HASHES)
    }

    /// Like [`Suite::compile`], with room for another number of key hashes (8 bytes each). Beyond it, uniqueness is
    /// left to the set query.
    pub fn with_hash_room(specs: &[CheckSpec], schema: &SchemaRef, hashes: usize) -> Result<Suite> {
        let binding = Binding::new(schema);
        let mut checks = Vec::with_capacity(specs.len());
        let mut numbers: Vec<(usize, Family)> = Vec::new();
        let mut errors = Vec::new();
        for spec in specs {
            match (spec.kind.plan)(&spec.arguments, &binding) {
                Ok(plan) => {
                    let slot = match &plan {
                        Plan::Aggregate { column, metric, .. } => Some((*column, metric.family())),
                        Plan::Distinct { column, .. } => Some((*column, Family::Moments)),
                        _ => None,
                    };
                    let slot = slot.map(|wanted| {
                        numbers.iter().position(|known| *known == wanted).unwrap_or_else(|| {
                            numbers.push(wanted);
                            numbers.len() - 1
                        })
                    });
                    checks.push(CompiledCheck { spec: spec.clone(), plan, slot });
                }
                Err(error) => errors.push(error.at_location(spec.location.clone())),
            }
        }
        if let Some(error) = Error::many(errors) {
            return Err(error);
        }
        let hash_room = AtomicUsize::new(hashes);
        let compiled = Compiled { schema: schema.clone(), checks, numbers, hash_room };
        Ok(Suite { compiled: Arc::new(compiled), keep: Keep::default() })
    }

    /// What verdicts tell of failing rows: at most `keep.examples` values of each check, and their row numbers.
    pub fn keeping(self, keep: Keep) -> Suite {
        Suite { keep, ..self }
    }

    /// The checks, in the order in which verdicts come and to which row answers refer.
    pub fn checks(&self) -> impl ExactSizeIterator<Item = &CheckSpec> {
        self.compiled.checks.iter().map(|check| &check.spec)
    }

    /// Columns that the pass reads, each once however many checks look at it.
    pub fn columns(&self) -> Vec<String> {
        let columns: BTreeSet<usize> = self
            .compiled
            .checks
            .iter()
            .flat_map(|check| match &check.plan {
                Plan::Row(row) => row.columns.clone(),
                Plan::Unique { columns, .. } | Plan::ForeignKey { columns, .. } => columns.clone(),
                Plan::Aggregate { column, .. } | Plan::Distinct { column, .. } => vec![*column],
                Plan::Sql { .. } | Plan::Table(_) => Vec::new(),
            })
            .collect();
        columns.into_iter().map(|index| self.compiled.schema.field(index).name().clone()).collect()
    }

    /// Whether the schema and the number of rows answer every check, so that no batch need be fed. Without batches
    /// tell the number of rows by [`Collector::count_rows`].
    pub fn needs_no_rows(&self) -> bool {
        self.compiled.checks.iter().all(|check| matches!(check.plan, Plan::Table(_)))
    }

    /// An accumulator for one stream of batches.
    pub fn collector(&self) -> Collector {
        Collector::new(self.compiled.clone())
    }

    /// Whether a set query may follow the pass: always for foreign keys and free SQL, on suspicion for uniqueness,
    /// beyond the room for hashes for counts of different values.
    pub fn needs_set_query(&self) -> bool {
        self.compiled.checks.iter().any(|check| {
            matches!(
                check.plan,
                Plan::Unique { .. } | Plan::ForeignKey { .. } | Plan::Sql { .. } | Plan::Distinct { .. }
            )
        })
    }

    /// SQL for what the pass left open, over a table named `this`; `None` when nothing is.
    pub fn set_query(&self, merged: &Collector) -> Option<SetQuery> {
        let open = (0..self.compiled.checks.len()).filter(|index| merged.is_open(*index));
        SetQuery::new(
            open.filter_map(|index| {
                let spec = &self.compiled.checks[index].spec;
                let sql = set_query::part(&self.compiled, index)?;
                Some(SetPart { check: index, label: spec.label(), location: spec.location.clone(), sql })
            })
            .collect(),
        )
    }

    /// One verdict for each check, in order. `answers` are the batches of the set query; they may be left out when
    /// [`Suite::set_query`] gave none.
    pub fn finish(&self, mut merged: Collector, answers: Option<Vec<RecordBatch>>) -> Result<Vec<Verdict>> {
        if let Some(error) = merged.take_error() {
            return Err(error);
        }
        if answers.is_none() && self.set_query(&merged).is_some() {
            return Err(Error::internal("the set query of the checks was not answered"));
        }
        let answers = set_query::read(&self.compiled, answers.as_deref().unwrap_or_default())?;
        (0..self.compiled.checks.len())
            .map(|index| self.verdict(index, &mut merged, answers.get(&index).cloned()))
            .collect()
    }

    /// A statement for the rows of `this` that critical set checks refuse (`on_fail: quarantine`): the table's columns
    /// and `_check`, the index of the first such check. `None` when no set check fails.
    pub fn failing_rows_sql(&self, verdicts: &[Verdict]) -> Option<String> {
        let failing: Vec<usize> = self
            .compiled
            .checks
            .iter()
            .zip(verdicts)
            .enumerate()
            .filter(|(_, (check, verdict))| {
                !verdict.success && verdict.kind == VerdictKind::Set && check.sets_rows_aside()
            })
            .map(|(index, _)| index)
            .collect();
        set_query::failing_rows(&self.compiled, &failing)
    }

    fn verdict(&self, index: usize, merged: &mut Collector, found: Option<Answer>) -> Result<Verdict> {
        let check = &self.compiled.checks[index];
        let Known { rows, missing, unexpected, examples, distinct } = merged.known(index);
        let answer = found.clone().unwrap_or_default();
        let names = |columns: &[usize]| {
            columns
                .iter()
                .map(|c| self.compiled.schema.field(*c).name().as_str())
                .collect::<Vec<_>>()
                .join(", ")
        };
        Ok(match &check.plan {
            Plan::Row(row) => {
                let what = if !row.whole_rows {
                    format!("values of {}", names(&row.columns[..1]))
                } else {
                    "rows".to_string()
                };
                let counts = Counts { rows, missing, unexpected, examples };
                self.counted(index, VerdictKind::Row, counts, &what, &row.says)
            }
            Plan::Unique { columns, .. } => {
                let counts = Counts { rows, missing, unexpected: answer.total, examples: answer.examples };
                let what = if columns.len() == 1 { "values" } else { "combinations" };
                self.counted(
                    index,
                    VerdictKind::Set,
                    counts,
                    &format!("{what} of {}", names(columns)),
                    "are repeated",
                )
            }
            Plan::ForeignKey { columns, to, fields } => {
                let counts = Counts { rows, missing, unexpected: answer.total, examples: answer.examples };
                let says = format!("are not found in {to} ({})", fields.join(", "));
                self.counted(index, VerdictKind::Set, counts, &format!("values of {}", names(columns)), &says)
            }
            Plan::Sql { .. } => {
                let counts = Counts { rows, missing: 0, unexpected: answer.total, examples: Vec::new() };
                let mut verdict = self.counted(index, VerdictKind::Table, counts, "rows", "fail");
                // The query may return more rows than the table has, so no share of it is told.
                verdict.message = format!("the query returned {} rows", answer.total);
                verdict.success = answer.total == 0;
                verdict.observed = Value::from(answer.total);
                verdict.unexpected_percent = 0.0;
                verdict
            }
            Plan::Aggregate { column, metric, range } => {
                let seen = observe(*metric, range, merged.numbers(check.slot), names(&[*column]))?;
                self.observed(index, rows, seen)
            }
            Plan::Distinct { column, share, range } => {
                let present = merged.moments(check.slot).present;
                let count = found.map_or(distinct, |answer| answer.total);
                let value = match *share {
                    true if present == 0 => 0.0,
                    true => count as f64 / present as f64,
                    false => count as f64,
                };
                let name = names(&[*column]);
                let message = match *share {
                    true => format!("{count} of {present} values of {name} are different ones"),
                    false => format!("{name} has {count} different values"),
                };
                let observed = if *share { Value::from(value) } else { Value::from(count) };
                self.observed(index, rows, Observation { observed, success: range.holds(value), message })
            }
            Plan::Table(test) => self.observed(index, rows, test.judge(&self.compiled.schema, rows)),
        })
    }

    fn counted(&self, index: usize, kind: VerdictKind, counts: Counts, what: &str, says: &str) -> Verdict {
        let check = &self.compiled.checks[index];
        let Counts { rows, missing, unexpected, examples } = counts;
        let judged = rows.saturating_sub(missing);
        let mostly = check.spec.arguments.mostly();
        let share = if judged == 0 { 1.0 } else { judged.saturating_sub(unexpected) as f64 / judged as f64 };
        let percent = if judged == 0 { 0.0 } else { unexpected as f64 / judged as f64 * 100.0 };
        let mut message = match unexpected {
            0 => format!("none of {judged} {what} {says}"),
            some => format!("{some} of {judged} {what} {says}"),
        };
        if unexpected > 0 && mostly < 1.0 {
            message.push_str(&format!(" ({percent:.2} %, {:.2} % allowed)", (1.0 - mostly) * 100.0));
        }
        Verdict {
            success: share >= mostly,
            kind: if mostly < 1.0 { VerdictKind::Table } else { kind },
            element_count: rows,
            unexpected_count: unexpected,
            missing_count: missing,
            unexpected_percent: percent,
            examples,
            observed: Value::Null,
            message,
            ..self.blank(index)
        }
    }

    fn observed(&self, index: usize, rows: u64, seen: Observation) -> Verdict {
        Verdict {
            success: seen.success,
            element_count: rows,
            observed: seen.observed,
            message: seen.message,
            ..self.blank(index)
        }
    }

    fn blank(&self, index: usize) -> Verdict {
        let spec = &self.compiled.checks[index].spec;
        Verdict {
            check: spec.name().to_string(),
            label: spec.label(),
            column: match spec.columns().as_slice() {
                [one] => Some(one.clone()),
                _ => None,
            },
            kwargs: spec.kwargs(),
            severity: spec.severity,
            success: true,
            kind: VerdictKind::Table,
            element_count: 0,
            unexpected_count: 0,
            missing_count: 0,
            unexpected_percent: 0.0,
            examples: Vec::new(),
            unexpected_index: Vec::new(),
            observed: Value::Null,
            details: Value::Null,
            error: None,
            meta: spec.kept.meta.clone(),
            notes: spec.kept.notes.clone(),
            description: spec.description.clone(),
            id: spec.kept.id.clone(),
            message: String::new(),
        }
    }
}

struct Counts {
    rows: u64,
    missing: u64,
    unexpected: u64,
    examples: Vec<Value>,
}

fn observe(
    metric: Metric,
    range: &Range,
    numbers: Option<&mut Numbers>,
    name: String,
) -> Result<Observation> {
    let none = |what: &str| Observation {
        observed: Value::Null,
        success: false,
        message: format!("the {what} of {name} is unknown: it has too few values"),
    };
    let word = match metric {
        Metric::Min => "minimum",
        Metric::Max => "maximum",
        Metric::Mean => "mean",
        Metric::Sum => "sum",
        Metric::Stdev => "standard deviation",
        Metric::Present => "share of values that are not null",
    };
    let numbers = numbers.ok_or_else(|| Error::internal("an aggregate without its accumulator"))?;
    if matches!(metric, Metric::Min | Metric::Max) {
        let Some(extreme) = numbers.extreme()? else { return Ok(none(word)) };
        let array = extreme.to_array().map_err(crate::view::failed)?;
        let observed = value::json(&array, 0);
        let success = range.outside(&array)?.is_none();
        let shown = observed.as_str().map_or_else(|| observed.to_string(), str::to_string);
        return Ok(Observation { success, message: format!("the {word} of {name} is {shown}"), observed });
    }
    let empty = Moments::default();
    let moments = match numbers {
        Numbers::Moments(moments) => moments,
        Numbers::Extreme(_) => &empty,
    };
    let total = moments.present + moments.missing;
    let number = match metric {
        Metric::Mean => moments.mean(),
        Metric::Stdev => moments.stdev(),
        Metric::Sum => Some(moments.sum()),
        _ => (total > 0).then(|| moments.present as f64 / total as f64),
    };
    let Some(number) = number else { return Ok(none(word)) };
    Ok(Observation {
        observed: Value::from(number),
        success: range.holds(number),
        message: format!("the {word} of {name} is {number}"),
    })
}
