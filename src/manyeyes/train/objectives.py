"""The losses of pre-training, from a batch to gradients: next token, and SigLIP + caption.

    language   L = sum_t w_t * -log p(x_t | x_<t, media) / sum_t w_t  +  balance loss
    coca       L = siglip_weight * L_siglip + caption_weight * L_caption       (§4.3, following CoCa)

Both run over micro-batches and leave the gradient of the whole step's mean in `.grad`; the divisor is known before the
first micro-batch, so how rows are split changes nothing but rounding.

Report: §4.3 (objectives), §4.1 (balance loss and loss-free bias of the K2 backbone).
Shapes: B rows, T positions, N = B*T, D width, L layers, E experts, H heads.
"""

import math
from collections.abc import Callable
from contextlib import closing
from typing import NamedTuple

import torch
from torch import Tensor, nn

from manyeyes.core.tokenizer import Tokenizer
from manyeyes.data.packing import Batch
from manyeyes.model.coca import CocaText, siglip_loss
from manyeyes.model.cross_entropy import chunked_cross_entropy
from manyeyes.model.multimodal import K25
from manyeyes.train.batches import MicroBatch, media_of, samples_of
from manyeyes.train.in_order import add_gradients, backward, in_order, workers_for
from manyeyes.train.pairs import pairs_of
from manyeyes.train.pieces import pieces_of


class Learned(NamedTuple):
    """What one forward and backward pass over a whole batch gave.

    Attributes:
        parts: loss parts by name, each a mean over its own tokens or pairs; "loss" is what was minimised.
        expert_counts_LE: tokens per expert, for the balancing bias (None when the language model is frozen).
        max_logit_LH: largest attention logit, exact where it could reach the threshold (`packed_attention.Attended`).
    """

    parts: dict[str, float]
    expert_counts_LE: Tensor | None = None
    max_logit_LH: Tensor | None = None


def learn_language(
    model: K25,
    batch: Batch,
    *,
    micro_rows: int,
    clip_threshold: float,
    device: torch.device,
    side_by_side: int | None = None,
) -> Learned:
    """Next-token loss of packed rows, backward included. A frozen language model yields no counts and no logits.

    On a CPU micro-batches go side by side, one a thread of torch (`in_order`), and a step of a single one is cut up for
    them (`pieces`).

    Args:
        side_by_side: micro-batches at once on a CPU at most, where memory bounds them.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    workers = workers_for(device, trained=trained, most=side_by_side)
    parts = pieces_of(batch, micro_rows, device=device, side_by_side=workers)
    whole = max(sum(float(part.weights_BT.sum()) for part in parts), 1.0)
    workers = min(workers, len(parts))
    work, seen = _Language(model, whole, batch.seen, clip_threshold, trained if workers > 1 else None), _Seen()
    with closing(in_order(work, parts, workers=workers)) as all_done:
        for part, done in zip(parts, all_done, strict=True):
            add_gradients(trained, done.gradients)
            seen.add(part, done)
    return Learned(_means(seen.sums.tolist(), seen.weights.tolist(), whole), seen.counts_LE, seen.max_logit_LH)


class _Part(NamedTuple):
    """Of a micro-batch: text, vision and balance loss, what was observed, gradients that are not in `.grad` yet."""

    losses: Tensor
    counts_LE: Tensor | None
    max_logit_LH: Tensor | None
    gradients: tuple[Tensor | None, ...]


class _Language(NamedTuple):
    """One micro-batch, forward and backward; `aside` as in `in_order.backward`."""

    model: K25
    whole: float
    seen: int
    clip_threshold: float
    aside: list[nn.Parameter] | None

    def __call__(self, part: MicroBatch) -> _Part:
        out = self.model(
            part.ids_BT,
            positions_BT=part.positions_BT,
            segments_BT=part.segments_BT,
            continues_BT=part.continues_BT,
            media=part.media,
            collect=next(self.model.language_model.parameters()).requires_grad,
            clip_threshold=self.clip_threshold,
        )
        text, vision = _by_domain(self.model, out.hidden_BTD, part)
        balance = out.aux_loss * (part.seen / max(self.seen, 1))  # a mean over whole samples, like the model's own
        loss = (text + vision) / self.whole + balance
        gradients = backward(loss, self.aside)  # none where nothing is learned: text alone teaches a projector nothing
        losses = torch.stack([text, vision, balance]).detach()
        return _Part(losses, out.expert_counts_LE, out.max_logit_LH, gradients)


class _Seen:
    """Sums over the micro-batches of a step: losses (text, vision, balance), weights (text, vision), counts, maxima."""

    def __init__(self) -> None:
        self.sums, self.weights = torch.zeros(3), torch.zeros(2)
        self.counts_LE: Tensor | None = None
        self.max_logit_LH: Tensor | None = None

    def add(self, part: MicroBatch, done: _Part) -> None:
        weights = torch.stack([part.weights_BT[~part.vision_BT].sum(), part.weights_BT[part.vision_BT].sum()])
        self.sums = self.sums.to(done.losses.device) + done.losses
        self.weights = self.weights.to(weights.device) + weights
        self.counts_LE = _joined(torch.add, self.counts_LE, done.counts_LE)
        self.max_logit_LH = _joined(torch.maximum, self.max_logit_LH, done.max_logit_LH)


def _joined(join: Callable[[Tensor, Tensor], Tensor], old: Tensor | None, new: Tensor | None) -> Tensor | None:
    return join(old, new) if old is not None and new is not None else new if old is None else old


def _by_domain(model: K25, hidden_BTD: Tensor, part: MicroBatch) -> tuple[Tensor, Tensor]:
    """Weighted loss sums of text samples and of samples with media."""
    hidden_ND, targets_N = hidden_BTD.flatten(0, 1), part.targets_BT.flatten()
    return tuple(  # pyright: ignore[reportReturnType]
        chunked_cross_entropy(
            hidden_ND, model.head_weight, targets_N=targets_N, weights_N=(part.weights_BT * chosen_BT).flatten()
        )
        for chosen_BT in (~part.vision_BT, part.vision_BT)
    )


def _means(sums: list[float], weights: list[float], whole: float) -> dict[str, float]:
    parts = {"loss": (sums[0] + sums[1]) / whole + sums[2], "balance": sums[2]}
    for name, total, weight in zip(("text", "vision"), sums, weights, strict=False):
        if weight > 0:
            parts[name] = total / weight
    return parts


def learn_pairs(
    model: K25,
    coca: CocaText,
    batch: Batch,
    tokenizer: Tokenizer,
    *,
    siglip_weight: float,
    caption_weight: float,
    device: torch.device,
) -> Learned:
    """SigLIP + caption loss of the picture-text pairs in a batch, backward included.

    The contrast runs over all pairs of the step, so they go through in one piece; only the ViT's own packing bounds
    memory. A batch without a single pair teaches nothing: its loss is NaN and no gradient is set.
    """
    pairs = pairs_of(samples_of(batch), tokenizer)
    if pairs is None:
        return Learned({"loss": math.nan, "pairs": 0.0})
    media = media_of(pairs.media, device)
    ids_NL, lengths_N = torch.from_numpy(pairs.ids_NL).to(device), torch.from_numpy(pairs.lengths_N).to(device)
    merged = model.vision_tower(media, dtype=model.compute_dtype)
    out = coca(ids_NL, lengths_B=lengths_N, merged_M4D=merged, image_tokens=pairs.image_tokens)
    contrast = siglip_loss(
        out.image_BE,
        out.text_BE,
        logit_scale=coca.logit_scale,
        logit_bias=coca.logit_bias,
        positive_BB=torch.from_numpy(pairs.matches_NN).to(device),
    )
    caption = caption_loss(coca, out.hidden_BTD, ids_NL, lengths_N)
    loss = siglip_weight * contrast + caption_weight * caption
    loss.backward()
    figures = {"loss": loss, "siglip": contrast, "caption": caption}
    return Learned({name: float(value.detach()) for name, value in figures.items()} | {"pairs": float(len(ids_NL))})


def caption_loss(coca: CocaText, hidden_BTD: Tensor, ids_BT: Tensor, lengths_B: Tensor) -> Tensor:
    """Mean negative log-likelihood of each caption token after the first."""
    weights_BT = torch.arange(1, ids_BT.shape[1], device=ids_BT.device) < lengths_B[:, None]
    total = chunked_cross_entropy(
        hidden_BTD[:, :-1].flatten(0, 1),
        coca.head_weight,
        targets_N=ids_BT[:, 1:].flatten(),
        weights_N=weights_BT.flatten().float(),
    )
    return total / weights_BT.sum()
