//! Operators between what the engine does not bring together by itself: texts that stand for values of another type,
//! times of different precision, intervals and numbers.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::planner::{
    ExprPlanner, PlannerResult, RawAggregateExpr, RawBinaryExpr, RawWindowExpr,
};
use datafusion::logical_expr::{Expr, ExprSchemable, ScalarUDF, cast, lit};
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::numeric::{is_exact, is_long_product};
use crate::postgres::params::from_text;

/// The functions that operators stand for.
#[derive(Debug)]
pub(super) struct Operators {
    pub(super) times: Arc<ScalarUDF>,
    pub(super) divide: Arc<ScalarUDF>,
    pub(super) quotient: Arc<ScalarUDF>,
    pub(super) multiply: Arc<ScalarUDF>,
    pub(super) exact: Arc<ScalarUDF>,
    pub(super) mean: Arc<ScalarUDF>,
    pub(super) text: Arc<ScalarUDF>,
}

const CLOCK: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);
const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);

impl ExprPlanner for Operators {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let RawBinaryExpr { op, mut left, mut right } = expr;
        if computes(&op) {
            read(&op, &mut left, &mut right, schema);
        }
        suit(&op, &mut left, &mut right, schema);
        let of = |side: &Expr| match side {
            // An interval is multiplied with a number; of nothing else is there more to know.
            Expr::Placeholder(_) if op == BinaryOperator::Multiply => Some(DataType::Float64),
            side => side.get_type(schema).ok(),
        };
        let types = (of(&left), of(&right));
        let (Some(of_left), Some(of_right)) = types else {
            return Ok(PlannerResult::Original(RawBinaryExpr { op, left, right }));
        };
        let scaled = |interval: Expr, number: Expr, data_type: &DataType| {
            let interval = if *data_type == INTERVAL { interval } else { cast(interval, INTERVAL) };
            PlannerResult::Planned(self.times.call(vec![interval, cast(number, DataType::Float64)]))
        };
        match op {
            BinaryOperator::Multiply if is_span(&of_left) && of_right.is_numeric() => {
                return Ok(scaled(left, right, &of_left));
            }
            BinaryOperator::Multiply if of_left.is_numeric() && is_span(&of_right) => {
                return Ok(scaled(right, left, &of_right));
            }
            BinaryOperator::Divide if is_span(&of_left) && of_right.is_numeric() => {
                let by = lit(1.0) / cast(right, DataType::Float64);
                return Ok(scaled(left, by, &of_left));
            }
            // A day and a length of time is a time.
            BinaryOperator::Plus | BinaryOperator::Minus
                if of_left == DataType::Date32 && is_span(&of_right) =>
            {
                let left = cast(left, DataType::Timestamp(TimeUnit::Microsecond, None));
                return Ok(PlannerResult::Original(RawBinaryExpr { op, left, right }));
            }
            BinaryOperator::Plus if is_span(&of_left) && of_right == DataType::Date32 => {
                let right = cast(right, DataType::Timestamp(TimeUnit::Microsecond, None));
                return Ok(PlannerResult::Original(RawBinaryExpr { op, left, right }));
            }
            BinaryOperator::Plus if is_time(&of_left) && is_clock(&of_right) => {
                let right = length(right);
                return Ok(PlannerResult::Original(RawBinaryExpr { op, left, right }));
            }
            BinaryOperator::Plus if is_clock(&of_left) && is_time(&of_right) => {
                let left = length(left);
                return Ok(PlannerResult::Original(RawBinaryExpr { op, left, right }));
            }
            BinaryOperator::Minus if is_time(&of_left) && is_clock(&of_right) => {
                let right = length(right);
                return Ok(PlannerResult::Original(RawBinaryExpr { op, left, right }));
            }
            BinaryOperator::Divide
                if is_binary(&of_left) && (is_binary(&of_right) || is_exact(&of_right)) =>
            {
                let right = cast(right, DataType::Float64);
                return Ok(PlannerResult::Planned(self.quotient.call(vec![left, right])));
            }
            BinaryOperator::Divide if is_exact(&of_left) && is_binary(&of_right) => {
                let left = cast(left, DataType::Float64);
                return Ok(PlannerResult::Planned(self.quotient.call(vec![left, right])));
            }
            // Days and clocks beside instants are instants.
            BinaryOperator::Minus if is_instant(&of_left) && is_local(&of_right) => {
                let right = cast(cast(right, CLOCK), of_left);
                return Ok(PlannerResult::Original(RawBinaryExpr { op, left, right }));
            }
            BinaryOperator::Minus if is_local(&of_left) && is_instant(&of_right) => {
                let left = cast(cast(left, CLOCK), of_right);
                return Ok(PlannerResult::Original(RawBinaryExpr { op, left, right }));
            }
            BinaryOperator::StringConcat if is_text(&of_left) || is_text(&of_right) => {
                let (left, right) = (self.written(left, &of_left), self.written(right, &of_right));
                return Ok(PlannerResult::Original(RawBinaryExpr { op, left, right }));
            }
            BinaryOperator::Divide if exact(&of_left, &of_right) => {
                return Ok(PlannerResult::Planned(self.divide.call(vec![left, right])));
            }
            BinaryOperator::Multiply
                if exact(&of_left, &of_right) && is_long_product(&of_left, &of_right) =>
            {
                return Ok(PlannerResult::Planned(self.multiply.call(vec![left, right])));
            }
            _ => {}
        }
        let compares = matches!(
            op,
            BinaryOperator::Eq
                | BinaryOperator::NotEq
                | BinaryOperator::Lt
                | BinaryOperator::LtEq
                | BinaryOperator::Gt
                | BinaryOperator::GtEq
        );
        let (left, right) = match compares {
            true => (fitted(left, &of_left, &of_right), fitted(right, &of_right, &of_left)),
            false => (left, right),
        };
        Ok(PlannerResult::Original(RawBinaryExpr { op, left, right }))
    }

    fn plan_aggregate(&self, mut expr: RawAggregateExpr) -> Result<PlannerResult<RawAggregateExpr>> {
        self.fit(expr.func.name(), &mut expr.args);
        Ok(PlannerResult::Original(expr))
    }

    fn plan_window(&self, mut expr: RawWindowExpr) -> Result<PlannerResult<RawWindowExpr>> {
        self.fit(expr.func_def.name(), &mut expr.args);
        Ok(PlannerResult::Original(expr))
    }
}

impl Operators {
    /// What stands beside a text, as PostgreSQL writes it.
    fn written(&self, side: Expr, of: &DataType) -> Expr {
        let zone = match of {
            DataType::Timestamp(_, Some(zone)) => zone.to_string(),
            DataType::Timestamp(..)
            | DataType::Time64(_)
            | DataType::Time32(_)
            | DataType::Interval(_)
            | DataType::Duration(_)
            | DataType::Float64
            | DataType::Float32
            | DataType::Decimal128(..) => "UTC".to_string(),
            _ => return side,
        };
        self.text.call(vec![side, lit(zone)])
    }

    /// Fits the arguments of an aggregate: a sum of `bigint` is `numeric`, a mean of `numeric` has many digits, a share is no
    /// exact number to the engine.
    fn fit(&self, name: &str, args: &mut [Expr]) {
        match (name, args) {
            ("sum", [argument]) if is_small(argument) => {}
            ("sum", [argument]) => *argument = self.exact.call(vec![std::mem::take(argument)]),
            ("avg", [argument]) => *argument = self.mean.call(vec![std::mem::take(argument)]),
            (name, args) if name.contains("percentile") => {
                for argument in args {
                    if let Expr::Literal(value, _) = argument
                        && value.data_type().is_decimal()
                        && let Ok(share) = value.cast_to(&DataType::Float64)
                    {
                        *argument = lit(share);
                    }
                }
            }
            _ => {}
        }
    }
}

fn computes(op: &BinaryOperator) -> bool {
    matches!(
        op,
        BinaryOperator::Plus
            | BinaryOperator::Minus
            | BinaryOperator::Multiply
            | BinaryOperator::Divide
            | BinaryOperator::Modulo
    )
}

/// Whether it is one of some integers that PostgreSQL takes for `integer`, whose sum is a `bigint`.
fn is_small(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(ScalarValue::Int64(Some(number)), _) => i32::try_from(*number).is_ok(),
        Expr::Literal(value, _) => value.is_null(),
        Expr::Negative(inner) => is_small(inner),
        Expr::Case(case) => {
            let results = case.when_then_expr.iter().map(|(_, then)| then).chain(&case.else_expr);
            results.into_iter().all(|result| is_small(result))
        }
        _ => false,
    }
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn is_instant(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(_, Some(_)))
}

fn is_local(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Date32 | DataType::Timestamp(_, None))
}

fn is_time(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(..))
}

fn is_clock(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Time64(_) | DataType::Time32(_))
}

fn is_binary(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Float64 | DataType::Float32)
}

/// A time of day as a length of time.
fn length(clock: Expr) -> Expr {
    let nanos = cast(cast(clock, DataType::Time64(TimeUnit::Nanosecond)), DataType::Int64);
    cast(nanos, DataType::Duration(TimeUnit::Nanosecond))
}

fn text_of(side: &Expr) -> Option<&str> {
    match side {
        Expr::Literal(ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)), _) => Some(text),
        _ => None,
    }
}

/// Reads a text that something is computed with as what it stands for, and tells a parameter its type.
fn read(op: &BinaryOperator, left: &mut Expr, right: &mut Expr, schema: &DFSchema) {
    let is_open = |side: &Expr| matches!(side, Expr::Placeholder(placeholder) if placeholder.field.is_none());
    if *op == BinaryOperator::Plus && (is_open(left) || is_open(right)) {
        let (side, other) = if is_open(left) { (left, right) } else { (right, left) };
        // To a time an interval is added.
        if let Expr::Placeholder(placeholder) = side
            && other.get_type(schema).is_ok_and(|of| is_time(&of))
        {
            placeholder.field = Some(Arc::new(Field::new("", INTERVAL, true)));
        }
        return;
    }
    let (side, other) = match (text_of(left).is_some(), text_of(right).is_some()) {
        (true, false) => (left, right),
        (false, true) => (right, left),
        _ => return,
    };
    let (Some(text), Ok(of)) = (text_of(side), other.get_type(schema)) else { return };
    let meant = match of {
        of if of.is_numeric() => number(text, &of),
        DataType::Interval(_) if matches!(op, BinaryOperator::Multiply | BinaryOperator::Divide) => {
            text.trim().parse::<f64>().ok().map(lit)
        }
        // To a time an interval is added; from one, another is taken.
        DataType::Timestamp(..) if *op == BinaryOperator::Plus => {
            from_text(text, &INTERVAL).ok().map(|value| Expr::Literal(value, None))
        }
        DataType::Timestamp(..) | DataType::Date32 if *op == BinaryOperator::Minus => {
            from_text(text, &micros(&of)).ok().map(|value| Expr::Literal(value, None))
        }
        _ => None,
    };
    if let Some(meant) = meant {
        *side = meant;
    }
}

/// A number as it is beside one of this type.
fn number(text: &str, of: &DataType) -> Option<Expr> {
    let text = text.trim();
    if let Ok(whole) = text.parse::<i64>() {
        return Some(lit(whole));
    }
    let number = lit(text.parse::<f64>().ok()?);
    Some(if of.is_decimal() { exactly(&number).unwrap_or(number) } else { number })
}

/// Brings numbers together as PostgreSQL does: what is written with a point is exact beside what is exact, and an exact
/// number is a binary one beside a binary one.
fn suit(op: &BinaryOperator, left: &mut Expr, right: &mut Expr, schema: &DFSchema) {
    let computes = computes(op);
    let (Ok(of_left), Ok(of_right)) = (left.get_type(schema), right.get_type(schema)) else { return };
    let written = (exactly(left), exactly(right));
    match (&of_left, &of_right) {
        (DataType::Float64, DataType::Float64) if computes => {
            if let (Some(one), Some(other)) = written {
                (*left, *right) = (one, other);
            }
        }
        (DataType::Float64, other) if other.is_decimal() || computes && other.is_integer() => match written.0
        {
            Some(exact) => *left = exact,
            None if other.is_decimal() => *right = cast(std::mem::take(right), DataType::Float64),
            None => {}
        },
        (other, DataType::Float64) if other.is_decimal() || computes && other.is_integer() => match written.1
        {
            Some(exact) => *right = exact,
            None if other.is_decimal() => *left = cast(std::mem::take(left), DataType::Float64),
            None => {}
        },
        _ => {}
    }
}

/// A number that is written with a point as an exact one; `None` when it is none, or too long.
fn exactly(expr: &Expr) -> Option<Expr> {
    let Expr::Literal(ScalarValue::Float64(Some(number)), _) = expr else { return None };
    let text = number.to_string();
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let digits = format!("{whole}{fraction}");
    let precision = digits.trim_start_matches('-').len();
    if precision > 18 || fraction.len() > 16 {
        return None;
    }
    let scale = i8::try_from(fraction.len()).ok()?;
    let unscaled = digits.parse().ok()?;
    Some(Expr::Literal(
        ScalarValue::Decimal128(Some(unscaled), precision.max(fraction.len()).max(1) as u8, scale),
        None,
    ))
}

/// Whether both are exact numbers, and not both integers.
fn exact(left: &DataType, right: &DataType) -> bool {
    is_exact(left) && is_exact(right) && (left.is_decimal() || right.is_decimal())
}

/// Whether it is a length of time.
fn is_span(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Interval(_) | DataType::Duration(_))
}

/// One side of a comparison, fitted to the type of the other.
fn fitted(side: Expr, own: &DataType, other: &DataType) -> Expr {
    if let Some(text) = text_of(&side) {
        let meant = match other {
            DataType::Boolean
            | DataType::Timestamp(..)
            | DataType::Date32
            | DataType::Time64(_)
            | DataType::Interval(_) => {
                from_text(text, &micros(other)).ok().map(|value| Expr::Literal(value, None))
            }
            other if other.is_numeric() => number(text, other),
            _ => None,
        };
        return meant.unwrap_or(side);
    }
    match (own, other) {
        // Nanoseconds reach from 1677 to 2262 only: beside a day, microseconds are meant.
        (DataType::Timestamp(TimeUnit::Nanosecond, _), DataType::Date32) => cast(side, micros(own)),
        (DataType::Date32, DataType::Timestamp(..)) => cast(side, micros(other)),
        (DataType::Time64(one), DataType::Time64(another)) if one != another => {
            cast(side, DataType::Time64(TimeUnit::Nanosecond))
        }
        _ => side,
    }
}

/// The type in microseconds, where it is one of timestamps.
fn micros(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
        other => other.clone(),
    }
}

/// An interval as the engine reads it; `None` when it is written so already, or is none: `1 day 02:03:04.5`, `1-2` (years and
/// months), `P1Y2M3DT4H`.
pub(in crate::postgres) fn interval_in_words(text: &str) -> Option<String> {
    let text = text.trim();
    let mut words = Vec::new();
    if let Some(iso) = text.strip_prefix('P') {
        let (mut number, mut in_time) = (String::new(), false);
        for letter in iso.chars() {
            let unit = match (letter, in_time) {
                ('T', false) if number.is_empty() => {
                    in_time = true;
                    continue;
                }
                ('0'..='9' | '.' | '-', _) => {
                    number.push(letter);
                    continue;
                }
                ('Y', false) => "years",
                ('M', false) => "months",
                ('W', false) => "weeks",
                ('D', false) => "days",
                ('H', true) => "hours",
                ('M', true) => "minutes",
                ('S', true) => "seconds",
                _ => return None,
            };
            number.parse::<f64>().ok()?;
            words.push(format!("{number} {unit}"));
            number.clear();
        }
        return number.is_empty().then(|| words.join(" ")).filter(|words| !words.is_empty());
    }
    // A sign may stand alone before its number.
    let mut all: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match all.last_mut() {
            Some(sign) if sign == "-" || sign == "+" => sign.push_str(word),
            _ => all.push(word.to_string()),
        }
    }
    let mut changed = all.len() < text.split_whitespace().count();
    for (index, word) in all.iter().map(String::as_str).enumerate() {
        // A number before a clock's time is one of days.
        if index + 1 < all.len() && all[index + 1].contains(':') && word.parse::<f64>().is_ok() {
            changed = true;
            words.push(format!("{word} days"));
            continue;
        }
        let (sign, plain) = match word.strip_prefix('-') {
            Some(plain) => ("-", plain),
            None => ("", word.strip_prefix('+').unwrap_or(word)),
        };
        let numbers = |by: char| -> Option<Vec<&str>> {
            let parts: Vec<&str> = plain.split(by).collect();
            (parts.len() > 1 && parts.iter().all(|part| part.parse::<f64>().is_ok())).then_some(parts)
        };
        let units: Option<(Vec<&str>, &[&str])> = match (numbers(':'), numbers('-')) {
            (Some(parts), _) => Some((parts, &["hours", "minutes", "seconds"])),
            (_, Some(parts)) => Some((parts, &["years", "months"])),
            _ => None,
        };
        match units {
            Some((parts, units)) if parts.len() <= units.len() => {
                changed = true;
                words.extend(parts.iter().zip(units).map(|(part, unit)| format!("{sign}{part} {unit}")));
            }
            Some(_) => return None,
            None => words.push(word.to_string()),
        }
    }
    changed.then(|| words.join(" "))
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::lit;
    use datafusion::scalar::ScalarValue;

    use super::{exactly, interval_in_words};

    #[test]
    fn what_is_written_with_a_point_is_exact() {
        let exact = |number: f64| exactly(&lit(number)).map(|expr| expr.to_string());
        let decimal = |unscaled, precision, scale| {
            Some(lit(ScalarValue::Decimal128(Some(unscaled), precision, scale)).to_string())
        };
        assert_eq!(exact(1.1), decimal(11, 2, 1));
        assert_eq!(exact(-0.05), decimal(-5, 3, 2));
        assert_eq!(exact(1e15), decimal(1_000_000_000_000_000, 16, 0));
        assert_eq!(exact(1e300), None);
        assert_eq!(exact(f64::NAN), None);
    }

    #[test]
    fn intervals_are_read_in_every_style() {
        let words = |text| interval_in_words(text).unwrap();
        assert_eq!(words("1 day 02:03:04.5"), "1 day 02 hours 03 minutes 04.5 seconds");
        assert_eq!(words("-01:30"), "-01 hours -30 minutes");
        assert_eq!(words("1-2"), "1 years 2 months");
        assert_eq!(words("1 month - 1 day"), "1 month -1 day");
        assert_eq!(words("3 4:05"), "3 days 4 hours 05 minutes");
        assert_eq!(words("P1Y2M3DT4H5M6.5S"), "1 years 2 months 3 days 4 hours 5 minutes 6.5 seconds");
        for other in ["1 day", "P", "P1", "1:2:3:4", "Pfft", "one"] {
            assert_eq!(interval_in_words(other), None, "{other}");
        }
    }
}
