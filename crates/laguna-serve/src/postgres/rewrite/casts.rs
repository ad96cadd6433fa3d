//! Casts that stand for names of the catalog, and those that mean something else to PostgreSQL than to the engine.

use datafusion::sql::sqlparser::ast::*;

use super::parameters::placeholder;
use super::{Rewriter, catalog, constant, last_name, number, sql, text};
use crate::postgres::meaning::interval_in_words;
use crate::postgres::meaning::written::{Written, read, time_of_day};

impl Rewriter<'_> {
    /// `TIMESTAMP '…'`, `TIMESTAMPTZ '…'`, `TIME '…'` and `DATE '…'`.
    pub(super) fn typed(&self, typed: &TypedString) -> Option<Expr> {
        let Value::SingleQuotedString(written) = &typed.value.value else { return None };
        if is_regclass(&typed.data_type) {
            return self.cast(&text(written), &typed.data_type);
        }
        self.in_time(written, &typed.data_type)
    }

    /// `pg_cast(inner, …)`, which knows the type of what it casts.
    pub(super) fn pg_cast(&self, inner: impl std::fmt::Display, kind: &str) -> Expr {
        let order = self.context.variables.order().word();
        sql(&format!("pg_cast({inner}, '{kind}', '{}', '{order}')", self.zone()))
    }

    /// A text that is written out as a time of this type; `None` for other types.
    fn in_time(&self, written: &str, data_type: &DataType) -> Option<Expr> {
        let kind = kind(data_type)?;
        let instant = kind == "timestamptz";
        if let Some(word) = word(written, &kind) {
            return Some(match instant {
                // What day it is, and what a clock without a zone shows, hangs on the session's.
                true => self.instant(&word.to_string()),
                false => sql(&format!("CAST({word} AS {data_type})")),
            });
        }
        let order = self.context.variables.order();
        let found = match kind.as_str() {
            "time" => time_of_day(written).ok().map(clock),
            "date" => read(written, order).ok().and_then(|written| match written {
                Written::At { day, .. } => Some(day.to_string()),
                Written::Infinite { .. } => None,
            }),
            "timestamp" => read(written, order).ok().and_then(|written| moment(written.clock().ok()?)),
            "timestamptz" => {
                let micros = read(written, order).ok().and_then(|written| written.instant(self.zone()).ok());
                micros.and_then(moment).map(|shown| shown + "Z")
            }
            _ => return None,
        };
        Some(match found {
            Some(found) if instant => self.instant(&text(&found).to_string()),
            Some(found) => sql(&format!("CAST({} AS {data_type})", text(&found))),
            // It says what is wrong with it.
            None => self.pg_cast(text(written), &kind),
        })
    }

    /// Casts to types that stand for names of the catalog, and those that mean something else to the engine.
    pub(super) fn cast(&self, inner: &Expr, data_type: &DataType) -> Option<Expr> {
        let name = data_type.to_string().to_lowercase();
        let name = name.rsplit('.').next().unwrap_or_default().trim_matches('"');
        if let Expr::Cast { expr, data_type: below, .. } = inner
            && is_regclass(below)
        {
            // The name of a relation stays a name.
            return match (is_regclass(data_type), constant(expr)) {
                (true, _) => self.cast(expr, below),
                (false, Some(name)) if is_text(data_type) => Some(text(&shown_name(&name))),
                _ => None,
            };
        }
        if let Some(changed) = meant(inner, data_type) {
            return Some(changed);
        }
        if let Some(written) = constant(inner)
            && let Some(changed) = self.in_time(&written, data_type)
        {
            return Some(changed);
        }
        if let Some(changed) = written_number(inner, data_type) {
            return Some(changed);
        }
        if let Some(changed) = self.cast_of_time(inner, data_type) {
            return Some(changed);
        }
        if let DataType::JSON | DataType::JSONB = data_type
            && placeholder(inner).is_none()
        {
            return Some(sql(&format!("pg_{name}({inner})")));
        }
        // What may be done with a relation, as bits: nothing.
        if let (DataType::Bit(_), Expr::Function(call)) = (data_type, inner)
            && last_name(&call.name) == "pg_relation_is_updatable"
        {
            return Some(number(0));
        }
        let plain = || constant(inner).map(|value| value.replace('"', ""));
        match name {
            "regclass" => Some(match plain() {
                Some(value) => self.relation(&value),
                None if super::catalogs::is_made_text(inner) => {
                    let schema = self.context.variables.schema().unwrap_or_default();
                    sql(&format!("pg_relation_named({inner}, {})", text(&schema)))
                }
                None => sql(&format!(
                    "(SELECT max(pg_name__) FROM (SELECT relname AS pg_name__, oid AS pg_oid__ FROM pg_catalog.pg_class) \
                     pg_c__ WHERE pg_oid__ = {inner})"
                )),
            }),
            "regtype" => Some(match plain() {
                Some(value) => number(catalog::type_oid(&value).unwrap_or(0)),
                None if super::catalogs::is_made_text(inner) => {
                    sql(&format!("format_type(pg_type_named({inner}), NULL)"))
                }
                None => sql(&format!("format_type({inner}, NULL)")),
            }),
            "regproc" | "regprocedure" | "regoper" => Some(match plain() {
                Some(value) => text(value.rsplit('.').next().unwrap_or_default()),
                None => sql(&format!("CAST({inner} AS TEXT)")),
            }),
            "regnamespace" => Some(match plain() {
                Some(value) => number(catalog::schema_oid(&value)),
                None => sql(&format!("pg_regnamespace({inner})")),
            }),
            "regrole" => Some(match plain() {
                Some(_) => number(catalog::OWNER_OID),
                None => text(catalog::OWNER),
            }),
            array if array.ends_with("[]") => {
                let items = array_literal(&constant(inner)?)?;
                Some(sql(&format!("CAST({items} AS {data_type})")))
            }
            _ => None,
        }
    }
}

/// Whether it is a number that is written with a point, which is an exact one.
pub(super) fn is_exact(expr: &Expr) -> bool {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::Number(written, _) => written.contains('.') && !written.contains(['e', 'E']),
            _ => false,
        },
        Expr::Nested(inner) | Expr::UnaryOp { op: UnaryOperator::Minus, expr: inner } => is_exact(inner),
        _ => false,
    }
}

/// `1.50::numeric` and `'1.50'::numeric` with the digits with which they are written.
fn written_number(inner: &Expr, data_type: &DataType) -> Option<Expr> {
    let (DataType::Numeric(ExactNumberInfo::None)
    | DataType::Decimal(ExactNumberInfo::None)
    | DataType::Dec(ExactNumberInfo::None)) = data_type
    else {
        return None;
    };
    let written = match inner {
        Expr::Nested(inner) => return written_number(inner, data_type),
        Expr::Value(ValueWithSpan { value: Value::Number(written, _), .. }) => written.clone(),
        inner => constant(inner)?.trim().to_string(),
    };
    let digits = written.strip_prefix('-').unwrap_or(&written);
    let (whole, behind) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = !whole.is_empty() && whole.bytes().chain(behind.bytes()).all(|byte| byte.is_ascii_digit());
    let precision = whole.len() + behind.len();
    (plain && precision <= 38)
        .then(|| sql(&format!("CAST('{written}' AS NUMERIC({precision}, {}))", behind.len())))
}

/// Lets a number that is written with a point have the digits with which it is written.
pub(super) fn write_exactly(expr: &mut Expr) {
    if !is_exact(expr) {
        return;
    }
    let written = expr.to_string();
    let digits = written.bytes().filter(u8::is_ascii_digit).count();
    let scale =
        written.split_once('.').map_or(0, |(_, behind)| behind.bytes().filter(u8::is_ascii_digit).count());
    if digits <= 38 && !written.contains('(') {
        *expr = sql(&format!("CAST('{written}' AS NUMERIC({}, {scale}))", digits.max(1)));
    }
}

/// Whether it is the type of instants.
fn is_instant(data_type: &DataType) -> bool {
    match data_type {
        DataType::Timestamp(_, zone) => matches!(zone, TimezoneInfo::WithTimeZone | TimezoneInfo::Tz),
        DataType::Custom(name, _) => name.to_string().eq_ignore_ascii_case("timestamptz"),
        _ => false,
    }
}

/// Whether a typed text stays one.
pub(super) fn is_plain(data_type: &DataType) -> bool {
    !is_instant(data_type) && *data_type != DataType::Date
}

/// What is cast to `regtype`.
pub(super) fn of_regtype(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::Cast { expr, data_type, .. } if data_type.to_string().eq_ignore_ascii_case("regtype") => {
            Some(expr)
        }
        Expr::Nested(inner) => of_regtype(inner),
        _ => None,
    }
}

fn is_regclass(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Regclass) || data_type.to_string().eq_ignore_ascii_case("regclass")
}

pub(super) fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Text | DataType::Varchar(_) | DataType::String(_))
}

/// A relation's name without its schema and quotes.
fn shown_name(name: &str) -> String {
    name.rsplit('.').next().unwrap_or_default().trim_matches('"').to_string()
}

/// Casts to integers round, those to a number of letters cut, texts become bytes and times.
fn meant(inner: &Expr, data_type: &DataType) -> Option<Expr> {
    let integer = match data_type {
        DataType::SmallInt(_) | DataType::Int2(_) => Some("pg_int2"),
        DataType::Int(_) | DataType::Integer(_) | DataType::Int4(_) => Some("pg_int4"),
        DataType::BigInt(_) | DataType::Int8(_) => Some("pg_int8"),
        _ => None,
    };
    if let Some(function) = integer {
        if is_exact(inner) {
            return Some(sql(&format!("{function}(CAST({inner} AS NUMERIC))")));
        }
        let whole = match inner {
            Expr::Value(value) => match &value.value {
                Value::Number(written, _) => !written.contains(['.', 'e', 'E']),
                _ => true,
            },
            inner => placeholder(inner).is_some() || constant(inner).is_some(),
        };
        return (!whole).then(|| sql(&format!("{function}({inner})")));
    }
    let letters = match data_type {
        DataType::Varchar(Some(CharacterLength::IntegerLength { length, .. }))
        | DataType::CharacterVarying(Some(CharacterLength::IntegerLength { length, .. }))
        | DataType::Char(Some(CharacterLength::IntegerLength { length, .. }))
        | DataType::Character(Some(CharacterLength::IntegerLength { length, .. })) => Some(*length),
        _ => None,
    };
    if let Some(length) = letters {
        return Some(sql(&format!("substr(CAST({inner} AS TEXT), 1, {length})")));
    }
    let written = constant(inner)?;
    match data_type {
        DataType::Bytea => {
            let hex = written.strip_prefix("\\x")?;
            let digits = hex.bytes().all(|byte| byte.is_ascii_hexdigit());
            digits.then(|| sql(&format!("decode('{hex}', 'hex')")))
        }
        DataType::Interval { .. } => span(&written),
        _ => None,
    }
}

/// An interval that is not written in words.
pub(super) fn span(written: &str) -> Option<Expr> {
    interval_in_words(written).map(|words| sql(&format!("INTERVAL '{words}'")))
}

/// Words for days and times.
fn word(written: &str, kind: &str) -> Option<Expr> {
    let days = match (written.trim().to_lowercase().as_str(), kind) {
        ("now", "timestamp" | "timestamptz") => return Some(sql("now()")),
        (_, "time") => return None,
        ("today" | "now", _) => "",
        ("yesterday", _) => " - INTERVAL '1 day'",
        ("tomorrow", _) => " + INTERVAL '1 day'",
        _ => return None,
    };
    Some(sql(&format!("CAST(current_date{days} AS DATE)")))
}

/// What a type is called in `pg_cast`, where PostgreSQL casts to it in its own way, or where one of several casts of a
/// column must keep a name of its own.
pub(super) fn kind(data_type: &DataType) -> Option<String> {
    let digits = |precision: u64, scale: i64| {
        let precision = precision.clamp(1, 38);
        format!("numeric({precision},{})", scale.clamp(0, precision as i64))
    };
    Some(match data_type {
        DataType::Date => "date".to_string(),
        data_type if is_instant(data_type) => "timestamptz".to_string(),
        DataType::Timestamp(None, _) | DataType::Datetime(None) => "timestamp".to_string(),
        DataType::Time(None, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => "time".to_string(),
        DataType::DoublePrecision | DataType::Float8 | DataType::Double(ExactNumberInfo::None) => {
            "float8".to_string()
        }
        DataType::Float(ExactNumberInfo::None) | DataType::Float64 => "float8".to_string(),
        DataType::Real | DataType::Float4 | DataType::Float32 => "float4".to_string(),
        DataType::Boolean | DataType::Bool => "bool".to_string(),
        DataType::Numeric(info) | DataType::Decimal(info) | DataType::Dec(info) => match info {
            ExactNumberInfo::None => "numeric".to_string(),
            ExactNumberInfo::Precision(precision) => digits(*precision, 0),
            // More digits than the engine has: those behind the point make room for those before it.
            ExactNumberInfo::PrecisionAndScale(precision, scale) if *precision > 38 => {
                digits(38, (*scale).min(16))
            }
            ExactNumberInfo::PrecisionAndScale(precision, scale) => digits(*precision, *scale),
        },
        _ => return None,
    })
}

/// Microseconds since 1970 as a time.
fn moment(micros: i64) -> Option<String> {
    let time = chrono::DateTime::from_timestamp_micros(micros)?;
    Some(time.naive_utc().format("%Y-%m-%dT%H:%M:%S%.f").to_string())
}

/// Microseconds of a day as a clock shows them.
fn clock(micros: i64) -> String {
    let seconds = micros / 1_000_000;
    format!("{:02}:{:02}:{:02}.{:06}", seconds / 3600, seconds / 60 % 60, seconds % 60, micros % 1_000_000)
}

/// `{a,b}` as an array of texts.
pub(super) fn array_literal(written: &str) -> Option<Expr> {
    list_items(written).map(|items| sql(&format!("ARRAY[{}]", items.join(", "))))
}

/// The items of `{a,"b,c",NULL}` as SQL.
pub(super) fn list_items(written: &str) -> Option<Vec<String>> {
    let inner = written.trim().strip_prefix('{')?.strip_suffix('}')?;
    let mut items = Vec::new();
    let (mut item, mut quoted, mut within) = (String::new(), false, false);
    let mut letters = inner.chars();
    let mut end = |item: &mut String, quoted: &mut bool| {
        let shown = if *quoted { item.as_str() } else { item.trim() };
        items.push(match !*quoted && shown.eq_ignore_ascii_case("null") {
            true => "NULL".to_string(),
            false => text(shown).to_string(),
        });
        item.clear();
        *quoted = false;
    };
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => item.extend(letters.next()),
            '"' => (quoted, within) = (true, !within),
            // Lists of lists are none that the engine takes from a text.
            '{' | '}' if !within => return None,
            ',' if !within => end(&mut item, &mut quoted),
            letter => item.push(letter),
        }
    }
    if !inner.trim().is_empty() {
        end(&mut item, &mut quoted);
    }
    Some(items)
}

#[cfg(test)]
mod tests {
    use super::list_items;

    #[test]
    fn lists_are_read_as_postgresql_writes_them() {
        let items = |written| list_items(written).unwrap();
        assert_eq!(items("{AA,UA}"), ["'AA'", "'UA'"]);
        assert_eq!(
            items(r#"{"a,b", it's ,NULL,"NULL","x\"y"}"#),
            ["'a,b'", "'it''s'", "NULL", "'NULL'", "'x\"y'"]
        );
        assert!(items("{}").is_empty());
        assert_eq!(list_items("{{1},{2}}"), None);
        assert_eq!(list_items("a,b"), None);
    }
}
