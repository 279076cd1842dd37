import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the benchmark reads memory from /proc")


@pytest.fixture
def contestants(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("swarm_peers.contestants")


def test_a_run_counts_when_calls_and_results_are_as_many_as_they_must_be(
    contestants: ModuleType, tmp_path: Path
) -> None:
    load = contestants.Load(agents=3, steps=2)
    with contestants.endpoint(0.0, agents=3) as at:
        took = contestants.run(contestants.OURS, load, at, environments=tmp_path, limit=60)
    assert "error" not in took, took
    assert took["endpoint"]["calls"] == load.calls == 11
    assert took["endpoint"]["reported"] == len(took["endpoint"]["begun"]) == 3
    assert took["wall"] > 0 and took["cpu"] > 0


def test_a_run_with_a_call_too_many_a_lost_result_or_a_wrong_answer_is_void(contestants: ModuleType) -> None:
    seen = {"calls": 11, "answers": 11, "strange": 0, "in_flight": 0, "reported": 3}
    load = contestants.Load(agents=3, steps=2)
    assert "error" not in contestants.valid({"said": "merged", "endpoint": seen}, load)
    for said, change in (("merged", {"calls": 12}), ("merged", {"answers": 10}), ("merged", {"reported": 2}), ("", {})):
        assert "void" in contestants.valid({"said": said, "endpoint": seen | change}, load)["error"]


@pytest.mark.parametrize("part", ["tokens", "http"])
def test_rollouts_end_once_and_within_their_goals(part: str, tmp_path: Path) -> None:
    asked = ["--quick", "--alone", "--only", part, "--limit", "60", "--result", str(tmp_path / "r.json")]
    subprocess.run([sys.executable, str(BENCHMARKS / "rollouts.py"), *asked], check=True, timeout=300)
    results = json.loads((tmp_path / "r.json").read_text())
    (row,) = results["systems"]
    assert row["runs"] == 1 and row["finished"] == row["tasks"] and row["turns_done"] == row["tasks"] * row["turns"]
    counted = [goal for goal in results["goals"] if "lost" in goal["what"] or "finished" in goal["what"]]
    assert len(counted) == (2 if part == "tokens" else 0) and all(goal["met"] for goal in counted)


@pytest.mark.slow
def test_steps_of_rl_are_counted_by_samples_that_were_learned_from(tmp_path: Path) -> None:
    asked = ["--quick", "--alone", "--only", "grpo", "--limit", "120", "--result", str(tmp_path / "r.json")]
    subprocess.run([sys.executable, str(BENCHMARKS / "rl_step.py"), *asked], check=True, timeout=300)
    rows = json.loads((tmp_path / "r.json").read_text())["grpo"]["rows"]
    assert len(rows) == 2
    for row in rows.values():
        assert row["updates"] == 2 and row["samples_per_s"] > 0 and row["ready"]["parameters"] == 2_298_624
