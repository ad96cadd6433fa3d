//! What PostgreSQL means where the engine, for the same words, means something else: casts to integers round, literals
//! take the type of what they are compared with, times change zones, patterns of times are PostgreSQL's.

use std::sync::Arc;

use datafusion::logical_expr::ScalarUDF;
use datafusion::logical_expr::planner::ExprPlanner;

mod alike;
mod casts;
mod integers;
mod intervals;
mod json;
mod lists;
mod literals;
mod numeric;
mod ordered;
mod plain;
mod sleep;
mod text;
mod times;
mod to_char;
pub(super) mod written;
mod zones;

pub(super) use literals::interval_in_words;
pub(super) use times::is_extracted;
pub(super) use zones::zone;

/// Functions that stand for what PostgreSQL means; [`super::rewrite`] calls them.
pub(super) fn functions() -> Vec<ScalarUDF> {
    let mut functions = integers::functions();
    functions.extend([intervals::times(), zones::at_time_zone(), to_char::to_char()]);
    functions.extend(times::functions());
    functions.extend(text::functions());
    functions.extend(lists::functions());
    functions.extend(json::functions());
    functions.extend(alike::functions());
    functions.extend([sleep::sleep(), casts::pg_cast(), casts::to_time(), ordered::ordered()]);
    functions.extend([
        numeric::divide(),
        numeric::multiply(),
        numeric::exact(),
        numeric::mean(),
        numeric::quotient(),
        numeric::round(),
        numeric::trunc(),
    ]);
    functions
}

/// What decides by the types of both sides what an operator means.
pub(super) fn planner() -> Arc<dyn ExprPlanner> {
    let times = Arc::new(intervals::times());
    let [divide, multiply, exact, mean] =
        [numeric::divide(), numeric::multiply(), numeric::exact(), numeric::mean()].map(Arc::new);
    let [quotient, text] = [numeric::quotient(), text::text()].map(Arc::new);
    Arc::new(literals::Operators { times, divide, quotient, multiply, exact, mean, text })
}
