"""What Prometheus reads of a gateway; plain numbers, written as text when somebody asks.

Report: none; the format is Prometheus' text exposition format 0.0.4.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class GatewayMetrics:
    """Counts of one gateway.

    Attributes:
        calls: by dialect and status.
        told: sampled tokens, calls that were joined, told again, refused or abandoned, clients that left, captures that
            failed.
    """

    def __init__(self) -> None:
        self.calls: Counter[tuple[str, int]] = Counter()
        self.told: Counter[str] = Counter()
        self._seconds, self._buckets, self._count = 0.0, [0] * (len(SECONDS) + 1), 0

    def took(self, seconds: float) -> None:
        """A call was answered after so long."""
        self._seconds, self._count = self._seconds + seconds, self._count + 1
        self._buckets[bisect_left(SECONDS, seconds)] += 1

    def text(self, gauges: Mapping[str, float], counts: Mapping[str, int]) -> str:
        """The page.

        Args:
            gauges: numbers of this moment.
            counts: what came of calls, as the upstream counts them.
        """
        lines = [*self._calls(), *self._histogram()]
        for name, value in self.told.items():
            lines += _family(f"manyeyes_gateway_{name}_total", "counter", [("", value)])
        for name, value in gauges.items():
            lines += _family(f"manyeyes_gateway_{name}", "gauge", [("", value)])
        rows = [(f'{{what="{_label(what)}"}}', value) for what, value in sorted(counts.items())]
        return "\n".join([*lines, *_family("manyeyes_gateway_turns_total", "counter", rows), ""])

    def _calls(self) -> Iterable[str]:
        rows = [(f'{{dialect="{kind}",status="{status}"}}', count) for (kind, status), count in self.calls.items()]
        return _family("manyeyes_gateway_calls_total", "counter", rows)

    def _histogram(self) -> Iterator[str]:
        name, so_far = "manyeyes_gateway_call_seconds", 0
        yield f"# TYPE {name} histogram"
        for edge, count in zip((*SECONDS, "+Inf"), self._buckets, strict=True):
            so_far += count
            yield f'{name}_bucket{{le="{edge}"}} {so_far}'
        yield f"{name}_sum {self._seconds}"
        yield f"{name}_count {self._count}"


def _family(name: str, kind: str, rows: Iterable[tuple[str, float]]) -> list[str]:
    return [f"# TYPE {name} {kind}", *(f"{name}{labels} {value}" for labels, value in rows)]


def _label(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
