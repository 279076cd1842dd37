"""Families of code: what a few lines of Python print, followed line by line.

Report: §4.4.1, Fig. 5 (coding).
"""

import numpy as np

from manyeyes.data.synthesis.generator import between, pick, some
from manyeyes.data.synthesis.thinking_problem import LETTERS, MOST_ADDED, Change, Problem, Step, changes, digits


def trace(rng: np.random.Generator, level: int) -> Problem:
    """Variables, each made of the one before."""
    value = between(rng, 1, 9)
    code, steps = [f"a = {value}"], [Step("I read the next line", f"a = {value}")]
    for before, name, change in zip(LETTERS, LETTERS[1:], changes(rng, value, 1 + level), strict=False):
        code.append(f"{name} = {before} {change.sign} {change.by}")
        steps.append(Step("I read the next line", f"{name} = {change.line(value)}"))
        value = change.of(value)
    return _printed("trace", [*code, f"print({LETTERS[len(code) - 1]})"], steps, value)


def update(rng: np.random.Generator, level: int) -> Problem:
    """One variable, changed again and again."""
    value = between(rng, 1, 9)
    code, steps = [f"x = {value}"], [Step("I read the next line", f"x = {value}")]
    for change in changes(rng, value, 1 + level):
        code.append(f"x {change.sign}= {change.by}")
        steps.append(Step("I read the next line", f"x = {change.line(value)}"))
        value = change.of(value)
    return _printed("update", [*code, "print(x)"], steps, value)


def loop(rng: np.random.Generator, level: int) -> Problem:
    """One variable, changed in the same way again and again."""
    name, value, change = pick(rng, "xyn"), between(rng, 1, 9), Change("+", between(rng, 1, 4))
    times = between(rng, 2, 2 + min(level, 2))
    code = [f"{name} = {value}", f"for i in range({times}):", f"    {name} {change.sign}= {change.by}"]
    steps = [Step("I read the first line", f"{name} = {value}")]
    for turn in range(1, times + 1):
        steps.append(Step("I go round once more", f"{turn}: {change.line(value)}"))
        value = change.of(value)
    return _printed("loop", [*code, f"print({name})"], steps, value)


def table(rng: np.random.Generator, level: int) -> Problem:
    """Two of some variables, added up."""
    names = LETTERS[: 2 + level]
    entries = dict(zip(names, digits(rng, len(names), most=MOST_ADDED), strict=True))
    first, second = some(rng, names, 2)
    one, other = entries[first], entries[second]
    told = [f"{name} = {number}" for name, number in entries.items()]
    steps = [
        Step("I look for the first", f"{first} = {one}"),
        Step("I add the second", f"{second} = {other}, {Change('+', other).line(one)}"),
    ]
    return _printed("table", [*told, f"print({first} + {second})"], steps, one + other)


def branch(rng: np.random.Generator, level: int) -> Problem:
    """A variable that is changed one way or the other, by what it is."""
    value, bound = between(rng, 1, 9), between(rng, 2, 8)
    more, less = digits(rng, 2, most=MOST_ADDED)
    code = [f"a = {value}", f"b = a + {more} if a > {bound} else a + {less}"]
    taken = Change("+", more if value > bound else less)
    steps = [
        Step("I ask which way it goes", f"{value} > {bound}: {'yes' if value > bound else 'no'}"),
        Step("I follow this way", f"b = {taken.line(value)}"),
    ]
    value = taken.of(value)
    for before, name, change in zip("bcd", "cde", changes(rng, value, level - 1), strict=False):
        code.append(f"{name} = {before} {change.sign} {change.by}")
        steps.append(Step("I read the next line", f"{name} = {change.line(value)}"))
        value = change.of(value)
    return _printed("branch", [*code, f"print({'bcde'[len(code) - 2]})"], steps, value)


def call(rng: np.random.Generator, level: int) -> Problem:
    """A function of its own result."""
    name, value, change = pick(rng, "fgh"), between(rng, 1, 9), Change("+", between(rng, 1, 4))
    times = pick(rng, (1, 2, 3)[: 1 + min(level, 2)])
    code = [f"def {name}(x): return x {change.sign} {change.by}", f"print({f'{name}(' * times}{value}{')' * times})"]
    steps: list[Step] = []
    for _ in range(times):
        steps.append(Step("I call the function", f"{name}({value}) = {change.line(value)}"))
        value = change.of(value)
    return _printed("call", code, steps, value)


def _printed(family: str, code: list[str], steps: list[Step], value: int) -> Problem:
    return Problem(family, "What is printed?\n" + "\n".join(code), tuple(steps), str(value))
