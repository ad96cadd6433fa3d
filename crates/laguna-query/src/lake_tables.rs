//! The lake as readers see it: whole releases only, raw tables up to an instant, opened when a statement names them.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use async_trait::async_trait;
use laguna_base::{Error, ErrorKind, Instant, Result, TableName, Tier};
use laguna_store::latest::LatestRule;
use laguna_store::release::RawState;
use laguna_store::{Handles, Lake, Release, Snapshot};
use tokio::sync::OnceCell;

use crate::{Pin, Resolved, Tables, catalog, system, translate};

/// Which state of the lake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moment {
    /// The newest release; raw tables as they are.
    Now,
    /// Raw rows that had arrived by then, tables as released then.
    AsOf(Instant),
    /// One release; raw rows that had arrived when its run began to read.
    Release(u64),
    /// The staged tables of a run in place of the released ones.
    Run(String),
}

/// The lake at one moment. The release is read once; every table is opened at most once, when it is named.
#[derive(Debug)]
pub struct LakeTables {
    lake: Lake,
    handles: Arc<Handles>,
    moment: Moment,
    release: Option<Arc<Release>>,
    tables: Once<TableName, Option<Resolved>>,
    moments: Once<Instant, Arc<LakeTables>>,
    reads: Mutex<Reads>,
}

/// What has been looked at in one state of the lake, and how to tell whether it is still so.
#[derive(Debug, Clone, Default)]
pub struct Reads {
    /// Tables, each with its version; `None` for a view, and for a table that there was not.
    pub tables: HashMap<TableName, Option<u64>>,
    /// Something was looked at that may change without a new version of a table: a listing, a staged table, `system.*`.
    pub fleeting: bool,
}

impl LakeTables {
    /// The lake at `moment`. A moment before the first release is an error that says when the first was.
    pub async fn at(lake: &Lake, moment: Moment) -> Result<LakeTables> {
        Self::of(Arc::new(Handles::new(lake.clone())), moment).await
    }

    /// As [`LakeTables::at`], with what a process keeps open.
    pub async fn of(handles: Arc<Handles>, moment: Moment) -> Result<LakeTables> {
        let lake = handles.lake();
        let release = match &moment {
            Moment::Now => handles.release().await?,
            // A lake without any release has raw tables that can be read as of any time.
            Moment::AsOf(at) => match lake.release_as_of(*at).await {
                Ok(release) => Some(Arc::new(release)),
                Err(error) => match lake.release().await? {
                    Some(_) => return Err(error),
                    None => None,
                },
            },
            Moment::Release(number) => Some(Arc::new(lake.release_number(*number).await?)),
            Moment::Run(run) => {
                let mut staged: Vec<String> =
                    lake.staged_tables().await?.into_iter().map(|(run, _)| run).collect();
                staged.dedup();
                if !staged.contains(run) {
                    let newest = staged.iter().take(5).map(String::as_str).collect::<Vec<_>>().join(", ");
                    let hint = match newest.is_empty() {
                        true => "nothing is staged: staged tables are swept after 7 days".to_string(),
                        false => format!("runs with staged tables are {newest}"),
                    };
                    return Err(Error::project(format!("the run `{run}` has no staged tables")).hint(hint));
                }
                handles.release().await?
            }
        };
        Ok(Self::with_release(handles, moment, release))
    }

    fn with_release(handles: Arc<Handles>, moment: Moment, release: Option<Arc<Release>>) -> LakeTables {
        LakeTables {
            lake: handles.lake().clone(),
            handles,
            moment,
            release,
            tables: Once::default(),
            moments: Once::default(),
            reads: Mutex::default(),
        }
    }

    /// What was looked at so far.
    pub fn reads(&self) -> Reads {
        self.reads.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, read: impl FnOnce(&mut Reads)) {
        read(&mut self.reads.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn noted(&self, name: &TableName, version: Option<u64>) {
        self.note(|reads| {
            reads.tables.insert(name.clone(), version);
        });
    }

    /// The release that this state shows; `None` before the first.
    pub fn release(&self) -> Option<&Release> {
        self.release.as_deref()
    }

    async fn open(&self, name: &TableName) -> Result<Option<Resolved>> {
        let opened = self.opened(name).await?;
        match &opened {
            Some(Resolved::Snapshot { snapshot, .. }) => self.noted(name, Some(snapshot.version)),
            Some(Resolved::View { .. }) | None => self.noted(name, None),
            // Both of its tables were noted where they were opened.
            Some(Resolved::Latest { .. }) => {}
            Some(Resolved::ViewAt { .. } | Resolved::Provider(_)) => self.note(|reads| reads.fleeting = true),
        }
        Ok(opened)
    }

    async fn opened(&self, name: &TableName) -> Result<Option<Resolved>> {
        match name.tier {
            Tier::Sanitized | Tier::Enhanced => self.model(name).await,
            Tier::Raw => self.raw(name).await,
            Tier::Latest => self.latest(name).await,
            Tier::Quarantine => self.quarantine(name).await,
            Tier::System => system::table(&self.lake, name).await,
        }
    }

    async fn model(&self, name: &TableName) -> Result<Option<Resolved>> {
        if let Moment::Run(run) = &self.moment
            && let Some(staged) = self.lake.staged(name, Some(run)).await?
        {
            return Ok(Some(plain(self.lake.staged_snapshot(&staged).await?)));
        }
        let Some(released) = self.release.as_ref().and_then(|release| release.tables.get(name)) else {
            return Ok(None);
        };
        Ok(Some(match released.version {
            Some(version) => shared(self.handles.snapshot(name, version).await?),
            None => Resolved::View { sql: released.sql.clone() },
        }))
    }

    /// The instant up to which rows of a raw table are seen, and its state in the release.
    fn arrival(&self, raw: &TableName) -> (Option<Instant>, Option<&RawState>) {
        let state = self.release.as_ref().and_then(|release| release.raw.get(raw));
        match &self.moment {
            Moment::Now | Moment::Run(_) => (None, None),
            Moment::AsOf(at) => (Some(*at), state),
            Moment::Release(_) => {
                let published = self.release.as_ref().map(|release| release.time);
                (state.and_then(|state| state.watermark).or(published), state)
            }
        }
    }

    async fn raw(&self, name: &TableName) -> Result<Option<Resolved>> {
        let Some(head) = self.handles.head(name).await? else { return Ok(None) };
        let (until, state) = self.arrival(name);
        let schema = state.map(|state| laguna_store::types::schema_from_json(&state.schema)).transpose()?;
        Ok(Some(Resolved::Snapshot { snapshot: head, until, schema }))
    }

    async fn latest(&self, name: &TableName) -> Result<Option<Resolved>> {
        let Some(head) = self.handles.head(name).await? else { return Ok(None) };
        let rule = head.note.more.get("rule").cloned().ok_or_else(|| {
            Error::stored(format!("`{name}` does not say which row of a key is the newest"))
                .hint("run `laguna run --full` to build it again")
        })?;
        let rule: LatestRule = serde_json::from_value(rule).map_err(|error| {
            Error::stored(format!("the rule of `{name}` cannot be read")).caused_by(error)
        })?;
        let raw = TableName { tier: Tier::Raw, table: name.table.clone() };
        let (at, _) = self.arrival(&raw);
        self.noted(name, Some(head.version));
        let version = self.handles.head_version(&raw).await?;
        self.noted(&raw, version);
        Ok(Some(Resolved::Latest { raw, rule, at }))
    }

    async fn quarantine(&self, name: &TableName) -> Result<Option<Resolved>> {
        let until = match &self.moment {
            Moment::Now | Moment::Run(_) => None,
            Moment::AsOf(at) => Some(*at),
            Moment::Release(_) => self.release.as_ref().map(|release| release.time),
        };
        if let Some(head) = self.handles.head(name).await? {
            return Ok(Some(Resolved::Snapshot { snapshot: head, until, schema: None }));
        }
        // A table of which no row was ever set aside has an empty quarantine, not none.
        let Some(of) = quarantined(name) else { return Ok(None) };
        let exists = match of.tier.is_model() {
            true => self.release.as_ref().is_some_and(|release| release.tables.contains_key(&of)),
            false => self.lake.head_version(&of).await?.is_some(),
        };
        match exists {
            true => Ok(Some(Resolved::Provider(catalog::empty(quarantine_schema()).map_err(translate)?))),
            false => Ok(None),
        }
    }

    /// This lake at another instant, for tables that a statement pins.
    async fn then(&self, at: Instant) -> Result<Arc<LakeTables>> {
        self.moments
            .get(&at, || async {
                let now = self.lake.clock().now();
                if at > now {
                    return Err(Error::project(format!("{at} is in the future"))
                        .hint(format!("time travel goes back from {now}")));
                }
                // Raw tables may be read before the first release; models then say that there was none.
                let release = match self.lake.release_as_of(at).await {
                    Ok(release) => Some(Arc::new(release)),
                    Err(error) if error.kind() == ErrorKind::Project => None,
                    Err(error) => return Err(error),
                };
                Ok(Arc::new(Self::with_release(self.handles.clone(), Moment::AsOf(at), release)))
            })
            .await
    }
}

#[async_trait]
impl Tables for LakeTables {
    async fn table(&self, name: &TableName) -> Result<Option<Resolved>> {
        self.tables.get(name, || self.open(name)).await
    }

    async fn names(&self, tier: Tier) -> Result<Vec<String>> {
        self.note(|reads| reads.fleeting = true);
        match tier {
            Tier::System => Ok(system::NAMES.iter().map(|name| name.to_string()).collect()),
            Tier::Sanitized | Tier::Enhanced => {
                let tables = self.release.iter().flat_map(|release| release.tables.keys());
                let mut names: Vec<String> =
                    tables.filter(|name| name.tier == tier).map(|name| name.table.clone()).collect();
                if let Moment::Run(run) = &self.moment {
                    let staged = self.lake.staged_tables().await?;
                    names.extend(
                        staged
                            .into_iter()
                            .filter(|(of, name)| of == run && name.tier == tier)
                            .map(|(_, name)| name.table),
                    );
                    names.sort();
                    names.dedup();
                }
                Ok(names)
            }
            _ => Ok(self.lake.tables(tier).await?.into_iter().map(|name| name.table).collect()),
        }
    }

    async fn pinned(&self, name: &TableName, pin: &Pin) -> Result<Option<Resolved>> {
        // What a pin means can change by an erasure or by maintenance.
        self.note(|reads| reads.fleeting = true);
        if name.tier == Tier::System {
            return Err(Error::project(format!("time travel on `{name}` is not possible"))
                .hint("system tables carry the times of what they tell: filter by them"));
        }
        match pin {
            Pin::Timestamp(at) => {
                let then = self.then(*at).await?;
                if name.tier.is_model() && then.release.is_none() {
                    // The store's sentence says when the first release was.
                    self.lake.release_as_of(*at).await?;
                }
                Ok(match then.table(name).await? {
                    Some(Resolved::View { sql }) => Some(Resolved::ViewAt { sql, tables: then }),
                    other => other,
                })
            }
            Pin::Version(version) => {
                if self.is_view(name).await? {
                    return Err(Error::project(format!("`{name}` is a view and has no versions of its own"))
                        .hint("use FOR TIMESTAMP AS OF '…', or read a whole release with --release N"));
                }
                if self.lake.head_version(name).await?.is_none() {
                    return Ok(None);
                }
                Ok(Some(plain(self.lake.snapshot(name, *version).await?)))
            }
        }
    }

    async fn is_view(&self, name: &TableName) -> Result<bool> {
        let released = self.release.as_ref().and_then(|release| release.tables.get(name));
        Ok(released.is_some_and(|table| table.version.is_none()))
    }

    async fn staged(&self, name: &TableName) -> Result<Option<Resolved>> {
        self.note(|reads| reads.fleeting = true);
        let run = match &self.moment {
            Moment::Run(run) => Some(run.as_str()),
            _ => None,
        };
        Ok(match self.lake.staged(name, run).await? {
            Some(staged) => Some(plain(self.lake.staged_snapshot(&staged).await?)),
            None => None,
        })
    }

    async fn staged_names(&self) -> Result<Vec<TableName>> {
        let mut names: Vec<TableName> =
            self.lake.staged_tables().await?.into_iter().map(|(_, name)| name).collect();
        names.sort();
        names.dedup();
        Ok(names)
    }
}

fn plain(snapshot: Snapshot) -> Resolved {
    shared(Arc::new(snapshot))
}

fn shared(snapshot: Arc<Snapshot>) -> Resolved {
    Resolved::Snapshot { snapshot, until: None, schema: None }
}

/// The table whose rows `quarantine.<tier>_<table>` keeps.
pub(crate) fn quarantined(name: &TableName) -> Option<TableName> {
    let (tier, table) = name.table.split_once('_')?;
    TableName::new(tier.parse().ok()?, table).ok()
}

/// Columns of every quarantine.
fn quarantine_schema() -> SchemaRef {
    let source = vec![Field::new("file", DataType::Utf8, true), Field::new("row", DataType::Int64, true)];
    Arc::new(Schema::new(vec![
        Field::new("_quarantined_at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
        Field::new("_run", DataType::Utf8, true),
        Field::new("_rule", DataType::Utf8, true),
        Field::new("_reason", DataType::Utf8, true),
        Field::new("_source", DataType::Struct(Fields::from(source)), true),
        Field::new("raw", DataType::Utf8, true),
        Field::new("row", DataType::Utf8, true),
    ]))
}

/// Values that are computed once each, also when several statements ask at the same time.
#[derive(Debug)]
struct Once<K, V>(Mutex<HashMap<K, Arc<OnceCell<V>>>>);

impl<K, V> Default for Once<K, V> {
    fn default() -> Self {
        Once(Mutex::default())
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Once<K, V> {
    async fn get<F: Future<Output = Result<V>>>(&self, key: &K, make: impl FnOnce() -> F) -> Result<V> {
        let cell =
            self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key.clone()).or_default().clone();
        cell.get_or_try_init(make).await.cloned()
    }
}
