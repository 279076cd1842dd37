"""Recorded routing is that of a full forward pass, however requests are cut, shared, interrupted and moved."""

import dataclasses

import numpy as np
import pytest
import torch

from manyeyes.core.sampler import UNROUTED, Completion, SampleRequest, SamplingParams, continuation, joined
from manyeyes.inference.engine import Engine
from manyeyes.inference.engine_config import EngineConfig
from manyeyes.model.moonvit3d import MediaBatch
from manyeyes.model.multimodal import K25, build, default_positions

from .small_model import asked, completed, finished, mixed, small_config

PAD = small_config().media_placeholder_token_id
RECORDED = SamplingParams(max_new_tokens=12, temperature=0.8, seed=5, never=frozenset({PAD}), record_routing=True)
ROOMY = EngineConfig(cache_tokens=4096, max_rows=32, step_tokens=2048)
SHAPES = {
    "roomy": ROOMY,
    "no prefix cache": dataclasses.replace(ROOMY, prefix_cache=False),
    "chunks of 7": dataclasses.replace(ROOMY, max_rows=5, step_tokens=7),
    "blocks of 3": dataclasses.replace(ROOMY, block_tokens=3, step_tokens=40),
    "few blocks": dataclasses.replace(ROOMY, block_tokens=4, cache_tokens=64, step_tokens=64),
}


def deep_model(seed: int = 0) -> K25:
    """Two mixture layers, so that one is not the last."""
    config = small_config()
    return build(dataclasses.replace(config, text=dataclasses.replace(config.text, num_hidden_layers=3)), seed=seed)


@pytest.fixture(scope="module")
def model() -> K25:
    return deep_model()


def full_routing(model: K25, request: SampleRequest, said: list[int]) -> np.ndarray:
    """Sorted sets [T, L, K] of one forward pass over everything."""
    ids = torch.from_numpy(np.concatenate([request.ids, said]).astype(np.int64))[None]
    patches = [torch.from_numpy(item.patches) for item in request.media]
    with torch.no_grad():
        features = None
        if patches:
            features = model.encode(MediaBatch(torch.cat(patches), tuple(item.grid for item in request.media)))
        backbone = model.language_model.model
        x = model.embed(ids, features)
        out = backbone(x, positions_BT=default_positions(ids, None), keep_routing=True)
    return out.routing_BTLK[0].sort(-1).values.numpy()


def agrees(model: K25, request: SampleRequest, found: Completion, *, known_from: int = 0) -> None:
    """Known wherever a token was read, but in the last layer only where one was sampled behind it; and right."""
    total, prompt = len(request.ids) + len(found.ids), len(request.ids)
    assert found.routing is not None and found.routing.dtype == np.uint16
    assert found.routing.shape == (total, 2, 2)
    known = (found.routing != UNROUTED).all(-1)
    assert (known == (found.routing != UNROUTED).any(-1)).all()
    assert known[known_from:-1, 0].all() and known[prompt - 1 : -1].all() and not known[-1].any()
    same = (np.sort(found.routing, -1) == full_routing(model, request, found.ids)).all(-1)
    assert (known & ~same).sum() <= 1  # where two scores are equal but for rounding


@pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES.keys())
def test_routing_is_that_of_a_full_forward_pass(model: K25, config: EngineConfig) -> None:
    engine, requests = Engine(model, config), mixed(RECORDED, most_words=20)
    for request, found in zip(requests, finished(engine, requests), strict=True):
        agrees(model, request, found)
    assert bool(engine.figures.preemptions) == (config is SHAPES["few blocks"])


def test_a_prefix_that_is_found_brings_its_routing(model: K25) -> None:
    """The answer that was sampled in the first turn is known in all layers as part of the second's prompt."""
    request = asked(np.random.default_rng(0), words=40, params=RECORDED)
    engine = Engine(model, ROOMY)
    (first,) = finished(engine, [request])
    longer = dataclasses.replace(request, ids=np.concatenate([request.ids, first.ids, [7, 8]]).astype(np.int32))
    (second,) = finished(engine, [longer])
    assert second.usage.cached == 48
    agrees(model, longer, second)
    np.testing.assert_array_equal(second.routing[40:48], first.routing[40:48])
    assert (second.routing[39:48] != UNROUTED).all()


def test_all_completions_of_one_prompt_know_it(model: K25) -> None:
    request = mixed(RECORDED)[3]
    engine = Engine(model, ROOMY)
    (found,) = completed(engine, [engine.add(request, count=4)])
    for one in found:
        agrees(model, request, one)
    assert len({tuple(one.ids) for one in found}) == 4


def test_only_who_asks_is_told(model: K25) -> None:
    asking, silent = mixed(RECORDED)[0], mixed(dataclasses.replace(RECORDED, record_routing=False))[1]
    engine = Engine(model, ROOMY)
    one, other = finished(engine, [asking, silent])
    assert one.routing is not None and other.routing is None
    (alone,) = finished(Engine(model, ROOMY), [silent])
    assert alone.ids == other.ids and alone.routing is None


def test_what_was_read_before_anybody_asked_is_unknown(model: K25) -> None:
    request = asked(np.random.default_rng(0), words=40, params=RECORDED)
    engine = Engine(model, ROOMY)
    finished(engine, [dataclasses.replace(request, params=dataclasses.replace(RECORDED, record_routing=False))])
    (found,) = finished(engine, [request])
    assert found.usage.cached == 32 and (found.routing[:32] == UNROUTED).all()
    agrees(model, request, found, known_from=32)


@pytest.mark.parametrize("said", range(0, 12, 3))
def test_a_request_that_is_handed_back_and_goes_on_knows_as_much(model: K25, said: int) -> None:
    request = mixed(RECORDED)[3]
    (whole,) = finished(Engine(model, ROOMY), [request])
    engine = Engine(model, ROOMY)
    (number,) = engine.add(request)
    for _ in range(said):
        engine.step()
    first = engine.abort(number, why="handed_back")
    assert first is not None and len(first.ids) == said
    assert first.routing.shape == (len(request.ids) + said, 2, 2)
    (rest,) = finished(Engine(model, ROOMY), [continuation(request, first)])
    together = joined(first, rest)
    assert together.ids == whole.ids
    agrees(model, request, together)


def test_tokens_keep_the_routing_of_the_weights_that_went_on_from_them() -> None:
    """After new weights the past is read again, but what was sampled from it was sampled from the old routing."""
    policy, other = deep_model(), deep_model(1)
    old, request = deep_model(), asked(np.random.default_rng(0), words=20, params=RECORDED)
    engine = Engine(policy, ROOMY)
    (number,) = engine.add(request)
    for _ in range(5):
        engine.step()
    engine.publish(1, {name: tensor.clone() for name, tensor in other.state_dict().items()})
    found = dict(done for _ in range(20) for done in engine.step().ended)[number]
    assert found.versions == [0] * 5 + [1] * 7
    mine = np.sort(found.routing, -1)
    before, after = full_routing(old, request, found.ids), full_routing(other, request, found.ids)
    np.testing.assert_array_equal(mine[:24, 0], before[:24, 0])
    np.testing.assert_array_equal(mine[19:24], before[19:24])
    np.testing.assert_array_equal(mine[24:31], after[24:31])
    assert (before[:24] != after[:24]).any()


def test_a_prompt_read_in_parts_under_two_versions_is_routed_as_the_first_token_saw_it() -> None:
    policy, other = deep_model(), deep_model(1)
    request = asked(np.random.default_rng(0), words=40, params=RECORDED)
    engine = Engine(policy, dataclasses.replace(ROOMY, max_rows=4, step_tokens=16))
    (number,) = engine.add(request)
    engine.step()
    engine.publish(1, {name: tensor.clone() for name, tensor in other.state_dict().items()})
    found = dict(done for _ in range(20) for done in engine.step().ended)[number]
    assert set(found.versions) == {1}
    agrees(other, request, found)
