//! What is kept for statements that are asked again: their rows, and what was found out about them before they ran.
//!
//! It is given again only when the statement, who asks, and every table that was read are what they were; whether
//! the tables are, is asked of the lake each time. So it is never stale.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use chrono_tz::Tz;
use datafusion::scalar::ScalarValue;
use laguna_base::{Result, TableName};
use laguna_query::{LakeTables, Moment};
use laguna_store::{Handles, Release};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::{Ask, Prepared};

/// No answer may take more than this share of the room.
const SHARE: u64 = 8;

/// Bytes that an answer takes beside its rows.
const OVERHEAD: u64 = 1024;

/// What must be the same for an answer to fit.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Question {
    sql: String,
    params: Vec<ScalarValue>,
    user: String,
    access: u128,
    moment: String,
    /// Schemas of unqualified names and the time zone, where the protocol has such.
    around: Option<(Vec<String>, Tz)>,
}

impl Question {
    pub(super) fn of(ask: &Ask) -> Question {
        Question {
            sql: ask.sql.clone(),
            params: ask.params.clone(),
            user: ask.caller.user.clone(),
            access: ask.caller.access.fingerprint(),
            moment: format!("{:?}", ask.moment),
            around: ask.around.as_ref().map(|around| (around.search_path.clone(), around.zone)),
        }
    }
}

/// Something that was told of the lake, and the state of the lake that it is of.
#[derive(Debug)]
pub(super) struct Kept<T> {
    pub(super) value: T,
    /// The newest release when it was computed.
    newest: Option<u64>,
    /// Tables whose newest version was read; `None`: there was none.
    heads: Vec<(TableName, Option<u64>)>,
    /// Models as the release names them; `None`: it names none.
    models: HashMap<TableName, Option<Named>>,
}

/// The rows of an answer.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) schema: SchemaRef,
    pub(super) batches: Vec<RecordBatch>,
    pub(super) rows: u64,
    pub(super) bytes: u64,
    /// The release that they are of.
    pub(super) release: Option<u64>,
}

/// What can be kept: it takes room.
pub(super) trait Weigh {
    /// Bytes, about.
    fn bytes(&self) -> u64;
}

impl Weigh for Rows {
    fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Weigh for Prepared {
    fn bytes(&self) -> u64 {
        self.schema.fields().iter().map(|field| field.size() as u64).sum()
    }
}

impl<T> Kept<T> {
    /// `value`, which was told of `tables`; `None` when what it says can change without a sign of it.
    pub(super) fn of(value: T, newest: Option<u64>, tables: &LakeTables) -> Option<Kept<T>> {
        let reads = tables.reads();
        if reads.fleeting {
            return None;
        }
        let (models, heads): (Vec<_>, Vec<_>) =
            reads.tables.into_iter().partition(|(name, _)| name.tier.is_model());
        let models = models.into_iter().map(|(name, _)| {
            let before = named(tables.release(), &name);
            (name, before)
        });
        Some(Kept { value, newest, heads, models: models.collect() })
    }

    /// Whether the lake is still what it was.
    async fn holds(&self, moment: &Moment, handles: &Handles) -> Result<bool> {
        let release = handles.release().await?;
        let newest = release.as_ref().map(|release| release.number);
        if newest != self.newest {
            // What an older release means can change by an erasure, which is a release too.
            let same = *moment == Moment::Now
                && self.models.iter().all(|(name, before)| named(release.as_deref(), name) == *before);
            if !same {
                return Ok(false);
            }
        }
        for (name, version) in &self.heads {
            if handles.head_version(name).await? != *version {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Kept<Rows> {
    /// Whether they are the rows of a statement that was planned over `tables`.
    pub(super) fn is_of(&self, tables: &LakeTables) -> bool {
        let read = tables.reads().tables;
        self.value.release == tables.release().map(|release| release.number)
            && self.heads.iter().all(|(name, version)| read.get(name) == Some(version))
    }
}

/// A model in a release.
#[derive(Debug, PartialEq, Eq)]
struct Named {
    version: Option<u64>,
    sql_hash: String,
}

fn named(release: Option<&Release>, name: &TableName) -> Option<Named> {
    let table = release?.tables.get(name)?;
    Some(Named { version: table.version, sql_hash: table.sql_hash.clone() })
}

/// What is kept of one kind, bounded in bytes.
pub(super) struct Store<T> {
    cache: Cache<Question, Arc<Kept<T>>, Bytes>,
    largest: u64,
}

#[derive(Clone)]
struct Bytes;

impl<T: Weigh> Weighter<Question, Arc<Kept<T>>> for Bytes {
    fn weight(&self, question: &Question, kept: &Arc<Kept<T>>) -> u64 {
        kept.value.bytes() + question.sql.len() as u64 + OVERHEAD
    }
}

impl<T: Weigh> Store<T> {
    /// Room for `bytes`.
    pub(super) fn new(bytes: u64) -> Store<T> {
        let expected = (bytes / (16 << 10)).clamp(16, 65_536) as usize;
        Store { cache: Cache::with_weighter(expected, bytes, Bytes), largest: bytes / SHARE }
    }

    /// Bytes of one value that are kept at most.
    pub(super) fn largest(&self) -> u64 {
        self.largest
    }

    /// Bytes that are kept.
    pub(super) fn bytes(&self) -> u64 {
        self.cache.weight()
    }

    /// What was kept for `question`, if the lake is still what it was.
    pub(super) async fn find(
        &self,
        question: &Question,
        moment: &Moment,
        handles: &Handles,
    ) -> Result<Option<Arc<Kept<T>>>> {
        let Some(kept) = self.cache.get(question) else { return Ok(None) };
        Ok(kept.holds(moment, handles).await?.then_some(kept))
    }

    /// Keeps a value, where it can be kept.
    pub(super) fn keep(&self, question: Question, kept: Option<Kept<T>>) {
        if let Some(kept) = kept {
            self.cache.insert(question, Arc::new(kept));
        }
    }
}
