//! Rows that a query returns are failures.

use crate::kind::{CheckKind, Form, TABLE, required};
use crate::plan::{Ignore, Plan, RowPlan, Shows};
use crate::sql;

pub(super) const SQL: CheckKind = CheckKind {
    name: "unexpected_rows_expectation",
    short: "sql",
    main: Some("unexpected_rows_query"),
    arguments: &[
        required("unexpected_rows_query", Form::Text, "the query; the table itself is `this`").or(&["query"])
    ],
    doc: "A query returns no rows: those it returns are failures. `SELECT * FROM this WHERE …` is judged row by row in the pass that writes.",
    example: r#"{"sql": "SELECT * FROM this WHERE departures < 0"}"#,
    validate: |arguments| {
        sql::references(&sql::batch_as_this(arguments.required("unexpected_rows_query")?)).map(drop)
    },
    plan: |arguments, binding| {
        let text = sql::batch_as_this(arguments.required("unexpected_rows_query")?);
        Ok(match sql::row_test(&text, binding)? {
            // A row that fails is shown whole.
            Some(test) => Plan::Row(RowPlan {
                columns: (0..binding.schema.fields().len()).collect(),
                ignore: Ignore::Never,
                shows: Shows::Row,
                test,
                says: "are returned by the query".to_string(),
            }),
            None => Plan::Sql { text },
        })
    },
    ..TABLE
};
