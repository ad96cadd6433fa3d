//! `date_trunc` of days, which are instants then, of lengths of time, and to decades and longer.

use std::sync::Arc;

use arrow::array::{AsArray, IntervalMonthDayNanoArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, FieldRef, IntervalMonthDayNano, IntervalMonthDayNanoType, TimeUnit};
use chrono::{DateTime, Datelike, NaiveDate};
use datafusion::common::{Result, exec_err, internal_err, plan_err};
use datafusion::functions::datetime::date_trunc;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility, cast, lit,
};
use datafusion::scalar::ScalarValue;

use super::{DAY, INTERVAL, shown, zone_of};
use crate::postgres::meaning::zones;

pub(super) fn truncate() -> ScalarUDF {
    ScalarUDF::from(DateTrunc(Signature::any(3, Volatility::Immutable)))
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
        let zone =
            args.scalar_arguments.get(2).copied().flatten().and_then(ScalarValue::try_as_str).flatten();
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
        let ColumnarValue::Scalar(unit) = &args.args[0] else {
            return exec_err!("the unit must be a constant");
        };
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
            Some(zone.map_or(clock, |zone| clock - zones::behind(zone, clock)))
        };
        let starts: TimestampMicrosecondArray =
            shown(&zoned)?.iter().map(|time| time.and_then(start)).collect();
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
    let (whole, rest) = if days {
        (span.days + (span.nanoseconds / day) as i32, span.nanoseconds % day)
    } else {
        (span.days, span.nanoseconds)
    };
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
