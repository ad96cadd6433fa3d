//! What is known of a column's values, and the type that holds them all.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields};
use laguna_base::name::column_names;

use crate::names::named_field;
use crate::scalar::{self, EXACT, Zone};
use crate::types::instant;

const BOOLEAN: u16 = 1;
const INT: u16 = 2;
const WIDE_INT: u16 = 4;
const DOUBLE: u16 = 8;
const DATE: u16 = 16;
const INSTANT: u16 = 32;
const TEXT: u16 = 64;

/// Everything seen in one column. Merging is commutative, so blocks can be looked at in any order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Evidence {
    scalars: u16,
    item: Option<Box<Evidence>>,
    fields: Option<Findings>,
    exact: Option<DataType>,
    conflict: Option<(DataType, DataType)>,
    /// A type that the lake cannot hold, and the file that has it.
    refused: Option<(DataType, String)>,
    /// The type as the file has it; of files that disagree the first one's.
    source: Option<DataType>,
}

impl Evidence {
    /// Evidence of a format that knows its types.
    pub fn exactly(data_type: DataType) -> Self {
        Evidence { exact: Some(data_type), ..Default::default() }
    }

    /// Remembers the type as the file has it.
    pub fn written_as(self, source: DataType) -> Self {
        Evidence { source: Some(source), ..self }
    }

    /// The type as the file has it, of formats that know their types.
    pub fn source(&self) -> Option<&DataType> {
        self.source.as_ref()
    }

    /// Evidence of a type that the lake cannot hold: an error for those who want the column.
    pub fn refuse(data_type: DataType, path: &str) -> Self {
        Evidence { refused: Some((data_type, path.to_string())), ..Default::default() }
    }

    /// A type that the lake cannot hold, and the file that has it.
    pub fn refused(&self) -> Option<&(DataType, String)> {
        self.refused.as_ref()
    }

    /// A text value. `numbers` says whether digits in it may be a number, as in CSV but not in a JSON string.
    #[inline]
    pub fn text(&mut self, value: &[u8], zone: Zone, numbers: bool) {
        if self.scalars & TEXT == 0 {
            self.scalars |= classify(value, zone, numbers);
        }
    }

    /// A number as JSON writes it.
    pub fn number(&mut self, value: &[u8]) {
        self.scalars |= if let Some(value) = scalar::int(value, true) {
            int_flag(value)
        } else if scalar::double(value, true).is_some() {
            DOUBLE
        } else {
            TEXT
        };
    }

    /// A boolean.
    pub fn boolean(&mut self) {
        self.scalars |= BOOLEAN;
    }

    /// A list; gives the evidence of its items.
    pub fn list(&mut self) -> &mut Evidence {
        self.item.get_or_insert_default()
    }

    /// An object; gives the findings of its fields.
    pub fn object(&mut self) -> &mut Findings {
        self.fields.get_or_insert_default()
    }

    /// Whether nothing can change the type any more.
    pub fn is_text(&self) -> bool {
        self.scalars & TEXT != 0
    }

    pub fn merge(&mut self, other: Evidence) {
        self.scalars |= other.scalars;
        if let Some(item) = other.item {
            self.list().merge(*item);
        }
        if let Some(fields) = other.fields {
            self.object().merge(fields);
        }
        self.conflict = self.conflict.take().or(other.conflict);
        self.refused = self.refused.take().or(other.refused);
        self.source = self.source.take().or(other.source);
        match (&self.exact, other.exact) {
            (_, None) => {}
            (None, exact) => self.exact = exact,
            (Some(one), Some(two)) => match unify(one, &two) {
                Some(both) => self.exact = Some(both),
                None => self.conflict = Some((one.clone(), two)),
            },
        }
    }

    /// Two types of one column that no type holds together.
    pub fn conflict(&self) -> Option<(DataType, DataType)> {
        if self.conflict.is_some() {
            return self.conflict.clone();
        }
        let exact = self.exact.as_ref()?;
        let inferred = self.inferred()?;
        (exact != &inferred && *exact != DataType::Utf8).then(|| (exact.clone(), inferred))
    }

    /// The narrowest type that holds all values; `None` while there are none.
    pub fn data_type(&self) -> Option<DataType> {
        self.exact.clone().or_else(|| self.inferred())
    }

    fn inferred(&self) -> Option<DataType> {
        let item = self.item.as_ref();
        let fields = self.fields.as_ref();
        match (self.scalars, item, fields) {
            (0, None, None) => None,
            (0, Some(item), None) => {
                let item = item.data_type()?;
                Some(DataType::List(Arc::new(Field::new("element", item, true))))
            }
            (0, None, Some(fields)) => {
                let fields = fields.struct_fields();
                if fields.is_empty() { None } else { Some(DataType::Struct(fields)) }
            }
            (scalars, None, None) => Some(scalar_type(scalars)),
            _ => Some(DataType::Utf8),
        }
    }
}

fn scalar_type(scalars: u16) -> DataType {
    const NUMBER: u16 = INT | DOUBLE;
    match scalars {
        BOOLEAN => DataType::Boolean,
        _ if scalars & !(INT | WIDE_INT) == 0 => DataType::Int64,
        _ if scalars & !NUMBER == 0 => DataType::Float64,
        DATE => DataType::Date32,
        _ if scalars & !(DATE | INSTANT) == 0 => instant(),
        _ => DataType::Utf8,
    }
}

fn int_flag(value: i64) -> u16 {
    if value.unsigned_abs() <= EXACT { INT } else { WIDE_INT }
}

fn classify(value: &[u8], zone: Zone, numbers: bool) -> u16 {
    let Some(first) = value.first() else { return TEXT };
    match first {
        b'0'..=b'9' | b'-' | b'.' => {
            if numbers {
                if let Some(value) = scalar::int(value, true) {
                    return int_flag(value);
                }
                if scalar::double(value, true).is_some() {
                    return DOUBLE;
                }
            }
            if scalar::date(value).is_some() {
                DATE
            } else if scalar::timestamp(value, zone, true).is_some() {
                INSTANT
            } else {
                TEXT
            }
        }
        b't' | b'T' | b'f' | b'F' if numbers && scalar::boolean(value, true).is_some() => BOOLEAN,
        _ => TEXT,
    }
}

/// The type that holds both, exactly: integers widen, real widens to double, fields of structs unite.
pub fn unify(one: &DataType, two: &DataType) -> Option<DataType> {
    use DataType::*;
    let rank = |t: &DataType| [Int8, Int16, Int32, Int64].iter().position(|i| i == t);
    if one == two {
        return Some(one.clone());
    }
    if let (Some(a), Some(b)) = (rank(one), rank(two)) {
        return Some(if a > b { one.clone() } else { two.clone() });
    }
    match (one, two) {
        (Float32, Float64) | (Float64, Float32) => Some(Float64),
        (Decimal128(p1, s1), Decimal128(p2, s2)) => {
            let scale = *s1.max(s2);
            let whole = (*p1 as i8 - s1).max(*p2 as i8 - s2);
            let precision = whole + scale;
            (precision <= 38).then_some(Decimal128(precision as u8, scale))
        }
        (List(a), List(b)) => {
            Some(List(Arc::new(Field::new("element", unify(a.data_type(), b.data_type())?, true))))
        }
        (Struct(a), Struct(b)) => {
            let mut fields: Vec<Arc<Field>> = a.iter().cloned().collect();
            for field in b {
                match fields.iter_mut().find(|f| f.name().eq_ignore_ascii_case(field.name())) {
                    Some(same) => {
                        let data_type = unify(same.data_type(), field.data_type())?;
                        *same = Arc::new(same.as_ref().clone().with_data_type(data_type));
                    }
                    None => fields.push(field.clone()),
                }
            }
            Some(Struct(fields.into()))
        }
        _ => None,
    }
}

/// Evidence of columns (or of the fields of an object), by their names as found, in the order of appearance.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Findings {
    names: Vec<String>,
    evidence: Vec<Evidence>,
    index: HashMap<String, usize>,
}

impl Findings {
    /// The evidence of a column, which is added when it is new.
    pub fn column(&mut self, name: &str) -> &mut Evidence {
        let at = match self.index.get(name) {
            Some(at) => *at,
            None => {
                self.names.push(name.to_string());
                self.evidence.push(Evidence::default());
                self.index.insert(name.to_string(), self.names.len() - 1);
                self.names.len() - 1
            }
        };
        &mut self.evidence[at]
    }

    pub fn merge(&mut self, other: Findings) {
        for (name, evidence) in other.names.into_iter().zip(other.evidence) {
            self.column(&name).merge(evidence);
        }
    }

    pub fn names(&self) -> &[String] {
        &self.names
    }

    pub fn get(&self, name: &str) -> Option<&Evidence> {
        self.index.get(name).map(|at| &self.evidence[*at])
    }

    /// Puts columns beyond the first `keep` in the order of their names, so that the order in which blocks were looked
    /// at does not show.
    pub fn sort_after(&mut self, keep: usize) {
        let mut order: Vec<usize> = (0..self.names.len()).collect();
        order[keep.min(self.names.len())..].sort_by(|a, b| self.names[*a].cmp(&self.names[*b]));
        let mut sorted = Findings::default();
        for at in order {
            let mut evidence = std::mem::take(&mut self.evidence[at]);
            if let Some(fields) = &mut evidence.fields {
                fields.sort_after(0);
            }
            *sorted.column(&self.names[at]) = evidence;
        }
        *self = sorted;
    }

    fn struct_fields(&self) -> Fields {
        let typed: Vec<(&String, DataType)> = self
            .names
            .iter()
            .zip(&self.evidence)
            .filter_map(|(name, evidence)| Some((name, evidence.data_type()?)))
            .collect();
        let names: Vec<&String> = typed.iter().map(|(name, _)| *name).collect();
        let clean = column_names(&names);
        typed
            .into_iter()
            .zip(clean)
            .map(|((original, data_type), clean)| named_field(&clean, original, data_type))
            .collect()
    }
}
