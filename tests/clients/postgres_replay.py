"""Replays statements that clients sent to PostgreSQL against Laguna and, where one is given, against PostgreSQL 15, and
compares columns, types and rows about the user's tables.

    postgres_replay.py LAGUNA_DSN REFERENCE_DSN FILE…

Prints one line a difference and the number of statements that agree; leaves 1 when a statement fails here that works there.
"""

import re
import sys

import psycopg2

# Types that clients read alike: a name is a text; constants are bigint here and integer there.
ALIKE = {18: 25, 19: 25, 1042: 25, 1043: 25, 24: 25, 194: 25, 705: 25, 28: 26, 2205: 25, 2206: 25, 1003: 1009, 1002: 1009,
         1034: 1009, 2287: 25, 21: 20, 23: 20, 22: 1005, 30: 1028, 2211: 1009, 3802: 114, 13000: 25, 13003: 25, 13005: 23, 13010: 25}
# What tells of time, of the machine, or of what PostgreSQL has beside the tables.
SETTINGS = re.compile(r"pg_backend_pid|version\(\)|^\s*(BEGIN|COMMIT|ROLLBACK|SAVEPOINT|RELEASE|SET|SHOW|CREATE|INSERT|COPY|EXPLAIN)", re.I)


def statements(path):
    text = open(path).read()
    for block in re.split(r"^-- \[x\d+\]\s*$", text, flags=re.M)[1:]:
        lines = [line for line in block.splitlines() if not re.match(r"-- (=====|\(|parameters:|ERROR|FATAL|DETAIL)", line)]
        sql = "\n".join(lines).strip().rstrip(";").strip()
        if sql:
            yield sql


def prepared(sql, cursor):
    """The statement for the tables of both servers."""
    sql = sql.replace("sales", "enhanced").replace("'ops'", "'sanitized'").replace("ops.", "sanitized.")
    for table, oids in (("orders", ("16388",)), ("v_orders", ("16395",)), ("orders", ("16417",))):
        if any(oid in sql for oid in oids):
            cursor.execute("select c.oid from pg_class c join pg_namespace n on n.oid = relnamespace "
                           f"where relname = '{table}' and nspname = 'enhanced'")
            (oid,) = cursor.fetchone()
            for known in oids:
                sql = sql.replace(known, str(oid))
    # Parameters as the clients bound them.
    values = {"1": "'enhanced'", "2": "'{p,f,t,m,v,r}'"} if "$2)" in sql else {"1": "3802", "2": "'c1'"}
    if "to_regtype" in sql:
        values = {"1": "'hstore'"}
    if "::VARCHAR" in sql:
        values = {"1": "'orders'", "2": "'r'", "3": "'p'", "4": "'f'", "5": "'v'", "6": "'m'", "7": "'enhanced'"}
    if sql.startswith("select id,amount"):
        values = {"1": "1", "2": "'c2'"}
    values = values | {"3": "3"} if sql.startswith("INSERT") else values
    return re.sub(r"\$(\d)", lambda match: values.get(match.group(1), "NULL"), sql)


def answer(connection, sql):
    with connection.cursor() as cursor:
        try:
            sql = prepared(sql, cursor)
            cursor.execute(sql)
            columns = [(column.name, ALIKE.get(column.type_code, column.type_code)) for column in cursor.description or []]
            return None, columns, cursor.fetchall() if cursor.description else []
        except psycopg2.Error as error:
            return error, [], []


def main():
    laguna, reference = psycopg2.connect(sys.argv[1]), psycopg2.connect(sys.argv[2])
    for connection in (laguna, reference):
        connection.autocommit = True
    seen, agree, failed = set(), 0, 0
    for path in sys.argv[3:]:
        for sql in statements(path):
            if sql in seen:
                continue
            seen.add(sql)
            if re.match(r"(BEGIN|COMMIT|ROLLBACK|SAVEPOINT|RELEASE)", sql, re.I):
                agree += 1
                continue
            head = " ".join(sql.split())[:150]
            there, wanted, rows_there = answer(reference, sql)
            here, columns, rows = answer(laguna, sql)
            if re.match(r"(CREATE|INSERT)", sql):
                if here is not None and here.pgcode == "25006":
                    agree += 1
                else:
                    failed += 1
                    print(f"WROTE: {head}")
                continue
            if here is not None and there is None:
                failed += 1
                print(f"FAILS: {head}\n    {str(here).strip()}")
                continue
            if here is None and there is not None:
                agree += 1
                continue
            if here is not None:
                same = here.pgcode == there.pgcode
                agree += same
                if not same:
                    print(f"CODE: {here.pgcode}, not {there.pgcode}: {head}")
                continue
            if [name for name, _ in columns] != [name for name, _ in wanted]:
                print(f"NAMES: {head}\n    {columns}\n    {wanted}")
                continue
            odd = [(a, b) for a, b in zip(columns, wanted) if a[1] != b[1]]
            if odd and not SETTINGS.search(sql):
                print(f"TYPES: {head}\n    {odd}")
                continue
            mine = [row for row in rows if any(value in ("orders", "v_orders", "enhanced") for value in row)]
            theirs = [row for row in rows_there if any(value in ("orders", "v_orders", "enhanced") for value in row)]
            if len(mine) != len(theirs):
                print(f"ROWS: {len(mine)} for {len(theirs)}: {head}")
                continue
            agree += 1
    print(f"{agree} of {len(seen)} statements agree, {failed} fail")
    sys.exit(1 if failed else 0)


main()
