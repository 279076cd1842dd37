"""`SharedSandbox`: one sandbox for all attempts of an environment, opened by whoever comes first; a folder for each.

Report: App. D (toolsets in sandboxes).
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from manyeyes.agent.sandbox import Sandbox
from manyeyes.agent.sandbox_exchange import remove_tree
from manyeyes.agent.sandbox_limits import SandboxLimits
from manyeyes.agent.sandbox_probe import open_sandbox
from manyeyes.agent.tools.ipython_pool import KernelPool
from manyeyes.agent.workspace import Workspace

PREFIX = "manyeyes-attempt-"


class SharedSandbox:
    """See the module; whoever made it closes it.

    Args:
        limits: of every command.
        kernels: Python kernels that live at once; more agents than that take turns and lose their variables.
        folder: where attempts have their folders; the system's for temporary files when None.
        unsafe: run without a sandbox where none works; see `manyeyes.agent.sandbox.UNSAFE`.
    """

    def __init__(
        self, *, limits: SandboxLimits | None = None, kernels: int = 32, folder: Path | None = None,
        unsafe: bool = False,
    ) -> None:  # fmt: skip
        self.limits, self.folder, self.unsafe, self._most = limits or SandboxLimits(), folder, unsafe, kernels
        self._opening = asyncio.Lock()
        self._sandbox: Sandbox | None = None
        self._kernels: KernelPool | None = None

    async def sandbox(self) -> Sandbox:
        """The sandbox.

        Raises:
            SandboxUnavailable: none works here, and what to do about it.
        """
        async with self._opening:
            if self._sandbox is None:
                self._sandbox = await open_sandbox(limits=self.limits, unsafe=self.unsafe)
            return self._sandbox

    async def kernels(self) -> KernelPool:
        """Its Python kernels.

        Raises:
            SandboxUnavailable: no sandbox works here.
            ConfigError: ipykernel or jupyter_client is not installed.
        """
        sandbox = await self.sandbox()
        if self._kernels is None:
            self._kernels = KernelPool(sandbox, most=self._most)
        return self._kernels

    async def furnished(self, fill: Callable[[Workspace], None]) -> "Furnished":
        """New folders with what an attempt needs in them; `fill` runs in a thread."""
        made = Furnished(Path(await asyncio.to_thread(tempfile.mkdtemp, prefix=PREFIX, dir=self.folder)))
        try:
            await asyncio.to_thread(made.furnish, fill)
        except BaseException:
            await made.remove()
            raise
        return made

    @asynccontextmanager
    async def lent(self, fill: Callable[[Workspace], None]) -> AsyncIterator[Workspace]:
        """The same for as long as a block lasts."""
        made = await self.furnished(fill)
        try:
            yield made.workspace
        finally:
            await asyncio.shield(asyncio.ensure_future(made.remove()))

    async def close(self) -> None:
        """End all that runs in it; may be called again, and it opens anew for who comes later."""
        async with self._opening:
            kernels, self._kernels = self._kernels, None
            sandbox, self._sandbox = self._sandbox, None
            if kernels is not None:
                await kernels.close()
            if sandbox is not None:
                await sandbox.close()


class Furnished:
    """The folders of one attempt."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.workspace = Workspace(folder / "inputs", folder / "artefacts", folder / "work")

    def furnish(self, fill: Callable[[Workspace], None]) -> None:
        """Make them."""
        for folder in (self.workspace.inputs, self.workspace.artefacts, self.workspace.work):
            folder.mkdir(parents=True, exist_ok=True)
        fill(self.workspace)

    async def remove(self) -> None:
        """Remove them and whatever was left there."""
        await asyncio.to_thread(remove_tree, self.folder)
