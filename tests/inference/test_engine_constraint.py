"""Constrained requests beside free ones: only what the constraint allows, and log-probabilities of what it leaves."""

import dataclasses

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from manyeyes.core.sampler import RequestError, SamplingParams, continuation
from manyeyes.inference.engine import Engine
from manyeyes.inference.engine_config import EngineConfig

from .small_model import finished, full_logits, mixed, small_model

CONFIG = EngineConfig(cache_tokens=2048, max_rows=16, step_tokens=512)
END = 9


class Multiples:
    """Ids that the numbers 3, 4, 5 ... divide, in turn; then nothing but the end."""

    def __init__(self, length: int) -> None:
        self.length, self.said = length, []

    def allowed(self) -> list[int]:
        return list(range(0, 2048, 3 + len(self.said)))

    def mask(self, out: NDArray[np.int32]) -> None:
        for token in self.allowed():
            out.view(np.uint32)[token // 32] |= np.uint32(1 << (token % 32))

    def accept(self, token: int) -> None:
        self.said.append(token)

    @property
    def finished(self) -> bool:
        return len(self.said) >= self.length


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("stop_ids", [frozenset(), frozenset({END})])
def test_only_what_is_allowed_is_said(temperature: float, stop_ids: frozenset[int]) -> None:
    model = small_model()
    free = SamplingParams(max_new_tokens=12, temperature=temperature)
    bound = dataclasses.replace(free, stop_ids=stop_ids, constraint=lambda: Multiples(6))
    requests = [
        dataclasses.replace(request, params=bound if n % 2 else free) for n, request in enumerate(mixed(free, times=2))
    ]
    for request, found in list(zip(requests, finished(Engine(model, CONFIG), requests), strict=True))[1::2]:
        assert found.stop == "stop" and len(found.ids) == 6 + bool(stop_ids)
        if stop_ids:
            assert found.ids.pop() == END and found.logprobs.pop() == pytest.approx(0.0, abs=1e-5)
        logits = full_logits(model, request, found.ids)
        for n, (token, logprob) in enumerate(zip(found.ids, found.logprobs, strict=True)):
            assert token % (3 + n) == 0
            allowed = logits[n, :: 3 + n].log_softmax(-1)
            assert logprob == pytest.approx(float(allowed[token // (3 + n)]), abs=1e-4)


def test_a_constraint_that_allows_nothing_ends_the_completion() -> None:
    class Nothing(Multiples):
        def allowed(self) -> list[int]:
            return [] if self.said else [7]

    request = mixed(SamplingParams(max_new_tokens=5, constraint=lambda: Nothing(9)))[0]
    (found,) = finished(Engine(small_model(), CONFIG), [request])
    assert found.ids == [7] and found.stop == "stop" and torch.isfinite(torch.tensor(found.logprobs)).all()


def test_a_stop_id_that_does_not_exist_is_not_another_one() -> None:
    """Not even counted from the end of the vocabulary."""
    params = SamplingParams(max_new_tokens=5, stop_ids=frozenset({-1, 5000}), constraint=lambda: Multiples(2))
    (found,) = finished(Engine(small_model(), CONFIG), [mixed(params)[0]])
    assert len(found.ids) == 2 and found.stop == "stop"


def test_each_completion_of_a_group_has_its_own_constraint() -> None:
    request = mixed(SamplingParams(max_new_tokens=12, temperature=1.0, constraint=lambda: Multiples(4)))[0]
    engine, ended = Engine(small_model(), CONFIG), {}
    numbers = engine.add(request, count=3)
    while engine.busy:
        ended.update(engine.step().ended)
    assert {len(ended[number].ids) for number in numbers} == {4}


def test_a_constrained_request_is_not_continued() -> None:
    request = mixed(SamplingParams(max_new_tokens=12, constraint=lambda: Multiples(4)))[0]
    engine = Engine(small_model(), CONFIG)
    (number,) = engine.add(request)
    engine.step()
    partial = engine.abort(number)
    assert partial is not None
    with pytest.raises(RequestError, match="ask for it anew"):
        continuation(request, partial)
