"""`ThinkingTools`: conversations with a calculator and a look-up: the right tool, the right arguments, and its result.

    user       How many red and blue boxes are there?
    assistant  find {"key": "red"}  find {"key": "blue"}     tool 47   tool 58
    assistant  calculate {"expression": "47 + 58"}           tool 105
    assistant  105

Beside the tools that are needed others are declared; some questions need none; a look-up may find nothing, and then
that is the answer. Results are worked out here, never guessed: whoever trains on them learns to read them.

Report: §4.4.1 (precise tool calls).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from manyeyes.core.messages import Message, Tool, ToolCall, assistant, tool_result, user
from manyeyes.data.dialogue import Dialogue
from manyeyes.data.synthesis.generator import between, pick, some
from manyeyes.data.synthesis.thinking_dialogues import ThinkingDialogues
from manyeyes.data.synthesis.thinking_numbers import THINGS
from manyeyes.data.synthesis.thinking_problem import COLOURS
from manyeyes.data.synthesis.thinking_trace import CHECKED, OPENINGS


def _tool(name: str, description: str, argument: str) -> Tool:
    schema = {"type": "object", "properties": {argument: {"type": "string"}}, "required": [argument]}
    return Tool(name, description, schema)


CALCULATE = _tool("calculate", "Works out a sum.", "expression")
FIND = _tool("find", "Looks up a number.", "key")
OTHERS = (_tool("note", "Writes a note.", "text"), _tool("translate", "Translates a word.", "word"))
MISSING = "no entry"
COME = {"+": "come", "-": "go"}


class Asked(NamedTuple):
    """A call and what it returns."""

    tool: Tool
    argument: str
    result: str


class Errand(NamedTuple):
    """What a user wants, and how it is done.

    Attributes:
        said: by the user.
        rounds: calls that are made together, one round after the other; none where no tool is needed.
        thoughts: before each round, and before the answer.
        answer: the last words.
        tools: what must be declared.
    """

    said: str
    rounds: tuple[tuple[Asked, ...], ...]
    thoughts: tuple[str, ...]
    answer: str
    tools: tuple[Tool, ...]


def no_entry(key: str) -> str:
    """The answer where a look-up finds nothing."""
    return f"There is no entry for {key}."


def calculated(rng: np.random.Generator) -> Errand:
    """Numbers too large to add at a glance."""
    b, a = sorted(_numbers(rng, 2))
    sign, result = ("+", a + b) if rng.random() < 0.5 else ("-", a - b)
    said = f"What is {a} {sign} {b}?" if rng.random() < 0.5 else f"There are {a}, and {b} {COME[sign]}. How many now?"
    asked = _sum(f"{a} {sign} {b}", result)
    return Errand(said, ((asked,),), (f"I calculate {a} {sign} {b}.", "I read the result."), str(result), (CALCULATE,))


def found(rng: np.random.Generator) -> Errand:
    """One number that has to be looked up, or is not there."""
    key, thing = pick(rng, COLOURS), pick(rng, THINGS)
    there = rng.random() < 0.75
    result = str(_numbers(rng, 1)[0]) if there else MISSING
    answer = result if there else no_entry(key)
    thoughts = f"I look up {key}.", "I read the result." if there else "Nothing was found."
    return Errand(f"How many {key} {thing} are there?", ((Asked(FIND, key, result),),), thoughts, answer, (FIND,))


def both(rng: np.random.Generator) -> Errand:
    """Two numbers that are looked up at once, then added or compared."""
    (first, second), thing = some(rng, COLOURS, 2), pick(rng, THINGS)
    a, b = _numbers(rng, 2)
    looked = Asked(FIND, first, str(a)), Asked(FIND, second, str(b))
    look = f"I look up {first} and {second}."
    if rng.random() < 0.5:
        thoughts = look, f"I compare {a} and {b}."
        more = first if a > b else second
        return Errand(f"Are there more {first} or {second} {thing}?", (looked,), thoughts, more, (FIND,))
    said = f"How many {first} and {second} {thing} are there?"
    thoughts = look, f"I calculate {a} + {b}.", "I read the result."
    rounds = looked, (_sum(f"{a} + {b}", a + b),)
    return Errand(said, rounds, thoughts, str(a + b), (FIND, CALCULATE))


def untouched(rng: np.random.Generator) -> Errand:
    """A question that is answered from its own words, whatever tools there are."""
    first, second = some(rng, COLOURS, 2)
    a, b = some(rng, range(1, 10), 2)
    said = f"{a} are {first}, {b} are {second}. Are there more {first} or {second}?"
    tools = pick(rng, ((FIND,), (CALCULATE,), (FIND, CALCULATE)))
    return Errand(said, (), (f"I compare {a} and {b}.",), first if a > b else second, tools)


KINDS: tuple[Callable[[np.random.Generator], Errand], ...] = (calculated, found, both, untouched)


@dataclass(frozen=True, kw_only=True)
class ThinkingTools(ThinkingDialogues):
    """A collection of dialogues; see the module and `ThinkingDialogues`."""

    name: str = "sft/thinking_tools"

    def _draw(self, rng: np.random.Generator, index: int) -> Errand:
        return KINDS[index % len(KINDS)](rng)

    def _content(self, plan: Errand) -> str:
        return plan.said

    def _write(self, plan: Errand, name: str, rng: np.random.Generator) -> Dialogue:
        thinking = self._thinks(rng)
        said, made = [user(plan.said)], 0
        for asked, thought in zip(plan.rounds, plan.thoughts, strict=False):
            said += _round(asked, self._thought(thought, rng) if thinking else None, made)
            made += len(asked)
        said.append(assistant(plan.answer, reasoning=self._thought(plan.thoughts[-1], rng) if thinking else None))
        return Dialogue(name, tuple(said), _declared(plan, rng), thinking)

    def _thought(self, thought: str, rng: np.random.Generator) -> str:
        return f"{pick(rng, OPENINGS)}\n{thought}" if self._wordiness(rng) >= CHECKED else thought


def _declared(plan: Errand, rng: np.random.Generator) -> tuple[Tool, ...]:
    """What is needed and up to two others, in any order."""
    rest = [tool for tool in (CALCULATE, FIND, *OTHERS) if tool not in plan.tools]
    return tuple(some(rng, [*plan.tools, *some(rng, rest, between(rng, 0, 2))], len(plan.tools) + 2))


def _round(asked: tuple[Asked, ...], reasoning: str | None, made: int) -> list[Message]:
    calls = tuple(
        ToolCall.of(one.tool.name, {_argument(one.tool): one.argument}, index=made + place)
        for place, one in enumerate(asked)
    )
    results = (tool_result(call, one.result) for call, one in zip(calls, asked, strict=True))
    return [assistant(reasoning=reasoning, calls=calls), *results]


def _argument(tool: Tool) -> str:
    return tool.parameters["required"][0]


def _sum(expression: str, result: int) -> Asked:
    return Asked(CALCULATE, expression, str(result))


def _numbers(rng: np.random.Generator, count: int) -> list[int]:
    """Different ones of two digits."""
    return some(rng, range(10, 100), count)
