"""PTX: a little of plain language modelling on a curated set, mixed into a step of RL against forgetting.

    loss = -J + weight * ( sum_t w_t * -log p(x_t) / sum_t w_t )

Its gradient is added to that of the objective before the update; it is a mean over its own tokens, so `weight` means
the same whatever the sizes of the two batches.

Report: §4.4.2 builds on Kimi K2 (arXiv 2507.20534, §3.2.3: PTX loss; no weight published); Ouyang et al., 2022.
"""

import torch

from manyeyes.core.errors import ConfigError
from manyeyes.data.packing import Batch
from manyeyes.model.cross_entropy import chunked_cross_entropy
from manyeyes.model.multimodal import K25
from manyeyes.rl.observed import Observed
from manyeyes.train.batches import micro_batches
from manyeyes.train.objectives import Learned


def learn_ptx(
    model: K25,
    batch: Batch,
    *,
    weight: float,
    micro_rows: int,
    clip_threshold: float,
    device: torch.device,
    whole: float | None = None,
    averaged_over: int = 1,
) -> Learned:
    """Adds its gradient to what is in `.grad`.

    Args:
        whole: sum of loss weights of the step over all ranks; of this batch when left out.
        averaged_over: see `TokenCount`.

    Raises:
        ConfigError: the weight is negative or not finite.
    """
    if not 0.0 <= weight < float("inf"):
        raise ConfigError(f"the weight of PTX must be at least 0 and finite, got {weight}")
    whole = max(float(batch.weights_BT.sum()) if whole is None else whole, 1.0)
    collect, seen = next(model.language_model.parameters()).requires_grad, Observed()
    for part in micro_batches(batch, micro_rows, device=device):
        out = model(
            part.ids_BT,
            positions_BT=part.positions_BT,
            segments_BT=part.segments_BT,
            media=part.media,
            collect=collect,
            clip_threshold=clip_threshold,
        )
        hidden_ND, weights_N = out.hidden_BTD.flatten(0, 1), part.weights_BT.flatten()
        loss = chunked_cross_entropy(
            hidden_ND, model.head_weight, targets_N=part.targets_BT.flatten(), weights_N=weights_N
        )
        loss = loss / whole
        if loss.requires_grad:
            (weight * averaged_over * loss).backward()
        seen.add({"ptx": loss}, out)
    return Learned(seen.figures, seen.counts_LE, seen.max_logit_LH)
