//! Suggested checks: one pass over the rows profiles each column, and what holds of all of them becomes a suite with
//! its reasons. What every table of the kind passes is left out.

mod profile;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use laguna_base::Result;
use laguna_base::human::{count, thousands};
use serde_json::{Map, Value, json};

use crate::great_expectations::write_suite;
use profile::{Column, Seen};

/// What the rows of a table have shown.
#[derive(Debug, Clone)]
pub struct Profile {
    schema: SchemaRef,
    rows: u64,
    columns: Vec<Column>,
}

/// A suggested check.
#[derive(Debug, Clone, PartialEq)]
pub struct Suggestion {
    /// Great Expectations' name.
    pub check: &'static str,
    /// The short name.
    pub short: &'static str,
    /// The column; `None` for the table.
    pub column: Option<String>,
    /// Arguments besides the column.
    pub arguments: Map<String, Value>,
    /// What was seen.
    pub reason: String,
}

/// Different values that a list may hold.
const LISTED: usize = 30;
/// Rows below which a value that never repeats says nothing.
const FEW: u64 = 10;

impl Profile {
    /// Nothing seen yet.
    pub fn new(schema: &SchemaRef) -> Profile {
        let columns = schema.fields().iter().map(|field| Column::new(field.data_type())).collect();
        Profile { schema: schema.clone(), rows: 0, columns }
    }

    /// Rows seen.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Looks at more rows, in the schema that was given.
    pub fn update(&mut self, batch: &RecordBatch) -> Result<()> {
        self.rows += batch.num_rows() as u64;
        for (column, array) in self.columns.iter_mut().zip(batch.columns()) {
            column.update(array)?;
        }
        Ok(())
    }

    /// Joins what another pass over the same schema has seen.
    pub fn merge(&mut self, other: Profile) {
        self.rows += other.rows;
        for (into, from) in self.columns.iter_mut().zip(other.columns) {
            into.merge(from);
        }
    }

    /// Checks that all rows pass. `made`: the columns are decided by a model, so that their names need no check; `dates`:
    /// bounds in time are wanted.
    pub fn suggest(&self, made: bool, dates: bool) -> Vec<Suggestion> {
        let mut all = Vec::new();
        if self.rows > 0 {
            let (least, most) = ((self.rows / 2).max(1), self.rows.saturating_mul(2));
            all.push(Suggestion {
                check: "expect_table_row_count_to_be_between",
                short: "row_count",
                column: None,
                arguments: object(&[("min_value", json!(least)), ("max_value", json!(most))]),
                reason: format!("{} now; half to twice as many pass", count(self.rows, "row")),
            });
        }
        if !made {
            let names: Vec<&str> = self.schema.fields().iter().map(|field| field.name().as_str()).collect();
            all.push(Suggestion {
                check: "expect_table_columns_to_match_set",
                short: "column_set",
                column: None,
                arguments: object(&[("column_set", json!(names)), ("exact_match", json!(false))]),
                reason: format!("{} now; more may come", count(names.len() as u64, "column")),
            });
        }
        for (field, column) in self.schema.fields().iter().zip(&self.columns) {
            // What Laguna adds to rows is right by construction.
            if !field.name().starts_with('_') {
                self.of_column(field.name(), column, dates, &mut all);
            }
        }
        all
    }

    fn of_column(&self, name: &str, column: &Column, dates: bool, all: &mut Vec<Suggestion>) {
        let present = self.rows - column.missing;
        if present == 0 {
            return;
        }
        let mut add = |check, short, arguments: &[(&str, Value)], reason| {
            let (column, arguments) = (Some(name.to_string()), object(arguments));
            all.push(Suggestion { check, short, column, arguments, reason });
        };
        let share = present as f64 / self.rows as f64;
        if column.missing == 0 {
            let reason = format!("none of {} values is null", thousands(self.rows));
            add("expect_column_values_to_not_be_null", "not_null", &[], reason);
        } else if share >= 0.9 {
            let mostly = ((share - 0.01) * 100.0).floor() / 100.0;
            let reason = format!("{} of {} values are null", thousands(column.missing), thousands(self.rows));
            add("expect_column_values_to_not_be_null", "not_null", &[("mostly", json!(mostly))], reason);
        }
        let unique = column.unique && present >= FEW;
        if unique {
            let reason = format!("{} values, each of them once", thousands(present));
            add("expect_column_values_to_be_unique", "unique", &[], reason);
        }
        match &column.seen {
            Seen::Text { values: Some(values), .. }
                if values.len() <= LISTED && present >= 5 * values.len() as u64 =>
            {
                let reason =
                    format!("{} in {}", count(values.len() as u64, "different value"), count(present, "row"));
                let values: Vec<&String> = values.iter().collect();
                add(
                    "expect_column_values_to_be_in_set",
                    "accepted_values",
                    &[("value_set", json!(values))],
                    reason,
                );
            }
            Seen::Text { shortest, longest, .. } if shortest == longest => {
                let reason = format!("every value has {}", count(*longest, "character"));
                add("expect_column_value_lengths_to_equal", "length", &[("value", json!(longest))], reason);
            }
            Seen::Number { least, most, whole } if least.is_finite() && most.is_finite() => {
                let room = (most - least) * 0.1;
                let (mut low, mut high) = ((least - room).floor(), (most + room).ceil());
                if *least >= 0.0 {
                    low = low.max(0.0);
                }
                if *least >= 0.0 && *most <= 1.0 {
                    high = 1.0;
                }
                let as_json = |number: f64| match *whole && number.abs() < 9e15 {
                    true => json!(number as i64),
                    false => json!(number),
                };
                let seen = match least == most {
                    true => format!("always {}", as_json(*least)),
                    false => format!("from {} to {}", as_json(*least), as_json(*most)),
                };
                // A number that never repeats counts something: it grows.
                match unique && *whole {
                    true => add(
                        "expect_column_values_to_be_between",
                        "between",
                        &[("min_value", as_json(low))],
                        format!("{seen}, and it may grow"),
                    ),
                    false => add(
                        "expect_column_values_to_be_between",
                        "between",
                        &[("min_value", as_json(low)), ("max_value", as_json(high))],
                        if least == most {
                            seen
                        } else {
                            format!("{seen}, with a tenth of that range on each side")
                        },
                    ),
                }
            }
            Seen::Time { least: Some(least), .. } if dates => {
                let reason = "the earliest so far; the latest moves on".to_string();
                add("expect_column_values_to_be_between", "between", &[("min_value", least.clone())], reason);
            }
            _ => {}
        }
    }
}

fn object(entries: &[(&str, Value)]) -> Map<String, Value> {
    entries.iter().map(|(name, value)| (name.to_string(), value.clone())).collect()
}

/// The suite as Great Expectations keeps it; reasons are notes.
pub fn suite_of(name: &str, suggestions: &[Suggestion]) -> String {
    let expectations: Vec<Value> = suggestions
        .iter()
        .map(|suggestion| {
            let mut kwargs = Map::new();
            if let Some(column) = &suggestion.column {
                kwargs.insert("column".to_string(), column.as_str().into());
            }
            kwargs.extend(suggestion.arguments.clone());
            json!({"type": suggestion.check, "kwargs": kwargs, "meta": {}, "severity": "critical", "notes": suggestion.reason})
        })
        .collect();
    write_suite(name, &expectations, None)
}

/// The checks as they stand in a table's settings; reasons are comments. `head` says where they come from.
pub fn yaml_of(head: &str, suggestions: &[Suggestion]) -> String {
    let mut text = format!("# {head}\n");
    let (table, columns): (Vec<_>, Vec<_>) = suggestions.iter().partition(|one| one.column.is_none());
    if !table.is_empty() {
        text.push_str("checks:\n");
        table.iter().for_each(|one| text.push_str(&entry(one, "  ")));
    }
    let mut last = None;
    for one in &columns {
        if last.is_none() {
            text.push_str("columns:\n");
        }
        if last != one.column.as_ref() {
            let name = one.column.as_deref().unwrap_or_default();
            text.push_str(&format!("  {}:\n    checks:\n", key(name)));
            last = one.column.as_ref();
        }
        text.push_str(&entry(one, "      "));
    }
    text
}

/// A column's name as a key of YAML: quoted where it could be read as something else.
fn key(name: &str) -> String {
    let letters = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let words = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan"];
    match letters && !words.contains(&name.to_ascii_lowercase().as_str()) {
        true => name.to_string(),
        false => Value::from(name).to_string(),
    }
}

fn entry(one: &Suggestion, indent: &str) -> String {
    let arguments = match (one.arguments.get("value_set"), one.arguments.is_empty()) {
        (_, true) => String::new(),
        (Some(values), _) => format!(": {values}"),
        _ => format!(": {}", Value::Object(one.arguments.clone())),
    };
    format!("{indent}- {}{arguments}  # {}\n", one.short, one.reason)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray};

    use super::*;

    #[test]
    fn what_holds_is_suggested_with_its_reason() {
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(1..=20));
        let words: ArrayRef = Arc::new((0..20).map(|row| Some(["a", "b"][row % 2])).collect::<StringArray>());
        let shares: ArrayRef =
            Arc::new((0..20).map(|row| (row > 0).then_some(row as f64 / 20.0)).collect::<Float64Array>());
        let batch = RecordBatch::try_from_iter([("id", ids), ("word", words), ("share", shares)]).unwrap();
        let mut profile = Profile::new(&batch.schema());
        profile.update(&batch.slice(0, 10)).unwrap();
        let mut other = Profile::new(&batch.schema());
        other.update(&batch.slice(10, 10)).unwrap();
        profile.merge(other);
        let text = yaml_of("Suggested", &profile.suggest(true, true));
        let expected = "# Suggested\nchecks:\n  - row_count: {\"min_value\":10,\"max_value\":40}  # 20 rows now; half to twice as many pass\n\
            columns:\n  id:\n    checks:\n      - not_null  # none of 20 values is null\n      - unique  # 20 values, each of them once\n      \
            - between: {\"min_value\":0}  # from 1 to 20, and it may grow\n  word:\n    checks:\n      - not_null  # none of 20 values is null\n      \
            - accepted_values: [\"a\",\"b\"]  # 2 different values in 20 rows\n  share:\n    checks:\n      \
            - not_null: {\"mostly\":0.94}  # 1 of 20 values are null\n      \
            - unique  # 19 values, each of them once\n      - between: {\"min_value\":0.0,\"max_value\":1.0}  # from 0.05 to 0.95, with a tenth of that range on each side\n";
        // A measure that happens to differ everywhere is no key.
        let expected = expected.replace("      - unique  # 19 values, each of them once\n", "");
        assert_eq!(text, expected);
    }
}
