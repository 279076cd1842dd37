"""A journal as spans, through the SDK and over the wire."""

import asyncio
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from manyeyes.agent.fakes import Scripted
from manyeyes.agent.run import AgentRun
from manyeyes.agent.task import Task
from manyeyes.agent.toolset import Functions
from manyeyes.core.errors import ConfigError
from manyeyes.core.journal import Journal, read
from manyeyes.swarm.orchestrator import SwarmConfig
from manyeyes.swarm.traces import RUN, export, otlp, spans

from .swarm_script import policy


async def look_up(key: str) -> str:
    """Look something up."""
    return f"secret value of {key}"


@pytest.fixture
def events(tmp_path: Path):
    async def go() -> None:
        with Journal(tmp_path) as journal:
            environment = SwarmConfig(lambda ctx: Functions([look_up])).orchestrator()
            await AgentRun(journal, Scripted(policy)).start(Task("t", "2 3"), environment)

    asyncio.run(go())
    return read(tmp_path).events


def test_every_call_is_a_span_below_its_agent_and_a_sub_agent_below_its_call(events) -> None:
    found = {span.begin: span for span in spans(events)}
    for kind, operation in (
        ("agent.created", "invoke_agent"),
        ("llm.started", "chat"),
        ("tool.started", "execute_tool"),
    ):
        begun = [event.seq for event in events if event.kind == kind]
        assert begun and all(found[seq].name.startswith(operation) for seq in begun)
    for span in found.values():
        if span.parent is None:
            assert span.begin == RUN
            continue
        around = found[span.parent]
        assert around.start <= span.start <= span.end <= around.end
    subs = [span for span in found.values() if span.attributes.get("gen_ai.agent.id", "").startswith("main/")]
    assert len(subs) == 2 and all(found[span.parent].name == "execute_tool assign_task" for span in subs)


def test_what_was_said_stays_out(events) -> None:
    assert "secret value" not in repr(spans(events))


def test_a_cut_journal_gives_spans_that_end_with_it(events) -> None:
    cut = events[: len(events) // 2]
    assert max(span.end for span in spans(cut)) == cut[-1].time and spans([]) == []


def test_the_sdk_takes_them_and_a_second_export_has_the_same_ids(events) -> None:
    memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
    taken = []
    for _ in range(2):
        exporter = memory.InMemorySpanExporter()
        assert export(events, run="r", exporter=exporter) == len(spans(events))
        taken.append(exporter.get_finished_spans())
    first, second = taken
    assert [span.context.span_id for span in first] == [span.context.span_id for span in second]
    assert len({span.context.trace_id for span in first}) == 1
    ids = {span.context.span_id for span in first}
    assert len(ids) == len(first) and sum(span.parent is None for span in first) == 1
    assert all(span.parent.span_id in ids for span in first if span.parent is not None)


def test_a_collector_gets_them_and_a_missing_one_is_said(events) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    bodies: list[bytes] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/v1/traces"
    try:
        assert export(events, run="r", exporter=otlp(url)) and bodies
    finally:
        server.shutdown()
        server.server_close()

    class Refusing:
        def export(self, batch):
            from opentelemetry.sdk.trace.export import SpanExportResult

            return SpanExportResult.FAILURE

        def shutdown(self) -> None:
            pass

    with pytest.raises(ConfigError, match="does a collector listen"):
        export(events, run="r", exporter=Refusing())
