"""Asks Great Expectations itself for its verdicts on random tables, in the form of the conformance cases.

    python3 -m venv VENV && VENV/bin/pip install great_expectations==1.24.1
    VENV/bin/python bench/great_expectations_cases.py SEED COUNT > cases.jsonl
    LAGUNA_GE_CASES=cases.jsonl cargo test --workspace --test it conformance

Tables hold what hurts: nulls, NaN, infinities, unicode, dates with and without zones, nothing at all.
"""

import datetime as dt
import json
import logging
import math
import os
import random
import sys
import warnings

os.environ["GX_ANALYTICS_ENABLED"] = "false"
warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)

import great_expectations as gx  # noqa: E402
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from great_expectations.core import ExpectationSuite  # noqa: E402
from great_expectations.expectations.expectation_configuration import ExpectationConfiguration  # noqa: E402

WORDS = ["a", "B", "ab", "AA", "B6", "é", "naïve", "日本", "", " ", "1", "1.0", "abc", "x y", "2024-01-31", "a\n", "10%", "a_b", "🎈"]
DATES = ["2024-01-31", "31 Jan 2024", "2024-02-30", "10:30", "quack", "2024-01-31T10:00:00Z", "1/2/2024", "20240131", "", "12", "Jan 2024", "2024-1-5"]
JSONS = ['{"a": 1}', "[1, 2]", "nul", "NaN", '{"a": "x"}', "1", '"s"', "{", '{"b": 2}', "{'a': 1}"]
PATTERNS = ["^a", "b$", r"^\w+$", r"\d", "^$", r"(a)\1", "(?i)aa", "[A-Z]", r"^(?!a)", "é|日", r"^\S+$", ".", "1.0", r"^-?\d+(\.\d+)?$", "True", "00"]


def column(r, rows):
    kind = r.choice(["int", "int", "float", "float", "bool", "string", "string", "timestamp", "timestamp_tz", "null", "dates", "jsons", "big"])
    null = r.choice([0, 0, 0.2, 0.5, 1.0]) if kind not in ("int", "bool", "big") else 0
    def value():
        if r.random() < null:
            return None
        return {
            "int": lambda: r.randint(-3, 4),
            "big": lambda: r.choice([2**53, 2**53 + 1, -(2**60), 7, 2**62]),
            "float": lambda: r.choice([0.0, -0.0, 0.1, 1.0, -1.5, 2.5, 1e16, 1e-7, 3.0, "inf" if r.random() < 0.1 else 4.0]),
            "bool": lambda: r.random() < 0.5,
            "string": lambda: r.choice(WORDS),
            "dates": lambda: r.choice(DATES),
            "jsons": lambda: r.choice(JSONS),
            "timestamp": lambda: r.choice(["2024-01-01T00:00:00", "2024-01-02T03:04:05", "1999-12-31T23:59:59.250000", "2030-06-01T12:00:00"]),
            "timestamp_tz": lambda: r.choice(["2024-01-01T00:00:00+00:00", "2024-01-02T03:04:05+00:00", "2030-06-01T12:00:00.5+00:00"]),
            "null": lambda: None,
        }[kind]()
    values = [value() for _ in range(rows)]
    form = {"dates": "string", "jsons": "string", "big": "int"}.get(kind, kind)
    if form == "float":
        values = [{"inf": math.inf}.get(v, v) if isinstance(v, str) else v for v in values]
        series = pd.Series([np.nan if v is None else v for v in values], dtype="float64")
    elif form == "int":
        series = pd.Series(values, dtype="int64")
    elif form == "bool":
        series = pd.Series(values, dtype="bool")
    elif form == "string":
        series = pd.Series(values, dtype="object")
        form = "null" if all(v is None for v in values) and rows else form
    elif form == "timestamp":
        series = pd.Series(pd.to_datetime(values, format="ISO8601")).astype("datetime64[us]")
    elif form == "timestamp_tz":
        series = pd.Series(pd.to_datetime(values, format="ISO8601", utc=True)).astype("datetime64[us, UTC]")
    else:
        series = pd.Series(values, dtype="object")
    return kind, form, values, series


def number(r):
    return r.choice([0, 1, -1, 2, 3, 0.5, 2.5, -1.5, 10, 1e16, 7])


def bounds(r, numbers=True):
    make = number if numbers else (lambda r: r.choice(["2024-01-01T00:00:00", "2024-01-02 03:04:05", "2030-01-01T00:00:00"]))
    low, high = make(r), make(r)
    if low > high:
        low, high = high, low
    kwargs = r.choice([{"min_value": low}, {"max_value": high}, {"min_value": low, "max_value": high}])
    if r.random() < 0.3:
        kwargs = dict(kwargs, strict_min=r.random() < 0.5, strict_max=r.random() < 0.5)
    return kwargs


def members(r, kind):
    numbers = [r.choice([0, 1, -1, 2, 1.0, 2.5, True, False, 0.1]) for _ in range(r.randint(1, 4))]
    texts = [r.choice(WORDS + DATES) for _ in range(r.randint(1, 5))]
    if kind in ("int", "float", "bool", "big"):
        return r.choice([numbers, numbers, numbers, texts])
    return r.choice([texts, texts, texts, numbers])


def condition(r, columns):
    name = r.choice(list(columns))
    kind = columns[name][0]
    literal = r.choice([0, 1, 2.5]) if kind in ("int", "float", "big") else r.choice(["a", "AA", "é"])
    quoted = json.dumps(literal, ensure_ascii=False)
    operator = r.choice(["==", "!=", "<", ">="])
    if kind in ("int", "float", "string", "big"):
        forms = [
            {"type": "comparison", "column": {"name": name}, "operator": operator, "parameter": literal},
            {"type": "comparison", "column": {"name": name}, "operator": r.choice(["IN", "NOT_IN"]), "parameter": [literal, literal]},
            {"type": "nullity", "column": {"name": name}, "is_null": r.random() < 0.5},
            {"type": "or", "conditions": [
                {"type": "nullity", "column": {"name": name}, "is_null": True},
                {"type": "comparison", "column": {"name": name}, "operator": operator, "parameter": literal}]},
        ]
        if r.random() < 0.5:
            return {"row_condition": r.choice(forms)}
        text = r.choice([
            f"{name} {operator} {quoted}", f"not ({name} {operator} {quoted})", f"{name} in [{quoted}]", f"`{name}` not in [{quoted}]",
            f"{name} == {quoted} or {name} != {quoted}", f"{name}.isnull()", f"({name} {operator} {quoted}) & ({name}.notnull())",
        ])
        return {"row_condition": text, "condition_parser": "pandas"}
    return {"row_condition": {"type": "nullity", "column": {"name": name}, "is_null": r.random() < 0.5}}


def differs_on_purpose(kind, kwargs, columns):
    """What pandas cannot, or does by the accident of its objects: there Laguna answers better, and no verdict is compared."""
    of = lambda name: columns[name][0] if name in columns else ""
    used = [name for value in kwargs.values() for name in (value if isinstance(value, list) else [value]) if isinstance(name, str) and name in columns]
    kinds = {of(name) for name in used}
    texts = {"string", "dates", "jsons"}
    times = {"timestamp", "timestamp_tz"}
    nothing = "null" in kinds or any(all(v is None for v in columns[name][2]) for name in used)
    return (
        ("between" in kind and "timestamp_tz" in kinds)  # a bound without a zone against an instant
        or (kinds & times and any(word in kind for word in ("z_score", "outliers", "stdev", "mean", "quantile", "sum", "kl_")))
        or (kinds & texts and any(word in kind for word in ("min_to", "max_to", "increasing", "decreasing", "multicolumn_sum")))
        or (nothing and any(word in kind for word in ("a_to_be_greater", "within_record", "multicolumn_sum")))  # None, NaN and NaT are three objects
        or (kinds & times and "within_record" in kind)
        or (kinds & times and kinds - times and "a_to_be_greater" in kind)
    )


def expectation(r, columns):
    name = r.choice(list(columns))
    other = r.choice(list(columns))
    kind = columns[name][0]
    numeric = kind in ("int", "float", "big", "bool", "null")
    one = {"column": name}
    some = r.sample(list(columns), r.randint(2, len(columns)))
    mostly = {"mostly": r.choice([0.2, 0.5, 0.8, 1.0])} if r.random() < 0.3 else {}
    ignore = {"ignore_row_if": r.choice(["all_values_are_missing", "any_value_is_missing", "never"])} if r.random() < 0.5 else {}
    pair_ignore = {"ignore_row_if": r.choice(["both_values_are_missing", "either_value_is_missing", "neither"])} if r.random() < 0.5 else {}
    pair = {"column_A": name, "column_B": other, **pair_ignore, **mostly}
    weights = r.choice([[0.5, 0.5], [0.2, 0.8]])
    options = [
        ("expect_column_values_to_not_be_null", {**one, **mostly}),
        ("expect_column_values_to_be_null", {**one, **mostly}),
        ("expect_column_values_to_be_unique", {**one, **mostly}),
        ("expect_column_values_to_be_in_set", {**one, "value_set": members(r, kind), **mostly}),
        ("expect_column_values_to_not_be_in_set", {**one, "value_set": members(r, kind), **mostly}),
        ("expect_column_values_to_be_between", {**one, **bounds(r, numeric), **mostly}),
        ("expect_column_values_to_match_regex", {**one, "regex": r.choice(PATTERNS), **mostly}),
        ("expect_column_values_to_not_match_regex", {**one, "regex": r.choice(PATTERNS), **mostly}),
        ("expect_column_values_to_match_regex_list", {**one, "regex_list": r.sample(PATTERNS, 2), "match_on": r.choice(["any", "all"]), **mostly}),
        ("expect_column_values_to_not_match_regex_list", {**one, "regex_list": r.sample(PATTERNS, 2), **mostly}),
        ("expect_column_value_lengths_to_equal", {**one, "value": r.randint(0, 4), **mostly}),
        ("expect_column_value_lengths_to_be_between", {**one, "min_value": r.randint(0, 2), "max_value": r.randint(2, 5), **mostly}),
        ("expect_column_values_to_be_increasing", {**one, "strictly": r.random() < 0.5, **mostly}),
        ("expect_column_values_to_be_decreasing", {**one, **mostly}),
        ("expect_column_value_z_scores_to_be_less_than", {**one, "threshold": r.choice([0.5, 1, 2]), "double_sided": r.random() < 0.5, **mostly}),
        ("expect_column_values_to_not_be_outliers", {**one, "method": r.choice(["iqr", "std"]), "multiplier": r.choice([0, 0.5, 1.5]), **mostly}),
        ("expect_column_values_to_be_of_type", {**one, "type_": r.choice(["int", "int64", "float", "float64", "bool", "str", "datetime64", "Timestamp", "object", "int32"]), **mostly}),
        ("expect_column_values_to_be_in_type_list", {**one, "type_list": r.sample(["int", "int64", "float64", "bool", "str", "datetime64[us]", "int32"], 2), **mostly}),
        ("expect_column_type_to_be", {**one, "type_": r.choice(["int64", "float64", "bool", "int32", "datetime64[us]", "datetime64", "datetime64[us, UTC]"])}),
        ("expect_column_values_to_be_json_parseable", {**one, **mostly}),
        ("expect_column_values_to_match_json_schema", {**one, "json_schema": {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}, **mostly}),
        ("expect_column_values_to_be_dateutil_parseable", {**one, **mostly}),
        ("expect_column_values_to_match_strftime_format", {**one, "strftime_format": r.choice(["%Y-%m-%d", "%d %b %Y", "%H:%M", "%Y%m%d", "%m/%d/%Y"]), **mostly}),
        ("expect_column_pair_values_to_be_equal", pair),
        ("expect_column_pair_values_a_to_be_greater_than_b", {**pair, "or_equal": r.random() < 0.5}),
        ("expect_column_pair_values_to_be_in_set", {**pair, "value_pairs_set": [[r.choice(members(r, kind)), r.choice(members(r, columns[other][0]))] for _ in range(3)] + ([[None, 1]] if r.random() < 0.3 else [])}),
        ("expect_compound_columns_to_be_unique", {"column_list": some, **ignore, **mostly}),
        ("expect_select_column_values_to_be_unique_within_record", {"column_list": some, **ignore, **mostly}),
        ("expect_multicolumn_values_to_be_equal", {"column_list": some, **ignore, **mostly}),
        ("expect_multicolumn_sum_to_equal", {"column_list": some, "sum_total": r.choice([0, 1, 2, 0.1, 0.2]), **ignore, **mostly}),
        ("expect_column_min_to_be_between", {**one, **bounds(r, numeric)}),
        ("expect_column_max_to_be_between", {**one, **bounds(r, numeric)}),
        ("expect_column_mean_to_be_between", {**one, **bounds(r)}),
        ("expect_column_median_to_be_between", {**one, **bounds(r)}),
        ("expect_column_sum_to_be_between", {**one, **bounds(r)}),
        ("expect_column_stdev_to_be_between", {**one, **bounds(r)}),
        ("expect_column_unique_value_count_to_be_between", {**one, **bounds(r)}),
        ("expect_column_proportion_of_unique_values_to_be_between", {**one, "min_value": r.choice([0, 0.5, 1])}),
        ("expect_column_proportion_of_non_null_values_to_be_between", {**one, "min_value": r.choice([0, 0.5, 1])}),
        ("expect_column_distinct_values_to_be_in_set", {**one, "value_set": members(r, kind)}),
        ("expect_column_distinct_values_to_contain_set", {**one, "value_set": members(r, kind)}),
        ("expect_column_distinct_values_to_equal_set", {**one, "value_set": members(r, kind)}),
        ("expect_column_most_common_value_to_be_in_set", {**one, "value_set": members(r, kind), "ties_okay": r.random() < 0.5}),
        ("expect_column_quantile_values_to_be_between", {**one, "quantile_ranges": {"quantiles": [0.1, 0.5, 0.75], "value_ranges": [[None, number(r)], [number(r), None], [-1, 5]]}, "allow_relative_error": r.choice([False, "linear", "lower", "higher", "midpoint"])}),
        ("expect_column_kl_divergence_to_be_less_than", {**one, "partition_object": r.choice([{"values": members(r, kind)[:1] * 1 + ["zz"], "weights": weights}, {"bins": [-2, 0, 3], "weights": weights}]), "threshold": r.choice([0.1, 1, 5]), "tail_weight_holdout": r.choice([0, 0.1])}),
        ("expect_table_row_count_to_be_between", {"min_value": r.randint(0, 3), "max_value": r.randint(3, 8)}),
        ("expect_table_row_count_to_equal", {"value": r.randint(0, 6)}),
    ]
    kind, kwargs = r.choice(options)
    if differs_on_purpose(kind, kwargs, columns):
        return expectation(r, columns)
    if r.random() < 0.2 and kind not in ("expect_column_type_to_be",):
        kwargs = {**kwargs, **condition(r, columns)}
    return kind, kwargs


def plain(value):
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, np.ndarray)):
        return [plain(v) for v in value]
    if isinstance(value, (np.bool_, bool)):
        return bool(value)
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, (float, np.floating)):
        value = float(value)
        return value if math.isfinite(value) else (None if math.isnan(value) else ("inf" if value > 0 else "-inf"))
    if value is pd.NaT or value is None:
        return None
    if isinstance(value, (dt.datetime, dt.date, pd.Timestamp, np.datetime64)):
        return pd.Timestamp(value).isoformat()
    return value if isinstance(value, (str, int)) else str(value)


def main(seed, count):
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    source = context.data_sources.add_pandas("p")
    r = random.Random(seed)
    for index in range(count):
        rows = r.choice([0, 1, 2, 5, 8, 12])
        columns = {f"c{i}": column(r, rows) for i in range(r.randint(2, 4))}
        frame = pd.DataFrame({name: made[3] for name, made in columns.items()})
        asset = source.add_dataframe_asset(f"a{seed}_{index}")
        batch = asset.add_batch_definition_whole_dataframe("b").get_batch({"dataframe": frame})
        for _ in range(10):
            kind, kwargs = expectation(r, columns)
            expected = {}
            try:
                suite = ExpectationSuite(name="s", expectations=[ExpectationConfiguration(type=kind, kwargs=json.loads(json.dumps(kwargs)))])
                if not suite.expectations:
                    continue
            except Exception as error:
                expected = {"success": False, "raised": "config", "message": str(error)[:200]}
            if not expected:
                try:
                    result = batch.validate(suite, result_format="COMPLETE").results[0]
                    raised = result.exception_info.get("raised_exception", True) if "raised_exception" in result.exception_info else bool(result.exception_info)
                    if raised:
                        info = result.exception_info
                        message = info.get("exception_message") or next(iter(info.values())).get("exception_message", "")
                        expected = {"success": False, "raised": "result", "message": str(message)[:200]}
                    else:
                        found = plain(dict(result.result))
                        expected = {"success": bool(result.success)}
                        for key in ("element_count", "missing_count", "unexpected_count", "unexpected_list", "unexpected_index_list", "observed_value", "partial_missing_list", "details"):
                            if key in found:
                                expected[key] = found[key]
                except Exception as error:
                    expected = {"success": False, "raised": "run", "message": str(error)[:200]}
            if "JSON serializable" in expected.get("message", ""):
                continue
            print(json.dumps({
                "id": f"{seed}/{index}", "kind": "random", "expectation_type": kind, "kwargs": kwargs, "engine": "pandas",
                "columns": {name: [plain(v) for v in made[2]] for name, made in columns.items()},
                "column_types": {name: made[1] for name, made in columns.items()},
                "row_count": rows, "expected": expected,
            }, ensure_ascii=False))


main(int(sys.argv[1]), int(sys.argv[2]))
