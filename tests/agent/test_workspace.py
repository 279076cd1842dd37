"""Names lead into the three folders or nowhere, whatever code has left there."""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.agent.workspace import DEEPEST, FileEntry, PathRefused, Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.of(tmp_path / "run", "main/1")


def test_a_relative_name_is_in_work_and_full_names_are_what_they_say(workspace: Workspace) -> None:
    assert workspace.write("a/b.txt", b"1") == "/workspace/a/b.txt"
    assert workspace.write("/artefacts/c.txt", b"22") == "/artefacts/c.txt"
    (workspace.inputs / "d.txt").write_bytes(b"333")
    assert (workspace.work / "a/b.txt").read_bytes() == b"1" and workspace.read("/inputs/d.txt", most=3) == b"333"
    assert list(workspace.files("/artefacts")) == [FileEntry("/artefacts/c.txt", 2)]
    with pytest.raises(PathRefused, match="3 bytes; 2 can be read"):
        workspace.read("/inputs/d.txt", most=2)


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "../x", "/workspace/../x", "a/../../x", "/", "//etc/passwd", "//workspace/x", "/workspaces/x", "",
     " ", "a\0b", "/artefacts/../workspace/x", "/proc/self/environ", "~/x/../../.."],
)  # fmt: skip
def test_names_outside_are_refused(workspace: Workspace, name: str) -> None:
    for mode in ("r", "w"):
        with pytest.raises(PathRefused):
            workspace.open(name, mode)


@given(st.text(alphabet="/.aw\\ork", max_size=20))
def test_no_name_leads_outside(name: str) -> None:
    folders = Workspace(Path("/r/inputs"), Path("/r/artefacts"), Path("/r/work/main"))
    try:
        place = folders.place(name)
    except PathRefused:
        return
    assert place.folder in (folders.inputs, folders.artefacts, folders.work) and ".." not in place.parts


def test_links_are_not_followed_anywhere_on_the_way(workspace: Workspace, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "f").write_text("secret")
    (workspace.work / "file").symlink_to(secret / "f")
    (workspace.work / "folder").symlink_to(secret)
    (workspace.work / "sub").mkdir()
    (workspace.work / "sub/dangling").symlink_to(secret / "new")
    for name in ("file", "folder/f", "folder/new", "sub/dangling"):
        for mode in ("r", "w", "a", "x"):
            with pytest.raises(PathRefused):
                workspace.open(name, mode)
    assert list(workspace.files()) == [] and [path.name for path in secret.iterdir()] == ["f"]
    with pytest.raises(PathRefused):
        list(workspace.files("folder"))


def test_inputs_cannot_be_written(workspace: Workspace) -> None:
    with pytest.raises(PathRefused, match="cannot be written"):
        workspace.write("/inputs/x", b"")


@pytest.mark.skipif(sys.platform == "win32", reason="needs named pipes")
def test_pipes_and_folders_are_not_files(workspace: Workspace) -> None:
    os.mkfifo(workspace.work / "pipe")
    (workspace.work / "folder").mkdir()
    for name in ("pipe", "folder", "/workspace"):
        for mode in ("r", "w"):
            with pytest.raises(PathRefused):
                workspace.open(name, mode)


def test_a_listing_survives_what_code_leaves(workspace: Workspace) -> None:
    (workspace.work / "good").write_text("x")
    (workspace.work / "two\nlines").write_text("x")
    with open(os.fsencode(workspace.work) + b"/\xff", "wb"):
        pass
    here = os.getcwd()
    try:
        os.chdir(workspace.work)
        for _ in range(1_200):
            os.mkdir("d")
            os.chdir("d")
    finally:
        os.chdir(here)
    (workspace.work.joinpath(*"d" * DEEPEST) / "last").write_text("x")
    found = [entry.path for entry in workspace.files()]
    assert found == [f"/workspace/{'d/' * DEEPEST}last", "/workspace/good"]
    os.system(f"rm -rf '{workspace.work}'")


def test_an_own_folder_for_each_agent(tmp_path: Path) -> None:
    first, second = Workspace.of(tmp_path, "main/1"), Workspace.of(tmp_path, "main/2")
    assert first.work != second.work and first.artefacts == second.artefacts and first.inputs == second.inputs
