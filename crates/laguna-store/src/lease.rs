//! One writer at a time: leases by name, on a local folder by `flock`.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use laguna_base::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::Lake;
use crate::durable::create_folders;
use crate::lake::io_error;

/// How often a waiting writer looks again.
const POLL: Duration = Duration::from_millis(50);

/// Held while this value lives; released when it is dropped or the process dies.
#[derive(Debug)]
pub struct Lease {
    _held: Held,
}

#[derive(Debug)]
enum Held {
    /// The lock lives as long as the open file.
    File(#[expect(dead_code, reason = "kept open for its lock")] File),
    Memory {
        name: String,
        leases: Arc<Mutex<HashMap<String, String>>>,
    },
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Held::Memory { name, leases } = self {
            leases.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        }
    }
}

/// Who holds a lease: the content of its file.
#[derive(Debug, Serialize, Deserialize)]
struct Holder {
    holder: String,
    process: u32,
    host: String,
    since: String,
}

impl Lake {
    /// Takes the lease `name` (`run`, or a table). With `wait` it waits for its holder; else a
    /// [`laguna_base::ErrorKind::Conflict`] that says who holds it (run id, process, host, since when).
    pub async fn lease(&self, name: &str, holder: &str, wait: bool) -> Result<Lease> {
        if name.is_empty() || name.contains(['/', '\\']) || name.starts_with('.') {
            return Err(Error::internal(format!("`{name}` cannot be the name of a lease")));
        }
        let text = serde_json::to_string(&Holder {
            holder: holder.to_string(),
            process: std::process::id(),
            host: host(),
            since: self.clock().now().to_string(),
        })
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
                None => self.lock_in_memory(name, &text),
            };
            match taken {
                Ok(held) => return Ok(Lease { _held: held }),
                Err(other) if !wait => {
                    return Err(Error::conflict(format!("`{name}` is held by {other}"))
                        .hint("wait until it has finished, or stop it"));
                }
                Err(other) => {
                    if !told {
                        tracing::info!(lease = name, holder = other, "waiting for a lease");
                        told = true;
                    }
                    tokio::time::sleep(POLL).await;
                }
            }
        }
    }

    fn lock_in_memory(&self, name: &str, text: &str) -> std::result::Result<Held, String> {
        let mut leases = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
        match leases.get(name) {
            Some(other) => Err(describe(other)),
            None => {
                leases.insert(name.to_string(), text.to_string());
                Ok(Held::Memory { name: name.to_string(), leases: self.leases.clone() })
            }
        }
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
            let mut other = String::new();
            let _ = file.read_to_string(&mut other);
            Ok(Err(describe(&other)))
        }
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

fn describe(text: &str) -> String {
    match serde_json::from_str::<Holder>(text) {
        Ok(Holder { holder, process, host, since }) => {
            format!("{holder} (process {process} on {host}, since {since})")
        }
        Err(_) => "another process".to_string(),
    }
}

fn host() -> String {
    let named = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .or_else(|_| std::fs::read_to_string("/etc/hostname"))
        .map(|text| text.trim().to_string())
        .unwrap_or_default();
    if named.is_empty() { "localhost".to_string() } else { named }
}
