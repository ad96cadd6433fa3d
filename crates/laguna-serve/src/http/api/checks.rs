//! `/v1/checks`: verdicts of checks.

use super::Route;
use super::rows::{self, Listing};

/// `system.checks`, the newest first.
const CHECKS: Listing = Listing { table: "checks", order: "time.desc,run.desc,node" };

pub(super) fn list() -> Route {
    Route {
        tag: "runs",
        summary: "Verdicts of checks, the newest first: rows of `system.checks`.",
        ..rows::listing("listChecks", "/v1/checks", &CHECKS)
    }
}
