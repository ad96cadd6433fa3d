//! A lease on an object store: numbered epochs, each taken by one put-if-absent, the one promise that every store
//! keeps.
//!
//! `_laguna/leases/<name>/<epoch>.json` says who took it; the holder writes `<epoch>.alive` again and again, and
//! `<epoch>.free` at its end. Who finds the newest epoch free, its process dead, or its sign of life older than the
//! lease lasts (both times by the store's clock) takes the next epoch. The epoch is the fencing number: its holder
//! looks for a successor before each commit, and each commit carries it as an application transaction, so that a
//! writer that slept through its lease cannot commit after its successor.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use laguna_base::{Error, Result};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt};

use super::Holder;
use crate::durable::TEMPORARY;
use crate::{Lake, objects};

/// Epochs that are kept for people to look at.
const KEPT: u64 = 3;

/// A lease as its holder knows it.
#[derive(Debug)]
pub(crate) struct Fence {
    name: String,
    epoch: u64,
    lost: AtomicBool,
}

/// The held lease; ends when dropped.
#[derive(Debug)]
pub(super) struct HeldEpoch {
    lake: Lake,
    fence: Arc<Fence>,
    renewal: tokio::task::JoinHandle<()>,
    released: bool,
}

/// What the store holds of one epoch.
#[derive(Debug, Default)]
struct Seen {
    taken: Option<ObjectMeta>,
    alive: Option<ObjectMeta>,
    free: bool,
}

/// Takes the lease, or says who has it.
pub(super) async fn take(
    lake: &Lake,
    name: &str,
    holder: &Holder,
) -> Result<std::result::Result<HeldEpoch, String>> {
    let seen = look(lake, name).await?;
    let last = seen.last_key_value();
    if let Some((epoch, state)) = last
        && !state.free
        && let Some(taken) = &state.taken
    {
        let other = objects::get_json::<Holder>(lake, &taken.location).await?;
        let dead = other.as_ref().and_then(Holder::is_alive) == Some(false);
        if !dead {
            let sign = state.alive.as_ref().unwrap_or(taken).last_modified;
            let silent = (store_time(lake).await? - sign).to_std().unwrap_or_default();
            if silent < lake.lease_timeout() {
                let other = other.map_or_else(|| "another process".to_string(), |other| other.to_string());
                return Ok(Err(other));
            }
            tracing::warn!(lease = name, epoch, ?silent, "a lease has expired: it is taken over");
        }
    }
    let epoch = last.map_or(1, |(epoch, _)| epoch + 1);
    if !objects::put_json_if_absent(lake, &path(name, epoch, "json"), holder).await? {
        return Ok(Err("another process, which was faster".to_string()));
    }
    // From here on it is ours, and given back on every way out.
    let fence = Arc::new(Fence { name: name.to_string(), epoch, lost: AtomicBool::new(false) });
    lake.fences.lock().unwrap_or_else(PoisonError::into_inner).push(fence.clone());
    let renewal = tokio::spawn(renew(lake.clone(), fence.clone()));
    let held = HeldEpoch { lake: lake.clone(), fence, renewal, released: false };
    // Between the look and the put others may have taken this epoch, given it back, and cleaned it away.
    if look(lake, name).await?.keys().any(|other| *other > epoch) {
        objects::delete(lake, &path(name, epoch, "json")).await?;
        return Ok(Err("another process, which was faster".to_string()));
    }
    let old = seen.keys().filter(|old| **old + KEPT <= epoch);
    if let Err(error) = forget(lake, name, old).await {
        tracing::warn!(lease = name, %error, "old epochs of a lease could not be cleaned away");
    }
    Ok(Ok(held))
}

/// Cleans epochs away, the oldest first: a holder whose successor is gone finds that its own epoch is gone too.
async fn forget(lake: &Lake, name: &str, epochs: impl Iterator<Item = &u64>) -> Result<()> {
    for epoch in epochs {
        for kind in ["alive", "free", "json"] {
            objects::delete(lake, &path(name, *epoch, kind)).await?;
        }
    }
    Ok(())
}

async fn look(lake: &Lake, name: &str) -> Result<BTreeMap<u64, Seen>> {
    let folder = Path::from(format!("_laguna/leases/{name}"));
    let found: Vec<ObjectMeta> = lake
        .objects()
        .list(Some(&folder))
        .try_collect()
        .await
        .map_err(|error| lake.read_error(folder.as_ref(), error))?;
    let mut epochs: BTreeMap<u64, Seen> = BTreeMap::new();
    for object in found {
        let Some((epoch, kind)) = object.location.filename().and_then(|file| file.split_once('.')) else {
            continue;
        };
        let Ok(epoch) = epoch.parse() else { continue };
        let seen = epochs.entry(epoch).or_default();
        match kind {
            "json" => seen.taken = Some(object),
            "alive" => seen.alive = Some(object),
            "free" => seen.free = true,
            _ => {}
        }
    }
    // A sign of life without its epoch is the last word of a holder that was cleaned away.
    epochs.retain(|_, seen| seen.taken.is_some());
    Ok(epochs)
}

/// What time it is at the store, whose clock dates all objects.
pub(crate) async fn store_time(lake: &Lake) -> Result<DateTime<Utc>> {
    let path = Path::from(format!("{TEMPORARY}/clock-{}", uuid::Uuid::now_v7().simple()));
    let failed = |error| lake.write_error(path.as_ref(), error);
    lake.objects().put(&path, "".into()).await.map_err(failed)?;
    let time = lake.objects().head(&path).await.map_err(failed)?.last_modified;
    objects::delete(lake, &path).await?;
    Ok(time)
}

fn path(name: &str, epoch: u64, kind: &str) -> Path {
    Path::from(format!("_laguna/leases/{name}/{epoch:020}.{kind}"))
}

async fn renew(lake: Lake, fence: Arc<Fence>) {
    let pause = (lake.lease_timeout() / 6).max(Duration::from_millis(20));
    while !fence.lost.load(Ordering::SeqCst) {
        tokio::time::sleep(pause).await;
        let time = lake.clock().now().to_string();
        if let Err(error) = lake.objects().put(&path(&fence.name, fence.epoch, "alive"), time.into()).await {
            tracing::warn!(lease = fence.name, %error, "a lease could not be renewed");
        }
        if let Err(error) = fence.check(&lake).await {
            tracing::warn!(lease = fence.name, %error, "a lease may be lost");
        }
    }
}

impl Fence {
    /// Application transaction that carries the epoch in each commit, and the epoch.
    pub(crate) fn transaction(&self) -> (String, i64) {
        (format!("laguna/lease/{}", self.name), self.epoch as i64)
    }

    /// An error when another process has taken the lease over.
    pub(crate) async fn check(&self, lake: &Lake) -> Result<()> {
        if !self.lost.load(Ordering::SeqCst) {
            // Successors may have come, gone, and been cleaned away together with this epoch.
            if look(lake, &self.name).await?.keys().next_back() == Some(&self.epoch) {
                return Ok(());
            }
            self.lost.store(true, Ordering::SeqCst);
        }
        Err(self.taken_over())
    }

    pub(crate) fn taken_over(&self) -> Error {
        Error::conflict(format!("the lease `{}` was taken over by another process", self.name)).hint(
            "this one was silent for too long, and writes nothing more; look at what the other one does",
        )
    }
}

impl HeldEpoch {
    pub(super) async fn release(mut self) {
        self.end();
        free(&self.lake, &self.fence).await;
    }

    fn end(&mut self) {
        self.released = true;
        self.renewal.abort();
        let mut fences = self.lake.fences.lock().unwrap_or_else(PoisonError::into_inner);
        fences.retain(|fence| !Arc::ptr_eq(fence, &self.fence));
    }
}

impl Drop for HeldEpoch {
    fn drop(&mut self) {
        if self.released {
            return;
        }
        self.end();
        let (lake, fence) = (self.lake.clone(), self.fence.clone());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { free(&lake, &fence).await });
        }
    }
}

async fn free(lake: &Lake, fence: &Fence) {
    if let Err(error) = lake.objects().put(&path(&fence.name, fence.epoch, "free"), "".into()).await {
        tracing::warn!(lease = fence.name, %error, "a lease could not be given back: it expires by itself");
    }
}
