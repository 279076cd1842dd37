"""Traces of reasoning, from terse to very wordy: the same steps, told at five lengths.

    0  the lines of work alone          2  each line told in words          4  the question said again, two checks
    1  and a last sentence              3  and a check, all lines again

Every trace is right, and every one holds all lines of work once. So words buy no accuracy, leaving lines out costs it,
and how long a model thinks is its own choice: what Toggle acts on. The redundant ones repeat what the report saw in
K2 Thinking's traces: verification again and again, and mechanical work.

Report: §4.4.2 (redundant patterns), §4.4.1. The forms are ours.
"""

import numpy as np

from manyeyes.core.errors import ConfigError
from manyeyes.data.synthesis.generator import pick
from manyeyes.data.synthesis.thinking_problem import Problem

TERSE, CLOSED, TOLD, CHECKED, WORDY = range(5)
"""How wordy a trace is; see the module."""

OPENINGS = ("Let me think step by step.", "I go through this one step at a time.", "Let me work this out.")
LINKS = ("First", "Then", "Next", "Now", "After that")
CHECKS = ("Let me check this again.", "Wait, let me check all of it.", "I want to be sure.")
AGREED = ("Yes, this is right.", "It is the same as before.", "Good, that is correct.")
CLOSINGS = ("So the answer is {}.", "The answer is {}.", "That gives {}.")


def told(problem: Problem, rng: np.random.Generator, *, wordiness: int) -> str:
    """A trace.

    Args:
        wordiness: `TERSE` to `WORDY`.

    Raises:
        ConfigError: another wordiness.
    """
    if not TERSE <= wordiness <= WORDY:
        raise ConfigError(f"wordiness lies in {TERSE}..{WORDY}, got {wordiness}")
    lines = [step.line for step in problem.steps]
    worked = _in_words(problem, rng) if wordiness >= TOLD else lines
    said = [*_opening(problem, rng, wordiness), *worked]
    for _ in range(wordiness - TOLD):
        said += [pick(rng, CHECKS), *lines, pick(rng, AGREED)]
    return "\n".join([*said, pick(rng, CLOSINGS).format(problem.answer)] if wordiness >= CLOSED else said)


def _opening(problem: Problem, rng: np.random.Generator, wordiness: int) -> list[str]:
    restated = [f"The question is: {problem.question}"] if wordiness == WORDY else []
    return [*([pick(rng, OPENINGS)] if wordiness >= TOLD else []), *restated]


def _in_words(problem: Problem, rng: np.random.Generator) -> list[str]:
    """Each line behind what it does."""
    links = [LINKS[0], *(pick(rng, LINKS[1:]) for _ in problem.steps[1:])]
    return [f"{link} {_lowered(step.said)}: {step.line}." for link, step in zip(links, problem.steps, strict=True)]


def _lowered(clause: str) -> str:
    """A clause behind another word: "The next i is 5" begins small, "I add 7" stays."""
    return clause if clause.startswith("I ") else clause[0].lower() + clause[1:]
