//! Parts of times and lengths of time, as PostgreSQL counts them, in the zone of the session.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Decimal128Array, Int64Array, IntervalMonthDayNanoArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{
    DataType, Field, FieldRef, Float64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit,
    TimeUnit, TimestampMicrosecondType,
};
use chrono::{DateTime, Datelike, Months, NaiveDate, NaiveDateTime, TimeDelta};
use chrono_tz::Tz;
use datafusion::common::{Result, exec_err, internal_err, plan_err};
use datafusion::functions::datetime::date_trunc;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, cast,
    lit,
};
use datafusion::scalar::ScalarValue;

const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);
const DAY: i64 = 86_400_000_000;

pub(super) fn functions() -> Vec<ScalarUDF> {
    let signature = |count| Signature::any(count, Volatility::Immutable);
    let mut all = vec![
        ScalarUDF::from(Extract(signature(2))),
        ScalarUDF::from(DateTrunc(signature(3))),
        ScalarUDF::from(Local(signature(1))),
        ScalarUDF::from(Age(signature(2))),
        ScalarUDF::from(Made { zoned: false, signature: signature(6) }),
        ScalarUDF::from(Made { zoned: true, signature: signature(7) }),
        ScalarUDF::from(MadeInterval(signature(7))),
    ];
    all.extend([Justify::Days, Justify::Hours, Justify::Both].map(|justify| ScalarUDF::from(justify.with(signature(1)))));
    all
}

/// The zone that a type of instants names.
fn zone_of(data_type: &DataType) -> Option<Tz> {
    match data_type {
        DataType::Timestamp(_, Some(zone)) => Some(super::zone(zone).unwrap_or(Tz::UTC)),
        _ => None,
    }
}

/// Times of any type in microseconds as clocks show them, which is UTC where there is no zone.
fn shown(times: &ArrayRef) -> Result<TimestampMicrosecondArray> {
    let zone = zone_of(times.data_type());
    let micros = DataType::Timestamp(TimeUnit::Microsecond, zone.map(|_| "UTC".into()));
    let instants = arrow::compute::cast(times, &micros)?;
    let instants = instants.as_primitive::<TimestampMicrosecondType>();
    Ok(match zone {
        None => instants.clone(),
        Some(Tz::UTC) => instants.clone().with_timezone_opt(None::<Arc<str>>),
        Some(zone) => instants
            .unary::<_, TimestampMicrosecondType>(|micros| micros.saturating_add(super::zones::ahead(zone, micros)))
            .with_timezone_opt(None::<Arc<str>>),
    })
}

/// A literal text of an argument.
fn literal(args: &ReturnFieldArgs, index: usize) -> Option<String> {
    args.scalar_arguments.get(index).copied().flatten().and_then(ScalarValue::try_as_str).flatten().map(str::to_lowercase)
}

/// `pg_extract(field, time)`: what the engine's `date_part` has not, or without fractions.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Extract(Signature);

/// Fields of [`Extract`], with the digits behind the point of what they give.
const FIELDS: [(&str, i8); 14] = [
    ("second", 6),
    ("seconds", 6),
    ("epoch", 6),
    ("millisecond", 3),
    ("milliseconds", 3),
    ("microsecond", 0),
    ("microseconds", 0),
    ("century", 0),
    ("decade", 0),
    ("millennium", 0),
    ("julian", 0),
    ("timezone", 0),
    ("timezone_hour", 0),
    ("timezone_minute", 0),
];

/// Whether a field is counted here.
pub(in crate::postgres) fn is_extracted(field: &str) -> bool {
    FIELDS.iter().any(|(known, _)| field.eq_ignore_ascii_case(known))
}

impl ScalarUDFImpl for Extract {
    fn name(&self) -> &str {
        "pg_extract"
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("its type hangs on its arguments")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let field = literal(&args, 0).unwrap_or_default();
        let Some((_, scale)) = FIELDS.iter().find(|(known, _)| *known == field) else {
            return plan_err!("unit \"{field}\" is not known");
        };
        let of = args.arg_fields[1].data_type();
        let data_type = match (of, *scale) {
            (_, 0) => DataType::Int64,
            (DataType::Date32, _) if field == "epoch" => DataType::Int64,
            (_, scale) => DataType::Decimal128(38, scale),
        };
        Ok(Arc::new(Field::new(self.name(), data_type, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let ColumnarValue::Scalar(field) = &args.args[0] else { return exec_err!("the unit must be a constant") };
        let field = field.try_as_str().flatten().unwrap_or_default().to_lowercase();
        let times = args.args[1].to_array(rows)?;
        // Microseconds, or what is counted in whole numbers.
        let numbers: Vec<Option<i128>> = match times.data_type() {
            DataType::Interval(_) | DataType::Duration(_) => {
                let spans = arrow::compute::cast(&times, &INTERVAL)?;
                let days = matches!(times.data_type(), DataType::Duration(_));
                let spans = spans.as_primitive::<IntervalMonthDayNanoType>();
                spans.iter().map(|span| span.and_then(|span| of_span(&field, span, days))).collect()
            }
            DataType::Time32(_) | DataType::Time64(_) => {
                let times = arrow::compute::cast(&times, &DataType::Time64(TimeUnit::Microsecond))?;
                let times = times.as_primitive::<arrow::datatypes::Time64MicrosecondType>();
                times.iter().map(|time| time.and_then(|micros| of_clock(&field, micros))).collect()
            }
            _ => {
                let zone = zone_of(times.data_type());
                let clocks = shown(&times)?;
                clocks.iter().map(|time| time.and_then(|micros| of_time(&field, micros, zone))).collect()
            }
        };
        let answers: ArrayRef = match args.return_field.data_type() {
            DataType::Decimal128(precision, scale) => {
                // Microseconds as seconds with six digits, or milliseconds with three.
                Arc::new(Decimal128Array::from(numbers).with_precision_and_scale(*precision, *scale)?)
            }
            _ => {
                let whole = if field == "epoch" { 1_000_000 } else { 1 };
                Arc::new(numbers.into_iter().map(|number| number.map(|n| (n / whole) as i64)).collect::<Int64Array>())
            }
        };
        Ok(ColumnarValue::Array(answers))
    }
}

fn of_clock(field: &str, micros: i64) -> Option<i128> {
    let of_minute = i128::from(micros.rem_euclid(60_000_000));
    match field {
        "second" | "seconds" | "millisecond" | "milliseconds" | "microsecond" | "microseconds" => Some(of_minute),
        "epoch" => Some(i128::from(micros)),
        _ => None,
    }
}

fn of_time(field: &str, micros: i64, zone: Option<Tz>) -> Option<i128> {
    let ahead = |zone: Tz| {
        // The clock is ahead of the instant by what is looked for.
        let guess = super::zones::ahead(zone, micros);
        super::zones::ahead(zone, micros - guess)
    };
    let date = || DateTime::from_timestamp_micros(micros).map(|time| time.date_naive());
    let year = || date().map(|date| i128::from(date.year()));
    match field {
        "epoch" => Some(i128::from(micros) - i128::from(zone.map_or(0, ahead))),
        "century" => year().map(|year| if year > 0 { (year + 99) / 100 } else { -((99 - (year - 1)) / 100) }),
        "millennium" => year().map(|year| if year > 0 { (year + 999) / 1000 } else { -((999 - (year - 1)) / 1000) }),
        "decade" => year().map(|year| year.div_euclid(10)),
        "julian" => date().map(|date| i128::from(date.num_days_from_ce()) + 1_721_425),
        "timezone" => Some(i128::from(ahead(zone?) / 1_000_000)),
        "timezone_hour" => Some(i128::from(ahead(zone?) / 3_600_000_000)),
        "timezone_minute" => Some(i128::from(ahead(zone?) / 60_000_000 % 60)),
        field => of_clock(field, micros.rem_euclid(DAY)),
    }
}

/// `days`: whole days of its time are days.
fn of_span(field: &str, span: IntervalMonthDayNano, days: bool) -> Option<i128> {
    let micros = span.nanoseconds / 1000;
    let years = i128::from(span.months / 12);
    match field {
        "epoch" => {
            // A year has 365.25 days, a month that is none of a year 30.
            let months = years * 31_557_600_000_000 + i128::from(span.months % 12) * 30 * i128::from(DAY);
            Some(months + i128::from(span.days) * i128::from(DAY) + i128::from(micros))
        }
        "century" => Some(years / 100),
        "millennium" => Some(years / 1000),
        "decade" => Some(years / 10),
        field => {
            let micros = if days { micros % DAY } else { micros };
            of_clock(field, 0).map(|_| i128::from(micros % 60_000_000))
        }
    }
}

/// `pg_date_trunc(unit, time, zone)`: the engine's `date_trunc`, of days as instants, and to units that it has not.
#[derive(Debug, PartialEq, Eq, Hash)]
struct DateTrunc(Signature);

impl DateTrunc {
    /// The type of the result, from that of the time and the zone of the session.
    fn to(of: &DataType, zone: Option<String>) -> Result<DataType> {
        Ok(match of {
            DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
            DataType::Date32 | DataType::Date64 | DataType::Utf8 | DataType::Utf8View | DataType::Null => {
                DataType::Timestamp(TimeUnit::Microsecond, Some(zone.unwrap_or("UTC".into()).into()))
            }
            DataType::Interval(_) | DataType::Duration(_) => INTERVAL,
            DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Microsecond),
            other => return plan_err!("function date_trunc(text, {other}) does not exist"),
        })
    }
}

/// Years of a unit, and the last digit at which it begins.
fn long_unit(unit: &str) -> Option<(i32, i32)> {
    match unit {
        "decade" | "decades" => Some((10, 0)),
        "century" | "centuries" => Some((100, 1)),
        "millennium" | "millennia" => Some((1000, 1)),
        _ => None,
    }
}

/// The engine's name of a unit.
fn plain_unit(unit: &str) -> &str {
    match unit {
        "microseconds" => "microsecond",
        "milliseconds" => "millisecond",
        "seconds" => "second",
        "minutes" => "minute",
        "hours" => "hour",
        "days" => "day",
        "weeks" => "week",
        "months" => "month",
        "quarters" => "quarter",
        "years" => "year",
        other => other,
    }
}

impl ScalarUDFImpl for DateTrunc {
    fn name(&self) -> &str {
        "pg_date_trunc"
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("its type hangs on its arguments")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let zone = args.scalar_arguments.get(2).copied().flatten().and_then(ScalarValue::try_as_str).flatten();
        let data_type = Self::to(args.arg_fields[1].data_type(), zone.map(str::to_string))?;
        Ok(Arc::new(Field::new(self.name(), data_type, true)))
    }

    fn simplify(&self, args: Vec<Expr>, context: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let text = |expr: &Expr| match expr {
            Expr::Literal(value, _) => value.try_as_str().flatten().map(str::to_string),
            _ => None,
        };
        let unit = text(&args[0]).map(|unit| unit.to_lowercase());
        let of = context.get_data_type(&args[1])?;
        let to = Self::to(&of, text(&args[2]))?;
        let simple = !matches!(to, INTERVAL) && unit.as_deref().is_none_or(|unit| long_unit(unit).is_none());
        if !simple {
            return Ok(ExprSimplifyResult::Original(args));
        }
        let [whole, time, _] = <[Expr; 3]>::try_from(args).unwrap_or_default();
        let whole = unit.map_or(whole, |unit| lit(plain_unit(&unit)));
        let time = if of == to { time } else { cast(time, to) };
        Ok(ExprSimplifyResult::Simplified(date_trunc().call(vec![whole, time])))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let ColumnarValue::Scalar(unit) = &args.args[0] else { return exec_err!("the unit must be a constant") };
        let unit = unit.try_as_str().flatten().unwrap_or_default().to_lowercase();
        let times = args.args[1].to_array(rows)?;
        if let DataType::Interval(_) | DataType::Duration(_) = times.data_type() {
            let days = matches!(times.data_type(), DataType::Duration(_));
            let spans = arrow::compute::cast(&times, &INTERVAL)?;
            let spans = spans.as_primitive::<IntervalMonthDayNanoType>();
            let cut = spans.iter().map(|span| span.map(|span| cut_span(&unit, span, days)).transpose());
            let cut: IntervalMonthDayNanoArray = cut.collect::<Result<Vec<_>>>()?.into();
            return Ok(ColumnarValue::Array(Arc::new(cut)));
        }
        let to = args.return_field.data_type();
        let zoned = arrow::compute::cast(&times, to)?;
        let Some((years, first)) = long_unit(&unit) else {
            return exec_err!("unit \"{unit}\" not recognized for type {}", times.data_type());
        };
        let zone = zone_of(to);
        let start = |micros: i64| -> Option<i64> {
            let year = DateTime::from_timestamp_micros(micros)?.year();
            let start = NaiveDate::from_ymd_opt((year - first).div_euclid(years) * years + first, 1, 1)?;
            let clock = start.and_hms_opt(0, 0, 0)?.and_utc().timestamp_micros();
            Some(zone.map_or(clock, |zone| clock - super::zones::behind(zone, clock)))
        };
        let starts: TimestampMicrosecondArray = shown(&zoned)?.iter().map(|time| time.and_then(start)).collect();
        let name = match to {
            DataType::Timestamp(_, zone) => zone.clone(),
            _ => None,
        };
        Ok(ColumnarValue::Array(Arc::new(starts.with_timezone_opt(name))))
    }
}

/// A length of time without what is smaller than a unit.
fn cut_span(unit: &str, span: IntervalMonthDayNano, days: bool) -> Result<IntervalMonthDayNano> {
    let day = DAY * 1000;
    let (whole, rest) = if days { (span.days + (span.nanoseconds / day) as i32, span.nanoseconds % day) } else { (span.days, span.nanoseconds) };
    let within = |size: i64| IntervalMonthDayNano::new(span.months, whole, rest / size * size);
    Ok(match plain_unit(unit) {
        "microsecond" => within(1000),
        "millisecond" => within(1_000_000),
        "second" => within(1_000_000_000),
        "minute" => within(60_000_000_000),
        "hour" => within(3_600_000_000_000),
        "day" => IntervalMonthDayNano::new(span.months, whole, 0),
        "month" => IntervalMonthDayNano::new(span.months, 0, 0),
        "quarter" => IntervalMonthDayNano::new(span.months / 3 * 3, 0, 0),
        "year" => IntervalMonthDayNano::new(span.months / 12 * 12, 0, 0),
        unit => match long_unit(unit) {
            Some((years, _)) => IntervalMonthDayNano::new(span.months / (12 * years) * 12 * years, 0, 0),
            None => return exec_err!("unit \"{unit}\" not supported for type interval"),
        },
    })
}

/// `pg_local(time)`: an instant as the clocks of its zone show it; what is no instant as a time without zone.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Local(Signature);

impl ScalarUDFImpl for Local {
    fn name(&self) -> &str {
        "pg_local"
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Timestamp(TimeUnit::Microsecond, None))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(ColumnarValue::Array(Arc::new(shown(&args.args[0].to_array(args.number_rows)?)?)))
    }
}

/// `age(later, earlier)`: years, months, days and time between two.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Age(Signature);

impl ScalarUDFImpl for Age {
    fn name(&self) -> &str {
        "age"
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(INTERVAL)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let clock = |index: usize| shown(&args.args[index].to_array(args.number_rows)?);
        let (later, earlier) = (clock(0)?, clock(1)?);
        let ages = later.iter().zip(&earlier).map(|pair| match pair {
            (Some(later), Some(earlier)) => age(later, earlier),
            _ => None,
        });
        Ok(ColumnarValue::Array(Arc::new(ages.collect::<IntervalMonthDayNanoArray>())))
    }
}

fn age(later: i64, earlier: i64) -> Option<IntervalMonthDayNano> {
    if later < earlier {
        let span = age(earlier, later)?;
        return Some(IntervalMonthDayNano::new(-span.months, -span.days, -span.nanoseconds));
    }
    let time = |micros: i64| DateTime::from_timestamp_micros(micros).map(|time| time.naive_utc());
    let (later, earlier): (NaiveDateTime, NaiveDateTime) = (time(later)?, time(earlier)?);
    let mut months = (later.year() - earlier.year()) * 12 + later.month() as i32 - earlier.month() as i32;
    let mut days = later.day() as i32 - earlier.day() as i32;
    let mut rest = later.time() - earlier.time();
    if rest < TimeDelta::zero() {
        rest += TimeDelta::days(1);
        days -= 1;
    }
    if days < 0 {
        // The month in which the earlier one lies lends its days.
        let first = earlier.date().with_day(1)?;
        days += (first.checked_add_months(Months::new(1))? - first).num_days() as i32;
        months -= 1;
    }
    Some(IntervalMonthDayNano::new(months, days, rest.num_nanoseconds()?))
}

/// `justify_days`, `justify_hours`, `justify_interval`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Justify {
    Days,
    Hours,
    Both,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Justified {
    how: Justify,
    signature: Signature,
}

impl Justify {
    fn with(self, signature: Signature) -> Justified {
        Justified { how: self, signature }
    }

    fn of(self, span: IntervalMonthDayNano) -> IntervalMonthDayNano {
        let day = DAY * 1000;
        let (mut months, mut days, mut nanos) = (span.months, span.days, span.nanoseconds);
        if self != Justify::Days {
            days += (nanos / day) as i32;
            nanos %= day;
        }
        if self != Justify::Hours {
            months += days / 30;
            days %= 30;
        }
        // All of one sign, from the largest down.
        if self != Justify::Hours {
            if months > 0 && (days < 0 || self == Justify::Both && days == 0 && nanos < 0) {
                (months, days) = (months - 1, days + 30);
            } else if months < 0 && (days > 0 || self == Justify::Both && days == 0 && nanos > 0) {
                (months, days) = (months + 1, days - 30);
            }
        }
        if self != Justify::Days {
            if days > 0 && nanos < 0 {
                (days, nanos) = (days - 1, nanos + day);
            } else if days < 0 && nanos > 0 {
                (days, nanos) = (days + 1, nanos - day);
            }
        }
        IntervalMonthDayNano::new(months, days, nanos)
    }
}

impl ScalarUDFImpl for Justified {
    fn name(&self) -> &str {
        match self.how {
            Justify::Days => "justify_days",
            Justify::Hours => "justify_hours",
            Justify::Both => "justify_interval",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(INTERVAL)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let spans = arrow::compute::cast(&args.args[0].to_array(args.number_rows)?, &INTERVAL)?;
        let spans = spans.as_primitive::<IntervalMonthDayNanoType>();
        let justified: IntervalMonthDayNanoArray = spans.unary(|span| self.how.of(span));
        Ok(ColumnarValue::Array(Arc::new(justified)))
    }
}

/// `make_timestamp(year, month, day, hour, minute, second)`, and with the session's zone `make_timestamptz`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Made {
    zoned: bool,
    signature: Signature,
}

impl ScalarUDFImpl for Made {
    fn name(&self) -> &str {
        if self.zoned { "pg_make_timestamptz" } else { "make_timestamp" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Timestamp(TimeUnit::Microsecond, self.zoned.then(|| "UTC".into())))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let numbers = numbers(&args.args[..6], rows)?;
        let zone = match args.args.get(6) {
            Some(ColumnarValue::Scalar(zone)) => zone.try_as_str().flatten().and_then(super::zone),
            _ => None,
        };
        let mut times = Vec::with_capacity(rows);
        for row in 0..rows {
            let Some(parts) = of_row(&numbers, row) else {
                times.push(None);
                continue;
            };
            let micros = (parts[5] * 1e6).round() as i64;
            let clock = NaiveDate::from_ymd_opt(parts[0] as i32, parts[1] as u32, parts[2] as u32)
                .and_then(|day| day.and_hms_opt(parts[3] as u32, parts[4] as u32, 0))
                .filter(|_| (0..=60_000_000).contains(&micros));
            let Some(clock) = clock else { return exec_err!("date/time field value out of range") };
            let clock = clock.and_utc().timestamp_micros() + micros;
            times.push(Some(zone.map_or(clock, |zone| clock - super::zones::behind(zone, clock))));
        }
        let times = TimestampMicrosecondArray::from(times);
        let zone: Option<Arc<str>> = self.zoned.then(|| "UTC".into());
        Ok(ColumnarValue::Array(Arc::new(times.with_timezone_opt(zone))))
    }
}

/// Arguments as numbers.
fn numbers(args: &[ColumnarValue], rows: usize) -> Result<Vec<ArrayRef>> {
    args.iter().map(|arg| Ok(arrow::compute::cast(&arg.to_array(rows)?, &DataType::Float64)?)).collect()
}

/// The numbers of a row; `None` when one of them is null.
fn of_row(numbers: &[ArrayRef], row: usize) -> Option<Vec<f64>> {
    let of = |array: &ArrayRef| (!array.is_null(row)).then(|| array.as_primitive::<Float64Type>().value(row));
    numbers.iter().map(of).collect()
}

/// `make_interval(years, months, weeks, days, hours, minutes, seconds)`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct MadeInterval(Signature);

impl ScalarUDFImpl for MadeInterval {
    fn name(&self) -> &str {
        "pg_make_interval"
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(INTERVAL)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let numbers = numbers(&args.args, rows)?;
        let spans = (0..rows).map(|row| {
            let parts = of_row(&numbers, row)?;
            let seconds = parts[4] * 3600.0 + parts[5] * 60.0 + parts[6];
            Some(IntervalMonthDayNano::new(
                (parts[0] * 12.0 + parts[1]) as i32,
                (parts[2] * 7.0 + parts[3]) as i32,
                (seconds * 1e6).round() as i64 * 1000,
            ))
        });
        Ok(ColumnarValue::Array(Arc::new(spans.collect::<IntervalMonthDayNanoArray>())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(text: &str) -> i64 {
        text.parse::<NaiveDateTime>().unwrap().and_utc().timestamp_micros()
    }

    #[test]
    fn ages_are_counted_by_the_calendar() {
        let of = |later: &str, earlier: &str| age(micros(later), micros(earlier)).unwrap();
        let span = |months, days, hours: i64| IntervalMonthDayNano::new(months, days, hours * 3_600_000_000_000);
        assert_eq!(of("2013-03-01T00:00:00", "2012-01-15T00:00:00"), span(13, 17, 0));
        assert_eq!(of("2013-03-31T00:00:00", "2013-02-28T00:00:00"), span(1, 3, 0));
        assert_eq!(of("2013-01-01T10:00:00", "2013-01-02T12:00:00"), span(0, -1, -2));
        assert_eq!(of("2001-04-10T00:00:00", "1957-06-13T00:00:00"), span(43 * 12 + 9, 27, 0));
    }

    #[test]
    fn lengths_of_time_are_justified() {
        let span = |months, days, hours: i64| IntervalMonthDayNano::new(months, days, hours * 3_600_000_000_000);
        assert_eq!(Justify::Days.of(span(0, 35, 0)), span(1, 5, 0));
        assert_eq!(Justify::Hours.of(span(0, 0, 27)), span(0, 1, 3));
        assert_eq!(Justify::Both.of(span(1, 0, -1)), span(0, 29, 23));
    }

    #[test]
    fn parts_of_times_keep_their_fractions() {
        let time = micros("2013-01-31T10:20:30.123456");
        assert_eq!(of_time("second", time, None), Some(30_123_456));
        assert_eq!(of_time("century", time, None), Some(21));
        assert_eq!(of_time("julian", time, None), Some(2_456_324));
        assert_eq!(of_time("timezone_hour", time, Some(Tz::Asia__Tokyo)), Some(9));
        assert_eq!(of_time("epoch", time, Some(Tz::Asia__Tokyo)), Some(i128::from(time - 9 * 3_600_000_000)));
        assert_eq!(of_span("epoch", IntervalMonthDayNano::new(0, 1, 7_200_000_000_000), false), Some(93_600_000_000));
    }
}
