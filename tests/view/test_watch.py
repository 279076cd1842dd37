import io
import time

import pytest
from rich.console import Console

from manyeyes.core.runlog import RunFolder, RunFolderError
from manyeyes.view.fake_run import config_of, fake_run
from manyeyes.view.history import History
from manyeyes.view.watch import Follower, follow, snapshot


def drawn(follower: Follower, now: float | None = None) -> str:
    console = Console(file=io.StringIO(), width=110, color_system=None)
    console.print(snapshot(follower, follower.history.last_time if now is None else now))
    return console.file.getvalue()  # type: ignore[attr-defined]


def step(folder: RunFolder, number: int, loss: float = 2.0) -> None:
    folder.log("train", number, stage="text", stage_step=number, loss=loss, tokens=10, seconds=1.0)


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    return RunFolder.create(tmp_path / "run", config_of())


def test_rows_come_as_they_are_written(folder) -> None:
    follower = Follower(folder)
    assert not follower.poll() and "no step yet" in drawn(follower)
    step(folder, 1)
    assert follower.poll() and follower.history.step == 1
    assert not follower.poll()
    step(folder, 2)
    assert follower.poll() and follower.history.step == 2


def test_what_did_not_go_as_planned_stands_beside_the_stage(folder) -> None:
    follower = Follower(folder)
    folder.log("quarantine", 1, stage="text", source="web", index=3, epoch=0, reason="cut short")
    step(folder, 1)
    follower.poll()
    assert "1 record replaced" in drawn(follower) and "used up" not in drawn(follower)
    folder.log("used_up", 1, stage="text", stage_step=1)
    follower.poll()
    assert "data used up, 1 record replaced" in drawn(follower)
    (text,) = (stage for stage in follower.history.stages if stage.plan.name == "text")
    assert text.done and text.step < text.steps
    folder.log("quarantine", 1, stage="text", source="web", index=3, epoch=0, reason="cut short")  # resumed
    step(folder, 1)
    follower.poll()
    (text,) = (stage for stage in follower.history.stages if stage.plan.name == "text")
    assert text.notes == "1 record replaced"


def losses(history: History) -> list[float]:
    return [row.values["loss"] for row in history.train]


def rewound(folder: RunFolder, upto: int, loss: float, rows: int) -> None:
    """What a resume does: the log loses its end, and grows again."""
    text = folder.metrics_path.read_text().splitlines(keepends=True)
    folder.close()
    folder.rewind(sum(len(line.encode()) for line in text[:upto]))
    for number in range(upto + 1, rows + 1):
        step(folder, number, loss)


@pytest.mark.parametrize("rows", [3, 5, 6, 7, 12])
def test_a_rewound_log_is_followed(folder, rows) -> None:
    """Whether it is now shorter, as long or longer than when it was last read, and wherever the old end falls."""
    follower = Follower(folder)
    for number in range(1, 7):
        step(folder, number, 1.25)
    follower.poll()
    rewound(folder, 2, 0.123456789, rows)
    follower.poll()
    follower.poll()
    assert losses(follower.history) == losses(History.read(folder)) == [1.25] * 2 + [0.123456789] * (rows - 2)


def test_a_log_that_is_begun_anew_is_followed(folder) -> None:
    follower = Follower(folder)
    for number in range(1, 7):
        step(folder, number)
    follower.poll()
    folder.rewind(0)
    folder.log("start", 0, device="cpu")
    step(folder, 1)
    follower.poll()
    assert follower.history.step == 1 and follower.history.start


def test_a_damaged_log_is_an_error_that_says_so(folder) -> None:
    folder.metrics_path.write_text("3\n")
    with pytest.raises(RunFolderError, match="line 1 is not a metrics row"):
        Follower(folder).poll()


@pytest.mark.parametrize("upto", [0.0, 0.01, 0.3, 0.7, 1.0])
def test_every_moment_of_a_run_has_a_picture(tmp_path, upto) -> None:
    follower = Follower(fake_run(tmp_path / "run", scale=0.1, upto=upto))
    follower.poll()
    text = drawn(follower)
    assert ("finished" in text) == (upto == 1.0) and ("left" in text) == (0 < upto < 1)
    if upto == 1.0:
        assert "blind 67.0%" in text and "grounding" in text


def test_a_silent_run_is_doubted_and_a_finished_one_is_not(tmp_path) -> None:
    follower = Follower(fake_run(tmp_path / "part", scale=0.1, upto=0.5))
    follower.poll()
    assert "was it stopped?" in drawn(follower, follower.history.last_time + 1000)
    assert "was it stopped?" not in drawn(follower, follower.history.last_time + 5)
    follower = Follower(fake_run(tmp_path / "done", scale=0.1))
    follower.poll()
    assert "was it stopped?" not in drawn(follower, follower.history.last_time + 1000)


def test_it_follows_to_the_end_and_tells_of_evaluations(folder) -> None:
    rest = [
        lambda: step(folder, 1),
        lambda: folder.log("evaluation", 1, stage="text", final=True, **{"text/loss": 3.0}),
        lambda: folder.log("finished", 1, seconds=1.0),
    ]
    news: list[int] = []
    console = Console(file=io.StringIO(), width=110, force_terminal=True)
    history = follow(
        folder, console, on_news=lambda seen: news.append(len(seen.evaluations)), sleep=lambda _: rest.pop(0)()
    )
    assert history.finished and news == [1] and not rest


def test_markup_and_controls_in_names_stay_text(tmp_path) -> None:
    folder = RunFolder.create(tmp_path / "run", {"name": "[red]x\x1b[2J", "stages": []})
    folder.log("train", 1, stage="[bold]\x1b[2J", stage_step=1, loss=1.0, tokens=1, seconds=1.0)
    folder.log("evaluation", 1, **{"[red]set/[blue]score\x1b": 0.5})
    follower = Follower(folder)
    follower.poll()
    text = drawn(follower, time.time())
    assert "\x1b" not in text and "[red]x" in text and "[bold]" in text and "[blue]score" in text
