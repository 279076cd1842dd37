"""`generate`: continue many prompts at once, and wait for all of them; the engine's plainest use.

Report: App. D.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from manyeyes.core.errors import ManyeyesError
from manyeyes.core.media import Media
from manyeyes.core.sampler import GREEDY, SampleRequest, SamplingParams
from manyeyes.inference.engine import Engine
from manyeyes.inference.engine_config import EngineConfig
from manyeyes.inference.unsaid import unsaid
from manyeyes.model.multimodal import K25

STEP_TOKENS = 2048
"""Tokens of a step: nobody waits for the next token here, so prompts are read in large pieces."""


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
    """Continue every prompt; prompt n draws from the stream (seed, "inference/sample", n).

    Args:
        stop_ids: ids that end a completion (`<|im_end|>`, `[EOS]`).
        never: ids that are not sampled; None for the special ones that no turn holds (`inference.unsaid`), () for none.
            Log-probabilities are those of the distribution without them.
        rows: prompts that are decoded together.
        on_token: called with (prompt number, id) as ids come.

    Raises:
        GenerationError: an empty prompt, or an id outside the vocabulary.
        SamplerError: a constraint raised, or the weights give no numbers.
    """
    for number, prompt in enumerate(prompts):
        _check(prompt, number, model)
    if not prompts:
        return []
    left_out = unsaid(model.config.text.vocab_size, stop_ids=stop_ids) if never is None else never
    params = replace(params, stop_ids=frozenset(stop_ids), never=frozenset(left_out))
    engine = Engine(model, _config(prompts, params, rows=rows))
    by_length = sorted(range(len(prompts)), key=lambda number: len(prompts[number].ids))
    numbers = {_added(engine, prompts[number], params, number): number for number in by_length}
    completions = [Completion() for _ in prompts]
    while engine.busy:
        result = engine.step()
        for _, error in result.failed:
            raise error
        for told in result.tokens:
            on_token(numbers[told.number], told.token)
        for number, said in result.ended:
            stop = "stop" if said.stop == "stop" else "length"
            completions[numbers[number]] = Completion(said.ids, said.logprobs, stop)
    return completions


def _added(engine: Engine, prompt: Prompt, params: SamplingParams, number: int) -> int:
    request = SampleRequest(np.asarray(prompt.ids, np.int32), prompt.media, params)
    return engine.add(request, draw=number)[0]


def _config(prompts: Sequence[Prompt], params: SamplingParams, *, rows: int) -> EngineConfig:
    """An engine that holds `rows` of the longest prompts with their answers; they may be longer than the model's."""
    rows = min(rows, len(prompts))
    longest = max(len(prompt.ids) for prompt in prompts) + params.max_new_tokens
    block = EngineConfig().block_tokens
    return EngineConfig(
        cache_tokens=rows * -(-longest // block) * block + rows // 2 * block + block,
        max_rows=rows,
        step_tokens=max(STEP_TOKENS, rows),
        max_context=longest,
    )


def _check(prompt: Prompt, number: int, model: K25) -> None:
    vocabulary = model.config.text.vocab_size
    if len(prompt.ids) == 0:
        raise GenerationError(f"prompt {number} is empty; give it at least one token")
    if int(prompt.ids.min()) < 0 or int(prompt.ids.max()) >= vocabulary:
        raise GenerationError(f"prompt {number} has an id outside 0..{vocabulary - 1}; is its tokenizer the model's?")
