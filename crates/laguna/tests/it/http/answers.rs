//! `/v1/sql`: every format read back, parameters, moments, limits, problems, and answers that break off.

use std::fs::File;
use std::io::{Cursor, Read};

use arrow::array::RecordBatch;
use arrow::ipc::reader::StreamReader;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};

use super::client::{Served, request};
use super::{ORDERS, land, orders};

const ALL: &str = "SELECT * FROM sanitized.orders ORDER BY id";

/// The values of batches as SQL writes them, one row after the other.
fn values(batches: &[RecordBatch]) -> Vec<Vec<String>> {
    let text = |batch: &RecordBatch, row: usize, column: usize| {
        arrow::util::display::array_value_to_string(batch.column(column), row).unwrap()
    };
    let rows = batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |row| (batch, row)));
    rows.map(|(batch, row)| (0..batch.num_columns()).map(|column| text(batch, row, column)).collect())
        .collect()
}

#[test]
fn every_format_reads_back_to_the_same_rows() {
    let served = Served::start(orders(""));
    let ask = json!({"sql": ALL});
    let get = |accept: &str, media_type: &str| {
        let reply = served.sql(&ask, accept);
        assert_eq!((reply.status, reply.header("content-type")), (200, media_type), "{accept}");
        assert!(reply.whole);
        assert_eq!(reply.header("laguna-release"), "1");
        assert_eq!(reply.header("vary"), "accept");
        reply
    };
    let json = get("application/json", "application/json").json();
    let objects = json.as_array().unwrap();
    assert_eq!(objects.len(), ORDERS as usize);
    assert_eq!(
        objects[1],
        json!({"id": 2, "customer": "c2, \"é\"", "amount": 2.25, "bucket": 2, "made_at": "2026-01-01T10:00:00Z",
               "day": "2026-01-01", "late": false, "nothing": null, "tags": ["a", "c2, \"é\""]})
    );
    let ndjson = get("application/x-ndjson", "application/x-ndjson");
    let lines: Vec<Value> = ndjson.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(&lines, objects);

    let csv = get("text/csv", "text/csv; charset=utf-8; header=present");
    let mut lines = csv.text().lines();
    assert_eq!(lines.next(), Some("id,customer,amount,bucket,made_at,day,late,nothing,tags"));
    assert!(
        lines
            .next()
            .unwrap()
            .starts_with("1,\"c1, \"\"é\"\"\",1.25,1,2026-01-01T10:00:00Z,2026-01-01,false,,")
    );
    assert_eq!(lines.count(), ORDERS as usize - 1);

    let arrow = get("application/vnd.apache.arrow.stream", "application/vnd.apache.arrow.stream");
    let stream = StreamReader::try_new(Cursor::new(arrow.body), None).unwrap();
    let schema = stream.schema();
    let arrow: Vec<RecordBatch> = stream.map(Result::unwrap).collect();
    assert_eq!(schema.field(2).data_type().to_string(), "Decimal128(12, 2)");
    let parquet = get("application/vnd.apache.parquet", "application/vnd.apache.parquet");
    let path = served.project.path().join("answer.parquet");
    std::fs::write(&path, parquet.body).unwrap();
    let reader =
        ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap().build().unwrap();
    let parquet: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
    assert_eq!(values(&arrow).len(), ORDERS as usize);
    assert_eq!(values(&arrow)[1][..3], ["2", "c2, \"é\"", "2.25"]);
    assert_eq!(values(&arrow), values(&parquet));

    // No rows are an answer too, and the address can choose.
    let none = json!({"sql": "SELECT id FROM sanitized.orders WHERE false"});
    assert_eq!(served.rows(&none), json!([]));
    assert_eq!(served.sql(&none, "text/csv").text(), "id\n");
    let link = served.get("/v1/sql?sql=SELECT+1+AS+n&format=csv&download=one.csv");
    assert_eq!((link.status, link.text()), (200, "n\n1\n"));
    assert_eq!(link.header("content-disposition"), "attachment; filename=\"one.csv\"");
    served.get("/v1/sql?sql=SELECT+1&download=..%2Fx").problem(400, "42000");
    let short =
        served.ask("GET", "/v1/sql?sql=SELECT+*+FROM+sanitized.orders", &[("Accept-Encoding", "gzip")], "");
    assert_eq!(short.header("content-encoding"), "gzip");
    assert!(short.body.starts_with(&[0x1f, 0x8b]));
}

#[test]
fn parameters_moments_and_limits() {
    let served = Served::start(orders(""));
    let one = |sql: &str, params: Value| served.rows(&json!({"sql": sql, "params": params}))[0].clone();
    let found = one(
        "SELECT id, customer FROM sanitized.orders WHERE amount = $2 AND id > $1 AND customer LIKE $3",
        json!([1, "2.25", "c%"]),
    );
    assert_eq!(found, json!({"id": 2, "customer": "c2, \"é\""}));
    let evil = "x' OR 1 = 1 --";
    assert_eq!(one("SELECT count(*) AS n FROM sanitized.orders WHERE customer = $1", json!([evil]))["n"], 0);
    assert_eq!(
        one("SELECT count(*) AS n FROM sanitized.orders WHERE day = $1", json!(["2026-01-01"]))["n"],
        ORDERS
    );
    assert_eq!(one("SELECT '$1' AS text", json!([])), json!({"text": "$1"}));
    let link = served.get("/v1/sql?sql=SELECT+id+FROM+sanitized.orders+WHERE+id+%3D+$1&params=[7]");
    assert_eq!(link.json(), json!([{"id": 7}]));
    let ask = |body: Value| served.sql(&body, "*/*");
    let sql = "SELECT id FROM sanitized.orders WHERE id = $1";
    ask(json!({"sql": sql})).problem(400, "08P01");
    ask(json!({"sql": sql, "params": [1, 2]})).problem(400, "08P01");
    ask(json!({"sql": sql, "params": ["x"]})).problem(400, "22P02");
    ask(json!({"sql": sql, "params": [{"a": 1}]})).problem(400, "22P02");

    // A second release: the first, and the time between both, stay readable.
    let count = |more: Value| {
        let mut body = json!({"sql": "SELECT count(*) AS n FROM sanitized.orders"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        served.rows(&body)[0]["n"].clone()
    };
    assert_eq!(count(json!({})), ORDERS);
    let between = served.rows(&json!({"sql": "SELECT now() AS t"}))[0]["t"].clone();
    land(&served.project, 2, ORDERS + 1, ORDERS + 10);
    assert_eq!(count(json!({})), ORDERS + 10);
    assert_eq!(count(json!({"release": 1})), ORDERS);
    assert_eq!(count(json!({"as_of": between})), ORDERS);
    assert_eq!(count(json!({"as_of": null, "release": 2})), ORDERS + 10);
    ask(json!({"sql": "SELECT 1", "release": 99})).problem(400, "42000");
    ask(json!({"sql": "SELECT 1", "as_of": "soon"})).problem(400, "42000");
    ask(json!({"sql": "SELECT 1", "as_of": between, "release": 1})).problem(400, "42000");

    assert_eq!(count(json!({"max_rows": 1})), ORDERS + 10);
    let many = ask(json!({"sql": "SELECT id FROM sanitized.orders", "max_rows": 10}));
    assert!(many.status == 422 || !many.whole, "{} {}", many.status, many.text());
    let slow = "SELECT count(*) FROM generate_series(1, 100000) a CROSS JOIN generate_series(1, 100000) b";
    let ended = ask(json!({"sql": slow, "timeout": "200ms"})).problem(422, "57014");
    assert!(ended["detail"].as_str().unwrap().contains("0.2 s"), "{ended}");
    ask(json!({"sql": "SELECT 1", "timeout": "soon"})).problem(400, "42000");
}

#[test]
fn errors_are_problems_with_the_place_in_the_statement() {
    let served = Served::start(orders(""));
    let ask = |sql: &str| served.sql(&json!({"sql": sql}), "*/*");
    let absent = ask("SELECT *\nFROM sanitized.ordres").problem(400, "42P01");
    assert!(absent["hint"].as_str().unwrap().contains("orders"), "{absent}");
    let column = ask("SELECT idd FROM sanitized.orders").problem(400, "42703");
    assert!(column["hint"].as_str().unwrap().contains("id"), "{column}");
    let syntax = ask("SELECT 1\nFORM x y z").problem(400, "42601");
    assert_eq!(syntax["location"]["line"], 2, "{syntax}");
    ask("").problem(400, "42601");
    for writes in [
        "INSERT INTO sanitized.orders VALUES (1)",
        "DROP TABLE sanitized.orders",
        "CREATE TABLE a AS SELECT 1",
    ] {
        ask(writes).problem(400, "25006");
    }
    for reaches in
        ["COPY (SELECT 1) TO 'x.csv'", "CREATE EXTERNAL TABLE a STORED AS CSV LOCATION '/etc/passwd'"]
    {
        let reply = ask(reaches);
        assert!((400..404).contains(&reply.status), "{reaches}: {} {}", reply.status, reply.text());
    }
    assert_eq!(ask("SELECT 1; SELECT 2").status, 400);

    let json = [("Content-Type", "application/json")];
    let post = |headers: &[(&str, &str)], body: &str| served.ask("POST", "/v1/sql", headers, body);
    post(&[], "{\"sql\": \"SELECT 1\"}").problem(415, "42000");
    post(&[("Content-Type", "text/plain")], "{\"sql\": \"SELECT 1\"}").problem(415, "42000");
    post(&json, "{\"sql\": ").problem(400, "42000");
    let word = post(&json, "{\"sq\": \"SELECT 1\"}").problem(400, "42000");
    assert!(word["detail"].as_str().unwrap().contains("`sq`"), "{word}");
    post(&json, &format!("{{\"sql\": \"{}\"}}", "x".repeat(2 << 20))).problem(413, "54000");
    served.sql(&json!({"sql": "SELECT 1"}), "image/png").problem(406, "42000");
    served.get("/v1/sql?sql=SELECT+1&format=xml").problem(400, "42000");
    served.get("/v1/sql").problem(400, "42000");
    let method = served.ask("DELETE", "/v1/sql", &[], "");
    method.problem(405, "42000");
    assert!(method.header("allow").contains("POST"), "{}", method.header("allow"));

    let fine = ask("SELECT 1");
    for (name, value) in
        [("x-content-type-options", "nosniff"), ("x-frame-options", "DENY"), ("cache-control", "no-store")]
    {
        assert_eq!(fine.header(name), value);
    }
    assert!(fine.header("content-security-policy").contains("default-src 'none'"));
    assert_eq!(
        served.ask("GET", "/health", &[("X-Request-Id", "trace-7")], "").header("x-request-id"),
        "trace-7"
    );
    // Another site's name for this machine, and another site's script.
    let host = served.send("GET /v1/tables HTTP/1.1\r\nHost: lake.example\r\nConnection: close\r\n\r\n");
    assert_eq!(super::client::read(host).status, 421);
    assert_eq!(post(&[json[0], ("Sec-Fetch-Site", "cross-site")], "{\"sql\": \"SELECT 1\"}").status, 403);
}

#[test]
fn an_answer_that_fails_late_is_never_taken_for_a_whole_one() {
    let served = Served::start(orders(""));
    let sql = "SELECT value, 100 / (value - 400000) AS x FROM generate_series(1, 500000) AS t(value)";
    for accept in
        ["application/json", "application/x-ndjson", "text/csv", "application/vnd.apache.arrow.stream"]
    {
        let reply = served.sql(&json!({"sql": sql}), accept);
        assert_eq!(reply.status, 200, "{accept}: {}", reply.text());
        assert!(!reply.whole, "{accept} ends as if it were whole, after {} bytes", reply.body.len());
        assert!(!reply.body.is_empty(), "{accept}");
    }
    let early = "SELECT 100 / (value - 1) AS x FROM generate_series(1, 10) AS t(value)";
    served.sql(&json!({"sql": early}), "text/csv").problem(422, "22012");
}

#[test]
fn a_client_that_leaves_ends_its_statement() {
    let served = Served::start(orders("serve: {timeout: 10m}\n"));
    let streams = "SELECT value FROM generate_series(1, 100000000000) AS t(value)";
    let waits =
        "SELECT count(*) FROM generate_series(1, 100000000) a CROSS JOIN generate_series(1, 100000000) b";
    for sql in [streams, waits] {
        let body = json!({"sql": sql}).to_string();
        let headers = [("Content-Type", "application/json"), ("Accept", "text/csv")];
        let mut stream = served.send(&request(&served.address, "POST", "/v1/sql", &headers, &body));
        served.until("laguna_statements_running", 1.0);
        if sql == streams {
            stream.read_exact(&mut [0; 100_000]).unwrap();
        }
        assert_eq!(served.metric("laguna_statements_running"), 1.0);
        drop(stream);
        served.until("laguna_statements_running", 0.0);
    }
}
