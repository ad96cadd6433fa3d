//! One engine a process: memory, spill, caches, and the state that every session is cloned from.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

use chrono_tz::Tz;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::context::SessionState;
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::optimizer::eliminate_join::EliminateJoin;
use datafusion::optimizer::{Analyzer, Optimizer};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::prelude::SessionConfig;
use laguna_base::{Error, Instant, Result};
use laguna_store::Lake;

use crate::absent::Absent;
use crate::catalog::{CATALOG, LOCAL};
use crate::groups::GroupedOnce;
use crate::kept::{NamesApart, NothingConstant};
use crate::{Access, Session, Surroundings, Tables, functions, translate};

/// Share of the machine's memory that statements may use together, when nothing is said.
const MEMORY_SHARE: f64 = 0.6;

/// Limits of an engine.
#[derive(Debug, Clone, Default)]
pub struct EngineOptions {
    /// Bytes that all statements together may hold before they spill; default 60 % of the machine's.
    pub memory: Option<u64>,
    /// Partitions that a statement is split into; default the number of cores.
    pub parallel: Option<usize>,
}

/// What all sessions of a process share. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    lake: Lake,
    /// Built once: assembling the function registry and the rules costs milliseconds, a clone microseconds.
    base: Arc<SessionState>,
    zone: Tz,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("lake", &self.lake).finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine over `lake`.
    pub fn new(lake: Lake, options: EngineOptions) -> Result<Engine> {
        let memory = options.memory.unwrap_or_else(|| (machine_memory() as f64 * MEMORY_SHARE) as u64);
        let pool =
            TrackConsumersPool::new(FairSpillPool::new(memory as usize), NonZeroUsize::MIN.saturating_add(4));
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(pool))
            .build_arc()
            .map_err(|error| Error::internal("the query engine cannot start").caused_by(error))?;
        let url = laguna_store::scan::object_store_url();
        runtime.register_object_store(url.as_ref(), lake.objects().clone());
        let cores = std::thread::available_parallelism().map_or(2, NonZeroUsize::get);
        let mut rules = PhysicalOptimizer::default().rules;
        rules.insert(0, Arc::new(NothingConstant));
        let moves =
            |rule: &Arc<dyn PhysicalOptimizerRule + Send + Sync>| rule.name().starts_with("FilterPushdown");
        let rules = rules.into_iter().flat_map(|rule| match moves(&rule) {
            true => vec![Arc::new(NamesApart) as _, rule],
            false => vec![rule],
        });
        let rules = rules.collect();
        let mut analyzers = Analyzer::new().rules;
        analyzers.insert(0, Arc::new(Absent));
        let mut optimizers = Optimizer::new().rules;
        if let Some(at) = optimizers.iter().position(|rule| rule.name() == "eliminate_duplicated_expr") {
            optimizers[at] = Arc::new(GroupedOnce);
        }
        // An outer join that became an inner one may have a condition that never holds, which the rules that follow lose.
        if let Some(at) = optimizers.iter().position(|rule| rule.name() == "eliminate_outer_join") {
            optimizers.insert(at + 1, Arc::new(EliminateJoin::new()));
        }
        let mut state = SessionStateBuilder::new()
            .with_config(config(options.parallel.unwrap_or(cores).max(1)))
            .with_runtime_env(runtime)
            .with_default_features()
            .with_analyzer_rules(analyzers)
            .with_optimizer_rules(optimizers)
            .with_physical_optimizer_rules(rules)
            .build();
        functions::register(&mut state).map_err(translate)?;
        Ok(Engine { lake, base: Arc::new(state), zone: Tz::UTC })
    }

    /// The zone in which `FOR TIMESTAMP AS OF '2026-11-22'` and the like are read; default UTC.
    pub fn with_timezone(mut self, zone: Tz) -> Engine {
        self.zone = zone;
        self
    }

    /// The lake that sessions read.
    pub fn lake(&self) -> &Lake {
        &self.lake
    }

    /// A session in which names mean what `tables` says and `now()` answers `now`.
    pub fn session(&self, tables: Arc<dyn Tables>, now: Instant) -> Session {
        self.session_for(tables, now, &Access::everything())
    }

    /// A session of a reader who sees no more than `access` allows: what else there is does not exist in it.
    pub fn session_for(&self, tables: Arc<dyn Tables>, now: Instant, access: &Access) -> Session {
        Session::new(self.lake.clone(), self.base.clone(), tables, now, self.zone, access, None)
    }

    /// A session as [`Engine::session_for`] makes, with what the clients of a protocol expect around the lake.
    pub fn session_in(
        &self,
        tables: Arc<dyn Tables>,
        now: Instant,
        access: &Access,
        around: Arc<Surroundings>,
    ) -> Session {
        Session::new(self.lake.clone(), self.base.clone(), tables, now, self.zone, access, Some(around))
    }

    /// A state without any names, for plans that are made by hand.
    pub fn state(&self) -> SessionState {
        self.base.as_ref().clone()
    }
}

fn config(partitions: usize) -> SessionConfig {
    let mut config = SessionConfig::new()
        .with_default_catalog_and_schema(CATALOG, LOCAL)
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(true)
        .with_target_partitions(partitions)
        .with_batch_size(8192);
    let options = config.options_mut();
    options.sql_parser.dialect = datafusion::config::Dialect::PostgreSQL;
    options.sql_parser.collect_spans = true;
    // Stored instants are UTC; `now()` and `timestamptz` must meet them without a cast.
    options.execution.time_zone = Some("UTC".to_string());
    // Each scan decides for itself.
    options.execution.parquet.pushdown_filters = false;
    options.execution.parquet.enable_page_index = true;
    options.execution.parquet.bloom_filter_on_read = true;
    config
}

/// Bytes of memory that this process may use: the machine's, or its control group's where that is less.
fn machine_memory() -> u64 {
    const FALLBACK: u64 = 4 << 30;
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kibibytes| kibibytes << 10)
    });
    let group = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .iter()
        .find_map(|path| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok());
    match (machine, group) {
        (Some(machine), Some(group)) => machine.min(group),
        (Some(bytes), None) | (None, Some(bytes)) => bytes,
        (None, None) => FALLBACK,
    }
}
