//! Building and committing one model, as a task of a run.

use std::collections::BTreeMap;
use std::sync::Arc;

use laguna_base::{Instant, Result, TableName};
use laguna_check::{Gate, Keep};
use laguna_model::Model;
use laguna_model::build::{self, BuildContext, Built, Look, Scope};
use laguna_query::Resolved;
use laguna_store::ReleasedTable;

use super::{Outcome, progress};
use crate::Context;
use crate::aside::{self, Aside};
use crate::tables::SharedTables;

/// Building and committing one model.
#[derive(Clone)]
pub(super) struct ModelTask {
    pub context: Context,
    pub model: Arc<Model>,
    pub tables: SharedTables,
    pub run: Arc<str>,
    pub instant: Instant,
    pub fingerprint: Arc<str>,
    pub base: Option<ReleasedTable>,
    pub previous: Option<ReleasedTable>,
    pub adopt: bool,
    pub inputs: BTreeMap<TableName, laguna_store::release::InputState>,
}

impl ModelTask {
    pub async fn run(self) -> Result<Outcome> {
        let lake = self.context.lake().clone();
        let name = &self.model.name;
        if self.adopt
            && let Some(adopted) = self.adopt().await?
        {
            return Ok(adopted);
        }
        let context = BuildContext {
            engine: self.context.engine.clone(),
            tables: self.tables.clone(),
            run: self.run.clone(),
            instant: self.instant,
            fingerprint: self.fingerprint.clone(),
            released: self.base.clone(),
            progress: progress(&self.context, name),
        };
        let mut built = build::build(&self.model, &context).await?;
        if built.gate == Gate::Block {
            if let Some(staged) = &built.staged {
                lake.save_staged(staged).await?;
            }
            return Ok(Outcome::Blocked(Box::new(built)));
        }
        let aside = aside_of(&built);
        if let Some(staged) = &mut built.staged {
            aside.note(&mut staged.note)?;
        }
        let mut entry = ReleasedTable {
            version: None,
            sql: self.model.kept_sql(),
            sql_hash: self.model.sql_hash.clone(),
            fingerprint: self.fingerprint.to_string(),
            schema: built.schema.clone(),
            rows: None,
            content: None,
            inputs: self.inputs.clone(),
            checks: build::summary(&built.verdicts, self.model.on_fail()),
            since: 0,
            held: None,
        };
        let resolved = match &built.staged {
            None => Resolved::View { sql: self.model.sql.clone() },
            Some(staged) => {
                let version = lake.commit(staged).await?;
                entry.version = Some(version);
                entry.rows = Some(staged.rows);
                entry.content = staged.content;
                let mut snapshot = lake.staged_snapshot(staged).await?;
                snapshot.version = version;
                Resolved::Snapshot { snapshot: Arc::new(snapshot), until: None, schema: None }
            }
        };
        if let Some(version) = entry.version
            && (self.previous.is_some() || !built.quarantined.is_empty())
        {
            aside::commit(&self.context, name, aside_of(&built), version, &self.run).await?;
        }
        if let Some(staged) = &mut built.staged {
            staged.adds.shrink_to_fit();
        }
        Ok(Outcome::Built { entry: Box::new(entry), resolved, built: Box::new(built) })
    }

    /// Judges the rows that are released by the checks of today; none is written.
    pub async fn check(self) -> Result<Outcome> {
        let Some(previous) = self.previous.clone() else { return self.run().await };
        let session = self.context.engine.session(self.tables.clone(), self.instant);
        let asked = Look {
            table: self.model.name.clone(),
            checks: self.model.checks.clone(),
            keep: Keep::default(),
            rows: 5,
            key: Vec::new(),
            explain: false,
            states: None,
        };
        let looked = build::look(&session, &asked).await?;
        let gate = laguna_check::gate(&looked.verdicts, self.model.on_fail());
        let built = Box::new(Built {
            staged: None,
            schema: previous.schema.clone(),
            gate,
            verdicts: looked.verdicts,
            failing: looked.failing,
            rows_in: looked.rows,
            rows_out: looked.rows,
            bytes_out: 0,
            bytes_in: looked.bytes,
            quarantined: Vec::new(),
            scope: Scope::Whole,
        });
        if gate == Gate::Block {
            return Ok(Outcome::Blocked(built));
        }
        let entry = ReleasedTable {
            sql: self.model.kept_sql(),
            sql_hash: self.model.sql_hash.clone(),
            fingerprint: self.fingerprint.to_string(),
            inputs: self.inputs.clone(),
            checks: build::summary(&built.verdicts, self.model.on_fail()),
            held: None,
            ..previous
        };
        Ok(Outcome::Checked { entry: Box::new(entry), built })
    }

    /// The head, when a run that did not live to release it committed just what would be built now.
    async fn adopt(&self) -> Result<Option<Outcome>> {
        let lake = self.context.lake();
        let name = &self.model.name;
        let released = self.previous.as_ref().and_then(|entry| entry.version);
        let Some(head) = lake.head_version(name).await? else { return Ok(None) };
        if Some(head) == released {
            return Ok(None);
        }
        let snapshot = lake.snapshot(name, head).await?;
        let Some((content, checks)) = build::adopt(&snapshot, &self.fingerprint) else { return Ok(None) };
        if let Some(aside) = Aside::of(&snapshot.note) {
            let run = snapshot.note.run.clone().unwrap_or_default();
            aside::commit(&self.context, name, aside, head, &run).await?;
        }
        let entry = ReleasedTable {
            version: Some(head),
            sql: self.model.kept_sql(),
            sql_hash: self.model.sql_hash.clone(),
            fingerprint: self.fingerprint.to_string(),
            schema: laguna_store::types::schema_to_json(&snapshot.schema)?,
            rows: Some(snapshot.rows()),
            content: Some(content),
            inputs: self.inputs.clone(),
            checks,
            since: 0,
            held: None,
        };
        let resolved = Resolved::Snapshot { snapshot: Arc::new(snapshot), until: None, schema: None };
        Ok(Some(Outcome::Adopted { entry: Box::new(entry), resolved }))
    }
}

/// What a build set aside.
fn aside_of(built: &Built) -> Aside {
    Aside { files: built.quarantined.clone(), whole: built.scope == Scope::Whole }
}
