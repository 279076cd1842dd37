"""A journal as OpenTelemetry spans: the run, its agents, their model calls and tool calls.

    invoke_workflow ─ invoke_agent main ─ chat NAME
                                        ─ execute_tool assign_task ─ invoke_agent finder ─ chat NAME …

Names and attributes follow OpenTelemetry's conventions for generative AI. A span's id comes from the run's name and
the number of its first event, so that exporting twice does not make two traces. What anybody said stays out.

Report: App. D (monitoring).
"""

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from manyeyes.core.errors import ConfigError
from manyeyes.core.journal import Event

NANOSECONDS = 1_000_000_000
BATCH = 512
RUN = -1
"""Stands for the number of the event that the run's own span begins with."""


class Span(NamedTuple):
    """A stretch of a run.

    Attributes:
        begin: number of the event that it begins with; `RUN` for the run.
        parent: `begin` of the span around it; None for the run.
        name: as the conventions have it.
        start, end: Unix seconds; the end of one that was cut short is the journal's.
        attributes: plain values.
        failure: why it failed; "" when it did not.
    """

    begin: int
    parent: int | None
    name: str
    start: float
    end: float
    attributes: dict[str, Any]
    failure: str = ""


def spans(events: Sequence[Event]) -> list[Span]:
    """The spans of a journal, parents before children."""
    if not events:
        return []
    fold = _Fold(events)
    for event in events:
        fold.take(event)
    return list(fold.spans.values())


class _Fold:
    """Opens and closes spans as events come."""

    def __init__(self, events: Sequence[Event]) -> None:
        self.last = events[-1].time
        self.spans: dict[int, Span] = {}
        self._agents: dict[str, int] = {}
        self._tools: dict[tuple[str, str], int] = {}
        self._calls: dict[str, int] = {}
        self._open(RUN, None, "invoke_workflow", "swarm", events[0].time, {})

    def take(self, event: Event) -> None:
        """An event."""
        data, agent = event.data, event.agent
        match event.kind:
            case "agent.created":
                self._agent(event)
            case "agent.finished":
                stop, steps = data["outcome"]["stop"], data["outcome"]["steps"]
                self._close(self._agents[agent], event, "" if stop == "done" else stop, stop=stop, steps=steps)
            case "llm.started":
                said = {"gen_ai.request.model": data["model"]}
                self._open(event.seq, self._agents[agent], "chat", data["model"], event.time, said)
                self._calls[agent] = event.seq
            case "llm.finished" | "context.summarised":
                self._answered(event)
            case "llm.failed":
                if (begin := self._calls.pop(agent, None)) is not None:
                    self._close(begin, event, data["cause"])
            case "tool.started":
                said = {"gen_ai.tool.name": data["name"], "gen_ai.tool.call.id": data["id"]}
                self._open(event.seq, self._agents[agent], "execute_tool", data["name"], event.time, said)
                self._tools[agent, data["place"]] = event.seq
            case "tool.finished":
                self._close(self._tools[agent, data["place"]], event, data["result"]["failure"])
            case _:
                pass

    def _agent(self, event: Event) -> None:
        above = event.agent.rpartition("/")[0]
        parent = self._tools.get((above, event.data["call"]), RUN)
        name = event.data["role"] or event.agent
        said = {"gen_ai.agent.name": name, "gen_ai.agent.id": event.agent}
        self._open(event.seq, parent, "invoke_agent", name, event.time, said)
        self._agents[event.agent] = event.seq

    def _answered(self, event: Event) -> None:
        if (begin := self._calls.pop(event.agent, None)) is None:
            return
        prompt, completion, cached, cost = event.data["usage"]
        self._close(begin, event, cost_usd=cost, limiter_seconds=event.data["waited"])
        self.spans[begin].attributes.update(
            {
                "gen_ai.usage.input_tokens": prompt,
                "gen_ai.usage.output_tokens": completion,
                "gen_ai.usage.cache_read.input_tokens": cached,
            }
        )

    def _open(
        self, begin: int, parent: int | None, operation: str, what: str, start: float, said: dict[str, Any]
    ) -> None:
        attributes = {"gen_ai.operation.name": operation, **said}
        self.spans[begin] = Span(begin, parent, f"{operation} {what}", start, self.last, attributes)

    def _close(self, begin: int, event: Event, failure: str = "", **said: Any) -> None:
        span = self.spans[begin]
        own = {f"manyeyes.{name}": value for name, value in said.items()}
        failed = {"error.type": failure} if failure else {}
        self.spans[begin] = span._replace(end=event.time, attributes=span.attributes | own | failed, failure=failure)


def export(events: Sequence[Event], *, run: str, exporter: Any) -> int:
    """Hand the spans of a journal to an exporter of the OpenTelemetry SDK; returns how many.

    Args:
        run: the run's name, from which trace and span ids are made.
        exporter: a `SpanExporter`; see `otlp`.

    Raises:
        ConfigError: the SDK is not installed, or not all spans were taken.
    """
    try:
        from opentelemetry import trace
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
        from opentelemetry.sdk.trace.export import SpanExportResult
        from opentelemetry.sdk.trace.id_generator import IdGenerator
    except ImportError:
        raise ConfigError(MISSING) from None

    class Ids(IdGenerator):
        """Those of the span that is made next."""

        begin = RUN

        def generate_trace_id(self) -> int:
            return _number(run, 16)

        def generate_span_id(self) -> int:
            return _number(f"{run}/{self.begin}", 8)

    class Kept(SpanProcessor):
        """Keeps what has ended."""

        def on_end(self, span: ReadableSpan) -> None:
            ended.append(span)

    ended: list[ReadableSpan] = []
    ids = Ids()
    resource = Resource.create({"service.name": "manyeyes", "manyeyes.run": run})
    provider = TracerProvider(resource=resource, id_generator=ids, shutdown_on_exit=False)
    provider.add_span_processor(Kept())
    tracer = provider.get_tracer("manyeyes")
    made: dict[int | None, Any] = {}
    for span in spans(events):
        ids.begin = span.begin
        around = trace.set_span_in_context(made[span.parent]) if span.parent is not None else None
        made[span.begin] = tracer.start_span(
            span.name, context=around, attributes=span.attributes, start_time=int(span.start * NANOSECONDS)
        )
        if span.failure:
            made[span.begin].set_status(trace.StatusCode.ERROR, span.failure)
        made[span.begin].end(end_time=int(span.end * NANOSECONDS))
    for start in range(0, len(ended), BATCH):
        if exporter.export(ended[start : start + BATCH]) is not SpanExportResult.SUCCESS:
            raise ConfigError(f"{start} of {len(ended)} spans were taken; does a collector listen there?")
    exporter.shutdown()
    return len(ended)


MISSING = "OpenTelemetry is not installed: pip install 'manyeyes[export]'"


def otlp(url: str) -> Any:
    """An exporter to an OTLP/HTTP collector, such as http://localhost:4318/v1/traces.

    Raises:
        ConfigError: the exporter is not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError:
        raise ConfigError(MISSING) from None
    return OTLPSpanExporter(endpoint=url, timeout=10)


def _number(name: str, size: int) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=size).digest())
