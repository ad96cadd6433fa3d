//! REST reads: tables, rows page by page while releases are published, releases, runs, checks, lineage.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::client::Served;
use super::{ORDERS, land, orders};

/// All rows of a path, page by page; `between` is called after each page.
fn pages(served: &Served, path: &str, mut between: impl FnMut(usize)) -> Vec<Value> {
    let (mut rows, mut next, mut count) = (Vec::new(), path.to_string(), 0);
    loop {
        let reply = served.get(&next);
        assert_eq!(reply.status, 200, "{next}: {}", reply.text());
        let page = reply.json();
        rows.extend(page["rows"].as_array().unwrap().iter().cloned());
        let Some(after) = page["next"].as_str() else {
            assert_eq!(reply.header("link"), "");
            return rows;
        };
        assert_eq!(reply.header("laguna-next"), after);
        // The link is the whole address of the next page.
        let link = reply.header("link").strip_prefix('<').and_then(|link| link.split_once(">; rel=\"next\""));
        next = link.unwrap().0.to_string();
        between(count);
        count += 1;
    }
}

fn ids(rows: &[Value]) -> Vec<i64> {
    rows.iter().map(|row| row["id"].as_i64().unwrap()).collect()
}

#[test]
fn pages_show_one_state_while_releases_are_published() {
    let served = Served::start(orders(""));
    let mut last = ORDERS;
    for (table, order) in [
        ("sanitized/orders", "id"),
        ("sanitized/orders", "bucket.desc,customer"),
        ("sanitized/orders", "nothing"),
        ("enhanced/shown", "amount.desc"),
        ("latest/x", "customer.nullsfirst"),
        ("raw/x", "id.desc"),
    ] {
        let before = last;
        let path = format!("/v1/tables/{table}/rows?select=id&order={order}&limit=97");
        let rows = pages(&served, &path, |page| {
            if page % 3 == 0 {
                land(&served.project, last, last + 1, last + 3);
                last += 3;
            }
        });
        let seen: BTreeSet<i64> = ids(&rows).into_iter().collect();
        assert_eq!((rows.len(), seen.len()), (before as usize, before as usize), "{path}");
        assert_eq!(seen.last(), Some(&i64::from(before)), "{path}");
        assert!(last > before, "nothing was published between the pages of {path}");
        let now = served.json(&format!("/v1/tables/{table}/rows?order=id.desc&limit=1"));
        assert_eq!(now["rows"][0]["id"], last);
    }
}

#[test]
fn rows_are_chosen_filtered_and_ordered() {
    let served = Served::start(orders(""));
    let rows = |asked: &str| -> Vec<i64> {
        let page = served.json(&format!("/v1/tables/sanitized/orders/rows?limit=1000&{asked}"));
        assert_eq!((&page["release"], &page["next"]), (&json!(1), &Value::Null), "{asked}");
        ids(page["rows"].as_array().unwrap())
    };
    let upto = |last: i64| (1..=last).collect::<Vec<i64>>();
    assert_eq!(rows("id=lte.5"), upto(5));
    assert_eq!(rows("id=gte.3&id=lt.6&order=id.desc"), [5, 4, 3]);
    assert_eq!(rows("filter=id.in.(7,3,900)&order=id"), [3, 7]);
    assert_eq!(rows("customer=is.null&id=lt.25"), [10, 20]);
    assert_eq!(rows("customer=not.is.null&id=lt.4"), [1, 2, 3]);
    assert_eq!(rows("customer=like.c2*&id=lt.9"), [2, 6]);
    assert_eq!(rows("customer=eq.c2,%20%22%C3%A9%22&id=lt.9"), [2, 6]);
    assert_eq!(rows("customer=in.(%22c2,%20%22%22%C3%A9%22%22%22)&id=lt.9"), [2, 6]);
    assert_eq!(rows("amount=eq.2.25"), [2]);
    assert_eq!(rows("late=is.false"), [1, 2, 3]);
    assert_eq!(rows("day=gt.2026-01-01"), Vec::<i64>::new());
    assert_eq!(rows("customer=eq.x'%20OR%201=1--"), Vec::<i64>::new());
    // Nulls come last, and first when the order is turned round.
    assert_eq!(rows("order=customer,id.desc&id=lte.12").last(), Some(&10));
    assert_eq!(rows("order=customer.desc&id=lte.12")[0], 10);
    assert_eq!(rows("order=customer.desc.nullslast,id&id=lte.12").last(), Some(&10));

    let chosen = served.json("/v1/tables/sanitized/orders/rows?select=amount,id&id=eq.2");
    assert_eq!(chosen["rows"], json!([{"amount": 2.25, "id": 2}]));
    let csv = "/v1/tables/sanitized/orders/rows?select=id&order=id&limit=2&format=csv";
    let csv = served.get(csv);
    assert_eq!(csv.text(), "id\n1\n2\n");
    assert!(csv.header("link").contains("format=csv"), "{}", csv.header("link"));
    let old = served.json("/v1/tables/sanitized/orders/rows?release=1&limit=1&order=id.desc");
    assert_eq!(old["rows"][0]["id"], ORDERS);

    for (asked, status, code) in [
        ("idd=eq.1", 400, "42703"),
        ("id=eq.x", 400, "22P02"),
        ("id=equals.1", 400, "42000"),
        ("id=like.1*", 400, "42883"),
        ("select=idd", 400, "42703"),
        ("order=tags", 400, "42883"),
        ("order=id.up", 400, "42000"),
        ("limit=0", 400, "42000"),
        ("limit=10001", 400, "42000"),
        ("limit=x", 400, "42000"),
        ("limit=1&limit=2", 400, "42000"),
        ("after=nonsense", 400, "42000"),
        ("release=99", 400, "42000"),
        ("select=%22id", 400, "42000"),
        ("as_of=1999-01-01", 400, "42000"),
    ] {
        served.get(&format!("/v1/tables/sanitized/orders/rows?{asked}")).problem(status, code);
    }
    let next = served.json("/v1/tables/sanitized/orders/rows?limit=1")["next"].as_str().unwrap().to_string();
    for other in ["order=id.desc", "id=gt.3", "release=1"] {
        served
            .get(&format!("/v1/tables/sanitized/orders/rows?limit=1&{other}&after={next}"))
            .problem(400, "42000");
    }
    for absent in ["none/orders", "sanitized/none", "sanitized/", "sanitized/a%22b"] {
        assert_eq!(served.get(&format!("/v1/tables/{absent}/rows")).status, 404, "{absent}");
    }
}

#[test]
fn what_the_lake_holds_and_how_it_came_there() {
    let served = Served::start(orders(""));
    let names = |asked: &str| -> Vec<String> {
        let list = served.json(&format!("/v1/tables?{asked}"));
        let name = |table: &Value| {
            format!("{}.{}", table["schema"].as_str().unwrap(), table["table"].as_str().unwrap())
        };
        list["tables"].as_array().unwrap().iter().map(name).collect()
    };
    assert_eq!(names("schema=enhanced"), ["enhanced.by_customer", "enhanced.shown"]);
    assert_eq!(names("tag=daily"), ["sanitized.orders"]);
    let all = names("");
    assert!(all.contains(&"latest.x".to_string()) && all.contains(&"system.runs".to_string()), "{all:?}");
    let (mut listed, mut after) = (Vec::new(), String::new());
    loop {
        let page = served.json(&format!("/v1/tables?limit=3{after}"));
        listed.extend(page["tables"].as_array().unwrap().iter().map(|table| table["table"].clone()));
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(listed.len(), all.len());

    let orders = served.json("/v1/tables/sanitized/orders");
    assert_eq!(
        (&orders["description"], &orders["owner"]),
        (&json!("Orders of customers"), &json!("till@example.org"))
    );
    assert_eq!(
        (&orders["rows"], &orders["version"], &orders["release"]),
        (&json!(ORDERS), &json!(0), &json!(1))
    );
    let id = &orders["columns"][0];
    assert_eq!(
        (&id["name"], &id["type"], &id["description"]),
        (&json!("id"), &json!("bigint"), &json!("Number of the order"))
    );
    assert_eq!(id["statistics"], json!({"nulls": 0, "min": "1", "max": ORDERS.to_string()}));

    let lineage = served.json("/v1/lineage/sanitized/orders");
    assert_eq!(lineage["upstream"], json!([{"table": "raw.x", "distance": 1}]));
    assert_eq!(lineage["downstream"].as_array().unwrap().len(), 2);
    let edge = json!({"from": "raw.x", "to": "sanitized.orders"});
    assert!(lineage["edges"].as_array().unwrap().contains(&edge), "{lineage}");
    served.get("/v1/lineage/sanitized/none").problem(404, "42P01");

    land(&served.project, 2, ORDERS + 1, ORDERS + 2);
    let releases = served.json("/v1/releases");
    let numbers: Vec<&Value> =
        releases["rows"].as_array().unwrap().iter().map(|row| &row["release"]).collect();
    assert_eq!(numbers, [2, 1]);
    assert_eq!(served.json("/v1/releases/2")["tables"].as_array().unwrap().len(), 3);
    let diff = served.json("/v1/releases/1/diff/2");
    let changed = |row: &Value| {
        (row["table"].as_str().unwrap().to_string(), row["change"].as_str().unwrap().to_string())
    };
    let changed: Vec<_> = diff["tables"].as_array().unwrap().iter().map(changed).collect();
    let rows = |table: &str| (table.to_string(), "rows".to_string());
    assert_eq!(changed, [rows("enhanced.by_customer"), rows("sanitized.orders")]);
    served.get("/v1/releases/9").problem(404, "42000");
    served.get("/v1/releases/1/diff/9").problem(404, "42000");
    served.get("/v1/releases/x").problem(400, "42000");

    let runs = served.json("/v1/runs");
    assert_eq!(runs["rows"].as_array().unwrap().len(), 2);
    let run = runs["rows"][0]["run"].as_str().unwrap();
    let one = served.json(&format!("/v1/runs/{run}"));
    assert_eq!(one["run"]["release"], 2);
    assert!(one["tasks"].as_array().unwrap().iter().any(|task| task["node"] == "sanitized.orders"), "{one}");
    assert_eq!(one["checks"][0]["success"], true);
    served.get("/v1/runs/none").problem(404, "42000");
    let checks = served.json("/v1/checks?node=eq.sanitized.orders&limit=1");
    assert_eq!(checks["rows"][0]["node"], "sanitized.orders");
    assert!(checks["next"].is_string(), "{checks}");
}

#[test]
fn a_lake_without_a_release_answers_too() {
    let project = crate::kit::Project::empty()
        .write("raw/x.yml", "source: {files: \"data/*.csv\"}\n")
        .write("sanitized/y.sql", "SELECT * FROM raw.x\n");
    let served = Served::start(project);
    assert_eq!(served.rows(&json!({"sql": "SELECT 1 AS n"})), json!([{"n": 1}]));
    assert_eq!(served.json("/v1/releases"), json!({"rows": [], "next": null, "release": null}));
    assert_eq!(served.json("/v1/runs")["rows"], json!([]));
    served.get("/v1/tables/sanitized/y").problem(404, "42P01");
    served.get("/v1/releases/1").problem(404, "42000");
    assert_eq!(served.get("/ready").status, 200);
    assert_eq!(served.get("/v1/tables").status, 200);
}
