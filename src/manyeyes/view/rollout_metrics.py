"""The newest snapshot of a rollout run as text that Prometheus reads; needs no library.

Report: App. D (monitoring).
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from manyeyes.agent.rollouts.snapshot import RolloutSnapshot

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "manyeyes_rollout_"


class Metric(NamedTuple):
    """A family of samples.

    Attributes:
        name: without prefix; of a counter it ends in `_total`.
        kind: "counter" only grows, "gauge" does not.
        about: one line.
        samples: labels and value of each.
    """

    name: str
    kind: str
    about: str
    samples: list[tuple[dict[str, str], float]]


def metrics_text(snapshot: RolloutSnapshot | None, *, run: str) -> bytes:
    """The page that Prometheus asks for; empty before the first snapshot.

    Example:
        >>> print(metrics_text(RolloutSnapshot(at=0.0, seconds=2.0, running=3), run="r").decode().splitlines()[2])
        manyeyes_rollout_attempts{run="r",state="queued"} 0
    """
    lines: list[str] = []
    for metric in metrics_of(snapshot) if snapshot else ():
        lines += [f"# HELP {PREFIX}{metric.name} {metric.about}", f"# TYPE {PREFIX}{metric.name} {metric.kind}"]
        lines += [f"{PREFIX}{metric.name}{_labels({'run': run} | labels)} {_plain(v)}" for labels, v in metric.samples]
    return "".join(f"{line}\n" for line in lines).encode(errors="replace")


def metrics_of(s: RolloutSnapshot) -> Iterator[Metric]:
    """All families of a snapshot."""
    yield _gauge("attempts", "Attempts now.", "state", {
        "queued": s.queued, "running": s.running, "suspended": s.suspended
    })  # fmt: skip
    yield _gauge("waiting", "Attempts now, by what they wait for.", "wait", s.waiting_for)
    yield _counter("attempts_total", "Attempts that ended, and all that were submitted.", "state", {
        "submitted": s.submitted, "finished": s.finished, "failed": s.failed, "cancelled": s.cancelled,
        "resumed": s.resumed,
    })  # fmt: skip
    yield _counter("groups_total", "Groups submitted and delivered.", "state", {
        "submitted": s.groups, "delivered": s.groups_done
    })  # fmt: skip
    yield _one("turns_total", "counter", "Completions.", s.turns)
    yield _counter("tokens_total", "Tokens of them.", "kind", {"given": s.tokens_given, "sampled": s.tokens_sampled})
    yield _counter("seconds_total", "Task-seconds, by what they were spent in.", "in", s.seconds_in)
    yield _counter("failures_total", "Failures by cause, retried ones included.", "cause", s.failures)
    yield _one("retries_total", "counter", "Attempts that were run again.", s.retries)
    yield _gauge("reward_sum", "Sum of rewards, by part.", "part", {part: pair[0] for part, pair in s.rewards.items()})
    yield _counter("rewards_total", "Rewards, by part.", "part", {part: pair[1] for part, pair in s.rewards.items()})
    yield _counter("attempt_length_total", "Ended attempts by sampled tokens, up to the edge.", "upto", s.lengths)
    yield _counter("stale_tokens_total", "Sampled tokens by versions behind the newest.", "behind", s.staleness)
    yield _one("policy_version", "gauge", "Of the weights.", s.version)
    yield _one("concurrency_cap", "gauge", "Attempts that may run.", s.concurrency_cap)
    yield _gauge("loop_lag_seconds", "Lateness of the event loop over the last second.", "quantile", {
        "0.5": s.loop_lag.p50, "0.99": s.loop_lag.p99, "1": s.loop_lag.max
    })  # fmt: skip
    yield _one("dropped_records_total", "counter", "Records that could not be kept.", s.dropped_records)
    yield Metric("pool", "gauge", "Environments, by kind and state.", list(_pool(s.pool)))


def _pool(kinds: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[dict[str, str], float]]:
    for kind, stats in kinds.items():
        for state, value in stats.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                yield {"kind": kind, "state": state}, value


def _one(name: str, kind: str, about: str, value: float) -> Metric:
    return Metric(name, kind, about, [({}, value)])


def _gauge(name: str, about: str, label: str, values: Mapping[Any, float]) -> Metric:
    return Metric(name, "gauge", about, _samples(label, values.items()))


def _counter(name: str, about: str, label: str, values: Mapping[Any, float]) -> Metric:
    return Metric(name, "counter", about, _samples(label, values.items()))


def _samples(label: str, values: Iterable[tuple[Any, float]]) -> list[tuple[dict[str, str], float]]:
    return [({label: str(key)}, value) for key, value in values]


def _labels(labels: Mapping[str, str]) -> str:
    escaped = (
        (key, value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")) for key, value in labels.items()
    )
    return "{" + ",".join(f'{key}="{value}"' for key, value in escaped) + "}"


def _plain(value: float) -> str:
    return str(value) if isinstance(value, int) else repr(float(value))
