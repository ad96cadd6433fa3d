//! Arguments that are filled in when a suite runs: `{"$PARAMETER": "limit - 1"}`.
//!
//! The expressions are those of Great Expectations' suite parameters: names of values, numbers, `+ - * / ^`,
//! parentheses, `sin cos tan exp abs trunc round sgn`, `PI`, `E`, `now()`, `datetime(…)` and `timedelta(…)`.

use chrono::{NaiveDate, NaiveDateTime, TimeDelta};
use laguna_base::{Error, Instant, Result, suggest};
use serde_json::{Map, Value};

/// The key whose value is an expression.
const KEY: &str = "$PARAMETER";

/// How deep parentheses and signs may be nested.
const DEPTH: usize = 64;

/// `arguments` with every `{"$PARAMETER": …}` in them replaced by its value. A name without a value is an error. `now`
/// is the moment that `now()` stands for.
pub fn with_parameters(arguments: &Value, parameters: &Map<String, Value>, now: Instant) -> Result<Value> {
    match arguments {
        Value::Object(map) => {
            if let Some(expression) = map.get(KEY) {
                let Some(expression) = expression.as_str() else {
                    return Err(Error::project(format!("`{KEY}` must be a text")));
                };
                // A value that stands beside the expression, as older suites keep it for work by hand.
                return match map.get(&format!("{KEY}.{expression}")) {
                    Some(beside) if !parameters.contains_key(expression) => Ok(beside.clone()),
                    _ => evaluate(expression, parameters, now),
                };
            }
            map.iter()
                .map(|(key, value)| Ok((key.clone(), with_parameters(value, parameters, now)?)))
                .collect::<Result<Map<String, Value>>>()
                .map(Value::Object)
        }
        Value::Array(items) => items
            .iter()
            .map(|item| with_parameters(item, parameters, now))
            .collect::<Result<Vec<Value>>>()
            .map(Value::Array),
        other => Ok(other.clone()),
    }
}

/// Whether anything in `arguments` waits for a parameter.
pub(crate) fn any(arguments: &Value) -> bool {
    match arguments {
        Value::Object(map) => map.contains_key(KEY) || map.values().any(any),
        Value::Array(items) => items.iter().any(any),
        _ => false,
    }
}

fn evaluate(expression: &str, parameters: &Map<String, Value>, now: Instant) -> Result<Value> {
    let name = expression.trim();
    if let Some(value) = parameters.get(name) {
        return Ok(value.clone());
    }
    let mut reader = Reader { text: expression, rest: expression, parameters, now, depth: 0 };
    let value = reader.sum()?;
    if !reader.rest.trim_start().is_empty() {
        return Err(reader.wrong());
    }
    match value {
        Number::Whole(whole) => Ok(Value::from(whole)),
        Number::Real(real) if real.is_finite() => Ok(Value::from(real)),
        Number::Real(_) => {
            Err(Error::project(format!("the parameter `{expression}` is not a finite number")))
        }
        Number::Moment(moment) => Ok(Value::from(moment.format("%Y-%m-%dT%H:%M:%S%.f").to_string())),
        Number::Span(_) => Err(Error::project(format!("the parameter `{expression}` is a span of time"))
            .hint("add it to a moment, as in now() - timedelta(days=1)")),
    }
}

#[derive(Debug, Clone, Copy)]
enum Number {
    Whole(i64),
    Real(f64),
    Moment(NaiveDateTime),
    Span(TimeDelta),
}

impl Number {
    fn real(self) -> Option<f64> {
        match self {
            Number::Whole(whole) => Some(whole as f64),
            Number::Real(real) => Some(real),
            _ => None,
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
    parameters: &'a Map<String, Value>,
    now: Instant,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn wrong(&self) -> Error {
        Error::project(format!("the parameter `{}` is not understood", self.text)).hint(
            "names, numbers, + - * / ^, parentheses, now(), datetime(2024, 1, 31) and timedelta(days=1) are",
        )
    }

    fn take(&mut self, sign: char) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(sign) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn name(&mut self) -> Option<&'a str> {
        self.rest = self.rest.trim_start();
        if !self.rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            return None;
        }
        let inside = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$';
        let length = self.rest.find(|c| !inside(c)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(length);
        self.rest = rest;
        Some(name)
    }

    fn sum(&mut self) -> Result<Number> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(self.wrong());
        }
        let mut left = self.product()?;
        loop {
            left = if self.take('+') {
                let right = self.product()?;
                self.add(left, right, 1)?
            } else if self.take('-') {
                let right = self.product()?;
                self.add(left, right, -1)?
            } else {
                self.depth -= 1;
                return Ok(left);
            };
        }
    }

    fn add(&self, left: Number, right: Number, sign: i32) -> Result<Number> {
        let found = match (left, right) {
            (Number::Whole(a), Number::Whole(b)) => b
                .checked_mul(i64::from(sign))
                .and_then(|b| a.checked_add(b))
                .map(Number::Whole)
                .or(Some(Number::Real(a as f64 + b as f64 * f64::from(sign)))),
            (Number::Moment(moment), Number::Span(span)) => {
                moment.checked_add_signed(span * sign).map(Number::Moment)
            }
            (Number::Span(span), Number::Moment(moment)) if sign > 0 => {
                moment.checked_add_signed(span).map(Number::Moment)
            }
            (Number::Span(a), Number::Span(b)) => a.checked_add(&(b * sign)).map(Number::Span),
            (Number::Moment(a), Number::Moment(b)) if sign < 0 => Some(Number::Span(a - b)),
            _ => left.real().zip(right.real()).map(|(a, b)| Number::Real(a + b * f64::from(sign))),
        };
        found.ok_or_else(|| self.wrong())
    }

    fn product(&mut self) -> Result<Number> {
        let mut left = self.power()?;
        loop {
            if self.take('*') {
                let right = self.power()?;
                left = match (left, right) {
                    (Number::Whole(a), Number::Whole(b)) => {
                        a.checked_mul(b).map_or(Number::Real(a as f64 * b as f64), Number::Whole)
                    }
                    (Number::Span(span), times) | (times, Number::Span(span)) => {
                        let times = times.real().ok_or_else(|| self.wrong())?;
                        self.span(span.num_microseconds().unwrap_or_default() as f64 * times)?
                    }
                    _ => Number::Real(self.real(left)? * self.real(right)?),
                };
            } else if self.take('/') {
                let right = self.power()?;
                let divisor = self.real(right)?;
                if divisor == 0.0 {
                    return Err(Error::project(format!("the parameter `{}` divides by zero", self.text)));
                }
                left = match left {
                    Number::Span(span) => {
                        self.span(span.num_microseconds().unwrap_or_default() as f64 / divisor)?
                    }
                    _ => Number::Real(self.real(left)? / divisor),
                };
            } else {
                return Ok(left);
            }
        }
    }

    fn power(&mut self) -> Result<Number> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(self.wrong());
        }
        let base = self.atom()?;
        let found = if self.take('^') {
            let exponent = self.power()?;
            match (base, exponent) {
                (Number::Whole(base), Number::Whole(exponent)) if exponent >= 0 => u32::try_from(exponent)
                    .ok()
                    .and_then(|exponent| base.checked_pow(exponent))
                    .map_or_else(|| Number::Real((base as f64).powf(exponent as f64)), Number::Whole),
                _ => Number::Real(self.real(base)?.powf(self.real(exponent)?)),
            }
        } else {
            base
        };
        self.depth -= 1;
        Ok(found)
    }

    fn real(&self, number: Number) -> Result<f64> {
        number.real().ok_or_else(|| self.wrong())
    }

    fn span(&self, micros: f64) -> Result<Number> {
        // Beyond some 290,000 years there is no time that a bound could stand for.
        if micros.abs() < 9e18 {
            Ok(Number::Span(TimeDelta::microseconds(micros as i64)))
        } else {
            Err(self.wrong())
        }
    }

    fn atom(&mut self) -> Result<Number> {
        if self.take('-') {
            self.depth += 1;
            if self.depth > DEPTH {
                return Err(self.wrong());
            }
            let inner = self.atom()?;
            self.depth -= 1;
            return match inner {
                Number::Whole(whole) => Ok(Number::Whole(-whole)),
                Number::Real(real) => Ok(Number::Real(-real)),
                Number::Span(span) => Ok(Number::Span(-span)),
                Number::Moment(_) => Err(self.wrong()),
            };
        }
        if self.take('+') {
            return self.atom();
        }
        if self.take('(') {
            let inner = self.sum()?;
            return if self.take(')') { Ok(inner) } else { Err(self.wrong()) };
        }
        if self.rest.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
            return self.literal();
        }
        let Some(name) = self.name() else { return Err(self.wrong()) };
        if self.take('(') {
            return self.call(name);
        }
        if let Some(value) = self.parameters.get(name) {
            return self.of_value(value);
        }
        match name {
            "PI" | "pi" => Ok(Number::Real(std::f64::consts::PI)),
            "E" | "e" => Ok(Number::Real(std::f64::consts::E)),
            _ => {
                Err(Error::project(format!("no value is given for the parameter `{name}`")).hint(match self
                    .parameters
                    .is_empty()
                {
                    true => format!("give it with --param {name}=…, or as `parameters:` beside `suite:`"),
                    false => suggest::hint(name, self.parameters.keys()),
                }))
            }
        }
    }

    fn literal(&mut self) -> Result<Number> {
        let text = self.rest;
        let digits =
            |at: usize| at + text[at..].find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len() - at);
        let mut end = digits(0);
        if text[end..].starts_with('.') {
            end = digits(end + 1);
        }
        if let Some(exponent) = text[end..].strip_prefix(['e', 'E']) {
            let sign = usize::from(exponent.starts_with(['+', '-']));
            if exponent[sign..].starts_with(|c: char| c.is_ascii_digit()) {
                end = digits(end + 1 + sign);
            }
        }
        self.rest = &text[end..];
        let written = &text[..end];
        match written.parse::<i64>() {
            Ok(whole) => Ok(Number::Whole(whole)),
            Err(_) => written.parse().map(Number::Real).map_err(|_| self.wrong()),
        }
    }

    fn of_value(&self, value: &Value) -> Result<Number> {
        match value {
            Value::Number(number) => match number.as_i64() {
                Some(whole) => Ok(Number::Whole(whole)),
                None => number.as_f64().map(Number::Real).ok_or_else(|| self.wrong()),
            },
            Value::String(text) => match text.trim().parse::<f64>() {
                Ok(real) => Ok(text.trim().parse().map_or(Number::Real(real), Number::Whole)),
                Err(_) => crate::value::instant(text)
                    .and_then(|nanoseconds| i64::try_from(nanoseconds / 1000).ok())
                    .and_then(chrono::DateTime::from_timestamp_micros)
                    .map(|moment| Number::Moment(moment.naive_utc()))
                    .ok_or_else(|| self.wrong()),
            },
            _ => Err(self.wrong()),
        }
    }

    /// A function; its opening parenthesis is read.
    fn call(&mut self, name: &str) -> Result<Number> {
        let mut given: Vec<(Option<String>, Number)> = Vec::new();
        while !self.take(')') {
            if !given.is_empty() && !self.take(',') {
                return Err(self.wrong());
            }
            let before = self.rest;
            let keyword = match self.name() {
                Some(keyword) if self.take('=') => Some(keyword.to_string()),
                _ => {
                    self.rest = before;
                    None
                }
            };
            let value = self.sum()?;
            given.push((keyword, value));
        }
        match name {
            "now" if given.is_empty() => Ok(Number::Moment(self.now.to_datetime().naive_utc())),
            "datetime" => {
                let parts = ["year", "month", "day", "hour", "minute", "second", "microsecond"];
                let [year, month, day, hour, minute, second, micro] = self.arguments(&given, parts)?;
                let date = NaiveDate::from_ymd_opt(year as i32, month as u32, day as u32);
                date.and_then(|date| {
                    date.and_hms_micro_opt(hour as u32, minute as u32, second as u32, micro as u32)
                })
                .map(Number::Moment)
                .ok_or_else(|| Error::project(format!("`{}` is no moment in time", self.text)))
            }
            "timedelta" => {
                let parts = ["days", "seconds", "microseconds", "milliseconds", "minutes", "hours", "weeks"];
                let [days, seconds, micros, millis, minutes, hours, weeks] = self.arguments(&given, parts)?;
                let seconds = seconds + 60.0 * minutes + 3600.0 * hours + 86_400.0 * (days + 7.0 * weeks);
                self.span(seconds * 1e6 + millis * 1e3 + micros)
            }
            _ => {
                let [(None, value)] = given.as_slice() else { return Err(self.wrong()) };
                let (value, real) = (*value, self.real(*value)?);
                Ok(match name {
                    "sin" => Number::Real(real.sin()),
                    "cos" => Number::Real(real.cos()),
                    "tan" => Number::Real(real.tan()),
                    "exp" => Number::Real(real.exp()),
                    "abs" => match value {
                        Number::Whole(whole) => Number::Whole(whole.saturating_abs()),
                        _ => Number::Real(real.abs()),
                    },
                    "trunc" => Number::Whole(real.trunc() as i64),
                    "round" => Number::Whole(real.round_ties_even() as i64),
                    "sgn" => Number::Whole(if real > 1e-12 { 1 } else { -i64::from(real < -1e-12) }),
                    _ => {
                        return Err(Error::project(format!("there is no function `{name}` for parameters"))
                            .hint(
                                "now, datetime, timedelta, abs, round, trunc, sgn, exp, sin, cos and tan are",
                            ));
                    }
                })
            }
        }
    }

    /// Numbers by place or by name, 0 where none is given.
    fn arguments<const N: usize>(
        &self,
        given: &[(Option<String>, Number)],
        names: [&str; N],
    ) -> Result<[f64; N]> {
        let mut found = [0.0; N];
        for (at, (keyword, value)) in given.iter().enumerate() {
            let place = match keyword {
                Some(keyword) => names.iter().position(|name| name == keyword),
                None => (at < N).then_some(at),
            };
            found[place.ok_or_else(|| self.wrong())?] = self.real(*value)?;
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn value(expression: &str) -> std::result::Result<Value, String> {
        let parameters = json!({"hi": 10, "name": "x", "day": "2024-01-31T00:00:00", "list": [1, 2]});
        let now = Instant::from_micros(1_000_000);
        with_parameters(&json!({KEY: expression}), parameters.as_object().unwrap(), now)
            .map_err(|error| error.message().to_string())
    }

    #[test]
    fn expressions_are_evaluated() {
        assert_eq!(value("hi - 1"), Ok(json!(9)));
        assert_eq!(value("hi"), Ok(json!(10)));
        assert_eq!(value("list"), Ok(json!([1, 2])));
        assert_eq!(value("2 * (hi + 1) / 4"), Ok(json!(5.5)));
        assert_eq!(value("2 ^ 3 ^ 2"), Ok(json!(512)));
        assert_eq!(value("-hi + trunc(2.9)"), Ok(json!(-8)));
        assert_eq!(value("now()"), Ok(json!("1970-01-01T00:00:01")));
        assert_eq!(
            value("datetime(2024, 2, 29) - timedelta(weeks=1, hours=12)"),
            Ok(json!("2024-02-21T12:00:00"))
        );
        assert_eq!(value("day + timedelta(days=1)"), Ok(json!("2024-02-01T00:00:00")));
        assert_eq!(value("lo"), Err("no value is given for the parameter `lo`".to_string()));
        assert!(value("hi +").is_err());
        assert!(value("timedelta(days=1)").is_err());
        assert!(value(&"(".repeat(10_000)).is_err());
        assert!(value(&"-".repeat(10_000)).is_err());
    }
}
