"""`ipython`: memory, pictures, limits, deaths, and the pool of kernels."""

import asyncio
import os
import socket
from pathlib import Path

import pytest

from manyeyes.agent.sandbox import Sandbox
from manyeyes.agent.sandbox_limits import SandboxLimits
from manyeyes.agent.sandbox_probe import open_sandbox
from manyeyes.agent.tools.code import CodeTools, code_tools
from manyeyes.agent.tools.ipython import MOST_PICTURES, result_of, shown_parts
from manyeyes.agent.tools.ipython_pool import KernelPool
from manyeyes.agent.tools.ipython_shown import Executed, Shown, shown_of, take
from manyeyes.agent.toolset import ToolResult
from manyeyes.agent.workspace import Workspace
from manyeyes.core.errors import ConfigError
from manyeyes.core.messages import ImagePart, TextPart, ToolCall


@pytest.fixture(autouse=True)
def installed() -> None:
    if os.environ.get("CI") != "true":
        pytest.importorskip("ipykernel", reason="needs the extra `code`")


class Context:
    def __init__(self, agent="main/1", noted=()) -> None:
        self.agent, self.noted = agent, list(noted)


async def run(tools: CodeTools, code: str, **more) -> ToolResult:
    return await tools.call(ToolCall.of("ipython", {"code": code, **more}, index=0))


def with_kernels(probed, folder: Path, work, *, limits=None, **options):
    """What `work(sandbox, kernels, tools)` returns, with the tools of one agent."""

    async def go():
        sandbox = await open_sandbox(probed=probed, limits=limits)
        kernels = KernelPool(sandbox, **options)
        tools = code_tools(sandbox, Workspace.of(folder, "main/1"), Context(), kernels=kernels)
        try:
            return await work(sandbox, kernels, tools)
        finally:
            await kernels.close()
            assert kernels.alive == 0
            await sandbox.close()

    return asyncio.run(go())


def test_variables_are_kept_and_all_that_is_shown_comes_back(probed, tmp_path) -> None:
    async def work(sandbox: Sandbox, kernels: KernelPool, tools: CodeTools) -> list[ToolResult]:
        codes = [
            "x = 41; print('out'); import sys; print('err', file=sys.stderr); x + 1",
            "x",
            "1 / 0",
            "input('name?')",
            "import os\nprint(os.getcwd())\nopen('/artefacts/made.txt', 'w').write('x');",
            "!echo from a shell",
            "from IPython.display import Markdown; Markdown('*told*')",
            "pass",
        ]
        return [await run(tools, code) for code in codes]

    first, again, wrong, asked, files, shell, told, nothing = with_kernels(probed, tmp_path, work)
    assert sorted(first.text.split()) == ["42", "err", "out"] and again.text == "41\n"
    assert "ZeroDivisionError" in wrong.text and "\x1b" not in wrong.text and not wrong.failure
    assert "StdinNotImplementedError" in asked.text
    assert (
        files.text == "/workspace\n" and files.data["files"] == ["/artefacts/made.txt"] and files.data["ipython"] == 5
    )
    assert shell.text.strip() == "from a shell" and "*told*" in told.text + "*told*" and nothing.text == "[no output]"


def test_plots_come_back_as_pictures_between_text(probed, tmp_path) -> None:
    async def work(sandbox: Sandbox, kernels: KernelPool, tools: CodeTools) -> ToolResult:
        return await run(
            tools,
            "from PIL import Image; print('one'); display(Image.new('RGB', (30, 20), 'red')); print('two')\n"
            "import io; from IPython.display import display, Image as Shown\nb = io.BytesIO()\n"
            "Image.new('RGB', (8, 6)).save(b, 'JPEG'); display(Shown(b.getvalue()))",
        )

    parts = with_kernels(probed, tmp_path, work).parts
    assert [type(part) for part in parts] == [TextPart, ImagePart, TextPart, ImagePart]
    assert isinstance(parts[1], ImagePart) and (parts[1].image.width, parts[1].image.height) == (30, 20)
    assert isinstance(parts[3], ImagePart) and parts[3].image.width == 8
    assert parts[1].image.pixels()[0, 0].tolist() == [255, 0, 0]


def test_matplotlib_shows_its_plots(probed, tmp_path) -> None:
    pytest.importorskip("matplotlib")

    async def work(sandbox: Sandbox, kernels: KernelPool, tools: CodeTools) -> ToolResult:
        return await run(tools, "import matplotlib.pyplot as plt\nplt.plot([1, 3, 2]);")

    assert any(isinstance(part, ImagePart) for part in with_kernels(probed, tmp_path, work).parts)


def test_what_takes_too_long_is_interrupted_and_variables_stay(probed, tmp_path) -> None:
    async def work(sandbox: Sandbox, kernels: KernelPool, tools: CodeTools) -> list[ToolResult]:
        await run(tools, "x = 7")
        late = await run(tools, "import time; print('before', flush=True); time.sleep(60)", seconds=0.6)
        return [late, await run(tools, "x")]

    late, after = with_kernels(probed, tmp_path, work)
    assert late.failure == "timeout" and "before" in late.text and "longer than 0.6 s" in late.text
    assert after.text == "7\n"


def test_code_that_does_not_stop_loses_its_kernel(probed, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("manyeyes.agent.tools.ipython_kernel.INTERRUPT_SECONDS", 0.3)
    stubborn = "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: time.sleep(1)"

    async def work(sandbox: Sandbox, kernels: KernelPool, tools: CodeTools) -> list[ToolResult]:
        return [await run(tools, stubborn, seconds=0.5), await run(tools, "print('alive')")]

    dead, after = with_kernels(probed, tmp_path, work)
    assert dead.failure == "crash" and "did not stop when it was interrupted" in dead.text and after.text == "alive\n"


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import os; os._exit(3)", "status 3"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "status 137"),
        ("b = bytearray(1 << 30)\nfor i in range(0, len(b), 4096): b[i] = 1", "bytes of memory"),
    ],
)
def test_the_death_of_a_kernel_is_told_and_the_next_call_starts_anew(probed, tmp_path, code, why) -> None:
    async def work(sandbox: Sandbox, kernels: KernelPool, tools: CodeTools) -> list[ToolResult]:
        await run(tools, "x = 1")
        return [await run(tools, code), await run(tools, "'x' in globals()")]

    if "memory" in why and not probed.layers.control_groups:
        pytest.skip("needs control groups: an allocation beyond a process limit is a MemoryError")
    dead, after = with_kernels(probed, tmp_path, work, limits=SandboxLimits(memory=400 << 20))
    assert dead.failure == "crash" and why in dead.text and "Variables are lost" in dead.text
    assert after.text == "False\n" and not after.failure


def test_a_kernel_that_died_between_calls_is_told(probed, tmp_path) -> None:
    async def work(sandbox: Sandbox, kernels: KernelPool, tools: CodeTools) -> ToolResult:
        await run(tools, "import threading, os; threading.Timer(0.1, os._exit, (9,)).start()")
        while any(slot.kernel is not None and slot.kernel.alive for slot in kernels._slots.values()):
            await asyncio.sleep(0.02)
        return await run(tools, "print('new')")

    result = with_kernels(probed, tmp_path, work)
    assert "ended with status 9" in result.text and "lost" in result.text and result.text.endswith("new\n")


def test_endless_output_is_interrupted(probed, tmp_path) -> None:
    async def work(sandbox: Sandbox, kernels: KernelPool, tools: CodeTools) -> list[ToolResult]:
        return [await run(tools, "x = 1\nwhile True: print('y' * 99)"), await run(tools, "x")]

    result, after = with_kernels(probed, tmp_path, work, limits=SandboxLimits(output_bytes=50_000))
    assert "showed more than 50,000 characters" in result.text and len(result.text) < 20_000
    assert after.text == "1\n"


def test_a_message_that_is_too_large_costs_the_kernel(probed, tmp_path) -> None:
    async def work(sandbox: Sandbox, kernels: KernelPool, tools: CodeTools) -> list[ToolResult]:
        large = "from IPython.display import display\ndisplay({'text/plain': 'x' * (40 << 20)}, raw=True)"
        return [await run(tools, large), await run(tools, "1")]

    result, after = with_kernels(probed, tmp_path, work)
    assert result.failure == "crash" and "very large" in result.text and after.text == "1\n"


def test_sockets_that_code_exchanges_are_not_connected_to(probed, tmp_path) -> None:
    place = tmp_path / "host"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(place))
        server.listen()
        server.settimeout(0)

        async def work(sandbox: Sandbox, kernels: KernelPool, tools: CodeTools) -> None:
            swap = f"import os\nfor n in range(1, 6):\n    os.remove(f'/run/agent/k-{{n}}')\n" \
                   f"    os.symlink({str(place)!r}, f'/run/agent/k-{{n}}')\n"  # fmt: skip
            await run(tools, swap)
            # Its end of the connections is closed, and the program of the host does not try again.
            await run(tools, "import os\nos.closerange(3, 100)\nos._exit(0)")
            await run(tools, "1")

        with_kernels(probed, tmp_path, work)
        with pytest.raises(BlockingIOError):
            server.accept()


def test_a_message_without_end_does_not_fill_our_memory(probed, tmp_path) -> None:
    pour = """
import os, socket, stat, struct, time
time.sleep(0.5)  # what was said so far is sent
for fd in range(3, 200):
    try:
        if stat.S_ISSOCK(os.fstat(fd).st_mode):
            with socket.socket(fileno=os.dup(fd)) as one:
                one.getpeername()
                if one.family == socket.AF_UNIX and one.getsockname().endswith("k-2"):
                    break
    except OSError:
        pass
os.set_blocking(fd, True)
body = bytes(15 << 20)
for _ in range(1000):
    left = memoryview(b"\\x03" + struct.pack(">Q", len(body)) + body)
    while left:
        left = left[os.write(fd, left):]
"""

    async def work(sandbox: Sandbox, kernels: KernelPool, tools: CodeTools) -> list[ToolResult]:
        return [await run(tools, pour), await run(tools, "1")]

    result, after = with_kernels(probed, tmp_path, work)
    assert result.failure == "crash" and "connection" in result.text and after.text == "1\n"


def test_modules_in_the_work_folder_are_not_taken_for_the_kernels(probed, tmp_path) -> None:
    async def work(sandbox: Sandbox, kernels: KernelPool, tools: CodeTools) -> str:
        places = Workspace.of(tmp_path, "main/1")
        for name in ("ipykernel_launcher", "ipykernel", "fnmatch", "zmq"):
            places.write(f"{name}.py", b"open('/workspace/taken', 'w').write(__name__)")
        places.write("own.py", b"x = 5")
        return (await run(tools, "import own; print(own.x)")).text

    assert with_kernels(probed, tmp_path, work) == "5\n"
    assert not (Workspace.of(tmp_path, "main/1").work / "taken").exists()


def test_messages_that_code_forges_are_passed_over(probed, tmp_path) -> None:
    forge = """
import json, zmq
kernel = get_ipython().kernel
stream = kernel.iopub_socket
parent = kernel.get_parent("shell")
for bad in ([1, 2], "x", None, {"execution_state": 3}):
    kernel.session.send(stream, "status", json.dumps(bad).encode(), parent=parent)
kernel.session.send(stream, "display_data", {"data": {"image/png": "no base64", "text/plain": 5}}, parent=parent)
kernel.session.send(stream, "error", {"traceback": 5}, parent=parent)
kernel.session.send(stream, "stream", {}, parent=parent)
print("end")
"""

    async def work(sandbox: Sandbox, kernels: KernelPool, tools: CodeTools) -> ToolResult:
        return await run(tools, forge)

    assert with_kernels(probed, tmp_path, work).text.endswith("end\n")


def test_kernels_make_room_for_each_other_and_say_so(probed, tmp_path) -> None:
    async def work(sandbox: Sandbox, kernels: KernelPool, tools: CodeTools) -> list[str]:
        agents = {
            name: code_tools(sandbox, Workspace.of(tmp_path, name), Context(name), kernels=kernels)
            for name in ("main/1", "main/2", "main/3")
        }
        said = []
        for name in ("main/1", "main/2", "main/1", "main/3", "main/1", "main/2"):
            said.append((await run(agents[name], "n = globals().get('n', 0) + 1; print(n)")).text)
            assert kernels.alive <= 2
        await agents["main/1"].close()
        assert kernels.alive == 1
        return said

    said = with_kernels(probed, tmp_path, work, most=2)
    assert said[:5] == ["1\n", "1\n", "2\n", "1\n", "3\n"]
    assert "make room" in said[5] and said[5].endswith("1\n")


def test_kernels_that_all_work_are_waited_for(probed, tmp_path) -> None:
    async def work(sandbox: Sandbox, kernels: KernelPool, tools: CodeTools) -> list[ToolResult]:
        agents = [
            code_tools(sandbox, Workspace.of(tmp_path, f"main/{n}"), Context(f"main/{n}"), kernels=kernels)
            for n in range(3)
        ]
        return await asyncio.gather(*(run(tools, "import time; time.sleep(0.05); print('done')") for tools in agents))

    assert [one.text for one in with_kernels(probed, tmp_path, work, most=1)] == ["done\n"] * 3


def test_idle_kernels_end(probed, tmp_path) -> None:
    async def work(sandbox: Sandbox, kernels: KernelPool, tools: CodeTools) -> ToolResult:
        await run(tools, "x = 1")
        while kernels.alive:
            await asyncio.sleep(0.02)
        return await run(tools, "'x' in globals()")

    result = with_kernels(probed, tmp_path, work, idle_seconds=0.2)
    assert "not used for 0.2 s" in result.text and result.text.endswith("False\n")


def test_a_cancelled_call_leaves_no_kernel_at_work(probed, tmp_path) -> None:
    async def work(sandbox: Sandbox, kernels: KernelPool, tools: CodeTools) -> ToolResult:
        await run(tools, "x = 1")
        task = asyncio.create_task(run(tools, "import time; time.sleep(60)"))
        await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert kernels.alive == 0
        return await run(tools, "2")

    result = with_kernels(probed, tmp_path, work)
    assert "its call was stopped" in result.text and result.text.endswith("2\n")


def test_a_resumed_agent_is_told_that_variables_are_lost(probed, tmp_path) -> None:
    async def work(sandbox: Sandbox, kernels: KernelPool, tools: CodeTools) -> list[ToolResult]:
        resumed = code_tools(
            sandbox, Workspace.of(tmp_path, "main/2"), Context("main/2", [{"ipython": 3}]), kernels=kernels
        )
        return [await run(resumed, "1"), await run(resumed, "2")]

    first, second = with_kernels(probed, tmp_path, work)
    assert "the run was interrupted" in first.text and second.text == "2\n"


def test_a_missing_package_names_the_extra(monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "jupyter_client", None)
    with pytest.raises(ConfigError, match=r"manyeyes\[code\]"):
        KernelPool(None)  # pyright: ignore[reportArgumentType]


def test_the_best_form_of_something_displayed_is_taken() -> None:
    assert shown_of({"image/png": "AAEC", "text/plain": "x"}) == Shown("png", content=b"\0\1\2")
    assert shown_of({"image/png": "!", "text/plain": "x"}) == Shown("text", "x\n")
    assert shown_of({"image/png": 3, "text/markdown": "*x*"}) == Shown("text", "*x*\n")
    done = Executed()
    assert take({"msg_type": "stream", "content": {"text": "abc"}}, done, most=4)
    assert not take({"msg_type": "stream", "content": {"text": "def"}}, done, most=4)
    assert "".join(one.text for one in done.shown) == "abcd"


def test_too_many_and_broken_pictures_are_said() -> None:
    broken = shown_parts([Shown("png", content=b"no picture")])
    assert isinstance(broken[0], TextPart) and "cannot be shown" in broken[0].text
    many = shown_parts([Shown("png", content=b"x")] * (MOST_PICTURES + 1))
    assert many[-1] == TextPart("[one more picture, not shown]\n")
    assert result_of(Executed(), lost="", seconds=1, most=1).text == "[no output]"
