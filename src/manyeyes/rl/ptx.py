"""PTX: a little of plain language modelling on a curated set, mixed into a step of RL against forgetting.

    loss = -J + weight * ( sum_t w_t * -log p(x_t) / sum_t w_t )

Its gradient is added to that of the objective before the update; it is a mean over its own tokens, so `weight` means
the same whatever the sizes of the two batches.

Report: §4.4.2 builds on Kimi K2 (arXiv 2507.20534, §3.2.3: PTX loss; no weight published); Ouyang et al., 2022.
"""

from contextlib import closing
from typing import NamedTuple

import torch
from torch import Tensor, nn

from manyeyes.core.errors import ConfigError
from manyeyes.data.packing import Batch
from manyeyes.model.backbone import BackboneOutput
from manyeyes.model.cross_entropy import chunked_cross_entropy
from manyeyes.rl.observed import Observed, observed_only
from manyeyes.rl.policy_model import PolicyModel
from manyeyes.train.batches import MicroBatch
from manyeyes.train.in_order import add_gradients, backward, in_order, workers_for
from manyeyes.train.objectives import Learned
from manyeyes.train.pieces import pieces_of


def learn_ptx(
    model: PolicyModel,
    batch: Batch,
    *,
    weight: float,
    micro_rows: int,
    clip_threshold: float,
    device: torch.device,
    whole: float | None = None,
    averaged_over: int = 1,
    side_by_side: int | None = None,
) -> Learned:
    """Adds its gradient to what is in `.grad`. On a CPU micro-batches go side by side, one a thread of torch.

    Args:
        whole: sum of loss weights of the step over all ranks; of this batch when left out.
        averaged_over: see `TokenCount`.
        side_by_side: micro-batches at once on a CPU at most.

    Raises:
        ConfigError: the weight is negative or not finite.
    """
    if not 0.0 <= weight < float("inf"):
        raise ConfigError(f"the weight of PTX must be at least 0 and finite, got {weight}")
    whole = max(float(batch.weights_BT.sum()) if whole is None else whole, 1.0)
    # A wrapper that averages gradients listens to `.grad`, which nobody may fill behind its back.
    trained, seen = [parameter for parameter in model.parameters() if parameter.requires_grad], Observed()
    workers = workers_for(device, trained=trained, most=1 if averaged_over > 1 else side_by_side)
    parts = pieces_of(batch, micro_rows, device=device, side_by_side=workers)
    workers = min(workers, len(parts))
    work = _Work(model, weight * averaged_over, whole, clip_threshold, trained if workers > 1 else None)
    with closing(in_order(work, parts, workers=workers)) as all_done:
        for done in all_done:
            add_gradients(trained, done.gradients)
            seen.add({"ptx": done.loss}, done.out)
    return Learned(seen.figures, seen.counts_LE, seen.max_logit_LH)


class _One(NamedTuple):
    """Of a micro-batch: its share of the loss, what was observed, gradients that are not in `.grad` yet."""

    loss: Tensor
    out: BackboneOutput
    gradients: tuple[Tensor | None, ...]


class _Work(NamedTuple):
    """One micro-batch, forward and backward; `aside` as in `in_order.backward`."""

    model: PolicyModel
    factor: float
    whole: float
    clip_threshold: float
    aside: list[nn.Parameter] | None

    def __call__(self, part: MicroBatch) -> _One:
        out = self.model(
            part.ids_BT,
            positions_BT=part.positions_BT,
            segments_BT=part.segments_BT,
            continues_BT=part.continues_BT,
            media=part.media,
            collect=next(self.model.language_model.parameters()).requires_grad,
            clip_threshold=self.clip_threshold,
        )
        hidden_ND, weights_N = out.hidden_BTD.flatten(0, 1), part.weights_BT.flatten()
        loss = chunked_cross_entropy(
            hidden_ND, self.model.head_weight, targets_N=part.targets_BT.flatten(), weights_N=weights_N
        )
        loss = loss / self.whole
        return _One(loss.detach(), observed_only(out), backward(self.factor * loss, self.aside))
