"""`Observed`: what the micro-batches of a step tell beside their gradients, summed.

Report: none. Shapes: L mixture or attention layers, E experts, H heads.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from manyeyes.model.backbone import BackboneOutput


def observed_only(out: BackboneOutput) -> BackboneOutput:
    """Without states, routing and graph, which must not live until a step's other micro-batches are done."""
    return out._replace(hidden_BTD=out.hidden_BTD.new_empty(0), aux_loss=out.aux_loss.detach(), routing_BTLK=None)


class Observed:
    """Figures that add up, tokens per expert, and the largest attention logits.

    Attributes:
        sums: figures by name.
        counts_LE, max_logit_LH: None until something was collected.
    """

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.counts_LE: Tensor | None = None
        self.max_logit_LH: Tensor | None = None

    def add(self, figures: Mapping[str, Tensor], out: BackboneOutput) -> None:
        """Of one micro-batch."""
        for name, value in figures.items():
            # fp64: a sum over many micro-batches must not depend on how they were cut, to the digits that are shown.
            before = self.sums.get(name)
            self.sums[name] = value.detach().double() if before is None else before + value.detach().double()
        self.join(out.expert_counts_LE, out.max_logit_LH)

    def join(self, counts_LE: Tensor | None, max_logit_LH: Tensor | None) -> None:
        """Counts add up, of logits the largest counts."""
        if counts_LE is not None:
            self.counts_LE = counts_LE if self.counts_LE is None else self.counts_LE + counts_LE
        if max_logit_LH is not None:
            seen = self.max_logit_LH
            self.max_logit_LH = max_logit_LH if seen is None else torch.maximum(seen, max_logit_LH)

    @property
    def figures(self) -> dict[str, float]:
        """As numbers."""
        return {name: float(value) for name, value in self.sums.items()}
