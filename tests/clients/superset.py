"""Drives a real Superset against the Postgres door: connect, list, preview, chart.

Usage: superset.py PORT FOLDER. The lake holds `enhanced.orders` of tests/it/postgres.rs. Superset's own state goes to FOLDER.
"""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import requests

PORT, FOLDER = int(sys.argv[1]), Path(sys.argv[2])
BIN = Path(sys.executable).parent

(FOLDER / "superset_config.py").write_text(
    f"""SECRET_KEY = "{'not a secret ' * 4}"
SQLALCHEMY_DATABASE_URI = "sqlite:///{FOLDER}/superset.db"
WTF_CSRF_ENABLED = False
TALISMAN_ENABLED = False
"""
)
ENVIRONMENT = os.environ | {
    "SUPERSET_CONFIG_PATH": str(FOLDER / "superset_config.py"),
    "FLASK_APP": "superset",
    "SUPERSET_HOME": str(FOLDER),
}


def superset(*arguments):
    subprocess.run([BIN / "superset", *arguments], env=ENVIRONMENT, cwd=FOLDER, check=True, capture_output=True)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Api:
    """Superset's REST interface, logged in."""

    def __init__(self, root):
        self.root = f"{root}/api/v1"
        self.session = requests.Session()
        login = {"username": "admin", "password": "admin", "provider": "db", "refresh": True}
        token = self.post("/security/login", login)["access_token"]
        self.session.headers["Authorization"] = f"Bearer {token}"

    def answer(self, response):
        assert response.status_code in (200, 201), f"{response.url}: {response.status_code} {response.text[:2000]}"
        return response.json()

    def get(self, path):
        return self.answer(self.session.get(self.root + path))

    def post(self, path, body):
        return self.answer(self.session.post(self.root + path, json=body))


def drive(api):
    address = f"postgresql+psycopg2://admin@127.0.0.1:{PORT}/lake"
    api.post("/database/test_connection", {"sqlalchemy_uri": address, "database_name": "lake"})
    database = api.post(
        "/database/", {"sqlalchemy_uri": address, "database_name": "lake", "expose_in_sqllab": True}
    )["id"]

    schemas = api.get(f"/database/{database}/schemas/")["result"]
    assert {"raw", "sanitized", "enhanced"} <= set(schemas), schemas
    tables = api.get(f"/database/{database}/tables/?q=(force:!t,schema_name:enhanced)")["result"]
    kinds = {table["value"]: table["type"] for table in tables}
    assert kinds == {"orders": "table", "v_orders": "view"}, kinds
    about = api.get(f"/database/{database}/table_metadata/?name=orders&schema=enhanced")
    types = {column["name"]: column["type"] for column in about["columns"]}
    assert types["id"] == "BIGINT" and types["amount"].startswith("NUMERIC"), types

    dataset = api.post("/dataset/", {"database": database, "schema": "enhanced", "table_name": "orders"})["id"]
    columns = {column["column_name"]: column for column in api.get(f"/dataset/{dataset}")["result"]["columns"]}
    assert columns["created_at"]["is_dttm"] and not columns["id"]["is_dttm"], columns

    def chart(**query):
        body = {
            "datasource": {"id": dataset, "type": "table"},
            "force": True,
            "queries": [{"row_limit": 100, "filters": [], **query}],
            "result_format": "json",
            "result_type": "full",
        }
        return api.post("/chart/data", body)["result"][0]["data"]

    total = {"expressionType": "SIMPLE", "column": {"column_name": "qty"}, "aggregate": "SUM", "label": "total"}
    rows = chart(columns=["customer"], metrics=["count", total], orderby=[["count", False]])
    assert {(row["customer"], row["total"]) for row in rows} == {("c1", 2), ("c2", 3), (None, None)}, rows
    for grain in ("PT1H", "P1D", "P1W", "P1M", "P3M", "P1Y"):
        axis = {
            "timeGrain": grain,
            "columnType": "BASE_AXIS",
            "sqlExpression": "created_at",
            "label": "created_at",
            "expressionType": "SQL",
        }
        rows = chart(columns=[axis], metrics=["count"], granularity="created_at")
        assert [row["count"] for row in rows] == [3], (grain, rows)
    filters = [{"col": "customer", "op": "IN", "val": ["c1", "c2"]}, {"col": "qty", "op": ">", "val": 2}]
    rows = chart(columns=["id", "customer"], metrics=[], filters=filters)
    assert rows == [{"id": 2, "customer": "c2"}], rows
    values = api.get(f"/datasource/table/{dataset}/column/customer/values/")["result"]
    assert {"c1", "c2"} <= set(values), values

    def lab(statement):
        body = {"database_id": database, "schema": "enhanced", "runAsync": False, "queryLimit": 5, "sql": statement}
        return api.session.post(f"{api.root}/sqllab/execute/", json=body | {"client_id": str(time.time())[-10:]})

    found = api.answer(lab("SELECT id FROM v_orders ORDER BY id"))
    assert [row["id"] for row in found["data"]] == [1, 2, 3], found
    refused = lab("SELECT nope FROM orders")
    assert "there is no column `nope`" in refused.text, refused.text


def main():
    superset("db", "upgrade")
    names = ["--username", "admin", "--firstname", "a", "--lastname", "b", "--email", "a@example.org"]
    superset("fab", "create-admin", *names, "--password", "admin")
    superset("init")
    port = free_port()
    command = [BIN / "gunicorn", "-w", "1", "--threads", "4", "--timeout", "120", "-b", f"127.0.0.1:{port}"]
    log = open(FOLDER / "log", "wb")
    server = subprocess.Popen(
        [*command, "superset.app:create_app()"], env=ENVIRONMENT, cwd=FOLDER, stdout=log, stderr=log
    )
    try:
        root = f"http://127.0.0.1:{port}"
        for _ in range(240):
            try:
                if requests.get(f"{root}/health", timeout=1).ok:
                    break
            except requests.RequestException:
                time.sleep(0.5)
        drive(Api(root))
    finally:
        server.terminate()
        server.wait()
    print("ok")


main()
