//! Reports of checks: for people, for build servers, for a browser.

pub mod html;
pub mod junit;
pub mod table;

use laguna_check::FailingRow;
use serde_json::Value;

/// Where a failing row stands, and what it holds: `data/a.csv row 17: carrier=null, flight=12`.
pub fn row(row: &FailingRow) -> String {
    let place = match (&row.file, row.number) {
        (Some(file), Some(number)) => format!("{file} row {number}: "),
        (None, Some(number)) => format!("row {number}: "),
        _ => String::new(),
    };
    let values = match &row.row {
        Value::Object(map) => {
            map.iter().map(|(name, value)| format!("{name}={}", plain(value))).collect::<Vec<_>>().join(", ")
        }
        other => plain(other),
    };
    place + &values
}

/// A value as people write it.
pub fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// `text` in XML and HTML. Characters that XML cannot hold are replaced.
pub fn escaped(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => clean.push_str("&amp;"),
            '<' => clean.push_str("&lt;"),
            '>' => clean.push_str("&gt;"),
            '"' => clean.push_str("&quot;"),
            '\'' => clean.push_str("&#39;"),
            '\n' | '\t' | '\r' => clean.push(character),
            control if control < ' ' || matches!(control, '\u{fffe}' | '\u{ffff}') => clean.push('\u{fffd}'),
            other => clean.push(other),
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    #[test]
    fn nothing_that_xml_cannot_hold_gets_through() {
        assert_eq!(super::escaped("a<b & \"c\"\u{0}\u{1b}é"), "a&lt;b &amp; &quot;c&quot;\u{fffd}\u{fffd}é");
    }
}
