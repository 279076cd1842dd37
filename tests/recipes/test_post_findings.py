"""What an experiment found: outcomes, curves of several seeds, attempts that make pairs."""

import math
from pathlib import Path

import pytest

from manyeyes.core.errors import DataError
from manyeyes.core.runlog import RunFolder
from manyeyes.recipes.reproduce.post_attempts import accuracy_within, attempts, pairs, trajectories
from manyeyes.recipes.reproduce.post_curves import Curve, curve, last_figures, mean_curve
from manyeyes.recipes.reproduce.post_ends import Steps, asked_of, ends_of, said, steps_on_both
from manyeyes.recipes.reproduce.post_findings import of_clusters, points, risen, threshold

from .post_toys import measured_attempt, store


@pytest.mark.parametrize(
    ("before", "after", "outcome"),
    [
        ([0.1, 0.2, 0.3], [0.3, 0.41, 0.5], "shown"),
        ([0.1, 0.2, 0.3], [0.3, 0.2, 0.5], "consistent, within noise"),  # one seed does not rise
        ([0.1, 0.2, 0.3], [0.11, 0.5, 0.31], "consistent, within noise"),  # the interval holds 0
        ([0.1, 0.2, 0.3], [0.1, 0.2, 0.3], "not shown"),
        ([0.3, 0.3, 0.3], [0.1, 0.2, 0.1], "not shown"),
        ([0.3], [0.9], "one seed only"),
    ],
)
def test_a_rise_is_shown_where_all_seeds_rise_beyond_noise(before, after, outcome) -> None:
    assert risen(before, after)[1] == outcome


def test_differences_of_a_cluster_count_as_one() -> None:
    alone = of_clusters([1.0, 0.0, 0.0, -1.0] * 100, range(400))
    assert alone.mean == 0 and alone.low == pytest.approx(-0.0694, abs=1e-3) and alone.seeds == 400
    twice = of_clusters([1.0, 0.0, 0.0, -1.0] * 200, [*range(400), *range(400)])  # the same questions once more
    assert twice.low == pytest.approx(alone.low) and twice.seeds == 400
    four = of_clusters([1.0, 0.0, 0.0, -1.0] * 100, [0, 1, 2, 3] * 100)
    assert four.low == pytest.approx(-1.96 * math.sqrt(2 / 3) / 2) and four.seeds == 4
    one = of_clusters([1.0, 0.0], ["q", "q"])
    assert math.isinf(one.low) and "one question" in points(one, of="questions")


def folder(path: Path, *rows: tuple[str, int, dict[str, float]]) -> RunFolder:
    made = RunFolder.create(path, {})
    for kind, step, values in rows:
        made.log(kind, step, **values)
    return made


def test_a_curve_has_the_steps_that_all_seeds_tell(tmp_path: Path) -> None:
    one = folder(tmp_path / "a", ("evaluation", 0, {"x": 0.2}), ("evaluation", 9, {"x": 0.4}), ("rl", 1, {"x": 9.0}))
    two = folder(
        tmp_path / "b", ("evaluation", 0, {"x": 0.4, "y": 1.0}), ("evaluation", 5, {"x": 0.6}),
        ("evaluation", 9, {"x": 0.8}),
    )  # fmt: skip
    found = curve([one, two], "x")
    assert (found.steps, found.first, found.last) == ([0, 9], [0.2, 0.4], [0.4, 0.8])
    drawn = found.series("a name", dashed=True)
    assert drawn["ys"] == [0.3, 0.6] and drawn["low"] == [0.2, 0.4] and drawn["high"] == [0.4, 0.8]
    assert curve([one], "x", kind="rl").last == [9.0]
    with pytest.raises(DataError, match="tell 'y'"):
        curve([one, two], "y")


@pytest.mark.parametrize("lost", [0, 9])
def test_a_curve_without_a_seeds_beginning_or_end_is_no_curve(tmp_path: Path, lost: int) -> None:
    one = folder(tmp_path / "a", *(("evaluation", step, {"x": 0.1, "y": 0.5}) for step in (0, 5, 9)))
    two = folder(
        tmp_path / "b", *(("evaluation", step, {"y": 0.5} | ({} if step == lost else {"x": 0.3})) for step in (0, 5, 9))
    )
    assert curve([one, two], "y").steps == [0, 5, 9]
    with pytest.raises(DataError, match=f"b: no 'x' was measured after step {lost}"):
        curve([one, two], "x")


def test_steps_are_compared_on_tasks_that_both_brought_to_an_end(tmp_path: Path) -> None:
    def arm(name: str, *ends: tuple[str, float], reward: float = 0.5) -> RunFolder:
        made = folder(tmp_path / name, ("evaluation", 0, {"final": True, "wide/stop_done": 0.5, "wide/stop_loop": 0.5}))
        tasks = [
            measured_attempt("wide", f"t/{n}", reward=reward, tokens=4, stop=stop, critical=steps)
            for n, (stop, steps) in enumerate(ends)
        ]
        store(made.path, tasks)
        return made

    alone = arm("a", ("done", 20.0), ("context_overflow", 3.0), ("done", 30.0))
    swarm = arm("b", ("done", 8.0), ("done", 6.0), ("turn_cap", 2.0))
    found = steps_on_both(asked_of([swarm]), asked_of([alone]), ["wide"])
    assert found == Steps([1], [8.0], [20.0]) and found.shares == [0.4] and found.everywhere
    assert steps_on_both(asked_of([swarm]), asked_of([alone]), ["deep"]).share is None
    hasty = asked_of([arm("c", ("done", 8.0), reward=0.4)])
    assert steps_on_both(hasty, asked_of([alone]), ["wide"]).tasks == [1]
    assert steps_on_both(hasty, asked_of([alone]), ["wide"], as_good=True).tasks == [0]
    assert steps_on_both(asked_of([swarm]), asked_of([alone]), ["wide"], as_good=True) == found
    assert said(ends_of([alone], "wide")) == "by itself or its budget 50 %, loop 50 %"
    with pytest.raises(DataError, match="no 'deep/stop_done' was measured"):
        ends_of([alone], "deep")


def test_what_is_reached_is_no_word_about_noise() -> None:
    assert [threshold(True, seeds=3), threshold(False, seeds=3), threshold(True, seeds=1)] == [
        "reached", "not reached", "one seed only",
    ]  # fmt: skip


def test_the_mean_of_curves_is_by_seed_and_at_common_steps() -> None:
    a = Curve([0, 5, 9], [[0.0, 0.5, 1.0], [0.2, 0.4, 0.6]])
    b = Curve([0, 9], [[1.0, 0.0], [0.0, 0.2]])
    assert mean_curve([a, b]) == Curve([0, 9], [[0.5, 0.5], [0.1, 0.4]])
    assert Curve([0, 1, 2, 3], [[4.0, 0.0, 2.0, 4.0]]).smoothed(2).seeds == [[4.0, 2.0, 1.0, 3.0]]


def test_last_figures_are_those_of_the_last_whole_measurement(tmp_path: Path) -> None:
    rows = [("evaluation", 0, {"x": 0.1, "final": True}), ("evaluation", 5, {"x": 0.9, "final": False})]
    found = last_figures(folder(tmp_path / "a", *rows))
    assert found["x"] == 0.1
    with pytest.raises(DataError, match="no 'y' was measured, so nothing came to a verdict"):
        found["y"]
    with pytest.raises(DataError, match="no evaluation at the end"):
        last_figures(folder(tmp_path / "b"))


def test_attempts_at_the_same_task_make_pairs_and_caps_cut_the_long_ones_off(tmp_path: Path) -> None:
    one, two = folder(tmp_path / "a"), folder(tmp_path / "b")
    store(
        one.path,
        [
            measured_attempt("sum", "t/1", reward=1.0, tokens=30),
            measured_attempt("sum", "t/2", reward=0.0, tokens=10),
            measured_attempt("sum", "t/3", reward=1.0, tokens=20),
            measured_attempt("sum", "t/1", reward=0.0, tokens=5, step=7),
        ],
    )
    lost = measured_attempt("sum", "t/2", reward=1.0, tokens=3)
    lost.masked = "a judge failed"
    store(two.path, [measured_attempt("sum", "t/1", reward=1.0, tokens=12), lost])
    first, second = attempts(one), attempts(two)
    [(a, b)] = pairs(first, second)
    assert (a.place, a.task, a.tokens, b.tokens) == ("sum", "t/1#0", 30, 12)
    found = list(first.values())
    assert [accuracy_within(found, cap) for cap in (10, 20, 30)] == [0.0, 1 / 3, 2 / 3]
    assert [whole.task for whole in trajectories(one, "sum")] == ["t/1", "t/2", "t/3"]
    assert [whole.reward for whole in trajectories(one, "sum", step=7)] == [0.0]
    with pytest.raises(DataError, match="no measured attempts"):
        attempts(one, step=3)


def test_attempts_of_weights_that_a_kill_has_undone_are_not_those_of_the_step(tmp_path: Path) -> None:
    def attempt(place: str, task: str, mark: str, reward: float):
        made = measured_attempt(place, task, reward=reward, tokens=4, step=5)
        made.name = f"{task}/5/{place}/0.{mark}/0"
        return made

    run = folder(tmp_path / "a")
    store(run.path, [attempt("sum", "t/1", "dead", 0.0), attempt("sum", "t/2", "dead", 0.0)])
    store(run.path, [attempt("sum", "t/1", "live", 1.0), attempt("text", "t/9", "same", 1.0)])
    found = attempts(run, step=5)
    assert {key: one.reward for key, one in found.items()} == {("sum", "t/1#0"): 1.0, ("text", "t/9#0"): 1.0}
    assert [one.task for one in trajectories(run, "sum", step=5)] == ["t/1"]
