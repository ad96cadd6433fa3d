"""Asks Laguna and PostgreSQL 15 the same statements about the same rows, and compares what psql would show: rows, names of columns, codes of errors.

    postgres_alike.py LAGUNA_DSN REFERENCE_DSN STATEMENTS DATA

STATEMENTS has one statement a line; those below a line `-- zones NAME…` are asked in each of these time zones. DATA is the folder of the flights. Prints one line a difference
and leaves 1 when there is one.
"""

import csv
import gzip
import io
import sys
from pathlib import Path

import psycopg
from psycopg import pq

# The same as the models of the test make them.
TABLES = """
create schema raw; create schema if not exists sanitized;
create table raw.flights (year bigint, month bigint, day bigint, dep_time bigint, sched_dep_time bigint, dep_delay bigint, arr_time bigint, sched_arr_time bigint,
    arr_delay bigint, carrier text, flight bigint, tailnum text, origin text, dest text, air_time bigint, distance bigint, hour bigint, minute bigint, time_hour timestamptz);
create table sanitized.airlines (carrier text, name text);
create table sanitized.airports (faa text, name text, lat float8, lon float8, alt bigint, tz bigint, dst text, tzone text);
"""
MADE = """
create table sanitized.flights as select year::int, month::int, day::int, dep_time::int, dep_delay::int, arr_delay::int, carrier, flight::int, tailnum, origin, dest,
    air_time::int, distance, time_hour from raw.flights;
create table sanitized.t as select * from (values
    (1::bigint, 'one', 1.50::numeric, 0.1::float8, true, date '2013-01-31', timestamptz '2013-01-31 10:20:30.123456Z', '{"a": 1, "b": [1, 2, {"c": "x"}], "s": "text"}', 'a,b,c'),
    (2, 'two', -2.25, 1e20, false, date '2012-02-29', timestamptz '2012-02-29 00:00:00Z', '{"a": null, "b": []}', 'x'),
    (3, 'Three', 1234567.89, -3.5, null, date '1999-12-31', timestamptz '1999-12-31 23:59:59.999Z', '[1, "zwei", true]', ''),
    (4, 'Ünï', 0, 0, true, null, null, '{"n": {"m": 2.50}}', 'a b  c'),
    (5, null, null, null, false, date '2013-07-04', timestamptz '2013-07-04 12:00:00Z', null, null)) as t (id, name, price, x, flag, day, at, doc, list);
alter table sanitized.t alter price type numeric(10, 2);
"""


def fill(dsn, data):
    """Makes the tables of the reference."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("set timezone = 'UTC'")
        connection.execute(TABLES)
        files = {"raw.flights": "flights/2013-01.csv.gz", "sanitized.airlines": "airlines.csv.gz", "sanitized.airports": "airports.csv.gz"}
        for table, file in files.items():
            text = gzip.decompress((Path(data) / file).read_bytes()).decode()
            columns = ", ".join(next(csv.reader(io.StringIO(text))))
            with connection.cursor().copy(f"copy {table} ({columns}) from stdin with (format csv, header, null 'NA')") as copy:
                copy.write(text)
        connection.execute(MADE)
        connection.execute("analyze")


def connect(dsn):
    connection = pq.PGconn.connect(dsn.encode())
    if connection.status != pq.ConnStatus.OK:
        sys.exit(connection.error_message.decode())
    connection.exec_(b"set search_path = sanitized")
    return connection


def answer(connection, sql):
    """Names and rows as texts, or the code of the error."""
    result = connection.exec_(sql.encode())
    if result.status not in (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK):
        return result.error_field(pq.DiagnosticField.SQLSTATE), result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY)
    names = [result.fname(column) for column in range(result.nfields)]
    rows = [tuple(result.get_value(row, column) for column in range(result.nfields)) for row in range(result.ntuples)]
    # Rows in no order may come in any.
    return names, rows if b"order by" in sql.lower().encode() else sorted(rows, key=repr)


def main():
    laguna, reference, file, data = sys.argv[1:]
    fill(reference, data)
    ours, theirs = connect(laguna), connect(reference)
    asked, wrong, zones = 0, 0, ["UTC"]
    for line in Path(file).read_text().splitlines():
        if line.startswith("-- zones "):
            zones = line.split()[2:]
        if not line or line.startswith("--"):
            continue
        for zone in zones:
            for connection in (ours, theirs):
                connection.exec_(f"set timezone = '{zone}'".encode())
            asked += 1
            expected, got = answer(theirs, line), answer(ours, line)
            failed = isinstance(expected[0], bytes)
            if (failed and got[0] != expected[0]) or (not failed and got != expected):
                wrong += 1
                print(f"{line}\n  PostgreSQL: {str(expected)[:500]}\n  Laguna:     {str(got)[:500]}")
    print(f"{asked - wrong} of {asked} statements are answered alike")
    sys.exit(1 if wrong or not asked else 0)


main()
