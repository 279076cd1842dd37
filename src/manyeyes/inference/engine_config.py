"""`EngineConfig`: how much an engine holds, and how much it computes in a step.

Report: App. D.
"""

from dataclasses import dataclass

from manyeyes.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """Sizes of an engine.

    Attributes:
        block_tokens: tokens in a block of the cache.
        cache_tokens: tokens that the cache holds, of all requests and kept prefixes together.
        max_rows: requests that are decoded together.
        step_tokens: most tokens that one step computes; a longer prompt is read in several steps, beside decoding.
        max_queue: requests that wait, beyond those that run; more are refused as `Overloaded`.
        max_context: tokens of one request, prompt included; None for the model's `max_position_embeddings`.
        prefix_cache: find the beginning of a prompt that was read before.
        media_bytes: features of pictures that are kept.
        patience: steps after which a waiting request counts as one priority better.
        threads: of torch, for what an `AsyncEngine` computes on a CPU; as many as who makes it has when left out. An
            invariant one parts its requests among them (decision 0023). For an ordinary one of a model as small as
            `tiny` one is faster than two from 16 requests at once on (`benchmarks/engine.py`).
        compiled: use kernels that are compiled when the engine begins, where that is possible (`inference.kernels`).
        invariant: what is sampled for a request, and its log-probabilities, are to the last bit a function of weights
            and request alone: not of what else is in the batch, how prompts are cut, or what the cache has kept
            (decision 0022). It needs the kernels; and the same build on the same machine, and where pictures are shown
            as many `threads`.

    Example:
        >>> EngineConfig(cache_tokens=100).blocks
        7
    """

    block_tokens: int = 16
    cache_tokens: int = 65_536
    max_rows: int = 256
    step_tokens: int = 1024
    max_queue: int = 1024
    max_context: int | None = None
    prefix_cache: bool = True
    media_bytes: int = 256 << 20
    patience: int = 256
    threads: int | None = None
    compiled: bool = True
    invariant: bool = False

    def __post_init__(self) -> None:
        for name in ("block_tokens", "cache_tokens", "max_rows", "step_tokens", "patience", "threads"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ConfigError(f"{name} must be at least 1, got {value}")
        if self.cache_tokens < self.block_tokens:
            raise ConfigError(
                f"cache_tokens ({self.cache_tokens}) must hold at least one block of {self.block_tokens} tokens; a "
                "request needs room for its prompt and its answer"
            )
        if self.max_queue < 0 or self.media_bytes < 0:
            raise ConfigError(f"max_queue and media_bytes must not be negative: {self.max_queue}, {self.media_bytes}")
        if self.step_tokens < self.max_rows:
            raise ConfigError(
                f"step_tokens ({self.step_tokens}) must be at least max_rows ({self.max_rows}): every row that decodes "
                "computes one token in each step"
            )
        if self.invariant and not self.compiled:
            raise ConfigError("an invariant engine needs compiled kernels: leave `compiled` on, or `invariant` off")
        if self.max_context is not None and self.max_context < 2:
            raise ConfigError(f"max_context must be at least 2, got {self.max_context}")

    @property
    def blocks(self) -> int:
        """Blocks that hold `cache_tokens`."""
        return -(-self.cache_tokens // self.block_tokens)
