"""A mixture ratio changed at a resume repeats no sample and skips none, and the log says where it changed."""

import dataclasses
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from manyeyes.core.errors import ConfigError
from manyeyes.core.runlog import RunFolder
from manyeyes.data.loader import Loader
from manyeyes.data.mixture import constant
from manyeyes.recipes.execute import execute
from manyeyes.recipes.overrides import apply_overrides
from manyeyes.recipes.run import Run

from .miniature import SIGHT, TEXT
from .miniature import run as miniature

CPU = torch.device("cpu")
STEPS, CHANGED_AT = 60, 30


def joint(vision: float) -> Run:
    """One long stage of short rows, so that the planner's window turns over; nothing learns but the projector."""
    stage = dataclasses.replace(
        miniature().stages[3], steps=STEPS, mixture=constant(vision, weights=TEXT | SIGHT), trainable=("mm_projector",),
        held_out=(), evaluate_every=0, rows=4, micro_rows=4,
    )  # fmt: skip
    return dataclasses.replace(miniature(), stages=(stage,), align=None, held_out=())


def after(count: int) -> Callable[[], bool]:
    asked = iter(range(1, 1000))
    return lambda: next(asked) >= count


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, int]]:
    """(source, epoch, index) of every sample that a training step saw, in order."""
    seen: list[tuple[str, int, int]] = []
    hand_out = Loader.__next__

    def noted(self: Loader):
        loaded = hand_out(self)
        for name in (name for row in loaded.batch.names for name in row):
            source, epoch, index = name.rsplit("/", 2)
            seen.append((source, int(epoch), int(index)))
        return loaded

    monkeypatch.setattr(Loader, "__next__", noted)
    return seen


def order_of(drawn: list[tuple[str, int, int]]) -> dict[str, set[tuple[int, int]]]:
    found: dict[str, set[tuple[int, int]]] = {}
    for source, epoch, index in drawn:
        found.setdefault(source, set()).add((epoch, index))
    return found


def share(drawn: list[tuple[str, int, int]]) -> float:
    return sum(source.startswith("synthetic") for source, _, _ in drawn) / len(drawn)


def test_a_changed_ratio_repeats_and_skips_nothing(tmp_path: Path, drawn: list[tuple[str, int, int]]) -> None:
    torch.set_num_threads(1)
    whole = RunFolder.create(tmp_path / "whole", joint(0.5).to_json())
    assert execute(joint(0.5), whole, device=CPU)
    unchanged = drawn.copy()
    drawn.clear()

    folder = RunFolder.create(tmp_path / "changed", joint(0.5).to_json())
    assert not execute(joint(0.5), folder, device=CPU, stop=after(CHANGED_AT))
    before = drawn.copy()
    with pytest.raises(ConfigError, match="--change-mixture"):
        execute(joint(0.9), folder, device=CPU)
    assert not execute(joint(0.9), folder, device=CPU, change_mixture=True, stop=after(10))
    assert Run.from_json(folder.config()).fingerprint == joint(0.9).fingerprint
    assert execute(joint(0.9), folder, device=CPU)  # the new mixture is the run's own now

    assert before == unchanged[: len(before)]
    assert max(Counter(drawn).values()) == 1  # no repeat
    for source, seen in order_of(drawn).items():  # no skip: what waits for a row apart, the same first samples
        theirs = order_of(unchanged)[source]
        fewer, more = sorted((seen, theirs), key=len)
        assert len(fewer - more) <= 64, source
    later = drawn[-len(drawn) // 5 :]
    assert share(later) > share(unchanged[-len(later) :]) + 0.2
    (noted,) = folder.metrics("mixture")
    assert noted.step == CHANGED_AT and noted.values["now"]["segments"][0]["vision"] == 0.9
    assert [row.step for row in folder.metrics("train")] == list(range(1, STEPS + 1))


def test_a_source_may_be_added_with_the_change(tmp_path: Path, drawn: list[tuple[str, int, int]]) -> None:
    run = joint(0.5)
    fewer = dataclasses.replace(
        run, stages=(dataclasses.replace(run.stages[0], steps=4, mixture=constant(0.0, weights={"maths_document": 1.0})),)
    )
    more = apply_overrides(fewer, ["stages.joint.mixture.segments.0.weights.small_talk=50"])
    folder = RunFolder.create(tmp_path / "run", fewer.to_json())
    assert not execute(fewer, folder, device=CPU, stop=after(1))
    assert execute(more, folder, device=CPU, change_mixture=True)
    assert max(Counter(drawn).values()) == 1
