"""`shell`: what is kept between commands, what the model reads, and what hostile code cannot do to the tool."""

import asyncio
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.agent.sandbox_limits import SandboxLimits
from manyeyes.agent.sandbox_probe import open_sandbox
from manyeyes.agent.sandbox_process import Ran
from manyeyes.agent.tools.code import CodeTools, code_tools
from manyeyes.agent.tools.shell import LONGEST_SHOWN, Shell, clipped, plain, told
from manyeyes.agent.toolset import ToolResult
from manyeyes.agent.workspace import Workspace
from manyeyes.core.messages import ToolCall


class Context:
    agent = "main/1"

    def __init__(self, noted=()) -> None:
        self.noted = list(noted)


def results(probed, run: Path, commands, *, noted=(), unsafe=False, **limits) -> list[ToolResult]:
    """Results of commands of one agent, in order."""

    async def go() -> list[ToolResult]:
        sandbox = await open_sandbox(probed=probed, unsafe=unsafe, limits=SandboxLimits(**limits))
        tools = code_tools(sandbox, Workspace.of(run, "main/1"), Context(noted))
        try:
            await tools.open()
            return [await call(tools, one) for one in commands]
        finally:
            await tools.close()
            await sandbox.close()

    return asyncio.run(go())


async def call(tools: CodeTools, command) -> ToolResult:
    arguments = {"command": command} if isinstance(command, str) else command
    return await tools.call(ToolCall.of("shell", arguments, index=0))


def test_folder_and_exported_variables_are_kept_and_processes_are_not(probed, tmp_path) -> None:
    odd = 'it\'s "odd" $HOME\n`x`\\ ü'
    first, second, third = results(
        probed,
        tmp_path,
        [
            f"mkdir -p a/b; cd a/b; export ODD={shell_quoted(odd)} EMPTY=; local=1; sleep 99 & exit 3",
            'printf "%s|" "$ODD" "${EMPTY-unset}" "${local-unset}"; pwd; jobs; unset ODD; cd ..',
            'echo "${ODD-unset}"; pwd; rmdir b; cd /workspace; rm -r a',
        ],
    )
    assert first.text == "[exit status 3]" and not first.failure and first.data["status"] == 3
    assert second.text == f"{odd}||unset|/workspace/a/b"
    assert third.text == "unset\n/workspace/a"
    assert first.data["shell"] == {"cwd": "/workspace/a/b", "env": {"ODD": odd, "EMPTY": ""}}
    assert "shell" not in results(probed, tmp_path, ["true"])[0].data


def shell_quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def test_an_interrupted_agent_finds_folder_and_variables_again(probed, tmp_path) -> None:
    first = results(probed, tmp_path, ["mkdir -p deep && cd deep && export KEPT=yes", "true"])
    again = results(probed, tmp_path, ["pwd; echo $KEPT"], noted=[one.data for one in first])[0]
    assert again.text == "/workspace/deep\nyes"
    gone = results(probed, tmp_path, ["cd /workspace; rm -r deep", "pwd"], noted=[first[0].data])[1]
    assert gone.text == "/workspace"


def test_a_folder_that_is_gone_is_left(probed, tmp_path) -> None:
    assert results(probed, tmp_path, ["mkdir x; cd x; rmdir /workspace/x", "pwd"])[1].text == "/workspace"


def test_a_command_that_takes_too_long_is_stopped_with_what_it_printed(probed, tmp_path) -> None:
    late, after = results(
        probed, tmp_path, [{"command": "cd /tmp; echo before; sleep 60; echo after", "seconds": 0.7}, "pwd"]
    )
    assert late.failure == "timeout" and late.text == "before\n[stopped: it took longer than 0.7 s]"
    assert after.text == "/workspace"


def test_endless_output_is_stopped_and_clipped(probed, tmp_path) -> None:
    result = results(probed, tmp_path, ["yes"], output_bytes=50_000)[0]
    assert len(result.text) < LONGEST_SHOWN + 300 and "printed more than 50,000 bytes" in result.text
    assert "characters left out" in result.text and not result.failure


def test_new_and_changed_artefacts_are_named(probed, tmp_path) -> None:
    made, changed, same = results(
        probed,
        tmp_path,
        [
            "mkdir /artefacts/sub; echo 1 > /artefacts/a.txt; echo 2 > /artefacts/sub/b.txt; echo 3 > own.txt; "
            "ln -s /etc/passwd /artefacts/link; touch \"$(printf '/artefacts/bad\\377name')\"",
            "echo 2 >> /artefacts/a.txt",
            "cat /artefacts/a.txt",
        ],
    )
    assert made.data["files"] == ["/artefacts/a.txt", "/artefacts/sub/b.txt"]
    assert changed.data["files"] == ["/artefacts/a.txt"] and "files" not in same.data


def test_long_and_broken_commands_come_back_as_values(probed, tmp_path) -> None:
    long, broken, empty, late = results(
        probed,
        tmp_path,
        [
            f"cat <<'END' | wc -c\n{'x' * 300_000}\nEND",
            "if then",
            {"command": "  "},
            {"command": "true", "seconds": 1e9},
        ],
    )
    assert long.text == "300001"
    assert "syntax error" in broken.text and "[exit status 2]" in broken.text
    assert empty.failure == late.failure == "bad_arguments"


def test_what_code_leaves_for_the_tool_is_not_followed(probed, tmp_path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("/of/the/host")
    victim = tmp_path / "victim"
    victim.write_text("unchanged")
    link, pipe, large, folder, forged = results(
        probed,
        tmp_path,
        [
            f"trap - EXIT; ln -sf {secret} /run/agent/cwd; "
            f"for n in command begin; do ln -sf {victim} /run/agent/$n; done",
            "trap - EXIT; mkfifo /run/agent/cwd /run/agent/env; echo ran",
            "trap - EXIT; head -c 9M /dev/zero > /run/agent/env; echo /workspace > /run/agent/cwd; echo ran",
            "trap - EXIT; mkdir -p /run/agent/cwd/$(printf 'd/%.0s' $(seq 50)); echo ran",
            "trap - EXIT; echo '/workspace; touch /workspace/evil' > /run/agent/cwd; "
            "printf 'A=1\\0B;touch /workspace/evil=2\\0C=$(touch /workspace/evil)\\0' > /run/agent/env; echo ran",
        ],
    )
    assert all("shell" not in one.data for one in (link, pipe, folder))
    assert [one.text for one in (pipe, large, folder, forged)] == ["ran"] * 4
    assert forged.data["shell"]["env"] == {"A": "1", "C": "$(touch /workspace/evil)"}
    after = results(probed, tmp_path, ['echo "$C"; ls /workspace'], noted=[forged.data])[0]
    assert after.text == "$(touch /workspace/evil)" and victim.read_text() == "unchanged"
    assert not list(tmp_path.glob("eyes-*"))


def test_calls_of_one_agent_wait_for_each_other(probed, tmp_path) -> None:
    async def go() -> list[str]:
        sandbox = await open_sandbox(probed=probed)
        shell = Shell(sandbox, Workspace.of(tmp_path, "main/1"))
        try:
            command = "n=$(cat n 2>/dev/null || echo 0); sleep 0.05; echo $((n + 1)) > n; cat n"
            done = await asyncio.gather(*(shell.run(command, seconds=30) for _ in range(4)))
            return [one.text for one in done]
        finally:
            await sandbox.close()

    assert asyncio.run(go()) == ["1", "2", "3", "4"]


def test_code_is_not_repeatable_and_says_where_it_runs(probed, tmp_path) -> None:
    async def go() -> tuple[CodeTools, CodeTools]:
        safe, unsafe = await open_sandbox(probed=probed), await open_sandbox(unsafe=True)
        workspace = Workspace.of(tmp_path, "main/1")
        try:
            return code_tools(safe, workspace, Context()), code_tools(unsafe, workspace, Context())
        finally:
            await safe.close()
            await unsafe.close()

    safe, unsafe = asyncio.run(go())
    assert safe.repeatable == frozenset() and [one.name for one in safe.tools] == ["shell"]
    assert "in a sandbox without network" in safe.tools[0].description
    assert "without a sandbox" in unsafe.tools[0].description
    assert set(safe.tools[0].parameters["properties"]) == {"command", "seconds"}


def test_without_a_sandbox_the_folders_are_variables(tmp_path) -> None:
    first, second = results(
        None, tmp_path, ["echo kept > $ARTEFACTS/a.txt; mkdir x; cd x; export A=b", "pwd; echo $A"], unsafe=True
    )
    assert first.data["files"] == ["/artefacts/a.txt"]
    inside = Workspace.of(tmp_path, "main/1").work / "x"
    assert second.text == f"{inside}\nb" and os.environ.get("A") != "b"


@given(st.text(max_size=300), st.integers(2, 100))
def test_clipped_keeps_both_ends(text: str, most: int) -> None:
    shown = clipped(text, most)
    half = most // 2
    assert shown == text if len(text) <= most else shown.startswith(text[:half]) and shown.endswith(text[-half:])


@given(st.text())
def test_plain_text_is_left_alone(text: str) -> None:
    kept = "".join(letter for letter in text if letter not in "\x1b\r\0")
    assert plain(kept) == kept


def test_nothing_printed_is_said() -> None:
    assert told(Ran(0, b""), 100) == "[no output]"
    assert told(Ran(0, b"a\xff\n"), 100) == "a\ufffd"


@pytest.mark.parametrize("text", ["a" * 1_000_000, "\x1b[" * 500_000, "\x1b]a" * 300_000, "\r" * 1_000_000])
def test_a_long_line_takes_no_time_that_grows_with_its_square(text) -> None:
    began = time.process_time()
    plain(text)
    assert time.process_time() - began < 10
