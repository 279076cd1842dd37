"""`Domain`: a pipeline of synthesis: which problems, with which tools, verified how, and how much of it is kept.

Report: §4.4.1 (pipelines for each domain).
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

from manyeyes.agent.synthesis.choosing import KeepRule
from manyeyes.agent.synthesis.seed import Seed
from manyeyes.agent.synthesis.stage import Stage
from manyeyes.agent.toolset import Functions, Toolset
from manyeyes.core.errors import ConfigError

MakeToolset = Callable[[Seed], Toolset]


def no_tools(seed: Seed) -> Toolset:
    """A room without tools."""
    return Functions(())


async def always_ready() -> None:
    """Nothing is needed."""


@dataclass(frozen=True, slots=True)
class Domain:
    """See the module.

    Attributes:
        name: of the pipeline.
        about: one line for people.
        seeds: so many of its problems, always the same ones for the same seed.
        stages: of verification, the cheapest first.
        toolset: what teachers and the execution stage work with; a fresh one for each.
        instruction: what teachers are told and the dialogue does not show.
        steps: answers in a turn, at most.
        keep: what is kept of what passed.
        ready: raises where the domain cannot work at all, such as without a sandbox; asked once, before any teacher.

    Raises:
        ConfigError: no stage, or two of one name.
    """

    name: str
    about: str
    seeds: Callable[[int, int], Sequence[Seed]]
    stages: tuple[Stage, ...]
    toolset: MakeToolset = no_tools
    instruction: str = ""
    steps: int = 8
    keep: KeepRule = field(default_factory=KeepRule)
    ready: Callable[[], Awaitable[None]] = always_ready

    def __post_init__(self) -> None:
        names = [stage.name for stage in self.stages]
        if not names or len(set(names)) < len(names):
            raise ConfigError(f"domain {self.name}: expected stages of different names, got {names}")

    def also(self, *stages: Stage) -> "Domain":
        """The domain with more stages behind its own, such as a `Grade`."""
        return replace(self, stages=(*self.stages, *stages))
