"""Agents of others, unmodified: their samples are those of the white box, token for token."""

import asyncio
import dataclasses
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from manyeyes.agent.gateway.sampler_settings import TokenSettings
from manyeyes.core.sampler import Sampler, SampleRequest
from manyeyes.inference.serve_prompt import Served

from .gateways import GRAMMARS, RULES, TINY, listening, run, sampler, turn
from .white_box import Noted, Watched, replayed

HERE = Path(__file__).parent
PYTHON = Path.home() / ".cache" / "manyeyes" / "blackboxes" / "venv" / "bin" / "python"
CONTEXT = 32_768
LETTERS = frozenset(TINY.tokens.index(bytes([byte])) for byte in b" abcdefghijklmnopqrstuvwxyz")
MARKS = frozenset({TINY.end_think, TINY.im_end})
WORDLESS = frozenset(range(TINY.n_vocab)) - LETTERS - MARKS
"""Ids that a model without training does not sample, so that its turns end soon."""
QUIET = {"OPENAI_AGENTS_DISABLE_TRACING": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
BOXES = ("openai", "anthropic", "openai_agents", "smolagents", "mini_swe_agent")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not PYTHON.exists(),
        reason=f"needs an environment in {PYTHON.parents[1]} with {HERE.name}/requirements-black_boxes.txt",
    ),
]


def calls(name: str, **arguments: Any) -> list[tuple[str, str]]:
    return [(name, json.dumps(arguments))]


def scripted(box: str) -> Callable[[SampleRequest], list[int]]:
    """A model that calls the box's tool and comes to an end, by how many answers the prompt holds."""

    def say(request: SampleRequest) -> list[int]:
        given = TINY.decode(request.ids.tolist())
        number = given.count("<|im_assistant|>") - 1
        if box == "mini_swe_agent":
            command = "echo hello" if not number else "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT && echo hello"
            return turn(f"Step {number}.", reasoning="I print it.", calls=calls("bash", command=command), at=number)
        if box == "smolagents":
            if "found k1" in given:
                return turn(reasoning="so", calls=calls("final_answer", answer="v1"))
            return turn(reasoning="hm", calls=calls("look_up", key="k1"))
        if given.endswith("found") or "## Return of" not in given or number % 2 == 0:
            return turn("Let me look.", reasoning="hm", calls=calls("look_up", key=f"k{number}"), at=number // 2)
        return turn(f"It is v{number}. ", reasoning="so")

    return say


async def talked_to(
    box: str, below: Sampler, tokens: int, never: frozenset[int] | None = None, *, thinking: bool = True
) -> tuple[dict[str, Any], int]:
    """Run a black box against a gateway, then its conversations in the white box; compares, and says what it said."""
    noted = Noted(below)
    served = Served("tiny", TINY, RULES, CONTEXT, GRAMMARS)
    upstream = Watched(noted, served, TokenSettings(never=never, thinking=thinking))
    async with listening(upstream) as place:
        url, key = f"{place.gateway.url}/s/s", place.gateway.key_of("s")
        bwrap = Path(sys.executable).with_name("bwrap")
        more = [str(bwrap if bwrap.exists() else shutil.which("bwrap") or "bwrap")] if box == "mini_swe_agent" else []
        child = await asyncio.create_subprocess_exec(
            str(PYTHON), str(HERE / f"{box}_child.py"), url, key, str(tokens), *more, cwd=HERE,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env={**os.environ, **QUIET},
        )  # fmt: skip
        out, err = await child.communicate()
        assert child.returncode == 0, err.decode()[-3000:]
        whole = place.gateway.trajectory("s")
    assert len(whole.nodes) == len(upstream.talked) == len(noted.params)
    assert not any(node.masked for node in whole.nodes)
    replies = await replayed(upstream.talked, below, noted.params, never, thinking=thinking)
    for number, reply in enumerate(replies):
        path, sampled = whole.path(number), reply.sampled
        assert sampled is not None
        assert path.ids.tolist() == sampled.stream.tolist(), f"call {number}"
        assert whole.nodes[number].sampled.tolist() == sampled.ids.tolist()
        np.testing.assert_allclose(whole.nodes[number].logprobs, sampled.logprobs, rtol=1e-4, atol=1e-5)
        assert whole.nodes[number].versions.tolist() == sampled.versions.tolist()
    learned = sum(float(sample.weights.sum()) for sample in whole.to_samples(1.0))
    assert learned == sum(len(reply.sampled.ids) for reply in replies if reply.sampled is not None)
    return json.loads(out.decode().strip().splitlines()[-1]), len(whole.leaves)


@pytest.mark.parametrize("box", BOXES)
def test_with_a_model_that_calls_tools(box: str) -> None:
    async def work() -> None:
        said, leaves = await talked_to(box, sampler(scripted(box), context_tokens=CONTEXT), 400)
        branches = {"openai": 2, "anthropic": 1, "openai_agents": 2, "smolagents": 2, "mini_swe_agent": 1}
        assert leaves == branches[box], said

    run(work, seconds=240)


@pytest.mark.parametrize("box", BOXES)
def test_with_the_embedded_engine(box: str) -> None:
    from manyeyes.inference.async_engine import AsyncEngine
    from manyeyes.inference.engine_config import EngineConfig
    from manyeyes.model import config as models
    from manyeyes.model.multimodal import build

    tiny = models.tiny()
    text = dataclasses.replace(tiny.text, max_position_embeddings=CONTEXT, initializer_range=0.2)
    model = build(dataclasses.replace(tiny, text=text), seed=0)

    async def work() -> None:
        async with AsyncEngine(model, TINY, EngineConfig(cache_tokens=2 * CONTEXT, compiled=False)) as engine:
            if box == "smolagents":  # it asks for calls by force: a grammar leads the model, whose words it needs all
                await talked_to(box, engine, 100, thinking=False)
            else:
                await talked_to(box, engine, 600, WORDLESS)

    run(work, seconds=400)
