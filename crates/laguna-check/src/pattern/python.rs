//! Rewrites a Python pattern for the two engines.
//!
//! What differs: `$` also matches before a closing line feed; `\Z` is the end; `\w` holds letters, digits and `_` only;
//! `\s` holds the four separators U+001C to U+001F too; in a class `[`, `&`, `~` and `-` are plain; `{` is plain where
//! it is no repetition; comments `(?#…)`; the flags `a`, `L` and `u`.

/// A pattern for each engine.
pub(super) struct Rewritten {
    /// For the linear engine, unless the pattern needs more.
    pub linear: Option<String>,
    pub backtracking: String,
}

const WORD: &str = r"\p{L}\p{N}_";
const SPACE: &str = r"\s\x1c-\x1f";

pub(super) fn rewrite(text: &str) -> Result<Rewritten, String> {
    let mut writer = Writer {
        rest: text.chars().collect(),
        at: 0,
        linear: String::with_capacity(text.len() + 16),
        backtracking: String::with_capacity(text.len() + 16),
        is_linear: true,
        lines: vec![false],
        ascii: false,
        verbose: vec![false],
        last: Last::Nothing,
    };
    writer.run()?;
    Ok(Rewritten { linear: writer.is_linear.then_some(writer.linear), backtracking: writer.backtracking })
}

struct Writer {
    rest: Vec<char>,
    at: usize,
    linear: String,
    backtracking: String,
    is_linear: bool,
    /// Whether `$` stands for the end of each line, group by group.
    lines: Vec<bool>,
    ascii: bool,
    verbose: Vec<bool>,
    last: Last,
}

/// What stands before, which a repetition would repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    Nothing,
    Something,
    Repetition,
    /// A repetition with its sign for lazy or possessive.
    Marked,
}

impl Writer {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.rest.get(self.at + ahead).copied()
    }

    fn push(&mut self, text: &str) {
        self.linear.push_str(text);
        self.backtracking.push_str(text);
    }

    fn push_char(&mut self, character: char) {
        self.linear.push(character);
        self.backtracking.push(character);
    }

    fn run(&mut self) -> Result<(), String> {
        while let Some(character) = self.peek(0) {
            self.at += 1;
            let last = std::mem::replace(&mut self.last, Last::Something);
            match character {
                '*' | '+' | '?' => self.repetition(character, last)?,
                '|' => {
                    self.last = Last::Nothing;
                    self.push_char('|');
                }
                space if space.is_ascii_whitespace() && self.verbose.last() == Some(&true) => {
                    self.last = last;
                    self.push_char(space);
                }
                '\\' => self.escape()?,
                '[' => self.class()?,
                '(' => self.group(last)?,
                ')' => {
                    if self.lines.len() == 1 {
                        return Err("unbalanced parenthesis".to_string());
                    }
                    self.lines.pop();
                    self.verbose.pop();
                    self.push_char(')');
                }
                '$' => self.dollar(),
                '{' => self.brace(last)?,
                '#' if self.verbose.last() == Some(&true) => {
                    self.last = last;
                    while self.peek(0).is_some_and(|next| next != '\n') {
                        self.at += 1;
                    }
                }
                '}' => self.push("\\}"),
                ']' => self.push("\\]"),
                other => self.push_char(other),
            }
        }
        if self.lines.len() > 1 {
            return Err("missing ), unterminated subpattern".to_string());
        }
        Ok(())
    }

    /// `$`: before a closing line feed too. Where nothing can follow it the linear engine may take the line feed in.
    fn dollar(&mut self) {
        if self.lines.last() == Some(&true) {
            self.push("(?m:$)");
            return;
        }
        self.backtracking.push_str(r"(?=\n?\z)");
        let mut ahead = 0;
        while self.peek(ahead) == Some(')') {
            ahead += 1;
        }
        let last =
            self.peek(ahead).is_none() || (ahead == 0 && self.lines.len() == 1 && self.peek(0) == Some('|'));
        if last {
            self.linear.push_str(r"(?:\n?\z)");
        } else {
            self.is_linear = false;
        }
    }

    fn repetition(&mut self, sign: char, last: Last) -> Result<(), String> {
        self.last = match (last, sign) {
            (Last::Something, _) => Last::Repetition,
            (Last::Repetition, '?') => Last::Marked,
            (Last::Repetition, '+') => {
                self.is_linear = false;
                Last::Marked
            }
            (Last::Nothing, _) => return Err("nothing to repeat".to_string()),
            _ => return Err("multiple repeat".to_string()),
        };
        self.push_char(sign);
        Ok(())
    }

    fn brace(&mut self, last: Last) -> Result<(), String> {
        let mut ahead = 0;
        while self.peek(ahead).is_some_and(|next| next.is_ascii_digit() || next == ',') {
            ahead += 1;
        }
        let inside: String = (0..ahead).filter_map(|place| self.peek(place)).collect();
        let repetition = self.peek(ahead) == Some('}')
            && inside.matches(',').count() <= 1
            && inside.chars().any(|next| next.is_ascii_digit());
        if !repetition {
            self.push("\\{");
            return Ok(());
        }
        self.last = match last {
            Last::Something => Last::Repetition,
            Last::Nothing => return Err("nothing to repeat".to_string()),
            _ => return Err("multiple repeat".to_string()),
        };
        let inside = if inside.starts_with(',') { format!("0{inside}") } else { inside };
        self.push(&format!("{{{inside}}}"));
        self.at += ahead + 1;
        Ok(())
    }

    fn group(&mut self, last: Last) -> Result<(), String> {
        let lines = *self.lines.last().unwrap_or(&false);
        let verbose = *self.verbose.last().unwrap_or(&false);
        if self.peek(0) != Some('?') {
            self.open(lines, verbose);
            self.push_char('(');
            return Ok(());
        }
        match (self.peek(1), self.peek(2)) {
            (Some('#'), _) => {
                while let Some(next) = self.peek(0) {
                    self.at += 1;
                    if next == ')' {
                        self.last = last;
                        return Ok(());
                    }
                }
                Err("missing ), unterminated comment".to_string())
            }
            (Some('P'), Some('=')) => {
                let name = self.until(3, ')')?;
                self.is_linear = false;
                self.push(&format!("\\k<{name}>"));
                Ok(())
            }
            (Some('P'), Some('<')) => {
                let name = self.until(3, '>')?;
                self.open(lines, verbose);
                self.push(&format!("(?P<{name}>"));
                Ok(())
            }
            (Some('='), _) | (Some('!'), _) => {
                self.is_linear = false;
                self.copy(2, lines, verbose);
                Ok(())
            }
            (Some('<'), Some('=' | '!')) => {
                self.is_linear = false;
                self.copy(3, lines, verbose);
                Ok(())
            }
            (Some('>'), _) => {
                self.is_linear = false;
                self.copy(2, lines, verbose);
                Ok(())
            }
            (Some('('), _) => {
                let name = self.until(2, ')')?;
                self.is_linear = false;
                self.open(lines, verbose);
                let named = name.parse::<u32>().is_err();
                self.push(&if named { format!("(?(<{name}>)") } else { format!("(?({name})") });
                Ok(())
            }
            _ => self.flags(lines, verbose),
        }
    }

    /// `(?i)`, `(?s-i:`, `(?:`.
    fn flags(&mut self, lines: bool, verbose: bool) -> Result<(), String> {
        let mut ahead = 1;
        let (mut on, mut off, mut minus) = (String::new(), String::new(), false);
        loop {
            match self.peek(ahead) {
                Some('-') if !minus => minus = true,
                Some(flag @ ('i' | 'm' | 's' | 'x')) => if minus { &mut off } else { &mut on }.push(flag),
                Some('a') if !minus => self.ascii = true,
                Some('u' | 'L') if !minus => {}
                Some(end @ (':' | ')')) => {
                    let lines = (lines || on.contains('m')) && !off.contains('m');
                    let verbose = (verbose || on.contains('x')) && !off.contains('x');
                    let written = if off.is_empty() { on } else { format!("{on}-{off}") };
                    self.at += ahead + 1;
                    if end == ':' {
                        self.open(lines, verbose);
                        self.push(&format!("(?{written}:"));
                    } else {
                        if let (Some(here), Some(spaced)) = (self.lines.last_mut(), self.verbose.last_mut()) {
                            (*here, *spaced) = (lines, verbose);
                        }
                        if !written.is_empty() {
                            self.push(&format!("(?{written})"));
                        }
                        self.last = Last::Nothing;
                    }
                    return Ok(());
                }
                _ => return Err("unknown extension after (?".to_string()),
            }
            ahead += 1;
        }
    }

    fn open(&mut self, lines: bool, verbose: bool) {
        self.last = Last::Nothing;
        self.lines.push(lines);
        self.verbose.push(verbose);
    }

    /// Opens a group whose sign has `length` characters after the parenthesis.
    fn copy(&mut self, length: usize, lines: bool, verbose: bool) {
        self.open(lines, verbose);
        let sign: String = (0..length).filter_map(|ahead| self.peek(ahead)).collect();
        self.at += length;
        self.push(&format!("({sign}"));
    }

    fn until(&mut self, from: usize, end: char) -> Result<String, String> {
        let mut name = String::new();
        let mut ahead = from;
        loop {
            match self.peek(ahead) {
                Some(next) if next == end => break,
                Some(next) if next.is_alphanumeric() || next == '_' => name.push(next),
                _ => return Err("bad character in group name".to_string()),
            }
            ahead += 1;
        }
        self.at += ahead + 1;
        Ok(name)
    }

    /// An escape outside of a class.
    fn escape(&mut self) -> Result<(), String> {
        let Some(next) = self.peek(0) else { return Err("bad escape (end of pattern)".to_string()) };
        self.at += 1;
        match next {
            'w' => self.push(if self.ascii { "[A-Za-z0-9_]" } else { r"[\p{L}\p{N}_]" }),
            'W' => self.push(if self.ascii { "[^A-Za-z0-9_]" } else { r"[^\p{L}\p{N}_]" }),
            's' => self.push(if self.ascii { r"[ \t\n\r\x0b\x0c]" } else { r"[\s\x1c-\x1f]" }),
            'S' => self.push(if self.ascii { r"[^ \t\n\r\x0b\x0c]" } else { r"[^\s\x1c-\x1f]" }),
            'd' if self.ascii => self.push("[0-9]"),
            'D' if self.ascii => self.push("[^0-9]"),
            'd' | 'D' | 'b' | 'B' | 'A' => self.push(&format!("\\{next}")),
            'Z' => self.push(r"\z"),
            '1'..='9' => {
                self.is_linear = false;
                let mut number = next.to_string();
                if let Some(second) = self.peek(0).filter(char::is_ascii_digit) {
                    number.push(second);
                    self.at += 1;
                }
                // In a group of its own, so that a digit that follows does not join the number.
                self.push(&format!("(?:\\{number})"));
            }
            other => self.character_escape(other)?,
        }
        Ok(())
    }

    /// An escape that stands for one character, in a class or outside.
    fn character_escape(&mut self, next: char) -> Result<(), String> {
        match next {
            'a' | 'f' | 'n' | 'r' | 't' | 'v' => self.push(&format!("\\{next}")),
            '0' => {
                let mut value = 0;
                for _ in 0..2 {
                    let Some(digit) = self.peek(0).and_then(|next| next.to_digit(8)) else { break };
                    value = value * 8 + digit;
                    self.at += 1;
                }
                self.push(&format!("\\x{{{value:x}}}"));
            }
            'x' => self.hexadecimal(2)?,
            'u' => self.hexadecimal(4)?,
            'U' => self.hexadecimal(8)?,
            // Properties are no Python; they are taken as the engines know them.
            'p' | 'P' => self.push(&format!("\\{next}")),
            '<' | '>' => self.push_char(next),
            _ if next.is_ascii_punctuation() || next == ' ' => self.push(&format!("\\{next}")),
            _ if next.is_ascii_alphanumeric() => return Err(format!("bad escape \\{next}")),
            _ => self.push_char(next),
        }
        Ok(())
    }

    fn hexadecimal(&mut self, digits: usize) -> Result<(), String> {
        let written: String = (0..digits).filter_map(|ahead| self.peek(ahead)).collect();
        match u32::from_str_radix(&written, 16) {
            Ok(value) if written.len() == digits => {
                self.at += digits;
                self.push(&format!("\\x{{{value:x}}}"));
                Ok(())
            }
            _ => Err("incomplete escape".to_string()),
        }
    }

    fn class(&mut self) -> Result<(), String> {
        self.push_char('[');
        if self.peek(0) == Some('^') {
            self.push_char('^');
            self.at += 1;
        }
        let mut first = true;
        loop {
            let Some(next) = self.peek(0) else { return Err("unterminated character set".to_string()) };
            self.at += 1;
            match next {
                ']' if !first => {
                    self.push_char(']');
                    return Ok(());
                }
                ']' | '[' | '&' | '~' | '^' | '#' | ' ' => self.push(&format!("\\{next}")),
                '-' => {
                    // A range stands between two characters; at the ends, or doubled, it is itself.
                    let plain = first || self.peek(0) == Some(']') || self.peek(0) == Some('-');
                    self.push(if plain { "\\-" } else { "-" });
                }
                '\\' => {
                    let Some(next) = self.peek(0) else {
                        return Err("bad escape (end of pattern)".to_string());
                    };
                    self.at += 1;
                    match next {
                        'w' => self.push(if self.ascii { "A-Za-z0-9_" } else { WORD }),
                        'W' => self.push(if self.ascii { "[^A-Za-z0-9_]" } else { r"[^\p{L}\p{N}_]" }),
                        's' => self.push(if self.ascii { r" \t\n\r\x0b\x0c" } else { SPACE }),
                        'S' => self.push(if self.ascii { r"[^ \t\n\r\x0b\x0c]" } else { r"[^\s\x1c-\x1f]" }),
                        'd' if self.ascii => self.push("0-9"),
                        'D' if self.ascii => self.push("[^0-9]"),
                        'd' | 'D' => self.push(&format!("\\{next}")),
                        'b' => self.push(r"\x08"),
                        other => self.character_escape(other)?,
                    }
                }
                other => self.push_char(other),
            }
            first = false;
        }
    }
}
