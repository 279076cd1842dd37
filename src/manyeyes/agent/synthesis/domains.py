"""The pipelines that ship: reasoning, dialogue, tools, zero_vision.

    reasoning      one problem with an exact answer; half of them thought through, half answered at once
    dialogue       several turns that rest on each other
    tools          a calculator and a look-up, really called, where an answer needs them
    zero_vision    a question about a picture that nobody is shown and code must measure, in a sandbox

Problems are those of the programs that `tiny.sft` learns from: their training split, asked anew of better teachers.
`from_file` makes a pipeline of people's own seeds.

Report: §4.4.1 (pipelines for each domain), §2.2 (zero-vision SFT).
"""

import json
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path

from manyeyes.agent.environments.sights import FILE, PREAMBLE, SECONDS, Drawn, sight_of, sight_task
from manyeyes.agent.synthesis.absence import says_none
from manyeyes.agent.synthesis.answer import Answer, same_words
from manyeyes.agent.synthesis.candidate import Candidate
from manyeyes.agent.synthesis.desk import desk
from manyeyes.agent.synthesis.domain import Domain
from manyeyes.agent.synthesis.execution import Execution, gave_nothing
from manyeyes.agent.synthesis.form import Form
from manyeyes.agent.synthesis.looks import Looks
from manyeyes.agent.synthesis.seed import Seed, seed_file
from manyeyes.agent.tools.forked_python import ForkedPython
from manyeyes.agent.tools.forked_python_pool import ForkedPythons
from manyeyes.agent.toolset import ToolResult, Toolset
from manyeyes.core.errors import ConfigError
from manyeyes.data.dialogue import Dialogue, Dialogues
from manyeyes.data.synthesis.thinking import Thinking
from manyeyes.data.synthesis.thinking_talk import ThinkingTalk
from manyeyes.data.synthesis.thinking_tools import MISSING, ThinkingTools, no_entry
from manyeyes.data.synthesis.zero_vision import named
from manyeyes.data.synthesis.zero_vision_programs import TEACHERS, TOOL
from manyeyes.data.synthesis.zero_vision_sight import is_right
from manyeyes.data.synthesis.zero_vision_sights import SIDE
from manyeyes.reward.final_answer import final_answer

NAMES = ("reasoning", "dialogue", "tools", "zero_vision")
BRIEF = "Give the final answer alone, on a line of its own, without explanation."
MEASURE = (
    "The picture is not shown to you. It is in `im`, an integer array [height, width, 3]; np, ndimage and Image are "
    "imported. Measure it with short code, at most two calls, and print little. " + BRIEF
)


def shipped(name: str, pythons: ForkedPythons) -> Domain:
    """A pipeline by name.

    Args:
        pythons: where the code of zero_vision runs; whoever made them closes them.

    Raises:
        ConfigError: there is none of that name.
    """
    makers: dict[str, Callable[[], Domain]] = {
        "reasoning": reasoning, "dialogue": dialogue, "tools": tools, "zero_vision": partial(zero_vision, pythons),
    }  # fmt: skip
    if name not in makers:
        raise ConfigError(f"no domain {name!r}; there are {', '.join(NAMES)}")
    return makers[name]()


def reasoning() -> Domain:
    """Problems with an exact answer."""
    return Domain(
        "reasoning",
        "problems with an exact answer, thought through and answered at once",
        lambda count, seed: _seeds_of(Thinking(size=count, seed=seed, instant=0.5)),
        (Form(calls=(0, 0)), Answer()),
        instruction=BRIEF,
    )


def dialogue() -> Domain:
    """Conversations of several turns."""
    return Domain(
        "dialogue",
        "conversations of several turns that rest on each other",
        lambda count, seed: _seeds_of(ThinkingTalk(size=count, seed=seed, instant=0.5)),
        (Form(calls=(0, 0)), Answer()),
        instruction="Follow the conversation. " + BRIEF,
    )


def tools() -> Domain:
    """A calculator and a look-up."""
    return Domain(
        "tools",
        "a calculator and a look-up, really called",
        lambda count, seed: _seeds_of(ThinkingTools(size=count, seed=seed, instant=0.5)),
        (Form(calls=(0, 6), check=not_looked_up), Execution(_desk), Answer(as_looked_up)),
        toolset=_desk,
        instruction="Use a tool where it helps, and nothing but its result. " + BRIEF,
        steps=4,
    )


def zero_vision(pythons: ForkedPythons) -> Domain:
    """Pictures measured by code."""
    room = partial(_python, pythons)
    return Domain(
        "zero_vision",
        "pictures that nobody is shown, measured by code in a sandbox",
        _sights,
        (
            Form(calls=(1, 3)),
            Execution(room, failed=is_exception, failures=1),
            Answer(_as_sight),
            Looks(partial(_other_rooms, pythons)),
        ),
        toolset=room,
        instruction=MEASURE,
        steps=4,
        ready=partial(_confined, pythons),
    )


def from_file(path: str | Path) -> Domain:
    """People's own seeds, without tools; the answer is compared where a line has a truth.

    Raises:
        DataError: see `seed_file`.
    """
    found = seed_file(path)
    return Domain(
        Path(path).stem,
        f"{len(found):,} seeds of a file",
        lambda count, seed: found[:count],
        (Form(calls=(0, 0)), Answer()),
    )


def is_exception(result: ToolResult) -> bool:
    """Whether code ended with an exception, or could not run."""
    return gave_nothing(result) or result.data.get("status") == "error"


def not_looked_up(candidate: Candidate) -> str:
    """A fault where an answer needed a tool and none was called: a look-up that nobody made is a guess."""
    called = any(message.tool_calls for message in candidate.messages)
    return "no tool was called" if candidate.seed.data["calls"] and not called else ""


def as_looked_up(said: str, truth: str, seed: Seed) -> float:
    """1 where an answer is the truth; of what is not there, where it says so in whatever words."""
    missing = [key for key, found in seed.data["entries"].items() if found == MISSING]
    if missing and truth == no_entry(missing[0]):
        return float(says_none(final_answer(said), missing[0]))
    return same_words(said, truth, seed)


def _seeds_of(collection: Dialogues) -> Sequence[Seed]:
    return [_seed_of(collection.dialogue(index)) for index in range(len(collection))]


def _seed_of(dialogue: Dialogue) -> Seed:
    """The questions of a dialogue with its answers as truths; words without a figure may be said in other ways."""
    turns = tuple(message.text for message in dialogue.messages if message.role == "user")
    said = [message.text for message in dialogue.messages if message.role == "assistant" and not message.tool_calls]
    truths = (*(one if any(map(str.isdigit, one)) else None for one in said[:-1]), said[-1])
    data = {"entries": _entries(dialogue), "calls": sum(len(message.tool_calls) for message in dialogue.messages)}
    return Seed(dialogue.name, turns, truths, thinking=dialogue.thinking, data=data)


def _entries(dialogue: Dialogue) -> dict[str, str]:
    """What was found by key."""
    calls = {call.id: call for message in dialogue.messages for call in message.tool_calls if call.name == "find"}
    results = ((calls.get(message.tool_call_id or ""), message.text) for message in dialogue.messages)
    return {json.loads(call.arguments)["key"]: text for call, text in results if call is not None}


def _desk(seed: Seed) -> Toolset:
    return desk(seed.data["entries"])


def _sights(count: int, seed: int) -> Sequence[Seed]:
    kinds = tuple(TEACHERS)
    return [_sight_seed(kinds[index % len(kinds)], index // len(kinds), seed) for index in range(count)]


def _sight_seed(kind: str, number: int, seed: int) -> Seed:
    found = _drawn(kind, number, seed).sight
    data = {"kind": kind, "number": number, "seed": seed}
    return Seed(f"sight/{seed}/{kind}/{number}", (named(SIDE, found.question).text,), (found.answer,), data=data)


@lru_cache(maxsize=256)
def _drawn(kind: str, number: int, seed: int) -> Drawn:
    """A sight with its pictures; several candidates of a seed come together."""
    return sight_of(sight_task(kind, number, seed=seed))


async def _confined(pythons: ForkedPythons) -> None:
    """Without a sandbox every call would fail, and every candidate with it. Raises SandboxUnavailable."""
    await pythons.end(await pythons.fork())


def _python(pythons: ForkedPythons, seed: Seed) -> Toolset:
    return _room(pythons, _drawn(**seed.data).picture)


def _other_rooms(pythons: ForkedPythons, seed: Seed) -> list[Toolset]:
    """The same with a blank picture, and with that of another sight."""
    other = _drawn(seed.data["kind"], seed.data["number"] + 1, seed.data["seed"])
    return [_room(pythons, picture) for picture in (_drawn(**seed.data).blank, other.picture)]


def _room(pythons: ForkedPythons, picture: bytes) -> Toolset:
    return ForkedPython(
        pythons, files={FILE: picture}, preamble=PREAMBLE, about=TOOL.description, name=TOOL.name, seconds=SECONDS
    )


def _as_sight(said: str, truth: str, seed: Seed) -> float:
    return float(is_right(_drawn(**seed.data).sight, said.strip()))
