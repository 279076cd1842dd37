"""Parity against an independent port of WideSearch's scorer, `evalscope==1.14.1` with `pandas`, where installed.

    python -m pytest tests/reward/test_table_evalscope.py

The port has no path for equal tables, so that success may differ, and counts repeated true rows, which are not drawn.
"""

import asyncio
import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manyeyes.reward.table_judge import ExactJudge
from manyeyes.reward.table_task import read_task
from manyeyes.reward.wide_table import score_table

pytestmark = pytest.mark.slow
port = pytest.importorskip("evalscope.benchmarks.wide_search.utils", reason="needs evalscope==1.14.1 and pandas")

EVALUATION = {
    "required": ["k", "v", "n", "u"],
    "unique_columns": ["k"],
    "eval_pipeline": {
        "k": {"preprocess": ["norm_str"], "metric": ["exact_match"]},
        "v": {"preprocess": ["norm_str"], "metric": ["exact_match", "in_match", "llm_judge"]},
        "n": {"preprocess": ["extract_number"], "metric": ["number_near"], "criterion": 0.1},
        "u": {"preprocess": [], "metric": ["url_match"]},
    },
}
names = st.sampled_from(["Ada", "ada", "A D A", "*Bob*", "bob", "Cy", "Zed"])
texts = st.sampled_from(["x", "X", "*x* y", "y z", "True", "x-y"])
numbers = st.sampled_from(["1", "1.0", "1.05", "10", "about 9.5", "5%", "0.05", "1e3", "007", "many", "1,000"])
urls = st.sampled_from(["https://a.org/1", "http://a.org", "https://www.a.org", "nothing", "[b](https://b.org/x)"])
golds = st.lists(
    st.tuples(st.sampled_from(["Ada", "Bob", "Cy"]), texts, numbers, urls),
    min_size=1,
    max_size=3,
    unique_by=lambda row: row[0],
)


def in_port(text, gold_csv):
    """The port's numbers with the exact judge in the official order: keys are aligned before they are prepared."""
    session = port.WideSearchSession.create(text, gold_csv, EVALUATION)
    if session.response_df is None:
        return [0.0] * 6
    answers, golds = (
        frame["k"].astype(str).drop_duplicates().tolist() for frame in (session.response_df, session.answer_df)
    )
    keys = {"k": asyncio.run(ExactJudge().align_keys("k", answers, golds))}
    inner, _ = session.inner_frame({}, keys)
    pairs = [inner[f"v_{side}"].tolist() for side in ("response", "query")]
    scores = asyncio.run(ExactJudge().judge_column("v", *pairs, criterion=""))
    figures, _ = session.score({"v_llm_judge": scores}, {}, keys)
    return list(figures.values())[1:]


@settings(max_examples=100)
@given(st.lists(st.tuples(names, texts, numbers, urls), min_size=1, max_size=5), golds, st.booleans())
def test_parity_is_the_port(rows, gold, fenced):
    table = "\n".join(["|k|v|n|u|", "|-|-|-|-|", *("|" + "|".join(row) + "|" for row in rows)])
    text = f"Found:\n```markdown\n{table}\n```\n" if fenced else table
    file = io.StringIO()
    csv.writer(file).writerows([EVALUATION["required"], *gold])
    task = read_task({"evaluation": EVALUATION}, file.getvalue())
    ours = asyncio.run(score_table(task, text, ExactJudge(), parity=True))
    assert list(ours.figures.values())[1:] == pytest.approx(in_port(text, file.getvalue()), abs=1e-12)
