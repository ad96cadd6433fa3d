//! Crashes on request: with `LAGUNA_KILL_POINT=n` the process dies at its n-th step of writing to a local lake.
//!
//! Steps stand before and after each write that can become visible, so that a test can die between every two of them.
//! The process ends as by `kill -9`: nothing is flushed, no destructor runs.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};

/// Name of the environment variable.
pub const VARIABLE: &str = "LAGUNA_KILL_POINT";

/// Counts steps; 0 means never.
#[derive(Debug, Default)]
pub(crate) struct KillPoint {
    at: u64,
    passed: AtomicU64,
}

impl KillPoint {
    /// As the environment asks.
    pub(crate) fn from_environment() -> KillPoint {
        let at = std::env::var(VARIABLE).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
        KillPoint { at, passed: AtomicU64::new(0) }
    }

    /// One step, called `name` in what is printed before the process dies.
    pub(crate) fn step(&self, name: &str, what: &impl std::fmt::Display) {
        if self.at > 0 && self.passed.fetch_add(1, Ordering::SeqCst) + 1 == self.at {
            let _ = writeln!(std::io::stderr().lock(), "kill point {}: {name} {what}", self.at);
            std::process::abort();
        }
    }
}
