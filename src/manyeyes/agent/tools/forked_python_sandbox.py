"""`NestingSandbox`: a sandbox whose first program is ours and makes smaller sandboxes for the code of agents.

It may make mounts and process namespaces inside its own namespaces, which is the one capability it keeps, and it is not
behind Landlock and the filter of calls, which would refuse just that. Code of agents never runs in it: it runs in
children that have given up more than other code (see `forked_python_confined`).

Report: App. D (tools run in a sandbox).
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self

from manyeyes.agent.sandbox import Sandbox, SandboxUnavailable
from manyeyes.agent.sandbox_bwrap import ENTRY, Layers, entry_line
from manyeyes.agent.sandbox_cgroup import ControlGroups
from manyeyes.agent.sandbox_limits import SandboxLimits
from manyeyes.agent.sandbox_probe import Probe, open_sandbox
from manyeyes.agent.sandbox_process import Room

NESTS = ("--cap-add", "CAP_SYS_ADMIN")
"""In the user namespace of the sandbox alone: it is worth nothing outside, and children give it up."""

OF_A_USER = {
    "RLIMIT_SIGPENDING": 0, "RLIMIT_MEMLOCK": 0, "RLIMIT_MSGQUEUE": 0, "RLIMIT_RTPRIO": 0, "RLIMIT_NICE": 0,
}  # fmt: skip
"""What the kernel counts for all processes of a user together, so that a child has no need of it and no right to it;
and what a user may have been given, to go before all others of the machine."""


class NestingSandbox(Sandbox):
    """See the module; open one with `opened`.

    Args:
        layers: that children are held by.
        groups, limits: see `Sandbox`.
    """

    def __init__(self, layers: Layers, *, groups: ControlGroups | None, limits: SandboxLimits) -> None:
        super().__init__(replace(layers, landlock=0, calls=False), groups=groups, limits=limits)
        self._of_children = layers

    @classmethod
    async def opened(cls, limits: SandboxLimits, *, probed: Probe | None = None) -> Self:
        """A sandbox.

        Raises:
            SandboxUnavailable: none works here, or it could not hold children apart; the message says what to do.
        """
        tried = await open_sandbox(limits=limits, probed=probed)
        layers = tried.layers
        await tried.close()
        if not layers.calls:
            raise SandboxUnavailable(
                "forked Python needs the filter of system calls, which knows x86_64 and aarch64; use IPython's kernels"
            )
        groups = await asyncio.to_thread(ControlGroups.find) if layers.control_groups else None
        return cls(layers, groups=groups, limits=limits)

    def child(self, limits: SandboxLimits) -> dict[str, Any]:
        """What a child gives up, for `forked_python_confined.give_up`."""
        told = json.loads(entry_line("", ENTRY, self._of_children, limits, self.python)[-1])
        return {"rlimits": limits.of_a_process(memory=True) | OF_A_USER, "landlock": told["landlock"]}

    def _line(self, command: Sequence[str], room: Room, limits: SandboxLimits) -> list[str]:
        line = super()._line(command, room, limits)
        end = line.index("--")
        return [*line[:end], *NESTS, *line[end:]]
