"""Figure 8 in virtual time: a swarm is faster on large tables at equal quality, and the more so the harder they are."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from manyeyes.core.errors import ConfigError, DataError
from manyeyes.core.journal import read
from manyeyes.recipes.reproduce import fig8
from manyeyes.recipes.reproduce.fig_trials import Standing

from ..swarm.virtual_clock import run_virtually

SCALE = fig8.Scale(tasks=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fig8")


@pytest.fixture(scope="module")
def result(folder: Path) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        return run_virtually(fig8.run(folder, SCALE), patch)


def test_on_forty_rows_the_swarm_is_three_times_faster_at_equal_quality(result: dict[str, Any]) -> None:
    for task in result["tasks"]:
        assert task["single"]["f1"] == task["swarm"]["f1"] == 1.0
        assert task["single"]["stops"] == task["swarm"]["stops"] == ["done"]
        if task["rows"] >= 40:
            assert task["faster"]["end"] >= 3
    assert max(task["rows"] for task in result["tasks"]) >= 40


def test_the_speed_up_grows_with_difficulty(result: dict[str, Any]) -> None:
    for key in ("end", "0.7"):
        faster = [task["faster"][key] for task in result["tasks"]]
        assert faster == sorted(faster)
    assert result["growth"] == 1.0 and "grows with difficulty" in " ".join(result["sentences"])


def test_higher_targets_take_one_agent_longer_and_a_swarm_hardly(result: dict[str, Any]) -> None:
    targets = result["means"][:-1]
    alone, swarm = ([one[mode] for one in targets] for mode in ("single", "swarm"))
    assert alone == sorted(alone) and alone[-1] > 2 * alone[0] and swarm[-1] < 1.3 * swarm[0]
    faster = [one["faster"] for one in targets]
    assert faster == sorted(faster)


def test_latencies_are_all_that_takes_time(result: dict[str, Any]) -> None:
    for task in result["tasks"]:
        answers, calls = task["single"]["total_steps"], task["single"]["total_steps"] - 1
        most = answers * SCALE.model_seconds + calls * SCALE.page_seconds
        assert 0.85 * most <= task["single"]["reached"]["end"] <= most + 0.01


def test_the_result_comes_from_the_journals_alone(folder: Path, result: dict[str, Any]) -> None:
    assert asyncio.run(fig8.results(folder, SCALE)) == result


def test_a_stopped_experiment_goes_on_and_repeats_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scale, seen = fig8.Scale(tasks=2), list[Standing]()

    async def stopped() -> None:
        await asyncio.wait_for(fig8.run(tmp_path, scale), timeout=7.3)

    with pytest.raises(TimeoutError):
        run_virtually(stopped(), monkeypatch)
    with pytest.raises(DataError, match="not come to its end"):
        asyncio.run(fig8.results(tmp_path, scale))
    monkeypatch.undo()
    again = run_virtually(fig8.run(tmp_path, scale, report=seen.append), monkeypatch)
    assert [task["single"]["f1"] for task in again["tasks"]] == [1.0, 1.0]
    assert seen[-1] == Standing(4, 4, 1.0, ()) and seen[0].share < seen[-1].share
    for path in tmp_path.glob("*-single"):
        answers = [(e.agent, e.data["turn"]) for e in read(path).events if e.kind == "llm.finished"]
        assert len(set(answers)) == len(answers)


def test_a_folder_of_another_size_is_refused(tmp_path: Path, folder: Path, result: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="holds fig8 .* and not fig8"):
        asyncio.run(fig8.run(folder, fig8.QUICK))
    assert fig8.Scale(tasks=4, seeds=2).identity == SCALE.identity != fig8.QUICK.identity


def test_more_seeds_are_means_over_worlds() -> None:
    with pytest.raises(ConfigError, match="1 to 20 seeds"):
        fig8.Scale(seeds=0)
    assert fig8.rank_correlation([1, 2, 3, 4], [1.0, 3.0, 2.0, None]) == 0.5
    assert fig8.rank_correlation([1], [1.0]) == 0.0
