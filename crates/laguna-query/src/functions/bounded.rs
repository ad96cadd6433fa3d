//! Functions of the engine that make much of little: they refuse to make more at once than a machine bears, since what
//! they fill counts towards no memory pool.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef, Int64Type};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature,
};

/// Bytes that one call may fill for the rows of one batch.
const MOST: u64 = 512 << 20;

/// Names of the functions, and about how many bytes they fill.
type Estimate = fn(&[ArrayRef]) -> u64;

const FUNCTIONS: [(&str, Estimate); 7] = [
    ("repeat", repeated),
    ("lpad", padded),
    ("rpad", padded),
    ("array_repeat", listed),
    ("range", ranged),
    ("generate_series", ranged),
    ("array_resize", listed),
];

/// The functions of `known` that are to be bounded, bounded.
pub(super) fn bounded(known: impl Fn(&str) -> Option<Arc<ScalarUDF>>) -> Vec<ScalarUDF> {
    let found = FUNCTIONS.iter().filter_map(|(name, estimate)| Some((known(name)?, *estimate)));
    found.map(|(inner, estimate)| ScalarUDF::new_from_impl(Bounded { inner, estimate })).collect()
}

/// Whole numbers of an argument; null where there are none.
fn numbers(array: &ArrayRef) -> impl Iterator<Item = u64> {
    let whole = array.data_type().is_integer().then(|| cast(array, &DataType::Int64).ok()).flatten();
    let values: Vec<i64> = whole
        .iter()
        .flat_map(|whole| whole.as_primitive::<Int64Type>().iter().map(Option::unwrap_or_default))
        .collect();
    values.into_iter().map(|value| value.max(0) as u64)
}

fn lengths(array: &ArrayRef) -> Vec<u64> {
    match array.data_type() {
        DataType::Utf8 => {
            array.as_string::<i32>().iter().map(|text| text.map_or(0, str::len) as u64).collect()
        }
        DataType::LargeUtf8 => {
            array.as_string::<i64>().iter().map(|text| text.map_or(0, str::len) as u64).collect()
        }
        DataType::Utf8View => {
            array.as_string_view().iter().map(|text| text.map_or(0, str::len) as u64).collect()
        }
        _ => vec![8; array.len()],
    }
}

fn repeated(arguments: &[ArrayRef]) -> u64 {
    let [text, times, ..] = arguments else { return 0 };
    let each = lengths(text).into_iter().zip(numbers(times));
    each.fold(0, |sum, (length, times)| sum.saturating_add(length.saturating_mul(times)))
}

fn padded(arguments: &[ArrayRef]) -> u64 {
    arguments.get(1).map_or(0, |lengths| numbers(lengths).fold(0, u64::saturating_add))
}

fn listed(arguments: &[ArrayRef]) -> u64 {
    padded(arguments).saturating_mul(8)
}

fn ranged(arguments: &[ArrayRef]) -> u64 {
    let whole = |index: usize| -> Vec<i64> {
        let array = arguments.get(index).filter(|array| array.data_type().is_integer());
        let whole = array.and_then(|array| cast(array, &DataType::Int64).ok());
        whole
            .iter()
            .flat_map(|whole| whole.as_primitive::<Int64Type>().iter().map(Option::unwrap_or_default))
            .collect()
    };
    let (first, second, step) = (whole(0), whole(1), whole(2));
    let from = |row: usize| if second.is_empty() { 0 } else { first[row] };
    let to = |row: usize| *second.get(row).unwrap_or(&first[row]);
    let step = |row: usize| step.get(row).map_or(1, |step| step.unsigned_abs()).max(1);
    (0..first.len()).fold(0u64, |sum, row| sum.saturating_add(from(row).abs_diff(to(row)) / step(row) * 8))
}

/// A function of the engine with a bound on what it fills.
#[derive(Debug)]
struct Bounded {
    inner: Arc<ScalarUDF>,
    estimate: Estimate,
}

impl PartialEq for Bounded {
    fn eq(&self, other: &Bounded) -> bool {
        self.inner == other.inner
    }
}

impl Eq for Bounded {}

impl std::hash::Hash for Bounded {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        self.inner.simplify(args, info)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let bytes = (self.estimate)(&arrays);
        if bytes > MOST {
            return exec_err!(
                "{}() would make {} MB at once, and {} MB is the most",
                self.name(),
                bytes >> 20,
                MOST >> 20
            );
        }
        self.inner.invoke_with_args(args)
    }
}
