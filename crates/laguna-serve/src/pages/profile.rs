//! Columns of a table, and what their values are like: as the reader sees them, computed by statements of his own that may
//! not take long.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, Field};
use askama::Template;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use laguna_base::{Result, TableName};
use laguna_query::Moment;

use super::columns::Columns;
use super::draw::{self, Bar, Svg};
use super::page::{self, Reader};
use super::sight::Sight;
use super::table::{named, sql_name};
use super::text::{cut, is_number, is_time, quoted, short, type_name, whole};

/// How long one of the statements may run.
const PATIENCE: Duration = Duration::from_secs(10);
/// Rows that are looked at: a profile of more would keep others waiting.
const ROWS: usize = 1_000_000;
/// Bars of a histogram of numbers.
const BARS: usize = 20;
/// Different values of a column that has a bar for each of its most frequent ones.
const FEW: i64 = 40;
/// Bars of such a column.
const FREQUENT: usize = 10;
/// Columns that get bars of frequent values: each is one more pass over its column.
const COUNTED: usize = 12;
/// Columns that are profiled.
const WIDE: usize = 100;

/// One column of the table of columns.
pub(super) struct ColumnView {
    pub(super) name: String,
    pub(super) type_name: String,
    pub(super) description: Option<String>,
    pub(super) tags: Vec<String>,
    pub(super) profile: Option<ColumnProfile>,
    data_type: DataType,
}

/// What the values of a column are like.
#[derive(Default)]
pub(super) struct ColumnProfile {
    pub(super) nulls: String,
    pub(super) all_null: bool,
    pub(super) some_null: bool,
    pub(super) distinct: String,
    pub(super) low: String,
    pub(super) high: String,
    pub(super) mean: String,
    pub(super) bars: Option<Svg>,
}

impl ColumnView {
    pub(super) fn new(sight: &Sight, table: &TableName, field: &Arc<Field>) -> ColumnView {
        let (description, tags) = sight.about_column(table, field.name());
        ColumnView {
            name: field.name().clone(),
            type_name: type_name(field.data_type()),
            description,
            tags,
            profile: None,
            data_type: field.data_type().clone(),
        }
    }

    /// Whether its values can be counted by kind.
    fn is_comparable(&self) -> bool {
        !self.data_type.is_nested() && self.data_type != DataType::Null
    }

    /// Its values as numbers on a line, in SQL: numbers as they are, times as seconds.
    fn line(&self) -> Option<String> {
        let name = quoted(&self.name);
        match &self.data_type {
            number if is_number(number) => Some(format!("CAST({name} AS double)")),
            time if is_time(time) => Some(format!("CAST(date_part('epoch', {name}) AS double)")),
            _ => None,
        }
    }
}

/// The table of columns.
#[derive(Template)]
#[template(path = "columns.html")]
struct ColumnsPart {
    columns: Vec<ColumnView>,
    /// What the numbers are of: `336,776 rows`.
    profiled: Option<String>,
}

/// Answers `/tables/{tier}/{table}/profile`.
pub(super) async fn part(Reader(sight): Reader, Path((tier, table)): Path<(String, String)>) -> Response {
    let name = match named(&sight, &tier, &table) {
        Ok(name) => name,
        Err(broken) => return broken.into_response(),
    };
    page::part(profile(&sight, &name).await)
}

async fn profile(sight: &Sight, name: &TableName) -> Result<Response> {
    let all = format!("SELECT * FROM {}", sql_name(name));
    let schema = sight.core.desk.prepare(&sight.caller, &all, &Moment::Now).await?.schema;
    let mut columns: Vec<ColumnView> =
        schema.fields().iter().map(|field| ColumnView::new(sight, name, field)).collect();
    let few = columns.len().min(WIDE);
    // The engine calls the smallest of a column and of its cast the same: casts get names of their own, with a space,
    // which no column of a table has.
    let lines: String = columns[..few]
        .iter()
        .enumerate()
        .filter_map(|(index, column)| Some(format!(", {} AS {}", column.line()?, line(index))))
        .collect();
    let from = format!("(SELECT *{lines} FROM {} LIMIT {ROWS}) AS t", sql_name(name));
    let numbers = sight.ask(&summary(&columns[..few], &from), PATIENCE).await?;
    let rows = numbers.integers("n").first().copied().flatten().unwrap_or(0);
    let mut ranges = Vec::new();
    for (index, column) in columns[..few].iter_mut().enumerate() {
        let distinct = numbers.integers(&format!("d{index}")).first().copied().flatten();
        column.profile = Some(summarised(column, index, rows, &numbers));
        let bound = |letter: &str| numbers.floats(&format!("{letter}{index}")).first().copied().flatten();
        ranges.push((bound("a"), bound("b"), distinct));
    }
    // Numbers without pictures are better than neither: what takes too long is left out.
    let drawn = bars(sight, &mut columns[..few], &ranges, &from).await;
    let counted = match rows as usize >= ROWS {
        true => format!("{} of its rows", whole(rows)),
        false => laguna_base::human::count(rows as u64, "row"),
    };
    let profiled = match drawn {
        Ok(()) => counted,
        Err(error) => format!("{counted}; no histograms: {}", error.message()),
    };
    page::html_part(&ColumnsPart { columns, profiled: Some(profiled) })
}

/// The name of a column's values as numbers on a line.
fn line(index: usize) -> String {
    quoted(&format!("line {index}"))
}

/// The statement that counts everything at once: of column `i` values that are there (`v`), different values (`d`), the
/// smallest and the largest (`l`, `h`; as numbers `a`, `b`), the mean (`m`).
fn summary(columns: &[ColumnView], from: &str) -> String {
    let mut wanted = vec!["count(*) AS n".to_string()];
    for (index, column) in columns.iter().enumerate() {
        let name = quoted(&column.name);
        wanted.push(format!("count({name}) AS v{index}"));
        if !column.is_comparable() {
            continue;
        }
        let simple =
            column.data_type.is_integer() || column.type_name == "text" || is_time(&column.data_type);
        let counted = if simple { name.clone() } else { format!("CAST({name} AS text)") };
        if column.type_name != "binary" {
            wanted.push(format!("approx_distinct({counted}) AS d{index}"));
            wanted.push(format!(
                "CAST(min({name}) AS text) AS l{index}, CAST(max({name}) AS text) AS h{index}"
            ));
        }
        let line = line(index);
        if column.line().is_some() {
            wanted.push(format!("min({line}) AS a{index}, max({line}) AS b{index}"));
        }
        if is_number(&column.data_type) {
            wanted.push(format!("avg({line}) AS m{index}"));
        }
    }
    format!("SELECT {} FROM {from}", wanted.join(", "))
}

fn summarised(column: &ColumnView, index: usize, rows: i64, numbers: &Columns) -> ColumnProfile {
    let integer = |letter: &str| numbers.integers(&format!("{letter}{index}")).first().copied().flatten();
    let text = |letter: &str| numbers.texts(&format!("{letter}{index}")).into_iter().next().flatten();
    let present = integer("v").unwrap_or(0);
    let share = if rows > 0 { (rows - present) as f64 / rows as f64 * 100.0 } else { 0.0 };
    let shown = |value: String| match &column.data_type {
        integer if integer.is_integer() => value.parse().map(whole).unwrap_or(value),
        number if is_number(number) => value.parse().map(short).unwrap_or(value),
        DataType::Timestamp(..) => value.replacen('T', " ", 1).chars().take(19).collect(),
        _ => cut(&value, 24),
    };
    ColumnProfile {
        nulls: match share {
            _ if rows == 0 || present == rows => String::new(),
            tiny if tiny < 0.05 => "<0.1 %".to_string(),
            share if share > 99.95 && present > 0 => ">99.9 %".to_string(),
            share => format!("{share:.1} %"),
        },
        all_null: rows > 0 && present == 0,
        some_null: present < rows,
        // The count is an estimate; it cannot be more than the values.
        distinct: integer("d")
            .map(|number| {
                if number.min(present) > 50 {
                    format!("≈{}", whole(number.min(present)))
                } else {
                    whole(number.min(present))
                }
            })
            .unwrap_or_default(),
        low: text("l").map(shown).unwrap_or_default(),
        high: text("h").map(shown).unwrap_or_default(),
        mean: numbers.floats(&format!("m{index}")).first().copied().flatten().map(short).unwrap_or_default(),
        bars: None,
    }
}

/// The range of a column on its line, and how many different values it has.
type Range = (Option<f64>, Option<f64>, Option<i64>);

/// Draws the histograms: one statement for all numbers and times, one for frequent values.
async fn bars(sight: &Sight, columns: &mut [ColumnView], ranges: &[Range], from: &str) -> Result<()> {
    let lines: Vec<(usize, Vec<(f64, f64)>)> = columns
        .iter()
        .zip(ranges)
        .enumerate()
        .filter(|(_, (column, _))| column.line().is_some())
        .filter_map(|(index, (column, (low, high, distinct)))| {
            Some((index, steps((*low)?, (*high)?, column.data_type.is_integer(), *distinct)?))
        })
        .collect();
    let mut counts = Vec::new();
    for (index, steps) in &lines {
        let line = line(*index);
        for (step, (start, end)) in steps.iter().enumerate() {
            // The last bar holds the largest value too.
            let below = if step + 1 == steps.len() { "<=" } else { "<" };
            counts.push(format!(
                "count(*) FILTER (WHERE {line} >= {start:e} AND {line} {below} {end:e}) AS s{index}_{step}"
            ));
        }
    }
    if !counts.is_empty() {
        let found = sight.ask(&format!("SELECT {} FROM {from}", counts.join(", ")), PATIENCE).await?;
        for (index, steps) in &lines {
            let of = |step: usize| {
                found.integers(&format!("s{index}_{step}")).first().copied().flatten().unwrap_or(0)
            };
            let column = &mut columns[*index];
            let bars: Vec<Bar> = steps
                .iter()
                .enumerate()
                .map(|(step, (start, end))| Bar {
                    rows: of(step) as u64,
                    label: label(&column.data_type, *start, *end),
                })
                .collect();
            let told = format!("Histogram of {}", column.name);
            if let Some(profile) = &mut column.profile {
                profile.bars = Some(draw::histogram(&bars, &told));
            }
        }
    }
    let frequent: Vec<usize> = columns
        .iter()
        .zip(ranges)
        .enumerate()
        .filter(|(_, (column, (.., distinct)))| {
            let word = column.type_name == "text" || column.data_type == DataType::Boolean;
            word && distinct.is_some_and(|distinct| (1..=FEW).contains(&distinct))
        })
        .map(|(index, _)| index)
        .take(COUNTED)
        .collect();
    if frequent.is_empty() {
        return Ok(());
    }
    let each = frequent.iter().map(|index| {
        let name = quoted(&columns[*index].name);
        format!(
            "(SELECT {index} AS c, CAST({name} AS text) AS value, count(*) AS n FROM {from} WHERE {name} IS NOT NULL GROUP BY {name} ORDER BY n DESC, value LIMIT {FREQUENT})"
        )
    });
    let found = sight.ask(&each.collect::<Vec<_>>().join(" UNION ALL "), PATIENCE).await?;
    let (of, values, rows) = (found.integers("c"), found.texts("value"), found.integers("n"));
    for index in frequent {
        let mut bars: Vec<Bar> = (0..found.len())
            .filter(|row| of[*row] == Some(index as i64))
            .map(|row| Bar {
                rows: rows[row].unwrap_or(0) as u64,
                label: cut(values[row].as_deref().unwrap_or_default(), 60),
            })
            .collect();
        bars.sort_by_key(|bar| std::cmp::Reverse(bar.rows));
        let told = format!("Most frequent values of {}", columns[index].name);
        if let Some(profile) = &mut columns[index].profile
            && !bars.is_empty()
        {
            profile.bars = Some(draw::histogram(&bars, &told));
        }
    }
    Ok(())
}

/// The steps of a histogram from `low` to `high`: one for each whole number where they are few. `None` where there is no
/// range to divide.
fn steps(low: f64, high: f64, whole_numbers: bool, distinct: Option<i64>) -> Option<Vec<(f64, f64)>> {
    let range = high - low;
    if !range.is_finite() || range <= 0.0 {
        return None;
    }
    if whole_numbers && range < BARS as f64 {
        return Some((0..=range as usize).map(|step| (low + step as f64, low + step as f64 + 1.0)).collect());
    }
    // More bars than values would leave gaps that mean nothing.
    let bars = distinct
        .and_then(|distinct| usize::try_from(distinct).ok())
        .map_or(BARS, |distinct| distinct.clamp(2, BARS));
    let width = range / bars as f64;
    let edge = |step: usize| if step == bars { high } else { low + width * step as f64 };
    Some((0..bars).map(|step| (edge(step), edge(step + 1))).collect())
}

/// What the rows of a step have in common.
fn label(data_type: &DataType, start: f64, end: f64) -> String {
    if is_time(data_type) {
        let time = |seconds: f64| {
            let at = laguna_base::Instant::from_micros((seconds * 1e6) as i64).to_datetime();
            match data_type {
                DataType::Date32 | DataType::Date64 => at.format("%Y-%m-%d").to_string(),
                _ => at.format("%Y-%m-%d %H:%M").to_string(),
            }
        };
        return format!("{} to {}", time(start), time(end));
    }
    match data_type.is_integer() && end - start == 1.0 {
        true => short(start),
        false => format!("{} to {}", short(start), short(end)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_cover_the_range_without_gaps() {
        let all = steps(-3.0, 11.5, false, Some(1000)).unwrap();
        assert_eq!((all.len(), all[0].0, all[BARS - 1].1), (BARS, -3.0, 11.5));
        assert!(all.windows(2).all(|pair| pair[0].1 == pair[1].0));
        assert_eq!(steps(0.0, 12.0, false, Some(3)).unwrap(), [(0.0, 4.0), (4.0, 8.0), (8.0, 12.0)]);
        assert_eq!(steps(1.0, 3.0, true, None).unwrap(), [(1.0, 2.0), (2.0, 3.0), (3.0, 4.0)]);
        for (low, high) in [(1.0, 1.0), (0.0, f64::INFINITY), (f64::NAN, 1.0)] {
            assert_eq!(steps(low, high, false, None), None);
        }
    }
}
