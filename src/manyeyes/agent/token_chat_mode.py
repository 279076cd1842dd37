"""`Mode`: one of the two ways to ask a `TokenChat`, thinking or instant, with what it remembers of its turns.

The head of an answer differs between them, so a turn of one mode is no beginning of a stream of the other: a
conversation that changes its mode goes on as it reads, and that is a fork.

Report: §4.4.1 (thinking and instant mode), App. D.
"""

import asyncio
from collections.abc import Sequence

from manyeyes.agent.chat_model import ModelError
from manyeyes.agent.token_chat_prompt import History, Prompt, Prompts
from manyeyes.agent.token_chat_segments import Segments
from manyeyes.agent.token_chat_turns import Turn, Turns, chained
from manyeyes.core.conversation import ChatError, check
from manyeyes.core.media import Media, MediaError, MediaRules
from manyeyes.core.messages import Message, Tool
from manyeyes.core.tokenizer import Tokenizer


class Mode:
    """See the module.

    Args:
        thinking: False is instant mode.
        history: which reasoning of earlier turns stays; see `token_chat`.
        kept_tokens: of sampled turns that are remembered.

    Attributes:
        turns: that were sampled.
    """

    def __init__(
        self, tokenizer: Tokenizer, rules: MediaRules, *, thinking: bool, history: History, kept_tokens: int
    ) -> None:
        self.thinking, self.turns = thinking, Turns(kept_tokens)
        self._segments = Segments(tokenizer, rules, thinking=thinking)
        self._prompts = Prompts(self._segments, self.turns, history)

    async def prompt(self, messages: Sequence[Message], tools: Sequence[Tool]) -> tuple[Prompt, tuple[Media, ...]]:
        """What is sent, and its media.

        Raises:
            ModelError: a conversation or a picture that has no rendering.
        """
        try:
            check(messages)
            media = await self._decoded(messages)
            prompt = self._prompts.write(messages, tools)
        except (ChatError, MediaError) as error:
            raise ModelError(str(error), kind="request") from None
        self._segments.trim()
        return prompt, media

    def chain(self, prompt: Prompt, message: Message) -> bytes:
        """What stands for a conversation and the answer to it."""
        return chained(prompt.chain, self._segments.mark(message))

    def turn(self, message: Message) -> Turn | None:
        """How a message (this very object) was sampled here."""
        return self.turns.of(message)

    async def _decoded(self, messages: Sequence[Message]) -> tuple[Media, ...]:
        """Pictures are decoded once, in a thread."""
        media: list[Media] = []
        for message in messages:
            known = self._segments.media_of(message)
            if known is None:
                decoded = await asyncio.to_thread(self._segments.decode, message)
                self._segments.keep_decoded(message, decoded)
                known = decoded.media
            media += known
        return tuple(media)
