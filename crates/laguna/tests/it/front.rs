//! The front door: commands, output for programs, wrong projects.

use crate::kit::Project;

#[test]
fn the_flights_example_runs_and_then_does_nothing() {
    let flights = Project::copy_of("examples/flights");
    flights.ok(&["run", "--quiet"]);
    check_flights(&flights);
}

/// What is known of the example's tables; a second run must have nothing to do.
pub fn check_flights(flights: &Project) {
    let known = [
        ("SELECT count(*) AS n FROM raw.flights", 336_776),
        ("SELECT sum(arrival_delay)::bigint AS n FROM sanitized.flights", 2_257_174),
        ("SELECT count(*) AS n FROM enhanced.carrier_daily", 5_432),
        ("SELECT count(*) AS n FROM enhanced.route_daily", 63_832),
        ("SELECT sum(seats)::bigint AS n FROM enhanced.flight_delays", 38_851_317),
        ("SELECT count(*) AS n FROM enhanced.weather_impact", 15),
    ];
    for (sql, expected) in known {
        assert_eq!(flights.rows(sql)[0]["n"], expected, "{sql}");
    }
    let again = flights.laguna(&["run", "--json"]);
    let done = again.json_lines().pop().unwrap();
    assert_eq!((again.code, &done["event"]), (0, &"done".into()));
    assert_eq!((&done["built"], &done["failed"]), (&0.into(), &0.into()));
    assert!(done["release"].is_null(), "{done}");
}

/// A project with one small dataset and one model.
fn small() -> Project {
    Project::empty()
        .write("data/a.csv", "id,name,day\n1,x,2026-01-01\n2,y,2026-01-02\n")
        .write("raw/a.yml", "source: {files: \"data/*.csv\"}\nkey: [id]\n")
        .write("sanitized/a.sql", "SELECT id, name, day FROM raw.a\n")
}

#[test]
fn every_command_explains_itself_with_examples() {
    let project = Project::empty();
    let commands = ["init", "run", "query", "history", "diff", "rollback", "validate", "completions"];
    for command in commands {
        let help = project.ok(&[command, "--help"]);
        assert!(help.contains("Examples:\n  laguna "), "{command}: {help}");
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(project.ok(&["completions", shell]).contains("laguna"));
    }
}

#[test]
fn the_template_is_a_valid_project_also_beside_git_and_in_a_strange_path() {
    let folder = Project { dir: tempfile::tempdir().unwrap() };
    std::fs::create_dir_all(folder.path().join("my läke/.git")).unwrap();
    let said = folder.laguna(&["init", "my läke"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stderr.contains("cd 'my läke'"), "{}", said.stderr);
    folder.ok(&["--project", "my läke", "validate"]);
    folder.ok(&["--project", "my läke", "run", "--quiet"]);
    let rows =
        folder.ok(&["--project", "my läke", "query", "-o", "csv", "SELECT count(*) FROM sanitized.orders"]);
    assert_eq!(rows, "count(*)\n150\n");
    assert!(folder.fails(2, &["init", "my läke"]).contains("is not empty"));
}

#[test]
fn programs_get_lines_of_json_that_end_with_the_outcome() {
    let project = small();
    let cases: [&[&str]; 9] = [
        &["validate", "--json"],
        &["run", "--dry-run", "--json"],
        &["run", "--json"],
        &["run", "--json"],
        &["query", "--json", "SELECT * FROM sanitized.a"],
        &["history", "--json"],
        &["run", "--full", "--json"],
        &["diff", "--json"],
        &["rollback", "--to", "1", "--json"],
    ];
    for args in cases {
        let output = project.laguna(args);
        let last = output.json_lines().pop().unwrap_or_default();
        assert_eq!((output.code, &last["event"]), (0, &"done".into()), "{args:?} {output:?}");
    }
    let failures: [(&[&str], i32); 6] = [
        (&["query", "--json", "SELEC 1"], 2),
        (&["query", "--json", "SELECT 1 / (id - 1) FROM raw.a"], 1),
        (&["rollback", "--to", "99", "--json"], 2),
        (&["run", "--as-of", "2001-01-01", "--json"], 2),
        (&["bogus", "--json"], 2),
        (&["run", "--bogus", "--json"], 2),
    ];
    for (args, code) in failures {
        let output = project.laguna(args);
        let last = output.json_lines().pop().unwrap_or_default();
        assert_eq!((output.code, &last["event"]), (code, &"error".into()), "{args:?} {output:?}");
        assert_eq!(last["exit_code"], code);
    }
}

#[test]
fn results_keep_their_digits() {
    let project = small();
    let sql = "SELECT 9007199254740993 AS big, '12345678901234567890.123456789'::decimal(38, 9) AS exact, \
               '2026-03-04T05:06:07.5Z'::timestamptz AS at, arrow_cast('hé', 'Binary') AS bytes, NULL AS nothing";
    assert_eq!(
        project.ok(&["query", "-o", "ndjson", sql]),
        "{\"big\":9007199254740993,\"exact\":12345678901234567890.123456789,\"at\":\"2026-03-04T05:06:07.500Z\",\
         \"bytes\":\"aMOp\",\"nothing\":null}\n"
    );
    let none = "SELECT 1 AS a WHERE false";
    for (format, expected) in [("csv", "a\n"), ("json", "[]\n"), ("ndjson", "")] {
        assert_eq!(project.ok(&["query", "-o", format, none]), expected);
    }
    assert!(project.ok(&["query", none]).ends_with("0 rows\n"));
    for format in ["parquet", "arrow"] {
        let mut command = project.command(&["query", "-o", format, none]);
        assert!(command.output().unwrap().stdout.len() > 50, "{format}");
    }
}

#[test]
fn a_script_runs_statement_by_statement_and_errors_name_its_lines() {
    let project = small();
    let script = "SELECT 1 AS a; -- one\n\n  SELECT 2 AS b;\nSELECT\n  nope\nFROM raw.a;";
    project.ok(&["run", "--quiet"]);
    let output = project.laguna_with(&["query", "-o", "csv", "-f", "-"], script);
    assert_eq!((output.code, output.stdout.as_str()), (2, "a\n1\nb\n2\n"));
    assert!(output.stderr.contains("-:5:3: there is no column `nope`"), "{}", output.stderr);
    project.put("s.sql", b"SELECT 1;  SELEC 2");
    assert!(project.fails(2, &["query", "-f", "s.sql"]).contains("s.sql:1:12: expected"));
}

#[test]
fn the_shell_reads_a_pipe_goes_on_after_errors_and_tells_of_them() {
    let project = small();
    project.ok(&["run", "--quiet"]);
    let input = "\\d\nSELECT 1\n  AS one;\nSELECT nope;\nSELECT 2 AS two; SELECT 3 AS three;\n\\d raw.a\n\\q\nSELECT 4711;";
    let output = project.laguna_with(&["query", "-o", "csv"], input);
    assert_eq!(output.code, 2, "{output:?}");
    for expected in ["raw.a\n", "one\n1\n", "two\n2\n", "three\n3\n", "_ingested_at,"] {
        assert!(output.stdout.contains(expected), "{expected}: {}", output.stdout);
    }
    assert!(!output.stdout.contains("4711"));
    assert!(output.stderr.contains("there is no column `nope`"));
    assert!(!project.path().join(".laguna_history").exists(), "a pipe leaves no history");
}

#[test]
fn no_statement_writes_or_reaches_outside_the_lake() {
    let project = small();
    project.ok(&["run", "--quiet"]);
    project.put("secret.csv", b"a\nhidden\n");
    let secret = project.path().join("secret.csv").display().to_string();
    let stolen = project.path().join("stolen.csv").display().to_string();
    let statements = [
        format!("SELECT * FROM '{secret}'"),
        format!("SELECT * FROM \"{secret}\""),
        format!("SELECT * FROM read_csv('{secret}')"),
        format!("SELECT * FROM parquet_metadata('{secret}')"),
        format!("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '{secret}'"),
        format!("COPY (SELECT 1) TO '{stolen}'"),
        format!("EXPLAIN ANALYZE COPY (SELECT 1) TO '{stolen}'"),
        format!("SELECT pg_read_file('{secret}')"),
        "CREATE TABLE t AS SELECT 1".into(),
        "CREATE VIEW v AS SELECT 1".into(),
        "INSERT INTO sanitized.a SELECT * FROM sanitized.a".into(),
        "EXPLAIN ANALYZE INSERT INTO sanitized.a SELECT * FROM sanitized.a".into(),
        "WITH x AS (DELETE FROM sanitized.a RETURNING *) SELECT * FROM x".into(),
        "DELETE FROM sanitized.a".into(),
        "UPDATE sanitized.a SET id = 1".into(),
        "DROP TABLE sanitized.a".into(),
        "SELECT * INTO x FROM sanitized.a".into(),
        "SET datafusion.execution.batch_size = 1".into(),
        "PREPARE p AS SELECT 1".into(),
    ];
    for sql in statements {
        let said = project.fails(2, &["query", &sql]);
        assert!(!said.contains("hidden"), "{sql}: {said}");
    }
    assert!(!std::path::Path::new(&stolen).exists());
    assert_eq!(project.rows("SELECT count(*) AS n FROM sanitized.a")[0]["n"], 2);
}

#[test]
fn series_stand_where_tables_do() {
    let project = small().write("sanitized/days.sql", "SELECT value AS n FROM generate_series(1, 10)\n");
    project.ok(&["run", "--quiet"]);
    assert_eq!(project.rows("SELECT sum(n)::bigint AS n FROM sanitized.days")[0]["n"], 55);
    assert_eq!(project.rows("SELECT count(*) AS n FROM generate_series(1, 1000000)")[0]["n"], 1_000_000);
}

#[test]
fn wrong_settings_are_found_by_validate_at_their_place() {
    let dataset = |text: &str| small().write("raw/a.yml", text);
    let beside = |text: &str| small().write("sanitized/a.yml", text);
    let model = |text: &str| small().write("sanitized/b.sql", text);
    let files = "source: {files: \"data/*.csv\"";
    let cases = [
        (small().write("laguna.yml", "nmae: x\n"), "laguna.yml:1:1: unknown key `nmae`"),
        (small().write("laguna.yml", "retries:\n  atempts: 3\n"), "laguna.yml:2:3: unknown key `atempts`"),
        (small().write("laguna.yml", "name: a\nname: b\n"), "laguna.yml:2:1: the key `name` stands twice"),
        (small().write("laguna.yml", "retries:\n\tattempts: 3\n"), "laguna.yml:2:2: tabs"),
        (small().write("laguna.yml", "timezone: Europe/Amsterdan\n"), "did you mean `Europe/Amsterdam`?"),
        (
            small().write("laguna.yml", "name: x\nlake: ftp://bucket/x\n"),
            "laguna.yml:2:1: lakes on ftp:// are not known",
        ),
        (dataset(&format!("{files}, csv: {{delimeter: \";\"}}}}\n")), "unknown key `delimeter`"),
        (
            dataset(&format!("{files},\n csv: {{delimiter: \";;\"}}}}\n")),
            "raw/a.yml:2:8: `csv.delimiter` must be",
        ),
        (
            dataset(&format!("{files},\n csv: {{encoding: klingon}}}}\n")),
            "raw/a.yml:2:8: `klingon` is not an encoding",
        ),
        (
            dataset(&format!("{files},\n timezone: Mars/Base}}\n")),
            "raw/a.yml:2:2: `Mars/Base` is not a time zone",
        ),
        (dataset(&format!("{files}}}\ncolumns:\n  id: bigintt\n")), "raw/a.yml:3:3: `bigintt` is not a type"),
        (dataset(&format!("{files}}}\nmode: upsert\n")), "raw/a.yml:2:1: mode `upsert` needs a key"),
        (dataset("source: {postgres: {url: x}}\n"), "raw/a.yml:1:10: sources other than files"),
        (beside("checks:\n  - uniqe: id\n"), "sanitized/a.yml:2:5: there is no check `uniqe`"),
        (beside("checks:\n  - between: {column: id, minimum: 1}\n"), "`between` has no argument `minimum`"),
        (
            beside("checks:\n  - sql: SELEC 1\n"),
            "sanitized/a.yml:2:5: the SQL of the check cannot be parsed: ",
        ),
        (beside("materialize: incremental\n"), "an incremental model names its key"),
        (
            model("SELECT {{ var('x') }} FROM raw.a"),
            "sanitized/b.sql:1: template: the variable `x` is not set",
        ),
        (model("SELECT *\nFROM raw.aa"), "sanitized/b.sql:2:6: there is no dataset `raw.aa`"),
        (model("SELECT *\nFROM a"), "sanitized/b.sql:2:6: `a` lacks its tier"),
        (model("SELECT id,\n  a b c\nFROM raw.a"), "sanitized/b.sql:2:7: syntax error"),
        (model("INSERT INTO x SELECT 1"), "a model is a SELECT, not INSERT"),
        (model("SELECT 1; SELECT 2"), "the file holds 2 statements"),
        (model("SELECT * FROM read_csv('x')"), "sanitized/b.sql:1:15: there is no table function `read_csv`"),
        (model("SELECT * FROM sanitized.b"), "sanitized.b reads itself"),
        (
            model("SELECT * FROM enhanced.c").write("enhanced/c.sql", "SELECT 1 AS a"),
            "cannot read enhanced.c",
        ),
        (
            model("SELECT * FROM sanitized.c").write("sanitized/c.sql", "SELECT * FROM sanitized.b"),
            "in a circle: sanitized.b -> sanitized.c -> sanitized.b",
        ),
    ];
    for (project, expected) in cases {
        let said = project.fails(2, &["validate"]);
        assert!(said.contains(expected), "expected {expected}\n{said}");
        assert!(!project.path().join("lake").exists(), "validating writes nothing");
    }
}

#[test]
fn all_problems_are_reported_at_once() {
    let project = small()
        .write("raw/b.yml", "source: {files: x.csv}\nmod: append\n")
        .write("sanitized/b.sql", "SELECT * FROM raw.nope, raw.neither")
        .write("sanitized/c.sql", "")
        .write("enhanced/d.sql", "SELECT a b c");
    let said = project.fails(2, &["run"]);
    for expected in ["raw/b.yml:2:1", "`raw.nope`", "`raw.neither`", "sanitized/c.sql", "enhanced/d.sql:1:12"]
    {
        assert!(said.contains(expected), "{expected}\n{said}");
    }
}

#[test]
fn errors_of_a_run_stand_at_the_files_of_the_project() {
    let project = small()
        .write("sanitized/b.sql", "{% set n = 1 %}\nSELECT id,\n  bb\nFROM raw.a")
        .write("sanitized/c.sql", "SELECT id FROM raw.a")
        .write("sanitized/c.yml", "sort: [zz]\n")
        .write("sanitized/d.sql", "SELECT id FROM raw.a")
        .write("sanitized/d.yml", "checks:\n  - unique: idd\n  - not_null: nam\n");
    let output = project.laguna(&["run", "--json"]);
    assert_eq!(output.code, 2);
    let reason = |node: &str| {
        let lines = output.json_lines();
        let task = lines.iter().find(|line| line["node"] == node && line["outcome"] == "failed").cloned();
        task.unwrap_or_else(|| panic!("{node}: {output:?}"))["reason"]
            .as_str()
            .unwrap_or_default()
            .to_string()
    };
    assert!(reason("sanitized.b").starts_with("sanitized/b.sql:3:3: there is no column `bb`"));
    assert!(
        reason("sanitized.c").starts_with("sanitized/c.yml: sort column `zz` is not"),
        "{}",
        reason("sanitized.c")
    );
    let checks = reason("sanitized.d");
    assert!(checks.contains("d.yml:2:5") && checks.contains("d.yml:3:5"), "{checks}");
}

#[test]
fn a_project_is_found_upwards_or_named_by_its_folder() {
    let project = small();
    project.ok(&["run", "--quiet"]);
    let mut below = project.command(&["query", "-o", "csv", "SELECT count(*) AS n FROM raw.a"]);
    let output = below.current_dir(project.path().join("data")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "n\n2\n");
    for (given, expected) in [
        ("laguna.yml", "is a file"),
        ("nowhere", "there is no folder nowhere"),
        ("data", "holds no laguna.yml"),
    ] {
        let said = project.fails(2, &["--project", given, "run"]);
        assert!(said.contains(expected), "{given}: {said}");
    }
}

#[test]
fn a_query_needs_nothing_of_the_project_but_its_settings() {
    let project = small();
    project.ok(&["run", "--quiet"]);
    project.put("sanitized/broken.sql", b"SELEC");
    project.put("raw/broken.yml", b"nonsense: [");
    assert_eq!(project.rows("SELECT count(*) AS n FROM sanitized.a")[0]["n"], 2);
}

#[test]
fn secrets_are_neither_printed_nor_stored() {
    let project = small()
        .write("laguna.yml", "name: x\nstorage: {key: \"{{ env('THE_SECRET') }}\"}\n")
        .write("sanitized/b.sql", "SELECT id, '{{ env('THE_SECRET') }}' AS s, nope FROM raw.a")
        .write("sanitized/c.sql", "SELECT id FROM raw.a WHERE {{ env('THE_SECRET') }} = = 1");
    let secret = "hunter2xyz";
    let run = |args: &[&str]| {
        let output = project.command(args).env("THE_SECRET", secret).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    };
    let said = run(&["run", "-vv"]);
    assert!(said.contains("sanitized/c.sql") && !said.contains(secret), "{said}");
    std::fs::remove_file(project.path().join("sanitized/c.sql")).unwrap();
    let said = run(&["run", "--json"]);
    assert!(said.contains("sanitized/b.sql") && !said.contains(secret), "{said}");
    project.put("sanitized/b.sql", b"SELECT id, length('{{ env('THE_SECRET') }}') AS n FROM raw.a");
    assert!(run(&["run", "--json"]).contains("\"release\":"));
    let mut folders = vec![project.path().join("lake/_laguna")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = std::fs::read(&path).unwrap();
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{} holds the secret", path.display());
        }
    }
}

#[test]
fn a_closed_pipe_is_success() {
    let project = small();
    for format in ["csv", "json", "ndjson", "parquet", "arrow", "table"] {
        let sql = "SELECT * FROM generate_series(1, 300000)";
        let mut child = project
            .command(&["query", "-o", format, sql])
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{format}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stderr.is_empty(), "{format}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
