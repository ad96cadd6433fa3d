//! Quantiles, and the median, lie between bounds.

use std::sync::Arc;

use arrow::datatypes::DataType;
use laguna_base::{Error, Result};
use serde_json::{Value, json};

use crate::arguments::Arguments;
use crate::gather::Need;
use crate::gather::series::Series;
use crate::kind::{AGGREGATE, COLUMN, CheckKind, Form, MAX, MIN, STRICT_MAX, STRICT_MIN, optional, required};
use crate::plan::{Binding, Known, LateTest, Plan};
use crate::range::{self, Range};
use crate::set_query::{self, Answer};
use crate::value;
use crate::verdict::Observation;
use crate::words::word;

pub(super) const MEDIAN: CheckKind = CheckKind {
    name: "expect_column_median_to_be_between",
    short: "median",
    aliases: &["median_between"],
    arguments: &[COLUMN, MIN, MAX, STRICT_MIN, STRICT_MAX],
    doc: "The median lies between two bounds; a column without values fails.",
    example: r#"{"median": {"column": "delay", "min_value": -5, "max_value": 10}}"#,
    validate: |arguments| range::validate(arguments, false),
    plan: |arguments, binding| {
        let column = ordered(arguments, binding)?;
        let data_type = binding.schema.field(column).data_type();
        let name = binding.schema.field(column).name();
        // Of an even number of values it lies between two, so that it is a float even of whole numbers.
        let range = match value::is_temporal(data_type) {
            true => range::compile(arguments, data_type, name)?,
            false => range::numeric(arguments)?,
        };
        Ok(Plan::Late(Arc::new(Median { column, range })))
    },
    ..AGGREGATE
};

pub(super) const QUANTILES: CheckKind = CheckKind {
    name: "expect_column_quantile_values_to_be_between",
    short: "quantiles",
    aliases: &["quantile_values"],
    arguments: &[
        COLUMN,
        required(
            "quantile_ranges",
            Form::Object,
            "`quantiles`, a list of shares from 0 to 1, and `value_ranges`, a pair of bounds for each; a null bound is open",
        ),
        optional(
            "allow_relative_error",
            Form::Word,
            "which value between two is taken: linear, lower, higher, midpoint or nearest",
        )
        .by_default("\"nearest\""),
    ],
    doc: "Each quantile lies between its two bounds, of which it may miss one by a ten-thousandth.",
    example: r#"{"quantiles": {"column": "delay", "quantile_ranges": {"quantiles": [0.05, 0.95], "value_ranges": [[-30, null], [null, 300]]}}}"#,
    validate: |arguments| wanted(arguments).and(interpolation(arguments)).map(drop),
    plan: |arguments, binding| {
        let column = ordered(arguments, binding)?;
        let data_type = binding.schema.field(column).data_type();
        if value::is_temporal(data_type) {
            return Err(Error::project(format!(
                "`{}` is {}, not a number",
                binding.schema.field(column).name(),
                word(data_type)
            )));
        }
        Ok(Plan::Late(Arc::new(Quantiles {
            column,
            wanted: wanted(arguments)?,
            interpolation: interpolation(arguments)?,
        })))
    },
    ..AGGREGATE
};

/// A share and the bounds of the value there.
type Wanted = (f64, Option<f64>, Option<f64>);

fn wanted(arguments: &Arguments) -> Result<Vec<Wanted>> {
    let ranges = arguments.value("quantile_ranges");
    let list = |name: &str| {
        ranges.and_then(|ranges| ranges.get(name)).and_then(Value::as_array).ok_or_else(|| {
            Error::project(format!("`quantile_ranges` needs the list `{name}`"))
                .hint("as in {\"quantiles\": [0.5], \"value_ranges\": [[0, 10]]}")
        })
    };
    let (quantiles, bounds) = (list("quantiles")?, list("value_ranges")?);
    if quantiles.len() != bounds.len() {
        return Err(Error::project(format!(
            "`quantile_ranges` holds {} quantiles and {} ranges",
            quantiles.len(),
            bounds.len()
        )));
    }
    let number = |value: &Value| -> Result<f64> {
        let found = value.as_f64().or_else(|| value.as_str().and_then(|text| text.trim().parse().ok()));
        found.ok_or_else(|| Error::project(format!("`{value}` in `quantile_ranges` is not a number")))
    };
    let bound = |value: &Value| if value.is_null() { Ok(None) } else { number(value).map(Some) };
    quantiles
        .iter()
        .zip(bounds)
        .map(|(share, bounds)| {
            let share = number(share)?;
            if !(0.0..=1.0).contains(&share) {
                return Err(Error::project(format!("the quantile {share} does not lie between 0 and 1")));
            }
            match bounds.as_array().map(Vec::as_slice) {
                Some([low, high]) => Ok((share, bound(low)?, bound(high)?)),
                _ => Err(Error::project(format!("`{bounds}` in `value_ranges` is not a pair of bounds"))),
            }
        })
        .collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Interpolation {
    Nearest,
    Linear,
    Lower,
    Higher,
    Midpoint,
}

fn interpolation(arguments: &Arguments) -> Result<Interpolation> {
    match arguments.value("allow_relative_error") {
        None | Some(Value::Bool(false)) => Ok(Interpolation::Nearest),
        Some(Value::String(word)) => match word.as_str() {
            "nearest" => Ok(Interpolation::Nearest),
            "linear" => Ok(Interpolation::Linear),
            "lower" => Ok(Interpolation::Lower),
            "higher" => Ok(Interpolation::Higher),
            "midpoint" => Ok(Interpolation::Midpoint),
            other => Err(Error::project(format!("`{other}` is not valid for `allow_relative_error`"))
                .hint("one of linear, lower, higher, midpoint, nearest")),
        },
        Some(_) => Err(Error::project("quantiles are exact here; `allow_relative_error` is a word or false")
            .hint("one of linear, lower, higher, midpoint, nearest")),
    }
}

/// The column, whose values must have an order.
fn ordered(arguments: &Arguments, binding: &Binding<'_>) -> Result<usize> {
    let column = binding.column(arguments.required("column")?)?;
    if !Series::can(column.plain_type()) {
        return Err(Error::project(format!("`{}` is {}, not a number", column.name, word(column.data_type))));
    }
    Ok(column.index)
}

/// The values at places of the sorted column, counted from 0, as rows `(place, v)`.
pub(super) fn ranks_sql(known: &Known<'_>, column: usize, source: &str, places: &[usize]) -> String {
    let key = set_query::key_of(known.schema, column, "s");
    let places: Vec<String> = places.iter().map(ToString::to_string).collect();
    let temporal = value::is_temporal(known.schema.field(column).data_type());
    let value = if temporal { format!("CAST({key} AS BIGINT)") } else { format!("CAST({key} AS DOUBLE)") };
    format!(
        "SELECT place, v FROM (SELECT {value} AS v, row_number() OVER (ORDER BY {key}) - 1 AS place \
         FROM {source} AS s WHERE {key} IS NOT NULL) AS ordered WHERE place IN ({})",
        places.join(", ")
    )
}

fn places_sql(known: &Known<'_>, column: usize, source: &str, places: &[usize]) -> Option<String> {
    if !known.series()?.overflowed() || places.is_empty() {
        return None;
    }
    let row = set_query::row("place", "place", &["CAST(v AS VARCHAR)".to_string()]);
    Some(format!("SELECT {row} FROM ({}) AS places", ranks_sql(known, column, source, places)))
}

/// The values at places, from the pass or from the answer.
fn at_places(known: &Known<'_>, answer: &Answer, places: &[usize]) -> Vec<Option<f64>> {
    match known.series() {
        Some(series) if !series.overflowed() => series.at_ranks(places),
        _ => places
            .iter()
            .map(|place| {
                let (_, texts) = answer.rows.iter().find(|(at, _)| *at == *place as u64)?;
                texts.first()?.as_deref()?.parse().ok()
            })
            .collect(),
    }
}

/// A value between two, as numpy computes it.
pub(super) fn interpolated(low: f64, high: f64, part: f64) -> f64 {
    if low == high || part == 0.0 {
        return low;
    }
    let span = high - low;
    if part >= 0.5 { high - span * (1.0 - part) } else { low + span * part }
}

struct Median {
    column: usize,
    range: Range,
}

impl Median {
    fn places(&self, known: &Known<'_>) -> Vec<usize> {
        match known.moments().map_or(0, |moments| moments.present as usize) {
            0 => Vec::new(),
            count if count % 2 == 1 => vec![count / 2],
            count => vec![count / 2 - 1, count / 2],
        }
    }
}

impl LateTest for Median {
    fn needs(&self) -> Vec<Need> {
        vec![Need::Moments(self.column), Need::Series(self.column, false)]
    }

    fn sql(&self, known: &Known<'_>, source: &str) -> Option<String> {
        places_sql(known, self.column, source, &self.places(known))
    }

    fn judge(&self, known: &Known<'_>, answer: &Answer) -> Result<Observation> {
        let found = at_places(known, answer, &self.places(known));
        let name = known.name(self.column);
        let median = match found.as_slice() {
            [Some(one)] => *one,
            [Some(low), Some(high)] => (low + high) / 2.0,
            _ => f64::NAN,
        };
        if median.is_nan() {
            let message = format!("the median of {name} is unknown: it has no values");
            return Ok(Observation { message, ..Observation::default() });
        }
        let data_type = known.schema.field(self.column).data_type();
        let temporal = value::is_temporal(data_type);
        let observed = match temporal {
            true => value::json_of_whole(median as i128, data_type),
            false => value::json_of_float(median),
        };
        let shown = observed.as_str().map_or_else(|| observed.to_string(), str::to_string);
        Ok(Observation {
            success: self.range.holds(median),
            message: format!("the median of {name} is {shown}"),
            observed,
            ..Observation::default()
        })
    }
}

struct Quantiles {
    column: usize,
    wanted: Vec<Wanted>,
    interpolation: Interpolation,
}

impl Quantiles {
    /// The two places between which each quantile lies, and where between.
    fn places(&self, known: &Known<'_>) -> Vec<(usize, usize, f64)> {
        let count = known.moments().map_or(0, |moments| moments.present);
        let last = count.saturating_sub(1) as f64;
        self.wanted
            .iter()
            .map(|(share, _, _)| {
                let place = last * share;
                let (low, high) = (place.floor() as usize, place.ceil() as usize);
                match self.interpolation {
                    Interpolation::Nearest => {
                        let nearest = place.round_ties_even() as usize;
                        (nearest, nearest, 0.0)
                    }
                    Interpolation::Lower => (low, low, 0.0),
                    Interpolation::Higher => (high, high, 0.0),
                    Interpolation::Midpoint => (low, high, if low == high { 0.0 } else { 0.5 }),
                    Interpolation::Linear => (low, high, place.fract()),
                }
            })
            .collect()
    }
}

impl LateTest for Quantiles {
    fn needs(&self) -> Vec<Need> {
        vec![Need::Moments(self.column), Need::Series(self.column, false)]
    }

    fn sql(&self, known: &Known<'_>, source: &str) -> Option<String> {
        if known.moments()?.present == 0 {
            return None;
        }
        let mut places: Vec<usize> =
            self.places(known).iter().flat_map(|(low, high, _)| [*low, *high]).collect();
        places.sort_unstable();
        places.dedup();
        places_sql(known, self.column, source, &places)
    }

    fn judge(&self, known: &Known<'_>, answer: &Answer) -> Result<Observation> {
        let places = self.places(known);
        let flat: Vec<usize> = places.iter().flat_map(|(low, high, _)| [*low, *high]).collect();
        let found = at_places(known, answer, &flat);
        let values: Vec<Option<f64>> = places
            .iter()
            .enumerate()
            .map(|(at, (_, _, part))| Some(interpolated(found[2 * at]?, found[2 * at + 1]?, *part)))
            .collect();
        let success: Vec<bool> = self
            .wanted
            .iter()
            .zip(&values)
            .map(|((_, low, high), value)| within(*value, *low, *high))
            .collect();
        let shares: Vec<f64> = self.wanted.iter().map(|(share, _, _)| *share).collect();
        let flags = known.schema.field(self.column).data_type() == &DataType::Boolean;
        let json = |value: f64| match value {
            0.0 | 1.0 if flags => Value::from(value == 1.0),
            _ => value::json_of_float(value),
        };
        let shown: Vec<Value> = values.iter().map(|value| value.map_or(Value::Null, json)).collect();
        let failed = success.iter().filter(|success| !**success).count();
        Ok(Observation {
            success: failed == 0,
            message: match failed {
                0 => format!("all quantiles of {} lie within their bounds", known.name(self.column)),
                some => format!("{some} quantiles of {} lie outside their bounds", known.name(self.column)),
            },
            observed: json!({"quantiles": shares, "values": shown}),
            details: json!({"success_details": success}),
            ..Observation::default()
        })
    }
}

/// Between the bounds, or as near to one as Great Expectations lets pass.
fn within(value: Option<f64>, low: Option<f64>, high: Option<f64>) -> bool {
    let Some(value) = value else { return false };
    let near =
        |bound: Option<f64>| bound.is_some_and(|bound| (value - bound).abs() <= 1e-8 + 1e-4 * bound.abs());
    near(low) || near(high) || (low.is_none_or(|low| low <= value) && high.is_none_or(|high| value <= high))
}
