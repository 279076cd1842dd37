"""A step in one call says to the last bit what it says function by function, and sends tokens to the same experts."""

import dataclasses
import gc
import itertools
import weakref
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
import torch

from manyeyes.core.sampler import SampleRequest, SamplerError, SamplingParams
from manyeyes.inference import all_layers
from manyeyes.inference.all_layers import AllLayers
from manyeyes.inference.batch import Batch
from manyeyes.inference.engine import Engine
from manyeyes.inference.engine_config import EngineConfig
from manyeyes.inference.kernels import ALONE, compiled, require_plain
from manyeyes.inference.scheduler import Chunk
from manyeyes.inference.sequences import Sequence as Asked
from manyeyes.model.config import tiny
from manyeyes.model.multimodal import K25, build

from .small_model import SHOWN, asked, finished, small_model

pytestmark = pytest.mark.skipif(isinstance(compiled(), str), reason="needs a C++ compiler")

DRAWN = SamplingParams(max_new_tokens=7, temperature=1.0, seed=3, top_logprobs=2, record_routing=True)
ROOMY = EngineConfig(cache_tokens=8192, max_rows=96, step_tokens=512, invariant=True)
SHAPES = {
    "whole prompts": ROOMY,
    "cut prompts": dataclasses.replace(ROOMY, max_rows=40, step_tokens=60),
    "few blocks": dataclasses.replace(ROOMY, block_tokens=3, cache_tokens=240),
}
NOBODY = Asked(0, SampleRequest(np.arange(1, dtype=np.int32)), 0, 0, 9, 0.0)
MODELS: dict[str, dict[str, object]] = {
    "even": {},
    "sizes that fill no vector": {
        "moe_intermediate_size": 40, "v_head_dim": 19, "kv_lora_rank": 38, "qk_rope_head_dim": 34,
        "num_attention_heads": 5,
    },
    "whole queries": {"q_lora_rank": None},
    "dense alone": {"first_k_dense_replace": 2},
    "experts alone, as they are weighed": {"first_k_dense_replace": 0, "norm_topk_prob": False},
}  # fmt: skip


class Case(NamedTuple):
    """A model, and how to make one like it."""

    model: K25
    changes: dict[str, object]


@pytest.fixture(scope="module", params=MODELS)
def case(request: pytest.FixtureRequest) -> Case:
    changes = MODELS[request.param]
    return Case(small_model(**changes), changes)


@pytest.fixture(autouse=True)
def counted() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def requests(*, routing: bool = True) -> list[SampleRequest]:
    rng, params = np.random.default_rng(2), dataclasses.replace(DRAWN, record_routing=routing)
    return [asked(rng, *grids, words=int(rng.integers(1, 90)), params=params) for grids in SHOWN * 3]


def said(engine: Engine, wanted: Sequence[SampleRequest]) -> list[tuple[object, ...]]:
    found = finished(engine, wanted)
    return [(one.ids, one.logprobs, one.top, None if one.routing is None else one.routing.tobytes()) for one in found]


def function_by_function(model: K25, config: EngineConfig) -> Engine:
    engine = Engine(model, config)
    engine._all_layers = None
    return engine


@pytest.mark.parametrize("routing", [True, False], ids=["routing kept", "no routing"])
@pytest.mark.parametrize("shape", SHAPES)
def test_it_says_the_same_as_function_by_function(case: Case, shape: str, routing: bool) -> None:
    engine, other = Engine(case.model, SHAPES[shape]), function_by_function(case.model, SHAPES[shape])
    assert engine._all_layers is not None
    assert said(engine, requests(routing=routing)) == said(other, requests(routing=routing))
    assert (engine.figures.preemptions > 0) == (shape == "few blocks")
    assert torch.equal(engine._store.latents_LKB, other._store.latents_LKB)


@pytest.mark.parametrize("threads", [2, 3, 7])
@pytest.mark.parametrize("shape", SHAPES)
def test_in_parts_it_says_the_same(case: Case, shape: str, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Text alone: what the vision tower says of a picture depends on torch's threads."""
    monkeypatch.setattr(all_layers, "LEAST", 2)
    monkeypatch.setattr(all_layers, "UNEVEN", 100.0)  # part whatever can be parted
    wanted, bounds, parts = [one for one in requests() if not one.media] * 3, AllLayers.bounds, list[int]()

    def counting(self: AllLayers, batch: Batch, count: int) -> list[int]:
        found = bounds(self, batch, count)
        parts.append(len(found) - 1)
        return found

    monkeypatch.setattr(AllLayers, "bounds", counting)
    expected = said(Engine(case.model, SHAPES[shape]), wanted)
    assert set(parts) == {1}
    torch.set_num_threads(threads)
    assert said(Engine(case.model, SHAPES[shape]), wanted) == expected
    assert max(parts) == threads


def test_a_long_prompt_says_the_same_where_threads_share_its_products() -> None:
    model, words = build(tiny(), seed=0), 250
    text = model.config.text
    assert words * text.hidden_size * text.intermediate_size > ALONE, "so many products that several threads work"
    prompt = asked(np.random.default_rng(0), words=words, params=dataclasses.replace(DRAWN, max_new_tokens=2))
    engines = [Engine(model, ROOMY) for _ in range(3)]
    told = []
    for threads, engine in zip((1, 2, 5), engines, strict=True):
        torch.set_num_threads(threads)
        told.append(said(engine, [prompt]))
    assert told[0] == told[1] == told[2]
    assert all(torch.equal(one._store.latents_LKB, engines[0]._store.latents_LKB) for one in engines[1:])


def test_parts_are_even_and_end_between_requests(case: Case) -> None:
    layers = Engine(case.model, ROOMY)._all_layers
    assert layers is not None

    def bounds(chunks: Sequence[Chunk], threads: int) -> list[int]:
        rows = sum(one.count for one in chunks)
        return layers.bounds(SimpleNamespace(chunks=chunks, slot_N=range(rows)), threads)  # pyright: ignore

    few, many = all_layers.LEAST, 8 * all_layers.LEAST
    decode = Chunk(NOBODY, 0, 1)
    assert bounds([decode] * many, 1) == [0, many] and bounds([decode] * (2 * few - 1), 2) == [0, 2 * few - 1]
    assert bounds([decode] * many, 2) == [0, many // 2, many] and len(bounds([decode] * many, 8)) == 9
    assert len(bounds([decode] * many, 64)) == 9  # no part is smaller than that
    assert bounds([decode, Chunk(NOBODY, 0, 500)], 2) == [0, 501]  # one prompt is not cut: threads share each product
    assert bounds([Chunk(NOBODY, 0, 40), Chunk(NOBODY, 0, 40), decode], 2) == [0, 40, 81]
    long = [Chunk(NOBODY, seen, 1) for seen in [1] * 30 + [5000] * 30]  # what sees much costs much
    assert 30 < bounds(long, 2)[1] < 60


def test_who_samples_costs_the_head_and_the_last_feed_forward_as_well(case: Case) -> None:
    layers = Engine(case.model, ROOMY)._all_layers
    assert layers is not None
    c, costs = case.model.config.text, layers._costs
    last = c.hidden_size * 3 * (c.moe_intermediate_size * (c.num_experts_per_tok + c.n_shared_experts))
    if c.first_k_dense_replace >= c.num_hidden_layers:
        last = c.hidden_size * 3 * c.intermediate_size
    assert costs.sample == last + c.vocab_size * c.hidden_size
    prompt = Chunk(NOBODY, 10, 3)
    assert costs.of_chunk(prompt) == 3 * costs.token + (11 + 12 + 13) * costs.key
    assert costs.of_chunk(Chunk(NOBODY, 0, 1)) == costs.token + costs.sample + costs.key
    # 40 that decode and a prompt of as many tokens: the half of what they cost is among those that decode
    mixed = [Chunk(NOBODY, 0, 1)] * 40 + [Chunk(NOBODY, 2, 2)] * 20
    assert layers.bounds(SimpleNamespace(chunks=mixed, slot_N=range(80)), 2)[1] < 40  # pyright: ignore


def test_it_reads_the_weights_of_now(case: Case) -> None:
    model, other = small_model(**case.changes), small_model(seed=9, **case.changes)
    engine = Engine(model, ROOMY)
    finished(engine, requests()[:2])
    old = weakref.ref(engine._all_layers)
    engine.publish(1, other.state_dict())
    gc.collect()
    assert old() is None, "weights of before are still held"
    assert said(engine, requests()) == said(Engine(other, ROOMY), requests())


def test_weights_that_are_no_numbers_are_told_and_leave_nothing_behind(case: Case) -> None:
    model = small_model(**case.changes)
    engine, good = Engine(model, ROOMY), {name: tensor.clone() for name, tensor in model.state_dict().items()}
    expected = said(engine, requests())
    number = engine.add(requests()[0])[0]
    engine.step()
    with torch.no_grad():
        model.language_model.model.layers[0].input_layernorm.weight.fill_(torch.nan)
    with pytest.raises(SamplerError, match="no numbers"):
        engine.step()
    engine.abort(number)
    engine.publish(2, good)
    assert said(engine, requests()) == expected and engine.figures.blocks_held == 0


def test_a_call_that_finds_no_memory_fails_the_step_and_not_the_requests(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, failures = Engine(case.model, ROOMY), 0
    assert engine._kernels is not None
    call, calls = engine._kernels._all_layers, itertools.count(1)
    monkeypatch.setattr(engine._kernels, "_all_layers", lambda *given: 1 if next(calls) == 3 else call(*given))
    numbers, ended = [engine.add(one)[0] for one in requests()], {}
    while engine.busy:
        try:
            ended.update(engine.step().ended)
        except MemoryError as error:
            failures += 1
            assert "step_tokens" in str(error)
    monkeypatch.undo()
    assert failures == 1 and engine.figures.blocks_held == 0
    expected = finished(Engine(case.model, ROOMY), requests())
    assert [(ended[number].ids, ended[number].logprobs) for number in numbers] == [
        (one.ids, one.logprobs) for one in expected
    ]


def test_what_the_loops_cannot_read_is_refused(case: Case) -> None:
    engine = Engine(case.model, dataclasses.replace(ROOMY, invariant=False))
    assert engine._all_layers is None and engine._kernels is not None
    with pytest.raises(ValueError, match="no tiles"):
        AllLayers(engine._weights, engine._kernels, config=case.model.config.text, store=engine._store)
    with pytest.raises(ValueError, match="strides"):
        require_plain(torch.zeros(4, 4).T[1:])
    with pytest.raises(ValueError, match="bfloat16"):
        require_plain(torch.zeros(4, dtype=torch.bfloat16))
    with pytest.raises(RuntimeError, match="differ"):
        engine._kernels.require_same_layout(all_layers._Group)
