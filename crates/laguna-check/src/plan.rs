//! What a check becomes when it meets a schema: the shapes that the collector, the set query and the verdict know.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::execution::SessionState;
use laguna_base::{Error, Result, TableName, suggest};

use crate::dates;
use crate::gather::bins::Bins;
use crate::gather::counts::Counts;
use crate::gather::distinct::Values;
use crate::gather::moments::Moments;
use crate::gather::series::Series;
use crate::gather::{Need, Slot};
use crate::pattern::Pattern;
use crate::set_query::Answer;
use crate::sql;
use crate::verdict::{Counted, Observation};
use crate::view::{View, failed};
use crate::words::word;

/// How a check is answered.
#[derive(Clone)]
pub(crate) enum Plan {
    /// Row by row, in the pass.
    Row(RowPlan),
    /// Each row against the one before, in the pass.
    Order(OrderPlan),
    /// No two rows have the same values: hashes in the pass; the set query shows those that repeat.
    Unique { columns: Vec<usize>, ignore: Ignore },
    /// Every key is found in another table: the set query.
    ForeignKey { columns: Vec<usize>, to: TableName, fields: Vec<String> },
    /// SQL whose rows are failures and that needs more than one row at a time: the set query.
    Sql { text: String },
    /// At the end, from what the pass kept about columns, or from the set query where that did not fit.
    Late(Arc<dyn LateTest>),
    /// The schema and the number of rows are enough.
    Table(Arc<dyn TableTest>),
    /// It does not fit the table; it fails and says why.
    Broken(String),
    /// It does not fit the types of its columns, which matters once there are values.
    Misfit(Misfit),
}

/// A check whose columns are of the wrong type.
#[derive(Clone)]
pub(crate) struct Misfit {
    pub columns: Vec<usize>,
    pub error: String,
    /// The check as it is when its columns of text hold nothing, and those columns.
    pub of_nothing: Option<(Box<Plan>, Vec<usize>)>,
}

impl Misfit {
    /// The test of single rows that counts when its columns of text hold nothing.
    pub fn row(&self) -> Option<&RowPlan> {
        match &self.of_nothing {
            Some((plan, _)) => match plan.as_ref() {
                Plan::Row(row) => Some(row),
                _ => None,
            },
            None => None,
        }
    }
}

/// A check of the order of values.
#[derive(Debug, Clone)]
pub(crate) struct OrderPlan {
    pub column: usize,
    pub descending: bool,
    pub strictly: bool,
}

/// The test of a check that is judged at the end.
pub(crate) trait LateTest: Send + Sync {
    /// What it needs to know; the same needs of several checks are met once.
    fn needs(&self) -> Vec<Need>;

    /// SQL for what the pass could not hold: rows `(total, n, example)` over the rows of `source`. `None` when the pass
    /// knows all.
    fn sql(&self, _known: &Known<'_>, _source: &str) -> Option<String> {
        None
    }

    /// What it sees. `answer` holds the rows of its SQL.
    fn judge(&self, known: &Known<'_>, answer: &Answer) -> Result<Observation>;
}

/// What the pass knows when it is over.
pub(crate) struct Known<'a> {
    /// Rows that met the condition.
    pub rows: u64,
    pub schema: &'a SchemaRef,
    pub slots: Vec<&'a Slot>,
    /// How many failing values a verdict shows.
    pub examples: usize,
    pub mostly: f64,
}

impl<'a> Known<'a> {
    pub fn moments(&self) -> Option<&'a Moments> {
        self.slots.iter().find_map(|slot| match slot {
            Slot::Moments(moments) => Some(moments),
            _ => None,
        })
    }

    /// The smallest or largest value, as an array of one; none of nothing.
    pub fn extreme(&self) -> Result<Option<ArrayRef>> {
        let extreme = self.slots.iter().find_map(|slot| match slot {
            Slot::Extreme(extreme) => extreme.found.as_ref(),
            _ => None,
        });
        extreme.map(|found| found.to_array().map_err(failed)).transpose()
    }

    pub fn bins(&self) -> Option<&'a Bins> {
        self.slots.iter().find_map(|slot| match slot {
            Slot::Bins(bins) => Some(bins),
            _ => None,
        })
    }

    pub fn distinct(&self) -> Option<&'a Values> {
        self.slots.iter().find_map(|slot| match slot {
            Slot::Distinct(values) => Some(values),
            _ => None,
        })
    }

    pub fn name(&self, column: usize) -> &'a str {
        self.schema.field(column).name()
    }

    /// What a count of failing rows says: the share of the others against `mostly`.
    pub fn of_rows(&self, counted: Counted, what: &str) -> Observation {
        let judged = self.rows.saturating_sub(counted.missing);
        let share = match judged {
            0 => 1.0,
            _ => judged.saturating_sub(counted.unexpected) as f64 / judged as f64,
        };
        let message = match counted.unexpected {
            0 => format!("none of {judged} {what}"),
            some => format!("{some} of {judged} {what}"),
        };
        Observation {
            success: share >= self.mostly,
            message,
            counted: Some(counted),
            ..Observation::default()
        }
    }

    pub fn series(&self) -> Option<&'a Series> {
        self.slots.iter().find_map(|slot| match slot {
            Slot::Series(series) => Some(series),
            _ => None,
        })
    }

    pub fn counts(&self) -> Option<&'a Counts> {
        self.slots.iter().find_map(|slot| match slot {
            Slot::Counts(counts) => Some(counts),
            _ => None,
        })
    }
}

/// Which rows a check of several columns does not look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Ignore {
    /// Those where every value is missing.
    AllMissing,
    /// Those where any value is missing.
    AnyMissing,
    /// It looks at all.
    Never,
}

/// A check that judges each row by itself.
#[derive(Clone)]
pub(crate) struct RowPlan {
    /// Columns that it looks at: the first one is the one its verdict names.
    pub columns: Vec<usize>,
    /// Which rows are taken out before the test, because values of its columns are missing.
    pub ignore: Ignore,
    /// What is shown of a failing row.
    pub shows: Shows,
    /// The test.
    pub test: Arc<dyn RowTest>,
    /// What the failing values do: `are null`, `are not among AA, B6`.
    pub says: String,
}

/// The test of a row check.
pub(crate) trait RowTest: Send + Sync {
    /// The rows that fail, as set bits; `None` when none does. Bits of missing values mean nothing.
    fn failing(&self, view: &View<'_>) -> Result<Option<BooleanBuffer>>;

    /// Whether it says the same of the same row tomorrow.
    fn lasts(&self) -> bool {
        true
    }
}

/// The test of a check that needs only the schema and the number of rows.
pub(crate) trait TableTest: Send + Sync {
    /// What it sees.
    fn judge(&self, schema: &SchemaRef, rows: u64) -> Observation;
}

/// What is shown of a failing row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shows {
    /// The value of its first column.
    Value,
    /// The values of its columns, as a list.
    Pair,
    /// The values of its columns, by name.
    Row,
}

impl RowPlan {
    /// A test of the values of one column that are there.
    pub fn of_values(column: usize, test: impl RowTest + 'static, says: impl Into<String>) -> Plan {
        Plan::Row(RowPlan {
            columns: vec![column],
            ignore: Ignore::AnyMissing,
            shows: Shows::Value,
            test: Arc::new(test),
            says: says.into(),
        })
    }
}

/// A schema in which checks look up their columns.
pub(crate) struct Binding<'a> {
    pub schema: &'a SchemaRef,
    session: OnceCell<SessionState>,
    /// Patterns that are compiled already.
    patterns: RefCell<HashMap<String, Arc<Pattern>>>,
}

/// A column of the schema.
pub(crate) struct Bound<'a> {
    pub index: usize,
    pub name: &'a str,
    pub data_type: &'a DataType,
    /// What its texts are read as by checks that compare with dates, where they are dates.
    pub dates: Option<DataType>,
}

impl<'a> Binding<'a> {
    pub fn new(schema: &'a SchemaRef) -> Self {
        Binding { schema, session: OnceCell::new(), patterns: RefCell::default() }
    }

    /// The session in which SQL conditions are compiled; made when the first one is met.
    pub fn session(&self) -> &SessionState {
        self.session.get_or_init(sql::session)
    }

    /// A regular expression; the same one is compiled once.
    pub fn pattern(&self, text: &str) -> Result<Arc<Pattern>> {
        if let Some(known) = self.patterns.borrow().get(text) {
            return Ok(known.clone());
        }
        let made = Arc::new(Pattern::compile(text)?);
        self.patterns.borrow_mut().insert(text.to_string(), made.clone());
        Ok(made)
    }

    /// The column of that name, exactly as it is written.
    pub fn column(&self, name: &str) -> Result<Bound<'_>> {
        match self.schema.index_of(name) {
            Ok(index) => {
                let field = self.schema.field(index);
                Ok(Bound {
                    index,
                    name: field.name(),
                    data_type: field.data_type(),
                    dates: dates::read_as(field),
                })
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
    /// Refuses columns whose values have no text.
    pub fn with_text(self) -> Result<usize> {
        let plain = self.plain_type();
        if plain.is_nested() || plain.is_binary() {
            return Err(Error::project(format!("`{}` is {}, not text", self.name, word(self.data_type))));
        }
        Ok(self.index)
    }

    /// Refuses columns that hold anything else than text.
    pub fn only_text(self) -> Result<usize> {
        let plain = self.plain_type();
        if !plain.is_string() && plain != &DataType::Null {
            return Err(Error::project(format!("`{}` is {}, not text", self.name, word(self.data_type)))
                .hint("the check reads texts; it comes before the cast to another type"));
        }
        Ok(self.index)
    }

    /// The type behind a dictionary; of texts that are dates the type of these.
    pub fn dated_type(&self) -> &DataType {
        self.dates.as_ref().unwrap_or_else(|| self.plain_type())
    }

    /// The type behind a dictionary.
    pub fn plain_type(&self) -> &DataType {
        match self.data_type {
            DataType::Dictionary(_, values) => values,
            other => other,
        }
    }
}
