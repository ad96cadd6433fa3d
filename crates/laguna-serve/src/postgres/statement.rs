//! What a statement asks for: the engine's rows, or something that the connection itself does.

use datafusion::sql::sqlparser::ast::{
    CopyLegacyCsvOption, CopyLegacyOption, CopyOption, CopySource, CopyTarget, Expr, SelectItem, SetExpr,
    Statement as Ast, UnaryOperator, Value,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer, Word};
use laguna_base::{Error, Result};

use super::copy::Form;
use super::message::broken;
use super::rewrite;

/// One statement.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Command {
    Query,
    Begin,
    Commit,
    Rollback,
    RollbackTo,
    /// Says yes and does nothing; the tag.
    Nothing(&'static str),
    Set {
        name: String,
        value: Option<String>,
        local: bool,
    },
    Reset(Option<String>),
    Show(Option<String>),
    Declare {
        name: String,
        sql: String,
        hold: bool,
    },
    /// `rows`: `None` is all. `only_move` sends none.
    Fetch {
        name: String,
        rows: Option<usize>,
        only_move: bool,
    },
    Close(Option<String>),
    Prepare {
        name: String,
        types: Vec<String>,
        sql: String,
    },
    Execute {
        name: String,
        values: Vec<Argument>,
    },
    Deallocate(Option<String>),
    Discard,
    Copy {
        sql: String,
        form: Form,
    },
}

/// An argument of EXECUTE.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Argument {
    /// The text of a value; `None` is null.
    Known(Option<String>),
    /// An expression.
    Computed(String),
}

/// What `sql`, one statement, asks for.
pub(super) fn command(sql: &str) -> Result<Command> {
    let words = Words::new(sql)?;
    let first = words.word(0);
    Ok(match first.as_str() {
        "begin" => Command::Begin,
        "start" if words.word(1) == "transaction" => Command::Begin,
        "commit" | "end" => Command::Commit,
        "rollback" | "abort" => match (1..4).any(|at| words.word(at) == "to") {
            true => Command::RollbackTo,
            false => Command::Rollback,
        },
        "savepoint" => Command::Nothing("SAVEPOINT"),
        "release" => Command::Nothing("RELEASE"),
        "listen" => Command::Nothing("LISTEN"),
        "unlisten" => Command::Nothing("UNLISTEN"),
        "notify" => Command::Nothing("NOTIFY"),
        "checkpoint" => Command::Nothing("CHECKPOINT"),
        "discard" => Command::Discard,
        "set" => set(&words)?,
        "reset" => match words.word(1).as_str() {
            "all" => Command::Reset(None),
            _ => Command::Reset(Some(words.name_from(1))),
        },
        "show" => match words.word(1).as_str() {
            "all" => Command::Show(None),
            "tables" | "columns" | "functions" | "schemas" | "databases" => Command::Query,
            _ => Command::Show(Some(words.name_from(1))),
        },
        "declare" => declare(&words)?,
        "fetch" | "move" => fetch(&words)?,
        "close" => Command::Close((words.word(1) != "all").then(|| words.name(1))),
        "prepare" if words.word(1) == "transaction" => return Err(not_supported("PREPARE TRANSACTION")),
        "prepare" => prepare(&words)?,
        "execute" => execute(&words)?,
        "deallocate" => {
            let at = if words.word(1) == "prepare" { 2 } else { 1 };
            Command::Deallocate((words.word(at) != "all").then(|| words.name(at)))
        }
        "copy" => copy(sql)?,
        "insert" | "update" | "delete" | "merge" | "truncate" | "create" | "drop" | "alter" | "grant"
        | "revoke" | "vacuum" | "analyze" | "reindex" | "cluster" | "comment" | "refresh" | "lock"
        | "call" | "do" | "import" | "security" | "reassign" => return Err(read_only(&first)),
        _ => Command::Query,
    })
}

/// The refusal of what would write.
pub(super) fn read_only(what: &str) -> Error {
    Error::project(format!("cannot execute {} in a read-only transaction", what.to_uppercase()))
        .sqlstate("25006")
        .hint("SQL only reads here; tables are made by models and `laguna run`")
}

fn not_supported(what: &str) -> Error {
    Error::project(format!("{what} is not supported")).sqlstate("0A000")
}

fn syntax(message: impl Into<String>) -> Error {
    Error::project(message).sqlstate("42601")
}

/// The words of a statement, with where they begin in it.
struct Words<'a> {
    sql: &'a str,
    tokens: Vec<(Token, usize)>,
}

impl<'a> Words<'a> {
    fn new(sql: &'a str) -> Result<Words<'a>> {
        let found = Tokenizer::new(&PostgreSqlDialect {}, sql)
            .tokenize_with_location()
            .map_err(|error| syntax(error.message))?;
        let mut starts = vec![0];
        starts.extend(sql.match_indices('\n').map(|(at, _)| at + 1));
        let offset = |line: u64, column: u64| {
            let start = starts.get((line as usize).saturating_sub(1)).copied().unwrap_or(sql.len());
            let rest = &sql[start..];
            start
                + rest
                    .char_indices()
                    .nth((column as usize).saturating_sub(1))
                    .map_or(rest.len(), |(at, _)| at)
        };
        let tokens = found
            .into_iter()
            .filter(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF))
            .map(|token| (token.token, offset(token.span.start.line, token.span.start.column)))
            .collect();
        Ok(Words { sql, tokens })
    }

    fn len(&self) -> usize {
        self.tokens.len()
    }

    fn token(&self, at: usize) -> Option<&Token> {
        self.tokens.get(at).map(|(token, _)| token)
    }

    /// A word without quotes in lower case; empty when there is none.
    fn word(&self, at: usize) -> String {
        match self.token(at) {
            Some(Token::Word(Word { value, quote_style: None, .. })) => value.to_lowercase(),
            _ => String::new(),
        }
    }

    /// A name: as it is in quotes, else in lower case.
    fn name(&self, at: usize) -> String {
        match self.token(at) {
            Some(Token::Word(Word { value, quote_style: Some(_), .. })) => value.clone(),
            _ => self.word(at),
        }
    }

    /// All that follows as one name.
    fn name_from(&self, at: usize) -> String {
        let parts: Vec<String> = (at..self.len())
            .map(|at| match self.token(at) {
                Some(Token::Period) => ".".to_string(),
                _ => self.name(at),
            })
            .collect();
        parts.join(" ").replace(" . ", ".")
    }

    /// The text from a token on.
    fn rest(&self, at: usize) -> &'a str {
        self.tokens.get(at).map_or("", |(_, offset)| &self.sql[*offset..])
    }

    fn find(&self, word: &str) -> Option<usize> {
        (0..self.len()).find(|at| self.word(*at) == word)
    }
}

fn set(words: &Words) -> Result<Command> {
    let mut at = 1;
    let local = words.word(at) == "local";
    if local || words.word(at) == "session" && words.word(at + 1) != "authorization" {
        at += 1;
    }
    if words.word(at) == "transaction" || words.word(at) == "characteristics" {
        return Ok(Command::Nothing("SET"));
    }
    if words.word(at) == "constraints" {
        return Ok(Command::Nothing("SET CONSTRAINTS"));
    }
    let (name, from) = match (words.word(at).as_str(), words.word(at + 1).as_str()) {
        ("time", "zone") => ("timezone".to_string(), at + 2),
        ("session", "authorization") => {
            return Err(Error::denied("SET SESSION AUTHORIZATION is not allowed"));
        }
        ("names", _) => ("client_encoding".to_string(), at + 1),
        ("role", _) => match words.word(at + 1).as_str() {
            "none" | "default" => return Ok(Command::Nothing("SET")),
            _ => return Err(Error::denied("SET ROLE is not allowed")),
        },
        _ => {
            let mut name = words.name(at);
            let mut next = at + 1;
            while matches!(words.token(next), Some(Token::Period)) {
                name = format!("{name}.{}", words.name(next + 1));
                next += 2;
            }
            if !matches!(words.token(next), Some(Token::Eq)) && words.word(next) != "to" {
                return Err(syntax(format!("syntax error in SET: write SET {name} TO a value")));
            }
            (name, next + 1)
        }
    };
    let values: Vec<String> = (from..words.len())
        .filter_map(|at| match words.token(at)? {
            Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text) => Some(text.clone()),
            Token::Number(number, _) => {
                Some(match at > from && matches!(words.token(at - 1), Some(Token::Minus)) {
                    true => format!("-{number}"),
                    false => number.clone(),
                })
            }
            Token::Word(_) => Some(words.name(at)),
            _ => None,
        })
        .collect();
    if values.is_empty() {
        return Err(syntax(format!("syntax error in SET: {name} lacks a value")));
    }
    let value = (words.word(from) != "default").then(|| values.join(", "));
    Ok(Command::Set { name, value, local })
}

fn declare(words: &Words) -> Result<Command> {
    let query =
        words.find("for").ok_or_else(|| syntax("syntax error in DECLARE: FOR and a query are missing"))?;
    let options: Vec<String> = (2..query).map(|at| words.word(at)).collect();
    let hold = options.windows(2).any(|pair| pair[0] == "with" && pair[1] == "hold");
    Ok(Command::Declare { name: words.name(1), sql: words.rest(query + 1).to_string(), hold })
}

fn fetch(words: &Words) -> Result<Command> {
    let only_move = words.word(0) == "move";
    let name = match words.len() {
        0 | 1 => return Err(syntax("syntax error: the cursor's name is missing")),
        count => words.name(count - 1),
    };
    let end = words.len() - 1;
    let end = if matches!(words.word(end - 1).as_str(), "from" | "in") { end - 1 } else { end };
    let backwards = || {
        Error::project("cursor can only scan forward").sqlstate("55000").hint("FETCH NEXT, FORWARD n or ALL")
    };
    let mut rows = Some(1);
    let mut at = 1;
    while at < end {
        match words.word(at).as_str() {
            "next" | "forward" => {}
            "all" => rows = None,
            "backward" | "prior" | "first" | "last" | "absolute" | "relative" => return Err(backwards()),
            _ => match words.token(at) {
                Some(Token::Number(number, _)) => {
                    rows = Some(number.parse().map_err(|_| syntax("syntax error: wrong number of rows"))?);
                }
                Some(Token::Minus) => return Err(backwards()),
                _ => return Err(syntax("syntax error in FETCH")),
            },
        }
        at += 1;
    }
    Ok(Command::Fetch { name, rows, only_move })
}

fn prepare(words: &Words) -> Result<Command> {
    let query =
        words.find("as").ok_or_else(|| syntax("syntax error in PREPARE: AS and a statement are missing"))?;
    let inside = words.rest(2).get(..words.rest(2).len() - words.rest(query).len()).unwrap_or_default();
    let inside = inside.trim().trim_start_matches('(').trim_end_matches(')');
    let types = inside.split(',').map(|name| name.trim().to_string()).filter(|name| !name.is_empty());
    Ok(Command::Prepare {
        name: words.name(1),
        types: types.collect(),
        sql: words.rest(query + 1).to_string(),
    })
}

fn execute(words: &Words) -> Result<Command> {
    let name = words.name(1);
    let inside = words.rest(2).trim();
    if inside.is_empty() {
        return Ok(Command::Execute { name, values: Vec::new() });
    }
    let wrong = || syntax("syntax error in EXECUTE: write EXECUTE name (value, …)");
    let inside = inside.strip_prefix('(').and_then(|inside| inside.strip_suffix(')')).ok_or_else(wrong)?;
    let Some(Ast::Query(query)) = rewrite::parse(&format!("SELECT {inside}")) else { return Err(wrong()) };
    let SetExpr::Select(select) = *query.body else { return Err(wrong()) };
    let value = |item: SelectItem| match item {
        SelectItem::UnnamedExpr(expr) => Ok(argument(expr)),
        _ => Err(wrong()),
    };
    let values = select.projection.into_iter().map(value).collect::<Result<_>>()?;
    Ok(Command::Execute { name, values })
}

/// What an argument of EXECUTE is, or how it is computed.
fn argument(expr: Expr) -> Argument {
    let number = |expr: &Expr| match expr {
        Expr::Value(value) => match &value.value {
            Value::Number(written, _) => Some(written.clone()),
            _ => None,
        },
        _ => None,
    };
    let known = match &expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => Some(text.clone()),
            Value::Boolean(flag) => Some(flag.to_string()),
            Value::Null => return Argument::Known(None),
            _ => number(&expr),
        },
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => number(expr).map(|number| format!("-{number}")),
        _ => None,
    };
    match known {
        Some(known) => Argument::Known(Some(known)),
        None => Argument::Computed(expr.to_string()),
    }
}

fn copy(sql: &str) -> Result<Command> {
    // The parser does not know the star.
    let text = sql
        .replace("FORCE_QUOTE *", "FORCE_QUOTE (everything__)")
        .replace("force_quote *", "force_quote (everything__)");
    let Some(Ast::Copy { source, to, target, options, legacy_options, .. }) = rewrite::parse(&text) else {
        return Err(syntax("syntax error in COPY").hint("write COPY (query) TO STDOUT (FORMAT csv, HEADER)"));
    };
    if !to {
        return Err(read_only("COPY FROM"));
    }
    if target != CopyTarget::Stdout {
        return Err(Error::denied("COPY reaches no files and programs of the server")
            .sqlstate("42501")
            .hint("COPY … TO STDOUT, or \\copy of psql"));
    }
    let sql = match source {
        CopySource::Query(query) => query.to_string(),
        CopySource::Table { table_name, columns } if columns.is_empty() => {
            format!("SELECT * FROM {table_name}")
        }
        CopySource::Table { table_name, columns } => {
            let columns: Vec<String> = columns.iter().map(ToString::to_string).collect();
            format!("SELECT {} FROM {table_name}", columns.join(", "))
        }
    };
    if let Command::Copy { .. } = command(&sql)? {
        return Err(broken("COPY of a COPY"));
    }
    let mut form = Form::default();
    for option in options {
        match option {
            CopyOption::Format(name) => form.format(&name.value)?,
            CopyOption::Delimiter(char) => form.delimiter = Some(byte(char)?),
            CopyOption::Null(text) => form.null = Some(text),
            CopyOption::Header(header) => form.header = header,
            CopyOption::Quote(char) => form.quote = byte(char)?,
            CopyOption::Escape(char) => form.escape = Some(byte(char)?),
            CopyOption::ForceQuote(columns) => {
                form.force_quote = columns.into_iter().map(|c| c.value).collect()
            }
            CopyOption::Encoding(name) if name.replace('-', "").eq_ignore_ascii_case("utf8") => {}
            CopyOption::Encoding(_) => return Err(not_supported("an encoding other than UTF8")),
            _ => {}
        }
    }
    for option in legacy_options {
        match option {
            CopyLegacyOption::Binary => form.format("binary")?,
            CopyLegacyOption::Delimiter(char) => form.delimiter = Some(byte(char)?),
            CopyLegacyOption::Null(text) => form.null = Some(text),
            CopyLegacyOption::Header => form.header = true,
            CopyLegacyOption::Csv(options) => {
                form.format("csv")?;
                for option in options {
                    match option {
                        CopyLegacyCsvOption::Header => form.header = true,
                        CopyLegacyCsvOption::Quote(char) => form.quote = byte(char)?,
                        CopyLegacyCsvOption::Escape(char) => form.escape = Some(byte(char)?),
                        CopyLegacyCsvOption::ForceQuote(columns) => {
                            form.force_quote = columns.into_iter().map(|column| column.value).collect();
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Ok(Command::Copy { sql, form })
}

fn byte(char: char) -> Result<u8> {
    u8::try_from(char).ok().filter(u8::is_ascii).ok_or_else(|| {
        Error::project("COPY delimiter, quote and escape must be a single one-byte character")
            .sqlstate("22023")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_told_apart() {
        let fetch = |name: &str, rows| Command::Fetch { name: name.into(), rows, only_move: false };
        for (sql, expected) in [
            ("select 1", Command::Query),
            ("BEGIN ISOLATION LEVEL SERIALIZABLE", Command::Begin),
            ("rollback to savepoint a", Command::RollbackTo),
            ("FETCH FORWARD 10 FROM \"C\"", fetch("C", Some(10))),
            ("fetch all in c", fetch("c", None)),
            ("fetch c", fetch("c", Some(1))),
            ("SHOW TRANSACTION ISOLATION LEVEL", Command::Show(Some("transaction isolation level".into()))),
            (
                "SET LOCAL a.b = -1",
                Command::Set { name: "a.b".into(), value: Some("-1".into()), local: true },
            ),
            ("deallocate all", Command::Deallocate(None)),
            (
                "execute p(1, 'a', null)",
                Command::Execute {
                    name: "p".into(),
                    values: vec![
                        Argument::Known(Some("1".into())),
                        Argument::Known(Some("a".into())),
                        Argument::Known(None),
                    ],
                },
            ),
            (
                "execute p(-1, 1 + 1)",
                Command::Execute {
                    name: "p".into(),
                    values: vec![Argument::Known(Some("-1".into())), Argument::Computed("1 + 1".into())],
                },
            ),
            (
                "prepare p (int, text) as select $1",
                Command::Prepare {
                    name: "p".into(),
                    types: vec!["int".into(), "text".into()],
                    sql: "select $1".into(),
                },
            ),
        ] {
            assert_eq!(command(sql).unwrap(), expected, "{sql}");
        }
        for (sql, code) in [
            ("insert into t values (1)", "25006"),
            ("copy t from stdin", "25006"),
            ("copy t to '/tmp/x'", "42501"),
            ("copy (select 1) to program 'sh'", "42501"),
            ("fetch backward 1 from c", "55000"),
        ] {
            assert_eq!(command(sql).unwrap_err().code(), code, "{sql}");
        }
    }
}
