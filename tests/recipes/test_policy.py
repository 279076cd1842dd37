"""The engine of a run says the same to the last bit where that can be had, and never pretends to."""

import asyncio

import pytest

from manyeyes.core.errors import ConfigError
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.inference import kernels
from manyeyes.model.config import tiny_lm
from manyeyes.model.multimodal import build
from manyeyes.recipes import policy


def described(invariant: bool | None) -> str:
    async def body() -> str:
        model = build(tiny_lm(), seed=0)
        async with policy.engine_of(model, Tokenizer.tiny(), cache_tokens=256, invariant=invariant) as engine:
            return engine.described

    return asyncio.run(body())


def test_where_kernels_are_to_be_had_each_row_is_alike_unless_that_is_not_wanted() -> None:
    if isinstance(why := kernels.compiled(), str):
        pytest.skip(why)
    assert described(None) == described(True) == "compiled kernels, each row alike"
    assert described(False) == "PyTorch and compiled kernels"


def test_without_a_compiler_it_says_so_or_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "compiled", lambda: "no C++ compiler was found")
    assert described(None) == described(False) == "PyTorch alone: no C++ compiler was found"
    with pytest.raises(ConfigError, match=r"no C\+\+ compiler was found; or leave `invariant` off"):
        described(True)
