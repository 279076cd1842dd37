"""`Engine`: continuous batching over a block cache, one step at a time, without threads and without waiting.

    add ──▶ scheduler ──plan──▶ batch ──▶ forward ──▶ choose ──▶ tokens, ended completions
                ▲                                        │
                └──────── sampled ids go on ◀────────────┘

A step computes one token of every running request and, with the tokens that are left, the next part of prompts. Weights
are swapped between steps: what the cache holds of running requests is computed again under the new ones, so each
token's log-probability is that of a full forward pass under the version that it names.

Report: App. D.

Shapes: N tokens of a step, M rows that sample, V vocabulary, D width.
"""

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from manyeyes.core.errors import ConfigError
from manyeyes.core.sampler import Completion, SampleRequest, SamplerError, StopReason
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.inference.all_layers import AllLayers
from manyeyes.inference.batch import Batch, batch_of
from manyeyes.inference.blocks import BlockPool
from manyeyes.inference.embedding import embedded
from manyeyes.inference.engine_config import EngineConfig
from manyeyes.inference.forward import forward
from manyeyes.inference.kernels import kernels_for
from manyeyes.inference.latent_store import LatentStore
from manyeyes.inference.media_features import MediaFeatures
from manyeyes.inference.publication import load_tensors
from manyeyes.inference.requests import sequence_of
from manyeyes.inference.routing_record import RoutingRecord
from manyeyes.inference.sampling import choose_each, top_alternatives
from manyeyes.inference.scheduler import Limits, Scheduler, StepPlan
from manyeyes.inference.score_masks import ScoreMasks
from manyeyes.inference.sequences import Sequence, Status, Unusable
from manyeyes.inference.weights import Weights
from manyeyes.model.multimodal import K25


class Told(NamedTuple):
    """A token as it was sampled, and whose."""

    number: int
    token: int
    logprob: float


class StepResult(NamedTuple):
    """What a step brought; a completion fails by itself where its constraint raises."""

    tokens: list[Told]
    ended: list[tuple[int, Completion]]
    failed: list[tuple[int, SamplerError]]


class Figures(NamedTuple):
    """How full the engine is."""

    running: int
    waiting: int
    blocks: int
    blocks_held: int
    blocks_kept: int
    preemptions: int
    steps: int
    version: int


class Engine:
    """Decodes many requests together with one model.

    Args:
        model: its parameters are overwritten by `publish`.
        config: sizes.
        tokenizer: needed for stop texts only.
        version: of the weights that the model has now.
        clock: seconds, for the times of completions.
    """

    def __init__(
        self,
        model: K25,
        config: EngineConfig | None = None,
        *,
        tokenizer: Tokenizer | None = None,
        version: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.model, self.tokenizer, self.clock = model, tokenizer, clock
        self.config = config = config or EngineConfig()
        self.device = model.head_weight.device
        limits = Limits(config.block_tokens, config.max_rows, config.step_tokens, config.patience, config.prefix_cache)
        self._scheduler = Scheduler(limits, BlockPool(config.blocks), version=version)
        self._store = LatentStore(
            model.config.text,
            blocks=config.blocks,
            block_tokens=config.block_tokens,
            dtype=model.compute_dtype,
            device=self.device,
        )
        self._features = MediaFeatures(model, most_bytes=config.media_bytes, apart=config.invariant)
        self._routing = RoutingRecord(model.config.text, blocks=config.blocks, block_tokens=config.block_tokens)
        self._masks = ScoreMasks(model.config.text.vocab_size, self.device)
        found = kernels_for(self.device, model.compute_dtype) if config.compiled else "kernels are switched off"
        self._kernels, self._why_none = (None, found) if isinstance(found, str) else (found, "")
        if config.invariant and self._kernels is None:
            raise ConfigError(f"an invariant engine needs compiled kernels: {self._why_none}; or leave `invariant` off")
        self._weights = self._packed()
        self._all_layers = self._in_one_call()
        self._sequences: dict[int, Sequence] = {}
        self._next, self._steps = 0, 0

    @property
    def described(self) -> str:
        """What computes, in a line."""
        if self._kernels is None:
            return f"PyTorch alone: {self._why_none}"
        return "compiled kernels, each row alike" if self.config.invariant else "PyTorch and compiled kernels"

    @property
    def version(self) -> int:
        """Of the weights."""
        return self._scheduler.version

    @property
    def busy(self) -> bool:
        """Whether a step has anything to do."""
        return self._scheduler.busy

    @property
    def context(self) -> int:
        """Most tokens of one request, prompt included."""
        longest = self.config.max_context or self.model.config.text.max_position_embeddings
        return min(longest, self.config.blocks * self.config.block_tokens)

    @property
    def figures(self) -> Figures:
        """How full it is."""
        s = self._scheduler
        pool = s.pool
        return Figures(
            len(s.running), s.waiting, pool.count, pool.held, pool.kept, s.preemptions, self._steps, s.version
        )

    def add(self, request: SampleRequest, *, count: int = 1, draw: int = 0) -> list[int]:
        """Queue a request, or several completions of one prompt, which is read once; returns their numbers.

        Args:
            count: completion i draws with seed + i.
            draw: index of the random stream beside the seed.

        Raises:
            RequestError: it can never be served.
        """
        made = [
            sequence_of(
                request, self._next + i, seed=request.params.seed + i, draw=draw, model=self.model.config,
                context=self.context, tokenizer=self.tokenizer, now=self.clock(),
            )
            for i in range(count)
        ]  # fmt: skip
        self._routing.expect(request)
        self._next += count
        leader, *followers = made
        for follower in followers:
            follower.status = Status.HELD
        leader.followers = followers
        self._scheduler.add(leader)
        self._sequences.update((sequence.number, sequence) for sequence in made)
        return [sequence.number for sequence in made]

    def abort(self, number: int, *, why: StopReason = "aborted") -> Completion | None:
        """End a request with what it has and free its blocks; None where it has ended already."""
        sequence = self._sequences.pop(number, None)
        if sequence is None:
            return None
        self._scheduler.remove(sequence)
        return self._ended(sequence, why, self.clock())

    def hand_back(self) -> list[tuple[int, Completion]]:
        """End every request with what it has."""
        ended = [(number, self.abort(number, why="handed_back")) for number in list(self._sequences)]
        return [(number, completion) for number, completion in ended if completion is not None]

    def publish(self, version: int, tensors: Mapping[str, Tensor]) -> None:
        """Swap weights: all or none. Running requests go on; their past is computed again.

        Args:
            tensors: by the model's names; those that are absent stay.

        Raises:
            ConfigError: an unknown name, another shape, or no newer version; nothing has changed.
        """
        load_tensors(self.model, tensors, version=version, before=self.version)
        self._weights = self._packed()
        self._all_layers = self._in_one_call()
        self._features.forget()
        self._scheduler.renew(version)

    @torch.inference_mode()
    def step(self) -> StepResult:
        """Compute one step; nothing where nobody asks.

        Raises:
            SamplerError: the weights give no numbers. As after any error in a step, requests stay, to be read again,
                or to be aborted.
        """
        plan = self._scheduler.plan()
        result = StepResult([], [], [])
        if not plan.chunks:
            return result
        self._steps += 1
        try:
            self._run(plan, result)
        except BaseException:
            self._scheduler.renew(self.version)  # what was to be copied and computed is there in parts
            raise
        return result

    def _packed(self) -> Weights:
        return Weights.of(self.model, self._kernels, invariant=self.config.invariant)

    def _in_one_call(self) -> AllLayers | None:
        if self._kernels is None or not self.config.invariant:
            return None
        return AllLayers(self._weights, self._kernels, config=self.model.config.text, store=self._store)

    def _run(self, plan: StepPlan, result: StepResult) -> None:
        logits_MV, batch = self._scores(plan)
        if len(logits_MV) < len(batch.chunks) and not self._store.finite(batch.slot_N):
            raise self._no_numbers()  # a part of a prompt: no score would tell
        rows = [(chunk.sequence, row) for row, chunk in enumerate(c for c in batch.chunks if c.samples)]
        for chunk in batch.chunks:
            self._scheduler.advance(chunk)
        for leader, row in list(rows):
            if leader.followers:
                rows += [(follower, row) for follower in self._scheduler.fork(leader)]
        if rows:
            self._sample(logits_MV, rows, result)

    def _scores(self, plan: StepPlan) -> tuple[Tensor, Batch]:
        self._store.copy(plan.copies)
        self._routing.copy(plan.copies)
        text = self.model.config.text
        batch = batch_of(
            plan.chunks, text, block_tokens=self.config.block_tokens, device=self.device,
            in_place=self._kernels is not None, each_alone=self.config.invariant,
        )  # fmt: skip
        x_ND = embedded(batch, self._weights.embedding, self._features, self.model)
        chosen = self._routing.blank()
        if self._all_layers is not None:
            logits_MV = self._all_layers(batch, x_ND, chosen)
        else:
            hidden_MD = forward(self._weights, text, self._store, batch, x_ND, chosen)
            logits_MV = self._weights.head(hidden_MD).float()
        self._routing.write(batch, chosen)
        return logits_MV, batch

    def _sample(self, logits_MV: Tensor, rows: list[tuple[Sequence, int]], result: StepResult) -> None:
        if [row for _, row in rows] != list(range(len(logits_MV))):
            logits_MV = logits_MV[[row for _, row in rows]]
        sequences = [sequence for sequence, _ in rows]
        stuck, broken = self._masks.apply(logits_MV, sequences)
        for row, error in broken.items():
            self._fail(sequences[row], error, result)
        params = [sequence.request.params for sequence in sequences]
        uniforms = [0.0 if one.greedy else s.uniform() for s, one in zip(sequences, params, strict=True)]
        uniform_B = torch.tensor(uniforms, dtype=torch.float64, device=self.device)
        token_B, logprob_B = choose_each(logits_MV, params, uniform_B, apart=self.config.invariant)
        if bool(logprob_B.isnan().any()):
            raise self._no_numbers()
        now = self.clock()
        for row, (sequence, token, logprob) in enumerate(
            zip(sequences, token_B.tolist(), logprob_B.tolist(), strict=True)
        ):
            if row in stuck or row in broken:
                if row in stuck:
                    self._end(sequence, "stop", now, result)
                continue
            if params[row].top_logprobs:
                sequence.completion.top.append(top_alternatives(logits_MV[row], params[row]))
            self._routing.keep(sequence)
            try:
                why = sequence.say(token, logprob, self.version, now)
            except Unusable as error:
                self._fail(sequence, error, result)
                continue
            result.tokens.append(Told(sequence.number, token, logprob))
            if why is not None:
                self._end(sequence, why, now, result)

    def _no_numbers(self) -> SamplerError:
        self._store.clear()
        return SamplerError(f"version {self.version} gives scores that are no numbers; are its weights finite?")

    def _fail(self, sequence: Sequence, error: SamplerError, result: StepResult) -> None:
        self._sequences.pop(sequence.number, None)
        self._scheduler.remove(sequence)
        result.failed.append((sequence.number, error))

    def _end(self, sequence: Sequence, why: StopReason, now: float, result: StepResult) -> None:
        self._sequences.pop(sequence.number, None)
        self._scheduler.remove(sequence)
        result.ended.append((sequence.number, self._ended(sequence, why, now)))

    def _ended(self, sequence: Sequence, why: StopReason, now: float) -> Completion:
        completion = sequence.end(why, now)
        completion.routing = self._routing.of(sequence)
        return completion
