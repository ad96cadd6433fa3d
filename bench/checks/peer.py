"""Great Expectations on a CSV file: `python peer.py FILE SUITE [RESULT_FORMAT]` prints its validation result."""

import json
import sys
import warnings

warnings.filterwarnings("ignore")

import great_expectations as gx
import pandas

file, suite, told = (sys.argv[1:] + ["SUMMARY"])[:3]
with open(suite) as text:
    wanted = json.load(text)
context = gx.get_context(mode="ephemeral")
context.variables.progress_bars = {"globally": False}
expectations = context.suites.add(gx.ExpectationSuite(name=wanted["name"], expectations=wanted["expectations"]))
asset = context.data_sources.add_pandas("pandas").add_dataframe_asset("rows")
batch = asset.add_batch_definition_whole_dataframe("whole")
definition = context.validation_definitions.add(gx.ValidationDefinition(name="bench", data=batch, suite=expectations))
result = definition.run(batch_parameters={"dataframe": pandas.read_csv(file)}, result_format=told)
print(json.dumps(result.to_json_dict(), default=str))
