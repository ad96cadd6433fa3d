//! `laguna forget`: rows of a raw table go from every version and tier that holds them.
//!
//! Everything new is written and verified first, invisible to readers. Then the erasure is written down, and from there
//! on carried out, if need be by the next command that takes the project's lease.

mod ledger;
mod models;
mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Int64Type};
use laguna_base::{Error, Instant, Result, TableName, Tier, suggest};
use laguna_model::LoadOptions;
use laguna_query::{LakeTables, Moment, Predicate, Session, volatile_functions};
use laguna_store::forget::{ErasedTable, Erasure, Receipt, Superseded, Target};
use laguna_store::landed::Landed;
use laguna_store::latest::{LatestRule, UNTYPED};
use laguna_store::release::Redacted;
use laguna_store::snapshot::data_path;
use laguna_store::{CommitNote, DataFile, Lake, Release, Snapshot, types};
use serde::Serialize;

use crate::{Context, land};
use models::Followers;
use rows::Judge;

/// What is to be forgotten.
#[derive(Clone)]
pub struct ForgetOptions {
    /// The raw table.
    pub table: TableName,
    /// Which rows, as a condition over its columns.
    pub predicate: String,
    /// Why, for the receipt.
    pub reason: Option<String>,
    /// Says what would be done, and does nothing.
    pub dry_run: bool,
    /// Waits for a run of the project to end, instead of refusing.
    pub wait: bool,
    /// How code that was stored with a release is read.
    pub load: LoadOptions,
}

/// What was forgotten.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Forgotten {
    /// An earlier erasure that had not come to its end and has now.
    pub finished: Option<Receipt>,
    /// What became of the tables; `None` when no row meets the condition.
    pub receipt: Option<Receipt>,
    /// What is worth knowing.
    pub notes: Vec<String>,
}

/// Forgets.
pub async fn forget(context: &Context, options: &ForgetOptions) -> Result<Forgotten> {
    let predicate = Predicate::parse(&options.predicate)?;
    if options.table.tier != Tier::Raw {
        return Err(Error::project(format!("{} is not a raw table", options.table))
            .hint("name the raw table: what is made of it follows, as --table raw.flights"));
    }
    let id = context.lake().clock().new_id();
    let lease = context.lake().lease("run", &id, options.wait).await?;
    let done = forget_alone(context, options, id, predicate).await;
    lease.release().await;
    done
}

/// The erasure, while it holds the project's lease.
async fn forget_alone(
    context: &Context,
    options: &ForgetOptions,
    id: String,
    predicate: Predicate,
) -> Result<Forgotten> {
    let lake = context.lake();
    let mut done = Forgotten::default();
    if !options.dry_run {
        done.finished = lake.finish_erasure().await?;
        lake.fold_runs().await?;
    } else if lake.unfinished_erasure().await?.is_some() {
        done.notes.push("an earlier erasure is not finished: this is before it".to_string());
    }
    let table = &options.table;
    let Some(head) = lake.head(table).await? else {
        let names: Vec<String> = lake.tables(Tier::Raw).await?.iter().map(TableName::to_string).collect();
        return Err(Error::project(format!("there is no table {table}"))
            .hint(suggest::hint(&table.to_string(), names.iter())));
    };
    let landed = lake.landed(table).await?;
    if landed.recovered && !options.dry_run {
        land::complete(lake, table, &head).await?;
    }
    let mut work = Work { context, id, predicate, fresh: Vec::new(), notes: Vec::new() };
    let planned = work.plan(options, &head, &landed).await;
    let keeps = matches!(planned, Ok(Some(_))) && !options.dry_run;
    if !keeps {
        for (table, file) in &work.fresh {
            discard(lake, table, std::slice::from_ref(file)).await?;
        }
    }
    done.notes.append(&mut work.notes);
    let Some(erasure) = planned? else { return Ok(done) };
    done.receipt = Some(erasure.receipt.clone());
    if !options.dry_run {
        lake.begin_erasure(&erasure).await?;
        done.receipt = lake.finish_erasure().await?;
    }
    Ok(done)
}

/// Deletes files that no commit names.
async fn discard(lake: &Lake, table: &TableName, files: &[DataFile]) -> Result<()> {
    use laguna_store::object_store::{Error as StoreError, ObjectStoreExt};
    for file in files {
        let path = data_path(table, &file.path)?;
        match lake.objects().delete(&path).await {
            Ok(()) | Err(StoreError::NotFound { .. }) => {}
            Err(error) => return Err(Error::storage(format!("cannot delete {path}")).caused_by(error)),
        }
    }
    Ok(())
}

/// One erasure in the making.
struct Work<'a> {
    context: &'a Context,
    id: String,
    predicate: Predicate,
    /// Files that were written for it.
    fresh: Vec<(TableName, DataFile)>,
    notes: Vec<String>,
}

impl Work<'_> {
    /// Writes all that is new and says what is to be done; `None` when no row meets the condition.
    async fn plan(
        &mut self,
        options: &ForgetOptions,
        head: &Snapshot,
        landed: &Landed,
    ) -> Result<Option<Erasure>> {
        let lake = self.context.lake().clone();
        let table = &head.table;
        self.check(head).await?;
        let raw = self.without(head, &Judge::Columns).await?;
        let judge = Judge::Texts { columns: head.schema.clone() };
        let aside = match lake.head(&table.quarantine()).await? {
            Some(aside) => Some((self.without(&aside, &judge).await?, aside)),
            None => None,
        };
        if raw.removed == 0 && aside.as_ref().is_none_or(|(kept, _)| kept.removed == 0) {
            return Ok(None);
        }
        let releases: Vec<Release> = lake.releases(None).await?.into_iter().rev().collect();
        let now = lake.clock().now();
        let time = releases.last().map_or(now, |last| now.max(last.time.plus_micros(1)));
        let mut plan = Plan { id: self.id.clone(), tables: Vec::new(), told: Vec::new() };

        let untyped = head.note.more.get(UNTYPED).map(|untyped| (UNTYPED.to_string(), untyped.clone()));
        let note = CommitNote {
            watermark: landed.watermark.or(head.note.watermark),
            more: untyped.into_iter().collect(),
            ..CommitNote::default()
        };
        let redacted = Arc::new(Snapshot {
            version: head.version + 1,
            files: raw.files.clone(),
            note: note.clone(),
            ..head.clone()
        });
        plan.head(head, raw.files, note, "rows removed", raw.removed)?;
        let latest = lake.head(&table.latest()).await?;
        let rule = latest.as_ref().map(rule_of).transpose()?;
        if let (Some(latest), Some(rule)) = (&latest, &rule)
            && let Some(staged) =
                lake.stage_latest(redacted.clone(), rule, &self.context.engine.state()).await?
        {
            self.fresh.extend(staged.adds.iter().map(|file| (latest.table.clone(), file.clone())));
            let gone = latest.rows().saturating_sub(staged.rows);
            let target = Target::new(&self.id, staged.schema, Vec::new(), staged.adds, staged.note);
            plan.one(latest, target, "folded again", gone);
        }

        let first = self.first_arrival(head).await?;
        let mut followers = Followers::new(table, first, redacted.clone(), rule, &options.load);
        followers.follow(self, &releases).await?;
        let mut redaction = followers.redaction(self, &releases, &mut plan).await?;
        redaction.time = Some(time);
        let mut versions = BTreeMap::new();
        for release in &releases {
            let reads = release.tables.values().flat_map(|entry| &entry.inputs);
            let reads = reads.filter(|(input, _)| **input == *table || **input == table.latest());
            let known = release.raw.get(table).map(|state| (state.version, state.watermark));
            let read = reads.filter_map(|(_, state)| Some((state.version?, state.watermark)));
            for (version, watermark) in read.chain(known) {
                let changed = followers.is_held_at(watermark);
                versions
                    .insert(version, Redacted { version: redacted.version, changed, ..Redacted::default() });
            }
        }
        redaction.tables.insert(table.latest(), versions.clone());
        redaction.tables.insert(table.clone(), versions);

        if let Some((kept, aside)) = aside {
            plan.head(&aside, kept.files, CommitNote::default(), "rows removed", kept.removed)?;
        }
        let names = followers.names();
        for name in &names {
            if let Some(aside) = lake.head(&name.quarantine()).await? {
                let kept = self.without(&aside, &judge).await?;
                plan.head(&aside, kept.files, aside.note.clone(), "rows removed", kept.removed)?;
            }
        }
        let nodes: BTreeSet<TableName> = names.iter().chain([table]).cloned().collect();
        self.ledger(&nodes, &mut plan).await?;

        let mut touched = nodes.clone();
        touched.extend(nodes.iter().map(TableName::quarantine));
        touched.extend(plan.tables.iter().map(|superseded| superseded.table.clone()));
        let mut files_deleted = 0;
        for superseded in &plan.tables {
            let kept: Vec<DataFile> =
                superseded.targets.iter().flat_map(|target| target.files.clone()).collect();
            files_deleted += lake.files_besides(&superseded.table, &kept).await?.len() as u64;
        }
        Ok(Some(Erasure {
            receipt: Receipt {
                id: self.id.clone(),
                time,
                owner: laguna_store::ledger::owner(),
                table: table.clone(),
                predicate: self.predicate.masked().to_string(),
                reason: options.reason.clone(),
                release: None,
                files_deleted,
                tables: plan.told,
            },
            tables: plan.tables,
            touched: touched.into_iter().collect(),
            redaction,
        }))
    }

    /// A session in which `this` is one version of a table.
    async fn session(&self, snapshot: &Snapshot) -> Result<Session> {
        let lake = self.context.lake();
        let tables = Arc::new(LakeTables::at(lake, Moment::Now).await?);
        let session = self.context.engine.session(tables, lake.clock().now());
        session.register_this(lake.provider(Arc::new(snapshot.clone()))?);
        Ok(session)
    }

    /// Refuses a condition that cannot be planned, or that would mean something else each time.
    async fn check(&self, head: &Snapshot) -> Result<()> {
        let plan = self.session(head).await?.plan(&self.predicate.select("1 AS one")).await;
        let plan = plan.map_err(|error| laguna_query::in_file_at(error, "--where", Predicate::place))?;
        match volatile_functions(&plan).first() {
            Some(function) => Err(Error::project(format!("{function}() answers differently each time"))
                .hint("a condition must mean the same rows in every version")),
            None => Ok(()),
        }
    }

    /// When the first of the rows arrived that are to be forgotten.
    async fn first_arrival(&self, head: &Snapshot) -> Result<Option<Instant>> {
        let sql = self.predicate.select("min(_ingested_at) AS first");
        let batches = laguna_query::collect(self.session(head).await?.execute(&sql).await?).await?;
        let Some(batch) = batches.iter().find(|batch| batch.num_rows() > 0) else { return Ok(None) };
        let first = arrow::compute::cast(batch.column(0), &DataType::Int64)
            .map_err(|error| laguna_query::translate(error.into()))?;
        Ok(first.as_primitive::<Int64Type>().iter().next().flatten().map(Instant::from_micros))
    }
}

/// The rule of a latest table, as its head has it.
fn rule_of(latest: &Snapshot) -> Result<LatestRule> {
    let rule = latest.note.more.get("rule").cloned().unwrap_or_default();
    serde_json::from_value(rule).map_err(|error| {
        Error::stored(format!("the rule of {} cannot be read", latest.table))
            .hint("run `laguna run --full` to build it again")
            .caused_by(error)
    })
}

/// What an erasure will replace, and what is told of it.
struct Plan {
    id: String,
    tables: Vec<Superseded>,
    told: Vec<ErasedTable>,
}

impl Plan {
    /// A table that is read at its head gets a new one with `files`.
    fn head(
        &mut self,
        old: &Snapshot,
        files: Vec<DataFile>,
        note: CommitNote,
        how: &str,
        rows: u64,
    ) -> Result<()> {
        let schema = types::schema_to_json(&old.schema)?;
        let target = Target::new(&self.id, schema, old.partition_columns.clone(), files, note);
        self.one(old, target, how, rows);
        Ok(())
    }

    fn one(&mut self, old: &Snapshot, target: Target, how: &str, rows: u64) {
        if rows > 0 {
            self.told.push(ErasedTable {
                table: old.table.clone(),
                release: None,
                how: how.to_string(),
                before: Some(old.version),
                version: old.version + 1,
                rows,
            });
        }
        let (table, first) = (old.table.clone(), old.version + 1);
        self.tables.push(Superseded { table, first, targets: vec![target] });
    }
}
