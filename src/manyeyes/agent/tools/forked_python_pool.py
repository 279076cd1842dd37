"""`ForkedPythons`: Python for many agents: one warm process forks a child for each; about 9 ms of processor time.

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

from manyeyes.agent.sandbox import SandboxUnavailable
from manyeyes.agent.sandbox_limits import GIB, MIB, SandboxLimits
from manyeyes.agent.sandbox_probe import Probe
from manyeyes.agent.tools.forked_python_child import Child
from manyeyes.agent.tools.forked_python_places import CLOSED, LetGo, Places
from manyeyes.agent.tools.forked_python_process import WarmPython
from manyeyes.agent.tools.forked_python_sandbox import NestingSandbox
from manyeyes.core.errors import ConfigError

CHILD = SandboxLimits(
    memory=256 * MIB, processes=1, cpu_seconds=60, seconds=10.0, output_bytes=65_536, file_bytes=16 * MIB,
    open_files=24, tmp_bytes=16 * MIB,
)  # fmt: skip
"""Of one child: `memory` beyond what it has from the warm process, `seconds` of a call, `tmp_bytes` in each folder."""
TOGETHER = 4 * GIB
"""Bytes of memory of all children."""
FOREVER = 10**9
"""Seconds of processor that the warm process may use: it lives as long as the run."""
GONE_SECONDS = 5.0
AGAIN_SECONDS = 1.0
"""After a start that failed, before the next one: agents that waited for it share its failure, and do not each try in
turn. Shorter than the pauses before attempts are made again, which would all fail in a longer one."""
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
        patience: seconds of waiting after which one that has rested as long makes room; see `Places`.
        modules: what code finds imported: its name there, and the module.
        warm_up: code that the warm process runs once with these.
        probed: what is known of this machine; found out when None.

    Raises:
        ConfigError: `most` is below 1.
    """

    def __init__(
        self, *, child: SandboxLimits = CHILD, most: int = 128, idle_seconds: float = 900.0, patience: float = 30.0,
        modules: Mapping[str, str] = MODULES, warm_up: str = WARM_UP, probed: Probe | None = None,
    ) -> None:  # fmt: skip
        if most < 1:
            raise ConfigError(f"a warm Python needs at least one child at once, got most={most}")
        self.limits, self.most, self.idle_seconds, self.counts = child, most, idle_seconds, ForkedCounts()
        self._patience = patience
        self._modules, self._warm_up, self._probed = modules, warm_up, probed
        self._together = SandboxLimits(memory=TOGETHER, processes=most + 16, cpu_seconds=FOREVER)
        self._opening = asyncio.Lock()
        self._places = self._new_places()
        self._sandbox: NestingSandbox | None = None
        self._warm: WarmPython | None = None
        self._alive: dict[Child, Places] = {}
        self._failed: tuple[float, str] | None = None

    @property
    def alive(self) -> int:
        """Children now."""
        return len(self._alive)

    async def fork(self) -> Child:
        """A child; end it with `end`.

        Raises:
            SandboxUnavailable: no sandbox works here, or the warm process did not start, or all was closed meanwhile.
        """
        places = self._places
        await places.take()
        try:
            child = await (await self._ready(places)).fork()
        except BaseException:
            places.give_back()
            raise
        self.counts.children += 1
        self._alive[child] = places
        return child

    def rest(self, child: Child, let_go: LetGo) -> None:
        """An agent does not use its child for now."""
        if (places := self._alive.get(child)) is not None:
            places.rest(child, let_go)

    def wake(self, child: Child) -> None:
        """It does again."""
        if (places := self._alive.get(child)) is not None:
            places.wake(child)

    async def end(self, child: Child) -> None:
        """End a child; returns when it is gone. It may be called again."""
        if (places := self._alive.pop(child, None)) is not None:
            try:
                if not await child.end(seconds=GONE_SECONDS) and self._warm is not None:
                    self._warm.end("it did not end a child")
            finally:
                places.leave(child)

    async def close(self) -> None:
        """End all; may be called again, and it starts anew for who comes later."""
        async with self._opening:
            self._places.close()
            await asyncio.gather(*(self.end(child) for child in tuple(self._alive)))
            warm, self._warm = self._warm, None
            sandbox, self._sandbox = self._sandbox, None
            if warm is not None:
                await warm.kill()
            if sandbox is not None:
                await sandbox.close()
            # Whoever comes later may come with another event loop.
            self._opening, self._places, self._failed = asyncio.Lock(), self._new_places(), None

    def _new_places(self) -> Places:
        return Places(self.most, idle_seconds=self.idle_seconds, patience=self._patience)

    async def _ready(self, places: Places) -> WarmPython:
        async with self._opening:
            if places is not self._places:
                raise SandboxUnavailable(CLOSED)
            now = asyncio.get_running_loop().time()
            if self._failed is not None and now < self._failed[0]:
                raise SandboxUnavailable(self._failed[1])
            try:
                return await self._started()
            except SandboxUnavailable as error:
                self._failed = asyncio.get_running_loop().time() + AGAIN_SECONDS, str(error)
                raise

    async def _started(self) -> WarmPython:
        """The warm process, started where there is none that lives. Raises SandboxUnavailable."""
        if self._warm is not None and not self._warm.alive:
            gone, self._warm = self._warm, None
            await gone.kill()
        if self._sandbox is None:
            self._sandbox = await NestingSandbox.opened(self._together, probed=self._probed)
        if self._warm is None:
            self._warm = await WarmPython.start(
                self._sandbox, modules=self._modules, warm_up=self._warm_up, child=self.limits, limits=self._together
            )
            self.counts.started += 1
        return self._warm
