//! The most common value is among a list.

use std::sync::Arc;

use laguna_base::{Error, Result};
use serde_json::Value;

use crate::gather::Need;
use crate::gather::counts::Counts;
use crate::kind::{AGGREGATE, COLUMN, CheckKind, Form, optional, required};
use crate::plan::{Known, LateTest, Plan};
use crate::set_query::{self, Answer};
use crate::value::{self, json_of_text};
use crate::verdict::Observation;
use crate::words::word;

pub(super) const MOST_COMMON: CheckKind = CheckKind {
    name: "expect_column_most_common_value_to_be_in_set",
    short: "most_common",
    aliases: &["most_common_value"],
    main: Some("value_set"),
    arguments: &[
        COLUMN,
        required("value_set", Form::Values, "the list of values").or(&["values", "set"]),
        optional(
            "ties_okay",
            Form::Flag,
            "whether of several that are equally common one in the list is enough; else a tie fails",
        )
        .by_default("false"),
    ],
    doc: "The value that stands in the column most often is among a list; of nothing there is none.",
    example: r#"{"most_common": {"column": "status", "value_set": ["closed"]}}"#,
    plan: |arguments, binding| {
        let column = binding.column(arguments.required("column")?)?;
        if !Counts::can(column.plain_type()) {
            return Err(Error::project(format!(
                "`{}` is {}, which cannot be counted",
                column.name,
                word(column.data_type)
            )));
        }
        Ok(Plan::Late(Arc::new(MostCommon {
            column: column.index,
            members: arguments.values("value_set").to_vec(),
            ties: arguments.flag("ties_okay", false),
        })))
    },
    ..AGGREGATE
};

struct MostCommon {
    column: usize,
    members: Vec<Value>,
    ties: bool,
}

/// Most modes that are told when the set query finds them.
const SHOWN: usize = 1000;

impl LateTest for MostCommon {
    fn needs(&self) -> Vec<Need> {
        vec![Need::Counts(self.column)]
    }

    fn sql(&self, known: &Known<'_>, source: &str) -> Option<String> {
        if !known.counts()?.overflowed() {
            return None;
        }
        let data_type = known.schema.field(self.column).data_type();
        let key = set_query::key_of(known.schema, self.column, "t");
        // Literals of dates match no date, as in the pass.
        let members: &[Value] = if value::is_temporal(data_type) { &[] } else { &self.members };
        let members = value::members_sql(members, data_type);
        let compared = value::compared_sql("k", data_type);
        let hit = "CASE WHEN v IS NULL THEN 0 ELSE 1 END";
        let row = set_query::row("count(*) OVER ()", hit, &["CAST(k AS VARCHAR)".to_string()]);
        Some(format!(
            "SELECT {row} FROM (SELECT k, n, max(n) OVER () AS most FROM (SELECT {key} AS k, count(*) AS n FROM {source} AS t \
             WHERE {key} IS NOT NULL GROUP BY {key}) AS counted) AS ranked LEFT JOIN ({members}) AS m ON m.v = {compared} \
             WHERE n = most ORDER BY {hit} DESC, k LIMIT {SHOWN}"
        ))
    }

    fn judge(&self, known: &Known<'_>, answer: &Answer) -> Result<Observation> {
        let (modes, total, hits) = match known.counts() {
            Some(counts) if !counts.overflowed() => {
                let all = counts.sorted();
                let most = all.iter().map(|(_, count)| *count).max().unwrap_or_default();
                let modes: Vec<Value> =
                    all.into_iter().filter(|(_, count)| *count == most).map(|(value, _)| value).collect();
                let hits = self.members.iter().filter(|m| counts.count_of(m) == Some(most)).count();
                (modes.clone(), modes.len() as u64, hits)
            }
            _ => {
                let data_type = known.schema.field(self.column).data_type();
                let value = |texts: &[Option<String>]| {
                    texts.first().and_then(Option::as_deref).map(|text| json_of_text(text, data_type))
                };
                let mut modes: Vec<Value> =
                    answer.rows.iter().filter_map(|(_, texts)| value(texts)).collect();
                modes.sort_by(in_order);
                let hits = answer.rows.iter().filter(|(hit, _)| *hit == 1).count();
                (modes, answer.total, hits)
            }
        };
        let success = hits > 0 && (self.ties || total == 1);
        let name = known.name(self.column);
        let message = match modes.as_slice() {
            [] => format!("{name} has no most common value: it has no values"),
            [one] => format!("the most common value of {name} is {one}"),
            _ => format!("{total} values of {name} are equally common"),
        };
        Ok(Observation { success, message, observed: Value::from(modes), ..Observation::default() })
    }
}

/// The order of values of one column.
fn in_order(a: &Value, b: &Value) -> std::cmp::Ordering {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        _ => a.as_str().cmp(&b.as_str()),
    }
}
