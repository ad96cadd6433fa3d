//! Times, durations and numbers as people read them.

use std::fmt;

use arrow::datatypes::DataType;
use askama::filters::HtmlSafe;
use laguna_base::{Instant, human};

/// A time as its distance from now, with the whole time on hover: a `<time>` element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct When {
    pub(super) at: Instant,
    pub(super) now: Instant,
}

// Made of digits and fixed words only.
impl HtmlSafe for When {}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (iso, full) = (self.at, full(self.at));
        write!(f, r#"<time datetime="{iso}" title="{full}">{}</time>"#, self.relative())
    }
}

impl When {
    /// `3 min ago`.
    pub(super) fn relative(&self) -> String {
        let seconds = (self.now.as_micros() - self.at.as_micros()) / 1_000_000;
        let ago = |number: i64, unit: &str| match seconds < 0 {
            true => format!("in {number} {unit}"),
            false => format!("{number} {unit} ago"),
        };
        let plural = |number: i64, unit: &str| match number {
            1 => ago(1, unit),
            _ => ago(number, &format!("{unit}s")),
        };
        match seconds.abs() {
            0..5 => "just now".to_string(),
            distance @ 5..60 => ago(distance, "s"),
            distance @ 60..3600 => ago(distance / 60, "min"),
            distance @ 3600..86_400 => ago(distance / 3600, "h"),
            distance @ 86_400..5_184_000 => plural(distance / 86_400, "day"),
            distance @ 5_184_000..63_072_000 => plural(distance / 2_592_000, "month"),
            distance => plural(distance / 31_536_000, "year"),
        }
    }
}

/// `2026-11-22 06:00:00 UTC`.
pub(super) fn full(at: Instant) -> String {
    at.to_datetime().format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// `336,776`; `-1,200`.
pub(super) fn whole(number: i64) -> String {
    let sign = if number < 0 { "-" } else { "" };
    format!("{sign}{}", human::thousands(number.unsigned_abs()))
}

/// `+12`, `-3`, and nothing for no difference.
pub(super) fn difference(now: u64, before: u64) -> String {
    match i64::try_from(i128::from(now) - i128::from(before)) {
        Ok(0) => "±0".to_string(),
        Ok(more) if more > 0 => format!("+{}", whole(more)),
        Ok(less) => format!("−{}", human::thousands(less.unsigned_abs())),
        Err(_) => "?".to_string(),
    }
}

/// A number with at most four digits that matter: `12,345`, `12.35`, `0.0003`.
pub(super) fn short(number: f64) -> String {
    let size = number.abs();
    if !number.is_finite() {
        return number.to_string();
    }
    if number.fract() == 0.0 && size < 1e15 || (1e4..1e15).contains(&size) {
        return whole(number.round() as i64);
    }
    if size != 0.0 && !(1e-4..1e15).contains(&size) {
        return format!("{number:.3e}");
    }
    let decimals = (3 - size.max(1e-12).log10().floor() as i32).clamp(1, 7) as usize;
    let text = format!("{number:.decimals$}");
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

/// Seconds as `120 ms`, `3.2 s`, `4 min 10 s`, `2 h 3 min`.
pub(super) fn duration(seconds: f64) -> String {
    match seconds.max(0.0) {
        s if s < 0.0005 => "0 ms".to_string(),
        s if s < 0.9995 => format!("{:.0} ms", s * 1e3),
        s if s < 59.95 => format!("{s:.1} s"),
        s if s < 3600.0 => format!("{} min {} s", s as u64 / 60, s as u64 % 60),
        s => format!("{} h {} min", s as u64 / 3600, s as u64 % 3600 / 60),
    }
}

/// A type as SQL calls it.
pub(crate) fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "boolean".into(),
        DataType::Int8 | DataType::UInt8 => "tinyint".into(),
        DataType::Int16 | DataType::UInt16 => "smallint".into(),
        DataType::Int32 | DataType::UInt32 => "integer".into(),
        DataType::Int64 | DataType::UInt64 => "bigint".into(),
        DataType::Float16 | DataType::Float32 => "real".into(),
        DataType::Float64 => "double".into(),
        DataType::Decimal32(p, s)
        | DataType::Decimal64(p, s)
        | DataType::Decimal128(p, s)
        | DataType::Decimal256(p, s) => {
            format!("decimal({p},{s})")
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text".into(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            "binary".into()
        }
        DataType::Date32 | DataType::Date64 => "date".into(),
        DataType::Timestamp(..) => "timestamp".into(),
        DataType::Time32(_) | DataType::Time64(_) => "time".into(),
        DataType::Interval(_) | DataType::Duration(_) => "interval".into(),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            format!("{}[]", type_name(item.data_type()))
        }
        DataType::Struct(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|field| format!("{} {}", field.name(), type_name(field.data_type())))
                .collect();
            format!("struct({})", fields.join(", "))
        }
        DataType::Map(..) => "map".into(),
        DataType::Dictionary(_, values) => type_name(values),
        other => other.to_string().to_lowercase(),
    }
}

/// Whether arithmetic makes sense of values of a type.
pub(super) fn is_number(data_type: &DataType) -> bool {
    data_type.is_numeric()
}

/// Whether values of a type are points in time.
pub(super) fn is_time(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Date32 | DataType::Date64 | DataType::Timestamp(..))
}

/// A name as SQL takes it whatever it holds.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Text that may stand in HTML and SVG, in elements and in attributes with double quotes.
pub(super) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

/// `text` cut to `most` characters, with an ellipsis where something is missing.
pub(super) fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some(_) => text.chars().take(most.saturating_sub(1)).chain(['…']).collect(),
        None => text.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_by_their_distance() {
        let now: Instant = "2026-11-22T12:00:00Z".parse().unwrap();
        for (at, expected) in [
            ("2026-11-22T11:59:58Z", "just now"),
            ("2026-11-22T11:59:20Z", "40 s ago"),
            ("2026-11-22T11:00:01Z", "59 min ago"),
            ("2026-11-21T12:00:01Z", "23 h ago"),
            ("2026-11-21T12:00:00Z", "1 day ago"),
            ("2026-11-22T14:00:00Z", "in 2 h"),
            ("2024-11-22T12:00:00Z", "2 years ago"),
        ] {
            assert_eq!(When { at: at.parse().unwrap(), now }.relative(), expected);
        }
        let html = When { at: now, now }.to_string();
        assert_eq!(
            html,
            "<time datetime=\"2026-11-22T12:00:00.000000Z\" title=\"2026-11-22 12:00:00 UTC\">just now</time>"
        );
    }

    #[test]
    fn numbers_keep_the_digits_that_matter() {
        for (number, expected) in [
            (0.0, "0"),
            (336_776.0, "336,776"),
            (-1200.0, "-1,200"),
            (12.3456, "12.35"),
            (0.5, "0.5"),
            (1234.567, "1234.6"),
            (0.000_123_4, "0.0001234"),
            (1e-9, "1.000e-9"),
            (12_345.6, "12,346"),
        ] {
            assert_eq!(short(number), expected);
        }
        assert_eq!(duration(0.0123), "12 ms");
        assert_eq!(duration(250.0), "4 min 10 s");
        assert_eq!(difference(10, 12), "−2");
    }

    #[test]
    fn text_cannot_leave_its_place() {
        assert_eq!(escape("<a b=\"c\" d='e'>&"), "&lt;a b=&quot;c&quot; d=&#39;e&#39;&gt;&amp;");
        assert_eq!(quoted("a\"b"), "\"a\"\"b\"");
        assert_eq!(cut("straße", 4), "str…");
    }
}
