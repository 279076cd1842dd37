import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.core.runlog import Row
from manyeyes.view.fake_run import STAGES, config_of, fake_run, rows_of
from manyeyes.view.held_out_figures import held_out_sets
from manyeyes.view.history import History, curve, loss_parts

SHORT = tuple(stage._replace(steps=max(2, stage.steps // 20)) for stage in STAGES)
ROWS = list(rows_of(SHORT))


def whole() -> History:
    history = History(config_of(SHORT))
    history.extend(ROWS)
    return history


def same(one: History, other: History) -> bool:
    return (one.train, one.evaluations, one.finished, one.left) == (
        other.train, other.evaluations, other.finished, other.left
    )  # fmt: skip


def test_a_finished_run() -> None:
    history = whole()
    assert history.finished and history.step == history.steps == sum(stage.steps for stage in SHORT)
    assert [stage.plan.name for stage in history.stages] == [stage.name for stage in SHORT]
    assert all(stage.done for stage in history.stages) and history.left == 0
    assert history.tokens == sum(stage.tokens for stage in history.stages)


@given(st.lists(st.integers(0, len(ROWS)), max_size=4).map(sorted))
def test_reading_bit_by_bit_is_reading_at_once(cuts) -> None:
    history = History(config_of(SHORT))
    for start, end in zip([0, *cuts], [*cuts, len(ROWS)], strict=True):
        history.extend(ROWS[start:end])
    assert same(history, whole())


@given(st.integers(1, len(ROWS) - 1), st.integers(1, len(ROWS) - 1))
def test_a_rewound_log_reads_as_the_uninterrupted_one(killed, resumed) -> None:
    """Killed after some rows, resumed at a checkpoint before them: what it writes again replaces what it wrote."""
    train = [at for at, row in enumerate(ROWS) if row.kind == "train"]
    again = train[min(killed, resumed) % len(train)]
    history = History(config_of(SHORT))
    history.extend(ROWS[: max(killed, again)])
    history.extend(ROWS[again:])
    assert (history.train, history.evaluations, history.finished) == (
        whole().train,
        whole().evaluations,
        whole().finished,
    )


def test_a_new_start_forgets_everything() -> None:
    history = whole()
    history.extend(ROWS[:5])
    assert len(history.train) == 4 and history.finished is None and not history.evaluations


def test_rows_that_no_run_writes_are_passed_over() -> None:
    history = History({"stages": 7})
    history.extend([Row("train", "x", 0.0, {}), Row("train", 1, "y", {}), Row("odd", 1, 0.0, {})])  # type: ignore[arg-type]
    history.extend([Row("train", 1, 0.0, {"loss": "high", "seconds": math.nan, "tokens": True})])
    assert history.step == 1 and history.tokens == 0 and curve(history.train, "loss") == ([], [])


def test_loss_parts_come_whole_first_and_without_copies() -> None:
    rows = [row for row in ROWS if row.kind == "train"]
    assert loss_parts(row for row in rows if row.values["stage"] == "vit") == ["loss", "siglip", "caption"]
    assert loss_parts(row for row in rows if row.values["stage"] == "joint") == ["loss", "text", "vision"]
    assert loss_parts(row for row in rows if row.values["stage"] == "text") == ["loss"]


def test_sets_are_known_by_their_scores() -> None:
    sets = {one.name: one for one in held_out_sets(whole())}
    kinds = {name: one.kind for name, one in sets.items()}
    assert kinds == {
        "text": "loss", "code": "loss", "knowledge": "answers", "vqa": "typed", "ocr": "reading",
        "counting": "counting", "grounding": "boxes",
    }  # fmt: skip
    assert sets["vqa"].blind == 0.67 and "blind" not in sets["vqa"].scores and sets["vqa"].questions == 2000
    assert sets["vqa"].source == "easy_vqa"
    error = sets["vqa"].standard_error("exact")
    share = sets["vqa"].newest["exact"].value
    assert error == pytest.approx(math.sqrt(share * (1 - share) / 2000))
    assert sets["vqa"].standard_error("exact colour") is None


def test_the_newest_figure_counts() -> None:
    rows = [row for row in ROWS if row.kind == "evaluation"]
    (text,) = (one for one in held_out_sets(whole()) if one.name == "text")
    assert text.newest["loss"].value == rows[-1].values["text/loss"] and text.newest["loss"].final


def test_a_folder_is_read_whole(tmp_path) -> None:
    folder = fake_run(tmp_path / "run", stages=SHORT)
    read = History.read(folder)
    assert same(read, whole())
