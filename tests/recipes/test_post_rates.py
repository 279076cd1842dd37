"""How long runs take: by the table, and by what runs that are there took."""

import dataclasses
from pathlib import Path

import pytest

from manyeyes.core.runlog import RunFolder
from manyeyes.recipes.reproduce.post_measure import RATE, Measuring
from manyeyes.recipes.reproduce.post_rates import OVERHEAD, Rates, rates_of, tokens_of
from manyeyes.recipes.rl_run import RlRun

from . import post_toys

RATES = Rates(tokens=100.0, learned={"toy": 2.0}, asked={"sums": 0.5})


def toy(**changes) -> RlRun:
    return dataclasses.replace(post_toys.toy("toy"), **changes)


def test_minutes_are_tokens_attempts_and_measurements() -> None:
    assert RATES.minutes(post_toys.sft()) == pytest.approx(OVERHEAD + tokens_of(post_toys.sft()) / 6000)
    run = toy(steps=6, groups=5, attempts=2, evaluate_every=2)
    # two whole measurements of 6 attempts, and two in between (after steps 2 and 4) of 3
    assert RATES.minutes(run) == pytest.approx(OVERHEAD + (60 * 2.0 + (2 * 6 + 2 * 3) * 0.5) / 60)
    asked = Measuring("m", (post_toys.MEASURED_SUMS,))
    assert RATES.minutes(asked) == pytest.approx(OVERHEAD + 6 * 0.5 / 60)


def test_rates_are_those_of_the_finished_runs(tmp_path: Path) -> None:
    assert rates_of(tmp_path) == Rates()

    def folder(name: str, config: dict) -> RunFolder:
        return RunFolder.create(tmp_path / name, config)

    folder("sft", post_toys.sft().to_json()).log("finished", 2, seconds=tokens_of(post_toys.sft()) / 50)
    run = toy(steps=5, groups=2, attempts=2)
    folder("rl", run.to_json()).log("finished", 5, seconds=30.0)
    folder("under-way", toy(steps=50).to_json()).log("rl", 1)
    asked = folder("asked", Measuring("m", (post_toys.MEASURED_SUMS,)).to_json())
    for attempts, seconds in ((4, 3.0), (2, 3.0)):
        asked.log(RATE, 0, environment="sums", attempts=attempts, seconds=seconds)
    asked.log("finished", 1, seconds=6.0)
    found = rates_of(tmp_path)
    assert found.tokens == pytest.approx(50) and found.learned["toy"] == 1.5 and found.asked["sums"] == 1.0
    assert found.runs == 3 and found.learned["tiny.parl"] == Rates().learned["tiny.parl"]
