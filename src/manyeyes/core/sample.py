"""`Sample`: the one trainable record. Pre-training, SFT and RL differ only in the loss that reads it.

Report: §4.3, App. C.1 (loss masks and packing happen while training, never in stored data).
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from manyeyes.core.media import Media


@dataclass(frozen=True, slots=True)
class Sample:
    """Token ids with a loss weight each, and the media that fill their `<|media_pad|>` runs.

    `weights[t]` is the weight of *predicting* `ids[t]` from what stands before it, so `weights[0]` is always 0 and
    media tokens weigh 0.

    Attributes:
        ids: int32 [T].
        weights: float32 [T], at least 0.
        media: one item for each run of `<|media_pad|>` tokens, in order.
        name: where it came from, unique within an epoch: "easy_vqa/train/000123".
        logprobs: float32 [T] log-probabilities under the policy that sampled them (RL only).
        advantages: float32 [T] (RL only).
        versions: int32 [T] of the policy that sampled each token, -1 where nobody did (RL only).
        routing: uint16 [T, layers, experts a token] as the sampler routed, 65535 where unknown (RL only).

    Example:
        >>> Sample(ids=np.array([7, 8], np.int32), weights=np.array([0, 1], np.float32), name="doc/0").length
        2
    """

    ids: NDArray[np.int32]
    weights: NDArray[np.float32]
    media: tuple[Media, ...] = ()
    name: str = ""
    logprobs: NDArray[np.float32] | None = field(default=None)
    advantages: NDArray[np.float32] | None = field(default=None)
    versions: NDArray[np.int32] | None = field(default=None)
    routing: NDArray[np.uint16] | None = field(default=None)

    def __post_init__(self) -> None:
        for label in ("weights", "logprobs", "advantages", "versions", "routing"):
            array = getattr(self, label)
            if array is not None and array.shape[:1] != self.ids.shape:
                raise ValueError(f"{self.name}: {label} has shape {array.shape}, ids have {self.ids.shape}")

    @property
    def length(self) -> int:
        """Number of tokens, media tokens included."""
        return int(self.ids.shape[0])
