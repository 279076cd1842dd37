"""The Python that runs this program, as a sandbox shows it: with its packages, wherever on this machine they are.

    /usr/...            there anyway
    an own installation at its own place, read-only; at /python where that place is taken
    its environment     at /venv, with a pyvenv.cfg that says where the installation is inside
    other packages      at /packages/<n>, such as those of a user
    this program        not at all: it holds what its own tasks ask for

Report: App. D (tools run in a sandbox).
"""

import os
import site
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import manyeyes
from manyeyes.agent.workspace import ARTEFACTS, INPUTS, WORK

VENV, PACKAGES, PYTHON = "/venv", "/packages", "/python"
_PYTHON_FOLDERS = ("bin", "lib", "lib64", "include", "share")
_TAKEN = (WORK, ARTEFACTS, INPUTS, VENV, PACKAGES, PYTHON, "/tmp", "/proc", "/dev", "/run", "/etc")


@dataclass(frozen=True, slots=True)
class InsidePython:
    """The Python that runs this program, as a sandbox shows it.

    Attributes:
        command: inside, what starts it.
        mounts: (here, inside), read-only.
        links: (target, inside).
        paths: folders of packages inside, for PYTHONPATH.
        library: inside, where its shared library is, when it was moved.
        hidden: folders inside that are shown empty.
    """

    command: str
    mounts: tuple[tuple[Path, str], ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    paths: tuple[str, ...] = ()
    library: str = ""
    hidden: tuple[str, ...] = ()

    @property
    def env(self) -> dict[str, str]:
        """What it must be told."""
        found = {"PYTHONPATH": ":".join(self.paths)} if self.paths else {}
        return found | ({"LD_LIBRARY_PATH": self.library} if self.library else {})


def inside_python(
    executable: Path, base: Path, prefix: Path, packages: Sequence[Path], *, settings: Path, program: Path
) -> InsidePython:
    """How a Python looks inside.

    Args:
        executable: of the installation, no link.
        base: the installation's folder.
        prefix: the virtual environment, or `base` again.
        packages: further folders of packages.
        settings: a pyvenv.cfg that says where the installation is inside.
        program: folder of this package, which code inside must not read.
    """
    mounts = []
    shown, library = executable, ""
    if not executable.is_relative_to("/usr"):
        moved = any(base.is_relative_to(taken) for taken in _TAKEN)
        place = Path(PYTHON) if moved else base
        library = str(place / "lib") if moved else ""
        mounts += [(base / name, str(place / name)) for name in _PYTHON_FOLDERS if (base / name).is_dir()]
        shown = place / executable.relative_to(base)
    command = f"{VENV}/bin/python"
    links = [(str(shown), command), ("python", f"{VENV}/bin/python3")]
    if prefix != base:
        mounts += [(prefix / "lib", f"{VENV}/lib"), (settings, f"{VENV}/pyvenv.cfg")]
        links.append(("lib", f"{VENV}/lib64"))
        settings.write_text(f"home = {shown.parent}\n{_system_packages(prefix)}", encoding="utf-8")
    paths = [f"{PACKAGES}/{number}" for number in range(len(packages))]
    mounts += zip(packages, paths, strict=True)
    shown_at = [(Path("/usr"), "/usr"), *((Path(os.path.realpath(here)), place) for here, place in mounts)]
    hidden = [str(Path(at, program.relative_to(here))) for here, at in shown_at if program.is_relative_to(here)]
    return InsidePython(command, tuple(mounts), tuple(links), tuple(paths), library, tuple(hidden))


def this_python(settings: Path) -> InsidePython:
    """The Python that runs us. Raises FileNotFoundError when it cannot be found on disk."""
    executable = Path(getattr(sys, "_base_executable", "") or sys.executable).resolve(strict=True)
    base, prefix = Path(sys.base_prefix).resolve(), Path(sys.prefix).resolve()
    if not executable.is_relative_to(base) and not executable.is_relative_to("/usr"):
        base = executable.parent.parent
    packages, program = list(_other_packages(base, prefix)), Path(manyeyes.__file__).resolve().parent
    return inside_python(executable, base, prefix, packages, settings=settings, program=program)


def _other_packages(base: Path, prefix: Path) -> Iterator[Path]:
    """Folders of packages outside the installation and the environment, such as those of a user."""
    seen = {base, prefix, Path("/usr")}
    for entry in [*sys.path, site.getusersitepackages() if site.ENABLE_USER_SITE else ""]:
        path = Path(os.path.realpath(entry)) if entry else base
        if path.name in ("site-packages", "dist-packages") and os.access(path, os.R_OK | os.X_OK):
            if not any(path.is_relative_to(known) for known in seen):
                seen.add(path)
                yield path


def _system_packages(prefix: Path) -> str:
    try:
        lines = (prefix / "pyvenv.cfg").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return "".join(f"{line}\n" for line in lines if line.lower().startswith("include-system-site-packages"))
