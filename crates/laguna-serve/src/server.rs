//! The process: opens the doors, watches over them, and stops without losing what runs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use laguna_base::{Error, ErrorKind, Result};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{Core, Door, Settings};

/// How long doors may take to end their connections once nothing runs any more.
const FAREWELL: Duration = Duration::from_secs(2);

/// How often a new release is looked for before anybody asks.
const REFRESH: Duration = Duration::from_secs(1);

/// Doors that listen, before anybody is let in.
pub struct Server {
    core: Arc<Core>,
    doors: Vec<(Arc<dyn Door>, TcpListener)>,
    grace: Duration,
}

impl Server {
    /// Binds every door of `settings`; the first that cannot be bound is the error.
    pub async fn bind(core: Core, settings: &Settings, known: Vec<Arc<dyn Door>>) -> Result<Server> {
        let mut doors = Vec::new();
        for (name, address) in &settings.doors {
            let Some(door) = known.iter().find(|door| door.name() == *name) else { continue };
            let listener = TcpListener::bind(address).await.map_err(|error| {
                Error::storage(format!("the door `{name}` cannot listen on {address}"))
                    .caused_by(error)
                    .hint(format!("another program may use the port: set `serve: {{{name}: …}}`, or port 0"))
            })?;
            doors.push((door.clone(), listener));
        }
        Ok(Server { core: Arc::new(core), doors, grace: settings.grace })
    }

    /// Where each door listens.
    pub fn addresses(&self) -> Vec<(&'static str, SocketAddr)> {
        let address = |(door, listener): &(Arc<dyn Door>, TcpListener)| {
            listener.local_addr().ok().map(|address| (door.name(), address))
        };
        self.doors.iter().filter_map(address).collect()
    }

    /// Serves until `stop`. A door that dies is the error, and takes the others with it.
    pub async fn run(self, stop: CancellationToken) -> Result<()> {
        let mut tasks = JoinSet::new();
        // A door that dies stops the others too, in the same way as a signal.
        let stop = stop.child_token();
        for (door, listener) in self.doors {
            let (core, stop) = (Arc::new(self.core.of(door.name())), stop.clone());
            tasks.spawn(async move {
                let name = door.name();
                let served = tokio::spawn(async move { door.serve(listener, core, stop).await }).await;
                match served {
                    Ok(outcome) => (name, outcome),
                    Err(died) => {
                        (name, Err(Error::internal(format!("the door `{name}` died")).caused_by(died)))
                    }
                }
            });
        }
        let refreshing = tokio::spawn(refresh(self.core.clone()));
        let mut outcome = Ok(());
        tokio::select! {
            () = stop.cancelled() => {}
            Some(ended) = tasks.join_next() => {
                outcome = match ended {
                    Ok((name, Ok(()))) if !stop.is_cancelled() => {
                        Err(Error::internal(format!("the door `{name}` ended by itself")))
                    }
                    Ok((_, ended)) => ended,
                    Err(died) => Err(Error::internal("a door died").caused_by(died)),
                };
                stop.cancel();
            }
        }
        refreshing.abort();
        let desk = &self.core.desk;
        if tokio::time::timeout(self.grace, desk.idle()).await.is_err() {
            desk.end();
        }
        let _ = tokio::time::timeout(FAREWELL, async { while tasks.join_next().await.is_some() {} }).await;
        outcome
    }
}

/// Looks for new releases for as long as it is let. A look that fails is told once, one that dies is counted.
async fn refresh(core: Arc<Core>) {
    let mut failing = false;
    loop {
        tokio::time::sleep(REFRESH).await;
        let outcome = core.desk.refresh().await;
        match &outcome {
            Err(error) if error.kind() == ErrorKind::Internal => drop(core.metrics.restarts.inc()),
            Err(error) if !failing => tracing::warn!(%error, "the newest release cannot be read"),
            _ => {}
        }
        failing = outcome.is_err();
    }
}

#[cfg(test)]
mod tests;
