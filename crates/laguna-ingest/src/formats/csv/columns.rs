//! Fields to columns: one tight loop for each column of a block.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanArray, BooleanBuilder, Decimal128Builder, NullBufferBuilder,
    PrimitiveArray, StringArray,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, TimestampMicrosecondType,
};
use laguna_base::Error;

use super::CsvBlock;
use super::index::{Index, plain, strip};
use crate::evidence::Findings;
use crate::formats::{BadRow, Parsed, Stop};
use crate::read::RowNumbers;
use crate::scalar;
use crate::target::{Place, Target, Trust, raw_text, row_numbers};
use crate::types::word;

/// What the block's values say of the columns.
pub fn infer(block: &CsvBlock, findings: &mut Findings) {
    let width = block.columns.len();
    let index = Index::new(&block.bytes, block.dialect, width);
    let refused = refused_text(block, &index);
    for (column, name) in block.columns.iter().enumerate() {
        let evidence = findings.column(name);
        for row in 0..index.rows() {
            if evidence.is_text() {
                break;
            }
            let (start, end) = index.field(row, column, width);
            let field = &block.bytes[start..end];
            if block.nulls.holds(field) || refused.as_ref().is_some_and(|bad| bad[row]) {
                continue;
            }
            let text = plain(field, block.dialect.quote);
            if !text.is_empty() {
                evidence.text(&text, block.zone, true);
            }
        }
    }
}

/// The block's rows in the target's schema, and the rows that don't fit.
pub fn parse(block: &CsvBlock, target: &Target) -> Result<Parsed, Stop> {
    let width = block.columns.len();
    let index = Index::new(&block.bytes, block.dialect, width);
    let rows = index.rows();
    let mut faults = Faults::new(rows);
    if let Some(refused) = refused_text(block, &index) {
        for (row, _) in refused.iter().enumerate().filter(|(_, bad)| **bad) {
            faults.add(row, || {
                "the row is not valid UTF-8; `csv: {encoding: …}` names another encoding".to_string()
            });
        }
    }
    let mut columns: Vec<Option<ArrayRef>> = vec![None; target.schema.fields().len()];
    for (column, name) in block.columns.iter().enumerate() {
        let reader = Reader { block, index: &index, column, width };
        match target.place(name) {
            Place::Ignored => {}
            Place::Untyped => {
                for row in 0..rows {
                    let field = reader.field(row);
                    if !block.nulls.holds(field)
                        && !plain(field, block.dialect.quote).is_empty()
                        && !faults.holds(row)
                    {
                        return Err(Stop::Contradiction);
                    }
                }
            }
            Place::Column(at) => {
                let field = target.schema.field(at);
                let array = reader.column(field.data_type(), field.name(), target, at, &mut faults)?;
                columns[at] = Some(array);
            }
        }
    }
    let number = |line: u32| block.rows.start + u64::from(line);
    let mut bad: Vec<BadRow> = index
        .bad
        .iter()
        .map(|(line, start, end, reason)| BadRow {
            row: number(*line),
            raw: raw_text(strip(&block.bytes[*start as usize..*end as usize])),
            json: None,
            reason: reason.clone(),
        })
        .collect();
    for (row, reason) in &faults.reasons {
        let (start, end) = index.row(*row, width);
        bad.push(BadRow {
            row: number(index.lines[*row]),
            raw: raw_text(strip(&block.bytes[start..end])),
            json: json_of(block, &index, *row),
            reason: reason.clone(),
        });
    }
    bad.sort_by_key(|row| row.row);
    let keep = faults.keep();
    let batch = target.batch(columns, rows, keep.as_ref())?;
    let rows = match (index.lines.first(), index.lines.last()) {
        (Some(first), Some(last)) if keep.is_none() && (last - first) as usize + 1 == rows => {
            RowNumbers::From(number(*first))
        }
        _ => {
            let kept = (0..rows).filter(|row| !faults.holds(*row));
            row_numbers(kept.map(|row| number(index.lines[row]) as i64).collect())
        }
    };
    Ok(Parsed { batch, rows, bad })
}

/// Rows whose bytes are not UTF-8; `None` when all are.
fn refused_text(block: &CsvBlock, index: &Index) -> Option<Vec<bool>> {
    if std::str::from_utf8(&block.bytes).is_ok() {
        return None;
    }
    let width = block.columns.len();
    let bad = |row| {
        let (start, end) = index.row(row, width);
        std::str::from_utf8(&block.bytes[start..end]).is_err()
    };
    Some((0..index.rows()).map(bad).collect())
}

fn json_of(block: &CsvBlock, index: &Index, row: usize) -> Option<String> {
    let width = block.columns.len();
    let mut object = serde_json::Map::new();
    let mut size = 0;
    for (column, name) in block.columns.iter().enumerate() {
        let (start, end) = index.field(row, column, width);
        let field = &block.bytes[start..end];
        size += field.len();
        let value = if block.nulls.holds(field) {
            serde_json::Value::Null
        } else {
            String::from_utf8_lossy(&plain(field, block.dialect.quote)).into_owned().into()
        };
        object.insert(name.clone(), value);
    }
    (size <= crate::target::MAX_RAW).then(|| serde_json::Value::Object(object).to_string())
}

/// Rows that don't fit, each with its first reason.
struct Faults {
    rows: usize,
    bad: Option<Vec<bool>>,
    reasons: Vec<(usize, String)>,
}

impl Faults {
    fn new(rows: usize) -> Self {
        Faults { rows, bad: None, reasons: Vec::new() }
    }

    fn add(&mut self, row: usize, reason: impl FnOnce() -> String) {
        let bad = self.bad.get_or_insert_with(|| vec![false; self.rows]);
        if !std::mem::replace(&mut bad[row], true) {
            self.reasons.push((row, reason()));
        }
    }

    fn holds(&self, row: usize) -> bool {
        self.bad.as_ref().is_some_and(|bad| bad[row])
    }

    fn keep(&self) -> Option<BooleanArray> {
        let bad = self.bad.as_ref()?;
        Some(BooleanArray::new(BooleanBuffer::from_iter(bad.iter().map(|bad| !bad)), None))
    }
}

struct Reader<'a> {
    block: &'a CsvBlock,
    index: &'a Index,
    column: usize,
    width: usize,
}

impl<'a> Reader<'a> {
    #[inline]
    fn field(&self, row: usize) -> &'a [u8] {
        let (start, end) = self.index.field(row, self.column, self.width);
        &self.block.bytes[start..end]
    }

    fn column(
        &self,
        data_type: &DataType,
        name: &str,
        target: &Target,
        at: usize,
        faults: &mut Faults,
    ) -> Result<ArrayRef, Stop> {
        let trust = target.trust[at];
        let strict = trust.strict;
        let zone = target.zone;
        let mut to = Refusal { faults, trust, name, data_type };
        let to = &mut to;
        Ok(match data_type {
            DataType::Utf8 => Arc::new(self.text(to)?),
            DataType::Int64 => self.numbers::<Int64Type>(to, |text| scalar::int(text, strict))?,
            DataType::Float64 => self.numbers::<Float64Type>(to, |text| scalar::double(text, strict))?,
            DataType::Date32 => self.numbers::<Date32Type>(to, scalar::date)?,
            DataType::Timestamp(_, tz) => {
                let tz = tz.clone();
                let parse = |text: &[u8]| {
                    scalar::timestamp(text, zone, strict).or_else(|| scalar::midnight(text, zone))
                };
                let array = self.primitive::<TimestampMicrosecondType>(to, parse)?;
                Arc::new(array.with_timezone_opt(tz))
            }
            DataType::Int32 => {
                self.numbers::<Int32Type>(to, |text| scalar::int(text, strict)?.try_into().ok())?
            }
            DataType::Int16 => {
                self.numbers::<Int16Type>(to, |text| scalar::int(text, strict)?.try_into().ok())?
            }
            DataType::Int8 => {
                self.numbers::<Int8Type>(to, |text| scalar::int(text, strict)?.try_into().ok())?
            }
            DataType::Float32 => self.numbers::<Float32Type>(to, |text| real(text, strict))?,
            DataType::Boolean => {
                let mut builder = BooleanBuilder::with_capacity(self.index.rows());
                self.each(to, |text| scalar::boolean(text, strict), |value| builder.append_option(value))?;
                Arc::new(builder.finish())
            }
            DataType::Decimal128(precision, scale) => {
                let mut builder = Decimal128Builder::with_capacity(self.index.rows())
                    .with_precision_and_scale(*precision, *scale)
                    .map_err(|error| Error::internal("a decimal type is impossible").caused_by(error))?;
                let parse = |text: &[u8]| scalar::decimal(text, *precision, *scale);
                self.each(to, parse, |value| builder.append_option(value))?;
                Arc::new(builder.finish())
            }
            DataType::Binary => {
                let mut builder = BinaryBuilder::new();
                self.each(to, |text| Some(text.to_vec()), |value| builder.append_option(value))?;
                Arc::new(builder.finish())
            }
            other => {
                return Err(Stop::Error(
                    Error::project(format!("column `{name}` is {} and cannot come from CSV", word(other)))
                        .hint("land these files as a dataset of their own"),
                ));
            }
        })
    }

    fn numbers<T: ArrowPrimitiveType>(
        &self,
        to: &mut Refusal,
        parse: impl Fn(&[u8]) -> Option<T::Native>,
    ) -> Result<ArrayRef, Stop> {
        Ok(Arc::new(self.primitive::<T>(to, parse)?))
    }

    fn primitive<T: ArrowPrimitiveType>(
        &self,
        to: &mut Refusal,
        parse: impl Fn(&[u8]) -> Option<T::Native>,
    ) -> Result<PrimitiveArray<T>, Stop> {
        let rows = self.index.rows();
        let mut values = Vec::with_capacity(rows);
        let mut nulls = NullBufferBuilder::new(rows);
        self.each(to, parse, |value| {
            nulls.append(value.is_some());
            values.push(value.unwrap_or_default());
        })?;
        Ok(PrimitiveArray::new(ScalarBuffer::from(values), nulls.finish()))
    }

    /// Every row's value in order. A value that does not parse is null in the column and a fault of its row.
    #[inline]
    fn each<V>(
        &self,
        to: &mut Refusal,
        parse: impl Fn(&[u8]) -> Option<V>,
        mut push: impl FnMut(Option<V>),
    ) -> Result<(), Stop> {
        let quote = self.block.dialect.quote;
        // Words for null that are no value of any type but binary can wait: parsing first is faster.
        let nulls_first = self.block.nulls.come_first(to.trust.strict) || *to.data_type == DataType::Binary;
        for row in 0..self.index.rows() {
            let field = self.field(row);
            if let Some(value) = parse(field)
                && field.first() != Some(&quote)
                && !(nulls_first && self.block.nulls.holds(field))
            {
                push(Some(value));
                continue;
            }
            if self.block.nulls.holds(field) {
                push(None);
                continue;
            }
            let text = plain(field, quote);
            let trimmed = if to.trust.strict { &text[..] } else { text.trim_ascii() };
            if trimmed.is_empty() {
                push(None);
                continue;
            }
            match parse(trimmed) {
                Some(value) => push(Some(value)),
                None => {
                    to.refuse(row, &text)?;
                    push(None);
                }
            }
        }
        Ok(())
    }

    fn text(&self, to: &mut Refusal) -> Result<StringArray, Stop> {
        let rows = self.index.rows();
        let quote = self.block.dialect.quote;
        let mut offsets: Vec<i32> = Vec::with_capacity(rows + 1);
        let mut values: Vec<u8> = Vec::with_capacity(rows * 8);
        let mut nulls = NullBufferBuilder::new(rows);
        offsets.push(0);
        for row in 0..rows {
            let field = self.field(row);
            if self.block.nulls.holds(field) {
                nulls.append_null();
            } else {
                nulls.append_non_null();
                if to.faults.holds(row) {
                    // The row is not UTF-8 and goes aside.
                } else if field[0] == quote {
                    values.extend_from_slice(&plain(field, quote));
                } else {
                    values.extend_from_slice(field);
                }
            }
            offsets.push(values.len() as i32);
        }
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        let nulls: Option<NullBuffer> = nulls.finish();
        StringArray::try_new(offsets, Buffer::from_vec(values), nulls)
            .map_err(|error| Stop::Error(Error::internal("a column of text is not UTF-8").caused_by(error)))
    }
}

fn real(text: &[u8], strict: bool) -> Option<f32> {
    let value = scalar::double(text, strict)? as f32;
    (value.is_finite() || !strict).then_some(value)
}

struct Refusal<'a> {
    faults: &'a mut Faults,
    trust: Trust,
    name: &'a str,
    data_type: &'a DataType,
}

impl Refusal<'_> {
    #[cold]
    fn refuse(&mut self, row: usize, text: &[u8]) -> Result<(), Stop> {
        if self.trust.inferred && !self.faults.holds(row) {
            return Err(Stop::Contradiction);
        }
        let (name, wanted) = (self.name, word(self.data_type));
        self.faults.add(row, || {
            let text = String::from_utf8_lossy(text);
            let shown: String = text.chars().take(60).collect();
            let more = if shown.len() < text.len() { "…" } else { "" };
            format!("column `{name}`: `{shown}{more}` is not a {wanted}")
        });
        Ok(())
    }
}
