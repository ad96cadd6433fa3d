//! Times as people write them: `2013-03-09 10:00`, `20130309`, `March 9, 2013 10 am`, `3/9/2013`, `2013-03-09T10:00:00-05:00`.

use chrono::NaiveDate;
use chrono_tz::Tz;

use super::zones;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

/// What comes first in `1/2/2013`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::postgres) enum Order {
    Day,
    #[default]
    Month,
    Year,
}

impl Order {
    /// As the setting `DateStyle` says it.
    pub(in crate::postgres) fn of(style: &str) -> Order {
        match style.to_lowercase() {
            style if style.contains("dmy") => Order::Day,
            style if style.contains("ymd") => Order::Year,
            _ => Order::Month,
        }
    }

    pub(in crate::postgres) fn word(self) -> &'static str {
        match self {
            Order::Day => "dmy",
            Order::Month => "mdy",
            Order::Year => "ymd",
        }
    }
}

/// Why a text is no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::postgres) enum Fault {
    /// Nobody writes times so.
    Form,
    /// No calendar and no clock has it.
    Range,
}

/// A time as it is written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::postgres) enum Written {
    At {
        day: NaiveDate,
        /// Microseconds since midnight, where a clock's time is written.
        clock: Option<i64>,
        place: Option<Place>,
    },
    /// The end of all times, or their beginning.
    Infinite { late: bool },
}

/// Where a clock stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::postgres) enum Place {
    /// Seconds by which it is ahead of UTC.
    Ahead(i64),
    Zone(Tz),
}

impl Written {
    /// Days since 1970.
    pub(in crate::postgres) fn day(self) -> Result<i32, Fault> {
        match self {
            Written::At { day, .. } => {
                i32::try_from((day - NaiveDate::default()).num_days()).map_err(|_| Fault::Range)
            }
            // The lake's days have no ends.
            Written::Infinite { .. } => Err(Fault::Range),
        }
    }

    /// Microseconds since 1970 as the clock shows them, wherever it stands.
    pub(in crate::postgres) fn clock(self) -> Result<i64, Fault> {
        match self {
            Written::At { clock, .. } => Ok(i64::from(self.day()?) * DAY + clock.unwrap_or(0)),
            Written::Infinite { late } => Ok(if late { i64::MAX } else { i64::MIN }),
        }
    }

    /// Microseconds of UTC since 1970; where nothing is written, the clock stands in `zone`.
    pub(in crate::postgres) fn instant(self, zone: Tz) -> Result<i64, Fault> {
        let clock = self.clock()?;
        let place = match self {
            Written::At { place, .. } => place.unwrap_or(Place::Zone(zone)),
            Written::Infinite { .. } => return Ok(clock),
        };
        Ok(clock
            - match place {
                Place::Ahead(seconds) => seconds * SECOND,
                Place::Zone(zone) => zones::behind(zone, clock),
            })
    }
}

/// The time of day in microseconds; a day before it and a place behind it do not count.
pub(in crate::postgres) fn time_of_day(text: &str) -> Result<i64, Fault> {
    let mut parts = Parts::default();
    for word in text.split_whitespace() {
        match word.bytes().all(|byte| byte.is_ascii_digit())
            && parts.clock.is_none()
            && parts.numbers.is_empty()
        {
            true if matches!(word.len(), 4 | 6) => parts.clock = Some(packed(word)?),
            _ => parts.take(word)?,
        }
    }
    parts.clock()?.ok_or(Fault::Form)
}

/// A day, a clock's time and a place.
pub(in crate::postgres) fn read(text: &str, order: Order) -> Result<Written, Fault> {
    match text.trim().to_lowercase().as_str() {
        "infinity" => return Ok(Written::Infinite { late: true }),
        "-infinity" => return Ok(Written::Infinite { late: false }),
        "epoch" => {
            return Ok(Written::At {
                day: NaiveDate::default(),
                clock: Some(0),
                place: Some(Place::Ahead(0)),
            });
        }
        _ => {}
    }
    let mut parts = Parts::default();
    for word in text.split([' ', ',', '\t', '\n']).filter(|word| !word.is_empty()) {
        parts.take(word)?;
    }
    Ok(Written::At { day: parts.day(order)?, clock: parts.clock()?, place: parts.place })
}

/// Whether a text is a time that the engine does not read as it is meant.
pub(in crate::postgres) fn is_unusual(text: &str) -> bool {
    let bytes = text.as_bytes();
    let shape = |shape: &str| {
        shape.len() == bytes.len()
            && shape.bytes().zip(bytes).all(|(wanted, byte)| match wanted {
                b'0' => byte.is_ascii_digit(),
                wanted => wanted == *byte,
            })
    };
    !shape("0000-00-00") && !shape("0000-00-00 00:00:00") && read(text, Order::Month).is_ok()
}

#[derive(Default)]
struct Parts {
    /// Of the day, in the order in which they are written.
    numbers: Vec<String>,
    month: Option<u32>,
    /// Whether the month's name comes first.
    month_first: bool,
    clock: Option<i64>,
    /// Whether it is after noon.
    late: Option<bool>,
    place: Option<Place>,
}

impl Parts {
    fn take(&mut self, word: &str) -> Result<(), Fault> {
        let first = word.as_bytes()[0];
        if word.contains(':') && first.is_ascii_digit() {
            // A clock's time, which may follow its day at once.
            let colon = word.find(':').unwrap_or_default();
            return match word[..colon].rfind(['T', 't']) {
                Some(at) => {
                    self.take(&word[..at])?;
                    self.take(&word[at + 1..])
                }
                None => self.clock_and_place(word),
            };
        }
        if let Some(at) = word
            .find(['T', 't'])
            .filter(|at| word[..*at].bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') && *at >= 8)
        {
            self.take(&word[..at])?;
            let rest = &word[at + 1..];
            let end = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
            self.clock = Some(packed(&rest[..end])?);
            return if end < rest.len() { self.place(&rest[end..]) } else { Ok(()) };
        }
        match first {
            b'+' | b'-' => self.place(word),
            b'0'..=b'9' => self.digits(word),
            _ => self.letters(word),
        }
    }

    /// Numbers of a day, with its month's name perhaps: `2013-03-09`, `9-Mar-2013`, `20130309`, `9`.
    fn digits(&mut self, word: &str) -> Result<(), Fault> {
        if word.bytes().all(|byte| byte.is_ascii_digit()) {
            match word.len() {
                8 => self.numbers.extend([&word[..4], &word[4..6], &word[6..]].map(String::from)),
                6 => {
                    self.numbers.extend([century(&word[..2]), word[2..4].to_string(), word[4..].to_string()]);
                }
                14 => {
                    self.numbers.extend([&word[..4], &word[4..6], &word[6..8]].map(String::from));
                    self.clock = Some(packed(&word[8..])?);
                }
                _ => self.numbers.push(word.to_string()),
            }
            return Ok(());
        }
        // `10am`.
        let end = word.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(word.len());
        if let Some(late) = half(&word[end..]) {
            self.late = Some(late);
            self.clock = Some(hours(&word[..end])? * 3600 * SECOND);
            return Ok(());
        }
        let zulu = word.strip_suffix(['Z', 'z']);
        if zulu.is_some() {
            self.place = Some(Place::Ahead(0));
        }
        for part in zulu.unwrap_or(word).split(['-', '/', '.']) {
            match part.bytes().all(|byte| byte.is_ascii_digit()) && !part.is_empty() {
                true => self.numbers.push(part.to_string()),
                false => self.month = Some(month(part).ok_or(Fault::Form)?),
            }
        }
        Ok(())
    }

    fn letters(&mut self, word: &str) -> Result<(), Fault> {
        if let Some(late) = half(word) {
            // `10 am`.
            if self.clock.is_none() {
                let hour = self.numbers.pop().ok_or(Fault::Form)?;
                self.clock = Some(hours(&hour)? * 3600 * SECOND);
            }
            self.late = Some(late);
            return Ok(());
        }
        const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
        let lower = word.to_lowercase();
        if self.numbers.is_empty() && self.month.is_none() && DAYS.iter().any(|day| lower.starts_with(day)) {
            return Ok(());
        }
        let (name, rest) = match word.find(['-', '.']) {
            Some(at) if month(&word[..at]).is_some() => (&word[..at], &word[at + 1..]),
            _ => (word, ""),
        };
        if let Some(month) = month(name) {
            self.month_first = self.numbers.is_empty();
            self.month = Some(month);
            return if rest.is_empty() { Ok(()) } else { self.digits(rest) };
        }
        self.place(word)
    }

    fn clock_and_place(&mut self, word: &str) -> Result<(), Fault> {
        let end = word
            .find(|letter: char| !letter.is_ascii_digit() && letter != ':' && letter != '.')
            .unwrap_or(word.len());
        let numbers: Vec<&str> = word[..end].split(':').collect();
        let [hour, minute, rest @ ..] = numbers.as_slice() else { return Err(Fault::Form) };
        let (second, fraction) = match rest {
            [] => ("0", ""),
            [second] => second.split_once('.').unwrap_or((second, "")),
            _ => return Err(Fault::Form),
        };
        let number = |text: &str| text.parse::<i64>().map_err(|_| Fault::Form);
        let (hour, minute, second) = (number(hour)?, number(minute)?, number(second)?);
        let micros = match fraction {
            "" => 0,
            fraction if fraction.bytes().all(|byte| byte.is_ascii_digit()) => {
                let parsed: f64 = format!("0.{fraction}").parse().map_err(|_| Fault::Form)?;
                (parsed * 1e6).round() as i64
            }
            _ => return Err(Fault::Form),
        };
        let clock = (hour * 3600 + minute * 60 + second) * SECOND + micros;
        if hour > 24 || minute > 59 || second > 60 || clock > DAY {
            return Err(Fault::Range);
        }
        self.clock = Some(clock);
        match &word[end..] {
            "" => Ok(()),
            rest if half(rest).is_some() => {
                self.late = half(rest);
                Ok(())
            }
            rest => self.place(rest),
        }
    }

    fn place(&mut self, word: &str) -> Result<(), Fault> {
        const KNOWN: [(&str, i64); 17] = [
            ("z", 0),
            ("utc", 0),
            ("gmt", 0),
            ("zulu", 0),
            ("est", -5),
            ("edt", -4),
            ("cst", -6),
            ("cdt", -5),
            ("mst", -7),
            ("mdt", -6),
            ("pst", -8),
            ("pdt", -7),
            ("cet", 1),
            ("cest", 2),
            ("bst", 1),
            ("jst", 9),
            ("msk", 3),
        ];
        if self.place.is_some() {
            return Err(Fault::Form);
        }
        let lower = word.to_lowercase();
        if let Some((_, hours)) = KNOWN.iter().find(|(name, _)| *name == lower) {
            self.place = Some(Place::Ahead(hours * 3600));
            return Ok(());
        }
        let sign = match word.as_bytes()[0] {
            b'+' => 1,
            b'-' => -1,
            _ => {
                self.place = Some(Place::Zone(zones::zone(word).ok_or(Fault::Form)?));
                return Ok(());
            }
        };
        let digits = &word[1..];
        let parts: Vec<&str> = match digits.contains(':') {
            true => digits.split(':').collect(),
            false if digits.len() > 2 => {
                let (hours, minutes) = digits.split_at(digits.len() - 2);
                vec![hours, minutes]
            }
            false => vec![digits],
        };
        let numbers: Option<Vec<i64>> = parts.iter().map(|part| part.parse().ok()).collect();
        let seconds = match numbers.ok_or(Fault::Form)?.as_slice() {
            [hours] => hours * 3600,
            [hours, minutes] => hours * 3600 + minutes * 60,
            [hours, minutes, seconds] => hours * 3600 + minutes * 60 + seconds,
            _ => return Err(Fault::Form),
        };
        if seconds >= 16 * 3600 {
            return Err(Fault::Range);
        }
        self.place = Some(Place::Ahead(sign * seconds));
        Ok(())
    }

    fn day(&self, order: Order) -> Result<NaiveDate, Fault> {
        let is_year = |text: &String| text.len() > 2;
        let (year, month, day) = match (self.month, self.numbers.as_slice()) {
            (Some(month), [a, b])
                if is_year(a) || !is_year(b) && order == Order::Year && !self.month_first =>
            {
                (a, Some(month), b)
            }
            (Some(month), [a, b]) => (b, Some(month), a),
            (None, [a, b, c]) => {
                let (year, month, day) = match (is_year(a), order) {
                    (true, _) | (false, Order::Year) => (a, b, c),
                    (_, Order::Month) => (c, a, b),
                    (_, Order::Day) => (c, b, a),
                };
                (year, Some(month.parse().map_err(|_| Fault::Form)?), day)
            }
            _ => return Err(Fault::Form),
        };
        let year = if year.len() <= 2 { century(year) } else { year.clone() };
        let year: i32 = year.parse().map_err(|_| Fault::Form)?;
        let day: u32 = day.parse().map_err(|_| Fault::Form)?;
        NaiveDate::from_ymd_opt(year, month.unwrap_or_default(), day)
            .filter(|_| (1..=9999).contains(&year))
            .ok_or(Fault::Range)
    }

    fn clock(&self) -> Result<Option<i64>, Fault> {
        let (Some(clock), Some(late)) = (self.clock, self.late) else { return Ok(self.clock) };
        let noon = 12 * 3600 * SECOND;
        if !(3600 * SECOND..noon + 3600 * SECOND).contains(&clock) {
            return Err(Fault::Range);
        }
        Ok(Some(clock % noon + if late { noon } else { 0 }))
    }
}

/// `HHMM` or `HHMMSS`.
fn packed(digits: &str) -> Result<i64, Fault> {
    let two = |at: usize| digits.get(at..at + 2).and_then(|text| text.parse::<i64>().ok());
    let (hour, minute) = match digits.len() {
        2 => (two(0), Some(0)),
        4 | 6 => (two(0), two(2)),
        _ => return Err(Fault::Form),
    };
    let second = if digits.len() == 6 { two(4) } else { Some(0) };
    let (Some(hour), Some(minute), Some(second)) = (hour, minute, second) else { return Err(Fault::Form) };
    if hour > 24 || minute > 59 || second > 60 {
        return Err(Fault::Range);
    }
    Ok((hour * 3600 + minute * 60 + second) * SECOND)
}

fn hours(text: &str) -> Result<i64, Fault> {
    text.parse().ok().filter(|hours| (0..=24).contains(hours)).ok_or(Fault::Form)
}

/// A year of two digits.
fn century(text: &str) -> String {
    match text.parse::<u32>() {
        Ok(year) => (if year < 70 { 2000 + year } else { 1900 + year }).to_string(),
        Err(_) => text.to_string(),
    }
}

/// Whether it says that a time is after noon.
fn half(word: &str) -> Option<bool> {
    match word.to_lowercase().as_str() {
        "am" | "a.m." => Some(false),
        "pm" | "p.m." => Some(true),
        _ => None,
    }
}

fn month(word: &str) -> Option<u32> {
    const MONTHS: [&str; 12] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    let lower = word.trim_end_matches('.').to_lowercase();
    let at = MONTHS.iter().position(|month| *month == lower || lower.len() >= 3 && month[..3] == lower)?;
    if lower == "sept" { Some(9) } else { Some(at as u32 + 1) }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn at(text: &str, order: Order) -> String {
        match read(text, order).and_then(|written| written.instant(Tz::America__New_York)) {
            Ok(micros) => DateTime::from_timestamp_micros(micros).unwrap().format("%F %T%.f").to_string(),
            Err(fault) => format!("{fault:?}"),
        }
    }

    #[test]
    fn times_are_read_in_every_form() {
        for text in [
            "2013-03-09 10:00:00",
            "2013-03-09 10:00",
            "2013-03-09T10:00",
            "20130309T100000",
            "20130309 10:00:00-05",
            "2013-03-09T10:00:00-05:00",
            "2013-03-09 15:00:00Z",
            "2013-03-09 15:00 UTC",
            "2013-03-09 16:00 Europe/Berlin",
            "March 9, 2013 10 am",
            "Sat 9 Mar 2013 10:00 AM",
            "9-Mar-2013 10:00",
            "2013-Mar-09 10:00:00.0 EST",
            "Mar-09-2013 10:00",
            "3/9/2013 10:00",
            "3-9-13 10:00",
            "2013/3/9 10:00",
            "20130309100000",
            "2013-03-09 20:00+0500",
        ] {
            assert_eq!(at(text, Order::Month), "2013-03-09 15:00:00", "{text}");
        }
        assert_eq!(at("9.3.2013 10:00", Order::Day), "2013-03-09 15:00:00");
        assert_eq!(at("13/03/09 10:00", Order::Year), "2013-03-09 15:00:00");
        assert_eq!(at("2013-07-01", Order::Month), "2013-07-01 04:00:00");
        assert_eq!(at("2013-07-01 12:30:00.1234567 pm", Order::Month), "2013-07-01 16:30:00.123457");
        assert_eq!(at("2013-07-01 12:00 am", Order::Month), "2013-07-01 04:00:00");
        assert_eq!(at("2013-12-31 24:00", Order::Month), "2014-01-01 05:00:00");
        for wrong in
            ["", "x", "2013", "2013-03", "10:00", "2013-03-09 10:00 Nowhere/City", "1 2 3 4", "AA", "N14228"]
        {
            assert_eq!(at(wrong, Order::Month), "Form", "{wrong}");
        }
        for wrong in ["2013-02-30", "13/13/2013", "2013-03-09 25:00", "2013-03-09 10:60", "31.1.2013"] {
            assert_eq!(at(wrong, Order::Month), "Range", "{wrong}");
        }
    }

    #[test]
    fn clocks_stand_alone() {
        assert_eq!(time_of_day("08:00"), Ok(8 * 3600 * SECOND));
        assert_eq!(time_of_day("08:00:00.5-05"), Ok(8 * 3600 * SECOND + SECOND / 2));
        assert_eq!(time_of_day("080000"), Ok(8 * 3600 * SECOND));
        assert_eq!(time_of_day("2013-03-09 8:00 pm"), Ok(20 * 3600 * SECOND));
        assert_eq!(time_of_day("2013-03-09"), Err(Fault::Form));
    }

    #[test]
    fn what_the_engine_reads_stays() {
        assert!(!is_unusual("2013-03-09") && !is_unusual("2013-03-09 10:00:00") && !is_unusual("AA"));
        assert!(is_unusual("20130309") && is_unusual("2013-03-09 10:00") && is_unusual("3/9/2013"));
    }
}
