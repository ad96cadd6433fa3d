//! One number about a column lies between two bounds. Nulls are left out.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use laguna_base::{Error, Result};

use crate::arguments::Arguments;
use crate::dates;
use crate::gather::Need;
use crate::kind::{AGGREGATE, Argument, COLUMN, CheckKind, LEAST, MAX, MIN, MOST, STRICT_MAX, STRICT_MIN};
use crate::plan::{Binding, Known, LateTest, Plan};
use crate::range::{self, Range};
use crate::set_query::Answer;
use crate::value;
use crate::verdict::Observation;
use crate::words::word;

const OF_VALUES: &[Argument] = &[COLUMN, MIN, MAX, STRICT_MIN, STRICT_MAX];
const OF_NUMBERS: &[Argument] = &[COLUMN, LEAST, MOST, STRICT_MIN, STRICT_MAX];

const BLANK: CheckKind =
    CheckKind { arguments: OF_NUMBERS, validate: |arguments| range::validate(arguments, false), ..AGGREGATE };

pub(super) const MIN_VALUE: CheckKind = CheckKind {
    name: "expect_column_min_to_be_between",
    short: "min",
    aliases: &["min_between"],
    arguments: OF_VALUES,
    doc: "The smallest value lies between two bounds.",
    example: r#"{"min": {"column": "delay", "min_value": -120}}"#,
    plan: |arguments, binding| extreme(arguments, binding, Metric::Min),
    ..BLANK
};

pub(super) const MAX_VALUE: CheckKind = CheckKind {
    name: "expect_column_max_to_be_between",
    short: "max",
    aliases: &["max_between"],
    arguments: OF_VALUES,
    doc: "The largest value lies between two bounds.",
    example: r#"{"max": {"column": "delay", "max_value": 1500}}"#,
    plan: |arguments, binding| extreme(arguments, binding, Metric::Max),
    ..BLANK
};

pub(super) const MEAN: CheckKind = CheckKind {
    name: "expect_column_mean_to_be_between",
    short: "mean",
    aliases: &["mean_between"],
    arguments: OF_VALUES,
    doc: "The mean lies between two bounds, also that of timestamps; a column without values fails.",
    example: r#"{"mean": {"column": "delay", "min_value": -5, "max_value": 40}}"#,
    plan: |arguments, binding| number(arguments, binding, Metric::Mean),
    ..BLANK
};

pub(super) const SUM: CheckKind = CheckKind {
    name: "expect_column_sum_to_be_between",
    short: "sum",
    aliases: &["sum_between"],
    doc: "The sum lies between two bounds; that of no values is 0.",
    example: r#"{"sum": {"column": "departures", "min_value": 1}}"#,
    plan: |arguments, binding| number(arguments, binding, Metric::Sum),
    ..BLANK
};

pub(super) const STDEV: CheckKind = CheckKind {
    name: "expect_column_stdev_to_be_between",
    short: "stdev",
    aliases: &["stdev_between"],
    doc: "The sample standard deviation lies between two bounds; a column with fewer than two values fails.",
    example: r#"{"stdev": {"column": "delay", "max_value": 60}}"#,
    plan: |arguments, binding| number(arguments, binding, Metric::Stdev),
    ..BLANK
};

pub(super) const NON_NULL_SHARE: CheckKind = CheckKind {
    name: "expect_column_proportion_of_non_null_values_to_be_between",
    short: "non_null_share",
    aliases: &["not_null_proportion", "proportion_of_non_null"],
    doc: "The share of values that are not null, 0 to 1, lies between two bounds.",
    example: r#"{"non_null_share": {"column": "email", "min_value": 0.9}}"#,
    plan: |arguments, binding| {
        let column = binding.column(arguments.required("column")?)?;
        Ok(late(column.index, column.name, Metric::Present, range::numeric(arguments)?))
    },
    ..BLANK
};

/// A number about a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Metric {
    Min,
    Max,
    Mean,
    Sum,
    Stdev,
    /// Share of values that are not missing.
    Present,
}

struct Aggregate {
    column: usize,
    name: String,
    metric: Metric,
    range: Range,
}

fn late(column: usize, name: &str, metric: Metric, range: Range) -> Plan {
    Plan::Late(Arc::new(Aggregate { column, name: name.to_string(), metric, range }))
}

fn extreme(arguments: &Arguments, binding: &Binding<'_>, metric: Metric) -> Result<Plan> {
    let column = binding.column(arguments.required("column")?)?;
    let range = range::compile(arguments, column.dated_type(), column.name)?;
    Ok(late(column.index, column.name, metric, range))
}

fn number(arguments: &Arguments, binding: &Binding<'_>, metric: Metric) -> Result<Plan> {
    let column = binding.column(arguments.required("column")?)?;
    let data_type = column.plain_type();
    if metric == Metric::Mean && value::is_instant(data_type) {
        return Ok(late(
            column.index,
            column.name,
            metric,
            range::compile(arguments, data_type, column.name)?,
        ));
    }
    if !data_type.is_numeric() && !matches!(data_type, DataType::Boolean | DataType::Null) {
        return Err(Error::project(format!("`{}` is {}, not a number", column.name, word(data_type))));
    }
    Ok(late(column.index, column.name, metric, range::numeric(arguments)?))
}

impl Metric {
    fn word(self) -> &'static str {
        match self {
            Metric::Min => "minimum",
            Metric::Max => "maximum",
            Metric::Mean => "mean",
            Metric::Sum => "sum",
            Metric::Stdev => "standard deviation",
            Metric::Present => "share of values that are not null",
        }
    }
}

impl LateTest for Aggregate {
    fn needs(&self) -> Vec<Need> {
        vec![match self.metric {
            Metric::Min => Need::Min(self.column),
            Metric::Max => Need::Max(self.column),
            _ => Need::Moments(self.column),
        }]
    }

    fn judge(&self, known: &Known<'_>, _: &Answer) -> Result<Observation> {
        let (word, name) = (self.metric.word(), &self.name);
        let none = || Observation {
            message: format!("the {word} of {name} is unknown: it has too few values"),
            ..Observation::default()
        };
        if matches!(self.metric, Metric::Min | Metric::Max) {
            let Some(array) = known.extreme()? else { return Ok(none()) };
            return self.of_extreme(&array, known);
        }
        let Some(moments) = known.moments() else {
            return Err(Error::internal("an aggregate without its accumulator"));
        };
        let total = moments.present + moments.missing;
        let number = match self.metric {
            Metric::Mean => moments.mean(),
            Metric::Stdev => moments.stdev(),
            Metric::Sum => Some(moments.sum()),
            // Of no rows at all it is 0, as in Great Expectations.
            _ => Some(if total > 0 { moments.present as f64 / total as f64 } else { 0.0 }),
        };
        let Some(number) = number.filter(|number| !number.is_nan()) else { return Ok(none()) };
        let data_type = known.schema.field(self.column).data_type();
        let (observed, shown) = match value::is_instant(data_type) && self.metric == Metric::Mean {
            true => {
                let observed = value::json_of_whole(number as i128, data_type);
                (observed.clone(), observed.as_str().unwrap_or_default().to_string())
            }
            false => (value::json_of_float(number), number.to_string()),
        };
        Ok(Observation {
            observed,
            success: self.range.holds(number),
            message: format!("the {word} of {name} is {shown}"),
            ..Observation::default()
        })
    }
}

impl Aggregate {
    fn of_extreme(&self, array: &ArrayRef, known: &Known<'_>) -> Result<Observation> {
        let observed = value::json(array, 0);
        let shown = observed.as_str().map_or_else(|| observed.to_string(), str::to_string);
        Ok(Observation {
            success: self.range.outside(&dates::dated(array, known.schema.field(self.column))?)?.is_none(),
            message: format!("the {} of {} is {shown}", self.metric.word(), self.name),
            observed,
            ..Observation::default()
        })
    }
}
