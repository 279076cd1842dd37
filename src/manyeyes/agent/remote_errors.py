"""What a server that samples answered instead of tokens, as errors of `core.sampler`.

    SamplerError
    ├── RequestError      TooLong is one, of core.sampler
    │   └── NotAllowed    no key, no right, no money: no request will work until a person acts
    ├── Overloaded        429, 503: come again after `retry_after`
    └── Unreachable       down, silent, or answering nonsense: the same request may work later

Report: App. D.
"""

from manyeyes.core.sampler import RequestError, SamplerError

OVERFLOW_WORDS = (
    "context length", "context_length", "maximum context", "max_model_len", "too many tokens", "context window",
    "longer than the model", "fit beside one sampled token",
)  # fmt: skip
"""In what servers and engines say of a prompt that is too long; the last are those of `core.sampler.check_ids`."""


class NotAllowed(RequestError):
    """No request will work until a person acts."""


class Unreachable(SamplerError):
    """Down, silent, or answering nonsense."""


def says_too_long(why: str) -> bool:
    """Whether a refusal is for the prompt's length."""
    return any(words in why.lower() for words in OVERFLOW_WORDS)
