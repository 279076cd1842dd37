"""A trajectory survives its way through bytes whole: ids, log-probabilities, versions, pictures, events."""

import numpy as np
import pytest

from manyeyes.agent.rollouts.parcel import packed, unpacked
from manyeyes.core.media import Grid, Media
from manyeyes.core.trajectory import AgentSpan, Event, Node, Trajectory
from manyeyes.core.trajectory_wire import WireError


def test_what_comes_out_is_what_went_in() -> None:
    whole = Trajectory("task/0/0", "task", "env", [AgentSpan(), AgentSpan("main/0", "helper", 0, 0, policy="frozen")])
    picture = Media(np.arange(4 * 3 * 64, dtype=np.uint32).astype(np.uint8).reshape(4, 3, 8, 8), Grid(1, 2, 2))
    ids, logprobs = np.array([1, 2, 3], np.int32), np.array([-0.5, np.nan], np.float32)
    whole.add(Node(ids, 1, logprobs, np.array([4, 5], np.int32), media=(picture,), stop="stop", at=1.5, seconds=0.25))
    whole.add(Node(ids, 1, logprobs, np.array([5, 5], np.int32), parent=0, agent=1))
    whole.events.append(Event("tool", 2.0, 0.5, 0, 0, {"result": "x" * 20_000, "number": 2**70}))
    whole.reward, whole.rewards, whole.stop = 0.5, {"right": 1.0}, "done"
    again = unpacked(packed(whole))
    for one, other in zip(again.nodes, whole.nodes, strict=True):
        assert np.array_equal(one.ids, other.ids) and np.array_equal(one.versions, other.versions)
        assert np.array_equal(one.logprobs, other.logprobs, equal_nan=True)
        assert (one.given, one.parent, one.agent, one.stop, one.at) == (
            other.given, other.parent, other.agent, other.stop, other.at
        )  # fmt: skip
    assert np.array_equal(again.nodes[0].media[0].patches, picture.patches)
    assert again.events == whole.events and [span.name for span in again.agents] == ["main", "main/0"]
    assert (again.reward, again.rewards, again.stop, again.name) == (0.5, {"right": 1.0}, "done", "task/0/0")


def test_what_is_no_json_is_refused() -> None:
    whole = Trajectory("task/0/0", "task", events=[Event("tool", data={"x": object()})])
    with pytest.raises(WireError, match="JSON"):
        packed(whole)


@pytest.mark.parametrize("broken", [b"", b"\x93", b"\x93\xc4\x00\xc4\x00\x80", packed(Trajectory("a", "b"))[:-3]])
def test_bytes_that_are_no_parcel_are_said_to_be_none(broken: bytes) -> None:
    with pytest.raises(WireError):
        unpacked(broken)
