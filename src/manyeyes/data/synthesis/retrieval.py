"""Long texts with something to find: facts scattered in prose, long lists of keys, variables to follow through a text.

Length is a parameter, so the same generators serve each long-context stage. Every fact is invented and stands nowhere
else; where in the text it stands is drawn uniformly.

    depth of the k-th of n facts: uniform over the sentences of the filler

Report: §4.3 (long-context stages: long text, reasoning chains), evaluated by retrieval at each length.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import numpy as np

from manyeyes.core.errors import ConfigError
from manyeyes.data.collection import Domain
from manyeyes.data.record import Record
from manyeyes.data.synthesis.generator import PRINT, Generator, assistant, between, pick, some, user
from manyeyes.data.synthesis.words import LANGUAGES, pseudo_word

_NOUNS = tuple(
    """bear bird boat book box bread cake cat cloud coat cow deer desk dish dog door dress drum farm fish flag flower
    frog garden goat hat hill horse house jar key kite lake lamp lion map market moon mouse nest owl park pig pond queen
    ring river road roof rope rose ship shirt shop song spoon star stone street table tiger tower town train
    tree truck valley wall wheel window wolf""".split()
)
_ADJECTIVES = tuple("big blue calm cold dark flat glad gray green happy long new old pink quick red slow small".split())
_VERBS = tuple("sees finds likes passes leaves meets follows draws moves keeps paints opens visits watches".split())
_PLACES = tuple("near behind beside under before after without with".split())
_THINGS = ("code", "number", "price", "age", "size", "year")


def filler(rng: np.random.Generator) -> str:
    """A grammatical sentence of nine words that says nothing of use."""
    the, verb = f"The {pick(rng, _ADJECTIVES)} {pick(rng, _NOUNS)}", pick(rng, _VERBS)
    return f"{the} {verb} the {pick(rng, _NOUNS)} {pick(rng, _PLACES)} the {pick(rng, _NOUNS)}."


def name_of(rng: np.random.Generator) -> str:
    """An invented name with a capital: four to six letters."""
    while len(word := pseudo_word(rng, LANGUAGES["en"], 6)) < 4:
        pass
    return word.capitalize()


def names_of(rng: np.random.Generator, count: int) -> list[str]:
    """`count` different invented names."""
    names: dict[str, None] = {}
    while len(names) < count:
        names[name_of(rng)] = None
    return list(names)


def scattered(rng: np.random.Generator, facts: list[str], sentences: int, *, ordered: bool = False) -> str:
    """`facts` at random places among `sentences` sentences of filler; in the given order if `ordered`."""
    places = np.sort(rng.integers(0, sentences + 1, len(facts))).tolist()
    facts = facts if ordered else some(rng, facts, len(facts))
    text: list[str] = []
    for i in range(sentences + 1):
        while places and places[0] == i:
            text.append(facts[len(facts) - len(places)])
            places.pop(0)
        if i < sentences:
            text.append(filler(rng))
    return " ".join(text)


class Quiz(NamedTuple):
    """A long text, and questions with their answers (the truth of each, and how it is reached)."""

    text: str
    questions: tuple[tuple[str, str], ...]
    truth: str


@dataclass(frozen=True, kw_only=True)
class LongText(Generator[Quiz]):
    """A long text in the first user turn, then questions.

    Attributes:
        sentences: of filler, about 10 words or 13 tokens of a small vocabulary each.
        questions: turns a record; one in a test split.
    """

    sentences: int = 40
    questions: int = 3
    domain: ClassVar[Domain] = "text"
    kind: ClassVar[str] = "knowledge_text"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sentences < 0 or self.questions < 1:
            raise ConfigError(f"{self.name}: sentences must be at least 0 and questions at least 1")

    @property
    def asked(self) -> int:
        """Questions in a record of this split."""
        return 1 if self.split == "test" else self.questions

    def _content(self, plan: Quiz) -> str:
        return repr(plan.questions[0])

    def _write(self, plan: Quiz, name: str) -> Record:
        turns = []
        for i, (ask, answer) in enumerate(plan.questions):
            turns += [user(ask if i else f"{plan.text}\n\n{ask}"), assistant(answer)]
        return Record(name, tuple(turns), allowed=PRINT, truth=plan.truth)


@dataclass(frozen=True, kw_only=True)
class Needles(LongText):
    """Facts such as "The code of Velo is 4812." within prose.

    Attributes:
        needles: facts in the text, at least as many as questions; the others distract.
        digits: of each answer.
    """

    needles: int = 4
    digits: int = 4
    name: str = "synthetic/retrieval/needles"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.needles < self.questions:
            raise ConfigError(f"{self.name}: {self.questions} questions need as many needles, got {self.needles}")

    def _draw(self, rng: np.random.Generator) -> Quiz:
        facts = []
        for name in names_of(rng, self.needles):
            value = str(between(rng, 10 ** (self.digits - 1), 10**self.digits - 1))
            facts.append((pick(rng, _THINGS), name, value))
        text = scattered(rng, [f"The {thing} of {name} is {value}." for thing, name, value in facts], self.sentences)
        asked = tuple((f"What is the {thing} of {name}?", value) for thing, name, value in facts[: self.asked])
        return Quiz(text, asked, asked[-1][1])


@dataclass(frozen=True, kw_only=True)
class KeyValues(LongText):
    """A list of `sentences` lines "name: number"; the densest retrieval there is.

    Attributes:
        digits: of each number.
        backwards: ask for the name of a number, too.
    """

    digits: int = 3
    backwards: bool = True
    name: str = "synthetic/retrieval/key_values"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.questions <= self.sentences <= 9 * 10 ** (self.digits - 1) // 2:
            raise ConfigError(f"{self.name}: {self.sentences} lines: at least one a question, at most half the numbers")

    def _draw(self, rng: np.random.Generator) -> Quiz:
        names = names_of(rng, self.sentences)
        low = 10 ** (self.digits - 1)
        values: dict[int, None] = {}
        while len(values) < self.sentences:
            values[between(rng, low, 10 * low - 1)] = None
        pairs = list(zip(names, map(str, values), strict=True))
        text = "\n".join(f"{name}: {value}" for name, value in pairs)
        asked = []
        for name, value in some(rng, pairs, self.asked):
            turn = self.backwards and rng.random() < 0.3
            asked.append((f"Which name has {value}?", name) if turn else (f"What is the number of {name}?", value))
        return Quiz(text, tuple(asked), asked[-1][1])


@dataclass(frozen=True, kw_only=True)
class Variables(LongText):
    """Reasoning chains through a text: each quantity is given by the one before, and the last one is asked for.

    Attributes:
        hops: fewest and most steps after the first quantity.
        order: "forward" states every quantity after what it rests on; "shuffled" states them anywhere.
    """

    hops: tuple[int, int] = (2, 4)
    order: Literal["forward", "shuffled"] = "forward"
    questions: int = 1
    name: str = "synthetic/retrieval/variables"
    kind: ClassVar[str] = "maths"

    def _draw(self, rng: np.random.Generator) -> Quiz:
        names = names_of(rng, between(rng, *self.hops) + 1)
        value = between(rng, 1, 9)
        facts, steps = [f"{names[0]} has {value} coins."], [f"{names[0]} has {value}."]
        for before, name in zip(names, names[1:], strict=False):
            change = between(rng, 1, 9)
            more = value - change < 0 or rng.random() < 0.6
            facts.append(f"{name} has {change} {'more' if more else 'fewer'} than {before}.")
            total = value + change if more else value - change
            steps.append(f"{name} has {value} {'+' if more else '-'} {change} = {total}.")
            value = total
        text = scattered(rng, facts, self.sentences, ordered=self.order == "forward")
        answer = f"{' '.join(steps)}\nAnswer: {value}"
        return Quiz(text, ((f"How many coins does {names[-1]} have?", answer),), str(value))
