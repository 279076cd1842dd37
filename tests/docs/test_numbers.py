"""The README's table is what the committed files say, and says so where a file is missing."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fill_numbers", ROOT / "docs/fill_numbers.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


fill_numbers = load()


def cells(table: str) -> dict[str, list[str]]:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    return {row[0]: row[1:] for row in rows}


def demo() -> dict[str, Any]:
    def scored(questions: int, **newest: float) -> dict[str, Any]:
        return {"questions": questions, "newest": {name.replace("_", " "): {"value": v} for name, v in newest.items()}}

    vqa = scored(2000, exact=0.8125, blind=0.6725, exact_colour=0.9, exact_shape=0.5)
    vqa["newest"]["exact yes/no"] = {"value": 0.75}
    return {
        "finished": True, "tokens": 3_250_000, "machine": {"device": "cpu", "threads": 2},
        "seconds": {"training": 800.0, "wall": 930.0},
        "held_out": {"vqa": vqa, "ocr": scored(500, exact=0.031)},
    }  # fmt: skip


def test_the_readme_holds_what_the_files_say() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert fill_numbers.filled(readme, fill_numbers.block(ROOT)) == readme, "run docs/fill_numbers.py"


def test_without_files_nothing_was_measured(tmp_path: Path) -> None:
    rows = cells(fill_numbers.block(tmp_path))
    assert len(rows) > 10
    assert {row[0] for row in rows.values()} == {"not run here"}


def test_figures_of_a_run_stand_in_the_table_missed_goals_too(tmp_path: Path) -> None:
    (tmp_path / "docs/experiments").mkdir(parents=True)
    (tmp_path / "docs/experiments/tiny.json").write_text(json.dumps(demo()))
    rows = cells(fill_numbers.block(tmp_path))
    found, beside = rows["easy-VQA, held-out questions (2,000)"]
    assert found == "81.2 %" and "67.2 %" in beside
    assert rows["… colour / shape / yes or no"][0] == "90.0 % / 50.0 % / 75.0 %"
    assert rows["three printed digits, read exactly (500)"] == ["3.1 %", "goal: 50 %; chance 0.1 %"]
    assert "15.5 minutes (cpu, 2 threads)" in rows["`make demo`: training, evaluations included"][0]
    assert rows["counting shapes"][0] == "not run here"


def test_post_training_stands_in_the_table(tmp_path: Path) -> None:
    (tmp_path / "docs/experiments").mkdir(parents=True)
    (tmp_path / "benchmarks/results").mkdir(parents=True)
    full = {"accuracy": [[0.2, 0.9], [0.4, 0.7]], "parallelism": [[1.0, 5.0], [1.2, 4.0]]}
    both = {"tasks": [20, 22], "one": [6.0, 8.0], "other": [40.0, 42.0]}
    compared = {"alone": {"accuracy": [0.9, 1.0]}, "trained": {"accuracy": [0.8, 0.8]}, "both_ended": both}
    parl = {"seeds": 2, "figures": {"PARL": full, **compared}}
    (tmp_path / "docs/experiments/fig4.json").write_text(json.dumps(parl))
    domains = {"reading": {"before": [0.1, 0.2], "after": [0.5, 0.6]}, "mean": {"before": [0.1], "after": [0.9]}}
    sights = {"seeds": 2, "figures": {"called": {"mean": [0.5, 0.7]}, "domains": domains}}
    (tmp_path / "docs/experiments/fig2.json").write_text(json.dumps(sights))
    tokens = {"with Toggle": [50, 60], "without": [100, 100]}
    brief = {"pairs": 4200, "saved": [0.5, 0.4], "tokens": tokens, "items": {"mean": -0.004}}
    (tmp_path / "docs/experiments/fig5.json").write_text(
        json.dumps({"seeds": 2, "figures": {"compared": {"all": brief}}})
    )
    briefer = brief | {"saved": [0.6, 0.5], "items": {"mean": 0.003}}
    (tmp_path / "docs/experiments/fig5-tuned-each.json").write_text(
        json.dumps({"seeds": 2, "figures": {"compared": {"all": briefer}}})
    )
    ends = [{"deep": [0.8, 0.8], "wide": [1.0], "bench": [0.7, 0.6]}, {"deep": [0.5], "wide": [0.9], "bench": [0.3]}]
    of_arms = dict(zip(("swarm", "one agent"), ends, strict=True))
    halved = {arm: {name: [value / 2 for value in of] for name, of in one.items()} for arm, one in of_arms.items()}
    (tmp_path / "docs/experiments/table6.json").write_text(
        json.dumps({"seeds": 2, "figures": {"scores": of_arms, "wholly_right": halved}})
    )
    names = (
        "samples a second, manyeyes, {} loop : TRL at its best",
        "a slow tool: seconds, synchronous : asynchronous",
    )
    goals = {names[0].format("synchronous"): 3.1, names[0].format("asynchronous"): 3.6, names[1]: 1.45}
    told = {"goals": [{"what": what, "found": found} for what, found in goals.items()]}
    (tmp_path / "benchmarks/results/rl_step.json").write_text(json.dumps(told))
    rows = cells(fill_numbers.block(tmp_path))
    found, beside = rows["PARL: item F1 and agents at once, tables of 4 to 12 rows, before and after"]
    assert found == "30 to 80 %, 1.1 to 4.5 at once" and "2 seeds" in beside
    found, beside = rows["… the trained swarm against one agent"]
    assert "steps on 42 tables" in beside
    assert found == "7.0 against 41.0 critical steps, item F1 80.0 % against 95.0 %"
    benched = "… chains wholly right / item F1 of wide tables / of a small Swarm Bench: swarm and one agent"
    assert rows[benched][0] == "40 / 100 / 65 % against 25 / 90 / 30 %"
    assert rows["image tools called on real pictures, after text alone"][0] == "60 %"
    assert rows["visual RL, held-out mean reward by domain"][0] == "reading 15 to 55 %"
    told = rows["Toggle: tokens of an answer"][0]
    assert told == "45 % fewer (55 for 100), accuracy -0.4 points; from 2 fine-tunings 55 % fewer, accuracy +0.3 points"
    (tmp_path / "docs/experiments/fig5.json").unlink()
    alone = cells(fill_numbers.block(tmp_path))["Toggle: tokens of an answer"][0]
    assert alone == "from 2 fine-tunings 55 % fewer, accuracy +0.3 points"
    found, _ = rows["samples a second, rollout and training, beside TRL's GRPOTrainer"]
    assert found == "3.1x synchronous, 3.6x asynchronous"
    assert rows["asynchronous against synchronous loop, a tool of 0.3 s (median)"][0] == "1.45x"


def test_an_unfinished_run_is_called_so(tmp_path: Path) -> None:
    (tmp_path / "docs/experiments").mkdir(parents=True)
    (tmp_path / "docs/experiments/tiny.json").write_text(json.dumps(demo() | {"finished": False}))
    assert "not finished" in fill_numbers.block(tmp_path)


def test_only_the_text_between_the_markers_changes() -> None:
    text = f"before {fill_numbers.BEGIN} old {fill_numbers.END} after"
    assert fill_numbers.filled(text, "new") == f"before {fill_numbers.BEGIN}\nnew\n{fill_numbers.END} after"
    assert fill_numbers.filled(fill_numbers.filled(text, "a"), "b") == fill_numbers.filled(text, "b")


@pytest.mark.parametrize("text", ["no markers", "<!-- numbers:begin -->" * 2 + "<!-- numbers:end -->"])
def test_a_page_without_its_markers_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="numbers:begin"):
        fill_numbers.filled(text, "table")
