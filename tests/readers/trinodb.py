"""Trino with its Delta Lake connector: a server of its own on loopback, which reads the lakes through a catalog of one folder."""

import shutil
import subprocess
import tarfile
import time
from pathlib import Path

import engines
import jvm

VERSION = "476"
PLUGIN = "delta-lake"
READY_SECONDS = 180


def install(folder):
    """Unpacks the server, and keeps the one plugin that is used of its many."""
    home = folder / f"trino-server-{VERSION}"
    if home.exists():
        return home
    archive = folder / "trino.tar.gz"
    jvm.fetch(f"io.trino:trino-server:{VERSION}:tar.gz", archive)
    unpacked = folder / "unpacked"
    shutil.rmtree(unpacked, ignore_errors=True)
    with tarfile.open(archive) as tar:  # plugins are hard links to each other, so all are unpacked before any goes
        tar.extractall(unpacked, filter="tar")
    for plugin in (unpacked / home.name / "plugin").iterdir():
        if plugin.name != PLUGIN:
            shutil.rmtree(plugin)
    (unpacked / home.name).rename(home)
    archive.unlink()
    return home


def configure(work, home, lakes, port):
    """Writes the server's settings: this one node, and a catalog of the Delta tables below `lakes`."""
    settings = {
        "config.properties": [
            "coordinator=true", "node-scheduler.include-coordinator=true", f"http-server.http.port={port}", f"discovery.uri=http://127.0.0.1:{port}",
            "query.max-memory-per-node=256MB", "memory.heap-headroom-per-node=128MB", f"catalog.config-dir={work}/etc/catalog", f"plugin.dir={home}/plugin"],
        "catalog/delta.properties": [
            "connector.name=delta_lake", "hive.metastore=file", f"hive.metastore.catalog.dir=local:///{work.name}/metastore",
            "fs.native-local.enabled=true", f"local.location={lakes}", "delta.register-table-procedure.enabled=true"],
    }
    for name, lines in settings.items():
        path = work / "etc" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n")


def command(java, home, work):
    flags = ["-Xms256m", "-Xmx1g", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "--add-modules=jdk.incubator.vector", "--enable-native-access=ALL-UNNAMED",
             "--sun-misc-unsafe-memory-access=allow", "--add-opens=java.base/java.nio=ALL-UNNAMED", "-Djdk.attach.allowAttachSelf=true",
             f"-Dconfig={work}/etc/config.properties"]
    node = {"environment": "test", "id": "one", "data-dir": work, "bind-ip": "127.0.0.1", "internal-address": "127.0.0.1"}
    return [java / "bin/java", *flags, *(f"-Dnode.{key}={value}" for key, value in node.items()), "-cp", f"{home}/lib/*", "io.trino.server.TrinoServer"]


class Rows:
    """All rows of a table, with as much of an Arrow table's face as is compared."""

    def __init__(self, names, rows):
        self.names, self.values, self.num_rows = names, rows, len(rows)

    def column(self, name):
        return Column([row[self.names.index(name.lower())] for row in self.values])


class Column(list):
    def to_pylist(self):
        return self


class Trino(engines.Sql):
    """Trino, one server for all tables. It gives columns in lower case, and instants in milliseconds."""

    name = "trino"
    sizes = {"text": "length(to_utf8({}))", "binary": "length({})"}
    micros, nan = "CAST(round(to_unixtime({}) * 1000) AS bigint) * 1000", "is_nan({})"
    instants, slow = 1000, True
    server = connection = lakes = None
    tables = 0

    @classmethod
    def start(cls, cache: Path, lakes: Path):
        """Installs the server below `cache` where it is missing, starts it over the folder `lakes`, and waits until it answers."""
        try:
            import trino
        except ImportError as error:
            raise jvm.Missing("needs the packages of requirements-java.txt") from error
        java = jvm.home(24)
        home = install(cache / "trino")
        work, port, cls.lakes = lakes / ".trino", jvm.free_port(), lakes
        configure(work, home, lakes, port)
        with open(work / "log.txt", "wb") as log:
            cls.server = subprocess.Popen(command(java, home, work), cwd=work, stdout=log, stderr=log)
        cls.connection = trino.dbapi.connect(host="127.0.0.1", port=port, user="test", catalog="delta", schema="t", timezone="UTC")
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                cls.ask("CREATE SCHEMA IF NOT EXISTS delta.t")
                return
            except (trino.exceptions.Error, OSError) as error:
                if cls.server.poll() is not None or time.monotonic() > deadline:
                    cls.stop()
                    raise RuntimeError(f"Trino does not answer: {(work / 'log.txt').read_text()[-2000:]}") from error
                time.sleep(0.5)

    @classmethod
    def stop(cls):
        cls.server.terminate()
        cls.server.wait()

    @classmethod
    def ask(cls, sql):
        """Columns, each as (name, type), and rows of an answer."""
        cursor = cls.connection.cursor()
        cursor.execute(sql)
        rows = [tuple(row) for row in cursor.fetchall()]
        return [column[:2] for column in cursor.description or []], rows

    def __init__(self, path, version):
        Trino.tables += 1
        name, place = f"t{self.tables}", Path(path).relative_to(self.lakes)
        self.ask(f"CALL delta.system.register_table(schema_name => 't', table_name => '{name}', table_location => 'local:///{place}')")
        self.table = name if version is None else f"{name} FOR VERSION AS OF {version}"

    def text(self, value):
        return f"from_utf8(X'{value.encode().hex()}')"

    def instant(self, micros):
        return f"from_unixtime({micros / 1e6:.3f}, 'UTC')"

    def fetch(self, sql):
        return self.ask(sql)[1]

    def rows(self):
        """Instants are microseconds, because Python's end with the year 9999; and single floats doubles, of which all digits are sent."""
        columns, _ = self.ask(f"SELECT * FROM {self.table} LIMIT 0")
        casts = {"real": "CAST({} AS double)", "timestamp(3) with time zone": self.micros}
        chosen = [casts.get(kind, "{}").format(self.quote(name)) for name, kind in columns]
        return Rows([name for name, _ in columns], self.ask(f"SELECT {', '.join(chosen)} FROM {self.table}")[1])
