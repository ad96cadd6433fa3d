//! Whole projects, right and wrong, loaded from memory and from disk.

use super::*;

fn load(files: &[(&str, &str)]) -> Result<Project> {
    let mut all = BTreeMap::from([(PROJECT_FILE.to_string(), b"name: t".to_vec())]);
    all.extend(files.iter().map(|(file, text)| (file.to_string(), text.as_bytes().to_vec())));
    let options = LoadOptions {
        env: Arc::new(|name| (name == "SECRET").then(|| "geheim".to_string())),
        ..LoadOptions::default()
    };
    Project::load_files(Path::new("/project"), all, &options)
}

fn name(text: &str) -> TableName {
    text.parse().unwrap()
}

/// Every error as `place: message; hint`.
fn errors(files: &[(&str, &str)]) -> Vec<String> {
    let error = load(files).unwrap_err();
    std::iter::once(&error)
        .chain(error.others())
        .map(|error| format!("{error}; {}", error.hint_text().unwrap_or_default()))
        .collect()
}

const RAW: (&str, &str) = ("raw/flights.yml", "source: {files: a.csv}");

fn error_of(model: &str) -> String {
    let found = errors(&[RAW, ("sanitized/planes.sql", "SELECT 1 AS x"), ("enhanced/delays.sql", model)]);
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].clone()
}

#[test]
fn the_smallest_project_has_defaults() {
    let project =
        load(&[RAW, ("sanitized/flights.sql", "\u{feff}SELECT *\r\nFROM raw.flights;\r\n")]).unwrap();
    assert_eq!((project.name.as_str(), project.lake.as_str()), ("t", "/project/lake"));
    assert!(project.parallel >= 1 && project.timezone == Tz::UTC);
    let model = &project.models[&name("sanitized.flights")];
    assert_eq!(model.inputs, BTreeSet::from([name("raw.flights")]));
    assert_eq!((model.on_fail(), model.is_view()), (OnFail::Warn, false));
    assert_eq!(project.graph.order(), [name("raw.flights"), name("sanitized.flights")]);
    assert!(project.warnings.is_empty(), "{:?}", project.warnings);
}

#[test]
fn a_wrong_table_says_where_it_is_and_what_was_meant() {
    for (model, expected) in [
        (
            "SELECT *\nFROM raw.flihgts",
            "enhanced/delays.sql:2:6: there is no dataset `raw.flihgts`; did you mean `raw.flights`?",
        ),
        ("SELECT * FROM planes", "enhanced/delays.sql:1:15: `planes` lacks its tier; write sanitized.planes"),
        (
            "SELECT * FROM plane",
            "enhanced/delays.sql:1:15: `plane` lacks its tier; write tier.table; did you mean `sanitized.planes`?",
        ),
        (
            "SELECT * FROM enhanced.planes",
            "enhanced/delays.sql:1:15: there is no model `enhanced.planes`; did you mean `sanitized.planes`?",
        ),
        (
            "SELECT * FROM sanitised.planes",
            "enhanced/delays.sql:1:15: `sanitised` is not a tier; did you mean `sanitized.planes`?",
        ),
        (
            "SELECT * FROM lake.sanitized.planes",
            "enhanced/delays.sql:1:15: `lake.sanitized.planes` has too many parts; write sanitized.planes",
        ),
        (
            "SELECT * FROM raw.\"Flights\"",
            "enhanced/delays.sql:1:15: there is no table `raw.Flights`; did you mean `raw.flights`?",
        ),
        (
            "SELECT * FROM latest.flights",
            "enhanced/delays.sql:1:15: latest.flights needs to know which rows are the same thing; name the key in raw/flights.yml: key: [id]; or read raw.flights",
        ),
        (
            "SELECT * FROM enhanced.delays",
            "enhanced/delays.sql:1:15: enhanced.delays reads itself; an incremental model needs no such read: with watermark and lookback only new rows are computed",
        ),
        (
            "SELECT * FROM quarantine.raw_flight",
            "enhanced/delays.sql:1:15: there is no table `quarantine.raw_flight`; did you mean `quarantine.raw_flights`?",
        ),
        (
            "SELECT * FROM information_schema.tables",
            "enhanced/delays.sql:1:15: a model cannot read `information_schema.tables`; the catalog is not data of the lake; `laguna query` can read it",
        ),
    ] {
        assert_eq!(error_of(model), expected);
    }
}

#[test]
fn a_pinned_table_is_still_a_dependency() {
    let sql = "SELECT * FROM raw.flights FOR VERSION AS OF 3 JOIN sanitized.planes USING (x)";
    let project = load(&[RAW, ("sanitized/planes.sql", "SELECT 1 AS x"), ("enhanced/d.sql", sql)]).unwrap();
    let model = &project.models[&name("enhanced.d")];
    assert_eq!(model.inputs, BTreeSet::from([name("raw.flights"), name("sanitized.planes")]));
    assert_eq!(model.sql, sql);
}

#[test]
fn sql_that_is_no_model_says_where() {
    for (model, expected) in [
        ("SELECT a,\n  FORM raw.flights WHERE", "enhanced/delays.sql:2:"),
        ("", "enhanced/delays.sql: the file holds no statement"),
        ("-- only words", "enhanced/delays.sql: the file holds no statement"),
        ("SELECT 1;\nSELECT 2", "enhanced/delays.sql:1:1: the file holds 2 statements"),
        ("\nCOPY x TO 'y'", "enhanced/delays.sql:2:1: a model is a SELECT, not COPY"),
        ("SELECT 1\n{% if %}", "enhanced/delays.sql:2: template: "),
        (
            "{% set a = 1 %}\nSELECT {{ a }}\nFROM raw.x",
            "enhanced/delays.sql:3:6: there is no dataset `raw.x`",
        ),
        ("SELECT {{ env('SECRET') }} {{ env('SECRET') }} oops oops", "enhanced/delays.sql:1:"),
    ] {
        let found = error_of(model);
        assert!(found.starts_with(expected), "{model}: {found}");
        assert!(!found.contains("geheim"), "{found}");
    }
}

#[test]
fn all_problems_are_reported_together() {
    let found = errors(&[
        ("raw/a.yml", "surce: {files: a.csv}"),
        ("raw/b.yml", "source: {files: b.csv}\nmode: upsert"),
        ("raw/c.yml", ""),
        ("raw/Dee.yml", "source: {files: b.csv}"),
        ("sanitized/a.sql", "SELECT * FROM raw.a, raw.bb"),
        ("sanitized/lonely.yml", "owner: me"),
        ("sanitized/deep/x.sql", "SELECT 1"),
        ("sanitized/p.py", "def model(lake): ..."),
        ("sanitized/up.sql", "SELECT * FROM enhanced.d"),
        ("enhanced/d.sql", "SELECT 1"),
        ("enhanced/d.yml", "materialise: view"),
        ("enhanced/d.yaml", ""),
        ("enhanced/e.sql", "SELECT 1"),
        ("enhanced/e.yml", "materialize: {incremental: {key: []}}\nsort: [a, a]"),
    ]);
    let expected = [
        "enhanced/d.yml: enhanced/d.yaml and enhanced/d.yml are about the same table; keep one of them",
        "raw/Dee.yml: `Dee` cannot be the name of a table; use lower-case letters",
        "sanitized/deep/x.sql: a file in a folder below sanitized/ has no name in SQL; the path is the name: move it to sanitized/x.sql",
        "sanitized/p.py: Python models are not available in this version",
        "raw/a.yml:1:1: unknown key `surce`; did you mean `source`?",
        "raw/b.yml:2:1: mode `upsert` needs a key",
        "raw/c.yml: the dataset does not say where its rows come from",
        "sanitized/lonely.yml: there is no sanitized/lonely.sql beside these settings",
        "enhanced/d.yml:1:1: unknown key `materialise`; did you mean `materialize`?",
        "enhanced/e.yml:1:15: an incremental model needs a key",
        "enhanced/e.yml:2:1: `a` stands twice in `sort`",
        "sanitized/a.sql:1:22: there is no dataset `raw.bb`; did you mean `raw.b`?",
        "sanitized/up.sql:1:15: a sanitized model cannot read enhanced.d",
    ];
    for line in expected {
        assert!(found.iter().any(|error| error.starts_with(line)), "{line}\nnot in {found:#?}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn circles_show_their_way() {
    let found = errors(&[
        ("enhanced/a.sql", "SELECT 1\nFROM enhanced.c"),
        ("enhanced/b.sql", "SELECT * FROM enhanced.a"),
        ("enhanced/c.sql", "SELECT * FROM enhanced.b"),
    ]);
    assert_eq!(
        found,
        [
            "enhanced/a.sql:2:6: models depend on each other in a circle: enhanced.a -> enhanced.b -> enhanced.c -> enhanced.a; \
          take one of these reads away: enhanced/a.sql, enhanced/b.sql, enhanced/c.sql"
        ]
    );
}

#[test]
fn checks_add_to_the_order_and_name_their_tables() {
    let files = [
        RAW,
        ("sanitized/flights.sql", "SELECT * FROM raw.flights"),
        (
            "sanitized/flights.yml",
            "checks:\n- foreign_key: {column: c, to: sanitized.planes, field: c}\n- {sql: \"SELECT * FROM this WHERE x > (SELECT max(x) FROM {{ ref('delays') }})\"}",
        ),
        ("sanitized/planes.sql", "SELECT 1 AS c"),
        ("enhanced/delays.sql", "SELECT * FROM sanitized.flights"),
    ];
    let project = load(&files).unwrap();
    let model = &project.models[&name("sanitized.flights")];
    assert_eq!(model.check_inputs, BTreeSet::from([name("sanitized.planes"), name("enhanced.delays")]));
    assert_eq!(
        project.graph.waits_for(&model.name),
        &BTreeSet::from([name("raw.flights"), name("sanitized.planes")])
    );
    assert_eq!(project.graph.upstream(&model.name), &BTreeSet::from([name("raw.flights")]));
    assert!(
        project.warnings[0].message().contains("which depends on sanitized.flights"),
        "{:?}",
        project.warnings
    );

    let mut wrong = files;
    wrong[2].1 = "checks:\n- foreign_key: {column: c, to: sanitized.plane, field: c}";
    assert_eq!(
        errors(&wrong),
        ["sanitized/flights.yml:2:3: there is no model `sanitized.plane`; did you mean `sanitized.planes`?"]
    );
}

#[test]
fn settings_of_the_project_are_checked() {
    let project = |text: &str| {
        let files = BTreeMap::from([(PROJECT_FILE.to_string(), text.as_bytes().to_vec())]);
        let options = LoadOptions {
            vars: BTreeMap::from([("v".to_string(), serde_json::json!("won"))]),
            env: Arc::new(|name| (name == "BUCKET").then(|| "b".to_string())),
        };
        Project::load_files(Path::new("/p/x"), files, &options)
    };
    let good = project("lake: \"file:///{{ env('BUCKET') }}/{{ var('v') }}/\"\nvars: {v: lost}\ntimezone: Europe/Amsterdam\nparallel: 3").unwrap();
    assert_eq!((good.lake.as_str(), good.parallel, good.name.as_str()), ("file:///b/won", 3, "x"));
    assert_eq!(project("lake: ../lake").unwrap().lake, "/p/lake");
    assert_eq!(project("").unwrap().lake, "/p/x/lake");
    for (text, expected) in [
        ("a: 1", "laguna.yml:1:1: unknown key `a`"),
        (
            "name: a\ntimezone: Amsterdam",
            "laguna.yml:2:1: `Amsterdam` is not a time zone; did you mean `Europe/Amsterdam`?",
        ),
        (
            "timezone: Europe/Amstredam",
            "laguna.yml:1:1: `Europe/Amstredam` is not a time zone; did you mean `Europe/Amsterdam`?",
        ),
        ("retries: {backoff: soon}", "laguna.yml:1:11: `soon` is not a duration"),
        ("parallel: 0", "laguna.yml:1:1: `parallel` must be at least 1"),
        ("lake: .", "laguna.yml:1:1: the lake would lie among the project's own files"),
        ("lake: raw/lake", "laguna.yml:1:1: the lake would lie among the project's own files"),
        (
            "lake: \"{{ env('NOT_SET') }}\"",
            "laguna.yml:1:1: template: the environment variable `NOT_SET` is not set",
        ),
        (
            "storage: {key: \"{{ env('NOT_SET') }}\"}",
            "laguna.yml:1:11: template: the environment variable `NOT_SET` is not set",
        ),
    ] {
        let error = project(text).unwrap_err();
        let shown = format!("{error}; {}", error.hint_text().unwrap_or_default());
        assert!(shown.starts_with(expected), "{text}: {shown}");
    }
    let warned = project("python: python3").unwrap();
    assert_eq!(warned.warnings[0].to_string(), "laguna.yml:1:1: `python` has no effect in this version");
}

#[test]
fn the_code_leaves_out_lake_data_and_hidden_files() {
    let folder = tempfile::tempdir().unwrap();
    let put = |path: &str, text: &str| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    put("laguna.yml", "name: t");
    put("raw/a.yml", "source: {files: [\"data/*.json\", \"loose.json\"]}");
    put("sanitized/a.sql", "SELECT * FROM raw.a");
    put("macros/sub/m.sql", "{% macro m() %}1{% endmacro %}");
    put("checks/a.json", "{}");
    put("README.md", "hello");
    for left_out in [
        "data/x.json",
        "loose.json",
        "lake/_laguna/format.json",
        ".git/x.json",
        ".env.yml",
        "big.csv",
        "node_modules/a.json",
        "other/laguna.yml",
        "other/raw/b.yml",
    ] {
        put(left_out, "{}");
    }
    let options = LoadOptions::default();
    let project = Project::load(&folder.path().join("sanitized/.."), &options).unwrap();
    let files: Vec<&String> = project.code.files().keys().collect();
    assert_eq!(
        files,
        ["README.md", "checks/a.json", "laguna.yml", "macros/sub/m.sql", "raw/a.yml", "sanitized/a.sql"]
    );
    assert_eq!(Project::find(&folder.path().join("sanitized")).unwrap(), project.dir);

    // What is stored loads to the same project, and its hash is the same.
    let again = Project::load_files(&project.dir, project.code.files().clone(), &options).unwrap();
    assert_eq!(again.code.hash(), project.code.hash());
    assert_eq!(again.models[&name("sanitized.a")].sql, project.models[&name("sanitized.a")].sql);
    put("macros/sub/m.sql", "{% macro m() %}2{% endmacro %}");
    assert_ne!(Project::load(folder.path(), &options).unwrap().code.hash(), project.code.hash());
}

#[test]
fn a_folder_without_a_project_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let error = Project::find(folder.path()).unwrap_err();
    assert!(error.message().contains("no laguna.yml") && error.hint_text().unwrap().contains("laguna init"));
    std::fs::write(folder.path().join("laguna.yaml"), "").unwrap();
    assert!(
        Project::load(folder.path(), &LoadOptions::default()).unwrap_err().message().contains("laguna.yml")
    );
}

#[test]
fn a_thousand_models_load_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("laguna.yml"), "vars: {limit: 5}").unwrap();
    for tier in ["raw", "sanitized", "enhanced"] {
        std::fs::create_dir(folder.path().join(tier)).unwrap();
    }
    std::fs::write(folder.path().join("raw/source.yml"), "source: {files: a.csv}").unwrap();
    for layer in 0..20 {
        for index in 0..50 {
            let from = match layer {
                0 => "raw.source".to_string(),
                _ => format!(
                    "sanitized.m_{}_{index} AS a JOIN sanitized.m_{}_{} AS b USING (id)",
                    layer - 1,
                    layer - 1,
                    (index + 1) % 50
                ),
            };
            let limit = if index % 2 == 0 { "{{ var('limit') }}" } else { "5" };
            let sql = format!(
                "WITH x AS (SELECT id, sum(value) AS value FROM {from} GROUP BY id)\nSELECT * FROM x WHERE value > {limit}"
            );
            let path = folder.path().join(format!("sanitized/m_{layer}_{index}"));
            std::fs::write(path.with_extension("sql"), sql).unwrap();
            std::fs::write(
                path.with_extension("yml"),
                "description: One of many.\nchecks:\n- unique: [id]\n- not_null: id\n",
            )
            .unwrap();
        }
    }
    let project = Project::load(folder.path(), &LoadOptions::default()).unwrap();
    assert_eq!(project.models.len(), 1000);
    assert_eq!(project.graph.layers().len(), 21);
    assert_eq!(
        project.graph.upstream(&name("sanitized.m_7_49")),
        &BTreeSet::from([name("sanitized.m_6_49"), name("sanitized.m_6_0")])
    );
    let even = &project.models[&name("sanitized.m_3_2")];
    assert!(even.sql.ends_with("value > 5"), "{}", even.sql);
}
