//! `to_char(number, pattern)` with the patterns of PostgreSQL (documentation, tables 9.29 and 9.30).

/// A piece of a pattern.
#[derive(Debug, Clone, PartialEq)]
enum Piece {
    /// `9` or `0`.
    Digit,
    Point,
    Group,
    /// The sign at this place: `S`, `SG`, or `MI` for minus alone, `PL` for plus alone.
    Sign(Sign),
    Currency,
    Ordinal {
        upper: bool,
    },
    Text(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    /// Beside the first or last digit (`S`).
    Beside,
    Both,
    Minus,
    Plus,
}

/// A pattern, read.
#[derive(Debug, Default)]
pub(super) struct Pattern {
    pieces: Vec<Piece>,
    /// Digits before and after the point.
    before: usize,
    after: usize,
    /// The first and the last digit that is always written, counted from 0 over the whole pattern.
    first_zero: Option<usize>,
    last_zero: Option<usize>,
    /// Without padding and trailing zeros (`FM`).
    bare: bool,
    brackets: bool,
    roman: Option<bool>,
    scientific: bool,
    /// Digits by which the number is moved up (`V`).
    moved: usize,
}

impl Pattern {
    /// Reads a pattern; what it cannot mean is told as PostgreSQL does.
    pub(super) fn parse(pattern: &str) -> Result<Pattern, &'static str> {
        const WORDS: [&str; 19] = [
            "EEEE", "FM", "MI", "PL", "PR", "RN", "SG", "SP", "TH", "th", "rn", "V", "S", "L", "D", "G", "B",
            ".", ",",
        ];
        let mut read = Pattern::default();
        let (mut rest, mut pointed, mut lifted) = (pattern, false, false);
        while let Some(first) = rest.chars().next() {
            if let Some(quoted) = rest.strip_prefix('"') {
                let (inner, after) = quoted.split_once('"').unwrap_or((quoted, ""));
                read.pieces.push(Piece::Text(inner.to_string()));
                rest = after;
                continue;
            }
            if first == '9' || first == '0' {
                let place = read.before + read.after + read.moved;
                if first == '0' {
                    read.first_zero = read.first_zero.or(Some(place).filter(|_| !pointed));
                    read.last_zero = Some(place);
                }
                match (lifted, pointed) {
                    (true, _) => read.moved += 1,
                    (_, true) => read.after += 1,
                    _ => read.before += 1,
                }
                read.pieces.push(Piece::Digit);
                rest = &rest[1..];
                continue;
            }
            let word = WORDS.into_iter().find(|word| rest.starts_with(word)).or_else(|| {
                let same =
                    |word: &&str| rest.get(..word.len()).is_some_and(|it| it.eq_ignore_ascii_case(word));
                WORDS.into_iter().find(same)
            });
            let Some(word) = word else {
                read.pieces.push(Piece::Text(first.to_string()));
                rest = &rest[first.len_utf8()..];
                continue;
            };
            rest = &rest[word.len()..];
            match word {
                "." | "D" if pointed => return Err("multiple decimal points"),
                "." | "D" => {
                    pointed = true;
                    read.pieces.push(Piece::Point);
                }
                "," | "G" => read.pieces.push(Piece::Group),
                "S" => read.pieces.push(Piece::Sign(Sign::Beside)),
                "SG" => read.pieces.push(Piece::Sign(Sign::Both)),
                "MI" => read.pieces.push(Piece::Sign(Sign::Minus)),
                "PL" => read.pieces.push(Piece::Sign(Sign::Plus)),
                "L" => read.pieces.push(Piece::Currency),
                "TH" | "th" => read.pieces.push(Piece::Ordinal { upper: word == "TH" }),
                "FM" => read.bare = true,
                "PR" => read.brackets = true,
                "RN" | "rn" => read.roman = Some(word == "RN"),
                "EEEE" => read.scientific = true,
                "V" => lifted = true,
                _ => {}
            }
        }
        let signs = read.pieces.iter().filter(|piece| matches!(piece, Piece::Sign(_))).count();
        match () {
            () if read.brackets && signs > 0 => {
                Err("cannot use \"PR\" and \"S\"/\"PL\"/\"MI\"/\"SG\" together")
            }
            () if read.scientific && (signs > 0 || read.brackets || read.roman.is_some() || lifted) => {
                Err("\"EEEE\" is incompatible with other formats")
            }
            () if lifted && pointed => Err("cannot use \"V\" and decimal point together"),
            () => Ok(read),
        }
    }

    /// Digits behind the point to which a number is rounded before it is written.
    pub(super) fn digits(&self) -> usize {
        self.after
    }

    /// By how many digits a number is moved up before it is written.
    pub(super) fn moved(&self) -> usize {
        self.moved
    }

    /// Whether it wants a power of ten.
    pub(super) fn is_scientific(&self) -> bool {
        self.scientific
    }

    /// `number` by this pattern. It is written in decimal digits, with [`Pattern::digits`] of them behind the point.
    pub(super) fn write(&self, number: &str) -> String {
        let (negative, number) = match number.strip_prefix('-') {
            // Nothing is left of it.
            Some(rest) if rest.bytes().all(|byte| matches!(byte, b'0' | b'.')) => (false, rest),
            Some(rest) => (true, rest),
            None => (false, number),
        };
        if let Some(upper) = self.roman {
            return self.roman(if negative { "-" } else { number }, upper);
        }
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let places = self.before + self.moved;
        let overflows = whole.len() > places && !(whole == "0" && places == 0);
        let (whole, fraction) = match overflows {
            true => ("#".repeat(places), "#".repeat(self.after)),
            false => (whole.to_string(), fraction.to_string()),
        };
        // A zero before the point is written only where the pattern insists.
        let shown =
            if whole == "0" && self.after > 0 && self.first_zero.is_none() { "" } else { whole.as_str() };
        let empty = places.saturating_sub(shown.len());
        let first = self.first_zero.map_or(empty, |zero| zero.min(empty));
        let kept = self.kept(&fraction);
        let mut out = String::new();
        let (mut place, mut pointed, mut signed) = (0, false, false);
        let owns_sign = self.pieces.iter().any(|piece| matches!(piece, Piece::Sign(_)));
        let beside = self.pieces.iter().position(|piece| *piece == Piece::Sign(Sign::Beside));
        let last_digit = self.pieces.iter().rposition(|piece| matches!(piece, Piece::Digit | Piece::Point));
        let trailing = beside.zip(last_digit).is_some_and(|(sign, digit)| sign > digit);
        let sign = if negative { '-' } else { '+' };
        let before_number = |out: &mut String, signed: &mut bool| {
            if *signed {
                return;
            }
            *signed = true;
            match () {
                () if self.brackets => match (negative, self.bare) {
                    (true, _) => out.push('<'),
                    (_, false) => out.push(' '),
                    _ => {}
                },
                () if beside.is_some() && !trailing => out.push(sign),
                () if owns_sign => {}
                () if negative => out.push('-'),
                () if !self.bare => out.push(' '),
                () => {}
            }
        };
        for piece in &self.pieces {
            match piece {
                Piece::Digit if !pointed => {
                    if place == first {
                        before_number(&mut out, &mut signed);
                    }
                    match place.checked_sub(empty) {
                        Some(index) if index < shown.len() => out.push_str(&shown[index..=index]),
                        _ if place >= first => out.push('0'),
                        _ if !self.bare => out.push(' '),
                        _ => {}
                    }
                    place += 1;
                }
                Piece::Digit => {
                    let index = place - places;
                    if index < kept {
                        out.push_str(fraction.get(index..=index).unwrap_or("0"));
                    } else if index == 0 && self.bare && whole == "0" && shown.is_empty() {
                        // Something must be left of a zero.
                        out.insert(out.len() - 1, '0');
                    }
                    place += 1;
                }
                Piece::Point => {
                    before_number(&mut out, &mut signed);
                    pointed = true;
                    out.push('.');
                }
                Piece::Group => match place > first || (place == first && place > empty) {
                    true => out.push(','),
                    false if self.bare => {}
                    false => out.push(' '),
                },
                Piece::Sign(Sign::Beside) => {
                    if trailing {
                        out.push(sign);
                    }
                }
                Piece::Sign(Sign::Both) => out.push(sign),
                Piece::Sign(Sign::Minus) if negative => out.push('-'),
                Piece::Sign(Sign::Plus) if !negative => out.push('+'),
                Piece::Sign(_) => {
                    if !self.bare {
                        out.push(' ');
                    }
                }
                Piece::Currency => {
                    if !self.bare {
                        out.push(' ');
                    }
                }
                Piece::Ordinal { upper } => {
                    if !negative && self.after == 0 && !overflows {
                        let word = super::ordinal(whole.parse().unwrap_or_default());
                        out.push_str(&if *upper { word.to_uppercase() } else { word.to_string() });
                    }
                }
                Piece::Text(text) => out.push_str(text),
            }
        }
        if self.brackets {
            match (negative, self.bare) {
                (true, _) => out.push('>'),
                (_, false) => out.push(' '),
                _ => {}
            }
        }
        out
    }

    /// `number` with a power of ten.
    pub(super) fn power(&self, number: f64) -> String {
        if !number.is_finite() {
            return "#".repeat(self.before + self.after + 6);
        }
        let written = format!("{number:.*e}", self.after);
        let (digits, power) = written.split_once('e').unwrap_or((&written, "0"));
        let power: i32 = power.parse().unwrap_or(0);
        let space = if number.is_sign_negative() || self.bare { "" } else { " " };
        format!("{space}{digits}e{}{:02}", if power < 0 { '-' } else { '+' }, power.abs())
    }

    /// How many digits behind the point are written.
    fn kept(&self, fraction: &str) -> usize {
        if !self.bare {
            return self.after;
        }
        let needed = fraction.trim_end_matches('0').len();
        let insisted = self.last_zero.map_or(0, |zero| (zero + 1).saturating_sub(self.before));
        needed.max(insisted).min(self.after)
    }

    fn roman(&self, number: &str, upper: bool) -> String {
        const NUMERALS: [(u32, &str); 13] = [
            (1000, "M"),
            (900, "CM"),
            (500, "D"),
            (400, "CD"),
            (100, "C"),
            (90, "XC"),
            (50, "L"),
            (40, "XL"),
            (10, "X"),
            (9, "IX"),
            (5, "V"),
            (4, "IV"),
            (1, "I"),
        ];
        let mut left: u32 = number.split('.').next().and_then(|whole| whole.parse().ok()).unwrap_or(0);
        let mut text = String::new();
        match left {
            1..=3999 => {
                for (value, numeral) in NUMERALS {
                    while left >= value {
                        left -= value;
                        text.push_str(numeral);
                    }
                }
            }
            _ => text = "#".repeat(15),
        }
        let text = if upper { text } else { text.to_lowercase() };
        if self.bare { text } else { format!("{text:>15}") }
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    /// As PostgreSQL 15 answers.
    #[test]
    fn patterns_write_what_postgresql_writes() {
        for (number, pattern, wanted) in [
            ("-0.10", "99.99", "  -.10"),
            ("-0.10", "FM9.99", "-.1"),
            ("-0.10", "FM90.99", "-0.1"),
            ("0.1", "0.9", " 0.1"),
            ("12.0", "9990999.9", "    0012.0"),
            ("12.0", "FM9990999.9", "0012."),
            ("485", "999", " 485"),
            ("-485", "999", "-485"),
            ("485", "9 9 9", " 4 8 5"),
            ("1485", "9,999", " 1,485"),
            ("148.500", "999.999", " 148.500"),
            ("148.500", "FM999.999", "148.5"),
            ("148.500", "FM999.990", "148.500"),
            ("-485", "999S", "485-"),
            ("-485", "999MI", "485-"),
            ("485", "999MI", "485 "),
            ("485", "FM999MI", "485"),
            ("485", "PL999", "+485"),
            ("485", "SG999", "+485"),
            ("-485", "SG999", "-485"),
            ("-485", "9SG99", "4-85"),
            ("-485", "999PR", "<485>"),
            ("485", "RN", "        CDLXXXV"),
            ("485", "FMRN", "CDLXXXV"),
            ("482", "999th", " 482nd"),
            ("485", "\"Good number:\"999", "Good number: 485"),
            ("12345", "999", " ###"),
            ("1234567.50", "FM9,999,999.00", "1,234,567.50"),
            ("5", "FM000", "005"),
            ("0.00", "FM999,990.00", "0.00"),
            ("0", "999", "   0"),
            ("0.0", "9.9", "  .0"),
            ("0.0", "FM9.9", "0."),
        ] {
            let parsed = Pattern::parse(pattern).unwrap();
            assert_eq!(parsed.write(number), wanted, "{number} {pattern}");
        }
        assert!(Pattern::parse("9.9.9").is_err());
    }
}
