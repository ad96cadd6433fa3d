//! From what the pass and the set query know to verdicts.

use arrow::datatypes::DataType;
use laguna_base::Result;
use serde_json::{Value, json};

use super::Suite;
use crate::collector::{Collector, described};
use crate::gather::Slot;
use crate::plan::{Ignore, Known, LateTest, Plan, RowPlan, Shows};
use crate::range;
use crate::set_query::Answer;
use crate::verdict::{Counted, Observation, Verdict, VerdictKind};

/// Rows that a check counted.
struct Counts {
    rows: u64,
    missing: u64,
    unexpected: u64,
    examples: Vec<Value>,
    numbers: Vec<u64>,
}

impl Suite {
    pub(super) fn verdict(&self, index: usize, merged: &Collector, answer: &Answer) -> Result<Verdict> {
        let check = &self.compiled.checks[index];
        let state = merged.state(index);
        if let Some(error) = merged.unmet(check.condition) {
            return Ok(self.broken(index, error));
        }
        if let Some(error) = state.error.as_ref().filter(|_| !matches!(check.plan, Plan::Misfit(_))) {
            return Ok(self.broken(index, error));
        }
        let rows = merged.met(check.condition);
        let schema = &self.compiled.schema;
        let names = |columns: &[usize]| self.names(columns);
        let in_pass = || Counts {
            rows,
            missing: state.missing,
            unexpected: state.unexpected,
            examples: state.examples.clone(),
            numbers: state.numbers.clone(),
        };
        let column_types = |columns: &[usize]| -> Vec<_> {
            columns
                .iter()
                .map(|column| (schema.field(*column).name().as_str(), self.compiled.plain_type(*column)))
                .collect()
        };
        Ok(match &check.plan {
            Plan::Broken(error) => self.broken(index, error),
            Plan::Misfit(misfit) => {
                let error = &misfit.error;
                let present: Vec<u64> = check
                    .slots
                    .iter()
                    .filter_map(|slot| match merged.slot(*slot) {
                        Slot::Moments(moments) => Some(moments.present),
                        _ => None,
                    })
                    .collect();
                if !present.contains(&0) {
                    return Ok(self.broken(index, error));
                }
                if let Some((plan, texts)) = &misfit.of_nothing
                    && misfit
                        .columns
                        .iter()
                        .zip(&present)
                        .all(|(at, count)| !texts.contains(at) || *count == 0)
                {
                    return match plan.as_ref() {
                        Plan::Row(row) if state.error.is_none() => Ok(self.of_rows(index, row, in_pass())),
                        Plan::Late(test) => self.of_nothing(index, test.as_ref(), merged),
                        _ => Ok(self.broken(index, error)),
                    };
                }
                // No value is there that could be of the wrong type.
                let skips = matches!(
                    check.spec.arguments.text("ignore_row_if"),
                    Some("any_value_is_missing" | "either_value_is_missing")
                );
                let success = check.spec.kind.mostly && (skips || present.iter().all(|count| *count == 0));
                let message = format!("there are no values to judge; with values: {error}");
                let mut seen = Observation { success, message, ..Observation::default() };
                if check.spec.kind.mostly && success {
                    seen.counted = Some(Counted { missing: rows, ..Counted::default() });
                }
                if check.spec.kind.short == "sum" {
                    // The sum of nothing is 0, whatever the type.
                    seen.success = range::numeric(&check.spec.arguments)?.holds(0.0);
                    seen.observed = Value::from(0);
                }
                self.observed(index, rows, seen)
            }
            Plan::Row(row) => self.of_rows(index, row, in_pass()),
            Plan::Order(order) => {
                let what = format!("values of {}", names(&[order.column]));
                let direction = if order.descending { "fall" } else { "rise" };
                let says = match order.strictly {
                    true => format!("do not {direction}"),
                    false => format!("do not {direction} or stay"),
                };
                self.counted(index, VerdictKind::Table, in_pass(), &what, &says)
            }
            Plan::Unique { columns, .. } => {
                let missing = merged.keys(check).map_or(0, |keys| keys.missing);
                let counts = match merged.repeats(check) {
                    Some(repeats) if self.shows_rows => {
                        Counts { missing, unexpected: repeats.repeated, ..in_pass() }
                    }
                    repeats => Counts {
                        rows,
                        missing,
                        unexpected: answer.total,
                        examples: answer.examples(&column_types(columns), merged.keeping().examples),
                        numbers: match repeats {
                            Some(repeats) if repeats.repeated == answer.total => repeats.rows.clone(),
                            _ => Vec::new(),
                        },
                    },
                };
                let what = if columns.len() == 1 { "values" } else { "combinations" };
                let what = format!("{what} of {}", names(columns));
                self.counted(index, VerdictKind::Set, counts, &what, "are repeated")
            }
            Plan::ForeignKey { columns, to, fields } => {
                let counts = Counts {
                    unexpected: answer.total,
                    examples: answer.examples(&column_types(columns), merged.keeping().examples),
                    ..in_pass()
                };
                let says = format!("are not found in {to} ({})", fields.join(", "));
                self.counted(index, VerdictKind::Set, counts, &format!("values of {}", names(columns)), &says)
            }
            Plan::Sql { .. } => {
                let counts = Counts { unexpected: answer.total, missing: 0, ..in_pass() };
                let mut verdict = self.counted(index, VerdictKind::Table, counts, "rows", "fail");
                // The query may return more rows than the table has, so no share of it is told.
                verdict.message = format!("the query returned {} rows", answer.total);
                verdict.success = answer.total == 0;
                verdict.observed = Value::from(answer.total);
                verdict.unexpected_percent = 0.0;
                verdict
            }
            Plan::Late(test) => match test.judge(&self.compiled.known(check, merged), answer) {
                Ok(seen) => self.observed(index, rows, seen),
                Err(error) => self.broken(index, &described(&error)),
            },
            Plan::Table(test) => self.observed(index, rows, test.judge(schema, rows)),
        })
    }

    /// The verdict of a check that judges each row by itself.
    fn of_rows(&self, index: usize, row: &RowPlan, counts: Counts) -> Verdict {
        let what = match (row.shows, row.columns.as_slice()) {
            (Shows::Value, [column, ..]) => format!("values of {}", self.names(&[*column])),
            (_, columns) if row.ignore != Ignore::Never || row.shows == Shows::Pair => {
                format!("rows of {}", self.names(columns))
            }
            _ => "rows".to_string(),
        };
        let mut verdict = self.counted(index, VerdictKind::Row, counts, &what, &row.says);
        if row.shows == Shows::Row
            && row.ignore == Ignore::Never
            && self.compiled.checks[index].spec.arguments.text("unexpected_rows_query").is_some()
        {
            verdict.observed = Value::from(verdict.unexpected_count);
            verdict.details = json!({"unexpected_rows": verdict.examples});
        }
        verdict
    }

    /// The verdict of a check of columns without any value.
    fn of_nothing(&self, index: usize, test: &dyn LateTest, merged: &Collector) -> Result<Verdict> {
        let check = &self.compiled.checks[index];
        let rows = merged.met(check.condition);
        let needs = test.needs();
        let slots = needs.iter().map(|need| Slot::new(need, |_| DataType::Null, false));
        let mut slots = slots.collect::<Result<Vec<Slot>>>()?;
        for slot in &mut slots {
            if let Slot::Moments(moments) = slot {
                moments.missing = rows;
            }
        }
        let known = Known { slots: slots.iter().collect(), ..self.compiled.known(check, merged) };
        Ok(match test.judge(&known, &Answer::default()) {
            Ok(seen) => self.observed(index, rows, seen),
            Err(error) => self.broken(index, &described(&error)),
        })
    }

    /// The names of columns, as they are told.
    fn names(&self, columns: &[usize]) -> String {
        let schema = &self.compiled.schema;
        columns.iter().map(|column| schema.field(*column).name().as_str()).collect::<Vec<_>>().join(", ")
    }

    fn counted(&self, index: usize, kind: VerdictKind, counts: Counts, what: &str, says: &str) -> Verdict {
        let check = &self.compiled.checks[index];
        let Counts { rows, missing, unexpected, examples, numbers } = counts;
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
            unexpected_index: numbers,
            message,
            ..self.blank(index)
        }
    }

    fn observed(&self, index: usize, rows: u64, seen: Observation) -> Verdict {
        let Observation { observed, success, message, details, counted } = seen;
        let Counted { missing, unexpected, examples, rows: numbers } = counted.unwrap_or_default();
        let judged = rows.saturating_sub(missing);
        Verdict {
            success,
            element_count: rows,
            missing_count: missing,
            unexpected_count: unexpected,
            unexpected_percent: if judged == 0 { 0.0 } else { unexpected as f64 / judged as f64 * 100.0 },
            examples,
            unexpected_index: numbers,
            observed,
            details,
            message,
            ..self.blank(index)
        }
    }

    fn broken(&self, index: usize, error: &str) -> Verdict {
        let message = format!("it could not be judged: {error}");
        Verdict { success: false, error: Some(error.to_string()), message, ..self.blank(index) }
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
