//! One writer at a time: leases by name, on a local folder by `flock`, elsewhere by numbered [`epoch`]s.

pub(crate) mod epoch;

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use laguna_base::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::durable::create_folders;
use crate::lake::io_error;
use crate::{Lake, process};
use epoch::{Fence, HeldEpoch};

/// How often a waiting writer looks again.
const POLL: Duration = Duration::from_millis(50);

/// Held while this value lives; released when it is dropped or the process dies.
#[derive(Debug)]
pub struct Lease {
    held: Held,
}

#[derive(Debug)]
enum Held {
    /// The lock lives as long as the open file.
    File(#[expect(dead_code, reason = "kept open for its lock")] File),
    Epoch(Box<HeldEpoch>),
}

impl Lease {
    /// Gives it back and waits until the store knows. Dropping does so in the background.
    pub async fn release(self) {
        if let Held::Epoch(held) = self.held {
            held.release().await;
        }
    }
}

/// Who holds a lease: the content of its object.
#[derive(Debug, Serialize, Deserialize)]
struct Holder {
    /// Unlike any other's.
    #[serde(default)]
    id: String,
    /// The run.
    holder: String,
    /// The process, as [`process::owner`] says.
    owner: String,
    since: String,
}

impl Holder {
    fn is_alive(&self) -> Option<bool> {
        process::is_alive(&self.owner)
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (process, place) = self.owner.split_once('@').unwrap_or((&self.owner, ""));
        let host = place.split('/').next().unwrap_or(place);
        write!(f, "{} (process {process} on {host}, since {})", self.holder, self.since)
    }
}

impl Lake {
    /// Takes the lease `name` (`run`, or a table). With `wait` it waits for its holder; else a
    /// [`laguna_base::ErrorKind::Conflict`] that says who holds it (run id, process, host, since when).
    ///
    /// While it is held on an object store, commits and releases through this handle and its clones are refused as
    /// soon as another process has taken it over.
    pub async fn lease(&self, name: &str, holder: &str, wait: bool) -> Result<Lease> {
        if name.is_empty() || name.contains(['/', '\\']) || name.starts_with('.') {
            return Err(Error::internal(format!("`{name}` cannot be the name of a lease")));
        }
        let holder = Holder {
            id: uuid::Uuid::now_v7().to_string(),
            holder: holder.to_string(),
            owner: process::owner(),
            since: self.clock().now().to_string(),
        };
        let text = serde_json::to_string(&holder)
            .map_err(|error| Error::internal("the holder of a lease cannot be written").caused_by(error))?;
        let mut told = false;
        loop {
            let taken = match self.root() {
                Some(root) => {
                    let path = root.join("_laguna/leases").join(format!("{name}.lock"));
                    let text = text.clone();
                    tokio::task::spawn_blocking(move || lock(path, &text))
                        .await
                        .map_err(|error| Error::internal("taking a lease failed").caused_by(error))??
                }
                None => {
                    self.prepare_for_writing().await?;
                    epoch::take(self, name, &holder).await?.map(|held| Held::Epoch(Box::new(held)))
                }
            };
            match taken {
                Ok(held) => return Ok(Lease { held }),
                Err(other) if !wait => {
                    return Err(Error::conflict(format!("`{name}` is held by {other}"))
                        .hint("wait until it has finished, or stop it"));
                }
                Err(other) => {
                    if !told {
                        tracing::info!(lease = name, holder = other, "waiting for a lease");
                        told = true;
                    }
                    // A store is asked less often than a folder.
                    tokio::time::sleep(POLL * if self.root().is_some() { 1 } else { 10 }).await;
                }
            }
        }
    }

    /// Refuses to go on when a lease that this handle holds was taken over.
    pub(crate) async fn check_fences(&self) -> Result<Vec<Arc<Fence>>> {
        let fences = self.fences.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for fence in &fences {
            fence.check(self).await?;
        }
        Ok(fences)
    }
}

/// The lock, or who has it.
fn lock(path: PathBuf, holder: &str) -> Result<std::result::Result<Held, String>> {
    let failed = |error| io_error(&format!("cannot lock {}", path.display()), error);
    if let Some(folder) = path.parent() {
        create_folders(folder).map_err(failed)?;
    }
    // The file stays for ever: deleting it would let two writers lock two files of one name.
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0).and_then(|()| file.rewind()).map_err(failed)?;
            file.write_all(holder.as_bytes()).map_err(failed)?;
            Ok(Ok(Held::File(file)))
        }
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let _ = file.read_to_string(&mut text);
            let other = serde_json::from_str::<Holder>(&text);
            Ok(Err(other.map_or_else(|_| "another process".to_string(), |other| other.to_string())))
        }
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}
