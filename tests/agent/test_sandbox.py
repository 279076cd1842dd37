"""The life of commands in a sandbox, its limits, and what is refused where it does not work."""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy
import pytest
import uvloop

from manyeyes.agent import sandbox_entry
from manyeyes.agent.sandbox import Sandbox, SandboxUnavailable
from manyeyes.agent.sandbox_bwrap import Layers, binaries
from manyeyes.agent.sandbox_cgroup import ControlGroups
from manyeyes.agent.sandbox_exchange import sweep_stale
from manyeyes.agent.sandbox_limits import SandboxLimits
from manyeyes.agent.sandbox_probe import Probe, mending, open_sandbox, probe
from manyeyes.agent.sandbox_process import Ran, Room
from manyeyes.agent.sandbox_python import inside_python
from manyeyes.agent.workspace import Workspace
from manyeyes.core.errors import ConfigError

LOOPS = {"asyncio": asyncio.run, "uvloop": uvloop.run}
KILLED_SECONDS = 2.0


def processes_with(mark: str) -> list[int]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        found += [int(process.name)] if line.strip() == mark else []
    return found


def until(true, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


async def ran(sandbox: Sandbox, run: Path, command: str, **options) -> Ran:
    room = Room(Workspace.of(run, "main/1"), sandbox.exchange())
    return await sandbox.run([sandbox.shell, "-c", command], room, **options)


def test_where_temporary_files_are_too_deep_that_is_said_and_nothing_else_advised(
    probed, tmp_path, monkeypatch
) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    found = asyncio.run(probe())
    assert not found.works and found.fix.startswith("set TMPDIR")
    with pytest.raises(SandboxUnavailable, match="too long a path for sockets.*set TMPDIR to a shorter folder") as told:
        asyncio.run(open_sandbox(probed=found))
    assert "pip install" not in str(told.value) and "unsafe" not in str(told.value)
    assert list(deep.iterdir()) == []


def test_every_program_of_bubblewrap_here_works(probed) -> None:
    found = {path: asyncio.run(probe([path])) for path in binaries()}
    assert probed.layers.bwrap in found
    assert all(one.works for one in found.values()), found


@pytest.mark.parametrize("loop", LOOPS)
def test_status_output_and_errors_come_back(probed, tmp_path, loop) -> None:
    async def go() -> tuple[Ran, ...]:
        sandbox = await open_sandbox(probed=probed)
        try:
            good = await ran(sandbox, tmp_path, "echo out; echo err >&2; exit 3")
            signalled = await ran(sandbox, tmp_path, "kill -9 $$")
            missing = await sandbox.run(["/no/such"], Room(Workspace.of(tmp_path, "main"), sandbox.exchange()))
            late = await ran(sandbox, tmp_path, "echo early; sleep 60", seconds=0.5)
            return good, signalled, missing, late
        finally:
            await sandbox.close()

    good, signalled, missing, late = LOOPS[loop](go())
    assert good == Ran(3, b"out\nerr\n") and signalled.status == 137
    assert missing.status == 127 and b"No such file" in missing.output
    assert late.timed_out and late.output == b"early\n" and "longer than 0.5 s" in late.stopped


def test_the_python_that_runs_us_works_inside_with_its_packages(probed, tmp_path) -> None:
    async def go() -> Ran:
        sandbox = await open_sandbox(probed=probed)
        try:
            code = "import numpy, PIL.Image, av, msgspec, sys, os; print(*sys.version_info[:2], os.getcwd())"
            return await ran(sandbox, tmp_path, f"python -c '{code}'")
        finally:
            await sandbox.close()

    assert asyncio.run(go()).output.decode().split() == [*map(str, sys.version_info[:2]), "/workspace"]


@pytest.mark.parametrize("loop", LOOPS)
def test_cancelled_commands_are_gone(probed, tmp_path, loop) -> None:
    mark = f"sleep 65432.{os.getpid()}"

    async def go() -> float:
        sandbox = await open_sandbox(probed=probed)
        run = Workspace.of(tmp_path, "main/1")
        command = f"setsid nohup {mark} > /dev/null 2>&1 & echo > /artefacts/started; trap '' TERM INT; {mark}"
        tasks = [asyncio.create_task(ran(sandbox, tmp_path, command)) for _ in range(4)]
        while not (run.artefacts / "started").exists() or len(processes_with(mark)) < 8:
            await asyncio.sleep(0.02)
        began = time.monotonic()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        took = time.monotonic() - began
        assert processes_with(mark) == [] and all(task.cancelled() for task in tasks)
        await sandbox.close()
        assert not sandbox.folder.exists()
        return took

    assert LOOPS[loop](go()) < KILLED_SECONDS


def test_a_command_cancelled_while_it_starts_is_gone(probed, tmp_path) -> None:
    mark = f"sleep 76543.{os.getpid()}"

    async def go() -> None:
        sandbox = await open_sandbox(probed=probed)
        for turns in range(12):
            task = asyncio.create_task(ran(sandbox, tmp_path, mark))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert processes_with(mark) == []
        await sandbox.close()

    asyncio.run(go())


@pytest.mark.parametrize("loop", LOOPS)
def test_nothing_is_left_after_kill_9(probed, tmp_path, loop) -> None:
    pytest.importorskip("ipykernel")
    mark = f"sleep 87654.{os.getpid()}"
    script = Path(__file__).with_name("sandbox_child.py")
    child = subprocess.Popen([sys.executable, script, tmp_path / "run", mark, loop], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    folder = child.stdout.readline().strip()
    try:
        assert until(lambda: len(processes_with(mark)) == 3, 60)
        inside = len([name for name in processes_under(child.pid)])
        assert inside > 3
        left = [Path(folder), *groups_of(child.pid)]
        assert all(path.is_dir() for path in left)
        child.kill()
        child.wait()
        assert until(lambda: processes_with(mark) == [], KILLED_SECONDS)
        assert not (tmp_path / "run/artefacts/end").exists()
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    asyncio.run(opened_and_closed(probed))  # the next run clears away what is left
    assert not any(path.exists() for path in left)


async def opened_and_closed(probed) -> None:
    await (await open_sandbox(probed=probed)).close()


def groups_of(process: int) -> list[Path]:
    """Folders of control groups that a process has made."""
    found = ControlGroups.find()
    return [] if found is None else [top for parent in found._parents for top in parent.glob(f"manyeyes-{process}-*")]


def processes_under(process: int) -> list[int]:
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:
        return []
    return [*map(int, children), *(below for child in children for below in processes_under(int(child)))]


def test_who_is_killed_before_the_sandbox_stands_leaves_nothing(probed, tmp_path) -> None:
    """The entry program ends when the other end of its input is closed: nobody waits for it."""
    line = [sys.executable, "-I", "-S", sandbox_entry.__file__, '{"rlimits": {}, "landlock": null, "calls": false}']
    reader, writer = os.pipe()
    alive = subprocess.run([*line, "cat"], stdin=reader, capture_output=True, timeout=60)
    os.close(writer)
    orphan = subprocess.run([*line, "echo", "ran"], stdin=reader, capture_output=True, timeout=60)
    os.close(reader)
    assert alive.returncode == 0 and orphan.returncode == 125 and orphan.stdout == b""


def test_what_a_living_run_needs_is_not_swept(probed) -> None:
    async def go() -> None:
        sandbox = await open_sandbox(probed=probed)
        other = await open_sandbox(probed=probed)
        sweep_stale()
        assert sandbox.folder.is_dir() and other.folder.is_dir()
        await sandbox.close()
        await other.close()
        assert not sandbox.folder.exists()

    asyncio.run(go())


def test_open_files_do_not_grow_with_commands(probed, tmp_path) -> None:
    async def go() -> tuple[int, int]:
        sandbox = await open_sandbox(probed=probed, limits=SandboxLimits(output_bytes=1000))
        await ran(sandbox, tmp_path, "yes")
        before = len(os.listdir("/proc/self/fd"))
        for command in ("yes", "sleep 60", "true") * 2:
            await ran(sandbox, tmp_path, command, seconds=0.2)
        await asyncio.sleep(0)
        after = len(os.listdir("/proc/self/fd"))
        await sandbox.close()
        return before, after

    before, after = asyncio.run(go())
    assert after <= before


def test_without_control_groups_processes_and_memory_are_counted(probed, tmp_path) -> None:
    layers = replace(probed.layers, control_groups="")

    async def go() -> tuple[Ran, Ran]:
        sandbox = Sandbox(layers, limits=SandboxLimits(processes=40, memory=2**30))
        try:
            bomb = await ran(sandbox, tmp_path, "for i in $(seq 60); do sleep 30 & done; wait", seconds=20)
            hold = "import time; b = b'x' * (400 << 20); time.sleep(20)"
            hog = await ran(sandbox, tmp_path, f'for i in 1 2 3 4; do python -c "{hold}" & done; wait', seconds=20)
            return bomb, hog
        finally:
            await sandbox.close()

    bomb, hog = asyncio.run(go())
    # The kernel holds the number of processes of everybody but root.
    assert "more than 40 processes" in bomb.stopped or b"Resource temporarily unavailable" in bomb.output
    assert "of memory" in hog.stopped and not hog.timed_out


def test_limits_of_processes_cannot_be_raised(probed, tmp_path) -> None:
    async def go() -> Ran:
        sandbox = await open_sandbox(probed=probed, limits=SandboxLimits(open_files=64, file_bytes=2**20))
        try:
            return await ran(sandbox, tmp_path, "ulimit -n; ulimit -n 128 || echo kept; ulimit -c; ulimit -f unlimited")
        finally:
            await sandbox.close()

    lines = asyncio.run(go()).output.decode().splitlines()
    assert lines[0] == "64" and "kept" in lines and "0" in lines and "not permitted" in lines[-1].lower()


def test_limits_must_be_above_zero() -> None:
    with pytest.raises(ConfigError, match="memory must be above 0"):
        SandboxLimits(memory=0)


def test_what_is_full_already_may_shrink_but_not_grow(probed, tmp_path) -> None:
    (Workspace.of(tmp_path, "main/1").work / "old").write_bytes(b"x" * (8 << 20))

    async def go() -> tuple[Ran, Ran]:
        sandbox = await open_sandbox(probed=probed, limits=SandboxLimits(work_bytes=4 << 20))
        try:
            more = await ran(sandbox, tmp_path, "sleep 0.4; head -c 8M /dev/zero > new; sleep 20", seconds=20)
            less = await ran(sandbox, tmp_path, "rm -f new; sleep 0.6; rm old; echo tidied")
            return more, less
        finally:
            await sandbox.close()

    more, less = asyncio.run(go())
    assert "/workspace holds" in more.stopped and less == Ran(0, b"tidied\n")


def test_no_sandbox_is_refused_with_what_to_do(tmp_path) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\ncase $1 in --version) echo bubblewrap 0.11.0;; --help) echo "
                      "--disable-userns --size --die-with-parent --clearenv;; *) "
                      "echo 'bwrap: setting up uid map: Permission denied' >&2; exit 1;; esac\n")  # fmt: skip
    broken.chmod(0o755)
    old = tmp_path / "old"
    old.write_text("#!/bin/sh\necho bubblewrap 0.4.1\n")
    old.chmod(0o755)

    async def refused(candidates: list[Path]) -> tuple[Probe, str]:
        found = await probe(candidates)
        with pytest.raises(SandboxUnavailable) as error:
            await open_sandbox(probed=found)
        return found, str(error.value)

    none, why_none = asyncio.run(refused([]))
    assert "not installed" in none.problem and "apt-get install bubblewrap" in why_none
    failing, why = asyncio.run(refused([broken]))
    assert "uid map: Permission denied" in failing.problem and failing.version == "0.11.0" and failing.fix in why
    assert "--unsafe-no-sandbox" in why and "too old (0.4.1)" in asyncio.run(refused([old]))[1]
    assert "cannot be run" in asyncio.run(refused([tmp_path]))[1]


def test_the_reason_of_a_refusal_is_looked_up(tmp_path) -> None:
    (tmp_path / "user").mkdir()
    (tmp_path / "kernel").mkdir()
    (tmp_path / "user/max_user_namespaces").write_text("1000\n")
    assert "docker run" in mending("bwrap: Can't mount proc on /newroot/proc: Operation not permitted", proc=tmp_path)
    (tmp_path / "kernel/apparmor_restrict_unprivileged_userns").write_text("1\n")
    assert "apparmor" in mending("bwrap: setting up uid map: Permission denied", proc=tmp_path)
    (tmp_path / "kernel/unprivileged_userns_clone").write_text("0\n")
    assert mending("", proc=tmp_path) == "sudo sysctl kernel.unprivileged_userns_clone=1"
    (tmp_path / "user/max_user_namespaces").write_text("0\n")
    assert mending("", proc=tmp_path) == "sudo sysctl user.max_user_namespaces=28633"


def test_without_a_sandbox_code_runs_in_its_folder_only_when_asked(tmp_path, monkeypatch) -> None:
    """And shows that the attacks of test_sandbox_attacks would succeed here."""
    monkeypatch.setenv("MANYEYES_API_KEY", "secret")
    (tmp_path / "secret.txt").write_text("of the host")
    mark = f"sleep 98765.{os.getpid()}"

    async def go() -> tuple[Ran, Ran]:
        sandbox = await open_sandbox(unsafe=True)
        assert not sandbox.confines
        try:
            first = await ran(sandbox, tmp_path, f"pwd; cat {tmp_path}/secret.txt; env; ulimit -n")
            second = await ran(sandbox, tmp_path, f"{mark} & echo started")
            return first, second
        finally:
            await sandbox.close()

    first, second = asyncio.run(go())
    work = Workspace.of(tmp_path, "main/1").work
    assert first.output.decode().startswith(f"{work}\nof the host") and b"MANYEYES_API_KEY" not in first.output
    assert first.output.decode().endswith("\n1024\n") and second == Ran(0, b"started\n")
    assert until(lambda: processes_with(mark) == [], KILLED_SECONDS)


@pytest.mark.parametrize(
    ("base", "shown"),
    [
        ("/home/u/.pyenv/versions/3.11.7", "/home/u/.pyenv/versions/3.11.7"),
        ("/workspace/py", "/python"),
        ("/usr", "/usr"),
    ],
)
def test_a_python_is_shown_wherever_it_is(tmp_path, base, shown) -> None:
    prefix = tmp_path / "venv"
    (prefix / "lib").mkdir(parents=True)
    (prefix / "pyvenv.cfg").write_text("home = /elsewhere\ninclude-system-site-packages = true\n")
    settings = tmp_path / "pyvenv.cfg"
    program = prefix / "lib/python3.11/site-packages/manyeyes"
    found = inside_python(
        Path(base, "bin/python3.11"), Path(base), prefix, [tmp_path / "more"], settings=settings, program=program
    )
    assert found.hidden == ("/venv/lib/python3.11/site-packages/manyeyes",)
    assert (f"{shown}/bin/python3.11", "/venv/bin/python") in found.links and found.command == "/venv/bin/python"
    assert settings.read_text() == f"home = {shown}/bin\ninclude-system-site-packages = true\n"
    assert found.env["PYTHONPATH"] == "/packages/0" and (tmp_path / "more", "/packages/0") in found.mounts
    assert found.env.get("LD_LIBRARY_PATH", "") == ("/python/lib" if shown == "/python" else "")
    program = Path(base, "lib/python3.11/site-packages/manyeyes")
    plain = inside_python(Path(base, "bin/python3.11"), Path(base), Path(base), [], settings=settings, program=program)
    assert plain.hidden == ((str(program),) if base == "/usr" else ())  # elsewhere there is no such installation
    assert plain.links == ((f"{shown}/bin/python3.11", "/venv/bin/python"), ("python", "/venv/bin/python3"))


def test_a_virtual_environment_below_our_folders_names_works(probed, tmp_path, monkeypatch) -> None:
    """A copy of the installation whose place inside is taken is moved, and still runs."""
    base = Path(sys.base_prefix).resolve()
    if base.is_relative_to("/usr"):
        pytest.skip("needs a Python outside /usr")
    from manyeyes.agent import sandbox_python

    monkeypatch.setattr(sandbox_python, "_TAKEN", (*sandbox_python._TAKEN, str(base)))

    async def go() -> Ran:
        sandbox = await open_sandbox(probed=probed)
        try:
            return await ran(sandbox, tmp_path, "python -c 'import sys, numpy, ssl; print(sys.base_prefix)'")
        finally:
            await sandbox.close()

    assert asyncio.run(go()).output == b"/python\n"


def test_an_installed_program_cannot_be_read_inside(probed, tmp_path, monkeypatch) -> None:
    """It holds the answers of its own tasks; another package stands for it, as it is not installed here itself."""
    import manyeyes

    monkeypatch.setattr(manyeyes, "__file__", numpy.__file__)

    async def go() -> Ran:
        sandbox = await open_sandbox(probed=probed)
        try:
            looks = "ls -A $(python -c 'import numpy; print(*numpy.__path__)') | wc -l"
            return await ran(
                sandbox, tmp_path, f"python -c 'import numpy; numpy.zeros(1)'; {looks}; python -c 'import PIL'"
            )
        finally:
            await sandbox.close()

    done = asyncio.run(go())
    assert b"has no attribute 'zeros'" in done.output and done.output.splitlines()[-1] == b"0" and done.status == 0


def test_control_groups_of_both_versions_are_found(tmp_path) -> None:
    def machine(name: str, mounts: list[str], belongs: str) -> Path:
        proc = tmp_path / name / "proc/self"
        proc.mkdir(parents=True)
        (proc / "mountinfo").write_text("".join(f"{mount}\n" for mount in mounts))
        (proc / "cgroup").write_text(belongs)
        return proc.parent

    v1 = tmp_path / "v1"
    for kind in ("memory", "pids"):
        (v1 / kind / "ours").mkdir(parents=True)
    proc = machine(
        "one",
        [f"31 23 0:26 / {v1}/{kind} rw shared:1 - cgroup cgroup rw,{kind}" for kind in ("memory", "pids")],
        "4:memory:/ours\n8:pids:/ours\n0::/\n",
    )
    (found,) = ControlGroups.candidates(proc)
    assert found.version == "v1"
    group = found.make(SandboxLimits())
    assert sorted(path.parent.parent for path in group.folders) == [v1 / "memory/ours", v1 / "pids/ours"]

    v2 = tmp_path / "v2"
    (v2 / "user/app/ours").mkdir(parents=True)
    (v2 / "user/app/cgroup.subtree_control").write_text("cpu memory pids\n")
    (v2 / "user/app/cgroup.procs").write_text("")
    proc = machine("two", [f"31 23 0:26 / {v2} rw - cgroup2 cgroup2 rw"], "0::/user/app/ours\n")
    (found,) = ControlGroups.candidates(proc)
    assert found.version == "v2" and found._parents == (v2 / "user/app",)
    assert list(ControlGroups.candidates(machine("none", [], ""))) == []


def test_layers_that_are_missing_are_said(probed) -> None:
    from manyeyes.agent.sandbox_probe import _weaker

    assert _weaker(Layers(probed.layers.bwrap, "v1", 7, True)) == ("", "")
    problem, fix = _weaker(Layers(probed.layers.bwrap, "", 7, True))
    assert "no control groups" in problem and "systemd-run" in fix
