"""`Trial`: a session of an experiment: another step limit and context strategy for an agent alone than its preset's.

    found = await trial(folder, config, steps=400, context=DiscardAll(12_000)).run(model, tools)

The folder is begun or gone on with, like any session's; a trial that is over already costs nothing.

Report: §5.2 (one agent against a swarm), App. E.8 (limits).
"""

from dataclasses import replace
from pathlib import Path

from manyeyes.agent.budget import Limits
from manyeyes.agent.context import ContextStrategy, ShowAll
from manyeyes.agent.environment import Ctx, Environment
from manyeyes.agent.toolset import Toolset
from collections.abc import Callable
from manyeyes.swarm.session import CONFIG, Session, SessionConfig

EVERYTHING = ShowAll()


class Trial(Session):
    """See the module.

    Attributes:
        steps: limit of an agent alone; None for its preset's. A swarm keeps its own.
        context: of an agent alone.
    """

    steps: float | None = None
    context: ContextStrategy = EVERYTHING

    def environment(self, make_tools: Callable[[Ctx], Toolset]) -> Environment:
        """Of the main agent."""
        environment = super().environment(make_tools)
        if self.config.mode != "single":
            return environment
        limits = environment.limits if self.steps is None else Limits(steps=self.steps)
        return replace(environment, limits=limits, context=self.context)


def trial(
    folder: Path, config: SessionConfig, *, steps: float | None = None, context: ContextStrategy = EVERYTHING
) -> Trial:
    """The trial in a folder, begun or gone on with.

    Raises:
        ConfigError: the folder holds something else.
    """
    there = (folder / CONFIG).exists()
    found = Trial.open(folder) if there else Trial.create(folder, config)
    assert isinstance(found, Trial)
    found.steps, found.context = steps, context
    return found
