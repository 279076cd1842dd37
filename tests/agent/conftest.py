"""A sandbox for tests: skipped by name where none works, failed in CI, whose machines have one."""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from manyeyes.agent.sandbox_limits import SandboxLimits
from manyeyes.agent.sandbox_probe import Probe, open_sandbox, probe
from manyeyes.agent.sandbox_process import Ran, Room
from manyeyes.agent.workspace import Workspace


@pytest.fixture(scope="session")
def probed() -> Probe:
    """What a sandbox can be made of here."""
    found = asyncio.run(probe())
    if not found.works:
        why = f"needs bubblewrap: {found.problem}; {found.fix}"
        pytest.fail(why) if os.environ.get("CI") == "true" else pytest.skip(why)
    return found


@dataclass
class Inside:
    """Runs single commands in sandboxes of one run's folder."""

    probed: Probe
    run: Path

    @property
    def workspace(self) -> Workspace:
        return Workspace.of(self.run, "main/1")

    def __call__(self, command: str | Sequence[str], *, seconds: float = 60.0, **limits: float) -> Ran:
        return asyncio.run(self._run(command, seconds, SandboxLimits(**limits)))  # pyright: ignore[reportArgumentType]

    def python(self, code: str, *, seconds: float = 60.0, **limits: float) -> Ran:
        return self(["python", "-c", code], seconds=seconds, **limits)

    async def _run(self, command: str | Sequence[str], seconds: float, limits: SandboxLimits) -> Ran:
        sandbox = await open_sandbox(limits=limits, probed=self.probed)
        try:
            line = [sandbox.shell, "-c", command] if isinstance(command, str) else command
            return await sandbox.run(line, Room(self.workspace, sandbox.exchange()), seconds=seconds)
        finally:
            await sandbox.close()


@pytest.fixture(params=["all layers", "namespaces alone"])
def inside(probed: Probe, tmp_path: Path, request: pytest.FixtureRequest) -> Inside:
    """Attacks must fail with every layer, and without the second lines, which could hide a hole in the first."""
    if request.param == "namespaces alone":
        probed = replace(probed, layers=replace(probed.layers, landlock=0, calls=False))
    return Inside(probed, tmp_path / "run")


@pytest.fixture
def bounded(probed: Probe, tmp_path: Path) -> Inside:
    """For attacks on limits, which no second line holds."""
    return Inside(probed, tmp_path / "run")
