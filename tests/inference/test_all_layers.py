"""A step in one call says to the last bit what it says function by function, and sends tokens to the same experts."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from manyeyes.core.sampler import SampleRequest, SamplingParams
from manyeyes.inference.engine import Engine
from manyeyes.inference.engine_config import EngineConfig
from manyeyes.inference.kernels import compiled
from manyeyes.model.multimodal import K25

from .small_model import SHOWN, asked, finished, small_model

pytestmark = pytest.mark.skipif(isinstance(compiled(), str), reason="needs a C++ compiler")

DRAWN = SamplingParams(max_new_tokens=7, temperature=1.0, seed=3, top_logprobs=2, record_routing=True)
ROOMY = EngineConfig(cache_tokens=8192, max_rows=96, step_tokens=512, invariant=True)
SHAPES = {
    "whole prompts": ROOMY,
    "cut prompts": dataclasses.replace(ROOMY, max_rows=40, step_tokens=60),
    "few blocks": dataclasses.replace(ROOMY, block_tokens=3, cache_tokens=240),
}
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


@pytest.fixture(scope="module", params=MODELS)
def model(request: pytest.FixtureRequest) -> K25:
    return small_model(**MODELS[request.param])


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def requests() -> list[SampleRequest]:
    rng = np.random.default_rng(2)
    return [asked(rng, *grids, words=int(rng.integers(1, 90)), params=DRAWN) for grids in SHOWN * 3]


@pytest.mark.parametrize("shape", SHAPES)
def test_it_says_the_same_as_function_by_function(model: K25, shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def said(engine: Engine) -> list[tuple[object, ...]]:
        found = finished(engine, requests())
        return [
            (one.ids, one.logprobs, one.top, None if one.routing is None else one.routing.tobytes()) for one in found
        ]

    engine = Engine(model, SHAPES[shape])
    assert engine._all_layers is not None
    at_once = said(engine)
    assert (engine.figures.preemptions > 0) == (shape == "few blocks")
    slow = Engine(model, SHAPES[shape])
    monkeypatch.setattr(slow, "_all_layers", None)
    assert at_once == said(slow)
    assert torch.equal(engine._store.latents_LKB, slow._store.latents_LKB)


def test_it_reads_the_weights_of_now(model: K25) -> None:
    """What it holds of the old ones goes with them."""
    other = small_model(seed=9, **next(MODELS[name] for name in MODELS if _same(model, MODELS[name])))
    engine = Engine(model, ROOMY)
    before = model.state_dict()
    kept = {name: tensor.clone() for name, tensor in before.items()}
    try:
        finished(engine, requests()[:2])
        engine.publish(1, other.state_dict())
        published = [(one.ids, one.logprobs) for one in finished(engine, requests())]
    finally:
        model.load_state_dict(kept)
    assert published == [(one.ids, one.logprobs) for one in finished(Engine(other, ROOMY), requests())]


def _same(model: K25, changes: dict[str, object]) -> bool:
    return model.config == small_model(**changes).config


def test_an_ordinary_engine_goes_function_by_function(model: K25) -> None:
    assert Engine(model, dataclasses.replace(ROOMY, invariant=False))._all_layers is None
