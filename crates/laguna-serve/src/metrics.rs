//! Numbers about the process, in Prometheus' text format.

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// Labels of what is counted by door and outcome.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Statement {
    /// The door.
    pub door: &'static str,
    /// `ok`, or the word of the error's kind.
    pub outcome: &'static str,
}

/// Labels of what is counted by door alone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByDoor {
    /// The door.
    pub door: &'static str,
}

/// All numbers. Cheap to clone: clones count together.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Statements that ended.
    pub statements: Family<Statement, Counter>,
    /// Seconds from a statement's arrival to its last row.
    pub seconds: Family<ByDoor, Histogram>,
    /// Rows given out.
    pub rows: Family<ByDoor, Counter>,
    /// Statements that are running.
    pub running: Gauge,
    /// Statements that wait for others to end.
    pub waiting: Gauge,
    /// Answers from the kept results.
    pub cache_hits: Counter,
    /// Answers that had to be computed.
    pub cache_misses: Counter,
    /// Bytes of kept results.
    pub cache_bytes: Gauge,
    /// Open connections.
    pub connections: Family<ByDoor, Gauge>,
    /// Logins that were refused.
    pub refused: Family<ByDoor, Counter>,
    /// Statements and refused logins that the record in the lake lacks.
    pub unrecorded: Counter,
    /// Background tasks that died and were started again.
    pub restarts: Counter,
    /// Requests whose handler died.
    pub panics: Counter,
    registry: std::sync::Arc<Registry>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("laguna");
        let statements = Family::<Statement, Counter>::default();
        registry.register("statements", "statements that ended", statements.clone());
        let seconds = Family::<ByDoor, Histogram>::new_with_constructor(|| {
            Histogram::new(exponential_buckets(0.0005, 2.0, 18))
        });
        registry.register("statement_seconds", "from a statement's arrival to its last row", seconds.clone());
        let rows = Family::<ByDoor, Counter>::default();
        registry.register("rows", "rows given out", rows.clone());
        let (running, waiting) = (Gauge::default(), Gauge::default());
        registry.register("statements_running", "statements that are running", running.clone());
        registry.register("statements_waiting", "statements that wait for others to end", waiting.clone());
        let (cache_hits, cache_misses, cache_bytes) =
            (Counter::default(), Counter::default(), Gauge::default());
        registry.register("cache_hits", "answers from the kept results", cache_hits.clone());
        registry.register("cache_misses", "answers that had to be computed", cache_misses.clone());
        registry.register("cache_bytes", "bytes of kept results", cache_bytes.clone());
        let connections = Family::<ByDoor, Gauge>::default();
        registry.register("connections", "open connections", connections.clone());
        let refused = Family::<ByDoor, Counter>::default();
        registry.register("logins_refused", "logins that were refused", refused.clone());
        let unrecorded = Counter::default();
        registry.register(
            "statements_unrecorded",
            "statements and refused logins that the record in the lake lacks",
            unrecorded.clone(),
        );
        let restarts = Counter::default();
        registry.register("restarts", "background tasks that died and were started again", restarts.clone());
        let panics = Counter::default();
        registry.register("panics", "requests whose handler died", panics.clone());
        Metrics {
            statements,
            seconds,
            rows,
            running,
            waiting,
            cache_hits,
            cache_misses,
            cache_bytes,
            connections,
            refused,
            unrecorded,
            restarts,
            panics,
            registry: std::sync::Arc::new(registry),
        }
    }
}

impl Metrics {
    /// All numbers as OpenMetrics text.
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a text never fails.
        let _ = text::encode(&mut out, &self.registry);
        out
    }
}
