"""The page of an experiment of post-training: all of it made from plain data, foreign words escaped."""

import json
import xml.etree.ElementTree as ET
from typing import Any

from manyeyes.view import figure_experiment
from manyeyes.view.figure_panels import document


def result(**changes: Any) -> dict[str, Any]:
    series = {"name": "PARL <b>", "xs": [0, 10], "ys": [0.1, 0.6], "low": [0.0, 0.5], "high": [0.2, 0.7]}
    panels = [
        {"title": "accuracy", "x_name": "RL steps", "series": [series], "percent": True, "y_range": [0.0, 1.0]},
        {"title": "by kind", "x_name": "", "series": [series | {"form": "points"}], "x_names": ["wide", "deep"]},
    ]
    table = {
        "title": "Held-out tables",
        "heads": ["policy", "item-F1, %"],
        "rows": [["before", "10.0"], ["after", "60.0"]],
    }
    told = {
        "experiment": "fig4", "command": "fig4", "title": "PARL over training", "seeds": 3, "share": 1.0,
        "quick": False, "seconds": 4000,
        "runs": ["tiny.sft 0", "tiny.parl 0"], "about": ["Three seeds."], "report": ["Figure 4: it rises."],
        "sentences": ["Accuracy rises: shown."], "tables": [table, table | {"title": "More"}], "panels": panels,
        "figures": {},
    }  # fmt: skip
    return json.loads(json.dumps(told | changes))


def test_the_drawing_has_every_panel_and_escapes_names() -> None:
    drawn = document(figure_experiment.picture(result()))
    texts = [text.text for text in ET.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")]
    assert {"accuracy", "by kind", "100%", "wide", "deep"} <= set(texts) and texts.count("PARL <b>") == 1


def test_the_page_has_what_showed_and_the_reports_words_and_all_tables() -> None:
    page = figure_experiment.markdown(result(), picture="fig4.svg")
    places = [
        page.index(words) for words in ("# PARL", "fig4.svg", "- Accuracy rises: shown.", "- Figure 4: it rises.")
    ]
    assert places == sorted(places)
    assert "| after | 60.0 |" in page and "## Held-out tables" in page and "## More" in page
    assert "`manyeyes reproduce fig4`: 3 seeds, 2 runs; 1 h 6 min, one run after another" in page


def test_shorter_and_quick_runs_are_named_as_such() -> None:
    page = figure_experiment.markdown(result(share=0.82, quick=True, seeds=1), picture="x.svg")
    assert "one seed, 2 runs, each at 82 % of its recipe's steps" in page and "means nothing else" in page


def test_a_terminal_gets_the_first_table() -> None:
    assert figure_experiment.table(result()) == (["policy", "item-F1, %"], [["before", "10.0"], ["after", "60.0"]])
