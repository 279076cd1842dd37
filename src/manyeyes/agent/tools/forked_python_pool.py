"""`ForkedPythons`: Python for many agents: one warm process forks a child for each; about 13 ms of processor time.

    pythons = ForkedPythons()                 one for an environment; starts nothing
    child = await pythons.fork()              starts the warm process where there is none
    await pythons.end(child)
    await pythons.close()

A kernel of IPython costs half a second, which training cannot pay for every attempt. The warm process is started again
when it has died; what its children held is lost, as with a kernel that dies.

Report: App. D (tools: stateful IPython), sized for reinforcement learning.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from manyeyes.agent.sandbox_limits import GIB, MIB, SandboxLimits
from manyeyes.agent.sandbox_probe import Probe
from manyeyes.agent.tools.forked_python_child import Child
from manyeyes.agent.tools.forked_python_process import WarmPython
from manyeyes.agent.tools.forked_python_sandbox import NestingSandbox
from manyeyes.core.errors import ConfigError

CHILD = SandboxLimits(
    memory=256 * MIB, processes=1, cpu_seconds=60, seconds=10.0, output_bytes=65_536, file_bytes=16 * MIB,
    open_files=64, tmp_bytes=16 * MIB,
)  # fmt: skip
"""Of one child: `memory` beyond what it has from the warm process, `seconds` of a call, `tmp_bytes` in each folder."""
TOGETHER = 4 * GIB
"""Bytes of memory of all children."""
FOREVER = 10**9
"""Seconds of processor that the warm process may use: it lives as long as the run."""
GONE_SECONDS = 5.0
MODULES: Mapping[str, str] = MappingProxyType({"np": "numpy", "Image": "PIL.Image", "ndimage": "scipy.ndimage"})
"""What code finds imported, by its name there."""
WARM_UP = """
import io
Image.init()
file = io.BytesIO()
Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(file, "PNG")
picture = np.array(Image.open(file).convert("RGB"))
repr((ndimage.label(picture[..., 0] > 0), picture.mean(axis=(0, 1))))
"""
"""Run once, before there are children: what it makes Python load, they need not."""


@dataclass(slots=True)
class ForkedCounts:
    """What happened so far.

    Attributes:
        started: warm processes; more than one means that one died.
        children: forked.
        calls: of code.
        died, timeouts, too_much: calls that ended so.
    """

    started: int = 0
    children: int = 0
    calls: int = 0
    died: int = 0
    timeouts: int = 0
    too_much: int = 0

    def note(self, status: str) -> None:
        """One more call, with its end."""
        self.calls += 1
        self.died += status == "died"
        self.timeouts += status == "timeout"
        self.too_much += status == "too_much"


class ForkedPythons:
    """See the module; whoever made it closes it.

    Args:
        child: limits of each child.
        most: children alive at once; who needs one more waits.
        idle_seconds: after which a child that is not used is ended.
        modules: what code finds imported: its name there, and the module.
        warm_up: code that the warm process runs once with these.
        probed: what is known of this machine; found out when None.

    Raises:
        ConfigError: `most` is below 1.
    """

    def __init__(
        self, *, child: SandboxLimits = CHILD, most: int = 128, idle_seconds: float = 900.0,
        modules: Mapping[str, str] = MODULES, warm_up: str = WARM_UP, probed: Probe | None = None,
    ) -> None:  # fmt: skip
        if most < 1:
            raise ConfigError(f"a warm Python needs at least one child at once, got most={most}")
        self.limits, self.most, self.idle_seconds, self.counts = child, most, idle_seconds, ForkedCounts()
        self._modules, self._warm_up, self._probed = modules, warm_up, probed
        self._together = SandboxLimits(memory=TOGETHER, processes=most + 16, cpu_seconds=FOREVER)
        self._opening = asyncio.Lock()
        self._slots = asyncio.Semaphore(most)
        self._sandbox: NestingSandbox | None = None
        self._warm: WarmPython | None = None
        self._alive: set[Child] = set()

    @property
    def alive(self) -> int:
        """Children now."""
        return len(self._alive)

    async def fork(self) -> Child:
        """A child; end it with `end`.

        Raises:
            SandboxUnavailable: no sandbox works here, or the warm process did not start.
        """
        await self._slots.acquire()
        try:
            child = await (await self._ready()).fork()
        except BaseException:
            self._slots.release()
            raise
        self.counts.children += 1
        self._alive.add(child)
        return child

    async def end(self, child: Child) -> None:
        """End a child; returns when it is gone. It may be called again."""
        if child in self._alive:
            self._alive.remove(child)
            try:
                if not await child.end(seconds=GONE_SECONDS) and self._warm is not None:
                    self._warm.end("it did not end a child")
            finally:
                self._slots.release()

    async def close(self) -> None:
        """End all; may be called again, and it starts anew for who comes later."""
        async with self._opening:
            await asyncio.gather(*(self.end(child) for child in tuple(self._alive)))
            warm, self._warm = self._warm, None
            sandbox, self._sandbox = self._sandbox, None
            if warm is not None:
                await warm.kill()
            if sandbox is not None:
                await sandbox.close()
        # Whoever comes later may come with another event loop.
        self._opening, self._slots = asyncio.Lock(), asyncio.Semaphore(self.most)

    async def _ready(self) -> WarmPython:
        async with self._opening:
            if self._warm is not None and not self._warm.alive:
                gone, self._warm = self._warm, None
                await gone.kill()
            if self._sandbox is None:
                self._sandbox = await NestingSandbox.opened(self._together, probed=self._probed)
            if self._warm is None:
                self._warm = await WarmPython.start(
                    self._sandbox, modules=self._modules, warm_up=self._warm_up, child=self.limits,
                    limits=self._together,
                )  # fmt: skip
                self.counts.started += 1
            return self._warm
