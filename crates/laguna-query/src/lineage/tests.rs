//! Lineage of statements over tables `raw.flights(carrier, flight, delay)` and `raw.airlines(carrier, name)`.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::catalog::MemorySchemaProvider;
use datafusion::datasource::{MemTable, ViewTable};
use datafusion::prelude::{SessionConfig, SessionContext};

use super::*;

async fn of(sql: &str) -> Lineage {
    let context = SessionContext::new_with_config(
        SessionConfig::new().with_default_catalog_and_schema("laguna", "local"),
    );
    let catalog = context.catalog("laguna").unwrap();
    for tier in ["raw", "sanitized"] {
        catalog.register_schema(tier, Arc::new(MemorySchemaProvider::new())).unwrap();
    }
    let raw = catalog.schema("raw").unwrap();
    for (table, columns) in
        [("flights", vec!["carrier", "flight", "delay", "stops"]), ("airlines", vec!["carrier", "name"])]
    {
        let list = DataType::List(Arc::new(Field::new_list_field(DataType::Int64, true)));
        let type_of = |name: &str| match name {
            "stops" => list.clone(),
            "delay" => DataType::Int64,
            _ => DataType::Utf8,
        };
        let fields: Vec<Field> =
            columns.into_iter().map(|name| Field::new(name, type_of(name), true)).collect();
        let table_of = MemTable::try_new(Arc::new(Schema::new(fields)), vec![vec![]]).unwrap();
        raw.register_table(table.to_string(), Arc::new(table_of)).unwrap();
    }
    let view = context.sql("SELECT carrier, delay * 2 AS twice FROM raw.flights").await.unwrap();
    let view = ViewTable::new(view.into_unoptimized_plan(), None);
    catalog.schema("sanitized").unwrap().register_table("doubled".to_string(), Arc::new(view)).unwrap();
    lineage(context.sql(sql).await.unwrap().logical_plan())
}

/// `column: origins` a line, then `where: origins`.
async fn text(sql: &str) -> String {
    let lineage = of(sql).await;
    let names = |origins: &BTreeSet<Origin>| {
        origins
            .iter()
            .map(|origin| format!("{}.{}", origin.table.table, origin.column))
            .collect::<Vec<_>>()
            .join(" ")
    };
    let columns = lineage.columns.iter().map(|(name, origins)| format!("{name}: {}", names(origins)));
    columns.chain([format!("where: {}", names(&lineage.conditions))]).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn columns_are_followed_through_every_kind_of_step() {
    for (sql, expected) in [
        (
            "SELECT carrier, delay + 1 AS later FROM raw.flights WHERE flight > '7'",
            "carrier: flights.carrier\nlater: flights.delay\nwhere: flights.flight",
        ),
        (
            "SELECT a.name, avg(f.delay) AS mean, count(*) AS n FROM raw.flights f JOIN raw.airlines a ON a.carrier = f.carrier GROUP BY a.name",
            "name: airlines.name\nmean: flights.delay\nn: \nwhere: airlines.carrier flights.carrier",
        ),
        (
            "WITH x AS (SELECT carrier AS c, delay AS d FROM raw.flights) SELECT c || '!' AS e, max(d) OVER (PARTITION BY c) AS m FROM x",
            "e: flights.carrier\nm: flights.carrier flights.delay\nwhere: ",
        ),
        (
            "SELECT carrier FROM raw.flights UNION ALL SELECT name FROM raw.airlines",
            "carrier: airlines.name flights.carrier\nwhere: ",
        ),
        (
            "SELECT (SELECT max(name) FROM raw.airlines a WHERE a.carrier = f.carrier) AS name FROM raw.flights f",
            "name: airlines.name\nwhere: airlines.carrier flights.carrier",
        ),
        (
            "SELECT flight FROM raw.flights f WHERE EXISTS (SELECT 1 FROM raw.airlines a WHERE a.carrier = f.carrier)",
            "flight: flights.flight\nwhere: airlines.carrier flights.carrier",
        ),
        ("SELECT twice AS four FROM sanitized.doubled AS d", "four: doubled.twice\nwhere: "),
        (
            "SELECT flight, unnest(stops) AS stop FROM raw.flights",
            "flight: flights.flight\nstop: flights.stops\nwhere: ",
        ),
        (
            "SELECT DISTINCT ON (carrier) carrier, delay FROM raw.flights ORDER BY carrier, delay DESC",
            "carrier: flights.carrier\ndelay: flights.delay\nwhere: flights.carrier",
        ),
        (
            "WITH RECURSIVE r AS (SELECT carrier AS a, flight AS b FROM raw.flights UNION ALL SELECT b, a FROM r WHERE a < 'b') SELECT a FROM r",
            "a: flights.carrier flights.flight\nwhere: flights.carrier flights.flight",
        ),
        (
            "SELECT carrier, flight, sum(delay) AS d FROM raw.flights GROUP BY GROUPING SETS ((carrier), (flight))",
            "carrier: flights.carrier\nflight: flights.flight\nd: flights.delay\nwhere: ",
        ),
        ("SELECT 1 AS one", "one: \nwhere: "),
    ] {
        assert_eq!(text(sql).await, expected, "{sql}");
    }
}
