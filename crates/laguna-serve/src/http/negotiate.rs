//! Which format a client wants: the header `Accept` (RFC 9110, section 12.5.1), or a word in the address.

use axum::http::{HeaderMap, StatusCode, header};
use laguna_base::{Error, Result, suggest};
use laguna_query::output::Format;

use super::Problem;

/// Formats with their media types; of equals the first wins. The first media type of a format is the one it is sent as.
const MEDIA_TYPES: [(&str, Format); 9] = [
    ("application/json", Format::Json),
    ("application/x-ndjson", Format::Ndjson),
    ("application/ndjson", Format::Ndjson),
    ("application/jsonl", Format::Ndjson),
    ("text/csv", Format::Csv),
    ("application/vnd.apache.arrow.stream", Format::Arrow),
    ("application/vnd.apache.parquet", Format::Parquet),
    ("application/x-parquet", Format::Parquet),
    ("application/parquet", Format::Parquet),
];

/// The formats that HTTP speaks.
pub(super) const FORMATS: [Format; 5] =
    [Format::Json, Format::Ndjson, Format::Csv, Format::Arrow, Format::Parquet];

/// The media type that a format is sent as.
pub(super) fn media_type(format: Format) -> &'static str {
    MEDIA_TYPES.iter().find(|(_, of)| *of == format).map_or("application/octet-stream", |(name, _)| name)
}

/// The value of `Content-Type`.
pub(super) fn content_type(format: Format) -> &'static str {
    match format {
        Format::Csv => "text/csv; charset=utf-8; header=present",
        other => media_type(other),
    }
}

/// The format of an answer: the word of the address, else what `Accept` likes best; 406 when it likes nothing of ours.
pub(super) fn format(headers: &HeaderMap, word: Option<&str>) -> Result<Format, Problem> {
    if let Some(word) = word {
        return FORMATS.into_iter().find(|format| format.as_str() == word).ok_or_else(|| {
            let words = FORMATS.map(Format::as_str);
            Error::project(format!("`{word}` is not a format")).hint(suggest::hint(word, &words)).into()
        });
    }
    let mut ranges = Vec::new();
    for value in headers.get_all(header::ACCEPT) {
        // What is no text names no media type.
        ranges.extend(value.to_str().unwrap_or_default().split(',').filter_map(Range::parse));
    }
    if ranges.is_empty() && !headers.contains_key(header::ACCEPT) {
        return Ok(Format::Json);
    }
    let mut best: Option<(u16, Format)> = None;
    for (name, format) in MEDIA_TYPES {
        // The most specific range that fits speaks for a media type.
        let fits = ranges.iter().filter_map(|range| range.fits(name).map(|how| (how, range.quality)));
        let quality = fits.max_by_key(|(how, _)| *how).map_or(0, |(_, quality)| quality);
        if quality > best.map_or(0, |(most, _)| most) {
            best = Some((quality, format));
        }
    }
    best.map(|(_, format)| format).ok_or_else(|| {
        let error = Error::project("none of the formats in `Accept` can be given")
            .hint(format!("ask for one of {}", FORMATS.map(media_type).join(", ")));
        Problem::new(StatusCode::NOT_ACCEPTABLE, error)
    })
}

/// One entry of `Accept`.
struct Range<'a> {
    kind: &'a str,
    subtype: &'a str,
    /// Thousandths.
    quality: u16,
}

impl<'a> Range<'a> {
    fn parse(text: &'a str) -> Option<Range<'a>> {
        let mut parts = text.split(';').map(str::trim);
        let (kind, subtype) = parts.next()?.split_once('/')?;
        let quality = parts.find_map(|part| {
            let (name, value) = part.split_once('=')?;
            name.trim().eq_ignore_ascii_case("q").then_some(value.trim())
        });
        let quality = match quality {
            None => 1000,
            Some(text) => {
                let value: f32 = text.parse().ok().filter(|value| (0.0..=1.0).contains(value))?;
                (value * 1000.0).round() as u16
            }
        };
        Some(Range { kind: kind.trim(), subtype: subtype.trim(), quality })
    }

    /// How specifically it names a media type; `None` when it does not.
    fn fits(&self, name: &str) -> Option<u8> {
        let (kind, subtype) = name.split_once('/')?;
        if self.kind == "*" && self.subtype == "*" {
            return Some(0);
        }
        if !self.kind.eq_ignore_ascii_case(kind) {
            return None;
        }
        match self.subtype {
            "*" => Some(1),
            named => named.eq_ignore_ascii_case(subtype).then_some(2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn chosen(accept: &str) -> Option<Format> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_str(accept).unwrap());
        format(&headers, None).ok()
    }

    #[test]
    fn the_best_liked_format_wins() {
        assert_eq!(format(&HeaderMap::new(), None).ok(), Some(Format::Json));
        for (accept, expected) in [
            ("*/*", Some(Format::Json)),
            ("text/csv", Some(Format::Csv)),
            ("TEXT/CSV; charset=utf-8", Some(Format::Csv)),
            ("text/*", Some(Format::Csv)),
            ("application/json;q=0.2, text/csv;q=0.8", Some(Format::Csv)),
            ("application/json;q=0, */*;q=0.1", Some(Format::Ndjson)),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Some(Format::Json)),
            ("application/vnd.apache.arrow.stream", Some(Format::Arrow)),
            ("application/vnd.apache.parquet", Some(Format::Parquet)),
            ("application/jsonl", Some(Format::Ndjson)),
            ("application/json;q=0", None),
            ("application/json;q=2", None),
            ("image/png", None),
            ("nonsense", None),
        ] {
            assert_eq!(chosen(accept), expected, "{accept}");
        }
    }

    #[test]
    fn a_word_in_the_address_wins_over_the_header() {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("text/html"));
        assert_eq!(format(&headers, Some("parquet")).ok(), Some(Format::Parquet));
        assert!(format(&headers, Some("table")).is_err());
    }
}
