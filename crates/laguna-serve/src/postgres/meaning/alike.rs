//! `coalesce`, `greatest` and `least` of values beside texts: a text that is written out takes the type of the others.

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, plan_err};
use datafusion::functions::core::{coalesce, greatest, least};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// One of the engine's functions under its own name.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Alike {
    function: std::sync::Arc<ScalarUDF>,
    signature: Signature,
}

pub(super) fn functions() -> Vec<ScalarUDF> {
    let function = |function| {
        ScalarUDF::from(Alike { function, signature: Signature::user_defined(Volatility::Immutable) })
    };
    [coalesce(), greatest(), least()].into_iter().map(function).collect()
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// Whether a text can be read as such a value.
fn is_read(data_type: &DataType) -> bool {
    data_type.is_numeric() || data_type.is_temporal() || *data_type == DataType::Boolean
}

impl ScalarUDFImpl for Alike {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.function.inner().return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.function.inner().return_field_from_args(args)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let others: Vec<DataType> = types.iter().filter(|data_type| !is_text(data_type)).cloned().collect();
        let wanted = others.iter().find(|data_type| is_read(data_type));
        match wanted {
            Some(wanted) if others.len() < types.len() => {
                let as_others: Vec<DataType> = types
                    .iter()
                    .map(|data_type| if is_text(data_type) { wanted } else { data_type })
                    .cloned()
                    .collect();
                self.function.inner().coerce_types(&as_others)
            }
            _ if types.is_empty() => plan_err!("function {}() does not exist", self.name()),
            _ => self.function.inner().coerce_types(types),
        }
    }

    fn simplify(&self, args: Vec<Expr>, _: &SimplifyContext) -> Result<ExprSimplifyResult> {
        Ok(ExprSimplifyResult::Simplified(self.function.call(args)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.function.invoke_with_args(args)
    }

    fn short_circuits(&self) -> bool {
        self.function.short_circuits()
    }
}
