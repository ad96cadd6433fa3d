//! Access below every statement: what a role may not see does not exist for it, at any place where it could show.

mod lake;
mod random;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use async_trait::async_trait;
use datafusion::catalog::MemTable;
use futures::StreamExt;
use laguna_base::{Error, Result, TableName, Tier};
use laguna_query::{Access, Pin, Resolved, RoleRules, Session, Tables, access};

use super::tables::engine;

/// What no answer to a role may hold: a masked value, a value of a hidden row, a hidden table, the rule's own text.
const SECRETS: [&str; 6] = ["@x.org", "Hidden", "x9", "secret", "Zz", "555-"];

/// Passengers in memory. Rows of `Zz` are hidden by the rule; they divide by zero and are no numbers.
#[derive(Debug)]
struct People {
    tables: BTreeMap<TableName, Resolved>,
}

type Row<'a> = (i64, Option<&'a str>, &'a str, &'a str, i64, &'a str);

const VISIBLE: [Row<'static>; 4] = [
    (1, Some("ana@x.org"), "Ana", "NL", 1, "12"),
    (2, Some("ben@x.org"), "Ben", "BE", 2, "7"),
    (3, None, "Cor", "NL", 3, "40"),
    (4, Some("dirk@x.org"), "Dirk", "DE", 4, "5"),
];
const HIDDEN: [Row<'static>; 2] =
    [(5, Some("eve@x.org"), "Hidden Eve", "Zz", 0, "x9"), (6, None, "Hidden Fay", "Zz", 0, "x9y")];

fn passengers(rows: &[Row<'_>], masked: bool) -> RecordBatch {
    let texts = |of: &dyn Fn(&Row<'_>) -> Option<String>| -> ArrayRef {
        Arc::new(StringArray::from_iter(rows.iter().map(of)))
    };
    let numbers = |of: &dyn Fn(&Row<'_>) -> i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(rows.iter().map(of)))
    };
    let columns = vec![
        ("id", numbers(&|row| row.0), true),
        ("email", texts(&|row| row.1.filter(|_| !masked).map(str::to_string)), true),
        ("name", texts(&|row| Some(row.2.to_string())), true),
        ("country", texts(&|row| Some(row.3.to_string())), true),
        ("divisor", numbers(&|row| row.4), true),
        ("code", texts(&|row| Some(row.5.to_string())), true),
        ("phone", texts(&|row| (!masked).then(|| format!("555-{}", row.0))), true),
    ];
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

fn provider(batch: RecordBatch) -> Resolved {
    Resolved::Provider(Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]]).unwrap()))
}

fn whole() -> Resolved {
    let rows = [VISIBLE[0], HIDDEN[0], VISIBLE[1], VISIBLE[2], HIDDEN[1], VISIBLE[3]];
    provider(passengers(&rows, false))
}

fn people() -> People {
    let view = |sql: &str| Resolved::View { sql: sql.to_string() };
    let tables = [
        ("raw.passengers", whole()),
        ("latest.passengers", whole()),
        ("sanitized.passengers", whole()),
        ("sanitized.secret", whole()),
        ("quarantine.sanitized_passengers", whole()),
        ("quarantine.raw_passengers", whole()),
        ("enhanced.countries", view("SELECT country, count(*) AS n FROM sanitized.passengers GROUP BY 1")),
        ("enhanced.codes", view("SELECT code::bigint AS code FROM sanitized.secret WHERE country <> 'Zz'")),
        ("enhanced.bad_codes", view("SELECT code::bigint AS code FROM sanitized.secret")),
        ("enhanced.broken", view("SELECT * FROM sanitized.secret_that_is_gone")),
        ("enhanced.mixed", view("SELECT id FROM sanitized.secret UNION ALL SELECT 1.5")),
    ];
    People { tables: tables.into_iter().map(|(name, table)| (name.parse().unwrap(), table)).collect() }
}

#[async_trait]
impl Tables for People {
    async fn table(&self, name: &TableName) -> Result<Option<Resolved>> {
        Ok(self.tables.get(name).cloned())
    }

    async fn names(&self, tier: Tier) -> Result<Vec<String>> {
        Ok(self.tables.keys().filter(|name| name.tier == tier).map(|name| name.table.clone()).collect())
    }

    async fn pinned(&self, name: &TableName, pin: &Pin) -> Result<Option<Resolved>> {
        match pin {
            Pin::Version(_) => Ok(self.tables.get(name).cloned()),
            Pin::Timestamp(_) => Err(Error::project("that time is in the future")),
        }
    }

    async fn is_view(&self, name: &TableName) -> Result<bool> {
        Ok(matches!(self.tables.get(name), Some(Resolved::View { .. })))
    }

    async fn staged(&self, name: &TableName) -> Result<Option<Resolved>> {
        Ok((name.tier == Tier::Sanitized).then(whole))
    }

    async fn staged_names(&self) -> Result<Vec<TableName>> {
        Ok(vec!["sanitized.passengers".parse()?, "sanitized.secret".parse()?])
    }
}

fn rules(read: &[&str], mask: &[(&str, &[&str])], rows: &[(&str, &str)]) -> RoleRules {
    let table = |name: &str| name.parse::<TableName>().unwrap();
    RoleRules {
        read: read.iter().map(|word| word.to_string()).collect(),
        mask: mask
            .iter()
            .map(|(name, columns)| (table(name), columns.iter().map(|column| column.to_string()).collect()))
            .collect(),
        rows: rows.iter().map(|(name, condition)| (table(name), condition.to_string())).collect(),
    }
}

fn role(read: &[&str], mask: &[(&str, &[&str])], rows: &[(&str, &str)]) -> Access {
    Access::role("clerk", rules(read, mask, rows)).unwrap()
}

/// Reads passengers without their email, phone and those of `Zz`; and what is enhanced.
fn clerk() -> Access {
    role(
        &["sanitized.passengers", "enhanced"],
        &[("sanitized.passengers", &["email", "phone"])],
        &[("sanitized.passengers", "country <> 'Zz'")],
    )
}

fn session_of(tables: People, access: &Access) -> Session {
    engine().session_for(Arc::new(tables), "2026-11-22T06:00:00Z".parse().unwrap(), access)
}

fn session(access: &Access) -> Session {
    session_of(people(), access)
}

/// A session over tables from which the same was taken away by hand.
fn copied() -> Session {
    let copy = provider(passengers(&VISIBLE, true));
    let tables = BTreeMap::from([("sanitized.passengers".parse().unwrap(), copy)]);
    session_of(People { tables }, &Access::everything())
}

/// The rows as a table of text, whose head is there without rows too.
async fn table(session: &Session, sql: &str) -> Result<String> {
    let result = session.execute(sql).await?;
    let schema = result.schema.clone();
    let batches = laguna_query::collect(result).await?;
    Ok(arrow::util::pretty::pretty_format_batches_with_schema(schema, &batches).unwrap().to_string())
}

/// All that a statement says: its rows, or its error with hint and causes.
async fn said(session: &Session, sql: &str) -> std::result::Result<String, String> {
    match table(session, sql).await {
        Ok(text) => Ok(text),
        Err(error) => Err(std::iter::once(&error)
            .chain(error.others())
            .map(|error| {
                let place = error.location().map(|place| place.to_string());
                format!("{:?} {error} {:?} {:?} {place:?}", error.kind(), error.hint_text(), error.causes())
            })
            .collect()),
    }
}

async fn silent(session: &Session, sql: &str) -> String {
    let said = said(session, sql).await;
    let text = said.unwrap_or_else(|error| error);
    for secret in SECRETS {
        // What someone wrote himself may be repeated to him.
        assert!(sql.contains(secret) || !text.contains(secret), "{sql} tells of `{secret}`:\n{text}");
    }
    text
}

#[tokio::test]
async fn what_may_not_be_read_is_answered_like_what_is_not_there() {
    let session = session(&clerk());
    let mut rest = people();
    rest.tables.retain(|name, _| clerk().may_read(name));
    let without = session_of(rest, &clerk());
    for statement in [
        "SELECT * FROM {}",
        "SELECT nonsense FROM {}",
        "SELECT count(*) FROM {}",
        "SELECT 1 FROM laguna.{}",
        "SELECT * FROM sanitized.passengers WHERE id IN (SELECT id FROM {})",
        "SELECT (SELECT max(id) FROM {})",
        "WITH x AS (SELECT * FROM {}) SELECT 1",
        "SELECT * FROM sanitized.passengers p JOIN {} s ON s.id = p.id",
        "SELECT id FROM sanitized.passengers UNION ALL SELECT id FROM {}",
        "SELECT EXISTS (SELECT 1 FROM {})",
        "TABLE {}",
        "DESCRIBE {}",
        "SHOW COLUMNS FROM {}",
        "EXPLAIN SELECT * FROM {}",
        "EXPLAIN ANALYZE SELECT * FROM {}",
        "EXPLAIN VERBOSE SELECT * FROM {}",
        "EXPLAIN FORMAT TREE SELECT * FROM {}",
        "SELECT * FROM {} FOR VERSION AS OF 1",
        "SELECT * FROM {} FOR TIMESTAMP AS OF '2999-01-01'",
        "SELECT * FROM {} TABLESAMPLE BERNOULLI (10)",
    ] {
        for (hidden, absent) in [
            ("sanitized.secret", "sanitized.sexret"),
            ("raw.passengers", "raw.passengerx"),
            ("latest.passengers", "latest.passengerx"),
            ("staged.sanitized_secret", "staged.sanitized_sexret"),
            ("staged.sanitized_passengers", "staged.sanitized_passengerx"),
            ("quarantine.raw_passengers", "quarantine.raw_passengerx"),
            ("system.runs", "system.runz"),
        ] {
            let sql = statement.replace("{}", hidden);
            let answer = said(&session, &sql).await.unwrap_err();
            assert_eq!(answer, said(&without, &sql).await.unwrap_err(), "{sql}");
            let table = |name: &str| name.split_once('.').unwrap().1.to_string();
            if table(hidden) != "passengers" {
                let expected = said(&session, &statement.replace("{}", absent)).await.unwrap_err();
                assert_eq!(answer, expected.replace(&table(absent), &table(hidden)), "{sql}");
            }
        }
    }
    for sql in ["SELECT * FROM secret", "SELECT * FROM sanitized.secre", "SELECT * FROM rav.passengers"] {
        let text = said(&session, sql).await.unwrap_err();
        assert!(!text.contains("sanitized.secret`"), "{text}");
    }
    // A table in another schema is offered only where it may be read.
    let text = said(&session, "SELECT * FROM raw.passengers").await.unwrap_err();
    assert!(text.contains("did you mean `sanitized.passengers`?"), "{text}");
    let text = said(&session, "SELECT * FROM passengers").await.unwrap_err();
    assert!(text.contains("did you mean `sanitized.passengers`?"), "{text}");
    let nothing = self::session(&role(&[], &[], &[]));
    let text = said(&nothing, "SELECT * FROM raw.passengers").await.unwrap_err();
    assert!(text.contains("SHOW TABLES lists what may be read"), "{text}");
}

#[tokio::test]
async fn catalogs_list_what_may_be_read() {
    let session = session(&clerk());
    for sql in [
        "SHOW TABLES",
        "SELECT * FROM information_schema.tables",
        "SELECT * FROM information_schema.columns",
        "SELECT * FROM information_schema.views",
        "SELECT * FROM information_schema.schemata",
        "SHOW COLUMNS FROM sanitized.passengers",
        "DESCRIBE sanitized.passengers",
        "SHOW FUNCTIONS",
    ] {
        let text = silent(&session, sql).await;
        for word in ["raw", "latest", "staged", "quarantine", "system"] {
            assert!(!text.contains(&format!("| {word} ")), "{sql}: {text}");
        }
    }
    let text =
        silent(&session, "SELECT table_schema, table_name, table_type FROM information_schema.tables").await;
    for line in ["sanitized          | passengers", "enhanced           | countries"] {
        assert!(text.contains(line), "{text}");
    }
    let columns =
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'passengers'";
    let text = silent(&session, columns).await;
    assert!(text.contains("email") && text.contains("country"), "{text}");
}

#[tokio::test]
async fn masks_and_rules_hold_wherever_a_column_can_go() {
    let (guarded, copied) = (session(&clerk()), copied());
    for sql in [
        "SELECT * FROM sanitized.passengers",
        "SELECT email AS mail, phone FROM sanitized.passengers",
        "SELECT lower(email || phone) FROM sanitized.passengers",
        "SELECT CASE WHEN email LIKE 'ana%' THEN 'Ana' WHEN email IS NULL THEN 'none' END FROM sanitized.passengers",
        "SELECT coalesce(email, phone, name) FROM sanitized.passengers",
        "SELECT id FROM sanitized.passengers WHERE email = 'ana@x.org'",
        "SELECT id FROM sanitized.passengers WHERE email IS NOT NULL",
        "SELECT id FROM sanitized.passengers WHERE email > 'a' OR phone < '9'",
        "SELECT id FROM sanitized.passengers WHERE email IN ('ana@x.org', 'ben@x.org')",
        "SELECT id FROM sanitized.passengers WHERE email BETWEEN 'a' AND 'z'",
        "SELECT id FROM sanitized.passengers WHERE starts_with(phone, '555')",
        "SELECT p.id, q.id FROM sanitized.passengers p JOIN sanitized.passengers q ON p.email = q.email",
        "SELECT p.id, q.phone FROM sanitized.passengers p LEFT JOIN sanitized.passengers q USING (id)",
        "SELECT id FROM sanitized.passengers ORDER BY email DESC NULLS LAST, id",
        "SELECT email, count(*) FROM sanitized.passengers GROUP BY email",
        "SELECT count(*), count(email), count(DISTINCT phone), min(email), max(phone) FROM sanitized.passengers",
        "SELECT string_agg(email, ','), array_agg(phone) FROM sanitized.passengers",
        "SELECT max(id), sum(id), avg(divisor), count(DISTINCT country) FROM sanitized.passengers",
        "SELECT approx_distinct(email), approx_distinct(country) FROM sanitized.passengers",
        "SELECT id, row_number() OVER (ORDER BY id), first_value(email) OVER (PARTITION BY country ORDER BY id) FROM sanitized.passengers",
        "WITH x AS (SELECT email AS e, * FROM sanitized.passengers) SELECT e, count(*) FROM x GROUP BY e",
        "SELECT (SELECT max(email) FROM sanitized.passengers), (SELECT count(*) FROM sanitized.passengers)",
        "SELECT id FROM sanitized.passengers p WHERE EXISTS (SELECT 1 FROM sanitized.passengers q WHERE q.email = p.email)",
        "SELECT email FROM sanitized.passengers UNION SELECT phone FROM sanitized.passengers",
        "SELECT name FROM sanitized.passengers EXCEPT SELECT 'Ana'",
        "SELECT country, count(*) FROM sanitized.passengers GROUP BY country HAVING max(email) IS NULL ORDER BY 1",
        "SELECT count(*) FROM sanitized.passengers WHERE country = 'Zz'",
        "SELECT * FROM sanitized.passengers WHERE id = 5",
        "SELECT * FROM sanitized.passengers WHERE NOT (id < 5)",
        "SELECT * FROM sanitized.passengers ORDER BY id DESC LIMIT 1",
        "SELECT * FROM sanitized.passengers ORDER BY id OFFSET 4",
        // What fails on hidden rows alone does not fail.
        "SELECT id FROM sanitized.passengers WHERE 100 / divisor > 20",
        "SELECT id FROM sanitized.passengers WHERE country = 'Zz' AND 100 / divisor > 20",
        "SELECT id FROM sanitized.passengers WHERE country = 'Zz' OR 100 / divisor > 20",
        "SELECT id FROM sanitized.passengers WHERE code::bigint > 6",
        "SELECT sum(code::bigint), sum(12 / divisor) FROM sanitized.passengers",
        "SELECT id FROM sanitized.passengers WHERE CAST(id AS TINYINT) < 100 AND code::smallint <> 9",
        "SELECT max(code::bigint) FROM sanitized.passengers WHERE id > 1",
        "SELECT p.id FROM sanitized.passengers p JOIN sanitized.passengers q ON p.code::bigint = q.code::bigint",
        // What fails on a value that is seen names that value, and no other.
        "SELECT name::bigint FROM sanitized.passengers WHERE id = 1",
        "SELECT 1 / (divisor - 3) FROM sanitized.passengers",
        "SELECT email::bigint, phone::date FROM sanitized.passengers",
        "SELECT id FROM sanitized.passengers WHERE email::bigint > 0",
        "SELECT nothing FROM sanitized.passengers",
        "SELECT * FROM sanitized.passengers TABLESAMPLE SYSTEM (100)",
    ] {
        silent(&guarded, sql).await;
        let sorted = |answer: std::result::Result<String, String>| {
            let sort = |text: String| {
                let mut lines: Vec<String> = text.lines().map(str::to_string).collect();
                lines.sort();
                lines.join("\n")
            };
            answer.map(sort)
        };
        assert_eq!(sorted(said(&guarded, sql).await), sorted(said(&copied, sql).await), "{sql}");
    }
}

#[tokio::test]
async fn plans_tell_nothing_of_what_lies_below() {
    let session = session(&clerk());
    for query in [
        "SELECT * FROM sanitized.passengers",
        "SELECT count(*), min(email) FROM sanitized.passengers WHERE id > 2 AND email = 'a'",
        "SELECT * FROM enhanced.codes WHERE code > 1",
        "SELECT country FROM enhanced.countries ORDER BY n LIMIT 1",
    ] {
        for explain in [
            "EXPLAIN",
            "EXPLAIN VERBOSE",
            "EXPLAIN ANALYZE",
            "EXPLAIN ANALYZE VERBOSE",
            "EXPLAIN FORMAT INDENT",
            "EXPLAIN FORMAT TREE",
            "EXPLAIN FORMAT PGJSON",
            "EXPLAIN FORMAT GRAPHVIZ",
        ] {
            let sql = format!("{explain} {query}");
            let text = silent(&session, &sql).await;
            assert!(!text.contains("DataSourceExec") && !text.contains("<>"), "{sql}: {text}");
            // Rows of the whole table, and of the view's.
            assert!(!text.contains("Exact(6") && !text.contains("rows=6"), "{sql}: {text}");
        }
    }
    let text =
        silent(&session, "EXPLAIN SELECT name FROM sanitized.passengers WHERE 1 / divisor > 0 AND id = 1")
            .await;
    assert!(text.contains("GuardExec: table=sanitized.passengers"), "{text}");
    let physical = session.execute("SELECT * FROM sanitized.passengers").await.unwrap().physical;
    assert!(physical.children().is_empty() || physical.metrics().is_none());
    assert_eq!(access::physical_below(&physical).len(), 1);
    let plan = session.plan("SELECT * FROM enhanced.codes JOIN sanitized.passengers ON true").await.unwrap();
    assert_eq!(access::logical_below(&plan).len(), 2);
}

#[tokio::test]
async fn views_read_with_their_owners_rights() {
    let session = session(&clerk());
    let text = silent(&session, "SELECT sum(code) AS n FROM enhanced.codes").await;
    assert!(text.contains("| 64 |"), "{text}");
    let text = said(&session, "SELECT sum(n) AS n FROM enhanced.countries").await.unwrap();
    assert!(text.contains("| 6 |"), "{text}");
    // Types of a union are those that its rows have.
    let text = said(&session, "SELECT max(id) AS n FROM enhanced.mixed WHERE id > 1.25").await.unwrap();
    assert!(text.contains("| 6.0 |"), "{text}");
    for sql in
        ["SELECT * FROM enhanced.bad_codes", "SELECT * FROM enhanced.broken", "DESCRIBE enhanced.broken"]
    {
        let text = silent(&session, sql).await;
        assert!(text.contains("cannot be read"), "{sql}: {text}");
    }
    // Conditions of a statement meet only rows of the view.
    silent(&session, "SELECT code FROM enhanced.codes WHERE 1 / (code - 41) < 9").await;
    // Masks and rules upon the view itself hold for what it answers.
    let masked = self::session(&role(
        &["enhanced"],
        &[("enhanced.countries", &["n"])],
        &[("enhanced.countries", "n > 1 AND country <> 'Zz'")],
    ));
    let text = silent(&masked, "SELECT country, n FROM enhanced.countries").await;
    assert_eq!(text.matches("NL").count(), 1, "{text}");
    assert!(!text.contains('2'), "{text}");
}

#[tokio::test]
async fn rules_hold_for_every_form_of_a_table() {
    let all = ["raw", "latest", "sanitized", "quarantine", "staged"];
    let access = role(
        &all,
        &[("raw.passengers", &["email"]), ("sanitized.passengers", &["email", "phone"])],
        &[("latest.passengers", "country <> 'Zz'"), ("sanitized.passengers", "country <> 'Zz'")],
    );
    let session = session(&access);
    for table in [
        "raw.passengers",
        "latest.passengers",
        "sanitized.passengers",
        "sanitized.passengers FOR VERSION AS OF 3",
        "raw.passengers FOR VERSION AS OF 3",
        "staged.sanitized_passengers",
    ] {
        let text = said(&session, &format!("SELECT count(*), count(email) FROM {table}")).await.unwrap();
        assert!(text.contains("| 4        | 0"), "{table}: {text}");
    }
    for table in ["quarantine.raw_passengers", "quarantine.sanitized_passengers"] {
        assert!(!access.may_read(&table.parse().unwrap()));
        let text = said(&session, &format!("SELECT * FROM {table}")).await.unwrap_err();
        assert!(text.contains("there is no table"), "{text}");
    }
    let free = role(&all, &[], &[]);
    assert!(free.may_read(&"quarantine.raw_passengers".parse().unwrap()));
    assert!(!role(&["raw"], &[], &[]).may_read(&"quarantine.raw_passengers".parse().unwrap()));
    assert!(!role(&["sanitized"], &[], &[]).may_read_staged(&"sanitized.x".parse().unwrap()));
    assert!(!role(&["staged"], &[], &[]).may_read_staged(&"sanitized.x".parse().unwrap()));
    assert!(access.is_restricted(&"latest.passengers".parse().unwrap()));
    assert!(!access.is_restricted(&"sanitized.secret".parse().unwrap()));
}

#[tokio::test]
async fn a_rule_that_does_not_fit_closes_its_table() {
    let refused = |access: Access| async move {
        let session = session(&access);
        said(&session, "SELECT id FROM sanitized.passengers").await.unwrap_err()
    };
    let masked = |column: &'static str| role(&["sanitized"], &[("sanitized.passengers", &[column])], &[]);
    let text = refused(masked("e_mail")).await;
    assert!(text.contains("no column `e_mail`, which is hidden from the role `clerk`"), "{text}");
    assert!(text.contains("did it mean `email`?"), "{text}");
    // Another case is the same column.
    let session = session(&masked("EMAIL"));
    let text = said(&session, "SELECT count(email) AS n FROM sanitized.passengers").await.unwrap();
    assert!(text.contains("| 0 |"), "{text}");
    for (rule, expected) in [
        ("land = 'NL'", "there is no column `land`"),
        ("count(*) > 1", "an aggregate cannot stand in it"),
        ("random() < 0.5", "the function `random`"),
        ("country", "of type Utf8"),
        ("country = ARRAY[1]", "does not fit"),
        ("cuntry(id)", "there is no function `cuntry`"),
        ("id = $1", "cannot stand in it"),
    ] {
        let text = refused(role(&["sanitized"], &[], &[("sanitized.passengers", rule)])).await;
        assert!(text.contains("cannot be read") && text.contains(expected), "{rule}: {text}");
    }
    for (rule, expected) in [
        ("", "empty"),
        ("id IN (SELECT id FROM raw.x)", "a subquery or a window cannot stand in it"),
        ("EXISTS (SELECT 1)", "a subquery"),
        ("row_number() OVER () = 1", "a window"),
        ("id = 1; DROP TABLE x", "cannot be read"),
        ("id = 1) OR (1 = 1", "cannot be read"),
        ("id = ", "cannot be read"),
    ] {
        let error = Access::role("x", rules(&[], &[], &[("raw.x", rule)])).unwrap_err();
        assert!(error.message().contains(expected), "{rule}: {error:?}");
        assert!(error.hint_text().is_some(), "{rule}");
    }
    for (word, hint) in [
        ("enhancd", "did you mean `enhanced`?"),
        ("stage", "did you mean `staged`?"),
        ("gold", "tiers are raw, latest"),
        ("sanitised.x", "did you mean `sanitized`?"),
        ("staged.raw_x", "list `staged`"),
        ("raw.X", "lower-case"),
    ] {
        let error = Access::role("x", rules(&[word], &[], &[])).unwrap_err();
        assert!(error.hint_text().unwrap().contains(hint), "{word}: {error:?}");
    }
    assert!(Access::role("x", rules(&[], &[("raw.x", &[])], &[])).is_err());
}

#[tokio::test]
async fn settings_and_files_are_out_of_reach() {
    let session = session(&clerk());
    for sql in [
        "SHOW ALL",
        "SHOW datafusion.execution.batch_size",
        "SELECT * FROM information_schema.df_settings",
        "SELECT * FROM information_schema.\"DF_SETTINGS\"",
        "EXPLAIN ANALYZE SELECT value FROM laguna.information_schema.df_settings",
        "WITH s AS (SELECT * FROM information_schema.df_settings) SELECT (SELECT max(value) FROM s)",
        "SET datafusion.execution.batch_size = 1",
        "RESET datafusion.execution.batch_size",
        "SELECT current_setting('data_directory')",
        "SELECT set_config('a', 'b', false)",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT * FROM pg_ls_dir('/')",
        "SELECT * FROM read_parquet('/etc/passwd')",
        "SELECT * FROM parquet_metadata('a.parquet')",
        "SELECT * FROM metadata_cache()",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM \"file:///etc/passwd\"",
        "SELECT * FROM 's3://bucket/a.parquet'",
        "SELECT * FROM raw.\"../../etc/passwd\"",
        "COPY (SELECT 1) TO '/tmp/x.csv'",
        "COPY sanitized.passengers TO 's3://bucket/x.parquet'",
        "CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'",
        "EXPLAIN ANALYZE CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'",
        "SHOW CREATE TABLE enhanced.countries",
        "LOAD 'x'",
        "INSTALL x",
        "DO $$ x $$",
        "CALL x()",
    ] {
        let text = said(&session, sql).await.map(|rows| panic!("{sql} answers {rows}")).unwrap_err();
        assert!(text.starts_with("Project"), "{sql}: {text}");
    }
}

#[tokio::test]
async fn accesses_are_equal_when_they_allow_the_same() {
    assert_eq!(Access::everything(), Access::everything());
    assert_eq!(clerk(), clerk());
    let rules = || rules(&["raw", "enhanced"], &[("raw.x", &["a"])], &[]);
    assert_eq!(Access::role("a", rules()).unwrap(), Access::role("b", rules()).unwrap());
    let mut all = vec![Access::everything(), clerk(), role(&[], &[], &[]), role(&["raw"], &[], &[])];
    all.push(role(&["raw", "staged"], &[], &[]));
    all.push(role(&["raw.x"], &[], &[]));
    all.push(role(&["raw"], &[("raw.x", &["a"])], &[]));
    all.push(role(&["raw"], &[("raw.x", &["b"])], &[]));
    all.push(role(&["raw"], &[], &[("raw.x", "a")]));
    for (index, one) in all.iter().enumerate() {
        assert_eq!(all.iter().position(|other| other == one), Some(index), "{one:?}");
    }
}

#[tokio::test]
async fn guarded_tables_run_in_every_shape() {
    let session = session(&clerk());
    // A step of a recursive query runs again and again.
    let sql = "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL \
               SELECT r.n + 1 FROM r JOIN enhanced.countries c ON c.n >= 1 AND c.country = 'NL' WHERE r.n < 4) \
               SELECT count(*) AS n FROM r";
    let text = said(&session, sql).await.unwrap();
    assert!(text.contains("| 4 |"), "{text}");
    let partitioned = session.partitions("SELECT * FROM sanitized.passengers", &["id".into()]).await.unwrap();
    let mut count = 0;
    for stream in partitioned.streams {
        count +=
            stream.map(|batch| batch.unwrap().num_rows()).collect::<Vec<_>>().await.iter().sum::<usize>();
    }
    assert_eq!(count, 4);
    // A reader that goes away leaves nothing behind.
    let mut result =
        session.execute("SELECT * FROM enhanced.countries a, enhanced.countries b").await.unwrap();
    let _ = result.stream.next().await;
    drop(result);
    let schema = session.schema_of("SELECT * FROM sanitized.passengers").await.unwrap();
    let whole = engine()
        .session(Arc::new(people()), "2026-11-22T06:00:00Z".parse().unwrap())
        .schema_of("SELECT * FROM sanitized.passengers")
        .await
        .unwrap();
    assert_eq!(schema.fields(), whole.fields());
}
