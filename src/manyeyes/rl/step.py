"""One update from one batch of rollouts: learn, measure, clip the gradient, MuonClip, balance, QK-Clip.

    learn_rl (+ learn_ptx) → gradient norm → MuonClip step → balancing bias → QK-Clip        as the loop of `train` does
                           ↘ mismatch report of the same forward pass

A batch without anything to learn from is no update: weights, momentum and version stay. Whether it is one follows from
the count of the whole step, so ranks never part over it. `reduce` joins their gradients, tokens per expert and largest
logits before anything is done with them.

Report: §4.4.2 ("we employ the MuonClip optimizer"), §4.1.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from manyeyes.core.errors import ConfigError, DataError, ManyeyesError
from manyeyes.data.packing import Batch
from manyeyes.optim.muonclip import MuonClip, clip_gradient_norm
from manyeyes.rl.band import EQ_1, Band
from manyeyes.rl.learn import learn_rl
from manyeyes.rl.logprobs import BatchLogprobs, SampledFrom
from manyeyes.rl.mismatch import MismatchReport, measure_batch
from manyeyes.rl.objective import Eq1, Objective
from manyeyes.rl.observed import Observed
from manyeyes.rl.policy_model import PolicyModel
from manyeyes.rl.ptx import learn_ptx
from manyeyes.rl.token_count import TokenCount
from manyeyes.train.meter import expert_load, largest


@dataclass(frozen=True, slots=True)
class StepRules:
    """What holds for every update of a run.

    Attributes:
        objective: what is maximised.
        micro_rows: rows in one forward and backward pass.
        gradient_norm: gradients are scaled down to this global norm.
        bias_rate: step of the loss-free balancing bias.
        replay: whether the sampler's routing is replayed.
        ptx_weight: of the language-modelling loss, where a batch for it is given.
        band: that the mismatch report counts against: the objective's own, where it has one.
    """

    objective: Objective = field(default_factory=Eq1)
    micro_rows: int = 1
    gradient_norm: float = 1.0
    bias_rate: float = 1e-3
    replay: bool = False
    ptx_weight: float = 0.1
    band: Band = EQ_1

    def __post_init__(self) -> None:
        if self.micro_rows < 1 or not self.gradient_norm > 0 or not 0 <= self.ptx_weight < math.inf:
            raise ConfigError(
                "an RL step needs micro_rows of at least 1, gradient_norm above 0 and ptx_weight of at least 0, got "
                f"{self.micro_rows}, {self.gradient_norm} and {self.ptx_weight}"
            )


class RlStep(NamedTuple):
    """What came of an update.

    Attributes:
        updated: False where there was nothing to learn from.
        parts: the loss by parts; see `LearnedRl`, and "ptx".
        mismatch: between the sampler and the weights before this update.
        learning_rate, gradient_norm: of the update.
        clipped: heads that QK-Clip rescaled.
        max_logit: largest attention logit.
        load: of the busiest expert, see `train.meter.expert_load`.
        temperature: that tokens were sampled at, in the mean.
    """

    updated: bool
    parts: dict[str, float]
    mismatch: MismatchReport
    learning_rate: float = 0.0
    gradient_norm: float = 0.0
    clipped: int = 0
    max_logit: float = 0.0
    load: float = 0.0
    temperature: float = 1.0

    @property
    def figures(self) -> dict[str, float]:
        """Flat, for the log; KL estimators and masked share as the mismatch report gives them."""
        own = ("learning_rate", "gradient_norm", "clipped", "max_logit", "load") if self.updated else ()
        measured = {f"mismatch/{name}": value for name, value in self.mismatch.figures.items()}
        return self.parts | {name: float(getattr(self, name)) for name in (*own, "temperature")} | measured


def rl_step(
    model: PolicyModel,
    optimizer: MuonClip,
    batch: Batch | None,
    rules: StepRules,
    *,
    count: TokenCount,
    source: SampledFrom,
    version: int,
    rate: float,
    device: torch.device,
    ptx: Batch | None = None,
    ptx_whole: float | None = None,
    temperature_BT: NDArray[np.float32] | None = None,
    proximal_BT: NDArray[np.float32] | None = None,
    reduce: Callable[[Observed], None] | None = None,
    least_told: int = 1,
) -> RlStep:
    """Update `model` in place.

    Args:
        batch, count: of `group_samples`, the count `over_ranks`; a rank that got no sample gives rows of padding, the
            others wait for it.
        source: the distribution that tokens were sampled from; of `group_samples`, or `SampledFrom.of` the rollouts'
            parameters.
        version: of the model's weights before this update.
        rate: learning rate.
        ptx, ptx_whole: packed text for the auxiliary loss, and the sum of its loss weights over all ranks.
        temperature_BT: of `group_samples`: that each token was sampled at; that of `source` when left out.
        reduce: joins the ranks' gradients and what they observed (`ranks.summed`).
        least_told: groups with an advantage that is not 0 that an update needs, over all ranks
            (`SampleRules.least_told`).

    Raises:
        DataError: see `learn_rl`; or a rank without a batch, where others wait. ManyeyesError: the gradient is not
            finite. Nothing was stepped.
    """
    if not count.tokens or count.told < least_told or not (reduce or (batch and batch.weights_BT.any())):
        return RlStep(False, {}, MismatchReport(rules.band), temperature=source.temperature)
    if batch is None:
        raise DataError("this rank has no batch, and the others wait for its gradients; give it rows of padding")
    optimizer.zero_grad(set_to_none=True)
    clip, seen = optimizer.config.clip_threshold, Observed()
    learned = learn_rl(
        model, batch, rules.objective, count=count, source=source, micro_rows=rules.micro_rows, clip_threshold=clip,
        device=device, replay=rules.replay, temperature_BT=temperature_BT, proximal_BT=proximal_BT,
    )  # fmt: skip
    parts = dict(learned.parts)
    seen.join(learned.expert_counts_LE, learned.max_logit_LH)
    if ptx is not None and rules.ptx_weight:
        text = learn_ptx(
            model, ptx, weight=rules.ptx_weight, micro_rows=rules.micro_rows, clip_threshold=clip, device=device,
            whole=ptx_whole, averaged_over=count.averaged_over,
        )  # fmt: skip
        parts |= text.parts
        seen.join(text.expert_counts_LE, text.max_logit_LH)
    if reduce is not None:
        reduce(seen)
    mismatch = _mismatch(batch, learned.found, version, rules.band)
    norm = update(optimizer, rate=rate, gradient_norm=rules.gradient_norm, parts=parts)
    clipped = balance_and_clip(model, optimizer, seen.counts_LE, seen.max_logit_LH, bias_rate=rules.bias_rate)
    return RlStep(
        True, parts, mismatch, rate, norm, clipped, largest(seen.max_logit_LH), expert_load(seen.counts_LE),
        _mean_temperature(batch, source, temperature_BT),
    )  # fmt: skip


def _mean_temperature(batch: Batch, source: SampledFrom, temperature_BT: NDArray[np.float32] | None) -> float:
    learned_BT = batch.weights_BT > 0
    if temperature_BT is None or not learned_BT.any():
        return source.temperature
    return float(temperature_BT[learned_BT].mean())


def _mismatch(batch: Batch, found: BatchLogprobs, version: int, band: Band) -> MismatchReport:
    if not batch.weights_BT.any():
        return MismatchReport(band)
    routing = None if batch.routing_BTLK is None else found.routing_BTLK
    return measure_batch(batch, found.logprobs_BT, version=version, band=band, routing_trainer_BTLK=routing)


def update(optimizer: MuonClip, *, rate: float, gradient_norm: float, parts: Mapping[str, float]) -> float:
    """One MuonClip step with what is in `.grad`; returns the gradient's norm.

    Raises:
        ManyeyesError: it is not finite; nothing was stepped.
    """
    norm = clip_gradient_norm(optimizer.parameters(), gradient_norm)
    if not math.isfinite(norm):
        told = ", ".join(f"{name} {value:.4g}" for name, value in parts.items())
        raise ManyeyesError(
            f"the gradient of an RL step is not finite (norm {norm}; {told}), so nothing was stepped; go on from the "
            "last checkpoint with a smaller learning rate, or in fp32"
        )
    optimizer.set_learning_rate(rate)
    optimizer.step()
    return norm


def balance_and_clip(
    model: PolicyModel, optimizer: MuonClip, counts_LE: Tensor | None, max_logit_LH: Tensor | None, *, bias_rate: float
) -> int:
    """The balancing bias and QK-Clip; returns how many heads were clipped (0 where the language model is frozen)."""
    if counts_LE is None or max_logit_LH is None:
        return 0
    model.language_model.model.update_router_bias(counts_LE, bias_rate)
    return optimizer.clip(max_logit_LH)
