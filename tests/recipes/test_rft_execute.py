"""Rejection sampling from configuration to weights: attempts are made once, and only right ones are learned from."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from manyeyes.core.errors import ConfigError, DataError
from manyeyes.core.sample import Sample
from manyeyes.core.trajectory_store import TrajectoryStore
from manyeyes.data.source import RecordError
from manyeyes.model.checkpoint import load_model
from manyeyes.recipes.kept_source import kept_sources
from manyeyes.recipes.rft_execute import KEPT, execute_rft
from manyeyes.recipes.rft_run import RftRun
from manyeyes.rl.rft import RftRules
from manyeyes.train.stages import LoopConfig

from .post_worlds import PLACE, REGISTRY, checkpoint_of_little, folder_of, little_run, plain_rows

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint_of_little(tmp_path_factory.mktemp("little") / "model")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def rft(start: Path, **settings: Any) -> RftRun:
    base = RftRun(
        name="rft", about="", hardware="", places=(PLACE,), start_model=str(start), tasks=4, attempts=4,
        beside={"small_talk": 1.0}, beside_share=0.25, rules=RftRules(whole=False),
        steps=3, row_length=64, rows=2, micro_rows=1, running=8,
        measured=little_run(start).measured, cache_tokens=4096,
        loop=LoopConfig(compute="float32", checkpoint_every=1),
    )  # fmt: skip
    return dataclasses.replace(base, **settings)


def executed(run: RftRun, path: Path, **given: Any) -> bool:
    with folder_of(path, run.to_json()) as folder:
        return execute_rft(run, folder, device=CPU, registry=REGISTRY, **given)


def test_right_attempts_are_learned_from(start: Path, tmp_path: Path) -> None:
    assert executed(rft(start), tmp_path / "run")
    folder = folder_of(tmp_path / "run", {})
    told = json.loads((tmp_path / "run" / KEPT).read_text())
    with TrajectoryStore(tmp_path / "run" / "trajectories", mode="read") as store:
        assert told["names"] and all(store.get(name).reward == 1.0 for name in told["names"])
    assert [row["step"] for row in plain_rows(folder, "evaluation")] == [0, 3]
    before, after = load_model(start).state_dict(), load_model(tmp_path / "run" / "model").state_dict()
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_stopped_in_either_part_it_ends_the_same(start: Path, tmp_path: Path) -> None:
    assert executed(rft(start), tmp_path / "whole")
    assert not executed(rft(start), tmp_path / "parts", stop=lambda: True)
    steps: list[int] = []
    report, stop = lambda step: steps.append(step.run_step), lambda: len(steps) == 1
    assert not executed(rft(start), tmp_path / "parts", report=report, stop=stop)
    assert executed(rft(start), tmp_path / "parts")
    whole, parts = (load_model(tmp_path / name / "model").state_dict() for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_nothing_right_is_said(start: Path, tmp_path: Path) -> None:
    strict = dataclasses.replace(PLACE, world={"lenient": False})
    with pytest.raises(DataError, match="lower rules.least_reward"):
        executed(rft(start, places=(strict,), measured=(), rules=RftRules(least_reward=1.0)), tmp_path / "run")


def test_shares_are_told_beforehand() -> None:
    with pytest.raises(ConfigError, match="only with sources beside"):
        rft(Path("start"), beside={}, beside_share=0.5)
    with pytest.raises(ConfigError, match="not a multiple"):
        rft(Path("start"), rows=3, micro_rows=2)


def test_text_stands_apart_from_pictures() -> None:
    ids = np.arange(6, dtype=np.int32)
    samples = [Sample(ids, np.ones(6, np.float32), (), f"s{n}") for n in range(3)]
    found = kept_sources(samples, part_length=8)
    assert [(source.name, len(source)) for source in found.sources] == [("rft/text", 3)] and found.vision == 0.0
    (short,) = kept_sources(samples, part_length=4).sources
    with pytest.raises(RecordError, match="6 tokens, a row holds 4"):
        short.sample(0, 0)
