"""What the viewer reads of a trajectory: all of it, or in words why not."""

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from manyeyes.agent.rollouts.snapshot import TRAJECTORIES
from manyeyes.core.token_values import token_values_path, write_token_values
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.core.trajectory import Event, Trajectory
from manyeyes.core.trajectory_store import TrajectoryStore, TrajectoryStoreError
from manyeyes.view.rollout_page_fake import fake_trajectory
from manyeyes.view.rollout_run import ShownRollouts
from manyeyes.view.rollout_trajectory import MOST_ENTRIES, blob, outline, shown, tokens

NAME = "maze/1/0"


@pytest.fixture
def whole() -> Trajectory:
    return fake_trajectory(NAME, random.Random(1), Tokenizer.tiny())


@pytest.fixture
def folder(tmp_path: Path, whole: Trajectory) -> Path:
    with TrajectoryStore(tmp_path / TRAJECTORIES) as store:
        store.append(whole)
    return tmp_path


@pytest.fixture
def run(folder: Path) -> Iterator[ShownRollouts]:
    found = ShownRollouts(folder)
    yield found
    found.close()


def test_tokens_lie_as_the_outline_says(run: ShownRollouts, whole: Trajectory, folder: Path) -> None:
    ratio = np.linspace(0.5, 2, whole.sampled_tokens, dtype=np.float32)
    write_token_values(folder, whole, ratio=ratio)
    assert run.store is not None
    said, data = outline(run, run.store, NAME), tokens(run, run.store, NAME)
    lengths, given = [row[0] for row in said["nodes"]], [row[1] for row in said["nodes"]]
    total, sampled = sum(lengths), sum(lengths) - sum(given)
    assert said["values"] == ["ratio"] and len(data) == 4 * (total + 3 * sampled)
    ids = np.frombuffer(data, np.int32, total)
    assert ids.tolist() == [token for node in whole.nodes for token in node.ids.tolist()]
    assert np.array_equal(np.frombuffer(data, np.float32, sampled, 4 * (total + 2 * sampled)), ratio)
    assert len(said["agents"]) == len(whole.agents) and len(said["events"]) == len(whole.events)


def test_values_that_cannot_be_read_are_a_finding(run: ShownRollouts, folder: Path) -> None:
    path = token_values_path(folder, NAME)
    path.parent.mkdir()
    path.write_bytes(b"no archive")
    assert run.store is not None
    said = outline(run, run.store, NAME)
    assert said["values"] == [] and "cannot be read" in said["findings"][-1]


def test_a_broken_forest_is_told_instead_of_drawn(tmp_path: Path, whole: Trajectory) -> None:
    whole.events.append(Event("tool", node=999))
    with TrajectoryStore(tmp_path / TRAJECTORIES) as store:
        store.append(whole)
    run = ShownRollouts(tmp_path)
    assert run.store is not None
    with pytest.raises(TrajectoryStoreError, match=r"cannot be drawn.*node 999: not there"):
        outline(run, run.store, NAME)
    run.close()


def test_only_pictures_are_shown_as_pictures(tmp_path: Path) -> None:
    evil = "<script>" * 5000
    with TrajectoryStore(tmp_path) as store:
        store.append(Trajectory("a", "a", events=[Event("tool", data={"result": evil})]))
        (text,) = (tmp_path / "blobs").iterdir()
        with pytest.raises(TrajectoryStoreError, match="no picture"):
            blob(store, text.name)


def test_what_is_shown_of_data_is_short_whatever_it_is() -> None:
    event = {"data": {"result": list(range(3 * MOST_ENTRIES)), "many": dict.fromkeys(map(str, range(9999)))}}
    found = shown({"events": [event, *[{}] * (MOST_ENTRIES + 4)]})["events"]
    assert len(found) == MOST_ENTRIES + 5
    assert found[0]["data"]["result"][MOST_ENTRIES:] == [f"… ({2 * MOST_ENTRIES:,} more)"]
    assert len(found[0]["data"]["many"]) == MOST_ENTRIES
    deep: list[object] = []
    for _ in range(500):
        deep = [deep]
    assert "…" in str(shown(deep))
