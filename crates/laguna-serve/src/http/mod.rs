//! The HTTP door: statements, REST reads of what the lake holds, health, metrics, and the OpenAPI document of it all.
//!
//! One route is one file and one line in [`api::routes`]; the document is made from the same lines. Handlers speak HTTP and
//! nothing else: every statement goes to the desk with the caller whom [`caller::Who`] has found.

mod answer;
mod api;
pub mod caller;
pub(crate) mod connection;
mod extract;
mod layers;
mod negotiate;
mod openapi;
pub mod problem;
pub mod session;
mod values;

use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::http::{HeaderMap, Uri, header};
use axum::response::{IntoResponse, Response};
use laguna_base::Result;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use caller::Who;
pub use problem::Problem;

use crate::{Core, Door};

/// Name of the door in settings, metrics and the record of statements.
pub const NAME: &str = "http";

/// What handlers share: `axum::extract::State<State>`.
pub type State = Arc<Core>;

/// The HTTP door.
pub struct Http;

#[async_trait]
impl Door for Http {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn serve(&self, listener: TcpListener, core: Arc<Core>, stop: CancellationToken) -> Result<()> {
        let router = router(core.clone(), stop.clone());
        connection::serve(NAME, connection::Speaks::Both, listener, router, core, stop).await
    }
}

/// Every route with what stands around all of them. After `stop` it answers that the server stops.
pub fn router(core: State, stop: CancellationToken) -> Router {
    let routes = api::router()
        .merge(crate::pages::router())
        .fallback(no_such_path)
        .method_not_allowed_fallback(problem::wrong_method);
    layers::around(routes, &core, stop).with_state(core)
}

/// A path that is none of ours: people get a page, programs a problem.
async fn no_such_path(headers: HeaderMap, uri: Uri) -> Response {
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match accepted.contains("text/html") && !uri.path().starts_with("/v1/") {
        true => crate::pages::no_such_page(&uri),
        false => problem::no_such_path(&uri).into_response(),
    }
}
