"""`Trial`: a session of an experiment, with another step limit for an agent alone than its preset's.

    outcome = await trial(folder, config, steps=400).run(model, tools)

The folder is begun or gone on with, like any session's; a trial that is over already costs nothing.

Report: §5.2 (one agent against a swarm), App. E.8 (limits).
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from manyeyes.agent.budget import Limits
from manyeyes.agent.environment import Ctx, Environment
from manyeyes.agent.toolset import Toolset
from manyeyes.core.errors import ConfigError
from manyeyes.swarm.session import CONFIG, Session, SessionConfig


class Trial(Session):
    """See the module.

    Attributes:
        steps: limit of an agent alone; None for its preset's. A swarm keeps its own.
    """

    steps: float | None = None

    def environment(self, make_tools: Callable[[Ctx], Toolset], *, ended: int = 0) -> Environment:
        """See `Session.environment`."""
        environment = super().environment(make_tools, ended=ended)
        if self.config.mode != "single" or self.steps is None:
            return environment
        return replace(environment, limits=Limits(steps=self.steps))


def trial(folder: Path, config: SessionConfig, *, steps: float | None = None) -> Trial:
    """The trial in a folder, begun or gone on with.

    Raises:
        ConfigError: the folder holds no session that can be read, or one of another task.
    """
    there = (folder / CONFIG).exists()
    found = Trial(folder, (Trial.open(folder) if there else Trial.create(folder, config)).config)
    if (found.config.task, found.config.mode) != (config.task, config.mode):
        raise ConfigError(f"{folder} holds a session of another task; name another folder or delete it")
    found.steps = steps
    return found
