"""What of a sandbox works on this machine, tried and not guessed; and `open_sandbox`, which takes what works.

Every program of bubblewrap that is found runs a real command behind all its layers. What fails is explained with the
line that mends it: bubblewrap's own messages name the kernel's refusal and not its reason.

Report: App. D (tools run in a sandbox).
"""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from manyeyes.agent.sandbox import PathTooLong, Sandbox, SandboxUnavailable
from manyeyes.agent.sandbox_bwrap import Layers, binaries
from manyeyes.agent.sandbox_cgroup import ControlGroups
from manyeyes.agent.sandbox_entry import knows_calls, landlock_version
from manyeyes.agent.sandbox_exchange import sweep_stale
from manyeyes.agent.sandbox_limits import SandboxLimits
from manyeyes.agent.sandbox_process import Room
from manyeyes.agent.workspace import Workspace

NEEDED_FLAGS = ("--disable-userns", "--size", "--die-with-parent", "--clearenv")
INSTALL = "pip install 'manyeyes[code]', or: sudo apt-get install bubblewrap"
TRIAL_SECONDS = 30.0
TRIAL = 'test "$(id -u)" = 65534 && test -w /workspace && ! test -e /etc/passwd && echo works'
"""What every sandbox must be able to do, and one thing that it must not."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What was found.

    Attributes:
        layers: what a sandbox can be made of; without bubblewrap there is none.
        version: of bubblewrap.
        problem: why there is no sandbox, or what is weaker than it could be; "" for nothing.
        fix: the line that mends it.
        at_hand: whether who asks can mend it at once, so that nobody need run code unprotected for it.
    """

    layers: Layers
    version: str = ""
    problem: str = ""
    fix: str = ""
    at_hand: bool = False

    @property
    def works(self) -> bool:
        """Whether code can run."""
        return self.layers.bwrap is not None

    @property
    def refusal(self) -> str:
        """Why no code is run, and what to do."""
        said = f"no sandbox works here, so code that a model writes is not run: {self.problem}. To mend it: {self.fix}"
        return said if self.at_hand else f"{said}. To run it unprotected, as you: --unsafe-no-sandbox"


async def open_sandbox(
    *, limits: SandboxLimits | None = None, unsafe: bool = False, at_once: int = 32, probed: Probe | None = None
) -> Sandbox:
    """The sandbox of a run; close it at the end.

    Args:
        limits: of every command.
        unsafe: run without any sandbox, although there may be one; the user has said so. Show `sandbox.UNSAFE`.
        at_once: commands under way.
        probed: what is known of this machine; found out when None.

    Raises:
        SandboxUnavailable: none works here; the message says what to do.
    """
    groups = await asyncio.to_thread(ControlGroups.find)
    if groups is not None:
        await asyncio.to_thread(groups.sweep_stale)
    await asyncio.to_thread(sweep_stale)
    version = "" if groups is None else groups.version
    if unsafe:
        return Sandbox(Layers(None, version), groups=groups, limits=limits, at_once=at_once)
    found = probed or await probe()
    if not found.works:
        raise SandboxUnavailable(found.refusal)
    layers = replace(found.layers, control_groups=version)
    return Sandbox(layers, groups=groups, limits=limits, at_once=at_once)


async def probe(candidates: Sequence[Path] | None = None) -> Probe:
    """Try what is here.

    Args:
        candidates: programs of bubblewrap; those of this machine when None.
    """
    if sys.platform != "linux":
        return Probe(Layers(None), problem=f"sandboxes need Linux, this is {sys.platform}", fix="use a Linux machine")
    groups = await asyncio.to_thread(ControlGroups.find)
    version, failures = "" if groups is None else groups.version, list[Probe]()
    for bwrap in binaries() if candidates is None else candidates:
        layers = Layers(bwrap, version, landlock_version(), knows_calls())
        tried = await _try(layers, groups)
        if tried.works:
            return tried
        failures.append(tried)
    if failures:
        return failures[0]
    return Probe(Layers(None, version, landlock_version()), problem="bubblewrap is not installed", fix=INSTALL)


async def _try(layers: Layers, groups: ControlGroups | None) -> Probe:
    assert layers.bwrap is not None
    none = replace(layers, bwrap=None)
    try:
        told = await asyncio.to_thread(_told, layers.bwrap)
    except OSError as error:
        return Probe(none, problem=f"{layers.bwrap} cannot be run: {error.strerror}", fix=INSTALL)
    version = told.splitlines()[0].split()[-1] if told else ""
    if lacking := [flag for flag in NEEDED_FLAGS if flag not in told]:
        problem = f"{layers.bwrap} is too old ({version}): it has no {', '.join(lacking)}"
        return Probe(none, version, problem, "pip install 'manyeyes[code]'")
    try:
        status, output = await _trial(layers, groups)
    except PathTooLong as error:
        return Probe(none, version, error.problem, error.fix, at_hand=True)
    if status == 0 and output == "works":
        return Probe(layers, version, *_weaker(layers))
    why = output.splitlines()[-1] if output else f"status {status}"
    return Probe(none, version, f"{layers.bwrap} does not work: {why}", mending(output))


def _told(bwrap: Path) -> str:
    """The program's version and help."""
    asked = [[str(bwrap), flag] for flag in ("--version", "--help")]
    done = [subprocess.run(line, capture_output=True, text=True, timeout=TRIAL_SECONDS) for line in asked]
    return done[0].stdout + done[1].stdout + done[1].stderr


async def _trial(layers: Layers, groups: ControlGroups | None) -> tuple[int, str]:
    folder = Path(tempfile.mkdtemp(prefix="eyes-"))
    sandbox = None
    try:
        sandbox = Sandbox(layers, groups=groups)
        room = Room(Workspace.of(folder, "trial"), sandbox.exchange())
        ran = await sandbox.run(["/bin/sh", "-c", TRIAL], room, seconds=TRIAL_SECONDS)
        return ran.status, ran.output.decode(errors="replace").strip()
    except PathTooLong:
        raise
    except (SandboxUnavailable, OSError) as error:
        return 1, str(error)
    finally:
        if sandbox is not None:
            await sandbox.close()
        await asyncio.to_thread(shutil.rmtree, folder, True)


def _weaker(layers: Layers) -> tuple[str, str]:
    """What is weaker than it could be, and what mends it. The kernel limits the processes of everybody but root."""
    if layers.control_groups:
        return "", ""
    counted = "memory and processes of a command are" if os.geteuid() == 0 else "memory of a command as a whole is"
    problem = f"no control groups can be made here: {counted} counted four times a second, not held by the kernel"
    return problem, "systemd-run --user --scope -p Delegate=yes manyeyes ..."


def mending(said: str, *, proc: Path = Path("/proc/sys")) -> str:
    """The line that lets bubblewrap work here.

    Args:
        said: its output.
        proc: where the kernel's settings are.
    """
    if _setting(proc / "user/max_user_namespaces") == "0":
        return "sudo sysctl user.max_user_namespaces=28633"
    if _setting(proc / "kernel/unprivileged_userns_clone") == "0":
        return "sudo sysctl kernel.unprivileged_userns_clone=1"
    if _setting(proc / "kernel/apparmor_restrict_unprivileged_userns") == "1":
        return (
            "sudo apt-get install bubblewrap apparmor-profiles && "
            "sudo ln -s /usr/share/apparmor/extra-profiles/bwrap-userns-restrict /etc/apparmor.d/ && "
            "sudo systemctl reload apparmor"
            ", or for all programs: sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0"
        )
    if any(words in said for words in ("proc on", "Operation not permitted", "namespace", "uid map", "pivot_root")):
        return (
            "in a container, start it with: docker run --security-opt seccomp=unconfined "
            "--security-opt apparmor=unconfined --security-opt systempaths=unconfined ..."
        )
    return INSTALL


def _setting(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""
