from typing import Any, NamedTuple

import pytest

from manyeyes.core.tokenizer import Tokenizer


class Released(NamedTuple):
    """The released K2.5 vocabulary, twice: in a tokenizer of another make, and in ours."""

    reference: Any
    tokenizer: Tokenizer


@pytest.fixture(scope="session")
def released() -> Released:
    """From tml-renderers 0.2.1, which carries the vocabulary; skips without it (`make test-parity` brings it)."""
    reference = pytest.importorskip("tml_renderers.tokenizers").KimiK25Tokenizer()
    tokens = (bytes(reference.decode_bytes([rank])) for rank in range(163584))
    return Released(reference, Tokenizer(tokens, name="tiktoken.model"))
