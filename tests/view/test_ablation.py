import re
import xml.etree.ElementTree as ElementTree
from typing import Any

from manyeyes.view.ablation import ablation_page, learning_curves, markdown
from manyeyes.view.ablation_figure import HEAD, HEIGHT, WIDTH, Panel, curves_figure, document

CATEGORIES = ("vision_knowledge", "ocr")


def result(*, seeds: int = 3) -> dict[str, Any]:
    curve = {"tokens": [100, 200, 300], "mean": [0.3, 0.4, 0.5], "low": [0.2, 0.3, 0.4], "high": [0.4, 0.5, 0.6]}
    names = [f"{category}/accuracy" for category in CATEGORIES] + ["text_loss"]
    arms = {"early": 60.0, "mid": 55.0, "late": 50.0}
    return {
        "seeds": seeds, "seconds": 3600, "parameters": "96 wide", "vision_from": {"mid": 150, "late": 240},
        "tokens": {arm: {"text": 900, "vision": 100} for arm in arms},
        "report": {arm: {"vision_knowledge": 25.8, "ocr": 65.7} for arm in arms},
        "arms": {arm: {c: [score + s for s in range(seeds)] for c in CATEGORIES} for arm, score in arms.items()},
        "curves": {arm: {name: curve for name in names} for arm in arms},
        "sentences": ["Vision <b>: shown & more."],
    }  # fmt: skip


def test_the_page_holds_both_tables_and_escapes_what_it_says() -> None:
    page = ablation_page(result())
    assert "61.0" in page and "± 1.0" in page and "report 25.8" in page
    assert "Vision &lt;b&gt;: shown &amp; more." in page
    assert "<script" not in page and "http" not in page.replace("http://www.w3.org/2000/svg", "")


def test_the_best_arm_is_bold_in_markdown() -> None:
    text = markdown(result(), picture="table1.svg")
    assert "| early, here | **61.0** ± 1.0 | **61.0** ± 1.0 |" in text
    assert "| late, report | 25.8 | 65.7 |" in text and "](table1.svg)" in text


def test_one_seed_has_no_spread() -> None:
    assert "±" not in markdown(result(seeds=1), picture="x.svg").split("## ")[0].split("Here:")[0]


def test_the_figure_is_a_whole_svg_with_every_point_inside_its_panel() -> None:
    figure = learning_curves(result())
    root = ElementTree.fromstring(document(figure))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert len(root.findall("{*}g")) == 3
    for path in re.findall(r' d="M([^"]+)"', figure):
        for x, y in re.findall(r"([\d.]+) ([\d.]+)", path):
            assert 0 <= float(x) <= WIDTH and 0 <= float(y) <= HEIGHT
    assert len(re.findall('stroke-dasharray="3 3"', figure)) == 2 * 3


def test_panels_fill_rows_and_one_without_points_says_so() -> None:
    empty = {"early": {"tokens": [], "mean": [], "low": [], "high": []}}
    figure = curves_figure([Panel("nothing", empty)] * 4)
    assert f"0 0 {3 * WIDTH} {HEAD + 2 * HEIGHT}" in figure and "nothing measured" in figure
