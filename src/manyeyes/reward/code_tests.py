"""Code that an answer hands in, judged by hidden tests. Where and how it runs is the caller's affair.

    await code_reward(answer, tests, run)       calls and expected results; the sandbox's runner compares them outside
    await program_reward(answer, cases, run)    input and expected output of a whole program

A verdict is never read from what code printed: a runner says how many tests passed, by comparing results that the code
was never told. A runner that fails says nothing about the code; its `JudgeError` passes through. Report: §4.4.2
(outcome rewards), App. E.5 (hidden tests); the contract is an open choice here.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from manyeyes.core.errors import ConfigError
from manyeyes.reward.final_answer import last_block
from manyeyes.reward.judge import JudgeError

MODULE = "solution"
LONGEST = 200_000
"""Characters of code; longer code is not run."""


class Tally(Protocol):
    """How tests went."""

    @property
    def passed(self) -> int:
        """How many passed."""
        ...

    @property
    def total(self) -> int:
        """Of how many."""
        ...


class Case(NamedTuple):
    """Input of a program and what it must print; blanks at the ends of lines do not count."""

    stdin: str
    stdout: str


RunTests = Callable[[Mapping[str, str], str, Sequence[Any]], Awaitable[Tally]]
"""Files by path, the module that tests call, the tests; runs them in a sandbox. Raises JudgeError where it cannot."""
RunProgram = Callable[[str, Sequence[str]], Awaitable[Sequence[str | None]]]
"""A program and inputs; what it printed for each, None where it failed or took too long. Raises JudgeError likewise."""


async def code_reward(text: str, tests: Sequence[Any], run: RunTests, *, partial: bool = False) -> float:
    """1 where the code in a text passes all tests; with `partial`, the share that it passes.

    Args:
        text: the code is its last fenced block; without one there is none, and the reward is 0.
        tests: as the runner takes them.

    Raises:
        ConfigError: no tests, which everything would pass.
        JudgeError: the runner's count is not of these tests.
    """
    if not tests:
        raise ConfigError("code needs at least one test to be judged by")
    code = code_of(text)
    if code is None:
        return 0.0
    tally = await run({f"{MODULE}.py": code}, MODULE, tests)
    if tally.total != len(tests) or not 0 <= tally.passed <= tally.total:
        raise JudgeError(f"expected a count of {len(tests)} tests from the runner, got {tally.passed} of {tally.total}")
    return _worth(tally.passed, len(tests), partial)


async def program_reward(text: str, cases: Sequence[Case], run: RunProgram, *, partial: bool = False) -> float:
    """The same for a program that reads its input and prints its output, which it is compared with here.

    Raises:
        ConfigError: no cases.
        JudgeError: the runner has not run every case once.
    """
    if not cases:
        raise ConfigError("a program needs at least one case to be judged by")
    code = code_of(text)
    if code is None:
        return 0.0
    printed = await run(code, [case.stdin for case in cases])
    if len(printed) != len(cases):
        raise JudgeError(f"expected {len(cases)} outputs from the runner, got {len(printed)}")
    passed = sum(o is not None and same_output(o, case.stdout) for o, case in zip(printed, cases, strict=True))
    return _worth(passed, len(cases), partial)


def code_of(text: str) -> str | None:
    """The code that a text hands in: its last fenced block, unless that is empty or too long."""
    code = last_block(text)
    return code if code and code.strip() and len(code) <= LONGEST else None


def same_output(printed: str, expected: str) -> bool:
    """Equal but for blanks at the ends of lines and empty lines at the end.

    Example:
        >>> same_output("1 \\n2\\n\\n", "1\\n2"), same_output("1 2", "1\\n2")
        (True, False)
    """
    one, other = ([line.rstrip() for line in text.rstrip().splitlines()] for text in (printed, expected))
    return one == other


def _worth(passed: int, total: int, partial: bool) -> float:
    return passed / total if partial else float(passed == total)
