"""A file is there whole or not at all, and no link is written through."""

import os
from pathlib import Path

import pytest

from manyeyes.agent.tools.unfinished import LONGEST_NAME, Unfinished
from manyeyes.agent.workspace import PathRefused, Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.of(tmp_path / "run", "main")


def test_a_file_that_is_not_finished_leaves_nothing_and_keeps_the_old(workspace: Workspace) -> None:
    workspace.write("/workspace/kept", b"old")
    with pytest.raises(RuntimeError), Unfinished(workspace, "/workspace/kept") as new:
        new.file.write(b"new")
        assert workspace.read("/workspace/kept", most=10) == b"old"
        raise RuntimeError
    assert os.listdir(workspace.work) == ["kept"] and workspace.read("/workspace/kept", most=10) == b"old"


def test_a_finished_file_takes_the_name_or_a_number_behind_it(workspace: Workspace) -> None:
    for content, number, name in ((b"1", False, "a.txt"), (b"2", False, "a.txt"), (b"3", True, "a-2.txt"),
                                  (b"4", True, "a-3.txt")):  # fmt: skip
        with Unfinished(workspace, "/artefacts/deep/a.txt") as new:
            new.file.write(content)
            assert new.finish(number=number) == f"/artefacts/deep/{name}"
        assert workspace.read(f"/artefacts/deep/{name}", most=10) == content
    assert sorted(os.listdir(workspace.artefacts / "deep")) == ["a-2.txt", "a-3.txt", "a.txt"]


def test_names_that_cannot_be_are_refused_and_leave_nothing(workspace: Workspace) -> None:
    (workspace.work / "folder").mkdir()
    with (
        pytest.raises(PathRefused, match="folder cannot be written"),
        Unfinished(workspace, "/workspace/folder") as new,
    ):
        new.finish()
    for name in ("/workspace", "/inputs/x", "/etc/x", "../x", "x" * (LONGEST_NAME + 1)):
        with pytest.raises(PathRefused):
            Unfinished(workspace, name)
    assert os.listdir(workspace.work) == ["folder"] and not os.listdir(workspace.inputs)


def test_a_folder_that_becomes_a_link_on_the_way_is_not_followed(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    with pytest.raises(PathRefused, match="link"), Unfinished(workspace, "/workspace/folder/a") as new:
        (workspace.work / "folder").rename(workspace.work / "moved")
        (workspace.work / "folder").symlink_to(tmp_path / "outside")
        new.finish()
    assert os.listdir(tmp_path / "outside") == []


def test_a_link_at_the_name_is_replaced_and_what_it_leads_to_stays(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("a secret")
    (workspace.work / "link").symlink_to(tmp_path / "secret")
    with Unfinished(workspace, "/workspace/link") as new:
        new.file.write(b"mine")
        new.finish()
    assert (tmp_path / "secret").read_text() == "a secret" and not (workspace.work / "link").is_symlink()
