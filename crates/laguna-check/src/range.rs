//! Bounds made fit for a column's type, so that comparing them with a batch is one pass over native values.

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::buffer::BooleanBuffer;
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type,
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use laguna_base::{Error, Result};
use serde_json::Value;

use crate::arguments::Arguments;
use crate::value::{is_temporal, whole, whole_scale};
use crate::view::{any, failed};
use crate::words::word;

/// An interval of a column's values.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Range {
    /// Whole numbers, dates, timestamps, decimals: both ends inside.
    Whole { low: i128, high: i128 },
    /// Floats.
    Float { low: Option<f64>, high: Option<f64>, strict_low: bool, strict_high: bool },
    /// Everything: no bound is given, or the column holds nothing.
    Any,
}

/// Refuses bounds that can hold for nothing, or that are not there when they must be.
pub(crate) fn validate(arguments: &Arguments, needed: bool) -> Result<()> {
    let (low, high) = (arguments.value("min_value"), arguments.value("max_value"));
    if needed && low.is_none() && high.is_none() {
        return Err(Error::project("neither `min_value` nor `max_value` is given"));
    }
    let reversed = match (low, high) {
        (Some(Value::Number(low)), Some(Value::Number(high))) => low.as_f64() > high.as_f64(),
        (Some(Value::String(low)), Some(Value::String(high))) => {
            match (crate::value::instant(low), crate::value::instant(high)) {
                (Some(low), Some(high)) => low > high,
                _ => false,
            }
        }
        _ => false,
    };
    if reversed {
        return Err(Error::project("`min_value` is larger than `max_value`"));
    }
    Ok(())
}

/// Both bounds as numbers, for checks about counts and shares.
pub(crate) fn numeric(arguments: &Arguments) -> Result<Range> {
    compile(arguments, &DataType::Float64, "the value")
}

/// The bounds of `arguments` for a column of `data_type`.
pub(crate) fn compile(arguments: &Arguments, data_type: &DataType, column: &str) -> Result<Range> {
    let (low, high) = (arguments.value("min_value"), arguments.value("max_value"));
    let (strict_low, strict_high) =
        (arguments.flag("strict_min", false), arguments.flag("strict_max", false));
    let unfit = |literal: &Value| {
        Error::project(format!(
            "`{column}` is {} and cannot be compared with the bound {literal}",
            word(data_type)
        ))
        .hint(if is_temporal(data_type) {
            "write dates as 2024-01-31 and timestamps as 2024-01-31T12:00:00"
        } else {
            "give a bound of the column's type"
        })
    };
    if (low.is_none() && high.is_none()) || data_type == &DataType::Null {
        return Ok(Range::Any);
    }
    if data_type.is_string() {
        let bound = low.or(high).unwrap_or(&Value::Null);
        return Err(
            unfit(bound).hint("the column holds text; cast it in the model to compare numbers or dates")
        );
    }
    if data_type.is_floating() || matches!(data_type, DataType::Decimal256(_, _)) {
        let number = |bound: Option<&Value>| match bound {
            None => Ok(None),
            Some(literal) => {
                as_number(literal).and_then(|n| n.as_f64()).map(Some).ok_or_else(|| unfit(literal))
            }
        };
        return Ok(Range::Float { low: number(low)?, high: number(high)?, strict_low, strict_high });
    }
    if whole_scale(data_type).is_none() && !is_temporal(data_type) {
        return Err(Error::project(format!(
            "`{column}` is {}, which has no order to compare bounds with",
            word(data_type)
        )));
    }
    let literal = |bound: &Value| match is_temporal(data_type) {
        true => whole(bound, data_type),
        false => whole(&Value::Number(as_number(bound)?), data_type),
    };
    let low = match low {
        None => i128::MIN,
        Some(bound) => {
            let (floor, exact) = literal(bound).ok_or_else(|| unfit(bound))?;
            if exact && !strict_low { floor } else { floor.saturating_add(1) }
        }
    };
    let high = match high {
        None => i128::MAX,
        Some(bound) => {
            let (floor, exact) = literal(bound).ok_or_else(|| unfit(bound))?;
            if exact && strict_high { floor.saturating_sub(1) } else { floor }
        }
    };
    Ok(Range::Whole { low, high })
}

fn as_number(literal: &Value) -> Option<serde_json::Number> {
    match literal {
        Value::Number(number) => Some(number.clone()),
        Value::String(text) => match serde_json::from_str(text.trim()) {
            Ok(Value::Number(number)) => Some(number),
            _ => None,
        },
        _ => None,
    }
}

impl Range {
    /// Whether one number lies inside.
    pub fn holds(&self, value: f64) -> bool {
        match self {
            Range::Float { low, high, strict_low, strict_high } => {
                low.is_none_or(|low| if *strict_low { value > low } else { value >= low })
                    && high.is_none_or(|high| if *strict_high { value < high } else { value <= high })
            }
            Range::Whole { low, high } => value >= *low as f64 && value <= *high as f64,
            Range::Any => true,
        }
    }

    /// Rows whose value lies outside; `None` when no row does. Bits of nulls are not set.
    pub fn outside(&self, array: &ArrayRef) -> Result<Option<BooleanBuffer>> {
        match self {
            Range::Whole { low, high } => whole_outside(array, *low, *high),
            Range::Any => Ok(None),
            Range::Float { low, high, strict_low, strict_high } => {
                // Strict or not is settled before the loop: the bound moves to the next float inside.
                match array.data_type() {
                    DataType::Float32 => {
                        // A bound is rounded to the column's precision, so that 0.1 equals 0.1.
                        let low = low
                            .map_or(f32::NEG_INFINITY, |low| inward(low as f32, *strict_low, f32::next_up));
                        let high = high
                            .map_or(f32::INFINITY, |high| inward(high as f32, *strict_high, f32::next_down));
                        let floats = array.as_primitive::<Float32Type>();
                        let values = floats.values();
                        Ok(valid(floats, |row| values[row] < low || values[row] > high))
                    }
                    _ => {
                        let low = low.map_or(f64::NEG_INFINITY, |low| inward(low, *strict_low, f64::next_up));
                        let high =
                            high.map_or(f64::INFINITY, |high| inward(high, *strict_high, f64::next_down));
                        let cast = cast(array, &DataType::Float64).map_err(failed)?;
                        let floats = cast.as_primitive::<Float64Type>();
                        let values = floats.values();
                        Ok(valid(floats, |row| values[row] < low || values[row] > high))
                    }
                }
            }
        }
    }
}

fn inward<F>(bound: F, strict: bool, next: impl Fn(F) -> F) -> F {
    if strict { next(bound) } else { bound }
}

fn valid(array: &dyn Array, test: impl FnMut(usize) -> bool) -> Option<BooleanBuffer> {
    let outside = any(BooleanBuffer::collect_bool(array.len(), test))?;
    match array.nulls() {
        Some(nulls) => any(&outside & nulls.inner()),
        None => Some(outside),
    }
}

fn whole_outside(array: &ArrayRef, low: i128, high: i128) -> Result<Option<BooleanBuffer>> {
    Ok(match array.data_type() {
        DataType::Boolean => {
            let flags = array.as_boolean();
            let (no, yes) = (low <= 0 && high >= 0, low <= 1 && high >= 1);
            valid(flags, |row| if flags.value(row) { !yes } else { !no })
        }
        DataType::Int8 => typed::<Int8Type>(array, low, high),
        DataType::Int16 => typed::<Int16Type>(array, low, high),
        DataType::Int32 => typed::<Int32Type>(array, low, high),
        DataType::Int64 => typed::<Int64Type>(array, low, high),
        DataType::UInt8 => typed::<UInt8Type>(array, low, high),
        DataType::UInt16 => typed::<UInt16Type>(array, low, high),
        DataType::UInt32 => typed::<UInt32Type>(array, low, high),
        DataType::UInt64 => typed::<UInt64Type>(array, low, high),
        DataType::Date32 => typed::<Date32Type>(array, low, high),
        DataType::Date64 => typed::<Date64Type>(array, low, high),
        DataType::Timestamp(TimeUnit::Second, _) => typed::<TimestampSecondType>(array, low, high),
        DataType::Timestamp(TimeUnit::Millisecond, _) => typed::<TimestampMillisecondType>(array, low, high),
        DataType::Timestamp(TimeUnit::Microsecond, _) => typed::<TimestampMicrosecondType>(array, low, high),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => typed::<TimestampNanosecondType>(array, low, high),
        DataType::Decimal32(_, _) => typed::<Decimal32Type>(array, low, high),
        DataType::Decimal64(_, _) => typed::<Decimal64Type>(array, low, high),
        DataType::Decimal128(_, _) => typed::<Decimal128Type>(array, low, high),
        other => return Err(Error::internal(format!("a range of whole numbers met a column of {other}"))),
    })
}

fn typed<T: ArrowPrimitiveType>(array: &ArrayRef, low: i128, high: i128) -> Option<BooleanBuffer>
where
    T::Native: TryFrom<i128> + Ord,
{
    let array: &PrimitiveArray<T> = array.as_primitive::<T>();
    let values = array.values();
    if low > high {
        return valid(array, |_| true);
    }
    // A bound that the type cannot hold is beyond all its values: either no value passes it or all do.
    match (T::Native::try_from(low), T::Native::try_from(high)) {
        (Ok(low), Ok(high)) => valid(array, |row| values[row] < low || values[row] > high),
        (Ok(low), Err(_)) if high > 0 => valid(array, |row| values[row] < low),
        (Err(_), Ok(high)) if low < 0 => valid(array, |row| values[row] > high),
        (Err(_), Err(_)) if low < 0 && high > 0 => None,
        _ => valid(array, |_| true),
    }
}
