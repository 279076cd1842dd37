"""A mixture ratio changed at a resume repeats no sample and skips none, and the log says where it changed."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from manyeyes.core.errors import ConfigError
from manyeyes.core.runlog import RunFolder
from manyeyes.data.loader import LoadedBatch, Loader
from manyeyes.data.mixture import constant
from manyeyes.data.permutation import Shuffle
from manyeyes.data.resume import waiting
from manyeyes.recipes.execute import execute
from manyeyes.recipes.overrides import apply_overrides
from manyeyes.recipes.run import Run

from .miniature import SIGHT, TEXT
from .miniature import run as miniature

CPU = torch.device("cpu")
STEPS, CHANGED_AT = 40, 15


def joint(vision: float) -> Run:
    """One long stage of short rows, so that the planner's window turns over; nothing learns but the projector."""
    stage = dataclasses.replace(
        miniature().stages[-2],
        steps=STEPS,
        mixture=constant(vision, weights=TEXT | SIGHT),
        trainable=("mm_projector",),
        held_out=(),
        evaluate_every=0,
        rows=4,
        micro_rows=4,
    )
    return dataclasses.replace(miniature(), stages=(stage,), align=None, held_out=())


def after(count: int) -> Callable[[], bool]:
    asked = iter(range(1, 1000))
    return lambda: next(asked) >= count


class Drawn:
    """What the training steps saw: (source, (epoch, index)) in order, and the plan's state after the last one."""

    def __init__(self) -> None:
        self.samples: list[tuple[str, tuple[int, int]]] = []
        self.state: dict[str, Any] = {}

    def add(self, loaded: LoadedBatch) -> None:
        for name in (name for row in loaded.batch.names for name in row):
            source, epoch, index = name.rsplit("/", 2)
            self.samples.append((source, (int(epoch), int(index))))
        self.state = loaded.state

    def vision(self, part: slice) -> float:
        """Share of samples that carry media."""
        sources = [source for source, _ in self.samples[part]]
        return sum(source in SIGHT for source in sources) / len(sources)

    def check(self) -> None:
        """Seen or waiting for a row: exactly the first samples of each source's shuffle, each once."""
        expected = [
            (name, tuple(Shuffle(size, seed=self.state["seed"], name=name)[draw]))
            for name, (_, size, count, _) in self.state["sources"].items()
            for draw in range(count)
        ]
        sizes = {name: size for name, (_, size, _, _) in self.state["sources"].items()}
        held = [
            (name, tuple(Shuffle(sizes[name], seed=self.state["seed"], name=name)[draw]))
            for name, draw, _ in waiting(self.state)
        ]
        assert sorted(self.samples + held) == sorted(expected)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Drawn:
    seen, hand_out = Drawn(), Loader.__next__

    def noted(self: Loader) -> LoadedBatch:
        loaded = hand_out(self)
        seen.add(loaded)
        return loaded

    monkeypatch.setattr(Loader, "__next__", noted)
    return seen


def test_a_changed_ratio_repeats_and_skips_nothing(tmp_path: Path, drawn: Drawn) -> None:
    torch.set_num_threads(1)
    folder = RunFolder.create(tmp_path / "run", joint(0.3).to_json())
    assert not execute(joint(0.3), folder, device=CPU, stop=after(CHANGED_AT))
    count = len(drawn.samples)
    with pytest.raises(ConfigError, match="--change-mixture"):
        execute(joint(0.9), folder, device=CPU)
    assert not execute(joint(0.9), folder, device=CPU, change_mixture=True, stop=after(5))
    assert Run.from_json(folder.config()).fingerprint == joint(0.9).fingerprint
    assert execute(joint(0.9), folder, device=CPU)  # the new mixture is the run's own now

    drawn.check()
    assert drawn.vision(slice(-count // 2, None)) > drawn.vision(slice(0, count)) + 0.3
    (noted,) = folder.metrics("mixture")
    assert noted.step == CHANGED_AT and noted.values["now"]["segments"][0]["vision"] == 0.9
    assert [row.step for row in folder.metrics("train")] == list(range(1, STEPS + 1))


def test_a_source_may_be_added_with_the_change(tmp_path: Path, drawn: Drawn) -> None:
    run = joint(0.5)
    fewer = dataclasses.replace(
        run,
        stages=(dataclasses.replace(run.stages[0], steps=4, mixture=constant(0.0, weights={"maths_document": 1.0})),),
    )
    more = apply_overrides(fewer, ["stages.joint.mixture.segments.0.weights.small_talk=50"])
    folder = RunFolder.create(tmp_path / "run", fewer.to_json())
    assert not execute(fewer, folder, device=CPU, stop=after(1))
    assert execute(more, folder, device=CPU, change_mixture=True)
    drawn.check()
    assert drawn.state["sources"].keys() == {"maths_document", "small_talk"}
