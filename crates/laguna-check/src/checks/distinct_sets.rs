//! The different values of a column against a list: none beside it, all of it, or both.

use std::collections::HashSet;
use std::sync::Arc;

use laguna_base::{Error, Result};
use serde_json::{Value, json};

use crate::arguments::Arguments;
use crate::gather::Need;
use crate::gather::counts::Counts;
use crate::kind::{AGGREGATE, Argument, COLUMN, CheckKind, Form, required};
use crate::plan::{Binding, Known, LateTest, Plan};
use crate::set_query::{self, Answer};
use crate::value::{self, json_of_text};
use crate::verdict::{Counted, Observation};
use crate::words::word;

const VALUE_SET: Argument = required("value_set", Form::Values, "the list of values").or(&["values", "set"]);

pub(super) const IN_SET: CheckKind = CheckKind {
    name: "expect_column_distinct_values_to_be_in_set",
    short: "distinct_in_set",
    aliases: &["distinct_values_in_set"],
    main: Some("value_set"),
    arguments: &[COLUMN, VALUE_SET],
    doc: "No value stands in the column that is not in the list; unlike `accepted_values` it counts each value once.",
    example: r#"{"distinct_in_set": {"column": "carrier", "value_set": ["AA", "B6"]}}"#,
    validate: |arguments| match arguments.values("value_set") {
        [] => Err(Error::project("`value_set` is empty").hint("give at least one value")),
        _ => Ok(()),
    },
    plan: |arguments, binding| plan(arguments, binding, Rule::In),
    ..AGGREGATE
};

pub(super) const CONTAIN_SET: CheckKind = CheckKind {
    name: "expect_column_distinct_values_to_contain_set",
    short: "distinct_contains",
    aliases: &["distinct_values_contain_set"],
    main: Some("value_set"),
    arguments: &[COLUMN, VALUE_SET],
    doc: "Every value of the list stands in the column.",
    example: r#"{"distinct_contains": {"column": "carrier", "value_set": ["AA"]}}"#,
    plan: |arguments, binding| plan(arguments, binding, Rule::Contain),
    ..AGGREGATE
};

pub(super) const EQUAL_SET: CheckKind = CheckKind {
    name: "expect_column_distinct_values_to_equal_set",
    short: "distinct_equals",
    aliases: &["distinct_values_equal_set"],
    main: Some("value_set"),
    arguments: &[COLUMN, VALUE_SET],
    doc: "The column holds exactly the values of the list.",
    example: r#"{"distinct_equals": {"column": "status", "value_set": ["open", "closed"]}}"#,
    plan: |arguments, binding| plan(arguments, binding, Rule::Equal),
    ..AGGREGATE
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    In,
    Contain,
    Equal,
}

fn plan(arguments: &Arguments, binding: &Binding<'_>, rule: Rule) -> Result<Plan> {
    let column = binding.column(arguments.required("column")?)?;
    if !Counts::can(column.plain_type()) {
        return Err(Error::project(format!(
            "`{}` is {}, which has no list of values",
            column.name,
            word(column.data_type)
        )));
    }
    // The same value twice is one value; null is one that never stands among a column's values.
    let mut seen = HashSet::new();
    let literals = arguments.values("value_set").iter();
    let wanted: Vec<Value> = literals.filter(|literal| seen.insert(same_key(literal))).cloned().collect();
    Ok(Plan::Late(Arc::new(Sets { column: column.index, wanted, rule })))
}

/// Equal for values that are equal in Python: 1, 1.0 and true.
fn same_key(literal: &Value) -> String {
    match literal {
        Value::Bool(flag) => f64::from(u8::from(*flag)).to_string(),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => whole.to_string(),
            None => number.as_f64().unwrap_or_default().to_string(),
        },
        other => other.to_string(),
    }
}

struct Sets {
    column: usize,
    wanted: Vec<Value>,
    rule: Rule,
}

impl LateTest for Sets {
    fn needs(&self) -> Vec<Need> {
        vec![Need::Counts(self.column)]
    }

    fn sql(&self, known: &Known<'_>, source: &str) -> Option<String> {
        if !known.counts()?.overflowed() {
            return None;
        }
        // Members that stand in the column (n = 1), some values that are no members (n = 0), and how many values there
        // are in all.
        let field = known.schema.field(self.column);
        let key = set_query::key_of(known.schema, self.column, "t");
        let compared = value::compared_sql(&key, field.data_type());
        let members = value::members_sql(&self.wanted, field.data_type());
        let is_member = format!("EXISTS (SELECT 1 FROM members AS m WHERE m.v = {compared})");
        let all = format!("SELECT count(DISTINCT {key}) AS d FROM {source} AS t");
        let text = [format!("CAST({key} AS VARCHAR)")];
        let row = |n: &str| set_query::row("(SELECT d FROM everything)", n, &text);
        Some(format!(
            "WITH everything AS ({all}), members AS ({members}) \
             SELECT * FROM (SELECT DISTINCT {} FROM {source} AS t WHERE {is_member} \
             UNION ALL (SELECT DISTINCT {} FROM {source} AS t WHERE {key} IS NOT NULL AND NOT {is_member} LIMIT {}) \
             UNION ALL SELECT {} FROM everything) AS rows",
            row("1"),
            row("0"),
            set_query::EXAMPLES,
            set_query::row("d", "2", &[]),
        ))
    }

    fn judge(&self, known: &Known<'_>, answer: &Answer) -> Result<Observation> {
        let found = match known.counts() {
            Some(counts) if !counts.overflowed() => self.of_counts(counts),
            _ => self.of_answer(known, answer),
        };
        let name = known.name(self.column);
        let (beside, absent) = (found.unexpected, found.absent.len());
        let success = (self.rule == Rule::Contain || beside == 0) && (self.rule == Rule::In || absent == 0);
        let mut message = Vec::new();
        if self.rule != Rule::Contain {
            message.push(format!("{beside} different values of {name} are not in the list"));
        }
        if self.rule != Rule::In {
            message.push(format!("{absent} values of the list are not in {name}"));
        }
        let shown = |values: &[Value]| {
            Value::from(values.iter().take(set_query::EXAMPLES).cloned().collect::<Vec<_>>())
        };
        let mut details = serde_json::Map::new();
        let mut counted = Counted::default();
        if self.rule != Rule::Contain {
            details.insert("partial_unexpected_list".to_string(), shown(&found.beside));
            counted.unexpected = beside;
            counted.examples = found.beside.into_iter().take(set_query::EXAMPLES).collect();
        }
        if self.rule != Rule::In {
            details.insert("partial_missing_list".to_string(), shown(&found.absent));
            counted.missing = absent as u64;
        }
        Ok(Observation {
            success,
            message: message.join("; "),
            details: json!(details),
            counted: Some(counted),
            ..Observation::default()
        })
    }
}

/// Values on one side only.
struct Sides {
    unexpected: u64,
    beside: Vec<Value>,
    absent: Vec<Value>,
}

impl Sets {
    fn of_counts(&self, counts: &Counts) -> Sides {
        let absent: Vec<Value> =
            self.wanted.iter().filter(|literal| counts.count_of_read(literal).is_none()).cloned().collect();
        let members: HashSet<String> =
            self.wanted.iter().filter_map(|literal| counts.key_of(literal)).collect();
        let beside: Vec<Value> = match self.rule {
            Rule::Contain => Vec::new(),
            _ => counts
                .sorted_keys()
                .into_iter()
                .filter(|(key, _)| !members.contains(key))
                .map(|(_, v)| v)
                .collect(),
        };
        Sides { unexpected: beside.len() as u64, beside, absent }
    }

    fn of_answer(&self, known: &Known<'_>, answer: &Answer) -> Sides {
        let data_type = known.schema.field(self.column).data_type();
        let of = |n: u64| -> Vec<Value> {
            let rows = answer.rows.iter().filter(|(kind, _)| *kind == n);
            rows.filter_map(|(_, texts)| Some(json_of_text(texts.first()?.as_deref()?, data_type))).collect()
        };
        let present: HashSet<String> = of(1).iter().map(same_key).collect();
        let absent: Vec<Value> =
            self.wanted.iter().filter(|literal| !present.contains(&same_key(literal))).cloned().collect();
        Sides { unexpected: answer.total.saturating_sub(present.len() as u64), beside: of(0), absent }
    }
}
