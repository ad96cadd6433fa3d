//! Numbers in PostgreSQL's text and binary forms.

use std::fmt::Write;

use bytes::{BufMut, BytesMut};

/// The shortest digits that give the same number, with an exponent below -4 and from `digits` on (PostgreSQL's
/// float8out). `text` is the number as Rust writes it with an exponent.
pub(super) fn float(value: f64, text: String, digits: i32, out: &mut BytesMut) {
    if value.is_nan() {
        return out.put_slice(b"NaN");
    }
    if value.is_infinite() {
        return out.put_slice(if value > 0.0 { b"Infinity" } else { b"-Infinity" });
    }
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if exponent < -4 || exponent >= digits {
        let sign = if exponent < 0 { '-' } else { '+' };
        let _ = write!(out, "{mantissa}e{sign}{:02}", exponent.abs());
        return;
    }
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa),
    };
    let figures: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    out.put_slice(sign.as_bytes());
    if exponent < 0 {
        out.put_slice(b"0.");
        (0..-exponent - 1).for_each(|_| out.put_u8(b'0'));
        return out.put_slice(figures.as_bytes());
    }
    let whole = exponent as usize + 1;
    for index in 0..whole.max(figures.len()) {
        if index == whole {
            out.put_u8(b'.');
        }
        out.put_u8(figures.as_bytes().get(index).copied().unwrap_or(b'0'));
    }
}

/// A number of ten digits behind the point without the zeros at its end, and how many digits are left there.
pub(super) fn shortest(mut unscaled: i128) -> (i128, i8) {
    let mut scale = 10;
    while scale > 0 && unscaled % 10 == 0 {
        unscaled /= 10;
        scale -= 1;
    }
    (unscaled, scale)
}

/// A decimal whose digits without a point are `unscaled`.
pub(super) fn decimal(unscaled: &str, scale: i8, out: &mut BytesMut) {
    let (sign, digits) = match unscaled.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", unscaled),
    };
    out.put_slice(sign.as_bytes());
    let scale = match usize::try_from(scale) {
        Ok(scale) => scale,
        Err(_) => {
            out.put_slice(digits.as_bytes());
            return (0..-scale).for_each(|_| out.put_u8(b'0'));
        }
    };
    if scale == 0 {
        return out.put_slice(digits.as_bytes());
    }
    let padded = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = padded.split_at(padded.len() - scale);
    let _ = write!(out, "{whole}.{fraction}");
}

/// PostgreSQL's numeric: groups of four digits, the weight of the first, a sign and the digits after the point.
pub(super) fn numeric(unscaled: &str, scale: i8, out: &mut BytesMut) {
    let mut text = BytesMut::new();
    decimal(unscaled, scale, &mut text);
    let text = String::from_utf8_lossy(&text).into_owned();
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.as_str()),
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole_groups = whole.len().div_ceil(4);
    let whole = format!("{whole:0>width$}", width = whole_groups * 4);
    let padded = format!("{fraction:0<width$}", width = fraction.len().div_ceil(4) * 4);
    let digits = format!("{whole}{padded}");
    let mut groups: Vec<u16> = digits
        .as_bytes()
        .chunks(4)
        .map(|four| four.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0')))
        .collect();
    let leading = groups.iter().take_while(|group| **group == 0).count();
    groups.drain(..leading);
    while groups.last() == Some(&0) {
        groups.pop();
    }
    let weight = if groups.is_empty() { 0 } else { whole_groups as i16 - 1 - leading as i16 };
    out.put_u16(groups.len() as u16);
    out.put_i16(weight);
    out.put_u16(if negative && !groups.is_empty() { 0x4000 } else { 0 });
    out.put_u16(fraction.len() as u16);
    groups.iter().for_each(|group| out.put_u16(*group));
}
