"""Laguna beside its peers, in one run: whole processes, by wall clock, on the same data.

    python bench/peers.py --laguna target/release/laguna [--only lineitem,flights,models,query,log,checks,tpch] [--runs 5]

Packages of the peers go into virtual environments in a cache folder that is kept, as does generated data; what runs write is deleted before each
run. Contestants alternate. Before a time counts, all contestants of a job must give the same answer.
"""

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import jobs

PEERS = ["tpchgen-cli==2.0.2", "duckdb==1.5.5", "duckdb-cli==1.5.5", "duckdb-extension-delta==1.5.5", "polars==2.1.0", "deltalake==1.6.6", "pyarrow==26.0.1"]
TPCH = ["duckdb==2.0.0", "datafusion==55.0.0", "pyarrow==26.0.1"]
CHECKS = ["great_expectations==1.24.1"]
DBT = ["dbt-core==1.12.6", "dbt-duckdb==1.11.1", "duckdb==1.5.5"]
# A package of dbt-core that is downloaded from elsewhere while it installs, and that nothing here uses.
NOT_NEEDED = "dbt-core-experimental-parser"


class Cache:
    """The folder that is kept: virtual environments, data, and what runs write."""

    def __init__(self, root, laguna):
        self.root, self.laguna = root, laguna
        self.data, self.work = root / "data", root / "work"
        for folder in (self.data, self.work):
            folder.mkdir(parents=True, exist_ok=True)

    def bin(self, environment, program):
        folder = self.root / environment
        if not (folder / "ready").exists():
            print(f"installing into {folder}", file=sys.stderr)
            shutil.rmtree(folder, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
            pip = [folder / "bin/pip", "install", "--quiet", "--disable-pip-version-check"]
            if environment == "dbt":
                subprocess.run([*pip, "--no-deps", *DBT], check=True)
                code = ("import importlib.metadata as m; [print(r) for p in ('dbt-core', 'dbt-duckdb') for r in m.requires(p) "
                        f"if 'extra ==' not in r and not r.startswith(('dbt-core', 'duckdb', '{NOT_NEEDED}'))]")
                needs = subprocess.run([folder / "bin/python", "-c", code], check=True, capture_output=True, text=True).stdout.split("\n")
                subprocess.run([*pip, *filter(None, needs)], check=True)
            else:
                subprocess.run([*pip, *{"peers": PEERS, "tpch": TPCH, "great_expectations": CHECKS}[environment]], check=True)
            (folder / "ready").touch()
        return str(folder / "bin" / program)

    def python(self):
        return self.bin("peers", "python")

    def duckdb(self):
        return self.bin("peers", "duckdb")

    def delta_extension(self):
        return next(Path(self.python()).parents[1].glob("lib/python*/site-packages/duckdb_extension_delta/extensions/*/delta.duckdb_extension"))


def timed(command, folder, codes=(0,)):
    """Seconds and peak memory in MB of a process."""
    log = folder / "output.txt"
    with open(log, "wb") as output:
        start = time.perf_counter()
        process = subprocess.Popen([str(word) for word in command], cwd=folder, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in codes:
        sys.exit(f"{' '.join(map(str, command))}: exit code {process.returncode}\n{log.read_text()[-3000:]}")
    return seconds, usage.ru_maxrss / (1 if sys.platform == "darwin" else 1024)


def race(job, runs, warmup):
    """Rows of the table: contestant, median, fastest, slowest, peak memory."""
    runs = min(runs, job.most_runs)
    measured = {contestant.name: [] for contestant in job.contestants}
    for round_ in range(min(warmup, runs) + runs):
        for contestant in job.contestants:
            contestant.prepare()
            result = timed(contestant.command, contestant.folder, contestant.codes)
            if round_ >= min(warmup, runs):
                measured[contestant.name].append(result)
    answers = {contestant.name: contestant.answer() for contestant in job.contestants if contestant.answer}
    if len(set(answers.values())) > 1:
        sys.exit(f"{job.name}: the answers differ: {answers}")
    for name, results in measured.items():
        seconds = [s for s, _ in results]
        yield name, statistics.median(seconds), min(seconds), max(seconds), max(peak for _, peak in results)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--laguna", type=Path, required=True, help="an optimised binary")
    arguments.add_argument("--only", default=",".join(jobs.ALL), help="jobs, separated by commas (default: all)")
    arguments.add_argument("--runs", type=int, default=5, help="runs of each contestant that count (default 5)")
    arguments.add_argument("--warmup", type=int, default=1, help="runs before those (default 1)")
    arguments.add_argument("--models", type=int, default=1000, help="models of the job `models` (default 1000)")
    arguments.add_argument("--cache", type=Path, default=Path.home() / ".cache/laguna-bench")
    options = arguments.parse_args()
    cache = Cache(options.cache.resolve(), options.laguna.resolve())
    print(f"{platform.platform()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start\n")
    for word in options.only.split(","):
        for job in jobs.ALL[word](cache, options):
            if job.contestants:
                print(f"| {job.name} | seconds, median | range | peak MB | beside Laguna |\n|---|---:|---:|---:|---:|")
                rows = list(race(job, options.runs, options.warmup))
                for name, median, low, high, peak in rows:
                    print(f"| {name} | {median:.3f} | {low:.3f} to {high:.3f} | {peak:.0f} | {median / rows[0][1]:.2f} x |", flush=True)
            print("".join(f"{line}\n" for line in job.lines()), flush=True)


if __name__ == "__main__":
    main()
