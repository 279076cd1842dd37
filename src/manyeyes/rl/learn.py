"""`learn_rl`: one forward and backward pass of an objective over a batch of rollouts.

    for each micro-batch:   states (routing replayed or not) → log pi of learned tokens → objective / N → backward

As `train.objectives.learn_language`: it leaves the gradient of the whole step in `.grad`, and N is known before the
first micro-batch. The same pass yields what the mismatch report and QK-Clip need.

Report: §4.4.2, Eq. 1. Shapes: B rows, T positions, N learned tokens, S sequences, L layers, E experts, H heads.
"""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from manyeyes.core.errors import DataError
from manyeyes.data.packing import Batch
from manyeyes.model.backbone import BackboneOutput
from manyeyes.rl.learned_tokens import LearnedTokens
from manyeyes.rl.logprobs import BatchLogprobs, Chosen, SampledFrom, TrainerLogprobs, chosen, of_next
from manyeyes.rl.objective import Objective
from manyeyes.rl.observed import Observed, observed_only
from manyeyes.rl.policy_model import PolicyModel
from manyeyes.rl.routing_replay import require_replayable, states
from manyeyes.rl.token_count import TokenCount
from manyeyes.train.batches import MicroBatch, micro_batches
from manyeyes.train.in_order import add_gradients, backward, in_order, workers_for


class LearnedRl(NamedTuple):
    """What one forward and backward pass over a whole batch gave.

    Attributes:
        parts: "loss" is what was minimised; "policy", "squared", "masked", ... are the objective's, "balance" the
            experts', "entropy" the mean over learned tokens in nats. All but "entropy" add up over ranks.
        expert_counts_LE, max_logit_LH: as in `train.objectives.Learned`.
        found: the trainer's log-probabilities and routing, for `mismatch.measure_batch`.
    """

    parts: dict[str, float]
    expert_counts_LE: Tensor | None
    max_logit_LH: Tensor | None
    found: BatchLogprobs


def learn_rl(
    model: PolicyModel,
    batch: Batch,
    objective: Objective,
    *,
    count: TokenCount,
    source: SampledFrom,
    micro_rows: int,
    clip_threshold: float,
    device: torch.device,
    replay: bool = False,
    temperature_BT: NDArray[np.float32] | None = None,
    proximal_BT: NDArray[np.float32] | None = None,
    side_by_side: int | None = None,
) -> LearnedRl:
    """Backward included; gradients add to what is there. On a CPU micro-batches go side by side, one a thread of torch.

    Args:
        count: of the whole step, over all ranks.
        source: the distribution that tokens were sampled from.
        replay: whether tokens are sent to the experts that the sampler recorded.
        temperature_BT: that each token was sampled at (`GroupSamples`); that of `source` when left out.
        proximal_BT: the trainer's log-probabilities before the first step on this batch (`batch_logprobs`); those of
            now when left out, as is right on the first.
        side_by_side: micro-batches at once on a CPU at most, where memory bounds them.

    Raises:
        DataError: the batch has no log-probabilities or advantages; a log-ratio is not finite; nothing to replay.
            Gradients are then incomplete: clear them.
    """
    if batch.weights_BT.any() and (batch.logprobs_BT is None or batch.advantages_BT is None):
        raise DataError("RL needs the sampler's log-probabilities and advantages, and this batch has none of them")
    if replay and batch.weights_BT.any():
        require_replayable(batch, model.config.text)
    seen, found, learned = Observed(), BatchLogprobs.empty(batch, model.config.text), 0
    parts = micro_batches(batch, micro_rows, device=device, trimmed=True)
    # A wrapper that averages gradients listens to `.grad`, which nobody may fill behind its back.
    pieces = 1 if count.averaged_over > 1 else -(-len(batch.ids_BT) // micro_rows)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    workers = min(workers_for(device, trained=trained, most=side_by_side), pieces)
    work = _Work(
        model, batch, objective, count, source, replay, clip_threshold, temperature_BT, proximal_BT,
        trained if workers > 1 else None,
    )  # fmt: skip
    with closing(in_order(work, parts, workers=workers)) as all_done:
        for done in all_done:
            add_gradients(trained, done.gradients)
            found.put(done.part, done.told)
            learned += done.learned
            seen.add(done.figures, done.out)
    if not seen.sums and count.tokens:
        _join_in(model)
    return LearnedRl(_parts(seen.figures, learned), seen.counts_LE, seen.max_logit_LH, found)


class _One(NamedTuple):
    """What came of a micro-batch; `gradients` of each trained parameter where they are not in `.grad` yet."""

    part: MicroBatch
    told: TrainerLogprobs
    learned: int
    figures: dict[str, Tensor]
    out: BackboneOutput
    gradients: tuple[Tensor | None, ...]


@dataclass(frozen=True, slots=True)
class _Work:
    """One micro-batch, forward and backward; see `learn_rl`.

    `aside` are the trained parameters where micro-batches go side by side (`in_order.backward`).
    """

    model: PolicyModel
    batch: Batch
    objective: Objective
    count: TokenCount
    source: SampledFrom
    replay: bool
    clip_threshold: float
    temperature_BT: NDArray[np.float32] | None
    proximal_BT: NDArray[np.float32] | None
    aside: Sequence[Tensor] | None

    def __call__(self, part: MicroBatch) -> _One:
        out = _states(self.model, part, self.replay, self.clip_threshold)
        at_N = part.weights_BT.flatten().nonzero().flatten()
        said = _said(self.model, part, at_N, out, self.source, self.temperature_BT)
        tokens = _tokens(part, at_N, said.logprobs_N, self.proximal_BT)
        _require_finite(tokens, self.batch, part, at_N)
        loss = self.objective(tokens, self.count)
        balance = out.aux_loss * (part.seen / max(self.count.positions, 1))  # a mean over whole samples, as the model's
        total = loss.value + balance
        gradients = backward(total * self.count.averaged_over, self.aside)
        figures = {"loss": total.detach(), "balance": balance.detach(), "entropy": said.entropy_N.sum()}
        told = TrainerLogprobs(_spread(said.logprobs_N, at_N, part), out.routing_BTLK)
        return _One(part, told, len(at_N), figures | loss.figures, observed_only(out), gradients)


def _states(model: PolicyModel, part: MicroBatch, replay: bool, clip_threshold: float) -> BackboneOutput:
    collect = next(model.language_model.parameters()).requires_grad
    return states(model, part, replay=replay, keep_routing=True, collect=collect, clip_threshold=clip_threshold)


def _said(
    model: PolicyModel,
    part: MicroBatch,
    at_N: Tensor,
    out: BackboneOutput,
    source: SampledFrom,
    temperature_BT: NDArray[np.float32] | None,
) -> Chosen:
    hidden_ND, targets_N = out.hidden_BTD.flatten(0, 1)[at_N], part.targets_BT.flatten()[at_N]
    told_N = None if temperature_BT is None else of_next(temperature_BT, part).flatten()[at_N]
    return chosen(hidden_ND, model.head_weight, targets_N=targets_N, source=source, temperature_N=told_N, entropy=True)


def _tokens(
    part: MicroBatch, at_N: Tensor, logprobs_N: Tensor, proximal_BT: NDArray[np.float32] | None
) -> LearnedTokens:
    def column(column_BT: Tensor | None) -> Tensor:
        assert column_BT is not None  # learn_rl has asked
        return column_BT.flatten()[at_N]

    row_B1 = torch.arange(len(part.ids_BT), device=part.ids_BT.device)[:, None]
    sample_BT = row_B1 * part.ids_BT.shape[1] + part.segments_BT  # a row has no more samples than tokens
    samples_S, sequence_N = sample_BT.flatten()[at_N].unique(return_inverse=True)
    return LearnedTokens(
        logprobs_N=logprobs_N,
        sampled_N=column(part.logprobs_BT),
        advantages_N=column(part.advantages_BT),
        weights_N=column(part.weights_BT),
        sequence_N=sequence_N,
        sequences=len(samples_S),
        proximal_N=logprobs_N.detach() if proximal_BT is None else column(of_next(proximal_BT, part)),
    )


def _spread(values_N: Tensor, at_N: Tensor, part: MicroBatch) -> Tensor:
    values_N = values_N.detach()
    return values_N.new_zeros(part.ids_BT.numel()).index_put((at_N,), values_N).view_as(part.ids_BT)


def _require_finite(tokens: LearnedTokens, batch: Batch, part: MicroBatch, at_N: Tensor) -> None:
    """One NaN would spread over all weights."""
    wrong_N = ~tokens.log_ratio_N.detach().isfinite()
    if not bool(wrong_N.any()):
        return
    place = int(at_N[wrong_N][0])
    row, column = divmod(place, part.ids_BT.shape[1])
    name = batch.names[part.start + row][int(part.segments_BT[row, column])]
    first = int(wrong_N.nonzero()[0])
    said, told = float(tokens.logprobs_N.detach()[first]), float(tokens.sampled_N[first])
    raise DataError(
        f"{int(wrong_N.sum())} of {len(wrong_N)} learned tokens have a log-ratio that is not finite, the first in "
        f"{name} (trainer {said}, sampler {told}); either the weights have diverged, or `source` forbids ids that the "
        "sampler could choose. Clear the gradients"
    )


def _join_in(model: PolicyModel) -> None:
    """A rank without a sample goes backward too: others wait for its gradients, which are 0."""
    anchors = [parameter.flatten()[0] for parameter in model.parameters() if parameter.requires_grad]
    (torch.stack(anchors).sum() * 0.0).backward()


def _parts(figures: Mapping[str, float], learned: int) -> dict[str, float]:
    return dict(figures) | {"entropy": figures.get("entropy", 0.0) / max(learned, 1)}
