//! What clients come back for by a handle: planned statements, prepared ones, transactions. Each user has room for so many
//! things, and what is not used for a while is thrown away.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant as Stopwatch};

/// Things by owner and handle. A handle means nothing to anybody but its owner.
pub(super) struct Shelf<T> {
    life: Duration,
    room: usize,
    owners: Mutex<HashMap<String, HashMap<String, Thing<T>>>>,
}

struct Thing<T> {
    value: Arc<T>,
    used: Stopwatch,
    /// Its owner is not expected to come back: it goes first when there is no room.
    spent: bool,
}

impl<T> Shelf<T> {
    /// A shelf with `room` for things of each owner, which go when they were not used for `life`.
    pub(super) fn new(life: Duration, room: usize) -> Shelf<T> {
        Shelf { life, room, owners: Mutex::default() }
    }

    /// Puts something there. Without room the thing that was not used for longest goes.
    pub(super) fn put(&self, owner: &str, handle: String, value: Arc<T>) {
        let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        let things = owners.entry(owner.to_string()).or_default();
        if things.len() >= self.room
            && let Some(oldest) = things
                .iter()
                .min_by_key(|(_, thing)| (!thing.spent, thing.used))
                .map(|(handle, _)| handle.clone())
        {
            things.remove(&oldest);
        }
        things.insert(handle, Thing { value, used: Stopwatch::now(), spent: false });
    }

    /// What `owner` has put there as `handle`; it counts as used.
    pub(super) fn get(&self, owner: &str, handle: &[u8]) -> Option<Arc<T>> {
        let handle = std::str::from_utf8(handle).ok()?;
        let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        let thing = owners.get_mut(owner)?.get_mut(handle)?;
        if thing.used.elapsed() >= self.life {
            return None;
        }
        thing.used = Stopwatch::now();
        Some(thing.value.clone())
    }

    /// Takes something away.
    pub(super) fn take(&self, owner: &str, handle: &[u8]) -> Option<Arc<T>> {
        let handle = std::str::from_utf8(handle).ok()?;
        let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        let thing = owners.get_mut(owner)?.remove(handle)?;
        (thing.used.elapsed() < self.life).then_some(thing.value)
    }

    /// Says that the owner has got what it came for.
    pub(super) fn spent(&self, owner: &str, handle: &str) {
        let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thing) = owners.get_mut(owner).and_then(|things| things.get_mut(handle)) {
            thing.spent = true;
        }
    }

    /// Throws away what nobody has used for too long.
    pub(super) fn sweep(&self) {
        let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        owners.retain(|_, things| {
            things.retain(|_, thing| thing.used.elapsed() < self.life);
            !things.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    fn put(shelf: &Shelf<u8>, owner: &str, handle: &str) {
        shelf.put(owner, handle.to_string(), Arc::new(1));
    }

    #[test]
    fn a_handle_means_nothing_to_others() {
        let shelf = Shelf::new(LONG, 8);
        put(&shelf, "ana", "a");
        assert!(shelf.get("bob", b"a").is_none());
        assert!(shelf.take("bob", b"a").is_none());
        assert!(shelf.get("ana", b"a").is_some());
        assert!(shelf.get("ana", b"\xff").is_none());
        assert!(shelf.take("ana", b"a").is_some());
        assert!(shelf.take("ana", b"a").is_none());
    }

    #[test]
    fn one_owner_has_so_much_room_and_takes_none_from_others() {
        let shelf = Shelf::new(LONG, 2);
        put(&shelf, "bob", "b");
        for handle in ["1", "2"] {
            put(&shelf, "ana", handle);
        }
        shelf.spent("ana", "2");
        put(&shelf, "ana", "3");
        assert!(shelf.get("ana", b"2").is_none(), "what was fetched goes first");
        assert!(shelf.get("ana", b"1").is_some());
        put(&shelf, "ana", "4");
        assert!(shelf.get("ana", b"3").is_none(), "then what was not used for longest");
        assert!(shelf.get("bob", b"b").is_some());
    }

    #[test]
    fn what_is_too_old_is_gone() {
        let shelf = Shelf::new(Duration::ZERO, 2);
        put(&shelf, "ana", "a");
        assert!(shelf.get("ana", b"a").is_none());
        shelf.sweep();
        assert!(shelf.owners.lock().unwrap().is_empty());
    }
}
