"""Writes a Delta table of many commits, as another program would: folder, commits, files a commit. Each file holds ten rows."""

import json
import os
import sys
from pathlib import Path

import pyarrow
import pyarrow.parquet
from deltalake import DeltaTable

ROWS = 10
LINKS = 20_000  # names that one file may have


def write(folder, commits, files):
    log = folder / "_delta_log"
    log.mkdir(parents=True)
    schema = {"type": "struct", "fields": [{"name": name, "type": kind, "nullable": True, "metadata": {}}
                                           for name, kind in (("id", "long"), ("day", "date"), ("name", "string"), ("value", "double"))]}
    first = [{"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}},
             {"metaData": {"id": "b0a1c2d3-0000-4000-8000-000000000000", "format": {"provider": "parquet", "options": {}}, "schemaString": json.dumps(schema),
                           "partitionColumns": [], "configuration": {}, "createdTime": 0}}]
    for commit in range(commits):
        actions = first if commit == 0 else []
        for number in range(files):
            place = commit * files + number
            # What a file holds does not matter to those who open the table; its statistics do. Names are many, files few.
            target = folder / f"part-{place - place % LINKS:08}.parquet"
            path = folder / f"part-{place:08}.parquet"
            if path == target:
                ids = pyarrow.array(range(place * ROWS, (place + 1) * ROWS), pyarrow.int64())
                days = pyarrow.array([place % 3000] * ROWS, pyarrow.int32()).cast(pyarrow.date32())
                table = pyarrow.table({"id": ids, "day": days, "name": [f"name {place % 977}"] * ROWS, "value": [1.0] * ROWS})
                pyarrow.parquet.write_table(table, path)
            else:
                os.link(target, path)
            low, high = place * ROWS, place * ROWS + ROWS - 1
            day = str(pyarrow.scalar(place % 3000, pyarrow.int32()).cast(pyarrow.date32()))
            stats = {"numRecords": ROWS, "minValues": {"id": low, "day": day, "name": f"name {place % 977}", "value": 1.0},
                     "maxValues": {"id": high, "day": day, "name": f"name {place % 977}", "value": 1.0}, "nullCount": {"id": 0, "day": 0, "name": 0, "value": 0}}
            actions.append({"add": {"path": path.name, "partitionValues": {}, "size": os.path.getsize(path), "modificationTime": 1_700_000_000_000 + commit,
                                    "dataChange": True, "stats": json.dumps(stats)}})
        actions.append({"commitInfo": {"timestamp": 1_700_000_000_000 + commit, "operation": "WRITE", "operationParameters": {}}})
        (log / f"{commit:020}.json").write_text("".join(json.dumps(action) + "\n" for action in actions))
        if commit == commits - 11:
            DeltaTable(folder).create_checkpoint()


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
