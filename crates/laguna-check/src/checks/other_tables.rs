//! This table against another one: as many rows, or the same answers to two queries.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{SelectItem, SetExpr};
use laguna_base::{Error, Result};
use serde_json::{Value, json};

use crate::gather::Need;
use crate::kind::{CheckKind, Form, TABLE, required};
use crate::plan::{Known, LateTest, Plan};
use crate::set_query::{self, Answer};
use crate::sql;
use crate::verdict::{Counted, Observation};

pub(super) const ROW_COUNT: CheckKind = CheckKind {
    name: "expect_table_row_count_to_equal_other_table",
    short: "row_count_as",
    aliases: &["row_count_equal_other_table"],
    main: Some("other_table_name"),
    arguments: &[
        required("other_table_name", Form::OtherTable, "the other table: `tier.table`").or(&["to", "table"])
    ],
    condition: true,
    doc: "The table has as many rows as another one.",
    example: r#"{"row_count_as": "sanitized.airlines"}"#,
    plan: |arguments, _| {
        Ok(Plan::Late(Arc::new(RowCount { other: arguments.required("other_table_name")?.to_string() })))
    },
    ..TABLE
};

pub(super) const SAME_ROWS: CheckKind = CheckKind {
    name: "expect_query_results_to_match_comparison",
    short: "same_rows",
    aliases: &["query_results_match"],
    arguments: &[
        required("base_query", Form::Text, "a SELECT; the table itself is `this`, its columns are named"),
        required(
            "comparison_data_source_name",
            Form::Text,
            "where Great Expectations runs the other query; here both run in the lake",
        ),
        required("comparison_query", Form::Text, "a SELECT with as many columns"),
    ],
    mostly: true,
    doc: "Two queries return the same rows, each as often, in any order; nulls are equal.",
    example: r#"{"same_rows": {"base_query": "SELECT carrier FROM this", "comparison_data_source_name": "lake", "comparison_query": "SELECT carrier FROM sanitized.airlines"}}"#,
    validate: |arguments| {
        for query in ["base_query", "comparison_query"] {
            sql::references(&sql::batch_as_this(arguments.required(query)?))?;
        }
        Ok(())
    },
    plan: |arguments, binding| {
        let base = sql::batch_as_this(arguments.required("base_query")?);
        let comparison = sql::batch_as_this(arguments.required("comparison_query")?);
        let width = binding.schema.fields().len();
        let (left, right) = (columns(&base, width)?, columns(&comparison, width)?);
        if left != right {
            return Err(Error::project(format!(
                "the two queries of `same_rows` return {left} and {right} columns"
            )));
        }
        Ok(Plan::Late(Arc::new(SameRows { base, comparison, width: left })))
    },
    ..TABLE
};

/// How many columns a query returns.
fn columns(text: &str, width: usize) -> Result<usize> {
    let query = sql::parse(text)?;
    let unclear = || {
        Error::project("a query of `same_rows` must name its columns")
            .hint("write SELECT a, b FROM …, without *")
    };
    let SetExpr::Select(select) = query.body.as_ref() else { return Err(unclear()) };
    let mut count = 0;
    for item in &select.projection {
        match item {
            SelectItem::Wildcard(_) if sql::reads_only_this(&query) => count += width,
            SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) => return Err(unclear()),
            _ => count += 1,
        }
    }
    Ok(count)
}

struct RowCount {
    other: String,
}

impl LateTest for RowCount {
    fn needs(&self) -> Vec<Need> {
        Vec::new()
    }

    fn sql(&self, _: &Known<'_>, _: &str) -> Option<String> {
        let name: Vec<String> = self.other.split('.').map(|part| set_query::quote(part.trim())).collect();
        Some(format!("SELECT {} FROM {}", set_query::row("count(*)", "0", &[]), name.join(".")))
    }

    fn judge(&self, known: &Known<'_>, answer: &Answer) -> Result<Observation> {
        let (own, other) = (known.rows, answer.total);
        Ok(Observation {
            observed: json!({"self": own, "other": other}),
            success: own == other,
            message: format!("the table has {own} rows, {} has {other}", self.other),
            ..Observation::default()
        })
    }
}

struct SameRows {
    base: String,
    comparison: String,
    width: usize,
}

impl LateTest for SameRows {
    fn needs(&self) -> Vec<Need> {
        Vec::new()
    }

    fn sql(&self, known: &Known<'_>, _: &str) -> Option<String> {
        let names: Vec<String> = (0..self.width).map(|at| format!("c{at}")).collect();
        let list = names.join(", ");
        let side = |query: &str, base: u8| {
            format!(
                "SELECT {list}, {base} AS b, {} AS c FROM (\n{}\n) AS q({list})",
                1 - base,
                sql::embeddable(query)
            )
        };
        // Rows of both queries in groups of equal ones: how often each side holds them. The first answers are the sums
        // (n = 0: of the first query, 1: of the other, 2: matched), then come rows that one side has more often.
        let groups = format!(
            "SELECT {list}, CAST(sum(b) AS BIGINT) AS b, CAST(sum(c) AS BIGINT) AS c FROM ({} UNION ALL {}) AS both_sides GROUP BY {list}",
            side(&self.base, 1),
            side(&self.comparison, 0)
        );
        let sums = |sum: &str, n: u8| {
            format!(
                "SELECT {} FROM counted",
                set_query::row(&format!("COALESCE(sum({sum}), 0)"), &n.to_string(), &[])
            )
        };
        let texts: Vec<String> = names.iter().map(|name| format!("CAST({name} AS VARCHAR)")).collect();
        let limit = set_query::at_most(known.examples);
        Some(format!(
            "WITH counted AS ({groups}) SELECT * FROM ({} UNION ALL {} UNION ALL {} \
             UNION ALL (SELECT {} FROM counted WHERE b > c LIMIT {limit}) \
             UNION ALL (SELECT {} FROM counted WHERE c > b LIMIT {limit})) AS rows",
            sums("b", 0),
            sums("c", 1),
            sums("CASE WHEN b < c THEN b ELSE c END", 2),
            set_query::row("b - c", "3", &texts),
            set_query::row("c - b", "4", &texts),
        ))
    }

    fn judge(&self, known: &Known<'_>, answer: &Answer) -> Result<Observation> {
        let sum = |n: u64| answer.sums.iter().find(|(kind, _)| *kind == n).map_or(0, |(_, total)| *total);
        let (base, comparison, matched) = (sum(0), sum(1), sum(2));
        let most = base.max(comparison);
        let unexpected = most - matched;
        let percent = if most == 0 { 0.0 } else { (1.0 - matched as f64 / most as f64) * 100.0 };
        let rows = |n: u64| -> Vec<Value> {
            let rows = answer.rows.iter().filter(|(kind, _)| *kind == n);
            rows.map(|(_, texts)| json!(texts)).take(known.examples).collect()
        };
        Ok(Observation {
            success: 100.0 - percent >= known.mostly * 100.0,
            observed: Value::from(unexpected),
            message: format!("{unexpected} of {most} rows differ between the two queries"),
            details: json!({"unexpected_percent": percent, "missing_rows": rows(4), "unexpected_rows": rows(3)}),
            counted: Some(Counted { unexpected, examples: rows(3), ..Counted::default() }),
        })
    }
}
