//! What the pass has accumulated, part by part, as bytes: kept for rows that do not change, it takes the place of reading
//! them again.
//!
//! A part is one accumulator: a condition's count, a check's own count and examples, what is gathered of a column. Its
//! key says everything that its content hangs on besides the rows, so that suites share what they have in common.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray};
use datafusion::physical_expr::utils::collect_columns;
use serde_json::{Value, json};

use crate::collector::Collector;
use crate::gather::Need;
use crate::gather::hashes::wide_hashes;
use crate::plan::Plan;
use crate::suite::{Compiled, Suite};

pub(crate) mod codec;

/// Version of the bytes of a part, and of what its accumulator means.
const FORMAT: u32 = 2;

/// Bytes of a part that is kept, at most; what is larger costs less to read again.
const LARGEST: usize = 2 << 20;

/// One accumulator of the pass.
pub(crate) struct Part {
    pub what: What,
    /// What names its content; `None` when it says something else of the same rows tomorrow.
    key: Option<String>,
    columns: BTreeSet<usize>,
}

/// Whose accumulator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum What {
    Condition(usize),
    Check(usize),
    Need(usize),
}

/// Which parts a collector is fed.
#[derive(Debug)]
pub(crate) struct Fed {
    pub conditions: Vec<bool>,
    pub checks: Vec<bool>,
    pub needs: Vec<bool>,
    /// Conditions whose rows any of the others looks at.
    pub views: Vec<bool>,
}

impl Suite {
    /// The key of each part of the pass; `None` for those that cannot be kept. Equal keys mean equal content for equal
    /// rows, whatever suite they stand in.
    pub fn part_keys(&self) -> Vec<Option<&str>> {
        let whole = !self.keep.row_numbers;
        self.parts().iter().map(|part| part.key.as_deref().filter(|_| whole)).collect()
    }

    /// Columns that must be read for the parts that are `open`, each once.
    pub fn columns_of(&self, open: &[bool]) -> Vec<String> {
        let parts = self.parts().iter().zip(open).filter(|(_, open)| **open);
        let columns: BTreeSet<usize> = parts.flat_map(|(part, _)| part.columns.iter().copied()).collect();
        columns.into_iter().map(|index| self.compiled.schema.field(index).name().clone()).collect()
    }

    /// For each check whether the pass answers it by any of the parts that are `marked`.
    pub fn checks_of(&self, marked: &[bool]) -> Vec<bool> {
        let marked: HashSet<What> = self
            .parts()
            .iter()
            .zip(marked)
            .filter(|(_, marked)| **marked)
            .map(|(part, _)| part.what)
            .collect();
        let is = |what: What| marked.contains(&what);
        let checks = self.compiled.checks.iter().enumerate();
        checks
            .map(|(index, check)| {
                is(What::Check(index))
                    || is(What::Condition(check.condition))
                    || check.slots.iter().any(|slot| is(What::Need(*slot)))
            })
            .collect()
    }

    /// An accumulator that is fed only the parts that are `open`.
    pub fn collector_of(&self, open: &[bool]) -> Collector {
        let mut collector = self.collector();
        collector.fed = Some(Arc::new(self.fed(open)));
        collector
    }

    fn fed(&self, open: &[bool]) -> Fed {
        let compiled = &self.compiled;
        let mut fed = Fed {
            conditions: vec![false; compiled.conditions.len()],
            checks: vec![false; compiled.checks.len()],
            needs: vec![false; compiled.needs.len()],
            views: vec![false; compiled.conditions.len()],
        };
        for (part, _) in self.parts().iter().zip(open).filter(|(_, open)| **open) {
            match part.what {
                What::Condition(index) => (fed.conditions[index], fed.views[index]) = (true, true),
                What::Check(index) => {
                    fed.checks[index] = true;
                    fed.views[compiled.checks[index].condition] = true;
                }
                What::Need(index) => {
                    fed.needs[index] = true;
                    fed.views[compiled.needs[index].0] = true;
                }
            }
        }
        fed
    }

    pub(crate) fn parts(&self) -> &[Part] {
        self.compiled.parts.get_or_init(|| parts(&self.compiled, self.keep.examples))
    }
}

impl Collector {
    /// What one part has accumulated, as bytes; `None` when it cannot be kept: it has not seen all, or is too large.
    pub fn keep(&mut self, suite: &Suite, part: usize) -> Option<Vec<u8>> {
        let part = suite.parts().get(part).filter(|part| part.key.is_some())?;
        let condition = match part.what {
            What::Condition(index) => index,
            What::Check(index) => suite.compiled.checks[index].condition,
            What::Need(index) => suite.compiled.needs[index].0,
        };
        if self.unmet(condition).is_some() {
            return None;
        }
        let mut writer = codec::Writer::default();
        match part.what {
            What::Condition(index) => writer.count(self.met(index)),
            What::Check(index) => self.state(index).write(&mut writer)?,
            What::Need(index) => self.slot_mut(index).write(&mut writer, LARGEST)?,
        }
        (writer.len() <= LARGEST).then(|| writer.finish())
    }

    /// From here on only the parts that are `open` are fed; the others were restored.
    pub fn feed_only(&mut self, suite: &Suite, open: &[bool]) {
        self.fed = Some(Arc::new(suite.fed(open)));
    }

    /// Takes a part that was kept in place of rows that are not fed. False: the bytes are none of it, and nothing is
    /// changed.
    pub fn restore(&mut self, suite: &Suite, part: usize, bytes: &[u8]) -> bool {
        let Some(part) = suite.parts().get(part) else { return false };
        let mut reader = codec::Reader::new(bytes);
        self.restored(part.what, &mut reader, &suite.compiled).is_some()
    }
}

fn parts(compiled: &Compiled, examples: usize) -> Vec<Part> {
    let condition = |index: usize| {
        let condition = &compiled.conditions[index];
        let columns: BTreeSet<usize> = match &condition.test {
            Some(test) => collect_columns(test).iter().map(|column| column.index()).collect(),
            None => BTreeSet::new(),
        };
        (condition.lasts, condition.sql.clone(), columns)
    };
    // What a part is called, what it hangs on, and which columns it reads besides those of its condition.
    let part = |what: What, on: usize, lasts: bool, content: Value, own: &[usize]| {
        let (condition_lasts, sql, mut columns) = condition(on);
        columns.extend(own);
        let typed = |column: usize| {
            let field = compiled.schema.field(column);
            format!("{} {:?}", field.name(), field.data_type())
        };
        let own: Vec<String> = own.iter().map(|column| typed(*column)).collect();
        let all: Vec<String> = columns.iter().map(|column| typed(*column)).collect();
        let key = json!([SEMANTICS.as_str(), content, own, sql, all]).to_string();
        Part { what, key: (lasts && condition_lasts).then_some(key), columns }
    };
    let mut parts = Vec::new();
    for index in 1..compiled.conditions.len() {
        parts.push(part(What::Condition(index), index, true, json!("condition"), &[]));
    }
    for (index, check) in compiled.checks.iter().enumerate() {
        let (own, lasts): (&[usize], bool) = match &check.plan {
            Plan::Row(row) => (&row.columns, row.test.lasts()),
            Plan::Order(order) => (std::slice::from_ref(&order.column), true),
            Plan::ForeignKey { columns, .. } => (columns, true),
            Plan::Misfit(misfit) => match misfit.row() {
                Some(row) => (&row.columns, row.test.lasts()),
                None => continue,
            },
            _ => continue,
        };
        let mut arguments = check.spec.kwargs();
        if let Some(arguments) = arguments.as_object_mut() {
            // How many rows may fail says nothing about how many do.
            arguments.remove("mostly");
        }
        let content = json!([check.spec.name(), arguments, examples]);
        parts.push(part(What::Check(index), check.condition, lasts, content, own));
    }
    for (index, (on, need)) in compiled.needs.iter().enumerate() {
        let content = match need {
            Need::Min(_) => json!("min"),
            Need::Max(_) => json!("max"),
            Need::Moments(_) => json!("moments"),
            Need::Keys(_, ignore) => json!(["keys", format!("{ignore:?}")]),
            Need::Distinct(_) => json!("distinct"),
            Need::Counts(_) => json!("counts"),
            Need::Series(..) => json!("series"),
            Need::Bins(_, edges) => json!(["bins", edges]),
        };
        parts.push(part(What::Need(index), *on, true, content, &need.columns()));
    }
    parts
}

/// What every part hangs on: the form of its bytes, this version of Laguna, and how values are hashed, which is asked
/// rather than known.
static SEMANTICS: LazyLock<String> = LazyLock::new(|| {
    let sample: [ArrayRef; 3] = [
        Arc::new(Int64Array::from(vec![7])),
        Arc::new(Float64Array::from(vec![0.5])),
        Arc::new(StringArray::from(vec!["a sample of more than sixteen bytes"])),
    ];
    let hashes = wide_hashes(&sample, 1).unwrap_or_default();
    format!("{FORMAT} {} {hashes:x?}", env!("CARGO_PKG_VERSION"))
});
