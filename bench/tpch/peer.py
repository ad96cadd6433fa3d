"""DuckDB or DataFusion over Parquet files, for the queries beside this file.

    python peer.py duckdb|datafusion TABLES [--only q01,q02] [--json | --times RUNS]

TABLES is a folder with a folder of Parquet files for each table. All queries run in one process; the answers are printed, with `--json` as rows by
query, and with `--times` instead the median of the seconds of each query.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

QUERIES = sorted(Path(__file__).parent.glob("q*.sql"))


def duckdb(tables):
    import duckdb

    connection = duckdb.connect()
    connection.execute("CREATE SCHEMA sanitized")
    for table in tables:
        connection.execute(f"CREATE VIEW sanitized.{table.name} AS FROM read_parquet('{table}/*.parquet')")
    return lambda sql: connection.execute(sql).fetchall()


def datafusion(tables):
    import datafusion

    context = datafusion.SessionContext()
    context.sql("CREATE SCHEMA sanitized").collect()
    for table in tables:
        context.sql(f"CREATE EXTERNAL TABLE sanitized.{table.name} STORED AS PARQUET LOCATION '{table}/'").collect()
    return lambda sql: [tuple(row.values()) for batch in context.sql(sql).collect() for row in batch.to_pylist()]


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("engine", choices=["duckdb", "datafusion"])
    arguments.add_argument("tables", type=Path)
    arguments.add_argument("--only", default=",".join(path.stem for path in QUERIES))
    arguments.add_argument("--json", action="store_true")
    arguments.add_argument("--times", type=int, default=0)
    options = arguments.parse_args()
    ask = {"duckdb": duckdb, "datafusion": datafusion}[options.engine](sorted(path for path in options.tables.iterdir() if path.is_dir()))
    queries = {path.stem: path.read_text().split("\n", 1)[1].rstrip(";\n") for path in QUERIES if path.stem in options.only.split(",")}
    seconds = {name: [] for name in queries}
    for _ in range(options.times):
        for name, sql in queries.items():
            start = time.perf_counter()
            ask(sql)
            seconds[name].append(time.perf_counter() - start)
    if options.times:
        print(json.dumps({name: statistics.median(values) for name, values in seconds.items()}))
        return
    answers = {name: ask(sql) for name, sql in queries.items()}
    print(json.dumps(answers, default=str) if options.json else "\n".join(str(row) for rows in answers.values() for row in rows))


if __name__ == "__main__":
    main()
