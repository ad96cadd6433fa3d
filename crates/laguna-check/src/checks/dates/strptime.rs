//! Dates in one format, as `datetime.strptime` of Python 3.11 reads them: the format becomes a regular expression, and
//! what it finds must be a day that exists.

use std::fmt::Write;

use chrono::NaiveDate;
use laguna_base::{Error, Result};
use regex::Regex;

const MONTHS: &str = "january|february|march|april|may|june|july|august|september|october|november|december";
const SHORT_MONTHS: &str = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec";
const DAYS: &str = "wednesday|thursday|saturday|tuesday|monday|friday|sunday";
const SHORT_DAYS: &str = "mon|tue|wed|thu|fri|sat|sun";
const TIME: &str = r"(?P<H>2[0-3]|[0-1]\d|\d):(?P<M>[0-5]\d|\d):(?P<S>6[0-1]|[0-5]\d|\d)";

pub(super) struct Format {
    regex: Regex,
}

impl Format {
    /// Refuses a format that Python's `strptime` refuses.
    pub fn compile(format: &str) -> Result<Format> {
        let refuse = || {
            Error::project(format!("`{format}` is not a format that dates can be read with"))
                .hint("its directives are those of Python's strptime, each once, as in %Y-%m-%d")
        };
        let pattern = pattern(format).ok_or_else(refuse)?;
        let regex = regex::RegexBuilder::new(&pattern).case_insensitive(true).size_limit(4 << 20).build();
        Ok(Format { regex: regex.map_err(|error| refuse().caused_by(error))? })
    }

    pub fn reads(&self, text: &str) -> bool {
        let Some(found) = self.regex.captures(text) else { return false };
        if found.get(0).is_none_or(|whole| whole.end() != text.len()) {
            return false;
        }
        let number = |name: &str| found.name(name).and_then(|part| part.as_str().trim().parse::<i32>().ok());
        let year = match (number("Y"), number("y"), number("G")) {
            (Some(year), _, _) => Some(year),
            (None, Some(year), _) => Some(if year <= 68 { 2000 + year } else { 1900 + year }),
            (None, None, iso) => iso,
        };
        if year == Some(0) {
            return false;
        }
        let month = number("m")
            .or_else(|| place(found.name("B")?.as_str(), MONTHS))
            .or_else(|| place(found.name("b")?.as_str(), SHORT_MONTHS));
        let day = number("d");
        if let (Some(week), Some(year), true) = (number("V"), number("G"), found.name("V").is_some())
            && week == 53
            && NaiveDate::from_isoywd_opt(year, 53, chrono::Weekday::Mon).is_none()
        {
            return false;
        }
        // 1900 stands for a year that is not given; with the 29th of February it is 1904.
        let leap = year.is_none() && month == Some(2) && day == Some(29);
        let year = year.unwrap_or(if leap { 1904 } else { 1900 });
        if leap {
            // Python puts the year back to 1900 when it makes the date, which then does not exist.
            return false;
        }
        if let Some(day_of_year) = number("j")
            && month.is_none()
        {
            return NaiveDate::from_yo_opt(year, day_of_year as u32).is_some()
                || (day_of_year == 366 && year < 9999);
        }
        NaiveDate::from_ymd_opt(year, month.unwrap_or(1) as u32, day.unwrap_or(1) as u32).is_some()
    }
}

/// The place of a name in a list, from 1.
fn place(name: &str, list: &str) -> Option<i32> {
    let name = name.to_lowercase();
    list.split('|').position(|known| known == name).map(|at| at as i32 + 1)
}

/// The regular expression for a format; `None` when it holds a directive that is none.
fn pattern(format: &str) -> Option<String> {
    let mut found = String::from(r"\A");
    let mut characters = format.chars().peekable();
    let (mut iso_year, mut week, mut day_of_week, mut day_of_year) = (false, false, false, false);
    while let Some(character) = characters.next() {
        if character.is_whitespace() {
            while characters.next_if(|next| next.is_whitespace()).is_some() {}
            found.push_str(r"\s+");
            continue;
        }
        if character != '%' {
            found.push_str(&regex::escape(&character.to_string()));
            continue;
        }
        let directive = characters.next()?;
        match directive {
            'G' => iso_year = true,
            'V' => week = true,
            'a' | 'A' | 'w' | 'u' => day_of_week = true,
            'j' => day_of_year = true,
            _ => {}
        }
        let (name, part) = match directive {
            '%' => {
                found.push('%');
                continue;
            }
            'c' => {
                let _ = write!(
                    found,
                    r"(?P<a>{SHORT_DAYS})\s+(?P<b>{SHORT_MONTHS})\s+(?P<d>3[0-1]|[1-2]\d|0[1-9]|[1-9]| [1-9])\s+{TIME}\s+(?P<Y>\d\d\d\d)"
                );
                continue;
            }
            'x' => {
                found.push_str(
                    r"(?P<m>1[0-2]|0[1-9]|[1-9])/(?P<d>3[0-1]|[1-2]\d|0[1-9]|[1-9]| [1-9])/(?P<y>\d\d)",
                );
                continue;
            }
            'X' => {
                found.push_str(TIME);
                continue;
            }
            'd' => ("d", r"3[0-1]|[1-2]\d|0[1-9]|[1-9]| [1-9]"),
            'f' => ("f", "[0-9]{1,6}"),
            'H' => ("H", r"2[0-3]|[0-1]\d|\d"),
            'I' => ("I", "1[0-2]|0[1-9]|[1-9]| [1-9]"),
            'G' => ("G", r"\d\d\d\d"),
            'j' => ("j", r"36[0-6]|3[0-5]\d|[1-2]\d\d|0[1-9]\d|00[1-9]|[1-9]\d|0[1-9]|[1-9]"),
            'm' => ("m", "1[0-2]|0[1-9]|[1-9]"),
            'M' => ("M", r"[0-5]\d|\d"),
            'S' => ("S", r"6[0-1]|[0-5]\d|\d"),
            'U' => ("U", r"5[0-3]|[0-4]\d|\d"),
            'W' => ("W", r"5[0-3]|[0-4]\d|\d"),
            'V' => ("V", r"5[0-3]|0[1-9]|[1-4]\d|\d"),
            'w' => ("w", "[0-6]"),
            'u' => ("u", "[1-7]"),
            'y' => ("y", r"\d\d"),
            'Y' => ("Y", r"\d\d\d\d"),
            'z' => ("z", r"[+-]\d\d:?[0-5]\d(:?[0-5]\d(\.\d{1,6})?)?|Z"),
            'A' => ("A", DAYS),
            'a' => ("a", SHORT_DAYS),
            'B' => ("B", MONTHS),
            'b' => ("b", SHORT_MONTHS),
            'p' => ("p", "am|pm"),
            'Z' => ("Z", "utc|gmt"),
            _ => return None,
        };
        let _ = write!(found, "(?P<{name}>{part})");
    }
    // Python refuses half of an ISO week date, and one with a day of the year.
    let whole =
        (iso_year == week || (!iso_year && !week)) && (!week || day_of_week) && !(iso_year && day_of_year);
    whole.then_some(found)
}

#[cfg(test)]
mod tests {
    use super::Format;

    #[test]
    fn dates_are_read_as_python_reads_them() {
        let cases = [
            ("%Y-%m-%d", "2024-02-29", true),
            ("%Y-%m-%d", "2023-02-29", false),
            ("%Y-%m-%d", "2023-2-9", true),
            ("%Y-%m-%d", "2023-02-09 ", false),
            ("%d %B %Y", "1 March 2020", true),
            ("%d %b %Y", "31 Apr 2020", false),
            ("%H:%M:%S.%f", "23:59:60.123", true),
            ("%H:%M", "24:00", false),
            ("%Y %j", "2023 366", true),
            ("%I:%M %p", "12:30 pm", true),
            ("%Y-%m-%dT%H:%M:%S%z", "2020-01-01T00:00:00+0100", true),
            ("%y", "68", true),
            ("100%%", "100%", true),
            ("%d.%m", "29.02", false),
        ];
        for (format, text, expected) in cases {
            assert_eq!(Format::compile(format).unwrap().reads(text), expected, "{format} on {text}");
        }
        for wrong in ["%Q", "%D", "%", "%G-%V", "%Y %Y"] {
            assert!(Format::compile(wrong).is_err(), "{wrong}");
        }
    }
}
