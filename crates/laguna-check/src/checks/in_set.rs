//! Values are among a list, or are not.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::BooleanBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type};
use laguna_base::{Error, Result};
use serde_json::Value;

use crate::arguments::Arguments;
use crate::kind::{Argument, COLUMN, CheckKind, Form, Scope, required};
use crate::plan::{Binding, Plan, RowPlan, RowTest};
use crate::value::{is_temporal, whole, whole_scale};
use crate::view::{View, any, failed, where_text};

const VALUES: Argument = required("value_set", Form::Values, "the list of values").or(&["values", "set"]);

pub(super) const IN_SET: CheckKind = CheckKind {
    name: "expect_column_values_to_be_in_set",
    short: "accepted_values",
    aliases: &["in_set"],
    scope: Scope::Column,
    main: Some("value_set"),
    arguments: &[COLUMN, VALUES],
    mostly: true,
    doc: "Every value is among a list.",
    example: r#"{"accepted_values": {"column": "carrier", "value_set": ["AA", "B6"]}}"#,
    validate: |_| Ok(()),
    plan: |arguments, binding| plan(arguments, binding, true),
};

pub(super) const NOT_IN_SET: CheckKind = CheckKind {
    name: "expect_column_values_to_not_be_in_set",
    short: "rejected_values",
    aliases: &["not_in_set", "not_accepted_values"],
    scope: Scope::Column,
    main: Some("value_set"),
    arguments: &[COLUMN, VALUES],
    mostly: true,
    doc: "No value is among a list.",
    example: r#"{"rejected_values": {"column": "email", "value_set": ["n/a", "none"]}}"#,
    validate: |_| Ok(()),
    plan: |arguments, binding| plan(arguments, binding, false),
};

fn plan(arguments: &Arguments, binding: &Binding<'_>, wanted: bool) -> Result<Plan> {
    let column = binding.column(arguments.required("column")?)?;
    let list = arguments.values("value_set");
    let members = Members::compile(list, column.plain_type()).ok_or_else(|| {
        Error::project(format!("`{}` is {}, which has no list of values", column.name, column.data_type))
    })?;
    let mut shown: Vec<String> =
        list.iter().take(10).map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_string)).collect();
    if list.len() > shown.len() {
        shown.push("…".to_string());
    }
    let says = format!("are {} {}", if wanted { "not among" } else { "among" }, shown.join(", "));
    let test = Arc::new(InSet { column: column.index, members, wanted });
    Ok(Plan::Row(RowPlan { columns: vec![column.index], skip_missing: true, test, says }))
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
                let mut floats: Vec<f64> = list
                    .iter()
                    .filter_map(|value| {
                        value.as_f64().or_else(|| value.as_bool().map(|b| f64::from(u8::from(b))))
                    })
                    .map(|value| if *t == DataType::Float32 { f64::from(value as f32) } else { value + 0.0 })
                    .collect();
                floats.sort_by(f64::total_cmp);
                Some(Members::Float(floats))
            }
            t if whole_scale(t).is_some() || is_temporal(t) => {
                let exact =
                    |value: &Value| whole(value, t).filter(|(_, exact)| *exact).map(|(whole, _)| whole);
                let mut wholes: Vec<i128> = list.iter().filter_map(exact).collect();
                wholes.sort_unstable();
                wholes.dedup();
                Some(Members::Whole(wholes))
            }
            _ => None,
        }
    }
}

/// Texts to look up: few are compared one by one, which is faster than hashing.
enum Texts {
    Few(Vec<String>),
    Many(HashSet<String>),
}

impl Texts {
    fn new<'a>(texts: impl Iterator<Item = &'a str>) -> Texts {
        let all: HashSet<String> = texts.map(str::to_string).collect();
        if all.len() <= 16 { Texts::Few(all.into_iter().collect()) } else { Texts::Many(all) }
    }

    fn contains(&self, text: &str) -> bool {
        match self {
            Texts::Few(few) => few.iter().any(|one| one == text),
            Texts::Many(many) => many.contains(text),
        }
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
            Members::Text(texts) => where_text(values, |text| texts.contains(text) != wanted),
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
    if let DataType::Decimal128(_, _) = values.data_type() {
        let wide = values.as_primitive::<Decimal128Type>().values().clone();
        return Ok(BooleanBuffer::collect_bool(wide.len(), |row| {
            members.binary_search(&wide[row]).is_ok() != wanted
        }));
    }
    let narrow = match values.data_type() {
        DataType::UInt64 | DataType::Decimal32(_, _) | DataType::Decimal64(_, _) => {
            let scale = whole_scale(values.data_type()).unwrap_or_default() as i8;
            let wide = cast(values, &DataType::Decimal128(38, scale)).map_err(failed)?;
            return whole_outside(&wide, members, wanted);
        }
        DataType::Date32 => cast(&cast(values, &DataType::Int32).map_err(failed)?, &DataType::Int64),
        _ => cast(values, &DataType::Int64),
    }
    .map_err(failed)?;
    let narrow = narrow.as_primitive::<Int64Type>().values().clone();
    let members: Vec<i64> = members.iter().filter_map(|member| i64::try_from(*member).ok()).collect();
    Ok(BooleanBuffer::collect_bool(narrow.len(), |row| members.binary_search(&narrow[row]).is_ok() != wanted))
}
