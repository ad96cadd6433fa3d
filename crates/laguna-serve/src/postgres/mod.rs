//! The Postgres door: PostgreSQL's protocol 3 for BI tools, drivers and psql.
//!
//! The protocol is spoken here; who may read what, limits and the rows themselves are the desk's. SCRAM is the library's.

mod catalog;
mod connection;
mod copy;
mod encode;
mod meaning;
mod message;
mod params;
mod rewrite;
mod startup;
mod statement;
mod types;
mod variables;
mod wire;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use laguna_base::{Error, Result};
use laguna_query::World;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::metrics::ByDoor;
use crate::{Core, Door};

/// Its name everywhere.
pub(super) const NAME: &str = "postgres";
/// Connections at once; PostgreSQL's own default is 100.
const CONNECTIONS: usize = 1000;

/// The door.
#[derive(Debug, Default)]
pub struct Postgres;

/// What the connections of the door share.
struct Shared {
    core: Arc<Core>,
    world: Arc<World>,
    stop: CancellationToken,
    running: Mutex<HashMap<i32, Running>>,
    next: AtomicI32,
}

/// What another connection can end.
struct Running {
    key: u32,
    user: String,
    statement: CancellationToken,
    session: CancellationToken,
}

impl Shared {
    /// The statement of `pid` that runs, if `key` is right.
    fn cancel(&self, pid: i32, key: u32) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = running.get(&pid).filter(|known| known.key == key) {
            known.statement.cancel();
        }
    }

    /// The number of a new session, and what tells it to end.
    fn enter(&self, key: u32, user: &str) -> (i32, CancellationToken) {
        let pid = self.next.fetch_add(1, Ordering::Relaxed) & 0x7fff_ffff;
        let session = CancellationToken::new();
        let running = Running {
            key,
            user: user.to_string(),
            statement: CancellationToken::new(),
            session: session.clone(),
        };
        self.running.lock().unwrap_or_else(PoisonError::into_inner).insert(pid, running);
        (pid, session)
    }

    /// The sessions of a user, by their numbers.
    fn sessions(&self, user: &str) -> Vec<i32> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<i32> =
            running.iter().filter(|(_, known)| known.user == user).map(|(pid, _)| *pid).collect();
        all.sort_unstable();
        all
    }

    /// Ends the statement of a session of `user`, or the session.
    fn end(&self, pid: i32, user: &str, session: bool) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = running.get(&pid).filter(|known| known.user == user) {
            if session {
                known.session.cancel();
            }
            known.statement.cancel();
        }
    }

    /// What cancels the next statement of `pid`.
    fn token(&self, pid: i32) -> CancellationToken {
        let token = CancellationToken::new();
        if let Some(known) = self.running.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&pid) {
            known.statement = token.clone();
        }
        token
    }

    fn leave(&self, pid: i32) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&pid);
    }
}

#[async_trait]
impl Door for Postgres {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn serve(&self, listener: TcpListener, core: Arc<Core>, stop: CancellationToken) -> Result<()> {
        let shared = Arc::new(Shared {
            world: catalog::world(core.project.clone()),
            core,
            stop: stop.clone(),
            running: Mutex::default(),
            next: AtomicI32::new(1000),
        });
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(ended) = connections.join_next(), if !connections.is_empty() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "a connection died");
                    }
                }
                accepted = listener.accept(), if connections.len() < CONNECTIONS => match accepted {
                    Ok((stream, from)) => {
                        connections.spawn(connect(shared.clone(), stream, from));
                    }
                    // Too many open files and the like pass by.
                    Err(error) => {
                        tracing::warn!(%error, "a connection was not accepted");
                        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    }
                }
            }
        }
        while connections.join_next().await.is_some() {}
        Ok(())
    }
}

async fn connect(shared: Arc<Shared>, stream: TcpStream, from: SocketAddr) {
    let open = shared.core.metrics.connections.get_or_create(&ByDoor { door: NAME }).clone();
    open.inc();
    let _closed = Closed(open);
    // Small answers are not to wait for more.
    let _ = stream.set_nodelay(true);
    if let Err(error) = startup::run(&shared, stream, from).await {
        tracing::debug!(%error, %from, "a connection ended");
    }
}

struct Closed(prometheus_client::metrics::gauge::Gauge);

impl Drop for Closed {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The connection broke.
fn lost(error: std::io::Error) -> Error {
    Error::storage("the connection broke").sqlstate("08006").caused_by(error)
}
