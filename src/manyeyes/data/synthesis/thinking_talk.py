"""`ThinkingTalk`: conversations of several turns in which each question rests on what was said before.

    user Start with 7. Add 5.   assistant 12   user Now take 3.   assistant <think>12 - 3 = 9</think>9

Four kinds: a number that is changed in turn, facts that are told first and asked later, a list that is edited, and a
question that is corrected. In thinking mode the last answer is reasoned for; earlier reasoning is gone, as the template
has it.

Report: §4.4.1 (interactive reasoning).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from manyeyes.core.messages import Message, assistant, user
from manyeyes.data.dialogue import Dialogue
from manyeyes.data.synthesis.generator import between, pick, some
from manyeyes.data.synthesis.thinking_dialogues import ThinkingDialogues
from manyeyes.data.synthesis.thinking_problem import COLOURS, Change, Problem, Step, changes, digits
from manyeyes.data.synthesis.thinking_trace import told

SAYS = {"+": "add {}", "-": "take {}", "*": "times {}"}


class Exchange(NamedTuple):
    """A turn of the user, the work it takes, and the answer. No steps: nothing to think about."""

    said: str
    steps: tuple[Step, ...]
    answer: str


def number(rng: np.random.Generator) -> list[Exchange]:
    """A number is begun with, then changed turn by turn."""
    value = between(rng, 1, 9)
    talk, told_before = [], f"Start with {value},"
    for change in changes(rng, value, between(rng, 2, 4)):
        step = Step("I go on from the last number", change.line(value))
        value = change.of(value)
        talk.append(Exchange(f"{told_before} {SAYS[change.sign].format(change.by)}.", (step,), str(value)))
        told_before = "Now"
    return talk


def facts(rng: np.random.Generator) -> list[Exchange]:
    """Numbers are told first; a sum of two is asked for at the end."""
    colours = some(rng, COLOURS, between(rng, 2, 4))
    has = dict(zip(colours, digits(rng, len(colours)), strict=True))
    talk = [Exchange(f"The {colour} one has {count}.", (), "Noted.") for colour, count in has.items()]
    first, second = some(rng, colours, 2)
    total = Change("+", has[second])
    steps = (
        Step("I look for the first", f"1: {first} {has[first]}"),
        Step("I look for the second", f"2: {second} {has[second]}: {total.line(has[first])}"),
    )
    return [*talk, Exchange(f"How many have {first} and {second}?", steps, str(total.of(has[first])))]


def edited(rng: np.random.Generator) -> list[Exchange]:
    """A list is given, then something is put in or taken out."""
    items, rest = some(rng, COLOURS, 3), some(rng, COLOURS, len(COLOURS))
    talk = [Exchange(f"Take the {_listed(items)}.", (), f"The {_listed(items)}")]
    for _ in range(between(rng, 1, 2)):
        if rng.random() < 0.5 and len(items) > 2:
            gone = pick(rng, items)
            items = [item for item in items if item != gone]
            said = f"Without the {gone} one."
        else:
            new = next(item for item in rest if item not in items)
            items = [*items, new]
            said = f"And then the {new} one."
        talk.append(Exchange(said, (Step("I change the list", f"The {_listed(items)}"),), f"The {_listed(items)}"))
    return talk


def corrected(rng: np.random.Generator) -> list[Exchange]:
    """A sum is asked for, then another one was meant."""
    a, b, c = digits(rng, 3)
    asked, meant = Change("+", b), Change("+", c)
    first = Exchange(f"What is {a} + {b}?", (Step("I add them", asked.line(a)),), str(asked.of(a)))
    return [first, Exchange(f"No, I meant {a} + {c}.", (Step("I add them", meant.line(a)),), str(meant.of(a)))]


KINDS: tuple[Callable[[np.random.Generator], list[Exchange]], ...] = (number, facts, edited, corrected)


@dataclass(frozen=True, kw_only=True)
class ThinkingTalk(ThinkingDialogues):
    """A collection of dialogues; see the module and `ThinkingDialogues`."""

    name: str = "sft/thinking_talk"

    def _draw(self, rng: np.random.Generator, index: int) -> tuple[Exchange, ...]:
        return tuple(KINDS[index % len(KINDS)](rng))

    def _content(self, plan: tuple[Exchange, ...]) -> str:
        return "\n".join(one.said for one in plan)

    def _write(self, plan: tuple[Exchange, ...], name: str, rng: np.random.Generator) -> Dialogue:
        *earlier, last = plan
        said: list[Message] = []
        for one in earlier:
            said += [user(one.said), assistant(one.answer)]
        thinking = self._thinks(rng)
        problem = Problem("talk", last.said, last.steps, last.answer)
        reasoning = told(problem, rng, wordiness=self._wordiness(rng)) if thinking else None
        return Dialogue(name, (*said, user(last.said), assistant(last.answer, reasoning=reasoning)), thinking=thinking)


def _listed(items: list[str]) -> str:
    return ", ".join(items)
