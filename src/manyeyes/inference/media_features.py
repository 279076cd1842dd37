"""Media features, computed once: what the vision tower made of each distinct picture under the present weights.

Keyed by content; as many bytes as allowed are kept, the least recently used go first. New weights forget all. Pictures
that are encoded together share products, whose last bits depend on how many rows there are; apart, each is a function
of its pixels.

Report: §4.2, App. D.

Shapes: M media tokens, D text width.
"""

from collections import OrderedDict
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from manyeyes.core.media import Media
from manyeyes.model.moonvit3d import MediaBatch
from manyeyes.model.multimodal import K25

PATCHES_AT_ONCE = 65_536
"""Encoded in one pass, so that a pile of pictures does not fill the memory."""


class MediaFeatures:
    """Encodes pictures and clips for one model.

    Args:
        most_bytes: that are kept.
        apart: encode each by itself.
    """

    def __init__(self, model: K25, *, most_bytes: int, apart: bool = False) -> None:
        self.model, self.most_bytes, self.apart = model, most_bytes, apart
        self._kept: OrderedDict[bytes, Tensor] = OrderedDict()
        self._bytes = 0

    def of(self, wanted: Mapping[bytes, Media]) -> dict[bytes, Tensor]:
        """Features [M, D] of each picture by its key; what is not kept is encoded, in as few passes as fit."""
        found: dict[bytes, Tensor] = {}
        missing: list[tuple[bytes, Media]] = []
        for key, item in wanted.items():
            if key in self._kept:
                self._kept.move_to_end(key)
                found[key] = self._kept[key]
            else:
                missing.append((key, item))
        while missing:
            part = missing[:1] if self.apart else _part(missing)
            encoded = self._encode([item for _, item in part])
            for (key, _), features_MD in zip(part, encoded, strict=True):
                found[key] = features_MD
                self._keep(key, features_MD)
            missing = missing[len(part) :]
        return found

    def forget(self) -> None:
        """The weights have changed."""
        self._kept.clear()
        self._bytes = 0

    def _encode(self, media: list[Media]) -> list[Tensor]:
        patches = torch.from_numpy(np.concatenate([item.patches for item in media]))
        batch = MediaBatch(patches.to(self.model.head_weight.device), tuple(item.grid for item in media))
        split = self.model.encode(batch).split([item.grid.tokens for item in media])
        return [features_MD.clone() for features_MD in split] if len(media) > 1 else list(split)

    def _keep(self, key: bytes, features_MD: Tensor) -> None:
        self._kept[key] = features_MD
        self._bytes += features_MD.numel() * features_MD.element_size()
        while self._bytes > self.most_bytes and self._kept:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= oldest.numel() * oldest.element_size()


def _part(media: list[tuple[bytes, Media]]) -> list[tuple[bytes, Media]]:
    """The first items that fit in one pass, at least one."""
    total = 0
    for number, (_, item) in enumerate(media):
        total += item.grid.patches
        if number and total > PATCHES_AT_ONCE:
            return media[:number]
    return media
