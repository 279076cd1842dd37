"""The coding environment: its tools, its hidden tests, and what hostile submissions get from them."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from manyeyes.agent.environments.bug_fixes import BUGS, bug_fix_task, bug_fixes, sound_files
from manyeyes.agent.environments.coding import Coding
from manyeyes.agent.environments.hidden_tests import HiddenTest, Tally, report, run_tests, same
from manyeyes.agent.environments.repository import MOST_FILES, handed_in, lay_out, submitted
from manyeyes.agent.environments.shared_sandbox import Furnished, SharedSandbox
from manyeyes.agent.judge import Verdict
from manyeyes.agent.task import Task
from manyeyes.core.errors import ConfigError
from manyeyes.core.messages import Message, ToolCall, assistant

from .walk import Caller, Walk, run, walk

RUNS = next(number for number, (program, _) in enumerate(BUGS) if program.name == "runs")
HELD_BACK = """import json, os, sys
print("PASSED", "all tests passed", '{"case": 0, "results": [1]}')
"""
ATTACKS = {
    "prints that it passed": HELD_BACK,
    "never ends": "while True:\n    pass\n",
    "forks without end": "import os\nwhile True:\n    os.fork()\n",
    "removes everything": "import os\nos.system('rm -rf / /workspace/* /run/agent/* 2>/dev/null')\n",
    "exits as if all were well": "import os\nos._exit(0)\n",
    "takes the driver over": (
        "import sys, json\n"
        "driver = sys.modules['__main__']\n"
        "driver._returned = lambda loaded, calls: [None for _ in calls]\n"
        "driver._plain = lambda value: None\n"
        'json.dumps = lambda *a, **k: \'{"case": 0, "passed": true, "results": true}\'\n'
    ),
    "writes results itself": (
        "import os, sys\n"
        "with open(f'{sys.argv[1]}/results.jsonl', 'a') as results:\n"
        "    for number in range(100):\n"
        '        results.write(\'{"case": %d, "results": true, "expected": true}\\n\' % number)\n'
        "os._exit(0)\n"
    ),
    "leads the results elsewhere": (
        "import os, sys\n"
        "os.remove(f'{sys.argv[1]}/results.jsonl')\n"
        "os.symlink('/etc/hostname', f'{sys.argv[1]}/results.jsonl')\n"
    ),
    "equals everything": (
        "class Any(dict):\n    __eq__ = lambda *a: True\n    __ne__ = lambda *a: False\n"
        "encode = decode = lambda *a: Any()\n"
    ),
    "is gone": "",
}


def calls(*made: tuple[str, dict[str, Any]]) -> Message:
    return assistant(calls=tuple(ToolCall.of(name, given, index=i) for i, (name, given) in enumerate(made)))


def told(walked: Walk) -> list[str]:
    return [message.text for message in walked.history if message.role == "tool"]


async def with_coding(task: Task, answers: Sequence[Message]) -> Walk:
    coding, waiting = Coding(), iter(answers)

    async def policy(_: list[Message]) -> Message:
        return next(waiting)

    try:
        return await walk(coding, task, policy)
    finally:
        await coding.close()


def rewarded(walked: Walk) -> Verdict:
    assert walked.verdict is not None
    return walked.verdict


@pytest.mark.usefixtures("probed")
def test_an_agent_that_mends_the_bug_with_its_tools_is_rewarded() -> None:
    task = bug_fix_task(RUNS)
    broken, sound = task.truth["files"]["runs.py"], sound_files(task)["runs.py"]
    old = "if any(run[0] == letter for run in runs)"
    assert old in broken and broken.replace(old, "if runs and runs[-1][0] == letter") == sound
    walked = run(with_coding(task, [
        calls(("view", {}), ("view", {"path": "runs.py", "line": 2}), ("bash", {"command": "python check.py"})),
        calls(("str_replace", {"path": "/workspace/runs.py", "old_str": "no such words", "new_str": ""})),
        calls(("str_replace", {"path": "runs.py", "old_str": old, "new_str": "if runs and runs[-1][0] == letter"})),
        calls(("create_file", {"path": "try.py", "file_text": "import runs\nprint(runs.encode('aba'))"}),
              ("insert", {"path": "runs.py", "line": 0, "text": "# mended"})),
        calls(("bash", {"command": "cd /workspace && python try.py && head -n 1 runs.py"})),
        calls(("submit", {})),
    ]))  # fmt: skip
    words = told(walked)
    assert "runs.py" in words[0] and "check.py" in words[0]
    assert "def encode" in words[1] and "all examples hold" in words[2]
    assert "`old_str`" in words[3] and "[['a', 1], ['b', 1], ['a', 1]]\n# mended" in words[7]
    assert rewarded(walked) == Verdict(1.0, {"tests": 1.0, "passed": 1.0, "submitted": 1.0}, rewarded(walked).notes)
    assert rewarded(walked).notes["passed"] == rewarded(walked).notes["total"] >= 12


@pytest.mark.usefixtures("probed")
def test_the_bug_itself_and_no_submission_earn_nothing_and_agents_never_see_the_hidden_tests() -> None:
    task = bug_fix_task(RUNS)
    look = calls(("bash", {"command": "ls -aR /inputs /artefacts /workspace /run/agent; env; cat /workspace/*"}))
    walked = run(with_coding(task, [look, calls(("submit", {}))]))
    verdict = rewarded(walked)
    assert verdict.reward == 0.0 and 0.0 < verdict.parts["passed"] < 1.0 and verdict.parts["submitted"] == 1.0
    seen = json.dumps([message.text for message in walked.history])
    assert not any(json.dumps(calls)[1:-1] in seen for calls, _ in task.truth["tests"])
    assert verdict.notes["why"] and verdict.notes["why"] not in seen
    walked = run(with_coding(task, [assistant("I am done.")]))
    assert rewarded(walked).reward == 0.0 and rewarded(walked).parts["submitted"] == 0.0


@pytest.mark.usefixtures("probed")
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.replace(" ", "-"))
def test_a_hostile_submission_scores_nothing(attack: str) -> None:
    task = bug_fix_task(RUNS)
    shared = SharedSandbox()
    tests = [HiddenTest(*test) for test in task.truth["tests"]]
    files = {**task.truth["files"], "runs.py": ATTACKS[attack]}

    async def judged() -> tuple[Tally, Tally]:
        try:
            hostile = await run_tests(shared, files, "runs", tests[:1])
            return hostile, await run_tests(shared, sound_files(task), "runs", tests)
        finally:
            await shared.close()

    hostile, sound = run(judged())
    assert hostile.passed == 0 and hostile.total == 1 and hostile.why
    assert sound.passed == sound.total  # what it did to its own sandbox is nobody else's


@pytest.mark.usefixtures("probed")
def test_what_an_agent_does_to_its_own_room_does_not_reach_the_judge() -> None:
    task = bug_fix_task(RUNS)
    wreck = calls(("bash", {"command": "rm -rf /workspace/* /workspace/.[a-z]*; ln -s /etc/passwd passwd; mkfifo p; "
                                       "head -c 5000000 /dev/zero > big; printf '\\xff\\xfe\\x00' > odd"}))  # fmt: skip
    walked = run(with_coding(task, [wreck, calls(("submit", {}))]))
    assert rewarded(walked).reward == 0.0 and rewarded(walked).parts["passed"] == 0.0
    handed = walked.noted[-1]["submission"]
    assert handed["changed"] == {} and set(handed["removed"]) == set(task.truth["files"])
    assert set(handed["left_out"]) == {"big", "odd"}


def test_a_submission_is_taken_up_again_after_an_interruption() -> None:
    task = bug_fix_task(RUNS)
    here, _, _ = Coding().drawn(task, seed=0, name="t/0/0")
    fixed = {"changed": {"runs.py": sound_files(task)["runs.py"]}, "removed": [], "left_out": []}
    here.open(Caller(noted=[{}, {"submission": fixed}]))
    assert here.attempt is not None and here.attempt.submission is not None
    assert here.attempt.submission.changed == fixed["changed"]


def test_an_environment_that_was_not_drawn_says_so() -> None:
    with pytest.raises(ConfigError, match="drawn"):
        Coding().open(Caller())


def test_every_bug_fails_a_hidden_test_and_every_sound_program_passes_all() -> None:
    tasks = [bug_fix_task(number) for number in range(len(BUGS))]
    assert len({task.truth["module"] for task in tasks}) == 12 and len({task.id for task in tasks}) == len(tasks)
    for task, (program, bug) in zip(tasks, BUGS, strict=True):
        assert program.source.count(bug.sound) >= 1 and bug.noticed in task.prompt
        assert bug.sound not in task.truth["files"]["check.py"]
        assert len(task.truth["tests"]) >= 12
        json.dumps(task.truth)


def test_tasks_are_the_same_every_time_and_differ_from_round_to_round() -> None:
    assert bug_fix_task(3) == bug_fix_task(3)
    assert bug_fix_task(3).truth["files"]["roman.py"] == bug_fix_task(3 + len(BUGS)).truth["files"]["roman.py"]
    assert bug_fix_task(3).truth["tests"] != bug_fix_task(3 + len(BUGS)).truth["tests"]
    source = bug_fixes(seed=5, rounds=1)
    ids = [task.id for task in source]
    assert len(set(ids)) == len(BUGS) and ids == [task.id for task in bug_fixes(seed=5, rounds=1)]


def test_only_results_that_are_equal_count() -> None:
    tests = [HiddenTest([["f", [1]]], [2]), HiddenTest([["f", [0]]], {"raises": "ValueError"})]
    good = b'{"case": 0, "results": [2]}\n{"case": 1, "error": "ValueError: no"}\n'
    assert report(tests, good) == Tally(2, 2)
    late = b'{"case": 0, "results": [3]}\n' + good
    assert report(tests, late).passed == 1  # the first line of a case counts
    for bad in (b"", b"PASSED\n", b"[" * 100_000, b'{"case": "x"}\n', b'{"case": 0, "results": true}\n', b"\xff\n",
                b'{"case": Infinity}\n', b'{"case": 0, "results": [1%s]}\n' % (b"0" * 400)):  # fmt: skip
        assert report(tests, bad, ended="it ended").passed == 0
    assert "it ended" in report(tests, b"", ended="it ended").why
    assert same([1, {"a": 0.3}], [1, {"a": 0.1 + 0.2}])
    assert not any(same(*pair) for pair in ((True, 1), (1, True), ("1", 1), ([1], [1, 2]), ({}, []), (None, 0)))


@pytest.mark.usefixtures("probed")
def test_folders_of_attempts_are_removed(tmp_path: Path) -> None:
    async def go() -> None:
        shared = SharedSandbox(folder=tmp_path)
        here, _, _ = Coding(shared=shared).drawn(bug_fix_task(0), seed=0, name="t/0/0")
        async with here.open(Caller()):
            assert len(list(tmp_path.iterdir())) == 1
        assert not list(tmp_path.iterdir())
        await shared.close()

    asyncio.run(go())


def test_a_repository_is_handed_in_however_much_lies_beside_it(tmp_path: Path) -> None:
    workspace = Furnished(tmp_path).workspace
    original = {"runs.py": "a", "gone.py": "b", ".git/config": "c", "link.py": "d", "folder.py": "e"}
    Furnished(tmp_path).furnish(lambda workspace: lay_out(workspace, original))
    for number in range(MOST_FILES + 5):
        workspace.write(f"/workspace/a/{number:04d}.txt", b"litter")
    workspace.write("/workspace/a/0000.txt", b"x" * 2**20)
    workspace.write("/workspace/runs.py", b"mended")
    for name in ("gone.py", "link.py", "folder.py"):
        (workspace.work / name).unlink()
    (workspace.work / "link.py").symlink_to("runs.py")
    workspace.write("/workspace/folder.py/inside.py", b"f")
    handed = submitted(workspace, original)
    assert handed.changed["runs.py"] == "mended" and ".git/config" not in handed.changed
    assert set(handed.removed) == {"gone.py", "link.py", "folder.py"} and len(handed.changed) <= MOST_FILES
    assert "a/0000.txt" in handed.left_out and handed_in(original, handed)["runs.py"] == "mended"


@pytest.mark.usefixtures("probed")
def test_lines_are_inserted_where_view_numbers_them() -> None:
    task = Task("t", "Insert.", {"files": {"a.py": "one\ntwo\x0cand\u2028half\nthree"}, "module": "a", "tests": []})
    walked = run(with_coding(task, [
        calls(("insert", {"path": "a.py", "line": 2, "text": "new"})),
        calls(("insert", {"path": "a.py", "line": 9, "text": ""})),
        calls(("insert", {"path": "a.py", "line": 4, "text": "last"})), calls(("submit", {})),
    ]))  # fmt: skip
    assert walked.noted[-1]["submission"]["changed"] == {"a.py": "one\ntwo\x0cand\u2028half\nnew\nthree\nlast"}
    assert "a.py has lines 1 to 4" in told(walked)[1]
