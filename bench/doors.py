"""The Postgres door beside PostgreSQL and ROAPI, in one run: the same flights, the same statements, by pgbench.

    python bench/doors.py --laguna target/release/laguna [--seconds 5] [--clients 1,8,32]

Each statement is timed twice: `first`, with a number in it that is new each time, so that no kept result answers it; and `repeated`, the same text
each time. PostgreSQL is measured without and with the index that answers the statement alone. Needs Debian's postgresql-15 (its `initdb`, `postgres`
and `pgbench`); ROAPI is installed into the cache folder.
"""

import argparse
import contextlib
import os
import platform
import pwd
import shutil
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

import jobs
import peers
import projects

POSTGRES = Path("/usr/lib/postgresql/15/bin")
DAILY = ("SELECT date_trunc('day', time_hour) AS day, count(*) AS flights, avg(dep_delay) AS delay FROM flights "
         "WHERE carrier = 'UA'{} GROUP BY 1 ORDER BY 1;")
LOOKUP = "SELECT flight, origin, dest, time_hour, dep_delay FROM flights WHERE flight = {} LIMIT 10;"
# Name, first line of the script, statement.
SCRIPTS = {
    ("daily delay of one carrier", "first"): "\\set n random(1, 1000000000)\n" + DAILY.format(" AND distance > -1 * :n"),
    ("daily delay of one carrier", "repeated"): DAILY.format(""),
    ("ten rows", "first"): "\\set n random(1, 6000)\n" + LOOKUP.format(":n"),
    ("ten rows", "repeated"): LOOKUP.format(1545),
}


class Served:
    """A server on a free port of this machine, its log, and how long it took to answer first."""

    def __init__(self, name, command, port, log, database="flights", user="bench", run_as=None):
        self.name, self.port, self.database, self.user = name, port, database, user
        start = time.perf_counter()
        with open(log, "wb") as output:
            self.process = subprocess.Popen([str(word) for word in command], stdout=output, stderr=subprocess.STDOUT, user=run_as, cwd=log.parent)
        while True:
            asked = subprocess.run(self.psql("SELECT count(*) FROM flights"), capture_output=True, text=True)
            if asked.returncode == 0 or time.perf_counter() - start > 60:
                break
        self.answered = time.perf_counter() - start
        if "336776" not in asked.stdout:
            sys.exit(f"{name}: {asked.stderr}\n{log.read_text()[-2000:]}")

    def address(self):
        return ["-h", "127.0.0.1", "-p", str(self.port), "-U", self.user]

    def psql(self, statement):
        return [POSTGRES / "psql", "-XAt", *self.address(), "-d", self.database, "-c", statement]

    def memory(self):
        """Resident MB of the process and its children."""
        processes = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                words = (folder / "stat").read_text().rsplit(")", 1)[1].split()
                processes.setdefault(int(words[1]), []).append(int(folder.name))
        family, total = [self.process.pid], 0
        while family:
            process = family.pop()
            family += processes.get(process, [])
            with contextlib.suppress(OSError):
                total += int((Path("/proc") / str(process) / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        return total / 1e6

    def stop(self):
        self.process.terminate()
        self.process.wait()


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def laguna(cache, folder, csv):
    projects.write(folder, {
        "laguna.yml": "name: flights\nserve: {audit: false}\n",
        "raw/flights.yml": f"source: {{files: '{csv}'}}\n",
        "sanitized/flights.sql": "SELECT * FROM raw.flights\n",
        "sanitized/flights.yml": "description: All flights of 2013\n",
    })
    subprocess.run([cache.laguna, "--quiet", "run", "--project", folder], check=True)
    port = free_port()
    doors = ["--postgres", f"127.0.0.1:{port}", "--http", "false", "--flight", "false"]
    return Served("Laguna", [cache.laguna, "serve", "--project", folder, *doors], port, folder / "log")


def postgres(folder, csv, index):
    """PostgreSQL does not run as root: Debian's user does it."""
    user = "postgres" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
    port, data = free_port(), folder / "data"
    folder.mkdir(parents=True)
    if os.getuid() == 0:
        shutil.chown(folder, user)
    run = lambda *command: subprocess.run([str(word) for word in command], check=True, capture_output=True, user=user if os.getuid() == 0 else None, cwd="/")
    run(POSTGRES / "initdb", "-D", data, "-U", "bench", "--auth=trust")
    options = ["-p", port, "-h", "127.0.0.1", "-k", folder]
    run(POSTGRES / "pg_ctl", "-D", data, "-w", "-l", folder / "first.log", "-o", " ".join(map(str, options)), "start")
    with open(csv) as file:
        columns = file.readline().strip().split(",")
    text = {"carrier", "tailnum", "origin", "dest"}
    kind = lambda column: "text" if column in text else "timestamptz" if column == "time_hour" else "integer"
    statements = ["CREATE TABLE flights (" + ", ".join(f"{column} {kind(column)}" for column in columns) + ")"]
    psql = [POSTGRES / "psql", "-Xq", "-h", "127.0.0.1", "-p", port, "-U", "bench", "-v", "ON_ERROR_STOP=1"]
    statements += [f"\\copy flights FROM '{csv}' WITH (FORMAT csv, HEADER, NULL 'NA')"]
    if index:
        statements += ["CREATE INDEX ON flights (carrier, time_hour) INCLUDE (dep_delay, distance)", "CREATE INDEX ON flights (flight) INCLUDE (origin, dest, time_hour, dep_delay)"]
    subprocess.run([str(word) for word in [*psql, "-d", "postgres", "-c", "CREATE DATABASE flights"]], check=True)
    for statement in [*statements, "VACUUM ANALYZE flights"]:
        subprocess.run([str(word) for word in [*psql, "-d", "flights", "-c", statement]], check=True)
    run(POSTGRES / "pg_ctl", "-D", data, "-w", "stop")
    name = "PostgreSQL 15, indexed" if index else "PostgreSQL 15"
    return Served(name, [POSTGRES / "postgres", "-D", data, *options], port, folder / "log", run_as=user if os.getuid() == 0 else None)


def roapi(cache, folder, csv):
    """From memory, as it comes."""
    environment = cache.root / "roapi"
    if not (environment / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
        subprocess.run([environment / "bin/pip", "install", "--quiet", "--disable-pip-version-check", "roapi==0.12.7"], check=True)
        (environment / "ready").touch()
    folder.mkdir(parents=True)
    parquet = folder / "flights.parquet"
    jobs.output(cache.duckdb(), "-c", f"COPY (FROM read_csv('{csv}', nullstr=['', 'NA'])) TO '{parquet}'")
    http, port = free_port(), free_port()
    command = [environment / "bin/roapi", "-t", f"flights={parquet}", "-a", f"127.0.0.1:{http}", "-p", f"127.0.0.1:{port}"]
    return Served("ROAPI 0.12.7", command, port, folder / "log", database="postgres")


def pgbench(server, script, clients, mode, seconds, folder, *more):
    """Milliseconds of each transaction, or nothing where the server refuses."""
    for log in folder.glob("pgbench_log*"):
        log.unlink()
    command = [POSTGRES / "pgbench", "-n", "-l", "-M", mode, "-c", clients, "-j", min(clients, 2), "-T", seconds, "-f", script, *more, *server.address(), server.database]
    done = subprocess.run([str(word) for word in command], cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        print(f"{server.name}, {mode}: {done.stderr.strip().splitlines()[-1][:150]}", file=sys.stderr)
        return []
    return [int(line.split()[2]) / 1000 for log in folder.glob("pgbench_log*") for line in log.read_text().splitlines()]


def shown(times):
    return "–" if not times else f"{statistics.median(times):.2f}" if len(times) < 20 else f"{statistics.median(times):.2f} (p95 {statistics.quantiles(times, n=20)[-1]:.2f})"


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--laguna", type=Path, required=True, help="an optimised binary")
    arguments.add_argument("--seconds", type=int, default=5, help="of each measurement (default 5)")
    arguments.add_argument("--clients", default="1,8,32", help="connections, separated by commas (default 1,8,32)")
    arguments.add_argument("--modes", default="simple,prepared", help="pgbench's query modes (default simple,prepared)")
    arguments.add_argument("--cache", type=Path, default=Path.home() / ".cache/laguna-bench")
    options = arguments.parse_args()
    cache = peers.Cache(options.cache.resolve(), options.laguna.resolve())
    work = Path("/tmp" if os.getuid() == 0 else cache.work) / "laguna-doors"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    csv = work / "flights.csv"
    shutil.copy2(jobs.flights_in_one(cache, 1), csv)
    csv.chmod(0o644)
    servers = []
    try:
        servers.append(laguna(cache, work / "laguna", csv))
        servers.append(postgres(work / "postgres", csv, False))
        servers.append(postgres(work / "indexed", csv, True))
        servers.append(roapi(cache, work / "roapi", csv))
        time.sleep(2)
        names = [server.name for server in servers]
        print(f"{platform.platform()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start\n")
        heading = lambda first: print(f"| {first} | " + " | ".join(names) + " |\n|---|" + "---:|" * len(names))
        heading("")
        print("| start to first answer, s | " + " | ".join(f"{server.answered:.3f}" for server in servers) + " |")
        print("| memory before the first statement of pgbench, MB | " + " | ".join(f"{server.memory():.0f}" for server in servers) + " |", flush=True)
        connect = work / "connect.sql"
        connect.write_text("SELECT 1;\n")
        row = [shown(pgbench(server, connect, 1, "simple", options.seconds, work, "-C")) for server in servers]
        print("| new connection and SELECT 1, ms | " + " | ".join(row) + " |\n", flush=True)
        heading("median, ms")
        for (name, times), text in SCRIPTS.items():
            script = work / "script.sql"
            script.write_text(text + "\n")
            for mode in options.modes.split(","):
                for clients in map(int, options.clients.split(",")):
                    row = [shown(pgbench(server, script, clients, mode, options.seconds, work)) for server in servers]
                    print(f"| {name}, {times}, {mode}, {clients} | " + " | ".join(row) + " |", flush=True)
        print("\n| memory at the end, MB | " + " | ".join(f"{server.memory():.0f}" for server in servers) + " |")
    finally:
        for server in servers:
            server.stop()


if __name__ == "__main__":
    main()
