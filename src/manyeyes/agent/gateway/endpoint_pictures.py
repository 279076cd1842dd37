"""`Eyes`: the pictures of a request as the endpoint's model sees them, so that its samples can be trained on.

The endpoint tells ids alone; which patches stand behind its `<|media_pad|>` tokens is made again here, by the rules of
the model's vocabulary. Where the two do not fit token for token nothing is claimed.

Report: §4.2, App. D.
"""

import hashlib
import threading
from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from manyeyes.core.errors import ManyeyesError
from manyeyes.core.media import Clip, Media, MediaRules, Picture, image_visual
from manyeyes.inference.serve_media import MediaLimits
from manyeyes.inference.serve_messages import messages_of
from manyeyes.inference.serve_tokens import check_media
from manyeyes.inference.serve_wire import ChatRequest

KEPT = 256
"""Pictures whose patches are kept."""


class Eyes:
    """See the module. Safe to use from threads.

    Args:
        rules: how pictures become tokens.
        media_pad: id of `<|media_pad|>`.
    """

    def __init__(self, rules: MediaRules, media_pad: int, limits: MediaLimits | None = None) -> None:
        self._rules, self._pad, self._limits = rules, media_pad, limits or MediaLimits()
        self._kept: OrderedDict[bytes, Media] = OrderedDict()
        self._lock = threading.Lock()

    def see(self, request: ChatRequest, prompt: NDArray[np.int32]) -> tuple[tuple[Media, ...], str]:
        """The media of a request, and why they do not fit the ids; "" when they do."""
        try:
            messages = messages_of(request.messages, self._limits)
            media = tuple(self._media(visual) for message in messages for visual in message.media)
            check_media(prompt, media, self._pad)
        except ManyeyesError as error:
            return (), f"pictures do not fit the endpoint's ids: {error}"
        return media, ""

    def _media(self, visual: Picture | Clip) -> Media:
        if isinstance(visual, Clip):
            raise ManyeyesError("films are cut by the endpoint in ways that are not told")
        key = hashlib.blake2b(visual.encoded or b"", digest_size=16).digest()
        with self._lock:
            if (known := self._kept.get(key)) is not None:
                self._kept.move_to_end(key)
                return known
        made = image_visual(visual, self._rules).media()
        with self._lock:
            self._kept[key] = made
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return made
