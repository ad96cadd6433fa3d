//! What a check becomes when it meets a schema: the five shapes that the collector, the set query and the verdict know.

use std::cell::OnceCell;
use std::sync::Arc;

use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::execution::SessionState;
use laguna_base::{Error, Result, TableName, suggest};

use crate::range::Range;
use crate::sql;
use crate::verdict::Observation;
use crate::view::View;

/// How a check is answered.
#[derive(Clone)]
pub(crate) enum Plan {
    /// Row by row, in the pass.
    Row(RowPlan),
    /// No two rows have the same values: hashes in the pass, confirmed by the set query.
    Unique { columns: Vec<usize> },
    /// Every key is found in another table: the set query.
    ForeignKey { columns: Vec<usize>, to: TableName, fields: Vec<String> },
    /// SQL whose rows are failures and that needs more than one row at a time: the set query.
    Sql { text: String },
    /// One number about a column, in the pass.
    Aggregate { column: usize, metric: Metric, range: Range },
    /// The number of different values: the set query.
    Distinct { column: usize, share: bool, range: Range },
    /// The schema and the number of rows are enough.
    Table(Arc<dyn TableTest>),
}

/// A check that judges each row by itself.
#[derive(Clone)]
pub(crate) struct RowPlan {
    /// Columns that it looks at: the first one is the one its verdict names.
    pub columns: Vec<usize>,
    /// Whether rows with a missing value in the (only) column are taken out before the test.
    pub skip_missing: bool,
    /// The test.
    pub test: Arc<dyn RowTest>,
    /// What the failing values do: `are null`, `are not among AA, B6`.
    pub says: String,
}

/// The test of a row check.
pub(crate) trait RowTest: Send + Sync {
    /// The rows that fail, as set bits; `None` when none does. Bits of missing values mean nothing.
    fn failing(&self, view: &View<'_>) -> Result<Option<BooleanBuffer>>;
}

/// The test of a check that needs only the schema and the number of rows.
pub(crate) trait TableTest: Send + Sync {
    /// What it sees.
    fn judge(&self, schema: &SchemaRef, rows: u64) -> Observation;
}

/// A number about a column that is kept in the pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Metric {
    Min,
    Max,
    Mean,
    Sum,
    Stdev,
    /// Share of values that are not missing.
    Present,
}

/// A schema in which checks look up their columns.
pub(crate) struct Binding<'a> {
    pub schema: &'a SchemaRef,
    session: OnceCell<SessionState>,
}

/// A column of the schema.
pub(crate) struct Bound<'a> {
    pub index: usize,
    pub name: &'a str,
    pub data_type: &'a DataType,
}

impl<'a> Binding<'a> {
    pub fn new(schema: &'a SchemaRef) -> Self {
        Binding { schema, session: OnceCell::new() }
    }

    /// The session in which SQL conditions are compiled; made when the first one is met.
    pub fn session(&self) -> &SessionState {
        self.session.get_or_init(sql::session)
    }

    /// The column of that name, exactly as it is written.
    pub fn column(&self, name: &str) -> Result<Bound<'_>> {
        match self.schema.index_of(name) {
            Ok(index) => {
                let field = self.schema.field(index);
                Ok(Bound { index, name: field.name(), data_type: field.data_type() })
            }
            Err(_) => {
                let names: Vec<&str> = self.schema.fields().iter().map(|f| f.name().as_str()).collect();
                Err(Error::project(format!("there is no column `{name}`"))
                    .hint(suggest::hint(name, names.iter())))
            }
        }
    }

    pub fn columns(&self, names: &[String]) -> Result<Vec<usize>> {
        names.iter().map(|name| Ok(self.column(name)?.index)).collect()
    }
}

impl Bound<'_> {
    /// The type behind a dictionary.
    pub fn plain_type(&self) -> &DataType {
        match self.data_type {
            DataType::Dictionary(_, values) => values,
            other => other,
        }
    }

    pub fn is_text(&self) -> bool {
        matches!(self.plain_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
    }
}
