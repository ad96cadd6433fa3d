"""The Flight SQL door as ADBC and Arrow's own client meet it: flight_clients.py PART URI."""

import datetime
import decimal
import json
import os
import sys
import threading

import adbc_driver_flightsql.dbapi as adbc
import pyarrow
import pyarrow.flight as flight
from adbc_driver_flightsql import DatabaseOptions
from adbc_driver_manager import ProgrammingError, StatementOptions

PART, URI = sys.argv[1:3]


def connect(**options):
    return adbc.connect(URI, db_kwargs=options, autocommit=True)


def rows(connection, sql, parameters=None):
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall()


def error(connection, sql, parameters=None):
    try:
        got = rows(connection, sql, parameters)
    except Exception as error:
        return error
    raise AssertionError(f"{sql} answers {got}")


def field(number, value):
    """A field of a protobuf message that holds bytes."""
    size, length = len(value), b""
    while size > 127:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + value


def statement(sql):
    kind = b"type.googleapis.com/arrow.flight.protocol.sql.CommandStatementQuery"
    return flight.FlightDescriptor.for_command(field(1, kind) + field(2, field(1, sql.encode())))


def results():
    with connect() as connection:
        [row] = rows(connection, "SELECT * FROM enhanced.orders WHERE id = 2")
        assert row[:4] == (2, "c2", decimal.Decimal("20.25"), 3), row
        assert row[4].replace(tzinfo=None) == datetime.datetime(2026, 1, 1, 10), row
        assert row[5:] == (datetime.date(2026, 1, 1), True, {"a": 2, "b": "x"}, ["a", "b c", "c2"]), row
        assert rows(connection, "SELECT id FROM enhanced.orders WHERE false") == []
        assert rows(connection, "SELECT arrow_cast('a', 'Utf8View'), arrow_cast('b', 'Dictionary(Int32, Utf8)')") == [("a", "b")]
        # Many batches, in order, as fast as they are read.
        with connection.cursor() as cursor:
            cursor.execute("SELECT value, 'row ' || value AS text FROM generate_series(1, 1000000) ORDER BY value")
            seen = 0
            for batch in cursor.fetch_record_batch():
                assert batch.column(0)[0].as_py() == seen + 1
                seen += batch.num_rows
            assert seen == 1_000_000, seen
        # What is left unread is ended.
        with connection.cursor() as cursor:
            cursor.execute("SELECT value FROM generate_series(1, 1000000000000)")
            assert cursor.fetchone() == (1,)
        # A value of 6 MB is sent in messages that clients take.
        assert rows(connection, "SELECT length(v) FROM (SELECT repeat('x', 6000000) AS v)") == [(6000000,)]
        [[text]] = rows(connection, "SELECT repeat('x', 6000000)")
        assert len(text) == 6000000


def parameters():
    with connect() as connection:
        by = "SELECT id FROM enhanced.orders WHERE {} ORDER BY id"
        assert rows(connection, by.format("id > $1 AND customer = $2"), (1, "c2")) == [(2,)]
        assert rows(connection, by.format("id > ? AND customer <> '?'"), (0,)) == [(1,), (2,)]
        assert rows(connection, by.format("amount = ?"), (decimal.Decimal("3.00"),)) == [(3,)]
        assert rows(connection, by.format("day = ?"), (datetime.date(2026, 1, 1),)) == [(1,), (2,), (3,)]
        assert rows(connection, by.format("customer = ?"), (None,)) == []
        assert rows(connection, "SELECT ? AS a, ? AS b", ("x", 7)) == [("x", 7)]
        with connection.cursor() as cursor:
            told = cursor.adbc_prepare("SELECT id FROM enhanced.orders WHERE id = ? AND customer = ?")
            assert [field.type for field in told] == [pyarrow.int64(), pyarrow.string()], told
            for number in (1, 2, 1):
                cursor.execute("SELECT id FROM enhanced.orders WHERE id = ?", (number,))
                assert cursor.fetchall() == [(number,)]
            # A batch of values runs the statement once for each row.
            cursor.execute("SELECT id, qty FROM enhanced.orders WHERE id = $1", pyarrow.record_batch({"id": [3, 1]}))
            assert cursor.fetchall() == [(3, None), (1, 2)]
        assert "2 parameters, and 1 values" in str(error(connection, "SELECT $1 + $2", (1,)))
        assert "parameter" in str(error(connection, "SELECT id FROM enhanced.orders WHERE id = ?"))


def catalogs():
    with connect() as connection:
        tree = connection.adbc_get_objects(depth="all", db_schema_filter="enhanced").read_all().to_pylist()
        [catalog] = tree
        assert catalog["catalog_name"] == "laguna", catalog
        [schema] = catalog["catalog_db_schemas"]
        table, view = schema["db_schema_tables"]
        assert (schema["db_schema_name"], table["table_name"], table["table_type"]) == ("enhanced", "orders", "TABLE")
        assert (view["table_name"], view["table_type"]) == ("v_orders", "VIEW")
        columns = [column["column_name"] for column in table["table_columns"]]
        assert columns[:3] == ["id", "customer", "amount"] and len(columns) == 9, columns
        assert not table["table_constraints"], table
        tables = connection.adbc_get_objects(depth="tables", table_name_filter="ord%")
        schemas = tables.read_all().to_pylist()[0]["catalog_db_schemas"]
        found = [(s["db_schema_name"], t["table_name"]) for s in schemas for t in s["db_schema_tables"] or []]
        assert found == [("enhanced", "orders")], found
        nothing = connection.adbc_get_objects(depth="tables", catalog_filter="other").read_all().to_pylist()
        assert nothing == [], nothing
        told = connection.adbc_get_table_schema("orders", db_schema_filter="enhanced")
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM enhanced.orders")
            got = cursor.fetch_arrow_table().schema
        assert [(f.name, f.type) for f in told] == [(f.name, f.type) for f in got], (told, got)
        assert told.field("customer").type == pyarrow.string()
        assert {"TABLE", "VIEW"} <= set(connection.adbc_get_table_types())
        info = connection.adbc_get_info()
        assert info["vendor_name"] == "Laguna" and info["vendor_version"], info
        # A schema is told without running anything, and is the one that is streamed.
        with connection.cursor() as cursor:
            schema = cursor.adbc_execute_schema("SELECT customer, count(*) AS n FROM enhanced.orders GROUP BY 1")
            assert schema.names == ["customer", "n"] and schema.field(0).type == pyarrow.string(), schema


def errors():
    with connect() as connection:
        missing = error(connection, "SELECT * FROM enhanced.ordesr")
        assert "there is no table" in str(missing) and "hint: " in str(missing) and "orders" in str(missing), missing
        assert "(line 2, column 3)" in str(error(connection, "SELECT id\n, nope FROM enhanced.orders"))
        assert isinstance(error(connection, "SELEC 1"), ProgrammingError)
        late = error(connection, "SELECT 1 / (value - 70000) FROM generate_series(1, 100000)")
        assert "ivide" in str(late), late
        for write in ("INSERT INTO enhanced.orders SELECT * FROM enhanced.orders", "DROP TABLE enhanced.orders",
                      "CREATE TABLE t AS SELECT 1", "COPY orders TO '/tmp/x'", "SET datafusion.execution.batch_size = 1"):
            told = error(connection, write)
            assert not isinstance(told, AssertionError), told
            with connection.cursor() as cursor:
                try:
                    cursor.adbc_statement.set_sql_query(write)
                    cursor.adbc_statement.execute_update()
                    raise AssertionError(f"{write} was done")
                except AssertionError:
                    raise
                except Exception as told:
                    assert "read" in str(told) or "not" in str(told), told
        with connection.cursor() as cursor:
            try:
                cursor.adbc_ingest("t", pyarrow.table({"a": [1]}), mode="create")
                raise AssertionError("rows were taken")
            except AssertionError:
                raise
            except Exception as told:
                assert "read" in str(told) or "not" in str(told).lower(), told
        assert rows(connection, "SELECT count(*) FROM enhanced.orders") == [(3,)]


def cancelling():
    endless = "SELECT value FROM generate_series(1, 1000000000000)"
    with connect() as connection, connection.cursor() as cursor:
        cursor.execute(endless)
        assert cursor.fetchone() == (1,)
        cursor.adbc_cancel()
        try:
            while cursor.fetchone():
                pass
            raise AssertionError("it was not cancelled")
        except AssertionError:
            raise
        except Exception as told:
            assert "cancel" in str(told).lower(), told
    # Flight's own action, from another connection than the one that reads.
    client = flight.connect(URI)
    with connect() as connection, connection.cursor() as cursor:
        [partition], _ = cursor.adbc_execute_partitions(endless)
        cursor.adbc_read_partition(partition)
        assert cursor.fetchone() == (1,)
        for answer in (b"\x08\x01", b"\x08\x03"):
            [result] = client.do_action(flight.Action("CancelFlightInfo", field(1, partition)))
            assert result.body.to_pybytes() == answer, result.body.to_pybytes()
        try:
            while cursor.fetchone():
                pass
            raise AssertionError("it was not cancelled")
        except AssertionError:
            raise
        except Exception as told:
            assert "the statement was cancelled" in str(told), told
        # What is cancelled is gone.
        try:
            cursor.adbc_read_partition(partition)
            cursor.fetchall()
            raise AssertionError("it ran again")
        except AssertionError:
            raise
        except Exception as told:
            assert "no such statement" in str(told), told
        assert rows(connection, "SELECT 1") == [(1,)]


def protocol():
    client = flight.connect(URI)
    assert client.get_schema(statement("SELECT 1 AS one")).schema.names == ["one"]
    info = client.get_flight_info(statement("SELECT id, customer FROM enhanced.orders ORDER BY id"))
    table = client.do_get(info.endpoints[0].ticket).read_all()
    assert table.schema == info.schema and table.num_rows == 3, (table.schema, info.schema)
    assert client.do_get(info.endpoints[0].ticket).read_all() == table, "rows may be fetched again"
    assert "CancelFlightInfo" in [action.type for action in client.list_actions()]
    assert list(client.list_flights()) == []
    for call in (
        lambda: client.get_flight_info(flight.FlightDescriptor.for_command(b"\xff\x00nonsense")),
        lambda: client.get_flight_info(flight.FlightDescriptor.for_path("a", "b")),
        lambda: client.do_get(flight.Ticket(b"nonsense")).read_all(),
        lambda: list(client.do_action(flight.Action("Nonsense", b"\xff"))),
        lambda: list(client.do_action(flight.Action("CancelFlightInfo", b"\xff"))),
    ):
        try:
            call()
            raise AssertionError("nonsense was answered")
        except (flight.FlightError, pyarrow.ArrowException, NotImplementedError):
            pass
    assert client.get_schema(statement("SELECT 1 AS one")).schema.names == ["one"]


def together():
    """Sixteen clients at once, each with answers of its own."""
    failed = []

    def work(number):
        try:
            with connect() as connection:
                for step in range(20):
                    wanted = number * 1000 + step
                    assert rows(connection, "SELECT ? + count(*) FROM enhanced.orders", (wanted,)) == [(wanted + 3,)]
                    assert rows(connection, f"SELECT {wanted}") == [(wanted,)]
        except BaseException as told:
            failed.append(told)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed, failed


def moments():
    """The test publishes a release when it reads a line."""
    sql = "SELECT (SELECT count(*) FROM enhanced.orders) AS a, (SELECT count(*) FROM raw.x) AS b"
    with connect() as connection, connect() as other, adbc.connect(URI) as transaction:
        assert rows(transaction, sql) == [(3, 3)]
        with connection.cursor() as cursor, other.cursor() as second:
            partitions, _ = cursor.adbc_execute_partitions(sql)
            again, _ = second.adbc_execute_partitions("SELECT id FROM enhanced.orders ORDER BY id")
            print("planned", flush=True)
            sys.stdin.readline()
            # The answer of the newer release is kept when the older one is fetched.
            assert rows(other, sql) == [(4, 4)]
            assert rows(other, "SELECT id FROM enhanced.orders ORDER BY id")[-1] == (4,)
            cursor.adbc_read_partition(partitions[0])
            assert cursor.fetchall() == [(3, 3)]
            second.adbc_read_partition(again[0])
            assert second.fetchall() == [(1,), (2,), (3,)]
            assert rows(other, sql) == [(4, 4)]
        assert rows(transaction, sql)[0][0] == 3, "a transaction reads one release"
        transaction.commit()
        assert rows(transaction, sql) == [(4, 4)]


def roles():
    admin = connect(username="ana", password="correct horse")
    reader = connect(username="bob", password="battery")
    bearer = connect(**{DatabaseOptions.AUTHORIZATION_HEADER.value: "Bearer tok-123456"})
    assert rows(admin, "SELECT count(*) FROM raw.x") == [(3,)]
    for connection in (reader, bearer):
        assert rows(connection, "SELECT id, customer FROM enhanced.orders ORDER BY id") == [(2, None), (3, None)]
        hidden = error(connection, "SELECT * FROM raw.x")
        absent = error(connection, "SELECT * FROM raw.y")
        assert str(hidden).replace("raw.x", "raw.y") == str(absent), (hidden, absent)
        tree = connection.adbc_get_objects(depth="tables").read_all().to_pylist()[0]["catalog_db_schemas"]
        names = {(s["db_schema_name"], t["table_name"]) for s in tree for t in s["db_schema_tables"] or []}
        assert ("enhanced", "orders") in names and ("raw", "x") not in names, names
        assert "raw" not in {s["db_schema_name"] for s in tree}, tree
    # Without a login nothing is told, whatever is asked.
    client = flight.connect(URI)
    for call in (
        lambda: client.get_flight_info(statement("SELECT 1")),
        lambda: list(client.list_actions()),
        lambda: list(client.list_flights()),
        lambda: client.do_get(flight.Ticket(b"x")).read_all(),
        lambda: list(client.do_action(flight.Action("CancelFlightInfo", b""))),
        lambda: client.authenticate_basic_token("ana", "wrong"),
        lambda: client.authenticate_basic_token("nobody", "wrong"),
    ):
        try:
            call()
            raise AssertionError("it was answered without a login")
        except flight.FlightUnauthenticatedError:
            pass
    for options in ({"username": "ana", "password": "wrong"}, {},
                    {DatabaseOptions.AUTHORIZATION_HEADER.value: "Bearer wrong"}):
        try:
            with connect(**options) as connection:
                rows(connection, "SELECT 1")
            raise AssertionError(f"{options} came in")
        except AssertionError:
            raise
        except Exception as told:
            assert "UNAUTHENTICATED" in str(told).upper(), told
    # A token of the handshake, and the older handshake with name and password as a message.
    header = client.authenticate_basic_token("bob", "battery")
    options = flight.FlightCallOptions(headers=[header])
    info = client.get_flight_info(statement("SELECT id FROM enhanced.orders"), options)
    assert client.do_get(info.endpoints[0].ticket, options).read_all().num_rows == 2

    class Older(flight.ClientAuthHandler):
        def authenticate(self, outgoing, incoming):
            outgoing.write(flight.BasicAuth("ana", "correct horse").serialize())
            self.token = incoming.read()

        def get_token(self):
            return self.token

    client.authenticate(Older())
    client.get_schema(statement("SELECT id FROM raw.x"))
    # A statement of one user is no statement of another.
    try:
        client.do_get(info.endpoints[0].ticket).read_all()
        raise AssertionError("the rows of another user were given out")
    except (flight.FlightError, pyarrow.ArrowException) as told:
        assert "no such statement" in str(told), told


def tls():
    options = {DatabaseOptions.TLS_SKIP_VERIFY.value: "true", "username": "ana", "password": "secret"}
    with connect(**options) as connection:
        assert rows(connection, "SELECT count(*) FROM enhanced.orders") == [(3,)]


def twins():
    """Says what two tables hold that every release changes together, until it is ended; what is planned is read when the next release may be there."""
    client = flight.connect(URI.replace("grpc://", "grpc+tcp://"))
    sql = "SELECT (SELECT n FROM sanitized.one) || ' ' || (SELECT n FROM enhanced.two) AS both"
    with connect() as connection:
        while True:
            planned = client.get_flight_info(statement(sql))
            print(*rows(connection, sql)[0], flush=True)
            print(*client.do_get(planned.endpoints[0].ticket).read_all()["both"].to_pylist(), flush=True)


def ask():
    """The rows of one statement. The server may be gone after them, so nothing is closed."""
    cursor = connect().cursor()
    cursor.execute(sys.argv[3])
    print(cursor.fetchall(), flush=True)
    os._exit(0)


def say():
    """What the door says to each statement of a user, and of its catalogs, as a JSON list of texts."""
    user, password, *statements = sys.argv[3:]
    with connect(username=user, password=password) as connection:
        said = []
        for sql in statements:
            try:
                said.append(str(rows(connection, sql)))
            except Exception as told:
                said.append(str(told))
        said.append(str(connection.adbc_get_objects().read_all().to_pylist()))
        print(json.dumps(said))


globals()[PART]()
