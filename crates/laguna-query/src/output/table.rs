//! A result as a table for people: the first rows, then how many there are.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, CellAlignment, ContentArrangement};
use laguna_base::human::{count, thousands};

use super::Layout;
use super::values::{Style, encoder};

/// Characters of one value that are shown.
const VALUE: usize = 200;

/// Rows that are gathered for a table.
pub(super) struct Table {
    table: comfy_table::Table,
    right: Vec<bool>,
    max_rows: usize,
    rows: usize,
}

impl Table {
    pub(super) fn new(schema: &SchemaRef, layout: &Layout) -> Table {
        let mut table = comfy_table::Table::new();
        table.load_preset(UTF8_FULL_CONDENSED);
        match layout.width {
            Some(width) => {
                table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
            }
            None => {
                table.set_content_arrangement(ContentArrangement::Disabled);
            }
        }
        let right: Vec<bool> = schema.fields().iter().map(|field| field.data_type().is_numeric()).collect();
        let header = schema.fields().iter().zip(&right).map(|(field, right)| aligned(field.name(), *right));
        table.set_header(header);
        Table { table, right, max_rows: layout.max_rows.unwrap_or(usize::MAX), rows: 0 }
    }

    pub(super) fn add(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        let shown = self.max_rows.saturating_sub(self.rows).min(batch.num_rows());
        self.rows += batch.num_rows();
        if shown == 0 {
            return Ok(());
        }
        let columns = batch
            .columns()
            .iter()
            .map(|column| encoder(column.as_ref(), Style::Text))
            .collect::<Result<Vec<_>, _>>()?;
        let mut value = Vec::new();
        for row in 0..shown {
            let mut cells = Vec::with_capacity(columns.len());
            for (column, right) in columns.iter().zip(&self.right) {
                value.clear();
                match column.is_null(row) {
                    true => value.extend_from_slice(b"NULL"),
                    false => column.write(row, &mut value),
                }
                cells.push(aligned(&String::from_utf8_lossy(&value), *right));
            }
            self.table.add_row(cells);
        }
        Ok(())
    }

    pub(super) fn finish(self) -> String {
        let rows = count(self.rows as u64, "row");
        let shown = match self.rows > self.max_rows {
            true => format!(", the first {} shown", thousands(self.max_rows as u64)),
            false => String::new(),
        };
        format!("{}\n{rows}{shown}\n", self.table)
    }
}

fn aligned(text: &str, right: bool) -> Cell {
    let cell = Cell::new(printable(text));
    if right { cell.set_alignment(CellAlignment::Right) } else { cell }
}

/// One line without control characters, which could move the cursor or change colours.
fn printable(text: &str) -> String {
    let mut shown: String = String::with_capacity(text.len().min(VALUE));
    for (index, c) in text.chars().enumerate() {
        if index >= VALUE && text.chars().count() > VALUE + 1 {
            shown.push('…');
            break;
        }
        match c.is_control() {
            true => shown.extend(c.escape_default()),
            false => shown.push(c),
        }
    }
    shown
}
