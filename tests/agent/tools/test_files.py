"""Files: what is read is what is there, edits hit one passage, nothing outside the folders is reached."""

import asyncio
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.agent.tools.files import (
    LETTERS_A_VIEW,
    LINES_A_VIEW,
    LONGEST_LINE,
    MOST_FOUND,
    MOST_LINES,
    MOST_LISTED,
    file_tools,
)
from manyeyes.agent.toolset import ToolResult
from manyeyes.agent.workspace import Workspace
from manyeyes.core.messages import ToolCall


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.of(tmp_path / "run", "main")


def call(workspace: Workspace, name: str, **arguments: object) -> ToolResult:
    return asyncio.run(file_tools(workspace).call(ToolCall.of(name, arguments, index=0)))


def test_every_folder_is_listed_with_sizes(workspace: Workspace) -> None:
    (workspace.inputs / "data").mkdir()
    (workspace.inputs / "data/table.csv").write_bytes(b"a,b\n1,2\n")
    (workspace.artefacts / "result-main-3.md").write_bytes(b"x" * 1234)
    assert call(workspace, "list_files").text.splitlines() == [
        "/inputs/data/table.csv  8 bytes",
        "/artefacts/result-main-3.md  1,234 bytes",
        "/workspace  (no files)",
    ]
    assert call(workspace, "list_files", folder="/inputs/data/table.csv").text == "/inputs/data/table.csv  8 bytes"
    missing = call(workspace, "list_files", folder="/inputs/nowhere")
    assert missing.failure == "refused" and "there is no /inputs/nowhere" in missing.text


def test_a_long_listing_says_that_it_goes_on(workspace: Workspace) -> None:
    for number in range(MOST_LISTED + 1):
        (workspace.inputs / f"{number:04}.txt").touch()
    *listed, last = call(workspace, "list_files", folder="/inputs").text.splitlines()
    assert len(listed) == MOST_LISTED and listed[-1] == "/inputs/0499.txt  0 bytes" and "only the first" in last


def test_a_file_is_read_in_numbered_lines_page_by_page(workspace: Workspace) -> None:
    lines = [f"row {number}" for number in range(1, 2 * LINES_A_VIEW + 11)]
    (workspace.artefacts / "result-main-3.md").write_text("\r\n".join(lines) + "\r\n")
    read, line = [], 1
    while True:
        name, *shown, last = call(workspace, "read_file", path="/artefacts/result-main-3.md", line=line).text.split(
            "\n"
        )
        assert name == "/artefacts/result-main-3.md"
        read += shown
        if "go on with line=" not in last:
            break
        line = int(last.partition("line=")[2].rstrip(")"))
    assert read == [f"L{number}: {text}" for number, text in enumerate(lines, 1)]
    assert last == f"(lines 401-410 of {len(lines)})"


def test_long_lines_are_clipped_and_a_view_stays_short(workspace: Workspace) -> None:
    (workspace.work / "wide.txt").write_text("\n".join(["y" * 100_000] * 50))
    text = call(workspace, "read_file", path="wide.txt").text
    assert f"{'y' * LONGEST_LINE}… (98,000 more characters)" in text
    assert len(text) < LETTERS_A_VIEW + 2 * LONGEST_LINE and "go on with line=12" in text


@pytest.mark.parametrize(("content", "said"), [
    (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "a picture; read_media shows it"),
    (b"\0\0\0\x20ftypisom\0\0", "a video; read_media shows it"),
    (b"\x80\x81\x82\x83" * 50, "no text in UTF-8"),
    (b"PK\x03\x04\0\0", "an archive"),
])  # fmt: skip
def test_what_is_no_text_is_told_to_be_none(workspace: Workspace, content: bytes, said: str) -> None:
    (workspace.inputs / "thing").write_bytes(content)
    result = call(workspace, "read_file", path="/inputs/thing")
    assert result.failure == "refused" and said in result.text


def test_encodings_and_edges(workspace: Workspace) -> None:
    (workspace.work / "a").write_bytes("é\n二\n".encode("utf-16"))
    assert "L1: é\nL2: 二\n" in call(workspace, "read_file", path="a").text
    (workspace.work / "b").write_bytes(b"\xef\xbb\xbfcaf\xe9 " + b"plain text " * 9)
    assert "caf� plain" in call(workspace, "read_file", path="b").text
    (workspace.work / "c").write_bytes(b"")
    assert call(workspace, "read_file", path="c").text == "/workspace/c is empty"
    assert "L2: 二" in call(workspace, "read_file", path="a", line=99).text


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=200))
def test_what_was_written_is_read(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    workspace = Workspace.of(tmp_path_factory.mktemp("run"), "main")
    assert not call(workspace, "write_file", path="/artefacts/deep/er/x.md", text=text).failure
    assert workspace.read("/artefacts/deep/er/x.md", most=1000) == text.encode()
    shown = call(workspace, "read_file", path="/artefacts/deep/er/x.md").text.split("\n")
    numbered = [line.partition(": ")[2] for line in shown if line.startswith("L")]
    assert "\n".join(numbered) == text.removesuffix("\n").removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}")


def test_files_that_outlive_the_agent_are_noted(workspace: Workspace) -> None:
    assert call(workspace, "write_file", path="/artefacts/a.md", text="one").data == {"files": ["/artefacts/a.md"]}
    assert call(workspace, "edit_file", path="/artefacts/a.md", old="one", new="two").data["files"] == [
        "/artefacts/a.md"
    ]
    assert call(workspace, "write_file", path="a.md", text="one").data == {}
    assert call(workspace, "write_file", path="/inputs/a.md", text="one").failure == "refused"


def test_an_edit_hits_exactly_one_passage(workspace: Workspace) -> None:
    (workspace.work / "f.py").write_bytes(b"x = 1\r\ny = 1\r\n")
    assert "2 times" in call(workspace, "edit_file", path="f.py", old="= 1", new="= 2").text
    assert r"its lines end with \r\n" in call(workspace, "edit_file", path="f.py", old="1\ny", new="2").text
    assert "empty" in call(workspace, "edit_file", path="f.py", old="", new="2").text
    assert (workspace.work / "f.py").read_bytes() == b"x = 1\r\ny = 1\r\n"
    assert not call(workspace, "edit_file", path="f.py", old="y = 1", new="y = 3").failure
    assert (workspace.work / "f.py").read_bytes() == b"x = 1\r\ny = 3\r\n"


def test_a_text_is_found_whatever_its_case_and_other_files_are_counted(workspace: Workspace) -> None:
    (workspace.inputs / "a.csv").write_text("Name,Capital\nIceland,REYKJAVIK\n")
    (workspace.artefacts / "notes.md").write_text("reykjavik again\n")
    (workspace.inputs / "b.bin").write_bytes(b"\0reykjavik")
    assert call(workspace, "search_files", text="Reykjavik").text.splitlines() == [
        "/inputs/a.csv:2: Iceland,REYKJAVIK",
        "/artefacts/notes.md:1: reykjavik again",
        "(2 lines in 2 text files hold 'Reykjavik'; 1 files are no text or too large)",
    ]
    assert call(workspace, "search_files", text="Reykjavik", folder="/workspace").text.startswith("(0 lines in 0 text")


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/passwd", "/inputs/../../secret", "/workspace/link", "/workspace/out/secret"]
)
def test_nothing_outside_is_reached(workspace: Workspace, tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_text("a secret")
    (workspace.work / "link").symlink_to(tmp_path / "secret")
    (workspace.work / "out").symlink_to(tmp_path)
    for tool, more in (("read_file", {}), ("write_file", {"text": "x"}), ("edit_file", {"old": "a", "new": "b"})):
        if (tool, name) == ("write_file", "/workspace/link"):
            continue  # replaces the link itself, see below
        result = call(workspace, tool, path=name, **more)
        assert result.failure == "refused" and "a secret" not in result.text
    assert "secret" not in call(workspace, "list_files", folder="/workspace").text.replace("/workspace/link", "")
    assert (tmp_path / "secret").read_text() == "a secret"


def test_writing_at_a_link_replaces_the_link_and_not_what_it_leads_to(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("a secret")
    (workspace.work / "link").symlink_to(tmp_path / "secret")
    assert not call(workspace, "write_file", path="link", text="mine").failure
    assert (tmp_path / "secret").read_text() == "a secret"
    assert not (workspace.work / "link").is_symlink() and (workspace.work / "link").read_text() == "mine"


def test_a_text_that_stands_everywhere_is_not_gathered_whole(workspace: Workspace) -> None:
    (workspace.work / "many.txt").write_bytes(b"aa\n" * 300_000)
    tracemalloc.start()
    try:
        found = call(workspace, "search_files", text="a", folder="/workspace")
        largest = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(found.text.splitlines()) == MOST_FOUND + 1 and "there are more" in found.text
    assert largest < 40 * 2**20, largest


def test_a_file_of_too_many_lines_is_refused(workspace: Workspace) -> None:
    (workspace.work / "many.txt").write_bytes(b"\n" * (MOST_LINES + 1))
    for name, arguments in (
        ("read_file", {"path": "many.txt"}),
        ("search_files", {"text": "a", "folder": "/workspace"}),
    ):
        assert "lines; 2,000,000" in (told := call(workspace, name, **arguments).text) or "1 files are no text" in told
