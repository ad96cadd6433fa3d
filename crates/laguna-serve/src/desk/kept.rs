//! Answers that are kept for statements that are asked again.
//!
//! An answer is given again only when the statement, who asks, and every table that it read are what they were; whether
//! the tables are, is asked of the lake each time. So an answer is never stale.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::scalar::ScalarValue;
use laguna_base::{Result, TableName};
use laguna_query::{LakeTables, Moment, Reads};
use laguna_store::{Handles, Release};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::Ask;

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
    /// Schemas of unqualified names, where the protocol has such.
    path: Option<Vec<String>>,
}

impl Question {
    pub(super) fn of(ask: &Ask) -> Question {
        Question {
            sql: ask.sql.clone(),
            params: ask.params.clone(),
            user: ask.caller.user.clone(),
            access: ask.caller.access.fingerprint(),
            moment: format!("{:?}", ask.moment),
            path: ask.around.as_ref().map(|around| around.search_path.clone()),
        }
    }
}

/// Rows that were given, and the state of the lake that they are of.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) schema: SchemaRef,
    pub(super) batches: Vec<RecordBatch>,
    pub(super) rows: u64,
    pub(super) bytes: u64,
    /// The newest release when they were computed.
    newest: Option<u64>,
    /// The release that they are of.
    pub(super) release: Option<u64>,
    /// Tables whose newest version was read; `None`: there was none.
    heads: Vec<(TableName, Option<u64>)>,
    /// Models as the release names them; `None`: it names none.
    models: HashMap<TableName, Option<Named>>,
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

/// All kept answers, bounded in bytes.
pub(super) struct Answers {
    cache: Cache<Question, Arc<Kept>, Bytes>,
    largest: u64,
}

#[derive(Clone)]
struct Bytes;

impl Weighter<Question, Arc<Kept>> for Bytes {
    fn weight(&self, question: &Question, kept: &Arc<Kept>) -> u64 {
        kept.bytes + question.sql.len() as u64 + OVERHEAD
    }
}

impl Answers {
    /// Room for `bytes`.
    pub(super) fn new(bytes: u64) -> Answers {
        let expected = (bytes / (16 << 10)).clamp(16, 65_536) as usize;
        Answers { cache: Cache::with_weighter(expected, bytes, Bytes), largest: bytes / SHARE }
    }

    /// Bytes of an answer that is kept at most.
    pub(super) fn largest(&self) -> u64 {
        self.largest
    }

    /// Bytes that are kept.
    pub(super) fn bytes(&self) -> u64 {
        self.cache.weight()
    }

    /// The answer to `question`, if the lake is still what it was.
    pub(super) async fn find(
        &self,
        question: &Question,
        moment: &Moment,
        handles: &Handles,
    ) -> Result<Option<Arc<Kept>>> {
        let Some(kept) = self.cache.get(question) else { return Ok(None) };
        let release = handles.release().await?;
        let newest = release.as_ref().map(|release| release.number);
        if newest != kept.newest {
            // What an older release means can change by an erasure, which is a release too.
            let same = *moment == Moment::Now
                && kept.models.iter().all(|(name, before)| named(release.as_deref(), name) == *before);
            if !same {
                return Ok(None);
            }
        }
        for (name, version) in &kept.heads {
            if handles.head_version(name).await? != *version {
                return Ok(None);
            }
        }
        Ok(Some(kept))
    }

    /// Keeps the rows of a statement that read `reads` of `tables`.
    pub(super) fn keep(
        &self,
        question: Question,
        schema: SchemaRef,
        batches: Vec<RecordBatch>,
        newest: Option<u64>,
        (tables, reads): (&LakeTables, Reads),
    ) {
        let release = tables.release();
        let (models, heads): (Vec<_>, Vec<_>) =
            reads.tables.into_iter().partition(|(name, _)| name.tier.is_model());
        let kept = Kept {
            rows: batches.iter().map(|batch| batch.num_rows() as u64).sum(),
            bytes: batches.iter().map(|batch| batch.get_array_memory_size() as u64).sum(),
            newest,
            release: release.map(|release| release.number),
            heads,
            models: models
                .into_iter()
                .map(|(name, _)| {
                    let before = named(release, &name);
                    (name, before)
                })
                .collect(),
            schema,
            batches,
        };
        self.cache.insert(question, Arc::new(kept));
    }
}
