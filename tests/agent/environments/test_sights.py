"""Sights: the prompt of fine-tuning with a picture in it, code that sees the same picture, blank ones for the blind."""

import asyncio
import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from manyeyes.agent.environment import Ctx
from manyeyes.agent.environments.sight_code import Brief
from manyeyes.agent.environments.sights import Sights, environment, sight_of, sight_task, sights
from manyeyes.agent.sandbox_probe import Probe
from manyeyes.agent.task import Task
from manyeyes.agent.tools.forked_python_pool import ForkedPythons
from manyeyes.agent.toolset import Functions, ToolResult
from manyeyes.core.errors import ConfigError
from manyeyes.core.messages import Message, ToolCall, assistant
from manyeyes.data.synthesis.zero_vision import PATIENCE, ZeroVision
from manyeyes.data.synthesis.zero_vision_programs import TEACHERS, TOOL
from manyeyes.data.synthesis.zero_vision_sights import KINDS, sight

from .walk import Caller, walk


def mean_colour(picture: bytes, ctx: Ctx) -> Functions:
    """A toolset that answers each piece of code with how bright its picture is."""

    async def ipython(code: str) -> str:
        """Not Python."""
        return str(int(np.asarray(Image.open(io.BytesIO(picture))).mean()))

    return Functions([ipython])


async def calls_once(shown: list[Message]) -> Message:
    if shown[-1].role == "tool":
        return assistant(shown[-1].text.strip())
    return assistant(calls=(ToolCall.of("ipython", {"code": "print(1)"}, index=0),))


def test_the_prompt_is_that_of_fine_tuning_with_the_picture_in_it() -> None:
    task = sight_task("count", 3)
    (shown,) = Sights().drawn(task, seed=0, name="t/0/0")[0].prompt(task)
    assert shown.text == task.prompt == sight("count", 3).question
    assert np.array_equal(shown.media[0].pixels(), sight("count", 3).draw())  # pyright: ignore


def test_a_blind_agent_and_its_code_see_a_blank_picture() -> None:
    task = sight_task("count", 3)
    seeing, blind = (Sights(blind=blind, code=mean_colour) for blind in (False, True))
    said = [asyncio.run(walk(world, task, calls_once)).history[-1].text for world in (seeing, blind)]
    assert said[1] == "255" != said[0]
    (shown,) = blind.drawn(task, seed=0, name="t/0/0")[0].prompt(task)
    assert (shown.media[0].pixels() == 255).all()  # pyright: ignore


def test_without_tools_nothing_is_declared() -> None:
    async def looks(shown: list[Message]) -> Message:
        return assistant(sight("print", 0).answer)

    walked = asyncio.run(walk(environment(tools=False), sight_task("print", 0), looks))
    assert walked.verdict is not None and walked.verdict.reward == 1.0


def test_what_teachers_wrote_is_worth_here_what_it_was_worth_there(probed: Probe) -> None:
    """Real code in the real sandbox prints, fails and answers as fine-tuning showed it."""

    async def whole() -> None:
        world = Sights()
        try:
            for index in range(2 * len(TEACHERS)):
                dialogue = ZeroVision(size=99, turns=1, told=0.0).dialogue(index)
                await replayed(world, dialogue.messages, dialogue.name)
        finally:
            await world.close()

    asyncio.run(whole())


async def replayed(world: Sights, messages: tuple[Message, ...], name: str) -> None:
    _, _, _, index, kind = name.split("/")
    asked = messages[0].text.split("\n", 1)[1]
    for attempt in range(PATIENCE):
        task = sight_task(kind, int(index) * PATIENCE + attempt, seed=1)
        if task.prompt != asked:
            continue
        answers = iter(messages[1::2])

        async def says(shown: list[Message], answers=answers) -> Message:
            return next(answers)

        walked = await walk(world, task, says)
        if [m.text for m in walked.history[2::2]] == [m.text for m in messages[2::2]]:
            assert walked.verdict is not None and walked.verdict.parts["right"] == 1.0
            return
    raise AssertionError(f"{name}: no picture gives what its dialogue shows")


def test_code_is_declared_as_fine_tuning_declares_it() -> None:
    here, _, _ = Sights().drawn(sight_task("dice", 0), seed=0, name="t/0/0")

    async def declared():
        async with here.open(Caller()) as session:
            return tuple(session.tools)

    assert asyncio.run(declared()) == (TOOL,)


def test_code_that_cannot_be_run_is_said_before_anybody_tries(probed: Probe) -> None:
    none = Probe(replace(probed.layers, bwrap=None), problem="bubblewrap is not installed", fix="install bubblewrap")
    here, gone = (Sights(pythons=ForkedPythons(probed=one)) for one in (probed, none))

    async def tried() -> int:
        await here.ready()
        await here.close()
        with pytest.raises(ConfigError, match="no sandbox works here.*install bubblewrap"):
            await gone.ready()
        await Sights(tools=False, pythons=ForkedPythons(probed=none)).ready()
        return here.pythons.counts.children

    assert asyncio.run(tried()) == 1 and here.pythons.alive == 0


def test_what_is_printed_too_long_is_cut_and_failures_stay_failures() -> None:
    async def ipython(code: str) -> str:
        """Shows everything."""
        return "0123456789" * 100

    async def whole() -> tuple[ToolResult, ToolResult]:
        brief = Brief(Functions([ipython]), most=20)
        good, bad = ToolCall.of("ipython", {"code": ""}, index=0), ToolCall("functions.ipython:1", "ipython", "{")
        return await brief.call(good), await brief.call(bad)

    shown, failed = asyncio.run(whole())
    assert shown.text.startswith("0123456789\n[") and shown.text.endswith("]\n0123456789") and len(shown.text) < 70
    assert failed.failure == "bad_arguments"


def test_sources_go_on_where_they_stood_and_bring_each_kind() -> None:
    source = sights(5, kinds=("count", "dice"))
    first = [source.next() for _ in range(6)]
    state = source.state()
    following = source.next()
    again = sights(5, kinds=("count", "dice"))
    again.restore(state)
    assert again.next() == following
    assert [task.truth["kind"] for task in first if task] == ["count", "dice"] * 3
    assert len({task.id for task in first if task}) == 6


def test_dropped_tasks_never_come_and_others_all_do() -> None:
    every = {task.id for task in sights(0, size=12, epochs=1)}
    gone = sorted(every)[:5]
    kept = [task.id for task in sights(0, size=12, epochs=2, dropped=gone)]
    assert set(kept) == every - set(gone) and len(kept) == 2 * 7
    with pytest.raises(ConfigError, match="size"):
        sights(0, dropped=gone)


def test_splits_share_no_sight_and_tasks_tell_no_truth() -> None:
    for kind in KINDS:
        train, test = (next(iter(sights(0, split, kinds=(kind,)))) for split in ("train", "test"))  # pyright: ignore
        assert sight_of(train).sight.content != sight_of(test).sight.content
        assert train.id != test.id


def test_other_tasks_are_refused() -> None:
    with pytest.raises(ConfigError, match="sight_task"):
        Sights().drawn(Task("t", "?", truth="4"), seed=0, name="t/0/0")
