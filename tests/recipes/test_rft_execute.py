"""Rejection sampling from configuration to weights: attempts are made once, and only right ones are learned from."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from manyeyes.agent.environment import Environment
from manyeyes.agent.judge import JudgeFailed, Rewards
from manyeyes.agent.registry import Found, Registry
from manyeyes.agent.rollouts.config import RolloutConfig
from manyeyes.agent.toolset import Together
from manyeyes.core.errors import ConfigError, DataError
from manyeyes.core.sample import Sample
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.core.trajectory_store import TrajectoryStore
from manyeyes.data.source import RecordError
from manyeyes.model.checkpoint import load_model
from manyeyes.model.config import tiny
from manyeyes.recipes import recipe, rft_attempts
from manyeyes.recipes.kept_source import kept_sources
from manyeyes.recipes.rft_attempts import ATTEMPTS, BEFORE
from manyeyes.recipes.rft_checks import check_rft
from manyeyes.recipes.rft_examples import KEPT
from manyeyes.recipes.rft_execute import execute_rft
from manyeyes.recipes.rft_run import RftRun
from manyeyes.recipes.rl_measure import RlMeasure
from manyeyes.recipes.rl_parts import Measured
from manyeyes.recipes.sources import SOURCES
from manyeyes.rl.rft import RftRules
from manyeyes.train.stages import LoopConfig

from .post_worlds import PLACE, REGISTRY, checkpoint_of_little, folder_of, little_run, plain_rows, sums

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


def test_what_became_of_all_attempts_is_told(start: Path, tmp_path: Path) -> None:
    said: list[str] = []
    strict = RftRules(whole=False, least_reward=1.0)
    assert executed(rft(start, rules=strict), tmp_path / "run", announce=said.append)
    told = json.loads((tmp_path / "run" / KEPT).read_text())
    assert told["attempts"] == 16 == sum(told["tally"].values()) and told["tally"]["wrong"] > 0
    assert told["right"] == told["attempts"] - told["tally"]["wrong"] and told["kept"] == len(told["names"])
    (row,) = plain_rows(folder_of(tmp_path / "run", {}), "rft")
    counts = ("attempts", "right", "kept", "samples", "tokens")
    assert {name: row[name] for name in counts} == {name: told[name] for name in counts}
    assert row["places"] == {"reasoning/sums": {"attempts": 16, "right": told["right"]}}
    assert any(f"{told['right']} of 16 attempts are right, {told['kept']} of them are examples" in one for one in said)


def test_nothing_is_measured_or_attempted_twice(start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[int] = []
    figures = RlMeasure.figures

    async def counted(self: RlMeasure, step: int, *, final: bool) -> Any:
        measured.append(step)
        return await figures(self, step, final=final)

    monkeypatch.setattr(RlMeasure, "figures", counted)
    assert not executed(rft(start), tmp_path / "run", stop=lambda: True)
    assert not executed(rft(start), tmp_path / "run", stop=lambda: True)
    assert executed(rft(start), tmp_path / "run")
    assert measured == [0, 3]
    with TrajectoryStore(tmp_path / "run" / "trajectories", mode="read") as store:
        assert len(store) == 16


def test_more_tasks_than_may_be_open_at_once_are_all_attempted(
    start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = RolloutConfig
    monkeypatch.setattr(rft_attempts, "RolloutConfig", lambda **given: made(**given, most_open=5))
    assert executed(rft(start, measured=()), tmp_path / "run")
    told = json.loads((tmp_path / "run" / ATTEMPTS).read_text())
    assert (told["tasks"], told["attempts"], told["failed"]) == (4, 16, 0)


def test_attempts_that_failed_are_made_again_when_the_run_goes_on(start: Path, tmp_path: Path) -> None:
    """The judge of one task is gone at first; the other tasks' attempts stand."""
    gone = [True]

    async def judged(case: Any) -> float:
        if gone[0] and case.task.id == "sum/0/0":
            raise JudgeFailed("gone")
        return float(len(case.outcome.text) % 2)

    def shaky() -> Environment:
        return Environment(lambda ctx: Together(), judge=Rewards(odd=judged), name="sums")

    registry = Registry({"environments": {"sums": shaky}, "task_sources": {"sums": sums}}, installed=Found(()))
    run = rft(start, places=(dataclasses.replace(PLACE, tasks={"size": 4}),), measured=())
    counts: list[int] = []

    def dies(line: str) -> None:
        if "are examples" in line:
            counts.append(json.loads((tmp_path / "run" / ATTEMPTS).read_text())["failed"])
            raise KeyboardInterrupt

    for _ in range(2):
        with folder_of(tmp_path / "run", run.to_json()) as folder, pytest.raises(KeyboardInterrupt):
            execute_rft(run, folder, device=CPU, registry=registry, announce=dies)
        gone[0] = False
    assert counts == [4, 0]
    with TrajectoryStore(tmp_path / "run" / "trajectories", mode="read") as store:
        assert len(store) == 16 and "failed" not in {one.stop for one in store.find()}


def test_another_measurement_is_made_again(start: Path, tmp_path: Path) -> None:
    assert not executed(rft(start), tmp_path / "run", stop=lambda: True)
    before = json.loads((tmp_path / "run" / BEFORE).read_text())
    run = rft(start, measured=(dataclasses.replace(rft(start).measured[0], count=3),))
    assert run.fingerprint == rft(start).fingerprint
    assert executed(run, tmp_path / "run")
    assert before["figures"]["sums"]["questions"] == 4.0
    (first, _) = plain_rows(folder_of(tmp_path / "run", {}), "evaluation")
    assert first["sums/questions"] == 3.0


def test_nothing_right_is_said(start: Path, tmp_path: Path) -> None:
    strict = dataclasses.replace(PLACE, world={"lenient": False})
    with pytest.raises(DataError, match="none of 16 attempts can be learned from: 16 wrong"):
        executed(rft(start, places=(strict,), measured=(), rules=RftRules(least_reward=1.0)), tmp_path / "run")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"beside_share": 1.0}, "beside_share is 0 to below 1"),
        ({"beside": {"small_talk": 0.0}}, "weights must be above 0"),
        ({"places": ()}, "at least one place"),
        ({"places": (PLACE, PLACE)}, "must differ"),
        ({"domains": {"coding": 1.0}}, "no place belongs to the domain coding"),
        ({"tasks": 0}, "tasks must be at least 1"),
        ({"temperature": -0.5}, "temperature must be at least 0"),
        ({"rules": RftRules(row_length=32)}, "leave rules.row_length out"),
        ({"loop": LoopConfig(compute="bfloat16")}, "computes in float32"),
    ],
)
def test_what_cannot_be_is_told_beforehand(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        rft(Path("start"), **fields)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"beside": {}, "beside_share": 0.5}, "only with sources beside"),
        ({"rows": 3, "micro_rows": 2}, "not a multiple"),
        ({"cache_tokens": 32}, "must hold a row of 64"),
        ({"row_length": 4}, "answers of 4 tokens leave no room for a prompt in a row of 4"),
        ({"beside": {"smal_talk": 1.0}}, "did you mean small_talk"),
        ({"places": (dataclasses.replace(PLACE, environment="sumz"),)}, "sums"),
        ({"measured": (Measured(dataclasses.replace(PLACE, environment="sumz"), count=1, quick=1),)}, "sums"),
    ],
)
def test_fields_together_and_names_are_checked_before_anything_exists(changes: dict[str, Any], words: str) -> None:
    check_rft(rft(Path("start")), REGISTRY)
    with pytest.raises(ConfigError, match=words):
        check_rft(rft(Path("start"), **changes), REGISTRY)


def test_dialogues_beside_fit_the_rows_of_the_recipe() -> None:
    run, tokenizer = recipe("tiny.rft"), Tokenizer.tiny()
    assert isinstance(run, RftRun)
    for name in run.beside:
        source = SOURCES.source(name, tokenizer, rules=tiny().rules, part_length=run.row_length, seed=0, folder=None)
        assert max(source.length(index, 0) for index in range(40)) <= run.row_length


def test_the_fingerprint_knows_what_is_learned() -> None:
    run = rft(Path("start"))
    changed = [{"tasks": 5}, {"invariant": True}, {"temperature": 0.5}, {"rules": RftRules()}, {"seed": 1}]
    same = [{"about": "x"}, {"measured": ()}, {"running": 3}, {"cache_tokens": 128}]
    assert all(dataclasses.replace(run, **fields).fingerprint != run.fingerprint for fields in changed)
    assert all(dataclasses.replace(run, **fields).fingerprint == run.fingerprint for fields in same)


def test_a_configuration_with_unknown_names_is_refused() -> None:
    data = rft(Path("start")).to_json()
    assert RftRun.from_json(data) == rft(Path("start"))
    for broken in (data | {"tsks": 3}, data | {"rules": data["rules"] | {"per_tsk": 1}}):
        with pytest.raises(ConfigError, match="which knows no (tsks|rules.per_tsk)"):
            RftRun.from_json(broken)
    with pytest.raises(ConfigError, match="expected kind 'rft', got 'rl'"):
        RftRun.from_json(data | {"kind": "rl"})


def test_text_stands_apart_from_pictures() -> None:
    ids = np.arange(6, dtype=np.int32)
    samples = [Sample(ids, np.ones(6, np.float32), (), f"s{n}") for n in range(3)]
    found = kept_sources(samples, part_length=8)
    assert [(source.name, len(source)) for source in found.sources] == [("rft/text", 3)] and found.vision == 0.0
    (short,) = kept_sources(samples, part_length=4).sources
    with pytest.raises(RecordError, match="6 tokens, a row holds 4"):
        short.sample(0, 0)
