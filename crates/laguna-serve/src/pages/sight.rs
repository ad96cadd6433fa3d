//! What one reader may see of what the lake tells about itself.
//!
//! Runs, checks and releases are about all tables. They are read as the lake's own and filtered here: nothing is told of a
//! table that the reader may not read, and of one that he reads through masks or row rules only what its files say. Its
//! checks, numbers and messages would tell of what is kept back.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::TryStreamExt;
use laguna_base::{Instant, Result, TableName, Tier};
use laguna_model::Project;
use laguna_query::{Access, Moment, collect, translate};
use laguna_store::{Lake, Release};

use super::columns::Columns;
use super::text::When;
use crate::http::{NAME, State};
use crate::identity::ADMIN;
use crate::{Ask, Caller, Limits};

/// A reader in front of the lake, for one request.
pub(crate) struct Sight {
    pub(crate) core: State,
    pub(crate) caller: Arc<Caller>,
    /// The project as it is now.
    pub(crate) project: Arc<Project>,
    /// When the request came.
    pub(crate) now: Instant,
}

/// What a project's files say about a table.
#[derive(Debug, Clone, Default)]
pub(crate) struct About {
    pub(crate) description: Option<String>,
    pub(crate) owner: Option<String>,
    pub(crate) tags: Vec<String>,
    /// Where it is written: `sanitized/flights.sql`.
    pub(crate) file: Option<String>,
    /// How it is kept: `view`, `incremental`, `append`, …
    pub(crate) kind: &'static str,
}

impl Sight {
    pub(crate) fn new(core: State, caller: Arc<Caller>) -> Sight {
        let project = core.project.borrow().clone();
        let now = core.desk.engine().lake().clock().now();
        Sight { core, caller, project, now }
    }

    /// The lake.
    pub(crate) fn lake(&self) -> &Lake {
        self.core.desk.engine().lake()
    }

    /// A time as this request tells it.
    pub(crate) fn when(&self, at: Instant) -> When {
        When { at, now: self.now }
    }

    /// Whether the table exists for the reader.
    pub(crate) fn may_read(&self, table: &TableName) -> bool {
        self.caller.access.may_read(table)
    }

    /// Whether the reader reads the table whole, so that nothing about it is kept back.
    pub(crate) fn is_whole(&self, table: &TableName) -> bool {
        self.may_read(table) && !self.caller.access.is_restricted(table)
    }

    /// Whether nothing at all is kept from the reader.
    pub(crate) fn is_unlimited(&self) -> bool {
        !self.caller.access.is_limited()
    }

    /// The table that `text` names, where the reader reads it whole.
    pub(crate) fn whole(&self, text: &str) -> Option<TableName> {
        text.parse().ok().filter(|table| self.is_whole(table))
    }

    /// The newest release; it names tables that the reader may not know of.
    pub(crate) async fn release(&self) -> Result<Option<Release>> {
        self.lake().release().await
    }

    /// Rows of `system.*` about all tables: whoever shows them asks [`Sight::is_whole`] first.
    pub(crate) async fn everything(&self, sql: &str) -> Result<Columns> {
        self.rows(&self.keeper(), sql).await
    }

    /// Who reads what is about all tables.
    pub(crate) fn keeper(&self) -> Caller {
        Caller {
            user: self.caller.user.clone(),
            role: ADMIN.to_string(),
            access: Access::everything(),
            limits: Limits::default(),
        }
    }

    /// Rows of a small statement of the page's own as the reader sees them.
    pub(crate) async fn own(&self, sql: &str) -> Result<Columns> {
        self.rows(&self.caller, sql).await
    }

    async fn rows(&self, caller: &Caller, sql: &str) -> Result<Columns> {
        let session = self.core.desk.session(caller, &Moment::Now).await?;
        Columns::new(&collect(session.execute(sql).await?).await?)
    }

    /// All rows of a statement that the reader asks at the desk, within `patience`.
    pub(crate) async fn batches(
        &self,
        sql: &str,
        patience: Duration,
    ) -> Result<(SchemaRef, Vec<RecordBatch>)> {
        let ask = Ask { timeout: Some(patience), ..Ask::new(self.caller.clone(), NAME, sql) };
        let answer = self.core.desk.answer(ask).await?;
        let batches = answer.rows.try_collect().await.map_err(translate)?;
        Ok((answer.schema, batches))
    }

    /// As [`Sight::batches`], as columns.
    pub(crate) async fn ask(&self, sql: &str, patience: Duration) -> Result<Columns> {
        Columns::new(&self.batches(sql, patience).await?.1)
    }

    /// What the project's files say about a table that the reader may read.
    pub(crate) fn about(&self, table: &TableName) -> About {
        use laguna_base::settings::dataset::Mode;
        use laguna_base::settings::table::Materialize;
        if let Some(model) = self.project.models.get(table) {
            let settings = &model.settings;
            return About {
                description: settings.description.clone(),
                owner: settings.owner.clone(),
                tags: settings.tags.clone(),
                file: Some(model.file.clone()),
                kind: match &settings.materialize {
                    Materialize::View => "view",
                    Materialize::Table => "table",
                    Materialize::Incremental(_) => "incremental table",
                },
            };
        }
        let raw = TableName { tier: Tier::Raw, table: table.table.clone() };
        let of =
            matches!(table.tier, Tier::Raw | Tier::Latest).then(|| self.project.datasets.get(&raw)).flatten();
        if let Some(dataset) = of {
            let settings = &dataset.settings;
            let key = settings.key.0.join(", ");
            let description = match (table.tier, key.is_empty()) {
                (Tier::Latest, false) => {
                    let of =
                        settings.description.as_deref().map(|text| format!(" {text}")).unwrap_or_default();
                    Some(format!("The newest row of each {key}.{of}"))
                }
                (Tier::Latest, true) => Some("The rows of the newest batch.".to_string()),
                _ => settings.description.clone(),
            };
            return About {
                description,
                owner: settings.owner.clone(),
                tags: settings.tags.clone(),
                file: Some(dataset.file.clone()),
                kind: match settings.mode {
                    Mode::Append => "append",
                    Mode::Upsert => "upsert",
                    Mode::Snapshot => "snapshot",
                    Mode::Changes => "changes",
                },
            };
        }
        let description = match (table.tier, laguna_model::project::node_of(table)) {
            (Tier::Quarantine, Some(of)) => Some(format!("Rows set aside from {of}, with the reason.")),
            (Tier::System, _) => system_description(&table.table).map(str::to_string),
            _ => None,
        };
        About { description, ..About::default() }
    }

    /// What the project's files say about a column: its description and tags.
    pub(crate) fn about_column(&self, table: &TableName, column: &str) -> (Option<String>, Vec<String>) {
        let settings = self.project.models.get(table).and_then(|model| model.settings.columns.get(column));
        if let Some(settings) = settings {
            return (settings.description.clone(), settings.tags.clone());
        }
        let own = match (table.tier, column) {
            (Tier::Raw | Tier::Latest, "_ingested_at") => Some("When its batch arrived"),
            (Tier::Raw | Tier::Latest, "_batch") => Some("Id of its batch"),
            (Tier::Raw | Tier::Latest, "_source") => Some("File and row it came from"),
            _ => None,
        };
        (own.map(str::to_string), Vec::new())
    }
}

fn system_description(table: &str) -> Option<&'static str> {
    Some(match table {
        "runs" => "One row a run: when, what was selected, how it ended.",
        "tasks" => "One row a table of a run: outcome, time, rows.",
        "checks" => "One row a verdict of a check.",
        "metrics" => "One row a number about a table in a run.",
        "releases" => "One row a release, newest first.",
        "release_tables" => "One row a table of a release.",
        "freshness" => "When each table last changed.",
        "files" => "One row a file that landed.",
        "erasures" => "One row a table of an erasure.",
        "queries" => "One row a statement: who, what, how long.",
        _ => return None,
    })
}
