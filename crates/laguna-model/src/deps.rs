//! What one SELECT reads: its tables with their places, and the functions whose answer changes from run to run.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, ObjectName, Query, Select, SetExpr, Statement, TableFactor, Visit, Visitor,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};
use laguna_base::hash;
use laguna_query::base_name;

/// Functions whose answer is fixed for one run and changes with the next.
const RUN_FUNCTIONS: [&str; 7] =
    ["now", "current_timestamp", "current_date", "current_time", "today", "localtimestamp", "localtime"];

/// Functions whose answer nothing fixes.
pub const RANDOM_FUNCTIONS: [&str; 5] = ["random", "uuid", "gen_random_uuid", "uuidv4", "uuidv7"];

/// One statement, read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reads {
    /// Tables named after FROM, JOIN or in a subquery, in the order of the text; CTEs and table functions left out.
    pub tables: Vec<TableRead>,
    /// Functions of the run's instant or of chance that it calls, each once, sorted.
    pub volatile: Vec<String>,
    /// Hash of the statement's words: the same for the same statement with other comments and line breaks.
    pub hash: String,
}

/// One table that a statement names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableRead {
    /// Parts of its name as SQL understands them: unquoted ones in lower case, a pinned version taken off.
    pub parts: Vec<String>,
    /// Line in the statement, from 1; 0 when unknown.
    pub line: usize,
    /// Column in the statement, in characters from 1; 0 when unknown.
    pub column: usize,
}

/// Why a statement cannot be a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// One sentence, lower case without full stop.
    pub message: String,
    /// The way out, where there is one to name.
    pub hint: Option<&'static str>,
    /// Line in the statement, from 1; 0 when unknown.
    pub line: usize,
    /// Column in the statement, from 1; 0 when unknown.
    pub column: usize,
}

/// Reads `sql` in the PostgreSQL dialect: exactly one SELECT, a semicolon may follow it.
pub fn read(sql: &str) -> Result<Reads, Refusal> {
    let dialect = PostgreSqlDialect {};
    let tokens = Tokenizer::new(&dialect, sql).tokenize_with_location().map_err(|error| Refusal {
        message: format!("syntax error: {}", decapitalise(&error.message)),
        hint: None,
        line: error.location.line as usize,
        column: error.location.column as usize,
    })?;
    let words: Vec<&TokenWithSpan> =
        tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF)).collect();
    let end = words.iter().rposition(|token| token.token != Token::SemiColon).map_or(0, |last| last + 1);
    let words = &words[..end];
    let Some(first) = words.first() else {
        return Err(Refusal {
            message: "the file holds no statement".to_string(),
            hint: Some("a model is one SELECT; remove the file if it is not needed"),
            line: 0,
            column: 0,
        });
    };
    let (first_line, first_column) = (first.span.start.line as usize, first.span.start.column as usize);
    let first_word = first.to_string().to_uppercase();
    let hash = hash_of(words);

    let mut statements = Parser::new(&dialect)
        .with_tokens_with_locations(tokens)
        .parse_statements()
        .map_err(|error| syntax_error(&error))?;
    if statements.len() > 1 {
        return Err(Refusal {
            message: format!("the file holds {} statements", statements.len()),
            hint: Some("a model is one SELECT: write each in a file of its own, or join them with WITH"),
            line: first_line,
            column: first_column,
        });
    }
    let Some(Statement::Query(query)) = statements.pop() else {
        return Err(Refusal {
            message: format!("a model is a SELECT, not {first_word}"),
            hint: Some("write only the SELECT: the table is created and filled from it"),
            line: first_line,
            column: first_column,
        });
    };

    let mut visitor = ReadsVisitor::default();
    if let ControlFlow::Break(refusal) = query.visit(&mut visitor) {
        return Err(*refusal);
    }
    visitor.volatile.sort_unstable();
    visitor.volatile.dedup();
    Ok(Reads { tables: visitor.tables, volatile: visitor.volatile, hash })
}

fn hash_of(words: &[&TokenWithSpan]) -> String {
    let mut text = String::new();
    for word in words {
        use std::fmt::Write;
        // A byte that no token holds keeps `a b` and `ab` apart.
        let _ = write!(text, "{}\u{1}", word.token);
    }
    hash::of(text)
}

/// The parser gives the place only in its text: `… at Line: 3, Column: 7`.
fn syntax_error(error: &ParserError) -> Refusal {
    let text = match error {
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => text.as_str(),
        ParserError::RecursionLimitExceeded => "the statement is nested too deeply",
    };
    let (message, place) = text.rsplit_once(" at Line: ").unwrap_or((text, ""));
    let (line, column) = place
        .split_once(", Column: ")
        .and_then(|(line, column)| Some((line.parse().ok()?, column.trim().parse().ok()?)))
        .unwrap_or((0, 0));
    Refusal {
        message: format!("syntax error: {}", decapitalise(message.trim_end_matches('.'))),
        hint: None,
        line,
        column,
    }
}

fn decapitalise(text: &str) -> String {
    let mut characters = text.chars();
    match characters.next() {
        Some(first) => first.to_lowercase().chain(characters).collect(),
        None => String::new(),
    }
}

/// Functions that may stand where a table does.
const TABLE_FUNCTIONS: [&str; 3] = ["generate_series", "range", "unnest"];

/// Collects tables and functions while it keeps account of which CTE names are visible where.
#[derive(Default)]
struct ReadsVisitor {
    tables: Vec<TableRead>,
    volatile: Vec<String>,
    /// CTE names in scope, innermost last.
    scope: Vec<String>,
    /// The queries that are being visited, outermost first.
    frames: Vec<Frame>,
    /// The next relation is the name of a table function.
    skip_next: bool,
}

struct Frame {
    /// Length of the scope before the query.
    scope: usize,
    /// CTEs that come into scope when their own query has been visited.
    ctes: Vec<(*const Query, String)>,
}

fn refuse(message: impl Into<String>, hint: &'static str, ident: Option<&Ident>) -> Box<Refusal> {
    let (line, column) = ident.map_or((0, 0), place);
    Box::new(Refusal { message: message.into(), hint: Some(hint), line, column })
}

fn place(ident: &Ident) -> (usize, usize) {
    (ident.span.start.line as usize, ident.span.start.column as usize)
}

fn normalised(ident: &Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_lowercase(),
    }
}

impl Visitor for ReadsVisitor {
    type Break = Box<Refusal>;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Self::Break> {
        let mut frame = Frame { scope: self.scope.len(), ctes: Vec::new() };
        if let Some(with) = &query.with {
            for cte in &with.cte_tables {
                let name = normalised(&cte.alias.name);
                if with.recursive {
                    self.scope.push(name);
                } else {
                    // `WITH t AS (SELECT * FROM t)`: the inner t is a table, so t counts from here on only.
                    frame.ctes.push((std::ptr::from_ref(&*cte.query), name));
                }
            }
        }
        self.frames.push(frame);
        if matches!(*query.body, SetExpr::Table(_)) {
            return ControlFlow::Break(refuse("`TABLE x` is not understood", "write SELECT * FROM x", None));
        }
        if let SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) = *query.body
        {
            let hint = "write only the SELECT: the table is created and filled from it";
            return ControlFlow::Break(refuse("a model only reads", hint, None));
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<Self::Break> {
        if let Some(frame) = self.frames.pop() {
            self.scope.truncate(frame.scope);
        }
        if let Some(parent) = self.frames.last_mut()
            && let Some(index) = parent.ctes.iter().position(|(cte, _)| std::ptr::eq(*cte, query))
        {
            let (_, name) = parent.ctes.swap_remove(index);
            self.scope.push(name);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Self::Break> {
        if select.into.is_some() {
            let hint = "write only the SELECT: the table is created and filled from it";
            return ControlFlow::Break(refuse("a model cannot SELECT INTO", hint, None));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Self::Break> {
        if let TableFactor::Table { name, args, version, .. } = factor {
            self.skip_next = args.is_some();
            let function = name.0.last().and_then(|part| part.as_ident()).filter(|_| args.is_some());
            if let Some(ident) =
                function.filter(|ident| !TABLE_FUNCTIONS.contains(&normalised(ident).as_str()))
            {
                return ControlFlow::Break(refuse(
                    format!("there is no table function `{}`", ident.value),
                    "a model reads tables of the lake: describe files in raw/<dataset>.yml",
                    Some(ident),
                ));
            }
            if version.is_some() {
                let first = name.0.first().and_then(|part| part.as_ident());
                let hint = "write FOR TIMESTAMP AS OF '2026-11-22T06:00:00Z' or FOR VERSION AS OF 3";
                return ControlFlow::Break(refuse("this form of time travel is not understood", hint, first));
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<Self::Break> {
        if std::mem::take(&mut self.skip_next) {
            return ControlFlow::Continue(());
        }
        let idents: Vec<&Ident> = relation.0.iter().filter_map(|part| part.as_ident()).collect();
        let Some(first) = idents.first() else { return ControlFlow::Continue(()) };
        let mut parts: Vec<String> = idents.iter().map(|ident| normalised(ident)).collect();
        if parts.len() == 1 && self.scope.contains(&parts[0]) {
            return ControlFlow::Continue(());
        }
        if let Some(last) = parts.last_mut() {
            *last = base_name(last).to_string();
        }
        let (line, column) = place(first);
        self.tables.push(TableRead { parts, line, column });
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Self::Break> {
        if let Expr::Function(function) = expr
            && let Some(name) = function.name.0.last().and_then(|part| part.as_ident())
        {
            let name = normalised(name);
            if RUN_FUNCTIONS.contains(&name.as_str()) || RANDOM_FUNCTIONS.contains(&name.as_str()) {
                self.volatile.push(name);
            }
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(sql: &str) -> Vec<String> {
        read(sql).unwrap().tables.iter().map(|table| table.parts.join(".")).collect()
    }

    #[test]
    fn tables_are_found_wherever_they_stand() {
        for (sql, expected) in [
            ("SELECT * FROM raw.flights", vec!["raw.flights"]),
            ("select * from RAW.Flights f, raw.planes;", vec!["raw.flights", "raw.planes"]),
            (r#"SELECT * FROM raw."Flights""#, vec!["raw.Flights"]),
            (
                "SELECT (SELECT max(x) FROM raw.a) FROM raw.b WHERE EXISTS (SELECT 1 FROM raw.c WHERE c.x = b.x)",
                vec!["raw.a", "raw.b", "raw.c"],
            ),
            (
                "SELECT 1 FROM raw.a UNION ALL (SELECT 2 FROM raw.b EXCEPT SELECT 3 FROM raw.c)",
                vec!["raw.a", "raw.b", "raw.c"],
            ),
            (
                "SELECT * FROM raw.a CROSS JOIN LATERAL (SELECT * FROM raw.b WHERE b.x = a.x) AS l",
                vec!["raw.a", "raw.b"],
            ),
            ("SELECT * FROM generate_series(1, 3) AS g(i) JOIN raw.a ON a.x = g.i", vec!["raw.a"]),
            (
                "SELECT * FROM raw.a WHERE x IN (SELECT x FROM raw.b) AND y > ALL (SELECT y FROM raw.c)",
                vec!["raw.a", "raw.b", "raw.c"],
            ),
            ("SELECT 'from raw.no' -- from raw.no\n /* from raw.no */ FROM raw.a", vec!["raw.a"]),
            (r#"SELECT * FROM raw."flights@v=3""#, vec!["raw.flights"]),
            ("VALUES (1), (2)", vec![]),
        ] {
            assert_eq!(tables(sql), expected, "{sql}");
        }
    }

    #[test]
    fn names_of_ctes_count_only_where_they_are_visible() {
        for (sql, expected) in [
            ("WITH t AS (SELECT * FROM raw.a) SELECT * FROM t", vec!["raw.a"]),
            ("WITH t AS (SELECT * FROM t) SELECT * FROM t", vec!["t"]),
            ("WITH a AS (SELECT 1), b AS (SELECT * FROM a) SELECT * FROM b", vec![]),
            ("WITH b AS (SELECT * FROM a), a AS (SELECT 1) SELECT * FROM b", vec!["a"]),
            ("(WITH t AS (SELECT 1) SELECT * FROM t) UNION (SELECT * FROM t)", vec!["t"]),
            ("WITH t AS (WITH u AS (SELECT 1) SELECT * FROM u) SELECT * FROM u CROSS JOIN t", vec!["u"]),
            (
                "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 9) SELECT * FROM n",
                vec![],
            ),
            ("WITH T AS (SELECT 1) SELECT * FROM (SELECT * FROM t) x WHERE EXISTS (SELECT * FROM T)", vec![]),
            // A name with a schema is never a CTE.
            (
                "WITH flights AS (SELECT * FROM raw.flights) SELECT * FROM sanitized.flights",
                vec!["raw.flights", "sanitized.flights"],
            ),
        ] {
            assert_eq!(tables(sql), expected, "{sql}");
        }
    }

    #[test]
    fn places_are_those_of_the_text() {
        let reads = read("SELECT *\nFROM raw.a\n  JOIN raw.b USING (x)").unwrap();
        let places: Vec<_> = reads.tables.iter().map(|table| (table.line, table.column)).collect();
        assert_eq!(places, [(2, 6), (3, 8)]);
        let error = read("SELECT *\nFROM raw.a\nWHERE x = = 3").unwrap_err();
        assert_eq!((error.line, error.column), (3, 11), "{error:?}");
        assert!(error.message.starts_with("syntax error: "), "{error:?}");
    }

    #[test]
    fn what_is_not_one_select_is_refused() {
        for (sql, message) in [
            ("", "the file holds no statement"),
            (" -- nothing\n;", "the file holds no statement"),
            ("SELECT 1; SELECT 2", "the file holds 2 statements"),
            ("INSERT INTO raw.a VALUES (1)", "a model is a SELECT, not INSERT"),
            ("CREATE TABLE x AS SELECT 1", "a model is a SELECT, not CREATE"),
            ("DROP TABLE x", "a model is a SELECT, not DROP"),
            ("WITH d AS (DELETE FROM raw.a RETURNING *) SELECT * FROM d", "a model only reads"),
            ("SELECT * INTO x FROM raw.a", "a model cannot SELECT INTO"),
            ("SELECT * FROM read_csv('/etc/passwd')", "there is no table function `read_csv`"),
            ("SELECT 'open", "syntax error: unterminated string literal"),
        ] {
            assert_eq!(read(sql).unwrap_err().message, message, "{sql}");
        }
    }

    #[test]
    fn functions_of_time_and_chance_are_named() {
        let reads = read("SELECT now(), CURRENT_DATE, random(), abs(1) FROM raw.a WHERE t < NOW()").unwrap();
        assert_eq!(reads.volatile, ["current_date", "now", "random"]);
    }

    #[test]
    fn the_hash_sees_words_not_layout() {
        let hash = |sql: &str| read(sql).unwrap().hash;
        assert_eq!(hash("SELECT a FROM raw.x"), hash("-- why\nSELECT  a\n\tFROM raw.x ;\n"));
        assert_ne!(hash("SELECT a FROM raw.x"), hash("SELECT b FROM raw.x"));
        assert_ne!(hash("SELECT 'a' FROM raw.x"), hash(r#"SELECT "a" FROM raw.x"#));
        assert_ne!(hash("SELECT a b FROM raw.x"), hash("SELECT ab FROM raw.x"));
        assert_ne!(hash("SELECT 'a  b'"), hash("SELECT 'a b'"));
    }
}
