//! Several values of each row: their sum, whether they are the same, whether they differ.

use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::buffer::BooleanBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use laguna_base::{Error, Result};

use super::unique::{IGNORE, ignore};
use crate::arguments::Arguments;
use crate::compare::{self, Comparison};
use crate::gather::counts::{Wholes, wholes};
use crate::kind::{Argument, CheckKind, Form, Scope, VALUES, required};
use crate::plan::{Binding, Plan, RowPlan, RowTest, Shows};
use crate::view::{View, any, failed};
use crate::words::word;

const COLUMNS: Argument = required("column_list", Form::Columns, "the columns").or(&["columns"]);

const BASE: CheckKind =
    CheckKind { scope: Scope::Table, validate: |arguments| ignore(arguments).map(drop), ..VALUES };

pub(super) const SUM: CheckKind = CheckKind {
    name: "expect_multicolumn_sum_to_equal",
    short: "row_sum",
    aliases: &["multicolumn_sum"],
    arguments: &[COLUMNS, required("sum_total", Form::Number, "the sum of each row"), IGNORE],
    nulls: "Rows where all values are missing are not looked at; else a missing value makes the row fail.",
    doc: "In each row the values add up to a number, exactly as floats do.",
    example: r#"{"row_sum": {"column_list": ["share_a", "share_b"], "sum_total": 1}}"#,
    plan: |arguments, binding| {
        let names = arguments.texts("column_list");
        for name in &names {
            let column = binding.column(name)?;
            let data_type = column.plain_type();
            if !data_type.is_numeric() && !matches!(data_type, DataType::Boolean | DataType::Null) {
                return Err(Error::project(format!("`{name}` is {}, not a number", word(data_type))));
            }
        }
        let columns = binding.columns(&names)?;
        let total = arguments.number("sum_total").unwrap_or_default();
        let test = Sum { columns: columns.clone(), total };
        plan(arguments, columns, test, format!("do not add up to {total}"))
    },
    ..BASE
};

pub(super) const EQUAL: CheckKind = CheckKind {
    name: "expect_multicolumn_values_to_be_equal",
    short: "row_equal",
    aliases: &["multicolumn_equal"],
    arguments: &[COLUMNS, IGNORE],
    nulls: "Rows where all values are missing are not looked at; else a missing value equals only another one.",
    doc: "In each row all values are equal.",
    example: r#"{"row_equal": {"column_list": ["ordered", "packed", "sent"]}}"#,
    plan: |arguments, binding| {
        let columns = columns(arguments, binding)?;
        plan(arguments, columns.clone(), Equal(columns), "have different values")
    },
    ..BASE
};

pub(super) const UNIQUE: CheckKind = CheckKind {
    name: "expect_select_column_values_to_be_unique_within_record",
    short: "unique_in_row",
    aliases: &["unique_within_record"],
    arguments: &[COLUMNS, IGNORE],
    nulls: "Rows where all values are missing are not looked at; else missing values are one value.",
    doc: "In each row no two of the values are equal.",
    example: r#"{"unique_in_row": {"column_list": ["home", "away"]}}"#,
    plan: |arguments, binding| {
        let columns = columns(arguments, binding)?;
        plan(arguments, columns.clone(), Unique(columns), "repeat a value")
    },
    ..BASE
};

fn columns(arguments: &Arguments, binding: &Binding<'_>) -> Result<Vec<usize>> {
    binding.columns(&arguments.texts("column_list"))
}

fn plan(
    arguments: &Arguments,
    columns: Vec<usize>,
    test: impl RowTest + 'static,
    says: impl Into<String>,
) -> Result<Plan> {
    Ok(Plan::Row(RowPlan {
        columns,
        ignore: ignore(arguments)?,
        shows: Shows::Row,
        test: Arc::new(test),
        says: says.into(),
    }))
}

struct Sum {
    columns: Vec<usize>,
    total: f64,
}

impl RowTest for Sum {
    fn failing(&self, view: &View<'_>) -> Result<Option<BooleanBuffer>> {
        let rows = view.rows();
        let mut there = BooleanBuffer::new_set(rows);
        let mut whole = true;
        for column in &self.columns {
            let values = view.values(*column)?;
            whole &= values.data_type().is_integer() || matches!(values.data_type(), DataType::Boolean);
            if let Some(nulls) = view.present(*column)? {
                there = &there & nulls.inner();
            }
        }
        // Whole numbers are added as such: a float would lose the last digits of large ones.
        if whole {
            let mut sums = vec![0i128; rows];
            for column in &self.columns {
                match wholes(view.values(*column)?)? {
                    Wholes::Narrow(narrow) => {
                        sums.iter_mut()
                            .zip(narrow.values())
                            .for_each(|(sum, value)| *sum += i128::from(*value));
                    }
                    Wholes::Wide(wide) => {
                        sums.iter_mut().zip(wide.values()).for_each(|(sum, value)| *sum += value)
                    }
                }
            }
            return Ok(any(BooleanBuffer::collect_bool(rows, |row| {
                !there.value(row) || sums[row] as f64 != self.total
            })));
        }
        let mut sums = vec![0f64; rows];
        for column in &self.columns {
            let values = view.values(*column)?;
            if values.data_type() == &DataType::Null {
                continue;
            }
            let floats = cast(values, &DataType::Float64).map_err(failed)?;
            let floats = floats.as_primitive::<Float64Type>();
            sums.iter_mut().zip(floats.values()).for_each(|(sum, value)| *sum += value);
        }
        Ok(any(BooleanBuffer::collect_bool(rows, |row| !there.value(row) || sums[row] != self.total)))
    }
}

/// Where two columns hold the same, two missing values being the same.
fn same(view: &View<'_>, a: usize, b: usize) -> Result<BooleanBuffer> {
    let (first, second) = (view.values(a)?, view.values(b)?);
    let equal = compare::holds(first, second, Comparison::Equal)?;
    Ok(match (view.present(a)?, view.present(b)?) {
        (Some(a), Some(b)) => &equal | &!&(a.inner() | b.inner()),
        _ => equal,
    })
}

struct Equal(Vec<usize>);

impl RowTest for Equal {
    fn failing(&self, view: &View<'_>) -> Result<Option<BooleanBuffer>> {
        let [first, others @ ..] = self.0.as_slice() else { return Ok(None) };
        let mut equal = BooleanBuffer::new_set(view.rows());
        for other in others {
            equal = &equal & &same(view, *first, *other)?;
        }
        Ok(any(!&equal))
    }
}

struct Unique(Vec<usize>);

impl RowTest for Unique {
    fn failing(&self, view: &View<'_>) -> Result<Option<BooleanBuffer>> {
        let mut repeated = BooleanBuffer::new_unset(view.rows());
        for (at, first) in self.0.iter().enumerate() {
            for second in &self.0[at + 1..] {
                repeated = &repeated | &same(view, *first, *second)?;
            }
        }
        Ok(any(repeated))
    }
}
