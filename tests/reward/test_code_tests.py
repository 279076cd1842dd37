import asyncio
import os
from functools import partial
from typing import NamedTuple

import pytest

from manyeyes.agent.environments.hidden_tests import HiddenTest, run_tests
from manyeyes.agent.environments.shared_sandbox import SharedSandbox
from manyeyes.agent.sandbox import SandboxUnavailable
from manyeyes.core.errors import ConfigError
from manyeyes.reward.code_tests import LONGEST, Case, code_reward, program_reward
from manyeyes.reward.judge import JudgeError

TESTS = ["one", "two", "three", "four"]
RIGHT = "Here:\n```python\ndef double(x):\n    return 2 * x\n```\n"


class Count(NamedTuple):
    passed: int
    total: int


def runner(passed, total=4):
    ran = []

    async def run(files, module, tests):
        ran.append((files, module, tests))
        return Count(passed, total)

    run.ran = ran
    return run


def test_the_count_of_the_runner_decides():
    run = runner(4)
    assert asyncio.run(code_reward(RIGHT, TESTS, run)) == 1
    assert run.ran == [({"solution.py": "def double(x):\n    return 2 * x\n"}, "solution", TESTS)]
    assert asyncio.run(code_reward(RIGHT, TESTS, runner(3))) == 0
    assert asyncio.run(code_reward(RIGHT, TESTS, runner(3), partial=True)) == 0.75


@pytest.mark.parametrize(
    "text", ["", "def f(): pass", "```python\nnever closed", "```\n\n```", f"```\n{'x' * (LONGEST + 1)}\n```"]
)
def test_no_code_earns_nothing_and_runs_nowhere(text):
    run = runner(4)
    assert asyncio.run(code_reward(text, TESTS, run)) == 0 and not run.ran


def test_a_count_of_other_tests_is_no_verdict():
    for run in (runner(2, total=3), runner(4, total=3), runner(5), runner(-1)):
        with pytest.raises(JudgeError, match="count of 4 tests"):
            asyncio.run(code_reward(RIGHT, TESTS, run))
    with pytest.raises(ConfigError, match="at least one"):
        asyncio.run(code_reward(RIGHT, [], runner(0, 0)))


def test_programs_are_compared_by_what_they_print_for_inputs():
    cases = [Case("1 2", "3\n"), Case("2 2", "4")]

    async def run(code, inputs):
        return ["PASSED\n", None] if "print" in code else [f"{sum(map(int, one.split()))} \n\n" for one in inputs]

    assert asyncio.run(program_reward("```\nx\n```", cases, run)) == 1
    assert asyncio.run(program_reward("```\nprint('PASSED')\n```", cases, run, partial=True)) == 0
    with pytest.raises(JudgeError, match="2 outputs"):
        asyncio.run(program_reward("```\nx\n```", cases, lambda code, inputs: asyncio.sleep(0, ["3"])))


HOSTILE = {
    "prints": "print('PASSED 3 of 3')\ndef double(x):\n    print('ok')\n    return None",
    "exits": "import sys\nsys.exit(0)",
    "equals all": "class Any:\n    def __eq__(self, other): return True\ndef double(x):\n    return Any()",
    "loops": "def double(x):\n    while True: pass",
    "deletes": "import shutil, os\ndef double(x):\n    shutil.rmtree('/', ignore_errors=True)\n    return 0",
}


@pytest.mark.slow
def test_in_the_sandbox_right_code_scores_and_hostile_code_does_not():
    tests = [HiddenTest([["double", [x]]], [2 * x]) for x in (1, 2, 3)]

    async def scene():
        shared = SharedSandbox()
        try:
            await shared.sandbox()
        except SandboxUnavailable as error:
            if os.environ.get("CI"):
                raise
            pytest.skip(f"no sandbox works here: {error}")
        try:
            run = partial(run_tests, shared)
            worth = {name: await code_reward(f"```python\n{code}\n```", tests, run) for name, code in HOSTILE.items()}
            return await code_reward(RIGHT, tests, run), worth
        finally:
            await shared.close()

    right, worth = asyncio.run(scene())
    assert right == 1 and worth == dict.fromkeys(HOSTILE, 0.0)
