//! Which process owns a run or a lease, and whether it still lives.

use std::fs;

/// This process as an owner: `<pid>@<host>/<start>-<boot>`, where `start` is its start time in clock ticks
/// since the machine's boot and `boot` names that boot, so that a later process with the same number is not taken
/// for it. Without `/proc` it is `<pid>@<host>`.
pub fn owner() -> String {
    let id = std::process::id();
    let host = host();
    match (start(id), boot()) {
        (Some(start), Some(boot)) => format!("{id}@{host}/{start}-{boot}"),
        _ => format!("{id}@{host}"),
    }
}

/// Whether the owner lives; `None` where that cannot be told from here.
pub(crate) fn is_alive(owner: &str) -> Option<bool> {
    let (id, place) = owner.split_once('@')?;
    let id: u32 = id.parse().ok()?;
    let (its_host, mark) = match place.split_once('/') {
        Some((host, mark)) => (host, Some(mark)),
        None => (place, None),
    };
    if its_host != host() || boot().is_none() {
        return None;
    }
    let running = start(id);
    let Some((its_start, its_boot)) = mark.and_then(|mark| mark.split_once('-')) else {
        return Some(running.is_some());
    };
    let its_start: u64 = its_start.parse().ok()?;
    Some(boot().as_deref() == Some(its_boot) && running == Some(its_start))
}

fn host() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .or_else(|| std::env::var("HOSTNAME").ok())
        .map(|host| host.trim().to_string())
        .filter(|host| !host.is_empty())
        .unwrap_or_else(|| "localhost".to_string())
}

fn boot() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    id.get(..8).map(str::to_string)
}

/// When process `id` started, in clock ticks since boot (field 22 of `/proc/<id>/stat`, see proc(5)); `None` when
/// there is none or it is a zombie.
fn start(id: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The second field is the command in parentheses and may hold anything, even parentheses.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}
