//! Exact numbers: `numeric` divides to sixteen digits behind the point, rounds to the digits that are asked for, and is the
//! type of sums of `bigint`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Float64Array, Int64Array};
use arrow::datatypes::{DataType, Decimal128Type, Field, FieldRef, Float64Type, i256};
use datafusion::common::{Result, exec_err, internal_err};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    TypeSignature, Volatility, cast,
};
use datafusion::scalar::ScalarValue;

/// Digits of the engine's widest number that is still fast.
const DIGITS: u8 = 38;
/// Digits behind the point of a quotient, at least (`NUMERIC_MIN_SIG_DIGITS`).
const QUOTIENT: i8 = 16;
/// Digits behind the point of a product, at most: beyond it there is no room before the point.
const PRODUCT: i8 = 18;

/// Whether it is `numeric` or becomes it beside one.
pub(super) fn is_exact(data_type: &DataType) -> bool {
    data_type.is_decimal() || data_type.is_integer()
}

/// Precision and scale as a decimal.
fn shape(data_type: &DataType) -> (u8, i8) {
    match data_type {
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => (*precision, *scale),
        _ => (20, 0),
    }
}

/// Whether a product of these has more digits behind the point than there is room for.
pub(super) fn is_long_product(left: &DataType, right: &DataType) -> bool {
    shape(left).1 + shape(right).1 > PRODUCT
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Operation {
    Divide,
    Multiply,
}

/// `pg_divide(a, b)` and `pg_multiply(a, b)` of exact numbers.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Computed {
    operation: Operation,
    signature: Signature,
}

fn computed(operation: Operation) -> ScalarUDF {
    ScalarUDF::from(Computed { operation, signature: Signature::any(2, Volatility::Immutable) })
}

pub(super) fn divide() -> ScalarUDF {
    computed(Operation::Divide)
}

pub(super) fn multiply() -> ScalarUDF {
    computed(Operation::Multiply)
}

impl Computed {
    /// Digits behind the point of the result.
    fn scale(&self, left: &DataType, right: &DataType) -> i8 {
        let (left, right) = (shape(left).1, shape(right).1);
        match self.operation {
            Operation::Divide => QUOTIENT.max(left).max(right),
            Operation::Multiply => PRODUCT.min(left + right),
        }
    }

    /// The result of two numbers, as integers of their scales; `None` where it has too many digits.
    fn of(&self, left: i128, right: i128, by: i256) -> Option<i128> {
        let (left, right) = (i256::from_i128(left), i256::from_i128(right));
        let (above, below) = match self.operation {
            Operation::Divide => (left.checked_mul(by)?, right),
            Operation::Multiply => (left.checked_mul(right)?, by),
        };
        let (quotient, rest) = (above.checked_div(below)?, above.checked_rem(below)?);
        // Halves go away from zero.
        let up = rest.wrapping_abs().checked_mul(i256::from_i128(2))? >= below.wrapping_abs();
        let away = i256::from_i128(if above.is_negative() == below.is_negative() { 1 } else { -1 });
        let rounded = if up { quotient.checked_add(away)? } else { quotient };
        rounded.to_i128().filter(|number| number.unsigned_abs() < 10u128.pow(DIGITS.into()))
    }
}

impl ScalarUDFImpl for Computed {
    fn name(&self) -> &str {
        match self.operation {
            Operation::Divide => "pg_divide",
            Operation::Multiply => "pg_multiply",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Decimal128(DIGITS, self.scale(&types[0], &types[1])))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let types = [args.args[0].data_type(), args.args[1].data_type()];
        let scales = [shape(&types[0]).1, shape(&types[1]).1];
        let scale = self.scale(&types[0], &types[1]);
        let exact = |index: usize| -> Result<ArrayRef> {
            let array = args.args[index].to_array(rows)?;
            Ok(arrow::compute::cast(&array, &DataType::Decimal128(DIGITS, scales[index]))?)
        };
        let (left, right) = (exact(0)?, exact(1)?);
        let (left, right) = (left.as_primitive::<Decimal128Type>(), right.as_primitive::<Decimal128Type>());
        let power = match self.operation {
            Operation::Divide => scale + scales[1] - scales[0],
            Operation::Multiply => scales[0] + scales[1] - scale,
        };
        let Some(by) = i256::from_i128(10).checked_pow(power.unsigned_abs().into()) else {
            return internal_err!("a number has {power} digits behind the point");
        };
        let mut numbers = Vec::with_capacity(rows);
        for row in 0..rows {
            if left.is_null(row) || right.is_null(row) {
                numbers.push(None);
                continue;
            }
            if self.operation == Operation::Divide && right.value(row) == 0 {
                return Err(arrow::error::ArrowError::DivideByZero.into());
            }
            match self.of(left.value(row), right.value(row), by) {
                Some(number) => numbers.push(Some(number)),
                None => return exec_err!("numeric field overflow"),
            }
        }
        let numbers = Decimal128Array::from(numbers).with_precision_and_scale(DIGITS, scale)?;
        Ok(ColumnarValue::Array(Arc::new(numbers)))
    }
}

/// `pg_exact(x)`: `numeric` for a `bigint`, else what it is. `pg_mean(x)`: a `numeric` with so many digits behind the point
/// that its mean has those of a quotient.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Widened {
    mean: bool,
    signature: Signature,
}

pub(super) fn exact() -> ScalarUDF {
    ScalarUDF::from(Widened { mean: false, signature: Signature::any(1, Volatility::Immutable) })
}

pub(super) fn mean() -> ScalarUDF {
    ScalarUDF::from(Widened { mean: true, signature: Signature::any(1, Volatility::Immutable) })
}

impl ScalarUDFImpl for Widened {
    fn name(&self) -> &str {
        if self.mean { "pg_mean" } else { "pg_exact" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        // The engine's mean has four digits more than what it is of.
        const BEFORE: i8 = QUOTIENT - 4;
        Ok(match &types[0] {
            DataType::Int64 | DataType::UInt64 if !self.mean => DataType::Decimal128(DIGITS, 0),
            DataType::Decimal32(_, scale)
            | DataType::Decimal64(_, scale)
            | DataType::Decimal128(_, scale)
                if self.mean && *scale < BEFORE =>
            {
                DataType::Decimal128(DIGITS, BEFORE)
            }
            other => other.clone(),
        })
    }

    fn simplify(&self, mut args: Vec<Expr>, context: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let data_type = context.get_data_type(&args[0])?;
        let argument = args.remove(0);
        Ok(ExprSimplifyResult::Simplified(match self.return_type(std::slice::from_ref(&data_type))? {
            same if same == data_type => argument,
            other => cast(argument, other),
        }))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        args.args[0].cast_to(args.return_field.data_type(), None)
    }
}

/// `pg_quotient(a, b)` of binary numbers: no number is divided by zero.
pub(super) fn quotient() -> ScalarUDF {
    super::plain::function("pg_quotient", 2, DataType::Float64, |args, rows| {
        let number = |index: usize| -> Result<ArrayRef> {
            Ok(arrow::compute::cast(&args[index].to_array(rows)?, &DataType::Float64)?)
        };
        let (above, below) = (number(0)?, number(1)?);
        let (above, below) = (above.as_primitive::<Float64Type>(), below.as_primitive::<Float64Type>());
        // What is divided by zero may be null, and then nothing is divided.
        let zero = |row: usize| below.value(row) == 0.0 && !below.is_null(row) && !above.is_null(row);
        if below.values().contains(&0.0) && (0..rows).any(zero) {
            return Err(arrow::error::ArrowError::DivideByZero.into());
        }
        let quotients: Float64Array = arrow::compute::binary(above, below, |above, below| above / below)?;
        Ok(Arc::new(quotients))
    })
}

/// `pg_round(number, digits)` and `pg_trunc(number, digits)`: of exact numbers one with so many digits. Without digits
/// there are none behind the point, and binary numbers are rounded to the even one.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Shortened {
    rounds: bool,
    signature: Signature,
}

pub(super) fn round() -> ScalarUDF {
    let signature =
        Signature::one_of(vec![TypeSignature::Any(1), TypeSignature::Any(2)], Volatility::Immutable);
    ScalarUDF::from(Shortened { rounds: true, signature })
}

pub(super) fn trunc() -> ScalarUDF {
    let signature =
        Signature::one_of(vec![TypeSignature::Any(1), TypeSignature::Any(2)], Volatility::Immutable);
    ScalarUDF::from(Shortened { rounds: false, signature })
}

impl ScalarUDFImpl for Shortened {
    fn name(&self) -> &str {
        if self.rounds { "pg_round" } else { "pg_trunc" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("its type hangs on its arguments")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let of = args.arg_fields[0].data_type();
        let data_type = match of {
            of if is_exact(of) => {
                let (_, scale) = shape(of);
                let digits = match args.scalar_arguments.get(1) {
                    None => Some(0),
                    Some(digits) => digits.and_then(whole),
                };
                // Digits that differ from row to row leave room for all of them.
                DataType::Decimal128(
                    DIGITS,
                    digits.map_or(scale, |digits| digits.clamp(0, i64::from(scale.max(QUOTIENT))) as i8),
                )
            }
            DataType::Float32 | DataType::Float64 => of.clone(),
            _ => DataType::Float64,
        };
        Ok(Arc::new(Field::new(self.name(), data_type, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let even = args.args.len() < 2;
        let digits = match args.args.get(1) {
            Some(digits) => digits.to_array(rows)?,
            None => Arc::new(Int64Array::from_value(0, rows)),
        };
        let digits = arrow::compute::cast(&digits, &DataType::Int64)?;
        let digits = digits.as_primitive::<arrow::datatypes::Int64Type>();
        let numbers = args.args[0].to_array(rows)?;
        let DataType::Decimal128(_, scale) = *args.return_field.data_type() else {
            let wide = arrow::compute::cast(&numbers, &DataType::Float64)?;
            let wide = wide.as_primitive::<arrow::datatypes::Float64Type>();
            let short = (0..rows).map(|row| {
                let both = !wide.is_null(row) && !digits.is_null(row);
                both.then(|| match even && self.rounds {
                    true => wide.value(row).round_ties_even(),
                    false => self.float(wide.value(row), digits.value(row)),
                })
            });
            let short: ArrayRef = Arc::new(short.collect::<arrow::array::Float64Array>());
            return Ok(ColumnarValue::Array(arrow::compute::cast(&short, args.return_field.data_type())?));
        };
        let (_, from) = shape(numbers.data_type());
        let numbers = arrow::compute::cast(&numbers, &DataType::Decimal128(DIGITS, from))?;
        let numbers = numbers.as_primitive::<Decimal128Type>();
        let mut short = Vec::with_capacity(rows);
        for row in 0..rows {
            if numbers.is_null(row) || digits.is_null(row) {
                short.push(None);
                continue;
            }
            match self.exact(numbers.value(row), from, digits.value(row), scale) {
                Some(number) => short.push(Some(number)),
                None => return exec_err!("numeric field overflow"),
            }
        }
        let short = Decimal128Array::from(short).with_precision_and_scale(DIGITS, scale)?;
        Ok(ColumnarValue::Array(Arc::new(short)))
    }
}

impl Shortened {
    fn float(&self, number: f64, digits: i64) -> f64 {
        let power = 10f64.powi(digits.clamp(-400, 400) as i32);
        let moved = number * power;
        if !moved.is_finite() || power == 0.0 {
            return if power == 0.0 { 0.0 } else { number };
        }
        (if self.rounds { moved.round() } else { moved.trunc() }) / power
    }

    /// `number` of scale `from` with `digits` behind the point, as an integer of scale `to`.
    fn exact(&self, number: i128, from: i8, digits: i64, to: i8) -> Option<i128> {
        let cut = i64::from(from) - digits;
        let kept = match u32::try_from(cut) {
            // More than there is.
            Ok(cut) if cut >= u32::from(DIGITS) => 0,
            Ok(cut) => {
                let unit = 10i128.pow(cut);
                let (whole, rest) = (number / unit, number % unit);
                let up = self.rounds && rest.unsigned_abs() * 2 >= unit.unsigned_abs();
                (whole + if up { number.signum() } else { 0 }).checked_mul(unit)?
            }
            Err(_) => number,
        };
        let moved = match to - from {
            more if more >= 0 => kept.checked_mul(10i128.checked_pow(more.unsigned_abs().into())?)?,
            less => kept / 10i128.pow(less.unsigned_abs().into()),
        };
        (moved.unsigned_abs() < 10u128.pow(DIGITS.into())).then_some(moved)
    }
}

/// A literal that is a whole number.
fn whole(value: &ScalarValue) -> Option<i64> {
    match value.cast_to(&DataType::Int64) {
        Ok(ScalarValue::Int64(number)) => number,
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotients_are_rounded_away_from_zero() {
        let divide =
            Computed { operation: Operation::Divide, signature: Signature::any(2, Volatility::Immutable) };
        let by = i256::from_i128(10i128.pow(4));
        assert_eq!(divide.of(2, 3, by), Some(6667));
        assert_eq!(divide.of(-2, 3, by), Some(-6667));
        assert_eq!(divide.of(-1, 3, by), Some(-3333));
        assert_eq!(divide.of(i128::MAX, 1, by), None);
    }

    #[test]
    fn digits_are_cut_on_both_sides_of_the_point() {
        let of = |rounds| Shortened { rounds, signature: Signature::any(2, Volatility::Immutable) };
        assert_eq!(of(true).exact(12_345, 2, 1, 1), Some(1235));
        assert_eq!(of(true).exact(-12_345, 2, 1, 1), Some(-1235));
        assert_eq!(of(false).exact(-12_345, 2, 1, 1), Some(-1234));
        assert_eq!(of(true).exact(12_345, 2, -1, 0), Some(120));
        assert_eq!(of(true).exact(15, 0, 2, 2), Some(1500));
        assert_eq!(of(true).exact(15, 0, -60, 0), Some(0));
    }
}
