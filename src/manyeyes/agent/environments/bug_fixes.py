"""`bug_fixes`: a source of coding tasks: a dozen small programs with one bug each, told as users tell of bugs.

Deterministic: a number says which program, which bug and which hidden tests. Every bug fails at least one hidden test
of its task, and the sound program passes all: tests are drawn until that is so.

Report: none; App. E.5 has tasks of this kind on real repositories.
"""

import json
from types import ModuleType
from typing import Any

from manyeyes.agent.environments.bug_program import Bug, Program
from manyeyes.agent.environments.programs_numbers import NUMBERS_PROGRAMS
from manyeyes.agent.environments.programs_structures import STRUCTURES_PROGRAMS
from manyeyes.agent.environments.programs_text import TEXT_PROGRAMS
from manyeyes.agent.task import Task
from manyeyes.agent.task_source import Tasks
from manyeyes.core.seeds import stream

PROGRAMS: tuple[Program, ...] = (*TEXT_PROGRAMS, *NUMBERS_PROGRAMS, *STRUCTURES_PROGRAMS)
BUGS: tuple[tuple[Program, Bug], ...] = tuple((program, bug) for program in PROGRAMS for bug in program.bugs)
TESTS, SHOWN = 24, 3
"""Hidden tests of a task, and tests that are shown in its repository."""
MOST_DRAWN = 400

PROMPT = """The module {name}.py in /workspace ({about}) has a bug: {noticed}.

Find it and mend it. What the docstrings say is right. `python check.py` runs a few examples that must hold, and more \
will be tried. Call submit when you are done."""
README = "# {name}\n\n{about}\n\n    python check.py\n"
CHECK = '''"""Examples that hold."""

import {name}

{lines}
print("all examples hold")
'''


def bug_fix_task(number: int) -> Task:
    """The task of a number from 0; bugs take turns, and each round has other tests."""
    rounds, place = divmod(number, len(BUGS))
    program, bug = BUGS[place]
    tests = _tests(program, bug, number)
    broken = program.broken(bug)
    files = {
        f"{program.name}.py": f'"""{program.about}"""\n\n{broken}',
        "check.py": _check(program, broken, number),
        "README.md": README.format(name=program.name, about=program.about),
    }
    prompt = PROMPT.format(name=program.name, about=program.about.rstrip("."), noticed=bug.noticed)
    truth = {"files": files, "module": program.name, "tests": tests}
    return Task(f"bug-fix/{program.name}/{program.bugs.index(bug)}/{rounds}", prompt, truth)


def bug_fixes(seed: int = 0, *, rounds: int = 4, epochs: int | None = 1) -> Tasks:
    """The source.

    Args:
        seed: of the order.
        rounds: how often each bug comes, each time with other tests.
        epochs: see `Tasks`.
    """
    return Tasks(bug_fix_task, size=rounds * len(BUGS), seed=seed, epochs=epochs, name="bug-fixes")


def sound_files(task: Task) -> dict[str, str]:
    """The repository of a task as it should be; for tests and for scripted agents."""
    program = next(one for one in PROGRAMS if one.name == task.truth["module"])
    return {**task.truth["files"], f"{program.name}.py": f'"""{program.about}"""\n\n{program.source}'}


def _tests(program: Program, bug: Bug, number: int) -> list[Any]:
    """Calls and what they must return; several of them show the bug."""
    sound, broken = _loaded(program.source), _loaded(program.broken(bug))
    telling, others = list[Any](), list[Any]()
    for index in range(MOST_DRAWN):
        calls = _plain(program.inputs(stream(number, "environments/bug-fixes", index)))
        for part in [calls] if any(name.startswith(".") for name, _ in calls) else [[call] for call in calls]:
            expected = _outcome(sound, part)
            (telling if _outcome(broken, part) != expected else others).append([part, expected])
        if len(telling) >= TESTS // 2 and len(others) >= TESTS // 2:
            break
    assert telling, f"{program.name}: no test tells {bug.noticed!r}"
    return [*telling[: TESTS // 2], *others[: TESTS // 2]]


def _outcome(module: ModuleType, calls: list[Any]) -> Any:
    """What the driver of `hidden_tests` would write down; these are our own programs, so they run here."""
    made, told = None, list[Any]()
    try:
        for name, arguments in json.loads(json.dumps(calls)):
            function = getattr(made if name.startswith(".") else module, name.lstrip("."))
            if isinstance(function, type):
                made = function(*arguments)
                told.append(None)
            else:
                told.append(_plain(function(*arguments)))
    except (ValueError, IndexError, KeyError, TypeError) as error:
        return {"raises": type(error).__name__}
    return told


def _loaded(source: str) -> ModuleType:
    module = ModuleType("program")
    exec(compile(source, "program", "exec"), module.__dict__)
    return module


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _check(program: Program, broken: str, number: int) -> str:
    """A few examples that hold even with the bug: it would be too easy to be told where it is."""
    sound, with_bug, lines = _loaded(program.source), _loaded(broken), list[str]()
    for index in range(MOST_DRAWN):
        for name, arguments in program.inputs(stream(number, "environments/bug-fixes/shown", index)):
            if name.startswith(".") or isinstance(getattr(sound, name), type):
                continue
            expected = _outcome(sound, [[name, arguments]])
            if isinstance(expected, list) and _outcome(with_bug, [[name, arguments]]) == expected:
                lines.append(f"assert {program.name}.{name}(*{arguments!r}) == {expected[0]!r}")
        if len(lines) >= SHOWN:
            break
    return CHECK.format(name=program.name, lines="\n".join(lines[:SHOWN]))
