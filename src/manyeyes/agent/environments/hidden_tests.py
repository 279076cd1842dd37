"""Hidden tests: calls whose results are compared here, outside of the sandbox; code under test never meets an answer.

    [["merge", [[[1, 3], [2, 6]]]]]                      →  [[[1, 6]]]               a function
    [["Cache", [2]], [".put", ["a", 1]], [".get", ["a"]]] →  [null, null, 1]          an object and its methods

The code runs in a fresh sandbox with a small driver that makes the calls and writes down what they return. It can break
the driver, print "PASSED", exit or never end: what it cannot do is return results that it was never told. So nothing
that it writes is believed beyond that, and no test file of it is ever run.

Report: App. E.5 (hidden tests decide); the protocol is an open choice here.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from manyeyes.agent.environments import hidden_tests_driver
from manyeyes.agent.environments.repository import Files, lay_out
from manyeyes.agent.environments.shared_sandbox import SharedSandbox
from manyeyes.agent.sandbox_exchange import read_back
from manyeyes.agent.sandbox_limits import MIB, SandboxLimits
from manyeyes.agent.sandbox_process import Room
from manyeyes.agent.workspace import WORK

MOST_RESULTS = 4 * MIB
"""Bytes that the driver's results may take."""
LIMITS = SandboxLimits(memory=512 * MIB, processes=32, cpu_seconds=30, seconds=90.0, file_bytes=8 * MIB,
                       tmp_bytes=16 * MIB, work_bytes=64 * MIB)  # fmt: skip
CASE_SECONDS = 2.0
"""Of processor time, for one test: a machine that is busy must not fail anybody."""


class HiddenTest(NamedTuple):
    """Calls, one after the other, and what each must return; `{"raises": "ValueError"}` stands for an exception."""

    calls: Sequence[Any]
    expected: Any


class Tally(NamedTuple):
    """How tests went.

    Attributes:
        passed: how many.
        total: of how many.
        why: the first failure in words, for people and records; agents do not see it.
    """

    passed: int
    total: int
    why: str = ""


async def run_tests(shared: SharedSandbox, files: Files, module: str, tests: Sequence[HiddenTest]) -> Tally:
    """Run tests over files in a fresh sandbox.

    Args:
        module: that the calls are made to.

    Raises:
        SandboxUnavailable: it could not be started, which says nothing about the files.
    """
    sandbox = await shared.sandbox()
    async with shared.lent(lambda workspace: lay_out(workspace, files)) as workspace:
        exchange = sandbox.exchange()
        try:
            (exchange / "driver.py").write_bytes(Path(hidden_tests_driver.__file__).read_bytes())
            (exchange / "calls.json").write_text(json.dumps([test.calls for test in tests]))
            root = WORK if sandbox.confines else str(workspace.work)
            inside = sandbox.inside(exchange)
            line = [sandbox.python.command, "-I", "-S", f"{inside}/driver.py", inside, root, module, str(CASE_SECONDS)]
            ran = await sandbox.run(line, Room(workspace, exchange), limits=LIMITS)
            told = read_back(exchange, "results.jsonl", most=MOST_RESULTS)
        finally:
            await sandbox.discard(exchange)
    return report(tests, told, ended=ran.stopped or f"the code ended with status {ran.status}")


def report(tests: Sequence[HiddenTest], told: bytes, *, ended: str = "") -> Tally:
    """What the driver's lines are worth; the first line of a case counts, and lines that are none count for nothing."""
    found: dict[int, Any] = {}
    for line in told.splitlines():
        try:
            said = json.loads(line)
            found.setdefault(int(said["case"]), said)
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
            continue
    good = [_passes(test, found.get(number)) for number, test in enumerate(tests)]
    first = next((number for number, passed in enumerate(good) if not passed), None)
    return Tally(sum(good), len(tests), "" if first is None else _why(tests[first], found.get(first), ended))


def _passes(test: HiddenTest, said: Any) -> bool:
    if said is None:
        return False
    if isinstance(test.expected, dict) and set(test.expected) == {"raises"}:
        return str(said.get("error", "")).startswith(f"{test.expected['raises']}:")
    return "results" in said and same(said["results"], test.expected)


def same(found: Any, expected: Any) -> bool:
    """Equal as JSON; numbers up to the last digits of a float, and true is not 1.

    Example:
        >>> same([1, 0.1 + 0.2], [1, 0.3]), same(True, 1)
        (True, False)
    """
    if isinstance(expected, bool) or isinstance(found, bool) or not isinstance(expected, int | float):
        if isinstance(expected, list):
            return isinstance(found, list) and len(found) == len(expected) and all(map(same, found, expected))
        if isinstance(expected, dict):
            return isinstance(found, dict) and found.keys() == expected.keys() and all(
                same(found[key], expected[key]) for key in expected
            )  # fmt: skip
        return type(found) is type(expected) and found == expected
    try:
        return isinstance(found, int | float) and math.isclose(found, expected, rel_tol=1e-9, abs_tol=1e-9)
    except OverflowError:  # a whole number that is larger than any float
        return found == expected


def _why(test: HiddenTest, said: Any, ended: str) -> str:
    got = ended if said is None else said.get("error", json.dumps(said.get("results")))
    return f"{json.dumps(test.calls)[:300]}: expected {json.dumps(test.expected)[:300]}, got {str(got)[:300]}"
