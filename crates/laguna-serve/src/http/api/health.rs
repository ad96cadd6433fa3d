//! `/health`, `/ready`, `/metrics`: what machines ask that watch over the process.
//!
//! They need no login: they say nothing of tables, users or statements, and who watches should hold no key to the lake.

use std::time::Duration;

use axum::extract::State as Shared;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use laguna_base::Error;

use super::{Answers, Route};
use crate::http::{Problem, State};

/// How long the lake may take to say that it is there.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn health() -> Route {
    Route {
        tag: "process",
        summary: "The process is up.",
        login: false,
        ..Route::get("health", "/health", Answers::Text("text/plain"), || async { "ok\n" })
    }
}

pub(super) fn ready() -> Route {
    Route {
        tag: "process",
        summary: "The lake can be read and statements are answered.",
        login: false,
        ..Route::get("ready", "/ready", Answers::Text("text/plain"), is_ready)
    }
}

pub(super) fn metrics() -> Route {
    Route {
        tag: "process",
        summary: "Numbers of the process as OpenMetrics text.",
        login: false,
        ..Route::get("metrics", "/metrics", Answers::Text("application/openmetrics-text"), numbers)
    }
}

async fn is_ready(Shared(core): Shared<State>) -> Result<&'static str, Problem> {
    let lake = core.desk.engine().lake().clone();
    // Whatever is wrong: nobody should send requests here.
    let unready = |error| Problem::new(StatusCode::SERVICE_UNAVAILABLE, error);
    match tokio::time::timeout(PATIENCE, lake.release()).await {
        Ok(Ok(_)) => Ok("ready\n"),
        Ok(Err(error)) => Err(unready(Error::storage("the lake cannot be read").caused_by(error))),
        Err(_) => Err(unready(Error::storage("the lake does not answer"))),
    }
}

async fn numbers(Shared(core): Shared<State>) -> Response {
    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, media_type)], core.metrics.text()).into_response()
}
