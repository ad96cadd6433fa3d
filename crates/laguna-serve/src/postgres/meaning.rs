//! What PostgreSQL means where the engine, for the same words, means something else: casts to integers round, literals
//! take the type of what they are compared with, times change zones, patterns of times are PostgreSQL's.

use std::sync::Arc;

use datafusion::logical_expr::ScalarUDF;
use datafusion::logical_expr::planner::ExprPlanner;

mod integers;
mod intervals;
mod literals;
mod to_char;
mod zones;

pub(super) use literals::{interval_in_words, with_seconds};
pub(super) use zones::zone;

/// Functions that stand for what PostgreSQL means; [`super::rewrite`] calls them.
pub(super) fn functions() -> Vec<ScalarUDF> {
    let mut functions = integers::functions();
    functions.extend([intervals::times(), zones::at_time_zone(), to_char::to_char()]);
    functions
}

/// What decides by the types of both sides what an operator means.
pub(super) fn planner() -> Arc<dyn ExprPlanner> {
    Arc::new(literals::Operators { times: Arc::new(intervals::times()) })
}
