//! The parsers against the standard library's and chrono's.

use super::*;
use proptest::prelude::*;

fn utc() -> Zone {
    Zone::new(Tz::UTC)
}

#[test]
fn doubtful_numbers_are_refused_when_strict() {
    for text in ["007", "+5", "-0", "", "-", "1_000", " 1", "9223372036854775808", "1.0", "0x10", "1e3"] {
        assert_eq!(int(text.as_bytes(), true), None, "{text}");
    }
    assert_eq!(int(b"-9223372036854775808", true), Some(i64::MIN));
    assert_eq!(int(b"9223372036854775807", true), Some(i64::MAX));
    assert_eq!(int(b"+007", false), Some(7));
    for text in
        ["007.5", "+5.0", "inf", "NaN", "1e", "1e+", ".", "1.2.3", "1e999", "9007199254740993", "--1", "1f"]
    {
        assert_eq!(double(text.as_bytes(), true), None, "{text}");
    }
    for (text, value) in
        [(".5", 0.5), ("5.", 5.0), ("0.1", 0.1), ("-1E-3", -1e-3), ("9007199254740992", 9007199254740992.0)]
    {
        assert_eq!(double(text.as_bytes(), true), Some(value), "{text}");
    }
    assert_eq!(double(b"-Infinity", false), Some(f64::NEG_INFINITY));
}

#[test]
fn dates_and_instants() {
    assert_eq!(date(b"1970-01-01"), Some(0));
    assert_eq!(date(b"2000-02-29"), Some(11_016));
    for text in
        ["1900-02-29", "2026-13-01", "2026-00-10", "2026-1-1", "0000-01-01", "2026/01/01", "2026-04-31"]
    {
        assert_eq!(date(text.as_bytes()), None, "{text}");
    }
    let second = 1_000_000;
    for (text, micros) in [
        ("1970-01-01T00:00", 0),
        ("1970-01-01 00:00:01", second),
        ("1970-01-01T00:00:01.5Z", second + 500_000),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01T01:00:00+01", 0),
        ("1969-12-31 19:00:00-0500", 0),
        ("1970-01-01 00:00:00 UTC", 0),
        ("1970-01-01T00:00:00.123456000Z", 123_456),
    ] {
        assert_eq!(timestamp(text.as_bytes(), utc(), true), Some(micros), "{text}");
    }
    for text in [
        "1970-01-01",
        "1970-01-01T24:00",
        "1970-01-01T00:60",
        "1970-01-01T00:00:00.",
        "1970-01-01T00:00:00.1234567",
        "1970-01-01T00:00:00 CET",
        "1970-01-01T00:00:0",
        "1970-01-01T00:00+25:00",
    ] {
        assert_eq!(timestamp(text.as_bytes(), utc(), true), None, "{text}");
    }
}

#[test]
fn local_times_are_read_in_the_zone_even_where_clocks_change() {
    let zone = Zone::new("Europe/Amsterdam".parse().unwrap());
    let at = |text: &str| timestamp(text.as_bytes(), zone, true).unwrap();
    let sure = |text: &str| timestamp(text.as_bytes(), utc(), true).unwrap();
    assert_eq!(at("2026-07-01 12:00"), sure("2026-07-01 10:00"));
    assert_eq!(at("2026-07-01 12:00Z"), sure("2026-07-01 12:00"));
    assert_eq!(at("2026-03-29 02:30"), sure("2026-03-29 01:30"));
    assert_eq!(at("2026-10-25 02:30"), sure("2026-10-25 00:30"));
}

#[test]
fn decimals_are_exact_or_refused() {
    assert_eq!(decimal(b"12.30", 5, 1), Some(123));
    assert_eq!(decimal(b"-12.3", 5, 2), Some(-1230));
    assert_eq!(decimal(b"1.5e3", 5, 0), Some(1500));
    for text in ["12.34", "100000", "1.2.3", "", "abc", "1e99"] {
        assert_eq!(decimal(text.as_bytes(), 5, 1), None, "{text}");
    }
}

proptest! {
    #[test]
    fn integers_round_trip(value: i64) {
        prop_assert_eq!(int(value.to_string().as_bytes(), true), Some(value));
    }

    #[test]
    fn doubles_are_those_of_the_standard_library(value in proptest::num::f64::NORMAL, places in 0usize..20) {
        for text in [format!("{value:?}"), format!("{value:e}"), format!("{:.places$}", value % 1e9)] {
            if let Some(read) = double(text.as_bytes(), true) {
                prop_assert_eq!(read.to_bits(), text.parse::<f64>().unwrap().to_bits(), "{}", text);
            } else {
                prop_assert!(!text.contains(['.', 'e']), "{}", text);
            }
        }
    }

    #[test]
    fn days_are_those_of_chrono(days in -700_000i32..2_900_000) {
        let day = chrono::NaiveDate::from_ymd_opt(1970, 1, 1).unwrap() + chrono::Duration::days(days.into());
        prop_assert_eq!(date(day.format("%Y-%m-%d").to_string().as_bytes()), Some(days));
    }

    #[test]
    fn any_bytes_are_no_panic(text: Vec<u8>, strict: bool) {
        int(&text, strict);
        double(&text, strict);
        timestamp(&text, utc(), strict);
        date(&text);
        boolean(&text, strict);
        decimal(&text, 10, 2);
    }
}
