//! Whether a text is a date for Python's dateutil (`dateutil.parser.parse` without `fuzzy`): its rules, one by one.
//!
//! Only the answer is wanted, not the date; but parts must fit together, so that most of the way is the same.

use chrono::{Datelike, NaiveDate};

mod tokens;
mod ymd;

use tokens::tokens;
use ymd::{Part, Ymd};

const MONTHS: [&[&str]; 12] = [
    &["jan", "january"],
    &["feb", "february"],
    &["mar", "march"],
    &["apr", "april"],
    &["may"],
    &["jun", "june"],
    &["jul", "july"],
    &["aug", "august"],
    &["sep", "sept", "september"],
    &["oct", "october"],
    &["nov", "november"],
    &["dec", "december"],
];
const WEEKDAYS: [&str; 14] = [
    "mon",
    "monday",
    "tue",
    "tuesday",
    "wed",
    "wednesday",
    "thu",
    "thursday",
    "fri",
    "friday",
    "sat",
    "saturday",
    "sun",
    "sunday",
];
const JUMP: [&str; 18] =
    [" ", ".", ",", ";", "-", "/", "'", "at", "on", "and", "ad", "m", "t", "of", "st", "nd", "rd", "th"];

/// Longer texts are no dates, and reading them would cost.
const LONGEST: usize = 1000;

/// Whether dateutil reads a date or a time from the text.
pub(super) fn reads(text: &str) -> bool {
    text.len() <= LONGEST && Reader::new(text).read().is_some()
}

/// A part that cannot be read ends the reading.
type Found<T> = Option<T>;

#[derive(Default)]
struct Reader {
    tokens: Vec<String>,
    ymd: Ymd,
    hour: Option<i64>,
    minute: Option<i64>,
    second: Option<i64>,
    micro: bool,
    weekday: bool,
    zone: Option<String>,
    offset: Option<i64>,
    ampm: bool,
}

fn month(token: &str) -> Option<i64> {
    let token = token.to_lowercase();
    MONTHS.iter().position(|names| names.contains(&token.as_str())).map(|at| at as i64 + 1)
}

fn is_weekday(token: &str) -> bool {
    WEEKDAYS.contains(&token.to_lowercase().as_str())
}

fn is_jump(token: &str) -> bool {
    JUMP.contains(&token.to_lowercase().as_str())
}

fn hms(token: &str) -> Option<usize> {
    match token.to_lowercase().as_str() {
        "h" | "hour" | "hours" => Some(0),
        "m" | "minute" | "minutes" => Some(1),
        "s" | "second" | "seconds" => Some(2),
        _ => None,
    }
}

/// 0 before noon, 1 after.
fn ampm(token: &str) -> Option<i64> {
    match token.to_lowercase().as_str() {
        "am" | "a" => Some(0),
        "pm" | "p" => Some(1),
        _ => None,
    }
}

fn is_utc(token: &str) -> bool {
    matches!(token.to_lowercase().as_str(), "utc" | "gmt" | "z")
}

/// A number as Python's `float` and `Decimal` both read it, without infinities.
fn number(token: &str) -> Option<f64> {
    let digits = token.bytes().filter(u8::is_ascii_digit).count();
    (digits > 0).then(|| token.parse::<f64>().ok()).flatten().filter(|number| number.is_finite())
}

fn whole(text: &str) -> Found<i64> {
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

impl Reader {
    fn new(text: &str) -> Reader {
        Reader { tokens: tokens(text), ..Reader::default() }
    }

    fn token(&self, at: usize) -> Option<&str> {
        self.tokens.get(at).map(String::as_str)
    }

    fn read(mut self) -> Found<()> {
        let mut at = 0;
        while at < self.tokens.len() {
            let token = self.tokens[at].clone();
            if number(&token).is_some() {
                at = self.numeric(at)?;
            } else if is_weekday(&token) {
                self.weekday = true;
            } else if let Some(month) = month(&token) {
                self.ymd.push(month, Some(Part::Month))?;
                at = self.after_month(at)?;
            } else if let Some(half) = ampm(&token) {
                let hour = self.hour?;
                if !(0..=12).contains(&hour) {
                    return None;
                }
                self.hour = Some(adjusted(hour, half));
                self.ampm = true;
            } else if self.could_be_zone(&token) {
                self.offset = is_utc(&token).then_some(0);
                self.zone = Some(token.clone());
                if let Some(sign @ ("+" | "-")) = self.token(at + 1) {
                    // GMT+3 means that my time plus 3 is GMT.
                    let turned = if sign == "+" { "-" } else { "+" };
                    self.tokens[at + 1] = turned.to_string();
                    self.offset = None;
                    if is_utc(&token) {
                        self.zone = None;
                    }
                }
            } else if self.hour.is_some() && matches!(token.as_str(), "+" | "-") {
                at = self.zone_offset(at)?;
            } else if !is_jump(&token) {
                return None;
            }
            at += 1;
        }
        self.build()
    }

    /// `Jan-01-99`, `Jan of 01`.
    fn after_month(&mut self, at: usize) -> Found<usize> {
        let Some(next) = self.token(at + 1).map(str::to_string) else { return Some(at) };
        if next == "-" || next == "/" {
            let text = self.token(at + 2)?.to_string();
            self.ymd.push_text(&text, None)?;
            if self.token(at + 3) == Some(&next) {
                let text = self.token(at + 4)?.to_string();
                self.ymd.push_text(&text, None)?;
                return Some(at + 4);
            }
            return Some(at + 2);
        }
        let pertains = next == " "
            && self.token(at + 3) == Some(" ")
            && self.token(at + 2).is_some_and(|token| token.eq_ignore_ascii_case("of"))
            && at + 4 < self.tokens.len();
        if pertains {
            if let Some(year) = self.token(at + 4).filter(|token| is_digits(token)).and_then(whole) {
                self.ymd.push(century(year), Some(Part::Year))?;
            }
            return Some(at + 4);
        }
        Some(at)
    }

    fn numeric(&mut self, at: usize) -> Found<usize> {
        let token = self.tokens[at].clone();
        let value = number(&token)?;
        let length = token.chars().count();
        let next = self.token(at + 1).map(str::to_string);
        let colon = next.as_deref() == Some(":");
        if self.ymd.values.len() == 3
            && (length == 2 || length == 4)
            && self.hour.is_none()
            && next.as_deref().is_none_or(|next| next != ":" && hms(next).is_none())
        {
            // 19990101T23[59]
            self.hour = Some(whole(token.get(..2)?)?);
            if length == 4 {
                self.minute = Some(whole(token.get(2..)?)?);
            }
            return Some(at);
        }
        if length == 6 || (length > 6 && token.find('.') == Some(6)) {
            if self.ymd.values.is_empty() && !token.contains('.') {
                for part in [0..2, 2..4, 4..6] {
                    self.ymd.push_text(token.get(part)?, None)?;
                }
            } else {
                self.hour = Some(whole(token.get(..2)?)?);
                self.minute = Some(whole(token.get(2..4)?)?);
                self.seconds(token.get(4..)?)?;
            }
            return Some(at);
        }
        if matches!(length, 8 | 12 | 14) {
            self.ymd.push_text(token.get(..4)?, Some(Part::Year))?;
            self.ymd.push_text(token.get(4..6)?, None)?;
            self.ymd.push_text(token.get(6..8)?, None)?;
            if length > 8 {
                self.hour = Some(whole(token.get(8..10)?)?);
                self.minute = Some(whole(token.get(10..12)?)?);
                if length > 12 {
                    self.second = Some(whole(token.get(12..)?)?);
                }
            }
            return Some(at);
        }
        if let Some(label) = self.hms_place(at) {
            let (unit, at) = match label > at {
                true => (hms(self.token(label)?)?, label),
                false => (hms(self.token(label)?)? + 1, at),
            };
            match unit {
                0 => {
                    self.hour = Some(value as i64);
                    if value.fract() != 0.0 {
                        self.minute = Some((60.0 * value.fract()) as i64);
                    }
                }
                1 => self.minutes(value),
                2 => self.seconds(&token)?,
                _ => {}
            }
            return Some(at);
        }
        if colon && at + 2 < self.tokens.len() {
            self.hour = Some(value as i64);
            let minutes = number(self.token(at + 2)?)?;
            self.minutes(minutes);
            if self.token(at + 3) == Some(":") && at + 4 < self.tokens.len() {
                let seconds = self.token(at + 4)?.to_string();
                self.seconds(&seconds)?;
                return Some(at + 4);
            }
            return Some(at + 2);
        }
        if let Some(separator @ ("-" | "/" | ".")) = next.as_deref() {
            self.ymd.push_text(&token, None)?;
            let Some(second) = self.token(at + 2).filter(|token| !is_jump(token)).map(str::to_string) else {
                return Some(at + 1);
            };
            if is_digits(&second) {
                self.ymd.push_text(&second, None)?;
            } else {
                self.ymd.push(month(&second)?, Some(Part::Month))?;
            }
            if self.token(at + 3) == Some(separator) {
                let third = self.token(at + 4)?.to_string();
                match month(&third) {
                    Some(month) => self.ymd.push(month, Some(Part::Month))?,
                    None => self.ymd.push_text(&third, None)?,
                }
                return Some(at + 4);
            }
            return Some(at + 2);
        }
        if next.as_deref().is_none_or(is_jump) {
            match self.token(at + 2).and_then(ampm) {
                Some(half) => {
                    self.hour = Some(adjusted(value as i64, half));
                    return Some(at + 2);
                }
                None => self.ymd.push_number(value)?,
            }
            return Some(at + 1);
        }
        if let Some(half) = next.as_deref().and_then(ampm)
            && (0.0..24.0).contains(&value)
        {
            self.hour = Some(adjusted(value as i64, half));
            return Some(at + 1);
        }
        if self.ymd.could_be_day(value)? {
            self.ymd.push_number(value)?;
            return Some(at);
        }
        None
    }

    fn hms_place(&self, at: usize) -> Option<usize> {
        let labelled = |at: usize| self.token(at).is_some_and(|token| hms(token).is_some());
        if labelled(at + 1) {
            Some(at + 1)
        } else if self.token(at + 1) == Some(" ") && labelled(at + 2) {
            Some(at + 2)
        } else if at > 0 && labelled(at - 1) {
            Some(at - 1)
        } else if at > 1 && at + 1 == self.tokens.len() && self.token(at - 1) == Some(" ") && labelled(at - 2)
        {
            Some(at - 2)
        } else {
            None
        }
    }

    fn minutes(&mut self, value: f64) {
        self.minute = Some(value as i64);
        self.second = (value.fract() != 0.0).then(|| (60.0 * value.fract()) as i64);
    }

    fn seconds(&mut self, text: &str) -> Found<()> {
        self.second = Some(match text.split_once('.') {
            None => whole(text)?,
            Some((seconds, fraction)) => {
                whole(&format!("{fraction:0<6}").chars().take(6).collect::<String>())?;
                self.micro = true;
                whole(seconds)?
            }
        });
        Some(())
    }

    fn could_be_zone(&self, token: &str) -> bool {
        self.hour.is_some()
            && self.zone.is_none()
            && self.offset.is_none()
            && token.chars().count() <= 5
            && (token.chars().all(|c| c.is_ascii_uppercase()) || matches!(token, "UTC" | "GMT" | "Z" | "z"))
    }

    fn zone_offset(&mut self, at: usize) -> Found<usize> {
        let sign = if self.tokens[at] == "+" { 1 } else { -1 };
        let digits = self.token(at + 1)?.to_string();
        let mut end = at;
        let (hours, minutes) = match digits.chars().count() {
            4 => (whole(digits.get(..2)?)?, whole(digits.get(2..)?)?),
            _ if self.token(at + 2) == Some(":") => {
                end += 2;
                (whole(&digits)?, whole(self.token(at + 3)?)?)
            }
            1 | 2 => (whole(&digits)?, 0),
            _ => return None,
        };
        self.offset = Some(sign * (hours * 3600 + minutes * 60));
        let named = self.token(end + 2).is_some_and(is_jump)
            && self.token(end + 3) == Some("(")
            && self.token(end + 5) == Some(")")
            && self.token(end + 4).is_some_and(|name| {
                (3..=5).contains(&name.chars().count()) && name.chars().all(|c| c.is_ascii_uppercase())
            });
        Some(if named { end + 5 } else { end + 1 })
    }

    /// Whether the parts make a date that exists, and there are any.
    fn build(self) -> Found<()> {
        let [year, month, day] = self.ymd.resolve()?;
        let nothing = year.is_none()
            && month.is_none()
            && day.is_none()
            && !self.weekday
            && self.hour.is_none()
            && self.minute.is_none()
            && self.second.is_none()
            && !self.micro
            && self.zone.is_none()
            && self.offset.is_none()
            && !self.ampm;
        if nothing {
            return None;
        }
        // What is not given is taken from today.
        let today = chrono::Utc::now().date_naive();
        let year = match year {
            Some(year) if self.ymd.century => year,
            Some(year) => century(year),
            None => i64::from(today.year()),
        };
        let month = month.unwrap_or(i64::from(today.month()));
        let year = i32::try_from(year).ok().filter(|year| (1..=9999).contains(year))?;
        let month = u32::try_from(month).ok()?;
        let first = NaiveDate::from_ymd_opt(year, month, 1)?;
        if let Some(day) = day {
            first.with_day(u32::try_from(day).ok()?)?;
        }
        let within = |part: Option<i64>, below: i64| part.is_none_or(|part| (0..below).contains(&part));
        let offset = self.offset.is_none_or(|offset| offset.abs() < 86_400);
        (within(self.hour, 24) && within(self.minute, 60) && within(self.second, 60) && offset).then_some(())
    }
}

fn adjusted(hour: i64, half: i64) -> i64 {
    match (hour, half) {
        (hour, 1) if hour < 12 => hour + 12,
        (12, 0) => 0,
        (hour, _) => hour,
    }
}

/// A year of two digits within fifty years of today.
fn century(year: i64) -> i64 {
    if year >= 100 {
        return year;
    }
    let now = i64::from(chrono::Utc::now().year());
    let year = year + now / 100 * 100;
    if year >= now + 50 {
        year - 100
    } else if year < now - 50 {
        year + 100
    } else {
        year
    }
}

#[cfg(test)]
mod tests;
