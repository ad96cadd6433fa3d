//! The number of different values lies between two bounds, as such or as a share of the values that are not null.

use std::sync::Arc;

use arrow::datatypes::DataType;
use laguna_base::{Error, Result};
use serde_json::Value;

use crate::arguments::Arguments;
use crate::gather::Need;
use crate::kind::{
    AGGREGATE, Argument, COLUMN, CheckKind, Form, LEAST, MOST, STRICT_MAX, STRICT_MIN, optional,
};
use crate::plan::{Binding, Known, LateTest, Plan};
use crate::range::{self, Range};
use crate::set_query::{self, Answer};
use crate::verdict::Observation;
use crate::words::word;

const FEWEST: Argument = optional("min_value", Form::Integer, "the fewest values").or(&["min"]);
const COUNT_MOST: Argument = optional("max_value", Form::Integer, "the most values").or(&["max"]);

pub(super) const COUNT: CheckKind = CheckKind {
    name: "expect_column_unique_value_count_to_be_between",
    short: "distinct_count",
    aliases: &["unique_value_count"],
    arguments: &[COLUMN, FEWEST, COUNT_MOST, STRICT_MIN, STRICT_MAX],
    doc: "The number of different values lies between two bounds.",
    example: r#"{"distinct_count": {"column": "carrier", "min_value": 10, "max_value": 20}}"#,
    validate: |arguments| range::validate(arguments, false),
    plan: |arguments, binding| plan(arguments, binding, false),
    ..AGGREGATE
};

pub(super) const SHARE: CheckKind = CheckKind {
    name: "expect_column_proportion_of_unique_values_to_be_between",
    short: "distinct_share",
    aliases: &["proportion_of_unique"],
    arguments: &[COLUMN, LEAST, MOST, STRICT_MIN, STRICT_MAX],
    doc: "The number of different values divided by the number of values lies between two bounds.",
    example: r#"{"distinct_share": {"column": "order_id", "min_value": 0.99}}"#,
    validate: |arguments| range::validate(arguments, false),
    plan: |arguments, binding| plan(arguments, binding, true),
    ..AGGREGATE
};

fn plan(arguments: &Arguments, binding: &Binding<'_>, share: bool) -> Result<Plan> {
    let column = binding.column(arguments.required("column")?)?;
    if matches!(column.data_type, DataType::Map(_, _)) {
        return Err(Error::project(format!(
            "`{}` is {}, which cannot be compared",
            column.name,
            word(column.data_type)
        )));
    }
    Ok(Plan::Late(Arc::new(Distinct { column: column.index, share, range: range::numeric(arguments)? })))
}

struct Distinct {
    column: usize,
    share: bool,
    range: Range,
}

impl LateTest for Distinct {
    fn needs(&self) -> Vec<Need> {
        vec![Need::Distinct(self.column), Need::Moments(self.column)]
    }

    fn sql(&self, known: &Known<'_>, source: &str) -> Option<String> {
        if known.distinct()?.count().is_some() {
            return None;
        }
        let key = set_query::key_of(known.schema, self.column, "t");
        let row = set_query::row(&format!("count(DISTINCT {key})"), "0", &[]);
        Some(format!("SELECT {row} FROM {source} AS t"))
    }

    fn judge(&self, known: &Known<'_>, answer: &Answer) -> Result<Observation> {
        let count = known.distinct().and_then(|values| values.count()).unwrap_or(answer.total);
        let present = known.moments().map_or(0, |moments| moments.present);
        let value = match self.share {
            true if present == 0 => 0.0,
            true => count as f64 / present as f64,
            false => count as f64,
        };
        let name = known.name(self.column);
        let message = match self.share {
            true => format!("{count} of {present} values of {name} are different ones"),
            false => format!("{name} has {count} different values"),
        };
        let observed = if self.share { Value::from(value) } else { Value::from(count) };
        Ok(Observation { observed, success: self.range.holds(value), message, ..Observation::default() })
    }
}
