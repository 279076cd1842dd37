"""The demo in virtual time: on a table of 40 rows and more the swarm is 3x faster, and the more so the harder it is."""

from pathlib import Path

import pytest

from manyeyes.swarm.demo import DemoConfig, Ran, chosen, notes, run_demo

from .virtual_clock import run_virtually


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> list[Ran]:
    with pytest.MonkeyPatch.context() as patch:
        folder: Path = tmp_path_factory.mktemp("demo")
        return run_virtually(run_demo(folder, DemoConfig(tasks=8, over_time=True)), patch)


def pairs(ran: list[Ran]) -> list[tuple[Ran, Ran]]:
    return list(zip(ran[::2], ran[1::2], strict=True))


def test_the_swarm_is_three_times_faster_on_forty_rows_and_never_worse(ran: list[Ran]) -> None:
    large = [pair for pair in pairs(ran) if len(pair[0].task.gold) >= 40]
    assert len(large) >= 3
    for single, swarm in large:
        assert (single.mode, swarm.mode) == ("single", "swarm") and swarm.stop == "done"
        assert single.figures.seconds >= 3 * swarm.figures.seconds
    assert all(swarm.score.item.f1 >= single.score.item.f1 for single, swarm in pairs(ran))


def test_the_speed_up_grows_with_difficulty(ran: list[Ran]) -> None:
    gain = [
        single.figures.seconds * share(swarm) / (swarm.figures.seconds * share(single)) for single, swarm in pairs(ran)
    ]
    thirds = [gain[:3], gain[3:5], gain[5:]]
    means = [sum(third) / len(third) for third in thirds]
    assert means == sorted(means) and gain[-1] > 2 * gain[0]


def share(ran: Ran) -> float:
    """Of the table that is right; who stops at a limit has not done all of the work."""
    return ran.score.item.f1


def test_partial_tables_rise_to_what_was_answered(ran: list[Ran]) -> None:
    for one in ran:
        assert one.moments[0].f1 < one.moments[-1].f1 == one.score.item.f1
        assert one.moments[-1].seconds <= one.figures.seconds + 0.001


def test_it_says_who_was_stopped_by_a_limit(ran: list[Ran]) -> None:
    said = notes(ran)
    stopped = [one for one in ran if one.stop == "step_cap"]
    assert stopped and all(one.mode == "single" for one in stopped)
    assert len(said) == 2 and f"{len(stopped)} of" in said[0] and "100 steps" in said[0] and "rules" in said[1]
    assert len(notes([one for one in ran if one.stop == "done"])) == 1


def test_tasks_are_spread_from_the_smallest_to_the_largest() -> None:
    assert [len(chosen(count)) for count in (1, 2, 3, 8, 99)] == [1, 2, 3, 8, 8]
    assert chosen(1)[0] == chosen(8)[-1] and chosen(3)[0] == chosen(8)[0]
