//! No value lies far from the others: by z-score, by quartiles, by standard deviations.

use std::sync::Arc;

use arrow::datatypes::DataType;
use laguna_base::{Error, Result};

use super::quantiles::{interpolated, ranks_sql};
use crate::arguments::Arguments;
use crate::gather::Need;
use crate::kind::{COLUMN, CheckKind, Form, VALUES, optional, required};
use crate::plan::{Binding, Known, LateTest, Plan};
use crate::set_query::{self, Answer};
use crate::value;
use crate::verdict::{Counted, Observation};
use crate::words::word;

pub(super) const Z_SCORE: CheckKind = CheckKind {
    name: "expect_column_value_z_scores_to_be_less_than",
    short: "z_score",
    aliases: &["z_scores"],
    arguments: &[
        COLUMN,
        required("threshold", Form::Number, "the z-score that no value may reach"),
        required("double_sided", Form::Flag, "whether values far below the mean fail as well"),
    ],
    doc: "No value is so many sample standard deviations from the mean; without a spread every value passes.",
    example: r#"{"z_score": {"column": "amount", "threshold": 6, "double_sided": true}}"#,
    plan: |arguments, binding| {
        let threshold = arguments.number("threshold").unwrap_or_default();
        let double_sided = arguments.flag("double_sided", true);
        let threshold = if double_sided { threshold.abs() } else { threshold };
        plan(arguments, binding, Rule::ZScore { threshold, double_sided })
    },
    ..VALUES
};

pub(super) const OUTLIERS: CheckKind = CheckKind {
    name: "expect_column_values_to_not_be_outliers",
    short: "no_outliers",
    aliases: &["not_outliers"],
    arguments: &[
        COLUMN,
        optional("method", Form::Text, "`iqr`: fences beyond the quartiles; `std`: distance from the mean")
            .by_default("\"iqr\""),
        optional("multiplier", Form::Number, "how many interquartile ranges, or standard deviations")
            .by_default("1.5"),
    ],
    doc: "No value lies outside the fences around the others: on a fence passes with `iqr`, fails with `std`.",
    example: r#"{"no_outliers": {"column": "amount", "method": "iqr", "multiplier": 3}}"#,
    validate: |arguments| match arguments.number("multiplier") {
        Some(multiplier) if multiplier < 0.0 => {
            Err(Error::project("`multiplier` of `no_outliers` must not be negative"))
        }
        _ => method(arguments).map(drop),
    },
    plan: |arguments, binding| {
        let multiplier = arguments.number("multiplier").unwrap_or(1.5);
        let rule = match method(arguments)? {
            Method::Iqr => Rule::Fences { multiplier },
            Method::Std => Rule::Distance { multiplier },
        };
        plan(arguments, binding, rule)
    },
    ..VALUES
};

enum Method {
    Iqr,
    Std,
}

fn method(arguments: &Arguments) -> Result<Method> {
    match arguments.text("method") {
        None | Some("iqr") => Ok(Method::Iqr),
        Some("std") => Ok(Method::Std),
        Some(other) => {
            Err(Error::project(format!("`{other}` is not valid for `method`")).hint("one of iqr, std"))
        }
    }
}

fn plan(arguments: &Arguments, binding: &Binding<'_>, rule: Rule) -> Result<Plan> {
    let column = binding.column(arguments.required("column")?)?;
    let data_type = column.plain_type();
    let fences = matches!(rule, Rule::Fences { .. });
    let times = matches!(rule, Rule::ZScore { .. }) && value::is_instant(data_type);
    if !times
        && !data_type.is_numeric()
        && !matches!((data_type, fences), (DataType::Null, _) | (DataType::Boolean, false))
    {
        return Err(Error::project(format!("`{}` is {}, not a number", column.name, word(data_type))));
    }
    Ok(Plan::Late(Arc::new(Far { column: column.index, rule })))
}

#[derive(Debug, Clone, Copy)]
enum Rule {
    ZScore { threshold: f64, double_sided: bool },
    Fences { multiplier: f64 },
    Distance { multiplier: f64 },
}

struct Far {
    column: usize,
    rule: Rule,
}

/// What a value must meet.
#[derive(Debug, Clone, Copy)]
enum Window {
    /// Nothing is far from anything.
    Everything,
    Score {
        mean: f64,
        spread: f64,
        threshold: f64,
        double_sided: bool,
    },
    Between {
        low: f64,
        high: f64,
    },
    Within {
        mean: f64,
        distance: f64,
    },
    Exactly(f64),
}

impl Window {
    fn holds(&self, value: f64) -> bool {
        match *self {
            Window::Everything => true,
            Window::Score { mean, spread, threshold, double_sided } => {
                let score = (value - mean) / spread;
                score.is_nan() || if double_sided { score.abs() < threshold } else { score < threshold }
            }
            Window::Between { low, high } => value >= low && value <= high,
            Window::Within { mean, distance } => (value - mean).abs() < distance,
            Window::Exactly(only) => value == only,
        }
    }

    /// The values outside, as SQL.
    fn outside(&self, value: &str) -> Option<String> {
        Some(match *self {
            Window::Everything => return None,
            Window::Score { mean, spread, threshold, double_sided } => {
                let score = format!("(({value} - ({mean:?})) / ({spread:?}))");
                let score = if double_sided { format!("abs({score})") } else { score };
                format!("{score} >= ({threshold:?})")
            }
            Window::Between { low, high } => format!("({value} < ({low:?}) OR {value} > ({high:?}))"),
            Window::Within { mean, distance } => format!("abs({value} - ({mean:?})) >= ({distance:?})"),
            Window::Exactly(only) => format!("{value} <> ({only:?})"),
        })
    }
}

impl Far {
    /// The window, where the pass knows it.
    fn window(&self, known: &Known<'_>) -> Option<Window> {
        let moments = known.moments();
        let mean = moments.and_then(|moments| moments.mean());
        let spread = moments.and_then(|moments| moments.stdev());
        Some(match self.rule {
            Rule::ZScore { threshold, double_sided } => match (mean, spread) {
                (Some(mean), Some(spread)) if spread != 0.0 && !spread.is_nan() => {
                    Window::Score { mean, spread, threshold, double_sided }
                }
                _ => Window::Everything,
            },
            Rule::Distance { multiplier } => match (mean, spread) {
                (Some(mean), Some(spread)) if mean.is_finite() && spread.is_finite() => {
                    let distance = multiplier * spread;
                    if distance <= 0.0 { Window::Exactly(mean) } else { Window::Within { mean, distance } }
                }
                _ => Window::Everything,
            },
            Rule::Fences { multiplier } => {
                let series = known.series()?;
                if series.overflowed() {
                    return None;
                }
                let count = series.len();
                let places = quartile_places(count);
                let found = series
                    .at_ranks(&places.iter().flat_map(|(low, high, _)| [*low, *high]).collect::<Vec<_>>());
                let quartile =
                    |at: usize| Some(interpolated(found[2 * at]?, found[2 * at + 1]?, places[at].2));
                match (quartile(0), quartile(1)) {
                    (Some(first), Some(third)) if first.is_finite() && third.is_finite() => {
                        let reach = multiplier * (third - first);
                        Window::Between { low: first - reach, high: third + reach }
                    }
                    _ => Window::Everything,
                }
            }
        })
    }
}

/// The places around the first and third quartile of `count` sorted values, and how far between them each lies.
fn quartile_places(count: usize) -> [(usize, usize, f64); 2] {
    [0.25, 0.75].map(|share| {
        let place = share * count.saturating_sub(1) as f64;
        (place.floor() as usize, place.ceil() as usize, place.fract())
    })
}

impl LateTest for Far {
    fn needs(&self) -> Vec<Need> {
        vec![Need::Moments(self.column), Need::Series(self.column, true)]
    }

    fn sql(&self, known: &Known<'_>, source: &str) -> Option<String> {
        if !known.series()?.overflowed() {
            return None;
        }
        let key = set_query::key_of(known.schema, self.column, "t");
        let units = value::compared_sql(&key, known.schema.field(self.column).data_type());
        let value = format!("CAST({units} AS DOUBLE)");
        let row = set_query::row("count(*) OVER ()", "1", &[format!("CAST({key} AS VARCHAR)")]);
        let limit = set_query::at_most(known.examples);
        if let Some(window) = self.window(known) {
            let outside = window.outside(&value)?;
            return Some(format!("SELECT {row} FROM {source} AS t WHERE {outside} LIMIT {limit}"));
        }
        let Rule::Fences { multiplier } = self.rule else { return None };
        let [first, third] = quartile_places(known.moments()?.present as usize);
        let ranked = ranks_sql(known, self.column, source, &[first.0, first.1, third.0, third.1]);
        let at = |place: usize| format!("max(CASE WHEN place = {place} THEN v END)");
        let quartile = |(low, high, part): (usize, usize, f64)| {
            format!("({} + ({} - {}) * ({part:?}))", at(low), at(high), at(low))
        };
        let fences =
            format!("SELECT {} AS q1, {} AS q3 FROM ({ranked}) AS ranked", quartile(first), quartile(third));
        Some(format!(
            "SELECT {row} FROM {source} AS t CROSS JOIN ({fences}) AS f \
             WHERE {value} < f.q1 - ({multiplier:?}) * (f.q3 - f.q1) OR {value} > f.q3 + ({multiplier:?}) * (f.q3 - f.q1) \
             LIMIT {limit}"
        ))
    }

    fn judge(&self, known: &Known<'_>, answer: &Answer) -> Result<Observation> {
        let missing = known.moments().map_or(0, |moments| moments.missing);
        let what = format!("values of {} are outliers", known.name(self.column));
        let Some(series) = known.series().filter(|series| !series.overflowed()) else {
            let field = known.schema.field(self.column);
            let examples = answer.examples(&[(field.name().as_str(), field.data_type())], known.examples);
            let counted = Counted { missing, unexpected: answer.total, examples, rows: Vec::new() };
            return Ok(known.of_rows(counted, &what));
        };
        let mut counted = Counted { missing, ..Counted::default() };
        if let Some(window) = self.window(known) {
            let mut far: Vec<usize> =
                (0..series.len()).filter(|at| !window.holds(series.float(*at))).collect();
            counted.unexpected = far.len() as u64;
            if let Some(rows) = &series.rows {
                far.sort_unstable_by_key(|at| rows[*at]);
            }
            for at in far.into_iter().take(known.examples) {
                counted.examples.push(series.json(at));
                counted.rows.extend(series.rows.as_ref().map(|rows| rows[at]));
            }
        }
        Ok(known.of_rows(counted, &what))
    }
}
