"""Spans of trajectories: a tree in time, the same each time, without anything that was said."""

import random

import pytest

from manyeyes.core.errors import ConfigError
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.core.trajectory import Event
from manyeyes.view.rollout_page_fake import fake_snapshots, fake_trajectory
from manyeyes.view.rollout_traces import rollout_spans, send_metrics, send_spans

WHOLE = fake_trajectory("maze/1/0", random.Random(3), Tokenizer.tiny())
pytest.importorskip("opentelemetry.sdk")


class Taken:
    """An exporter that keeps what it is given."""

    def __init__(self, *, refuses: bool = False) -> None:
        self.spans, self.refuses = [], refuses

    def export(self, spans):
        from opentelemetry.sdk.trace.export import SpanExportResult

        self.spans += spans
        return SpanExportResult.FAILURE if self.refuses else SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        pass


def test_spans_are_a_tree_of_agents_turns_and_tools() -> None:
    spans = rollout_spans(WHOLE, began=1000.0)
    by_key = {span.key: span for span in spans}
    assert len(by_key) == len(spans) and [span.parent for span in spans].count(None) == 1
    assert all(span.parent in by_key for span in spans[1:])
    kinds = [span.attributes["gen_ai.operation.name"] for span in spans]
    assert kinds.count("invoke_agent") == len(WHOLE.agents)
    assert kinds.count("chat") == sum(len(node.sampled) > 0 for node in WHOLE.nodes)
    assert kinds.count("execute_tool") == sum(event.kind == "tool" for event in WHOLE.events)
    assert all(1000.0 <= span.start <= span.end for span in spans)
    outputs = sum(span.attributes.get("gen_ai.usage.output_tokens", 0) for span in spans)
    assert outputs == WHOLE.sampled_tokens
    turn = next(span for span in spans if span.key == "n1")
    assert turn.attributes["gen_ai.usage.input_tokens"] == len(WHOLE.nodes[0].ids) + WHOLE.nodes[1].given


def test_a_sub_agent_hangs_below_the_call_that_started_it() -> None:
    whole = fake_trajectory("maze/1/0", random.Random(3), Tokenizer.tiny())
    whole.events.append(Event("tool", 24.0, 9.0, 0, 1, {"name": "assign_task", "place": "1.0", "id": "x"}))
    spans = {span.key: span for span in rollout_spans(whole, began=0.0)}
    assert spans["a1"].parent == f"e{len(whole.events) - 1}" and spans["a2"].parent == "a0"


def test_exporting_twice_gives_the_same_ids_and_nothing_that_was_said() -> None:
    first, second = Taken(), Taken()
    assert send_spans([(WHOLE, 0.0)], run="r", exporter=first) == len(first.spans) > 10
    send_spans([(WHOLE, 0.0)], run="r", exporter=second)
    assert [(s.context.trace_id, s.context.span_id) for s in first.spans] == [
        (s.context.trace_id, s.context.span_id) for s in second.spans
    ]
    assert len({s.context.span_id for s in first.spans}) == len(first.spans)
    told = "".join(span.to_json() for span in first.spans)
    assert "walk.py" not in told and "shortest" not in told


def test_many_trajectories_are_sent_in_batches_and_a_refusal_is_told() -> None:
    taken = Taken()
    count = send_spans(((WHOLE, float(n)) for n in range(60)), run="r", exporter=taken)
    assert count == len(taken.spans) == 60 * len(rollout_spans(WHOLE, began=0.0))
    with pytest.raises(ConfigError, match="collector"):
        send_spans([(WHOLE, 0.0)], run="r", exporter=Taken(refuses=True))


def test_a_snapshot_is_sent_as_metrics() -> None:
    from opentelemetry.sdk.metrics.export import MetricExportResult

    class Metrics(Taken):
        def export(self, spans):
            self.spans.append(spans)
            return MetricExportResult.SUCCESS

    taken, snapshot = Metrics(), fake_snapshots(30)[-1]
    count = send_metrics(snapshot, run="r", exporter=taken)
    (data,) = taken.spans
    told = data.resource_metrics[0].scope_metrics[0].metrics
    metrics = {m.name: m for m in told}
    assert len(metrics) == len(told) <= count, "an instrument's name is its own"
    assert {"manyeyes.rollout.attempts", "manyeyes.rollout.attempts_total"} <= set(metrics)
    points = {tuple(p.attributes.values()): p.value for p in metrics["manyeyes.rollout.waiting"].data.data_points}
    assert points[("model",)] == snapshot.waiting_for["model"]
