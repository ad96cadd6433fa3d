//! Values out of text: fast, exact parsers that refuse what they are not sure of.
//!
//! `strict` is the grammar of inferred types (one spelling a value); without it, as for declared types, more spellings
//! are read.

use chrono::{DateTime, Duration, TimeZone};
use chrono_tz::Tz;

/// Largest integer up to which every integer is exact in a double: 2^53.
pub const EXACT: u64 = 1 << 53;

/// The instant of a local time, by the source's time zone.
#[derive(Debug, Clone, Copy)]
pub struct Zone(Option<Tz>);

impl Zone {
    pub fn new(zone: Tz) -> Self {
        Zone((zone != Tz::UTC && zone != Tz::Etc__UTC).then_some(zone))
    }

    /// Local microseconds to UTC microseconds. A repeated local time is the earlier one, a skipped one is read with
    /// the offset before the change.
    pub fn to_utc(self, local: i64) -> Option<i64> {
        let Some(zone) = self.0 else { return Some(local) };
        let naive = DateTime::from_timestamp_micros(local)?.naive_utc();
        if let Some(moment) = zone.from_local_datetime(&naive).earliest() {
            return Some(moment.timestamp_micros());
        }
        let before = naive.checked_sub_signed(Duration::hours(3))?;
        let shift = zone.from_local_datetime(&before).earliest()?.timestamp_micros();
        shift.checked_add(3 * 3_600_000_000)
    }
}

/// A 64-bit integer. Strict: no plus sign, no leading zero, no minus zero.
#[inline]
pub fn int(text: &[u8], strict: bool) -> Option<i64> {
    let (negative, digits) = match text.first()? {
        b'-' => (true, &text[1..]),
        b'+' if !strict => (false, &text[1..]),
        _ => (false, text),
    };
    if digits.is_empty() || digits.len() > 19 && strict {
        return None;
    }
    if strict && digits[0] == b'0' && (digits.len() > 1 || negative) {
        return None;
    }
    if digits.len() <= 18 {
        let mut value = 0i64;
        for byte in digits {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                return None;
            }
            value = value * 10 + i64::from(digit);
        }
        return Some(if negative { -value } else { value });
    }
    let mut value = 0i64;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?;
        value = if negative {
            value.checked_sub(i64::from(digit))?
        } else {
            value.checked_add(i64::from(digit))?
        };
    }
    Some(value)
}

const TENS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

/// A finite double. Strict: no plus sign, no leading zero, an integer must be exact. Words for infinity and not-a-number
/// are read only when not strict.
///
/// Short decimals take the exact path of Clinger ("How to read floating point numbers accurately", 1990): a mantissa
/// up to 2^53 divided by a power of ten up to 10^22 is rounded once.
#[inline]
pub fn double(text: &[u8], strict: bool) -> Option<f64> {
    let (negative, rest) = match text.first()? {
        b'-' => (true, &text[1..]),
        b'+' if !strict => (false, &text[1..]),
        _ => (false, text),
    };
    let mut mantissa = 0u64;
    let mut at = 0;
    while at < rest.len() {
        let digit = rest[at].wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit));
        at += 1;
    }
    let whole = at;
    if strict && whole > 1 && rest[0] == b'0' {
        return None;
    }
    let mut fraction = 0;
    if at < rest.len() && rest[at] == b'.' {
        at += 1;
        while at < rest.len() {
            let digit = rest[at].wrapping_sub(b'0');
            if digit > 9 {
                break;
            }
            mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit));
            at += 1;
            fraction += 1;
        }
    }
    if whole + fraction == 0 {
        return if strict { None } else { special(text) };
    }
    let plain = at == rest.len();
    if plain && whole + fraction <= 18 && mantissa <= EXACT && fraction <= 22 {
        let value = mantissa as f64 / TENS[fraction];
        return Some(if negative { -value } else { value });
    }
    if plain && whole == rest.len() && strict {
        return None;
    }
    if !plain {
        if rest[at] | 0x20 != b'e' {
            return None;
        }
        at += 1;
        if at < rest.len() && (rest[at] == b'-' || rest[at] == b'+') {
            at += 1;
        }
        if at == rest.len() || !rest[at..].iter().all(u8::is_ascii_digit) {
            return None;
        }
    }
    let value: f64 = lexical_core::parse(rest).ok()?;
    value.is_finite().then_some(if negative { -value } else { value })
}

fn special(text: &[u8]) -> Option<f64> {
    let lower = text.to_ascii_lowercase();
    match lower.as_slice() {
        b"nan" => Some(f64::NAN),
        b"inf" | b"+inf" | b"infinity" | b"+infinity" => Some(f64::INFINITY),
        b"-inf" | b"-infinity" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

/// `true` or `false` in any case; not strict: also t, f, yes, no, y, n, on, off, 1, 0.
#[inline]
pub fn boolean(text: &[u8], strict: bool) -> Option<bool> {
    if text.eq_ignore_ascii_case(b"true") {
        return Some(true);
    }
    if text.eq_ignore_ascii_case(b"false") {
        return Some(false);
    }
    if strict {
        return None;
    }
    match text.to_ascii_lowercase().as_slice() {
        b"t" | b"yes" | b"y" | b"on" | b"1" => Some(true),
        b"f" | b"no" | b"n" | b"off" | b"0" => Some(false),
        _ => None,
    }
}

#[inline]
fn two(text: &[u8], at: usize) -> Option<u32> {
    let (high, low) = (text[at].wrapping_sub(b'0'), text[at + 1].wrapping_sub(b'0'));
    if high > 9 || low > 9 { None } else { Some(u32::from(high) * 10 + u32::from(low)) }
}

/// Days since 1970-01-01 of `YYYY-MM-DD` in the years 1 to 9999.
///
/// The count of days follows Howard Hinnant's `days_from_civil` (chrono-Compatible Low-Level Date Algorithms).
#[inline]
pub fn date(text: &[u8]) -> Option<i32> {
    if text.len() != 10 || text[4] != b'-' || text[7] != b'-' {
        return None;
    }
    let year = two(text, 0)? * 100 + two(text, 2)?;
    let (month, day) = (two(text, 5)?, two(text, 8)?);
    if year == 0 || month == 0 || month > 12 || day == 0 || day > 31 {
        return None;
    }
    if day > 28 {
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let last = match month {
            2 => 28 + u32::from(leap),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        if day > last {
            return None;
        }
    }
    let year = year as i32 - i32::from(month <= 2);
    let era = year.div_euclid(400);
    let of_era = year - era * 400;
    let of_year = (153 * ((month as i32 + 9) % 12) + 2) / 5 + day as i32 - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

/// Microseconds since 1970 UTC of `YYYY-MM-DD[T ]HH:MM[:SS[.f…]]`, then nothing, `Z`, ` UTC`, `±HH`, `±HHMM` or `±HH:MM`.
/// Strict: digits beyond the microsecond must be zero. Not strict: they are cut off, and a date is its midnight.
#[inline]
pub fn timestamp(text: &[u8], zone: Zone, strict: bool) -> Option<i64> {
    if text.len() < 16 {
        return if strict { None } else { midnight(text, zone) };
    }
    let days = date(&text[..10])?;
    if text[10] != b'T' && text[10] != b' ' && text[10] != b't' || text[13] != b':' {
        return None;
    }
    let (hour, minute) = (two(text, 11)?, two(text, 14)?);
    let mut at = 16;
    let mut second = 0;
    let mut micros = 0i64;
    if text.len() > 16 && text[16] == b':' {
        if text.len() < 19 {
            return None;
        }
        second = two(text, 17)?;
        at = 19;
        if text.len() > 19 && (text[19] == b'.' || text[19] == b',') {
            at = 20;
            let mut scale = 100_000;
            while at < text.len() && text[at].is_ascii_digit() {
                let digit = i64::from(text[at] - b'0');
                if scale == 0 && digit != 0 && strict {
                    return None;
                }
                micros += digit * scale;
                scale /= 10;
                at += 1;
            }
            if at == 20 || at > 29 {
                return None;
            }
        }
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = i64::from(days) * 86_400 + i64::from(hour * 3600 + minute * 60 + second);
    let local = seconds * 1_000_000 + micros;
    match &text[at..] {
        [] => zone.to_utc(local),
        b"Z" | b"z" | b" UTC" => Some(local),
        offset => Some(local - offset_micros(offset)?),
    }
}

/// Midnight of a date, in the source's time zone.
pub fn midnight(text: &[u8], zone: Zone) -> Option<i64> {
    zone.to_utc(i64::from(date(text)?) * 86_400_000_000)
}

fn offset_micros(text: &[u8]) -> Option<i64> {
    let sign = match text[0] {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = match text.len() {
        3 => (two(text, 1)?, 0),
        5 => (two(text, 1)?, two(text, 3)?),
        6 if text[3] == b':' => (two(text, 1)?, two(text, 4)?),
        _ => return None,
    };
    if hours > 18 || minutes > 59 {
        return None;
    }
    Some(sign * i64::from(hours * 3600 + minutes * 60) * 1_000_000)
}

/// A decimal of `precision` digits, `scale` of them after the point, as its unscaled integer. What does not fit exactly
/// is refused. An exponent is read.
pub fn decimal(text: &[u8], precision: u8, scale: i8) -> Option<i128> {
    let (negative, rest) = match text.first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (number, exponent) = match rest.iter().position(|b| *b | 0x20 == b'e') {
        Some(at) => (&rest[..at], i32::try_from(int(&rest[at + 1..], false)?).ok()?),
        None => (rest, 0),
    };
    let mut value = 0i128;
    let mut digits = 0;
    let mut fraction = None;
    for byte in number {
        match byte {
            b'0'..=b'9' => {
                value = value.checked_mul(10)?.checked_add(i128::from(byte - b'0'))?;
                digits += 1;
                fraction = fraction.map(|n: i32| n + 1);
            }
            b'.' if fraction.is_none() => fraction = Some(0),
            _ => return None,
        }
    }
    if digits == 0 {
        return None;
    }
    let mut shift = i32::from(scale).checked_sub(fraction.unwrap_or(0))?.checked_add(exponent)?;
    if value == 0 {
        return Some(0);
    }
    while shift > 0 {
        value = value.checked_mul(10)?;
        shift -= 1;
    }
    while shift < 0 {
        if value % 10 != 0 {
            return None;
        }
        value /= 10;
        shift += 1;
    }
    if value >= 10i128.checked_pow(u32::from(precision))? {
        return None;
    }
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests;
