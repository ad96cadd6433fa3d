//! SQL functions that Laguna adds to the engine's: hiding personal data without a key. And bounds on some of the engine's.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::execution::FunctionRegistry;
use datafusion::execution::context::SessionState;
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};

mod bounded;

/// Adds all functions of this file to `state`.
pub(crate) fn register(state: &mut SessionState) -> Result<()> {
    for function in bounded::bounded(|name| state.scalar_functions().get(name).cloned()) {
        state.register_udf(Arc::new(function))?;
    }
    for function in [text_function("mask", mask), text_function("mask_email", mask_email)] {
        state.register_udf(Arc::new(function))?;
    }
    Ok(())
}

/// A function from text to text; null stays null.
fn text_function(name: &str, change: fn(&str) -> String) -> ScalarUDF {
    let implementation = move |arguments: &[ColumnarValue]| -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(arguments)?;
        let changed: StringArray =
            arrays[0].as_string::<i32>().iter().map(|value| value.map(change)).collect();
        let scalar = arguments.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        if scalar && changed.len() == 1 {
            return datafusion::scalar::ScalarValue::try_from_array(&changed, 0).map(ColumnarValue::Scalar);
        }
        Ok(ColumnarValue::Array(Arc::new(changed) as ArrayRef))
    };
    create_udf(name, vec![DataType::Utf8], DataType::Utf8, Volatility::Immutable, Arc::new(implementation))
}

/// Every letter and digit becomes `*`; what separates them stays, so the form can be recognised.
fn mask(text: &str) -> String {
    text.chars().map(|c| if c.is_alphanumeric() { '*' } else { c }).collect()
}

/// `ana@example.org` becomes `a***@example.org`; text without `@` is masked whole.
fn mask_email(text: &str) -> String {
    match text.rsplit_once('@') {
        Some((person, domain)) => {
            format!("{}***@{domain}", person.chars().next().map(String::from).unwrap_or_default())
        }
        None => mask(text),
    }
}
