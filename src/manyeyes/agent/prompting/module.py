"""`PromptModule`: changes how a task is presented to one attempt: draws a choice, then applies it.

    choice = module.draw(rng, shown)          plain JSON; goes into the trajectory's variant
    shown  = module.apply(shown, choice)      a pure function: the same choice presents the same again

A `Presentation` is what modules change one after another: the texts, the toolset's looks, the order of messages, and
rewards for what was asked on top.

Report: App. D (modules for prompt diversification and for instruction following).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from manyeyes.agent.judge import Weighted
from manyeyes.agent.late_toolset import LateToolset
from manyeyes.agent.toolset import Toolset
from manyeyes.core.errors import ConfigError
from manyeyes.core.messages import Message
from manyeyes.core.seeds import stream

Layout = Callable[[Sequence[Message]], list[Message]]
"""Opening messages in another arrangement."""
Looks = Callable[[Toolset], Toolset]
"""A toolset as it is shown; calls by its names reach the one inside, which is opened and closed elsewhere."""
Variant = dict[str, Any]
"""By module's name, what it chose; plain JSON."""


@dataclass(frozen=True, slots=True)
class Presentation:
    """What an attempt sees, and what it is asked on top.

    Attributes:
        system: the system prompt; "" for none.
        prompt: the user's words.
        looks: applied to the toolset, first to last.
        layouts: applied to the opening messages, first to last.
        rewards: for what modules asked, by name.
        language: that the answer is asked for in, such as "fr"; "" where nobody asked.
        constrained: whether constraints on the answer were drawn to fit what is asked so far.
    """

    system: str
    prompt: str
    looks: tuple[Looks, ...] = ()
    layouts: tuple[Layout, ...] = ()
    rewards: Mapping[str, Weighted] = field(default_factory=dict)
    language: str = ""
    constrained: bool = False

    def dressed(self, toolset: Toolset) -> Toolset:
        """The toolset as it is shown."""
        return LateToolset(toolset, build=self._looked) if self.looks else toolset

    def _looked(self, toolset: Toolset) -> Toolset:
        for look in self.looks:
            toolset = look(toolset)
        return toolset

    def arranged(self, messages: Sequence[Message]) -> list[Message]:
        """The opening messages as they are shown."""
        for layout in self.layouts:
            messages = layout(messages)
        return list(messages)

    def looking(self, look: Looks) -> "Presentation":
        """With one more look of the toolset."""
        return replace(self, looks=(*self.looks, look))

    def laid_out(self, layout: Layout) -> "Presentation":
        """With one more layout of the opening messages."""
        return replace(self, layouts=(*self.layouts, layout))

    def retold(self, words: Mapping[str, str]) -> "Presentation":
        """With each of these words in place of the other, in both texts."""
        if not words:
            return self
        found = re.compile("|".join(map(re.escape, words)))
        system, prompt = (found.sub(lambda match: words[match[0]], text) for text in (self.system, self.prompt))
        return replace(self, system=system, prompt=prompt)

    def must_be_free(self, name: str) -> None:
        """Refuse a module that asks something of the answer after constraints were drawn.

        Raises:
            ConfigError: they were.
        """
        if self.constrained:
            raise ConfigError(
                f"the prompt module {name!r} may contradict the constraints before it; put it in front of them"
            )

    def asking(self, text: str, *, where: str = "prompt") -> "Presentation":
        """With a paragraph at the end of the prompt, or of the system prompt."""
        if where == "system":
            return replace(self, system=f"{self.system}\n\n{text}".strip())
        return replace(self, prompt=f"{self.prompt}\n\n{text}")

    def rewarding(self, name: str, reward: Weighted) -> "Presentation":
        """With one more reward.

        Raises:
            ConfigError: its name is taken.
        """
        if name in self.rewards:
            raise ConfigError(f"two prompt modules bring a reward called {name!r}; rename one")
        return replace(self, rewards={**self.rewards, name: reward})


class PromptModule(Protocol):
    """Changes the presentation of one attempt."""

    @property
    def name(self) -> str:
        """Of its choice in the variant, and of its random stream."""
        ...

    def draw(self, rng: np.random.Generator, shown: Presentation) -> Any:
        """A choice, as plain JSON."""
        ...

    def apply(self, shown: Presentation, choice: Any) -> Presentation:
        """The presentation under this choice; draws nothing."""
        ...


def drawn(
    modules: Sequence[PromptModule], shown: Presentation, *, seed: int, name: str
) -> tuple[Presentation, Variant]:
    """Let every module draw and apply, in order.

    Args:
        seed: of the run.
        name: of the attempt; the same seed and name draw the same.

    Returns:
        What is shown, and the choices that made it so.

    Raises:
        ConfigError: two modules have one name.
    """
    variant: Variant = {}
    for module in modules:
        if module.name in variant:
            raise ConfigError(f"two prompt modules are called {module.name!r}; name one of them otherwise")
        choice = module.draw(stream(seed, f"prompting/{module.name}/{name}"), shown)
        variant[module.name], shown = choice, module.apply(shown, choice)
    return shown, variant


def applied(modules: Sequence[PromptModule], shown: Presentation, variant: Variant) -> Presentation:
    """What `drawn` showed, from its record alone.

    Raises:
        ConfigError: the record is of other modules.
    """
    if [module.name for module in modules] != list(variant):
        raise ConfigError(
            f"expected a variant of modules {[module.name for module in modules]}, got one of {list(variant)}; "
            "give the environment the modules that it was recorded with"
        )
    for module in modules:
        shown = module.apply(shown, variant[module.name])
    return shown
