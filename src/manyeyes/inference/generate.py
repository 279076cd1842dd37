"""Batched generation: prefill a batch of prompts, then decode token by token with the compressed latent cache.

1. Prompts are sorted by length and run in batches, left-aligned, padding behind.
2. The prefill writes each layer's latents (kv_lora + rope numbers a token) and gives the first token's scores.
3. Each decode step reads one new token a row; rows that stop leave the batch, and the cache with it.

This is the engine's first cut: static batches. Report: App. D.
Shapes: B rows, T positions, V vocabulary.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from manyeyes.core.errors import ManyeyesError
from manyeyes.core.media import Grid, Media
from manyeyes.core.seeds import stream
from manyeyes.inference.sampling import GREEDY, SamplingParams, choose
from manyeyes.inference.unsaid import unsaid
from manyeyes.model.attention import MlaCache
from manyeyes.model.moonvit3d import MediaBatch
from manyeyes.model.multimodal import K25


class GenerationError(ManyeyesError):
    """A prompt that cannot be continued."""


class Prompt(NamedTuple):
    """Token ids and the media that fill their `<|media_pad|>` runs."""

    ids: NDArray[np.int32]
    media: tuple[Media, ...] = ()


@dataclass(slots=True)
class Completion:
    """What was generated for one prompt.

    Attributes:
        ids: sampled ids, the stop id included.
        logprobs: one for each id, under the distribution it was sampled from: `never` left out, the rest renormalised.
        stop: "stop" when a stop id came, "length" when the limit was reached.
    """

    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    stop: Literal["stop", "length"] = "length"


@torch.inference_mode()
def generate(
    model: K25,
    prompts: Sequence[Prompt],
    *,
    params: SamplingParams = GREEDY,
    stop_ids: Collection[int],
    never: Collection[int] | None = None,
    rows: int = 64,
    on_token: Callable[[int, int], None] = lambda prompt, token: None,
) -> list[Completion]:
    """Continue every prompt.

    Args:
        stop_ids: ids that end a completion (`<|im_end|>`, `[EOS]`).
        never: ids that are not sampled; None for the special ones that no turn holds (`inference.unsaid`), () for none.
            Log-probabilities are those of the distribution without them.
        rows: prompts in one batch.
        on_token: called with (prompt number, id) as ids come.

    Raises:
        GenerationError: an empty prompt, or an id outside the vocabulary.
    """
    for number, prompt in enumerate(prompts):
        _check(prompt, number, model)
    completions = [Completion() for _ in prompts]
    features = _Features(model, prompts)
    by_length = sorted(range(len(prompts)), key=lambda number: len(prompts[number].ids))
    left_out = unsaid(model.config.text.vocab_size, stop_ids=stop_ids) if never is None else never
    for start in range(0, len(by_length), rows):
        batch = by_length[start : start + rows]
        _Decoding(model, prompts, batch, features, completions, params, frozenset(stop_ids), left_out, on_token).run()
    return completions


def _check(prompt: Prompt, number: int, model: K25) -> None:
    vocabulary = model.config.text.vocab_size
    if len(prompt.ids) == 0:
        raise GenerationError(f"prompt {number} is empty; give it at least one token")
    if int(prompt.ids.min()) < 0 or int(prompt.ids.max()) >= vocabulary:
        raise GenerationError(f"prompt {number} has an id outside 0..{vocabulary - 1}; is its tokenizer the model's?")


class _Features:
    """Every distinct picture of the prompts, encoded once however many prompts show it."""

    items = 256
    """Pictures encoded at a time."""

    def __init__(self, model: K25, prompts: Sequence[Prompt]) -> None:
        distinct: dict[tuple[Grid, bytes], Media] = {}
        self._keys = [[(item.grid, item.patches.tobytes()) for item in prompt.media] for prompt in prompts]
        for keys, prompt in zip(self._keys, prompts, strict=True):
            distinct.update(zip(keys, prompt.media, strict=True))
        self._features: dict[tuple[Grid, bytes], Tensor] = {}
        keys, media = list(distinct), list(distinct.values())
        for start in range(0, len(media), self.items):
            part = media[start : start + self.items]
            patches = torch.from_numpy(np.concatenate([item.patches for item in part])).to(model.head_weight.device)
            encoded_MD = model.encode(MediaBatch(patches, tuple(item.grid for item in part)))
            split = encoded_MD.split([item.grid.tokens for item in part])
            self._features.update(zip(keys[start : start + self.items], split, strict=True))

    def of(self, prompts: Sequence[int]) -> Tensor | None:
        """[M, D]: the features of some prompts' pictures in order; None when they show none."""
        found = [self._features[key] for number in prompts for key in self._keys[number]]
        return torch.cat(found) if found else None


class _Decoding:
    """One batch on its way; rows leave as they stop."""

    def __init__(
        self,
        model: K25,
        prompts: Sequence[Prompt],
        numbers: list[int],
        features: _Features,
        completions: list[Completion],
        params: SamplingParams,
        stop_ids: frozenset[int],
        never: Collection[int],
        on_token: Callable[[int, int], None],
    ) -> None:
        self.model, self.prompts, self.numbers, self.features = model, prompts, numbers, features
        self.completions, self.params, self.stop_ids, self.on_token = completions, params, stop_ids, on_token
        self.device = model.head_weight.device
        self.never = torch.tensor(sorted(never), dtype=torch.int64, device=self.device)
        self.uniforms = {n: stream(params.seed, "inference/sample", n).random(params.max_new_tokens) for n in numbers}
        longest = max(len(prompts[number].ids) for number in numbers)
        self.cache = MlaCache.empty(
            model.config.text,
            len(numbers),
            capacity=longest + params.max_new_tokens,
            dtype=model.compute_dtype,
            device=self.device,
        )

    def run(self) -> None:
        hidden_BD = self._prefill()
        for position in range(self.params.max_new_tokens):
            token_B = self._choose(hidden_BD, position)
            going = [row for row, number in enumerate(self.numbers) if self.completions[number].stop == "length"]
            if not going or position + 1 == self.params.max_new_tokens:
                return
            token_B = self._keep(going, token_B)
            hidden_BD = self.model(token_B[:, None], cache=self.cache).hidden_BTD[:, 0]

    def _prefill(self) -> Tensor:
        ids = [self.prompts[number].ids for number in self.numbers]
        lengths_B = torch.tensor([len(row) for row in ids])
        ids_BT = torch.full((len(ids), int(lengths_B.max())), self.model.config.pad_token_id, dtype=torch.int64)
        for row, values in enumerate(ids):
            ids_BT[row, : len(values)] = torch.from_numpy(values)
        segments_BT = torch.where(torch.arange(ids_BT.shape[1]) < lengths_B[:, None], 0, -1).int()
        out = self.model(
            ids_BT.to(self.device),
            segments_BT=segments_BT.to(self.device),
            features_MD=self.features.of(self.numbers),
            cache=self.cache,
        )
        return out.hidden_BTD[torch.arange(len(ids)), lengths_B - 1]

    def _choose(self, hidden_BD: Tensor, position: int) -> Tensor:
        uniform_B = torch.tensor([self.uniforms[n][position] for n in self.numbers], dtype=torch.float64)
        logits_BV = self.model.logits(hidden_BD).index_fill_(1, self.never, -torch.inf)
        token_B, logprob_B = choose(logits_BV, self.params, uniform_B.to(self.device))
        for number, token, logprob in zip(self.numbers, token_B.tolist(), logprob_B.tolist(), strict=True):
            completion = self.completions[number]
            completion.ids.append(token)
            completion.logprobs.append(logprob)
            if token in self.stop_ids:
                completion.stop = "stop"
            self.on_token(number, token)
        return token_B

    def _keep(self, going: list[int], token_B: Tensor) -> Tensor:
        if len(going) == len(self.numbers):
            return token_B
        rows = torch.tensor(going, device=self.device)
        self.cache = self.cache.select(rows)
        self.numbers = [self.numbers[row] for row in going]
        return token_B[rows]
