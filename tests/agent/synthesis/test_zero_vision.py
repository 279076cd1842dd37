"""Pictures that no teacher is shown: their code really runs, confined, and is run again to be verified."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from manyeyes.agent.fakes import Scripted
from manyeyes.agent.sandbox_probe import probe
from manyeyes.agent.synthesis.domains import is_exception, zero_vision
from manyeyes.agent.synthesis.synthesis import DIALOGUES, synthesise
from manyeyes.agent.synthesis.tally import Tally
from manyeyes.agent.synthesis.teacher import Teacher
from manyeyes.agent.tools.forked_python_pool import ForkedPythons
from manyeyes.agent.toolset import ToolResult
from manyeyes.core.messages import Message, ToolCall, assistant
from manyeyes.data.dialogue_file import DialogueFile
from manyeyes.data.synthesis.zero_vision import named
from manyeyes.data.synthesis.zero_vision_programs import TEACHERS, written
from manyeyes.data.synthesis.zero_vision_sights import SIDE, sight

KIND = "share"
needs_sandbox = pytest.mark.skipif(not asyncio.run(probe()).works, reason="no sandbox works here")


def calling(code: str, answer: str = ""):
    """A teacher that runs code and says what it printed, or something else."""
    call = ToolCall.of("ipython", {"code": code}, index=0)

    def policy(messages: Sequence[Message]) -> Message:
        return (
            assistant(answer or messages[-1].text.strip()) if messages[-1].role == "tool" else assistant(calls=(call,))
        )

    return policy


async def made(folder: Path, **policies) -> Tally:
    pythons = ForkedPythons()
    domain = zero_vision(pythons)
    seeds = [seed for seed in domain.seeds(30, 0) if seed.data["kind"] == KIND]
    teachers = [Teacher(name, Scripted(policy)) for name, policy in policies.items()]
    try:
        return await synthesise(domain, seeds, teachers, folder)
    finally:
        await pythons.close()


def measuring(messages: Sequence[Message]) -> Message:
    """A teacher that knows a way to measure it, which is right in most pictures."""
    if messages[-1].role == "tool":
        return assistant(messages[-1].text.strip())
    asked = next(message.text for message in messages if message.role == "user")
    numbers = (number for number in range(30) if named(SIDE, sight(KIND, number).question).text == asked)
    code = written(TEACHERS[KIND][1], sight(KIND, next(numbers)), np.random.default_rng(0))
    return assistant(calls=(ToolCall.of("ipython", {"code": code}, index=0),))


def knowing(messages: Sequence[Message]) -> Message:
    """A teacher that guesses right, and makes a call that prints its guess."""
    if messages[-1].role == "tool":
        return assistant(messages[-1].text.strip())
    asked = next(message.text for message in messages if message.role == "user")
    numbers = (number for number in range(30) if named(SIDE, sight(KIND, number).question).text == asked)
    code = f"print({sight(KIND, next(numbers)).answer!r})"
    return assistant(calls=(ToolCall.of("ipython", {"code": code}, index=0),))


def test_questions_name_the_picture_and_do_not_show_it() -> None:
    seeds = zero_vision(ForkedPythons()).seeds(12, 0)
    assert len({seed.data["kind"] for seed in seeds}) > 3 and len({seed.id for seed in seeds}) == 12
    assert all(seed.turns[0].startswith("im: 64x64 picture\n") and seed.has_truth for seed in seeds)


def test_an_exception_is_told_from_a_result() -> None:
    raised = ToolResult.of("numpy.exceptions.AxisError: axis 7 is out of bounds (line 1)", ipython=1, status="error")
    assert is_exception(raised) and is_exception(ToolResult.failed("timeout", "it took too long"))
    assert not is_exception(ToolResult.of("ValueError: as it was printed", ipython=1))


@needs_sandbox
def test_code_is_run_and_verified(tmp_path: Path) -> None:
    tally = asyncio.run(
        made(
            tmp_path, right=measuring, chance=calling("print(np.random.rand())"), broken=calling("print(imm)"),
            blind=lambda messages: assistant("50"), made_up=calling("print(im.shape)", "101"), guess=knowing,
        )
    )  # fmt: skip
    counts = tally.to_json()["teachers"]
    assert counts["guess"]["looks"] == 5, "right, and with a call, but nobody looked"
    assert counts["right"]["form"] == counts["right"]["execution"] == 0 and counts["right"]["kept"] > 0
    assert counts["chance"]["execution"] == counts["blind"]["form"] == counts["made_up"]["answer"] == 5
    assert counts["broken"]["answer"] == 5, "one failed call may stand, but what it gives is no answer"
    shown = DialogueFile(tmp_path / DIALOGUES).dialogue(0)
    assert [message.role for message in shown.messages] == ["user", "assistant", "tool", "assistant"]
    assert "is not shown" not in json.dumps([message.text for message in shown.messages]), "that was for the teacher"
