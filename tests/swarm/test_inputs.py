"""What the user gives beside the words: placed in the run, told to the main agent."""

import os
from pathlib import Path

import pytest

from manyeyes.agent.workspace import INPUTS, Workspace
from manyeyes.core.errors import ConfigError
from manyeyes.swarm.inputs import MOST_LISTED, place_inputs, said_of_inputs
from manyeyes.swarm.session import Session, SessionConfig


def given(folder: Path) -> Path:
    (folder / "data" / "deep").mkdir(parents=True)
    (folder / "data" / "a.csv").write_text("a,b\n1,2\n")
    (folder / "data" / "deep" / "clip.mp4").write_bytes(b"x" * 25_300_000)
    (folder / "data" / "AGENTS.md").write_text("Videos of 25 MB and more go to sub-agents.\n")
    (folder / "secret.txt").write_text("nobody's business")
    os.symlink(folder / "secret.txt", folder / "data" / "link.txt")
    return folder / "data"


def test_a_lone_folder_becomes_the_inputs_and_links_stay_out(tmp_path: Path) -> None:
    place_inputs([given(tmp_path)], tmp_path / "run" / "inputs")
    found = [entry.path for entry in Workspace.of(tmp_path / "run", "main").files(INPUTS)]
    assert found == ["/inputs/AGENTS.md", "/inputs/a.csv", "/inputs/deep/clip.mp4"]


def test_pipes_and_sockets_stay_out(tmp_path: Path, monkeypatch) -> None:
    def elsewhere(*_: object, **__: object) -> None:
        raise OSError("another file system")

    monkeypatch.setattr(os, "link", elsewhere)
    os.mkfifo(given(tmp_path) / "pipe")
    place_inputs([tmp_path / "data"], tmp_path / "run" / "inputs")
    assert sorted(path.name for path in (tmp_path / "run" / "inputs").iterdir()) == ["AGENTS.md", "a.csv", "deep"]


def test_a_file_that_cannot_be_copied_is_said(tmp_path: Path, monkeypatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "link", refused)
    monkeypatch.setattr("shutil.copy2", refused)
    with pytest.raises(ConfigError, match="AGENTS.md|a.csv|clip.mp4"):
        place_inputs([given(tmp_path)], tmp_path / "run" / "inputs")


def test_several_keep_their_names(tmp_path: Path) -> None:
    place_inputs([given(tmp_path), tmp_path / "secret.txt"], tmp_path / "run" / "inputs")
    found = [entry.path for entry in Workspace.of(tmp_path / "run", "main").files(INPUTS)]
    assert "/inputs/data/deep/clip.mp4" in found and "/inputs/secret.txt" in found and len(found) == 4


def test_a_run_folder_inside_the_inputs_does_not_hold_itself(tmp_path: Path) -> None:
    folder = given(tmp_path)
    place_inputs([folder], folder / "runs" / "r" / "inputs")
    assert not list((folder / "runs" / "r" / "inputs").rglob("inputs"))


@pytest.mark.parametrize(("names", "said"), [(["none"], "no such file"), (["a/x", "b/x"], "called 'x'")])
def test_what_cannot_be_placed_is_said_before_anything_is(tmp_path: Path, names: list[str], said: str) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x").write_text("x")
    with pytest.raises(ConfigError, match=said):
        place_inputs([tmp_path / name for name in names], tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_main_agent_is_told_of_files_and_of_the_guide(tmp_path: Path) -> None:
    session = Session.create(tmp_path / "run", SessionConfig("Watch them."), inputs=[given(tmp_path)])
    assert session.prompt.startswith("Watch them.\n\n") and "/inputs/deep/clip.mp4 (25.3 MB)" in session.prompt
    assert session.prompt.endswith("Follow it:\n\nVideos of 25 MB and more go to sub-agents.")
    assert Session.create(tmp_path / "other", SessionConfig("Only words.")).prompt == "Only words."


def test_a_long_list_is_cut(tmp_path: Path) -> None:
    (tmp_path / "many").mkdir()
    for number in range(MOST_LISTED + 5):
        (tmp_path / "many" / f"{number:04}.txt").write_text("x")
    place_inputs([tmp_path / "many"], tmp_path / "run" / "inputs")
    said = said_of_inputs(Workspace.of(tmp_path / "run", "main"), "en")
    assert "… and 5 more" in said and "0204.txt" not in said


def test_many_guides_are_named_once_they_would_fill_the_context(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / "data" / str(number)).mkdir(parents=True)
        (tmp_path / "data" / str(number) / "AGENTS.md").write_text(f"guide {number} " + "x" * 30_000)
    place_inputs([tmp_path / "data"], tmp_path / "run" / "inputs")
    said = said_of_inputs(Workspace.of(tmp_path / "run", "main"), "en")
    assert [f"guide {number} " in said for number in range(5)] == [True, True, False, False, False]
    assert "/inputs/4/AGENTS.md says how its folder" in said and len(said) < 70_000
