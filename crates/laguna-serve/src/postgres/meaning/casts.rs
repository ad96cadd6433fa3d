//! Casts whose meaning hangs on the type of what is cast: texts are read as PostgreSQL reads them, days and clocks are
//! those of the session's zone. Most become casts of the engine as soon as that type is known.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Date32Array, Time64NanosecondArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, FieldRef, Time64NanosecondType, TimeUnit};
use chrono::format::{Item, ParseErrorKind, Parsed, StrftimeItems, parse_and_remainder};
use chrono_tz::Tz;
use datafusion::common::{DataFusionError, Result, exec_err, internal_err};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility, cast,
};
use datafusion::scalar::ScalarValue;

use super::times::shown;
use super::written::{Fault, Order, read, time_of_day};

const DAY_NANOS: i64 = 86_400_000_000_000;
const CLOCK: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

/// `pg_cast(value, type, zone, order of the parts of a day)`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct PgCast(Signature);

pub(super) fn pg_cast() -> ScalarUDF {
    ScalarUDF::from(PgCast(Signature::any(4, Volatility::Immutable)))
}

/// The engine's type of this name for what is of a type: those that [`super::super::rewrite`] writes.
fn type_of(name: &str, zone: &str, of: &DataType) -> Option<DataType> {
    Some(match name {
        "date" => DataType::Date32,
        "timestamp" => CLOCK,
        "timestamptz" => DataType::Timestamp(TimeUnit::Microsecond, Some(zone.into())),
        "time" => DataType::Time64(TimeUnit::Nanosecond),
        "float8" => DataType::Float64,
        "float4" => DataType::Float32,
        "bool" => DataType::Boolean,
        // As many digits as it has.
        "numeric" if of.is_decimal() => of.clone(),
        "numeric" => DataType::Decimal128(38, 10),
        other => {
            let (precision, scale) = other.strip_prefix("numeric(")?.strip_suffix(')')?.split_once(',')?;
            DataType::Decimal128(precision.parse().ok()?, scale.parse().ok()?)
        }
    })
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn word(argument: Option<&ScalarValue>) -> &str {
    argument.and_then(ScalarValue::try_as_str).flatten().unwrap_or_default()
}

/// A constant argument.
fn text(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(value, _) => value.try_as_str().flatten(),
        _ => None,
    }
}

impl ScalarUDFImpl for PgCast {
    fn name(&self) -> &str {
        "pg_cast"
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("its type hangs on its arguments")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let argument = |index: usize| word(args.scalar_arguments.get(index).copied().flatten());
        match type_of(argument(1), argument(2), args.arg_fields[0].data_type()) {
            Some(data_type) => Ok(Arc::new(Field::new(self.name(), data_type, true))),
            None => internal_err!("no type is called {}", argument(1)),
        }
    }

    fn simplify(&self, mut args: Vec<Expr>, context: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let own = context.get_data_type(&args[0])?;
        let (Some(name), Some(zone)) = (text(&args[1]), text(&args[2])) else {
            return Ok(ExprSimplifyResult::Original(args));
        };
        let Some(wanted) = type_of(name, zone, &own) else { return Ok(ExprSimplifyResult::Original(args)) };
        let stays = match (&own, &wanted) {
            // What the clock shows of a time is no cast that keeps the order of times, as the engine believes.
            (_, DataType::Time64(_)) => true,
            (DataType::Timestamp(_, Some(_)), DataType::Timestamp(_, None)) => zone != "UTC",
            (own, wanted) => is_text(own) && wanted.is_temporal(),
        };
        if stays {
            return Ok(ExprSimplifyResult::Original(args));
        }
        let value = args.swap_remove(0);
        Ok(ExprSimplifyResult::Simplified(match (&own, &wanted) {
            (own, wanted) if own == wanted => value,
            // The midnight of the zone.
            (DataType::Date32, DataType::Timestamp(_, Some(_))) => cast(cast(value, CLOCK), wanted),
            _ => cast(value, wanted),
        }))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = |index: usize| match &args.args[index] {
            ColumnarValue::Scalar(value) => word(Some(value)),
            ColumnarValue::Array(_) => "",
        };
        let zone = super::zone(constant(2)).unwrap_or(Tz::UTC);
        let order = Order::of(constant(3));
        let values = args.args[0].to_array(args.number_rows)?;
        let wanted = args.return_field.data_type();
        let cast: ArrayRef = match (values.data_type(), wanted) {
            (own, wanted) if is_text(own) && wanted.is_temporal() => read_all(&values, wanted, zone, order)?,
            (DataType::Timestamp(..) | DataType::Date32, DataType::Time64(_)) => {
                let clocks = shown(&values)?;
                Arc::new(clocks.unary::<_, Time64NanosecondType>(|micros| {
                    micros.wrapping_mul(1000).rem_euclid(DAY_NANOS)
                }))
            }
            (DataType::Timestamp(_, Some(_)), DataType::Timestamp(_, None)) => Arc::new(shown(&values)?),
            (DataType::Date32, DataType::Timestamp(_, Some(_))) => {
                arrow::compute::cast(&arrow::compute::cast(&values, &CLOCK)?, wanted)?
            }
            _ => arrow::compute::cast(&values, wanted)?,
        };
        Ok(ColumnarValue::Array(cast))
    }
}

/// `pg_to_time(text, pattern of chrono, type, zone)`: what a pattern does not say is the first.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ToTime(Signature);

pub(super) fn to_time() -> ScalarUDF {
    ScalarUDF::from(ToTime(Signature::any(4, Volatility::Immutable)))
}

impl ScalarUDFImpl for ToTime {
    fn name(&self) -> &str {
        "pg_to_time"
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("its type hangs on its arguments")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let argument = |index: usize| word(args.scalar_arguments.get(index).copied().flatten());
        match type_of(argument(2), argument(3), &DataType::Utf8) {
            Some(data_type) => Ok(Arc::new(Field::new(self.name(), data_type, true))),
            None => internal_err!("no type is called {}", argument(2)),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = |index: usize| match &args.args[index] {
            ColumnarValue::Scalar(value) => word(Some(value)).to_string(),
            ColumnarValue::Array(_) => String::new(),
        };
        let (pattern, zone) = (constant(1), super::zone(&constant(3)).unwrap_or(Tz::UTC));
        let texts = arrow::compute::cast(&args.args[0].to_array(args.number_rows)?, &DataType::Utf8)?;
        let texts = texts.as_string::<i32>();
        let items: Vec<Item> = StrftimeItems::new(&pattern).collect();
        let name = if constant(2) == "date" { "date" } else { "timestamp" };
        let read = |text: &str| patterned(text, &items, zone).map_err(|fault| wrong(fault, name, text));
        let micros = texts.iter().map(|text| text.map(read).transpose()).collect::<Result<Vec<_>>>()?;
        Ok(ColumnarValue::Array(match args.return_field.data_type() {
            DataType::Date32 => {
                let day = |micros: i64| micros.div_euclid(86_400_000_000) as i32;
                Arc::new(micros.into_iter().map(|micros| micros.map(day)).collect::<Date32Array>())
            }
            DataType::Timestamp(_, of) => {
                let instant = |micros: i64| micros - super::zones::behind(zone, micros);
                let instants = micros.into_iter().map(|micros| micros.map(instant));
                Arc::new(instants.collect::<TimestampMicrosecondArray>().with_timezone_opt(of.clone()))
            }
            other => return exec_err!("no text is read as {other}"),
        }))
    }
}

/// Microseconds since 1970 as the clocks of a zone show them.
fn patterned(text: &str, items: &[Item], zone: Tz) -> std::result::Result<i64, Fault> {
    let mut parsed = Parsed::new();
    // What follows the pattern does not count.
    parse_and_remainder(&mut parsed, text.trim_start(), items.iter()).map_err(|error| {
        match error.kind() {
            ParseErrorKind::OutOfRange | ParseErrorKind::Impossible => Fault::Range,
            _ => Fault::Form,
        }
    })?;
    shown_by(&mut parsed, zone).ok_or(Fault::Range)
}

/// The time of the parts that a text has.
fn shown_by(parsed: &mut Parsed, zone: Tz) -> Option<i64> {
    let first = |parsed: &mut Parsed| -> Option<()> {
        if parsed.isoyear().is_some() && parsed.isoweek().is_some() {
            return parsed
                .weekday()
                .is_some()
                .then_some(())
                .or_else(|| parsed.set_weekday(chrono::Weekday::Mon).ok().map(drop));
        }
        if parsed.ordinal().is_none() {
            if parsed.month().is_none() {
                parsed.set_month(1).ok()?;
            }
            if parsed.day().is_none() {
                parsed.set_day(1).ok()?;
            }
        }
        if parsed.year().is_none() && parsed.year_mod_100().is_none() {
            parsed.set_year(1).ok()?;
        }
        Some(())
    };
    first(parsed)?;
    let day = parsed.to_naive_date().ok()?;
    let hour = match (parsed.hour_div_12(), parsed.hour_mod_12()) {
        (half, Some(hour)) => half.unwrap_or(0) * 12 + hour,
        _ => 0,
    };
    let second = parsed.second().unwrap_or(0);
    let time =
        day.and_hms_nano_opt(hour, parsed.minute().unwrap_or(0), second, parsed.nanosecond().unwrap_or(0))?;
    let shown = time.and_utc().timestamp_micros();
    Some(match parsed.offset() {
        None => shown,
        Some(ahead) => {
            let instant = shown - i64::from(ahead) * 1_000_000;
            instant + super::zones::ahead(zone, instant)
        }
    })
}

/// Texts as times.
fn read_all(texts: &ArrayRef, wanted: &DataType, zone: Tz, order: Order) -> Result<ArrayRef> {
    let texts = arrow::compute::cast(texts, &DataType::Utf8)?;
    let texts = texts.as_string::<i32>();
    fn each<T>(
        texts: &arrow::array::StringArray,
        name: &str,
        of: impl Fn(&str) -> std::result::Result<T, Fault>,
    ) -> Result<Vec<Option<T>>> {
        texts
            .iter()
            .map(|text| text.map(|text| of(text).map_err(|fault| wrong(fault, name, text))).transpose())
            .collect()
    }
    Ok(match wanted {
        DataType::Date32 => {
            Arc::new(Date32Array::from(each(texts, "date", |text| read(text, order)?.day())?))
        }
        DataType::Time64(_) => {
            let clocks = each(texts, "time", |text| time_of_day(text).map(|micros| micros * 1000))?;
            Arc::new(Time64NanosecondArray::from(clocks))
        }
        DataType::Timestamp(_, None) => {
            let clocks = each(texts, "timestamp", |text| read(text, order)?.clock())?;
            Arc::new(TimestampMicrosecondArray::from(clocks))
        }
        DataType::Timestamp(_, of) => {
            let instants = each(texts, "timestamp with time zone", |text| read(text, order)?.instant(zone))?;
            Arc::new(TimestampMicrosecondArray::from(instants).with_timezone_opt(of.clone()))
        }
        other => return exec_err!("no text is read as {other}"),
    })
}

/// What is said of a text that is no time.
fn wrong(fault: Fault, name: &str, text: &str) -> DataFusionError {
    DataFusionError::Execution(match fault {
        Fault::Form => format!("invalid input syntax for type {name}: \"{text}\""),
        Fault::Range => format!("date/time field value out of range: \"{text}\""),
    })
}
