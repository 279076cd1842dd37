"""What the engine says is what a full forward pass says, however requests are cut, mixed, interrupted and moved."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from manyeyes.core.errors import ConfigError
from manyeyes.core.media import Grid, Media
from manyeyes.core.sampler import (
    Completion,
    RequestError,
    SampleRequest,
    SamplerError,
    SamplingParams,
    continuation,
    joined,
)
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.inference.engine import Engine
from manyeyes.inference.engine_config import EngineConfig
from manyeyes.model.multimodal import K25

from .small_model import (
    SQUARE,
    asked,
    completed,
    finished,
    full_log_probs,
    full_logits,
    mixed,
    small_config,
    small_model,
    steady_cuts,
    sure,
)

GREEDY = SamplingParams(max_new_tokens=12)
PAD = small_config().media_placeholder_token_id
SAMPLED = SamplingParams(max_new_tokens=12, temperature=0.8, top_p=0.9, seed=5, never=frozenset({PAD}))
ROOMY = EngineConfig(cache_tokens=4096, max_rows=32, step_tokens=2048)
SHAPES = {
    "roomy": ROOMY,
    "no prefix cache": dataclasses.replace(ROOMY, prefix_cache=False),
    "chunks of 7": dataclasses.replace(ROOMY, max_rows=5, step_tokens=7),
    "chunks of 1": dataclasses.replace(ROOMY, max_rows=1, step_tokens=1),
    "blocks of 3": dataclasses.replace(ROOMY, block_tokens=3, step_tokens=40),
    "nothing compiled": dataclasses.replace(ROOMY, compiled=False),
    "few blocks": dataclasses.replace(ROOMY, block_tokens=4, cache_tokens=112, step_tokens=64),
}


@pytest.fixture(scope="module")
def model() -> K25:
    return small_model()


def engine_of(model: K25, config: EngineConfig = ROOMY, **given: object) -> Engine:
    return Engine(model, config, **given)


def agrees(model: K25, request: SampleRequest, found: Completion) -> None:
    assert len(found.ids) == len(found.logprobs) == len(found.versions)
    expected, steady = full_log_probs(model, request, found.ids), steady_cuts(model, request, found.ids)
    np.testing.assert_allclose(np.array(found.logprobs)[steady], np.array(expected)[steady], atol=1e-4)
    assert steady.mean() > 0.5


def same(model: K25, request: SampleRequest, one: Sequence[int], other: Sequence[int]) -> None:
    """Equal as far as the likeliest token is certain."""
    certain = sure(model, request, one)
    assert list(one)[:certain] == list(other)[:certain]


@pytest.mark.parametrize("params", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
@pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES.keys())
def test_log_probs_are_those_of_a_full_forward_pass(model: K25, config: EngineConfig, params: SamplingParams) -> None:
    requests, engine = mixed(params, times=2), engine_of(model, config)
    for request, found in zip(requests, finished(engine, requests), strict=True):
        assert len(found.ids) == 12 and found.stop == "length"
        agrees(model, request, found)


def test_few_blocks_preempt_and_every_request_still_ends_the_same(model: K25) -> None:
    engine = engine_of(model, SHAPES["few blocks"])
    requests = mixed(GREEDY, times=2)
    tight, roomy = finished(engine, requests), finished(engine_of(model), requests)
    assert engine.figures.preemptions > 0
    assert not any(one.usage.cached for one in tight)  # what it read itself was not there before
    for request, one, other in zip(requests, tight, roomy, strict=True):
        same(model, request, one.ids, other.ids)


@pytest.mark.parametrize("q_lora_rank", [None, 24])
@pytest.mark.parametrize("length", [60, 300])
def test_long_prompts_and_queries_without_compression(q_lora_rank: int | None, length: int) -> None:
    """Longer than what is absorbed, so keys are built; the second prompt finds half of the first."""
    other = small_model(q_lora_rank=q_lora_rank, max_position_embeddings=512)
    rng = np.random.default_rng(0)
    first = asked(rng, SQUARE, words=length, params=GREEDY)
    second = dataclasses.replace(first, ids=np.concatenate([first.ids[: length // 2], first.ids[length // 4 :]]))
    for config in (ROOMY, dataclasses.replace(ROOMY, step_tokens=110)):
        engine = engine_of(other, config)
        for request in (first, second):
            (found,) = finished(engine, [request])
            agrees(other, request, found)
        assert found.usage.cached >= length // 2 // 16 * 16 and found.usage.prompt == len(second.ids)


def test_a_prompt_that_was_read_before_is_found(model: K25) -> None:
    request = mixed(GREEDY)[3]
    engine = engine_of(model)
    (first,), (again,) = (finished(engine, [request]) for _ in range(2))
    assert first.usage.cached == 0 and again.usage.cached == (len(request.ids) - 1) // 16 * 16 > 0
    same(model, request, first.ids, again.ids)
    agrees(model, request, again)


def test_equal_words_around_another_picture_find_nothing_of_it(model: K25) -> None:
    rng = np.random.default_rng(1)
    request = asked(rng, SQUARE, words=3, params=GREEDY)
    request = dataclasses.replace(
        request, ids=np.concatenate([request.ids, rng.integers(0, 1700, 40)]).astype(np.int32)
    )
    patches = rng.integers(0, 256, request.media[0].patches.shape).astype(np.uint8)
    other = dataclasses.replace(request, media=(Media(patches, SQUARE),))
    engine = engine_of(model)
    (first,), (second,) = (finished(engine, [one]) for one in (request, other))
    assert second.usage.cached == 0 and first.logprobs != second.logprobs
    agrees(model, other, second)


def test_an_answer_that_goes_on_is_found_with_its_sampled_tokens(model: K25) -> None:
    params = SamplingParams(max_new_tokens=40)
    request, engine = mixed(params)[0], engine_of(model)
    (first,) = finished(engine, [request])
    more = dataclasses.replace(request, ids=np.concatenate([request.ids, first.ids, [5]]).astype(np.int32))
    (second,) = finished(engine, [more])
    assert second.usage.cached >= 32
    agrees(model, more, second)


def test_a_prompt_is_answered_alike_alone_and_in_any_mix(model: K25) -> None:
    requests = mixed(GREEDY, seed=1, times=3)
    alone = [finished(engine_of(model), [request])[0] for request in requests]
    for config in SHAPES.values():
        for request, one, other in zip(requests, alone, finished(engine_of(model, config), requests), strict=True):
            same(model, request, one.ids, other.ids)


def test_requests_that_come_later_change_nothing(model: K25) -> None:
    requests, engine = mixed(SAMPLED, seed=2), engine_of(model)
    numbers, ended = [engine.add(requests[0])[0]], {}
    for request in requests[1:]:
        ended.update(engine.step().ended)
        numbers += engine.add(request)
    while engine.busy:
        ended.update(engine.step().ended)
    for request, number in zip(requests, numbers, strict=True):
        agrees(model, request, ended[number])
        assert ended[number].ids == finished(engine_of(model), [request])[0].ids


@pytest.mark.parametrize("config", [ROOMY, SHAPES["few blocks"], dataclasses.replace(ROOMY, max_rows=2)])
def test_many_completions_of_one_prompt_read_it_once(model: K25, config: EngineConfig) -> None:
    request, engine = mixed(SAMPLED)[2], engine_of(model, config)
    (found,) = completed(engine, [engine.add(request, count=5)])
    for draw, one in enumerate(found):
        alone = dataclasses.replace(request, params=dataclasses.replace(SAMPLED, seed=SAMPLED.seed + draw))
        assert one.ids == finished(engine_of(model), [alone])[0].ids
        agrees(model, alone, one)
    assert found[0].usage.cached == 0
    if config is ROOMY:
        assert all(one.usage.cached == len(request.ids) for one in found[1:])


def test_a_group_outlives_its_leader(model: K25) -> None:
    request, engine = mixed(SAMPLED)[2], engine_of(model, SHAPES["chunks of 7"])
    numbers = engine.add(request, count=3)
    engine.step()
    assert engine.abort(numbers[0]) is not None and engine.abort(numbers[0]) is None
    ((one, other),) = completed(engine, [numbers[1:]])
    assert one.ids != other.ids and one.stop == other.stop == "length"


@pytest.mark.parametrize("params", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
@pytest.mark.parametrize("steps", [0, 1, 4])
def test_what_was_aborted_goes_on_where_it_was(model: K25, params: SamplingParams, steps: int) -> None:
    params = dataclasses.replace(params, top_k=20)  # few places where the last bits of a score choose
    for request in mixed(params):
        engine = engine_of(model)
        (whole,) = finished(engine_of(model), [request])
        (number,) = engine.add(request)
        for _ in range(steps):
            engine.step()
        partial = engine.abort(number)
        assert partial is not None and partial.unfinished and len(partial.ids) == steps
        assert engine.figures.blocks_held == 0 and not engine.busy
        (rest,) = finished(engine_of(model), [continuation(request, partial)])
        both = joined(partial, rest)
        assert both.ids == whole.ids
        agrees(model, request, both)


def test_all_are_handed_back_with_what_they_have(model: K25) -> None:
    requests, engine = mixed(GREEDY), engine_of(model, dataclasses.replace(ROOMY, max_rows=2))
    numbers = [engine.add(request)[0] for request in requests]
    for _ in range(3):
        engine.step()
    handed = dict(engine.hand_back())
    assert sorted(handed) == numbers and not engine.busy and engine.figures.blocks_held == 0
    assert sorted(len(found.ids) for found in handed.values()) == [0, 0, 0, 0, 3, 3]


def test_pictures_are_encoded_once(model: K25, monkeypatch) -> None:
    requests, engine = mixed(GREEDY), engine_of(model, dataclasses.replace(ROOMY, step_tokens=40, prefix_cache=False))
    seen: list[int] = []
    encode = model.encode
    monkeypatch.setattr(model, "encode", lambda media: seen.append(len(media.grids)) or encode(media))
    for _ in range(2):
        finished(engine, requests + requests)
    assert sum(seen) == sum(len(request.media) for request in requests)


def test_features_that_find_no_room_are_encoded_again(model: K25) -> None:
    requests = mixed(GREEDY)
    config = dataclasses.replace(ROOMY, media_bytes=600, max_rows=7, step_tokens=7)
    for request, found in zip(requests, finished(engine_of(model, config), requests), strict=True):
        agrees(model, request, found)


@pytest.mark.parametrize("changes", [
    {"top_k": 3}, {"min_p": 0.1}, {"top_p": 0.5}, {"top_k": 9, "top_p": 0.7, "min_p": 0.02}, {"top_p": 0.999},
    {"never": frozenset(range(0, 2048, 3))},
])  # fmt: skip
def test_cuts_are_part_of_the_distribution(model: K25, changes: dict) -> None:
    params = SamplingParams(max_new_tokens=12, temperature=1.3, seed=1, **changes)
    requests = mixed(params) + mixed(GREEDY)
    for request, found in zip(requests, finished(engine_of(model), requests), strict=True):
        agrees(model, request, found)
        assert not set(found.ids) & request.params.never


def test_alternatives_are_the_likeliest_of_the_same_distribution(model: K25) -> None:
    for params in (GREEDY, SAMPLED):
        request = mixed(dataclasses.replace(params, top_logprobs=4))[1]
        (found,) = finished(engine_of(model), [request])
        assert len(found.top) == 12
        for token, logprob, top in zip(found.ids, found.logprobs, found.top, strict=True):
            assert [value for _, value in top] == sorted((value for _, value in top), reverse=True)
            if params.greedy:
                assert top[0][0] == token and top[0][1] == pytest.approx(logprob, abs=1e-5) and len(top) == 4
            elif token in dict(top):
                assert dict(top)[token] == pytest.approx(logprob, abs=1e-5)


def test_stop_ids_end_a_completion_and_belong_to_it(model: K25) -> None:
    request = mixed(GREEDY)[0]
    (free,) = finished(engine_of(model), [request])
    stop = free.ids[5]
    request = dataclasses.replace(request, params=dataclasses.replace(GREEDY, stop_ids=frozenset({stop})))
    (found,) = finished(engine_of(model), [request])
    assert found.ids == free.ids[: free.ids.index(stop) + 1] and found.stop == "stop"


@pytest.mark.parametrize("cut", [None, 3])
def test_stop_texts_end_a_completion_across_tokens_and_parts(model: K25, cut: int | None) -> None:
    tokenizer = Tokenizer.tiny()
    request = mixed(dataclasses.replace(SAMPLED, never=frozenset(range(1792, 2048)), max_new_tokens=40))[0]
    (free,) = finished(engine_of(model), [request])
    pieces = [tokenizer.decode_bytes([token]) for token in free.ids]
    wanted = next(  # the end of one token and the beginning of the next
        text for n in range(2, 30) if (text := (pieces[n][-1:] + pieces[n + 1][:1]).decode("ascii", "ignore"))[1:]
    )
    request = dataclasses.replace(request, params=dataclasses.replace(request.params, stop_texts=("?!?", wanted)))
    engine = engine_of(model, tokenizer=tokenizer)
    (number,) = engine.add(request)
    for _ in range(cut or 0):
        engine.step()
    partial = engine.abort(number)
    assert partial is not None
    rest = continuation(request, partial) if cut else request
    found = joined(partial, finished(engine, [rest])[0])
    said = b"".join(tokenizer.decode_bytes([token]) for token in found.ids)
    assert found.stop == "stop_text" and wanted.encode() in said and found.ids == free.ids[: len(found.ids)]
    assert wanted.encode() not in b"".join(tokenizer.decode_bytes([token]) for token in found.ids[:-1])


def test_stop_texts_without_a_tokenizer_are_refused(model: K25) -> None:
    with pytest.raises(RequestError, match="tokenizer"):
        engine_of(model).add(mixed(SamplingParams(stop_texts=("x",)))[0])


@pytest.mark.parametrize(
    ("ids", "says"),
    [([], "at least one"), ([5, 2048], "outside 0..2047"), ([-1], "outside"), (list(range(256)), "at most 255"),
     ([small_config().media_placeholder_token_id], "its 0 media fill 0")],
)  # fmt: skip
def test_a_request_that_can_never_be_served_is_refused(model: K25, ids: list[int], says: str) -> None:
    engine = engine_of(model)
    with pytest.raises(RequestError, match=says):
        engine.add(SampleRequest(np.array(ids, np.int32)))
    assert not engine.busy


@pytest.mark.parametrize("drawn", [-1, 3, 2**31])
def test_more_drawn_tokens_than_there_are_are_refused(model: K25, drawn: int) -> None:
    with pytest.raises(RequestError, match="drawn"):
        engine_of(model).add(SampleRequest(np.array([1, 2, 3], np.int32), params=SAMPLED, drawn=drawn))


def test_ids_that_do_not_exist_may_be_left_out(model: K25) -> None:
    params = SamplingParams(max_new_tokens=2, never=frozenset(range(-3000, 2047)))
    (found,) = finished(engine_of(model), [SampleRequest(np.array([1], np.int32), params=params)])
    assert found.ids == [2047, 2047]
    with pytest.raises(RequestError, match="none of 2,048 remains"):
        engine_of(model).add(
            SampleRequest(np.array([1], np.int32), params=SamplingParams(never=frozenset(range(-1, 2048))))
        )


def test_media_that_do_not_fit_are_refused(model: K25) -> None:
    rng = np.random.default_rng(0)
    request = asked(rng, SQUARE, words=3, params=GREEDY)
    wide = Media(np.zeros((16, 3, 14, 14), np.uint8), SQUARE)
    with pytest.raises(RequestError, match="14 pixels wide"):
        engine_of(model).add(dataclasses.replace(request, media=(wide,)))
    odd = Media(np.zeros((9, 3, 8, 8), np.uint8), Grid(1, 3, 3))
    with pytest.raises(RequestError, match="even"):
        engine_of(model).add(SampleRequest(np.array([5, PAD, PAD], np.int32), (odd,)))
    long = Media(np.zeros((8 * 16, 3, 8, 8), np.uint8), SQUARE._replace(t=8))
    with pytest.raises(RequestError, match="8 frames"):
        engine_of(model).add(dataclasses.replace(request, media=(long,)))


def test_the_context_ends_a_completion(model: K25) -> None:
    request = SampleRequest(np.arange(250, dtype=np.int32), params=SamplingParams(max_new_tokens=100))
    (found,) = finished(engine_of(model), [request])
    assert len(found.ids) == 6 and found.stop == "length"


def moved(model: K25, seed: int) -> dict[str, torch.Tensor]:
    """Weights of another policy: all tensors a little elsewhere."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: tensor + 0.05 * tensor.abs().mean() * torch.randn(tensor.shape, generator=generator)
        for name, tensor in model.state_dict().items()
    }


def test_new_weights_between_two_steps(model: K25) -> None:
    """Each token has its version, and the log-probability of a full forward pass under that version."""
    policy, requests = small_model(), mixed(dataclasses.replace(SAMPLED, max_new_tokens=20))
    engine = engine_of(policy, dataclasses.replace(ROOMY, max_rows=4))
    policies = {0: small_model()}
    numbers, ended = [engine.add(request)[0] for request in requests], {}
    for version in range(1, 100):
        for _ in range(3):
            ended.update(engine.step().ended)
        if not engine.busy:
            break
        policies[version] = small_model()
        policies[version].load_state_dict(moved(model, version))
        engine.publish(version, policies[version].state_dict())
        assert engine.version == version
    assert len(policies) > 5
    for request, number in zip(requests, numbers, strict=True):
        found = ended[number]
        assert found.versions == sorted(found.versions) and len(set(found.versions)) > 2
        expected = {v: full_log_probs(policies[v], request, found.ids) for v in set(found.versions)}
        np.testing.assert_allclose(found.logprobs, [expected[v][n] for n, v in enumerate(found.versions)], atol=1e-4)


def test_prefixes_and_pictures_of_old_weights_are_never_used(model: K25) -> None:
    policy, request = small_model(), mixed(GREEDY)[3]
    engine = engine_of(policy)
    finished(engine, [request])
    engine.publish(1, moved(model, 1))
    (found,) = finished(engine, [request])
    assert found.usage.cached == 0 and set(found.versions) == {1}
    agrees(policy, request, found)


def test_weights_that_do_not_fit_change_nothing(model: K25) -> None:
    policy = small_model()
    engine, before = engine_of(policy, version=3), {n: t.clone() for n, t in policy.state_dict().items()}
    good = moved(model, 1)
    name = next(iter(good))
    for tensors, version, says in [
        (good, 3, "does not follow"), ({}, 4, "no tensors"), (good | {"x": torch.zeros(1)}, 4, "no tensor x"),
        (good | {name: torch.zeros(3)}, 4, "expected shape"), (good | {name: good[name] * torch.inf}, 4, "finite"),
    ]:  # fmt: skip
        with pytest.raises(ConfigError, match=says):
            engine.publish(version, tensors)
    assert engine.version == 3 and all(torch.equal(t, before[n]) for n, t in policy.state_dict().items())


def test_weights_that_are_no_numbers_are_told_and_leave_nothing_behind(model: K25) -> None:
    policy, requests = small_model(), mixed(SAMPLED)
    engine = engine_of(policy)
    good = {name: tensor.clone() for name, tensor in policy.state_dict().items()}
    numbers = [engine.add(request) for request in requests]
    engine.step()
    with torch.no_grad():
        policy.language_model.model.layers[0].input_layernorm.weight.fill_(torch.nan)
    with pytest.raises(SamplerError, match="version 0 gives scores that are no numbers"):
        engine.step()
    engine.publish(2, good)
    for request, (found,) in zip(requests, completed(engine, numbers), strict=True):
        agrees(model, request, found)
        assert set(found.versions) == {0, 2}


@pytest.mark.parametrize("said", [0, 3, 64])
def test_a_step_that_fails_leaves_nothing_half_done(model: K25, monkeypatch, said: int) -> None:
    """What it was to copy, to compute and to draw is done again, whether it failed before or after the scores."""
    params = dataclasses.replace(SAMPLED, max_new_tokens=70)
    request, engine = mixed(params)[2], engine_of(model)
    numbers, (expected,) = (
        engine.add(request, count=3),
        completed(other := engine_of(model), [other.add(request, count=3)]),
    )
    for _ in range(said):
        engine.step()

    def broken(*given: object, **named: object) -> None:
        raise MemoryError("no room")

    for place in ("manyeyes.inference.engine.forward", "manyeyes.inference.engine.choose_each"):
        with monkeypatch.context() as patch:
            patch.setattr(place, broken)
            with pytest.raises(MemoryError):
                engine.step()
    (found,) = completed(engine, [numbers])
    assert [one.ids for one in found] == [one.ids for one in expected]


def test_a_prompt_read_in_parts_under_weights_that_are_no_numbers_leaves_nothing_behind(model: K25) -> None:
    policy, request = small_model(), asked(np.random.default_rng(0), words=45, params=GREEDY)
    engine = engine_of(policy, dataclasses.replace(ROOMY, max_rows=8, step_tokens=20))
    good = {name: tensor.clone() for name, tensor in policy.state_dict().items()}
    numbers = engine.add(request)
    with torch.no_grad():
        policy.language_model.model.layers[0].input_layernorm.weight.fill_(torch.nan)
    engine.publish(1, {"language_model.model.norm.weight": good["language_model.model.norm.weight"]})
    with pytest.raises(SamplerError, match="version 1 gives scores that are no numbers"):
        engine.step()
    engine.publish(2, good)
    ((found,),) = completed(engine, [numbers])
    agrees(model, request, found)


def test_half_precision_stays_near_full_precision() -> None:
    from manyeyes.model.multimodal import build

    full = small_model()
    half = build(small_config(), seed=0, compute_dtype=torch.bfloat16)
    requests = mixed(GREEDY)
    for request, found in zip(requests, finished(engine_of(half), requests), strict=True):
        expected = full_logits(full, request, found.ids).log_softmax(-1)
        picked = expected.gather(1, torch.tensor(found.ids)[:, None])[:, 0].numpy()
        np.testing.assert_allclose(found.logprobs, picked, atol=0.5)


def test_a_cache_of_less_than_a_block_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"cache_tokens \(3\) must hold at least one block of 16 tokens"):
        EngineConfig(cache_tokens=3)
    assert EngineConfig(cache_tokens=16).blocks == 1
