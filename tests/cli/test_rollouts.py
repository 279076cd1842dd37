"""`manyeyes rollouts`: what it prints is what the run's folder says."""

from pathlib import Path

import pytest

from manyeyes.agent.rollouts.snapshot import TRAJECTORIES
from manyeyes.cli.flags import parsed
from manyeyes.cli.rollouts import Options, main
from manyeyes.core.errors import ManyeyesError
from manyeyes.core.trajectory import AgentSpan, Trajectory
from manyeyes.core.trajectory_store import TrajectoryStore
from manyeyes.view.rollout_page_fake import write_rollouts


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rollouts(tmp_path_factory.mktemp("runs") / "mazes", groups=4, seconds=30)


def said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[int, str]:
    monkeypatch.setenv("COLUMNS", "160")
    status = main(parsed(Options, words, command="manyeyes rollouts", about=""))
    return status, capsys.readouterr().out


def test_a_run_is_found_by_its_name_and_told(run, capsys, monkeypatch) -> None:
    monkeypatch.setenv("MANYEYES_RUNS", str(run.parent))
    status, out = said(capsys, monkeypatch, "mazes")
    assert status == 0 and "16 trajectories" in out and "waiting for model" in out and "event loop" in out


def test_the_list_shows_what_is_asked_for(run, capsys, monkeypatch) -> None:
    _, every = said(capsys, monkeypatch, str(run), "list", "--order", "oldest")
    assert [line.split()[0] for line in every.splitlines()[1:17]] == [f"maze/{n // 4}/{n % 4}" for n in range(16)]
    _, best = said(capsys, monkeypatch, str(run), "list", "--min-reward", "1", "--limit", "2", "--order", "best")
    assert "not shown" in best and len(best.splitlines()) == 4 and "1.1" in best


def test_one_is_shown_turn_by_turn(run, capsys, monkeypatch) -> None:
    status, out = said(capsys, monkeypatch, str(run), "show", "maze/2/1")
    assert status == 0 and "turn 0  main  a root" in out and "main/0" in out and "tool shell" in out


def test_check_names_the_run_sound(run, capsys, monkeypatch) -> None:
    status, out = said(capsys, monkeypatch, str(run), "check")
    assert status == 0 and "16 trajectories: 0 errors" in out


def test_errors_come_before_warnings_of_which_not_all_are_shown(tmp_path, capsys, monkeypatch) -> None:
    with TrajectoryStore(tmp_path / TRAJECTORIES) as store:
        for number in range(70):
            store.append(Trajectory(f"a/{number}", "a", agents=[AgentSpan(), AgentSpan()], stop="done", reward=1.0))
        store.append(Trajectory("bad", "a", stop="done", reward=float("nan")))
    status, out = said(capsys, monkeypatch, str(tmp_path), "check", "--order", "oldest")
    assert status == 1 and out.startswith("error: bad: the reward") and "71 trajectories: 1 errors, 70 warnings" in out


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((), "which run"),
        (("RUN", "sho"), "there are: list, show, check, export"),
        (("RUN", "show"), "needs the name"),
        (("RUN", "list", "extra"), "needs the name"),
        (("RUN", "show", "maze/99/0"), "no trajectory 'maze/99/0'"),
        (("RUN", "export"), "say where to"),
        (("RUN", "list", "--order", "odd"), "newest"),
        (("RUN", "--web", "--port", "70000"), "--port"),
        (("nowhere",), "no run 'nowhere'"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(run, words, why, capsys, monkeypatch) -> None:
    with pytest.raises(ManyeyesError, match=why):
        said(capsys, monkeypatch, *(str(run) if word == "RUN" else word for word in words))


def test_a_folder_without_rollouts_is_told(tmp_path, capsys, monkeypatch) -> None:
    with pytest.raises(ManyeyesError, match="holds no rollouts"):
        said(capsys, monkeypatch, str(tmp_path))
