//! `pg_sleep(seconds)`: waits without holding a thread, so that it ends when the statement does.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{AsArray, StringArray};
use arrow::datatypes::{DataType, Float64Type};
use async_trait::async_trait;
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::async_udf::{AsyncScalarUDF, AsyncScalarUDFImpl};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

#[derive(Debug, PartialEq, Eq, Hash)]
struct Sleep(Signature);

pub(super) fn sleep() -> ScalarUDF {
    let signature = Signature::any(1, Volatility::Volatile);
    AsyncScalarUDF::new(Arc::new(Sleep(signature))).into_scalar_udf()
}

impl ScalarUDFImpl for Sleep {
    fn name(&self) -> &str {
        "pg_sleep"
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        internal_err!("pg_sleep waits")
    }
}

#[async_trait]
impl AsyncScalarUDFImpl for Sleep {
    async fn invoke_async_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let seconds = arrow::compute::cast(&args.args[0].to_array(args.number_rows)?, &DataType::Float64)?;
        for seconds in seconds.as_primitive::<Float64Type>().iter().flatten() {
            if let Ok(time) = Duration::try_from_secs_f64(seconds.max(0.0)) {
                tokio::time::sleep(time).await;
            }
        }
        Ok(ColumnarValue::Array(Arc::new(StringArray::from(vec![""; args.number_rows]))))
    }
}
