"""Projects that are generated: the same thousand models for Laguna and for dbt, one table under many checks, and the tables of TPC-H."""

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


# The tables of TPC-H. Columns without a type are what the CSV file says: whole numbers, dates and text.
TPCH = {
    "customer": "c_custkey c_name c_address c_nationkey c_phone c_acctbal:money c_mktsegment c_comment",
    "lineitem": "l_orderkey l_partkey l_suppkey l_linenumber l_quantity:money l_extendedprice:money l_discount:money l_tax:money l_returnflag "
                "l_linestatus l_shipdate:date l_commitdate:date l_receiptdate:date l_shipinstruct l_shipmode l_comment",
    "nation": "n_nationkey n_name n_regionkey n_comment",
    "orders": "o_orderkey o_custkey o_orderstatus o_totalprice:money o_orderdate:date o_orderpriority o_clerk o_shippriority o_comment",
    "part": "p_partkey p_name p_mfgr p_brand p_type p_size p_container p_retailprice:money p_comment",
    "partsupp": "ps_partkey ps_suppkey ps_availqty ps_supplycost:money ps_comment",
    "region": "r_regionkey r_name r_comment",
    "supplier": "s_suppkey s_name s_address s_nationkey s_phone s_acctbal:money s_comment",
}


def tpch(folder, data):
    """Raw tables of the CSV files in `data`, and a sanitized table over each, with decimals and dates."""
    files = {"laguna.yml": "name: tpch\n"}
    for table, columns in TPCH.items():
        pairs = [column.partition(":")[::2] for column in columns.split()]
        types = [f"{name}: {'decimal(15,2)' if kind == 'money' else kind}" for name, kind in pairs if kind]
        types = ["columns:"] + [f"  {line}" for line in types] if types else []
        files[f"raw/{table}.yml"] = "\n".join([f"source: {{files: '{data}/{table}.csv'}}", *types]) + "\n"
        files[f"sanitized/{table}.sql"] = f"SELECT {', '.join(name for name, _ in pairs)}\nFROM raw.{table}\n"
    write(folder, files)
