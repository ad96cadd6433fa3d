//! The HTTP door: statements, REST reads of what the lake holds, health, metrics, and the OpenAPI document of it all.
//!
//! One route is one file and one line in [`api::routes`]; the document is made from the same lines. Handlers speak HTTP and
//! nothing else: every statement goes to the desk with the caller whom [`caller::Who`] has found.

pub mod caller;
mod connection;
mod health;
mod layers;
pub mod problem;
pub mod session;

use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::routing::get;
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
        connection::serve(listener, router, core, stop).await
    }
}

/// Every route with what stands around all of them. After `stop` it answers that the server stops.
pub fn router(core: State, stop: CancellationToken) -> Router {
    let routes = Router::new()
        .route("/health", get(health::health))
        .route("/ready", get(health::ready))
        .route("/metrics", get(health::metrics))
        .merge(crate::pages::router())
        .fallback(problem::no_such_path)
        .method_not_allowed_fallback(problem::wrong_method);
    layers::around(routes, &core, stop).with_state(core)
}
