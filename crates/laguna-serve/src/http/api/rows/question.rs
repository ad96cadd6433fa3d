//! What an address asks of a table, as typed, and as SQL.

use arrow::datatypes::{DataType, Field, Schema};
use laguna_base::hash::Fingerprint;
use laguna_base::{Error, Result, TableName, suggest};
use schemars::JsonSchema;

use super::cursor::{Cursor, State};
use super::filter::Conditions;
use crate::http::api::tables::sql_name;
use crate::http::values;
use crate::pages::text::quoted;

/// Rows of a page where nothing else is asked.
const LIMIT: u64 = 100;

/// Rows of a page at most.
pub(super) const MOST: u64 = 10_000;

/// What an address asks. Any other parameter is the name of a column: `carrier=eq.UA`.
#[derive(Debug, Default, JsonSchema)]
pub(super) struct Asked {
    /// Columns, as `carrier,flight`; all where it is left out.
    pub(super) select: Option<String>,
    /// Columns that order, as `day.desc,carrier`; `.nullsfirst` and `.nullslast` may follow. Without: nulls last, with
    /// `.desc` first.
    pub(super) order: Option<String>,
    /// Rows of the page; default 100.
    #[schemars(range(min = 1, max = 10_000))]
    pub(super) limit: Option<u64>,
    /// `next` of the page before.
    pub(super) after: Option<String>,
    /// A condition, as `carrier.eq.UA`; may be given more than once. Operators are eq, neq, gt, gte, lt, lte, like, ilike
    /// (`*` stands for any text), in.(a,b), is.null, is.not_null, is.true, is.false, each after `not.` too. `carrier=eq.UA`
    /// is the same.
    #[schemars(default)]
    pub(super) filter: Vec<String>,
    /// Reads the lake as it was then.
    pub(super) as_of: Option<String>,
    /// Reads this release.
    pub(super) release: Option<u64>,
    /// `json`, `ndjson`, `csv`, `arrow` or `parquet`; wins over `Accept`.
    #[schemars(extend("enum" = ["json", "ndjson", "csv", "arrow", "parquet"]))]
    pub(super) format: Option<String>,
    /// Columns with what is asked of them.
    #[schemars(skip)]
    pub(super) columns: Vec<(String, String)>,
}

/// Words that are no columns.
const WORDS: [&str; 8] = ["select", "order", "limit", "after", "filter", "as_of", "release", "format"];

impl Asked {
    pub(super) fn parse(pairs: Vec<(String, String)>) -> Result<Asked> {
        let mut asked = Asked::default();
        for (name, value) in pairs {
            let once = match name.as_str() {
                "select" => &mut asked.select,
                "order" => &mut asked.order,
                "after" => &mut asked.after,
                "as_of" => &mut asked.as_of,
                "format" => &mut asked.format,
                "limit" => {
                    set(&name, &mut asked.limit, number(&name, &value)?)?;
                    continue;
                }
                "release" => {
                    set(&name, &mut asked.release, number(&name, &value)?)?;
                    continue;
                }
                "filter" => {
                    asked.filter.push(value);
                    continue;
                }
                _ => {
                    asked.columns.push((name, value));
                    continue;
                }
            };
            set(&name, once, value)?;
        }
        if asked.limit.is_some_and(|limit| !(1..=MOST).contains(&limit)) {
            let limit = asked.limit.unwrap_or_default();
            return Err(Error::project(format!("`limit` is {limit}"))
                .hint(format!("a page holds 1 to {MOST} rows; POST /v1/sql answers with all")));
        }
        Ok(asked)
    }

    /// Rows of the page.
    pub(super) fn limit(&self) -> u64 {
        self.limit.unwrap_or(LIMIT)
    }

    /// What is the same for all pages.
    pub(super) fn fingerprint(&self, table: &TableName) -> String {
        let mut parts = Fingerprint::new();
        parts.add(table.to_string());
        for text in [&self.select, &self.order, &self.as_of] {
            parts.add(format!("{text:?}"));
        }
        parts.add(format!("{:?}", (self.release, &self.filter, &self.columns)));
        parts.finish()[..16].to_string()
    }
}

fn set<T>(name: &str, place: &mut Option<T>, value: T) -> Result<()> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Error::project(format!("`{name}` is given twice")).hint("give it once")),
    }
}

fn number(name: &str, text: &str) -> Result<u64> {
    text.parse()
        .map_err(|_| Error::project(format!("`{name}={text}` is not a whole number")).hint("as limit=100"))
}

/// A column that orders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) field: Field,
    descending: bool,
    nulls_first: bool,
}

/// What is asked of a table whose columns are known.
pub(super) struct Question {
    table: TableName,
    /// Columns of the answer; behind them those that only order.
    pub(super) columns: Vec<String>,
    /// Columns of the answer.
    pub(super) shown: usize,
    /// Their order is total, but for rows that are equal in all that can be ordered.
    pub(super) keys: Vec<Key>,
    conditions: Conditions,
}

impl Question {
    /// `unique`: columns of which no two rows have the same values.
    pub(super) fn new(
        table: TableName,
        schema: &Schema,
        unique: &[String],
        asked: &Asked,
    ) -> Result<Question> {
        let field = |name: &str| {
            schema.field_with_name(name).map_err(|_| {
                let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
                Error::project(format!("`{table}` has no column `{name}`"))
                    .sqlstate("42703")
                    .hint(suggest::hint(name, &names))
            })
        };
        let mut columns: Vec<String> = Vec::new();
        match asked.select.as_deref().map(str::trim) {
            None | Some("" | "*") => columns.extend(schema.fields().iter().map(|field| field.name().clone())),
            Some(text) => {
                for name in names(text)? {
                    columns.push(field(&name)?.name().clone());
                }
            }
        }
        let shown = columns.len();
        let mut keys: Vec<Key> = Vec::new();
        for text in asked.order.as_deref().map(names).transpose()?.unwrap_or_default() {
            let key = ordering(&text, field)?;
            if keys.iter().all(|known| known.field.name() != key.field.name()) {
                keys.push(key);
            }
        }
        let unique: Option<Vec<&Field>> = unique
            .iter()
            .map(|name| schema.field_with_name(name).ok().filter(|field| can_order(field.data_type())))
            .collect();
        let ties = match unique.filter(|unique| !unique.is_empty()) {
            Some(unique) => unique,
            None => schema
                .fields()
                .iter()
                .map(AsRef::as_ref)
                .filter(|field| can_order(field.data_type()))
                .collect(),
        };
        for field in ties {
            if keys.iter().all(|known| known.field.name() != field.name()) {
                keys.push(Key { field: field.clone(), descending: false, nulls_first: false });
            }
        }
        for key in &keys {
            if !columns.contains(key.field.name()) {
                columns.push(key.field.name().clone());
            }
        }
        let mut conditions = Conditions::default();
        for (name, text) in &asked.columns {
            let known = field(name).map_err(|error| match suggest::nearest(name, WORDS) {
                Some(word) => {
                    Error::project(error.message()).sqlstate("42703").hint(format!("did you mean `{word}`?"))
                }
                None => error,
            })?;
            conditions.add(known, text)?;
        }
        for text in &asked.filter {
            let (name, rest) = head(text)?;
            conditions.add(field(&name)?, rest.strip_prefix('.').unwrap_or_default())?;
        }
        Ok(Question { table, columns, shown, keys, conditions })
    }

    /// The statement that answers with a page, and its parameters.
    pub(super) fn sql(
        mut self,
        state: &State,
        after: Option<&Cursor>,
        limit: u64,
    ) -> Result<(String, Vec<datafusion::scalar::ScalarValue>)> {
        let columns: Vec<String> = self.columns.iter().map(|name| quoted(name)).collect();
        let mut sql = format!("SELECT {} FROM {}", columns.join(", "), sql_name(&self.table));
        if let State::Version(version) = state {
            sql += &format!(" FOR VERSION AS OF {version}");
        }
        if let Some(cursor) = after {
            let from = self.from(cursor)?;
            self.conditions.sql.extend(from);
        }
        if !self.conditions.sql.is_empty() {
            sql += &format!(" WHERE {}", self.conditions.sql.join(" AND "));
        }
        if !self.keys.is_empty() {
            let order = self.keys.iter().map(|key| {
                format!(
                    "{} {} NULLS {}",
                    quoted(key.field.name()),
                    if key.descending { "DESC" } else { "ASC" },
                    if key.nulls_first { "FIRST" } else { "LAST" }
                )
            });
            sql += &format!(" ORDER BY {}", order.collect::<Vec<_>>().join(", "));
        }
        sql += &format!(" LIMIT {limit}");
        if let Some(shown) = after.map(|cursor| cursor.shown).filter(|shown| *shown > 0) {
            sql += &format!(" OFFSET {shown}");
        }
        Ok((sql, self.conditions.params))
    }

    /// The condition of rows that do not come before the place of `cursor`; none without columns that order.
    fn from(&mut self, cursor: &Cursor) -> Result<Option<String>> {
        let mut condition: Option<String> = None;
        for (key, text) in self.keys.iter().zip(&cursor.keys).rev() {
            let column = quoted(key.field.name());
            let (behind, equal) = match text {
                None => {
                    (key.nulls_first.then(|| format!("{column} IS NOT NULL")), format!("{column} IS NULL"))
                }
                Some(text) => {
                    let value = values::from_text(text, key.field.data_type())?;
                    let value = self.conditions.param(value);
                    let compared = format!("{column} {} {value}", if key.descending { "<" } else { ">" });
                    let behind = match key.nulls_first {
                        true => compared,
                        false => format!("({compared} OR {column} IS NULL)"),
                    };
                    (Some(behind), format!("{column} = {value}"))
                }
            };
            let equal = match condition {
                Some(rest) => format!("({equal} AND {rest})"),
                None => equal,
            };
            condition = Some(match behind {
                Some(behind) => format!("({behind} OR {equal})"),
                None => equal,
            });
        }
        Ok(condition)
    }
}

/// Whether values of a type have an order that SQL and the answer agree on.
fn can_order(data_type: &DataType) -> bool {
    !data_type.is_nested()
        && !matches!(data_type, DataType::Null | DataType::Interval(_) | DataType::Duration(_))
}

/// The names of `a,"b,c",d.desc`: what stands in quotes stays as it is, with its quotes.
fn names(text: &str) -> Result<Vec<String>> {
    let mut names = Vec::new();
    let (mut name, mut in_quotes) = (String::new(), false);
    for c in text.chars() {
        match c {
            ',' if !in_quotes => names.push(std::mem::take(&mut name)),
            _ => {
                in_quotes ^= c == '"';
                name.push(c);
            }
        }
    }
    names.push(name);
    if in_quotes || names.iter().any(|name| name.trim().is_empty()) {
        return Err(Error::project(format!("`{text}` is no list of columns")).hint("as carrier,flight"));
    }
    names.into_iter().map(|name| unquoted(name.trim())).collect()
}

fn unquoted(text: &str) -> Result<String> {
    match head(text)? {
        (name, "") => Ok(name),
        // `day.desc`, or a name with a point: whoever reads it looks.
        _ => Ok(text.to_string()),
    }
}

/// The column at the start of `carrier.eq.UA` or `"odd.name".eq.UA`, and what follows.
fn head(text: &str) -> Result<(String, &str)> {
    let Some(mut rest) = text.strip_prefix('"') else {
        let end = text.find('.').unwrap_or(text.len());
        return Ok((text[..end].to_string(), &text[end..]));
    };
    let mut name = String::new();
    loop {
        let end = rest.find('"').ok_or_else(|| {
            Error::project(format!("a quote is missing in `{text}`")).hint("write \"odd.name\".eq.1")
        })?;
        name.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(after) => {
                name.push('"');
                rest = after;
            }
            None => return Ok((name, rest)),
        }
    }
}

/// The column and direction of `day.desc.nullslast`.
fn ordering<'a>(text: &str, field: impl Fn(&str) -> Result<&'a Field>) -> Result<Key> {
    let (name, words) = head(text)?;
    let field = field(&name)?;
    if !can_order(field.data_type()) {
        return Err(Error::project(format!("`{name}` has no order"))
            .sqlstate("42883")
            .hint("it holds lists, structures or spans of time: order by another column"));
    }
    let mut key = Key { field: field.clone(), descending: false, nulls_first: false };
    let mut nulls = None;
    for word in words.split('.').skip(1) {
        match word {
            "asc" => key.descending = false,
            "desc" => key.descending = true,
            "nullsfirst" => nulls = Some(true),
            "nullslast" => nulls = Some(false),
            _ => {
                return Err(Error::project(format!("`{word}` is no order"))
                    .hint(suggest::hint(word, ["asc", "desc", "nullsfirst", "nullslast"])));
            }
        }
    }
    // As PostgreSQL: null is greater than everything.
    key.nulls_first = nulls.unwrap_or(key.descending);
    Ok(key)
}

#[cfg(test)]
mod tests;
