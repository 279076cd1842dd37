"""The pages of figures 7 and 8 hold the figures of their results, and the committed ones are what the results say."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from manyeyes.view import figure_accuracy, figure_cloud, figure_targets
from manyeyes.view.figure_panels import document

DOCS = Path(__file__).resolve().parents[2] / "docs" / "experiments"
VIEWS = {"fig6": figure_cloud, "fig7": figure_accuracy, "fig8": figure_targets}


def result(name: str) -> dict[str, Any]:
    return json.loads((DOCS / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", VIEWS)
def test_what_is_committed_is_drawn_from_its_result(name: str) -> None:
    view, found = VIEWS[name], result(name)
    assert (DOCS / f"{name}.svg").read_text(encoding="utf-8") == document(view.picture(found))
    assert (DOCS / f"{name}.md").read_text(encoding="utf-8") == view.markdown(found, picture=f"{name}.svg")
    ET.fromstring(document(view.picture(found)))


def test_figure_8_shows_every_task_and_target() -> None:
    found = result("fig8")
    heads, rows = figure_targets.table(found)
    assert len(rows) == len(found["tasks"]) and all(len(row) == len(heads) for row in rows)
    page = figure_targets.markdown(found, picture="p.svg")
    assert all(task["id"] in page for task in found["tasks"]) and page.count("\n| ") > 15
    found["tasks"][0]["faster"]["0.7"] = found["tasks"][0]["single"]["reached"]["0.7"] = None
    assert figure_targets.table(found)[1][0][5] == "-"
    figure_targets.picture(found)


def test_figure_7_shows_every_arm_and_budget() -> None:
    found = result("fig7")
    heads, rows = figure_accuracy.table(found)
    assert [row[0] for row in rows] == ["none", "discard-all", "swarm"] and all(len(row) == len(heads) for row in rows)
    found["arms"]["none"]["curve"] = {"steps": [], "accuracy": []}
    ET.fromstring(document(figure_accuracy.picture(found)))
