"""Drives the Postgres door with psycopg2, psycopg 3, asyncpg and SQLAlchemy. Argument: the port. The lake holds `enhanced.orders`
with three rows and the view `enhanced.v_orders`."""

import asyncio
import datetime
import decimal
import sys
import threading
import time

import asyncpg
import psycopg
import psycopg2
import psycopg2.extras
import sqlalchemy

PORT = int(sys.argv[1])
DSN = f"host=127.0.0.1 port={PORT} user=ana dbname=laguna"
UTC = datetime.timezone.utc
WHEN = datetime.datetime(2026, 1, 1, 10, tzinfo=UTC)
FIRST = (1, "c1", decimal.Decimal("1.50"), 2, WHEN, datetime.date(2026, 1, 1), False, {"a": 1, "b": "x"}, ["a", "b c", "c1"])
ALL = "SELECT id, customer, amount, qty, created_at, day, ok, payload, tags FROM orders ORDER BY id"


def fails(code, call):
    try:
        call()
    except Exception as error:
        found = getattr(error, "pgcode", None) or getattr(error, "sqlstate", None)
        assert found == code, f"{found}, not {code}: {error}"
    else:
        raise AssertionError(f"{code} was expected")


def with_psycopg2():
    connection = psycopg2.connect(DSN)
    cursor = connection.cursor()
    cursor.execute(ALL)
    assert cursor.fetchone() == FIRST
    named = connection.cursor("c1")
    named.itersize = 2
    named.execute("SELECT id FROM orders ORDER BY id")
    assert [row[0] for row in named] == [1, 2, 3]
    named.close()
    for code, sql in [("42P01", "SELECT * FROM nope"), ("42703", "SELECT nope FROM orders"), ("42601", "SELEC 1"),
                      ("42883", "SELECT nope(1)"), ("22012", "SELECT 1 / 0"), ("22P02", "SELECT CAST('a' AS INT)"),
                      ("25006", "INSERT INTO orders VALUES (1)"), ("25006", "DROP TABLE orders"),
                      ("25006", "CREATE TABLE a (b int)"), ("42501", "COPY orders TO '/tmp/orders'"), ("42704", "SET nothing = 1")]:
        fails(code, lambda: cursor.execute(sql))
        fails("25P02", lambda: cursor.execute("SELECT 1"))
        connection.rollback()
    cursor.execute("SET statement_timeout = '200ms'")
    heavy = "SELECT count(*) FROM generate_series(1, 100000000) a, generate_series(1, 100000) b"
    fails("57014", lambda: cursor.execute(heavy))
    connection.rollback()
    threading.Timer(0.5, connection.cancel).start()
    fails("57014", lambda: cursor.execute(heavy))
    connection.rollback()
    other = psycopg2.connect(DSN)
    other.autocommit = True
    watch = other.cursor()
    pid = connection.get_backend_pid()
    threading.Timer(0.5, lambda: watch.execute("SELECT pg_cancel_backend(%s)", (pid,))).start()
    fails("57014", lambda: cursor.execute(heavy))
    connection.rollback()
    third = psycopg2.connect(DSN)
    # As Superset stops a query.
    ended = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid='{third.get_backend_pid()}'"
    threading.Timer(0.5, lambda: watch.execute(ended)).start()
    fails("57014", lambda: third.cursor().execute(heavy))
    try:
        third.cursor().execute("SELECT 1")
        raise AssertionError("the session goes on")
    except psycopg2.OperationalError:
        pass
    watch.execute(ended)
    assert watch.fetchall() == []
    other.close()
    cursor.execute("SET search_path = raw; SELECT current_schema()")
    assert cursor.fetchone() == ("raw",)
    connection.rollback()
    cursor.execute("SELECT current_schema()")
    assert cursor.fetchone() == ("enhanced",)
    cursor.execute("SET TIME ZONE 'Europe/Berlin'; SELECT created_at::text IS NOT NULL, created_at FROM orders LIMIT 1")
    assert cursor.fetchone()[1] == WHEN and connection.notices == []
    assert connection.get_parameter_status("TimeZone") == "Europe/Berlin"
    connection.close()


def with_psycopg():
    with psycopg.connect(DSN, autocommit=True) as connection:
        for binary in (False, True):
            cursor = connection.cursor(binary=binary)
            assert cursor.execute(ALL).fetchone() == FIRST
            rows = cursor.execute("SELECT id FROM orders WHERE id > %s AND customer = %s", (1, "c2")).fetchall()
            assert rows == [(2,)], rows
            for value in (True, 7, 2 ** 40, 1.5, decimal.Decimal("-12.345"), "ä", b"\x00\xff", WHEN, datetime.date(2020, 2, 29),
                          datetime.time(1, 2, 3), datetime.timedelta(days=1, seconds=2), [1, 2]):
                (back,) = cursor.execute("SELECT %s AS value", (value,)).fetchone()
                assert back == value, (binary, value, back)
        for number in ("0", "0.0001", "10000", "99999999.9999", "-1234567890123456789.12", "100.00"):
            (back,) = connection.cursor(binary=True).execute(f"SELECT CAST('{number}' AS DECIMAL(38, 4))").fetchone()
            assert back == decimal.Decimal(number), (number, back)
        for _ in range(8):
            assert connection.execute("SELECT id FROM orders WHERE id = %s", (3,), prepare=True).fetchone() == (3,)
        for options, expected in [("", b"2\tc2\n3\t\\N\n"), ("(FORMAT csv, HEADER, NULL '-', DELIMITER ';')", b"id;customer\n2;c2\n3;-\n")]:
            with connection.cursor().copy(f"COPY (SELECT id, customer FROM orders WHERE id > 1 ORDER BY id) TO STDOUT {options}") as copy:
                data = b"".join(bytes(part) for part in copy)
                assert data == expected, data
        with connection.cursor().copy("COPY orders (id, amount, tags) TO STDOUT (FORMAT binary)") as copy:
            copy.set_types(["int8", "numeric", "text[]"])
            assert next(iter(sorted(copy.rows()))) == (1, decimal.Decimal("1.50"), ["a", "b c", "c1"])
        with connection.transaction():
            with connection.cursor("named") as cursor:
                cursor.execute("SELECT id FROM orders ORDER BY id")
                assert cursor.fetchmany(2) == [(1,), (2,)]
        with connection.transaction():
            with connection.cursor("chosen") as cursor:
                cursor.execute("SELECT id FROM orders WHERE customer = %s", ("c2",))
                assert cursor.fetchall() == [(2,)]
        for query, value, expected in [("SELECT id FROM orders WHERE customer = ANY(%s) ORDER BY id", ["c1", "c2"], [(1,), (2,)]),
                                       ("SELECT id FROM orders WHERE id = ANY(%s) ORDER BY id", [1, 3], [(1,), (3,)]),
                                       ("SELECT id FROM orders WHERE id <> ALL(%s) ORDER BY id", [1, 3], [(2,)]),
                                       ("SELECT id FROM orders WHERE id = ANY(%s) ORDER BY id", [], []),
                                       ("SELECT id FROM orders ORDER BY id LIMIT %s", 2, [(1,), (2,)]),
                                       ("SELECT left(customer, %s) FROM orders WHERE id = 1", 1, [("c",)]),
                                       ("SELECT id FROM orders WHERE ok = %s", False, [(1,)])]:
            assert connection.execute(query, (value,)).fetchall() == expected, query
        assert connection.execute("PREPARE p (int) AS SELECT id FROM orders WHERE id = $1") is not None
        assert connection.execute("EXECUTE p(2)").fetchall() == [(2,)]
        connection.execute("DISCARD ALL")
        with connection.pipeline():
            cursors = [connection.execute("SELECT %s::int8", (n,)) for n in range(20)]
        assert [cursor.fetchone()[0] for cursor in cursors] == list(range(20))


async def with_asyncpg():
    connection = await asyncpg.connect(host="127.0.0.1", port=PORT, user="ana", database="laguna")
    row = await connection.fetchrow("SELECT id, customer, amount, qty, created_at, day, ok, tags FROM orders WHERE id = $1", 1)
    assert tuple(row) == FIRST[:7] + FIRST[8:], row
    async with connection.transaction():
        assert [r["id"] async for r in connection.cursor("SELECT id FROM orders ORDER BY id", prefetch=1)] == [1, 2, 3]
    rows = await connection.fetch("SELECT id FROM orders WHERE customer = ANY($1::text[]) ORDER BY id", ["c1", "c2"])
    assert [row["id"] for row in rows] == [1, 2]
    rows = await connection.fetch("SELECT id FROM orders WHERE id = ANY($1) ORDER BY id LIMIT $2", [1, 2, 3], 2)
    assert [row["id"] for row in rows] == [1, 2]
    await connection.close()
    async with asyncpg.create_pool(host="127.0.0.1", port=PORT, user="ana", database="laguna", min_size=1, max_size=2) as pool:
        for _ in range(3):
            assert await pool.fetchval("SELECT count(*) FROM orders") == 3


def with_sqlalchemy():
    for driver in ("psycopg2", "psycopg"):
        engine = sqlalchemy.create_engine(f"postgresql+{driver}://ana@127.0.0.1:{PORT}/laguna")
        inspector = sqlalchemy.inspect(engine)
        assert "enhanced" in inspector.get_schema_names()
        assert inspector.get_table_names("enhanced") == ["orders"], inspector.get_table_names("enhanced")
        assert inspector.get_view_names("enhanced") == ["v_orders"]
        columns = {column["name"]: str(column["type"]) for column in inspector.get_columns("orders", "enhanced")}
        assert columns["amount"] == "NUMERIC(12, 2)" and columns["tags"] == "ARRAY", columns
        assert inspector.get_table_comment("orders", "enhanced")["text"] == "Orders of customers"
        assert inspector.get_pk_constraint("orders", "enhanced")["constrained_columns"] == []
        assert inspector.get_indexes("orders", "enhanced") == [] and inspector.get_foreign_keys("orders", "enhanced") == []
        table = sqlalchemy.Table("orders", sqlalchemy.MetaData(), schema="enhanced", autoload_with=engine)
        with engine.connect() as connection:
            query = sqlalchemy.select(sqlalchemy.func.count(), sqlalchemy.func.sum(table.c.amount)).where(table.c.id > 1)
            assert connection.execute(query).fetchone() == (2, decimal.Decimal("23.25"))
        engine.dispose()


problems = []
for name, client in [("psycopg2", with_psycopg2), ("psycopg", with_psycopg), ("asyncpg", lambda: asyncio.run(with_asyncpg())),
                     ("SQLAlchemy", with_sqlalchemy)]:
    try:
        client()
        print(f"{name}: as it should be")
    except Exception:
        import traceback
        traceback.print_exc()
        problems.append(name)
sys.exit(1 if problems else 0)
