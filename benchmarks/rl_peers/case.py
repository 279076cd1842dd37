"""The case that every side runs, and how a side is told to run a round of it; needs the standard library only.

A step is G prompts with K completions each, sampled with the weights of now and learned from once. All prompts have one
length and so have all completions: nobody pads, nobody waits for a longest one. A completion is worth the share of
its ids that are even, 0.5 for random weights.

A side is a process that is kept over all rounds. It says what it is, waits for a line, runs a round, says what it took,
and waits again, so that sides take turns.
"""

import argparse
import json
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

WORDS = 1700
"""Prompts hold ids below this: none is special."""


@dataclass(frozen=True)
class Case:
    """What is run.

    Attributes:
        groups, attempts: prompts of a step, and completions of each.
        prompt, answer: tokens.
        steps: of a round.
        threads: that arithmetic may use.
        rate: peak learning rate of the side's own optimiser.
        delay: median seconds of a tool between two turns; 0 for a single turn without any.
        turns: that an answer is cut into where there is a tool.
        options: more that a side's script understands, "name=value".
    """

    groups: int = 16
    attempts: int = 8
    prompt: int = 64
    answer: int = 64
    steps: int = 4
    threads: int = 2
    rate: float = 1e-3
    delay: float = 0.0
    turns: int = 1
    seed: int = 0
    model: str = ""
    options: tuple[str, ...] = ()

    @property
    def samples(self) -> int:
        """Completions of a step."""
        return self.groups * self.attempts

    def prompt_of(self, number: int) -> list[int]:
        """The ids of a prompt by its number."""
        draw = random.Random(f"{self.seed}/{number}")
        return [draw.randrange(WORDS) for _ in range(self.prompt)]

    def option(self, name: str, default: str) -> str:
        """What a side was told by name."""
        return dict(one.split("=", 1) for one in self.options).get(name, default)

    def arguments(self) -> list[str]:
        """For `asked` in another process."""
        plain = [f"--{one.name}={getattr(self, one.name)}" for one in fields(self) if one.name != "options"]
        return [*plain, "--options", *self.options]


def asked() -> Case:
    """The case of the command line."""
    parser = argparse.ArgumentParser()
    for name, value in vars(Case()).items():
        if name != "options":
            parser.add_argument(f"--{name}", type=type(value), default=value)
    parser.add_argument("--options", nargs="*", default=[])
    given = vars(parser.parse_args())
    given["options"] = tuple(given["options"])
    return Case(**given)


def worth(ids: Sequence[int]) -> float:
    """The reward of a completion."""
    return sum(token % 2 == 0 for token in ids) / len(ids)


@dataclass
class Round:
    """What a round took, while it runs.

    Attributes:
        rewards: mean of each step.
        tokens, samples: sampled and learned from.
    """

    began: float = field(default_factory=time.perf_counter)
    cpu: float = field(default_factory=time.process_time)
    rewards: list[float] = field(default_factory=list)
    tokens: int = 0
    samples: int = 0

    def took(self, **more: Any) -> dict[str, Any]:
        """Seconds and counts up to now."""
        wall, cpu = time.perf_counter() - self.began, time.process_time() - self.cpu
        counts = {"rewards": self.rewards, "tokens": self.tokens, "samples": self.samples}
        return {"wall": wall, "cpu": cpu} | counts | more


def tell(**told: Any) -> None:
    """A line for whoever measures."""
    print(json.dumps(told), file=sys.__stdout__, flush=True)


def turn() -> bool:
    """Wait for this side's turn; False where there is none any more."""
    return bool(sys.stdin.readline())
