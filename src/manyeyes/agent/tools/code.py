"""`code_tools`: shell and IPython as one toolset of one agent.

    sandbox = await open_sandbox()                                        one for a run
    kernels = KernelPool(sandbox)                                         likewise
    Environment(lambda ctx: code_tools(sandbox, workspace, ctx, kernels=kernels))

Report: App. D, E.8.
"""

from collections.abc import Sequence

from manyeyes.agent.environment import Ctx
from manyeyes.agent.sandbox import Sandbox
from manyeyes.agent.tools.ipython import IPython
from manyeyes.agent.tools.ipython_pool import KernelPool
from manyeyes.agent.tools.shell import Shell
from manyeyes.agent.toolset import Together, ToolResult
from manyeyes.agent.workspace import Workspace
from manyeyes.core.messages import Tool, ToolCall


class CodeTools:
    """`shell`, and `ipython` where there are kernels. Neither may be called again when its end is unknown."""

    def __init__(self, shell: Shell, ipython: IPython | None) -> None:
        self._ipython = ipython
        self._functions = Together(shell.functions(), *([ipython.functions()] if ipython else []))
        self.repeatable = self._functions.repeatable

    @property
    def tools(self) -> Sequence[Tool]:
        """See `Toolset.tools`."""
        return self._functions.tools

    async def open(self) -> None:
        """Nothing to get ready: a kernel starts with its first call."""

    async def close(self) -> None:
        """End the agent's kernel."""
        if self._ipython is not None:
            await self._ipython.close()

    async def call(self, call: ToolCall) -> ToolResult:
        """See `Toolset.call`."""
        return await self._functions.call(call)


def code_tools(sandbox: Sandbox, workspace: Workspace, ctx: Ctx, *, kernels: KernelPool | None = None) -> CodeTools:
    """The code tools of an agent; an interrupted one finds its folder and variables of the shell again.

    Args:
        sandbox: of the run.
        workspace: of the agent.
        ctx: of the agent.
        kernels: of the run; without them there is no `ipython`.
    """
    ipython = None if kernels is None else IPython(kernels, workspace, ctx.agent, ctx.noted)
    return CodeTools(Shell(sandbox, workspace, ctx.noted), ipython)
