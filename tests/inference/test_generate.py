"""Decoding equals full forward passes; what a prompt is answered does not depend on its neighbours."""

import dataclasses
import math
from collections.abc import Collection

import numpy as np
import pytest
import torch

from manyeyes.core.media import Grid, Media
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.inference.generate import Completion, GenerationError, Prompt, generate
from manyeyes.inference.sampling import SamplingParams, nucleus
from manyeyes.inference.unsaid import unsaid
from manyeyes.model import config as models
from manyeyes.model.moonvit3d import MediaBatch
from manyeyes.model.multimodal import K25, build

TOKENIZER = Tokenizer.tiny()
CLIP, TALL, SQUARE = Grid(4, 2, 4), Grid(1, 6, 2), Grid(1, 4, 4)


@pytest.fixture(scope="module")
def model() -> K25:
    tiny = models.tiny()
    text = dataclasses.replace(
        tiny.text, hidden_size=32, num_hidden_layers=2, intermediate_size=64, initializer_range=0.2
    )
    vision = dataclasses.replace(tiny.vision, vt_hidden_size=32, vt_num_hidden_layers=1, vt_intermediate_size=64)
    return build(dataclasses.replace(tiny, text=text, vision=vision), seed=0)


def prompt(rng: np.random.Generator, model: K25, *grids: Grid, words: int = 9) -> Prompt:
    media = tuple(Media(rng.integers(0, 256, (g.patches, 3, 8, 8)).astype(np.uint8), g) for g in grids)
    parts = [rng.integers(0, 1700, words)]
    for grid in grids:
        parts += [np.full(grid.tokens, model.config.media_placeholder_token_id), rng.integers(0, 1700, 2)]
    return Prompt(np.concatenate(parts).astype(np.int32), media)


def mixed(model: K25, seed: int = 0) -> list[Prompt]:
    """With a picture, a clip, both, none; of several lengths."""
    rng = np.random.default_rng(seed)
    shown: list[tuple[Grid, ...]] = [(), (SQUARE,), (CLIP,), (TALL, CLIP, SQUARE), (), (SQUARE, SQUARE)]
    return [prompt(rng, model, *grids, words=int(rng.integers(1, 12))) for grids in shown]


def full_logits(model: K25, asked: Prompt, said: list[int], never: Collection[int] | None = None) -> torch.Tensor:
    """Scores [n, V] of each said id by one forward pass over everything: no cache, no batch; what is never said out."""
    left_out = unsaid(model.config.text.vocab_size, stop_ids=()) if never is None else never
    ids = torch.from_numpy(np.concatenate([asked.ids, said]).astype(np.int64))[None]
    patches = [torch.from_numpy(item.patches) for item in asked.media]
    media = MediaBatch(torch.cat(patches), tuple(item.grid for item in asked.media)) if patches else None
    with torch.no_grad():
        logits = model.logits(model(ids, media=media).hidden_BTD)[0, len(asked.ids) - 1 : -1]
    logits[:, sorted(left_out)] = -torch.inf
    return logits


def full_log_probs(
    model: K25, asked: Prompt, said: list[int], params: SamplingParams, never: Collection[int] | None = None
) -> list[float]:
    """log p of each said id under the distribution that it was sampled from."""
    logits = full_logits(model, asked, said, never)
    if params.greedy:
        log_p = logits.log_softmax(-1)
    else:
        log_p = nucleus((logits / params.temperature).softmax(-1), params.top_p).log()
    return log_p.gather(1, torch.tensor(said)[:, None])[:, 0].tolist()


GREEDY = SamplingParams(max_new_tokens=12)
SAMPLED = SamplingParams(max_new_tokens=12, temperature=0.8, top_p=0.9, seed=5)


@pytest.mark.parametrize("never", [None, ()], ids=["special left out", "all ids"])
@pytest.mark.parametrize("params", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
def test_decode_log_probs_are_those_of_a_full_forward_pass(model: K25, params: SamplingParams, never) -> None:
    prompts = mixed(model)
    completions = generate(model, prompts, params=params, stop_ids=(), never=never, rows=4)
    for asked, found in zip(prompts, completions, strict=True):
        assert len(found.ids) == len(found.logprobs) == 12 and found.stop == "length"
        np.testing.assert_allclose(found.logprobs, full_log_probs(model, asked, found.ids, params, never), atol=1e-4)


@pytest.mark.parametrize("never", [None, ()], ids=["special left out", "all ids"])
def test_greedy_output_is_the_argmax_of_a_full_forward_pass(model: K25, never) -> None:
    for asked in mixed(model):
        (found,) = generate(model, [asked], params=GREEDY, stop_ids=(), never=never)
        assert found.ids == full_logits(model, asked, found.ids, never).argmax(-1).tolist()


@pytest.mark.parametrize("params", [GREEDY, dataclasses.replace(SAMPLED, temperature=5.0, top_p=1.0)])
def test_no_special_id_is_said_but_stops_and_marks(model: K25, params: SamplingParams) -> None:
    """This model has learned nothing: an eighth of its ids are special, and as likely as all others."""
    prompts, stop = mixed(model) * 3, TOKENIZER.special["[EOS]"]
    special = set(TOKENIZER.special.values())
    marks = {t for t in special if TOKENIZER.decode([t], skip_special=True)}
    free = generate(model, prompts, params=params, stop_ids=(), never=())
    assert special & {token for found in free for token in found.ids} - marks
    said = {token for found in generate(model, prompts, params=params, stop_ids=(stop,)) for token in found.ids}
    assert said & special <= marks | {stop}


def test_what_is_left_out_is_never_said_and_the_rest_shares_its_probability(model: K25) -> None:
    (asked, *_) = mixed(model)
    (free,) = generate(model, [asked], params=GREEDY, stop_ids=(), never=())
    (found,) = generate(model, [asked], params=GREEDY, stop_ids=(), never=free.ids)
    assert not set(found.ids) & set(free.ids)
    assert all(math.isfinite(value) for value in found.logprobs)
    first = full_logits(model, asked, free.ids, ())[0].softmax(-1)
    rest = 1 - first[free.ids].unique().sum()
    assert math.exp(found.logprobs[0]) == pytest.approx(float(first[found.ids[0]] / rest), rel=1e-3)


@pytest.mark.parametrize("rows", [1, 2, 64])
def test_a_prompt_is_answered_alike_alone_and_in_a_batch(model: K25, rows: int) -> None:
    prompts = mixed(model, seed=1)
    together = generate(model, prompts, params=GREEDY, stop_ids=(7,), rows=rows)
    alone = [generate(model, [asked], params=GREEDY, stop_ids=(7,))[0] for asked in prompts]
    assert [found.ids for found in together] == [found.ids for found in alone]


def test_sampled_answers_do_not_depend_on_the_batch_size(model: K25) -> None:
    prompts = mixed(model, seed=2)
    one, all_ = (generate(model, prompts, params=SAMPLED, stop_ids=(), rows=rows) for rows in (1, 64))
    assert [found.ids for found in one] == [found.ids for found in all_]


def test_a_seed_replays_and_another_seed_says_something_else(model: K25) -> None:
    prompts = mixed(model, seed=3)
    first, second = (generate(model, prompts, params=SAMPLED, stop_ids=()) for _ in range(2))
    other = generate(model, prompts, params=dataclasses.replace(SAMPLED, seed=6), stop_ids=())
    assert first == second
    assert [found.ids for found in first] != [found.ids for found in other]


def test_equal_prompts_are_sampled_independently(model: K25) -> None:
    asked = mixed(model)[1]
    answers = generate(model, [asked] * 4, params=SAMPLED, stop_ids=())
    assert len({tuple(found.ids) for found in answers}) > 1


def cut(found: Completion, stop_ids: set[int]) -> list[int]:
    """What is left of a free-running answer when the first stop id ends it."""
    at = next((n for n, token in enumerate(found.ids) if token in stop_ids), len(found.ids))
    return found.ids[: at + 1]


def test_stop_ids_end_each_row_by_itself(model: K25) -> None:
    prompts = mixed(model, seed=4)
    free = generate(model, prompts, params=GREEDY, stop_ids=())
    stop_ids = {free[0].ids[3], free[2].ids[7], free[4].ids[0]}
    stopped = generate(model, prompts, params=GREEDY, stop_ids=stop_ids)
    assert [found.ids for found in stopped] == [cut(found, stop_ids) for found in free]
    for found in stopped:
        assert found.stop == ("stop" if found.ids[-1] in stop_ids else "length")
        assert len(found.logprobs) == len(found.ids)


def test_tokens_are_told_as_they_come(model: K25) -> None:
    heard: dict[int, list[int]] = {}
    prompts = mixed(model, seed=5)
    found = generate(
        model,
        prompts,
        params=GREEDY,
        stop_ids=(),
        rows=2,
        on_token=lambda n, token: heard.setdefault(n, []).append(token),
    )
    assert [heard[number] for number in range(len(prompts))] == [completion.ids for completion in found]


def test_one_new_token_needs_no_decode_step(model: K25) -> None:
    (found,) = generate(model, mixed(model)[:1], params=SamplingParams(max_new_tokens=1), stop_ids=())
    assert len(found.ids) == 1


def test_a_picture_shown_twice_is_encoded_once(model: K25, monkeypatch) -> None:
    rng = np.random.default_rng(0)
    asked = prompt(rng, model, SQUARE)
    longer = Prompt(np.concatenate([asked.ids, asked.ids]), asked.media * 2)
    apart = [generate(model, [p], params=GREEDY, stop_ids=())[0].ids for p in (asked, longer)]
    seen: list[int] = []
    encode = model.encode
    monkeypatch.setattr(model, "encode", lambda media: seen.append(len(media.grids)) or encode(media))
    together = generate(model, [asked, longer], params=GREEDY, stop_ids=())
    assert seen == [1]
    assert [found.ids for found in together] == apart


def test_no_prompts_are_no_completions(model: K25) -> None:
    assert generate(model, [], stop_ids=()) == []


@pytest.mark.parametrize(
    ("ids", "says"), [([], "prompt 1 is empty"), ([5, 2048], "outside 0..2047"), ([-1], "outside 0..2047")]
)
def test_a_prompt_that_cannot_be_continued_is_refused(model: K25, ids: list[int], says: str) -> None:
    good = Prompt(np.array([1, 2], np.int32))
    with pytest.raises(GenerationError, match=says):
        generate(model, [good, Prompt(np.array(ids, np.int32))], stop_ids=())


def test_no_gradient_is_recorded(model: K25) -> None:
    generate(model, mixed(model)[:2], params=SamplingParams(max_new_tokens=2), stop_ids=())
    assert all(parameter.grad is None for parameter in model.parameters())
