"""`MessageLayout`: the same opening messages in another arrangement: who says what, and in which order.

    separate     system: S      user: T
    merged       user: S, T
    task_first   user: T, S
    tagged       system: S      user: <task> T </task>
    headed       system: S      user: ## Task, T
    developer    developer: S   user: T

Pictures stay where they stand in the user's message.

Report: App. D (prompt diversification).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from manyeyes.agent.prompting.module import Presentation
from manyeyes.core.errors import ConfigError
from manyeyes.core.messages import Content, Message, TextPart

LAYOUTS = ("separate", "merged", "task_first", "tagged", "headed")


@dataclass(frozen=True, slots=True)
class MessageLayout:
    """A prompt module: arrangement of the opening messages.

    Attributes:
        layouts: to draw from; see the module. "developer" must be asked for: not every model knows that role.
    """

    layouts: tuple[str, ...] = LAYOUTS
    name: str = "message_layout"

    def __post_init__(self) -> None:
        if not self.layouts or set(self.layouts) - {*LAYOUTS, "developer"}:
            raise ConfigError(f"{self.name}: expected some of {', '.join((*LAYOUTS, 'developer'))}, got {self.layouts}")

    def draw(self, rng: np.random.Generator, shown: Presentation) -> dict[str, Any]:
        """See `PromptModule.draw`."""
        return {"layout": str(rng.choice(self.layouts))}

    def apply(self, shown: Presentation, choice: dict[str, Any]) -> Presentation:
        """See `PromptModule.apply`."""
        return shown.laid_out(lambda messages: arranged(messages, choice["layout"]))


def arranged(messages: Sequence[Message], layout: str) -> list[Message]:
    """Opening messages in another layout.

    Args:
        messages: a system message first, where there is one, and the user's right after it.

    Example:
        >>> from manyeyes.core.messages import system, user
        >>> [message.content for message in arranged([system("Be brief."), user("Why?")], "task_first")]
        ['Why?\\n\\nBe brief.']
    """
    first = [message for message in messages[:1] if message.role == "system"]
    told, rest = "".join(message.text for message in first), list(messages[len(first) :])
    if not rest or rest[0].role != "user":
        return list(messages)
    asked, after = rest[0], rest[1:]
    match layout:
        case "merged" if told:
            return [_around(asked, f"{told}\n\n", ""), *after]
        case "task_first" if told:
            return [_around(asked, "", f"\n\n{told}"), *after]
        case "tagged":
            return [*first, _around(asked, "<task>\n", "\n</task>"), *after]
        case "headed":
            return [*first, _around(asked, "## Task\n\n", ""), *after]
        case "developer":
            return [*(replace(message, role="developer") for message in first), *rest]
        case _:
            return list(messages)


def _around(message: Message, before: str, after: str) -> Message:
    content: Content
    if isinstance(message.content, str):
        content = f"{before}{message.content}{after}"
    else:
        ends = [(TextPart(text),) if text else () for text in (before, after)]
        content = (*ends[0], *message.content, *ends[1])
    return replace(message, content=content)
