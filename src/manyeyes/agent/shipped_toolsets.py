"""Toolsets that the registry knows by name; each a function of the agent's `Ctx`.

    code    shell and IPython in a sandbox of its own, lent by the pool of the run

Report: App. D (toolset module, sandboxed).
"""

from manyeyes.agent.environment import Ctx
from manyeyes.agent.rollouts.leased_toolset import LeasedToolset
from manyeyes.core.errors import ConfigError


def code(ctx: Ctx) -> LeasedToolset:
    """A shell and a Python kernel; the run's pool must have rooms of kind "code" (`rollouts.pool_code.code_rooms`).

    Raises:
        ConfigError: whoever runs this agent lends nothing.
    """
    lease = getattr(ctx, "lease", None)
    if lease is None:
        raise ConfigError('the toolset "code" borrows a sandbox; run it by a RolloutManager with a pool of kind "code"')
    return LeasedToolset(lease("code"), lambda room: room.tools(ctx))
