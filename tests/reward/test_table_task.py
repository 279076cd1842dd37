import json

import pytest

from manyeyes.core.errors import DataError
from manyeyes.reward.table_task import ColumnRule, Table, TableTask, read_task

EVALUATION = {
    "required": ["City", "people"],
    "unique_columns": ["city"],
    "eval_pipeline": {
        "city": {"preprocess": ["norm_str"], "metric": ["llm_judge"], "criterion": "same city"},
        "people": {"preprocess": ["extract_number"], "metric": ["number_near"], "criterion": 0.05},
    },
}
CSV = '\ufeffCity,Note,Pe ople\n"Rome, Italy",x,2.8\n\nOslo\n'


@pytest.mark.parametrize("evaluation", [EVALUATION, json.dumps(EVALUATION)])
def test_a_task_of_the_public_format(evaluation):
    task = read_task({"instance_id": "ws_en_001", "query": "?", "evaluation": evaluation, "language": "en"}, CSV)
    assert task.gold == Table(["city", "people"], [["Rome, Italy", "2.8"], ["Oslo", ""]])
    assert (task.keys, task.values, task.name, task.language) == (("city",), ("people",), "ws_en_001", "en")
    assert task.rule("people") == ColumnRule(("extract_number",), ("number_near",), 0.05)
    assert task.rule("city").aligned and not task.rule("people").aligned


@pytest.mark.parametrize(
    ("change", "csv", "says"),
    [
        ({"required": ["city", "height"]}, CSV, "missing are"),
        ({"unique_columns": []}, CSV, "key columns"),
        ({"unique_columns": ["people", "x"]}, CSV, "key columns"),
        ({"eval_pipeline": {"city": {"metric": ["near"]}}}, CSV, "near"),
        ({"eval_pipeline": None}, CSV, "expected required"),
        ({}, "", "missing are"),
        ({}, "city\n" + "x" * 200_000, "CSV"),
    ],
)
def test_a_task_that_contradicts_itself(change, csv, says):
    with pytest.raises(DataError, match=says):
        read_task({"evaluation": EVALUATION | change}, csv)


def test_the_gold_table_has_the_required_columns():
    with pytest.raises(DataError, match="gold columns"):
        TableTask(Table(["a"], []), ("a", "b"), ("a",))
