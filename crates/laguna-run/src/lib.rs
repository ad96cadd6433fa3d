//! What happens when: a run lands, builds, checks and releases in dependency order; releases are rolled back,
//! compared and rebuilt as of a moment; rows are forgotten; tables are maintained.

pub mod as_of;
mod aside;
pub mod check;
pub mod code;
pub mod diff;
pub mod events;
mod exclusive;
mod failure;
pub mod forget;
pub mod history;
mod land;
pub mod maintain;
mod node;
pub mod plan;
pub mod replay;
pub mod rollback;
pub mod run;
pub mod schedule;
mod tables;

use std::sync::Arc;

use laguna_base::{Clock, Result};
use laguna_model::Project;
use laguna_query::{Engine, EngineOptions};
use laguna_store::Lake;
use tokio_util::sync::CancellationToken;

pub use events::{Event, Reporter};

/// Everything that the work on one project needs, built once in the front door.
#[derive(Clone)]
pub struct Context {
    /// The project as loaded.
    pub project: Arc<Project>,
    /// SQL engine over the lake.
    pub engine: Arc<Engine>,
    /// Who is told what happens.
    pub reporter: Arc<dyn Reporter>,
    /// Cancelled when the user asks to stop.
    pub stop: CancellationToken,
}

impl Context {
    /// Opens the project's lake and starts an engine over it.
    pub async fn open(
        project: Project,
        clock: Arc<dyn Clock>,
        reporter: Arc<dyn Reporter>,
        stop: CancellationToken,
    ) -> Result<Context> {
        Context::of(Arc::new(project), clock, reporter, stop).await
    }

    /// As [`Context::open`], with a project that others hold too.
    pub async fn of(
        project: Arc<Project>,
        clock: Arc<dyn Clock>,
        reporter: Arc<dyn Reporter>,
        stop: CancellationToken,
    ) -> Result<Context> {
        let lake = Lake::open(&project.lake, &project.storage, clock).await?;
        let options = EngineOptions { memory: None, parallel: None };
        let engine = Arc::new(Engine::new(lake, options)?.with_timezone(project.timezone));
        Ok(Context { project, engine, reporter, stop })
    }

    /// The lake.
    pub fn lake(&self) -> &Lake {
        self.engine.lake()
    }
}
