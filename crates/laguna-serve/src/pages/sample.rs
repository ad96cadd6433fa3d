//! Some rows of a table as the reader sees them.

use std::time::Duration;

use arrow::datatypes::Field;
use askama::Template;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use laguna_base::{Result, TableName};
use laguna_query::output;

use super::page::{self, Reader};
use super::sight::Sight;
use super::table::{named, sql_name};
use super::text::{cut, is_number, type_name};

const PATIENCE: Duration = Duration::from_secs(10);
const ROWS: usize = 20;
/// Characters of a value that are shown, and those that are told on hover.
const WIDTH: (usize, usize) = (80, 2000);

#[derive(Template)]
#[template(path = "sample.html")]
struct SamplePart {
    columns: Vec<(String, String, bool)>,
    rows: Vec<Vec<Cell>>,
}

/// One value.
struct Cell {
    /// `None` is null.
    text: Option<String>,
    /// The whole value, where more of it is there than is shown.
    full: Option<String>,
    number: bool,
}

/// Answers `/tables/{tier}/{table}/sample`.
pub(super) async fn part(Reader(sight): Reader, Path((tier, table)): Path<(String, String)>) -> Response {
    let name = match named(&sight, &tier, &table) {
        Ok(name) => name,
        Err(broken) => return broken.into_response(),
    };
    page::part(sample(&sight, &name).await)
}

async fn sample(sight: &Sight, name: &TableName) -> Result<Response> {
    let sql = format!("SELECT * FROM {} LIMIT {ROWS}", sql_name(name));
    let (schema, batches) = sight.batches(&sql, PATIENCE).await?;
    let is_numeric = |field: &Field| is_number(field.data_type());
    let mut rows = Vec::new();
    for batch in &batches {
        let columns = output::texts(batch)?;
        for row in 0..batch.num_rows() {
            let cells = columns.iter().zip(schema.fields()).map(|(values, field)| {
                let text = values[row].as_deref();
                Cell {
                    text: text.map(|text| cut(text, WIDTH.0)),
                    full: text.filter(|text| text.chars().count() > WIDTH.0).map(|text| cut(text, WIDTH.1)),
                    number: is_numeric(field),
                }
            });
            rows.push(cells.collect());
        }
    }
    let columns = schema
        .fields()
        .iter()
        .map(|field| (field.name().clone(), type_name(field.data_type()), is_numeric(field)))
        .collect();
    page::html_part(&SamplePart { columns, rows })
}
