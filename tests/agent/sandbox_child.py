"""Runs a command and a kernel in sandboxes and is killed meanwhile: sandbox_child.py FOLDER MARK LOOP."""

import asyncio
import sys
from pathlib import Path

import uvloop

from manyeyes.agent.sandbox_probe import open_sandbox
from manyeyes.agent.sandbox_process import Room
from manyeyes.agent.tools.ipython_pool import KernelPool
from manyeyes.agent.workspace import Workspace


async def main(folder: Path, mark: str) -> None:
    sandbox = await open_sandbox()
    print(sandbox.folder, flush=True)
    workspace = Workspace.of(folder, "main/1")
    kernels = KernelPool(sandbox)
    start = f"import subprocess; subprocess.Popen({mark.split()}, start_new_session=True)"
    await kernels.execute("main/1", workspace, start, seconds=60, most=1000)
    command = f"setsid nohup {mark} >/dev/null 2>&1 & echo > /artefacts/started; {mark}; echo survived > /artefacts/end"
    await sandbox.run([sandbox.shell, "-c", command], Room(workspace, sandbox.exchange()), seconds=600)


if __name__ == "__main__":
    run = {"asyncio": asyncio.run, "uvloop": uvloop.run}[sys.argv[3]]
    run(main(Path(sys.argv[1]), sys.argv[2]))
