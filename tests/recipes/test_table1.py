import dataclasses
import json
import re
import sys

import numpy as np
import pytest

from manyeyes.core.errors import ConfigError
from manyeyes.core.runlog import RunFolder
from manyeyes.core.seeds import stream
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.data.fake_source import FakeSource
from manyeyes.data.held_out import split_of
from manyeyes.data.plan import Planner
from manyeyes.data.synthesis.generator import HELD_OUT
from manyeyes.recipes.reproduce import check_experiment, worker
from manyeyes.recipes.reproduce.table1 import (
    ARMS,
    FULL,
    PROBES,
    QUICK,
    ROW_LENGTH,
    TEXT,
    VISION,
    Budget,
    arm_run,
    identity,
    model,
    vit_run,
)
from manyeyes.recipes.reproduce.table1_questions import (
    CATEGORIES,
    VISION_CATEGORIES,
    WRONG,
    crossed,
    near_misses,
    questions,
)
from manyeyes.recipes.run import Run

BUDGET = Budget(steps=360, rows=8, vit_steps=8)


def planned(arm: str) -> Planner:
    """The arm's plan over sources of its names, with samples that fill rows as well as the real ones do."""
    rng = np.random.default_rng(0)
    sources = [
        FakeSource(name, lengths=rng.integers(*size, 4000), domain=domain)
        for weights, domain, size in ((TEXT, "text", (8, 150)), (VISION, "vision", (30, 120)))
        for name in weights
    ]
    stage = arm_run(arm, 0, BUDGET).stages[0]
    return Planner(sources, stage.mixture, row_length=ROW_LENGTH, seed=0)


def drawn(arm: str) -> dict[str, list[str]]:
    """Names of the samples of each source, in the order in which rows were closed."""
    names: dict[str, list[str]] = {}
    for pack in planned(arm).take(BUDGET.steps * BUDGET.rows):
        for entry in pack.entries:
            names.setdefault(entry.source, []).append(entry.name)
    return names


def test_all_arms_spend_the_same_text_and_vision_budgets() -> None:
    spent = {}
    for arm in ARMS:
        planner = planned(arm)
        planner.take(BUDGET.steps * BUDGET.rows)
        total = sum(planner.progress.tokens.values())
        spent[arm] = planner.progress.vision, total
        assert planner.progress.vision == pytest.approx(0.1, abs=0.004)
        assert total == pytest.approx(BUDGET.tokens, rel=0.01)
    totals = [total for _, total in spent.values()]
    assert max(totals) / min(totals) < 1.01


def test_all_arms_learn_from_the_same_samples() -> None:
    found = {arm: drawn(arm) for arm in ARMS}
    for source in TEXT | VISION:
        samples = [set(found[arm][source]) for arm in ARMS]
        assert len(set.intersection(*samples)) > 0.93 * max(map(len, samples))


def test_late_vision_comes_late() -> None:
    for arm, share in (("mid", 0.5), ("late", 0.8)):
        rows = planned(arm).take(BUDGET.steps * BUDGET.rows)
        with_vision = [i for i, row in enumerate(rows) if any(e.source in VISION for e in row.entries)]
        assert with_vision[0] / len(rows) == pytest.approx(share, abs=0.02)


def test_arms_of_a_seed_differ_in_their_mixture_alone() -> None:
    runs = [arm_run(arm, 1, QUICK) for arm in ARMS]
    alike = [dataclasses.replace(run, name="", stages=(dataclasses.replace(s, mixture=runs[0].stages[0].mixture),))
             for run in runs for s in run.stages]  # fmt: skip
    assert len({run.fingerprint for run in alike}) == 1
    assert len({run.fingerprint for run in runs}) == len(ARMS)


def test_runs_survive_json() -> None:
    for run in (vit_run(QUICK), arm_run("late", 2, QUICK)):
        assert Run.from_json(json.loads(json.dumps(run.to_json()))).fingerprint == run.fingerprint


def test_identity_follows_the_budget() -> None:
    assert identity(QUICK) == identity(dataclasses.replace(QUICK))
    assert identity(QUICK) != identity(dataclasses.replace(QUICK, rows=2))


def test_minutes_make_budgets_whose_probes_fall_on_vision() -> None:
    for minutes in (5, 60, 240):
        budget = Budget.of_minutes(minutes)
        assert budget.steps % PROBES == 0 and PROBES % FULL == 0
    assert Budget.of_minutes(120).steps == pytest.approx(2 * Budget.of_minutes(60).steps, abs=PROBES)
    with pytest.raises(ConfigError, match="--minutes"):
        Budget.of_minutes(0.1)
    with pytest.raises(ConfigError, match="multiple"):
        Budget(steps=PROBES + 1)


def test_unknown_experiments_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="did you mean table1"):
        check_experiment("tabel1")


def test_configuring_needs_no_torch() -> None:
    import subprocess

    code = (
        "import sys, manyeyes.recipes.reproduce.table1_results, manyeyes.cli.reproduce;sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


SLOW = {"code", "vision_reasoning"}
"""Their sources take seconds to open."""


@pytest.mark.parametrize("category", [pytest.param(c, marks=pytest.mark.slow) if c in SLOW else c for c in CATEGORIES])
def test_questions(category: str) -> None:
    rules, tokenizer = model().rules, Tokenizer.tiny()
    found = questions(category, tokenizer, rules=rules, count=12, seed=0, row_length=ROW_LENGTH)
    again = questions(category, tokenizer, rules=rules, count=12, seed=0, row_length=ROW_LENGTH)
    assert len(found) == 12
    for one, same in zip(found, again, strict=True):
        assert one.ids.tolist() == same.ids.tolist()
        options = [option.tolist() for option in one.options]
        assert options == [option.tolist() for option in same.options]
        assert len(options) == 1 + WRONG and len({tuple(option) for option in options}) == 1 + WRONG
        assert bool(one.media) == (category in VISION_CATEGORIES)


@pytest.mark.slow
def test_code_questions_share_their_context_and_are_held_out() -> None:
    tokenizer = Tokenizer.tiny()
    found = questions("code", tokenizer, rules=model().rules, count=12, seed=0, row_length=ROW_LENGTH)
    for one in found:
        lines = [
            tokenizer.decode([*one.ids.tolist(), *option.tolist()], skip_special=True).split("\n")
            for option in one.options
        ]
        assert all(line[:-2] == lines[0][:-2] for line in lines)
        indents = {len(line[-2]) - len(line[-2].lstrip()) for line in lines}
        assert len(indents) == 1


def differing(a: str, b: str) -> list[int]:
    return [place for place, (x, y) in enumerate(zip(a, b, strict=True)) if x != y]


def test_near_misses_change_one_and_the_same_digit() -> None:
    for number, text in enumerate(("7", "42", "510", "1810", "99999")):
        found = near_misses(text, stream(0, "test", number))
        places = [differing(text, other) for other in found]
        assert len(set(found)) == WRONG and all(place == places[0] and len(place) == 1 for place in places)
        assert text == "7" or not any(other.startswith("0") for other in found)


def test_no_crossed_option_stands_out() -> None:
    for number, text in enumerate(("054", "510", "99")):
        options = [text, *crossed(text, stream(0, "test", number))]
        for one in options:
            assert sorted(len(differing(one, other)) for other in options) == [0, 1, 1, 2]


def test_wrong_numbers_of_ocr_are_never_trained_on() -> None:
    tokenizer = Tokenizer.tiny()
    for one in questions("ocr", tokenizer, rules=model().rules, count=12, seed=0, row_length=ROW_LENGTH):
        for option in one.options:
            said = tokenizer.decode([*one.ids.tolist(), *option.tolist()], skip_special=True)
            number = re.search(r"\d+$", said)
            assert number and split_of(number[0], per_mille=HELD_OUT) == "test"


def test_a_worker_writes_down_what_it_cannot_read(tmp_path, monkeypatch):
    def source(name: str, *_: object, **__: object) -> FakeSource:
        return FakeSource(name, [40] * 50, domain="vision" if name in VISION else "text", broken=range(50))

    monkeypatch.setattr(worker.REGISTRY, "source", source)
    run = arm_run("early", 0, BUDGET)
    folder = RunFolder.create(tmp_path / "run", {})
    with worker._Sources(run, Tokenizer.tiny(), folder).loader(run.stages[0], None) as loader:
        loaded = next(loader)
    lines = (folder.path / "quarantine" / "rank-0.jsonl").read_text().splitlines()
    assert len(lines) == len(loaded.failures) > 0 and all(json.loads(line)["stage"] == "joint" for line in lines)
