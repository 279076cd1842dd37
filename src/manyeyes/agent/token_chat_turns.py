"""`Turns`: which messages were sampled here, and from what; how a conversation finds the turn that it continues.

A message is known by itself (the same object), or by everything that was said up to and including it. Where two samples
read the same but differ in their ids, what was said does not tell which one is meant, and neither is taken.

Report: App. D.
"""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from manyeyes.agent.token_chat_sampled import Sampled
from manyeyes.core.messages import Message

KEPT_TOKENS = 2**24
"""About 200 MB with their log-probabilities and versions."""
TURN_TOKENS = 128
"""What a turn takes beside its tokens, in tokens: objects and arrays, 1.5 kB."""
KEPT_MEDIA_BYTES = 2**31
"""Patches of turns that are kept: some 700 pictures of a megapixel."""
Fork = Literal["", "closed", "changed", "retold"]
"""Why a prompt does not continue an earlier turn token for token: the template dropped the reasoning of a turn that is
over; messages before it were left out, edited or replaced; an answer came back that was not sampled here as it
stands."""


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """A message that was sampled.

    Attributes:
        message: what was said.
        sampled: token for token.
        chain: stands for everything that was said up to and including it.
    """

    message: Message
    sampled: Sampled
    chain: bytes
    pieces: dict[bool, NDArray[np.int32]] = field(default_factory=dict)
    """How it stands in later prompts, with its reasoning and without; made when first asked for."""

    @property
    def tokens(self) -> int:
        """What it takes to keep it."""
        return TURN_TOKENS + len(self.sampled.added) + len(self.sampled.ids)

    @property
    def media_bytes(self) -> int:
        """Of the patches that it holds."""
        return sum(item.patches.nbytes for item in self.sampled.media)


class Turns:
    """Sampled turns, the least recently used forgotten first.

    Args:
        kept_tokens: that are kept at most.
        kept_media_bytes: of patches.
    """

    def __init__(self, kept_tokens: int = KEPT_TOKENS, *, kept_media_bytes: int = KEPT_MEDIA_BYTES) -> None:
        self.kept_tokens, self.kept_media_bytes = kept_tokens, kept_media_bytes
        self.tokens = self.media_bytes = 0
        self._by_message: OrderedDict[int, Turn] = OrderedDict()
        self._by_chain: dict[bytes, list[Turn]] = {}

    def __len__(self) -> int:
        return len(self._by_message)

    def of(self, message: Message) -> Turn | None:
        """The turn that gave this very message."""
        turn = self._by_message.get(id(message))
        if turn is None or turn.message is not message:
            return None
        self._by_message.move_to_end(id(message))
        return turn

    def find(self, message: Message, chain: bytes) -> Turn | None:
        """The turn that gave this message, or one that reads the same after the same conversation."""
        if (turn := self.of(message)) is not None:
            return turn
        same = self._by_chain.get(chain, [])
        told = all(np.array_equal(turn.sampled.ids, same[-1].sampled.ids) for turn in same)
        return self.of(same[-1].message) if same and told else None

    def keep(self, turn: Turn) -> None:
        """Remember a turn; forgets older ones as needed."""
        self._by_message[id(turn.message)] = turn
        self._by_chain.setdefault(turn.chain, []).append(turn)
        self.tokens, self.media_bytes = self.tokens + turn.tokens, self.media_bytes + turn.media_bytes
        while len(self) > 1 and (self.tokens > self.kept_tokens or self.media_bytes > self.kept_media_bytes):
            self._forget()

    def _forget(self) -> None:
        _, oldest = self._by_message.popitem(last=False)
        self.tokens, self.media_bytes = self.tokens - oldest.tokens, self.media_bytes - oldest.media_bytes
        same = self._by_chain[oldest.chain]
        same.remove(oldest)
        if not same:
            del self._by_chain[oldest.chain]


def chained(chain: bytes, mark: bytes) -> bytes:
    """What stands for a conversation and one more message."""
    return hashlib.blake2b(chain + mark, digest_size=16).digest()
