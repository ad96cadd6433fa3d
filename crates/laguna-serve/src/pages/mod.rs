//! The pages: what is in the lake, how it came there, and a place to ask it, for people with a browser.
//!
//! Pages are rendered here from the templates of the crate. They load nothing but the files of [`assets`], hold no script
//! and no style of their own, and work without scripts as far as there is something to read. What a page tells of runs,
//! checks and releases is read for everybody and filtered by [`sight::Sight`]; rows and profiles are statements of the
//! reader at the desk.

mod assets;
pub(crate) mod columns;
mod draw;
mod home;
mod layout;
mod ledger;
pub(crate) mod lineage;
mod login;
mod page;
mod profile;
mod releases;
mod runs;
mod sample;
mod search;
pub(crate) mod sight;
mod sql;
mod table;
pub(crate) mod text;

use std::sync::Arc;

use axum::http::{HeaderValue, Uri, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};

use crate::http::State;

/// What the pages of a process remember between requests.
#[derive(Debug, Default)]
struct Memory {
    lineages: lineage::Lineages,
}

/// What a page may load and do: only what this server gives, and nothing may frame it.
const POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Every page with its parts.
pub fn router() -> Router<State> {
    Router::new()
        .route("/", get(home::page))
        .route("/search", get(search::page))
        .route("/tables/{tier}/{table}", get(table::page))
        .route("/tables/{tier}/{table}/sample", get(sample::part))
        .route("/tables/{tier}/{table}/profile", get(profile::part))
        .route("/tables/{tier}/{table}/lineage", get(lineage::part))
        .route("/runs", get(runs::list))
        .route("/runs/{run}", get(runs::page))
        .route("/releases", get(releases::list))
        .route("/releases/{release}", get(releases::page))
        .route("/sql", get(sql::page))
        .route("/sql/run", post(sql::run))
        .route("/sql/names", get(sql::names))
        .route("/login", get(login::form).post(login::login))
        .route("/logout", post(login::logout))
        .layer(Extension(Arc::new(Memory::default())))
        .layer(middleware::map_response(policy))
        .route("/static/{file}", get(assets::file))
}

/// The page that says that there is none.
pub fn no_such_page(uri: &Uri) -> Response {
    with_policy(page::Broken::not_found(format!("there is nothing at `{}`", uri.path())).into_response())
}

async fn policy(response: Response) -> Response {
    with_policy(response)
}

fn with_policy(mut response: Response) -> Response {
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}
