"""`CodeRoom`: a sandboxed shell and a warm Python kernel over folders of their own, lent to one attempt at a time.

    pool = EnvironmentPool({"code": code_rooms(sandbox, folder, most=32, warm=4)})
    Environment(lambda ctx: LeasedToolset(ctx.lease("code"), lambda room: room.tools(ctx)))

The next owner gets empty folders and a new kernel: code that a model wrote may have left anything in the old ones.

Report: App. D (a managed pool of environment instances; toolsets in sandboxes).
"""

import asyncio
from collections.abc import Callable
from itertools import count
from math import inf
from pathlib import Path

from manyeyes.agent.environment import Ctx
from manyeyes.agent.rollouts.pool_kind import PoolKind
from manyeyes.agent.sandbox import Sandbox, SandboxUnavailable
from manyeyes.agent.sandbox_exchange import remove_tree
from manyeyes.agent.tools.code import CodeTools
from manyeyes.agent.tools.ipython import IPython
from manyeyes.agent.tools.ipython_pool import KernelPool
from manyeyes.agent.tools.shell import Shell
from manyeyes.agent.workspace import Workspace

PROBE_SECONDS, OPEN_SECONDS = 20.0, 150.0
"""For a kernel to do nothing, and to start on a machine on which many do."""


class CodeRoom:
    """See the module.

    Args:
        sandbox: of the run.
        folder: its own; removed with it.
        name: unique among those that share kernels.
        kernels: with room for as many as there are rooms; None for a shell alone.
        fill: puts files into the folders of a new owner; runs in a thread.
    """

    def __init__(
        self, sandbox: Sandbox, folder: Path, name: str, *, kernels: KernelPool | None = None,
        fill: Callable[[Workspace], None] | None = None,
    ) -> None:  # fmt: skip
        self.sandbox, self.folder, self.name, self.kernels = sandbox, folder, name, kernels
        self.workspace = Workspace(folder / "inputs", folder / "artefacts", folder / "work")
        self._fill = fill

    async def open(self) -> None:
        """See `Resource.open`. Raises SandboxUnavailable."""
        await asyncio.to_thread(self._furnish)
        if self.kernels is not None and not await self._ask_kernel():
            raise SandboxUnavailable(
                f"the Python kernel of {self.name} started and does nothing; see `manyeyes doctor`"
            )

    async def reset(self) -> None:
        """See `Resource.reset`."""
        await self.close()
        await self.open()

    async def healthy(self) -> bool:
        """See `Resource.healthy`."""
        if not self.workspace.work.is_dir():
            return False
        return self.kernels is None or await self._ask_kernel()

    async def close(self) -> None:
        """See `Resource.close`."""
        if self.kernels is not None:
            await self.kernels.release(self.name)
        await asyncio.to_thread(remove_tree, self.folder)

    def tools(self, ctx: Ctx) -> CodeTools:
        """`shell`, and `ipython` where there are kernels, for whom it was lent to."""
        kernels = self.kernels
        ipython = None if kernels is None else IPython(kernels, self.workspace, self.name, ctx.noted)
        return CodeTools(Shell(self.sandbox, self.workspace, ctx.noted), ipython)

    def _furnish(self) -> None:
        for folder in (self.workspace.inputs, self.workspace.artefacts, self.workspace.work):
            folder.mkdir(parents=True, exist_ok=True)
        if self._fill is not None:
            self._fill(self.workspace)

    async def _ask_kernel(self) -> bool:
        """Whether its kernel, which is started if there is none, does something."""
        assert self.kernels is not None
        done, _ = await self.kernels.execute(self.name, self.workspace, "pass", seconds=PROBE_SECONDS, most=1)
        return done.status == "ok"


def code_rooms(
    sandbox: Sandbox, folder: Path, *, kernels: KernelPool | None = None,
    fill: Callable[[Workspace], None] | None = None, most: int = 32, warm: int = 0, uses: float = inf,
    seconds_alive: float = inf, creations_per_second: float = inf,
) -> PoolKind:  # fmt: skip
    """Code rooms as a kind of the pool; whoever made the sandbox and the kernels closes them after the pool.

    Args:
        sandbox: of the run.
        folder: where rooms have their folders.
        kernels, fill: see `CodeRoom`.
        most, warm, uses, seconds_alive, creations_per_second: see `PoolKind`.
    """
    numbers = count()

    def make() -> CodeRoom:
        name = f"room-{next(numbers)}"
        return CodeRoom(sandbox, folder / name, name, kernels=kernels, fill=fill)

    return PoolKind(
        make, most=most, warm=warm, uses=uses, seconds_alive=seconds_alive, creations_per_second=creations_per_second,
        open_seconds=OPEN_SECONDS, reset_seconds=OPEN_SECONDS + PROBE_SECONDS, probe_seconds=2 * PROBE_SECONDS,
    )  # fmt: skip
