"""Metrics are what the snapshot says, in a text that Prometheus's own reader reads."""

import msgspec
import pytest

from manyeyes.agent.rollouts.snapshot import LoopLag, RolloutSnapshot
from manyeyes.view.rollout_metrics import PREFIX, metrics_text
from manyeyes.view.rollout_page_fake import fake_snapshots

EVIL = 'a"b\\c\nd} 9\n# HELP x'


def read(snapshot: RolloutSnapshot) -> dict[tuple[str, str], float]:
    """By name and by the label that is not the run's."""
    parser = pytest.importorskip("prometheus_client.parser")
    found: dict[tuple[str, str], float] = {}
    for family in parser.text_string_to_metric_families(metrics_text(snapshot, run="r").decode()):
        for sample in family.samples:
            assert sample.labels.pop("run") == "r" and sample.name.startswith(PREFIX) and family.documentation
            key = (sample.name.removeprefix(PREFIX), "/".join(sample.labels.values()))
            assert key not in found
            found[key] = sample.value
    return found


def test_every_count_of_a_snapshot_is_a_sample() -> None:
    snapshot = fake_snapshots(300)[-1]
    found = read(snapshot)
    assert found["attempts", "running"] == snapshot.running and found["attempts_total", "failed"] == snapshot.failed
    assert found["waiting", "tool"] == snapshot.waiting_for["tool"]
    assert found["seconds_total", "judge"] == snapshot.seconds_in["judge"]
    assert found["failures_total", "sandbox"] == snapshot.failures["sandbox"]
    assert found["reward_sum", "correct"] / found["rewards_total", "correct"] == pytest.approx(
        snapshot.rewards["correct"][0] / snapshot.rewards["correct"][1]
    )
    assert found["pool", "shell/leased"] == snapshot.pool["shell"]["leased"]
    assert sum(value for (name, _), value in found.items() if name == "attempt_length_total") == sum(
        snapshot.lengths.values()
    )
    assert found["stale_tokens_total", "1"] == snapshot.staleness[1] and found["policy_version", ""] == snapshot.version
    assert found["loop_lag_seconds", "0.99"] == snapshot.loop_lag.p99


def test_labels_are_escaped_and_numbers_may_be_infinite() -> None:
    snapshot = RolloutSnapshot(
        at=0.0, seconds=1.0, failures={EVIL: 3}, rewards={"x": (float("-inf"), 1)}, loop_lag=LoopLag(p99=float("nan"))
    )
    found = read(snapshot)
    assert found["failures_total", EVIL] == 3 and found["reward_sum", "x"] == float("-inf")


def test_before_the_first_snapshot_there_is_nothing() -> None:
    assert metrics_text(None, run="r") == b""


def test_a_snapshot_that_was_read_from_its_file_gives_the_same() -> None:
    snapshot = fake_snapshots(50)[-1]
    again = msgspec.json.decode(msgspec.json.encode(snapshot), type=RolloutSnapshot)
    assert metrics_text(again, run="r") == metrics_text(snapshot, run="r")
