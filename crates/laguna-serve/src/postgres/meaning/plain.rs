//! Functions whose type hangs on nothing.

use std::hash::{Hash, Hasher};

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// What a function answers for so many rows.
type Answer = fn(&[ColumnarValue], usize) -> Result<ArrayRef>;

#[derive(Debug)]
struct Plain {
    name: &'static str,
    returns: DataType,
    answer: Answer,
    signature: Signature,
}

/// A function of `count` arguments of any type.
pub(super) fn function(name: &'static str, count: usize, returns: DataType, answer: Answer) -> ScalarUDF {
    let signature = Signature::any(count, Volatility::Immutable);
    ScalarUDF::from(Plain { name, returns, answer, signature })
}

// Names are unique.
impl PartialEq for Plain {
    fn eq(&self, other: &Plain) -> bool {
        self.name == other.name
    }
}

impl Eq for Plain {}

impl Hash for Plain {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Plain {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.returns.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        (self.answer)(&args.args, args.number_rows).map(ColumnarValue::Array)
    }
}
