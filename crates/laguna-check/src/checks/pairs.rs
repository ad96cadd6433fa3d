//! Two values of each row against each other.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::buffer::BooleanBuffer;
use laguna_base::{Error, Result};
use serde_json::Value;

use crate::arguments::Arguments;
use crate::compare::{self, Comparison, Ids};
use crate::kind::{Argument, CheckKind, Form, Scope, VALUES, optional, required};
use crate::plan::{Binding, Ignore, Plan, RowPlan, RowTest, Shows};
use crate::view::{View, any};
use crate::words::word;

const A: Argument = required("column_A", Form::Column, "the first column").or(&["a"]);
const B: Argument = required("column_B", Form::Column, "the second column").or(&["b"]);
const IGNORE: Argument = optional(
    "ignore_row_if",
    Form::Text,
    "which rows are not looked at: both_values_are_missing, either_value_is_missing, neither",
)
.by_default("\"both_values_are_missing\"");

const BASE: CheckKind = CheckKind {
    scope: Scope::Table,
    nulls: "Rows where both are missing are not looked at; else a missing value equals nothing and exceeds nothing.",
    validate: |arguments| ignore(arguments).map(drop),
    ..VALUES
};

pub(super) const GREATER: CheckKind = CheckKind {
    name: "expect_column_pair_values_a_to_be_greater_than_b",
    short: "pair_greater",
    aliases: &["greater_than_column"],
    arguments: &[
        A,
        B,
        optional("or_equal", Form::Flag, "whether equal values pass").by_default("false"),
        IGNORE,
    ],
    doc: "In each row the first value is larger than the second.",
    example: r#"{"pair_greater": {"column_A": "arrival", "column_B": "departure", "or_equal": true}}"#,
    plan: |arguments, binding| {
        let or_equal = arguments.flag("or_equal", false);
        let comparison = if or_equal { Comparison::GreaterOrEqual } else { Comparison::Greater };
        let says = if or_equal { "have a smaller first value" } else { "do not have a larger first value" };
        plan(arguments, binding, comparison, says)
    },
    ..BASE
};

pub(super) const EQUAL: CheckKind = CheckKind {
    name: "expect_column_pair_values_to_be_equal",
    short: "pair_equal",
    aliases: &["equal_to_column"],
    arguments: &[A, B, IGNORE],
    doc: "In each row the two values are equal.",
    example: r#"{"pair_equal": {"column_A": "billed", "column_B": "paid"}}"#,
    plan: |arguments, binding| plan(arguments, binding, Comparison::Equal, "have two different values"),
    ..BASE
};

pub(super) const IN_SET: CheckKind = CheckKind {
    name: "expect_column_pair_values_to_be_in_set",
    short: "pair_in_set",
    aliases: &["accepted_pairs"],
    main: None,
    arguments: &[
        A,
        B,
        required("value_pairs_set", Form::Pairs, "the pairs; null in one stands for a missing value")
            .or(&["pairs"]),
        IGNORE,
    ],
    nulls: "Rows where both are missing are not looked at; else a missing value is the null of a pair.",
    doc: "In each row the two values are one of several pairs.",
    example: r#"{"pair_in_set": {"column_A": "country", "column_B": "currency", "value_pairs_set": [["PT", "EUR"], ["CH", "CHF"]]}}"#,
    plan: |arguments, binding| {
        let columns = columns(arguments, binding)?;
        let pairs: Vec<(&Value, &Value)> = arguments
            .values("value_pairs_set")
            .iter()
            .filter_map(|pair| Some((pair.get(0)?, pair.get(1)?)))
            .collect();
        let types = columns.map(|column| compare::plain(binding.schema.field(column).data_type()).clone());
        let [mut first, mut second] = types.map(|data_type| Ids::new(&data_type));
        let mut known = HashSet::new();
        for (a, b) in pairs {
            // A value that the column cannot hold makes the whole pair one that never comes.
            if let (Some(a), Some(b)) = (first.learn(a), second.learn(b)) {
                known.insert((a, b));
            }
        }
        let test = InSet { columns, ids: [first, second], known };
        row_plan(arguments, columns, Arc::new(test), "are not among the pairs")
    },
    ..BASE
};

fn ignore(arguments: &Arguments) -> Result<Ignore> {
    match arguments.text("ignore_row_if") {
        None | Some("both_values_are_missing") => Ok(Ignore::AllMissing),
        Some("either_value_is_missing") => Ok(Ignore::AnyMissing),
        Some("neither") => Ok(Ignore::Never),
        Some(other) => Err(Error::project(format!("`{other}` is not valid for `ignore_row_if`"))
            .hint("one of both_values_are_missing, either_value_is_missing, neither")),
    }
}

fn columns(arguments: &Arguments, binding: &Binding<'_>) -> Result<[usize; 2]> {
    Ok([
        binding.column(arguments.required("column_A")?)?.index,
        binding.column(arguments.required("column_B")?)?.index,
    ])
}

fn row_plan(arguments: &Arguments, columns: [usize; 2], test: Arc<dyn RowTest>, says: &str) -> Result<Plan> {
    Ok(Plan::Row(RowPlan {
        columns: columns.to_vec(),
        ignore: ignore(arguments)?,
        shows: Shows::Pair,
        test,
        says: says.to_string(),
    }))
}

fn plan(arguments: &Arguments, binding: &Binding<'_>, comparison: Comparison, says: &str) -> Result<Plan> {
    let columns = columns(arguments, binding)?;
    let [a, b] = columns.map(|column| binding.schema.field(column).data_type());
    if comparison != Comparison::Equal && !compare::comparable(a, b) {
        return Err(Error::project(format!(
            "`{}` is {} and `{}` is {}: they have no common order",
            binding.schema.field(columns[0]).name(),
            word(a),
            binding.schema.field(columns[1]).name(),
            word(b),
        )));
    }
    row_plan(arguments, columns, Arc::new(Compared { columns, comparison }), says)
}

struct Compared {
    columns: [usize; 2],
    comparison: Comparison,
}

impl RowTest for Compared {
    fn failing(&self, view: &View<'_>) -> Result<Option<BooleanBuffer>> {
        let [a, b] = self.columns;
        Ok(any(!&compare::holds(view.values(a)?, view.values(b)?, self.comparison)?))
    }
}

struct InSet {
    columns: [usize; 2],
    ids: [Ids; 2],
    known: HashSet<(u32, u32)>,
}

impl RowTest for InSet {
    fn failing(&self, view: &View<'_>) -> Result<Option<BooleanBuffer>> {
        let first = self.ids[0].of(view.values(self.columns[0])?)?;
        let second = self.ids[1].of(view.values(self.columns[1])?)?;
        let mut asked: HashMap<(u32, u32), bool> = HashMap::new();
        Ok(any(BooleanBuffer::collect_bool(view.rows(), |row| {
            let pair = (first[row], second[row]);
            !*asked.entry(pair).or_insert_with(|| self.known.contains(&pair))
        })))
    }
}
