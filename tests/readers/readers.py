"""Independent readers open what Laguna writes, and must see what Laguna sees.

    python readers.py LAGUNA_BINARY [--keep FOLDER] [--servers FOLDER] [--tables TEXT]

Needs the packages of `requirements.txt`; with `--servers` those of `requirements-java.txt` too, and Spark and Trino read besides. Two lakes are made in a temporary folder: the flights example, and `matrix.py`. Every folder with a
Delta log is read at its head, which must be what the newest release names, and at every version that an earlier release names. Compared with
`laguna query` are: rows; sums, extremes, nulls and distinct values of each column; counts under filters, which readers answer with the help of
statistics; all rows of small tables.
"""

import argparse
import collections
import decimal
import json
import math
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

import engines
import jvm
import matrix
import spark
import trinodb

EXAMPLE = Path(__file__).resolve().parents[2] / "examples/flights"
decimal.getcontext().prec = 100  # never round
ALL_ROWS = 20_000  # of a table with at most so many, every row is compared
OLD_VERSIONS = 2  # so many of a table's first versions, and of its last ones before the head

# What a reader cannot read, although the format allows it.
LIMITS = {("pyarrow", "enhanced.by_types"): "deltalake's data set writes the negative decimal of a partition as -999.-99"}
# Partitioned by an instant: Trino cuts such values to milliseconds, while it rounds those in files.
BY_INSTANT = {"enhanced.by_types"}
SERVERS = [spark.Spark, trinodb.Trino]


class Laguna:
    def __init__(self, binary, project):
        self.binary, self.project = binary, project
        self.dialect = engines.Sql()

    def __call__(self, arguments, exit_code=0, quiet=True):
        command = [self.binary, "--project", self.project] + ["--quiet"] * quiet + arguments
        done = subprocess.run(command, capture_output=True)
        if done.returncode != exit_code:
            sys.exit(f"{' '.join(map(str, command))}: exit code {done.returncode}, expected {exit_code}\n{done.stderr.decode()}")
        return done.stdout

    def query(self, sql):
        return json.loads(self(["query", "-o", "json", sql]), parse_float=decimal.Decimal)

    def rows(self, table, limit=ALL_ROWS + 1):
        return pa.ipc.open_stream(self(["query", "-o", "arrow", f"SELECT * FROM {table} LIMIT {limit}"])).read_all()

    def coarser(self, table, micros):
        """`table` as seen by a reader that rounds instants to so many microseconds."""
        def cut(field):
            name = self.dialect.quote(field.name)
            value = f"CAST({name} AS bigint) + {0 if table.split()[0] in BY_INSTANT else micros // 2}"
            rounded = self.dialect.instant(f"{value} - (({value}) % {micros} + {micros}) % {micros}")
            return f"{rounded} AS {name}" if pa.types.is_timestamp(field.type) else name

        return f"(SELECT {', '.join(map(cut, self.rows(table, limit=0).schema))} FROM {table})"

    def measure(self, table, columns):
        return list(self.query(self.dialect.measure_sql(table, columns))[0].values())

    def count(self, table, probes):
        return [row["n"] for row in sorted(self.query(self.dialect.count_sql(table, probes)), key=lambda row: row["i"])]


def folders(lake):
    """Every Delta table below the root, as (tier, name)."""
    return sorted((log.parent.parent.name, log.parent.name) for log in lake.glob("*/*/_delta_log"))


def versions(laguna, lake):
    """What is to be read: (folder, version or None for the head, the table in Laguna's words, the version that the newest release names)."""
    released = laguna.query('SELECT "table", version FROM system.release_tables WHERE version IS NOT NULL GROUP BY 1, 2 ORDER BY max(release)')
    newest = {row["table"]: row["version"] for row in released}
    for tier, name in folders(lake):
        table = f"{tier}.{name}"
        yield lake / tier / name, None, table, newest.get(table)
        old = sorted({row["version"] for row in released if row["table"] == table} - {newest.get(table)})
        for version in sorted({*old[:OLD_VERSIONS], *old[-OLD_VERSIONS:]}):
            yield lake / tier / name, version, f"{table} FOR VERSION AS OF {version}", version


def plain(value, type_=None):
    """A value as text that is equal for equal values, whatever library gave it."""
    if value is None:
        return "null"
    if type_ is not None and pa.types.is_struct(type_):
        items = [value[field.name] for field in type_] if isinstance(value, dict) else value
        return "{" + ", ".join(f"{field.name}: {plain(item, field.type)}" for field, item in zip(type_, items, strict=True)) + "}"
    if type_ is not None and pa.types.is_map(type_):
        pairs = value.items() if isinstance(value, dict) else [(item["key"], item["value"]) if isinstance(item, dict) else item for item in value]
        return "<" + ", ".join(sorted(f"{plain(k, type_.key_type)}: {plain(v, type_.item_type)}" for k, v in pairs)) + ">"
    if type_ is not None and pa.types.is_list(type_):
        return "[" + ", ".join(plain(item, type_.value_type) for item in value) + "]"
    if isinstance(value, decimal.Decimal):
        return format(value.normalize() + 0, "f") if value else "0"
    return repr(value) if isinstance(value, (float, str, bytes)) else str(value)


def bag(table, schema):
    """All rows as a multiset, the columns in the order of `schema`. Instants are microseconds: Python's end with the year 9999."""

    def values(field):
        column = table.column(field.name)
        micros = isinstance(column, pa.ChunkedArray) and pa.types.is_timestamp(column.type)
        return (column.cast(pa.timestamp("us", column.type.tz)).cast(pa.int64()) if micros else column).to_pylist()

    columns = [[plain(value, field.type) for value in values(field)] for field in schema]
    return collections.Counter(zip(*columns))


def same(ours, theirs):
    if ours is None or theirs is None:
        return ours is theirs
    if isinstance(theirs, float) and (math.isnan(theirs) or math.isinf(theirs)):
        return False
    if isinstance(theirs, float):
        return math.isclose(float(ours), theirs, rel_tol=1e-9, abs_tol=1e-300)
    if isinstance(theirs, (int, decimal.Decimal)) and not isinstance(theirs, bool):
        return decimal.Decimal(str(ours)) == theirs
    return str(ours) == str(theirs)


class Truth:
    """What Laguna says about one version of a table; asked once, compared with every reader."""

    def __init__(self, laguna, table, instants):
        if instants != engines.Reader.instants:
            table = laguna.coarser(table, instants)
        rows = laguna.rows(table)
        self.schema = rows.schema
        self.columns = [(field.name, engines.kind_of(field.type)) for field in self.schema]
        self.labels = ["rows"] + [f"{name} {what}" for name, kind in self.columns for what, _ in laguna.dialect.measures(name, kind)]
        self.measured = laguna.measure(table, self.columns)
        measured = dict(zip(self.labels, self.measured))
        self.probes = []
        for field, (name, kind) in zip(self.schema, self.columns):
            ends = [True, False] if kind == "boolean" else [measured.get(f"{name} {end}") for end in ("min", "max")]
            ends = [format(end, "f") if kind == "decimal" and end is not None else end for end in ends]
            self.probes += [(name, engines.literal_type(field.type), value) for value in dict.fromkeys([None] + ends)]
        self.counts = laguna.count(table, self.probes)
        self.bag = bag(rows, self.schema) if rows.num_rows <= ALL_ROWS else None

    def differences(self, reader, blind):
        """What `reader` sees otherwise; it is not asked to filter by `blind` columns."""
        for label, ours, theirs in zip(self.labels, self.measured, reader.measure(self.columns), strict=True):
            if not same(ours, theirs):
                yield f"{label}: {ours!r}, the reader says {theirs!r}"
        asked = [(probe, count) for probe, count in zip(self.probes, self.counts) if probe[0] not in blind]
        for (probe, ours), theirs in zip(asked, reader.count([probe for probe, _ in asked]), strict=True):
            if ours != theirs:
                yield f"rows with {probe[0]} = {probe[2]!r}: {ours}, the reader says {theirs}"
        if self.bag is not None:
            theirs = bag(reader.rows(), self.schema)
            for mine, other in zip(sorted((self.bag - theirs).elements())[:3], sorted((theirs - self.bag).elements())[:3]):
                cells = [f"{field.name}: {a} is {b}" for field, a, b in zip(self.schema, mine, other) if a != b]
                yield f"a row differs: {'; '.join(cells)}"
            if sum(self.bag.values()) != sum(theirs.values()):
                yield f"{sum(self.bag.values())} rows, the reader gives {sum(theirs.values())}"


class Score:
    def __init__(self):
        self.passed, self.failed, self.skipped = 0, 0, 0

    def __call__(self, what, problems):
        print(f"{'FAILED' if problems else 'ok':<7} {what}", flush=True)
        for problem in problems[:12]:
            print(f"          {problem[:600]}", flush=True)
        self.passed, self.failed = self.passed + (not problems), self.failed + bool(problems)


def compare(laguna, lake, readers, score, text=""):
    oldest = {}
    for folder, version, table, released in versions(laguna, lake):
        if text not in f"{folder.parent.name}.{folder.name}":
            continue
        what = f"{lake.parent.name} {folder.parent.name}.{folder.name} " + ("head" if version is None else f"version {version}")
        truths, first = {}, version is None or oldest.setdefault(table.split()[0], version) == version
        for reader in (reader for reader in readers if first or not reader.slow):
            if limit := LIMITS.get((reader.name, f"{folder.parent.name}.{folder.name}")):
                print(f"skipped {what}, {reader.name}: {limit}")
                continue
            if folder.parent.name != "system" and reader.instants not in truths:
                truths[reader.instants] = Truth(laguna, table, reader.instants)
            truth, blind = truths.get(reader.instants), set()
            try:
                opened = reader(str(folder), version)
                blind = opened.blind(truth.columns) if truth else blind
                problems = system_differences(opened) if truth is None else list(truth.differences(opened, blind))
                if reader is engines.DeltaLake and version is None and released not in (None, opened.version):
                    problems.append(f"the head is {opened.version}, the newest release names {released}")
            except Exception as error:
                problems = [f"{type(error).__name__}: {error}"]
            score(f"{what}, {reader.name}" + f" (no filters on {', '.join(sorted(blind))})" * bool(blind), problems)


def files_differences(laguna):
    """What `raw.types` holds otherwise than the Parquet files that it was landed from, which PyArrow reads."""
    ours, source = laguna.rows("raw.types"), pq.read_table(laguna.project / "data/types")
    schema = pa.schema([ours.schema.field(name) for name in source.column_names])
    theirs = source.set_column(source.column_names.index("nanos"), "nanos", source["nanos"].cast(pa.timestamp("us")))
    missing = bag(theirs, schema) - bag(ours, schema)
    return [f"{sum(missing.values())} of {source.num_rows} rows are not in the table"] if missing or ours.num_rows != source.num_rows else []


def system_differences(reader):
    """Laguna unites these tables with what is not folded into them yet, so they are only to be readable."""
    return [] if reader.rows().num_rows > 0 else ["no rows"]


def make(binary, root):
    """The lakes, each with the `laguna` that reads it."""
    shutil.copytree(EXAMPLE, root / "flights", ignore=shutil.ignore_patterns("lake"))
    flights = Laguna(binary, root / "flights")
    flights(["run"])
    (root / "matrix").mkdir()
    types = Laguna(binary, root / "matrix")
    matrix.build(root / "matrix", types)
    return types, flights


def start(servers, root, score):
    """Those of `SERVERS` that this machine can host; the others are named."""
    for server in SERVERS:
        try:
            server.start(servers, root)
            yield server
        except jvm.Missing as reason:
            score.skipped += 1
            print(f"SKIPPED: {server.name}: {reason}", flush=True)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("laguna", type=Path)
    arguments.add_argument("--keep", type=Path, help="make the lakes here and leave them")
    arguments.add_argument("--servers", type=Path, help="read with Spark and Trino too, which are installed here and kept")
    arguments.add_argument("--tables", default="", help="read only tables whose name holds this text")
    options = arguments.parse_args()
    score = Score()
    with tempfile.TemporaryDirectory() as temporary:
        root = (options.keep or Path(temporary)).resolve()
        types, flights = make(options.laguna.resolve(), root)
        score("matrix raw.types, against its files", files_differences(types))
        servers = list(start(options.servers.resolve(), root, score)) if options.servers else []
        try:
            for laguna in [types, flights]:
                compare(laguna, laguna.project / "lake", engines.READERS + servers, score, options.tables)
        finally:
            for server in servers:
                server.stop()
    print(f"{score.passed} passed, {score.failed} failed, {score.skipped} skipped")
    return 1 if score.failed else 0


if __name__ == "__main__":
    sys.exit(main())
