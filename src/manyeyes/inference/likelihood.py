"""How likely a model finds each of several continuations of a prompt: multiple choice without sampling a token.

    score(option) = 1/n sum_t log p(option_t | prompt, option_<t)          n tokens of the option

The prompt and its pictures are read once; the options of a question then start from copies of its cache, so a question
with four options costs about one and a half readings of its prompt and not four.

Report: none; the usual way to score base models by likelihood.
Shapes: B rows, T positions, N options of a batch, V vocabulary, D width.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from manyeyes.core.media import Media
from manyeyes.inference.generate import GenerationError
from manyeyes.model.attention import MlaCache
from manyeyes.model.moonvit3d import MediaBatch
from manyeyes.model.multimodal import K25


class Choice(NamedTuple):
    """A prompt and what may follow it.

    Attributes:
        ids: int32 [T], the prompt; at least one token.
        options: int32 [n] each, at least one token each.
        media: fills the prompt's `<|media_pad|>` runs.
    """

    ids: NDArray[np.int32]
    options: tuple[NDArray[np.int32], ...]
    media: tuple[Media, ...] = ()


@torch.inference_mode()
def option_scores(model: K25, choices: Sequence[Choice], *, rows: int = 48) -> list[NDArray[np.float64]]:
    """Mean log-probability a token of every option of every choice, in order.

    Args:
        rows: prompts in one batch.

    Raises:
        GenerationError: an empty prompt or option.
    """
    for number, choice in enumerate(choices):
        if not len(choice.ids) or not choice.options or not all(len(option) for option in choice.options):
            raise GenerationError(f"choice {number} needs a prompt and options of at least one token each")
    scores: list[NDArray[np.float64]] = [np.empty(0)] * len(choices)
    for batch in _batches(choices, rows):
        for number, found in zip(batch, _scored(model, [choices[number] for number in batch]), strict=True):
            scores[number] = found
    return scores


def _batches(choices: Sequence[Choice], rows: int) -> Iterator[list[int]]:
    """Numbers of choices with prompts and options of about the same length, so that little is padding."""
    order = sorted(range(len(choices)), key=lambda n: (len(choices[n].ids), max(map(len, choices[n].options))))
    for start in range(0, len(order), rows):
        yield order[start : start + rows]


def _scored(model: K25, batch: list[Choice]) -> list[NDArray[np.float64]]:
    owner_N = torch.tensor([row for row, choice in enumerate(batch) for _ in choice.options])
    options = [option for choice in batch for option in choice.options]
    hidden_BD, cache = _read_prompts(model, batch, capacity=max(map(len, options)))
    first_N = _picked(model, hidden_BD[owner_N.to(hidden_BD.device)], torch.tensor([int(o[0]) for o in options]))
    total_N = first_N + _read_options(model, options, cache, owner_N)
    mean_N = total_N / torch.tensor([len(option) for option in options])
    return [part.numpy() for part in mean_N.split([len(choice.options) for choice in batch])]


def _read_prompts(model: K25, batch: list[Choice], *, capacity: int) -> tuple[Tensor, MlaCache]:
    """States [B, D] at the prompts' last tokens, and a cache with `capacity` positions to spare."""
    device = model.head_weight.device
    ids_BT, lengths_B = _padded([choice.ids for choice in batch], model.config.pad_token_id)
    cache = MlaCache.empty(
        model.config.text, len(batch), capacity=ids_BT.shape[1] + capacity, dtype=model.compute_dtype, device=device
    )
    out = model(
        ids_BT.to(device),
        segments_BT=_segments(lengths_B, ids_BT.shape[1]).to(device),
        media=_media_batch([item for choice in batch for item in choice.media], device),
        cache=cache,
    )
    return out.hidden_BTD[torch.arange(len(batch)), lengths_B - 1], cache


def _read_options(model: K25, options: list[NDArray[np.int32]], cache: MlaCache, owner_N: Tensor) -> Tensor:
    """Sum of the log-probabilities of each option's tokens after the first: float64 [N]."""
    total_N = torch.zeros(len(options), dtype=torch.float64)
    longer = [number for number, option in enumerate(options) if len(option) > 1]
    if not longer:
        return total_N
    device = model.head_weight.device
    ids_NT, lengths_N = _padded([options[number][:-1] for number in longer], model.config.pad_token_id)
    out = model(
        ids_NT.to(device),
        segments_BT=_segments(lengths_N, ids_NT.shape[1]).to(device),
        cache=cache.select(owner_N[longer].to(device)),
    )
    real_NT = torch.arange(ids_NT.shape[1]) < lengths_N[:, None]
    targets = torch.from_numpy(np.concatenate([options[number][1:] for number in longer]))
    rows = torch.arange(len(longer))[:, None].expand_as(real_NT)[real_NT]
    found = _picked(model, out.hidden_BTD[real_NT.to(device)], targets)
    total_N[longer] = torch.zeros(len(longer), dtype=torch.float64).index_add_(0, rows, found)
    return total_N


def _picked(model: K25, hidden_ND: Tensor, target_N: Tensor) -> Tensor:
    """log p of one target a row: float64 [N]."""
    log_p_NV = model.logits(hidden_ND).float().log_softmax(-1)
    return log_p_NV.gather(1, target_N[:, None].long().to(log_p_NV.device))[:, 0].double().cpu()


def _padded(ids: Sequence[NDArray[np.int32]], pad: int) -> tuple[Tensor, Tensor]:
    lengths_B = torch.tensor([len(row) for row in ids])
    ids_BT = torch.full((len(ids), int(lengths_B.max())), pad, dtype=torch.int64)
    for row, values in enumerate(ids):
        ids_BT[row, : len(values)] = torch.from_numpy(np.asarray(values))
    return ids_BT, lengths_B


def _segments(lengths_B: Tensor, length: int) -> Tensor:
    return torch.where(torch.arange(length) < lengths_B[:, None], 0, -1).int()


def _media_batch(media: list[Media], device: torch.device) -> MediaBatch | None:
    if not media:
        return None
    patches = torch.from_numpy(np.concatenate([item.patches for item in media]))
    return MediaBatch(patches.to(device), tuple(item.grid for item in media))
