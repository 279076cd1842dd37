"""`Instructions`: asks for more than the task does, in ways that a program can verify, and rewards what was kept.

    ... Answer in French. Use exactly 3 bullet points. End your answer with "That is all".

A set of constraints is drawn one by one; one that no answer could keep together with those before it is left out. The
proof is an answer that keeps them all (`Draft`), in the language that is asked for and with the words that every
answer to the task must hold. The reward is the share that was kept; its parts say which.

Report: App. D (module for instruction following).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from manyeyes.agent.judge import Case, Verdict, Weighted
from manyeyes.agent.prompting.constraint import Constraint
from manyeyes.agent.prompting.constraints import CONSTRAINTS
from manyeyes.agent.prompting.draft import Draft
from manyeyes.agent.prompting.languages import UNSPACED
from manyeyes.agent.prompting.module import Presentation
from manyeyes.core.errors import ConfigError

FRAMES = (
    "{sentences}",
    "Requirements for your answer:\n{bullets}",
    "When you write your final answer, keep to the following rules.\n{numbers}",
    "<format>\n{bullets}\n</format>",
    "Format: {sentences}",
    "Please note:\n{numbers}",
)
Asked = dict[str, Any]
"""A constraint of a set: {"name": ..., "params": {...}, "wording": 0}."""


@dataclass(frozen=True, slots=True)
class Instructions:
    """A prompt module: verifiable constraints on the answer.

    Attributes:
        kinds: names of `CONSTRAINTS` to draw from; leave out what the task itself forbids.
        least, most: how many there are.
        weight: of the reward.
        all_or_nothing: reward only answers that keep them all.
        essential: what every right answer holds, such as "\\\\boxed{42}"; constraints that it breaks are not drawn.
    """

    kinds: tuple[str, ...] = tuple(CONSTRAINTS)
    least: int = 1
    most: int = 4
    weight: float = 1.0
    all_or_nothing: bool = False
    essential: str = ""
    name: str = "instructions"

    def __post_init__(self) -> None:
        if unknown := set(self.kinds) - CONSTRAINTS.keys():
            raise ConfigError(f"{self.name}: no constraints {sorted(unknown)}; there are {', '.join(CONSTRAINTS)}")
        if not 0 <= self.least <= self.most <= len({CONSTRAINTS[kind].aspect for kind in self.kinds}):
            raise ConfigError(
                f"{self.name}: expected 0 <= least <= most, one of each aspect, got {self.least}, {self.most}"
            )
        if self.weight < 0:
            raise ConfigError(f"{self.name}: expected a weight of at least 0, got {self.weight}")

    def draw(self, rng: np.random.Generator, shown: Presentation) -> dict[str, Any]:
        """See `PromptModule.draw`."""
        wanted = int(rng.integers(self.least, self.most + 1))
        asked: list[Asked] = []
        for kind in rng.permutation(self.kinds).tolist():
            if len(asked) == wanted:
                break
            constraint = CONSTRAINTS[kind]
            one = {"name": kind, "params": constraint.draw(rng), "wording": int(rng.integers(len(constraint.wordings)))}
            if self._fits([*asked, one], shown.language):
                asked.append(one)
        frame, where = int(rng.integers(len(FRAMES))), str(rng.choice(["prompt", "prompt", "system"]))
        return {"constraints": asked, "frame": frame, "where": where}

    def apply(self, shown: Presentation, choice: dict[str, Any]) -> Presentation:
        """See `PromptModule.apply`."""
        shown.must_be_free(self.name)
        asked: list[Asked] = choice["constraints"]
        if not asked:
            return replace(shown, constrained=True)
        text = worded(asked, choice["frame"])
        reward = Weighted(lambda case: kept(asked, case, all_or_nothing=self.all_or_nothing), self.weight)
        return replace(shown.asking(text, where=choice["where"]), constrained=True).rewarding(self.name, reward)

    def _fits(self, asked: Sequence[Asked], language: str) -> bool:
        """Whether one answer can keep all of these."""
        aspects = [CONSTRAINTS[one["name"]].aspect for one in asked]
        if len(set(aspects)) < len(aspects) or (language and "language" in aspects):
            return False
        languages = {language, *(one["params"].get("code", "") for one in asked)}
        if "length" in aspects and languages & UNSPACED:  # words are counted as blanks part them
            return False
        text = constructed(asked, language=language, essential=self.essential)
        return self.essential in text and all(held(one, text) for one in asked)


def constructed(asked: Sequence[Asked], *, language: str = "", essential: str = "") -> str:
    """An answer drafted for these constraints; that it keeps them is for `held` to say."""
    draft = Draft(language=language or "en", essential=essential)
    for one in asked:
        draft = replace(draft, **CONSTRAINTS[one["name"]].drafted(one["params"]))
    return draft.written()


def held(one: Asked, text: str) -> bool:
    """Whether an answer keeps one constraint."""
    return CONSTRAINTS[one["name"]].holds(text, one["params"])


def kept(asked: Sequence[Asked], case: Case, *, all_or_nothing: bool = False) -> Verdict:
    """The share of constraints that an answer keeps, and which."""
    parts = {one["name"]: float(held(one, case.outcome.text)) for one in asked}
    share = sum(parts.values()) / len(parts)
    return Verdict(float(share == 1.0) if all_or_nothing else share, parts)


def worded(asked: Sequence[Asked], frame: int) -> str:
    """The constraints as the prompt puts them."""
    told = [_constraint(one).asked(one["params"], wording=one["wording"]) for one in asked]
    return FRAMES[frame].format(
        sentences=" ".join(told),
        bullets="\n".join(f"- {line}" for line in told),
        numbers="\n".join(f"{number}. {line}" for number, line in enumerate(told, 1)),
    )


def _constraint(one: Asked) -> Constraint:
    return CONSTRAINTS[one["name"]]
