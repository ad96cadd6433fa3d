//! Casts of numbers to integers, which round: binary numbers to the even one, exact ones away from zero.

use arrow::array::{ArrayRef, AsArray, Float64Array};
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::Result;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, cast,
};

/// `pg_int2(x)`, `pg_int4(x)` and `pg_int8(x)`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ToInteger {
    name: &'static str,
    returns: DataType,
    signature: Signature,
}

pub(super) fn functions() -> Vec<ScalarUDF> {
    let all = [("pg_int2", DataType::Int16), ("pg_int4", DataType::Int32), ("pg_int8", DataType::Int64)];
    let function = |(name, returns)| {
        ScalarUDF::from(ToInteger { name, returns, signature: Signature::any(1, Volatility::Immutable) })
    };
    all.into_iter().map(function).collect()
}

/// Whether a cast would cut digits off.
fn has_fraction(data_type: &DataType) -> bool {
    data_type.is_floating() || data_type.is_decimal()
}

impl ScalarUDFImpl for ToInteger {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.returns.clone())
    }

    /// What has no fraction is a plain cast, which the engine sees through.
    fn simplify(&self, mut args: Vec<Expr>, context: &SimplifyContext) -> Result<ExprSimplifyResult> {
        match context.get_data_type(&args[0]) {
            Ok(data_type) if !has_fraction(&data_type) => {
                Ok(ExprSimplifyResult::Simplified(cast(args.remove(0), self.returns.clone())))
            }
            _ => Ok(ExprSimplifyResult::Original(args)),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let array = args.args[0].to_array(args.number_rows)?;
        let options = arrow::compute::CastOptions { safe: false, ..Default::default() };
        let cast = |array: &ArrayRef, to: &DataType| arrow::compute::cast_with_options(array, to, &options);
        let array = match array.data_type() {
            data_type if data_type.is_floating() => {
                let numbers = cast(&array, &DataType::Float64)?;
                let rounded: Float64Array = numbers.as_primitive::<Float64Type>().unary(f64::round_ties_even);
                std::sync::Arc::new(rounded) as ArrayRef
            }
            // Fewer digits behind the point are rounded to.
            data_type if data_type.is_decimal() => cast(&array, &DataType::Decimal128(38, 0))?,
            _ => array,
        };
        Ok(ColumnarValue::Array(cast(&array, &self.returns)?))
    }
}
