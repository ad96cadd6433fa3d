//! Statements that `laguna serve` answered: kept below `_laguna/queries` first, folded into `system.queries` by runs.
//!
//! A server numbers its statements from 1 and names the objects that hold them after itself and after the numbers inside:
//! `<server>-<first>-<last>.json`. The table remembers, as an application transaction for each server, up to which number it
//! holds them. So a fold that was killed, two objects that overlap, and a reader who comes in the middle of a fold count
//! every statement once.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use futures::{StreamExt, TryStreamExt};
use laguna_base::{Error, ErrorKind, Instant, Result, TableName, Tier};
use object_store::ObjectMeta;
use object_store::path::Path;
use serde::{Deserialize, Serialize};

use crate::commit::Append;
use crate::{CommitNote, DataFile, Lake, Snapshot, TableWriter, WriteOptions, objects};

#[cfg(test)]
mod tests;

/// Where objects lie that are not folded yet.
const FOLDER: &str = "_laguna/queries";

/// Application transactions of the folds are named after the server that the statements were asked of.
const TRANSACTION: &str = "laguna/queries/";

/// The partition column: the day in UTC on which a statement arrived, so that old ones go by whole files.
const DAY: &str = "day";

/// Bytes of objects that one commit takes at most, because they are held in memory.
const FOLDED_AT_ONCE: u64 = 64 << 20;

/// How often the objects are listed again when some were joined or folded while they were read.
const ATTEMPTS: usize = 5;

/// One statement that has ended, or one login that was refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatementRecord {
    /// Counts the statements of its server, from 1.
    pub number: u64,
    /// When it arrived.
    pub started: Instant,
    /// Who asked.
    pub user: String,
    /// In which role.
    pub role: String,
    /// Through which door.
    pub door: String,
    /// The statement; empty for a login.
    pub sql: String,
    /// The release that it read.
    pub release: Option<u64>,
    /// Rows given out.
    pub rows: u64,
    /// Bytes of these rows in memory.
    pub bytes: u64,
    /// From its arrival to its last row.
    pub seconds: f64,
    /// `ok`, or the word of the error's kind.
    pub outcome: String,
    /// The error's sentence.
    pub message: Option<String>,
    /// Whether the rows were kept from an earlier answer.
    pub cached: bool,
}

/// What one object holds.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    statements: Vec<StatementRecord>,
}

/// An object, by its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Name {
    server: String,
    first: u64,
    last: u64,
    size: u64,
}

impl Name {
    fn path(&self) -> Path {
        Path::from(format!("{FOLDER}/{}-{:010}-{:010}.json", self.server, self.first, self.last))
    }

    fn parse(object: &ObjectMeta) -> Option<Name> {
        let name = object.location.filename()?.strip_suffix(".json")?;
        let (rest, last) = name.rsplit_once('-')?;
        let (server, first) = rest.rsplit_once('-')?;
        Some(Name {
            server: server.to_string(),
            first: first.parse().ok()?,
            last: last.parse().ok()?,
            size: object.size,
        })
    }
}

/// `system.queries`.
pub fn table() -> TableName {
    TableName { tier: Tier::System, table: "queries".to_string() }
}

/// Columns of `system.queries`; `(server, number)` is its key. Times are UTC with µs, durations seconds.
pub fn schema() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let columns = [
        ("started", time),
        ("user_name", DataType::Utf8),
        ("role", DataType::Utf8),
        ("door", DataType::Utf8),
        ("sql", DataType::Utf8),
        ("outcome", DataType::Utf8),
        ("message", DataType::Utf8),
        ("release", DataType::Int64),
        ("rows", DataType::Int64),
        ("bytes", DataType::Int64),
        ("seconds", DataType::Float64),
        ("cached", DataType::Boolean),
        ("server", DataType::Utf8),
        ("number", DataType::Int64),
        (DAY, DataType::Date32),
    ];
    let fields = columns.into_iter().map(|(name, data_type)| Field::new(name, data_type, true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

impl Lake {
    /// Keeps statements of `server`, whose numbers follow each other and are higher than those kept before.
    pub async fn save_statements(&self, server: &str, statements: &[StatementRecord]) -> Result<()> {
        let (Some(first), Some(last)) = (statements.first(), statements.last()) else { return Ok(()) };
        let name = Name { server: server.to_string(), first: first.number, last: last.number, size: 0 };
        // An object of this name is this one: an earlier try whose answer was lost.
        objects::put_json_if_absent(self, &name.path(), &Kept { statements: statements.to_vec() })
            .await
            .map(|_| ())
    }

    /// Puts one object in the place of those that hold the statements `ranges` of `server`, which follow each other.
    /// Nothing happens when one of them has been folded meanwhile.
    pub async fn join_statements(&self, server: &str, ranges: &[(u64, u64)]) -> Result<()> {
        let names: Vec<Name> = ranges
            .iter()
            .map(|(first, last)| Name { server: server.to_string(), first: *first, last: *last, size: 0 })
            .collect();
        let mut statements = Vec::new();
        for name in &names {
            let Some(kept) = objects::get_json::<Kept>(self, &name.path()).await? else { return Ok(()) };
            statements.extend(kept.statements);
        }
        self.save_statements(server, &statements).await?;
        for name in names {
            objects::delete(self, &name.path()).await?;
        }
        Ok(())
    }

    /// `system.queries` as far as it is folded, and the rows that are not folded yet.
    pub async fn statements(&self) -> Result<(Option<Snapshot>, RecordBatch)> {
        // Objects first: what is folded between the two reads is then left out of them by its number. The other way round
        // it could be seen in neither.
        let open = self.open_statements().await?;
        let head = self.head(&table()).await?;
        let fresh = batch(open.iter().flat_map(|(server, statements)| {
            let folded = folded(head.as_ref(), server);
            let fresh = statements.values().filter(move |statement| statement.number > folded);
            fresh.map(move |statement| (server.as_str(), statement))
        }))?;
        Ok((head, fresh))
    }

    /// Appends what is not folded yet to `system.queries`, in one commit or more a server, and deletes its objects. The caller holds
    /// the lease.
    pub async fn fold_statements(&self) -> Result<()> {
        let names = list_statements(self).await?;
        if names.is_empty() {
            return Ok(());
        }
        let mut servers: BTreeMap<String, Vec<Name>> = BTreeMap::new();
        for name in names {
            servers.entry(name.server.clone()).or_default().push(name);
        }
        for (server, names) in servers {
            // Sorted by their first number: what one commit takes goes without a gap up to its last.
            let mut parts: Vec<Vec<Name>> = Vec::new();
            let mut bytes = 0;
            for name in names {
                bytes += name.size;
                match parts.last_mut() {
                    Some(part) if bytes <= FOLDED_AT_ONCE => part.push(name),
                    _ => {
                        bytes = name.size;
                        parts.push(vec![name]);
                    }
                }
            }
            for part in parts {
                // What was joined since it was listed is taken by the next fold, and what follows it too: else its
                // numbers would count as folded.
                if !self.fold_part(&server, part).await? {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Folds objects of one server; false when one of them is gone.
    async fn fold_part(&self, server: &str, names: Vec<Name>) -> Result<bool> {
        let head = self.head(&table()).await?;
        let done = folded(head.as_ref(), server);
        let open = names.iter().filter(|name| name.last > done).cloned().collect();
        let Some(statements) = read(self, open).await? else { return Ok(false) };
        let fresh: Vec<&StatementRecord> =
            statements.values().filter(|statement| statement.number > done).collect();
        let last = fresh.last().map_or(done, |statement| statement.number);
        if !fresh.is_empty() {
            let batch = batch(fresh.into_iter().map(|statement| (server, statement)))?;
            let schema = batch.schema();
            let options = WriteOptions { partition: vec![DAY.to_string()], ..WriteOptions::default() };
            let mut writer = TableWriter::new(self, &table(), schema.clone(), options)?;
            writer.write(batch).await?;
            let append = Append {
                table: table(),
                schema,
                files: writer.finish().await?.files,
                transaction: Some((format!("{TRANSACTION}{server}"), last as i64)),
                base: head,
                note: CommitNote::default(),
            };
            self.append(append).await?;
        }
        for name in names.iter().filter(|name| name.last <= last) {
            objects::delete(self, &name.path()).await?;
        }
        Ok(true)
    }

    /// Drops folded statements of the days before that of `before`. Readers see the earlier version until it is swept.
    pub async fn drop_statements(&self, before: Instant) -> Result<()> {
        let Some(head) = self.head(&table()).await? else { return Ok(()) };
        let first = before.to_datetime().format("%Y-%m-%d").to_string();
        let is_old = |file: &&DataFile| {
            file.partition_values.get(DAY).and_then(Option::as_ref).is_some_and(|day| *day < first)
        };
        let old: Vec<DataFile> = head.files.iter().filter(is_old).cloned().collect();
        match old.is_empty() {
            true => Ok(()),
            false => self.commit_removal(&table(), head.version, old).await.map(|_| ()),
        }
    }

    /// Statements that objects hold, by server and number.
    async fn open_statements(&self) -> Result<BTreeMap<String, BTreeMap<u64, StatementRecord>>> {
        for _ in 0..ATTEMPTS {
            let names = list_statements(self).await?;
            let mut servers: BTreeMap<String, Vec<Name>> = BTreeMap::new();
            for name in names {
                servers.entry(name.server.clone()).or_default().push(name);
            }
            let mut all = BTreeMap::new();
            for (server, names) in servers {
                all.insert(server, read(self, names).await?);
            }
            // One that went while it was read is part of another object now, or of the table.
            if all.values().all(Option::is_some) {
                return Ok(all
                    .into_iter()
                    .filter_map(|(server, read)| read.map(|read| (server, read)))
                    .collect());
            }
        }
        Err(Error::new(ErrorKind::Conflict, "the record of statements changed while it was read")
            .hint("ask again in a moment"))
    }
}

/// Up to which number the table holds the statements of a server.
fn folded(head: Option<&Snapshot>, server: &str) -> u64 {
    let last = head.and_then(|head| head.transactions.get(&format!("{TRANSACTION}{server}")));
    last.and_then(|last| u64::try_from(*last).ok()).unwrap_or(0)
}

/// Objects that are not folded, sorted.
async fn list_statements(lake: &Lake) -> Result<Vec<Name>> {
    let entries: Vec<ObjectMeta> = match lake.objects().list(Some(&Path::from(FOLDER))).try_collect().await {
        Ok(entries) => entries,
        Err(object_store::Error::NotFound { .. }) => return Ok(Vec::new()),
        Err(error) => return Err(lake.read_error(FOLDER, error)),
    };
    let mut names: Vec<Name> = entries.iter().filter_map(Name::parse).collect();
    names.sort_unstable();
    Ok(names)
}

/// The statements in `names`, by number: where two objects overlap, once. `None` when one is gone; a damaged one is
/// passed over.
async fn read(lake: &Lake, names: Vec<Name>) -> Result<Option<BTreeMap<u64, StatementRecord>>> {
    let mut reads = futures::stream::iter(names)
        .map(|name| async move { objects::get_json::<Kept>(lake, &name.path()).await })
        .buffered(16);
    let mut all = BTreeMap::new();
    while let Some(read) = reads.next().await {
        match read {
            Ok(Some(kept)) => {
                all.extend(kept.statements.into_iter().map(|statement| (statement.number, statement)));
            }
            Ok(None) => return Ok(None),
            Err(error) if error.kind() == ErrorKind::Stored => {
                tracing::warn!(%error, "a record of statements is damaged");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Some(all))
}

fn batch<'a>(statements: impl Iterator<Item = (&'a str, &'a StatementRecord)>) -> Result<RecordBatch> {
    let all: Vec<(&str, &StatementRecord)> = statements.collect();
    let text = |of: fn(&StatementRecord) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(all.iter().map(|(_, statement)| of(statement))))
    };
    let number = |of: fn(&StatementRecord) -> Option<u64>| -> ArrayRef {
        let values = all.iter().map(|(_, statement)| of(statement).and_then(|n| i64::try_from(n).ok()));
        Arc::new(Int64Array::from_iter(values))
    };
    let started = all.iter().map(|(_, statement)| Some(statement.started.as_micros()));
    let messages = all.iter().map(|(_, statement)| statement.message.as_deref());
    let columns: Vec<ArrayRef> = vec![
        Arc::new(arrow::array::TimestampMicrosecondArray::from_iter(started).with_timezone("UTC")),
        text(|statement| &statement.user),
        text(|statement| &statement.role),
        text(|statement| &statement.door),
        text(|statement| &statement.sql),
        text(|statement| &statement.outcome),
        Arc::new(StringArray::from_iter(messages)),
        number(|statement| statement.release),
        number(|statement| Some(statement.rows)),
        number(|statement| Some(statement.bytes)),
        Arc::new(Float64Array::from_iter_values(all.iter().map(|(_, statement)| statement.seconds))),
        Arc::new(BooleanArray::from_iter(all.iter().map(|(_, statement)| Some(statement.cached)))),
        Arc::new(StringArray::from_iter_values(all.iter().map(|(server, _)| *server))),
        number(|statement| Some(statement.number)),
        Arc::new(Date32Array::from_iter_values(
            all.iter().map(|(_, statement)| statement.started.as_micros().div_euclid(86_400_000_000) as i32),
        )),
    ];
    RecordBatch::try_new(schema(), columns)
        .map_err(|error| Error::internal("the rows of system.queries do not fit").caused_by(error))
}
