"""A small project with every type, odd values and every kind of table, and the runs that make its lake."""

import datetime as dt
import decimal
import gzip
import json
import math
import struct
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

UTC = dt.timezone.utc
D = decimal.Decimal

# Values of a partition column that ask for escaping in paths. Not among them is the text `__HIVE_DEFAULT_PARTITION__`, which Polars takes for null.
ODD = [None, "plain", "a b", "a/b", "a=b", "a:b", "a%b", "%41", "a+b", "a#b?c&d", "a\\b", "a'b", 'a"b', "é", "e\u0301", "日本語", "🦆",
       ".", "..", " lead", "trail ", "tab\there", "line\nbreak", "null", "NULL", "*[x]{y}", "~", "x" * 120]

PROJECT = {
    "laguna.yml": "name: matrix\nlake: ./lake\n",
    # Parquet in, every type.
    "raw/types.yml": "source: {files: 'data/types/*.parquet'}\n",
    "sanitized/types.sql": "SELECT * FROM raw.types\n",
    "enhanced/types_sorted.sql": "SELECT * FROM raw.types\n",
    "enhanced/types_sorted.yml": "sort: [double, text]\n",
    "enhanced/nested.sql": "SELECT id, person, numbers, people, counts, by_name FROM sanitized.types\n",
    # The SQL engine's own types.
    "sanitized/computed.sql": """
        SELECT id, CAST(id AS smallint) AS small, CAST(id AS integer) AS whole, CAST(id AS real) / 3 AS single, CAST(id AS double) / 3 AS double,
            CAST(id AS decimal(38, 10)) / 7 AS wide, CAST(id AS decimal(5, 2)) AS narrow, id % 2 = 0 AS even,
            CAST('2024-02-29' AS date) + CAST(id AS integer) AS day, to_timestamp_seconds(id * 86400 * 365) AS at,
            CAST('x' || id AS bytea) AS bytes, make_array(id, NULL, id + 1) AS list, named_struct('a', id, 'b', NULLIF('x', 'x')) AS pair,
            CASE WHEN id > 3 THEN 'greater' END AS word, count(*) OVER () AS n, row_number() OVER (ORDER BY id) AS place
        FROM raw.types WHERE id < 1000
        """,
    # CSV and JSON in.
    "raw/words.yml": "source: {files: 'data/words/*.csv'}\ncolumns: {price: 'decimal(38,10)', zip: text}\n",
    "sanitized/words.sql": "SELECT * FROM raw.words\n",
    "raw/events.yml": "source: {files: 'data/events/*.json*'}\nmode: upsert\nkey: [id]\norder: at\n",
    "sanitized/events.sql": "SELECT * FROM latest.events\n",
    "raw/changes.yml": "source: {files: 'data/changes/*.csv'}\nmode: changes\nkey: [id]\norder: changed_at\n",
    "raw/stock.yml": "source: {files: 'data/stock.csv'}\nmode: snapshot\n",
    "raw/header.yml": "source: {files: 'data/header.csv'}\n",
    # Shapes of tables.
    "enhanced/empty.sql": "SELECT * FROM sanitized.types WHERE false\n",
    "enhanced/empty_partitioned.sql": "SELECT id, text FROM sanitized.types WHERE false\n",
    "enhanced/empty_partitioned.yml": "partition: [text]\n",
    # So many values that whole numbers and times are written as packed differences.
    "raw/many.yml": "source: {files: 'data/many.parquet'}\n",
    "sanitized/many.sql": "SELECT id, at, share, amount, _ingested_at FROM raw.many WHERE id <> 0\n",
    "raw/odd.yml": "source: {files: 'data/odd.parquet'}\n",
    "enhanced/by_place.sql": "SELECT place, id, amount FROM raw.odd\n",
    "enhanced/by_place.yml": "partition: [place]\nsort: [id]\n",
    "enhanced/by_types.sql": """
        SELECT id, text, CAST(small AS smallint) AS small, boolean, date, date AS other_date, money, instant
        FROM sanitized.types WHERE id <= 12
        """,
    "enhanced/by_types.yml": "partition: [small, boolean, date, money, instant]\n",
    "enhanced/wide.sql": "SELECT id, {% for i in range(60) %}id * {{ i }} AS c{{ i }}, {% endfor %}'last' AS last FROM raw.odd\n",
    "raw/days.yml": "source: {files: 'data/days/*.csv'}\n",
    "enhanced/by_day.sql": "SELECT day, count(*) AS n, sum(amount) AS amount FROM raw.days GROUP BY day\n",
    "enhanced/by_day.yml": "materialize: {incremental: {key: [day], watermark: day, lookback: 1d}}\n",
    "enhanced/by_day_partitioned.sql": "SELECT date_trunc('month', day) AS month, day, count(*) AS n FROM raw.days GROUP BY day\n",
    "enhanced/by_day_partitioned.yml": "materialize: {incremental: {key: [day], watermark: day, lookback: 1d}}\npartition: [month]\n",
    "enhanced/blocked.sql": "SELECT day, amount FROM raw.days\n",
    "enhanced/blocked.yml": "checks: [{between: {column: amount, min_value: 0}}]\n",
    "enhanced/aside.sql": "SELECT day, amount FROM raw.days\n",
    "enhanced/aside.yml": "on_fail: quarantine\nchecks: [{between: {column: amount, min_value: 0}}]\n",
    "enhanced/back.sql": "SELECT day, sum(amount) AS amount, count(*) AS n FROM raw.days GROUP BY 1\n",
    "enhanced/a_view.sql": "SELECT count(*) AS n FROM raw.days\n",
    "enhanced/a_view.yml": "materialize: view\n",
}


def types_table(first, rows):
    """Columns of every type that Laguna lands. The first rows hold extremes, later ones ordinary values; each column has nulls."""

    def column(extremes, ordinary):
        values = extremes + [ordinary(i) for i in range(first, first + rows - len(extremes))]
        return [None if i % 11 == 10 else value for i, value in enumerate(values[:rows])]

    instants = [dt.datetime(1, 1, 1, tzinfo=UTC), dt.datetime(1969, 12, 31, 23, 59, 59, 999999, UTC), dt.datetime(1582, 10, 4, tzinfo=UTC),
                dt.datetime(9999, 12, 31, 23, 59, 59, 999999, UTC), dt.datetime(1970, 1, 1, tzinfo=UTC), dt.datetime(2024, 2, 29, 12, 0, 0, 1, UTC)]
    instant = lambda i: dt.datetime(2024, 1, 1, tzinfo=UTC) + dt.timedelta(hours=i, microseconds=i * 7)
    naive = lambda values: [value and value.replace(tzinfo=None) for value in values]
    texts = ["", " ", "é", "e\u0301", "日本語", "🦆🦆", "a\nb", "a\tb", 'say "x"', "it's", "\\", "NULL", "\u0000", "\uffff", "\U0010ffff", "z" * 500, "🦆" * 40]
    people = [{"name": "Ada", "born": dt.date(1815, 12, 10), "at": {"x": 1.5, "y": None}}, {"name": None, "born": None, "at": None},
              {"name": "", "born": dt.date(1, 1, 1), "at": {"x": math.inf, "y": -0.0}}]
    person = pa.struct([("name", pa.string()), ("born", pa.date32()), ("at", pa.struct([("x", pa.float64()), ("y", pa.float64())]))])
    doubles = [math.nan, math.inf, -math.inf, -0.0, 5e-324, 1.7976931348623157e308, -1.7976931348623157e308, 0.1]
    whole = lambda bits: [-2 ** (bits - 1), 2 ** (bits - 1) - 1, 0, -1]
    columns = {
        "id": pa.array(range(first, first + rows), pa.int64()),
        "text": pa.array(column(texts, lambda i: f"row {i}"), pa.string()),
        "large_text": pa.array(column(texts, lambda i: f"row {i}"), pa.large_string()),
        "word": pa.array(column(["", "é"], lambda i: f"w{i % 5}"), pa.string()).dictionary_encode(),
        "big": pa.array(column(whole(64), lambda i: i * 1000), pa.int64()),
        "medium": pa.array(column(whole(32), lambda i: i), pa.int32()),
        "small": pa.array(column(whole(16), lambda i: i % 100), pa.int16()),
        "tiny": pa.array(column(whole(8), lambda i: i % 100), pa.int8()),
        "unsigned8": pa.array(column([0, 255], lambda i: i % 200), pa.uint8()),
        "unsigned16": pa.array(column([0, 65535], lambda i: i % 200), pa.uint16()),
        "unsigned32": pa.array(column([0, 2**32 - 1], lambda i: i), pa.uint32()),
        "unsigned64": pa.array(column([0, 2**64 - 1], lambda i: i), pa.uint64()),
        "double": pa.array(column(doubles, lambda i: i / 3), pa.float64()),
        "plain_double": pa.array(column([-1e300, 1e300], lambda i: i / 3), pa.float64()),
        "real": pa.array(column([math.nan, math.inf, -0.0, 1e-45, 3.4028234663852886e38], lambda i: i / 4), pa.float32()),
        "boolean": pa.array(column([True, False], lambda i: i % 3 == 0), pa.bool_()),
        "date": pa.array(column([t.date() for t in instants], lambda i: dt.date(2024, 1, 1) + dt.timedelta(i % 300)), pa.date32()),
        "instant": pa.array(column(instants, instant), pa.timestamp("us", "UTC")),
        "instant_ny": pa.array(column(instants[1:2] + instants[4:], instant), pa.timestamp("us", "America/New_York")),
        "local": pa.array(naive(column(instants, instant)), pa.timestamp("us")),
        "millis": pa.array(naive(column([t.replace(microsecond=0) for t in instants], lambda i: instant(i).replace(microsecond=0))), pa.timestamp("ms")),
        "nanos": pa.array(naive(column([instants[1]], instant)), pa.timestamp("ns")),
        "wide": pa.array(column([D("9999999999999999999999999.9999999999"), D("-9999999999999999999999999.9999999999"), D("0E-10"), D("0.0000000001")],
                                lambda i: D(i).scaleb(-3)), pa.decimal128(38, 10)),
        "widest": pa.array(column([D("3" * 38), D("-" + "3" * 38), D(0)], lambda i: D(i)), pa.decimal128(38, 0)),
        "money": pa.array(column([D("-999.99"), D("999.99"), D("0.00")], lambda i: D(i % 9).scaleb(-1)), pa.decimal128(5, 2)),
        "fraction": pa.array(column([D("0.999999999999999999"), D("-1E-18")], lambda i: D(i % 1000).scaleb(-18)), pa.decimal128(18, 18)),
        "bytes": pa.array(column([b"", b"\x00", b"\xff\xfe", bytes(range(256))], lambda i: struct.pack(">q", i)), pa.binary()),
        "fixed": pa.array(column([b"\x00" * 4, b"\xff" * 4], lambda i: struct.pack(">i", i)), pa.binary(4)),
        "person": pa.array(column(people, lambda i: people[i % 3]), person),
        "numbers": pa.array(column([[], [None], [1, None, -(2**63)]], lambda i: list(range(i % 4))), pa.list_(pa.int64())),
        "people": pa.array(column([[], [None], people], lambda i: people[: i % 4]), pa.list_(person)),
        "matrix": pa.array(column([[], [[]], [None, [1.5, None]]], lambda i: [[float(i)], []]), pa.list_(pa.list_(pa.float64()))),
        "counts": pa.array(column([[], [("", 0)], [("é", None), ("b", 2)]], lambda i: [("k", i)]), pa.map_(pa.string(), pa.int64())),
        "by_name": pa.array(column([[], [("x", people[0])], [("y", None)]], lambda i: [(f"p{i % 3}", people[i % 3])]), pa.map_(pa.string(), person)),
        "nothing": pa.nulls(rows, pa.string()),
        "later": pa.array([None] * rows if first == 0 else [f"later {i}" for i in range(rows)], pa.string()),
    }
    return pa.table(columns)


WORDS = '''id,Name,"a b","Größe (cm)","total=sum",zip,price,flag,day,at,text
1,Ada,x,1.5,1,01234,0.1,true,2024-02-29,2024-02-29T12:00:00.000001Z,plain
2,"",,,,,,,,,""
3,NA,NULL,-0.0,9223372036854775807,00000,-1234567890123456789012345678.0123456789,false,0001-01-01,1969-12-31T23:59:59.999999Z,"line
break, and ""quotes"""
4,日本語,🦆,1e300,-9223372036854775808,99999,1234567890123456789012345678.9999999999,TRUE,9999-12-31,9999-12-31T23:59:59.999999Z,"\\"
'''


def write_data(folder, batch):
    """The files that arrive before run number `batch`."""
    data = folder / "data"
    for name in ["types", "words", "events", "changes", "days"]:
        (data / name).mkdir(parents=True, exist_ok=True)
    pq.write_table(types_table((batch - 1) * 1000, 500), data / f"types/{batch}.parquet")
    days = [(dt.date(2023, 12, 28) + dt.timedelta(3 * batch + i), i - (batch == 2)) for i in range(5) for _ in range(40)]
    (data / f"days/{batch}.csv").write_text("day,amount\n" + "".join(f"{day},{amount}\n" for day, amount in days))
    with gzip.open(data / f"events/{batch}.json.gz", "wt", encoding="utf-8") as file:
        for i in range(300):
            event = {"id": i * batch, "at": f"2024-0{batch}-01T00:{i % 60:02}:00Z", "name": "é" * (i % 3), "n": i, "share": i / 7, "ok": i % 2 == 0,
                     "tags": ["a", None][: i % 3], "place": {"lat": i / 9, "names": {"en": "x"}} if i % 4 else None}
            if batch > 1:
                event["added"] = {"level": i, "why": None if i % 2 else "new"}
            file.write(json.dumps(event) + "\n")
    ops = ["insert", "insert,update", "update,delete"][batch - 1].split(",")
    (data / f"changes/{batch}.csv").write_text(
        "id,_op,changed_at,value\n" + "".join(f"{i},{ops[i % len(ops)]},2024-01-0{batch}T00:00:00Z,{i}.{batch}\n" for i in range(60)))
    (data / "stock.csv").write_text("sku,left\n" + "".join(f"s{i},{i * batch}\n" for i in range(10 + batch)))
    if batch == 1:
        (data / "words/1.csv").write_text(WORDS, encoding="utf-8")
        (data / "header.csv").write_text("a,b\n")
        scattered = [(i * 6364136223846793005 + 1442695040888963407) % 2**64 - 2**63 for i in range(20_000)]
        some = lambda values: [None if i % 7 == 3 else value for i, value in enumerate(values)]
        pq.write_table(pa.table({"id": scattered, "at": pa.array(some([value // 2**12 for value in scattered]), pa.timestamp("us", "UTC")),
                                 "share": some([value / 3 for value in scattered]),
                                 "amount": pa.array(some([D(value).scaleb(-2) for value in scattered]), pa.decimal128(20, 2))}), data / "many.parquet")
        rows = [(place, 100 * i + j, D(j).scaleb(-2)) for i, place in enumerate(ODD) for j in range(3)]
        pq.write_table(pa.table({"place": [r[0] for r in rows], "id": [r[1] for r in rows],
                                 "amount": pa.array([r[2] for r in rows], pa.decimal128(10, 2))}), data / "odd.parquet")
    if batch == 2:
        (data / "words/2.csv").write_text("id,Name,price,new_column\nx,not a number,1,1\n5,Bo,2,true\n6,Cy,3\n7,Di,oops,\n", encoding="utf-8")


def build(folder: Path, laguna):
    """Writes the project and makes its lake; `laguna(arguments, exit_code)` runs the binary."""
    for name, text in PROJECT.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    write_data(folder, 1)
    laguna(["run"], 0)
    write_data(folder, 2)
    laguna(["run"], 1)  # a negative amount: `blocked` keeps its version, `aside` sets rows aside
    laguna(["rollback", "--to", "1", "enhanced.back", "enhanced.by_day"], 0)
    laguna(["run"], 1)  # what was rolled back is held, `blocked` is refused again or still
    write_data(folder, 3)
    laguna(["run"], 1)
    laguna(["run", "--full", "enhanced.by_place", "enhanced.types_sorted"], 0)
    for _ in range(20):  # until these tables have a checkpoint
        laguna(["run", "--full", "enhanced.by_types", "enhanced.by_place", "enhanced.nested"], 0)
    if not list(folder.glob("lake/enhanced/by_types/_delta_log/*.checkpoint.parquet")):
        raise RuntimeError("no checkpoint was written after 20 commits")
    laguna(["maintain"], 0)  # files are joined: heads and released versions read as before
