//! How each check of a suite was answered.

use arrow::datatypes::SchemaRef;
use serde::Serialize;

use crate::set_query::SetQuery;
use crate::spec::CheckSpec;
use crate::suite::Suite;

/// How a check was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Answered {
    /// By the schema and the number of rows, which the log or the file's footer knows.
    Statistics,
    /// By what earlier checks have accumulated of the same files: no row was read for it.
    Kept,
    /// In the one pass over the rows, shared with the other checks.
    Pass,
    /// By the query over what the pass left open, shared with the other checks that need a grouping.
    Query,
}

impl Answered {
    /// For people.
    pub fn as_str(self) -> &'static str {
        match self {
            Answered::Statistics => "file statistics",
            Answered::Kept => "kept states",
            Answered::Pass => "in the pass",
            Answered::Query => "a query",
        }
    }
}

/// How each of `specs` was answered, when `query` followed the pass over rows of `schema`.
pub fn explain(specs: &[CheckSpec], schema: &SchemaRef, query: Option<&SetQuery>) -> Vec<Answered> {
    let asked = |at: usize| query.is_some_and(|query| query.parts.iter().any(|part| part.check == at));
    specs
        .iter()
        .enumerate()
        .map(|(at, spec)| {
            if asked(at) {
                return Answered::Query;
            }
            let alone = Suite::compile(std::slice::from_ref(spec), schema);
            if alone.is_ok_and(|suite| suite.needs_no_rows()) { Answered::Statistics } else { Answered::Pass }
        })
        .collect()
}
