"""Projects that are generated: the same thousand models for Laguna and for dbt, and one table under many checks."""

LAYERS = 20
ROWS = 10_000


def write(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def name(number):
    return f"model_{number:04}"


def thousand_models(folder, count):
    """`count` models in `LAYERS` layers. Each joins two models of the layer before; those of the first layer read a CSV file."""
    write(folder, {"rows.csv": "id,value\n" + "".join(f"{i},{i % 97}\n" for i in range(ROWS))})
    width = max(1, count // LAYERS)
    ours = {"laguna.yml": "name: models\n", "raw/rows.yml": "source: {files: ../rows.csv}\n"}
    theirs = {
        "dbt_project.yml": "name: bench\nversion: '1.0'\nprofile: bench\nmodels: {bench: {+materialized: table}}\nflags: {send_anonymous_usage_stats: false}\n",
        "profiles.yml": "bench: {target: dev, outputs: {dev: {type: duckdb, path: dbt.duckdb, threads: 2}}}\n",
    }
    for number in range(count):
        layer, place = divmod(number, width)
        if layer == 0:
            sql = f"SELECT id, value + {place} AS value FROM {{}}\n"
            ours[f"enhanced/{name(number)}.sql"] = sql.format("raw.rows")
            theirs[f"models/{name(number)}.sql"] = sql.format("read_csv('../rows.csv')")
        else:
            parents = [name((layer - 1) * width + (place + step) % width) for step in (0, 1)]
            sql = "SELECT a.id, (a.value + b.value) % 1000003 AS value FROM {} AS a JOIN {} AS b ON a.id = b.id\n"
            ours[f"enhanced/{name(number)}.sql"] = sql.format(*(f"enhanced.{parent}" for parent in parents))
            theirs[f"models/{name(number)}.sql"] = sql.format(*("{{ ref('" + parent + "') }}" for parent in parents))
    write(folder / "laguna", ours)
    write(folder / "dbt", theirs)


def checked_models(folder, table, columns):
    """Copies of `table` under checks that never block: none, one, fifty of single rows, and fifty of which some need a grouping."""
    rows = ["{{not_null: [{}]}}", "{{length_between: {{column: {}, min_value: 1, max_value: 100}}}}", "{{length_between: {{column: {}, min_value: 1}}}}"]
    every = [kind.format(column) for kind in rows for column in columns]
    grouped = [f"{{distinct_count: {{column: {column}, min_value: 1}}}}" for column in columns[:12]]
    for name, checks in [("none", []), ("one", every[:1]), ("fifty", every[:50]), ("fifty_grouped", every[:38] + grouped)]:
        settings = "on_fail: warn\n" + "checks:\n" * bool(checks) + "".join(f"  - {check}\n" for check in checks)
        write(folder, {f"enhanced/{name}.sql": f"SELECT * FROM {table}\n", f"enhanced/{name}.yml": settings})
