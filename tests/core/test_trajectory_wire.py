"""Bytes of a trajectory: what comes back is what went in, to the last bit."""

import math
from collections.abc import Callable
from dataclasses import astuple, fields
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manyeyes.core.media import Grid, Media
from manyeyes.core.media_png import media_of, media_png
from manyeyes.core.sampler import Draw
from manyeyes.core.trajectory import NOBODY, AgentSpan, Event, Node, Trajectory
from manyeyes.core.trajectory_summary import WireError, summary_of
from manyeyes.core.trajectory_wire import LARGE, Keep, read, written

TEXTS = st.text(st.characters(codec=None), max_size=20) | st.sampled_from(["\ud800", "é" * (LARGE + 1), "x" * LARGE])
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
SECONDS = st.floats(0, 1e6)
INTS = st.integers(-(2**31), 2**31 - 1)


def keeper(blobs: dict[str, bytes]) -> Keep:
    def keep(name: str, content: Callable[[], bytes]) -> None:
        if name not in blobs:
            blobs[name] = content()

    return keep


def through(trajectory: Trajectory) -> Trajectory:
    blobs: dict[str, bytes] = {}
    arrays, head = written(trajectory, keeper(blobs))
    return read(memoryview(arrays), head, blobs.__getitem__)


@st.composite
def medias(draw: st.DrawFn) -> Media:
    t, h, w, side = draw(st.integers(1, 2)), 2 * draw(st.integers(1, 2)), 2, draw(st.integers(1, 3))
    seed = draw(st.integers(0, 9))
    patches = np.random.default_rng(seed).integers(0, 256, (t * h * w, 3, side, side), dtype=np.uint8)
    return Media(patches, Grid(t, h, w))


@st.composite
def nodes(draw: st.DrawFn, number: int, agents: int) -> Node:
    ids = draw(st.lists(INTS, max_size=6))
    told = draw(st.integers(0, len(ids)))
    sampled = len(ids) - told
    routing = None
    if draw(st.booleans()):
        routing = np.arange(len(ids) * 6, dtype=np.uint16).reshape(len(ids), 2, 3)
    return Node(
        np.array(ids, np.int32),
        told,
        np.array(draw(st.lists(st.floats(width=32), min_size=sampled, max_size=sampled)), np.float32),
        np.array(draw(st.lists(INTS, min_size=sampled, max_size=sampled)), np.int32),
        draw(st.integers(NOBODY, number - 1)),
        draw(st.integers(0, agents - 1)),
        tuple(draw(st.lists(medias(), max_size=2))),
        draw(st.sampled_from(["sampled", "raw"])),
        draw(TEXTS),
        draw(TEXTS),
        draw(TEXTS),
        draw(TEXTS),
        draw(SECONDS),
        draw(SECONDS),
        routing,
        draw(st.none() | st.builds(Draw, SECONDS, TEXTS, st.integers(0, 2**48 - 1))),
    )


@st.composite
def trajectories(draw: st.DrawFn) -> Trajectory:
    agents = [
        AgentSpan(
            draw(TEXTS), draw(TEXTS), draw(st.integers(-1, 3)), draw(st.integers(-1, 3)), draw(TEXTS),
            draw(st.sampled_from(["live", "frozen"])), draw(TEXTS), draw(SECONDS), draw(st.floats()), draw(TEXTS),
            draw(TEXTS), draw(TEXTS),
        )
        for _ in range(draw(st.integers(1, 3)))
    ]  # fmt: skip
    whole = Trajectory(draw(TEXTS), draw(TEXTS), draw(TEXTS), agents)
    for number in range(draw(st.integers(0, 3))):
        whole.add(draw(nodes(number, len(agents))))
    whole.events = draw(
        st.lists(
            st.builds(Event, TEXTS, SECONDS, SECONDS, st.just(0), st.just(-1), st.dictionaries(TEXTS, PLAIN)),
            max_size=3,
        )
    )
    whole.rewards = draw(st.dictionaries(TEXTS, st.floats(), max_size=2))
    whole.reward, whole.variant = draw(st.none() | st.floats()), draw(st.dictionaries(TEXTS, PLAIN, max_size=2))
    whole.masked, whole.stop = draw(TEXTS), draw(TEXTS)
    return whole


def same(a: Any, b: Any) -> bool:
    """Equal to the last bit; NaN is itself."""
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, float):
        return type(b) is float and (a == b and math.copysign(1, a) == math.copysign(1, b) or (a != a and b != b))
    if isinstance(a, Node | Media | AgentSpan):
        return all(same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


@settings(max_examples=150, deadline=None)
@given(trajectories())
def test_what_comes_back_is_what_went_in(trajectory: Trajectory) -> None:
    found = through(trajectory)
    for field in fields(Trajectory):
        assert same(getattr(trajectory, field.name), getattr(found, field.name)), field.name


@settings(max_examples=30, deadline=None)
@given(medias())
def test_a_picture_has_the_same_patches_again(media: Media) -> None:
    assert same(media_of(media_png(media), media.grid), media)


def test_equal_media_are_kept_once_and_read_once() -> None:
    def fresh() -> Media:
        return Media(np.full((4, 3, 2, 2), 7, np.uint8), Grid(1, 2, 2))

    whole, blobs = Trajectory("t", "t"), dict[str, bytes]()
    for _ in range(3):
        ids = np.array([1], np.int32)
        whole.add(Node(ids, 1, np.empty(0, np.float32), np.empty(0, np.int32), media=(fresh(),)))
    arrays, head = written(whole, keeper(blobs))
    found = read(memoryview(arrays), head, blobs.__getitem__)
    assert len(blobs) == 1
    assert found.nodes[0].media[0] is found.nodes[2].media[0]


def test_numbers_of_numpy_are_numbers() -> None:
    whole = Trajectory("t", "t", events=[Event("judge", np.float64(1.5), data={"score": np.float32(0.5)})])
    whole.reward = np.float64(0.25)  # type: ignore[assignment]
    found = through(whole)
    assert (found.reward, found.events[0].at, found.events[0].data) == (0.25, 1.5, {"score": 0.5})


def test_what_is_no_json_is_refused_with_the_name() -> None:
    with pytest.raises(WireError, match=r"t/7/0: .*plain JSON"):
        through(Trajectory("t/7/0", "t/7", variant={"made by": object()}))


@pytest.mark.parametrize("cut", [0, 1, 5, 20])
def test_bytes_that_are_cut_short_are_refused(cut: int) -> None:
    whole = Trajectory("t", "t")
    whole.add(Node(np.arange(4, dtype=np.int32), 1, np.zeros(3, np.float32), np.zeros(3, np.int32)))
    arrays, head = written(whole, lambda *_: None)
    with pytest.raises(WireError):
        read(memoryview(arrays), head[:cut], lambda _: b"")
    with pytest.raises(WireError):
        read(memoryview(arrays)[:-4], head, lambda _: b"")


def test_a_summary_says_what_the_trajectory_says() -> None:
    whole = Trajectory("m/1/0", "m/1", "maze", [AgentSpan(ended=9.0), AgentSpan("main/0", policy="frozen")])
    lp, versions = np.zeros(2, np.float32), np.array([4, 5], np.int32)
    root = whole.add(Node(np.arange(5, dtype=np.int32), 3, lp, versions))
    whole.add(Node(np.arange(2, dtype=np.int32), 0, lp, versions + 1, parent=root, agent=1))
    whole.events.append(Event("failed", data={"cause": "sandbox"}))
    whole.stop = "failed"
    found = summary_of(whole, stored=3.0)
    assert (found.tokens, found.sampled, found.frozen, found.turns, found.agents) == (7, 4, 2, 2, 2)
    assert (found.first_version, found.last_version, found.failure, found.seconds) == (4, 6, "sandbox", 9.0)
    assert astuple(whole.agents[0])[0] == "main"


def test_bytes_from_before_draws_were_kept_can_be_read() -> None:
    whole = Trajectory("t/0/0", "t")
    one = np.array([1, 7], np.int32)
    whole.add(Node(one, 1, np.zeros(1, np.float32), np.zeros(1, np.int32), draw=Draw(0.7)))
    arrays, head = written(whole, keeper({}))
    fields = msgspec.msgpack.decode(head)
    fields[4] = [row[:-1] for row in fields[4]]
    again = read(memoryview(arrays), msgspec.msgpack.encode(fields), {}.__getitem__)
    assert again.nodes[0].draw is None and again.nodes[0].ids.tolist() == [1, 7]
