"""`Dialogue`: one conversation to be learned from, with tools, their calls and results; and a collection of them.

    Dialogue("count/7", (user("How many dots are in im?"), assistant(calls=(...)), tool(...), assistant("3")), tools)

It is rendered as the model would have sampled it (`core.chat.render(as_sampled=True)`): what assistants say is learned,
what is given is not. Supervised fine-tuning draws from collections of dialogues (`data.dialogue_source`).

Report: §4.4.1 (supervised fine-tuning), §2.2 (zero-vision SFT).
"""

from dataclasses import dataclass
from typing import Protocol

from manyeyes.core.messages import Message, Tool


@dataclass(frozen=True, slots=True)
class Dialogue:
    """See the module.

    Attributes:
        name: unique in its collection.
        messages: ends with an assistant's.
        tools: what the assistant may call.
        thinking: whether assistants reason before they answer; False is instant mode.
    """

    name: str
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    thinking: bool = False


class Dialogues(Protocol):
    """A named, sized collection of dialogues; entry `index` is always the same one."""

    @property
    def name(self) -> str:
        """Unique among sources."""
        ...

    def __len__(self) -> int: ...

    def dialogue(self, index: int) -> Dialogue:
        """Entry `index`; safe to call from several threads."""
        ...
