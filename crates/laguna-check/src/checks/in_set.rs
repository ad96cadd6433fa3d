//! Values are among a list, or are not.

use std::collections::HashSet;

use arrow::array::{Array, ArrayRef, AsArray, make_view};
use arrow::buffer::BooleanBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use laguna_base::{Error, Result};
use serde_json::Value;

use crate::arguments::Arguments;
use crate::gather::counts::{Wholes, wholes};
use crate::kind::{Argument, COLUMN, CheckKind, Form, VALUES as BASE, required};
use crate::plan::{Binding, Plan, RowPlan, RowTest};
use crate::value::{is_temporal, member, whole, whole_scale};
use crate::view::{View, any, failed, where_text};
use crate::words::word;

const VALUES: Argument = required("value_set", Form::Values, "the list of values").or(&["values", "set"]);

pub(super) const IN_SET: CheckKind = CheckKind {
    name: "expect_column_values_to_be_in_set",
    short: "accepted_values",
    aliases: &["in_set"],
    main: Some("value_set"),
    arguments: &[COLUMN, VALUES],
    doc: "Every value is among a list; 1, 1.0 and true are the same, and a text equals no number and no date.",
    example: r#"{"accepted_values": {"column": "carrier", "value_set": ["AA", "B6"]}}"#,
    plan: |arguments, binding| plan(arguments, binding, true),
    ..BASE
};

pub(super) const NOT_IN_SET: CheckKind = CheckKind {
    name: "expect_column_values_to_not_be_in_set",
    short: "rejected_values",
    aliases: &["not_in_set", "not_accepted_values"],
    main: Some("value_set"),
    arguments: &[COLUMN, VALUES],
    doc: "No value is among a list.",
    example: r#"{"rejected_values": {"column": "email", "value_set": ["n/a", "none"]}}"#,
    plan: |arguments, binding| plan(arguments, binding, false),
    ..BASE
};

fn plan(arguments: &Arguments, binding: &Binding<'_>, wanted: bool) -> Result<Plan> {
    let column = binding.column(arguments.required("column")?)?;
    let list = arguments.values("value_set");
    let moments = moments(list, column.plain_type(), wanted)?;
    let members =
        Members::compile(moments.as_deref().unwrap_or(list), column.plain_type()).ok_or_else(|| {
            let data_type = word(column.data_type);
            Error::project(format!("`{}` is {data_type}, which has no list of values", column.name))
        })?;
    let mut shown: Vec<String> =
        list.iter().take(10).map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_string)).collect();
    if list.len() > shown.len() {
        shown.push("…".to_string());
    }
    let says = format!("are {} {}", if wanted { "not among" } else { "among" }, shown.join(", "));
    Ok(RowPlan::of_values(column.index, InSet { column: column.index, members, wanted }, says))
}

/// `rejected_values` of a column of times reads the texts of its list as times, as Great Expectations does, so that a
/// forbidden day is found; `accepted_values` does not. They become units of the column's type.
fn moments(list: &[Value], data_type: &DataType, wanted: bool) -> Result<Option<Vec<Value>>> {
    if !is_temporal(data_type) {
        return Ok(None);
    }
    if wanted {
        return Ok(Some(Vec::new()));
    }
    let read = |value: &Value| match value.as_str() {
        None => Ok(None),
        Some(text) => match whole(value, data_type) {
            Some((found, exact)) => Ok(exact.then(|| i64::try_from(found).ok()).flatten().map(Value::from)),
            None => Err(Error::project(format!("`{text}` in the list is neither a date nor a timestamp"))
                .hint("write dates as 2024-01-31 and timestamps as 2024-01-31T12:00:00")),
        },
    };
    let found = list.iter().map(read).collect::<Result<Vec<Option<Value>>>>()?;
    Ok(Some(found.into_iter().flatten().collect()))
}

/// The list in the column's type; members that no value of the type can equal are left out.
enum Members {
    Text(Texts),
    Whole(Vec<i128>),
    Float(Vec<f64>),
}

impl Members {
    fn compile(list: &[Value], data_type: &DataType) -> Option<Members> {
        match data_type {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => {
                Some(Members::Text(Texts::new(list.iter().filter_map(Value::as_str))))
            }
            t if t.is_floating() => {
                // A float of 32 bits is the number that it is, not the shortest text that stands for it: 0.1 is another one.
                let mut floats: Vec<f64> = list
                    .iter()
                    .filter_map(|value| {
                        value.as_f64().or_else(|| value.as_bool().map(|b| f64::from(u8::from(b))))
                    })
                    .map(|value| value + 0.0)
                    .collect();
                floats.sort_by(f64::total_cmp);
                Some(Members::Float(floats))
            }
            t if whole_scale(t).is_some() || is_temporal(t) => {
                let mut wholes: Vec<i128> = list.iter().filter_map(|value| of_units(value, t)).collect();
                wholes.sort_unstable();
                wholes.dedup();
                Some(Members::Whole(wholes))
            }
            _ => None,
        }
    }
}

/// A member as the whole number that holds it; of times only what was brought to their units before.
fn of_units(value: &Value, data_type: &DataType) -> Option<i128> {
    match is_temporal(data_type) {
        true => value.as_i64().map(i128::from),
        false => member(value, data_type),
    }
}

/// Texts to look up. Short ones are compared as one 128-bit word that holds length and bytes, as Arrow's text views do.
struct Texts {
    short: Vec<u128>,
    long: HashSet<String>,
}

/// The longest text that fits such a word.
const SHORT: usize = 12;

impl Texts {
    fn new<'a>(texts: impl Iterator<Item = &'a str>) -> Texts {
        let (short, long): (Vec<&str>, Vec<&str>) = texts.partition(|text| text.len() <= SHORT);
        let mut short: Vec<u128> = short.into_iter().map(|text| make_view(text.as_bytes(), 0, 0)).collect();
        short.sort_unstable();
        short.dedup();
        Texts { short, long: long.into_iter().map(str::to_string).collect() }
    }

    fn contains_word(&self, word: u128) -> bool {
        if self.short.len() <= 16 {
            self.short.contains(&word)
        } else {
            self.short.binary_search(&word).is_ok()
        }
    }

    fn contains(&self, text: &str) -> bool {
        if text.len() <= SHORT {
            self.contains_word(make_view(text.as_bytes(), 0, 0))
        } else {
            self.long.contains(text)
        }
    }

    /// Rows where being in the list is not what is wanted. Bits of nulls mean nothing.
    fn failing(&self, values: &ArrayRef, wanted: bool) -> BooleanBuffer {
        if values.data_type() != &DataType::Utf8View {
            return where_text(values, |text| self.contains(text) != wanted);
        }
        let texts = values.as_string_view();
        let views = texts.views();
        BooleanBuffer::collect_bool(texts.len(), |row| {
            // The lowest 32 bits of a view are the length.
            let found = if views[row] as u32 as usize <= SHORT {
                self.contains_word(views[row])
            } else {
                texts.is_valid(row) && self.long.contains(texts.value(row))
            };
            found != wanted
        })
    }
}

struct InSet {
    column: usize,
    members: Members,
    wanted: bool,
}

impl RowTest for InSet {
    fn failing(&self, view: &View<'_>) -> Result<Option<BooleanBuffer>> {
        let values = view.values(self.column)?;
        if values.data_type() == &DataType::Null {
            return Ok(None);
        }
        let wanted = self.wanted;
        Ok(any(match &self.members {
            Members::Text(texts) => texts.failing(values, wanted),
            Members::Float(members) => {
                let floats = cast(values, &DataType::Float64).map_err(failed)?;
                let floats = floats.as_primitive::<Float64Type>().values().clone();
                BooleanBuffer::collect_bool(floats.len(), |row| {
                    let found =
                        members.binary_search_by(|member| member.total_cmp(&(floats[row] + 0.0))).is_ok();
                    found != wanted
                })
            }
            Members::Whole(members) => whole_outside(values, members, wanted)?,
        }))
    }
}

fn whole_outside(values: &ArrayRef, members: &[i128], wanted: bool) -> Result<BooleanBuffer> {
    Ok(match wholes(values)? {
        Wholes::Wide(wide) => {
            let wide = wide.values();
            BooleanBuffer::collect_bool(wide.len(), |row| members.binary_search(&wide[row]).is_ok() != wanted)
        }
        Wholes::Narrow(narrow) => {
            let narrow = narrow.values();
            let members: Vec<i64> = members.iter().filter_map(|member| i64::try_from(*member).ok()).collect();
            BooleanBuffer::collect_bool(narrow.len(), |row| {
                members.binary_search(&narrow[row]).is_ok() != wanted
            })
        }
    })
}
