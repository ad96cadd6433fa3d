"""The jobs: what each contestant runs, what it must leave behind, and what is compared."""

import csv
import dataclasses
import gzip
import json
import shutil
import statistics
import subprocess
import time
from pathlib import Path
from typing import Callable

import projects

FLIGHTS = Path(__file__).resolve().parents[1] / "examples/flights/data/flights"
CHECKS = Path(__file__).resolve().parent / "checks"
TPCH = Path(__file__).resolve().parent / "tpch"


@dataclasses.dataclass
class Contestant:
    name: str
    folder: Path
    command: list
    prepare: Callable = lambda: None
    answer: Callable = None  # what must be equal between contestants
    codes: tuple = (0,)  # exit codes of a contestant that did its work


@dataclasses.dataclass
class Job:
    name: str
    contestants: list
    most_runs: int = 1000
    lines: Callable = list  # what is printed below the table


def remove(*paths):
    for path in paths:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def output(*command, folder=None):
    return subprocess.run([str(word) for word in command], cwd=folder, check=True, capture_output=True, text=True).stdout


def ask_laguna(cache, project, sql):
    rows = json.loads(output(cache.laguna, "query", "--project", project, "-o", "json", sql))
    return ",".join(str(value) for value in rows[0].values())


def ask_duckdb(cache, sql):
    return output(cache.duckdb(), "-unsigned", "-csv", "-noheader", "-c", sql).strip().replace(".0", "")


def landing(cache, name, pattern, laguna_query, query, polars, suffix):
    """Laguna, DuckDB and Polars over the same CSV files."""
    folder = cache.work / name
    projects.write(folder, {"laguna.yml": f"name: {name}\n", f"raw/{name}.yml": f"source: {{files: '{pattern}'}}\n"})
    parquet, theirs = folder / "duckdb.parquet", folder / f"polars{suffix}"
    load = f"LOAD '{cache.delta_extension()}'; "
    read = f"'{theirs}'" if suffix == ".parquet" else f"delta_scan('{theirs}')"
    return Job(f"land {name}", [
        Contestant("Laguna to Delta", folder, [cache.laguna, "--quiet", "run", f"raw.{name}"], lambda: remove(folder / "lake"),
                   lambda: ask_laguna(cache, folder, f"{laguna_query} FROM raw.{name}")),
        Contestant("DuckDB to Parquet", folder, [cache.duckdb(), "-c", f"COPY (FROM read_csv('{pattern}', nullstr=['', 'NA'])) TO '{parquet}'"],
                   lambda: remove(parquet), lambda: ask_duckdb(cache, f"{query} FROM '{parquet}'")),
        Contestant(f"Polars to {'Parquet' if suffix == '.parquet' else 'Delta'}", folder, [cache.python(), "-c", polars, pattern, theirs],
                   lambda: remove(theirs), lambda: ask_duckdb(cache, f"{load}{query} FROM {read}")),
    ])


def lineitem(cache, options):
    path = cache.data / "lineitem.csv"
    if not path.exists():
        output(cache.bin("peers", "tpchgen-cli"), "-s", "1", "--format=csv", "--tables=lineitem", f"--output-dir={cache.data}")
    sums = "SELECT count(*) AS a, sum(l_orderkey) AS b, CAST(round(sum(l_extendedprice)) AS bigint) AS c"
    polars = "import polars, sys; polars.scan_csv(sys.argv[1], try_parse_dates=True).sink_parquet(sys.argv[2])"
    yield landing(cache, "lineitem", path, sums, sums, polars, ".parquet")


def flights_by_month(cache):
    """The folder of the twelve CSV files."""
    folder = cache.data / "flights"
    if not folder.exists():
        folder.mkdir()
        for source in FLIGHTS.glob("*.csv.gz"):
            (folder / source.stem).write_bytes(gzip.decompress(source.read_bytes()))
    return folder


def flights_in_one(cache, copies):
    """One CSV file with all rows, `copies` times."""
    path = cache.data / f"flights-{copies}.csv"
    if not path.exists():
        lines = [part.read_bytes().split(b"\n", 1) for part in sorted(flights_by_month(cache).glob("*.csv"))]
        path.write_bytes(lines[0][0] + b"\n" + b"".join(body for _, body in lines) * copies)
    return path


def flights(cache, options):
    folder = flights_by_month(cache)
    sums = "SELECT count(*) AS a, sum(distance) AS b, sum(air_time) AS c"
    polars = "import polars, sys; polars.read_csv(sys.argv[1], null_values='NA', try_parse_dates=True).write_delta(sys.argv[2])"
    yield landing(cache, "flights", folder / "*.csv", sums, sums, polars, ".delta")


def models(cache, options):
    folder, dbt = cache.work / "models", cache.bin("dbt", "dbt")
    projects.thousand_models(folder, options.models)
    ours, theirs = folder / "laguna", folder / "dbt"
    last = projects.name(options.models - 1)
    laguna_answer = lambda: ask_laguna(cache, ours, f"SELECT count(*) AS a, sum(value) AS b FROM enhanced.{last}")
    dbt_answer = lambda: ask_duckdb(cache, f"ATTACH '{theirs}/dbt.duckdb' AS d (READ_ONLY); SELECT count(*), sum(value) FROM d.{last}")
    run = [dbt, "run", "--quiet", "--profiles-dir", ".", "--threads", "2"]
    yield Job(f"{options.models} models, all", [
        Contestant("Laguna", ours, [cache.laguna, "--quiet", "run"], lambda: remove(ours / "lake"), laguna_answer),
        Contestant("dbt-core with DuckDB", theirs, run, lambda: remove(theirs / "target", theirs / "dbt.duckdb"), dbt_answer),
    ], most_runs=3)
    remove(theirs / "state")
    shutil.copytree(theirs / "target", theirs / "state")
    yield Job(f"{options.models} models, nothing to do", [
        Contestant("Laguna", ours, [cache.laguna, "--quiet", "run"]),
        Contestant("dbt-core with DuckDB, state:modified+", theirs, [*run, "--select", "state:modified+", "--state", "state"]),
    ])


def query(cache, options):
    """A cold query of one Delta table; it has a file for each of twelve batches."""
    folder = cache.work / "query"
    months = flights_by_month(cache)
    remove(folder)
    projects.write(folder, {"laguna.yml": "name: query\n", "raw/flights.yml": "source: {files: 'data/*.csv'}\n"})
    (folder / "data").mkdir()
    for source in sorted(months.glob("*.csv")):
        shutil.copy2(source, folder / "data")
        output(cache.laguna, "--quiet", "run", folder=folder)
    table = folder / "lake/raw/flights"
    select = "SELECT carrier, sum(distance) AS miles FROM {} GROUP BY carrier ORDER BY carrier"
    scan = select.format(f"delta_scan('{table}')")
    load = f"LOAD '{cache.delta_extension()}'"
    in_python = ("import duckdb, sys; c = duckdb.connect(config={'allow_unsigned_extensions': 'true'}); c.execute(sys.argv[1]); "
                 "print(*(f'{a},{b}' for a, b in c.execute(sys.argv[2]).fetchall()), sep='\\n')")
    with_deltalake = ("import sys; from deltalake import DeltaTable, QueryBuilder; b = QueryBuilder().register('t', DeltaTable(sys.argv[1])); "
                      "t = b.execute(sys.argv[2]).read_all(); "
                      "print(*(f'{a},{b}' for a, b in zip(t['carrier'].to_pylist(), t['miles'].to_pylist())), sep='\\n')")

    def contestant(name, *command):
        home = folder / name.replace(" ", "-")
        home.mkdir()
        read = lambda: "\n".join(line for line in (home / "output.txt").read_text().split() if "miles" not in line)
        return Contestant(name, home, command, answer=read)

    yield Job("cold query of a Delta table", [
        contestant("Laguna", cache.laguna, "query", "--project", folder, "-o", "csv", select.format("raw.flights")),
        contestant("duckdb command", cache.duckdb(), "-unsigned", "-csv", "-c", f"{load}; {scan}"),
        contestant("duckdb in Python", cache.python(), "-c", in_python, load, scan),
        contestant("deltalake in Python", cache.python(), "-c", with_deltalake, table, select.format("t")),
    ])


def log(cache, options):
    """A table of 10,000 commits and 100,000 files, with a checkpoint ten commits before its newest: opened and counted, and one file found."""
    folder = cache.work / "log"
    table = folder / "lake/raw/big"
    if not (table / "_delta_log/_last_checkpoint").exists():
        remove(folder)
        projects.write(folder, {"laguna.yml": "name: log\n", "raw/big.yml": "source: {files: 'data/*.csv'}\n"})
        output(cache.python(), Path(__file__).with_name("big_log.py"), table, 10_000, 10)
    load = f"LOAD '{cache.delta_extension()}'"
    with_deltalake = ("import sys; from deltalake import DeltaTable, QueryBuilder; b = QueryBuilder().register('t', DeltaTable(sys.argv[1])); "
                      "t = b.execute(sys.argv[2]).read_all(); print('n'); print(t['n'].to_pylist()[0])")
    for what, select in {"counted": "SELECT count(*) AS n FROM {}", "one file found": "SELECT sum(value) AS n FROM {} WHERE id BETWEEN 400000 AND 400009"}.items():
        scan = select.format(f"delta_scan('{table}')")

        def contestant(name, *command):
            home = folder / f"{what}-{name}".replace(" ", "-")
            home.mkdir(exist_ok=True)
            return Contestant(name, home, command, answer=lambda: (home / "output.txt").read_text().split()[-1].strip('"'))

        yield Job(f"a table of 10,000 commits and 100,000 files, {what}", [
            contestant("Laguna", cache.laguna, "query", "--project", folder, "-o", "csv", select.format("raw.big")),
            contestant("duckdb command", cache.duckdb(), "-unsigned", "-csv", "-c", f"{load}; {scan}"),
            contestant("deltalake in Python", cache.python(), "-c", with_deltalake, table, select.format("t")),
        ])


def checks(cache, options):
    """Bytes that a build reads without, with one and with fifty checks. Counted, not timed."""
    folder, months = cache.work / "checks", flights_by_month(cache)
    remove(folder)
    with open(next(months.glob("*.csv"))) as file:
        columns = next(csv.reader(file))
    projects.write(folder, {"laguna.yml": "name: checks\n", "raw/flights.yml": f"source: {{files: '{months}/*.csv'}}\n"})
    projects.checked_models(folder, "raw.flights", columns)
    output(cache.laguna, "--quiet", "run", folder=folder)
    events = map(json.loads, output(cache.laguna, "run", "--full", "--explain", "--json", "enhanced", folder=folder).splitlines())
    found = {event["node"].removeprefix("enhanced."): (len(event["checks"]), event["metrics"]["bytes_read"]) for event in events if event["event"] == "task_finished"}
    table = ["| checks of a table | | bytes read |", "|---|---:|---:|"]
    table += [f"| {name} | {count} | {read:,.0f} |" for name, (count, read) in sorted(found.items(), key=lambda item: item[1])]
    yield Job("checks", [], lines=lambda: table)
    yield from expectations(cache)


def expectations(cache):
    """15 expectations on flights and on ten copies of it, whole processes from CSV. The copies repeat every key: one expectation fails there."""
    python = cache.bin("great_expectations", "python")
    for copies in (1, 10):
        data, folder = flights_in_one(cache, copies), cache.work / f"expectations-{copies}"
        remove(folder)
        folder.mkdir(parents=True)
        ours = [cache.laguna, "check", data, "--suite", CHECKS / "flights.json", "-o", "ge"]
        theirs = [python, CHECKS / "peer.py", data, CHECKS / "flights.json"]

        def verdicts(command):
            text = subprocess.run([str(word) for word in command], cwd=folder, capture_output=True, text=True).stdout
            results = json.loads(text)["results"]
            key = lambda result: json.dumps([result["expectation_config"]["type"], result["expectation_config"]["kwargs"].get("column")])
            return json.dumps(sorted((key(result), result["success"], result["result"].get("unexpected_count")) for result in results), indent=1)

        yield Job(f"15 expectations on flights from CSV, {336_776 * copies:,} rows", [
            Contestant("Laguna", folder, ours, answer=lambda: verdicts(ours), codes=(0, 1)),
            Contestant("Great Expectations", folder, theirs, answer=lambda: verdicts(theirs)),
        ], most_runs=3)


def tpch(cache, options):
    """The 22 queries of TPC-H over the lake's tables, and over the same Parquet files by others: in one process, and each alone."""
    data, folder, python = cache.data / "tpch", cache.work / "tpch", cache.bin("tpch", "python")
    if not data.exists():
        output(cache.bin("peers", "tpchgen-cli"), "-s", "1", "--format=csv", f"--output-dir={data}.part")
        data.with_name("tpch.part").rename(data)
    remove(folder)
    projects.tpch(folder, data)
    output(cache.laguna, "--quiet", "run", folder=folder)
    queries = sorted(TPCH.glob("q*.sql"))
    (folder / "all.sql").write_text("\n".join(query.read_text() for query in queries))
    ours = [cache.laguna, "query", "--project", folder, "-o", "ndjson", "-f"]
    # The lake is new, so all files of a table are those of its released version.
    peer = lambda engine: [python, TPCH / "peer.py", engine, folder / "lake/sanitized"]

    def answers(ask):
        return json.dumps({query.stem: sorted(map(rounded, ask(query))) for query in queries}, indent=1)

    def theirs(engine):
        found = json.loads(output(*peer(engine), "--json"))
        return answers(lambda query: found[query.stem])

    def contestant(name, command, answer):
        home = folder / name
        home.mkdir()
        return Contestant(name, home, command, answer=answer)

    yield Job("TPC-H, 22 queries in one process", [
        contestant("Laguna", [*ours, folder / "all.sql"],
                   lambda: answers(lambda query: [json.loads(line).values() for line in output(*ours, query).splitlines()])),
        contestant("DuckDB 2.0", peer("duckdb"), lambda: theirs("duckdb")),
        contestant("DataFusion", peer("datafusion"), lambda: theirs("datafusion")),
    ], lines=lambda: tpch_alone(ours, peer, queries, options.runs))


def tpch_alone(ours, peer, queries, runs):
    """Each query alone: Laguna as a whole process, the others within one that has started."""
    def process(query):
        start = time.perf_counter()
        output(*ours, query)
        return time.perf_counter() - start

    seconds = {"Laguna": {query.stem: statistics.median(process(query) for _ in range(runs)) for query in queries}}
    seconds |= {name: json.loads(output(*peer(name), "--times", runs)) for name in ("duckdb", "datafusion")}
    yield "| query | Laguna, whole process | DuckDB | DataFusion | Laguna beside DuckDB |"
    yield "|---|---:|---:|---:|---:|"
    for name in [query.stem for query in queries] + ["all"]:
        row = [times[name] if name != "all" else sum(times.values()) for times in seconds.values()]
        yield f"| {name} | " + " | ".join(f"{value:.3f}" for value in row) + f" | {row[0] / row[1]:.2f} x |"


def rounded(row):
    """A row as text, numbers to two places: engines give averages and quotients different types."""
    def cell(value):
        try:
            return f"{float(value) + 0.0:.2f}"
        except (TypeError, ValueError):
            return str(value)

    return "|".join(map(cell, row))


ALL = {"lineitem": lineitem, "flights": flights, "models": models, "query": query, "log": log, "checks": checks, "tpch": tpch}
