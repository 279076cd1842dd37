"""Finished trajectories as OpenTelemetry spans, and a run's newest snapshot as OpenTelemetry metrics.

    invoke_workflow ENVIRONMENT ─ invoke_agent main ─ chat (a turn)
                                                    ─ execute_tool NAME ─ invoke_agent finder ─ …
                                ─ evaluate (the judge)

Names follow OpenTelemetry's conventions for generative AI, as those of `swarm.traces` do. Ids come from names of run
and trajectory, so that exporting twice does not make two traces. What anybody said stays out.

Report: App. D (monitoring).
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from manyeyes.agent.rollouts.snapshot import RolloutSnapshot
from manyeyes.core.errors import ConfigError
from manyeyes.core.trajectory import NOBODY, Event, Trajectory
from manyeyes.core.trajectory_summary import seconds_of
from manyeyes.swarm.traces import MISSING
from manyeyes.view.rollout_metrics import metrics_of

NANOSECONDS = 1_000_000_000
BATCH = 512
"""Spans that are sent at once."""
ROOT = ""
"""Key of the span of the whole rollout."""
TELLING = ("tool", "judge", "suspended", "resumed", "reset", "failed")
"""Kinds of events that become spans; the others are notes."""


class RolloutSpan(NamedTuple):
    """A stretch of a rollout.

    Attributes:
        key: unique in the trajectory.
        parent: key of the span around it; None for the rollout's own.
        name: as the conventions have it.
        start, end: Unix seconds.
        attributes: plain values.
        failure: why it failed; "" when it did not.
    """

    key: str
    parent: str | None
    name: str
    start: float
    end: float
    attributes: dict[str, Any]
    failure: str = ""


def rollout_spans(whole: Trajectory, *, began: float) -> list[RolloutSpan]:
    """The spans of a trajectory, parents before children.

    Args:
        whole: a finished one.
        began: Unix seconds.
    """
    return [_root(whole, began), *_agents(whole, began), *_turns(whole, began), *_events(whole, began)]


def send_spans(trajectories: Iterable[tuple[Trajectory, float]], *, run: str, exporter: Any) -> int:
    """Hand the spans of trajectories to an exporter of the OpenTelemetry SDK; returns how many.

    Args:
        trajectories: each with the time at which it began, Unix seconds.
        run: the run's name, from which ids are made.
        exporter: a `SpanExporter`, such as `swarm.traces.otlp` gives.

    Raises:
        ConfigError: the SDK is not installed, or not all spans were taken.
    """
    try:
        from opentelemetry.sdk.trace.export import SpanExportResult
    except ImportError:
        raise ConfigError(MISSING) from None
    sent, batch = 0, []
    for whole, began in trajectories:
        batch += _readable(rollout_spans(whole, began=began), run, whole.name)
        while len(batch) >= BATCH:
            sent += _sent(batch[:BATCH], exporter, SpanExportResult.SUCCESS, sent)
            batch = batch[BATCH:]
    if batch:
        sent += _sent(batch, exporter, SpanExportResult.SUCCESS, sent)
    exporter.shutdown()
    return sent


def send_metrics(snapshot: RolloutSnapshot, *, run: str, exporter: Any) -> int:
    """Hand a snapshot to a metrics exporter of the OpenTelemetry SDK; returns the number of instruments.

    Raises:
        ConfigError: the SDK is not installed, or the exporter did not take it.
    """
    try:
        from opentelemetry.metrics import CallbackOptions, Observation
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricExportResult
        from opentelemetry.sdk.resources import Resource
    except ImportError:
        raise ConfigError(MISSING) from None
    reader = InMemoryMetricReader()
    resource = Resource.create({"service.name": "manyeyes", "manyeyes.run": run})
    provider = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
    meter, count = provider.get_meter("manyeyes"), 0
    for metric in metrics_of(snapshot):
        samples = [Observation(value, labels) for labels, value in metric.samples]

        def observe(_: CallbackOptions, samples: Sequence[Observation] = samples) -> Sequence[Observation]:
            return samples

        make = meter.create_observable_counter if metric.kind == "counter" else meter.create_observable_gauge
        # With its `_total`: attempts now and attempts so far are two instruments.
        make(f"manyeyes.rollout.{metric.name}", [observe], description=metric.about)
        count += 1
    data = reader.get_metrics_data()
    taken = data is not None and exporter.export(data) is MetricExportResult.SUCCESS
    provider.shutdown()
    exporter.shutdown()
    if not taken:
        raise ConfigError("the metrics were not taken; does a collector listen there?")
    return count


def otlp_metrics(url: str) -> Any:
    """An exporter to an OTLP/HTTP collector, such as http://localhost:4318/v1/metrics.

    Raises:
        ConfigError: the exporter is not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    except ImportError:
        raise ConfigError(MISSING) from None
    return OTLPMetricExporter(endpoint=url, timeout=10)


def _root(whole: Trajectory, began: float) -> RolloutSpan:
    name = whole.environment or "rollout"
    said = {
        "gen_ai.operation.name": "invoke_workflow",
        "manyeyes.trajectory": whole.name,
        "manyeyes.task": whole.task,
        "manyeyes.environment": whole.environment,
        "manyeyes.stop": whole.stop,
        "manyeyes.masked": whole.masked,
        **({} if whole.reward is None else {"manyeyes.reward": float(whole.reward)}),
        **{f"manyeyes.reward.{part}": float(value) for part, value in whole.rewards.items()},
    }
    failure = _cause(whole) if whole.stop == "failed" else ""
    return RolloutSpan(ROOT, None, f"invoke_workflow {name}", began, began + seconds_of(whole), said, failure)


def _agents(whole: Trajectory, began: float) -> Iterator[RolloutSpan]:
    tools = {(event.agent, _call(event)): f"e{number}" for number, event in enumerate(whole.events) if _call(event)}
    end = seconds_of(whole)
    for number, agent in enumerate(whole.agents):
        name = agent.role or agent.name
        parent = ROOT if agent.parent == NOBODY else tools.get((agent.parent, agent.call), f"a{agent.parent}")
        said = {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": name,
            "gen_ai.agent.id": agent.name,
            "manyeyes.policy": agent.policy,
            "manyeyes.stop": agent.stop,
        }
        until = agent.ended if agent.ended == agent.ended else end
        failure = "" if agent.stop in ("done", "") else agent.stop
        yield RolloutSpan(
            f"a{number}", parent, f"invoke_agent {name}", began + agent.began, began + until, said, failure
        )


def _turns(whole: Trajectory, began: float) -> Iterator[RolloutSpan]:
    before = [0] * len(whole.nodes)
    for number, node in enumerate(whole.nodes):
        prompt = node.given + (before[node.parent] if node.parent != NOBODY else 0)
        before[number] = prompt + len(node.sampled)
        if not len(node.sampled):
            continue
        said = {
            "gen_ai.operation.name": "chat",
            "gen_ai.usage.input_tokens": prompt,
            "gen_ai.usage.output_tokens": len(node.sampled),
            "gen_ai.response.finish_reasons": [node.stop],
            "manyeyes.turn": number,
            "manyeyes.version.first": int(node.versions.min()),
            "manyeyes.version.last": int(node.versions.max()),
            "manyeyes.fork": node.fork,
            "manyeyes.masked": node.masked,
        }
        start = began + node.at
        yield RolloutSpan(f"n{number}", f"a{node.agent}", "chat", start, start + node.seconds, said, node.malformed)


def _events(whole: Trajectory, began: float) -> Iterator[RolloutSpan]:
    for number, event in enumerate(whole.events):
        if event.kind not in TELLING:
            continue
        tool = str(event.data.get("name", "")) if event.kind == "tool" else ""
        operation = {"tool": "execute_tool", "judge": "evaluate"}.get(event.kind, event.kind)
        said = {"gen_ai.operation.name": operation, **({"gen_ai.tool.name": tool} if tool else {})}
        parent = ROOT if event.agent == NOBODY else f"a{event.agent}"
        start, name = began + event.at, f"{operation} {tool}".strip()
        yield RolloutSpan(f"e{number}", parent, name, start, start + event.seconds, said, _failure(event))


def _call(event: Event) -> str:
    """The id under which a tool's call may have started an agent."""
    return str(event.data.get("place") or event.data.get("id") or "") if event.kind == "tool" else ""


def _failure(event: Event) -> str:
    result = event.data.get("result")
    if event.kind == "failed":
        return str(event.data.get("cause", "unknown"))
    return str(result.get("failure") or "") if isinstance(result, dict) else ""


def _cause(whole: Trajectory) -> str:
    return next((_failure(event) for event in reversed(whole.events) if event.kind == "failed"), "unknown")


def _sent(batch: Sequence[Any], exporter: Any, success: Any, before: int) -> int:
    if exporter.export(batch) is not success:
        raise ConfigError(f"only {before} spans were taken; does a collector listen there?")
    return len(batch)


def _readable(spans: Sequence[RolloutSpan], run: str, name: str) -> Iterator[Any]:
    """As the SDK has them; a child may come before the tool's call that started it."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import SpanContext, Status, StatusCode, TraceFlags

    trace = _number(f"{run}\0{name}", 16)

    def context(key: str) -> SpanContext:
        return SpanContext(trace, _number(f"{run}\0{name}\0{key}", 8), is_remote=False, trace_flags=TraceFlags(1))

    resource = Resource.create({"service.name": "manyeyes", "manyeyes.run": run})
    for span in spans:
        failed = {"error.type": span.failure} if span.failure else {}
        yield ReadableSpan(
            span.name,
            context=context(span.key),
            parent=None if span.parent is None else context(span.parent),
            resource=resource,
            attributes=span.attributes | failed,
            status=Status(StatusCode.ERROR, span.failure) if span.failure else Status(StatusCode.UNSET),
            start_time=int(span.start * NANOSECONDS),
            end_time=int(span.end * NANOSECONDS),
            instrumentation_scope=InstrumentationScope("manyeyes"),
        )


def _number(name: str, size: int) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(errors="replace"), digest_size=size).digest())
