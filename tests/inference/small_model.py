"""A model so small that laws are checked in milliseconds, prompts with pictures and clips, and full forward passes."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from manyeyes.core.media import Grid, Media
from manyeyes.core.sampler import Completion, SampleRequest, SamplingParams
from manyeyes.inference.engine import Engine
from manyeyes.inference.sampling import distribution
from manyeyes.model import config as models
from manyeyes.model.moonvit3d import MediaBatch
from manyeyes.model.multimodal import K25, build

CLIP, TALL, SQUARE = Grid(4, 2, 4), Grid(1, 6, 2), Grid(1, 4, 4)
SHOWN: list[tuple[Grid, ...]] = [(), (SQUARE,), (CLIP,), (TALL, CLIP, SQUARE), (), (SQUARE, SQUARE)]


def small_config(**changes: object) -> models.ModelConfig:
    tiny = models.tiny()
    text = dataclasses.replace(
        tiny.text, hidden_size=32, num_hidden_layers=2, intermediate_size=64, initializer_range=0.2, **changes
    )
    vision = dataclasses.replace(tiny.vision, vt_hidden_size=32, vt_num_hidden_layers=1, vt_intermediate_size=64)
    return dataclasses.replace(tiny, text=text, vision=vision)


def small_model(*, seed: int = 0, **changes: object) -> K25:
    return build(small_config(**changes), seed=seed)


def asked(
    rng: np.random.Generator, *grids: Grid, words: int, params: SamplingParams, priority: int = 0
) -> SampleRequest:
    """Words, then each picture with two words behind it."""
    pad = small_config().media_placeholder_token_id
    media = tuple(Media(rng.integers(0, 256, (g.patches, 3, 8, 8)).astype(np.uint8), g) for g in grids)
    parts = [rng.integers(0, 1700, words)]
    for grid in grids:
        parts += [np.full(grid.tokens, pad), rng.integers(0, 1700, 2)]
    return SampleRequest(np.concatenate(parts).astype(np.int32), media, params, priority=priority)


def mixed(params: SamplingParams, *, seed: int = 0, most_words: int = 40, times: int = 1) -> list[SampleRequest]:
    """With a picture, a clip, several, none; of several lengths."""
    rng = np.random.default_rng(seed)
    return [asked(rng, *grids, words=int(rng.integers(1, most_words)), params=params) for grids in SHOWN * times]


def full_logits(model: K25, request: SampleRequest, said: Sequence[int]) -> Tensor:
    """Scores [n, V] of each said id by one forward pass over everything: no cache, no batch."""
    ids = torch.from_numpy(np.concatenate([request.ids, said]).astype(np.int64))[None]
    patches = [torch.from_numpy(item.patches) for item in request.media]
    media = MediaBatch(torch.cat(patches), tuple(item.grid for item in request.media)) if patches else None
    with torch.no_grad():
        logits = model.logits(model(ids, media=media).hidden_BTD)[0, len(request.ids) - 1 : -1]
    logits[:, sorted(request.params.never)] = -torch.inf
    return logits


def full_log_probs(model: K25, request: SampleRequest, said: Sequence[int]) -> list[float]:
    """log p of each said id under the distribution that it was sampled from."""
    logits, params = full_logits(model, request, said), request.params
    log_p = logits.log_softmax(-1) if params.greedy else distribution(logits, [params] * len(logits)).log()
    return log_p.gather(1, torch.tensor(said)[:, None])[:, 0].tolist()


def steady_cuts(model: K25, request: SampleRequest, said: Sequence[int]) -> np.ndarray:
    """Where the set of ids that may be sampled does not hang on the last bits of the scores: bool [n]."""
    params, steady = request.params, np.ones(len(said), bool)
    if params.greedy:
        return steady
    here = np.array(full_log_probs(model, request, said))
    for sign in (-1e-5, 1e-5):
        top_p = min(1.0, params.top_p + sign * (params.top_p < 1))
        moved = dataclasses.replace(params, top_p=top_p, min_p=params.min_p * (1 + sign))
        there = full_log_probs(model, dataclasses.replace(request, params=moved), said)
        steady &= np.abs(here - there) < 5e-5
    return steady


def sure(model: K25, request: SampleRequest, said: Sequence[int], *, gap: float = 1e-4) -> int:
    """How many of the ids follow with certainty: up to the first whose runner-up is closer than `gap`."""
    best = full_logits(model, request, said).topk(2, dim=-1).values
    close = (best[:, 0] - best[:, 1] <= gap).nonzero().flatten().tolist()
    return close[0] if close else len(said)


def finished(engine: Engine, requests: Sequence[SampleRequest]) -> list[Completion]:
    """All of them added at once, then steps until nothing is left."""
    return [found for (found,) in completed(engine, [engine.add(request) for request in requests])]


def completed(engine: Engine, groups: Sequence[Sequence[int]]) -> list[list[Completion]]:
    """Steps until nothing is left; completions of each group of numbers, which end once each."""
    ended: dict[int, Completion] = {}
    while engine.busy:
        for number, completion in engine.step().ended:
            assert number not in ended
            ended[number] = completion
    assert engine.figures.blocks_held == 0
    return [[ended[number] for number in numbers] for numbers in groups]
