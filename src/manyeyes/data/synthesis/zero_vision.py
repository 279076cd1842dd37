"""`ZeroVision`: conversations about pictures without any picture: what a model learns to do with its eyes shut.

    measured    user: im: 64x64 picture / How many red shapes are there?     assistant: ipython(code)
                tool: what the code really printed, run on the picture       assistant: 3
    told        user: a red circle; a blue square / How many …?              assistant: 1

A measured one shows a way that was right here, checked against the truth, and no better one is preferred; where a first
program shows nothing a second one may follow. `picture=True` puts the real picture in the place of the words that stand
for it: text-vision fine-tuning, for comparison. Prompts are made here for fine-tuning and for reinforcement learning.

Report: §2.2 (zero-vision SFT), §4.4.1.
"""

from dataclasses import dataclass

import numpy as np

from manyeyes.core.errors import ConfigError, DataError
from manyeyes.core.messages import Message, ToolCall, assistant, tool_result, user
from manyeyes.core.picture import Picture, Pixels
from manyeyes.core.seeds import stream
from manyeyes.data.collection import Split
from manyeyes.data.dialogue import Dialogue
from manyeyes.data.synthesis.generator import between, pick, some
from manyeyes.data.synthesis.zero_vision_programs import TEACHERS, TOOL, chosen, printed, written
from manyeyes.data.synthesis.zero_vision_sight import Sight, is_right, read_number
from manyeyes.data.synthesis.zero_vision_sights import KINDS, SIDE, checked_kinds, sight

PATIENCE = 500
"""Sights of a kind until a teacher is right."""
SECOND = 0.8
"""Share of programs that show nothing after which another one is tried."""


def seen(picture: Picture, question: str) -> Message:
    """A question about a picture that is shown."""
    return user(picture, question)


def named(side: int, question: str) -> Message:
    """A question about a picture that is not shown, but there for code."""
    return user(f"im: {side}x{side} picture\n{question}")


def told(told: str, question: str) -> Message:
    """A question about a picture that is told in words."""
    return user(f"{told}\n{question}")


@dataclass(frozen=True, kw_only=True)
class ZeroVision:
    """A collection of dialogues; see the module.

    Attributes:
        size: number of dialogues.
        seed: another seed gives others of the same split.
        split: "train" or "test"; no sight occurs in both.
        kinds: of sights that are measured; dialogues begin with each in turn.
        turns: pictures that a dialogue measures one after another, at most. With three, `tiny` learned less of equal
            tokens than with one.
        told: share of dialogues that tell the picture in words, of all kinds.
        picture: show the picture itself.
        side: of the picture, pixels.
        name: unique among sources.

    Raises:
        ConfigError: an unknown kind, one that no teacher measures, or a share that is none.

    Example:
        >>> dialogue = ZeroVision(size=10, turns=1, told=0.0).dialogue(0)
        >>> [message.role for message in dialogue.messages], dialogue.messages[0].text.split()[0]
        (['user', 'assistant', 'tool', 'assistant'], 'im:')
    """

    size: int
    seed: int = 0
    split: Split = "train"
    kinds: tuple[str, ...] = tuple(TEACHERS)
    turns: int = 1
    told: float = 0.25
    picture: bool = False
    side: int = SIDE
    name: str = "sft/zero_vision"

    def __post_init__(self) -> None:
        checked_kinds(self.kinds, tuple(TEACHERS))
        if self.size < 0 or self.turns < 1 or not 0 <= self.told <= 1:
            raise ConfigError(
                f"{self.name}: expected size >= 0, turns >= 1 and told in 0..1, got {self.size}, {self.turns} and "
                f"{self.told}"
            )

    @property
    def text_only(self) -> bool:
        """Whether no message holds a picture."""
        return not self.picture

    def __len__(self) -> int:
        return self.size

    def dialogue(self, index: int) -> Dialogue:
        """See `Dialogues`.

        Raises:
            DataError: no teacher of a kind is ever right; none of those that ship.
        """
        if not 0 <= index < self.size:
            raise IndexError(f"{self.name}: dialogue {index} of {self.size}")
        rng = stream(self.seed, f"data/zero_vision/{self.split}", index)  # not by name: variants tell the same
        made = self._told(index, rng) if rng.random() < self.told else self._measured(index, rng)
        if self.text_only and any(message.media for message in made.messages):
            raise DataError(f"{made.name} holds a picture, and {self.name} is of text alone")
        return made

    def _sight(self, kind: str, number: int) -> Sight:
        return sight(kind, number, seed=self.seed + 1, split=self.split, side=self.side)

    def _told(self, index: int, rng: np.random.Generator) -> Dialogue:
        found = self._sight(pick(rng, tuple(KINDS)), index * PATIENCE)
        asked = self._shown(found) if self.picture else told(found.told, found.question)
        return Dialogue(f"{self.name}/{self.split}/{index:06d}/{found.kind}", (asked, assistant(found.answer)))

    def _measured(self, index: int, rng: np.random.Generator) -> Dialogue:
        """One picture after another, each of another kind; every one is called `im`."""
        others = [kind for kind in self.kinds if kind != self.kinds[index % len(self.kinds)]]
        kinds = [self.kinds[index % len(self.kinds)], *some(rng, others, between(rng, 0, self.turns - 1))]
        messages: tuple[Message, ...] = ()
        for kind in kinds:
            messages += self._turn(kind, index, rng, calls=sum(len(message.tool_calls) for message in messages))
        return Dialogue(f"{self.name}/{self.split}/{index:06d}/{'+'.join(kinds)}", messages, (TOOL,))

    def _turn(self, kind: str, index: int, rng: np.random.Generator, *, calls: int) -> tuple[Message, ...]:
        for attempt in range(PATIENCE):
            found = self._sight(kind, index * PATIENCE + attempt)
            if (steps := measured(found, rng, calls=calls)) is not None:
                asked = self._shown(found) if self.picture else named(self.side, found.question)
                return (asked, *steps)
        raise DataError(f"{self.name}: no teacher of {kind!r} was right in {PATIENCE} pictures")

    def _shown(self, found: Sight) -> Message:
        height, width = found.draw().shape[:2]
        return seen(Picture.lazy(width, height, found.draw), found.question)


def measured(found: Sight, rng: np.random.Generator, *, calls: int = 0) -> tuple[Message, ...] | None:
    """A teacher's messages behind the question; None where its answer is wrong.

    Args:
        calls: made before in the conversation.
    """
    pixels = found.draw()
    messages, said = _run(found, pixels, rng, index=calls)
    if shows_nothing(said) and rng.random() < SECOND:
        more, said = _run(found, pixels, rng, index=calls + 1)
        messages += more
    answer = said.strip()
    return (*messages, assistant(answer)) if is_right(found, answer) else None


def _run(found: Sight, pixels: Pixels, rng: np.random.Generator, *, index: int) -> tuple[tuple[Message, ...], str]:
    code = written(chosen(found.kind, rng), found, rng)
    call = ToolCall.of(TOOL.name, {"code": code}, index=index)
    said = printed(code, pixels)
    return (assistant(calls=(call,)), tool_result(call, said)), said


def shows_nothing(said: str) -> bool:
    """Whether a program failed or measured nothing: none of these pictures is without what is asked for."""
    text = said.strip()
    return not text.startswith("[") and read_number(text) in (None, 0.0)
