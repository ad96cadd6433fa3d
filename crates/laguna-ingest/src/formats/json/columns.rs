//! JSON objects to columns, by the target's types, however deep.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Decimal128Array, ListArray, PrimitiveArray, StringArray, StructArray,
};
use arrow::buffer::{BooleanBuffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Field, Fields, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, TimestampMicrosecondType,
};
use laguna_base::settings::dataset::OnNewColumn;
use laguna_base::{Error, Result};

use super::value::{Node, Value};
use crate::evidence::{Evidence, Findings};
use crate::formats::Stop;
use crate::names::original;
use crate::scalar::{self, Zone};
use crate::target::{Place, Target, Trust};
use crate::types::word;

type Fieldset<'a, 'v> = &'v [(std::borrow::Cow<'a, str>, Node<'a>)];

/// What an object's fields say of the columns.
pub fn infer_object(fields: Fieldset, zone: Zone, findings: &mut Findings) {
    for (name, node) in fields {
        infer(node, zone, findings.column(name));
    }
}

fn infer(node: &Node, zone: Zone, evidence: &mut Evidence) {
    match &node.value {
        Value::Null => {}
        Value::Boolean(_) => evidence.boolean(),
        Value::Number => evidence.number(node.raw.as_bytes()),
        Value::Text(text) => evidence.text(text.as_bytes(), zone, false),
        Value::List(items) => {
            let evidence = evidence.list();
            items.iter().for_each(|item| infer(item, zone, evidence));
        }
        Value::Object(fields) => infer_object(fields, zone, evidence.object()),
    }
}

/// Whether a value gives its column a type: null, `[]` and `{}` do not.
fn is_typed(node: &Node, zone: Zone) -> bool {
    let mut evidence = Evidence::default();
    infer(node, zone, &mut evidence);
    evidence.data_type().is_some()
}

/// The columns of `rows`, and the rows that don't fit with the reason.
pub fn build(
    rows: &[Fieldset],
    target: &Target,
    on_new: OnNewColumn,
) -> Result<(Vec<Option<ArrayRef>>, HashMap<usize, String>), Stop> {
    let width = target.schema.fields().len();
    let mut values: Vec<Vec<Option<&Node>>> = vec![vec![None; rows.len()]; width];
    let mut faults = HashMap::new();
    for (row, fields) in rows.iter().enumerate() {
        for (name, node) in fields.iter() {
            match target.place(name) {
                Place::Column(at) => values[at][row] = Some(node),
                Place::Ignored => {}
                Place::Untyped if is_typed(node, target.zone) => {
                    if target.settled {
                        faults.entry(row).or_insert_with(|| format!("column `{name}` is not known"));
                    } else {
                        return Err(Stop::Contradiction);
                    }
                }
                Place::Untyped => {}
            }
        }
    }
    let numbers: Vec<usize> = (0..rows.len()).collect();
    let mut columns = Vec::with_capacity(width);
    for (at, values) in values.into_iter().enumerate() {
        let field = target.schema.field(at);
        let mut builder = Builder {
            trust: target.trust[at],
            settled: target.settled,
            zone: target.zone,
            on_new,
            name: field.name(),
            faults: &mut faults,
        };
        columns.push(Some(builder.array(&values, &numbers, field.data_type())?));
    }
    Ok((columns, faults))
}

struct Builder<'a> {
    trust: Trust,
    settled: bool,
    zone: Zone,
    on_new: OnNewColumn,
    name: &'a str,
    faults: &'a mut HashMap<usize, String>,
}

impl Builder<'_> {
    fn refuse(&mut self, row: usize, reason: impl FnOnce(&str) -> String) -> Result<(), Stop> {
        if self.trust.inferred && !self.settled {
            return Err(Stop::Contradiction);
        }
        let name = self.name;
        self.faults.entry(row).or_insert_with(|| reason(name));
        Ok(())
    }

    /// One array of `data_type`; `rows` says to which row each value belongs.
    fn array(
        &mut self,
        values: &[Option<&Node>],
        rows: &[usize],
        data_type: &DataType,
    ) -> Result<ArrayRef, Stop> {
        let strict = self.trust.strict;
        let zone = self.zone;
        let int = move |text: &[u8]| scalar::int(text, strict);
        Ok(match data_type {
            DataType::Utf8 => {
                let text = |node: &&Node<'_>| match &node.value {
                    Value::Null => None,
                    Value::Text(text) => Some(text.to_string()),
                    _ => Some(node.raw.to_string()),
                };
                Arc::new(values.iter().map(|node| node.as_ref().and_then(text)).collect::<StringArray>())
            }
            DataType::Boolean => {
                let parse = |node: &Node| match &node.value {
                    Value::Boolean(value) => Some(*value),
                    Value::Text(text) if !strict => scalar::boolean(text.trim().as_bytes(), false),
                    Value::Number if !strict => scalar::boolean(node.raw.as_bytes(), false),
                    _ => None,
                };
                Arc::new(BooleanArray::from(self.values(values, rows, data_type, parse)?))
            }
            DataType::Int64 => self.numbers::<Int64Type>(values, rows, data_type, int)?,
            DataType::Int32 => {
                self.numbers::<Int32Type>(values, rows, data_type, |t| int(t)?.try_into().ok())?
            }
            DataType::Int16 => {
                self.numbers::<Int16Type>(values, rows, data_type, |t| int(t)?.try_into().ok())?
            }
            DataType::Int8 => {
                self.numbers::<Int8Type>(values, rows, data_type, |t| int(t)?.try_into().ok())?
            }
            DataType::Float64 => {
                self.numbers::<Float64Type>(values, rows, data_type, |t| scalar::double(t, strict))?
            }
            DataType::Float32 => self.numbers::<Float32Type>(values, rows, data_type, |t| {
                Some(scalar::double(t, strict)? as f32).filter(|value| value.is_finite())
            })?,
            DataType::Decimal128(precision, scale) => {
                let (precision, scale) = (*precision, *scale);
                let parse = numeric(strict, move |text: &[u8]| scalar::decimal(text, precision, scale));
                let array = Decimal128Array::from(self.values(values, rows, data_type, parse)?);
                let array = array.with_precision_and_scale(precision, scale);
                Arc::new(array.map_err(|e| Error::internal("a decimal type is impossible").caused_by(e))?)
            }
            DataType::Date32 => {
                let parse = texts(|text: &[u8]| scalar::date(text));
                Arc::new(PrimitiveArray::<Date32Type>::from(self.values(values, rows, data_type, parse)?))
            }
            DataType::Timestamp(_, tz) => {
                let parse = texts(move |text: &[u8]| {
                    scalar::timestamp(text, zone, strict).or_else(|| scalar::midnight(text, zone))
                });
                let array = PrimitiveArray::<TimestampMicrosecondType>::from(
                    self.values(values, rows, data_type, parse)?,
                );
                Arc::new(array.with_timezone_opt(tz.clone()))
            }
            DataType::Binary => {
                let parse = texts(|text: &[u8]| Some(text.to_vec()));
                let values = self.values(values, rows, data_type, parse)?;
                Arc::new(values.iter().map(|value| value.as_deref()).collect::<BinaryArray>())
            }
            DataType::List(item) => self.list(values, rows, item)?,
            DataType::Struct(fields) => self.object(values, rows, fields)?,
            other => {
                let name = self.name;
                return Err(Stop::Error(
                    Error::project(format!("column `{name}` is {} and cannot come from JSON", word(other)))
                        .hint("land these files as a dataset of their own"),
                ));
            }
        })
    }

    fn numbers<T: ArrowPrimitiveType>(
        &mut self,
        values: &[Option<&Node>],
        rows: &[usize],
        data_type: &DataType,
        parse: impl Fn(&[u8]) -> Option<T::Native>,
    ) -> Result<ArrayRef, Stop> {
        let parse = numeric(self.trust.strict, parse);
        let values = self.values(values, rows, data_type, parse)?;
        Ok(Arc::new(values.into_iter().collect::<PrimitiveArray<T>>()))
    }

    fn values<V>(
        &mut self,
        values: &[Option<&Node>],
        rows: &[usize],
        data_type: &DataType,
        parse: impl Fn(&Node) -> Option<V>,
    ) -> Result<Vec<Option<V>>, Stop> {
        let mut parsed = Vec::with_capacity(values.len());
        for (node, row) in values.iter().zip(rows) {
            parsed.push(match node {
                None | Some(Node { value: Value::Null, .. }) => None,
                Some(node) => match parse(node) {
                    None => {
                        self.mismatch(*row, node, data_type)?;
                        None
                    }
                    value => value,
                },
            });
        }
        Ok(parsed)
    }

    fn mismatch(&mut self, row: usize, node: &Node, data_type: &DataType) -> Result<(), Stop> {
        self.refuse(row, |name| {
            let shown: String = node.raw.chars().take(60).collect();
            let more = if shown.len() < node.raw.len() { "…" } else { "" };
            format!("column `{name}`: `{shown}{more}` is not a {}", word(data_type))
        })
    }

    fn list(
        &mut self,
        values: &[Option<&Node>],
        rows: &[usize],
        item: &Arc<Field>,
    ) -> Result<ArrayRef, Stop> {
        let mut items = Vec::new();
        let mut item_rows = Vec::new();
        let mut offsets = vec![0i32];
        let mut valid = Vec::with_capacity(values.len());
        for (node, row) in values.iter().zip(rows) {
            let mut is_valid = false;
            match node.map(|node| (&node.value, node)) {
                None | Some((Value::Null, _)) => {}
                Some((Value::List(inner), _)) => {
                    is_valid = true;
                    items.extend(inner.iter().map(Some));
                    item_rows.resize(items.len(), *row);
                }
                Some((_, node)) => self.mismatch(*row, node, &DataType::List(item.clone()))?,
            }
            offsets.push(items.len() as i32);
            valid.push(is_valid);
        }
        let inner = self.array(&items, &item_rows, item.data_type())?;
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        let nulls = NullBuffer::new(BooleanBuffer::from(valid));
        let list = ListArray::try_new(item.clone(), offsets, inner, Some(nulls));
        Ok(Arc::new(list.map_err(|e| Error::internal("a list does not fit together").caused_by(e))?))
    }

    fn object(
        &mut self,
        values: &[Option<&Node>],
        rows: &[usize],
        fields: &Fields,
    ) -> Result<ArrayRef, Stop> {
        let index: HashMap<&str, usize> =
            fields.iter().enumerate().map(|(at, f)| (original(f), at)).collect();
        let mut children: Vec<Vec<Option<&Node>>> = vec![vec![None; values.len()]; fields.len()];
        let mut valid = Vec::with_capacity(values.len());
        for (at, (node, row)) in values.iter().zip(rows).enumerate() {
            let mut is_valid = false;
            match node.map(|node| (&node.value, node)) {
                None | Some((Value::Null, _)) => {}
                Some((Value::Object(inner), _)) => {
                    is_valid = true;
                    for (name, node) in inner {
                        let place = index.get(name.as_ref()).copied().or_else(|| {
                            fields.iter().position(|field| field.name().eq_ignore_ascii_case(name))
                        });
                        match place {
                            Some(place) => children[place][at] = Some(node),
                            None => self.unknown_field(*row, name, node)?,
                        }
                    }
                }
                Some((_, node)) => self.mismatch(*row, node, &DataType::Struct(fields.clone()))?,
            }
            valid.push(is_valid);
        }
        let mut arrays = Vec::with_capacity(fields.len());
        for (field, values) in fields.iter().zip(&children) {
            arrays.push(self.array(values, rows, field.data_type())?);
        }
        let nulls = NullBuffer::new(BooleanBuffer::from(valid));
        let array = StructArray::try_new_with_length(fields.clone(), arrays, Some(nulls), values.len());
        Ok(Arc::new(array.map_err(|e| Error::internal("an object does not fit together").caused_by(e))?))
    }

    fn unknown_field(&mut self, row: usize, name: &str, node: &Node) -> Result<(), Stop> {
        if self.on_new == OnNewColumn::Ignore && !self.trust.inferred || !is_typed(node, self.zone) {
            return Ok(());
        }
        if self.on_new == OnNewColumn::Add && !self.settled {
            return Err(Stop::Contradiction);
        }
        self.refuse(row, |column| format!("column `{column}` has no field `{name}`"))
    }
}

/// Numbers, and where spellings are free also numbers in strings.
fn numeric<V>(strict: bool, parse: impl Fn(&[u8]) -> Option<V>) -> impl Fn(&Node) -> Option<V> {
    move |node| match &node.value {
        Value::Number => parse(node.raw.as_bytes()),
        Value::Text(text) if !strict => parse(text.trim().as_bytes()),
        _ => None,
    }
}

fn texts<V>(parse: impl Fn(&[u8]) -> Option<V>) -> impl Fn(&Node) -> Option<V> {
    move |node| match &node.value {
        Value::Text(text) => parse(text.as_bytes()),
        _ => None,
    }
}
