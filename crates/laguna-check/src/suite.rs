//! The checks of one table, compiled against its schema: the way from specs to verdicts.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, OnceLock};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::physical_expr::PhysicalExpr;
use laguna_base::{Error, Result};

use crate::collector::{Collector, described};
use crate::compare;
use crate::failing::RowFinder;
use crate::gather::{Need, Room};
use crate::kept::Part;
use crate::plan::{Binding, Known, Misfit, Plan};
use crate::set_query::{self, Answer, SetPart, SetQuery};
use crate::spec::{CheckSpec, Severity};
use crate::sql;
use crate::verdict::{Verdict, VerdictKind};

mod conclude;

/// The checks of one table, compiled against its schema.
#[derive(Clone)]
pub struct Suite {
    pub(crate) compiled: Arc<Compiled>,
    pub(crate) keep: Keep,
    pub(crate) wanted: Arc<Wanted>,
    pub(crate) shows_rows: bool,
}

/// How much verdicts tell of failing rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// At most this many failing values of each check.
    pub examples: usize,
    /// Whether the numbers of failing rows are kept, as many as values: the first ones, wherever their batches went to,
    /// when [`Collector::at_row`] says where each batch begins.
    pub row_numbers: bool,
}

impl Default for Keep {
    fn default() -> Keep {
        Keep { examples: set_query::EXAMPLES, row_numbers: false }
    }
}

/// What a suite and its collectors share.
pub(crate) struct Compiled {
    pub schema: SchemaRef,
    pub checks: Vec<CompiledCheck>,
    /// Which rows checks look at; the first one is met by all rows.
    pub conditions: Vec<CompiledCondition>,
    /// What the pass keeps about columns, each for the rows of one condition, shared by the checks that need it.
    pub needs: Vec<(usize, Need)>,
    /// Words that all collectors together still may keep.
    pub room: Room,
    /// The accumulators of the pass, once somebody has asked for them.
    pub parts: OnceLock<Vec<Part>>,
}

/// Failing rows that are kept as they pass.
#[derive(Default)]
pub(crate) struct Wanted {
    /// Of each check.
    pub limit: usize,
    /// The columns that are kept, for each check.
    pub shown: Vec<Vec<usize>>,
}

/// A row condition that one or several checks have.
pub(crate) struct CompiledCondition {
    /// It as SQL; empty for that of all rows.
    pub sql: String,
    pub test: Option<Arc<dyn PhysicalExpr>>,
    /// Whether it says the same of the same row tomorrow.
    pub lasts: bool,
}

pub(crate) struct CompiledCheck {
    pub spec: CheckSpec,
    pub plan: Plan,
    /// Which of [`Compiled::conditions`] its rows meet.
    pub condition: usize,
    /// Which of [`Compiled::needs`] answer it.
    pub slots: Vec<usize>,
}

/// Words of 8 bytes that the accumulators of one table may keep: 64 MiB.
const WORDS: usize = (64 << 20) / size_of::<u64>();

impl Compiled {
    /// The column's type behind a dictionary.
    pub fn plain_type(&self, column: usize) -> &DataType {
        match self.schema.field(column).data_type() {
            DataType::Dictionary(_, values) => values,
            other => other,
        }
    }

    /// The rows that a check looks at, as the source of a query.
    pub fn source(&self, check: &CompiledCheck) -> String {
        match self.conditions[check.condition].sql.as_str() {
            "" => "this".to_string(),
            sql => format!("(SELECT * FROM this WHERE {sql})"),
        }
    }

    /// What the pass knows for a check.
    pub fn known<'a>(&'a self, check: &CompiledCheck, merged: &'a Collector) -> Known<'a> {
        Known {
            rows: merged.met(check.condition),
            schema: &self.schema,
            slots: check.slots.iter().map(|slot| merged.slot(*slot)).collect(),
            examples: merged.keeping().examples,
            mostly: check.spec.arguments.mostly(),
        }
    }
}

impl CompiledCheck {
    /// Whether each row that fails is to blame by itself: critical, and no share of failures is allowed.
    pub fn sets_rows_aside(&self) -> bool {
        self.spec.severity == Severity::Critical && self.spec.arguments.mostly() >= 1.0
    }
}

/// Puts checks together: what several need is needed once.
struct Compiler<'a> {
    binding: Binding<'a>,
    conditions: Vec<CompiledCondition>,
    known_conditions: HashMap<String, usize>,
    needs: Vec<(usize, Need)>,
    known_needs: HashMap<(usize, Need), usize>,
}

impl Compiler<'_> {
    fn compile(&mut self, spec: &CheckSpec) -> Result<CompiledCheck> {
        let condition = self.condition(spec)?;
        let plan = (spec.kind.plan)(&spec.arguments, &self.binding)?;
        let needs = match &plan {
            Plan::Unique { columns, ignore } => vec![Need::Keys(columns.clone(), *ignore)],
            Plan::Late(test) => test.needs(),
            _ => Vec::new(),
        };
        let slots = needs.into_iter().map(|need| self.slot((condition, need))).collect();
        Ok(CompiledCheck { spec: spec.clone(), plan, condition, slots })
    }

    /// A check that cannot be compiled, as one that fails. Where its columns are there and only their types are wrong,
    /// values must show it: Great Expectations raises nothing about values that are not there.
    fn misfit(&mut self, spec: &CheckSpec, error: &Error) -> CompiledCheck {
        let error = described(error);
        let names = spec.columns();
        let (plan, condition) = match (self.binding.columns(&names), self.condition(spec)) {
            (Ok(columns), Ok(condition)) if !columns.is_empty() => {
                let of_nothing = self.of_nothing(spec, &columns);
                (Plan::Misfit(Misfit { columns, error, of_nothing }), condition)
            }
            _ => (Plan::Broken(error), 0),
        };
        let slots = match &plan {
            Plan::Misfit(Misfit { columns, .. }) => {
                columns.iter().map(|column| self.slot((condition, Need::Moments(*column)))).collect()
            }
            _ => Vec::new(),
        };
        CompiledCheck { spec: spec.clone(), plan, condition, slots }
    }

    /// What a check is when those of its columns that hold text hold no value at all.
    fn of_nothing(&self, spec: &CheckSpec, columns: &[usize]) -> Option<(Box<Plan>, Vec<usize>)> {
        let schema = self.binding.schema;
        let is_text = |at: &usize| compare::plain(schema.field(*at).data_type()).is_string();
        let texts: Vec<usize> = columns.iter().copied().filter(is_text).collect();
        let fields = schema.fields().iter().enumerate().map(|(at, field)| match texts.contains(&at) {
            true => Field::new(field.name(), DataType::Null, true),
            false => field.as_ref().clone(),
        });
        let empty = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let plan = (spec.kind.plan)(&spec.arguments, &Binding::new(&empty)).ok()?;
        let known = !texts.is_empty() && matches!(plan, Plan::Row(_) | Plan::Late(_));
        known.then(|| (Box::new(plan), texts))
    }

    fn condition(&mut self, spec: &CheckSpec) -> Result<usize> {
        let Some(condition) = spec.arguments.condition()? else { return Ok(0) };
        let sql = condition.sql(self.binding.schema)?;
        if let Some(known) = self.known_conditions.get(&sql) {
            return Ok(*known);
        }
        let (test, lasts) = sql::condition(&sql, &self.binding)?;
        self.conditions.push(CompiledCondition { sql: sql.clone(), test: Some(test), lasts });
        self.known_conditions.insert(sql, self.conditions.len() - 1);
        Ok(self.conditions.len() - 1)
    }

    fn slot(&mut self, need: (usize, Need)) -> usize {
        if let Some(known) = self.known_needs.get(&need) {
            return *known;
        }
        if let (condition, Need::Series(column, rows)) = need
            && let Some(known) = self.known_needs.get(&(condition, Need::Series(column, !rows)))
        {
            // One series for both; it knows the rows when one of them needs them.
            self.needs[*known] = (condition, Need::Series(column, true));
            return *known;
        }
        self.needs.push(need.clone());
        self.known_needs.insert(need, self.needs.len() - 1);
        self.needs.len() - 1
    }
}

impl Suite {
    /// Compiles checks against the schema of the table's batches. All that do not fit are reported at their places.
    pub fn compile(specs: &[CheckSpec], schema: &SchemaRef) -> Result<Suite> {
        Self::with_hash_room(specs, schema, WORDS)
    }

    /// Like [`Suite::compile`], but a check that does not fit the table becomes a verdict that says so, and the others
    /// are judged all the same.
    pub fn compile_each(specs: &[CheckSpec], schema: &SchemaRef) -> Suite {
        Self::build(specs, schema, WORDS, &mut |compiler, spec, error| Some(compiler.misfit(spec, &error)))
    }

    /// Like [`Suite::compile`], with room for another number of words (8 bytes each) in all accumulators. What does
    /// not fit is left to the set query.
    pub fn with_hash_room(specs: &[CheckSpec], schema: &SchemaRef, words: usize) -> Result<Suite> {
        let mut errors = Vec::new();
        let suite = Self::build(specs, schema, words, &mut |_, spec, error| {
            errors.push(error.at_location(spec.location.clone()));
            None
        });
        Error::many(errors).map_or(Ok(suite), Err)
    }

    fn build(
        specs: &[CheckSpec],
        schema: &SchemaRef,
        words: usize,
        broken: &mut dyn FnMut(&mut Compiler<'_>, &CheckSpec, Error) -> Option<CompiledCheck>,
    ) -> Suite {
        let mut compiler = Compiler {
            binding: Binding::new(schema),
            conditions: vec![CompiledCondition { sql: String::new(), test: None, lasts: true }],
            known_conditions: HashMap::new(),
            needs: Vec::new(),
            known_needs: HashMap::new(),
        };
        let mut checks = Vec::with_capacity(specs.len());
        for spec in specs {
            match compiler.compile(spec) {
                Ok(check) => checks.push(check),
                Err(error) => checks.extend(broken(&mut compiler, spec, error)),
            }
        }
        let Compiler { conditions, needs, .. } = compiler;
        let room = Room::new(words);
        let parts = OnceLock::new();
        let compiled = Compiled { schema: schema.clone(), checks, conditions, needs, room, parts };
        Suite {
            compiled: Arc::new(compiled),
            keep: Keep::default(),
            wanted: Arc::default(),
            shows_rows: false,
        }
    }

    /// What verdicts tell of failing rows: at most `keep.examples` values of each check, and their row numbers.
    pub fn keeping(self, keep: Keep) -> Suite {
        Suite { keep, ..self }
    }

    /// Whoever feeds the pass can read a row again by its number: what verdicts show of repeated keys comes from
    /// [`Collector::show`], and no query is needed for it. Wants row numbers.
    pub fn showing_rows(self) -> Suite {
        Suite { shows_rows: true, ..self }
    }

    /// The numbers of the rows that [`Collector::show`] is to be fed with.
    pub fn rows_to_show(&self, merged: &Collector) -> BTreeSet<u64> {
        match self.shows_rows {
            true => merged.repeated_rows().flatten().copied().collect(),
            false => BTreeSet::new(),
        }
    }

    /// Whether failing rows are kept as they pass.
    pub fn keeps_rows(&self) -> bool {
        self.wanted.limit > 0
    }

    /// Keeps of each check that judges single rows the first `limit` that fail, for [`Collector::take_failing_rows`].
    pub fn keeping_rows(self, limit: usize, key: &[String]) -> Suite {
        let specs: Vec<CheckSpec> = self.compiled.checks.iter().map(|check| check.spec.clone()).collect();
        let shown = |at: usize| RowFinder::shown(&specs, at, &self.compiled.schema, key);
        let wanted = Wanted { limit, shown: (0..specs.len()).map(shown).collect() };
        Suite { wanted: Arc::new(wanted), ..self }
    }

    /// The checks, in the order in which verdicts come and to which row answers refer.
    pub fn checks(&self) -> impl ExactSizeIterator<Item = &CheckSpec> {
        self.compiled.checks.iter().map(|check| &check.spec)
    }

    /// Columns that the pass reads, each once however many checks look at it.
    pub fn columns(&self) -> Vec<String> {
        self.columns_of(&vec![true; self.parts().len()])
    }

    /// Whether the schema and the number of rows answer every check, so that no batch need be fed. Without batches
    /// tell the number of rows by [`Collector::count_rows`].
    pub fn needs_no_rows(&self) -> bool {
        self.compiled
            .checks
            .iter()
            .all(|check| check.condition == 0 && matches!(check.plan, Plan::Table(_) | Plan::Broken(_)))
    }

    /// Whether a check looks at the order of rows: then all batches go to one collector, in order, or collectors are
    /// merged in the order of their rows.
    pub fn needs_order(&self) -> bool {
        self.keep.row_numbers || self.compiled.checks.iter().any(|check| matches!(check.plan, Plan::Order(_)))
    }

    /// An accumulator for one stream of batches.
    pub fn collector(&self) -> Collector {
        Collector::new(self.compiled.clone(), self.keep, self.wanted.clone())
    }

    /// Whether a set query may follow the pass: always for foreign keys and free SQL, to show repeated keys, beyond the
    /// room for accumulators for what needs all values of a column.
    pub fn needs_set_query(&self) -> bool {
        self.compiled.checks.iter().any(|check| {
            matches!(
                check.plan,
                Plan::Unique { .. } | Plan::ForeignKey { .. } | Plan::Sql { .. } | Plan::Late(_)
            )
        })
    }

    /// SQL for what the pass left open, over a table named `this`; `None` when nothing is. Checks that ask the same
    /// share a part.
    pub fn set_query(&self, merged: &Collector) -> Option<SetQuery> {
        let mut asked: HashMap<String, usize> = HashMap::new();
        let mut parts = Vec::new();
        for (index, check) in self.compiled.checks.iter().enumerate() {
            let Some(sql) = self.open(check, index, merged) else { continue };
            if asked.contains_key(&sql) {
                continue;
            }
            asked.insert(sql.clone(), index);
            let sql = set_query::numbered(index, &sql);
            parts.push(SetPart {
                check: index,
                label: check.spec.label(),
                location: check.spec.location.clone(),
                sql,
            });
        }
        SetQuery::new(parts)
    }

    /// The question that the pass leaves open for a check.
    fn open(&self, check: &CompiledCheck, index: usize, merged: &Collector) -> Option<String> {
        if merged.unmet(check.condition).is_some() {
            return None;
        }
        let open = match &check.plan {
            Plan::Unique { .. } => match merged.repeats(check) {
                Some(tally) => tally.repeated > 0 && !self.shows_rows,
                None => true,
            },
            Plan::ForeignKey { .. } => merged.state(index).missing < merged.met(check.condition),
            Plan::Sql { .. } => true,
            Plan::Late(test) => {
                return test.sql(&self.compiled.known(check, merged), &self.compiled.source(check));
            }
            Plan::Row(_) | Plan::Order(_) | Plan::Table(_) | Plan::Broken(_) | Plan::Misfit(_) => false,
        };
        if open { set_query::part(&self.compiled, check, merged.keeping().examples) } else { None }
    }

    /// One verdict for each check, in order. `answers` are the batches of the set query; they may be left out when
    /// [`Suite::set_query`] gave none.
    pub fn finish(&self, mut merged: Collector, answers: Option<Vec<RecordBatch>>) -> Result<Vec<Verdict>> {
        merged.close()?;
        let mut asked: HashMap<String, usize> = HashMap::new();
        let mut places = Vec::with_capacity(self.compiled.checks.len());
        for (index, check) in self.compiled.checks.iter().enumerate() {
            places.push(self.open(check, index, &merged).map(|sql| *asked.entry(sql).or_insert(index)));
        }
        if answers.is_none() && !asked.is_empty() {
            return Err(Error::internal("the set query of the checks was not answered"));
        }
        let answers = set_query::read(&self.compiled, answers.as_deref().unwrap_or_default())?;
        let none = Answer::default();
        places
            .into_iter()
            .enumerate()
            .map(|(index, place)| {
                let answer = place.and_then(|place| answers.get(&place)).unwrap_or(&none);
                self.verdict(index, &merged, answer)
            })
            .collect()
    }

    /// A statement for the rows of `this` that critical set checks refuse (`on_fail: quarantine`): the table's columns
    /// and `_check`, the index of the first such check. `None` when no set check fails.
    pub fn failing_rows_sql(&self, verdicts: &[Verdict]) -> Option<String> {
        let failing: Vec<usize> = self
            .compiled
            .checks
            .iter()
            .zip(verdicts)
            .enumerate()
            .filter(|(_, (check, verdict))| {
                !verdict.success && verdict.kind == VerdictKind::Set && check.sets_rows_aside()
            })
            .map(|(index, _)| index)
            .collect();
        set_query::failing_rows(&self.compiled, &failing)
    }
}
