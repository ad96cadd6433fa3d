//! What a door is, what all doors share, and the list of them.

use std::sync::Arc;

use async_trait::async_trait;
use laguna_base::Result;
use laguna_model::Project;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::{Desk, Identities, Tls};

/// What all doors share.
pub struct Core {
    /// Where statements are answered.
    pub desk: Desk,
    /// Who may come in.
    pub identities: Identities,
    /// Numbers about the process.
    pub metrics: Metrics,
    /// Certificate and key; `None` without TLS.
    pub tls: Option<Tls>,
    /// The project as its files are now: descriptions, owners, tags, the graph.
    pub project: watch::Receiver<Arc<Project>>,
}

impl Core {
    /// The same as `door` sees it: whom it refuses is counted and recorded as its own.
    pub(crate) fn of(&self, door: &'static str) -> Core {
        Core {
            desk: self.desk.clone(),
            identities: self.identities.at(door),
            metrics: self.metrics.clone(),
            tls: self.tls.clone(),
            project: self.project.clone(),
        }
    }
}

/// One protocol.
#[async_trait]
pub trait Door: Send + Sync {
    /// Its name in settings, metrics and the record of statements.
    fn name(&self) -> &'static str;

    /// Serves connections until `stop`; then takes no new ones, ends idle ones, lets running statements finish and returns.
    /// What ends a single connection must not end the door.
    async fn serve(&self, listener: TcpListener, core: Arc<Core>, stop: CancellationToken) -> Result<()>;
}
