"""Values of tokens beside the trajectories: exact, of this trajectory, and never more than numbers."""

from pathlib import Path

import numpy as np
import pytest

from manyeyes.core.errors import DataError
from manyeyes.core.token_values import read_token_values, token_values_path, write_token_values
from manyeyes.core.trajectory import Node, Trajectory


def rollout(sampled: int = 3) -> Trajectory:
    whole = Trajectory("../../odd name/\ud800/0", "t")
    whole.add(Node(np.arange(sampled, dtype=np.int32), 0, np.zeros(sampled, np.float32), np.zeros(sampled, np.int32)))
    return whole


def test_values_come_back_as_they_were(tmp_path: Path) -> None:
    ratio = np.array([1.0, np.nan, 0.1], np.float32)
    path = write_token_values(tmp_path, rollout(), ratio=ratio, advantage=np.ones(3, np.float32))
    assert path.parent.parent == tmp_path and [p for p in tmp_path.rglob("*") if p.is_file()] == [path]
    found = read_token_values(tmp_path, rollout())
    assert list(found) == ["ratio", "advantage"] and found["ratio"].tobytes() == ratio.tobytes()
    write_token_values(tmp_path, rollout(), ratio=ratio * 2)
    assert list(read_token_values(tmp_path, rollout())) == ["ratio"]


def test_there_may_be_none(tmp_path: Path) -> None:
    assert read_token_values(tmp_path, rollout()) == {}


def test_values_of_another_trajectory_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="4 sampled tokens"):
        write_token_values(tmp_path, rollout(4), ratio=np.ones(3, np.float32))
    write_token_values(tmp_path, rollout(3), ratio=np.ones(3, np.float32))
    with pytest.raises(DataError, match=r"ratio has shape \[3\]"):
        read_token_values(tmp_path, rollout(4))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"\x93NUMPY", b"\x80\x04K\x01."])
def test_a_damaged_file_is_told(tmp_path: Path, content: bytes) -> None:
    path = token_values_path(tmp_path, rollout().name)
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(DataError, match="cannot be read"):
        read_token_values(tmp_path, rollout())


def test_pickled_objects_are_not_loaded(tmp_path: Path) -> None:
    path = token_values_path(tmp_path, rollout().name)
    path.parent.mkdir()
    np.savez(path, ratio=np.array([{}, {}, {}], object))
    with pytest.raises(DataError, match="allow_pickle"):
        read_token_values(tmp_path, rollout())
