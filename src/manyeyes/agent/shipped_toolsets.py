"""Toolsets that the registry knows by name, each a function of the agent's `Ctx`, and the rooms that they borrow.

    code    shell and IPython in a sandbox of its own, lent by the pool of the run

    async with EnvironmentPool(shipped_rooms(shared, folder, most=32)) as pool: ...

Report: App. D (toolset module, sandboxed; a managed pool of environment instances).
"""

from itertools import count
from pathlib import Path

from manyeyes.agent.environment import Ctx
from manyeyes.agent.environments.shared_sandbox import SharedSandbox
from manyeyes.agent.rollouts.leased_toolset import LeasedToolset
from manyeyes.agent.rollouts.pool_code import OPEN_SECONDS, PROBE_SECONDS, CodeRoom
from manyeyes.agent.rollouts.pool_kind import PoolKind
from manyeyes.agent.tools.code import CodeTools
from manyeyes.core.errors import ConfigError


def code(ctx: Ctx) -> LeasedToolset:
    """A shell and a Python kernel; the run's pool must have rooms of kind "code" (`shipped_rooms`).

    Raises:
        ConfigError: whoever runs this agent lends nothing.
    """
    lease = getattr(ctx, "lease", None)
    if lease is None:
        raise ConfigError('the toolset "code" borrows a sandbox; run it by a RolloutManager with a pool of kind "code"')
    return LeasedToolset(lease("code"), lambda room: room.tools(ctx))


def shipped_rooms(shared: SharedSandbox, folder: Path, *, most: int) -> dict[str, PoolKind]:
    """What shipped toolsets borrow, as kinds of a pool. The sandbox is opened by whoever borrows first.

    Args:
        shared: with kernels for `most`; whoever made it closes it after the pool.
        folder: where rooms have their folders; empty.
        most: rooms at once.
    """
    numbers = count()

    def make() -> LateRoom:
        name = f"room-{next(numbers)}"
        return LateRoom(shared, folder / name, name)

    return {
        "code": PoolKind(
            make, most=most, open_seconds=OPEN_SECONDS, reset_seconds=OPEN_SECONDS + PROBE_SECONDS,
            probe_seconds=2 * PROBE_SECONDS,
        )
    }  # fmt: skip


class LateRoom:
    """A `CodeRoom` of a sandbox that need not be open before the room is."""

    def __init__(self, shared: SharedSandbox, folder: Path, name: str) -> None:
        self._shared, self._folder, self._name = shared, folder, name
        self._room: CodeRoom | None = None

    async def open(self) -> None:
        """See `Resource.open`. Raises SandboxUnavailable."""
        kernels = await self._shared.kernels()
        self._room = CodeRoom(await self._shared.sandbox(), self._folder, self._name, kernels=kernels)
        await self._room.open()

    async def reset(self) -> None:
        """See `Resource.reset`."""
        await self._opened.reset()

    async def healthy(self) -> bool:
        """See `Resource.healthy`."""
        return await self._opened.healthy()

    async def close(self) -> None:
        """See `Resource.close`."""
        if self._room is not None:
            await self._room.close()

    def tools(self, ctx: Ctx) -> CodeTools:
        """See `CodeRoom.tools`."""
        return self._opened.tools(ctx)

    @property
    def _opened(self) -> CodeRoom:
        assert self._room is not None, "the pool opens a room before it lends it"
        return self._room
