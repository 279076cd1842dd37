"""`Prompts`: a conversation to the ids that are sent, sampled turns as they were sampled, and the turn it continues.

Report: App. D.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from manyeyes.agent.token_chat_reading import closing
from manyeyes.agent.token_chat_segments import Segments
from manyeyes.agent.token_chat_turns import Fork, Turn, Turns, chained
from manyeyes.core.messages import Message, Tool
from manyeyes.core.tokenizer import Tokenizer

History = Literal["append", "as_served"]
Ids = NDArray[np.int32]


class Prompt(NamedTuple):
    """What is sent.

    Attributes:
        ids: int32 [T].
        chain: stands for what was said.
        parent: the turn whose stream the ids begin with.
        fork: why they do not begin with that of the newest turn; "" when they do, or when there is none.
        seen: ids that are the parent's stream.
    """

    ids: Ids
    chain: bytes
    parent: Turn | None = None
    fork: Fork = ""
    seen: int = 0

    @property
    def added(self) -> Ids:
        """What stands behind the parent's stream."""
        return self.ids[self.seen :]


class Prompts:
    """Writes prompts.

    Args:
        turns: what was sampled.
        history: which reasoning of earlier turns stays; see `token_chat`.
    """

    def __init__(self, segments: Segments, turns: Turns, history: History) -> None:
        self.segments, self.turns, self.history = segments, turns, history

    def write(self, messages: Sequence[Message], tools: Sequence[Tool]) -> Prompt:
        """The ids of a checked conversation.

        Raises:
            ChatError: a message that has no rendering.
            MediaError: a picture that has no size that fits.
        """
        declared = self.segments.tools(tools)
        chains, found = self._find(messages, declared)
        pieces = [self._piece(*one) for one in zip(messages, found, self._keeps(messages), strict=True)]
        ids = np.concatenate([declared, *pieces, self.segments.head])
        return self._continue(ids, messages, chains, found)

    def _find(self, messages: Sequence[Message], declared: Ids) -> tuple[list[bytes], list[Turn | None]]:
        """What stands for the conversation up to each message, and the turns that were sampled here."""
        chain, chains, found = chained(b"", declared.tobytes()), [], []
        for message in messages:
            chain = chained(chain, self.segments.mark(message))
            chains.append(chain)
            found.append(self.turns.find(message, chain) if message.role == "assistant" else None)
        return chains, found

    def _keeps(self, messages: Sequence[Message]) -> list[bool]:
        """Whether each message keeps its reasoning."""
        over = [i for i, message in enumerate(messages) if message.role == "assistant" and not message.tool_calls]
        first = over[-1] + 1 if over and self.history == "as_served" else 0
        return [i >= first for i in range(len(messages))]

    def _piece(self, message: Message, turn: Turn | None, keeps: bool) -> Ids:
        if turn is None:
            return self.segments.message(message, thinks=keeps).ids
        if keeps not in turn.pieces:
            turn.pieces[keeps] = self._sampled(turn) if self.history == "append" else self._served(turn, keeps)
        return turn.pieces[keeps]

    def _sampled(self, turn: Turn) -> Ids:
        """As it was sampled, and closed."""
        ids = turn.sampled.ids.tolist()
        end = closing(ids, self.segments.tokenizer, thinking=self.segments.thinking)
        return np.concatenate([self.segments.head, np.array([*ids, *end], np.int32)])

    def _served(self, turn: Turn, keeps: bool) -> Ids:
        """As the template has it: in the ids that were sampled where these say the same, else in those of its text."""
        tokenizer, thinking = self.segments.tokenizer, self.segments.thinking
        ids = turn.sampled.ids.tolist()
        body = ids[:-1] if ids and ids[-1] in tokenizer.stops else ids
        if thinking and tokenizer.end_think not in body:
            body = [*body, tokenizer.end_think]
        if thinking and not keeps:
            body = body[body.index(tokenizer.end_think) + 1 :]
        head = self.segments.head if keeps else self.segments.thoughtless_head
        said = np.concatenate([head, np.array([*body, tokenizer.im_end], np.int32)])
        template = self.segments.message(turn.message, thinks=keeps).ids
        return said if _says_the_same(said, template, tokenizer) else template

    def _continue(
        self, ids: Ids, messages: Sequence[Message], chains: Sequence[bytes], found: Sequence[Turn | None]
    ) -> Prompt:
        newest = next((i for i in reversed(range(len(messages))) if found[i] is not None), None)
        if newest is None or (turn := found[newest]) is None:
            told = any(message.role == "assistant" for message in messages)
            return Prompt(ids, chains[-1], fork="retold" if told else "")
        stream = turn.sampled.stream
        if not np.array_equal(ids[: len(stream)], stream):
            return Prompt(ids, chains[-1], fork=self._why(turn, chains[newest]))
        retold = any(message.role == "assistant" for message in messages[newest + 1 :])
        return Prompt(ids, chains[-1], turn, "retold" if retold else "", len(stream))

    def _why(self, turn: Turn, chain: bytes) -> Fork:
        """Why a prompt does not begin with a turn's stream."""
        if turn.chain != chain:
            return "changed"
        return "closed" if self.history == "as_served" else "retold"


def _says_the_same(one: Ids, other: Ids, tokenizer: Tokenizer) -> bool:
    """Whether ids differ at most in how the text between special tokens was cut."""
    special = [[token for token in ids.tolist() if tokenizer.is_special(token)] for ids in (one, other)]
    return special[0] == special[1] and tokenizer.decode_bytes(one.tolist()) == tokenizer.decode_bytes(other.tolist())
