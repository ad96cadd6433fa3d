//! `/v1/runs`: what has run, and one run with its tables.

use axum::Json;
use axum::extract::State as Shared;
use axum::http::StatusCode;
use datafusion::scalar::ScalarValue;
use laguna_base::{Error, Result};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use super::rows::{self, Listing};
use super::{Answers, Route, shape};
use crate::Ask;
use crate::http::extract::Named;
use crate::http::{Problem, State, Who, answer};

/// `system.runs`, the newest first.
const RUNS: Listing = Listing { table: "runs", order: "started.desc,run.desc" };

pub(super) fn list() -> Route {
    Route {
        tag: "runs",
        summary: "Runs, the newest first: rows of `system.runs`.",
        ..rows::listing("listRuns", "/v1/runs", &RUNS)
    }
}

pub(super) fn one() -> Route {
    Route {
        tag: "runs",
        summary: "One run with its tables and checks.",
        named: &[("run", "Id of a run.")],
        ..Route::get("getRun", "/v1/runs/{run}", Answers::Json(shape::<Run>), run)
    }
}

/// A run.
#[derive(Debug, Serialize, JsonSchema)]
struct Run {
    /// Its row of `system.runs`.
    run: Map<String, Value>,
    /// Its rows of `system.tasks`, in the order in which they began.
    tasks: Vec<Map<String, Value>>,
    /// Its rows of `system.checks`.
    checks: Vec<Map<String, Value>>,
}

async fn run(Shared(core): Shared<State>, who: Who, Named(run): Named<String>) -> Result<Json<Run>, Problem> {
    let rows = async |sql: &str| {
        let params = vec![ScalarValue::from(run.as_str())];
        let ask = Ask { params, ..answer::ask(&who, sql) };
        answer::objects(&core, ask).await.map(|(rows, _)| rows).map_err(Problem::of_path)
    };
    let found = rows("SELECT * FROM system.runs WHERE run = $1").await?.into_iter().next();
    let found = found.ok_or_else(|| {
        let error = Error::project(format!("there is no run `{run}`")).hint("/v1/runs lists them");
        Problem::new(StatusCode::NOT_FOUND, error)
    })?;
    Ok(Json(Run {
        run: found,
        // A role may read runs without their tables.
        tasks: rows("SELECT * FROM system.tasks WHERE run = $1 ORDER BY started, node")
            .await
            .or_else(rows::unknown_is_empty)?,
        checks: rows("SELECT * FROM system.checks WHERE run = $1 ORDER BY node, \"check\", \"column\"")
            .await
            .or_else(rows::unknown_is_empty)?,
    }))
}
