//! What statements mean, beside PostgreSQL 15.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::{drivers, psql, script, serve};
use crate::kit::{Project, repository};
use crate::servers::{run, skip};
use crate::serving::orders;

/// Statements whose words mean something else to the engine, and what PostgreSQL 15 answers; it gives quotients and variances
/// more digits, and has more databases.
const MEANT: [(&str, &str); 59] = [
    ("select 2.7::int, -2.7::bigint, 2::int, '7'::int", "3|-3|2|7"),
    ("select avg(id)::int, sum(amount)::int, (sum(amount) / 3)::int from orders", "2|25|8"),
    (
        "select sum(id) / count(*), sum(id) / 4 from orders where id < 3",
        "1.5000000000000000|0.7500000000000000",
    ),
    ("select 123456789::float, cast('1.25' as float), 123456789::float(53)", "123456789|1.25|123456789"),
    ("select 'abcdef'::varchar(3), 'abcdef'::char(2)", "abc|ab"),
    ("select 'c1' = any('{c1,c2}'::text[]), array_length('{a,b}'::text[], 1)", "t|2"),
    ("select count(*) from orders where customer = any('{c1,c2}'::text[])", "2"),
    ("select count(*) from orders where id = any('{1,3}'::int[])", "2"),
    ("select count(*) from orders where customer <> all('{c1}')", "1"),
    ("select '\\x414243'::bytea", "\\x414243"),
    ("select timestamptz '2013-01-01 12:00:00+00' at time zone 'America/New_York'", "2013-01-01 07:00:00"),
    (
        "select t at time zone z from (values (timestamptz '2013-07-01 12:00:00+00', 'UTC'), (timestamptz '2013-07-01 12:00:00+00', 'Asia/Tokyo')) v(t, z) order by z",
        "2013-07-01 21:00:00\n2013-07-01 12:00:00",
    ),
    ("select timestamp '2013-07-01 12:00:00' at time zone 'america/new_york'", "2013-07-01 16:00:00+00"),
    ("select date_trunc('day', created_at, 'Asia/Tokyo') from orders limit 1", "2025-12-31 15:00:00+00"),
    (
        "select date_trunc('day', timestamptz '2013-01-01 02:00+00' at time zone 'America/New_York')",
        "2012-12-31 00:00:00",
    ),
    (
        "select to_char(day, 'YYYY-\"Q\"Q'), to_char(created_at, 'FMDay DDth Mon HH12:MI am') from orders limit 1",
        "2026-Q1|Thursday 01st Jan 10:00 am",
    ),
    ("select generate_series(1, 3)", "1\n2\n3"),
    ("select i from generate_series(1, 3) i where i > 1", "2\n3"),
    (
        "select d::date from generate_series(date '2013-01-01', date '2013-01-02', interval '1 day') as g(d)",
        "2013-01-01\n2013-01-02",
    ),
    (
        "select g::date from generate_series(date '2013-01-01', date '2013-01-02', '1 day') g",
        "2013-01-01\n2013-01-02",
    ),
    ("select n from generate_series(1, (select count(*) from orders)) as n order by n desc limit 1", "3"),
    ("select x from unnest(array['a', 'b']) x", "a\nb"),
    ("select s[1], s[2] from string_to_array('a,b', ',') s", "a|b"),
    ("select exists(select 1 from orders), exists(select 1 from orders where id > 9)", "t|f"),
    (
        "select id, exists(select 1 from v_orders v where v.id = o.id and v.amount > 2) from orders o order by id",
        "1|f\n2|t\n3|t",
    ),
    ("select id from orders order by id offset 1 rows fetch next 1 rows only", "2"),
    ("select id from orders order by id fetch first row only", "1"),
    ("select count(*) from orders where ok = 't'", "2"),
    ("select count(*) from orders where ok = 'false'", "1"),
    ("select id + '5' from orders where id = 1", "6"),
    ("select count(*) from orders where created_at > '2025-12-30 10:00'", "3"),
    ("select count(*) from orders where created_at < '9999-12-31 00:00:00'", "3"),
    ("select date '9999-12-31' > now()", "t"),
    (
        "select timestamp '2013-03-01 10:00', '2013-03-01 10:00+00'::timestamptz",
        "2013-03-01 10:00:00|2013-03-01 10:00:00+00",
    ),
    ("select 'today'::date = current_date, timestamp 'yesterday' < now()", "t|t"),
    (
        "select interval '1 day' * 3, 2 * interval '1 hour', interval '1 month' / 2, interval '1 day' * -0.5",
        "3 days|02:00:00|15 days|-12:00:00",
    ),
    (
        "select current_database() = table_catalog from information_schema.tables where table_name = 'orders' and table_schema = 'enhanced'",
        "t",
    ),
    ("select datname = current_database() from pg_database", "t"),
    ("select pg_advisory_unlock_all()", ""),
    ("set intervalstyle = iso_8601; select interval '1 day 02:03:04.5', interval '0'", "P1DT2H3M4.5S|PT0S"),
    ("set geqo = off; show geqo", "off"),
    (
        "select id, o.* from orders o where id = 1",
        "1|1|c1|1.50|2|2026-01-01 10:00:00+00|2026-01-01|f|{\"a\":1,\"b\":\"x\"}|{a,\"b c\",c1}",
    ),
    ("select *, id from v_orders where id = 1", "1|1.50|1"),
    ("select 1::bigint, 1::int, null, null::int", "1|1||"),
    (
        "select interval '1-2', interval 'P1DT2H', '24:00:00'::interval, '-01:30'::interval",
        "1 year 2 mons|1 day 02:00:00|24:00:00|-01:30:00",
    ),
    (
        "select relname, oid::regclass::text from pg_class where relname = 'orders' and relkind = 'r' order by 1 limit 1",
        "orders|orders",
    ),
    ("select 'enhanced.orders'::regclass::text", "orders"),
    ("select cast('orders'::regclass as regclass)::oid = 'orders'::regclass::oid", "t"),
    ("select format('%s-%I-%L', 'a', 'b c', 'd''e')", "a-\"b c\"-'d''e'"),
    ("select variance(id), every(id > 0) from orders", "1|t"),
    ("select clock_timestamp() >= now(), localtimestamp is not null, current_role = current_user", "t|t|t"),
    ("prepare p as select count(*) from orders where id = any($1); execute p('{1,2}')", "2"),
    ("prepare p as select count(*) from orders where not (id = any($1)); execute p('{1,2}')", "1"),
    ("prepare p as select id from orders order by id limit $1 offset $2; execute p(1, 1)", "2"),
    ("prepare p as select left(customer, $1) from orders where id = 1; execute p(1)", "c"),
    ("prepare p as select id from orders where $1 and id = 2; execute p('t')", "2"),
    (
        "prepare p as select created_at + $1 * interval '1 day' from orders limit 1; execute p(2)",
        "2026-01-03 10:00:00+00",
    ),
    ("prepare p as select n from generate_series($1::int, $2::int) n; execute p(2, 3)", "2\n3"),
    ("prepare p as select coalesce($1, 0); execute p(5)", "5"),
];

#[test]
fn statements_mean_what_they_mean_to_postgresql() {
    let served = serve(orders(""));
    let mut wrong = String::new();
    for (statement, expected) in MEANT {
        let Some((out, err)) = psql(&served, "user=ana", &format!("{statement};\n")) else { return };
        let out = out.trim_end_matches('\n');
        if (out, err.as_str()) != (expected, "") {
            wrong += &format!("{statement}\n  answers {out:?} {err}  instead of {expected:?}\n");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// Recorded statements of Superset, psql, SQLAlchemy, pgJDBC and others, here and in PostgreSQL 15.
#[test]
fn recorded_statements_are_answered_as_by_postgresql() {
    let bin = Path::new("/usr/lib/postgresql/15/bin");
    if !bin.join("postgres").exists() {
        return skip("recorded statements of clients", "PostgreSQL 15 is not installed");
    }
    let Some(python) = drivers() else { return };
    let served = serve(orders(""));
    let Some(reference) = Reference::start(bin) else { return };
    let recorded = repository().join("tests/clients/recorded");
    let file = |name: &str| recorded.join(name).to_string_lossy().into_owned();
    let said = script(
        &python,
        "postgres_replay.py",
        &[
            format!("host=127.0.0.1 port={} user=ana dbname=laguna", served.port),
            format!("host={} port=5432 user=postgres dbname=postgres", reference.data.path().display()),
            file("superset.sql"),
            file("psql-sqlalchemy-jdbc.sql"),
            file("tools.sql"),
        ],
    );
    println!("{said}");
}

/// What is asked in several time zones, of times, numbers, texts, lists, documents and errors.
#[test]
fn statements_are_answered_as_by_postgresql() {
    let bin = Path::new("/usr/lib/postgresql/15/bin");
    if !bin.join("postgres").exists() {
        return skip("statements beside PostgreSQL", "PostgreSQL 15 is not installed");
    }
    let Some(python) = drivers() else { return };
    let Some(reference) = Reference::start(bin) else { return };
    let data = repository().join("examples/flights/data");
    let served = serve(flights(&data));
    let said = script(
        &python,
        "postgres_alike.py",
        &[
            format!("host=127.0.0.1 port={} user=ana dbname=laguna", served.port),
            format!("host={} port=5432 user=postgres dbname=postgres", reference.data.path().display()),
            repository().join("tests/clients/recorded/alike.sql").to_string_lossy().into_owned(),
            data.to_string_lossy().into_owned(),
        ],
    );
    println!("{said}");
}

/// The flights of a January, airlines and airports, and a few rows of many types.
fn flights(data: &Path) -> Project {
    let source = |file: &str| format!("source: {{files: \"{}\"}}\n", data.join(file).display());
    let project = Project::empty()
        .write("laguna.yml", "name: flights\nlake: ./lake\n")
        .write("raw/flights.yml", &source("flights/2013-01.csv.gz"))
        .write("raw/airlines.yml", &source("airlines.csv.gz"))
        .write("raw/airports.yml", &source("airports.csv.gz"))
        .write("sanitized/airlines.sql", "SELECT * FROM raw.airlines\n")
        .write("sanitized/airports.sql", "SELECT * FROM raw.airports\n")
        .write("sanitized/flights.sql", FLIGHTS)
        .write("sanitized/t.sql", ROWS);
    project.ok(&["run"]);
    project
}

const FLIGHTS: &str = "SELECT CAST(year AS INT) AS year, CAST(month AS INT) AS month, CAST(day AS INT) AS day,
  CAST(dep_time AS INT) AS dep_time, CAST(dep_delay AS INT) AS dep_delay, CAST(arr_delay AS INT) AS arr_delay, carrier,
  CAST(flight AS INT) AS flight, tailnum, origin, dest, CAST(air_time AS INT) AS air_time, distance, time_hour FROM raw.flights\n";

const ROWS: &str = r#"SELECT * FROM (VALUES
  (1, 'one', CAST(1.50 AS DECIMAL(10, 2)), CAST(0.1 AS DOUBLE), true, DATE '2013-01-31', TIMESTAMP '2013-01-31T10:20:30.123456',
    '{"a": 1, "b": [1, 2, {"c": "x"}], "s": "text"}', 'a,b,c'),
  (2, 'two', CAST(-2.25 AS DECIMAL(10, 2)), CAST(1e20 AS DOUBLE), false, DATE '2012-02-29', TIMESTAMP '2012-02-29T00:00:00',
    '{"a": null, "b": []}', 'x'),
  (3, 'Three', CAST(1234567.89 AS DECIMAL(10, 2)), CAST(-3.5 AS DOUBLE), NULL, DATE '1999-12-31', TIMESTAMP '1999-12-31T23:59:59.999',
    '[1, "zwei", true]', ''),
  (4, 'Ünï', CAST(0 AS DECIMAL(10, 2)), CAST(0 AS DOUBLE), true, NULL, NULL, '{"n": {"m": 2.50}}', 'a b  c'),
  (5, NULL, NULL, NULL, false, DATE '2013-07-04', TIMESTAMP '2013-07-04T12:00:00', NULL, NULL))
  AS t (id, name, price, x, flag, day, at, doc, list)
"#;

/// A PostgreSQL of its own, reached by a socket in its folder.
struct Reference {
    process: Child,
    data: tempfile::TempDir,
}

impl Drop for Reference {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-INT", &self.process.id().to_string()]).status();
        let _ = self.process.wait();
    }
}

impl Reference {
    fn start(bin: &Path) -> Option<Reference> {
        let data = tempfile::tempdir().unwrap();
        let is_root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
        // It refuses to run as root.
        let as_user = |program: &str| match is_root {
            true => {
                let mut command = Command::new("setpriv");
                command
                    .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
                    .arg(bin.join(program));
                command
            }
            false => Command::new(bin.join(program)),
        };
        if is_root {
            run(Command::new("chown").arg("postgres").arg(data.path())).unwrap();
        }
        let folder = data.path().join("data");
        let made = run(as_user("initdb")
            .current_dir("/")
            .args(["-U", "postgres", "--auth=trust", "-E", "UTF8", "--no-sync", "-D"])
            .arg(&folder));
        if let Err(why) = made {
            skip("recorded statements of clients", &why);
            return None;
        }
        let mut command = as_user("postgres");
        command.current_dir("/").arg("-D").arg(&folder).arg("-k").arg(data.path());
        command
            .args(["-c", "listen_addresses=", "-c", "fsync=off"])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let reference = Reference { process: command.spawn().unwrap(), data };
        let tables = "create schema enhanced; create schema sanitized; create table enhanced.orders (id bigint, customer text,
            amount numeric(12,2), qty int, created_at timestamptz, day date, ok bool, payload json, tags text[]);
            insert into enhanced.orders select i, case when i < 3 then 'c' || i end, i * 1.5, i, '2026-01-01', '2026-01-01',
            i > 1, '{\"a\":1}', array['a'] from generate_series(1, 3) i;
            create view enhanced.v_orders as select id, amount from enhanced.orders;";
        for _ in 0..200 {
            let mut psql = Command::new("psql");
            psql.args(["-X", "-q", "-U", "postgres", "-h"])
                .arg(reference.data.path())
                .args(["-c", tables, "postgres"]);
            if run(&mut psql).is_ok() {
                return Some(reference);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("PostgreSQL does not become ready");
    }
}
