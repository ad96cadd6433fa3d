"""The independent readers, each behind one face: open a Delta table at a version, measure its columns, count rows, give all rows."""

from pathlib import Path

import deltalake
import duckdb
import polars as pl
import pyarrow as pa

DELTA = Path(duckdb.__file__).parent.parent / f"duckdb_extension_delta/extensions/v{duckdb.__version__}/delta.duckdb_extension"


def kind_of(type_):
    """Our word for an Arrow type, which decides what is measured."""
    words = [("text", pa.types.is_string), ("integer", pa.types.is_integer), ("double", pa.types.is_floating), ("boolean", pa.types.is_boolean),
             ("date", pa.types.is_date), ("timestamp", pa.types.is_timestamp), ("decimal", pa.types.is_decimal), ("binary", pa.types.is_binary)]
    return next((word for word, holds in words if holds(type_)), "nested")


def literal_type(type_):
    """The SQL type of a literal that equals values of this Arrow type without any rounding."""
    if pa.types.is_decimal(type_):
        return f"decimal({type_.precision},{type_.scale})"
    return "real" if pa.types.is_float32(type_) else kind_of(type_)


class Reader:
    instants = 1  # in microseconds, the finest unit that the reader gives
    slow = False  # a slow reader reads of each table the head and the oldest version

    def blind(self, columns):
        """Columns by which this reader must not be asked to filter."""
        return set()


class Sql(Reader):
    """What is measured, in SQL: the dialect of DataFusion, which is Laguna's. Subclasses name what differs in theirs."""

    sizes = {"text": "octet_length({})", "binary": "octet_length({})"}
    wide, micros, varchar, nan = "decimal(38,0)", "CAST({} AS bigint)", "varchar", "isnan({})"
    table, together = "t", 20  # how many counts are asked for in one query

    def quote(self, name):
        return '"' + name.replace('"', '""') + '"'

    def text(self, value):
        return "'" + value.replace("'", "''") + "'"

    def instant(self, micros):
        return f"arrow_cast({micros}, 'Timestamp(Microsecond, Some(\"UTC\"))')"

    def measures(self, name, kind):
        """Pairs of what is measured and its expression, for one column."""
        c = self.quote(name)
        found = [("values", f"count({c})")]
        if kind == "double":  # engines order NaN each in their own way, and the sum of huge numbers depends on the order of rows
            finite = f"CASE WHEN abs({c}) < CAST('Infinity' AS double) THEN CAST({c} AS double) + 0.0 END"
            found += [("nan", f"count(CASE WHEN {self.nan.format(c)} THEN 1 END)"), ("finite", f"count({finite})"),
                      ("sum", f"sum(CASE WHEN abs({c}) < 1e15 THEN CAST({c} AS double) END)"),
                      ("min", f"min({finite})"), ("max", f"max({finite})"), ("distinct", f"count(DISTINCT {finite})")]
        if kind == "boolean":
            found += [("true", f"count(CASE WHEN {c} THEN 1 END)")]
        if kind in ("text", "binary"):
            found += [("bytes", f"sum({self.sizes[kind].format(c)})")]
        if kind in ("text", "integer", "decimal", "date", "timestamp", "binary"):
            found += [("distinct", f"count(DISTINCT {c})")]
        if kind in ("text", "integer", "decimal"):
            found += [("min", f"min({c})"), ("max", f"max({c})")]
        if kind == "date":
            found += [("min", f"CAST(min({c}) AS {self.varchar})"), ("max", f"CAST(max({c}) AS {self.varchar})")]
        if kind == "timestamp":
            found += [("min", self.micros.format(f"min({c})")), ("max", self.micros.format(f"max({c})"))]
        if kind == "integer":
            found += [("sum", f"sum(CAST({c} AS {self.wide}))")]
        if kind == "decimal":
            found += [("sum", f"sum({c})")]
        return found

    def where(self, name, kind, value):
        """A condition that engines answer with a file's statistics: equality with one value, or null."""
        c = self.quote(name)
        if value is None:
            return f"{c} IS NULL"
        if kind == "text":
            return f"{c} = {self.text(value)}"
        if kind == "timestamp":
            return f"{c} = {self.instant(value)}"
        return f"{c} = {value}" if kind in ("integer", "boolean") else f"{c} = CAST('{value}' AS {kind})"

    def measure_sql(self, table, columns):
        expressions = [expression for name, kind in columns for _, expression in self.measures(name, kind)]
        return "SELECT count(*) AS m0" + "".join(f", {e} AS m{i + 1}" for i, e in enumerate(expressions)) + f" FROM {table}"

    def count_sql(self, table, probes):
        return " UNION ALL ".join(f"SELECT {i} AS i, count(*) AS n FROM {table} WHERE {self.where(*probe)}" for i, probe in enumerate(probes))

    def measure(self, columns):
        return list(self.fetch(self.measure_sql(self.table, columns))[0])

    def count(self, probes):
        parts = [probes[start : start + self.together] for start in range(0, len(probes), self.together)]
        return [n for part in parts for _, n in sorted(self.fetch(self.count_sql(self.table, part)))]


class DeltaLake(Sql):
    name = "deltalake"

    def __init__(self, path, version):
        self.opened = deltalake.DeltaTable(path, version=version)
        self.version = self.opened.version()

    def query(self, sql):
        return pa.table(deltalake.QueryBuilder().register("t", self.opened).execute(sql).read_all())

    def fetch(self, sql):
        return [tuple(row.values()) for row in self.query(sql).to_pylist()]

    def rows(self):
        return self.query("SELECT * FROM t")


class DuckDb(Sql):
    """DuckDB with its own Delta reader."""

    name = "duckdb"
    sizes = {"text": "strlen({})", "binary": "octet_length({})"}
    wide, micros = "hugeint", "epoch_us({})"

    def __init__(self, path, version):
        self.connection = duckdb.connect(config={"allow_unsigned_extensions": "true"})
        self.connection.execute(f"LOAD '{DELTA}'; SET TimeZone = 'UTC'; SET threads = 2")
        self.open(path, version)

    def instant(self, micros):
        return f"make_timestamptz({micros})"

    def open(self, path, version):
        self.table = f"delta_scan('{path}'" + (")" if version is None else f", version => {version})")

    def fetch(self, sql):
        return self.connection.execute(sql).fetchall()

    def rows(self):
        return self.connection.execute(f"SELECT * FROM {self.table}").to_arrow_table()


class PyArrow(DuckDb):
    """The PyArrow data set that `deltalake` makes of a table, asked in DuckDB's SQL."""

    name = "pyarrow"

    def open(self, path, version):
        self.path, self.version = path, version
        self.dataset = deltalake.DeltaTable(path, version=version).to_pyarrow_dataset()
        self.connection.register("t", self.dataset)
        self.table = "t"

    def rows(self):
        return self.dataset.to_table()

    def blind(self, columns):
        """`deltalake` makes `column <= null` of a bound that is missing, which leaves the file out. Ours are missing where the format has no word
        for them: beside NaN, and at the end of the year 9999."""
        files = pa.table(deltalake.DeltaTable(self.path, version=self.version).get_add_actions(flatten=True)).to_pylist()

        def lacks(file, bound, name):  # a column beyond the first 32 has no statistics here, and a column of nulls has no bounds
            return f"null_count.{name}" in file and file.get(f"{bound}.{name}") is None and file[f"null_count.{name}"] != file["num_records"]

        return {name for name, kind in columns if kind in ("double", "timestamp")
                if any(lacks(file, bound, name) for file in files for bound in ("min", "max"))}


class Polars(Reader):
    name = "polars"

    def __init__(self, path, version):
        self.frame = pl.scan_delta(path, version=version)

    def measure(self, columns):
        expressions = [expression.alias(f"{name}/{what}") for name, kind in columns for what, expression in self.measures(name, kind)]
        return list(self.frame.select(pl.len().alias("count"), *expressions).collect().row(0))

    def measures(self, name, kind):
        """The pairs of `Sql.measures`, in the same order."""
        c = pl.col(name)
        found = [("values", c.count())]
        if kind == "double":
            finite, small = c.filter(c.is_finite()).cast(pl.Float64) + 0.0, c.filter(c.abs() < 1e15).cast(pl.Float64)
            found += [("nan", c.is_nan().sum()), ("finite", finite.count()), ("sum", pl.when(small.count() > 0).then(small.sum())),
                      ("min", finite.min()), ("max", finite.max()), ("distinct", finite.n_unique())]
        if kind == "boolean":
            found += [("true", c.sum())]
        if kind in ("text", "binary"):
            length = c.str.len_bytes() if kind == "text" else c.bin.size()
            found += [("bytes", pl.when(c.count() > 0).then(length.cast(pl.Int64).sum()))]
        if kind in ("text", "integer", "decimal", "date", "timestamp", "binary"):
            found += [("distinct", c.drop_nulls().n_unique())]
        if kind in ("text", "integer", "decimal"):
            found += [("min", c.min()), ("max", c.max())]
        if kind == "date":
            found += [("min", c.min()), ("max", c.max())]
        if kind == "timestamp":
            found += [("min", c.min().dt.epoch("us")), ("max", c.max().dt.epoch("us"))]
        if kind == "integer":
            found += [("sum", pl.when(c.count() > 0).then(c.cast(pl.Int128).sum()))]
        if kind == "decimal":
            found += [("sum", pl.when(c.count() > 0).then(c.sum()))]
        return found

    def count(self, probes):
        frames = [self.frame.filter(self.where(*probe)).select(pl.len()) for probe in probes]
        return [frame.item() for frame in pl.collect_all(frames)]

    def where(self, name, kind, value):
        c = pl.col(name)
        if value is None:
            return c.is_null()
        if kind == "date":
            return c == pl.lit(value).str.to_date()
        if kind == "timestamp":
            return c == pl.lit(value).cast(pl.Datetime("us", "UTC"))
        if kind.startswith("decimal"):
            precision, scale = kind[8:-1].split(",")
            return c == pl.lit(value).cast(pl.Decimal(int(precision), int(scale)))
        if kind in ("double", "real"):
            return c == pl.lit(float(value)).cast(pl.Float64 if kind == "double" else pl.Float32)
        return c == pl.lit(value)

    def rows(self):
        return self.frame.collect().to_arrow()


READERS = [DeltaLake, PyArrow, Polars, DuckDb]
