"""`Conversations`: what a session has said through a sampler, and how its next prompt is written.

As `TokenChat`: single messages are rendered once, sampled turns are sent as they were sampled. One for each mode, as
the head of an answer differs between thinking and instant.

Report: App. D (token in, token out).
"""

import hashlib
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np

from manyeyes.agent.gateway.matcher import Matcher, Matching
from manyeyes.agent.token_chat_prompt import History, Prompt, Prompts
from manyeyes.agent.token_chat_sampled import Sampled
from manyeyes.agent.token_chat_segments import Segments
from manyeyes.agent.token_chat_turns import Turn, Turns, chained
from manyeyes.core import seeds
from manyeyes.core.media import Media
from manyeyes.core.messages import Message, Tool
from manyeyes.core.sampler import Completion
from manyeyes.inference.serve_wire import ChatMessage

KEPT_TOKENS = 2**20
"""Of a session's turns, in which later prompts find what was sampled."""
ASKED = 2**12
"""Conversations of a session of which is known how often they were asked."""
KEPT_PICTURES = 64
"""Messages with pictures whose objects a session keeps, so that they are decoded once."""


class Conversation:
    """One mode of one session."""

    def __init__(self, segments: Segments, history: History, matching: Matching) -> None:
        self.segments = segments
        self._turns = Turns(KEPT_TOKENS)
        self._prompts = Prompts(segments, self._turns, history)
        self._matcher = Matcher(self._turns, segments, matching)

    def restored(self, messages: Sequence[Message], tools: Sequence[Tool]) -> list[Message]:
        """The conversation with sampled messages in their places."""
        return self._matcher.restored(messages, self.segments.tools(tools))

    def write(self, messages: Sequence[Message], tools: Sequence[Tool]) -> Prompt:
        """The prompt of a restored conversation. Raises ChatError or MediaError."""
        return self._prompts.write(messages, tools)

    def keep(self, message: Message, prompt: Prompt, media: tuple[Media, ...], done: Completion) -> None:
        """A message was sampled."""
        parent = prompt.parent.sampled if prompt.parent is not None else None
        seen = len(parent.all_media) if parent is not None else 0
        sampled = Sampled(
            prompt.added, np.array(done.ids, np.int32), np.zeros(0, np.float32), np.zeros(0, np.int32),
            done.logprob_kind, media[seen:], parent, prompt.fork,
        )  # fmt: skip
        turn = Turn(message, sampled, chained(prompt.chain, self.segments.mark(message)))
        self._turns.keep(turn)
        self._matcher.learn(turn, prompt.chain)


@dataclass(slots=True, eq=False)
class Conversations:
    """Of one tree of sessions."""

    modes: dict[bool, Conversation]
    _asked: Counter[bytes] = field(default_factory=Counter)
    _pictures: "OrderedDict[bytes, Message]" = field(default_factory=OrderedDict)

    def next_seed(self, chain: bytes, seed: int) -> int:
        """As `TokenChat` draws it: the same in another run, another one for each answer of the same conversation."""
        times = self._asked[chain]
        self._asked[chain] += 1
        if len(self._asked) > ASKED:
            del self._asked[next(iter(self._asked))]
        return seeds.key(seed, "agent/token_chat", int.from_bytes(chain, "little"), times) & 0x7FFF_FFFF

    def known(self, messages: Sequence[Message], wire: Sequence[ChatMessage]) -> list[Message]:
        """The same messages; those with pictures as the objects that came before, whose pixels are decoded already.

        Args:
            wire: each as it was written.
        """
        return [self._known(*pair) if pair[0].media else pair[0] for pair in zip(messages, wire, strict=True)]

    def _known(self, message: Message, wire: ChatMessage) -> Message:
        key = hashlib.blake2b(msgspec.json.encode(wire), digest_size=16).digest()
        known = self._pictures.setdefault(key, message)
        self._pictures.move_to_end(key)
        if len(self._pictures) > KEPT_PICTURES:
            self._pictures.popitem(last=False)
        return known
