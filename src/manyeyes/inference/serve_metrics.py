"""What Prometheus reads of a server; names as vLLM has them, with our prefix.

Report: none.
"""

from typing import Any

from manyeyes.core.errors import ConfigError

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class ServeMetrics:
    """Counters of one server, in a registry of its own.

    Raises:
        ConfigError: prometheus-client is not installed.
    """

    def __init__(self) -> None:
        try:
            import prometheus_client as prometheus
        except ImportError:
            raise ConfigError("the server needs prometheus-client: pip install 'manyeyes[serve]'") from None
        self._write = prometheus.generate_latest
        self.content_type = prometheus.CONTENT_TYPE_LATEST
        self._registry = registry = prometheus.CollectorRegistry()

        def counter(name: str, about: str, *labels: str) -> Any:
            return prometheus.Counter(f"manyeyes_{name}", about, labels, registry=registry)

        def histogram(name: str, about: str) -> Any:
            return prometheus.Histogram(f"manyeyes_{name}", about, registry=registry, buckets=SECONDS)

        self.requests = counter("requests", "Answers by route and status.", "route", "status")
        self.ended = counter("completions", "Completions by why they ended.", "stop")
        self.prompt = counter("prompt_tokens", "Tokens of prompts.")
        self.cached = counter("cached_prompt_tokens", "Tokens of prompts that the prefix cache had.")
        self.sampled = counter("completion_tokens", "Sampled tokens.")
        self.left = counter("disconnects", "Clients that left before their answer was whole.")
        self.first = histogram("time_to_first_token_seconds", "From a request to its first token.")
        self.seconds = histogram("completion_seconds", "From a request to its last token.")
        self.open = prometheus.Gauge("manyeyes_requests_open", "Requests being answered or waiting.", registry=registry)
        self.version = prometheus.Gauge("manyeyes_policy_version", "Of the weights.", registry=registry)

    def text(self) -> bytes:
        """The page."""
        return self._write(self._registry)
