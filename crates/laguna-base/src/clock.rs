//! Time and ids: instants in microseconds since 1970 UTC, and the one clock that tests can fix.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, NaiveDate, NaiveDateTime, SecondsFormat, TimeZone, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// A moment, in microseconds since 1970-01-01T00:00:00Z. Written as RFC 3339 with six decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(i64);

impl Instant {
    /// From microseconds since 1970-01-01T00:00:00Z.
    pub const fn from_micros(micros: i64) -> Self {
        Instant(micros)
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// This instant plus `micros` microseconds.
    pub const fn plus_micros(self, micros: i64) -> Self {
        Instant(self.0 + micros)
    }

    /// Calendar form in UTC.
    pub fn to_datetime(self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0).unwrap_or_default()
    }

    /// Parses what a user types: RFC 3339, `YYYY-MM-DD` (00:00 in `zone`), or `YYYY-MM-DD HH:MM[:SS[.f]]` in `zone`.
    pub fn parse(text: &str, zone: Tz) -> Result<Self> {
        let text = text.trim();
        // RFC 3339 lets a space stand for the T.
        if let Ok(moment) = DateTime::parse_from_rfc3339(&text.replacen(' ', "T", 1)) {
            return Ok(Instant(moment.timestamp_micros()));
        }
        let local = NaiveDate::parse_from_str(text, "%Y-%m-%d")
            .ok()
            .and_then(|day| day.and_hms_opt(0, 0, 0))
            .or_else(|| {
                ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"]
                    .iter()
                    .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
            })
            .ok_or_else(|| {
                Error::project(format!("`{text}` is not a time"))
                    .hint("write 2026-11-22 or 2026-11-22T06:00:00Z")
            })?;
        let moment = zone.from_local_datetime(&local).earliest().ok_or_else(|| {
            Error::project(format!("`{text}` does not exist in {zone}: clocks were put forward"))
                .hint("write it with its offset, as 2026-03-29T01:30:00Z")
        })?;
        Ok(Instant(moment.timestamp_micros()))
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_datetime().to_rfc3339_opts(SecondsFormat::Micros, true))
    }
}

impl FromStr for Instant {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        Instant::parse(text, Tz::UTC)
    }
}

impl Serialize for Instant {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| serde::de::Error::custom(format!("`{text}` is not an RFC 3339 time")))
    }
}

/// Where time and ids come from, so that tests can fix both.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The current moment. May go backwards: whoever needs order must compare with what is stored.
    fn now(&self) -> Instant;

    /// A new id that sorts by its time of creation: `20261122t155545-` and 12 hexadecimal digits.
    fn new_id(&self) -> String {
        let random = uuid::Uuid::now_v7().simple().to_string();
        format!("{}-{}", self.now().to_datetime().format("%Y%m%dt%H%M%S"), &random[20..])
    }
}

/// The machine's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant(Utc::now().timestamp_micros())
    }
}

/// A clock that stands still until it is moved: for tests.
#[derive(Debug)]
pub struct FixedClock(AtomicI64);

impl FixedClock {
    /// A clock that shows `now`.
    pub fn new(now: Instant) -> Self {
        FixedClock(AtomicI64::new(now.as_micros()))
    }

    /// Moves the clock to `now`, forwards or backwards.
    pub fn set(&self, now: Instant) {
        self.0.store(now.as_micros(), Ordering::SeqCst);
    }
}

impl Clock for FixedClock {
    fn now(&self) -> Instant {
        Instant(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_read_as_people_write_them() {
        let new_york: Tz = "America/New_York".parse().unwrap();
        for (text, expected) in [
            ("2026-11-22", "2026-11-22T05:00:00.000000Z"),
            ("2026-11-22T06:00:00Z", "2026-11-22T06:00:00.000000Z"),
            ("2026-11-22 06:00:00+01:00", "2026-11-22T05:00:00.000000Z"),
            ("2026-11-22 06:00", "2026-11-22T11:00:00.000000Z"),
            ("2026-11-22T06:00:00.123456", "2026-11-22T11:00:00.123456Z"),
        ] {
            assert_eq!(Instant::parse(text, new_york).unwrap().to_string(), expected, "{text}");
        }
        assert!(Instant::parse("yesterday", new_york).is_err());
        assert!(Instant::parse("2026-03-08 02:30", new_york).is_err());
    }

    #[test]
    fn ids_sort_by_time() {
        let clock = FixedClock::new("2026-11-22".parse().unwrap());
        let first = clock.new_id();
        clock.set("2026-11-23".parse().unwrap());
        assert!(first < clock.new_id());
        assert_ne!(clock.new_id(), clock.new_id());
    }
}
