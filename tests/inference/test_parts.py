"""A step in parts says what the whole step says, and one that fails leaves nothing half done."""

import dataclasses
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.core.sampler import SampleRequest, SamplerError, SamplingParams
from manyeyes.inference import engine as stepping
from manyeyes.inference import parts
from manyeyes.inference.engine import Engine
from manyeyes.inference.engine_config import EngineConfig
from manyeyes.inference.kernels import compiled
from manyeyes.inference.parts import SideBySide, parted, parts_for
from manyeyes.inference.scheduler import Chunk
from manyeyes.inference.sequences import Sequence
from manyeyes.model.multimodal import K25

from .small_model import SHOWN, asked, finished, full_log_probs, small_model

DRAWN = SamplingParams(max_new_tokens=9, temperature=1.0, seed=3, record_routing=True)
ROOMY = EngineConfig(cache_tokens=8192, max_rows=96, step_tokens=512)
SHAPES = {
    "whole prompts": ROOMY,
    "cut prompts": dataclasses.replace(ROOMY, max_rows=40, step_tokens=60),
    "few blocks": dataclasses.replace(ROOMY, block_tokens=4, cache_tokens=400),
    "without kernels": dataclasses.replace(ROOMY, compiled=False),
}


@pytest.fixture(scope="module")
def model() -> K25:
    return small_model()


@pytest.fixture(autouse=True)
def counted() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def requests(times: int = 8) -> list[SampleRequest]:
    rng = np.random.default_rng(1)
    return [asked(rng, *grids, words=int(rng.integers(1, 40)), params=DRAWN) for grids in SHOWN * times]


@given(st.lists(st.integers(1, 300), min_size=1, max_size=40), st.integers(1, 5))
def test_every_chunk_is_in_one_part_and_parts_are_about_equal(counts: list[int], most: int) -> None:
    sequence = Sequence(0, SampleRequest(np.arange(301, dtype=np.int32)), 0, 0, 400, 0.0)
    chunks = [Chunk(sequence, 0, count) for count in counts]
    found = parted(chunks, most)
    assert sorted(one.count for part in found for one in part) == sorted(counts) and 1 <= len(found) <= most
    tokens = [sum(one.count for one in part) for part in found]
    assert max(tokens) - min(tokens) <= max(counts)


def test_as_many_parts_as_threads_where_there_are_tokens_enough() -> None:
    torch.set_num_threads(3)
    cpu = torch.device("cpu")
    assert [parts_for(n * parts.LEAST, cpu) for n in (1, 2, 3, 9)] == [1, 2, 3, 3] and parts_for(1, cpu) == 1
    assert parts_for(9 * parts.LEAST, torch.device("meta")) == 1
    torch.set_num_threads(1)
    assert parts_for(9 * parts.LEAST, cpu) == 1


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_log_probs_are_those_of_a_full_forward_pass(model: K25, shape: str, threads: int) -> None:
    torch.set_num_threads(threads)
    engine = Engine(model, SHAPES[shape])
    for request, found in zip(requests(), finished(engine, requests()), strict=True):
        np.testing.assert_allclose(found.logprobs, full_log_probs(model, request, found.ids), atol=1e-4)
    assert engine._side_by_side._threads == threads
    assert (engine.figures.preemptions > 0) == (shape == "few blocks")


@pytest.mark.skipif(isinstance(compiled(), str), reason="needs a C++ compiler")
@pytest.mark.parametrize("shape", ["whole prompts", "cut prompts", "few blocks"])
def test_an_invariant_engine_says_the_same_to_the_last_bit(model: K25, shape: str) -> None:
    """Text alone: what the vision tower says depends on torch's threads."""
    wanted = [one for one in requests() if not one.media]

    def said(threads: int) -> list[tuple[list[int], list[float], bytes]]:
        torch.set_num_threads(threads)
        engine = Engine(model, dataclasses.replace(SHAPES[shape], invariant=True))
        found = finished(engine, wanted)
        assert engine._side_by_side._threads == (threads if threads > 1 else 0)
        return [(one.ids, one.logprobs, one.routing[:-1].tobytes()) for one in found if one.routing is not None]

    assert said(1) == said(2) and len(said(2)) == len(wanted)


def test_threads_keep_torchs_count_and_end_with_the_engine() -> None:
    torch.set_num_threads(2)
    side_by_side, seen = SideBySide(), list[tuple[int, bool]]()
    side_by_side.all(lambda part: seen.append((torch.get_num_threads(), torch.is_inference_mode_enabled())), [0, 1])
    assert seen == [(1, True)] * 2 and torch.get_num_threads() == 2
    later: list[int] = []
    other = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    other.start()
    other.join()
    assert later == [2]
    began = [one for one in threading.enumerate() if one.name.startswith("manyeyes-part")]
    assert len(began) >= 2
    del side_by_side
    for one in began[-2:]:
        one.join(timeout=30)
        assert not one.is_alive()


def test_all_parts_have_ended_where_one_fails() -> None:
    """Who goes on would find another one still writing."""
    ended: list[int] = []

    def work(part: int) -> None:
        if part == 0:
            raise SamplerError("no numbers")
        time.sleep(0.05)
        ended.append(part)

    with pytest.raises(SamplerError, match="no numbers"):
        SideBySide().all(work, [0, 1, 2])
    assert sorted(ended) == [1, 2]


def test_a_part_that_fails_leaves_nothing_half_done(model: K25, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(2)
    wanted = [one for one in requests() if not one.media]
    engine, forward, calls = Engine(model, ROOMY), stepping.forward, [0]
    expected = [(one.ids, one.logprobs) for one in finished(Engine(model, ROOMY), wanted)]

    def failing(*given):
        calls[0] += 1
        if calls[0] == 6:
            raise MemoryError("no room")
        return forward(*given)

    monkeypatch.setattr(stepping, "forward", failing)
    numbers = [engine.add(one)[0] for one in wanted]
    found, failures = {}, 0
    while engine.busy:
        try:
            found.update(engine.step().ended)
        except MemoryError:
            failures += 1
    assert failures == 1 and engine.figures.blocks_held == 0
    for number, (ids, logprobs) in zip(numbers, expected, strict=True):
        assert found[number].ids == ids
        np.testing.assert_allclose(found[number].logprobs, logprobs, atol=1e-4)
