"""`ForkedPython`: memory, limits, deaths, the warm process, and what children cannot do to each other."""

import asyncio
import os
import select
import signal
import struct
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from manyeyes.agent.rollouts.config import RolloutConfig
from manyeyes.agent.rollouts.ctx import RolloutCtx
from manyeyes.agent.rollouts.failures import classified, kind_of
from manyeyes.agent.rollouts.group import Group
from manyeyes.agent.rollouts.manager import RolloutManager
from manyeyes.agent.rollouts.stats import RolloutStats
from manyeyes.agent.sandbox import SandboxUnavailable
from manyeyes.agent.sandbox_bwrap import Layers
from manyeyes.agent.sandbox_probe import Probe
from manyeyes.agent.tools import (
    forked_python_child,
    forked_python_confined,
    forked_python_pool,
    forked_python_process,
)
from manyeyes.agent.tools.forked_python import ForkedPython
from manyeyes.agent.tools.forked_python_child import PythonLost
from manyeyes.agent.tools.forked_python_pool import CHILD, MODULES, WARM_UP, ForkedPythons
from manyeyes.agent.tools.forked_python_sandbox import NestingSandbox
from manyeyes.agent.tools.ipython_pool import ROOM_NEEDED
from manyeyes.agent.toolset import ToolResult
from manyeyes.core.errors import ConfigError
from manyeyes.core.messages import ImagePart, ToolCall

from ..rollouts.worlds import Quick, Turns, request
from ..virtual_time import run_virtually

SHORT = replace(CHILD, seconds=0.5, memory=64 << 20, output_bytes=2000)

BARE: dict[str, Any] = {"modules": {}, "warm_up": ""}
"""Python starts sooner without packages."""


def with_pythons(probed: Probe, work, **options):
    """What `work(pythons)` returns; nothing of children may be left."""

    async def go():
        pythons = ForkedPythons(probed=probed, **BARE | options)
        try:
            return await work(pythons)
        finally:
            await pythons.close()
            assert pythons.alive == 0

    return asyncio.run(go())


def said(probed: Probe, *codes: str, files: Mapping[str, bytes] | None = None, preamble: str = "", **options):
    """Results of one agent's calls."""

    async def work(pythons: ForkedPythons) -> list[ToolResult]:
        python = ForkedPython(pythons, files=files or {}, preamble=preamble)
        results = [await python.run(code) for code in codes]
        await python.close()
        assert pythons.alive == 0
        return results

    return with_pythons(probed, work, **options)


def test_an_agent_has_its_files_its_preamble_and_a_memory(probed) -> None:
    first, again, files, picture, nothing = said(
        probed,
        "print(text); len(text)",
        "text = text.upper(); text, np.ones(2).sum(), ndimage.label(np.ones(3))[1]",
        "import os; os.getcwd(), os.listdir('/inputs'), open('mine', 'w').write('x'), os.listdir('.')",
        "Image.new('RGB', (4, 3), 'red')",
        "x = 1",
        files={"note.txt": b"hello"},
        preamble="text = open('/inputs/note.txt').read(); print('not shown')",
        modules=MODULES,
        warm_up=WARM_UP,
    )
    assert first.text == "hello\n5\n" and first.data == {"ipython": 1} and not first.failure
    assert again.text == "('HELLO', np.float64(2.0), 1)\n" and again.data == {"ipython": 2}
    assert files.text == "('/workspace', ['note.txt'], 1, ['mine'])\n"
    part = picture.parts[0]
    assert isinstance(part, ImagePart) and part.image.pixels()[0, 0].tolist() == [255, 0, 0]
    assert nothing.text == "[no output]"


def test_the_declaration_is_short_and_calls_are_checked(probed) -> None:
    async def work(pythons: ForkedPythons) -> list[ToolResult]:
        python = ForkedPython(pythons, about="Run Python.", name="python")
        await python.open()
        assert python.tools[0].name == "python" and python.tools[0].description == "Run Python."
        assert python.tools[0].parameters == {
            "type": "object", "properties": {"code": {"type": "string"}}, "required": ["code"]
        }  # fmt: skip
        calls = [("python", {"code": "6 * 7"}), ("python", {"cod": "1"}), ("shell", {}), ("python", {"code": " "})]
        results = [await python.call(ToolCall.of(name, given, index=0)) for name, given in calls]
        await python.close()
        await python.close()
        return results

    right, wrong, unknown, empty = with_pythons(probed, work)
    assert right.text == "42\n"
    assert [one.failure for one in (wrong, unknown, empty)] == ["bad_arguments", "unknown_tool", "bad_arguments"]


def test_nothing_starts_before_the_first_call(probed) -> None:
    async def work(pythons: ForkedPythons) -> int:
        python = ForkedPython(pythons)
        await python.open()
        await python.close()
        return pythons.counts.started

    assert with_pythons(probed, work) == 0


def test_names_of_files_are_plain() -> None:
    for name in ("../x", "/x", "", ".", "a/b"):
        with pytest.raises(ConfigError, match="plain names"):
            ForkedPython(ForkedPythons(), files={name: b""})
    with pytest.raises(ConfigError, match="at least one child"):
        ForkedPythons(most=0)


ATTACKS = {
    "fork": "os.fork()",
    "vfork": "import subprocess; subprocess.run(['/bin/true'])",
    "shell": "os.system('true') == 0 or fail()",
    "thread": "import threading; threading.Thread(target=print).start()",
    "exec": "os.execv('/bin/true', ['true'])",
    "socket": "import socket; socket.socket(socket.AF_UNIX)",
    "internet socket": "import socket; socket.create_connection(('127.0.0.1', 80))",
    "mount": "libc('mount', b'none', b'/tmp', b'tmpfs', 0, None)",
    "unmount": "libc('umount2', b'/proc', 2)",
    "user namespace": "libc('unshare', 0x10000000)",
    "mount namespace": "libc('unshare', 0x20000)",
    "other root": "os.chroot('/tmp')",
    "trace": "libc('ptrace', 0, 0, 0, 0)",
    "capabilities": "libc('capset', struct.pack('=Ii', 0x20080522, 0), b'\\xff' * 24)",
    "memory by handle": "os.memfd_create('x')",
    "shared memory": "libc('shmget', 7, 4096, 0o1777)",
    "message queue": "libc('mq_open', b'/x', 0o102, 0o600, None)",
    "pair of sockets": "import socket; socket.socketpair()",
    "watches": "libc('inotify_init1', 0)",
    "watches by the old call": "libc('syscall', 253 if os.uname().machine == 'x86_64' else 26, 0)",
    "timers": "libc('timer_create', 0, None, ctypes.byref(ctypes.c_void_p()))",
    "locked memory": "libc('mlock', ctypes.create_string_buffer(1 << 16), 1 << 16)",
    "queued signals": "import signal; signal.signal(40, print); signal.pthread_sigmask(signal.SIG_BLOCK, [40]); "
    "libc('sigqueue', 1, 40, None)",
    "events of the machine": "libc('syscall', nr(206, 0), 8, ctypes.byref(ctypes.c_ulong()))",
    "a pipe": "os.pipe()",
    "a pipe with a name": "os.mkfifo('/tmp/pipe')",
    "a large pipe": "import fcntl; fcntl.fcntl(4, 1031, 1 << 20)",
    "network of the host": "import fcntl; fcntl.ioctl(3, 0x8912, bytes(16)); fcntl.ioctl(4, 0x8912, bytes(16))",
    "name on the host": "libc('bind', 3, b'\\1\\0\\0squat', 8)",
    "process of the host": "libc('getsockopt', 3, 1, 77, ctypes.byref(ctypes.c_int()), ctypes.byref(ctypes.c_int(4)))",
    "a descriptor past it": "import socket; socket.socket(fileno=os.dup(3)).sendmsg([b'x'])",
    "segments": "libc('syscall', nr(154, 999), 0, ctypes.create_string_buffer(64), 64)",
    "another kind of process": "libc('personality', 0xffffffff)",
    "mounts by number": "room = ctypes.create_string_buffer; libc('syscall', 457, room(64), room(512), 512, 0)",
    "calls that nobody has judged": "libc('syscall', 467, -100, b'/', 0, 0, 0)",
    "attributes by a new call": "libc('syscall', 468, -100, b'/tmp', ctypes.create_string_buffer(64), 24, 0)",
    "priority of all": "os.setpriority(os.PRIO_USER, 0, 5)",
    "inputs": "open('/inputs/x', 'w')",
    "artefacts": "open('/artefacts/x', 'w')",
    "exchange": "open('/run/agent/control')",
    "entry program": "open('/run/entry.py')",
    "shared memory folder": "open('/dev/shm/x', 'w')",
    "system": "open('/usr/x', 'w')",
    "root": "open('/x', 'w')",
    "passwords": "open('/etc/passwd')",
    "processes": "open('/proc/1/mem')",
    "own process": "open('/proc/self/maps')",
    "limits": "import resource; resource.setrlimit(resource.RLIMIT_AS, (-1, -1))",
    "a file that is too large": "open('/tmp/x', 'wb').write(bytes(17 << 20))",
    "a folder that is too large": "for n in range(3): open(f'/tmp/{n}', 'wb').write(bytes(8 << 20))",
    "files without end": "for n in range(9999): open(f'/tmp/n{n}', 'w')",
    "open files without end": "keep = [open('/dev/null') for _ in range(99)]",
    "memory": "bytearray(512 << 20)",
    "memory in pieces": "keep = [bytes(1 << 20) for _ in range(512)]",
    "input": "input('name?')",
    "a file of another agent": "open('/workspace/of_another')",
    "a temporary file of another agent": "open('/tmp/of_another')",
}  # fmt: skip
KIT = """
import ctypes, os, struct
def nr(*numbers):
    return numbers[os.uname().machine != 'x86_64']
def libc(name, *given):
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*given) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
def fail():
    raise OSError('refused')
"""


@pytest.fixture(params=["all layers", "without Landlock"])
def layered(probed: Probe, request: pytest.FixtureRequest) -> Probe:
    """Attacks must fail with every layer, and without the second line, which could hide a hole in the first."""
    return probed if request.param == "all layers" else replace(probed, layers=replace(probed.layers, landlock=0))


def test_attacks_fail(layered) -> None:
    async def work(pythons: ForkedPythons) -> dict[str, str]:
        other = ForkedPython(pythons)
        await other.run("for top in ('/workspace', '/tmp'): open(f'{top}/of_another', 'w').write('secret')")
        found = {}
        for name, code in ATTACKS.items():
            attacker = ForkedPython(pythons, preamble=KIT)
            found[name] = (await attacker.run(f"{code}\nprint('it worked')")).text
            await attacker.close()
        assert (await other.run("open('/tmp/of_another').read()")).text == "'secret'\n"
        await other.close()
        return found

    found = with_pythons(layered, work)
    assert {name: text for name, text in found.items() if "Error" not in text or "it worked" in text} == {}


def test_children_neither_see_nor_signal_each_other(layered) -> None:
    async def work(pythons: ForkedPythons) -> tuple[list[str], str, int]:
        other, attacker = ForkedPython(pythons), ForkedPython(pythons, preamble=KIT)
        await other.run("x = 'alive'")
        probes = [
            "os.getpid(), os.getppid(), [n for n in range(2, 999) if not missing(n)]",
            "[os.stat(fd).st_mode >> 12 for fd in range(999) if exists(fd)]",
            "sorted(sum((os.listdir(top) for top in ('/proc', '/run', '/tmp', '/artefacts', '/dev/shm')), []))",
            "sorted(name for name in os.environ if 'KEY' in name or 'TOKEN' in name or 'PYTEST' in name)",
            "os.kill(-1, 9)",
            "os.kill(0, 9)",
        ]
        helpers = (
            "def missing(n):\n    try: os.kill(n, 0)\n    except ProcessLookupError: return True\n"
            "def exists(fd):\n    try: os.fstat(fd)\n    except OSError: return False\n    return True\n"
        )
        await attacker.run(helpers)
        seen = [(await attacker.run(code)).text for code in probes]
        return seen, (await other.run("x")).text, pythons.counts.started

    seen, alive, started = with_pythons(layered, work)
    assert seen[:4] == ["(1, 0, [])\n", "[2, 2, 2, 1, 1]\n", "[]\n", "[]\n"], "two pipes, no socket"
    assert (alive, started) == ("'alive'\n", 1)


def test_children_draw_different_numbers(probed) -> None:
    async def work(pythons: ForkedPythons) -> set[str]:
        code = "import random; random.random(), np.random.rand()"
        agents = [ForkedPython(pythons) for _ in range(3)]
        return {(await agent.run(code)).text for agent in agents}

    assert len(with_pythons(probed, work, modules={"np": "numpy"})) == 3


def test_what_takes_too_long_is_interrupted_and_variables_stay(probed) -> None:
    late, after = said(probed, "x = 7\nprint('before')\nwhile True: pass", "x", child=SHORT)
    assert late.failure == "timeout" and "before" in late.text and "longer than 0.5 s" in late.text
    assert after.text == "7\n"


def test_code_that_does_not_stop_loses_its_child(probed, monkeypatch) -> None:
    monkeypatch.setattr(forked_python_child, "INTERRUPT_SECONDS", 0.2)
    stubborn = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass"
    dead, after = said(probed, stubborn, "ready", preamble="ready = 1", child=SHORT)
    assert dead.failure == "crash" and "did not stop when it was interrupted" in dead.text
    assert after.text == "1\n"


FORGED = """
import json, os
said = json.dumps({{"call": {call}, "status": "{status}", "shown": {shown}, "count": {count}}}).encode()
os.write(4, len(said).to_bytes(4, "big") + said)
"""
DEATHS = {
    "import os; os._exit(3)": "status 3",
    "import os; os.close(4)": "status 1",
    "import os; os.close(4)\nwhile True: pass": "closed its connection",
    "import ctypes; ctypes.string_at(0)": "SIGSEGV",
    "import os; os.write(4, b'\\0\\0\\0\\2{}')": "wrote to it itself",
    "import os; os.write(4, b'\\xff' * 8)": "wrote to it itself",
    "import os; os.write(4, bytes([0, 0, 0x80, 0]) + b'[' * (1 << 23))": "wrote to it itself",
    "import os; os.write(4, bytes([0, 0x80, 0, 1]) + b'[' * 99)": "wrote to it itself",
    FORGED.format(call=2, status="ok", shown=[["text", "a"]] * 65, count=1): "wrote to it itself",
    FORGED.format(call=2, status="ok", shown=[], count=-1): "wrote to it itself",
    FORGED.format(call=1, status="ok", shown=[], count=1): "wrote to it itself",
}
SPIN = "import resource; resource.setrlimit(resource.RLIMIT_CPU, (1, 1))\nwhile True: pass"


def deaths(probed: Probe, deadly: Mapping[str, str]) -> None:
    """Each is told, the next call starts anew, and another agent goes on."""

    async def work(pythons: ForkedPythons) -> None:
        python, other = ForkedPython(pythons), ForkedPython(pythons)
        await other.run("x = 1")
        for code, why in deadly.items():
            await python.run("x = 2")
            dead, after = await python.run(code), await python.run("'x' in globals()")
            assert dead.failure == "crash" and why in dead.text and "Variables are lost" in dead.text, code
            assert after.text == "False\n" and (await other.run("x")).text == "1\n"
        assert pythons.counts.died == len(deadly) and pythons.counts.started == 1

    with_pythons(probed, work, child=replace(CHILD, seconds=60.0))


def test_the_death_of_a_child_is_told_and_the_next_call_starts_anew(probed, monkeypatch) -> None:
    monkeypatch.setattr(forked_python_child, "INTERRUPT_SECONDS", 0.2)
    monkeypatch.setattr(forked_python_child, "CAUSE_SECONDS", 0.2)
    deaths(probed, DEATHS)


def test_a_child_cannot_say_more_than_it_may(probed) -> None:
    forged = FORGED.format(call=2, status="ok", shown=[["text", "y" * 1500]] * 2, count=1)
    assert said(probed, forged, child=SHORT)[0].text == "y" * 2000


def test_a_child_that_answers_in_its_own_name_does_not_stay_one_answer_ahead(probed) -> None:
    forged = FORGED.format(call=2, status="ok", shown=[["text", "forged"]], count=1)
    early, caught, fresh = said(probed, forged, "'mine'", "'mine'")
    assert early.text == "forged" and caught.failure == "crash" and "wrote to it itself" in caught.text
    assert fresh.text == "'mine'\n"


def test_a_call_that_was_in_time_is_not_late_because_we_were(probed) -> None:
    async def work(pythons: ForkedPythons) -> list[ToolResult]:
        python = ForkedPython(pythons)
        await python.run("import time")
        found = []
        for code in ("time.sleep(0.3); 7", "time.sleep(0.3); 1 / 0"):
            call = asyncio.create_task(python.run(code))
            await asyncio.sleep(0.05)  # it was sent
            assert python._child is not None
            answers = python._child._pipes._answers.get_extra_info("pipe")
            select.select([answers], [], [], 30.0)  # the loop is held up until the answer is there
            time.sleep(1.1)  # and for longer than a call may take
            found.append(await call)
        return found

    fine, wrong = with_pythons(probed, work, child=replace(CHILD, seconds=1.0))
    assert (fine.failure, fine.text) == ("", "7\n")
    assert wrong.data["status"] == "error" and wrong.text == "ZeroDivisionError: division by zero (line 1)\n"


def test_code_that_catches_its_interrupt_is_late_all_the_same(probed) -> None:
    code = "import time\ntry: time.sleep(9)\nexcept KeyboardInterrupt: print('caught')"
    (late,) = said(probed, code, child=SHORT)
    assert late.failure == "timeout" and "caught" in late.text


def test_a_child_that_ends_while_it_is_made_takes_no_other_along(probed, monkeypatch) -> None:
    tell, ending = forked_python_process.WarmPython._tell, []

    async def at_once(warm: Any, what: str, number: int, *more: Any) -> None:
        await tell(warm, what, number, *more)
        if what == "open" and ending:
            await tell(warm, "end", number)
            await asyncio.sleep(0.2)  # its end is told while the host still makes it

    monkeypatch.setattr(forked_python_process.WarmPython, "_tell", at_once)
    monkeypatch.setattr(forked_python_pool, "GONE_SECONDS", 0.5)

    async def work(pythons: ForkedPythons) -> str:
        other, short = ForkedPython(pythons), ForkedPython(pythons)
        await other.run("x = 'alive'")
        ending.append(True)
        with pytest.raises(PythonLost, match="could not be prepared"):
            await short.run("1")
        assert pythons.counts.started == 1
        return (await other.run("x")).text

    assert with_pythons(probed, work) == "'alive'\n"


def test_a_child_has_no_share_of_what_a_user_may_take(probed) -> None:
    async def limits() -> dict[str, int]:
        sandbox = await NestingSandbox.opened(CHILD, probed=probed)
        try:
            return sandbox.child(CHILD)["rlimits"]
        finally:
            await sandbox.close()

    found = asyncio.run(limits())
    assert {name for name, value in found.items() if value == 0} == {
        "RLIMIT_CORE", "RLIMIT_SIGPENDING", "RLIMIT_MEMLOCK", "RLIMIT_MSGQUEUE", "RLIMIT_RTPRIO", "RLIMIT_NICE"
    } and found["RLIMIT_NOFILE"] <= 24  # fmt: skip


@pytest.mark.slow
def test_a_child_has_a_limit_of_processor_time(probed) -> None:
    deaths(probed, {SPIN: "processor time"})


def test_endless_output_is_stopped(probed) -> None:
    result, after = said(probed, "x = 1\nwhile True: print('y' * 99)", "x", child=SHORT)
    assert "showed more than 2,000 characters" in result.text and len(result.text) < 2200
    assert after.text == "1\n"


def test_text_that_is_none_does_not_reach_the_model(probed) -> None:
    (result,) = said(probed, "print('a\\ud800b')")
    assert result.text == "a?b\n"


def test_a_preamble_that_fails_is_nobodys_result(probed) -> None:
    async def work(pythons: ForkedPythons) -> ToolResult:
        python = ForkedPython(pythons, preamble="1 / 0")
        for _ in range(2):
            with pytest.raises(PythonLost, match="could not be prepared: error: ZeroDivisionError"):
                await python.run("1")
            assert pythons.alive == 0
        python._preamble = "x = 1"
        return await python.run("x")

    assert with_pythons(probed, work).text == "1\n", "nothing was lost, so nothing is said of it"


def test_files_that_do_not_fit_are_nobodys_result(probed) -> None:
    with pytest.raises(PythonLost, match="No space left"):
        said(probed, "1", files={"large": bytes(17 << 20)})


def test_a_warm_process_that_dies_is_started_again_and_its_agents_are_not_blamed(probed) -> None:
    async def work(pythons: ForkedPythons) -> list[str]:
        one, two = ForkedPython(pythons, preamble="x = 1"), ForkedPython(pythons)
        await one.run("x = 2")
        await two.run("y = 2")
        assert pythons._warm is not None
        pythons._warm.end("a test ended it")
        for python in (one, two):
            with pytest.raises(PythonLost, match="a test ended it"):
                await python.run("x")
        results = [await one.run("x"), await two.run("'y' in globals()")]
        assert pythons.counts.started == 2 and pythons.counts.died == 0
        return [result.text for result in results]

    again, fine = with_pythons(probed, work)
    assert "its sandbox ended" in again and again.endswith("1\n") and fine.endswith("False\n")


def test_a_warm_process_that_dies_under_a_call_is_no_death_of_its_code(probed) -> None:
    async def work(pythons: ForkedPythons) -> None:
        python = ForkedPython(pythons)
        await python.run("1")
        call = asyncio.create_task(python.run("while True: pass"))
        await asyncio.sleep(0.05)
        assert pythons._warm is not None
        pythons._warm.end("a test ended it")
        with pytest.raises(PythonLost, match="a test ended it"):
            await call

    with_pythons(probed, work)


def test_in_training_a_lost_python_is_a_failure_of_the_sandbox() -> None:
    lost = classified(PythonLost("it is gone"))
    assert lost.cause == "sandbox" and kind_of(lost.cause) == "infra" and isinstance(lost, SandboxUnavailable)


def test_in_training_attempts_without_python_are_made_again_counted_and_never_judged() -> None:
    none, tries = Probe(Layers(None), problem="bubblewrap is not installed", fix="install it"), []

    async def deed(ctx: RolloutCtx, turn: int) -> None:
        tries.append(ctx.attempt.name)
        call = ToolCall.of("ipython", {"code": "1"}, index=0)
        await ctx.call(ForkedPython(ForkedPythons(probed=none)), call, position=0)

    async def work() -> tuple[Group, RolloutStats]:
        async with RolloutManager({"live": Quick()}, config=RolloutConfig(infra_retries=2)) as manager:
            manager.submit(request(0, Turns(1, deed=deed), size=2))
            (group,) = [group async for group in manager.results()]
            return group, manager.stats

    group, stats = run_virtually(work())[0]
    assert not group.complete and len(tries) == 2 * 3
    assert [one.reward for one in group.trajectories] == [None, None], group.trajectories
    assert stats.failures["sandbox"] > 0, stats


def test_a_warm_process_that_takes_nothing_any_more_is_ended(probed, monkeypatch) -> None:
    monkeypatch.setattr(forked_python_process, "ORDER_SECONDS", 0.05)
    monkeypatch.setattr(forked_python_process, "_sent", lambda *_: False)

    async def work(pythons: ForkedPythons) -> str:
        python = ForkedPython(pythons)
        with pytest.raises(PythonLost, match="took no requests"):
            await python.run("1")
        monkeypatch.undo()
        text = (await python.run("2")).text
        assert pythons.counts.started == 2
        return text

    assert with_pythons(probed, work) == "2\n"


def test_one_start_that_fails_is_enough_for_all_who_wait(probed, monkeypatch) -> None:
    starts = []

    async def broken(*_: Any, **__: Any) -> None:
        starts.append(1)
        await asyncio.sleep(0)
        raise SandboxUnavailable("it does not start today")

    monkeypatch.setattr(forked_python_pool.WarmPython, "start", broken)

    async def work(pythons: ForkedPythons) -> list[BaseException | ToolResult]:
        waiting = (ForkedPython(pythons).run("1") for _ in range(8))
        return await asyncio.gather(*waiting, return_exceptions=True)

    found = with_pythons(probed, work)
    assert len(starts) == 1 and all("not start today" in str(one) for one in found)


def test_sets_print_in_one_order_in_all_warm_processes(probed) -> None:
    code = "print({'one', 'two', 'three', 'four', 'five', 'six', 'seven'})"
    assert said(probed, code)[0].text == said(probed, code)[0].text


def test_a_cancelled_call_leaves_no_child_at_work(probed) -> None:
    async def work(pythons: ForkedPythons) -> ToolResult:
        python = ForkedPython(pythons)
        await python.run("x = 1")
        task = asyncio.create_task(python.run("while True: pass"))
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert pythons.alive == 0
        return await python.run("2")

    result = with_pythons(probed, work)
    assert "its call was stopped" in result.text and result.text.endswith("2\n")


def test_idle_children_end_and_say_so(probed) -> None:
    async def work(pythons: ForkedPythons) -> ToolResult:
        python = ForkedPython(pythons)
        await python.run("x = 1")
        while pythons.alive:
            await asyncio.sleep(0.01)
        return await python.run("'x' in globals()")

    result = with_pythons(probed, work, idle_seconds=0.05)
    assert "not used for 0.05 s" in result.text and result.text.endswith("False\n")


def test_who_finds_no_room_waits(probed) -> None:
    async def work(pythons: ForkedPythons) -> list[str]:
        async def one(number: int) -> str:
            python = ForkedPython(pythons)
            try:
                result = await python.run(f"{number}")
                assert pythons.alive <= 2
                return result.text
            finally:
                await python.close()

        return await asyncio.gather(*(one(number) for number in range(6)))

    assert with_pythons(probed, work, most=2) == [f"{number}\n" for number in range(6)]


def test_who_rests_makes_room_for_who_waits(probed) -> None:
    async def work(pythons: ForkedPythons) -> list[str]:
        first, second = ForkedPython(pythons, preamble="x = 1"), ForkedPython(pythons)
        await first.run("x = 2")
        other = (await second.run("3")).text
        await second.close()
        return [other, (await first.run("x")).text]

    other, told = with_pythons(probed, work, most=1, patience=0.05)
    assert other == "3\n" and ROOM_NEEDED in told and told.endswith("1\n")


def test_who_works_makes_no_room(probed) -> None:
    async def work(pythons: ForkedPythons) -> list[str]:
        first, second = ForkedPython(pythons), ForkedPython(pythons)
        await first.run("x = 2")
        busy = asyncio.create_task(first.run("import time; time.sleep(0.3); x"))
        await asyncio.sleep(0.02)
        waiting = asyncio.create_task(second.run("3"))
        return [(await busy).text, (await waiting).text]

    assert with_pythons(probed, work, most=1, patience=0.05) == ["2\n", "3\n"]


def test_who_waits_at_the_end_hears_of_it(probed) -> None:
    async def work(pythons: ForkedPythons) -> list[BaseException | ToolResult]:
        await ForkedPython(pythons).run("1")
        waiting = [asyncio.create_task(ForkedPython(pythons).run("2")) for _ in range(3)]
        await asyncio.sleep(0.02)
        await pythons.close()
        found = await asyncio.gather(*waiting, return_exceptions=True)
        assert pythons.alive == 0 and pythons._warm is None, "nobody starts it again by having waited"
        return found

    found = with_pythons(probed, work, most=1)
    assert all(isinstance(one, PythonLost) and "was closed" in str(one) for one in found)


def test_after_the_end_it_starts_anew_in_another_loop(probed) -> None:
    pythons = ForkedPythons(probed=probed, most=1, **BARE)

    async def work() -> list[str]:
        async def one(number: int) -> str:
            python = ForkedPython(pythons)
            try:
                return (await python.run(f"{number}")).text
            finally:
                await python.close()

        said = await asyncio.gather(*(one(number) for number in range(3)))
        await pythons.close()
        return said

    assert [asyncio.run(work()) for _ in range(2)] == [["0\n", "1\n", "2\n"]] * 2


def test_a_resumed_agent_is_told_that_variables_are_lost(probed) -> None:
    async def work(pythons: ForkedPythons) -> list[str]:
        python = ForkedPython(pythons, noted=[{"ipython": 3}])
        return [(await python.run(code)).text for code in ("1", "2")]

    first, second = with_pythons(probed, work)
    assert "the run was interrupted" in first and second == "2\n"


def test_where_children_cannot_be_held_nothing_runs(probed) -> None:
    with pytest.raises(PythonLost, match="filter of system calls"):
        said(replace(probed, layers=replace(probed.layers, calls=False)), "1")
    with pytest.raises(PythonLost, match="bubblewrap is not installed"):
        said(Probe(Layers(None), problem="bubblewrap is not installed", fix="install it"), "1")


def descendants(process: int) -> set[int]:
    """All processes below one, the sandbox's own included."""
    found: set[int] = set()
    with suppress(FileNotFoundError):
        for task in Path(f"/proc/{process}/task").iterdir():
            found |= {int(child) for child in (task / "children").read_text().split()}
    return found.union(*map(descendants, found))


def left() -> dict[str, Any]:
    """What a run could leave behind."""
    return {
        "descriptors": len(os.listdir("/proc/self/fd")),
        "processes": len(descendants(os.getpid())),
        "folders": sorted(path.name for path in Path(tempfile.gettempdir()).iterdir() if "eyes-" in path.name),
    }


@pytest.fixture
def temporary(monkeypatch) -> Iterator[None]:
    """A folder for temporary files that no other process uses; its path is short, for sockets."""
    with tempfile.TemporaryDirectory(prefix="own-") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield


def leaves_nothing(probed: Probe, agents: int) -> None:
    """Agents come and go, some of them badly; what is left while the warm process lives, and after it."""
    codes = ["1", "import os; os._exit(1)", "while True: print(1)", "import os; os.close(4)", "x = bytes(9)", "1/0"]

    async def work() -> None:
        pythons = ForkedPythons(probed=probed, child=SHORT, **BARE)

        async def one(number: int) -> None:
            python = ForkedPython(pythons, files={"a": b"a"})
            await python.run(codes[number % len(codes)])
            await python.close()

        await one(0)
        before = left()
        for first in range(0, agents, 16):
            await asyncio.gather(*(one(number) for number in range(first, first + 16)))
        assert left() == before and pythons.counts.started == 1
        await pythons.close()

    before = left()
    asyncio.run(work())
    after = left()
    assert {**after, "descriptors": 0} == {**before, "descriptors": 0}
    assert after["descriptors"] <= before["descriptors"] + 1  # the loop's own threads may have opened one


def test_agents_leave_nothing_behind(probed, temporary, monkeypatch) -> None:
    monkeypatch.setattr(forked_python_child, "INTERRUPT_SECONDS", 0.05)
    monkeypatch.setattr(forked_python_child, "CAUSE_SECONDS", 0.05)
    leaves_nothing(probed, 48)


@pytest.mark.slow
def test_a_thousand_agents_leave_nothing_behind(probed, temporary, monkeypatch) -> None:
    monkeypatch.setattr(forked_python_child, "INTERRUPT_SECONDS", 0.05)
    monkeypatch.setattr(forked_python_child, "CAUSE_SECONDS", 0.05)
    leaves_nothing(probed, 1008)


@pytest.mark.parametrize("processor", ["x86_64", "aarch64"])
def test_the_filter_refuses_its_calls_and_no_other(processor) -> None:
    program = forked_python_confined.alone_filter(processor)
    lines = [struct.unpack("=HBBI", program[at : at + 8]) for at in range(0, len(program), 8)]
    column = list(forked_python_confined.sandbox_entry.PROCESSORS).index(processor)
    refused = {numbers[column] for numbers in forked_python_confined.ALONE.values()} - {-1}
    answers = {number: _answer(lines, number) for number in range(500)}
    assert {number for number, answer in answers.items() if answer == 0x00050001} == refused
    assert set(answers.values()) == {0x00050001, 0x7FFF0000}


def _answer(lines: list[tuple[int, ...]], number: int) -> int:
    """What the kernel would do: the lines are jumps forward on the number, and answers."""
    at, holds = 4, number  # after the lines that check the processor
    while True:
        operation, so, else_, value = lines[at]
        if operation == 0x06:
            return value
        at += 1 + (so if holds == value else else_)


def test_a_child_ends_with_a_word_about_it() -> None:
    meaning = forked_python_child._meaning
    assert meaning(-signal.SIGKILL) != meaning(-signal.SIGSEGV) and "SIGSEGV" in meaning(-signal.SIGSEGV)
    assert meaning(0) == "it ended itself" and "status 7" in meaning(7)
    assert meaning(-99) == "its process ended with status -99", "no signal has that number"
