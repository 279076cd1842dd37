import json
from pathlib import Path

import pytest

from manyeyes.core.errors import DataError
from manyeyes.core.runlog import RunFolder
from manyeyes.recipes.reproduce.table1 import ARMS, QUICK
from manyeyes.recipes.reproduce.table1_questions import CATEGORIES, TEXT_CATEGORIES, VISION_CATEGORIES
from manyeyes.recipes.reproduce.table1_results import results

PROBES = 20
BEGIN = {"early": 0, "mid": 10, "late": 16}
"""Probes without vision."""


def finished(path: Path, arm: str, seed: int, *, vision: float, dip: float) -> RunFolder:
    """A run whose vision scores end at `vision` and whose text loss jumps by `dip` when vision comes in."""
    folder = RunFolder.create(path / f"{arm}-{seed}", {})
    for probe in range(1, PROBES + 1):
        since = probe - 1 - BEGIN[arm]
        jump = dip * max(0.0, 1 - since / 3) if since >= 0 and arm != "early" else 0.0
        figures = {"tokens": 100 * probe, "tokens_vision": max(0, since + 1), "tokens_text": 90 * probe}
        figures["text_loss"] = 4 - 0.02 * probe + jump + 0.001 * seed
        for category in CATEGORIES if probe % 5 == 0 else ():
            top = vision if category in VISION_CATEGORIES else 0.6
            figures |= {f"{category}/accuracy": top * probe / PROBES + 0.01 * seed, f"{category}/confidence": 0.3}
        folder.log("evaluation", probe, stage="joint", final=probe == PROBES, **figures)
    folder.log("finished", PROBES, seconds=10.0, text=1800, vision=200)
    return folder


def experiment(path: Path, *, vision: dict[str, float], dip: float = 0.3, seeds: int = 3):
    folders = {a: [finished(path, a, s, vision=vision[a], dip=dip) for s in range(seeds)] for a in ARMS}
    return results(folders, QUICK, seconds=90.0)


def test_the_reports_pattern_is_recognised(tmp_path: Path) -> None:
    found = experiment(tmp_path, vision={"early": 0.8, "mid": 0.7, "late": 0.6})
    assert found["orderings"]["vision"]["outcome"] == "shown"
    assert found["orderings"]["vision"]["early_late"]["mean"] == pytest.approx(20)
    said = "\n".join(found["sentences"])
    assert "early >= mid >= late: shown" in said
    assert "text under mid fusion: shown" in said and "text under late fusion: shown" in said
    assert "changed by +0.280 nats" in said


def test_the_opposite_is_said_as_plainly(tmp_path: Path) -> None:
    found = experiment(tmp_path, vision={"early": 0.5, "mid": 0.6, "late": 0.7}, dip=0.0)
    assert {found["orderings"][c]["outcome"] for c in (*VISION_CATEGORIES, "vision")} == {"not shown"}
    said = "\n".join(found["sentences"])
    assert "early >= mid >= late: not shown" in said and "text under late fusion: not shown" in said


def test_text_groups_compare_early_with_each_later_arm(tmp_path: Path) -> None:
    found = experiment(tmp_path, vision=dict.fromkeys(ARMS, 0.5))
    assert found["arms"]["early"]["text"] == found["arms"]["late"]["text"]
    assert sum(sentence.startswith("Text (mean") for sentence in found["sentences"]) == 2
    assert [found["orderings"][c]["early_late"]["mean"] for c in TEXT_CATEGORIES] == [0, 0, 0]


def test_results_are_plain_json_even_with_one_seed(tmp_path: Path) -> None:
    found = experiment(tmp_path, vision=dict.fromkeys(ARMS, 0.5), seeds=1)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["orderings"]["ocr"]["outcome"] == "one seed only"


def test_curves_have_a_band_over_seeds(tmp_path: Path) -> None:
    curve = experiment(tmp_path, vision=dict.fromkeys(ARMS, 0.5))["curves"]["late"]["ocr/accuracy"]
    assert curve["tokens"] == [500, 1000, 1500, 2000]
    assert [round(high - low, 6) for high, low in zip(curve["high"], curve["low"], strict=True)] == [0.02] * 4


def test_a_run_without_scores_is_an_error(tmp_path: Path) -> None:
    empty = RunFolder.create(tmp_path / "empty", {})
    with pytest.raises(DataError, match="no evaluation"):
        results({arm: [empty] for arm in ARMS}, QUICK, seconds=0.0)
