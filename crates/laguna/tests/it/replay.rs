//! `laguna replay`: rows that were set aside land again after something was mended, exactly once.

use serde_json::{Value, json};

use crate::kit::Project;

/// Four rows, of which one has a word where a number should be, and one a field too many.
fn project() -> Project {
    Project::empty()
        .write("raw/x.yml", "source: {files: \"data/*.csv\"}\nkey: id\ncolumns: {v: bigint}\n")
        .write("data/1.csv", "id,v,c\n1,10,a\n2,n/a,\"b, c\"\n3,30,c,9\n4,40,\n")
        .write("sanitized/x.sql", "SELECT id, v, c FROM raw.x\n")
        .write("sanitized/latest.sql", "SELECT id, v FROM latest.x\n")
}

/// From now on the word means null.
const MENDED: &[u8] =
    b"source: {files: \"data/*.csv\", csv: {nulls: [NA, n/a]}}\nkey: id\ncolumns: {v: bigint}\n";

fn landed(project: &Project) -> Vec<Value> {
    project.rows("SELECT id, v, c, _source['file'] AS f, _source['row'] AS r FROM raw.x ORDER BY id")
}

fn aside(project: &Project) -> Vec<i64> {
    let rows = project.rows("SELECT _source['row'] AS r FROM quarantine.raw_x ORDER BY r");
    rows.iter().map(|row| row["r"].as_i64().unwrap()).collect()
}

/// What a replay says of the dataset.
#[track_caller]
fn replay(project: &Project, args: &[&str]) -> Option<(u64, u64)> {
    let output = project.laguna(&[&["replay", "--json"], args].concat());
    assert_eq!(output.code, 0, "{}\n{}", output.stdout, output.stderr);
    let lines = output.json_lines();
    let one = lines.iter().find(|line| line["event"] == "replayed")?;
    Some((one["landed"].as_u64().unwrap(), one["left"].as_u64().unwrap()))
}

#[test]
fn rows_land_once_after_the_settings_were_mended() {
    let project = project();
    project.ok(&["run"]);
    assert_eq!(aside(&project), [2, 3]);
    assert_eq!(replay(&project, &[]), Some((0, 2)), "nothing was mended yet");
    project.put("raw/x.yml", MENDED);
    assert_eq!(replay(&project, &["--dry-run"]), Some((1, 1)));
    assert_eq!(aside(&project), [2, 3], "a dry run changes nothing");
    assert_eq!(replay(&project, &[]), Some((1, 1)));
    assert_eq!(replay(&project, &[]), Some((0, 1)), "once");
    assert_eq!(aside(&project), [3]);
    let rows = landed(&project);
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[1], json!({"id": 2, "v": null, "c": "b, c", "f": "data/1.csv", "r": 2}));
    project.ok(&["run"]);
    assert_eq!(project.rows("SELECT count(*) AS n FROM sanitized.x"), [json!({"n": 3})]);
    assert_eq!(project.rows("SELECT count(*) AS n FROM sanitized.latest"), [json!({"n": 3})]);
    // What comes later lands beside it, and what is aside then is replayed too.
    project.put("data/2.csv", b"id,v,c\n5,n/a,x\n6,six,y\n");
    project.ok(&["run"]);
    assert_eq!(aside(&project), [2, 3]);
    assert_eq!(landed(&project).len(), 4);
    let runs = project.rows("SELECT count(*) AS n FROM system.runs WHERE command = 'replay'");
    assert_eq!(runs, [json!({"n": 1})]);
}

#[test]
fn mended_rows_come_from_a_file() {
    let project = project();
    project.ok(&["run"]);
    let sql = "SELECT _source['file'] AS _file, _source['row'] AS _row, raw FROM quarantine.raw_x";
    let text = project.ok(&["query", "-o", "csv", sql]);
    project.put("mended.csv", text.replace("n/a", "20").replace("30,c,9", "30,c").as_bytes());
    assert_eq!(replay(&project, &["raw.x", "--with", "mended.csv"]), Some((2, 0)));
    assert_eq!(aside(&project), [] as [i64; 0]);
    let rows = landed(&project);
    assert_eq!(
        rows.iter().map(|row| row["v"].clone()).collect::<Vec<_>>(),
        [10, 20, 30, 40].map(|v| json!(v))
    );
    assert_eq!((&rows[2]["c"], &rows[2]["r"]), (&json!("c"), &json!(3)));
    assert_eq!(replay(&project, &[]), None, "nothing is aside any more");
    project.put("wrong.csv", b"id\n1\n");
    let said = project.fails(2, &["replay", "raw.x", "--with", "wrong.csv"]);
    assert!(said.contains("_file"), "{said}");
}

#[test]
fn json_rows_and_unknown_operations_are_replayed_too() {
    let project = Project::empty()
        .write("raw/x.yml", "source: {files: \"data/*.ndjson\"}\nmode: changes\nkey: id\nop: op\ncolumns: {v: bigint}\n")
        .write("data/1.ndjson", "{\"id\": 1, \"v\": 1, \"op\": \"i\"}\n{\"id\": 2, \"v\": \"two\", \"op\": \"i\"}\n{\"id\": 3, \"v\": 3, \"op\": \"bang\"}\n");
    project.ok(&["run"]);
    assert_eq!(aside(&project), [2, 3]);
    assert_eq!(replay(&project, &[]), Some((0, 2)));
    let mended = "_file,_row,raw\ndata/1.ndjson,2,\"{\"\"id\"\": 2, \"\"v\"\": 2, \"\"op\"\": \"\"i\"\"}\"\ndata/1.ndjson,3,\"{\"\"id\"\": 3, \"\"v\"\": 3, \"\"op\"\": \"\"u\"\"}\"\n";
    project.put("mended.csv", mended.as_bytes());
    assert_eq!(replay(&project, &["raw.x", "--with", "mended.csv"]), Some((2, 0)));
    assert_eq!(project.rows("SELECT count(*) AS n FROM latest.x"), [json!({"n": 3})]);
}

#[test]
fn rows_of_a_model_are_judged_again() {
    let settings = "materialize: {incremental: {key: id, watermark: id}}\non_fail: quarantine\n\
                    checks: [{foreign_key: {column: c, to: sanitized.names}}]\n";
    let project = Project::empty()
        .write("raw/x.yml", "source: {files: \"data/*.csv\"}\n")
        .write("data/1.csv", "id,c\n1,a\n2,b\n3,a\n")
        .write("raw/n.yml", "source: {files: \"names/*.csv\"}\n")
        .write("names/1.csv", "c,name\na,Anna\n")
        .write("sanitized/names.sql", "SELECT * FROM raw.n\n")
        .write("sanitized/x.sql", "SELECT id, c FROM raw.x\n")
        .write("sanitized/x.yml", settings);
    project.ok(&["run"]);
    assert_eq!(project.rows("SELECT count(*) AS n FROM quarantine.sanitized_x"), [json!({"n": 1})]);
    assert_eq!(replay(&project, &["sanitized.x"]), Some((0, 1)));
    project.put("names/2.csv", b"c,name\nb,Ben\n");
    project.ok(&["run", "sanitized.names", "raw.n"]);
    assert_eq!(replay(&project, &["sanitized.x"]), Some((1, 0)));
    assert_eq!(project.rows("SELECT count(*) AS n FROM sanitized.x"), [json!({"n": 3})]);
    assert_eq!(replay(&project, &["sanitized.x"]), Some((0, 0)));
}

#[test]
fn dying_at_every_step_of_a_replay_loses_and_doubles_nothing() {
    let mut died = 0;
    let mut step = 1;
    loop {
        let project = project();
        project.ok(&["run"]);
        project.put("raw/x.yml", MENDED);
        let mut command = project.command(&["replay"]);
        let output = command.env("LAGUNA_KILL_POINT", step.to_string()).output().unwrap();
        let whole = output.status.success();
        died += u32::from(!whole);
        // Whoever comes next completes it: another replay, or a run.
        if step % 2 == 0 {
            replay(&project, &[]);
        }
        project.ok(&["run"]);
        replay(&project, &[]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(landed(&project).len(), 3, "after dying at step {step}: {said}");
        assert_eq!(aside(&project), [3], "after dying at step {step}: {said}");
        if whole {
            break;
        }
        step += 1;
    }
    assert!(died > 5, "a replay has more steps than {died}");
}

#[test]
fn two_replays_at_once_land_once() {
    let project = project();
    project.ok(&["run"]);
    project.put("raw/x.yml", MENDED);
    let mut children: Vec<_> =
        (0..2).map(|_| project.command(&["replay", "--wait", "--quiet"]).spawn().unwrap()).collect();
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!((landed(&project).len(), aside(&project)), (3, vec![3]));
}
